"""Branch and bound over the binaries of a claim's program, every subproblem closed by a proved bound.

A subproblem is one part of the claim with some binaries fixed. Its linear program is solved from its parent's basis, and closed only by
what the multipliers prove with every rounding bounded: a bound above 0, or that it holds no point (``leaves``). The subproblem with the
least bound is split next. Every point of a linear program is an input at which the network is evaluated.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netassay.verifiers.base import Limits
from netassay.verifiers.claim import Claim
from netassay.verifiers.milp.encoding import ClaimProgram
from netassay.verifiers.milp.leaves import dual_bound, proves_empty
from netassay.verifiers.milp.solver import Outcome, Relaxation, Solved
from netassay.verifiers.rounding import Array


@dataclass(order=True, slots=True)
class _Node:
    """A subproblem that waits.

    Args:
        lower: Its proved bound.
        order: The one made later first, among equals.
        part: Position of its part in the program.
        fixed: Binaries and their values.
        branch: The binary to split by.
        basis: To start its children from.
    """

    lower: float
    order: int
    part: int = field(compare=False)
    fixed: tuple[tuple[int, int], ...] = field(compare=False)
    branch: int = field(compare=False)
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
        self._program = encoded.program
        self._relaxation = Relaxation(self._program, limits.interrupted)
        self._binaries = np.flatnonzero(encoded.encoded.program.binary)  # those of the network; a part is chosen already
        self._settled = np.inf
        self._stuck = np.inf
        self._heap: list[_Node] = []
        self._count = itertools.count(0, -1)
        self._part = -1
        self._points: list[Array] = []
        self.subproblems = 0

    @property
    def lower(self) -> float:
        """The proved bound of all parts."""
        return min(self._settled, self._stuck, self._heap[0].lower if self._heap else np.inf)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to split."""
        return not self._heap

    @property
    def stuck(self) -> bool:
        """Whether a subproblem was given up, all its binaries being fixed and its bound too weak."""
        return bool(self._stuck < np.inf)

    @property
    def bytes(self) -> int:
        """What waiting subproblems take."""
        return len(self._heap) * (self._program.columns + self._program.rows + 1000)

    def start(self) -> None:
        """Bounds every part as a whole."""
        for part in range(len(self._encoded.parts)):
            self._visit(part, (), -np.inf, None)

    def step(self) -> None:
        """Splits the subproblem with the least bound."""
        node = heapq.heappop(self._heap)
        for value in (0, 1):
            if self._limits.over:
                heapq.heappush(self._heap, node)
                return
            self._visit(node.part, (*node.fixed, (node.branch, value)), node.lower, node.basis)

    def points(self) -> Array:
        """(N, n) the inputs of the linear programs since it was last asked."""
        found, self._points = self._points, []
        return np.array(found).reshape(len(found), self._encoded.encoded.inputs)

    def _visit(self, part: int, fixed: tuple[tuple[int, int], ...], known: float, basis: Any) -> None:
        self.subproblems += 1
        lower, upper = self._bounds(fixed)
        if part != self._part:
            self._relaxation.minimise(int(self._encoded.least[part]))
            self._part = part
        self._relaxation.bound(lower, upper)
        clock = self._limits.clock
        solved = self._relaxation.solve(basis, np.inf if clock.limit is None else max(clock.limit - clock.elapsed, 0.01))
        bound = max(known, self._proved(part, lower, upper, solved))
        if self._claim.holds(bound):
            self._settled = min(self._settled, bound)
            return
        if solved.outcome is Outcome.OPTIMAL:
            self._points.append(solved.point[: self._encoded.encoded.inputs])
        branch = self._branch(lower, upper, solved)
        if branch < 0:
            self._stuck = min(self._stuck, bound)
        else:
            heapq.heappush(self._heap, _Node(bound, next(self._count), part, fixed, branch, solved.basis))

    def _bounds(self, fixed: tuple[tuple[int, int], ...]) -> tuple[Array, Array]:
        lower, upper = self._program.lower.copy(), self._program.upper.copy()
        for column, value in fixed:
            lower[column] = upper[column] = value
        return lower, upper

    def _proved(self, part: int, lower: Array, upper: Array, solved: Solved) -> float:
        """The bound that the multipliers prove; infinite where they prove that there is no point."""
        if solved.multipliers is None:
            return -np.inf
        program = self._program.within(lower, upper)
        if solved.outcome is Outcome.INFEASIBLE:
            return np.inf if proves_empty(program, solved.multipliers) else -np.inf
        return dual_bound(program, program.cost(int(self._encoded.least[part])), solved.multipliers)

    def _branch(self, lower: Array, upper: Array, solved: Solved) -> int:
        """The binary that is neither 0 nor 1 and pulls most at its rows; any free one if there is none; -1 if all are fixed.

        For a ReLU the pull is twice what its relaxed upper line costs the bound (the score of Bunel et al., 2020), which is weighted by how
        far the binary is from both ends.
        """
        free = self._binaries[lower[self._binaries] < upper[self._binaries]]
        if not len(free):
            return -1
        if solved.multipliers is None or solved.outcome is not Outcome.OPTIMAL:
            return int(free[0])
        pull = np.abs(self._program.value * solved.multipliers[self._program.row])
        weight = np.bincount(self._program.column, weights=pull, minlength=self._program.columns)[free]
        value = np.clip(solved.point[free], 0.0, 1.0)
        return int(free[np.argmax(value * (1 - value) * (weight + 1e-9))])
