"""Euclidean projection onto a ball within a box, in scaled offsets ``u = (x - center) / scale``.

The box contains 0, so every ``u_i`` keeps the sign of the offset ``v_i`` that is projected. L-infinity: clip. L2: ``|u_i| =
min(cap_i, tau |v_i|)``. L1: ``|u_i| = clip(|v_i| - theta, 0, cap_i)`` (Duchi et al., 2008, with caps). L0: the groups whose freedom
saves most. Both multipliers are found exactly on the sorted breakpoints of a monotone function.
"""

from __future__ import annotations

import numpy as np

from netassay.numerics.norms import Norm
from netassay.specs.ball_geometry import Array, Geometry, contained, settle
from netassay.specs.ball_linear import best_groups, capped_magnitudes, capped_multiplier
from netassay.specs.ball_steps import snap_nearest, snap_towards_center


def soft_threshold(values: Array, caps: Array, budget: float) -> Array:
    """The smallest theta >= 0 (N,) with ``sum_i clip(values_i - theta, 0, caps_i) <= budget``.

    Args:
        values: (N, n), not negative.
        caps: (N, n), not negative.
        budget: Positive.
    """
    rows, size = values.shape
    breaks = np.concatenate([values, np.maximum(values - caps, 0.0)], axis=1)
    slopes = np.concatenate([np.ones((rows, size)), -np.ones((rows, size))], axis=1)
    order = np.argsort(-breaks, axis=1, kind="stable")
    breaks = np.take_along_axis(breaks, order, axis=1)
    slope = np.cumsum(np.take_along_axis(slopes, order, axis=1), axis=1)
    gaps = np.diff(-breaks, axis=1, append=0.0)
    sums = np.cumsum(slope * gaps, axis=1)
    reached = sums >= budget
    first = np.argmax(reached, axis=1)[:, None]
    excess = np.take_along_axis(sums, first, axis=1) - budget
    end = np.take_along_axis(breaks, first, axis=1) - np.take_along_axis(gaps, first, axis=1)
    theta = end + excess / np.maximum(np.take_along_axis(slope, first, axis=1), 1.0)
    return np.asarray(np.where(reached.any(axis=1), np.maximum(theta[:, 0], 0.0), 0.0))


def project(geometry: Geometry, points: Array, domain: tuple[Array, Array]) -> Array:
    """The nearest points (N, n) of the region in the scaled Euclidean distance; points inside stay as they are.

    Exact up to rounding inwards. With granular or one-hot features exact for L-infinity and L0, and for
    L1 and L2 the continuous projection snapped towards the centre.
    """
    inside = contained(geometry, points, domain)
    projected = points.copy()
    outside = np.flatnonzero(~inside)
    if len(outside):
        projected[outside] = _project_outside(geometry, points[outside], domain)
    return projected


def _project_outside(geometry: Geometry, points: Array, domain: tuple[Array, Array]) -> Array:
    if geometry.norm in (Norm.LINF, Norm.L0):
        near = snap_nearest(geometry, points)
        return near if geometry.norm is Norm.LINF else _keep_best_groups(geometry, points, near)
    offsets = np.where(geometry.free, (points - geometry.center) / geometry.scale, 0.0)
    sizes = np.abs(offsets)
    caps = np.where(offsets > 0, geometry.up, geometry.down)
    if geometry.norm is Norm.L1:
        magnitudes = np.clip(sizes - soft_threshold(sizes, caps, geometry.radius)[:, None], 0.0, caps)
    else:
        tau = np.minimum(capped_multiplier(sizes, caps, geometry.radius), 1.0)
        magnitudes = capped_magnitudes(sizes, caps, tau)
    placed = settle(geometry, np.sign(offsets) * magnitudes)
    return snap_towards_center(geometry, placed, lambda rows: contained(geometry, rows, domain))


def _keep_best_groups(geometry: Geometry, points: Array, near: Array) -> Array:
    at_center = ((points - geometry.center) / geometry.scale) ** 2
    kept = ((points - near) / geometry.scale) ** 2
    chosen = geometry.per_feature(best_groups(geometry.group_sums(at_center - kept), int(geometry.radius)))
    return np.where(chosen, near, geometry.center)
