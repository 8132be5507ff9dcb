"""Numbers below and above exp(x), from additions and products alone: no library's exponential is trusted; and log(x), from those.

In float64 ``x = k log 2 + r`` with whole k (Cody and Waite), and exp(r) is its Taylor polynomial. ``log 2 = HIGH + LOW`` up to
2**-85, and HIGH has 32 bits, so that k * HIGH is exact: r is off by less than 0.8 units of 2**-53. For ``|r| <= REACH`` what the
polynomial of degree 13 leaves out is below 0.1 units, and Horner's scheme errs by ``gamma(27)`` times the sum of the magnitudes, below 40
units (Higham, Accuracy and Stability of Numerical Algorithms, 5.1). exp(r) is above 0.69, so that all of that is below 60 units of it;
``RELATIVE`` leaves room for the rounding of the ends themselves.

In rational arithmetic x is halved until it is small; the Taylor sum with its remainder, and the squares that undo the halving, are rounded
outwards to multiples of 2**-BITS.

A logarithm is known once some y near it is: ``log x = y + log q`` with ``q = x exp(-y)``, and ``1 - 1 / q <= log q <= q - 1``.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, factorial, floor, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import UNIT, Arithmetic, Array, floats

Ends = tuple[Array, Array]
"""Numbers at or below, and numbers at or above, those that are meant."""

HIGH, LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
REACH = 0.36
RELATIVE = 96 * UNIT
DEGREE = 13
_COEFFICIENTS = tuple(1.0 / factorial(i) for i in range(DEGREE, -1, -1))

FURTHEST = 700.0
"""Beyond it on the left exp is below ``SMALL``; on the right nothing is said."""

FURTHEST_LOGARITHM = 120.0
"""Logarithms are looked for up to there: rational ends of exp(-120) are still above 0."""

SMALL = 1e-304

BITS = 192
_ONE = 1 << BITS
_TERMS, _HALVED, _FURTHEST = 24, 8, 1000


def exponential(a: Arithmetic, x: Array) -> Ends:
    """Ends of exp(x): 0 and infinity where x is NaN or far out."""
    return _by_fractions(x) if a.exact else _by_floats(x)


def _by_floats(x: NDArray[np.float64]) -> Ends:
    with np.errstate(all="ignore"):
        usable = (x >= -FURTHEST) & (x <= FURTHEST)
        given = np.where(usable, x, 0.0)
        k = np.rint(given * (1.0 / 0.6931471805599453))
        r = (given - k * HIGH) - k * LOW
        total = np.full(r.shape, _COEFFICIENTS[0])
        for c in _COEFFICIENTS[1:]:
            total = total * r + c
        value = total * ((k.astype(np.int64) + 1023) << 52).view(np.float64)
        spread = value * RELATIVE
        usable &= np.abs(r) <= REACH
        low = np.where(usable, value - spread, 0.0)
        return low, np.where(usable, value + spread, np.where(x < -FURTHEST, SMALL, np.inf))


def logarithm(a: Arithmetic, x: Array) -> Ends:
    """Ends of log(x): infinite where x is no positive number, far apart where it is beyond exp(FURTHEST_LOGARITHM), or as small."""
    usable = np.asarray(a.known(x) & np.asarray(x > 0))
    given = np.where(usable, x, a.array(1.0))
    with np.errstate(all="ignore"):
        near = a.array(np.clip(np.log(floats(given)), -FURTHEST_LOGARITHM, FURTHEST_LOGARITHM))
        below, above = exponential(a, -near)
        least, most = a.down(given * below), a.up(given * above)
        low, high = a.down(near + a.down(1 - a.up(1 / least))), a.up(near + a.up(most - 1))
    return np.where(usable, low, -np.inf), np.where(usable, high, np.inf)


def _by_fractions(x: Array) -> Ends:
    low, high = _RATIONAL(x)
    return np.asarray(low, dtype=object), np.asarray(high, dtype=object)


def rational_exponential(x: Any) -> tuple[Fraction, Fraction | float]:
    """Rational ends of exp(x), multiples of 2**-BITS; 0 and infinity where x is no rational number or far out."""
    if not isinstance(x, Fraction | int):
        return Fraction(0), inf
    given = Fraction(x)
    if abs(given) > _FURTHEST:
        return Fraction(0), Fraction(1, _ONE) if given < 0 else inf
    scaled = abs(given) * _ONE
    below, above = _grown(floor(scaled), up=False), _grown(ceil(scaled), up=True)
    if given < 0:
        below, above = _ONE * _ONE // above, -(-_ONE * _ONE // below)
    return Fraction(below, _ONE), Fraction(above, _ONE)


def _grown(scaled: int, *, up: bool) -> int:
    """At or below (above, with ``up``) exp(scaled / 2**BITS) * 2**BITS, for scaled >= 0."""
    halvings = max(0, scaled.bit_length() - BITS) + _HALVED
    y = _shifted(scaled, halvings, up=up)
    total, term = _ONE, _ONE
    for i in range(1, _TERMS):
        term = _shifted(term * y, BITS, up=up)
        term = -(-term // i) if up else term // i
        total += term
    if up:
        total += 2 * term + 1  # terms fall by more than half from one to the next
    for _ in range(halvings):
        total = _shifted(total * total, BITS, up=up)
    return total


def _shifted(number: int, bits: int, *, up: bool) -> int:
    return -(-number >> bits) if up else number >> bits


_RATIONAL = np.frompyfunc(rational_exponential, 1, 2)


def rational_logarithm(x: Fraction) -> tuple[Fraction, Fraction]:
    """Rational ends of log(x) for x > 0: the ends of a bisection by ``rational_exponential``, a billionth of a billionth apart.

    Raises:
        ValueError: If x is not positive, or beyond what the exponential reaches.
    """
    if not Fraction(1, 1 << 190) < x < 1 << 1000:
        raise ValueError(f"the logarithm of {float(x)!r} is not enclosed")
    low, high = Fraction(-132), Fraction(694)
    while high - low > Fraction(1, 1 << 60):
        middle = (low + high) / 2
        ends = rational_exponential(middle)
        if ends[1] <= x:
            low = middle
        elif ends[0] >= x:
            high = middle
        else:
            break
    return low, high
