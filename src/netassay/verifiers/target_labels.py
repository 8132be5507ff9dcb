"""Verification guided by target labels (Wan et al. 2020, https://arxiv.org/abs/2007.08520): rivals are ranked, then taken one by one.

Cheap bounds rank the rival labels by how far each may get ahead of the label to keep; rivals that provably never do are discarded
(section 3.1). Any verifier is then asked about one rival after the other (Algorithm 1): a counterexample against one ends the search.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from netassay.errors import UsageError
from netassay.numerics.budget import Clock
from netassay.results.answer import TargetResult, Verdict
from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Limits, Task, Verifier
from netassay.verifiers.bounding import PartBounds, linear_bounds
from netassay.verifiers.claim import Claim
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.propagation.symbolic import symbolic_bounds
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array, up

ORDERS = ("bounds", "confidence", "none")
"""By proved upper bounds of ``f_j - f_k``, by the scores at the region's middle, or not split by labels at all."""

FIRST = 0.15
"""What of the time the first round may take: the easy rivals go in it, or fail, and one hard rival can have nearly all of the time."""

GROWTH = 1.5
"""What ended for want of time is begun again while it can have so many times as long as before; what was laid aside goes on anyway."""

LEEWAY = 1.25
"""How far the time limit of a search lies beyond the moment at which it is laid aside."""

_REASONS = ("time-out", "memory", "rounding")
"""Reasons that stand for the whole claim, most telling first."""


@dataclass(frozen=True, slots=True)
class TargetLabels:
    """Algorithm 1 over any verifier; complete if the verifier is.

    Args:
        verifier: Asked about one part of the claim at a time.
        order: One of ``ORDERS``.
        bounds: The bounds to rank by; None for symbolic intervals, as in the paper.
    Raises:
        UsageError: If the order is unknown.
    """

    verifier: Verifier
    order: str = "bounds"
    bounds: PartBounds | None = None

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise UsageError(f"the order of target labels is one of {', '.join(ORDERS)}; got {self.order!r}")

    def verify(self, task: Task) -> Iterator[Finding]:
        """One finding after the ranking, then those of the verifier, part by part."""
        if self.order == "none":
            return self.verifier.verify(task)
        return _Run(task, self).findings()


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The parts of a claim, the likeliest to fail first.

    Args:
        order: Positions of all parts.
        lower: (parts,) proved lower bounds of each part; -inf without bounds.
        discarded: Positions of the parts that these bounds prove.
    """

    order: tuple[int, ...]
    lower: Array
    discarded: frozenset[int]


def ranking(task: Task, order: str, bounds: PartBounds | None = None) -> Ranking:
    """Ranks the parts of a claim over a task's region.

    With "bounds" by the lower bound of each part: for robustness that is by the upper bound of ``f_j - f_k``, which also takes into
    account what both outputs share. Where nothing else is asked for, by symbolic intervals, or by backward linear bounds where those
    would not fit into memory. With "confidence" nothing is proved.
    """
    parts = len(task.claim.parts)
    if order == "bounds":
        if bounds is None:
            bounds = symbolic_bounds if _bytes(task.claim, task.region) <= task.limits.memory else linear_bounds
        lower = bounds(task.claim, task.region)[:, 0]
        discarded = frozenset(i for i in range(parts) if task.claim.holds(float(lower[i])))
        return Ranking(tuple(np.argsort(lower, kind="stable").tolist()), lower, discarded)
    scores = _at_middle(task.claim, task.region)
    return Ranking(tuple(np.argsort(scores, kind="stable").tolist()), np.full(parts, -np.inf), frozenset())


def _bytes(claim: Claim, region: Regions) -> int:
    """What the symbolic intervals of one region take at most."""
    return 32 * max(prod(shape) for shape in claim.graph.shapes) * prod(region.shape)


def _at_middle(claim: Claim, region: Regions) -> Array:
    """(parts,) each part's s at the middle of the box; an output that is not a number counts as likely to fail."""
    middle = np.nan_to_num(region.lower / 2 + region.upper / 2)
    outputs = Evaluator(bounded_graph(claim.graph)).outputs(middle)[0]
    found = np.array([(part.rows @ outputs + part.constants).max() for part in claim.parts])
    return np.where(np.isnan(found), -np.inf, found)


@dataclass(slots=True, eq=False)
class _Standing:
    """What is known of one part."""

    lower: float
    proved: bool = False
    guarantee: Guarantee = Guarantee.PROVED
    reason: str = ""
    seconds: float = 0.0
    share: float = 0.0
    subproblems: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A search for one part, and the clock that limits it."""

    clock: Clock
    findings: Iterator[Finding]


class _Run:
    def __init__(self, task: Task, options: TargetLabels) -> None:
        self._task, self._options, self._claim, self._clock = task, options, task.claim, task.limits.clock
        self._ranking = ranking(task, options.order, options.bounds)
        self._parts = [_Standing(float(b), i in self._ranking.discarded) for i, b in enumerate(self._ranking.lower)]
        self._taken: dict[int, Verdict] = {}
        self._paused: dict[int, _Running] = {}
        self._last = Finding(-np.inf)
        self._least = np.inf

    def findings(self) -> Iterator[Finding]:
        waiting = [i for i in self._ranking.order if i not in self._ranking.discarded]
        yield self._finding("")
        fraction = FIRST if len(waiting) > 1 else 1.0
        while waiting:
            end = self._end(fraction)
            for place, i in enumerate(waiting):
                if self._task.limits.over:
                    self._taken.setdefault(i, Verdict.UNKNOWN)
                    self._parts[i].reason = "time-out"
                    continue
                yield from self._ask(i, None if end is None else max(end - self._clock.elapsed, 0.0) / (len(waiting) - place))
                if self._taken[i] is Verdict.VIOLATED:
                    return
            waiting, fraction = self._again(waiting), 1.0
        if self._ranking.discarded != set(range(len(self._parts))):
            yield self._finding(self._reason())

    def _ask(self, i: int, seconds: float | None) -> Iterator[Finding]:
        """The verifier's findings about one part, as findings about the claim, until its seconds are over.

        A search that is still under way then is laid aside and goes on in the next round; its own time limit, a little later, is for
        verifiers that do not report in time.
        """
        standing, begin = self._parts[i], time.monotonic()
        running = self._paused.pop(i, None) or self._started(i)
        if seconds is not None:
            running.clock.limit = running.clock.elapsed + min(LEEWAY * seconds, self._left())
        self._taken[i], standing.reason, standing.share = Verdict.UNKNOWN, "incomplete", seconds or 0.0
        for found in running.findings:
            spent = time.monotonic() - begin
            standing.seconds, begin = standing.seconds + spent, begin + spent
            seconds = None if seconds is None else seconds - spent
            self._take(i, found)
            yield self._finding("", found.point)
            if found.point is not None or found.proved or found.reason:
                return
            if seconds is not None and seconds <= 0:
                self._paused[i], standing.reason = running, "time-out"
                return

    def _started(self, i: int) -> _Running:
        limits = self._task.limits
        clock = Clock()
        memory = limits.memory // max(1, len(self._parts) - len(self._ranking.discarded))
        task = Task(self._claim.only([i]), self._task.region, Limits(clock, memory, limits.interrupted), self._task.seed)
        return _Running(clock, self._options.verifier.verify(task))

    def _take(self, i: int, found: Finding) -> None:
        standing = self._parts[i]
        if found.lower > standing.lower or found.proved:
            standing.lower, standing.guarantee = max(standing.lower, found.lower), found.guarantee
        if found.proved:
            standing.proved, standing.lower = True, max(standing.lower, 0.0)
        standing.subproblems = found.subproblems
        standing.reason = found.reason or standing.reason
        self._least, self._last = min(self._least, found.least), found
        if found.point is not None:
            self._taken[i] = Verdict.VIOLATED
        elif found.proved:
            self._taken[i] = Verdict.HOLDS

    def _finding(self, reason: str, point: Array | None = None) -> Finding:
        return replace(
            self._last,
            lower=min((p.lower for p in self._parts), default=np.inf),
            proved=point is None and all(p.proved for p in self._parts),
            guarantee=min((p.guarantee for p in self._parts), key=lambda g: g.strength, default=Guarantee.PROVED),
            point=point,
            least=self._least,
            reason=reason,
            subproblems=max(1, sum(p.subproblems for p in self._parts)),
            targets=self._targets(),
        )

    def _targets(self) -> tuple[TargetResult, ...]:
        """The rivals in the order in which they were taken, then those discarded."""
        taken = [self._target(i, verdict) for i, verdict in self._taken.items()]
        left = [self._target(i, Verdict.HOLDS) for i in self._ranking.order if i in self._ranking.discarded]
        return tuple(t for t in (*taken, *left) if t is not None)

    def _target(self, i: int, verdict: Verdict) -> TargetResult | None:
        part, standing = self._claim.parts[i], self._parts[i]
        if part.label is None:
            return None
        bound = float(self._ranking.lower[i])
        upper = float(up(-bound + part.constants[0])) if len(part.constants) == 1 and np.isfinite(bound) else None
        guarantee = standing.guarantee if verdict is Verdict.HOLDS else None
        return TargetResult(part.label, upper, verdict, i in self._ranking.discarded, standing.seconds, guarantee)

    def _left(self) -> float:
        limit = self._clock.limit
        return np.inf if limit is None else max(limit - self._clock.elapsed, 0.0)

    def _end(self, fraction: float) -> float | None:
        """When a round ends that may take a fraction of what is left, on the task's clock; None without a limit."""
        return None if self._clock.limit is None else self._clock.elapsed + fraction * self._left()

    def _again(self, tried: list[int]) -> list[int]:
        """The parts that ran out of time, where there is enough left for another round."""
        late = [i for i in tried if self._parts[i].reason == "time-out" and not self._parts[i].proved]
        if not late or self._clock.limit is None or self._task.limits.over:
            return []
        share = self._left() / len(late)
        return [i for i in late if i in self._paused or share > GROWTH * self._parts[i].share]

    def _reason(self) -> str:
        reasons = [p.reason for p in self._parts if not p.proved]
        return next((r for r in (*_REASONS, *reasons) if r in reasons), "")
