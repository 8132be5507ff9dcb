"""Fig. 8: the images that the search for Q returns, by norm and by radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepquant.asking import NORM_NAMES, NORMS, balls, decided, slopes, steepness
from deepquant.classifiers import main_classifier, one_of_each
from deepquant.drawing import Picture, gallery
from deepquant.fig6 import about
from deepquant.images import CIFAR_LABELS, cifar, grey_images
from deepquant.report import Result, Table, number
from deepquant.setting import EXPRESSION, PAPER_METHOD, STAND_IN, Setting, Size, UnavailableError
from netassay.models.network import Network
from netassay.results.answer import LipschitzAnswer

RADII = tuple(round(0.1 + 0.05 * k, 2) for k in range(7))
"""0.1 : 0.05 : 0.4"""


@dataclass(frozen=True)
class Plan:
    """Images of each kind, and evaluations per search."""

    images: int
    queries: int


PLANS = {Size.QUICK: Plan(2, 500), Size.USUAL: Plan(2, 1_500), Size.FULL: Plan(4, 20_000)}

Rows = dict[str, list[Picture]]


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """The steepest points found, as images."""
    plan = plan or PLANS[setting.size]
    grey, grey_rows = _by_norm(setting, plan)
    drawings = {"grey": gallery(grey)}
    tables = [Table("(a) By norm", ["image", "norm", "Q found", "distance", "label there"], grey_rows, words=2)]
    seen: list[str] = []
    captions = {"grey": "(a) The input, and the steepest point found in each norm, with its distance and the label there."}
    try:
        colour, colour_rows = _by_radius(setting, plan)
        drawings["colour"] = gallery(colour)
        captions["colour"] = "(b) The input, and the steepest point found in L-inf balls of growing radius d, with the label there."
        tables.append(Table("(b) By radius, L-inf", ["image", "d", "Q found", "distance", "label there"], colour_rows))
        seen = _seen(colour_rows)
    except UnavailableError as missing:
        setting.say(f"  CIFAR-10 is left out: {missing}")
    return Result(
        "fig8",
        "Fig. 8: images returned by the search",
        f"The points x' at which `{PAPER_METHOD}` found the greatest slope of the gap to the runner-up (probabilities), {plan.queries:,} "
        f"network evaluations each. (a) {about(main_classifier(setting), setting)} (b) CIFAR-10, the network `cifar_base_kw` of VNN-COMP "
        "2021.",
        "Images only: MNIST in three norms, CIFAR-10 for d = 0.1 : 0.05 : 0.4. The text says that the visual difference grows with d.",
        tables,
        drawings,
        captions,
        [
            "Other networks than the paper's, which are not published; other images, since the paper does not say which.",
            "The steepest point need not be an adversarial example, as the paper says: the label there is given with each image.",
            "A larger ball holds the smaller ones, so the point for a larger d is the best of those found up to there; each d has a "
            "search of its own.",
            STAND_IN,
        ],
        seen,
    )


def _seen(rows: list[list[str]]) -> list[str]:
    """One sentence per image, from its row of the largest radius."""
    last = {name: (steep, distance) for name, _, steep, distance, _ in rows}
    return [
        f"CIFAR-10, {name}: the steepest point found in all these balls (Q = {steep}) lies {distance} away."
        for name, (steep, distance) in last.items()
    ]


def _by_norm(setting: Setting, plan: Plan) -> tuple[Rows, list[list[str]]]:
    classifier, data = main_classifier(setting), grey_images(setting)
    at = one_of_each(classifier, data, plan.images)
    inputs, radii = data.test[at].astype(np.float64), data.radii()
    rows: Rows = {f"label {data.test_labels[k]}": [("input", data.test[k])] for k in at}
    lines = []
    for norm in NORMS:
        setting.say(f"  {NORM_NAMES[norm]}, {len(inputs)} images")
        answers = slopes(balls(classifier.network, inputs, norm, radii[norm], EXPRESSION), PAPER_METHOD, plan.queries, setting.seed)
        for (name, row), answer in zip(rows.items(), answers, strict=True):
            label, distance, point = _found(classifier.network, answer)
            row.append((f"{NORM_NAMES[norm]}, {number(distance, 3)}\nlabel {label}", point))
            lines.append([name, NORM_NAMES[norm], number(steepness(answer)), number(distance), str(label)])
    return rows, sorted(lines, key=lambda line: line[0])


def _by_radius(setting: Setting, plan: Plan) -> tuple[Rows, list[list[str]]]:
    network, images, labels = cifar()
    right = np.flatnonzero(decided(network, images) == labels)[: plan.images]
    rows: Rows = {}
    lines = []
    for k in right:
        setting.say(f"  CIFAR-10, image {k}, {len(RADII)} radii")
        rows[f"{CIFAR_LABELS[labels[k]]} (test image {k})"] = row = [("input", images[k])]
        best: LipschitzAnswer | None = None
        for radius in RADII:
            (answer,) = slopes(balls(network, images[k : k + 1], "linf", radius, EXPRESSION), PAPER_METHOD, plan.queries, setting.seed)
            best = answer if best is None or steepness(answer) > steepness(best) else best
            label, distance, point = _found(network, best)
            row.append((f"d = {radius:g}\n{CIFAR_LABELS[label]}", point))
            lines.append([f"test image {k}", f"{radius:g}", number(steepness(best)), number(distance), CIFAR_LABELS[label]])
    return rows, lines


def _found(network: Network, answer: LipschitzAnswer) -> tuple[int, float, NDArray[np.floating]]:
    """Label, distance and image of the steepest point; the input itself if there is none."""
    if answer.witness is None:
        return int(decided(network, answer.center[None])[0]), 0.0, answer.center
    return int(decided(network, answer.witness.point[None])[0]), answer.witness.distance or 0.0, answer.witness.point
