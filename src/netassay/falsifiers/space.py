"""Regions as search methods see them: unit coordinates, as tensors, many problems at once.

Every ball becomes ``{v : low <= v <= high, ||v|| <= 1}`` with the centre at v = 0; the free feature i of a
point is ``x_i = center_i + radius * scale_i * v_i``. A box is the L-infinity ball around its midpoint whose scale is
its half width. So step sizes mean the same for every network, unit and radius. Since the set contains 0
and is star-shaped, clipping and then shrinking towards 0 always lands inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.errors import RegionError
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball

INSET = 2e-6
"""Share of an L1 or L2 radius left free, so that a point stays inside when its float32 coordinates are measured in float64."""

CACHED = 2**17
"""Numbers worked on at a time where several passes follow each other: so many stay in the processor's caches."""

STEP_ROUNDING = 1e-3
"""Share of a step that rounding to float32 may cost a granular feature, far from 0."""


class Space:
    """The regions of problems that share network, norm, mask, scale and granularity.

    Args:
        problems: The problems; their balls may differ in centre, radius and domain only.
        device: Where the tensors live.
        dtype: The network's dtype; centres must be representable in it.

    Attributes:
        centers: (problems, n) flattened centres.
        scale: (k,) units of the free features.
        free: (k,) their positions among the n features.
    """

    def __init__(self, problems: Sequence[Problem], device: str, dtype: torch.dtype) -> None:
        self.problems = problems
        self.device, self.dtype = device, dtype
        region = problems[0].region
        self.shape = problems[0].network.input_shape
        self.size = int(np.prod(self.shape))
        self.norm = Norm.LINF if isinstance(region, Box) else region.p
        free, scale = _free_and_scale(region, self.size, np.dtype(problems[0].network.dtype))
        self.free_numpy, self.scale_numpy = free, scale
        self.free = torch.as_tensor(free, device=device)
        self.all_free = len(free) == self.size
        self.plain_scale = bool((scale == 1).all())
        self.scale = torch.as_tensor(scale, dtype=dtype, device=device)
        self.centers_numpy = np.stack([p.center.reshape(-1) for p in problems])
        self.centers = torch.as_tensor(self.centers_numpy, dtype=dtype, device=device)
        self.free_centers = self.centers[:, self.free].contiguous()
        self.domain_low, self.domain_high = _domains(problems, free)
        asked = np.array([1.0 if isinstance(p.region, Box) else float(p.region.radius) for p in problems])
        self.granularity = self._granularity(region)
        self.blocks = [] if isinstance(region, Box) else _free_blocks(region, free)
        self.groups = _counted_groups(region, free)
        self.group_count = len(free) if self.groups is None else int(self.groups.max()) + 1
        self.radii = np.minimum(asked, self._extent())
        if self.norm is Norm.L0 and not (np.isfinite(self.domain_low).all() and np.isfinite(self.domain_high).all()):
            raise RegionError("an L0 ball bounds how many features change, not how far: give the model a bounded domain (--domain LO,HI)")

    def _extent(self) -> NDArray[np.float64]:
        """(problems,) distance of the farthest point of each domain: a ball that reaches further holds nothing more."""
        if self.norm is Norm.L0:
            return np.full(len(self.problems), float(self.group_count))
        centers = self.centers_numpy[:, self.free_numpy]
        farthest = np.maximum(self.domain_high - centers, centers - self.domain_low) / self.scale_numpy
        return np.asarray(self.norm.length(farthest)) * (1 + 1e-6)

    @property
    def dimension(self) -> int:
        """Number of free features k."""
        return len(self.free_numpy)

    def assemble(self, owners: Tensor, free_values: Tensor) -> Tensor:
        """Whole inputs (rows, *input_shape) from the free features (rows, k) of points that belong to ``owners``."""
        if self.all_free:
            return free_values.reshape(-1, *self.shape)
        full = self.centers[owners]
        full[:, self.free] = free_values
        return full.reshape(-1, *self.shape)

    def lengths(self, offsets: Tensor) -> Tensor:
        """Norm over the last axis of scaled offsets (..., k); for L0 the number of changed features or pixels."""
        if self.norm is Norm.L0 and self.groups is not None:
            return self.group_totals((offsets != 0).to(offsets.dtype)).gt(0).sum(dim=-1).to(offsets.dtype)
        if self.norm is Norm.L0:
            return (offsets != 0).sum(dim=-1).to(offsets.dtype)
        if self.norm is Norm.LINF:  # several times as fast as torch's own norm
            return torch.maximum(offsets.amax(dim=-1), -offsets.amin(dim=-1))
        length: Tensor = torch.linalg.vector_norm(offsets, 1.0 if self.norm is Norm.L1 else 2.0, dim=-1)
        return length

    def distances(self, owners: Tensor, points: Tensor) -> Tensor:
        """(L, m) distances of free features (L, m, k) from the centres of problems ``owners`` (L,), in the region's own units."""
        found = points.new_empty(points.shape[:2])
        step = max(1, CACHED // (points.shape[1] * points.shape[2]))
        buffer = torch.empty_like(points[:step])
        for begin in range(0, len(points), step):
            part = points[begin : begin + step]
            centers = self.free_centers[owners[begin : begin + step]].unsqueeze(1)
            offsets = torch.sub(part, centers, out=buffer[: len(part)])
            found[begin : begin + step] = self.lengths(offsets if self.plain_scale else offsets.div_(self.scale))
        return found

    def group_totals(self, values: Tensor) -> Tensor:
        """Sums over each group of free features: (..., k) to (..., groups)."""
        if self.groups is None:
            return values
        totals = values.new_zeros((*values.shape[:-1], self.group_count))
        return totals.index_add(-1, torch.as_tensor(self.groups, device=values.device), values)

    def snap(self, points: Tensor, centers: Tensor) -> Tensor:
        """Moves granular features to a step, towards the centre, and one-hot blocks to their nearest member."""
        if self.granularity is not None:
            step = self.granularity
            steps = (points - centers) / step.clamp_min(1e-30)
            moved = centers + torch.trunc(steps + STEP_ROUNDING * steps.sign()) * step
            points = torch.where(step > 0, moved, points)
        for block in self.blocks:
            change = points[..., block] - centers[..., block]
            gain, member = change.max(dim=-1, keepdim=True)
            chosen = torch.zeros_like(change).scatter_(-1, member, 1.0)
            points = points.clone()
            points[..., block] = torch.where(gain > 0.5, chosen, centers[..., block].expand_as(chosen))
        return points

    def _granularity(self, region: Ball | Box) -> Tensor | None:
        if isinstance(region, Box) or region.granularity is None:
            return None
        return torch.as_tensor(region.granularity.reshape(-1)[self.free_numpy], dtype=self.dtype, device=self.device)

    @property
    def snaps(self) -> bool:
        return self.granularity is not None or bool(self.blocks)


@dataclass(frozen=True, eq=False)
class Arms:
    """What is searched: each arm is one problem, one direction of its objective and one radius.

    Attributes:
        owner: (A,) position of the problem.
        sign: (A,) +1 where the objective is to rise, -1 where it is to fall.
        radius: (A,) radius of the arm's ball, at most the problem's own.
        floor, ceiling: (A, k) bounds of the free features, rounded inwards to the network's dtype.
        low, high: (A, k) the same in unit coordinates.
        step: (A, k) length of one unit, ``radius * scale``.
        radii: (A,) the radius as a tensor.
    """

    space: Space
    owner: Tensor
    sign: Tensor
    radius: NDArray[np.float64]
    floor: Tensor
    ceiling: Tensor
    low: Tensor
    high: Tensor
    step: Tensor
    radii: Tensor

    @classmethod
    def of(cls, space: Space, owner: NDArray[np.int64], sign: NDArray[np.float64], radius: NDArray[np.float64]) -> Arms:
        """Arms for the given problems, directions and radii (all of length A)."""
        center = space.centers_numpy[owner][:, space.free_numpy]
        discrete = space.norm is Norm.L0
        unit = np.ones(len(owner)) if discrete else radius
        reach = np.full_like(center, np.inf) if discrete else unit[:, None] * space.scale_numpy
        dtype = np.float32 if space.dtype == torch.float32 else np.float64
        low = _round_up(np.maximum(space.domain_low[owner], center - reach), dtype)
        high = _round_down(np.minimum(space.domain_high[owner], center + reach), dtype)
        stuck = low > high  # closer than the dtype's spacing: the feature cannot move
        low, high = np.where(stuck, center, low).astype(dtype), np.where(stuck, center, high).astype(dtype)
        step = unit[:, None] * space.scale_numpy

        def place(values: NDArray[np.floating]) -> Tensor:
            return torch.as_tensor(values, dtype=space.dtype, device=space.device)

        unit_low, unit_high = (low - center) / step, (high - center) / step
        return cls(
            space,
            torch.as_tensor(owner, device=space.device),
            place(sign),
            np.asarray(radius, dtype=np.float64),
            place(low),
            place(high),
            place(unit_low),
            place(unit_high),
            place(step),
            place(radius),
        )

    def __len__(self) -> int:
        return len(self.owner)

    def pull(self, arms: Tensor, units: Tensor, fraction: Tensor | float = 1.0) -> Tensor:
        """Unit points (L, m, k) of ``arms`` (L,), brought into the ball of ``fraction`` (broadcastable to (L, m)) of the radius."""
        share = torch.as_tensor(fraction, dtype=units.dtype, device=units.device).expand(units.shape[:-1]).unsqueeze(-1)
        inside = torch.clamp(units, self.low[arms].unsqueeze(1), self.high[arms].unsqueeze(1))
        if self.space.norm is Norm.L0:
            return self._keep_best_groups(arms, inside, share)
        if self.space.norm is Norm.LINF:
            return torch.clamp(inside, -share, share, out=inside)
        length = self.space.lengths(inside).unsqueeze(-1)
        return inside * torch.clamp(share * (1 - INSET) / length.clamp_min(1e-30), max=1.0)

    def _keep_best_groups(self, arms: Tensor, units: Tensor, share: Tensor) -> Tensor:
        """For L0: zero all but the ``radius * share`` groups that move most."""
        sizes = self.space.group_totals(units.abs())
        allowed = self.radii[arms].view(-1, 1, 1)
        order = sizes.argsort(dim=-1, descending=True, stable=True)
        ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(sizes.shape[-1], device=units.device).expand_as(order))
        kept = ranks < (allowed * share).floor().clamp_min(1)
        if self.space.groups is not None:
            kept = kept[..., torch.as_tensor(self.space.groups, device=units.device)]
        return units * kept

    def sample(self, arms: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Unit points (L, count, k), uniform in each arm's ball.

        A coordinate that leaves the domain is reflected at its wall: exactly uniform where no wall is
        within reach or the centre lies on it, as background pixels do; nearly so otherwise (``Ball.sample`` is
        exact everywhere, and slower).
        """
        space = self.space
        shape = (len(arms), count, space.dimension)
        low, high = self.low[arms].unsqueeze(1), self.high[arms].unsqueeze(1)

        def uniform(*size: int) -> Tensor:
            return torch.rand(*size, generator=generator, dtype=space.dtype, device=space.device)

        if space.norm in (Norm.LINF, Norm.L0):
            values = torch.lerp(low, high, uniform(*shape))
            return values if space.norm is Norm.LINF else self._random_groups(arms, values, uniform)
        if space.norm is Norm.L2:
            draws = torch.randn(*shape, generator=generator, dtype=space.dtype, device=space.device)
        else:
            draws = -torch.log(uniform(*shape).clamp_min(1e-30)) * torch.where(uniform(*shape) < 0.5, -1.0, 1.0).to(space.dtype)
        radial = uniform(len(arms), count, 1) ** (1.0 / space.dimension)
        values = draws / space.lengths(draws).unsqueeze(-1).clamp_min(1e-30) * radial
        values = torch.where(values > high, 2 * high - values, values)
        values = torch.where(values < low, 2 * low - values, values)
        return self.pull(arms, values)

    def _random_groups(self, arms: Tensor, values: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
        """Keeps the values of ``radius`` random groups of each point."""
        scores = uniform(*values.shape[:-1], self.space.group_count)
        ranks = scores.argsort(dim=-1).argsort(dim=-1)
        kept = ranks < self.radii[arms].view(-1, 1, 1)
        if self.space.groups is not None:
            kept = kept[..., torch.as_tensor(self.space.groups, device=values.device)]
        return values * kept

    def points(self, arms: Tensor, units: Tensor) -> Tensor:
        """Free features (L, m, k) of unit points: inside floor and ceiling to the last bit, snapped where granular."""
        centers = self.space.free_centers[self.owner[arms]].unsqueeze(1)
        values = torch.addcmul(centers, units, self.step[arms].unsqueeze(1))
        if self.space.snaps:
            values = self.space.snap(values, centers)
        return torch.clamp(values, self.floor[arms].unsqueeze(1), self.ceiling[arms].unsqueeze(1), out=values)

    def units(self, arms: Tensor, points: Tensor) -> Tensor:
        """Unit coordinates (L, m, k) of free features: the inverse of ``points`` up to its rounding."""
        return (points - self.space.free_centers[self.owner[arms]].unsqueeze(1)) / self.step[arms].unsqueeze(1)


def _free_and_scale(region: Ball | Box, size: int, dtype: np.dtype[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The features that can move, and their units: those whose domain holds at least two numbers, one of them of ``dtype``."""
    box = region if isinstance(region, Box) else region.domain
    low, high = box.lower.reshape(-1), box.upper.reshape(-1)
    movable = (high > low) & (_round_up(low, dtype.type) <= _round_down(high, dtype.type))
    if isinstance(region, Box):
        if not region.bounded:
            raise RegionError("the box is unbounded; give finite lower and upper values for every feature")
        scale = (high - low) / 2
    else:
        movable &= True if region.mask is None else region.mask.reshape(-1)
        scale = np.ones(size) if region.scale is None else region.scale.reshape(-1)
    free = np.flatnonzero(movable)
    if not len(free):
        raise RegionError("no feature can move: every interval is a single point, or too narrow for the network's dtype to hold a number")
    return free, scale[free].astype(np.float64)


def _domains(problems: Sequence[Problem], free: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    boxes = [p.region if isinstance(p.region, Box) else p.region.domain for p in problems]
    return np.stack([b.lower.reshape(-1)[free] for b in boxes]), np.stack([b.upper.reshape(-1)[free] for b in boxes])


def _free_blocks(region: Ball, free: NDArray[np.int64]) -> list[list[int]]:
    place = {int(feature): i for i, feature in enumerate(free)}
    return [[place[i] for i in block] for block in region.one_hot if all(i in place for i in block)]


def _counted_groups(region: Ball | Box, free: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """For L0: the number of the pixel, one-hot block or feature that each free feature counts as; None where every feature counts."""
    if isinstance(region, Box) or region.p is not Norm.L0:
        return None
    if region.group == "pixel":
        _, height, width = region.center.shape
        return np.unique(free % (height * width), return_inverse=True)[1].astype(np.int64)
    if not region.one_hot:
        return None
    counted = np.arange(region.center.size)
    for block in region.one_hot:
        counted[list(block)] = block[0]
    return np.unique(counted[free], return_inverse=True)[1].astype(np.int64)


def _round_up(values: NDArray[np.float64], dtype: type[np.floating]) -> NDArray[np.floating]:
    """The smallest numbers of ``dtype`` that are not below ``values``."""
    near = values.astype(dtype)
    return np.where(near < values, np.nextafter(near, dtype(np.inf)), near)


def _round_down(values: NDArray[np.float64], dtype: type[np.floating]) -> NDArray[np.floating]:
    near = values.astype(dtype)
    return np.where(near > values, np.nextafter(near, dtype(-np.inf)), near)
