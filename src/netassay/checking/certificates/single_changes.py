"""What every pixel does alone: to the rows of a claim, and to the numbers that maxima read, cell by cell of its values.

Values are cut into ``2**depth`` cells of equal width. Up to a depth of ``BASE`` one cut is bounded; where finer cells are asked for, each
cut from that depth on, so that what is known of a cell does not depend on how much finer others are cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Array, Positions
from netassay.checking.certificates.forms import Cells, row_bounds_and_ranges
from netassay.checking.certificates.local import Local
from netassay.checking.certificates.maxima import Maximum, unit_begins
from netassay.checking.certificates.pixels import PixelBounds
from netassay.errors import DataError

BASE, DEEPEST = 4, 8
"""Of depths: see above; at most."""

HELD = 1 << 27
"""Numbers of the ranges of all cells that are held, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Ranges of changes of U numbers, and lower bounds of R rows, in N sets of inputs.

    Args:
        low, high: (N, U).
        least: (N, R).
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    least: Array

    def __len__(self) -> int:
        return len(self.least)

    def halved(self) -> Table:
        """Of neighbours at once; the last one stays alone if it has none."""
        if len(self) % 2:
            last = slice(len(self) - 1, None)
            paired = Table(*(np.concatenate([side, side[last]]) for side in (self.low, self.high, self.least)))
            return paired.halved()
        return Table(
            np.minimum(self.low[::2], self.low[1::2]),
            np.maximum(self.high[::2], self.high[1::2]),
            np.minimum(self.least[::2], self.least[1::2]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """One pixel.

    Args:
        units: (U,) ascending, all numbers that maxima read and that it reaches, numbered through as in ``Frame``.
        cells: By depth; there are those of one depth below ``BASE``, or of all from there on.
    """

    units: Positions
    cells: dict[int, Table]

    @property
    def depth(self) -> int:
        """Of the finest cells."""
        return max(self.cells)

    @property
    def finest(self) -> Table:
        """Of the finest cells."""
        return self.cells[self.depth]

    @property
    def whole(self) -> Table:
        """All its values at once."""
        found = self.cells[min(self.cells)]
        while len(found) > 1:
            found = found.halved()
        return found

    @property
    def numbers(self) -> int:
        """That it takes."""
        return sum(table.low.size + table.high.size for table in self.cells.values())


class Singles:
    """The pixels of a ball, each of one feature.

    Args:
        bounds: Of the ball.
        maxima: The chain.
    Raises:
        DataError: If pixels have several features.
    """

    def __init__(self, bounds: PixelBounds, maxima: list[Maximum]) -> None:
        if any(len(features) != 1 for features in bounds.pixels):
            raise DataError("pairs of pixels are followed where every pixel that changes is one feature")
        self._bounds, self._maxima = bounds, maxima
        self._local: tuple[int, Local] | None = None

    def single(self, pixel: int, depth: int, known: Single | None = None) -> Single:
        """One pixel whose values are cut so often, ``known`` being what is known of coarser or finer cuts.

        Raises:
            DataError: If the depth is more than ``DEEPEST``.
        """
        if not 0 <= depth <= DEEPEST:
            raise DataError(f"the values of pixel {pixel} are cut into 2^{depth} cells; at most 2^{DEEPEST} are read")
        found = {} if known is None else known.cells
        cuts = {d: found[d] if d in found else self.cells(pixel, d) for d in range(min(depth, BASE), depth + 1)}
        return Single(self._units(pixel) if known is None else known.units, cuts)

    def cells(self, pixel: int, depth: int) -> Table:
        """Of all cells of one cut."""
        bounds, a = self._bounds, self._bounds.network.arithmetic
        local, (feature,) = self._of(pixel), bounds.pixels[pixel]
        ends = np.linspace(bounds.whole.low[feature], bounds.whole.high[feature], (1 << depth) + 1)
        ends[0], ends[-1] = bounds.whole.low[feature], bounds.whole.high[feature]
        cells = Cells(ends[:-1, None], ends[1:, None], bounds.center[[feature]])
        values = [each.value for each in self._maxima]
        found, ranges = row_bounds_and_ranges(local, cells, bounds.rows, bounds.constants, bounds.centre.drift, values)
        low, high = [np.zeros((len(ends) - 1, 0), dtype=np.float32)], [np.zeros((len(ends) - 1, 0), dtype=np.float32)]
        for value in values:
            some, (least, most) = local.reached[value], ranges[value]
            at = np.searchsorted(local.kept[value], some)
            center, off = (of[value][some] for of in (bounds.centre.values, bounds.centre.errors))
            off = a.up(off + bounds.centre.drifts[value][some])
            low.append(_narrowed(a.down(least[:, at] - a.up(center + off)), -np.inf))
            high.append(_narrowed(a.up(most[:, at] - a.down(center - off)), np.inf))
        return Table(np.concatenate(low, axis=1), np.concatenate(high, axis=1), found.lower)

    def _units(self, pixel: int) -> Positions:
        reached, begins = self._of(pixel).reached, unit_begins(self._bounds.network, self._maxima)
        found = [reached[each.value] + begin for each, begin in zip(self._maxima, begins, strict=True)]
        return np.concatenate([np.zeros(0, dtype=np.intp), *found])

    def _of(self, pixel: int) -> Local:
        """The network as a function of one pixel; that of the last call is kept."""
        if self._local is None or self._local[0] != pixel:
            self._local = pixel, Local(self._bounds.centre, self._bounds.pixels[pixel])
        return self._local[1]


def _narrowed(values: Array, outwards: float) -> NDArray[np.float32]:
    """In float32, rounded outwards."""
    with np.errstate(over="ignore"):
        return np.nextafter(values.astype(np.float32), np.float32(outwards))
