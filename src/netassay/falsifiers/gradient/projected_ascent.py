"""White-box search: multi-start projected ascent on s, at a ladder of radii.

The supremum of the slope lies at the centre, inside, or on the sphere, so each start climbs in a ball of its own radius:
2^0, 2^-1, ... of the arm's. Steps follow the norm (sign for L-infinity, normalised for L2, the steepest
coordinates for L1 and L0), with momentum (Dong et al. 2018, https://arxiv.org/abs/1710.06081) and a
cosine-decayed length; points are pulled back towards the centre (Madry et al. 2018, https://arxiv.org/abs/1706.06083).
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
        steps: Steps of one climb; then each start begins anew.
        ladder: Rungs of the ladder of radii (slopes only; values are sought in the whole ball).
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
    def __init__(self, task: Task, options: ProjectedAscent) -> None:
        self._task, self._options, self._arms = task, options, task.arms
        like = task.arms.low
        starts = max(1, min(options.starts, task.queries // options.steps))
        self._lanes, self._lane_arms = lanes_of(len(task.arms), starts, like.device)
        self._each = starts
        self._rung = self._lanes % starts
        self._position = torch.zeros(len(self._lanes), like.shape[1], dtype=like.dtype, device=like.device)
        self._direction = torch.zeros_like(self._position)
        self._variants = torch.zeros_like(self._lanes)
        self._step = 0
        self._climb = 0

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        chosen = active[self._lane_arms]
        if not bool(chosen.any()):
            return None
        if self._step == 0:
            self._begin()
        lanes = self._lanes[chosen][: max(1, rows)] if self._each * len(active) > rows else self._lanes[chosen]
        return Proposal(self._lane_arms[lanes], lanes, self._position[lanes].unsqueeze(1), gradient=True, variants=self._variants[lanes])

    def _fraction(self) -> Tensor:
        """(lanes,) radius of each climb as a share of the arm's."""
        if self._task.objective is Objective.VALUE:
            return torch.ones_like(self._position[:, 0])
        return 2.0 ** -((self._rung + self._climb * self._each) % self._options.ladder).to(self._position.dtype)

    def _begin(self) -> None:
        fraction = self._fraction().unsqueeze(1)
        points = self._arms.sample(self._lane_arms, 1, self._task.generator)
        scaled = points if self._arms.space.norm is Norm.L0 else points * fraction.unsqueeze(-1)
        self._position = self._arms.pull(self._lane_arms, scaled, fraction).squeeze(1)
        self._direction.zero_()
        # Half of the climbs follow the property, the others make for one label each.
        drawn = torch.randint(1, 1 << 20, self._lanes.shape, generator=self._task.generator, device=self._lanes.device)
        self._variants = torch.where((self._rung + self._climb) % 2 == 0, 0, drawn)
        first = self._rung == 0
        if self._climb == 0:
            self._position[first] = 0
            self._use_starts()
        else:  # one climb goes on from the best point known, whoever found it
            best = self._task.incumbents()
            self._position[first] = self._arms.pull(
                self._lane_arms[first], best[self._lane_arms[first]].unsqueeze(1), fraction[first]
            ).squeeze(1)

    def _use_starts(self) -> None:
        starts = self._task.starts
        if starts is None:
            return
        for i in range(min(starts.shape[1], self._each - 1)):
            mine = self._rung == i + 1
            arms = self._lane_arms[mine]
            self._position[mine] = self._arms.pull(arms, starts[arms, i].unsqueeze(1)).squeeze(1)

    def observe(self, outcome: Outcome) -> None:
        """One step uphill for the lanes that were evaluated."""
        lanes = outcome.lanes
        if outcome.gradient is None:
            return
        position = outcome.units[:, 0]
        slope = outcome.gradient[:, 0]
        size = slope.abs().amax(dim=1, keepdim=True)
        slope = slope / size.clamp_min(1e-30)
        direction = self._options.momentum * self._direction[lanes] + slope
        direction = self._movable(lanes, position, direction)
        self._direction[lanes] = direction
        fraction = self._fraction()[lanes].unsqueeze(1)
        length = fraction * self._length() * (size > 0)
        moved = position + self._uphill(lanes, direction, length)
        self._position[lanes] = self._arms.pull(self._lane_arms[lanes], moved.unsqueeze(1), fraction).squeeze(1)
        self._step += 1
        if self._step >= self._options.steps:
            self._step, self._climb = 0, self._climb + 1

    def _movable(self, lanes: Tensor, position: Tensor, direction: Tensor) -> Tensor:
        """The direction without the coordinates that would only push against a wall of the domain."""
        arms, margin = self._lane_arms[lanes], 1e-6
        blocked = ((position >= self._arms.high[arms] - margin) & (direction > 0)) | (
            (position <= self._arms.low[arms] + margin) & (direction < 0)
        )
        return torch.where(blocked, 0.0, direction)

    def _length(self) -> float:
        """Cosine decay from about the radius to a hundredth of it."""
        return 0.01 + 0.99 * (1 + math.cos(math.pi * self._step / self._options.steps)) / 2 * 0.8

    def _uphill(self, lanes: Tensor, direction: Tensor, length: Tensor) -> Tensor:
        norm = self._arms.space.norm
        if norm is Norm.LINF:
            return direction.sign() * length
        if norm is Norm.L2:
            norms: Tensor = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
            return direction / norms.clamp_min(1e-30) * length
        if norm is Norm.L1:
            return self._steepest(direction, max(1, direction.shape[1] // 50)) * length
        width = (self._arms.high - self._arms.low)[self._lane_arms[lanes]]
        return direction.sign() * direction.abs() * width * length

    def _steepest(self, direction: Tensor, count: int) -> Tensor:
        """Equal steps along the ``count`` steepest coordinates, of total L1 length 1."""
        top = direction.abs().topk(count, dim=1).indices
        return torch.zeros_like(direction).scatter_(1, top, direction.gather(1, top).sign() / count)
