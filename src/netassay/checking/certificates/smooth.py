"""Lines around smooth functions: a slope is chosen, by any means; the offset that makes its line hold is the checker's own.

For a slope s the offset below is at most ``f(x) - s x`` on the whole interval. Where f is convex, f is above its tangent at any point t:
``f(x) - s x >= f(t) - s t + (f'(t) - s)(x - t)``, and the last product is least at ends of the interval and of what is known of
f'(t); so nothing is lost where the slope is about f'(t). Where f is concave the least is at an end. A line above an S-shaped function
is one below its mirror image: ``f(x) = floor + ceiling - f(-x)``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, floats
from netassay.checking.certificates.curves import Curve
from netassay.checking.certificates.relaxation import Lines

Floats = NDArray[np.float64]
Choice = tuple[Floats, Floats]
"""Slopes, and points at which the tangents have about these slopes."""

WIDEST = 700.0
"""Points further out are not chosen."""

FLATTEST, STEEPEST = 1e-100, 100.0
"""Slopes below the first are taken for 0. Exponentials are touched up to the second, and have lines above them up to there: products of
slopes stay far below the largest float."""


def smooth(a: Arithmetic, curve: Curve, low: Array, high: Array, levels: Floats | None = None) -> Lines:
    """Lines of about the least area around f on [low, high], both (B, m); constants where an end is not known.

    Args:
        a: The arithmetic.
        curve: f.
        low, high: The ranges.
        levels: For exponentials of which sums with weights are to exceed 1, the logarithms of the weights of each sum (sums, m), NaN
            for what is not in it: tangents are where a sum of about 1 is bounded best. Elsewhere they have the least area.
    """
    low, high = np.broadcast_arrays(low, high)
    known = np.asarray(a.known(low) & a.known(high))
    ends = np.where(known, low, a.array(0.0)), np.where(known, high, a.array(0.0))
    near = floats(ends[0]), floats(ends[1])
    with np.errstate(all="ignore"):
        below = _supported(curve, *near) if curve.bends else _tangent(curve, np.minimum(_points(*near, levels), STEEPEST))
        slope = a.array(_usable(below[0], known))
        offset = _least(a, curve, slope, _point(a, below[1]), *ends)
        least, most = curve.value(a, low)[0], curve.value(a, high)[1]
        if curve.bends:
            above = _supported(curve, -near[1], -near[0])
            rise = a.array(_usable(above[0], known))
            top = a.array(curve.floor + curve.ceiling) - _least(a, curve, rise, _point(a, above[1]), -ends[1], -ends[0])
        else:
            flat = near[1] > STEEPEST
            rise = a.array(np.where(flat, 0.0, _usable(_chord(curve, *near), known)))
            top = np.where(flat, np.inf, np.maximum(*(a.up(curve.value(a, x)[1] - a.down(rise * x)) for x in ends)))
    return Lines(slope, rise, np.where(known, a.up(top), most), lower_offset=np.where(known, offset, least))


def merged(first: NDArray[np.bool_], one: Lines, other: Lines) -> Lines:
    """The lines of one where ``first`` (B, m) says so, of the other elsewhere; both of smooth functions."""
    names = ("lower_slope", "upper_slope", "upper_offset", "lower_offset")
    return Lines(**{name: np.where(first, getattr(one, name), getattr(other, name)) for name in names})


def _usable(slopes: Floats, known: NDArray[np.bool_]) -> Floats:
    """Neither negative nor so small that products with them underflow."""
    return np.where(known & np.isfinite(slopes) & (slopes > FLATTEST), slopes, 0.0)


def _point(a: Arithmetic, points: Floats) -> Array:
    return a.array(np.nan_to_num(np.clip(points, -WIDEST, WIDEST)))


def _least(a: Arithmetic, curve: Curve, slope: Array, touch: Array, low: Array, high: Array) -> Array:
    """At most ``f(x) - slope * x`` on [low, high], by the tangent at ``touch`` where f is convex."""
    end = high
    if curve.bends:
        touch, end = np.minimum(touch, 0), np.minimum(high, 0)
    value, steepness = curve.ends(a, touch)
    rise = a.down(steepness[0] - slope), a.up(steepness[1] - slope)
    reach = a.down(low - touch), a.up(end - touch)
    products = [a.down(r * x) for r in rise for x in reach]
    found = a.down(a.down(value[0] - a.up(slope * touch)) + np.minimum.reduce(products))
    if not curve.bends:
        return np.asarray(found)
    at_low, at_high = (a.down(curve.value(a, x)[0] - a.up(slope * x)) for x in (low, high))
    found = np.where(low < 0, found, at_low)
    return np.where(high > 0, np.minimum(found, at_high), found)


# -- choices, which need not be exact ---------------------------------------------------------------------------------------------------


def _tangent(curve: Curve, at: Floats) -> Choice:
    return curve.near(at)[1], at


def _chord(curve: Curve, low: Floats, high: Floats) -> Floats:
    """Slopes of chords; of tangents where an interval is a point."""
    ends = [curve.near(x) for x in (low, high)]
    found = np.where(high > low, (ends[1][0] - ends[0][0]) / (high - low), ends[0][1])
    return np.clip(found, np.minimum(ends[0][1], ends[1][1]), np.inf)


def _points(low: Floats, high: Floats, levels: Floats | None) -> Floats:
    """Where exponentials are touched: at the middle, or ``log p_i - level_i`` with p_i the share of the sum that the middle has."""
    middle = low / 2 + high / 2
    for level in () if levels is None else levels:
        mine = np.flatnonzero(~np.isnan(level))
        if len(mine):
            weighed = middle[:, mine] + level[mine]
            top = weighed.max(axis=1, keepdims=True)
            total = top + np.log(np.exp(weighed - top).sum(axis=1, keepdims=True))
            middle[:, mine] = np.clip(middle[:, mine] - total, low[:, mine], high[:, mine])
    return middle


def _supported(curve: Curve, low: Floats, high: Floats) -> Choice:
    """Of the greatest convex function below an S-shaped one the line at the middle: a chord, or a tangent at or left of 0."""
    middle = low / 2 + high / 2
    touch = np.where(high > 0, np.maximum(_touches(curve, np.maximum(high, 0.0)), low), high)
    at = np.minimum(middle, touch)
    return np.where(touch > low, curve.near(at)[1], _chord(curve, low, high)), at


@cache
def _table(curve: Curve) -> Choice:
    """Ends of intervals from 0 on, and where the tangents that go through the curve there touch it, by bisection."""
    ends = np.concatenate([[0.0], np.geomspace(1e-4, WIDEST, 4000)])
    value, left, right = curve.near(ends)[0], -ends, np.zeros_like(ends)
    for _ in range(60):
        middle = (left + right) / 2
        there, slope = curve.near(middle)
        under = there + slope * (ends - middle) < value
        left, right = np.where(under, middle, left), np.where(under, right, middle)
    return ends, (left + right) / 2


def _touches(curve: Curve, end: Floats) -> Floats:
    """Where the tangent through the curve at ``end`` >= 0 touches it, about."""
    return np.interp(end, *_table(curve))
