"""Regions: boxes, and balls of the L0, L1, L2 and L-infinity norms within a domain (DeepQuant, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import RegionError
from netassay.numerics.box import Box as Box
from netassay.numerics.norms import Norm
from netassay.results.answer import RegionSummary
from netassay.specs import ball_linear, ball_projection, ball_sampling
from netassay.specs.ball_checks import checked_ball
from netassay.specs.ball_geometry import Array, Geometry, contained, distances, group_order, reach_box

__all__ = ["Ball", "Box", "domain_scale"]


@dataclass(frozen=True, eq=False, init=False)
class Ball:
    """All x with ``||(x - center) / scale||_p <= radius`` in ``domain``, equal to the centre where ``mask`` is False.

    The region is meant in real arithmetic: membership of a float64 point is decided exactly, with no tolerance.

    Args:
        center: The input, any shape (n features in all), in the model's own units.
        radius: Finite and positive; for L0 the whole number of features (or pixels) that may change.
        p: The norm: a Norm, one of 0, 1, 2, inf, or a name such as "linf".
        domain: Valid inputs; None for the whole space.
        mask: True where a feature may move; None for all.
        scale: Unit of each feature's distance (positive); None for 1. See ``domain_scale`` for shares of the range.
        granularity: Step of each feature, counted from the centre (1 for integers, 1/255 for 8-bit pixels), 0 for
            continuous ones; None for all continuous. A value within 1e-9 of the step, or within four float32
            roundings of the value (never more than 1e-3 of the step), is on the step. The radius knows no such tolerance.
        one_hot: Blocks of flat feature positions of which exactly one is 1 and the others are 0. For L0 a block
            is one attribute and a change of category counts once; otherwise both changed members count.
        group: "feature", or "pixel" for L0 balls around images (channels, height, width) where all channels of a pixel count once.

    Raises:
        RegionError: If any of these do not fit together; the message says which.
    """

    center: Array
    radius: float
    p: Norm
    domain: Box
    mask: NDArray[np.bool_] | None
    scale: Array | None
    granularity: Array | None
    one_hot: tuple[tuple[int, ...], ...]
    group: str

    def __init__(
        self,
        center: ArrayLike,
        radius: float,
        p: Norm | str | float,
        domain: Box | None = None,
        mask: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        granularity: ArrayLike | None = None,
        one_hot: Sequence[Sequence[int]] = (),
        group: str = "feature",
    ) -> None:
        fields = checked_ball(center, radius, Norm.of(p), domain, mask, scale, granularity, one_hot, group)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.center.shape

    def with_radius(self, radius: float) -> Ball:
        """The same ball with another radius."""
        return replace(self, radius=radius)

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether each point (N, *shape) lies in the region: (N,); exact in real arithmetic, and never for NaN or infinity."""
        return contained(self.geometry, self._rows(points), self._domain_rows)

    def distance(self, points: ArrayLike) -> Array:
        """Distance (N,) of each point (N, *shape) from the centre in norm and scale; for L0 the number of changed groups.

        Rounded to nearest where the platform has extended precision, else to within a few units in the last place.
        """
        return distances(self.geometry, self._rows(points))

    def bounding_box(self) -> Box:
        """The smallest box that holds the region without its steps; rounded outwards, so no real point of the region is left out."""
        geometry = self.geometry
        return Box(geometry.outer_low.reshape(self.shape), geometry.outer_high.reshape(self.shape))

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner of ``bounding_box``."""
        box = self.bounding_box()
        return box.lower, box.upper

    def project(self, points: ArrayLike) -> Array:
        """The nearest point of the region for each of (N, *shape), in the scaled Euclidean distance.

        Every result satisfies ``contains``; points that do already stay as they are. Exact up to rounding inwards, but
        with granular or one-hot features in L1 and L2 balls the continuous projection is snapped towards the centre.

        Raises:
            RegionError: If a point is NaN or infinite.
        """
        rows = self._rows(points)
        if not np.isfinite(rows).all():
            raise RegionError("a point to project is NaN or infinite; project finite points only")
        return self._points(ball_projection.project(self.geometry, rows, self._domain_rows))

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """``count`` points (count, *shape), uniform on the region; see ``ball_sampling.sample`` for what is exact and what a limit."""
        if count < 1:
            raise RegionError(f"a sample needs at least one point; got a count of {count}")
        return self._points(ball_sampling.sample(self.geometry, count, rng, self._domain_rows))

    def minimise_linear(self, coefficients: ArrayLike) -> tuple[Array, Array]:
        """The minimum of ``<c, x>`` over the region for each c of (N, *shape): (values (N,), points (N, *shape)).

        Each point is in the region and each value is ``<c, point>``, so it is at or above the real minimum, by
        rounding only. With granular or one-hot features that is exact for L-infinity and L0; for L1 and L2 the point
        is in the region but need not be the best. ``lower_bound_linear`` bounds from the other side.

        Raises:
            RegionError: If a coefficient is not finite, or an L0 ball in an unbounded domain has no minimum.
        """
        rows = self._rows(coefficients)
        if not np.isfinite(rows).all():
            raise RegionError("a coefficient of the linear form is NaN or infinite; give finite numbers")
        points = ball_linear.minimiser(self.geometry, rows, self._domain_rows)
        if not np.isfinite(points).all():
            raise RegionError("the linear form has no minimum: an L0 ball does not bound features; give the ball a bounded domain")
        values = np.sum(rows.astype(np.longdouble) * points, axis=1).astype(np.float64)
        return np.asarray(values), self._points(points)

    def lower_bound_linear(self, coefficients: ArrayLike) -> Array:
        """Numbers (N,) that ``<c, x>`` never falls below on the region, in real arithmetic: all rounding is outwards.

        Tight up to rounding for continuous features; steps and one-hot blocks are ignored, which only lowers
        it. -infinity where the form is unbounded or a coefficient is not finite.
        """
        return ball_linear.lower_bounds(self.geometry, self._rows(coefficients))

    def rounded(self, points: ArrayLike, dtype: str) -> NDArray[np.floating]:
        """Points of the region in the network's dtype, each feature rounded towards the centre.

        Stays in the region whenever the centre is representable in ``dtype``; otherwise check with ``contains``.
        """
        rows = self._rows(points)
        kind = np.dtype(dtype)
        narrow = rows.astype(kind)
        beyond = np.abs(narrow.astype(np.float64) - self.geometry.center) > np.abs(rows - self.geometry.center)
        toward = np.nextafter(narrow, self.geometry.center.astype(kind))
        return np.asarray(np.where(beyond, toward, narrow).reshape(-1, *self.shape))

    def summary(self) -> RegionSummary:
        """The region as reports print it."""
        free = self.center.size if self.mask is None else int(self.mask.sum())
        granular = self.geometry.discrete
        return RegionSummary(self.p, self.radius, self.center.size, free, self.scale is not None, granular)

    @cached_property
    def _domain_rows(self) -> tuple[Array, Array]:
        return self.domain.lower.reshape(-1), self.domain.upper.reshape(-1)

    @cached_property
    def geometry(self) -> Geometry:
        """The ball as flat arrays."""
        size = self.center.size
        center = self.center.reshape(-1)
        scale = np.ones(size) if self.scale is None else self.scale.reshape(-1)
        free = np.ones(size, dtype=np.bool_) if self.mask is None else self.mask.reshape(-1)
        low, high = self._domain_rows
        outer_low, outer_high = low, high
        if self.p is not Norm.L0:
            inner_low, inner_high, around_low, around_high = reach_box(center, self.radius, scale)
            outer_low, outer_high = np.maximum(low, around_low), np.minimum(high, around_high)
            low, high = np.maximum(low, inner_low), np.minimum(high, inner_high)
        low, high, outer_low, outer_high = (np.where(free, side, center) for side in (low, high, outer_low, outer_high))
        blocks = tuple(np.array(block, dtype=np.intp) for block in self.one_hot if free[block[0]])
        step = np.zeros(size) if self.granularity is None else np.where(free, self.granularity.reshape(-1), 0.0)
        for block in blocks:
            step[block] = 0.0
        order, starts = group_order(size, self.shape, blocks, self.group == "pixel")
        return Geometry(self.p, self.radius, center, scale, low, high, outer_low, outer_high, free, step, blocks, order, starts)

    def _rows(self, points: ArrayLike) -> Array:
        array = np.asarray(points, dtype=np.float64)
        if array.shape[1:] != self.shape or array.ndim != len(self.shape) + 1:
            raise RegionError(f"the region holds inputs of shape {self.shape}, in batches (N, ...); got an array of shape {array.shape}")
        return array.reshape(len(array), -1)

    def _points(self, rows: Array) -> Array:
        return rows.reshape(-1, *self.shape)


def domain_scale(domain: Box) -> Array:
    """The width of each feature's range as its unit, so that a radius is a share of the range; 1 where the range is a point.

    Raises:
        RegionError: If the domain is unbounded.
    """
    if not domain.bounded:
        raise RegionError("a radius as a share of the domain needs a bounded domain; give lower and upper values for every feature")
    return np.where(domain.width > 0, domain.width, 1.0)
