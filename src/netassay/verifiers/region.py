"""Regions as bound propagation sees them: boxes, many at once, each perhaps within a ball around an input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from netassay.errors import RegionError
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm
from netassay.specs.ball_geometry import Geometry
from netassay.specs.ball_linear import lower_bounds, minimiser
from netassay.specs.regions import Ball
from netassay.verifiers.rounding import LARGEST, SMALLEST, UNDERFLOW, Array, down, gamma

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """B regions: each a box, and within a ball where ``balls`` are given.

    Args:
        lower, upper: (B, *input shape) corners that hold each region.
        balls: Balls of the norms L0, L1 and L2 (an L-infinity ball is its box).
        ball: (B,) which of ``balls`` each region lies in; -1 for none.
    """

    lower: Array
    upper: Array
    balls: tuple[Geometry, ...] = ()
    ball: Positions | None = None

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.lower.shape[1:])

    @property
    def bounded(self) -> bool:
        """Whether all corners are finite."""
        return bool(np.isfinite(self.lower).all() and np.isfinite(self.upper).all())

    @classmethod
    def of(cls, regions: list[Ball | Box]) -> Regions:
        """The regions of problems of one network."""
        boxes: list[tuple[Array, Array]] = []
        balls: list[Geometry] = []
        which: list[int] = []
        for region in regions:
            if isinstance(region, Box):
                boxes.append((region.lower, region.upper))
                which.append(-1)
                continue
            geometry = region.geometry
            shape = region.center.shape
            boxes.append((geometry.outer_low.reshape(shape), geometry.outer_high.reshape(shape)))
            which.append(-1 if geometry.norm is Norm.LINF else len(balls))
            if geometry.norm is not Norm.LINF:
                balls.append(geometry)
        lower, upper = (np.stack(side) for side in zip(*boxes, strict=True))
        return cls(lower, upper, tuple(balls), np.array(which, dtype=np.intp) if balls else None)

    @property
    def corners(self) -> tuple[Array, Array]:
        """Lower and upper corners (B, n), flat."""
        size = prod(self.shape)
        return self.lower.reshape(len(self), size), self.upper.reshape(len(self), size)

    def take(self, positions: Positions) -> Regions:
        """The regions at these positions; a position may come several times."""
        ball = None if self.ball is None else self.ball[positions]
        return replace(self, lower=self.lower[positions], upper=self.upper[positions], ball=ball)

    def with_box(self, lower: Array, upper: Array) -> Regions:
        """The same balls within other boxes."""
        return replace(self, lower=lower, upper=upper)

    def join(self, other: Regions) -> Regions:
        """All regions of both; raises RegionError unless they share their balls."""
        if self.balls is not other.balls:
            raise RegionError("regions of different balls cannot be joined; take them from one problem")
        ball = None if self.ball is None or other.ball is None else np.concatenate([self.ball, other.ball])
        return replace(self, lower=np.concatenate([self.lower, other.lower]), upper=np.concatenate([self.upper, other.upper]), ball=ball)

    def minimum(self, coefficients: Array, owner: Positions) -> Array:
        """(R,) numbers at or below ``min <coefficients, x>`` over region ``owner[r]``, in real arithmetic; -inf where nothing is known."""
        rows = coefficients.reshape(len(coefficients), prod(self.shape))
        low, high = self.corners
        found = _box_minimum(rows, low, high, owner)
        if self.ball is not None:
            self._raise_by_balls(rows, owner, found)
        return found

    def _raise_by_balls(self, rows: Array, owner: Positions, found: Array) -> None:
        assert self.ball is not None
        which = self.ball[owner]
        for i, geometry in enumerate(self.balls):
            mine = np.flatnonzero(which == i)
            if len(mine):
                found[mine] = np.maximum(found[mine], lower_bounds(geometry, rows[mine]))

    def minimisers(self, coefficients: Array, owner: Positions) -> Array:
        """(R, *shape) points of the region where ``<coefficients, x>`` is smallest or nearly so: candidates, not proofs."""
        rows = coefficients.reshape(len(coefficients), prod(self.shape))
        low, high = (side[owner] for side in self.corners)
        points = np.where(rows > 0, low, high)
        if self.ball is not None:
            which = self.ball[owner]
            for i, geometry in enumerate(self.balls):
                mine = np.flatnonzero(which == i)
                if len(mine):
                    points[mine] = minimiser(geometry, rows[mine], (geometry.low, geometry.high))
        return points.reshape(-1, *self.shape)


def _box_minimum(rows: Array, low: Array, high: Array, owner: Positions) -> Array:
    size = rows.shape[1]
    middle, radius = low / 2 + high / 2, (high - low) / 2
    magnitude = np.maximum(np.maximum(np.abs(low), np.abs(high)), SMALLEST)
    weights = np.abs(rows)
    if len(low) == 1:
        value, slack = rows @ middle[0] - weights @ radius[0], weights @ magnitude[0]
        largest = magnitude.max(initial=0.0)
    else:
        value = np.einsum("rn,rn->r", rows, middle[owner]) - np.einsum("rn,rn->r", weights, radius[owner])
        slack = np.einsum("rn,rn->r", weights, magnitude[owner])
        largest = magnitude.max(axis=1, initial=0.0)[owner]
    with np.errstate(invalid="ignore"):
        bound = down(value - 2 * gamma(size) * slack - UNDERFLOW)
        return np.asarray(np.where(largest < LARGEST, bound, -np.inf))
