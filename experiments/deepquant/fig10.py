"""Fig. 10: uncertainty examples, and how the least divergence from the uniform distribution falls with the radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepquant.asking import decided, divergence, ranges, scores, uncertainty_balls
from deepquant.classifiers import FIG9, main_classifier, one_of_each, six_classifiers
from deepquant.drawing import COLOURS, Picture, canvas, gallery, show
from deepquant.fig6 import about
from deepquant.images import CIFAR_LABELS, cifar, grey_images
from deepquant.report import Result, Table, number
from deepquant.setting import OWN_METHOD, PAPER_METHOD, STAND_IN, Setting, Size, UnavailableError
from netassay.models.network import Network
from netassay.results.answer import ReachAnswer

RADIUS = 0.4
"""Of (a) and (c), as in the paper."""

PAPER_RADIUS = 0.15
"""The radius at which the paper compares the networks of (b)."""


OWN_SHARE = 4
"""netassay's own method gets a quarter of the evaluations: with their gradients they take about as long."""


@dataclass(frozen=True)
class Plan:
    """Evaluations and images of the examples, and of the curves: their radii, images and evaluations for each."""

    examples: int
    example_queries: int
    radii: tuple[float, ...]
    images: int
    queries: int


PLANS = {
    Size.QUICK: Plan(2, 500, (0.1, 0.3, 0.5), 2, 200),
    Size.USUAL: Plan(4, 2_000, tuple(round(0.05 * k, 2) for k in range(1, 11)), 5, 1_000),
    Size.FULL: Plan(8, 20_000, tuple(round(0.025 * k, 3) for k in range(1, 21)), 20, 10_000),
}

Curves = dict[str, dict[str, list[float]]]
"""Mean least divergence by method and network, at radius 0 and at each of the plan's radii."""


@dataclass(frozen=True)
class Examples:
    """Inputs of one data set and the uncertainty examples of one network found in their balls, by method."""

    data: str
    network: Network
    names: tuple[str, ...]
    by_method: dict[str, list[ReachAnswer]]


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Uncertainty examples, and the curves of the six networks."""
    plan = plan or PLANS[setting.size]
    grey = _grey_examples(setting, plan)
    drawings, captions = {"a": _draw_example(grey)}, {"a": "(a) An input and an uncertainty example, with the network's distributions."}
    curves = _curves(setting, plan)
    drawings["b"], captions["b"] = (
        _draw_curves(curves, plan),
        "(b) KL(uniform || f) in nats: the least found in the ball, mean over the images.",
    )
    rows, lines = _pictures(grey), _lines(grey)
    try:
        colour = _cifar_examples(setting, plan)
        rows |= _pictures(colour)
        lines += _lines(colour)
    except UnavailableError as missing:
        setting.say(f"  CIFAR-10 is left out: {missing}")
    drawings["c"], captions["c"] = (
        gallery(rows),
        f"(c) Inputs and uncertainty examples in L-inf balls of {RADIUS:g}, with their divergences.",
    )
    return Result(
        "fig10",
        "Fig. 10: uncertainty",
        "Uncertainty examples: points with the least Kullback-Leibler divergence KL(uniform || f) in nats (Definition 7, Eq. 8; 0 is the "
        f"uniform distribution, nothing bounds it above) in L-inf balls, pixels in [0, 1]. (a) and (c): d = {RADIUS:g}, "
        f"{plan.example_queries:,} network evaluations per image. {about(main_classifier(setting), setting)} CIFAR-10: the network "
        f"`cifar_base_kw` of VNN-COMP 2021. (b) The six networks of Fig. 9 as in Table 6, {plan.images} images, {plan.queries:,} "
        "evaluations per image and radius; a point found in a smaller ball counts in the larger ones. Evaluations serve both ends of the "
        f"range, the least and the greatest divergence; `{OWN_METHOD}` gets a quarter of them.",
        "Pictures and curves without printed numbers. The text says: uncertainty worsens vastly with the radius, and at d = 0.15 DNN-1 "
        "and DNN-2 are worse than the other networks.",
        [_example_table(lines), _curve_table(curves, plan)],
        drawings,
        captions,
        [
            "Other networks and images than the paper's, which are not published; the six are described in Table 6's page.",
            "The paper's published script mixes natural and decimal logarithms in this expression; here all are natural.",
            f"{STAND_IN} What both find is an upper bound of the least divergence.",
        ],
        _seen(curves, plan),
    )


def _grey_examples(setting: Setting, plan: Plan) -> Examples:
    classifier, data = main_classifier(setting), grey_images(setting)
    at = one_of_each(classifier, data, plan.examples)
    names = tuple(f"label {data.test_labels[k]}" for k in at)
    return _examples(setting, plan, data.name, classifier.network, data.test[at].astype(np.float64), names)


def _cifar_examples(setting: Setting, plan: Plan) -> Examples:
    network, images, labels = cifar()
    right = np.flatnonzero(decided(network, images) == labels)[: plan.examples]
    return _examples(setting, plan, "cifar-10", network, images[right], tuple(CIFAR_LABELS[labels[k]] for k in right))


def _examples(setting: Setting, plan: Plan, data: str, network: Network, inputs: NDArray[np.float64], names: tuple[str, ...]) -> Examples:
    batch = uncertainty_balls(network, inputs, [RADIUS])
    found = {}
    for method in (PAPER_METHOD, OWN_METHOD):
        setting.say(f"  examples, {data}: {method}, {len(batch)} images")
        found[method] = ranges(batch, method, share(method, plan.example_queries), setting.seed)
    return Examples(data, network, names, found)


def least(answer: ReachAnswer) -> NDArray[np.floating]:
    """The point of the least divergence found; the input itself if there is none."""
    return answer.center if answer.minimum_witness is None else answer.minimum_witness.point


def share(method: str, queries: int) -> int:
    """The evaluations that a method gets of ``queries``."""
    return queries // OWN_SHARE if method == OWN_METHOD else queries


def _curves(setting: Setting, plan: Plan) -> Curves:
    data, classifiers = grey_images(setting), six_classifiers(setting)
    at = np.random.default_rng(setting.seed).choice(len(data.test), plan.images, replace=False)
    inputs = data.test[at].astype(np.float64)
    curves: Curves = {PAPER_METHOD: {}, OWN_METHOD: {}}
    for name, classifier in classifiers.items():
        setting.say(f"  curves, {name}: {len(inputs)} images, {len(plan.radii)} radii")
        batch = uncertainty_balls(classifier.network, inputs, plan.radii)
        for method, by_network in curves.items():
            answers = ranges(batch, method, share(method, plan.queries), setting.seed)
            by_network[name] = _curve([divergence(a) for a in answers], len(plan.radii))
    return curves


def _curve(found: Sequence[tuple[float, float]], radii: int) -> list[float]:
    """Means over the images, from radius 0 on: of what was found in this ball or a smaller one."""
    table = np.array([[found[i][0], *(lowest for _, lowest in found[i : i + radii])] for i in range(0, len(found), radii)])
    return [float(mean) for mean in np.minimum.accumulate(table, axis=1).mean(axis=0)]


def _draw_example(examples: Examples) -> Figure:
    answer = examples.by_method[PAPER_METHOD][0]
    images = {"input": answer.center, "uncertainty example": least(answer)}
    figure = canvas(6, 4)
    for row, (name, image), value in zip(figure.subplots(2, 2, width_ratios=(1, 2)), images.items(), divergence(answer), strict=True):
        show(row[0], image)
        row[0].set_title(name, fontsize=9)
        shares = scores(examples.network, image[None])[0]
        row[1].bar(range(len(shares)), shares, color=COLOURS[0])
        row[1].set(ylim=(0, 1.05), ylabel="probability", xticks=range(len(shares)))
        row[1].set_title(f"KL(uniform || f) = {number(value)} nats", fontsize=9)
        row[1].axhline(1 / len(shares), color="grey", linewidth=0.8, linestyle="--")
    row[1].set_xlabel("label (dashed: uniform)")
    return figure


def _draw_curves(curves: Curves, plan: Plan) -> Figure:
    figure = canvas(8.5, 3.6)
    parts = figure.subplots(1, len(curves), sharey=True)
    for axes, (method, by_network) in zip(parts, curves.items(), strict=True):
        for k, (name, values) in enumerate(by_network.items()):
            axes.plot([0, *plan.radii], values, marker="o", markersize=3, color=COLOURS[k], label=name)
        axes.set(xlabel="L-inf radius d", title=method)
        axes.grid(True, alpha=0.3)
    parts[0].set_ylabel("KL(uniform || f), nats")
    parts[0].set_ylim(bottom=0)
    parts[-1].legend(frameon=False, fontsize=8)
    return figure


def _pictures(examples: Examples) -> dict[str, list[Picture]]:
    answers = examples.by_method[PAPER_METHOD]
    inputs: list[Picture] = [
        (f"{name}\nKL {number(divergence(a)[0], 3)}", a.center) for name, a in zip(examples.names, answers, strict=True)
    ]
    found: list[Picture] = [(f"KL {number(divergence(a)[1], 3)}", least(a)) for a in answers]
    return {f"{examples.data}: inputs": inputs, f"{examples.data}: uncertainty examples": found}


def _lines(examples: Examples) -> list[list[str]]:
    columns = [examples.by_method[method] for method in (PAPER_METHOD, OWN_METHOD)]
    return [
        [f"{examples.data}, {name}", number(divergence(answers[0])[0]), *(number(divergence(answer)[1]) for answer in answers)]
        for name, *answers in zip(examples.names, *columns, strict=True)
    ]


def _example_table(lines: list[list[str]]) -> Table:
    return Table(f"KL(uniform || f) in nats, d = {RADIUS:g}", ["image", "at the input", f"`{PAPER_METHOD}`", f"`{OWN_METHOD}`"], lines)


def _curve_table(curves: Curves, plan: Plan) -> Table:
    head = ["network, method", *(f"d = {radius:g}" for radius in (0, *plan.radii))]
    rows = [[f"{name}, `{m}`", *(number(v, 3) for v in curves[m][name])] for name in FIG9 for m in curves]
    return Table("(b) The least KL(uniform || f) found, mean over the images, nats", head, rows)


def _seen(curves: Curves, plan: Plan) -> list[str]:
    at = 1 + min(range(len(plan.radii)), key=lambda i: abs(plan.radii[i] - PAPER_RADIUS))
    sentences = []
    for method, by_network in curves.items():
        worst = sorted(by_network, key=lambda name: by_network[name][at])
        sentences.append(f"By `{method}`, at d = {plan.radii[at - 1]:g} the order from the least divergence on is {', '.join(worst)}.")
    return sentences
