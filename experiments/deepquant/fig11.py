"""Fig. 11: images on the way to an uncertainty example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepquant.asking import THRESHOLD, ranges, uncertainty_balls
from deepquant.classifiers import main_classifier, one_of_each
from deepquant.drawing import Picture, gallery
from deepquant.fig6 import about
from deepquant.images import grey_images
from deepquant.report import Result, Table, number
from deepquant.setting import OWN_METHOD, PAPER_METHOD, STAND_IN, Setting, Size
from netassay.results.answer import ReachAnswer

RADIUS = 0.1


@dataclass(frozen=True)
class Plan:
    """Images, and evaluations per image and method."""

    images: int
    queries: int


PLANS = {Size.QUICK: Plan(1, 1_000), Size.USUAL: Plan(1, 3_000), Size.FULL: Plan(4, 50_000)}


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """The snapshots that the answers keep."""
    plan = plan or PLANS[setting.size]
    classifier, data = main_classifier(setting), grey_images(setting)
    at = one_of_each(classifier, data, plan.images)
    batch = uncertainty_balls(classifier.network, data.test[at].astype(np.float64), [RADIUS])
    rows: dict[str, list[Picture]] = {}
    lines = []
    for method in (PAPER_METHOD, OWN_METHOD):
        setting.say(f"  {method}: {len(batch)} images")
        for k, answer in zip(at, ranges(batch, method, plan.queries, setting.seed), strict=True):
            name = f"label {data.test_labels[k]}, {method}"
            rows[name] = way(answer)
            lines.append([name, *(number(s + THRESHOLD) for s, _ in answer.frames)])
    columns = max(len(line) for line in lines)
    return Result(
        "fig11",
        "Fig. 11: the way to an uncertainty example",
        f"Images on the way of a search for the least KL(uniform || f) in an L-inf ball of radius {RADIUS:g}, from the input (left) to "
        f"the best point found (right); {plan.queries:,} network evaluations, for both ends of the range. {about(classifier, setting)}",
        "A row of images without printed numbers. The text says that the divergence falls to 0, the uniform distribution.",
        [
            Table(
                "KL(uniform || f) of the images, nats",
                ["search", "input", *(f"step {i}" for i in range(1, columns - 1))],
                [line + [""] * (columns - len(line)) for line in lines],
            )
        ],
        {"": gallery(rows)},
        {"": "From left to right the divergence from the uniform distribution falls."},
        [
            "Another network and other images: the paper's are not published.",
            "Whether 0 is reached depends on network, image and radius; the paper's text says so of its own example.",
            STAND_IN,
        ],
    )


def way(answer: ReachAnswer) -> list[Picture]:
    """The snapshots, each with its divergence."""
    return [(f"KL {number(s + THRESHOLD, 3)}", image) for s, image in answer.frames]
