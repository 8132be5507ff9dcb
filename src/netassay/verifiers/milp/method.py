"""The method of the registry: bounds, then the mixed-integer program of what they leave open.

A solver's verdict has the guarantee SOLVER; a tree of subproblems, each closed by a proved dual bound, has PROVED. The tree comes first:
it takes the parts of a claim one by one and starts every linear program from the last, and on networks of tens to hundreds of undecided
neurons that decides sooner than the solver's own search. A tree that takes longer than narrower ranges would gives way to a new one with
these, of what is left of the claim. The solver has a turn where the last tree takes long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.milp.encoding import ClaimProgram, TooLargeError, check, encode_claim
from netassay.verifiers.milp.proof import ProofTree
from netassay.verifiers.milp.solver import Outcome, solve
from netassay.verifiers.milp.tightening import Ranges
from netassay.verifiers.probe import probe, values
from netassay.verifiers.propagation.interval import BoundedGraph, bounded_graph
from netassay.verifiers.propagation.root import best_of_parts, with_rows
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array

PATIENCE = 60.0
"""Seconds that shares are of where there is no limit."""

LEAVES = (8, 32, 128)
"""Of the trees that narrow ranges, time after time."""

PACE = 4.0
"""How much longer it takes to narrow ranges the next time: what a tree is given before that."""


@dataclass(frozen=True, slots=True)
class Milp:
    """Complete for affine operators, ReLUs, leaky ReLUs, absolute values and maxima over boxes, L-infinity and L1 balls.

    Args:
        proved: Prove by a tree of linear programs of its own; with False the solver is taken at its word.
        first: Share of the time for the proof before the solver is asked.
        solver: Share of what is left then for the solver's own search, before the proof goes on; 0 to do without. With
            ``proved=False`` the solver has all the time.
        tighten: Share of the time that is left for narrowing ranges, each time; 0 for none.
        attack: Points of an attack before that; 0 for none.
    """

    proved: bool = True
    first: float = 0.8
    solver: float = 0.5
    tighten: float = 0.2
    attack: int = 120

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after bounds, after the solver, and now and then from the proof.

        Raises:
            CapabilityError: If an operator or the region has no exact form in such a program.
        """
        return _Run(task, self).findings()


class _Run:
    def __init__(self, task: Task, options: Milp) -> None:
        self._task, self._options, self._claim, self._limits = task, options, task.claim, task.limits
        self._bounded = BoundedGraph(with_rows(task.claim))
        check(self._bounded, task.region)
        self._evaluator = Evaluator(bounded_graph(task.claim.graph))
        self._least = np.inf
        self._point: Array | None = None
        self._lower = -np.inf
        self._parts = np.full(len(task.claim.parts), -np.inf)  # proved bounds
        self._subproblems = 1
        self._given_up = 0  # subproblems of earlier trees
        self._believed = False

    def findings(self) -> Iterator[Finding]:
        """The stages, cheapest first."""
        ranges = Ranges.of(self._bounded, self._task.region)
        if self._bounds(ranges):
            self._attack()
        try:
            yield from self._proof(ranges) if self._options.proved else self._belief(ranges)
        except TooLargeError:
            yield self._finding("memory")

    def _bounds(self, ranges: Ranges) -> list[int]:
        """The parts that are not proved, after what ranges prove; raises the proved bound."""
        lower = np.full(len(self._parts), np.inf) if ranges.empty else best_of_parts(self._claim, ranges.known[-1][0].reshape(-1))
        self._parts = np.maximum(self._parts, lower)
        self._lower = max(self._lower, float(self._parts.min(initial=np.inf)))
        return [p for p in range(len(lower)) if not self._claim.holds(float(self._parts[p]))]

    def _narrowed(self, ranges: Ranges, stage: int) -> list[int]:
        """The parts that narrower ranges leave open."""
        open_ = self._bounds(ranges)
        if open_ and self._options.tighten and not self._broken:
            ranges.split(LEAVES[stage], self._limits, self._share(self._options.tighten))
            if not stage:
                ranges.tighten(self._limits, self._share(self._options.tighten))
            open_ = self._bounds(ranges)
        return open_

    def _encoded(self, ranges: Ranges, parts: list[int]) -> ClaimProgram:
        return encode_claim(self._claim, self._bounded, self._task.region, ranges.known, parts, self._limits.memory)

    def _attack(self) -> None:
        if self._options.attack:
            rng = np.random.default_rng(self._task.seed)
            found = probe(self._claim, self._evaluator, self._task.region, rng, points=self._options.attack, steps=30)
            self._see(found.point[None])

    def _belief(self, ranges: Ranges) -> Iterator[Finding]:
        """The solver alone."""
        open_ = self._narrowed(ranges, 0)
        if self._broken or not open_ or self._limits.over:
            yield self._finding("time-out" if open_ and not self._broken else "")
        else:
            yield from self._solver(self._encoded(ranges, open_), 1.0)

    def _proof(self, ranges: Ranges) -> Iterator[Finding]:
        """Trees, the last one without end; the solver in between, where that takes long."""
        stages = range(len(LEAVES) if self._options.tighten and self._options.first else 1)
        for stage in stages:
            begun = time.thread_time()
            open_ = self._narrowed(ranges, stage)
            if self._broken or not open_ or self._limits.over:
                yield self._finding("time-out" if open_ and not self._broken else "")
                return
            encoded, others = self._encoded(ranges, open_), float(np.delete(self._parts, open_).min(initial=np.inf))
            narrowed = time.thread_time() - begun
            tree = ProofTree(self._claim, encoded, self._limits)
            tree.start()
            if stage == stages[-1]:
                yield from self._last(tree, encoded, others)
                return
            yield from self._grow(tree, others, PACE * narrowed, time.thread_time)
            if tree.finished or self._broken or self._limits.over or tree.bytes > self._limits.memory:
                yield from self._end(tree)
                return
            proved = np.setdiff1d(open_, tree.open)
            self._parts[proved] = np.maximum(self._parts[proved], tree.settled)
            self._given_up += tree.subproblems

    def _last(self, tree: ProofTree, encoded: ClaimProgram, others: float) -> Iterator[Finding]:
        """A tree, to the end."""
        yield from self._grow(tree, others, self._share(self._options.first) if self._options.solver else np.inf)
        if not tree.finished and not self._broken and not self._limits.over and self._options.solver:
            yield from self._solver(encoded, self._options.solver)
            if not self._broken:
                yield from self._grow(tree, others, np.inf)
        yield from self._end(tree)

    def _end(self, tree: ProofTree) -> Iterator[Finding]:
        if not self._broken:
            yield self._finding(self._reason(tree), proved=tree.finished and not tree.stuck)

    def _grow(self, tree: ProofTree, others: float, seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[Finding]:
        """Splits until nothing is left, a point breaks the claim, or time (by the clock) or memory is up; a finding a second."""
        begun, told = clock(), time.monotonic()
        while True:
            self._see(tree.points())
            self._lower = max(self._lower, min(tree.lower, others))
            self._subproblems = self._given_up + tree.subproblems
            now = time.monotonic()
            if self._broken or now - told > 1:
                told = now
                yield self._finding("")
            if self._broken or tree.finished or self._limits.over or clock() - begun > seconds or tree.bytes > self._limits.memory:
                return
            tree.step()

    def _reason(self, tree: ProofTree) -> str:
        if tree.finished:
            return "rounding" if tree.stuck else ""
        return "memory" if tree.bytes > self._limits.memory else "time-out"

    def _solver(self, encoded: ClaimProgram, share: float) -> Iterator[Finding]:
        """What the solver says, at its word."""
        cutoff = 1e-4 * max(1.0, -encoded.program.lower[encoded.s])
        answer = solve(encoded.program, encoded.s, seconds=self._share(share), cutoff=cutoff, stop=lambda: self._limits.over)
        if answer.point is not None:
            self._see(answer.point[None, : encoded.encoded.inputs])
        if self._options.proved and not (self._broken or answer.bound > 0):
            return
        self._believed = not self._broken and (answer.outcome is Outcome.INFEASIBLE or answer.bound > 0)
        reason = "" if self._believed or self._broken else ("incomplete" if answer.outcome is Outcome.OPTIMAL else "time-out")
        lower = 0.0 if self._believed else answer.bound
        yield Finding(
            max(lower, self._lower),
            self._believed,
            Guarantee.SOLVER,
            self._point if self._broken else None,
            self._least,
            reason,
            max(1, answer.nodes),
            "highs",
        )

    def _share(self, share: float) -> float:
        """Seconds: a share of those that are left."""
        clock = self._limits.clock
        return share * (PATIENCE if clock.limit is None else max(clock.limit - clock.elapsed, 0.0))

    @property
    def _broken(self) -> bool:
        return self._point is not None and not self._claim.holds(self._least)

    def _see(self, points: Array) -> None:
        """Evaluates the network at points (N, ...) of the region, or near it."""
        if not len(points):
            return
        inside = _inside(self._task.region, points)
        found = values(self._claim, self._evaluator.outputs(inside))
        i = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
        if found[i] < self._least:
            self._least, self._point = float(found[i]), inside[i].copy()

    def _finding(self, reason: str, *, proved: bool = False) -> Finding:
        holds = not self._broken and (proved or self._claim.holds(self._lower))
        if self._believed and not holds and not self._broken:
            return Finding(max(self._lower, 0.0), True, Guarantee.SOLVER, None, self._least, "", self._subproblems, "highs")
        return Finding(
            self._lower,
            holds,
            point=self._point if self._broken else None,
            least=self._least,
            reason="" if holds or self._broken else reason,
            subproblems=self._subproblems,
        )


def _inside(region: Regions, points: Array) -> Array:
    """Points (N, *shape) of the region, up to rounding, where a solver's points (N, ...) are outside by its tolerances."""
    found = np.clip(points.reshape(-1, *region.shape), region.lower, region.upper)
    for ball in region.balls:
        away = found.reshape(len(found), -1) - ball.center
        norm = np.maximum((np.abs(away) / ball.scale).sum(axis=1, keepdims=True), np.finfo(float).tiny)
        found = (ball.center + away * np.minimum(1.0, ball.radius / norm)).reshape(found.shape)
    return np.asarray(found)
