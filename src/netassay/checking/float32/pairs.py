"""Two values combined entry by entry: sums, products, quotients, maxima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netassay.checking.float32.values import SMALLEST, Array, Rounding, Values, constant, settled, wider


def aligned(a: Values, b: Values) -> tuple[Values, Values]:
    """Both with sample axes of the same rank: axes of length one come after the batch axis."""
    rank = max(a.low.ndim, b.low.ndim)

    def raised(values: Values) -> Values:
        missing = rank - values.low.ndim
        return values.moved(lambda x: x.reshape(len(x), *(1,) * missing, *x.shape[1:])) if missing else values

    return raised(a), raised(b)


def negative(x: Values) -> Values:
    """-x, without rounding."""
    return replace(x, low=-x.high, high=-x.low)


def add(a: Values, b: Values, rounding: Rounding) -> Values:
    """a + b: the terms of both in one open sum."""
    one, other = aligned(a, b)
    (one_mass, one_rounded), (other_mass, other_rounded) = one.terms, other.terms
    with np.errstate(invalid="ignore"):
        low, high = wider(one.low + other.low, one.high + other.high)
        mass = (one_mass + other_mass) * (1 + 2.0**-50)
        inherited = one.inherited + other.inherited + 6 * rounding.tiny + SMALLEST
    return settled(rounding, low, high, inherited, mass, open_=(mass, one_rounded + other_rounded + 1))


def multiply(a: Values, b: Values, rounding: Rounding) -> Values:
    """a * b; a sum stays open where the other factor is a constant of the network, which is one box's value without width."""
    a, b = aligned(a, b)
    if _is_constant(b):
        return _scaled(a, b, rounding)
    one, other = a.under(rounding), b.under(rounding)
    e, f = one.error + rounding.tiny, other.error + rounding.tiny
    with np.errstate(all="ignore"):
        low, high = products(one, other)
        reach = one.computed * other.computed
        error = one.magnitude * f + other.magnitude * e + e * f + rounding.gamma(1) * reach + 2 * rounding.tiny + SMALLEST
        error = np.where(np.isinf(one.error) | np.isinf(other.error), np.inf, error)
    return settled(rounding, low, high, error, reach)


def _is_constant(values: Values) -> bool:
    return len(values.low) == 1 and bool((values.low == values.high).all())


def _scaled(x: Values, factor: Values, rounding: Rounding) -> Values:
    (terms, rounded), size = x.terms, factor.magnitude
    with np.errstate(all="ignore"):
        low, high = products(x, factor)
        mass = terms * factor.computed * (1 + 2.0**-50)
        inherited = x.inherited * size + (terms + x.inherited) * factor.error + (size + 8) * rounding.tiny + SMALLEST
        inherited = np.where(np.isinf(x.inherited), np.inf, inherited)
        reach = np.maximum(mass, terms)
    return settled(rounding, low, high, inherited, reach, open_=(mass, rounded + 2))


def products(a: Values, b: Values) -> tuple[Array, Array]:
    """The range of the real product; zero times infinity is zero, since both stand for real numbers."""
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    corners = [np.where(np.isnan(c), 0.0, c) for c in corners]
    return wider(np.minimum.reduce(corners), np.maximum.reduce(corners))


def divide(a: Values, b: Values, rounding: Rounding) -> Values:
    """a / b, also as a * (1 / b); unknown where b may come near 0. A sum stays open where b is a constant of the network."""
    a, b = aligned(a, b)
    if _is_constant(b) and not _is_constant(a):
        return _scaled(a, divide(constant(rounding, 1.0), b, rounding), rounding)
    one, other = a.under(rounding), b.under(rounding)
    with np.errstate(all="ignore"):
        same_sign = (other.low > 0) | (other.high < 0)
        least = np.where(same_sign, np.minimum(np.abs(other.low), np.abs(other.high)), 0.0)
        nearest = least * (1 - 2.0**-50) - other.error
        defined = same_sign & (nearest > 16 * rounding.tiny) & (other.computed < rounding.largest / 16)
        corners = [x / y for x in (one.low, one.high) for y in (other.low, other.high)]
        low, high = wider(np.minimum.reduce(corners), np.maximum.reduce(corners))
        reach = one.computed / nearest
        error = (one.error + one.magnitude / least * other.error) / nearest + rounding.gamma(4) * reach
        error = error + rounding.tiny * (4 + (1 + one.computed) / nearest) + SMALLEST
        error = np.where(defined & np.isfinite(one.error), error, np.inf)
    return settled(rounding, np.where(same_sign, low, -np.inf), np.where(same_sign, high, np.inf), error, np.maximum(reach, one.computed))


def larger(a: Values, b: Values, rounding: Rounding) -> Values:
    """max(a, b)."""
    a, b = aligned(a, b)
    one, other = a.under(rounding), b.under(rounding)
    error = np.maximum(one.error, other.error) + rounding.tiny
    return settled(rounding, np.maximum(one.low, other.low), np.maximum(one.high, other.high), error, 0.0)


def smaller(a: Values, b: Values, rounding: Rounding) -> Values:
    """min(a, b)."""
    return negative(larger(negative(a), negative(b), rounding))
