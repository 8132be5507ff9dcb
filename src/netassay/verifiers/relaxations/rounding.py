"""Directed rounding on top of round-to-nearest float64: what is called ``below`` never exceeds the real result.

Sums, differences, products, quotients and square roots are correctly rounded by IEEE 754, so the next float bounds
them, overflow and underflow included. Elementary functions (exp, log, sin, pow, erf, ...) are assumed to be within
4 units in the last place, and every enclosure built on one is widened by at least twice that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from netassay.verifiers.relaxations.base import Array, Interval, Mask

EPS = float(np.finfo(np.float64).eps)
"""Twice the largest relative error of one rounding."""

LARGEST = float(np.finfo(np.float64).max)

SMALLEST = float(np.finfo(np.float64).smallest_subnormal)


def below(x: ArrayLike) -> Array:
    """The next float towards minus infinity."""
    return np.asarray(np.nextafter(x, -np.inf))


def above(x: ArrayLike) -> Array:
    """The next float towards infinity."""
    return np.asarray(np.nextafter(x, np.inf))


def product(x: Array, y: Array) -> Interval:
    """x * y from below and above; exact where a factor is 0, an infinite one included (x and y stand for real numbers)."""
    result = x * y
    zero = (x == 0) | (y == 0)
    return np.where(zero, 0.0, below(result)), np.where(zero, 0.0, above(result))


def sum_below(terms: Array, axis: int = -1) -> Array:
    """At most the real sum along ``axis``, summed in whatever order; NaN becomes minus infinity.

    n - 1 roundings err by at most (n - 1) EPS / 2 (1 + small) times the sum of magnitudes (Higham, 2002, section 4.2).
    """
    n = terms.shape[axis] + 4
    slack = n * EPS * np.abs(terms).sum(axis=axis)
    total = terms.sum(axis=axis)
    total = np.where(slack == 0, total, below(total - slack))
    return np.where(np.isnan(total), -np.inf, total)


def sum_above(terms: Array, axis: int = -1) -> Array:
    """At least the real sum along ``axis``; NaN becomes infinity."""
    return -sum_below(-terms, axis)


def nan_to_unknown(lower: Array, upper: Array, suspects: Mask) -> Interval:
    """The interval, or the whole line where a suspect or an end is NaN."""
    lost = suspects | np.isnan(lower) | np.isnan(upper)
    return np.where(lost, -np.inf, lower), np.where(lost, np.inf, upper)
