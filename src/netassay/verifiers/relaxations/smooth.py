"""Lines around any ``Curve``: a good slope first, by any means, then an offset that is proved for that slope.

The lower line of least area supports the convex envelope of f at the midpoint m of the box: it maximises
``min over the box of (f(x) - s x) + s m`` over the slopes s, a concave function of s. The upper line of f is the
lower line of -f, with the sign of everything turned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netassay.verifiers.relaxations.base import Array, Interval, Lines
from netassay.verifiers.relaxations.curve import SLACK, Curve, Span
from netassay.verifiers.relaxations.rounding import LARGEST, above, below, nan_to_unknown

STEPS = 24
"""Bisections of the slope: the bracket shrinks below a ten-millionth."""


def curve_interval(curve: Curve, lower: Array, upper: Array) -> Interval:
    """Contains f(x) for every x in [lower, upper]; the whole line where f leaves its domain or a bound is NaN."""
    with np.errstate(all="ignore"):
        ends = [_at(curve, x) for x in (lower, upper)]
        low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
        for turn in curve.turns(lower, upper):
            slack = SLACK * np.abs(turn.at)
            met = (upper >= turn.at - slack) & (lower <= turn.at + slack)
            low = np.where(met, np.fmin(low, turn.low), low)
            high = np.where(met, np.fmax(high, turn.high), high)
        low, high = np.where(np.isnan(low), curve.floor, low), np.where(np.isnan(high), curve.ceiling, high)
        return nan_to_unknown(low, high, np.isnan(lower) | np.isnan(upper) | ~curve.domain(lower, upper))


def _at(curve: Curve, x: Array) -> Interval:
    """Encloses f(x) at each x; its limit at an infinite one."""
    low, high = _enclosed(curve.value(x), curve, x)
    for end, limit in zip((-np.inf, np.inf), curve.limits, strict=True):
        low, high = np.where(x == end, limit, low), np.where(x == end, limit, high)
    return low, high


def _enclosed(value: Array, curve: Curve, x: Array) -> Interval:
    """``value`` widened by its error and cut to the range of f; a value that overflowed is huge, but finite."""
    error = curve.value_error(x, value)
    low = np.where(value == np.inf, LARGEST / 2, below(value - error))
    high = np.where(value == -np.inf, -LARGEST / 2, above(value + error))
    return np.clip(low, curve.floor, curve.ceiling), np.clip(high, curve.floor, curve.ceiling)


def curve_lines(curve: Curve, lower: Array, upper: Array) -> Lines:
    """Lines of least area around f on [lower, upper], constant where a bound is infinite or f leaves its domain."""
    shape, lower, upper = lower.shape, lower.ravel(), upper.ravel()
    with np.errstate(all="ignore"):
        low, high = curve_interval(curve, lower, upper)
        usable = np.isfinite(lower) & np.isfinite(upper) & curve.domain(lower, upper)
        left, right = (np.where(usable, x, curve.inside) for x in (lower, upper))
        sides = []
        for sign, constant in ((1.0, low), (-1.0, -high)):
            slope = _support_slopes(curve, sign, left, right)
            offset = least(curve, sign, slope, left, right)
            kept = usable & np.isfinite(slope) & np.isfinite(offset)
            sides += [sign * np.where(kept, slope, 0.0), sign * np.where(kept, offset, constant)]
    return Lines(*(side.reshape(shape) for side in sides))


def _convex_spans(curve: Curve, sign: float, lower: Array, upper: Array) -> Sequence[Span]:
    """Spans on which sign * f is convex."""
    return (curve.convex if sign > 0 else curve.concave)(lower, upper)


def least(curve: Curve, sign: float, slope: Array, lower: Array, upper: Array) -> Array:
    """At most ``sign * f(x) - slope * x`` for every real x in [lower, upper] (finite, in the domain), whatever the slope.

    Where sign * f is concave or straight the least is at an end of the box or at a kink; an end of such a part that is
    neither belongs to a convex span. On a convex span every tangent is below; the one where the derivative is nearest
    to the slope is taken, and what its inexact derivative leaves is subtracted.
    """
    found = np.minimum(_tilted(curve, sign, slope, lower), _tilted(curve, sign, slope, upper))
    for kink in curve.kinks:
        at_kink = _tilted(curve, sign, slope, np.full_like(lower, kink))
        found = np.where((lower < kink) & (kink < upper), np.minimum(found, at_kink), found)
    for span in _convex_spans(curve, sign, lower, upper):
        outer, inner = span.outer, span.inner
        begin, end = np.maximum(lower, outer[0]), np.minimum(upper, outer[1])
        located = inner[0] <= inner[1]
        touch = np.clip(np.clip(_finite(span.inverse(sign * slope), lower), begin, end), *inner)
        tangent = np.where(located, _least_on_tangent(curve, sign, slope, touch, begin, end), -np.inf)
        found = np.where(begin > end, found, np.minimum(found, tangent))
    return np.where(np.isnan(found), -np.inf, found)


def _finite(points: Array, instead: Array) -> Array:
    return np.where(np.isnan(points), instead, points)


def _tilted(curve: Curve, sign: float, slope: Array, x: Array) -> Array:
    """At most sign * f(x) - slope * x."""
    low, high = _enclosed(curve.value(x), curve, x)
    return below((low if sign > 0 else -high) - above(slope * x))


def _least_on_tangent(curve: Curve, sign: float, slope: Array, touch: Array, begin: Array, end: Array) -> Array:
    """At most the tangent of sign * f - slope * x at ``touch``, on all of [begin, end]."""
    derivative = curve.derivative(touch)
    error = curve.derivative_error(touch, derivative)
    rise = sign * derivative
    steepest, flattest = above(above(rise + error) - slope), below(below(rise - error) - slope)
    on_left = above(np.maximum(steepest, 0.0) * np.maximum(above(touch - begin), 0.0))
    on_right = above(np.maximum(-flattest, 0.0) * np.maximum(above(end - touch), 0.0))
    return below(_tilted(curve, sign, slope, touch) - np.maximum(on_left, on_right))


def _support_slopes(curve: Curve, sign: float, lower: Array, upper: Array) -> Array:
    """Slopes of least area below sign * f: the tangent's at the midpoint, the chord's, or a search between parts."""
    rise = sign * curve.derivative(0.5 * lower + 0.5 * upper)
    ends = [sign * curve.derivative(x) for x in (lower, upper)]
    chord = sign * (curve.value(upper) - curve.value(lower)) / (upper - lower)
    chord = np.clip(np.where(upper > lower, chord, rise), np.minimum(*ends), np.maximum(*ends))
    within, met = np.zeros(lower.shape, dtype=np.bool_), np.zeros(lower.shape, dtype=np.bool_)
    for span in _convex_spans(curve, sign, lower, upper):
        (begin, end), (first, last) = span.inner, span.outer
        within |= (begin <= lower) & (upper <= end)
        met |= (first < upper) & (lower < last)
    for kink in curve.kinks:
        met |= (lower < kink) & (kink < upper)
    slopes = np.where(within, rise, chord)
    mixed = met & ~within
    if mixed.any():
        slopes[mixed] = _search(curve, sign, lower[mixed], upper[mixed])
    return slopes


def _search(curve: Curve, sign: float, lower: Array, upper: Array) -> Array:
    """Bisects the slope until the point where sign * f - slope * x is least jumps over the midpoint."""
    middle = 0.5 * lower + 0.5 * upper
    spans = [(s, np.maximum(lower, s.outer[0]), np.minimum(upper, s.outer[1])) for s in _convex_spans(curve, sign, lower, upper)]
    value_of = curve.sketch or curve.value
    fixed = _fixed_points(curve, sign, lower, upper)
    small, large = _slope_range(curve, sign, lower, upper)
    for _ in range(STEPS):
        slope = 0.5 * small + 0.5 * large
        best, where = fixed[0][1] - slope * lower, lower
        rivals = fixed[1:]
        for span, begin, end in spans:
            touch = np.clip(span.inverse(sign * slope), begin, end)
            rivals = [*rivals, (touch, np.where(begin > end, np.inf, sign * value_of(touch)))]
        for x, value in rivals:
            rest = value - slope * x
            where = np.where(rest < best, x, where)
            best = np.fmin(rest, best)
        small, large = np.where(where > middle, small, slope), np.where(where > middle, slope, large)
    return 0.5 * small + 0.5 * large


def _fixed_points(curve: Curve, sign: float, lower: Array, upper: Array) -> list[tuple[Array, Array]]:
    """The ends of the box and the kinks in it, with the values of sign * f."""
    points = [(x, sign * curve.value(x)) for x in (lower, upper)]
    for kink in curve.kinks:
        x = np.full_like(lower, kink)
        points.append((x, np.where((lower < x) & (x < upper), sign * curve.value(x), np.inf)))
    return points


def _slope_range(curve: Curve, sign: float, lower: Array, upper: Array) -> Interval:
    """Least and largest derivative of sign * f in the box: at its ends and at the ends of the spans."""
    points = [lower, upper]
    for span in (*curve.convex(lower, upper), *curve.concave(lower, upper)):
        points += [np.clip(end, lower, upper) for end in span.inner]
    slopes = [sign * curve.derivative(x) for x in points]
    return np.fmin.reduce(slopes), np.fmax.reduce(slopes)
