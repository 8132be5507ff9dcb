"""Fig. 6: Q of ten MNIST images in three norms, against random sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deepquant.asking import NORM_NAMES, NORMS, balls, slopes, steepness
from deepquant.classifiers import Classifier, main_classifier, one_of_each
from deepquant.drawing import bars, canvas, legend_below
from deepquant.images import grey_images
from deepquant.report import Result, Table, number
from deepquant.setting import BASELINE, EXPRESSION, OWN_METHOD, PAPER_METHOD, PRINTED_METHOD, PRINTED_TOO, STAND_IN, Setting, Size


@dataclass(frozen=True)
class Plan:
    """How many images, and how many evaluations per image and norm: two budgets, random sampling, and netassay's own method."""

    images: int
    queries: tuple[int, int]
    random: int
    own: int


PLANS = {
    Size.QUICK: Plan(3, (300, 1_500), 3_000, 300),
    Size.USUAL: Plan(10, (300, 1_500), 3_000, 300),
    Size.FULL: Plan(10, (2_000, 20_000), 1_000_000, 2_000),
}

Found = dict[str, dict[str, list[float]]]
"""Q by norm and way of searching, one for each image."""


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Q of every image in every norm, by every way of searching."""
    plan = plan or PLANS[setting.size]
    classifier, data = main_classifier(setting), grey_images(setting)
    chosen = one_of_each(classifier, data, plan.images)
    inputs, radii = data.test[chosen].astype(np.float64), data.radii()
    found: Found = {}
    for norm in NORMS:
        batch = balls(classifier.network, inputs, norm, radii[norm], EXPRESSION)
        found[norm] = {}
        for way, (method, queries) in ways(plan).items():
            setting.say(f"  {NORM_NAMES[norm]}: {way} evaluations, {len(inputs)} images")
            found[norm][way] = [steepness(answer) for answer in slopes(batch, method, queries, setting.seed)]
    sizes = ", ".join(f"d = {number(radii[norm])} in {NORM_NAMES[norm]}" for norm in NORMS)
    return Result(
        "fig6",
        "Fig. 6: slopes on MNIST against random sampling",
        f"Q (Definition 6) of the gap to the runner-up in probabilities (Definition 5, case 1), pixels in [0, 1], {sizes}; {len(inputs)} "
        f"test images: the first of each label that the network labels rightly. {about(classifier, setting)} Each column says the method "
        "and its network evaluations per image and norm.",
        "Bars without printed numbers, ten images, L1 with d = 250, L-inf with 0.3, L2 with 8. The text says that DEEPQUANT is "
        "consistently better than 1,000,000 random points, with tens of times fewer evaluations. The network's accuracy is printed: "
        "99.41 %.",
        [_table(norm, radii[norm], found[norm]) for norm in NORMS],
        {"": _draw(found, radii)},
        {"": "Q per image in the three norms; higher is steeper, so less robust."},
        differences(setting, plan),
        _seen(found, plan),
    )


def about(classifier: Classifier, setting: Setting) -> str:
    """The network in two sentences."""
    trained, right = classifier.schooling, f"{classifier.accuracy:.2f} % of the test images right"
    if setting.quick:
        return f"In a quick run the network is the built-in digits-cnn (8x8 digits; {right}), and d is scaled to its 64 pixels."
    return f"The network is that of Table 3, trained here on {trained.text}: {right}."


def differences(setting: Setting, plan: Plan) -> list[str]:
    """What every figure on this network shares."""
    shorter = (
        "shorter than the paper's (60,000 images, 35 epochs, batches of 128)" if setting.size is not Size.FULL else "as long as the paper's"
    )
    return [
        f"The paper's network is not published; the one here has the layers of Table 3, other weights, and a training that is {shorter}.",
        f"Random sampling drew {plan.random:,} points here, 1,000,000 in the paper (`--full` draws as many).",
        "Which ten images the paper took is not said.",
        STAND_IN,
        PRINTED_TOO,
    ]


def ways(plan: Plan) -> dict[str, tuple[str, int]]:
    """The ways of searching: method and evaluations."""
    asked = [
        (BASELINE, plan.random),
        (PRINTED_METHOD, plan.queries[-1]),
        *((PAPER_METHOD, queries) for queries in plan.queries),
        (OWN_METHOD, plan.own),
    ]
    return {f"{method}, {queries:,}": (method, queries) for method, queries in asked}


def _table(norm: str, radius: float, found: dict[str, list[float]]) -> Table:
    images = range(len(next(iter(found.values()))))
    rows = [[f"image {i + 1}", *(number(column[i]) for column in found.values())] for i in images]
    rows.append(["mean", *(number(float(np.mean(column))) for column in found.values())])
    return Table(f"Q in {NORM_NAMES[norm]}, d = {number(radius)}", ["image", *found], rows)


def _draw(found: Found, radii: dict[str, float]) -> Figure:
    figure = canvas(8, 7)
    parts = figure.subplots(len(NORMS), 1)
    for axes, norm in zip(parts, NORMS, strict=True):
        count = len(next(iter(found[norm].values())))
        bars(axes, [str(i + 1) for i in range(count)], found[norm], ylabel="Q (probability / unit)")
        axes.set_title(f"{NORM_NAMES[norm]}, d = {number(radii[norm])}", fontsize=10)
    parts[-1].set_xlabel("image")
    legend_below(figure, parts[-1], 5)
    return figure


def _seen(found: Found, plan: Plan) -> list[str]:
    random, _, least, *_ = ways(plan)
    sentences = []
    for norm in NORMS:
        ratios = np.array(found[norm][least]) / np.maximum(found[norm][random], 1e-300)
        better = int((ratios > 1).sum())
        sentences.append(
            f"{NORM_NAMES[norm]}: `{least}` evaluations find a steeper slope than `{random}` on {better} of {len(ratios)} images, "
            f"{np.median(ratios):.3g} times as steep in the median."
        )
    return sentences
