"""The largest (or least) of several numbers.

Exact where one input is never below the others. Elsewhere the lower plane is the input with the largest midpoint
(the least volume among single inputs), and the upper plane follows the input i of the largest upper bound: with v the
largest upper bound of the others, max(x) <= max(x_i, v), whose chord over x_i is taken. At the midpoint that is
(u_i + v) / 2, the concave envelope's value for two inputs.

References:
    Singh et al., 2019, https://doi.org/10.1145/3290354 (DeepPoly)
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.relaxations.base import Array, Interval, Mask, Planes
from netassay.verifiers.relaxations.positions import PADDING, Index, gathered
from netassay.verifiers.relaxations.rounding import EPS, LARGEST, above, below, nan_to_unknown


def max_planes(index: Index, lowers: list[Array], uppers: list[Array]) -> Planes:
    """Planes around y[o] = max over k of x[index[o, k]]."""
    lower, upper = (gathered(b, index, -np.inf) for b in (lowers, uppers))
    lost = (np.isnan(lower) | np.isnan(upper)).any(axis=-1)
    with np.errstate(all="ignore"):
        below_slopes = _largest_midpoint(index, lower, upper)
        above_slopes, above_offset = _chord(lower, upper)
        winner, exact = _winner(index, lower, upper)
    below_slopes[exact] = above_slopes[exact] = winner[exact]
    above_offset[exact] = 0.0
    below_slopes[lost] = above_slopes[lost] = 0.0
    return Planes(
        np.where(index == PADDING, 0, index),
        below_slopes,
        above_slopes,
        np.where(lost, -np.inf, 0.0),
        np.where(lost, np.inf, above_offset),
    )


def _one_hot(at: Index, size: int) -> Array:
    return np.asarray(np.arange(size) == at[..., None], dtype=np.float64)


def _real(index: Index, values: Array) -> Array:
    """``values``, above minus infinity and not NaN wherever an input is read."""
    return np.where(index == PADDING, -np.inf, np.fmax(values, -LARGEST))


def _largest_midpoint(index: Index, lower: Array, upper: Array) -> Array:
    return _one_hot(_real(index, 0.5 * lower + 0.5 * upper).argmax(axis=-1), lower.shape[-1])


def _others_upper(upper: Array, at: Index) -> Array:
    """The largest upper bound of all inputs but the one at ``at``; minus infinity if there is no other."""
    return np.asarray(np.where(np.arange(upper.shape[-1]) == at[..., None], -np.inf, upper).max(axis=-1))


def _at(values: Array, at: Index) -> Array:
    return np.take_along_axis(values, at[..., None], axis=-1)[..., 0]


def _winner(index: Index, lower: Array, upper: Array) -> tuple[Array, Mask]:
    """The input of the largest lower bound, and whether it is never below another."""
    at = _real(index, lower).argmax(axis=-1)
    return _one_hot(at, lower.shape[-1]), np.asarray(_at(lower, at) >= _others_upper(upper, at))


def _chord(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Slopes and offset of the upper plane; constant where a number is infinite."""
    at = upper.argmax(axis=-1)
    most, least, others = _at(upper, at), _at(lower, at), _others_upper(upper, at)
    rise = np.clip((most - others) / (most - least) * (1 + 4 * EPS), 0.0, 1.0)
    rise = np.where(np.isfinite(rise) & np.isfinite(most) & np.isfinite(least), rise, 0.0)
    tilted = np.maximum(above(others - below(rise * least)), above(most - below(rise * most)))
    offset = np.where(rise == 0.0, most, tilted)
    return _one_hot(at, lower.shape[-1]) * rise[..., None], offset


def max_interval(index: Index, lowers: list[Array], uppers: list[Array]) -> Interval:
    """Exact: (B, out) each."""
    lower, upper = (gathered(b, index, -np.inf) for b in (lowers, uppers))
    lost = np.asarray((np.isnan(lower) | np.isnan(upper)).any(axis=-1))
    return nan_to_unknown(lower.max(axis=-1), upper.max(axis=-1), lost)


def min_planes(index: Index, lowers: list[Array], uppers: list[Array]) -> Planes:
    """Planes around the least: min(x) = -max(-x)."""
    turned = max_planes(index, [-x for x in uppers], [-x for x in lowers])
    return Planes(turned.index, turned.upper_slopes, turned.lower_slopes, -turned.upper_offset, -turned.lower_offset)


def min_interval(index: Index, lowers: list[Array], uppers: list[Array]) -> Interval:
    """Exact: (B, out) each."""
    low, high = max_interval(index, [-x for x in uppers], [-x for x in lowers])
    return -high, -low
