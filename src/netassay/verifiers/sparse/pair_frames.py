"""The interplay of a few features with any others: the numbers that it may touch, and what ranges of single changes look like there.

Interplay lies where both changes reach, so what a few *home* features reach is enough: their frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.maxima import Maximum
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.single_spans import Cells, Floats

Number = TypeVar("Number", np.float32, np.float64)

Ends = tuple[Array, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One operator's part of a frame: some of its outputs, and of each of them some gaps (the others are never above 0).

    Args:
        outputs: (o,) of the operator's outputs, ascending.
        starts: (o + 1,) where the gaps of each output begin.
        gaps: (g,) number of each gap among all of the operator's (output by output, m each), ascending.
        units: (v,) numbers that the gaps and choices read, ascending.
        choice, others: (o,) and (g,) positions of them; v stands for the constant 0.
        low, high: (g,) of the gaps at the centre.
    """

    outputs: Positions
    starts: Positions
    gaps: Positions
    units: Positions
    choice: Positions
    others: Positions
    low: Array
    high: Array

    @classmethod
    def of(cls, operator: Maximum, reached: Positions) -> Frame:
        """Of the outputs that any of the gaps ``reached`` belongs to, with all their gaps."""
        several = len(operator.others)
        outputs = np.unique(reached // several)
        gaps = (outputs[:, None] * several + np.arange(several)).reshape(-1)
        choice, others = operator.choice[outputs], operator.others.T.reshape(-1)[gaps]
        units, choice, others = _compact(choice, others, operator.size)
        starts = np.arange(len(outputs) + 1) * several
        low, high = (side.T.reshape(-1)[gaps] for side in (operator.low, operator.high))
        return cls(outputs, starts, gaps, units, choice, others, low, high)

    def only(self, outputs: Bools, gaps: Bools) -> Frame:
        """Of some outputs (o,), and some gaps (g,) of those."""
        gaps = gaps & np.repeat(outputs, np.diff(self.starts))
        starts = np.append(0, np.cumsum(gaps))[self.starts]
        starts = np.append(starts[:-1][outputs], starts[-1])
        used, choice, others = _compact(self.choice[outputs], self.others[gaps], len(self.units))
        return Frame(self.outputs[outputs], starts, self.gaps[gaps], self.units[used], choice, others, self.low[gaps], self.high[gaps])


def _compact(choice: Positions, others: Positions, size: int) -> tuple[Positions, Positions, Positions]:
    """Those of so many numbers that are read, ascending, and positions among them; -1 or ``size`` is the constant 0, which comes last."""
    used = np.unique(np.append(others, choice))
    used = used[(used >= 0) & (used < size)]
    place = np.full(size + 1, len(used))
    place[used] = np.arange(len(used))
    return used, place[choice], place[others]


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """What some changes do alone: each is any of a range of changes.

    Args:
        low, high: By operator, (S, g) ends of what it does to the gaps of a frame, or of the whole operator.
        most: (S, R) no row of the claim falls further.
    """

    low: list[Floats]
    high: list[Floats]
    most: Array

    @classmethod
    def of(cls, singles: list[Cells], sizes: list[int]) -> Sides:
        """Every feature over all its values, with so many gaps of each operator."""
        low, high = ([np.zeros((len(singles), size), dtype=np.float32) for size in sizes] for _ in range(2))
        for at, one in enumerate(singles):
            for k, gaps in enumerate(one.gaps):
                low[k][at, gaps], high[k][at, gaps] = one.low[k].min(axis=0), one.high[k].max(axis=0)
        return cls(low, high, np.stack([one.most.max(axis=0) for one in singles]))

    @classmethod
    def cells(cls, frames: list[Frame], one: Cells) -> Sides:
        """Each cell of one feature in a frame."""
        low: list[Floats] = []
        high: list[Floats] = []
        for frame, gaps, *sides in zip(frames, one.gaps, one.low, one.high, strict=True):
            at = np.minimum(np.searchsorted(gaps, frame.gaps), max(len(gaps) - 1, 0))
            reached = gaps[at] == frame.gaps if len(gaps) else np.zeros(len(at), dtype=np.bool_)
            for side, found in zip(sides, (low, high), strict=True):
                found.append(np.zeros((len(one), len(at)), dtype=np.float32))
                found[-1][:, reached] = side[:, at[reached]]
        return cls(low, high, one.most)

    def runs(self) -> Sides:
        """All runs of these cells (a power of 2): the whole, its halves, quarters, ..., the cells."""
        low, high = ([_pyramid(side, hull) for side in sides] for sides, hull in ((self.low, np.minimum), (self.high, np.maximum)))
        return Sides(low, high, _pyramid(self.most, np.maximum))

    @classmethod
    def joined(cls, parts: list[Sides]) -> Sides:
        """One behind the other."""
        low, high = ([np.concatenate(sides) for sides in zip(*(getattr(p, name) for p in parts), strict=True)] for name in ("low", "high"))
        return cls(low, high, np.concatenate([p.most for p in parts]))

    def together(self, sets: list[Positions]) -> Sides:
        """Any change of any one of each set."""
        low = [np.stack([side[s].min(axis=0) for s in sets]) for side in self.low]
        high = [np.stack([side[s].max(axis=0) for s in sets]) for side in self.high]
        return Sides(low, high, np.stack([self.most[s].max(axis=0) for s in sets]))

    def within(self, columns: list[Positions], rows: Positions) -> Sides:
        """Some of the changes, and by operator some of the gaps."""
        at = [np.ix_(rows, c) for c in columns]
        low, high = ([np.ascontiguousarray(s[a]) for s, a in zip(sides, at, strict=True)] for sides in (self.low, self.high))
        return Sides(low, high, self.most[rows])


def _pyramid(cells: NDArray[Number], hull: np.ufunc) -> NDArray[Number]:
    """(2 C - 1, n) hulls of all runs of C cells (C, n), the longest ones first."""
    levels = [cells]
    while len(levels[0]) > 1:
        levels.insert(0, hull(levels[0][::2], levels[0][1::2]))
    return np.concatenate(levels)
