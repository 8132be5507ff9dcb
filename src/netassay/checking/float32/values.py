"""Values over boxes: the range of the real one, and how far a computed one may lie from it.

Everything here is computed in float64 and rounded outwards. A value that ends in a sum stays *open*: sums and constant factors
that follow belong to the same sum, since runtimes fuse them (bias, batch normalisation, residual connections) and may add its terms in
any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLACK = 2.0**-40
"""Relative widening of what float64 computes in few steps: far more than its own functions and roundings can err."""

SMALLEST = 1e-290
"""More than what float64 itself loses by underflow."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """The arithmetic that operators are evaluated in.

    Args:
        unit: Unit roundoff.
        tiny: Results and operands below it may be flushed to zero.
        largest: Beyond it numbers may overflow.
        library: Error of the library's functions, relative or absolute as ``nonlinear`` says.
    """

    unit: float
    tiny: float
    largest: float
    library: float

    def gamma(self, roundings: int) -> float:
        """Relative error of a number that was rounded so many times (Higham, Accuracy and Stability of Numerical Algorithms, 3.1)."""
        total = roundings * self.unit
        return total / (1 - total) * (1 + SLACK) if total < 0.5 else np.inf

    def of_constant(self, value: Array) -> Array:
        """How far a constant moves when it is stored: half a unit if it is no float32 number, all of it if it is flushed."""
        if not self.unit:
            return np.zeros_like(value)
        with np.errstate(all="ignore"):
            exact = value.astype(np.float32).astype(np.float64) == value
        small = (value != 0) & (np.abs(value) < 2 * self.tiny)
        return np.where(exact, 0.0, self.unit * np.abs(value) * (1 + SLACK)) + np.where(small, self.tiny, 0.0)


FLOAT32 = Rounding(unit=2.0**-24, tiny=2.0**-126, largest=2.0**127, library=2.0**-20)
REAL = Rounding(unit=0.0, tiny=0.0, largest=np.inf, library=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """B boxes' values of one tensor.

    Args:
        low, high: (B, *shape) range of the real value; infinite where nothing is known.
        inherited: (B, *shape) distance of the computed value from the real one, rounding of the open sum left out; infinite where
            it may overflow or be undefined, and then in all that is computed from it.
        mass: (B, *shape) sum of the magnitudes of the open sum's terms; None where no sum is open.
        rounded: How often a term of the open sum is rounded at most.
        rounding: The arithmetic.
    """

    low: Array
    high: Array
    inherited: Array
    mass: Array | None = None
    rounded: int = 0
    rounding: Rounding = FLOAT32

    @property
    def error(self) -> Array:
        """(B, *shape) at least the distance of the computed value from the real one."""
        if self.mass is None or not self.rounding.unit:
            return self.inherited
        with np.errstate(invalid="ignore"):
            found = (self.inherited + self.rounding.gamma(self.rounded) * self.mass) * (1 + SLACK)
        return np.where(np.isnan(found), np.inf, found)

    @property
    def magnitude(self) -> Array:
        """(B, *shape) at least the real value's size."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def computed(self) -> Array:
        """(B, *shape) at least the computed value's size."""
        return np.asarray((self.magnitude + self.error) * (1 + SLACK))

    def under(self, rounding: Rounding) -> Values:
        """The same values, their sum closed, as operands of another arithmetic."""
        return Values(self.low, self.high, self.error, rounding=rounding)

    @property
    def terms(self) -> tuple[Array, int]:
        """Mass of the open sum and how often its terms are rounded; a single term where none is open."""
        return (self.computed, 0) if self.mass is None else (self.mass, self.rounded)

    def moved(self, move: Callable[[Array], Array]) -> Values:
        """After an operator that only moves numbers: ``move`` acts on arrays (B, *shape)."""
        mass = None if self.mass is None else move(self.mass)
        return replace(self, low=move(self.low), high=move(self.high), inherited=move(self.inherited), mass=mass)

    def within(self, low: Array, high: Array) -> Values:
        """With another range that the real value has too."""
        return replace(self, low=np.maximum(self.low, low), high=np.minimum(self.high, high))


def settled(rounding: Rounding, low: Any, high: Any, error: Any, reach: Any, *, open_: tuple[Array, int] | None = None) -> Values:
    """Values with their doubts resolved: NaN becomes unknown, and what may overflow has an infinite error.

    Args:
        rounding: The arithmetic.
        low, high: The real range, already rounded outwards.
        error: Inherited error.
        reach: At least the size of every intermediate result.
        open_: Mass and number of roundings of an open sum.
    """
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    with np.errstate(invalid="ignore"):
        certain = np.asarray(reach) * (1 + 2.0**-10) < rounding.largest
    lost = ~certain | ~np.isfinite(error)
    shape = np.broadcast_shapes(low.shape, lost.shape)
    found = np.where(lost, np.inf, np.asarray(error) * (1 + SLACK))
    low, high, found = (np.broadcast_to(a, shape) for a in (low, high, found))
    if open_ is None:
        return Values(low, high, found, rounding=rounding)
    return Values(low, high, found, np.broadcast_to(open_[0], shape), open_[1], rounding)


def constant(rounding: Rounding, value: Any) -> Values:
    """A constant of the network, for one box: (1, *shape)."""
    exact = np.asarray(value, dtype=np.float64)[None]
    return settled(rounding, exact, exact, rounding.of_constant(exact), np.abs(exact))


def wider(low: Any, high: Any) -> tuple[Array, Array]:
    """A range computed by few float64 steps or one library function per end, rounded outwards."""
    return low - SLACK * np.abs(low) - SMALLEST, high + SLACK * np.abs(high) + SMALLEST
