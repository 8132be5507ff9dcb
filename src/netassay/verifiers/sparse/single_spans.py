"""What every single change does by itself to each number that a ReLU reads, cell by cell of its values, and as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.window_forms import WindowForms

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """One feature's cells.

    Args:
        ends: (C + 1,) of the cells, as offsets from the centre.
        most: (C, R) no row of the claim falls further.
        units, low, high: By operator, the numbers (w,) that it reaches, and the ends (C, w) of what it does to them.
    """

    ends: Array
    most: Array
    units: list[Positions]
    low: list[Floats]
    high: list[Floats]

    def __len__(self) -> int:
        return len(self.most)

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(side.nbytes for sides in (self.low, self.high) for side in sides)


def single(forms: WindowForms, group: int, values: list[int], cells: int) -> Single:
    """One feature's values in so many cells of equal width.

    Args:
        forms: The network around the input.
        group: The feature's position among those that can change.
        values: Those that the operators read, in order.
        cells: How many.
    """
    (feature,) = forms.groups[group]
    ends = np.linspace(forms.low[feature], forms.high[feature], cells + 1)
    ends[0], ends[-1] = forms.low[feature], forms.high[feature]
    drops, spans = forms.drops(np.full(cells, group), ends[:-1, None], ends[1:, None])
    low = [_narrowed(np.stack([each[v][1] for each in spans]), -np.inf) for v in values]
    high = [_narrowed(np.stack([each[v][2] for each in spans]), np.inf) for v in values]
    return Single(ends, drops.most, [spans[0][v][0] for v in values], low, high)


def _narrowed(values: Array, outwards: float) -> Floats:
    """In float32, rounded outwards."""
    with np.errstate(over="ignore"):
        return np.nextafter(values.astype(np.float32), np.float32(outwards))
