"""Uniform points of a ball within a box.

L-infinity is a product of intervals. L0 draws a uniform set of exactly t groups (fewer changes have measure zero) and uniform values.
L1 and L2 use the exact formulas (exponential and Gaussian variables: Barthe et al., 2005) where the domain leaves them alone,
rejection from ball or box while that accepts, and otherwise slice-within-Gibbs sweeps (Neal, 2003).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netassay.errors import RegionError
from netassay.numerics.norms import Norm
from netassay.specs.ball_geometry import Array, Bools, Geometry, Positions, contained, settle
from netassay.specs.ball_steps import at_step, categories, one_hot, step_counts

SWEEPS = 64
"""Gibbs sweeps from the centre to each returned point."""

REMAINING_TAIL = 2.0
"""Features are swept one by one until those left exceed the domain with a summed probability below this."""

Domain = tuple[Array, Array]
Draw = Callable[[int], Array]


def sample(geometry: Geometry, count: int, rng: np.random.Generator, domain: Domain) -> Array:
    """``count`` points (count, n), independent and uniform on the region.

    Exactly uniform for L-infinity, for L0 (over sets of exactly t groups, then over their values, a granular or one-hot
    group never keeping its centre value), and for L1 and L2 whenever at least two of a first batch of rejection
    draws are accepted. Else every point is the end of its own chain of ``SWEEPS`` sweeps: uniform in the limit of many sweeps.

    Raises:
        RegionError: For L0 where the domain does not bound the free features.
    """
    if geometry.norm is Norm.LINF:
        return uniform_reach(geometry, count, rng)
    if geometry.norm is Norm.L0:
        return _sample_l0(geometry, count, rng)

    def accepted(points: Array) -> Array:
        return np.asarray(points[contained(geometry, points, domain)])

    draws: list[Draw] = [] if geometry.discrete else [lambda size: _ball_draws(geometry, size, rng)]
    draws.append(lambda size: accepted(uniform_reach(geometry, size, rng)))
    for draw in draws:
        points = _by_rejection(draw, count, geometry.size)
        if points is not None:
            return points
    return _gather(lambda size: accepted(gibbs(geometry, size, rng)), count, 1.0, geometry.size)


def _by_rejection(draw: Draw, count: int, size: int) -> Array | None:
    pilot = 128 if size <= 4096 else 32
    first = draw(pilot)
    if len(first) < 2:
        return None
    rest = _gather(draw, max(count - len(first), 0), len(first) / pilot, size)
    return np.concatenate([first, rest])[:count]


def _gather(draw: Draw, count: int, rate: float, size: int) -> Array:
    """Repeats ``draw`` until ``count`` rows were accepted; a batch holds at most about 16 million numbers."""
    kept = [np.empty((0, size))]
    missing = count
    while missing > 0:
        kept.append(draw(min(int(missing / rate * 1.1) + 8, max(1, 2**24 // size))))
        missing -= len(kept[-1])
    return np.concatenate(kept)[:count]


def uniform_reach(geometry: Geometry, count: int, rng: np.random.Generator) -> Array:
    """Uniform points of the product of all features' own reaches; steps and categories with equal chances."""
    points = np.clip(geometry.low + (geometry.high - geometry.low) * rng.random((count, geometry.size)), geometry.low, geometry.high)
    granular = np.flatnonzero(geometry.step > 0)
    if len(granular):
        down, up = step_counts(geometry, granular)
        points[:, granular] = at_step(geometry, granular, np.floor(rng.random((count, len(granular))) * (down + up + 1)) - down)
    for block in geometry.blocks:
        points[:, block] = one_hot(rng.choice(np.flatnonzero(categories(geometry, block)), size=count), len(block))
    return points


def _sample_l0(geometry: Geometry, count: int, rng: np.random.Generator) -> Array:
    if not (np.isfinite(geometry.low).all() and np.isfinite(geometry.high).all()):
        raise RegionError("an L0 ball bounds how many features change, not how far: it can only be sampled in a bounded domain")
    movable = _movable_groups(geometry)
    changed = min(int(geometry.radius), int(movable.sum()))
    keys = np.where(movable, rng.random((count, len(movable))), 2.0)
    chosen = np.zeros(keys.shape, dtype=np.bool_)
    np.put_along_axis(chosen, np.argsort(keys, axis=1)[:, :changed], True, axis=1)
    points = np.broadcast_to(geometry.center, (count, geometry.size)).copy()
    rows = np.arange(count)
    while len(rows):
        missing = geometry.per_feature(chosen[rows] & ~geometry.changed_groups(points[rows]))
        points[rows] = np.where(missing, uniform_reach(geometry, len(rows), rng), points[rows])
        rows = rows[(chosen[rows] & ~geometry.changed_groups(points[rows])).any(axis=1)]
    return points


def _movable_groups(geometry: Geometry) -> NDArray[np.bool_]:
    moves: Bools = np.asarray((geometry.high > geometry.low) & (geometry.step == 0))
    granular = np.flatnonzero(geometry.step > 0)
    if len(granular):
        down, up = step_counts(geometry, granular)
        moves[granular] = down + up > 0
    for block in geometry.blocks:
        moves[block] = categories(geometry, block).sum() > 1
    return np.asarray(geometry.group_sums(moves[None].astype(np.float64))[0] > 0)


def unit_ball(norm: Norm, count: int, dimension: int, rng: np.random.Generator) -> Array:
    """Uniform points (count, dimension) of the unit L1 or L2 ball."""
    if norm is Norm.L1:
        parts = rng.exponential(size=(count, dimension + 1))
        return np.asarray(rng.choice([-1.0, 1.0], size=(count, dimension)) * parts[:, :-1] / parts.sum(axis=1, keepdims=True))
    directions = rng.standard_normal((count, dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(directions * rng.random((count, 1)) ** (1 / dimension))


def _folded(offsets: Array, down: Array, up: Array) -> Array:
    """Mirrors features that can move one way only; keeps uniformity, since the ball is symmetric."""
    sizes = np.abs(offsets)
    return np.where(down == 0, sizes, np.where(up == 0, -sizes, offsets))


def _ball_draws(geometry: Geometry, size: int, rng: np.random.Generator) -> Array:
    """Uniform points of the ball that also lie in the box; at most ``size``."""
    moving = np.flatnonzero(geometry.high > geometry.low)
    if not len(moving):
        return np.broadcast_to(geometry.center, (size, geometry.size)).copy()
    down, up = _limits(geometry)
    drawn = _folded(geometry.radius * unit_ball(geometry.norm, size, len(moving), rng), down[moving], up[moving])
    inside = ((drawn >= -down[moving]) & (drawn <= up[moving])).all(axis=1)
    offsets = np.zeros((int(inside.sum()), geometry.size))
    offsets[:, moving] = drawn[inside]
    return settle(geometry, offsets)


def _limits(geometry: Geometry) -> tuple[Array, Array]:
    """Reach in units of the scale; a reach that rounding cut just below the radius counts as the radius."""
    slack = geometry.radius * (1 - 1e-12)
    return np.where(geometry.down >= slack, np.inf, geometry.down), np.where(geometry.up >= slack, np.inf, geometry.up)


def gibbs(geometry: Geometry, size: int, rng: np.random.Generator) -> Array:
    """Ends of ``size`` chains of ``SWEEPS`` sweeps from the centre; for L1 and L2, rows near the limit may fail containment.

    Features that rarely meet the domain are integrated out: given the others, with power sum S, their ball has
    the volume ``(R - S)**(k / p)``, and the others are swept under that density; then the rest is drawn at once from its ball,
    and rows that leave the domain are dropped, which conditions the joint distribution on the domain.
    """
    swept, rest = _partition(geometry)
    offsets, slack = _sweep(geometry, swept, len(rest), size, rng)
    keep: Bools = np.ones(size, dtype=np.bool_)
    if len(rest):
        down, up = (side[rest] for side in _limits(geometry))
        radii = (slack if geometry.norm is Norm.L1 else np.sqrt(slack))[:, None]
        drawn = _folded(radii * unit_ball(geometry.norm, size, len(rest), rng), down, up)
        keep = np.asarray(((drawn >= -down) & (drawn <= up)).all(axis=1))
        offsets[:, rest] = drawn
    points = settle(geometry, offsets[keep])
    return _restore_steps(geometry, points, offsets[keep])


def _restore_steps(geometry: Geometry, points: Array, offsets: Array) -> Array:
    """Puts discrete features back on their exact values after rounding."""
    granular = np.flatnonzero(geometry.step > 0)
    if len(granular):
        counts = np.rint(offsets[:, granular] * geometry.scale[granular] / geometry.step[granular])
        points[:, granular] = at_step(geometry, granular, counts)
    for block in geometry.blocks:
        points[:, block] = np.rint(points[:, block])
    return points


def _partition(geometry: Geometry) -> tuple[Positions, Positions]:
    """Movable features outside one-hot blocks as (swept one by one, integrated out)."""
    in_block = np.zeros(geometry.size, dtype=np.bool_)
    for block in geometry.blocks:
        in_block[block] = True
    moving = (geometry.high > geometry.low) & ~in_block
    continuous = np.flatnonzero(moving & (geometry.step == 0))
    tails = _tails(geometry, continuous)
    order = np.argsort(tails, kind="stable")
    rest = continuous[order[np.cumsum(tails[order]) <= REMAINING_TAIL]]
    moving[rest] = False
    return np.flatnonzero(moving), rest


def _tails(geometry: Geometry, features: Positions) -> Array:
    """Bounds, per feature, the probability that a point uniform in the ball alone leaves the domain (folded features: on their open side).

    A cap at distance a of the unit ball has a share of at most (1 - a)**n / 2 for L1 and (1 - a**2)**(n/2) / 2 for L2
    (Ball, 1997, Lemma 2.2). Only the choice of what is swept depends on it, not what is sampled.
    """
    down, up = (np.minimum(side[features] / geometry.radius, 1.0) for side in _limits(geometry))
    dimension = len(features)
    if geometry.norm is Norm.L1:
        below, above = (1 - down) ** dimension / 2, (1 - up) ** dimension / 2
    else:
        below, above = (1 - down**2) ** (dimension / 2) / 2, (1 - up**2) ** (dimension / 2) / 2
    return np.asarray(np.where(down == 0, 2 * above, np.where(up == 0, 2 * below, below + above)))


def _sweep(geometry: Geometry, swept: Positions, rest: int, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Slice-within-Gibbs over swept features and blocks under the density ``slack**(rest / p)``: (offsets (size, n), slack (size,))."""
    power = 1 if geometry.norm is Norm.L1 else 2
    offsets = np.zeros((size, geometry.size))
    slack = np.full(size, geometry.radius**power)
    down, up = geometry.down, geometry.up
    grain = geometry.step / geometry.scale
    for _ in range(SWEEPS):
        for i in swept:
            own = slack + np.abs(offsets[:, i]) ** power
            reach = np.maximum(own - slack * _slice(rest, power, size, rng), 0.0) ** (1 / power)
            low, high = -np.minimum(reach, down[i]), np.minimum(reach, up[i])
            if grain[i] > 0:
                least = np.ceil(low / grain[i] - 1e-9)
                steps = np.floor(high / grain[i] + 1e-9) - least + 1
                offsets[:, i] = (least + np.floor(rng.random(size) * steps)) * grain[i]
            else:
                offsets[:, i] = low + (high - low) * rng.random(size)
            slack = np.maximum(own - np.abs(offsets[:, i]) ** power, 0.0)
        for block in geometry.blocks:
            slack = _sweep_block(geometry, block, offsets, slack, _slice(rest, power, size, rng), rng)
    return offsets, slack


def _slice(rest: int, power: int, size: int, rng: np.random.Generator) -> Array | float:
    return rng.random(size) ** (power / rest) if rest else 0.0


def _sweep_block(
    geometry: Geometry, block: Positions, offsets: Array, slack: Array, level: Array | float, rng: np.random.Generator
) -> Array:
    """Draws the category of one block for every chain, in place; returns the new slack."""
    power = 1 if geometry.norm is Norm.L1 else 2
    current = int(np.argmax(geometry.center[block]))
    moves = (np.eye(len(block)) - np.eye(len(block))[current]) / geometry.scale[block]
    costs = np.where(categories(geometry, block), (np.abs(moves) ** power).sum(axis=1), np.inf)
    own = slack + (np.abs(offsets[:, block]) ** power).sum(axis=1)
    allowed = costs <= (own - slack * level)[:, None] * (1 + 1e-12)
    allowed[:, current] = True
    choice = np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=1)
    offsets[:, block] = moves[choice]
    return np.asarray(np.maximum(own - costs[choice], 0.0))
