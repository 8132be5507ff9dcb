"""TP-MADS: tensor-parallel mesh adaptive direct search (DeepQuant, Algorithms 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Objective, Outcome, Proposal, Task, lanes_of
from netassay.falsifiers.direct_search.merit import AugmentedLagrangian, FeasibleMerit, Merit
from netassay.numerics.norms import Norm


@dataclass(frozen=True, slots=True)
class TpMads:
    """The paper's direct search: SEARCH on a mesh, POLL along plus and minus every axis, all points of all inputs in one tensor.

    Algorithm 1 as printed loops while the budget is exceeded, shrinks the mesh after a successful SEARCH, and never
    shrinks it after a failed iteration. Section 5.1's text says what is meant, and is implemented: a
    successful POLL doubles mesh and poll size (up to the ball), a successful SEARCH keeps them, an iteration in which
    both fail halves them; the loop ends when the budget is spent or the poll size falls below ``tolerance``, and
    then starts again elsewhere as long as there is budget. A poll that does not fit in one batch is cut into
    blocks and stops at the first block with a better point, which the paper allows ("opportunistic").
    For L1 and L2 the points are ranked by the augmented Lagrangian of Algorithm 2 (``AugmentedLagrangian``).
    Mesh points beyond a bound are put on the bound.

    Args:
        lanes: Runs per arm, from different starts, side by side.
        mesh: First mesh size as a share of the first poll size (the paper: 2^-10 to 1).
        tolerance: Poll size, as a share of the radius, below which a run has converged (the paper: 1e-6).
        search: Points per SEARCH, as a multiple of the number of features, at least 16.
    """

    lanes: int = 4
    mesh: float = 2.0**-10
    tolerance: float = 1e-6
    search: float = 1.0

    def start(self, task: Task) -> Falsifier:
        """Begins with an initial design of random points at many radii, and the task's start points."""
        return _TpMads(task, self)


class _Stage(Enum):
    DESIGN = auto()
    SEARCH = auto()
    POLL = auto()


class _TpMads:
    def __init__(self, task: Task, options: TpMads) -> None:
        arms = task.arms
        self._task, self._options, self._arms = task, options, arms
        like = arms.low
        self._lanes, self._lane_arms = lanes_of(len(arms), max(1, min(options.lanes, task.queries // (60 * like.shape[1]))), like.device)
        count, k = len(self._lanes), like.shape[1]
        self._dimension = k
        self._incumbents = like.new_zeros(count, k)
        self._values = like.new_full((count,), -torch.inf)
        self._raw = like.new_full((count,), -torch.inf)
        self._lengths = like.new_zeros(count)
        self._poll = like.new_ones(count)
        constrained = arms.space.norm in (Norm.L1, Norm.L2)
        self._merit: Merit = AugmentedLagrangian(count, task.objective, like) if constrained else FeasibleMerit()
        self._stage = _Stage.DESIGN
        self._fresh = torch.ones(count, dtype=torch.bool, device=like.device)
        self._polling = torch.zeros(count, dtype=torch.bool, device=like.device)
        self._order = torch.arange(2 * k, device=like.device)
        self._cursor = 0
        self._first_design = True

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        alive = active[self._lane_arms]
        if not bool(alive.any()):
            return None
        self._next_stage(alive)
        chosen = {_Stage.DESIGN: self._fresh, _Stage.SEARCH: ~self._polling, _Stage.POLL: self._polling}[self._stage] & alive
        lanes = self._lanes[chosen]
        if len(lanes) > rows:  # memory is short: some of them, drawn anew each time
            drawn = torch.randperm(len(lanes), generator=self._task.generator, device=lanes.device)
            lanes = lanes[drawn[: max(1, rows)]].sort().values
        make = {_Stage.DESIGN: self._design, _Stage.SEARCH: self._mesh_points, _Stage.POLL: self._poll_points}[self._stage]
        return Proposal(self._lane_arms[lanes], lanes, make(lanes, max(1, rows // len(lanes))))

    def _next_stage(self, alive: Tensor) -> None:
        if bool((self._fresh & alive).any()):
            self._stage = _Stage.DESIGN
        elif bool((self._polling & alive).any()):
            self._stage = _Stage.POLL
        else:
            self._stage = _Stage.SEARCH
            self._polling &= alive

    def _random(self, *size: int) -> Tensor:
        return torch.rand(*size, generator=self._task.generator, dtype=self._poll.dtype, device=self._poll.device)

    def _design(self, lanes: Tensor, most: int) -> Tensor:
        """The initial design: random points, pulled to radii between 1 and 1/256 of the ball, and any given starts."""
        arms = self._lane_arms[lanes]
        count = min(most, max(8, min(64, 2 * self._dimension)))
        points = self._arms.sample(arms, count, self._task.generator)
        if self._task.objective is Objective.SLOPE:
            shares = 2.0 ** (-8 * self._random(len(lanes), count))
            points = self._arms.pull(arms, points, shares) if self._arms.space.norm is Norm.L0 else points * shares.unsqueeze(-1)
        starts = self._task.starts
        if self._first_design and starts is not None:
            given = starts[arms][:, : max(0, count - 1)]
            points[:, : given.shape[1]] = given
        return points

    def _mesh_points(self, lanes: Tensor, most: int) -> Tensor:
        """SEARCH: half of the points anywhere, half near the incumbent in a few features; all rounded to the mesh."""
        arms = self._lane_arms[lanes]
        count = min(most, max(16, round(self._options.search * self._dimension)))
        base = self._incumbents[lanes].unsqueeze(1)
        mesh = (self._poll[lanes].view(-1, 1, 1) * self._options.mesh).clamp_min(1e-7)
        anywhere = self._arms.sample(arms, count - count // 2, self._task.generator)
        anywhere.sub_(base).div_(mesh).round_().mul_(mesh).add_(base)
        return torch.cat([anywhere, self._nearby(lanes, base, mesh, count // 2)], dim=1)

    def _nearby(self, lanes: Tensor, base: Tensor, mesh: Tensor, count: int) -> Tensor:
        """The incumbent with up to three features moved, at the scale of the poll size and below."""
        few = (len(lanes), count, min(3, self._dimension))
        features = torch.randint(self._dimension, few, generator=self._task.generator, device=base.device)
        moves = torch.randn(few, generator=self._task.generator, dtype=base.dtype, device=base.device)
        moves *= self._poll[lanes].view(-1, 1, 1) * 2.0 ** (-6 * self._random(len(lanes), count, 1))
        return base.repeat(1, count, 1).scatter_add_(2, features, torch.round(moves / mesh) * mesh)

    def _poll_points(self, lanes: Tensor, most: int) -> Tensor:
        """POLL: the incumbent plus and minus the poll size along each axis (D = [I, -I])."""
        block = self._order[self._cursor : self._cursor + most]
        points = self._incumbents[lanes].unsqueeze(1).repeat(1, len(block), 1)
        axis, sign = block % self._dimension, torch.where(block < self._dimension, 1.0, -1.0).to(points.dtype)
        points[:, torch.arange(len(block), device=points.device), axis] += self._poll[lanes].unsqueeze(1) * sign
        return points

    def observe(self, outcome: Outcome) -> None:
        """Moves incumbents to the best point, and adapts mesh and poll size lane by lane."""
        lanes = outcome.lanes
        rank = self._merit.of(lanes, outcome.merit, outcome.length, outcome.feasible)
        best, at, points = outcome.best(rank)
        better = best > self._values[lanes]
        moved = lanes[better]
        self._values[moved], self._incumbents[moved] = best[better], points[better]
        rows = torch.arange(len(lanes), device=lanes.device)
        self._raw[moved] = outcome.merit[rows, at][better]
        self._lengths[moved] = outcome.length[rows, at][better]
        if self._stage is _Stage.DESIGN:
            self._fresh[lanes] = False
            self._first_design = False
        elif self._stage is _Stage.SEARCH:
            self._begin_poll(lanes[~better])
        else:
            self._end_poll(lanes, moved, outcome.free.shape[1])

    def _begin_poll(self, failed: Tensor) -> None:
        self._polling[:] = False
        self._polling[failed] = True
        self._cursor = 0
        if len(self._order) > 4096:  # polled in blocks: a fresh order each time, so that no axis is always last
            self._order = torch.randperm(len(self._order), generator=self._task.generator, device=self._order.device)

    def _end_poll(self, lanes: Tensor, moved: Tensor, evaluated: int) -> None:
        self._polling[moved] = False
        self._poll[moved] = (2 * self._poll[moved]).clamp(max=1.0)
        self._cursor += evaluated
        if self._cursor < len(self._order):
            return
        failed = lanes[self._polling[lanes]]
        self._polling[:] = False
        self._poll[failed] /= 2
        self._converged(failed[self._poll[failed] < self._merit.accuracy(failed, self._options.tolerance)])

    def _converged(self, lanes: Tensor) -> None:
        """Lanes whose poll size fell below the tolerance: a new subproblem (Algorithm 2), or a restart."""
        if not len(lanes):
            return
        further = self._merit.update(lanes, self._raw[lanes], self._lengths[lanes])
        ongoing, finished = lanes[further], lanes[~further]
        self._poll[ongoing] = 2.0**-4
        if len(ongoing):
            again = self._merit.of(
                ongoing, self._raw[ongoing].unsqueeze(1), self._lengths[ongoing].unsqueeze(1), (self._lengths[ongoing] <= 1).unsqueeze(1)
            )
            self._values[ongoing] = again.squeeze(1)
        self._merit.reset(finished)
        self._values[finished], self._poll[finished] = -torch.inf, 1.0
        self._fresh[finished] = True
