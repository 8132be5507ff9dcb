"""Minimal perturbations without gradients: a walk along the boundary of the property, from a witness towards the centre.

As in the boundary attack of Brendel and Bethge (2019, https://arxiv.org/abs/1907.01003) each step goes towards the point nearest to
the centre behind the boundary's tangent; as in HopSkipJump (Chen et al. 2020, https://arxiv.org/abs/1904.02144) the boundary's normal
is estimated from points around the witness, and each step ends on a ray from the centre. Unlike there the values of the
property are known, not only its decisions, so differences give slopes. A few of them are renewed in each iteration and the
others are kept (a block Kaczmarz step), first for blocks of neighbouring features, then for ever smaller ones, so that thousands of
features can be followed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Outcome, Proposal, Task
from netassay.falsifiers.space import Arms
from netassay.numerics.norms import Norm

BISECTIONS = 30
"""Halvings of the distance of the tangent's nearest point."""

FIRST_SWEEP = 0.1
"""Share of the points that the first sweep over all blocks of features may take, unless that leaves fewer than ``FEWEST_BLOCKS``."""

FEWEST_BLOCKS = 32


@dataclass(frozen=True, slots=True)
class BoundaryWalk:
    """One walk per arm for L1, L2 and L-infinity, from the task's first start point; where that is no violation, none.

    Args:
        differences: Fewest and most slopes renewed per iteration; in between, a twelfth of the features.
        difference: First and last length of a difference, as a share of the distance from the centre.
        cooling: Factor of that length after an iteration that gained less than ``little`` of the distance.
        little: See ``cooling``.
        patience: Iterations, beyond one sweep over the features, without a gain of ``least`` of the distance, after which a walk ends.
        least: See ``patience``.
        blends: Shares of the way from the witness to the tangent's nearest point that are tried.
        margins: How far behind the tangent that point lies, as shares of the fall of the property from the centre to there.
        stretches: Multiples of the estimated distance of the boundary that are tried on the ray through the best of these points.
    """

    differences: tuple[int, int] = (16, 64)
    difference: tuple[float, float] = (0.1, 0.01)
    cooling: float = 0.85
    little: float = 0.01
    patience: int = 16
    least: float = 1e-4
    blends: tuple[float, ...] = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
    margins: tuple[float, ...] = (0.0, 0.1)
    stretches: tuple[float, ...] = (0.98, 0.995, 1.0, 1.005, 1.02, 1.05, 1.1)

    def start(self, task: Task) -> Falsifier:
        """Begins at the first start point, or at the best record."""
        return _Walks(task, self)

    def renewed(self, features: int) -> int:
        """Slopes renewed per iteration."""
        fewest, most = self.differences
        return min(features, max(fewest, min(most, features // 12)))


class _Step(Enum):
    """What an iteration consists of, one proposal each; BEGIN evaluates the start point."""

    BEGIN = auto()
    DIFFERENCES = auto()
    TANGENT = auto()
    RAY = auto()


_NEXT = {_Step.BEGIN: _Step.DIFFERENCES, _Step.DIFFERENCES: _Step.TANGENT, _Step.TANGENT: _Step.RAY, _Step.RAY: _Step.DIFFERENCES}


class _Walks:
    """The walks of all arms side by side, each arm a lane. Slopes are those of the merit, which is positive at violations."""

    def __init__(self, task: Task, options: BoundaryWalk) -> None:
        self._task, self._options, self._arms = task, options, task.arms
        like, k = task.arms.low, task.arms.low.shape[1]
        self._lanes = torch.arange(len(task.arms), device=like.device)
        self._at = task.incumbents() if task.starts is None else task.starts[:, 0].clone()
        self._merit, self._length = like.new_zeros(len(self._lanes)), like.new_full((len(self._lanes),), torch.inf)
        self._slopes = torch.zeros_like(self._at)
        self._base, self._aim, self._before = self._at.clone(), self._at.clone(), self._length.clone()
        self._shares = like.new_full((len(self._lanes),), options.difference[0])
        self._alive, self._idle = torch.ones_like(self._lanes, dtype=torch.bool), torch.zeros_like(self._lanes)
        self._step = _Step.BEGIN
        self._curve = along_curve(task.arms)
        self._divide(_first_length(k, task.queries))

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        if self._step is _Step.DIFFERENCES:
            self._alive &= torch.isfinite(self._length)
        lanes = self._lanes[active & self._alive]
        if not len(lanes):
            return None
        make = {
            _Step.BEGIN: lambda lanes, _: self._at[lanes].unsqueeze(1),
            _Step.DIFFERENCES: self._neighbours,
            _Step.TANGENT: self._towards_center,
            _Step.RAY: self._on_the_ray,
        }[self._step]
        return Proposal(lanes, lanes, make(lanes, max(1, rows // len(lanes))))

    def observe(self, outcome: Outcome) -> None:
        """Learns slopes or takes a step, and remembers the nearest violation."""
        lanes = outcome.lanes
        if self._step is _Step.DIFFERENCES:
            self._learn(lanes, outcome)
        elif self._step is _Step.TANGENT:
            self._choose(lanes, outcome)
        self._remember(lanes, outcome)
        if self._step is _Step.RAY:
            self._cool(lanes)
        self._step = _NEXT[self._step]

    def _remember(self, lanes: Tensor, outcome: Outcome) -> None:
        violated = (outcome.merit > 0) & outcome.feasible
        length, at = torch.where(violated, outcome.length, torch.inf).min(dim=1)
        better = length < self._length[lanes]
        moved, rows = lanes[better], torch.arange(len(lanes), device=lanes.device)[better]
        self._length[moved], self._merit[moved] = length[better], outcome.merit[rows, at[better]]
        self._at[moved] = outcome.units[rows, at[better]]

    # Differences

    def _neighbours(self, lanes: Tensor, most: int) -> Tensor:
        """The witness with one block of features moved, for the blocks whose slopes are oldest; where there is room, uphill."""
        if self._swept >= self._blocks:
            self._divide(max(1, self._width // 2))
        count = min(most, self._blocks, self._options.renewed(self._at.shape[1]))
        self._swept += count
        self._base[lanes], self._before[lanes] = self._at[lanes], self._length[lanes]
        moves = self._moves(lanes)
        inside = self._block == self._oldest(lanes, count).unsqueeze(2)
        return self._base[lanes].unsqueeze(1) + moves.unsqueeze(1) * inside

    def _oldest(self, lanes: Tensor, count: int) -> Tensor:
        """(L, count) blocks, each of a walk once per sweep, in random order."""
        drawn = torch.rand(len(lanes), self._blocks, generator=self._task.generator, dtype=self._at.dtype, device=self._at.device)
        chosen = (self._age[lanes] + drawn).topk(count, dim=1).indices
        self._age[lanes] = (self._age[lanes] + 1).scatter(1, chosen, 0.0)
        return chosen

    def _moves(self, lanes: Tensor) -> Tensor:
        """(L, k) by how much each feature moves when its block does: all of a block up or all down."""
        base, slopes = self._base[lanes], self._slopes[lanes]
        length = self._shares[lanes] * self._length[lanes] * self._longest_axis / math.sqrt(self._width)
        step = torch.maximum(length.unsqueeze(1), self._grain(lanes))
        above, below = torch.minimum(step, self._arms.high[lanes] - base), torch.minimum(step, base - self._arms.low[lanes])
        uphill = self._sums(torch.where(slopes == 0, -1e-30 * base.sign(), slopes)) > 0  # where nothing is known, to the centre
        rising, falling = self._sums(above), self._sums(below)
        blocked = torch.where(uphill, rising, falling) < torch.maximum(rising, falling) / 2
        upwards = torch.where(blocked, rising > falling, uphill)
        return torch.where(upwards[:, self._block], above, -below)

    def _grain(self, lanes: Tensor) -> Tensor:
        """The least step of granular features, 0 where there is none."""
        step = self._arms.space.granularity
        return torch.zeros_like(self._arms.step[lanes]) if step is None else step / self._arms.step[lanes]

    @property
    def _longest_axis(self) -> float:
        """Euclidean length from the centre of a unit ball to its farthest point; for L1 to a point where several features move."""
        return {Norm.LINF: math.sqrt(self._at.shape[1]), Norm.L1: 1 / 3}.get(self._arms.space.norm, 1.0)

    def _divide(self, width: int) -> None:
        """Begins a sweep over blocks of ``width`` neighbouring features."""
        self._width, self._blocks, self._swept = width, -(-self._at.shape[1] // width), 0
        self._block = self._curve // width
        self._age = self._at.new_zeros(len(self._lanes), self._blocks)

    def _sums(self, rows: Tensor) -> Tensor:
        """Sums (L, blocks) of rows (L, k) over each block."""
        return rows.new_zeros(len(rows), self._blocks).index_add_(1, self._block, rows)

    def _learn(self, lanes: Tensor, outcome: Outcome) -> None:
        """Corrects the slopes so that they explain the differences; each difference is about features of its own."""
        offsets = outcome.units - self._base[lanes].unsqueeze(1)
        error = outcome.merit - self._merit[lanes].unsqueeze(1) - torch.einsum("lmk,lk->lm", offsets, self._slopes[lanes])
        size = (offsets * offsets).sum(dim=2)
        moved = size > 1e-4 * size.amax(dim=1, keepdim=True)  # the others met a wall: what is left of their offset is rounding
        weight = torch.where(torch.isfinite(error) & moved, error / size.clamp_min(1e-30), 0.0)
        self._slopes[lanes] += torch.einsum("lm,lmk->lk", weight, offsets)

    # Steps

    def _towards_center(self, lanes: Tensor, most: int) -> Tensor:
        """Points on the way from the witness to the point nearest to the centre behind the tangent."""
        at, slopes = self._at[lanes].unsqueeze(1), self._slopes[lanes]
        rise = (self._at[lanes] * slopes).sum(dim=1) - self._merit[lanes]
        levels = rise.clamp_min(0).unsqueeze(1) * (1 + at.new_tensor(self._options.margins))
        nearest = nearest_behind(self._arms, lanes, slopes, levels, self._length[lanes])
        blends = at.new_tensor(self._options.blends).view(1, -1, 1, 1)
        points = at.unsqueeze(1) + blends * (nearest - at).unsqueeze(1)
        return points.reshape(len(lanes), -1, at.shape[2])[:, :most]

    def _choose(self, lanes: Tensor, outcome: Outcome) -> None:
        """Aims at the boundary on the ray where, by the slopes, it is nearest to the centre."""
        rise = torch.einsum("lmk,lk->lm", outcome.units, self._slopes[lanes])
        stretch = (1 - outcome.merit / rise.clamp_min(1e-30)).clamp(0.5, 1.5)
        length = torch.where(torch.isfinite(outcome.merit), outcome.length * stretch, torch.inf)
        at, rows = length.argmin(dim=1), torch.arange(len(lanes), device=lanes.device)
        self._aim[lanes] = outcome.units[rows, at] * stretch[rows, at].unsqueeze(1)

    def _on_the_ray(self, lanes: Tensor, most: int) -> Tensor:
        stretches = self._aim.new_tensor(self._options.stretches[:most]).view(1, -1, 1)
        return self._arms.pull(lanes, self._aim[lanes].unsqueeze(1) * stretches)

    def _cool(self, lanes: Tensor) -> None:
        """Shorter differences where little was gained; walks that gain nothing any more end."""
        gain = 1 - self._length[lanes] / self._before[lanes]
        slow = lanes[gain < self._options.little]
        self._shares[slow] = (self._shares[slow] * self._options.cooling).clamp_min(self._options.difference[1])
        self._idle[lanes] = torch.where(gain < self._options.least, self._idle[lanes] + 1, 0)
        features = self._at.shape[1]
        self._alive[lanes[self._idle[lanes] > self._options.patience + features // self._options.renewed(features)]] = False


def _first_length(features: int, queries: int) -> int:
    """Features per block in the first sweep: the least power of two that leaves few enough blocks."""
    fewest = features / max(FEWEST_BLOCKS, queries * FIRST_SWEEP)
    return 1 << max(0, math.ceil(math.log2(fewest)))


def along_curve(arms: Arms) -> Tensor:
    """(k,) the place of each free feature on a curve that keeps neighbours in the last two axes of the input together (Morton 1966)."""
    space = arms.space
    rows, columns = (1, 1, *space.shape)[-2:]
    place = space.free % (rows * columns)
    row, column = place // columns, place % columns
    code = torch.zeros_like(place)
    for bit in range(20):
        code |= ((column >> bit) & 1) << (2 * bit) | ((row >> bit) & 1) << (2 * bit + 1)
    order = torch.argsort((space.free // (rows * columns) << 40) + code)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def nearest_behind(arms: Arms, at: Tensor, slopes: Tensor, levels: Tensor, most: Tensor) -> Tensor:
    """The points (L, m, k) nearest to the centre, in the norm and within the domain, where linear forms reach given levels.

    Args:
        arms: Where the forms live; at: (L,) which arm each belongs to.
        slopes: (L, k) the forms, in unit coordinates.
        levels: (L, m) values to reach, not negative.
        most: (L,) length at which the search ends: where a level is out of its reach, the steepest point of that length.
    """
    steepest = _Steepest(arms.space.norm, slopes.unsqueeze(1), arms.low[at].unsqueeze(1), arms.high[at].unsqueeze(1))
    begin, end = torch.zeros_like(levels), most.unsqueeze(1).expand_as(levels)
    for _ in range(BISECTIONS):
        middle = (begin + end) / 2
        reached = (steepest(middle) * slopes.unsqueeze(1)).sum(dim=2) >= levels
        begin, end = torch.where(reached, begin, middle), torch.where(reached, middle, end)
    return steepest(end)


class _Steepest:
    """The point of a ball within a box around 0 where a linear form is largest, for any radius.

    For L2 the radius is the one before the box cuts the point off: such a point is the steepest of its own, smaller ball.

    Args:
        norm: Of the ball.
        slopes, low, high: (L, 1, k) the form and the box.
    """

    def __init__(self, norm: Norm, slopes: Tensor, low: Tensor, high: Tensor) -> None:
        caps = torch.where(slopes > 0, high, -low)
        self._norm, self._low, self._high = norm, low, high
        self._slopes = torch.where(caps > 0, slopes, 0.0)
        self._order = self._slopes.abs().argsort(dim=2, descending=True)
        self._caps = (caps * (self._slopes != 0)).gather(2, self._order)
        self._before = self._caps.cumsum(dim=2) - self._caps

    def __call__(self, radii: Tensor) -> Tensor:
        """(L, m, k) for radii (L, m)."""
        radius = radii.unsqueeze(2)
        if self._norm is Norm.L1:  # the steepest features first, each as far as it may
            amounts = torch.minimum(self._caps, (radius - self._before).clamp_min(0))
            return torch.zeros_like(amounts).scatter(2, self._order.expand_as(amounts), amounts) * self._slopes.sign()
        size = torch.linalg.vector_norm(self._slopes, dim=2, keepdim=True).clamp_min(1e-30)
        along = self._slopes.sign() if self._norm is Norm.LINF else self._slopes / size
        return torch.clamp(along * radius, self._low, self._high)
