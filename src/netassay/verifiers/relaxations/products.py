"""Products, quotients and matrix products of two bounded inputs.

References:
    McCormick, 1976, https://doi.org/10.1007/BF01580665
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.relaxations.base import Array, Interval, Mask, Planes
from netassay.verifiers.relaxations.positions import Index, gathered
from netassay.verifiers.relaxations.rounding import EPS, above, below, nan_to_unknown, product, sum_above, sum_below

Half = tuple[Array, Array, Array]
"""Slope in x, slope in y, offset: one plane below."""


def product_range(x: Interval, y: Interval) -> Interval:
    """Contains the product of any real numbers in the two intervals; the whole line where a bound is NaN."""
    with np.errstate(all="ignore"):
        found = [product(a, b) for a in x for b in y]
        low, high = np.minimum.reduce([f[0] for f in found]), np.maximum.reduce([f[1] for f in found])
    return nan_to_unknown(low, high, _any_nan(x, y))


def _any_nan(x: Interval, y: Interval) -> Mask:
    return np.isnan(x[0]) | np.isnan(x[1]) | np.isnan(y[0]) | np.isnan(y[1])


def _below_product(x: Interval, y: Interval) -> Half:
    """One of McCormick's two planes below x * y: the one with the larger minimum over the box.

    (x - x_l)(y - y_l) >= 0 and (x_u - x)(y_u - y) >= 0; the slopes are the bounds themselves, only the offset is rounded.
    """
    (xl, xu), (yl, yu) = x, y
    corners = [product(a, b)[0] for a, b in ((xl, yl), (xl, yu), (xu, yl), (xu, yu))]
    low, left, right, high = corners
    first = np.minimum(low, right) + np.minimum(low, left) - low
    second = np.minimum(left, high) + np.minimum(right, high) - high
    use = first >= second
    offset = -product(np.where(use, xl, xu), np.where(use, yl, yu))[1]
    return np.where(use, yl, yu), np.where(use, xl, xu), offset


def _settled(half: Half, low: Array, lost: Mask) -> Half:
    """The plane, or the constant ``low`` where it does not hold or something in it is not finite."""
    kept = np.isfinite(half[0]) & np.isfinite(half[1]) & np.isfinite(half[2]) & ~lost
    return np.where(kept, half[0], 0.0), np.where(kept, half[1], 0.0), np.where(kept, half[2], low)


def _product_halves(x: Interval, y: Interval) -> tuple[Half, Half]:
    """A plane below x * y, and one below -x * y = (-x) * y turned back into the plane above."""
    low, high = product_range(x, y)
    lost = _any_nan(x, y)
    with np.errstate(all="ignore"):
        under = _settled(_below_product(x, y), low, lost)
        a, b, c = _settled(_below_product((-x[1], -x[0]), y), -high, lost)
    return under, (a, -b, -c)


def _planes(index: Index, under: Half, over: Half) -> Planes:
    return Planes(index, np.stack(under[:2], axis=-1), np.stack(over[:2], axis=-1), under[2], over[2])


def _split(index: Index, lowers: list[Array], uppers: list[Array]) -> tuple[Interval, Interval]:
    """Bounds of the two halves of the positions, each (B, out, k / 2)."""
    lower, upper = gathered(lowers, index), gathered(uppers, index)
    k = index.shape[-1] // 2
    return (lower[..., :k], upper[..., :k]), (lower[..., k:], upper[..., k:])


def _pair(index: Index, lowers: list[Array], uppers: list[Array]) -> tuple[Interval, Interval]:
    x, y = _split(index, lowers, uppers)
    return (x[0][..., 0], x[1][..., 0]), (y[0][..., 0], y[1][..., 0])


def mul_planes(index: Index, lowers: list[Array], uppers: list[Array]) -> Planes:
    """McCormick's planes around x * y."""
    return _planes(index, *_product_halves(*_pair(index, lowers, uppers)))


def mul_interval(index: Index, lowers: list[Array], uppers: list[Array]) -> Interval:
    """Range of x * y."""
    return product_range(*_pair(index, lowers, uppers))


def matmul_planes(index: Index, lowers: list[Array], uppers: list[Array]) -> Planes:
    """Sums of McCormick's planes, one per product."""
    under, over = _product_halves(*_split(index, lowers, uppers))
    with np.errstate(all="ignore"):
        low, high = sum_below(under[2]), sum_above(over[2])
    below_slopes, above_slopes = (np.concatenate(half[:2], axis=-1) for half in (under, over))
    below_slopes[~np.isfinite(low)] = 0.0
    above_slopes[~np.isfinite(high)] = 0.0
    return Planes(index, below_slopes, above_slopes, low, high)


def matmul_interval(index: Index, lowers: list[Array], uppers: list[Array]) -> Interval:
    """Sums of the products' ranges."""
    low, high = product_range(*_split(index, lowers, uppers))
    with np.errstate(all="ignore"):
        return sum_below(low), sum_above(high)


def quotient_range(x: Interval, y: Interval) -> Interval:
    """Contains x / y for any real numbers in the intervals; the whole line where y can be 0 or a bound is NaN."""
    with np.errstate(all="ignore"):
        found = [a / b for a in x for b in y]
        low = np.minimum.reduce([np.where(f == 0, np.where(a == 0, 0.0, below(f)), below(f)) for f, a in _numerators(found, x)])
        high = np.maximum.reduce([np.where(f == 0, np.where(a == 0, 0.0, above(f)), above(f)) for f, a in _numerators(found, x)])
    return nan_to_unknown(low, high, _undivided(x, y))


def _undivided(x: Interval, y: Interval) -> Mask:
    """Where y can be 0 or a bound is NaN."""
    return _any_nan(x, y) | ~((y[0] > 0) | (y[1] < 0))


def _numerators(quotients: list[Array], x: Interval) -> list[tuple[Array, Array]]:
    return list(zip(quotients, (x[0], x[0], x[1], x[1]), strict=True))


def div_interval(index: Index, lowers: list[Array], uppers: list[Array]) -> Interval:
    """Range of x / y."""
    return quotient_range(*_pair(index, lowers, uppers))


def div_planes(index: Index, lowers: list[Array], uppers: list[Array]) -> Planes:
    """Planes around x / y where y keeps its sign, else unknown: McCormick on x * (1 / y), the offset proved afterwards."""
    x, y = _pair(index, lowers, uppers)
    low, high = quotient_range(x, y)
    lost = _undivided(x, y)
    with np.errstate(all="ignore"):
        turn = np.where(y[1] < 0, -1.0, 1.0)
        a, b = (_turned(x, turn), _turned(y, turn))
        under = _settled(_below_quotient(a, b), low, lost)
        over = _settled(_below_quotient((-a[1], -a[0]), b), -high, lost)
    return _planes(index, (under[0] * turn, under[1] * turn, under[2]), (over[0] * turn, -over[1] * turn, -over[2]))


def _turned(x: Interval, turn: Array) -> Interval:
    """The interval of turn * x, turn being 1 or -1."""
    return np.where(turn > 0, x[0], -x[1]), np.where(turn > 0, x[1], -x[0])


def _below_quotient(x: Interval, y: Interval) -> Half:
    """A plane below x / y for y > 0: of McCormick's two, with 1 / y replaced by a line, the higher at the midpoint."""
    (xl, xu), (yl, yu) = x, y
    center, middle = 0.5 * xl + 0.5 * xu, 0.5 * yl + 0.5 * yu
    halves = []
    for end, rate in ((xl, 1 / yu), (xu, 1 / yl)):
        slope = end * np.where(end >= 0, -1 / (middle * middle), -1 / (yl * yu))
        halves.append((rate, slope, _least_quotient(rate, slope, x, y)))
    first, second = (rate * center + slope * middle + offset for rate, slope, offset in halves)
    a, b, c = (np.where(first >= second, one, other) for one, other in zip(*halves, strict=True))
    return a, b, c


def _least_quotient(rate: Array, slope: Array, x: Interval, y: Interval) -> Array:
    """At most x / y - rate * x - slope * y on the box, y > 0, whatever the slopes.

    It is linear in x, so the least is at an end of x; there it is concave in y (x <= 0) or convex, where by the
    inequality of the means x / y - slope * y >= 2 sqrt(-slope * x), reached at y = sqrt(-x / slope).
    """
    found = []
    for a in x:
        along = above(rate * a)
        for b in y:
            found.append(below(below(below(a / b) - above(slope * b)) - along))
        bottom = np.sqrt(-a / slope)
        before = (bottom * (1 + 4 * EPS) < y[0]) & (bottom > 1e-150)
        beyond = (bottom * (1 - 4 * EPS) > y[1]) & (bottom < 1e150)
        met = (a > 0) & (slope < 0) & ~(before | beyond)
        mean = 2 * below(np.sqrt(below(-slope * a)))
        found.append(np.where(met, below(mean - along), np.inf))
    least: Array = np.minimum.reduce(found)
    return least
