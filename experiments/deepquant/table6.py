"""Table 6: Q of six MNIST networks from shallow to deep, beside their accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepquant.asking import balls, decided, slopes, steepness
from deepquant.classifiers import FIG9, Classifier, six_classifiers
from deepquant.drawing import COLOURS, canvas
from deepquant.images import Images, grey_images
from deepquant.report import Result, Table, number
from deepquant.setting import EXPRESSION, OWN_METHOD, PAPER_METHOD, STAND_IN, Setting, Size

SHOWN = 5
"""Images with a column of their own, as in the paper."""

PRINTED = {
    "DNN-1": (45.90, 93.73, 30.44, 39.76, 93.33, 60.63, 97.75),
    "DNN-2": (35.24, 21.66, 19.79, 26.82, 57.30, 32.16, 97.95),
    "DNN-3": (87.13, 69.40, 78.31, 84.71, 100.30, 83.97, 98.38),
    "DNN-4": (42.07, 46.42, 69.90, 46.86, 63.42, 53.73, 99.06),
    "DNN-5": (53.68, 54.17, 82.78, 41.21, 65.75, 59.52, 99.16),
    "DNN-6": (96.91, 70.13, 75.53, 64.63, 80.19, 77.48, 99.41),
}
"""Table 6 as printed: five images, the mean (of 100 images, by the text), the accuracy in percent."""


@dataclass(frozen=True)
class Plan:
    """Images, and evaluations per image, network and scale: of the derivative-free method and of netassay's own."""

    images: int
    queries: int
    own: int


PLANS = {Size.QUICK: Plan(5, 300, 100), Size.USUAL: Plan(20, 1_000, 300), Size.FULL: Plan(100, 20_000, 10_000)}

RADIUS = 0.3

Columns = dict[str, dict[str, list[float]]]
"""Q by network and by column (method and scale), one for each image."""


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Q of every network around the same images."""
    plan = plan or PLANS[setting.size]
    data, classifiers = grey_images(setting), six_classifiers(setting)
    chosen = _right_by_all(classifiers, data, plan.images, setting.seed)
    inputs = data.test[chosen].astype(np.float64)
    found: Columns = {}
    for name, classifier in classifiers.items():
        setting.say(f"  {name}: {len(inputs)} images")
        found[name] = {}
        for column, (method, risk, queries) in _columns(plan).items():
            batch = balls(classifier.network, inputs, "linf", RADIUS, risk)
            found[name][column] = [steepness(answer) for answer in slopes(batch, method, queries, setting.seed)]
    schooling = next(iter(classifiers.values())).schooling
    return Result(
        "table6",
        "Table 6: slopes of six networks",
        f"Q (Definition 6) of the gap to the runner-up (Definition 5, case 1) in L-inf balls of radius {RADIUS:g}, pixels in [0, 1], "
        f"around {len(inputs)} {data.name} test images drawn with seed {setting.seed} from those that all six networks label rightly. "
        f"Each network was trained on {schooling.text}. `{PAPER_METHOD}` spent {plan.queries:,} "
        f"network evaluations per image, `{OWN_METHOD}` {plan.own:,}; smaller is more robust.",
        "Printed in Table 6 and quoted below. By the text: 100 images at random; DNN-2 is the most robust, DNN-6 the most accurate.",
        [_images(found), _means(found, classifiers), _architectures()],
        {"": _draw(found, classifiers)},
        {"": f"Q in probabilities by `{PAPER_METHOD}`: each image (dots), the mean (line), the paper's mean (cross; other networks)."},
        [
            "The structures of Fig. 9 are a picture that gives no more than the filters of its convolutions (3x3 with 32, 64 and 128 "
            "channels), batch normalisation, dropout of 0.5 and fully connected layers; how they follow each other is our choice, above. "
            "conv_2 and conv_3 have stride 2 here, which keeps the networks small enough for one core.",
            "Other weights and, by default, a much shorter training than the paper's 35 epochs on 60,000 images (`--full` trains as long).",
            "The paper prints no radius for this table and does not say whether its outputs are logits or probabilities. In "
            "probabilities the gap lies between -1 and 1, which limits Q at a distance; in "
            "logits nothing limits it. Both are given.",
            f"{STAND_IN} Both give lower "
            "bounds of Q, and so do the paper's values: a network that is harder to search looks more robust than it is.",
        ],
        _seen(found, classifiers),
    )


def _columns(plan: Plan) -> dict[str, tuple[str, str, int]]:
    """Method, risk and evaluations of each column."""
    return {
        f"`{PAPER_METHOD}`": (PAPER_METHOD, EXPRESSION, plan.queries),
        f"`{OWN_METHOD}`": (OWN_METHOD, EXPRESSION, plan.own),
        f"`{PAPER_METHOD}`, logits": (PAPER_METHOD, f"{EXPRESSION}@logits", plan.queries),
    }


def _right_by_all(classifiers: dict[str, Classifier], data: Images, count: int, seed: int) -> NDArray[np.int64]:
    """Positions of test images, drawn at random, that all networks label rightly."""
    drawn = np.random.default_rng(seed).permutation(len(data.test))[: 4 * count + 20]
    right = np.all([decided(c.network, data.test[drawn]) == data.test_labels[drawn] for c in classifiers.values()], axis=0)
    return drawn[right][:count]


def _images(found: Columns) -> Table:
    count = min(SHOWN, len(next(iter(next(iter(found.values())).values()))))
    rows = []
    for name, columns in found.items():
        mine = columns[f"`{PAPER_METHOD}`"]
        rows.append([f"{name}, here", *(number(q) for q in mine[:count]), number(float(np.mean(mine)))])
        rows.append([f"{name}, paper", *(f"{q:.2f}" for q in PRINTED[name][:count]), f"{PRINTED[name][SHOWN]:.2f}"])
    head = ["network", *(f"Img-{i + 1}" for i in range(count)), "Mean"]
    return Table(f"Q of five images and the mean, probabilities, `{PAPER_METHOD}` (the paper's images are others)", head, rows)


def _means(found: Columns, classifiers: dict[str, Classifier]) -> Table:
    columns = list(next(iter(found.values())))
    head = ["network", *(f"mean Q, {column}" for column in columns), "mean Q, paper", "test accuracy", "test accuracy, paper"]
    rows = [
        [
            name,
            *(number(float(np.mean(found[name][column]))) for column in columns),
            f"{PRINTED[name][SHOWN]:.2f}",
            f"{classifiers[name].accuracy:.2f} %",
            f"{PRINTED[name][SHOWN + 1]:.2f} %",
        ]
        for name in found
    ]
    return Table("Mean Q by method and scale, and accuracy", head, rows)


def _architectures() -> Table:
    rows = [[name, (build.__doc__ or "").rstrip(".")] for name, build in FIG9.items()]
    return Table("The networks here (Fig. 9 as far as it can be read)", ["network", "layers"], rows, words=2)


def _draw(found: Columns, classifiers: dict[str, Classifier]) -> Figure:
    figure = canvas(7.5, 3.6)
    axes = figure.subplots()
    at = np.arange(len(found))
    mine, own = (np.array([found[name][f"`{method}`"] for name in found]) for method in (PAPER_METHOD, OWN_METHOD))
    axes.plot(
        np.repeat(at, mine.shape[1]), mine.ravel(), "o", color=COLOURS[0], alpha=0.45, markersize=4, label=f"one image, {PAPER_METHOD}"
    )
    axes.hlines(mine.mean(axis=1), at - 0.25, at + 0.25, color=COLOURS[0], label=f"mean, {PAPER_METHOD}")
    axes.plot(at, own.mean(axis=1), "s", color=COLOURS[1], label=f"mean, {OWN_METHOD}")
    axes.plot(at, [PRINTED[name][SHOWN] for name in found], "x", color=COLOURS[5], label="mean in the paper")
    axes.set_xticks(at, [f"{name}\n{classifiers[name].accuracy:.1f} % right" for name in found], fontsize=8)
    axes.set_ylabel("Q (probability / pixel value)")
    axes.set_ylim(bottom=0)
    axes.grid(True, axis="y", alpha=0.3)
    axes.legend(frameon=False, loc="best", fontsize=8)
    return figure


def _seen(found: Columns, classifiers: dict[str, Classifier]) -> list[str]:
    sentences = []
    for column in next(iter(found.values())):
        means = {name: float(np.mean(columns[column])) for name, columns in found.items()}
        sentences.append(
            f"By {column}, {min(means, key=means.__getitem__)} has the smallest mean Q and {max(means, key=means.__getitem__)} the "
            "greatest."
        )
    accurate = max(classifiers, key=lambda name: classifiers[name].accuracy)
    return [*sentences, f"The most accurate network here is {accurate}."]
