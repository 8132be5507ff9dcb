"""Branch and bound over the binaries of a claim's program, every subproblem closed by a proved bound.

A subproblem is one part of the claim with some binaries fixed. Its linear program, with the cuts that the whole part's solution violated
(``cuts``), is solved from its parent's basis, and closed only by what the multipliers prove with every rounding bounded: a bound above 0,
or that it holds no point (``leaves``). The subproblem with the least bound is split next. Every point of a linear program is an input at
which the network is evaluated.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netassay.verifiers.base import Limits
from netassay.verifiers.claim import Claim
from netassay.verifiers.milp.branching import Branching
from netassay.verifiers.milp.cuts import Cuts
from netassay.verifiers.milp.encoding import ClaimProgram
from netassay.verifiers.milp.leaves import DualBounds
from netassay.verifiers.milp.program import Rows
from netassay.verifiers.milp.solver import Outcome, Relaxation, Solved
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array

ROUNDS = 4
"""Of cuts, for every part as a whole."""

MOST = 2
"""So many times the entries of the program: rounds end where the cuts have more."""

STAY = 16
"""Splits of a part before another one may be next: taking up a part costs about as much as a split."""

CUTOFF = 1e-6
"""A relaxation's bound above it is not raised any more, relative to the numbers of its objective: enough for what rounding takes."""


@dataclass(order=True, slots=True)
class _Node:
    """A subproblem that waits.

    Args:
        lower: Its proved bound.
        order: The one made later first, among equals.
        fixed: Binaries and their values.
        branch: The binary to split by, and where it is; None where it is chosen later.
        basis: To start its children from.
    """

    lower: float
    order: int
    fixed: tuple[tuple[int, int], ...] = field(compare=False)
    branch: tuple[int, float] | None = field(compare=False)
    basis: Any = field(compare=False)


class ProofTree:
    """Proved bounds of the parts of a program.

    Args:
        claim: What is to be proved.
        encoded: Its program.
        limits: Time and memory.
    """

    def __init__(self, claim: Claim, encoded: ClaimProgram, limits: Limits) -> None:
        self._claim, self._encoded, self._limits = claim, encoded, limits
        self._base = encoded.program
        self._relaxation = Relaxation(self._base, limits.interrupted)
        self._finder = Cuts(self._base, encoded.encoded.kinks)
        self._binaries = np.flatnonzero(encoded.encoded.program.binary)  # those of the network; a part is chosen already
        self._settled = np.inf
        self._stuck: dict[int, float] = {}
        self._heaps: list[list[_Node]] = [[] for _ in encoded.parts]
        self._count = itertools.count(0, -1)
        self._part, self._stay = -1, 0
        self._cuts: dict[int, Rows] = {}
        self._basis: Any = None
        self._branching: dict[int, Branching] = {}
        self._points: list[Array] = []
        self.subproblems = 0

    @property
    def lower(self) -> float:
        """The proved bound of all parts."""
        return min((self._settled, *self._stuck.values(), *(heap[0].lower for heap in self._heaps if heap)))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to split."""
        return not any(self._heaps)

    @property
    def stuck(self) -> bool:
        """Whether a subproblem was given up, all its binaries being fixed and its bound too weak."""
        return bool(self._stuck)

    @property
    def bytes(self) -> int:
        """What waiting subproblems and cuts take."""
        cuts = sum(len(rows.value) for rows in self._cuts.values())
        return sum(map(len, self._heaps)) * (self._base.columns + self._base.rows + 1000) + 24 * cuts

    @property
    def open(self) -> list[int]:
        """Parts, by their position in the claim, that are not proved yet."""
        return [position for i, position in enumerate(self._encoded.parts) if self._heaps[i] or i in self._stuck]

    @property
    def settled(self) -> float:
        """The proved bound of the parts that are not open."""
        return self._settled

    def start(self) -> None:
        """Bounds every part as a whole, with cuts."""
        for part in range(len(self._encoded.parts)):
            self._turn_to(part)
            self._cut()
            self._visit(part, (), -np.inf, None)

    def step(self) -> None:
        """Splits the subproblem with the least bound, of a part that is stayed with for a while."""
        part = self._next_part()
        self._turn_to(part)
        node = heapq.heappop(self._heaps[part])
        binary, at = node.branch or self._chosen(node)
        for value in (0, 1):
            if self._limits.over:
                heapq.heappush(self._heaps[part], node)
                return
            bound = self._visit(part, (*node.fixed, (binary, value)), node.lower, node.basis)
            if np.isfinite(node.lower):
                self._branching[part].learn(binary, value, abs(value - at), min(bound, 0.0) - min(node.lower, 0.0))

    def points(self) -> Array:
        """(N, n) the inputs of the linear programs since it was last asked."""
        found, self._points = self._points, []
        return np.array(found).reshape(len(found), self._encoded.encoded.inputs)

    def _next_part(self) -> int:
        if self._stay > 0 and self._heaps[self._part]:
            self._stay -= 1
            return self._part
        self._stay = STAY - 1
        waiting = [p for p, heap in enumerate(self._heaps) if heap]
        return min(waiting, key=lambda p: self._heaps[p][0].lower)

    def _turn_to(self, part: int) -> None:
        """Takes up the objective and the cuts of a part."""
        if part == self._part:
            return
        self._part = part
        self._relaxation.drop_cuts()
        self._relaxation.minimise(int(self._encoded.least[part]))
        cuts = self._cuts.setdefault(part, Rows.none())
        self._branching.setdefault(part, Branching(self._base.columns))
        self._add(cuts)

    def _add(self, cuts: Rows) -> None:
        """Works with these cuts, where there are none yet."""
        program = self._base
        if len(cuts):
            self._relaxation.add(cuts)
            program = program.joined(cuts)
        self._dual = DualBounds(program)
        entries = np.flatnonzero(np.isin(program.column, self._binaries))
        self._pulls = program.row[entries], program.column[entries], np.abs(program.value[entries])

    def _cut(self) -> None:
        """Finds the cuts of the current part: round by round those that the whole part's solution violates; what is slack is left out."""
        self._relaxation.bound(self._base.lower, self._base.upper)
        solved, found = self._solve(self._basis), Rows.none()
        self._basis = solved.basis  # of another part, and as good a start as any
        for _ in range(ROUNDS):
            full = len(found.value) > MOST * len(self._base.value)
            if solved.outcome is not Outcome.OPTIMAL or solved.value > 0 or full or self._limits.over:
                break
            cuts = self._finder.violated(solved.point)
            if not len(cuts):
                break
            self._relaxation.add(cuts)
            found = found.and_(cuts)
            solved = self._solve(None)
        if len(found):
            found = found.take(self._relaxation.binding())
            self._relaxation.drop_cuts()
            self._cuts[self._part] = found
            self._add(found)

    def _solve(self, basis: Any, cutoff: float = np.inf) -> Solved:
        clock = self._limits.clock
        return self._relaxation.solve(basis, np.inf if clock.limit is None else max(clock.limit - clock.elapsed, 0.01), cutoff)

    def _visit(self, part: int, fixed: tuple[tuple[int, int], ...], known: float, basis: Any) -> float:
        """Bounds a subproblem of the current part, and keeps it if that does not close it; the bound."""
        self.subproblems += 1
        lower, upper = self._bounds(fixed)
        self._relaxation.bound(lower, upper)
        solved = self._solve(basis, self._cutoff)
        self._branching[part].spent(solved.iterations)
        bound = max(known, self._proved(part, lower, upper, solved))
        if solved.value > 0 and solved.outcome is Outcome.STOPPED and not self._claim.holds(bound) and not self._limits.over:
            solved = self._solve(solved.basis)  # rounding takes more than the cut-off left
            bound = max(bound, self._proved(part, lower, upper, solved))
        if self._claim.holds(bound):
            self._settled = min(self._settled, bound)
            return bound
        if solved.outcome is Outcome.OPTIMAL:
            self._points.append(solved.point[: self._encoded.encoded.inputs])
        free = self._binaries[lower[self._binaries] < upper[self._binaries]]
        if len(free):
            branch = self._branch(lower, upper, free, solved) if fixed else None
            heapq.heappush(self._heaps[part], _Node(bound, next(self._count), fixed, branch, solved.basis))
        else:
            self._stuck[part] = min(self._stuck.get(part, np.inf), bound)
        return bound

    def _chosen(self, node: _Node) -> tuple[int, float]:
        """The binary to split a subproblem of the current part by, for which it is solved again."""
        lower, upper = self._bounds(node.fixed)
        self._relaxation.bound(lower, upper)
        free = self._binaries[lower[self._binaries] < upper[self._binaries]]
        return self._branch(lower, upper, free, self._solve(node.basis))

    @property
    def _cutoff(self) -> float:
        column = int(self._encoded.least[self._part])
        return CUTOFF * max(1.0, abs(float(self._base.lower[column])), abs(float(self._base.upper[column])))

    def _bounds(self, fixed: tuple[tuple[int, int], ...]) -> tuple[Array, Array]:
        lower, upper = self._base.lower.copy(), self._base.upper.copy()
        for column, value in fixed:
            lower[column] = upper[column] = value
        return lower, upper

    def _proved(self, part: int, lower: Array, upper: Array, solved: Solved) -> float:
        """The bound that the multipliers prove; infinite where they prove that there is no point."""
        if solved.multipliers is None:
            return -np.inf
        if solved.outcome is Outcome.INFEASIBLE:
            return np.inf if self._dual.shows_empty(solved.multipliers, lower, upper) else -np.inf
        return self._dual.bound(self._base.cost(int(self._encoded.least[part])), solved.multipliers, lower, upper)

    def _branch(self, lower: Array, upper: Array, free: Positions, solved: Solved) -> tuple[int, float]:
        """The binary to split by, and where it is; the first one where the relaxation was not solved.

        For a ReLU the pull is twice what its relaxed upper line costs the bound (the score of Bunel et al., 2020).
        """
        at = np.clip(solved.point, 0.0, 1.0)
        if solved.multipliers is None or solved.outcome is not Outcome.OPTIMAL:
            return int(free[0]), float(at[free[0]])
        row, column, size = self._pulls
        pulls = np.bincount(column, weights=size * np.abs(solved.multipliers[row]), minlength=self._base.columns)
        weight = np.asarray(pulls[free], dtype=np.float64)

        def trial(binary: int, value: int) -> tuple[float, int]:
            low, high = lower.copy(), upper.copy()
            low[binary] = high[binary] = value
            self._relaxation.bound(low, high)
            tried = self._solve(solved.basis, self._cutoff)
            reached = 0.0 if tried.outcome is Outcome.INFEASIBLE else min(tried.value, 0.0)
            return reached - min(solved.value, 0.0), tried.iterations

        chosen = self._branching[self._part].choose(free, at[free], weight, trial)
        return chosen, float(at[chosen])
