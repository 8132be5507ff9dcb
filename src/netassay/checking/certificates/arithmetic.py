"""The two arithmetics of the checker: float64 with every rounding bounded, and rational numbers.

A sum of n products of float64 numbers, in any order, with or without fused operations, is within ``gamma(n) * sum |a_i| |b_i|`` of the
real one (Higham, Accuracy and Stability of Numerical Algorithms, 3.1) unless it overflows; what underflows is less than ``TINY``
as long as nothing exceeds ``LARGEST``. Single operations are rounded to nearest, so that the next float bounds them.

In rational arithmetic arrays hold ``Fraction`` objects (or whole numbers) and all slacks are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.rationals import are_rational, product

Array = NDArray[Any]
"""Numbers of either arithmetic: float64, or objects."""

Positions = NDArray[np.intp]

UNIT = 2.0**-53
TINY = 1e-150
LARGEST = 1e100
SMALLEST = 1e-300


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How numbers are kept.

    Args:
        exact: Whether numbers are rational; float64 otherwise.
    """

    exact: bool = False

    def array(self, values: Any) -> Array:
        """Finite float64 numbers as numbers of this arithmetic, unchanged."""
        found = np.asarray(values, dtype=np.float64)
        return np.asarray(_FRACTIONS(found), dtype=object) if self.exact else found

    def bound(self, values: Array) -> Array:
        """The numbers that are bounds; -inf where there is none, since NaN and infinity prove nothing."""
        return np.where(self.known(values), values, -np.inf)

    def zeros(self, *shape: int) -> Array:
        return np.zeros(shape, dtype=object if self.exact else np.float64)

    def gamma(self, terms: int) -> Any:
        """Relative error of a sum of so many products, with room for the rounding of the error terms themselves."""
        return 0 if self.exact else (terms + 16) * UNIT * 1.01

    @property
    def tiny(self) -> Any:
        return 0 if self.exact else TINY

    @property
    def smallest(self) -> Any:
        """What smaller magnitudes count as in error bounds: half of a number near the smallest floats is not exact."""
        return 0 if self.exact else SMALLEST

    def down(self, values: Array) -> Array:
        """At or below the real result of one rounded operation."""
        return values if self.exact else np.nextafter(values, -np.inf)

    def up(self, values: Array) -> Array:
        """At or above the real result of one rounded operation."""
        return values if self.exact else np.nextafter(values, np.inf)

    def product(self, one: Array, other: Array) -> Array:
        """``one @ other``."""
        return product(one, other) if self.exact else np.asarray(one @ other)

    def quotient(self, one: Array, other: Array) -> Array:
        """About one / other: a choice, which need not be exact, with a short representation."""
        if not self.exact:
            return np.asarray(one / other)
        near = floats(_QUOTIENT(one, other))
        return self.array(np.where(np.isfinite(near), near, 0.0))

    def outward(self, one: Array, other: Array) -> tuple[Array, Array]:
        """Floats below and above one / other; rational ones with short representations."""
        if not self.exact:
            found = np.asarray(one / other)
            return np.nextafter(found, -np.inf), np.nextafter(found, np.inf)
        near = floats(_QUOTIENT(one, other))
        return _rational(np.nextafter(near, -np.inf)), _rational(np.nextafter(near, np.inf))

    def root(self, squares: Array, terms: int) -> Array:
        """At or above the square roots of sums of so many squares."""
        if self.exact:
            return np.asarray(_ROOT(squares), dtype=object)
        return np.asarray(np.sqrt(squares) * (1 + self.gamma(terms)) + TINY)

    def known(self, values: Array) -> NDArray[np.bool_]:
        """Where there is a number: neither NaN nor infinite; in rational arithmetic everything, unless a float has crept in."""
        if not self.exact:
            return np.asarray(np.abs(values) < LARGEST)
        return are_rational(values)


def floats(numbers: Array) -> NDArray[np.float64]:
    """The nearest float64 numbers; infinity beyond the largest."""
    return np.asarray(numbers if numbers.dtype == np.float64 else _FLOATS(numbers), dtype=np.float64)


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return inf if number > 0 else -inf


def _rational(values: NDArray[np.float64]) -> Array:
    """Finite floats as fractions; infinite ones stay, and are not ``known``."""
    finite = np.isfinite(values)
    return np.where(finite, np.asarray(_FRACTIONS(np.where(finite, values, 0.0)), dtype=object), values)


def _root_above(square: Any) -> Fraction:
    """A rational at or above the square root, close to it."""
    scale = 1 << 128
    return Fraction(isqrt(int(square * scale * scale) + 1) + 1, scale)


_FRACTIONS = np.frompyfunc(Fraction, 1, 1)
_FLOATS = np.frompyfunc(_float, 1, 1)
_QUOTIENT = np.frompyfunc(lambda one, other: one / Fraction(other) if other else Fraction(0), 2, 1)
_ROOT = np.frompyfunc(_root_above, 1, 1)
