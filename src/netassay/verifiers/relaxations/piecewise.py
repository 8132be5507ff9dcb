"""Piecewise linear functions of one number: ReLU by closed form, the others by their corners. No rounding where a part is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from netassay.verifiers.relaxations.base import Array, Interval, Lines, Mask
from netassay.verifiers.relaxations.rounding import EPS, SMALLEST, above, below, nan_to_unknown

WIDE = 1e15
"""Boxes from here on are handled apart: divisions by their width may underflow too far."""

TINY = 1e-300
"""Covers what underflows in boxes that are less wide."""


def relu_lines(lower: Array, upper: Array, slope: Array | None = None) -> Lines:
    """max(x, 0): exact where the sign is known; else ``slope`` (or the one of least area, 0 or 1) below, the chord above.

    The chord's slope is rounded up, so that the offset -slope * lower, rounded up, puts the line above both ends.

    References:
        Zhang et al., 2018, https://arxiv.org/abs/1811.00866 (CROWN); Xu et al., 2021, https://arxiv.org/abs/2011.13824 (alpha-CROWN)
    """
    with np.errstate(all="ignore"):
        width = upper - lower
        unstable = (lower < 0) & (upper > 0)
        rise = np.maximum(upper, 0.0)
        rise /= np.maximum(width, SMALLEST)
        rise *= 1 + 4 * EPS
        np.minimum(rise, 1.0, out=rise)
        offset = rise * lower
        offset *= -(1 + 2 * EPS)
        np.maximum(offset, 0.0, out=offset)
        offset += unstable * TINY
        below_slope = (upper > -lower).astype(np.float64)
        if slope is not None:
            below_slope = np.where(unstable, np.clip(np.nan_to_num(slope), 0.0, 1.0), below_slope)
        below_offset = np.zeros_like(offset)
        if width.size and not width.max() < WIDE:
            _without_width(lower, upper, ~(width < WIDE), (below_slope, below_offset, rise, offset))
    return Lines(below_slope, below_offset, rise, offset)


def _without_width(lower: Array, upper: Array, where: Mask, sides: tuple[Array, Array, Array, Array]) -> None:
    """Repairs ReLU's lines in place where the box is huge, infinite or NaN: a looser line, or a constant, unless the sign is known."""
    below_slope, below_offset, rise, offset = sides
    unstable = where & (lower < 0) & (upper > 0)
    shifted = unstable & (upper > -lower) & np.isfinite(lower)
    rise[where], offset[where] = lower[where] >= 0, 0.0
    offset[unstable] = upper[unstable]
    rise[shifted], offset[shifted] = 1.0, -lower[shifted]
    lost = np.isnan(lower) | np.isnan(upper)
    below_slope[lost] = rise[lost] = 0.0
    below_offset[lost], offset[lost] = -np.inf, np.inf


def relu_interval(lower: Array, upper: Array) -> Interval:
    """Exact."""
    return nan_to_unknown(np.maximum(lower, 0.0), np.maximum(upper, 0.0), np.isnan(lower) | np.isnan(upper))


@dataclass(frozen=True, slots=True, eq=False)
class Corners:
    """A continuous piecewise linear function.

    Args:
        corners: (x, f(x)) where its slope changes, ascending, both exact; at most two.
        value: f from below and from above, exact at the corners.
        slopes: Of its parts, from left to right: one more than corners.
        steerable: Whether a caller may ask for the slope of its lower line.
    """

    corners: tuple[tuple[float, float], ...]
    value: Callable[[Array], Interval]
    slopes: tuple[float, ...]
    steerable: bool = False


def _rounded_product(slope: float, x: Array) -> Interval:
    if abs(slope) in (0.0, 1.0):
        return slope * x, slope * x
    result = slope * x
    return np.where(x == 0, 0.0, below(result)), np.where(x == 0, 0.0, above(result))


def leaky_relu(slope: float) -> Corners:
    """x where x >= 0, slope * x elsewhere."""

    def value(x: Array) -> Interval:
        left = _rounded_product(slope, np.minimum(x, 0.0)) if slope else (np.zeros_like(x),) * 2
        return np.where(x >= 0, x, left[0]), np.where(x >= 0, x, left[1])

    return Corners(((0.0, 0.0),), value, (slope, 1.0), steerable=True)


def absolute() -> Corners:
    """|x|."""
    return Corners(((0.0, 0.0),), lambda x: (np.abs(x), np.abs(x)), (-1.0, 1.0))


def clip(least: float, most: float) -> Corners:
    """min(max(x, least), most): ``most`` everywhere if it is the smaller one."""
    least = min(least, most)

    def value(x: Array) -> Interval:
        cut = np.minimum(np.maximum(x, least), most)
        return cut, cut

    corners = tuple((c, c) for c in (least, most) if math.isfinite(c)) if least < most else ()
    if least == most:
        return Corners((), value, (0.0,))
    slopes = (*((0.0,) if math.isfinite(least) else ()), 1.0, *((0.0,) if math.isfinite(most) else ()))
    return Corners(corners, value, slopes)


def corner_interval(row: Corners, lower: Array, upper: Array) -> Interval:
    """The range of f: from the ends of the box and the corners in it."""
    with np.errstate(all="ignore"):
        (a, b), (c, d) = row.value(lower), row.value(upper)
        low, high = np.minimum(a, c), np.maximum(b, d)
        for x, y in row.corners:
            inside = (lower <= x) & (x <= upper)
            low, high = np.where(inside, np.minimum(low, y), low), np.where(inside, np.maximum(high, y), high)
        return nan_to_unknown(low, high, np.isnan(lower) | np.isnan(upper))


def corner_lines(row: Corners, lower: Array, upper: Array, slope: Array | None = None) -> Lines:
    """Lines of least area: exact on one part, else through two of the ends and corners, moved until all are on the right side."""
    low, high = corner_interval(row, lower, upper)
    usable = np.isfinite(lower) & np.isfinite(upper)
    left, right = np.where(usable, lower, 0.0), np.where(usable, upper, 0.0)
    wanted = slope if slope is not None and row.steerable else None
    sides = []
    with np.errstate(all="ignore"):
        for sign, constant in ((1.0, low), (-1.0, -high)):
            points = _points(row, sign, left, right)
            tilt = _support(points, left, right)
            if sign > 0 and wanted is not None:
                tilt = np.where((left < 0) & (right > 0), _steered(wanted, row, tilt), tilt)
            offset = _offset(points, tilt)
            tilt, offset = _exact_parts(row, sign, left, right, tilt, offset)
            kept = usable & np.isfinite(tilt) & np.isfinite(offset)
            sides += [sign * np.where(kept, tilt, 0.0), sign * np.where(kept, offset, constant)]
    return Lines(*sides)


def _steered(wanted: Array, row: Corners, default: Array) -> Array:
    """The wanted lower slope, cut to those between the parts; where f is concave only the default is sensible."""
    first, last = row.slopes
    if first > last:
        return default
    return np.where(np.isnan(wanted), default, np.clip(wanted, first, last))


def _points(row: Corners, sign: float, lower: Array, upper: Array) -> list[tuple[Array, Array]]:
    """The ends of the box and the corners in it, with sign * f from below; a corner outside counts as infinitely high."""
    found = []
    for x in (lower, upper):
        low, high = row.value(x)
        found.append((x, low if sign > 0 else -high))
    for at, height in row.corners:
        inside = (lower < at) & (at < upper)
        found.insert(-1, (np.full_like(lower, at), np.where(inside, sign * height, np.inf)))
    return found


def _support(points: list[tuple[Array, Array]], lower: Array, upper: Array) -> Array:
    """Slope of the chord between two points on either side of the midpoint that is lowest there."""
    middle = 0.5 * lower + 0.5 * upper
    best, slopes = np.full_like(lower, np.inf), np.zeros_like(lower)
    for (x, y), (z, w) in combinations(points, 2):
        slope = np.where(z > x, (w - y) / (z - x), 0.0)
        height = np.where((x <= middle) & (middle <= z), y + slope * (middle - x), np.inf)
        better = height < best
        best, slopes = np.where(better, height, best), np.where(better, slope, slopes)
    return slopes


def _offset(points: list[tuple[Array, Array]], slope: Array) -> Array:
    """At most value - slope * x at every point; exact where the point is 0."""
    rests = [np.where(x == 0, y, below(y - above(slope * x))) for x, y in points]
    found: Array = np.minimum.reduce(rests)
    return found


def _exact_parts(row: Corners, sign: float, lower: Array, upper: Array, slope: Array, offset: Array) -> Interval:
    """The part's own line where the box lies in one part."""
    edges = [(-np.inf, np.nan), *row.corners, (np.inf, np.nan)]
    for part, (begin, end) in zip(row.slopes, pairwise(edges), strict=True):
        anchor = begin if math.isfinite(begin[0]) else end
        constant = _intercept(part, anchor)
        if constant is None:
            continue
        inside = (begin[0] <= lower) & (upper <= end[0])
        slope, offset = np.where(inside, sign * part, slope), np.where(inside, sign * constant, offset)
    return slope, offset


def _intercept(slope: float, anchor: tuple[float, float]) -> float | None:
    """f(x) - slope * x on a part, where it is exact: straight through the origin, level, or with no corner at all."""
    x, y = anchor
    if slope == 0.0:
        return y if math.isfinite(y) else None
    if (x == y and slope == 1.0) or not math.isfinite(x):
        return 0.0
    return 0.0 if x == 0.0 == y else None
