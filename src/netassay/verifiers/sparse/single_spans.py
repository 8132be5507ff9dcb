"""What every single change does by itself to the gaps of each maximum, cell by cell of its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.maxima import Maximum
from netassay.verifiers.sparse.window_forms import WindowForms

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """One feature's cells.

    Args:
        ends: (C + 1,) of the cells, as offsets from the centre.
        most: (C, R) no row of the claim falls further.
        gaps, low, high: By operator, the gaps (w,) that it reaches, ascending (``Maximum``), and the ends (C, w) of what it does to them.
    """

    ends: Array
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


def single(forms: WindowForms, group: int, operators: list[Maximum], cells: int) -> Single:
    """One feature's values in so many cells of equal width.

    Args:
        forms: The network around the input.
        group: The feature's position among those that can change.
        operators: Those of the network, in order.
        cells: How many.
    """
    (feature,) = forms.groups[group]
    ends = np.linspace(forms.low[feature], forms.high[feature], cells + 1)
    ends[0], ends[-1] = forms.low[feature], forms.high[feature]
    drops, spans = forms.drops(np.full(cells, group), ends[:-1, None], ends[1:, None])
    found = [_on_gaps(operator, [each[operator.value] for each in spans]) for operator in operators]
    return Single(ends, drops.most, [f[0] for f in found], [f[1] for f in found], [f[2] for f in found])


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
