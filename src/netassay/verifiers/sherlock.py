"""Local search and global decision in turns (Sherlock, Dutta et al., 2018; survey, section 4.1.2).

Gradient steps bring the least value seen down to a local minimum v. A complete verifier is then asked whether s stays above v - delta: if
so, v - delta bounds s and v is within delta of its minimum; if not, the point that it gives is where the next local search begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from netassay.verifiers.base import Finding, Task, Verifier
from netassay.verifiers.claim import Claim
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import Found, least, probe
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.rounding import Array, down

STEPS = 40
"""Most steps of one local search."""


@dataclass(frozen=True, slots=True)
class Sherlock:
    """As complete, and as strong in its guarantees, as the verifier that decides.

    Args:
        decider: The global step; Sherlock itself uses a mixed-integer program.
        delta: How near to the minimum the answer has to come; None where only the claim itself is to be decided.
        points: Of the first local search.
    """

    decider: Verifier
    delta: float | None = None
    points: int = 120

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after every local search, and all of the decider's; raises what the decider raises."""
        return _Turns(task, self).run()


class _Turns:
    def __init__(self, task: Task, options: Sherlock) -> None:
        self._task, self._options, self._claim = task, options, task.claim
        self._evaluator = Evaluator(bounded_graph(task.claim.graph))
        self._best = Found(np.inf, task.region.lower[0])
        self._last = Finding(-np.inf)

    def run(self) -> Iterator[Finding]:
        first = probe(self._claim, self._evaluator, self._task.region, np.random.default_rng(self._task.seed), points=self._options.points)
        self._descend(first.point)
        while True:
            yield self._told(Finding(-np.inf, source="gradient"))
            if self._decided:
                return
            level, before = self._level(), self._best.value
            for finding in self._options.decider.verify(replace(self._task, claim=raised(self._claim, level))):
                yield self._told(self._above(finding, level))
                if finding.point is not None:
                    break
            else:
                yield replace(self._last, reason="" if finding.proved else finding.reason or "incomplete")
                return
            self._descend(np.asarray(finding.point))
            if not self._best.value < before:
                yield replace(self._last, reason="rounding")
                return

    @property
    def _decided(self) -> bool:
        return self._last.point is not None or self._last.proved

    def _level(self) -> float:
        """What s is asked to stay above."""
        return 0.0 if self._options.delta is None else self._best.value - self._options.delta

    def _above(self, finding: Finding, level: float) -> Finding:
        """A finding about s - level as one about s; 0 is all that is known of what was followed by its sign alone."""
        lower = max(finding.lower, 0.0) if finding.proved else finding.lower
        bound = lower if level == 0 else float(down(lower + level))
        return replace(finding, lower=bound, proved=finding.proved and level >= 0, point=None)

    def _told(self, finding: Finding) -> Finding:
        """The finding with all that is known besides; a proof keeps its own guarantee."""
        if finding.lower <= self._last.lower:
            guarantee = finding.guarantee if finding.proved else self._last.guarantee
            finding = replace(finding, lower=self._last.lower, guarantee=guarantee)
        broken = self._options.delta is None and not self._claim.holds(self._best.value)
        proved = (finding.proved or self._claim.holds(finding.lower)) and not broken
        point = self._best.point if broken else None
        self._last = replace(finding, proved=proved, point=point, least=self._best.value, reason="")
        return self._last

    def _descend(self, start: Array) -> None:
        found = descended(self._task, self._evaluator, start)
        if found.value < self._best.value:
            self._best = found


def descended(task: Task, evaluator: Evaluator, start: Array) -> Found:
    """A local minimum of s near a point of the region: gradient steps of the best of several lengths, until none helps."""
    region, zero = task.region, np.zeros(1, dtype=np.intp)
    low, high = region.lower[0], region.upper[0]
    lengths = np.reshape(0.5 ** np.arange(0, 16, 2), (-1, *(1,) * low.ndim))
    now = least(task.claim, evaluator, start[None])
    for _ in range(STEPS):
        toward = region.minimisers(_gradient(task.claim, evaluator, now.point), zero)[0]
        found = least(task.claim, evaluator, np.clip(now.point + lengths * (toward - now.point), low, high))
        if not found.value < now.value or task.limits.over:
            break
        now = found
    return now


def _gradient(claim: Claim, evaluator: Evaluator, point: Array) -> Array:
    """(1, *shape) of the row that decides s at a point."""
    outputs = evaluator.outputs(point[None])
    with np.errstate(all="ignore"):
        parts = [(part.rows @ outputs[0] + part.constants, part.rows) for part in claim.parts]
    numbers, rows = min(parts, key=lambda pair: float(pair[0].max()))
    return evaluator.gradients(point[None], rows[int(numbers.argmax())][None])[1]


def raised(claim: Claim, level: float) -> Claim:
    """A claim that proves ``s > level`` (or ``>=``): its s is at most s - level, in real arithmetic."""
    if level == 0:
        return claim
    return replace(claim, parts=tuple(replace(part, constants=down(part.constants - level)) for part in claim.parts))
