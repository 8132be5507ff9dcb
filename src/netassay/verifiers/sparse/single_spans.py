"""What every single change does by itself to the gaps of each maximum, cell by cell of its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.maxima import Maximum
from netassay.verifiers.sparse.window_forms import WindowForms

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What one feature does in some cells of its values.

    Args:
        most: (C, R) no row of the claim falls further.
        gaps, low, high: By operator, the gaps (w,) that it reaches, ascending (``Maximum``), and the ends (C, w) of what it does to them.
    """

    most: Array
    gaps: list[Positions]
    low: list[Floats]
    high: list[Floats]

    def __len__(self) -> int:
        return len(self.most)

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(side.nbytes for sides in (self.low, self.high) for side in sides)

    def row(self, at: int) -> Cells:
        """A copy of one of them."""
        low, high = ([side[at : at + 1].copy() for side in sides] for sides in (self.low, self.high))
        return Cells(self.most[at : at + 1].copy(), self.gaps, low, high)

    @classmethod
    def joined(cls, parts: Sequence[Cells]) -> Cells:
        """Cells of one feature, one behind the other."""
        low, high = ([np.concatenate(sides) for sides in zip(*(getattr(p, name) for p in parts), strict=True)] for name in ("low", "high"))
        return cls(np.concatenate([p.most for p in parts]), parts[0].gaps, low, high)

    @classmethod
    def of(cls, forms: WindowForms, groups: Sequence[int], operators: list[Maximum], low: Array, high: Array) -> list[Cells]:
        """Bounds of some cells of each of F features.

        Args:
            forms: The network around the input.
            groups: The features' positions among those that can change.
            operators: Those of the network, in order.
            low, high: (F, C) ends of the cells, as offsets from the centre.
        """
        drops, spans = forms.drops(np.repeat(groups, low.shape[1]), low.reshape(-1, 1), high.reshape(-1, 1))
        features = []
        for begin in range(0, low.size, low.shape[1]):
            some = slice(begin, begin + low.shape[1])
            found = [_on_gaps(operator, [each[operator.value] for each in spans[some]]) for operator in operators]
            features.append(cls(drops.most[some], [f[0] for f in found], [f[1] for f in found], [f[2] for f in found]))
        return features


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """All values of one feature in cells.

    Args:
        ends: (C + 1,) of the cells, as offsets from the centre.
        cells: What it does in them.
    """

    ends: Array
    cells: Cells

    @classmethod
    def of(cls, forms: WindowForms, groups: Sequence[int], operators: list[Maximum], count: int) -> list[Single]:
        """So many cells of equal width, of each of some features."""
        low, high = (np.array([side[forms.groups[g][0]] for g in groups]) for side in (forms.low, forms.high))
        ends = np.linspace(low, high, count + 1, axis=1)
        ends[:, 0], ends[:, -1] = low, high
        cells = Cells.of(forms, groups, operators, ends[:, :-1], ends[:, 1:])
        return [cls(*each) for each in zip(ends, cells, strict=True)]

    def part(self, run: tuple[int, int]) -> tuple[float, float]:
        """The ends of a run: depth and position, where depth 0 is the whole. Cells are halved where it is deeper than they are."""
        depth, at = run
        deeper = max(0, depth - (len(self.cells).bit_length() - 1))
        width, cell = len(self.cells) >> (depth - deeper), at >> deeper
        low, high = float(self.ends[cell * width]), float(self.ends[(cell + 1) * width])
        for bit in range(deeper - 1, -1, -1):
            middle = low / 2 + high / 2
            low, high = (middle, high) if at >> bit & 1 else (low, middle)
        return low, high


def _on_gaps(operator: Maximum, spans: list[tuple[Positions, Array, Array]]) -> tuple[Positions, Floats, Floats]:
    """From ranges of the numbers that an operator reads, cell by cell, those of its gaps."""
    units = spans[0][0]
    place = np.full(operator.size + 1, len(units))
    place[units] = np.arange(len(units))
    choice, others = np.broadcast_to(place[operator.choice], operator.others.shape).T, place[operator.others].T
    gaps = np.flatnonzero((choice < len(units)) | (others < len(units)))
    choice, others = choice.reshape(-1)[gaps], others.reshape(-1)[gaps]
    nothing = np.zeros((len(spans), 1))
    low, high = (np.concatenate([np.stack([span[side] for span in spans]), nothing], axis=1) for side in (1, 2))
    return gaps, _narrowed(low[:, others] - high[:, choice], -np.inf), _narrowed(high[:, others] - low[:, choice], np.inf)


def _narrowed(values: Array, outwards: float) -> Floats:
    """In float32, rounded outwards by more than the rounding of a difference; 0 stays 0."""
    with np.errstate(over="ignore"):
        return np.where(values == 0, np.float32(0), np.nextafter(values.astype(np.float32), np.float32(outwards)))
