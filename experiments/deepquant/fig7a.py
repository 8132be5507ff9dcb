"""Fig. 7 (a): how hard each label of CIFAR-10 is to turn into label 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deepquant.asking import balls, decided, slopes, steepness
from deepquant.drawing import bars, canvas, legend_below
from deepquant.images import CIFAR_LABELS, cifar, of_each_label
from deepquant.report import Result, Table, number
from deepquant.setting import OWN_METHOD, PAPER_METHOD, PRINTED_METHOD, PRINTED_TOO, STAND_IN, Setting, Size

TARGET = 0
"""Label 1 of the paper: MATLAB counts labels from 1, so the airplane, 0 here."""

RADIUS = 0.1


@dataclass(frozen=True)
class Plan:
    """Images per label, and evaluations per image."""

    images: int
    queries: int


PLANS = {Size.QUICK: Plan(1, 300), Size.USUAL: Plan(3, 2_000), Size.FULL: Plan(20, 10_000)}


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Q of the gap to the target label, for images of every other label."""
    plan = plan or PLANS[setting.size]
    network, images, labels = cifar()
    own = decided(network, images)
    chosen = {k: at for k, at in of_each_label(labels, own, plan.images).items() if k != TARGET}
    batch = balls(network, images[np.concatenate(list(chosen.values()))], "linf", RADIUS, f"targeted:{TARGET}")
    found: dict[str, list[list[float]]] = {}
    for method in (PAPER_METHOD, PRINTED_METHOD, OWN_METHOD):
        setting.say(f"  {method}: {len(batch)} images")
        steep = iter([steepness(answer) for answer in slopes(batch, method, plan.queries, setting.seed)])
        found[method] = [[next(steep) for _ in at] for at in chosen.values()]
    return Result(
        "fig7a",
        "Fig. 7 (a): targeted slopes on CIFAR-10",
        "Q of the gap between the label of the image and label 1, the airplane, in probabilities (Definition 5, case 2), L-inf balls of "
        f"radius {RADIUS:g}, pixels in [0, 1]; {plan.images} test images of each other label, the first that the network labels rightly; "
        f"{plan.queries:,} network evaluations per image. The network is `cifar_base_kw` of VNN-COMP 2021 "
        f"({100 * (own == labels).mean():.1f} % of the {len(labels):,} test images right).",
        "Bars without printed numbers. The text says that label 3 is the most robust (smallest Q) and label 7 the least.",
        [_table(found, chosen)],
        {"": _draw(found, chosen)},
        {"": "Q towards label 1 for each label: the mean over its images; lower is harder to turn."},
        [
            "Another network: the paper's 10-layer network (Table 4, 78.30 % right) is not published, and CIFAR-10's training images are "
            "not among the benchmark files. Which label is the most robust depends on the network and the images.",
            "The paper's labels are taken to count from 1, as in MATLAB: label 1 is the airplane.",
            "The paper says neither the radius nor how many images it took for a label.",
            STAND_IN,
            PRINTED_TOO,
        ],
        _seen(found, chosen),
    )


def _names(chosen: dict[int, list[int]]) -> list[str]:
    return [f"L{k + 1} ({CIFAR_LABELS[k]})" for k in chosen]


def _table(found: dict[str, list[list[float]]], chosen: dict[int, list[int]]) -> Table:
    head = ["from", *(f"`{m}` {what}" for m in found for what in ("mean", "least", "greatest"))]
    cells = [[number(f(column[i])) for column in found.values() for f in (_mean, min, max)] for i in range(len(chosen))]
    return Table("Q towards L1 (airplane)", head, [[name, *row] for name, row in zip(_names(chosen), cells, strict=True)])


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _draw(found: dict[str, list[list[float]]], chosen: dict[int, list[int]]) -> Figure:
    figure = canvas(8, 3.4)
    axes = figure.subplots()
    groups = [f"L{k + 1}-L1\n{CIFAR_LABELS[k]}" for k in chosen]
    bars(axes, groups, {method: [_mean(v) for v in column] for method, column in found.items()}, ylabel="Q (probability / pixel value)")
    axes.tick_params(axis="x", labelsize=8)
    legend_below(figure, axes, 3)
    return figure


def _seen(found: dict[str, list[list[float]]], chosen: dict[int, list[int]]) -> list[str]:
    names, sentences = _names(chosen), []
    for method, column in found.items():
        means = [_mean(values) for values in column]
        sentences.append(
            f"By `{method}`, {names[int(np.argmin(means))]} is the hardest to turn into an airplane, {names[int(np.argmax(means))]} the "
            "easiest."
        )
    return sentences
