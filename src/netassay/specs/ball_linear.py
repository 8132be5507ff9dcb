"""Linear forms over a ball within a box: exact minimisers, and lower bounds with every rounding on the safe side.

In offsets ``u = (x - center) / scale`` the region is ``-down <= u <= up, ||u||_p <= r`` with ``down, up >= 0``, so the minimum
of ``<w, u>`` moves every feature against the sign of ``w``, by at most its cap: L-infinity takes every cap, L1 is the
fractional knapsack, L2 satisfies ``|u_i| = min(cap_i, tau |w_i|)`` (Karush-Kuhn-Tucker), L0 takes the best groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netassay.numerics.norms import Norm
from netassay.specs.ball_geometry import UNIT_ROUNDOFF, Array, Geometry, contained, settle
from netassay.specs.ball_steps import best_corner, snap_towards_center


def capped_multiplier(weights: Array, caps: Array, radius: float) -> Array:
    """The tau with ``sum_i min(cap_i, tau * w_i)**2 = radius**2``; infinity where even all caps together stay inside.

    Exact up to rounding: the left side is piecewise quadratic in tau with breakpoints ``cap_i / w_i``.

    Args:
        weights: (N, n), not negative.
        caps: (N, n) or (n,), not negative, finite where the weight is positive.
        radius: Positive.
    """
    with np.errstate(all="ignore"):
        top = weights.max(axis=1, keepdims=True)
        w = np.where(top > 0, weights / top, 0.0)
        caps = np.where(w > 0, caps, 0.0)
        ratio = np.where(w > 0, caps / w, np.inf)
        order = np.argsort(ratio, axis=1, kind="stable")
        ratio = np.take_along_axis(ratio, order, axis=1)
        caps_squared = np.take_along_axis(caps, order, axis=1) ** 2
        weights_squared = np.take_along_axis(w, order, axis=1) ** 2
        capped = np.cumsum(caps_squared, axis=1) - caps_squared
        rest = np.cumsum(weights_squared[:, ::-1], axis=1)[:, ::-1]
        at_break = capped + np.where(rest > 0, ratio**2 * rest, 0.0)
        reached = (at_break >= radius**2) & (rest > 0)
        first = np.argmax(reached, axis=1)[:, None]
        slack = radius**2 - np.take_along_axis(capped, first, axis=1)
        tau = np.sqrt(np.maximum(slack, 0.0) / np.take_along_axis(rest, first, axis=1))
        return np.asarray(np.where(reached.any(axis=1), tau[:, 0] / top[:, 0], np.inf))


def capped_magnitudes(weights: Array, caps: Array, tau: Array) -> Array:
    """``min(cap, tau * weight)`` row by row, 0 where the weight is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.where(weights > 0, np.minimum(caps, tau[:, None] * weights), 0.0))


def knapsack(weights: Array, caps: Array, budget: float) -> tuple[Array, Array]:
    """Spends ``budget`` on the heaviest features first, each up to its cap: (amounts (N, n), weight of the last feature (N,)).

    The second part is 0 where the budget is not used up; it is the optimal multiplier of the budget.
    """
    order = np.argsort(-weights, axis=1, kind="stable")
    sorted_caps = np.take_along_axis(np.broadcast_to(caps, weights.shape), order, axis=1)
    spent = np.cumsum(sorted_caps, axis=1)
    taken = np.clip(budget - (spent - sorted_caps), 0.0, sorted_caps)
    amounts = np.empty_like(weights)
    np.put_along_axis(amounts, order, taken, axis=1)
    last = np.argmax(spent >= budget, axis=1)[:, None]
    price = np.take_along_axis(np.take_along_axis(weights, order, axis=1), last, axis=1)[:, 0]
    return np.where(weights > 0, amounts, 0.0), np.where(spent[:, -1] >= budget, price, 0.0)


def best_groups(gains: Array, count: int) -> NDArray[np.bool_]:
    """(N, g): the ``count`` groups of each row with the largest gain."""
    if count >= gains.shape[1]:
        return np.ones(gains.shape, dtype=np.bool_)
    chosen = np.zeros(gains.shape, dtype=np.bool_)
    np.put_along_axis(chosen, np.argsort(-gains, axis=1, kind="stable")[:, :count], True, axis=1)
    return chosen


def minimiser(geometry: Geometry, coefficients: Array, domain: tuple[Array, Array]) -> Array:
    """Points (N, n) of the region where ``<coefficients, x>`` is smallest, up to rounding.

    With granular or one-hot features this is exact for L-infinity and L0; for L1 and L2 (a knapsack
    problem, NP-hard) the continuous minimiser is snapped towards the centre: in the region, not always the minimum.
    """
    if geometry.norm in (Norm.LINF, Norm.L0):
        corner = best_corner(geometry, coefficients)
        if geometry.norm is Norm.LINF:
            return corner
        gains = geometry.group_sums(coefficients * (geometry.center - corner))
        chosen = geometry.per_feature(best_groups(gains, int(geometry.radius)))
        return np.where(chosen, corner, geometry.center)
    weights = np.abs(coefficients) * geometry.scale
    caps = np.where(coefficients > 0, geometry.down, geometry.up) * geometry.free
    if geometry.norm is Norm.L1:
        magnitudes, _ = knapsack(weights, caps, geometry.radius)
    else:
        magnitudes = capped_magnitudes(weights, caps, capped_multiplier(weights, caps, geometry.radius))
    points = settle(geometry, -np.sign(coefficients) * magnitudes)
    return snap_towards_center(geometry, points, lambda rows: contained(geometry, rows, domain))


def lower_bounds(geometry: Geometry, coefficients: Array) -> Array:
    """A number (N,) at or below ``min <coefficients, x>`` over the region, in real arithmetic.

    By Lagrangian duality any multiplier gives a lower bound; the one of the float solution is evaluated with
    weights, caps and sums rounded up (Higham's gamma_n). Features are taken as continuous. Rows that are
    not finite, and unbounded ones, give -infinity.
    """
    with np.errstate(all="ignore"):
        toward = np.where(coefficients > 0, geometry.center - geometry.outer_low, geometry.outer_high - geometry.center)
        caps = np.where(toward > 0, _up(toward / geometry.scale), 0.0)
        weights = np.where(coefficients == 0, 0.0, _up(np.abs(coefficients) * geometry.scale))
        gain = _dual_gain(geometry, weights, caps) * (1 + (geometry.size + 64) * 4 * UNIT_ROUNDOFF)
        products = coefficients * geometry.center  # the margins, 64 and 8 terms wider than the sums need, cover the two subtractions
        slack = (geometry.size + 8) * 2 * (UNIT_ROUNDOFF * np.sum(np.abs(products), axis=1) + 5e-324)
        bound = np.sum(products, axis=1) - _up(slack) - _up(gain)
    usable = np.isfinite(coefficients).all(axis=1) & ~np.isnan(bound) & (bound < np.inf)
    return np.asarray(np.where(usable, bound, -np.inf))


def _dual_gain(geometry: Geometry, weights: Array, caps: Array) -> Array:
    """An upper bound of ``max <w, u>`` before summation rounding; all terms are sums and products of numbers >= 0."""
    full = np.where((weights > 0) & (caps > 0), weights * caps, 0.0)
    if geometry.norm is Norm.LINF:
        return np.asarray(full.sum(axis=1))
    if geometry.norm is Norm.L0:
        sums = geometry.group_sums(full)
        return np.asarray(np.where(best_groups(sums, int(geometry.radius)), sums, 0.0).sum(axis=1))
    if geometry.norm is Norm.L1:
        _, price = knapsack(weights, caps, geometry.radius)
        above = np.maximum(weights - price[:, None], 0.0)
        return np.asarray(geometry.radius * price + np.where(above > 0, above * caps, 0.0).sum(axis=1))
    price = 1 / capped_multiplier(weights, caps, geometry.radius)[:, None]
    at_cap = weights >= price * caps
    conjugate = np.where(at_cap, caps * (weights - price * caps / 2), weights * (weights / (2 * price)))
    total = price[:, 0] * geometry.radius * geometry.radius / 2 + np.where((weights > 0) & (caps > 0), conjugate, 0.0).sum(axis=1)
    return np.asarray(np.minimum(total, full.sum(axis=1)))


def _up(values: Array) -> Array:
    """At least the real value of a float result with up to four roundings."""
    return np.asarray(np.nextafter(values * (1 + 8 * UNIT_ROUNDOFF), np.inf))
