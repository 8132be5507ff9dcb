"""Branch and bound over neurons (beta-CROWN, Wang et al., 2021, https://arxiv.org/abs/2103.06624).

A subproblem is one part of the claim on the inputs at which every split neuron keeps its phase (ReLU) or lies in its part of its range
(smooth functions). Its bound is a backward linear bound with a multiplier >= 0 for each split: ``f >= f - m * z`` where ``z >= 0``. Slopes
and multipliers are searched in float32, warm from the parent's; only ``FixedBounds``, with every rounding bounded, closes a subproblem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import probe, values
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.rounding import Array

if TYPE_CHECKING:
    from netassay.verifiers.branch_and_bound.neuron_search import NeuronSearch


LATE = 0.9
"""From this share of the time on, what waits is proved once: the search will hardly be decided, and its bound is what it leaves."""

LAST, MOST_LAST = 0.02, 0.5
"""What the same may take after the search has ended undecided: a share of its time, and seconds."""


@dataclass(frozen=True, slots=True)
class NeuronSplitting:
    """Complete for ReLU networks over boxes, up to rounding, but in time exponential in the number of undecided neurons.

    Args:
        batch: Subproblems split at once; None to choose by the network's size.
        attack: Points of the attack before any split; 0 for none.
        rows: Gradient steps for the claim's rows at the root.
        tighten: Gradient steps for the ranges at the root; 0 for none.
        steps: Gradient steps for every subproblem; None for 5 where splits make neurons linear, else 8 (ranges are cut).
        candidates: Neurons of each score that are tried by real bounds before a split; 0 to trust the score.
        leaves: Most leaves of the trees that tighten ranges where splitting takes long, four times as many the next time; 0 for none.
        tolerance: Stop when the bound is within this of the least s seen (for ranges); None to stop at a decision only.
    """

    batch: int | None = None
    attack: int = 240
    rows: int = 40
    tighten: int = 20
    steps: int | None = None
    candidates: int = 2
    leaves: int = 8
    tolerance: float | None = None

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after the attack, after the bounds of the whole region, and after every batch."""
        return _Run(task, self).run()


class _Run:
    def __init__(self, task: Task, options: NeuronSplitting) -> None:
        if not np.isfinite(task.region.lower).all() or not np.isfinite(task.region.upper).all():
            raise CapabilityError("branch and bound needs a bounded region; give a radius, or a domain with finite ends")
        self._task, self._options, self._claim = task, options, task.claim
        self._evaluator = Evaluator(bounded_graph(task.claim.graph))
        self._rng = np.random.default_rng(task.seed)
        self._least = np.inf
        self._point: Array | None = None
        self._attacks = 0.0

    def run(self) -> Iterator[Finding]:
        """The stages, cheapest first; torch is loaded only for what linear bounds do not decide."""
        claim, task, options = self._claim, self._task, self._options
        if self._attack(options.attack // 4, 15):
            yield self._finding(-np.inf)
            return
        from netassay.verifiers.propagation.root import Root

        root = Root.of(claim, task.region)
        yield self._finding(root.least)
        if self._decided(root.least):
            return
        if self._attack(options.attack, 50):
            yield self._finding(root.least)
            return
        from netassay.verifiers.branch_and_bound.neuron_search import NeuronSearch

        search = NeuronSearch(root, task, options, self._goal)
        for lower in search.prepare():
            yield self._finding(lower)
            if self._decided(lower):
                return
        yield from self._search(search)

    def _search(self, search: NeuronSearch) -> Iterator[Finding]:
        begun, raised = self._task.limits.clock.elapsed, False
        while True:
            reason = "" if not len(search.pool) or self._decided(search.lower) else self._reason(search)
            if reason:
                search.prove_waiting(self._last_seconds())
            lower, finished = search.lower, not len(search.pool)
            reason = "" if finished or self._decided(lower) else reason
            finding = self._finding(lower, proved=finished and self._options.tolerance is None and not search.stuck)
            if finished and search.stuck and not finding.proved:
                reason = "rounding"
            finding = replace(finding, reason="" if finding.point is not None else reason, subproblems=search.subproblems)
            yield finding
            if finding.reason or finished or finding.point is not None or self._decided(lower):
                return
            search.refine()
            if not raised and (left := self._left_when_late()) is not None:
                search.prove_waiting(left)
                raised = True
            if len(search.pool):
                self._see_points(search.step(self._goal))
            if self._attacks < 0.1 * (self._task.limits.clock.elapsed - begun) and not self._broken:
                self._attack(self._options.attack // 4, 20)

    def _attack(self, points: int, steps: int) -> bool:
        """Attacks from random points; ``_attacks`` counts the seconds. Whether the claim is broken."""
        if points:
            begun = self._task.limits.clock.elapsed
            found = probe(self._claim, self._evaluator, self._task.region, self._rng, points=points, steps=steps)
            self._see(found.value, found.point[None])
            self._attacks += self._task.limits.clock.elapsed - begun
        return self._broken

    @property
    def _goal(self) -> float:
        """A proved bound that closes a subproblem."""
        return 0.0 if self._options.tolerance is None else self._least - self._options.tolerance

    @property
    def _broken(self) -> bool:
        return self._options.tolerance is None and self._point is not None and not self._claim.holds(self._least)

    def _decided(self, lower: float) -> bool:
        if self._options.tolerance is not None:
            return self._least - lower <= self._options.tolerance
        return self._claim.holds(lower)

    def _left_when_late(self) -> float | None:
        """Seconds that are left, where those are few."""
        clock = self._task.limits.clock
        late = clock.limit is not None and clock.elapsed > LATE * clock.limit
        return clock.limit - clock.elapsed if late and clock.limit is not None else None

    def _last_seconds(self) -> float:
        """What may still be spent on the bound once the search has ended: a small share of its time."""
        return min(MOST_LAST, LAST * self._task.limits.clock.elapsed)

    def _reason(self, search: NeuronSearch) -> str:
        if self._task.limits.over:
            return "time-out"
        return "memory" if search.pool.bytes > self._task.limits.memory else ""

    def _see_points(self, points: Array) -> None:
        if not len(points):
            return
        low, high = self._task.region.lower, self._task.region.upper
        inside = np.clip(points, low, high)
        found = values(self._claim, self._evaluator.outputs(inside))
        i = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
        self._see(float(found[i]), inside[i : i + 1])

    def _see(self, value: float, point: Array) -> None:
        if value < self._least:
            self._least, self._point = value, point[0].copy()

    def _finding(self, lower: float, *, proved: bool = False) -> Finding:
        broken = self._broken
        holds = not broken and (proved or self._claim.holds(lower))
        return Finding(lower, proved=holds, point=self._point if broken else None, least=self._least)
