"""A box: one closed interval per feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import RegionError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Box:
    """All x with ``lower <= x <= upper``, feature by feature.

    Args:
        lower: Lower corner, any shape, in the model's own input units.
        upper: Upper corner, same shape.
    Raises:
        RegionError: If the corners differ in shape, hold NaN, or a lower corner exceeds its upper corner.
    """

    lower: Array
    upper: Array

    def __post_init__(self) -> None:
        lower = np.array(self.lower, dtype=np.float64)
        upper = np.array(self.upper, dtype=np.float64)
        if lower.shape != upper.shape:
            raise RegionError(f"the corners of a box need one shape; lower has {lower.shape}, upper has {upper.shape}")
        if np.isnan(lower).any() or np.isnan(upper).any():
            raise RegionError("a corner of the box is NaN; give a number for every feature")
        empty = np.argwhere(lower > upper)
        if len(empty):
            at = tuple(int(i) for i in empty[0])
            raise RegionError(f"the box is empty at feature {at}: lower {lower[at]:g} exceeds upper {upper[at]:g}")
        lower.flags.writeable = upper.flags.writeable = False
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    @classmethod
    def filled(cls, shape: tuple[int, ...], lower: float, upper: float) -> Box:
        """The box with the same interval for every feature."""
        return cls(np.full(shape, lower, dtype=np.float64), np.full(shape, upper, dtype=np.float64))

    @classmethod
    def unbounded(cls, shape: tuple[int, ...]) -> Box:
        """The whole space."""
        return cls.filled(shape, -np.inf, np.inf)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lower.shape

    @property
    def width(self) -> Array:
        return self.upper - self.lower

    @property
    def center(self) -> Array:
        """The midpoint; needs a bounded box."""
        if not self.bounded:
            raise RegionError("an unbounded box has no midpoint; give lower and upper values for every feature")
        return self.lower / 2 + self.upper / 2

    @property
    def bounded(self) -> bool:
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether each point of the batch (N, *shape) lies in the box, compared exactly; NaN lies nowhere."""
        points = np.asarray(points)
        inside = (points >= self.lower) & (points <= self.upper)
        return np.asarray(inside.reshape(len(points), -1).all(axis=1))

    def intersect(self, other: Box) -> Box:
        """The common part; raises RegionError if there is none."""
        return Box(np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper))
