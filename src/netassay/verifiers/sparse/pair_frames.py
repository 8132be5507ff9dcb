"""The interplay of a few features with any others: the numbers that it may touch, and what ranges of single changes look like there.

Interplay lies where both changes reach, so what a few *home* features reach is enough: their frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.maxima import Maximum
from netassay.verifiers.sparse.single_spans import Floats, Single

Ends = tuple[Array, Array]

Ranges = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Least and greatest changes, in float32 or float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One operator's part of a frame.

    Args:
        outputs: (o,) of its outputs.
        units: (v,) numbers that their gaps read.
        choice, others: (o,) and (m, o) as in ``Maximum``, but positions among ``units``; v stands for the constant 0.
        low, high: (m, o) of the gaps at the centre.
    """

    outputs: Positions
    units: Positions
    choice: Positions
    others: Positions
    low: Array
    high: Array

    @classmethod
    def of(cls, operator: Maximum, reached: Positions) -> Frame:
        """Of the outputs that depend on the numbers ``reached``."""
        touched = np.zeros(operator.size + 1, dtype=np.bool_)
        touched[reached] = True
        outputs = np.flatnonzero(touched[operator.choice] | touched[operator.others].any(axis=0))
        choice, others = operator.choice[outputs], operator.others[:, outputs]
        units = np.unique(np.append(others.reshape(-1), choice))
        units = units[units >= 0]
        place = np.full(operator.size + 1, len(units))
        place[units] = np.arange(len(units))
        return cls(outputs, units, place[choice], place[others], operator.low[:, outputs], operator.high[:, outputs])

    def gaps(self, low: Array, high: Array) -> Ends:
        """Ends (..., m, o) of what the gaps change by, where the units change by something between ``low`` and ``high`` (..., v)."""
        nothing = np.zeros((*low.shape[:-1], 1))
        low, high = np.concatenate([low, nothing], axis=-1), np.concatenate([high, nothing], axis=-1)
        least = low[..., self.others] - high[..., None, self.choice]
        return least, high[..., self.others] - low[..., None, self.choice]

    def narrow_gaps(self, low: Floats, high: Floats) -> Ranges:
        """The same in float32, rounded outwards; 0 stays 0."""
        nothing = np.zeros((*low.shape[:-1], 1), dtype=np.float32)
        low, high = np.concatenate([low, nothing], axis=-1), np.concatenate([high, nothing], axis=-1)
        least = low[..., self.others] - high[..., None, self.choice]
        most = high[..., self.others] - low[..., None, self.choice]
        outwards = np.float32(np.inf)
        return np.where(least == 0, least, np.nextafter(least, -outwards)), np.where(most == 0, most, np.nextafter(most, outwards))

    def chosen(self, low: Array, high: Array) -> Ends:
        """Ends (..., o) of what the choices change by."""
        nothing = np.zeros((*low.shape[:-1], 1))
        return tuple(np.concatenate([side, nothing], axis=-1)[..., self.choice] for side in (low, high))  # type: ignore[return-value]


class Tables:
    """Ranges of single changes in one frame: of whole features, of blocks of them, and of runs of cells.

    Args:
        frames: By operator.
        wholes: By operator, ends (G, n) over all values of each feature.
        blocks: (b, G) which features each block holds.
    """

    def __init__(self, frames: list[Frame], wholes: list[tuple[Floats, Floats]], blocks: list[Positions]) -> None:
        self.frames = frames
        taken = [tuple(side[:, f.units] for side in sides) for f, sides in zip(frames, wholes, strict=True)]
        self.wholes = [f.narrow_gaps(*sides) for f, sides in zip(frames, taken, strict=True)]
        self.blocks = [
            f.narrow_gaps(
                np.stack([np.minimum(low[b].min(axis=0), np.float32(0)) for b in blocks]),
                np.stack([np.maximum(high[b].max(axis=0), np.float32(0)) for b in blocks]),
            )
            for f, (low, high) in zip(frames, taken, strict=True)
        ]

    def cells(self, one: Single) -> list[Ranges]:
        """By operator, ends (C, m, o) of each cell of a feature."""
        found = []
        for frame, units, low, high in zip(self.frames, one.units, one.low, one.high, strict=True):
            size = 1 + max(int(units.max(initial=0)), int(frame.units.max(initial=0)))
            spread = np.zeros((2, len(one), size), dtype=np.float32)
            spread[0][:, units], spread[1][:, units] = low, high
            found.append(frame.narrow_gaps(spread[0][:, frame.units], spread[1][:, frame.units]))
        return found
