"""White-box search: multi-start projected ascent on s, at a ladder of radii.

The supremum of the slope lies at the centre, inside, or on the sphere, so each start climbs in a ball of its own radius:
2^0, 2^-1, ... of the arm's. Directions carry momentum (Dong et al. 2018, https://arxiv.org/abs/1710.06081); points are pulled
back towards the centre (Madry et al. 2018, https://arxiv.org/abs/1706.06083); steps shorten along a cosine, and half and three
quarters of the way a climb goes back to its best point (an idea of Croce and Hein 2020, https://arxiv.org/abs/2003.01690). Half of
the climbs step as the norm suggests (signs for L-infinity, the steepest coordinates for L1), half along the gradient itself,
which can settle where a target lies inside the ball, as points of greatest uncertainty do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Objective, Outcome, Proposal, Task, lanes_of
from netassay.numerics.norms import Norm


@dataclass(frozen=True, slots=True)
class ProjectedAscent:
    """Multi-start projected gradient ascent.

    Args:
        starts: Climbs per arm, side by side; for slopes they share out the ladder of radii.
        steps: Steps of one climb; then it begins anew elsewhere.
        ladder: Rungs of the ladder of radii (slopes only; values are sought in the whole ball). For L0 it goes down to 1.
        momentum: Share of the last direction that is kept.
    """

    starts: int = 8
    steps: int = 24
    ladder: int = 6
    momentum: float = 0.7

    def start(self, task: Task) -> Falsifier:
        """Begins one climb at the centre and one at each given start point, the others at random."""
        return _Ascent(task, self)


class _Ascent:
    """All climbs side by side; each lane counts its own steps, so that lanes can take turns where memory is short."""

    def __init__(self, task: Task, options: ProjectedAscent) -> None:
        self._task, self._options, self._arms = task, options, task.arms
        like = task.arms.low
        self._each = max(1, min(options.starts, task.queries // options.steps))
        self._lanes, self._lane_arms = lanes_of(len(task.arms), self._each, like.device)
        self._rung = self._lanes % self._each
        few = math.ceil(math.log2(max(2.0, float(task.arms.radius.max())))) + 1  # L0: down to a single change
        self._rungs = few if task.arms.space.norm is Norm.L0 else options.ladder
        self._age = torch.zeros_like(self._lanes)
        self._variants = torch.zeros_like(self._lanes)
        self._along = torch.zeros_like(self._lanes, dtype=torch.bool)
        self._position = torch.zeros(len(self._lanes), like.shape[1], dtype=like.dtype, device=like.device)
        self._direction = torch.zeros_like(self._position)
        self._kept = torch.zeros_like(self._position)
        self._best = like.new_full((len(self._lanes),), -torch.inf)
        self._length = like.new_ones(len(self._lanes))

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        lanes = self._lanes[active[self._lane_arms]]
        if not len(lanes):
            return None
        if len(lanes) > rows:  # those that have waited longest
            lanes = lanes[self._age[lanes].argsort(stable=True)[: max(1, rows)]].sort().values
        self._begin(lanes[self._age[lanes] % self._options.steps == 0])
        return Proposal(self._lane_arms[lanes], lanes, self._position[lanes].unsqueeze(1), gradient=True, variants=self._variants[lanes])

    def _climb(self, lanes: Tensor) -> Tensor:
        return self._age[lanes] // self._options.steps

    def _fraction(self, lanes: Tensor) -> Tensor:
        """(L, 1) radius of each climb as a share of the arm's."""
        if self._task.objective is Objective.VALUE:
            return torch.ones_like(self._position[lanes, :1])
        rung = (self._rung[lanes] + self._climb(lanes) * self._each) % self._rungs
        return 2.0 ** -rung.to(self._position.dtype).unsqueeze(1)

    def _begin(self, lanes: Tensor) -> None:
        if not len(lanes):
            return
        arms, fraction = self._lane_arms[lanes], self._fraction(lanes)
        points = self._arms.sample(arms, 1, self._task.generator)
        scaled = points if self._arms.space.norm is Norm.L0 else points * fraction.unsqueeze(-1)
        self._position[lanes] = self._arms.pull(arms, scaled, fraction).squeeze(1)
        self._direction[lanes] = 0
        self._best[lanes] = -torch.inf
        self._length[lanes] = 0.8 * fraction.squeeze(1)
        # Half of the climbs follow the property, the others make for one label each; half go along the gradient.
        drawn = torch.randint(1, 1 << 20, (3, len(lanes)), generator=self._task.generator, device=lanes.device)
        plain = self._rung[lanes] + self._climb(lanes) == 0
        self._variants[lanes] = torch.where(plain | (drawn[1] % 2 == 0), 0, drawn[0])
        self._along[lanes] = ~plain & (drawn[2] % 2 == 0)
        self._begin_where_told(lanes[self._climb(lanes) == 0], lanes[self._climb(lanes) > 0])

    def _begin_where_told(self, first: Tensor, later: Tensor) -> None:
        """The first climbs use the centre and the given starts; later ones go on, with rung 0, from the best point that anyone found."""
        self._position[first[self._rung[first] == 0]] = 0
        starts = self._task.starts
        if starts is not None:
            for i in range(min(starts.shape[1], self._each - 1)):
                self._place(first[self._rung[first] == i + 1], starts[:, i])
        again = later[self._rung[later] == 0]
        if len(again):
            self._place(again, self._task.incumbents())

    def _place(self, lanes: Tensor, points: Tensor) -> None:
        arms = self._lane_arms[lanes]
        self._position[lanes] = self._arms.pull(arms, points[arms].unsqueeze(1), self._fraction(lanes)).squeeze(1)

    def observe(self, outcome: Outcome) -> None:
        """One step uphill for the lanes that were evaluated."""
        lanes = outcome.lanes
        if outcome.gradient is None:
            return
        position, slope = outcome.units[:, 0], outcome.gradient[:, 0]
        self._remember(lanes, position, outcome.merit[:, 0])
        size = slope.abs().amax(dim=1, keepdim=True)
        direction = self._movable(lanes, position, self._options.momentum * self._direction[lanes] + slope / size.clamp_min(1e-30))
        self._direction[lanes] = direction
        moved = position + self._uphill(lanes, direction, (self._length[lanes] * self._decay(lanes)).unsqueeze(1) * (size > 0))
        self._position[lanes] = self._arms.pull(self._lane_arms[lanes], moved.unsqueeze(1), self._fraction(lanes)).squeeze(1)
        self._age[lanes] += 1
        turn = self._age[lanes] % self._options.steps
        self._return(lanes[(turn == self._options.steps // 2) | (turn == 3 * self._options.steps // 4)])

    def _remember(self, lanes: Tensor, position: Tensor, merit: Tensor) -> None:
        better = merit > self._best[lanes]
        self._best[lanes[better]], self._kept[lanes[better]] = merit[better], position[better]

    def _return(self, lanes: Tensor) -> None:
        """Lanes go back to the best point of their climb."""
        found = lanes[torch.isfinite(self._best[lanes])]
        self._position[found] = self._kept[found]
        self._direction[found] = 0

    def _decay(self, lanes: Tensor) -> Tensor:
        """(L,) cosine decay of the step over a climb, from 1 to 1 %."""
        turn = (self._age[lanes] % self._options.steps).to(self._position.dtype) / self._options.steps
        return 0.01 + 0.99 * (1 + torch.cos(torch.pi * turn)) / 2

    def _movable(self, lanes: Tensor, position: Tensor, direction: Tensor) -> Tensor:
        """The direction without the coordinates that would only push against a wall of the domain."""
        arms, margin = self._lane_arms[lanes], 1e-6
        above = (position >= self._arms.high[arms] - margin) & (direction > 0)
        below = (position <= self._arms.low[arms] + margin) & (direction < 0)
        return torch.where(above | below, 0.0, direction)

    def _uphill(self, lanes: Tensor, direction: Tensor, length: Tensor) -> Tensor:
        """A step of the given length in the norm."""
        norm = self._arms.space.norm
        if norm is Norm.L0:
            width = (self._arms.high - self._arms.low)[self._lane_arms[lanes]]
            return direction * width * length
        along = direction / self._arms.space.lengths(direction).unsqueeze(1).clamp_min(1e-30)
        if norm is Norm.L2:
            return along * length
        native = direction.sign() if norm is Norm.LINF else self._steepest(direction, max(1, direction.shape[1] // 50))
        return torch.where(self._along[lanes].unsqueeze(1), along, native) * length

    def _steepest(self, direction: Tensor, count: int) -> Tensor:
        """Equal steps along the ``count`` steepest coordinates, of total L1 length 1."""
        top = direction.abs().topk(count, dim=1).indices
        return torch.zeros_like(direction).scatter_(1, top, direction.gather(1, top).sign() / count)
