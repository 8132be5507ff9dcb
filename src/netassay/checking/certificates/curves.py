"""Smooth rising functions of one number: ends of their values and of their slopes, from ends of exponentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array
from netassay.checking.certificates.exponential import BITS, Ends, exponential
from netassay.models import nonlinear as nl
from netassay.models.operators import Operator

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Odds(nl.Elementwise):
    """exp(x) of all differences x of logits, which ends the graph of a claim about how fast probabilities change.

    Args:
        logarithms: Whether it is about their logarithms.
    """

    logarithms: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A function f that rises, with a slope that rises up to where it bends the other way.

    Args:
        ends: Of value and slope at each x.
        near: Value and slope by the library's functions, for choices that need not be exact.
        floor, ceiling: f lies between them.
        bends: Whether f is convex left of 0 and concave right of it, with ``f(x) + f(-x) = floor + ceiling``; else it is convex.
    """

    ends: Callable[[Arithmetic, Array], tuple[Ends, Ends]]
    near: Callable[[Floats], tuple[Floats, Floats]]
    floor: float
    ceiling: float
    bends: bool

    def value(self, a: Arithmetic, x: Array) -> Ends:
        """Ends of f(x), also for infinite x; floor and ceiling for NaN."""
        return self.ends(a, x)[0]

    def steepness(self, a: Arithmetic, low: Array, high: Array) -> Ends:
        """Ends of f' on [low, high]: it rises up to 0 and falls from there on, or rises everywhere."""
        slopes = [self.ends(a, x)[1] for x in (low, high)]
        if not self.bends:
            return slopes[0][0], slopes[1][1]
        apart = np.asarray(low > 0) | np.asarray(high < 0)
        most = np.where(apart, np.maximum(slopes[0][1], slopes[1][1]), self.ends(a, a.zeros(1))[1][1])
        return np.minimum(slopes[0][0], slopes[1][0]), most


def _exponential(a: Arithmetic, x: Array) -> tuple[Ends, Ends]:
    found = exponential(a, x)
    return found, found


def _logistic(a: Arithmetic, x: Array) -> tuple[Ends, Ends]:
    """With e = exp(-|x|): 1 / (1 + e) right of 0, e / (1 + e) left of it, both rising or falling in e; the slope is e / (1 + e)**2."""
    e = _fallen(a, x, 1.0)
    right = a.down(1 / a.up(1 + e[1])), a.up(1 / a.down(1 + e[0]))
    left = a.down(e[0] / a.up(1 + e[0])), a.up(e[1] / a.down(1 + e[1]))
    rises = np.asarray(x >= 0)
    low, high = np.where(rises, right[0], left[0]), np.where(rises, right[1], left[1])
    unknown = np.asarray(x != x)
    return _short(a, np.where(unknown, 0, low), np.where(unknown, 1, high)), _bell(a, e, 1)


def _tanh(a: Arithmetic, x: Array) -> tuple[Ends, Ends]:
    """With e = exp(-2 |x|): (1 - e) / (1 + e), odd, falling in e; the slope is 4 e / (1 + e)**2."""
    e = _fallen(a, x, 2.0)
    low = np.maximum(a.down(a.down(1 - e[1]) / a.up(1 + e[1])), 0)
    high = a.up(a.up(1 - e[0]) / a.down(1 + e[0]))
    rises, unknown = np.asarray(x >= 0), np.asarray(x != x)
    ends = np.where(rises, low, -high), np.where(rises, high, -low)
    return _short(a, np.where(unknown, -1, ends[0]), np.where(unknown, 1, ends[1])), _bell(a, e, 4)


def _fallen(a: Arithmetic, x: Array, factor: float) -> Ends:
    """Ends of exp(-factor |x|), between 0 and 1; fractions where numbers are rational, as quotients of whole numbers would be floats."""
    low, high = exponential(a, -a.array(factor) * np.abs(x))
    return low, np.minimum(high, a.array(1.0))


def _bell(a: Arithmetic, e: Ends, factor: int) -> Ends:
    """Ends of ``factor * e / (1 + e)**2``, which rises in e up to 1."""
    below, above = a.up(1 + e[0]), a.down(1 + e[1])
    low, high = (factor * e[0]) / a.up(below * below), (factor * e[1]) / a.down(above * above)
    return _short(a, a.down(low), a.up(high))


def _short(a: Arithmetic, low: Array, high: Array) -> Ends:
    """Rational ends as multiples of 2**-BITS, so that their sums stay short."""
    if not a.exact:
        return low, high
    return np.asarray(_FLOOR(low), dtype=object), -np.asarray(_FLOOR(-high), dtype=object)


def _multiple(x: object) -> object:
    """The multiple of 2**-BITS at or below a rational number; other numbers stay."""
    return Fraction((x.numerator << BITS) // x.denominator, 1 << BITS) if isinstance(x, Fraction | int) else x


_FLOOR = np.frompyfunc(_multiple, 1, 1)


def _near_exponential(x: Floats) -> tuple[Floats, Floats]:
    found = np.exp(x)
    return found, found


def _near_logistic(x: Floats) -> tuple[Floats, Floats]:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e), e / (1 + e) ** 2


def _near_tanh(x: Floats) -> tuple[Floats, Floats]:
    e = np.exp(-2 * np.abs(x))
    return np.tanh(x), 4 * e / (1 + e) ** 2


_EXPONENTIAL = Curve(_exponential, _near_exponential, 0.0, np.inf, bends=False)
_CURVES: dict[type[Operator], Curve] = {
    nl.Exp: _EXPONENTIAL,
    Odds: _EXPONENTIAL,
    nl.Sigmoid: Curve(_logistic, _near_logistic, 0.0, 1.0, bends=True),
    nl.Tanh: Curve(_tanh, _near_tanh, -1.0, 1.0, bends=True),
}


def curve_of(operator: Operator) -> Curve | None:
    """The curve of an operator; None for one that is none of these."""
    return _CURVES.get(type(operator))
