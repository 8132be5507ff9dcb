"""MADS with many incumbents side by side (DeepQuant, sections 5.1 to 5.3), for few features and for many."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Objective, Outcome, Proposal, Task, lanes_of
from netassay.falsifiers.direct_search.group_models import GroupModels
from netassay.falsifiers.direct_search.merit import AugmentedLagrangian, FeasibleMerit, Merit
from netassay.falsifiers.direct_search.tpmads import TpMads
from netassay.falsifiers.portfolio import Phase, Sequence
from netassay.numerics.norms import Norm

FEW = 32
"""Up to this many free features polls alone find the way; beyond, ``GroupModels`` is the SEARCH step."""

SOME = 8
"""Fresh lanes wait until they are one in so many, so that they fill a batch."""

FIRST_CYCLE = 5000.0
"""Points per arm of the first cycle of SEARCH and POLL with many features; each cycle is twice as long as the one before."""


@dataclass(frozen=True, slots=True)
class Mads:
    """A tensor-parallel mesh adaptive direct search.

    Each arm runs a few MADS side by side (lanes), all lanes of all inputs in one batch. An iteration of a lane evaluates its whole
    poll set at once, plus and minus the columns of a random Householder matrix times the poll size (ORTHOMADS, Abramson, Audet,
    Dennis and Le Digabel 2009, https://doi.org/10.1137/080716980), rounded to a mesh of 2^-6 times the square of the poll size, and a
    few SEARCH points: one and two speculative steps further along the last success, and moves along the ray through the centre, for
    the radius is a variable of its own. Every other poll is brought back to the incumbent's distance from the centre: where
    several coordinates share the largest change, the slope has a ridge that straight steps leave.
    A success doubles the poll size, a failure halves it.

    Convergence: polls that are not brought back are MADS polls, drawn infinitely often if there is budget; poll sizes of failed
    iterations tend to 0, the mesh size faster than the poll size, and the directions of a random Householder matrix are dense in the
    unit sphere with probability 1. So Audet and Dennis (2006, Theorems 3.12 and 3.13, https://doi.org/10.1137/040603371) apply to
    a lane that runs on: a limit of failed poll centres inside the region is Clarke stationary. SEARCH points may be anything. Points
    beyond a wall are put on it, so that at walls the claim is only that of a projected poll. A lane whose poll size falls
    below ``tolerance`` starts again.

    Starts: points at all scales, on the axes and in corners, shared between both directions of a problem; the best that are far from each
    other; later the next best of them, neighbourhoods of the incumbent that grow, and fresh points. With more than 32 features a
    cycle spends nine tenths on ``GroupModels`` as its SEARCH step before it polls; for L0 half is ``TpMads``.

    Args:
        lanes: Runs per arm, side by side.
        tolerance: Poll size, as a share of the incumbent's distance, at which a lane starts again. polish: The same for the best lane.
        constraint: What is done about the ball (L1, L2): "project" pulls points into it, "barrier" refuses those outside (extreme
            barrier), "lagrangian" ranks them by Algorithm 2 (``AugmentedLagrangian``). Projection is the default since it finds most
            (see benchmarks/README.md).
        design: Share of the budget for the first starts.
        restart: Points drawn for a fresh start.
    """

    lanes: int = 3
    tolerance: float = 1e-3
    polish: float = 1e-4
    constraint: Literal["project", "barrier", "lagrangian"] = "project"
    design: float = 0.2
    restart: int = 40

    def start(self, task: Task) -> Falsifier:
        """Begins with the first starts; with many features with a SEARCH step."""
        if task.arms.space.dimension <= FEW:
            return _Mads(task, self)
        if task.arms.space.norm is Norm.L0:
            return Sequence(task, (Phase(TpMads(), 0.5), Phase(GroupModels(), 1.0)), FIRST_CYCLE)
        return Sequence(task, (Phase(GroupModels(), 0.9), Phase(_Poll(self), 1.0)), FIRST_CYCLE)


@dataclass(frozen=True, slots=True)
class _Poll:
    """MADS from the given starts."""

    options: Mads

    def start(self, task: Task) -> Falsifier:
        return _Mads(task, self.options)


class _Stage(Enum):
    DESIGN = auto()
    SAMPLE = auto()
    ITERATE = auto()


class _Starts:
    """The points of the first design, per arm, as starts yet to be tried."""

    def __init__(self, points: Tensor, values: Tensor, near: float = 0.5) -> None:
        self._points, self._values, self._near = points, values, near

    def best(self, arms: Tensor) -> tuple[Tensor, Tensor]:
        """The best point left of each arm (L, k) and its value (L,), -inf where none is left; it and its neighbourhood are struck out."""
        value, at = self._values[arms].max(dim=1)
        points = self._points[arms, at]
        self.strike(arms, points)
        return points, value

    def strike(self, arms: Tensor, around: Tensor) -> None:
        """Strikes out what lies near ``around`` (L, k), seen from the centre."""
        points = self._points[arms]
        distance = (points - around.unsqueeze(1)).norm(dim=2)
        scale = torch.maximum(points.norm(dim=2), around.norm(dim=1, keepdim=True))
        self._values[arms] = torch.where(distance < self._near * scale, -torch.inf, self._values[arms])


class _Mads:
    def __init__(self, task: Task, options: Mads) -> None:
        arms = task.arms
        like = arms.low
        self._task, self._options, self._arms, self._dimension = task, options, arms, like.shape[1]
        few = self._dimension <= FEW
        self._each = max(1, min(options.lanes, task.queries // 200)) if few else 1
        self._lanes, self._lane_arms = lanes_of(len(arms), self._each, like.device)
        count = len(self._lanes)
        self._position, self._step = like.new_zeros(count, self._dimension), like.new_zeros(count, self._dimension)
        self._value, self._size = like.new_full((count,), -torch.inf), like.new_ones(count)
        self._raw, self._length = like.new_full((count,), -torch.inf), like.new_zeros(count)
        self._top = like.new_full((len(arms),), -torch.inf)
        self._cursor = torch.zeros_like(self._lanes)
        self._mirror = like.new_zeros(count, self._dimension)
        self._restarts = torch.zeros_like(self._lanes)
        self._fresh = torch.ones(count, dtype=torch.bool, device=like.device)
        constrained = options.constraint == "lagrangian" and arms.space.norm in (Norm.L1, Norm.L2)
        self._merit: Merit = AugmentedLagrangian(count, task.objective, like) if constrained else FeasibleMerit()
        self._stage = _Stage.DESIGN if few else _Stage.SAMPLE
        self._starts: _Starts | None = None

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        alive = active[self._lane_arms]
        if not bool(alive.any()):
            return None
        if self._stage is _Stage.DESIGN and self._starts is None:
            arms = torch.unique(self._lane_arms[alive])
            if len(arms) <= rows:
                return Proposal(arms, arms, self._design(arms, max(1, rows // len(arms))))
        fresh = self._fresh & alive
        waiting, going = int(fresh.sum()), int(alive.sum())
        self._stage = _Stage.SAMPLE if waiting and SOME * waiting >= going else _Stage.ITERATE
        lanes = self._lanes[fresh if self._stage is _Stage.SAMPLE else alive & ~fresh]
        if len(lanes) > rows:  # memory is short: some of them, drawn anew each time
            drawn = torch.randperm(len(lanes), generator=self._task.generator, device=lanes.device)
            lanes = lanes[drawn[: max(1, rows)]].sort().values
        make = self._sample if self._stage is _Stage.SAMPLE else self._iterate
        return Proposal(self._lane_arms[lanes], lanes, make(lanes, max(1, rows // len(lanes))))

    def _random(self, *size: int) -> Tensor:
        return torch.rand(*size, generator=self._task.generator, dtype=self._size.dtype, device=self._size.device)

    def _normal(self, *size: int) -> Tensor:
        return torch.randn(*size, generator=self._task.generator, dtype=self._size.dtype, device=self._size.device)

    def _anywhere(self, arms: Tensor, count: int) -> Tensor:
        """Unit points of arms: a third in directions of all lengths down to 2^-9, the others uniform in the ball."""
        points = self._arms.sample(arms, count, self._task.generator)
        inner = count // 3
        if inner and self._task.objective is Objective.SLOPE and self._arms.space.norm is not Norm.L0:
            length = self._arms.space.lengths(points[:, :inner]).unsqueeze(-1).clamp_min(1e-9)
            points[:, :inner] *= 2.0 ** (-9 * self._random(len(arms), inner, 1)) / length
        return self._arms.pull(arms, points)

    def _design(self, arms: Tensor, most: int) -> Tensor:
        """The first starts: given ones, axes, corners, and points anywhere."""
        axes = torch.eye(self._dimension, dtype=self._size.dtype, device=self._size.device)
        corners = 1 - 2 * torch.randint(
            2, (min(32, 2 ** min(self._dimension, 5)), self._dimension), generator=self._task.generator, device=axes.device
        ).to(axes.dtype)
        fixed = torch.cat([axes, -axes, corners, axes / 2, -axes / 2, corners[::2] / 2])
        wanted = min(most, max(16, round(self._options.design * self._task.queries)))
        parts = [self._arms.pull(arms, fixed[: wanted // 2].expand(len(arms), -1, -1))]
        if self._task.starts is not None:
            parts.insert(0, self._task.starts[arms][:, :wanted])
        drawn = wanted - sum(part.shape[1] for part in parts)
        if drawn > 0:
            parts.append(self._anywhere(arms, drawn))
        return torch.cat(parts, dim=1)

    def _sample(self, lanes: Tensor, most: int) -> Tensor:
        """Points for fresh lanes: anywhere, or around the incumbent in a neighbourhood that grows with each restart."""
        arms = self._lane_arms[lanes]
        incumbents = self._task.incumbents()[arms].unsqueeze(1)
        if self._dimension > FEW:
            return incumbents
        count = min(most, self._options.restart)
        points = self._anywhere(arms, count)
        reach = 2.0 ** (self._restarts[lanes].to(points.dtype) % 6 - 5).view(-1, 1, 1) / self._dimension**0.5
        around = incumbents + reach * incumbents.norm(dim=2, keepdim=True) * self._normal(*points.shape)
        near = self._random(len(lanes), 1, 1) < 0.4
        return torch.where(near, self._arms.pull(arms, around), points)

    def _iterate(self, lanes: Tensor, most: int) -> Tensor:
        """The poll set, or its next block, and before the first block the SEARCH points."""
        arms, here, size = self._lane_arms[lanes], self._position[lanes].unsqueeze(1), self._size[lanes].view(-1, 1, 1)
        begin = lanes[self._cursor[lanes] == 0]
        draws = self._normal(len(begin), self._dimension)
        self._mirror[begin] = draws / draws.norm(dim=1, keepdim=True)
        mesh = (size * size * 2.0**-6).clamp_min(1e-9)
        poll = self._poll_directions(lanes, min(2 * self._dimension, max(1, most - 4)))
        poll = poll.mul_(size / mesh).round_().mul_(mesh).add_(here)
        if self._options.constraint == "project" or self._arms.space.norm not in (Norm.L1, Norm.L2):
            back = self._random(len(lanes), 1) < 0.5
            poll = self._arms.pull(arms, poll, torch.where(back, self._shares(arms, here), 1.0))
        relative = 1 + size / here.norm(dim=2, keepdim=True).clamp_min(1e-9)
        step = self._step[lanes].unsqueeze(1)
        search = torch.cat([here + step, here + 2 * step, here * relative, here / relative], dim=1)
        return torch.cat([poll, self._arms.pull(arms, search)], dim=1) if most > 4 else poll

    def _shares(self, arms: Tensor, points: Tensor) -> Tensor:
        """(L, m) distance from the centre as a share of the radius."""
        length = self._arms.space.lengths(points)
        return length / self._arms.radii[arms].unsqueeze(1) if self._arms.space.norm is Norm.L0 else length

    def _poll_directions(self, lanes: Tensor, block: int) -> Tensor:
        """(L, block, k) of plus and minus the columns of I - 2 q q^T."""
        at = (self._cursor[lanes].unsqueeze(1) + torch.arange(block, device=lanes.device)) % (2 * self._dimension)
        axis, sign = at % self._dimension, torch.where(at < self._dimension, 1.0, -1.0).to(self._size.dtype)
        mirror = self._mirror[lanes]
        columns = (-2 * sign * mirror.gather(1, axis)).unsqueeze(2) * mirror.unsqueeze(1)
        return columns.scatter_add_(2, axis.unsqueeze(2), sign.unsqueeze(2))

    def observe(self, outcome: Outcome) -> None:
        """Moves incumbents to the best point of their lane, adapts poll sizes, starts converged lanes again."""
        if self._stage is _Stage.DESIGN:
            self._first_starts(outcome)
            return
        lanes = outcome.lanes
        ranks = self._merit.of(lanes, outcome.merit, outcome.length, outcome.feasible)
        best, at, points = outcome.best(ranks)
        rows = torch.arange(len(lanes), device=lanes.device)
        raw, length = outcome.merit[rows, at], outcome.length[rows, at]
        if self._stage is _Stage.SAMPLE:
            self._place(lanes, points, best)
            self._raw[lanes], self._length[lanes] = raw, length
            return
        better = best > self._value[lanes]
        moved, stayed = lanes[better], lanes[~better]
        self._step[moved] = points[better] - self._position[moved]
        self._position[moved], self._value[moved] = points[better], best[better]
        self._raw[moved], self._length[moved] = raw[better], length[better]
        self._size[moved] = (2 * self._size[moved]).clamp(max=1.0)
        self._cursor[moved] = 0
        self._step[stayed] = 0
        self._cursor[stayed] += max(1, outcome.free.shape[1] - 4)
        failed = stayed[self._cursor[stayed] >= 2 * self._dimension]
        self._size[failed] /= 2
        self._cursor[failed] = 0
        self._restart(lanes)

    def _place(self, lanes: Tensor, points: Tensor, values: Tensor) -> None:
        """New incumbents for lanes."""
        self._position[lanes], self._value[lanes], self._raw[lanes] = points, values, values
        self._length[lanes] = self._shares(self._lane_arms[lanes], points.unsqueeze(1)).squeeze(1)
        self._size[lanes] = 0.5 * points.norm(dim=1).clamp(1e-3, 2.0)
        self._step[lanes], self._cursor[lanes], self._fresh[lanes] = 0, 0, False

    def _first_starts(self, outcome: Outcome) -> None:
        """Keeps the design, each point for both directions of its problem, and sets every lane on its own start."""
        self._stage = _Stage.SAMPLE
        width, units = outcome.merit.shape[1], outcome.units
        values = units.new_full((len(self._arms), width), -torch.inf)
        points = units.new_zeros(len(self._arms), width, self._dimension)
        values[outcome.arms], points[outcome.arms] = outcome.values, units
        kin = self._kin()
        sign = self._arms.sign[kin] * self._arms.sign.unsqueeze(1)
        shared = torch.where(torch.isfinite(values[kin]), values[kin] * sign.unsqueeze(2), -torch.inf)
        self._starts = _Starts(points[kin].flatten(1, 2), shared.flatten(1))
        for k in range(self._each):
            self._take(self._lanes[k :: self._each])

    def _kin(self) -> Tensor:
        """(A, g) for each arm the arms with the same ball, if all balls have equally many; otherwise the arm alone."""
        balls: dict[tuple[int, float], list[int]] = {}
        keys = list(zip(self._arms.owner.tolist(), self._arms.radius.tolist(), strict=True))
        for i, key in enumerate(keys):
            balls.setdefault(key, []).append(i)
        alike = len({len(group) for group in balls.values()}) == 1
        rows = [balls[key] if alike else [i] for i, key in enumerate(keys)]
        return torch.tensor(rows, device=self._lanes.device)

    def _take(self, lanes: Tensor) -> Tensor:
        """Sets lanes, at most one per arm, on the best start left; returns those for which there was none."""
        if self._starts is None or not len(lanes):
            return lanes
        points, values = self._starts.best(self._lane_arms[lanes])
        found = torch.isfinite(values)
        placed = lanes[found]
        self._place(placed, points[found], values[found])
        raw, length = self._raw[placed].unsqueeze(1), self._length[placed].unsqueeze(1)
        self._value[placed] = self._merit.of(placed, raw, length, torch.ones_like(raw, dtype=torch.bool)).squeeze(1)
        return lanes[~found]

    def _restart(self, lanes: Tensor) -> None:
        """Starts lanes again that have converged, or hold only rounding noise: half from a start left over, half from new points."""
        self._top = self._top.scatter_reduce(0, self._lane_arms, self._value, "amax")
        top = self._top[self._lane_arms[lanes]]
        leading = self._value[lanes] >= top
        limit = self._merit.accuracy(lanes, self._options.tolerance)
        limit = torch.where(leading, limit.clamp(max=self._options.polish), limit)
        small = self._size[lanes] < limit * self._position[lanes].norm(dim=1).clamp_min(1e-3)
        over = lanes[small]
        if len(over):
            over = over[~self._next_subproblem(over)]
        ended = torch.cat([over, lanes[self._flat(lanes, top) & ~small]])
        if not len(ended) or self._dimension > FEW:
            self._size[ended] = 0.5 * self._position[ended].norm(dim=1).clamp(1e-3, 2.0)
            return
        self._merit.reset(ended)
        self._restarts[ended] += 1
        for k in range(self._each):
            ending = ended[ended % self._each == k]
            if self._starts is not None:
                self._starts.strike(self._lane_arms[ending], self._position[ending])
            old = self._random(len(ending)) < 0.5
            fresh = torch.cat([ending[~old], self._take(ending[old])])
            self._fresh[fresh], self._value[fresh] = True, -torch.inf

    def _next_subproblem(self, lanes: Tensor) -> Tensor:
        """Algorithm 2: converged lanes that go on with new multipliers and shifts."""
        further = self._merit.update(lanes, self._raw[lanes], self._length[lanes])
        going = lanes[further]
        if len(going):
            raw, length = self._raw[going].unsqueeze(1), self._length[going].unsqueeze(1)
            self._value[going] = self._merit.of(going, raw, length, length <= 1).squeeze(1)
            self._size[going] = 0.1 * self._position[going].norm(dim=1).clamp(1e-3, 2.0)
        return further

    def _flat(self, lanes: Tensor, top: Tensor) -> Tensor:
        """Where a slope is nothing beside the arm's best, or nothing but float32 rounding of s."""
        if self._task.objective is not Objective.SLOPE or isinstance(self._merit, AugmentedLagrangian):
            return torch.zeros_like(lanes, dtype=torch.bool)
        value, arms = self._value[lanes], self._lane_arms[lanes]
        change = value * self._length[lanes] * self._arms.radii[arms]
        size = 1.0 + self._task.center_guides[self._arms.owner[arms], 0].abs()
        return (value <= 1e-4 * top) | (change <= 1e-6 * size)
