"""log(sum_k exp(x_k)) on a box: a convex function, bounded by its tangent and by chords of its terms."""

from __future__ import annotations

import numpy as np

from netassay.verifiers.relaxations.base import Array, Interval, Planes
from netassay.verifiers.relaxations.positions import Index, gathered
from netassay.verifiers.relaxations.rounding import EPS, above, below, nan_to_unknown, sum_above

UNDERFLOW = 1e-300


def _value(x: Array) -> Interval:
    """Encloses log-sum-exp over the last axis; x is shifted by its maximum, so that the sum lies between 1 and n.

    Each term exp(d), d <= 0, is off by (4 + |d|) EPS exp(d), its exponent's rounding included, at most 5 EPS; the sum
    by n EPS more; relative errors of the sum are absolute errors of its logarithm.
    """
    n = x.shape[-1]
    top = x.max(axis=-1)
    shift = np.where(np.isfinite(top), top, 0.0)
    logarithm = np.log(np.exp(x - shift[..., None]).sum(axis=-1))
    error = EPS * (8 * n + 32 + 16 * np.abs(logarithm)) + UNDERFLOW
    return below(shift + below(logarithm - error)), above(shift + above(logarithm + error))


def log_sum_exp_interval(index: Index, lowers: list[Array], uppers: list[Array]) -> Interval:
    """Range of log-sum-exp, which grows in every input."""
    return _range(gathered(lowers, index), gathered(uppers, index))


def _range(lower: Array, upper: Array) -> Interval:
    with np.errstate(all="ignore"):
        low, high = _value(lower)[0], _value(upper)[1]
    return nan_to_unknown(low, high, np.asarray((np.isnan(lower) | np.isnan(upper)).any(axis=-1)))


def log_sum_exp_planes(index: Index, lowers: list[Array], uppers: list[Array]) -> Planes:
    """The tangent at the midpoint below; above, the chords of the exponentials or the constant, whichever is lower there."""
    lower, upper = gathered(lowers, index), gathered(uppers, index)
    low, high = _range(lower, upper)
    usable = np.asarray((np.isfinite(lower) & np.isfinite(upper)).all(axis=-1))
    with np.errstate(all="ignore"):
        lower, upper = (np.where(usable[:, :, None], x, 0.0) for x in (lower, upper))
        center = 0.5 * lower + 0.5 * upper
        slopes, offset = _tangent(center, lower, upper)
        rises, height = _chords(lower, upper)
        lower_than_constant = (rises * center).sum(axis=-1) + height < high
    flat_below = ~(usable & np.isfinite(offset))
    flat_above = ~(usable & np.isfinite(height) & lower_than_constant)
    slopes[flat_below], rises[flat_above] = 0.0, 0.0
    return Planes(index, slopes, rises, np.where(flat_below, low, offset), np.where(flat_above, high, height))


def _tangent(center: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Slopes p near softmax(center) and an offset: by convexity, y >= value(center) + softmax(center) . (x - center).

    What p misses of the softmax, relative to the distance from the center, is subtracted.
    """
    n = center.shape[-1]
    distance = center - center.max(axis=-1, keepdims=True)
    terms = np.exp(distance)
    slopes = terms / terms.sum(axis=-1, keepdims=True)
    error = slopes * (EPS * (8 * n + 64 + 4 * np.minimum(np.abs(distance), 800.0))) + UNDERFLOW
    reach = above(np.maximum(above(upper - center), above(center - lower)))
    missed = sum_above(above(above(error) * reach))
    along = sum_above(above(slopes * center))
    return slopes, below(below(_value(center)[0] - along) - missed)


def _chords(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Slopes q and an offset: with M the largest upper bound and any z > 0, log w <= log z + w / z - 1 gives

    y - q . x <= M + log z - 1 + sum_k (exp(x_k - M) / z - q_k x_k), whose terms are convex: largest at an end of x_k.
    q_k is the slope of that chord, z the sum of the chords at the center.
    """
    top = upper.max(axis=-1, keepdims=True)
    ends = [np.exp(x - top) for x in (lower, upper)]
    width = upper - lower
    rate = np.where(width > 0, (ends[1] - ends[0]) / width, ends[1])
    total = (0.5 * (ends[0] + ends[1])).sum(axis=-1, keepdims=True)
    slopes = rate / total
    terms = np.maximum.reduce([_term(x, e, top, total, slopes) for x, e in zip((lower, upper), ends, strict=True)])
    logarithm = np.log(total[..., 0])
    start = above(logarithm + 16 * EPS * np.abs(logarithm) + UNDERFLOW)
    return slopes, above(above(top[..., 0] + above(start - 1.0)) + sum_above(terms))


def _term(x: Array, exponential: Array, top: Array, total: Array, slopes: Array) -> Array:
    """At least exp(x - top) / total - slopes * x; x - top carries a rounding, so that its exponential is off by as much."""
    error = EPS * (16 + 2 * np.minimum(np.abs(x - top), 800.0)) * exponential + UNDERFLOW
    return above(above(above(exponential + error) / total) - below(slopes * x))
