"""Tighter ranges of undecided neurons by linear programs (MIPVerify's progressive presolve; Tjeng et al., 2019, section 4.2).

Intervals first, then backward linear bounds, then for those whose sign is still not known small trees of subproblems
(``range_splitting``) and a linear program each way, layer by layer, every layer with the ranges of those before it. A range is narrowed
only by what is proved: of linear programs that is what their multipliers show (``leaves``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.verifiers.base import Limits
from netassay.verifiers.milp.encoding import encode
from netassay.verifiers.milp.leaves import DualBounds
from netassay.verifiers.milp.program import Flags
from netassay.verifiers.milp.solver import Relaxation
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Positions, Regions

FRUITLESS = 8
"""After so many linear programs in a row that narrow nothing the others of that layer are left out."""

WORTH = 1e-3
"""Less than that share of a range is nothing."""


@dataclass(slots=True, eq=False)
class Ranges:
    """Proved ranges of every value of a graph over one region.

    Args:
        bounded: The graph.
        region: A single region.
        known: (1, *shape) of every value.
        empty: Whether they show that the region holds no point.
    """

    bounded: BoundedGraph
    region: Regions
    known: list[Range]
    empty: bool

    @classmethod
    def of(cls, bounded: BoundedGraph, region: Regions, known: Sequence[Range | None] = ()) -> Ranges:
        """By linear bounds, within the ranges that are known already."""
        bounds = LinearBounds(bounded, region, ranges=list(known)).run()
        rows = np.eye(bounded.graph.output_size)
        owner = np.zeros(len(rows), dtype=np.intp)
        found = [bounds.range(v) for v in range(bounded.output + 1)]
        low, high = found[-1]
        least, most = (bounds.minimum(bounded.output, sign * rows, owner).lower for sign in (1.0, -1.0))
        found[-1] = (np.maximum(low, least), np.minimum(high, -most))
        return cls(bounded, region, found, bool(bounds.empty[0] or (found[-1][0] > found[-1][1]).any()))

    def undecided(self, value: int) -> Flags:
        """(size,) which numbers of a value that a nonlinear operator reads may be on both sides of 0."""
        low, high = (side.reshape(-1) for side in self.known[value])
        return np.asarray((low < 0) & (high > 0))

    def split(self, leaves: int, limits: Limits, seconds: float) -> None:
        """Narrows undecided ranges by trees of so many leaves, while there is time."""
        from netassay.verifiers.branch_and_bound.range_splitting import RangeSplitting, split_ranges

        if not self.empty:
            found = split_ranges(self.bounded, self.region, self._relaxed(), RangeSplitting(leaves), limits, seconds)
            self._take(found)

    def tighten(self, limits: Limits, seconds: float) -> None:
        """Narrows undecided ranges by linear programs, while there is time."""
        deadline = time.monotonic() + seconds
        for value in sorted(self.bounded.relaxed - {0}):
            if self.empty or limits.over or time.monotonic() > deadline:
                return
            units = np.flatnonzero(self.undecided(value))
            if len(units) and not self._first(value):
                self._narrow(value, units, limits, deadline)

    def _first(self, value: int) -> bool:
        """Whether only affine operators come before a value: linear bounds are exact there."""
        maps = self.bounded.maps
        waiting, reached = [value], {0}
        while waiting:
            v = waiting.pop()
            if v in reached:
                continue
            if maps[v - 1] is None:
                return False
            reached.add(v)
            waiting.extend(self.bounded.graph.nodes[v - 1].inputs)
        return True

    def _narrow(self, value: int, units: Positions, limits: Limits, deadline: float) -> None:
        needed = np.zeros(prod(self.bounded.graph.shapes[value]), dtype=np.bool_)
        needed[units] = True
        encoded = encode(self.bounded, self.region, self.known, value, needed, limits.memory)
        program = encoded.program
        relaxation, bounds, basis = Relaxation(program, limits.interrupted), DualBounds(program), None
        low, high = (np.array(side).reshape(-1) for side in self.known[value])
        fruitless = 0
        for unit in units:
            for sign in (1.0, -1.0):
                if limits.over or time.monotonic() > deadline or not low[unit] < 0 < high[unit] or fruitless >= FRUITLESS:
                    continue
                column = int(encoded.outputs[unit])
                relaxation.minimise(column, sign)
                solved = relaxation.solve(basis, max(deadline - time.monotonic(), 0.01))
                basis = solved.basis
                if solved.multipliers is None:
                    continue
                found = bounds.bound(sign * program.cost(column), solved.multipliers, program.lower, program.upper)
                gain = found - (low[unit] if sign > 0 else -high[unit])
                fruitless = 0 if gain > WORTH * (high[unit] - low[unit]) else fruitless + 1
                if sign > 0:
                    low[unit] = max(low[unit], found)
                else:
                    high[unit] = min(high[unit], -found)
        shape = (1, *self.bounded.graph.shapes[value])
        self._again(value, (low.reshape(shape), high.reshape(shape)))

    def _again(self, value: int, found: Range) -> None:
        """Takes in the range of a value, and what follows from it."""
        if (found[0] > found[1]).any():
            self.empty = True
            return
        known = self._relaxed()
        known[value] = found
        self._take(known)

    def _relaxed(self) -> list[Range | None]:
        """The ranges of values that nonlinear operators read."""
        return [r if v in self.bounded.relaxed else None for v, r in enumerate(self.known)]

    def _take(self, known: list[Range | None]) -> None:
        """Takes in ranges, and what follows from them: other relaxations may say less of some numbers than was known."""
        again = Ranges.of(self.bounded, self.region, known)
        pairs = list(zip(self.known, again.known, strict=True))
        self.known = [(np.maximum(a[0], b[0]), np.minimum(a[1], b[1])) for a, b in pairs]
        self.empty = again.empty or any(bool((low > high).any()) for low, high in self.known)
