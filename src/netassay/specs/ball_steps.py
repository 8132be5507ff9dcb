"""Granular features (integers, 1/255 steps) and one-hot blocks inside a ball.

Steps count from the centre: ``x = center + k * step``. The outermost step of a feature is the last one within its
reach, where a step that misses the limit by at most 1e-9 of itself is taken, and put on the limit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netassay.specs.ball_geometry import STEP_SHARE, Array, Bools, Geometry, Positions

Membership = Callable[[Array], Bools]


def step_counts(geometry: Geometry, features: Positions) -> tuple[Array, Array]:
    """How many whole steps each granular feature can fall and rise (float64 whole numbers; infinite where unbounded)."""
    step, center = geometry.step[features], geometry.center[features]
    down = np.floor((center - geometry.low[features]) / step + STEP_SHARE)
    return down, np.floor((geometry.high[features] - center) / step + STEP_SHARE)


def at_step(geometry: Geometry, features: Positions, counts: Array) -> Array:
    """The value of each granular feature ``counts`` steps from the centre, kept within its reach."""
    values = geometry.center[features] + counts * geometry.step[features]
    return np.asarray(np.clip(values, geometry.low[features], geometry.high[features]))


def categories(geometry: Geometry, block: Positions) -> Bools:
    """Which members of a one-hot block the region allows to be the 1, each block on its own."""
    current = int(block[np.argmax(geometry.center[block])])
    may_leave = geometry.low[current] <= 0
    allowed = (geometry.high[block] >= 1) & may_leave
    allowed[block == current] = True
    return np.asarray(allowed)


def best_corner(geometry: Geometry, coefficients: Array) -> Array:
    """The point (N, n) of the product of all features' reaches where ``<coefficients, x>`` is smallest; exact, steps and blocks included.

    Features whose reach is infinite keep an infinite value where their coefficient is not 0.
    """
    corner = np.where(coefficients > 0, geometry.low, np.where(coefficients < 0, geometry.high, geometry.center))
    granular = np.flatnonzero(geometry.step > 0)
    if len(granular):
        down, up = step_counts(geometry, granular)
        sign = np.sign(coefficients[:, granular])
        corner[:, granular] = at_step(geometry, granular, np.where(sign > 0, -down, np.where(sign < 0, up, 0.0)))
    for block in geometry.blocks:
        costs = np.where(categories(geometry, block), coefficients[:, block], np.inf)
        corner[:, block] = one_hot(costs.argmin(axis=1), len(block))
    return corner


def one_hot(members: Positions, size: int) -> Array:
    """Rows (N, size) with a 1 at ``members`` (N,)."""
    return np.asarray((np.arange(size) == members[:, None]).astype(np.float64))


def snap_nearest(geometry: Geometry, points: Array) -> Array:
    """Each feature to the nearest value it may take on its own: clipped, on a step, blocks to a category."""
    raw, points = points, np.clip(points, geometry.low, geometry.high)
    granular = np.flatnonzero(geometry.step > 0)
    if len(granular):
        down, up = step_counts(geometry, granular)
        counts = np.rint((raw[:, granular] - geometry.center[granular]) / geometry.step[granular])
        points[:, granular] = at_step(geometry, granular, np.clip(counts, -down, up))
    for block in geometry.blocks:
        weights = (raw[:, block] - 0.5) / geometry.scale[block] ** 2
        points[:, block] = one_hot(np.where(categories(geometry, block), weights, -np.inf).argmax(axis=1), len(block))
    return points


def snap_towards_center(geometry: Geometry, points: Array, member: Membership) -> Array:
    """Granular features to the last step on their way from the centre, blocks to their largest member if that stays inside.

    Blocks are tried one after the other from the clearest, so each one kept leaves the whole point in the region.

    Args:
        geometry: The ball.
        points: (N, n), inside ball and domain but for steps and blocks.
        member: Whether rows lie in the region.
    """
    if not geometry.discrete:
        return points
    points = points.copy()
    granular = np.flatnonzero(geometry.step > 0)
    if len(granular):
        center, values = geometry.center[granular], points[:, granular]
        counts = np.trunc((values - center) / geometry.step[granular] * (1 + STEP_SHARE))
        steps = center + counts * geometry.step[granular]
        points[:, granular] = np.clip(steps, np.minimum(center, values), np.maximum(center, values))
    wanted = [np.where(categories(geometry, block), points[:, block], -np.inf).argmax(axis=1) for block in geometry.blocks]
    for block in geometry.blocks:
        points[:, block] = geometry.center[block]
    for block, choice in zip(geometry.blocks, wanted, strict=True):
        trial = points.copy()
        trial[:, block] = one_hot(choice, len(block))
        points = np.where(member(trial)[:, None], trial, points)
    return points
