"""Fig. 3 (a), with the times of Fig. 1 (right) and Fig. 2: bounds of all images at t = 1 and t = 2, what they cost, and t = 3 would."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import comb

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepquant.drawing import COLOURS, canvas
from deepquant.report import Result, Table, number
from deepquant.setting import Setting, Size
from deeptre.networks import COUNTED, GRID, POINTS, SCRIPT, balls, rightly_decided
from netassay.falsifiers.sparse.deeptre import deeptre
from netassay.falsifiers.sparse.subspaces import BATCH, Inputs, sensitivities
from netassay.specs.problem import Problem

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """The network, how many images at t = 1 (the first of them at t = 2, too), how many of those, and random triples of the first image."""

    network: str
    images: int
    pairs: int
    triples: int


PLANS = {Size.QUICK: Plan("digits-cnn", 4, 2, 50), Size.USUAL: Plan("sdnn", 100, 8, 4000), Size.FULL: Plan("sdnn", 5300, 5300, 100_000)}


@dataclass(frozen=True, eq=False)
class Course:
    """Of one t, per image: the paper's l and u, processor seconds and queries of this t alone."""

    lower: Column
    upper: Column
    seconds: Column
    queries: Column


@dataclass(frozen=True)
class Sample:
    """Some of all ``total`` subspaces of one t, searched for one image: points evaluated and processor seconds."""

    total: int
    searched: int
    points: int
    seconds: float

    def whole(self) -> float:
        """Hours that all of them would take."""
        return self.seconds * self.total / self.searched / 3600


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """DeepTRE image by image, each t timed for itself."""
    plan = plan or PLANS[setting.size]
    network, images, _ = rightly_decided(plan.network, plan.images)
    batch = balls(network, images)
    setting.say(f"  t = 1: {len(batch)} images")
    courses = {1: _course(batch, 1)[0]}
    setting.say(f"  t = 2: {plan.pairs} images")
    first, second = _course(batch[: plan.pairs], 2)
    courses[2] = second
    setting.say(f"  t = 3: {plan.triples} triples of one image")
    third = _sample(batch[0], 3, plan.triples, setting.seed)
    tables = [Table("Bounds and cost", HEAD, [_row(f"t = 1, {len(batch)} images", courses[1]), *_pair_rows(first, second)])]
    tables.append(Table("Cost of t = 3 for one image, by a sample", SAMPLED, [_sample_row(third)]))
    return Result(
        "fig3",
        "Fig. 3 (a), Fig. 1 (right): bounds of all images, and the time for each t",
        f"{network.name}: the first {len(batch)} test images that it labels rightly at t = 1, the first {plan.pairs} of them at t = 2, one "
        f"image after the other. {GRID} {COUNTED} An image whose bounds meet (l = u - 1) is not searched any further.",
        "Curves and box plots without printed numbers: t = 1, 2, 3 over 5,300 images (sDNN). The text says that at t = 1 an image "
        "takes less than 0.1 s, and that most images converge after a few iterations.",
        tables,
        {"": _draw(courses)},
        {
            "": "Above: l and u of every image, ordered by u; marked where they meet. Below: processor seconds an image, for each t "
            "alone; open images only at t = 2."
        },
        [
            f"t = 3 is sampled for its cost only: all {third.total:,} subspaces of {POINTS**3} points each would take "
            f"{number(third.whole(), 2)} h an image; `proofs` goes further by proof.",
            "The paper's sample of 5,300 images, its grid and its graphics card are others.",
        ],
        _seen(courses),
        script=SCRIPT,
    )


HEAD = ["", "mean l", "mean u", "l = u - 1", "median s", "95 % s", "longest s", "queries an image"]


SAMPLED = ["subspaces", "searched", "points", "processor s", "hours for all"]


def _sample(problem: Problem, size: int, count: int, seed: int) -> Sample:
    """Random subspaces of ``size`` groups of one image."""
    inputs, rng = Inputs([problem], BATCH), np.random.default_rng(seed)
    groups = len(inputs.members)
    chosen = np.sort(rng.random((count, groups)).argpartition(size, axis=1)[:, :size], axis=1)
    spent, begin = inputs.counter.points, time.process_time()
    sensitivities(inputs, size, POINTS, chosen=chosen)
    return Sample(comb(groups, size), count, inputs.counter.points - spent, time.process_time() - begin)


def _sample_row(sample: Sample) -> list[str]:
    return [
        f"{sample.total:,}",
        f"{sample.searched:,}",
        f"{sample.points:,}",
        number(sample.seconds, 3),
        number(sample.whole(), 2),
    ]


def _course(batch: list[Problem], most: int) -> list[Course]:
    """One course for each t up to ``most``; an image that has converged costs nothing any more."""
    rows = np.zeros((most, 4, len(batch)))
    for i, problem in enumerate(batch):
        begin, spent = time.process_time(), 0
        for estimate in deeptre([problem], most=most, points=POINTS):
            now = time.process_time()
            if estimate.size:
                rows[estimate.size - 1 :, :2, i] = estimate.lower[0], estimate.upper[0] + 1
                rows[estimate.size - 1, 2:, i] = now - begin, estimate.queries - spent
            begin, spent = now, estimate.queries
    return [Course(*part) for part in rows]


def _pair_rows(first: Course, second: Course) -> list[list[str]]:
    count = len(first.lower)
    return [_row(f"t = 1, the first {count}", first), _row(f"t = 2, the first {count}", second)]


def _row(name: str, course: Course) -> list[str]:
    met = f"{(course.lower == course.upper - 1).mean():.0%}"
    spent = course.seconds[course.queries > 0]
    times = [float(np.median(spent)), float(np.quantile(spent, 0.95)), float(spent.max())] if len(spent) else [0.0] * 3
    return [
        name,
        f"{course.lower.mean():.3f}",
        f"{course.upper.mean():.3f}",
        met,
        *(number(t, 3) for t in times),
        f"{course.queries.mean():,.0f}",
    ]


def _draw(courses: dict[int, Course]) -> Figure:
    figure = canvas(8, 6)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(2, 1.2)))
    parts = above.subplots(1, len(courses), squeeze=False)[0]
    for axes, (t, course) in zip(parts, courses.items(), strict=True):
        _bounds(axes, t, course)
    parts[0].set_ylabel("changed pixels")
    parts[0].legend(frameon=False, fontsize=8)
    axes = below.subplots()
    axes.boxplot(
        [c.seconds[c.queries > 0] for c in courses.values()],
        orientation="horizontal",
        tick_labels=[f"t = {t}" for t in courses],
        widths=0.6,
    )
    axes.set(xscale="log", xlabel="processor seconds an image")
    axes.grid(True, axis="x", alpha=0.3)
    return figure


def _bounds(axes: Axes, t: int, course: Course) -> None:
    order = np.lexsort((course.lower, course.upper))
    x, low, high = np.arange(len(order)), course.lower[order], course.upper[order]
    axes.fill_between(x, low, high, step="mid", color=COLOURS[4], alpha=0.3, linewidth=0)
    axes.step(x, high, where="mid", color=COLOURS[5], label="u")
    axes.step(x, (low + high) / 2, where="mid", color=COLOURS[6], linewidth=0.8, linestyle="--", label="U_c")
    axes.step(x, low, where="mid", color=COLOURS[0], label="l")
    met = high - low <= 1
    axes.plot(x[met], np.zeros(int(met.sum())), "|", color="grey", markersize=6, label="l = u - 1")
    axes.set(xlabel="image, ordered by u", title=f"t = {t}", ylim=(-0.5, max(2.0, float(high.max()) + 0.5)))
    axes.grid(True, alpha=0.3)


def _seen(courses: dict[int, Course]) -> list[str]:
    sentences = []
    for t, course in courses.items():
        spent = course.seconds[course.queries > 0]
        met = int((course.lower == course.upper - 1).sum())
        cost = (
            f"an image takes {number(float(np.median(spent)), 3)} s of processor time in the median"
            if len(spent)
            else "nothing was left to do"
        )
        sentences.append(f"At t = {t} the bounds of {met} of {len(course.lower)} images meet; {cost}.")
    return sentences
