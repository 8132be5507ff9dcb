"""A ball as flat arrays, with exact comparisons against its limits.

Distances are compared in real arithmetic, not in rounded arithmetic: differences and products of float64
numbers are split into value and rounding error without loss (Dekker, 1971; Knuth, TAOCP 2, 4.2.2), and where a sum
of rounded terms is too near the radius to decide, the row is summed again in rational arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netassay.numerics.norms import Norm

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Positions = NDArray[np.intp]

UNIT_ROUNDOFF = 2.0**-53
STEP_SHARE = 1e-9
"""Share of a step within which a granular feature counts as on that step."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Everything that the algorithms on balls need, per flat feature (n) or per L0 group (g).

    Args:
        norm: The norm; radius: its radius (a count of groups for L0).
        center: (n,) the centre; scale: (n,) units of the distance.
        low, high: (n,) the reach of each feature alone, in float64, rounded towards the centre.
        outer_low, outer_high: (n,) the same rounded away from the centre, so that the real region lies inside.
        free: (n,) which features may move.
        step: (n,) step of granular features, 0 for continuous ones and members of one-hot blocks.
        blocks: One-hot blocks whose members are free.
        order, starts: Features sorted by L0 group, and where each group starts in that order.
    """

    norm: Norm
    radius: float
    center: Array
    scale: Array
    low: Array
    high: Array
    outer_low: Array
    outer_high: Array
    free: Bools
    step: Array
    blocks: tuple[Positions, ...]
    order: Positions
    starts: Positions

    @property
    def size(self) -> int:
        return len(self.center)

    @property
    def discrete(self) -> bool:
        """Whether some features move in steps or in one-hot blocks."""
        return bool(self.blocks) or bool((self.step > 0).any())

    @property
    def down(self) -> Array:
        """(n,) how far each feature may fall, in units of its scale."""
        return np.asarray((self.center - self.low) / self.scale)

    @property
    def up(self) -> Array:
        """(n,) how far each feature may rise, in units of its scale."""
        return np.asarray((self.high - self.center) / self.scale)

    def group_sums(self, values: Array) -> Array:
        """Sums of (N, n) per L0 group: (N, g)."""
        return np.asarray(np.add.reduceat(values[:, self.order], self.starts, axis=1))

    def per_feature(self, groups: NDArray[np.generic]) -> NDArray[np.generic]:
        """Spreads values per L0 group (N, g) to the features of the group (N, n)."""
        lengths = np.diff(np.append(self.starts, self.size))
        spread = np.empty((len(groups), self.size), dtype=groups.dtype)
        spread[:, self.order] = np.repeat(groups, lengths, axis=1)
        return spread

    def changed_groups(self, points: Array) -> Bools:
        """(N, g): which L0 groups differ from the centre in at least one feature."""
        return np.asarray(np.logical_or.reduceat((points != self.center)[:, self.order], self.starts, axis=1))


def two_difference(a: Array, b: Array) -> tuple[Array, Array]:
    """``a - b`` as rounded value and exact rounding error (Knuth); exact unless it overflows."""
    value = np.asarray(a - b)
    part = value - a
    return value, np.asarray((a - (value - part)) - (b + part))


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """``a * b`` as rounded value and exact rounding error (Dekker); exact for products between 1e-280 and 1e290."""
    value = np.asarray(a * b)
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    return value, np.asarray(a_low * b_low - (((value - a_high * b_high) - a_low * b_high) - a_high * b_low))


def _upper_half(a: Array) -> Array:
    spread = a * 134217729.0  # 2**27 + 1 splits 53 bits into 26 and 27
    return np.asarray(spread - (spread - a))


def within_reach(points: Array, center: Array, reach: tuple[Array, Array]) -> Bools:
    """Elementwise whether ``|points - center| <= reach`` in real arithmetic; reach is an unevaluated sum of two floats."""
    value, error = two_difference(points, center)
    error = np.where(value < 0, -error, error)
    value = np.abs(value)
    return np.asarray((value < reach[0]) | ((value == reach[0]) & (error <= reach[1])))


def reach_box(center: Array, radius: float, scale: Array) -> tuple[Array, Array, Array, Array]:
    """``center -+ radius * scale`` as (low, high) rounded towards the centre and (low, high) rounded away from it."""
    reach = two_product(np.full_like(scale, radius), scale)
    sides: list[Array] = []
    for sign in (-1.0, 1.0):
        value, error = two_difference(center, -sign * reach[0])
        side = value + (error + sign * reach[1])
        inner = side
        while not (kept := within_reach(inner, center, reach)).all():
            inner = np.where(kept, inner, np.nextafter(inner, center))
        exact = (error == 0) & (reach[1] == 0)
        outer = np.where(exact, side, np.nextafter(np.nextafter(side, sign * np.inf), sign * np.inf))
        sides += [inner, outer]
    return sides[0], sides[2], sides[1], sides[3]


def in_ball(geometry: Geometry, points: Array) -> Bools:
    """Whether each row (N, n), finite, keeps the distance: exact in real arithmetic, no tolerance.

    For L-infinity each feature is compared with its own limit. For L1 and L2 the sum is formed in float64 with
    Higham's bound gamma_n on its rounding (Accuracy and Stability, 2002, section 3.1); rows nearer to the
    radius than that are decided with ``fractions.Fraction``.
    """
    if geometry.norm is Norm.L0:
        return np.asarray(geometry.changed_groups(points).sum(axis=1) <= int(geometry.radius))
    if geometry.norm is Norm.LINF:
        reach = two_product(np.full_like(geometry.scale, geometry.radius), geometry.scale)
        return np.asarray(within_reach(points, geometry.center, reach).all(axis=1))
    return _sum_in_ball(geometry, points)


def _sum_in_ball(geometry: Geometry, points: Array) -> Bools:
    squared = geometry.norm is Norm.L2
    with np.errstate(over="ignore", under="ignore"):
        terms = np.abs(points - geometry.center) / geometry.scale
        total = np.sum(terms * terms if squared else terms, axis=1)
    limit = geometry.radius**2 if squared else geometry.radius
    gamma = (geometry.size + 16) * 2 * UNIT_ROUNDOFF
    underflow = geometry.size * 1e-300
    inside = (total + underflow) * (1 + gamma) <= limit
    for row in np.flatnonzero(~inside & ((total - underflow) * (1 - gamma) <= limit)):
        inside[row] = _exact_in_ball(geometry, points[row], squared)
    return np.asarray(inside)


def _exact_in_ball(geometry: Geometry, point: Array, squared: bool) -> bool:
    radius = Fraction(geometry.radius)
    total, limit = Fraction(0), radius * radius if squared else radius
    for i in np.flatnonzero(point != geometry.center):
        term = abs(Fraction(float(point[i])) - Fraction(float(geometry.center[i]))) / Fraction(float(geometry.scale[i]))
        total += term * term if squared else term
        if total > limit:
            return False
    return True


def distances(geometry: Geometry, points: Array) -> Array:
    """Distance of each row (N, n) from the centre in the scaled norm, float64, from sums in extended precision where there is one."""
    if geometry.norm is Norm.L0:
        return np.asarray(geometry.changed_groups(points).sum(axis=1).astype(np.float64))
    terms = np.abs(points.astype(np.longdouble) - geometry.center) / geometry.scale
    if geometry.norm is Norm.LINF:
        return np.asarray(terms.max(axis=1).astype(np.float64))
    total = terms.sum(axis=1) if geometry.norm is Norm.L1 else np.sqrt((terms * terms).sum(axis=1))
    return np.asarray(total.astype(np.float64))


def on_steps(geometry: Geometry, points: Array) -> Bools:
    """Whether granular features sit on a step and one-hot blocks hold exactly one 1, for rows (N, n).

    A step counts as met within 1e-9 of the step, or within four float32 roundings of the feature (but
    never more than 1e-3 of the step), so that a float32 network's inputs can represent it. One-hot members are compared exactly.
    """
    kept = np.ones(len(points), dtype=np.bool_)
    for block in geometry.blocks:
        members = points[:, block]
        kept &= ((members == 0) | (members == 1)).all(axis=1) & ((members == 1).sum(axis=1) == 1)
    granular = np.flatnonzero(geometry.step > 0)
    if not len(granular):
        return kept
    step, center, values = geometry.step[granular], geometry.center[granular], points[:, granular]
    off = np.abs(values - (center + np.rint((values - center) / step) * step))
    rounding = np.minimum(2.0**-21 * np.maximum(np.abs(values), np.abs(center)), 1e-3 * step)
    return np.asarray(kept & (off <= np.maximum(STEP_SHARE * step, rounding)).all(axis=1))


def contained(geometry: Geometry, points: Array, domain: tuple[Array, Array]) -> Bools:
    """Whether each row (N, n) lies in domain and ball, keeps fixed features and meets steps; NaN and infinity never do."""
    with np.errstate(invalid="ignore", over="ignore"):
        inside = np.isfinite(points).all(axis=1) & ((points >= domain[0]) & (points <= domain[1])).all(axis=1)
        inside &= (points == geometry.center)[:, ~geometry.free].all(axis=1)
    rows = np.flatnonzero(inside)
    if len(rows):
        inside[rows] = in_ball(geometry, points[rows]) & on_steps(geometry, points[rows])
    return np.asarray(inside)


def settle(geometry: Geometry, offsets: Array) -> Array:
    """Points ``center + scale * offsets`` (N, n), rounded so that they lie in ball and domain.

    Offsets must satisfy the box; L1 and L2 offsets whose float64 length is above the radius are shrunk to it,
    less a relative margin of a few n roundings, so that no row needs rational arithmetic.
    """
    if geometry.norm in (Norm.L1, Norm.L2):
        lengths = np.asarray(geometry.norm.length(offsets))
        limit = geometry.radius * (1 - (geometry.size + 64) * 4 * UNIT_ROUNDOFF)
        offsets = offsets * np.where(lengths > limit, limit / np.maximum(lengths, limit), 1.0)[:, None]
    steps = geometry.scale * offsets
    points = np.clip(geometry.center + steps, geometry.low, geometry.high)
    if geometry.norm in (Norm.L1, Norm.L2):
        beyond = ~within_reach(points, geometry.center, (np.abs(steps), np.zeros_like(steps)))
        points = np.where(beyond, np.nextafter(points, geometry.center), points)
    return np.where(geometry.free, points, geometry.center)


def group_order(size: int, shape: Sequence[int], blocks: Sequence[Positions], by_pixel: bool) -> tuple[Positions, Positions]:
    """Order and starts of the L0 groups: pixels of (c, h, w), else single features with each one-hot block as one group."""
    groups = np.arange(size)
    if by_pixel:
        groups %= int(np.prod(shape[-2:]))
    for block in blocks:
        groups[block] = block.min()
    order = np.argsort(groups, kind="stable")
    return order, np.flatnonzero(np.diff(groups[order], prepend=-1))
