"""Branch and bound over the inputs: for networks of few inputs, of any operators (survey, section 4.1.2; ReluVal's bisection, 4.2.3).

Batches of boxes are bounded together by backward linear bounds, the newest first, so that few wait; where a range is asked for, and
when time is nearly over, those with the least bounds. A box is done when its part of the claim has a positive row; what is left of it
is cut down to where the rows' linear forms may be negative, and split: for chains of dense layers and ReLUs by ``chain_step``, for other
graphs into halves along the feature that moves the forms most. Every box's least corner and middle are evaluated: candidates against the
claim come from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.branch_and_bound.boxes import Boxes, Outcome, Waiting, clipped, divisible, halves, splittable
from netassay.verifiers.branch_and_bound.chain_step import BoxDrift, ChainStep
from netassay.verifiers.claim import Claim
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import probe, values
from netassay.verifiers.propagation.chain import chain_of
from netassay.verifiers.propagation.interval import BoundedGraph, bounded_graph
from netassay.verifiers.propagation.linear import Bound, LinearBounds
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array, down

LATE = 0.8
"""From this share of the time on, boxes with the least bounds come first."""

EASY = 64
"""Boxes, and points of an attack, that cost next to nothing."""


@dataclass(frozen=True, slots=True)
class InputSplitting:
    """Complete for every region of positive size up to rounding, but in time exponential in the number of inputs.

    Args:
        batch: Boxes bounded at once.
        attack: Points of the attack; 0 for none. Easy claims meet a much smaller one only.
        tolerance: Stop when the bound is within this of the least s seen (for ranges); None to stop at a decision only.
        drift: What is taken off the rows' bounds over each box; nothing by default.
    """

    batch: int = 256
    attack: int = 240
    tolerance: float | None = None
    drift: BoxDrift | None = None

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after every batch."""
        return _Search(task, self).run()


class _Search:
    def __init__(self, task: Task, options: InputSplitting) -> None:
        if not np.isfinite(task.region.lower).all() or not np.isfinite(task.region.upper).all():
            raise CapabilityError("branch and bound needs a bounded region; give a radius, or a domain with finite ends")
        self._task, self._options, self._claim = task, options, task.claim
        self._bounded = bounded_graph(task.claim.graph)
        self._evaluator = Evaluator(self._bounded)
        self._rng = np.random.default_rng(task.seed)
        self._least = np.inf
        self._point: Array | None = None
        self._subproblems = 0
        self._settled = np.inf
        """Least bound of what is decided; 0 where only the sign of s was followed."""
        self._stuck = np.inf
        """Least bound of boxes that float64 cannot split any further."""

    def run(self) -> Iterator[Finding]:
        attack = self._options.attack
        if attack:
            self._attack(min(attack, EASY), steps=10)
        waiting = Waiting(self._root(), newest=self._options.tolerance is None)
        step: _Step | None = None
        while True:
            finding = self._finding(waiting)
            yield finding
            if finding.reason or not len(waiting) or finding.point is not None or self._close(finding):
                return
            step = step or self._step_for()
            waiting.newest = self._options.tolerance is None and not self._late(waiting)
            self._advance(waiting, step)
            if attack and self._subproblems > EASY:
                self._attack(attack, steps=50)
                attack = 0

    def _late(self, waiting: Waiting) -> bool:
        """Whether the time is nearly over: the rest goes into the bound, while memory allows; any order takes as long to a proof."""
        limits = self._task.limits
        late = limits.clock.limit is not None and limits.clock.elapsed > LATE * limits.clock.limit
        return late and waiting.bytes < limits.memory // 4

    def _attack(self, points: int, steps: int) -> None:
        found = probe(self._claim, self._evaluator, self._task.region, self._rng, points=points, steps=steps)
        self._see(found.value, found.point)

    def _step_for(self) -> _Step:
        """The fast step for chains, the general one for other graphs and for balls."""
        chain = chain_of(self._bounded) if self._task.region.ball is None else None
        drift = self._options.drift
        return GeneralStep(self._claim, self._bounded, drift) if chain is None else ChainStep(self._claim, chain, drift)

    def _advance(self, waiting: Waiting, step: _Step) -> None:
        """Bounds and splits one batch; boxes that can be split no further are laid aside."""
        now = waiting.take(self._options.batch)
        self._subproblems += len(now)
        goal, strict = 0.0, self._claim.strict
        if self._options.tolerance is not None:
            goal, strict = self._least - self._options.tolerance, False
        found = step(now, goal, strict=strict)
        self._settled = min(self._settled, found.settled)
        self._try_points(found.points)
        smaller = splittable(found.children.regions)
        self._stuck = min(self._stuck, float(found.children.lower[~smaller].min(initial=np.inf)))
        waiting.put(found.children.take(np.flatnonzero(smaller)))

    def _try_points(self, points: Array) -> None:
        if len(points):
            seen = values(self._claim, self._evaluator.outputs(points))
            i = int(np.argmin(np.where(np.isnan(seen), np.inf, seen)))
            self._see(float(seen[i]), points[i])

    def _finding(self, waiting: Waiting) -> Finding:
        lower = min(waiting.lower, self._settled, self._stuck)
        ranged = self._options.tolerance is not None
        broken = not ranged and self._point is not None and not self._claim.holds(self._least)
        reason = "" if broken else self._reason(waiting)
        proved = not len(waiting) and not broken and not reason and not ranged
        point = self._point if broken else None
        return Finding(lower, proved=proved, point=point, least=self._least, reason=reason, subproblems=self._subproblems)

    def _reason(self, waiting: Waiting) -> str:
        if not len(waiting):
            return "rounding" if self._stuck < np.inf else ""
        if self._task.limits.over:
            return "time-out"
        return "memory" if waiting.bytes > self._task.limits.memory else ""

    def _close(self, finding: Finding) -> bool:
        tolerance = self._options.tolerance
        if tolerance is None:
            return False
        return self._least - finding.lower <= tolerance

    def _see(self, value: float, point: Array) -> None:
        if value < self._least:
            self._least, self._point = value, point.copy()

    def _root(self) -> Boxes:
        count = len(self._claim.parts)
        everywhere = self._task.region.take(np.zeros(count, dtype=np.intp))
        return Boxes(everywhere, np.arange(count), np.full(count, -np.inf), np.zeros(count, dtype=np.intp))


class _Step(Protocol):
    def __call__(self, boxes: Boxes, goal: float, *, strict: bool) -> Outcome: ...


class GeneralStep:
    """Bounds and halves boxes of any graph, each perhaps within a ball.

    Args:
        claim: What is to be proved.
        bounded: The claim's graph.
        drift: What is taken off the rows' bounds.
    """

    def __init__(self, claim: Claim, bounded: BoundedGraph, drift: BoxDrift | None = None) -> None:
        self._claim, self._bounded, self._drift = claim, bounded, drift

    def __call__(self, boxes: Boxes, goal: float, *, strict: bool) -> Outcome:
        """Bounds boxes; what is not above ``goal`` (or, unless ``strict``, at it) is cut down and halved."""
        rows, constants, owner = self._rows(boxes.part)
        bounds = LinearBounds(self._bounded, boxes.regions)
        if self._drift is not None:
            constants = down(constants - self._taken(self._drift, bounds, boxes.part))
        bound = bounds.minimum(self._bounded.output, rows, owner, constants)
        found, best = _best_rows(bound.lower, owner, len(boxes))
        lower = np.maximum(boxes.lower, found)
        done = lower > goal if strict else lower >= goal
        regions, nothing = clipped(boxes.regions, bound.coefficients, down(bound.offset - goal), owner)
        left = np.flatnonzero(~(done | nothing))
        parents = Boxes(regions.take(left), boxes.part[left], lower[left], boxes.depth[left])
        children = halves(parents, self._axes(parents.regions, bound, owner, left, len(boxes)))
        settled = min(float(lower[done].min(initial=np.inf)), np.inf if done.all() else goal)
        return Outcome(settled, children, self._points(parents.regions, bound.coefficients[best[left]]))

    def _points(self, regions: Regions, coefficients: Array) -> Array:
        """The point of each box where its best form is least, and its middle."""
        if not len(regions):
            return regions.lower
        corners = regions.minimisers(coefficients, np.arange(len(regions)))
        return corners if regions.ball is not None else np.concatenate([regions.lower / 2 + regions.upper / 2, corners])

    def _rows(self, part: Positions) -> tuple[Array, Array, Positions]:
        rows, constants, owner = [], [], []
        for p, each in enumerate(self._claim.parts):
            mine = np.flatnonzero(part == p)
            rows.append(np.tile(each.rows, (len(mine), 1)))
            constants.append(np.tile(each.constants, len(mine)))
            owner.append(np.repeat(mine, len(each.rows)))
        return np.concatenate(rows), np.concatenate(constants), np.concatenate(owner)

    def _taken(self, drift: BoxDrift, bounds: LinearBounds, part: Positions) -> Array:
        """What is taken off each of ``_rows``."""
        parts = drift.by_part(drift(bounds.regions, lambda value: bounds.range(value) if value in bounds.bounded.relaxed else None))
        return np.concatenate([each[part == p].reshape(-1) for p, each in enumerate(parts)])

    def _axes(self, regions: Regions, bound: Bound, owner: Positions, left: Positions, count: int) -> Positions:
        """For each box that is left the feature that moves its forms most; the widest where none does."""
        low, high = regions.corners
        widths = (high - low) * divisible(low, high)
        pull = np.zeros((count, widths.shape[1]))
        np.add.at(pull, owner, np.abs(bound.coefficients.reshape(len(owner), widths.shape[1])))
        score = np.where(np.isfinite(pull), pull, 1.0)[left] * widths
        flat = score.max(axis=1, initial=0.0) <= 0
        score[flat] = widths[flat]
        return np.asarray(score.argmax(axis=1))


def _best_rows(lower: Array, owner: Positions, count: int) -> tuple[Array, Positions]:
    """(count,) the greatest bound of each box's rows, and which row it is."""
    order = np.lexsort((lower, owner))
    last = np.flatnonzero(np.r_[owner[order][1:] != owner[order][:-1], True])
    best = order[last]
    found = np.full(count, -np.inf)
    found[owner[best]] = lower[best]
    position = np.zeros(count, dtype=np.intp)
    position[owner[best]] = best
    return found, position
