"""SEARCH for many features: secant models over tiles and groups of features, from coarse to single features.

One feature at a time moves 784 features in 784 queries. But a probe that moves one group tells the slope of s along it, and its
outputs tell it for every rival label at once. So each lane keeps a linear model of s at its incumbent for each likely rival, refreshes it
group by group, and tries the best point of the model in the ball, whole and in part, at its own distance from the centre and at
others. In an L-infinity ball that point is a vertex and a probe is a sign flip of a tile; in L2 a gradient step; in L1 and L0 the few
features that matter most.

Slopes begin with a descent where the budget allows one: conditional-gradient steps (Frank and Wolfe 1956) on the models, each
to the best point of a ball that shrinks from outside the region (L1, L2) or its wall (L-infinity) to well inside. Models far out see the
rivals that those near a flat centre do not, and the sequence passes every distance from the centre on its way. Points outside the
region only teach: the search does not count them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Objective, Outcome, Proposal, Task, lanes_of
from netassay.falsifiers.direct_search.tiles import count, levels
from netassay.numerics.norms import Norm

MOST_MODEL_NUMBERS = 2**25
"""Numbers in all models together; fewer rivals are modelled where that is too little."""

PARTS = (1.0, 0.5, 0.25, 0.12, 0.04)
"""Shares of a model step that are tried."""

INWARD = (0.7, 0.5, 0.35, 0.2, 0.1)
"""Shares of a descent's distance at which the model's best points are tried too."""

RAYS = (2.0, 1.41, 0.7, 0.5, 0.25, 0.1)
"""Multiples of the incumbent's distance from the centre that are tried."""


@dataclass(frozen=True, slots=True)
class Descent:
    """A descent.

    Args:
        far, near: Shares of the radius between which it leads.
        until: Share of the queries at which it ends.
        least: Queries per feature with which it begins to pay.
    """

    far: float
    near: float
    until: float
    least: float


DESCENTS = {Norm.LINF: Descent(1.0, 0.15, 0.7, 4.0), Norm.L1: Descent(3.0, 0.2, 0.6, 1.0), Norm.L2: Descent(3.0, 0.3, 0.5, 4.0)}
"""What found most on the tuning inputs of ``benchmarks/direct_search.py``."""


@dataclass(frozen=True, slots=True)
class GroupModels:
    """Direct search on linear models of s.

    Args:
        shells: Shares of the radius at which the lanes of an arm begin (slopes only); a lane keeps to its shell through its first
            pass over the groups, since a slope that is best near the centre at first is seldom best in the end.
        probes: Groups probed before the model is tried again: an eighth of the features, at least so many.
        center: Share of the queries spent on a model at the centre, which all lanes but each arm's first begin from.
        level: Share of a lane's queries that one level of groups may take in the first pass.
        thin: Shares of the queries after which the worst lane of each arm ends.
    """

    shells: tuple[float, ...] = (1.0, 0.35, 0.1)
    probes: int = 64
    center: float = 0.35
    level: float = 0.35
    thin: tuple[float, ...] = (0.35, 0.6)

    def start(self, task: Task) -> Falsifier:
        """Begins with a model at the centre where the budget allows one, then at blocks of random signs."""
        return _GroupModels(task, self)


class _Stage(Enum):
    CENTER = auto()
    BEGIN = auto()
    PROBE = auto()
    STEP = auto()


class _GroupModels:
    def __init__(self, task: Task, options: GroupModels) -> None:
        arms = task.arms
        like = arms.low
        self._task, self._options, self._arms, self._norm = task, options, arms, arms.space.norm
        self._dimension = like.shape[1]
        sloping = task.objective is Objective.SLOPE and self._norm is not Norm.L0
        self._descent = DESCENTS.get(self._norm, DESCENTS[Norm.LINF])
        self._descends = sloping and task.queries >= self._descent.least * self._dimension
        self._outside = self._descends and self._norm in (Norm.L1, Norm.L2)
        self._shells = options.shells if sloping else (1.0,) * len(options.shells)
        if self._descends:
            self._shells = (self._descent.far,)
        self._each = max(1, min(len(self._shells), task.queries // 200))
        self._lanes, self._lane_arms = lanes_of(len(arms), self._each, like.device)
        lanes = len(self._lanes)
        self._rivals = max(1, min(task.center_guides.shape[1], MOST_MODEL_NUMBERS // (lanes * self._dimension)))
        self._position = like.new_zeros(lanes, self._dimension)
        self._model = like.new_zeros(lanes, self._rivals, self._dimension)
        self._age = like.new_ones(lanes, self._dimension)
        self._share = like.new_ones(lanes)
        self._guide = like.new_full((lanes, self._rivals), -torch.inf)
        self._best = like.new_full((lanes,), -torch.inf)
        self._rival = torch.zeros_like(self._lanes)
        self._live = torch.ones(lanes, dtype=torch.bool, device=like.device)
        self._levels = levels(arms.space, task.generator)
        self._passing = [g for g in self._levels if count(g) <= options.level * task.queries / self._each] or self._levels[:1]
        many = min(self._dimension // 4, task.queries // 10) if self._descends else self._dimension // 8
        self._wanted = max(options.probes, many)
        self._passing = [] if self._outside else self._passing
        fitting = [g for g in self._levels if count(g) <= 2 * options.center * task.queries]
        self._center_groups, self._modelled = (fitting or self._levels)[-1], bool(fitting)
        self._center_model = like.new_zeros(len(arms), self._rivals, self._dimension)
        self._stage = _Stage.CENTER if self._modelled else _Stage.BEGIN
        self._pass, self._cursor, self._turn, self._points = 0, 0, 0, 0.0
        self._asked, self._member = self._lanes, torch.zeros(0, device=like.device)
        self._begun_rivals, self._begun_shells = torch.zeros(0, device=like.device), torch.zeros(0, device=like.device)
        self._own = 0
        self._descending, self._from = False, 0.0
        self._kept, self._kept_guide = self._position.clone(), self._guide.clone()

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        alive = self._live & active[self._lane_arms]
        if not bool(alive.any()):
            return None
        if self._stage is _Stage.CENTER:
            return self._center_probes(active, rows)
        if self._stage is _Stage.BEGIN:
            arms = torch.arange(len(self._arms), device=active.device)[active]
            most = max(1, rows // len(arms))
            return Proposal(arms, arms, self._first_points(arms)[:, :most], guided=True)
        if self._stage is _Stage.PROBE and self._cursor == 0:
            self._turn += 1
        leading = alive & ~self._lagging()[self._lane_arms]
        lanes = self._lanes[leading if bool(leading.any()) else alive]
        if len(lanes) > rows:
            drawn = torch.randperm(len(lanes), generator=self._task.generator, device=lanes.device)
            lanes = lanes[drawn[: max(1, rows)]].sort().values
        self._asked = lanes
        points = self._probes(lanes, max(1, rows // len(lanes))) if self._stage is _Stage.PROBE else self._steps(lanes)
        return Proposal(self._lane_arms[lanes], lanes, points, guided=True)

    def _lagging(self) -> Tensor:
        """(A,) rising arms far behind their falling one, three turns out of four: the falling slope alone bounds robustness."""
        arms = self._arms
        if self._turn % 4 == 0 or self._points < 0.1 * self._task.queries or self._task.objective is Objective.VALUE:
            return torch.zeros(len(arms), dtype=torch.bool, device=arms.owner.device)
        best = self._best.view(-1, self._each).amax(dim=1)
        top = torch.full((int(arms.owner.max()) + 1,), -torch.inf, dtype=best.dtype, device=best.device)
        top = top.scatter_reduce(0, arms.owner, best, "amax")
        return (arms.sign > 0) & (best < 0.3 * top[arms.owner])

    def _random(self, *size: int) -> Tensor:
        return torch.rand(*size, generator=self._task.generator, dtype=self._best.dtype, device=self._best.device)

    def _walls(self, arms: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """(L, k) lowest and highest value of each feature at a share (L, 1) of the radius."""
        low, high = self._arms.low[arms], self._arms.high[arms]
        if self._norm is Norm.L0:
            return low, high
        return torch.maximum(low, -share), torch.minimum(high, share)

    def _center_probes(self, active: Tensor, rows: int) -> Proposal:
        """Each group of the centre moved to the roomier side; one arm of each problem asks for all."""
        owners = self._arms.owner.tolist()
        first = {owner: i for i, owner in reversed(list(enumerate(owners))) if bool(active[i])}
        arms = torch.tensor(sorted(first.values()), device=active.device)
        size = 0.25 if self._norm is Norm.LINF else 0.3
        low, high = self._walls(arms, torch.full_like(self._best[:1], size).expand(len(arms), 1))
        move = torch.where(high >= -low, high, low)
        block = range(self._cursor, min(count(self._center_groups), self._cursor + max(1, rows // len(arms))))
        chosen = torch.arange(block.start, block.stop, device=move.device)
        self._member = (self._center_groups == chosen.unsqueeze(1)).unsqueeze(0)
        self._cursor = block.stop
        return Proposal(arms, arms, self._group_moves(move, self._member), guided=True)

    def _group_moves(self, move: Tensor, member: Tensor) -> Tensor:
        """(L, m, k) moves of groups, about equally long whatever the size of the group."""
        moves = move.unsqueeze(1) * member
        if self._norm in (Norm.L1, Norm.L2):
            size = member.sum(dim=2, keepdim=True).clamp_min(1).to(move.dtype)
            moves = moves / (size.sqrt() if self._norm is Norm.L2 else size)
        return moves

    def _first_points(self, arms: Tensor) -> Tensor:
        """At every shell: all up, all down, blocks of random signs, and the best points of the models at the centre; the given starts."""
        blocks = self._levels[min(2, len(self._levels) - 1)]
        signs = 1 - 2 * torch.randint(2, (len(arms), 6, count(blocks)), generator=self._task.generator, device=arms.device)
        signs[:, 0], signs[:, 1] = 1, -1
        base = signs[:, :, blocks].to(self._best.dtype)
        if self._norm in (Norm.L1, Norm.L2):
            base = base / self._arms.space.lengths(base).unsqueeze(-1)
        base = torch.minimum(base, self._arms.high[arms].unsqueeze(1)) if self._norm is Norm.L0 else base
        parts, rivals, shells = [], [], []
        for k, shell in enumerate(self._shells[: self._each]):
            parts.append(self._arms.pull(arms, base * shell, shell))
            rivals += [0] * base.shape[1]
            shells += [k] * base.shape[1]
        self._own = len(rivals)
        for k, shell in enumerate(self._shells[: self._each] if self._modelled else ()):
            share = torch.full((len(arms), 1), shell, dtype=base.dtype, device=base.device)
            for rival in range(self._rivals):
                parts.append(self._best_of_model(arms, self._center_model[arms, rival], share).unsqueeze(1))
                rivals.append(rival)
                shells.append(k)
        if self._task.starts is not None:
            parts.insert(0, self._task.starts[arms])
            given = self._task.starts.shape[1]
            rivals, shells, self._own = [0] * given + rivals, [-1] * given + shells, self._own + given
        self._begun_rivals = torch.tensor(rivals, device=arms.device)
        self._begun_shells = torch.tensor(shells, device=arms.device)
        return torch.cat(parts, dim=1)

    def _best_of_model(self, arms: Tensor, slope: Tensor, share: Tensor, position: Tensor | None = None) -> Tensor:
        """(L, k) where a linear function of slope (L, k) is largest at a share (L, 1) of the radius; without slope a feature stays."""
        low, high = self._walls(arms, share)
        stay = torch.zeros_like(slope) if position is None else position
        if self._norm is Norm.LINF:
            return torch.where(slope > 0, high, torch.where(slope < 0, low, stay))
        wall = torch.where(slope > 0, high, low)
        gain = slope * wall
        if self._norm is Norm.L0:
            return self._best_groups(arms, wall, gain, share)
        open_slope = torch.where(gain > 0, slope, 0.0)
        if self._norm is Norm.L2:
            point: Tensor = share * open_slope / open_slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
            for _ in range(4):  # what the walls cut off is given to the other features
                point = torch.clamp(point * share / point.norm(dim=1, keepdim=True).clamp_min(1e-30), low, high)
            return point
        order = open_slope.abs().argsort(dim=1, descending=True)
        room = wall.abs().gather(1, order)
        taken = torch.minimum(room, (share - (room.cumsum(dim=1) - room)).clamp_min(0))
        return torch.zeros_like(slope).scatter_(1, order, taken) * open_slope.sign()

    def _best_groups(self, arms: Tensor, wall: Tensor, gain: Tensor, share: Tensor) -> Tensor:
        """For L0: the groups of largest gain at their walls."""
        space = self._arms.space
        total = space.group_totals(gain.clamp_min(0))
        order = total.argsort(dim=1, descending=True)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
        kept = (rank < (self._arms.radii[arms].unsqueeze(1) * share).floor().clamp_min(1)) & (total > 0)
        if space.groups is not None:
            kept = kept[:, torch.as_tensor(space.groups, device=kept.device)]
        return torch.where(kept & (gain > 0), wall, 0.0)

    def _probes(self, lanes: Tensor, most: int) -> Tensor:
        """The incumbents with one group moved: across the ball (L-infinity, L0), or by a step."""
        position, arms, share = self._position[lanes], self._lane_arms[lanes], self._share[lanes].unsqueeze(1)
        if self._norm in (Norm.LINF, Norm.L0):
            low, high = self._walls(arms, share)
            move = torch.where(position > (low + high) / 2, low, high) - position
            if self._norm is Norm.L0:  # a changed feature is put back
                move = torch.where(position != 0, -position, move)
        else:
            move = self._short_moves(lanes, position, share)
        if self._pass < len(self._passing):
            groups = self._passing[self._pass]
            chosen = torch.arange(self._cursor, min(count(groups), self._cursor + most), device=lanes.device).expand(len(lanes), -1)
        else:
            groups, chosen = self._drawn_groups(lanes, most)
        self._member = groups == chosen.unsqueeze(2)
        return position.unsqueeze(1) + self._group_moves(move, self._member)

    def _short_moves(self, lanes: Tensor, position: Tensor, share: Tensor) -> Tensor:
        """For L1 and L2: steps along the model, to the roomier side where that knows nothing; in L1 a feature in use is put back."""
        low, high = self._arms.low[self._lane_arms[lanes]], self._arms.high[self._lane_arms[lanes]]
        slope = self._model[lanes, self._rival[lanes]]
        size = share * (0.5 if self._norm is Norm.L1 else 0.2)
        up, down = torch.minimum(position + size, high) - position, torch.maximum(position - size, low) - position
        move = torch.where((up >= -down) | ((slope > 0) & (up > 0.3 * size)), up, down)
        return torch.where(position.abs() > 0.05 * share, -position, move) if self._norm is Norm.L1 else move

    def _drawn_groups(self, lanes: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """A level, mostly the finest within the budget, and groups of it (L, m) by their weight and the time since their last probe."""
        room = max(16.0, self._task.queries * len(self._arms) / len(lanes))
        fitting = [groups for groups in self._levels if count(groups) <= room] or self._levels[:1]
        draw = float(self._random(1))
        groups = fitting[-1] if draw < 0.8 or self._descends else fitting[int((draw - 0.8) * 5 * len(fitting)) % len(fitting)]
        size = self._model[lanes, self._rival[lanes]].abs()
        weight = (size + size.mean(dim=1, keepdim=True) + 1e-12) * self._age[lanes]
        total = weight.new_zeros(len(lanes), count(groups)).index_add_(1, groups, weight)
        luck = -torch.log(-torch.log(self._random(*total.shape).clamp(1e-6, 1 - 1e-6)))
        return groups, (total.log() + luck).topk(min(self._wanted, most, total.shape[1]), dim=1).indices

    def _steps(self, lanes: Tensor) -> Tensor:
        """The models' best points: for the lane's rival whole and in part, for the next rivals, and at other distances."""
        if self._descending:
            return self._lower(lanes)
        position, arms, share = self._position[lanes], self._lane_arms[lanes], self._share[lanes].unsqueeze(1)
        slope = self._model[lanes, self._rival[lanes]]
        target = self._best_of_model(arms, slope, share, position)
        parts = self._parts(position, target, slope)
        self._own = len(parts)
        for ahead in range(1, min(self._rivals, 4)):
            rival = (self._rival[lanes] + ahead) % self._rivals
            parts.append(self._best_of_model(arms, self._model[lanes, rival], share, position))
        points = self._arms.pull(arms, torch.stack(parts, dim=1), share)
        if self._pass < len(self._passing) or self._task.objective is Objective.VALUE or self._norm is Norm.L0:
            return points
        models = [self._best_of_model(arms, slope, (share * f).clamp(max=1), position) for f in RAYS[:4]]
        rays = share.new_tensor(RAYS)
        along = self._arms.pull(arms, position.unsqueeze(1) * rays.view(1, -1, 1), (share * rays).clamp(max=1))
        return torch.cat([points, torch.stack(models, dim=1), along], dim=1)

    def _lower(self, lanes: Tensor) -> Tensor:
        """A descent's next points: each rival's best at the next distance, half the way to that of the lane's, and points inward."""
        position, arms, first = self._position[lanes], self._lane_arms[lanes], self._shells[0]
        whole = self._descent.until * self._task.queries - self._from
        done = min(1.0, (self._points - self._from) / max(whole, 1.0))
        self._share[lanes] = first * (self._descent.near / first) ** done
        share = self._share[lanes].unsqueeze(1)
        goals = [self._best_of_model(arms, self._model[lanes, rival], share, position) for rival in range(self._rivals)]
        self._own = len(goals)
        slope = self._model[lanes, self._rival[lanes]]
        goals.append((position + self._best_of_model(arms, slope, share, position)) / 2)
        inward = [self._best_of_model(arms, slope, share * part, position) for part in INWARD]
        near = [self._arms.pull(arms, point.unsqueeze(1), share * part) for part, point in zip(INWARD, inward, strict=True)]
        return torch.cat([self._arms.pull(arms, torch.stack(goals, dim=1), share), *near], dim=1)

    def _begin_descent(self) -> None:
        """From where the lanes are; the best points so far are kept."""
        self._descending = self._descends and self._points < self._descent.until * self._task.queries
        self._from = 0.0 if self._outside else self._points
        if not self._outside:
            self._kept, self._kept_guide = self._position.clone(), self._guide.clone()

    def _descend(self, outcome: Outcome, guides: Tensor) -> None:
        """Lanes go to the point at which s changed most, better or not; after the last, back to the best point of all."""
        self._keep(outcome, guides)
        lanes = outcome.lanes
        rows = torch.arange(len(lanes), device=lanes.device)
        most, at = _changes(outcome)[:, : self._own + 1].max(dim=1)
        at = torch.where(most > 0, at, self._rival[lanes].clamp(max=outcome.merit.shape[1] - 1))
        self._position[lanes], self._guide[lanes] = outcome.units[rows, at], guides[rows, at]
        self._rival[lanes] = torch.where(at < self._own, at, self._rival[lanes])
        if self._points >= self._descent.until * self._task.queries:
            self._descending = False
            self._position, self._guide = self._kept, self._kept_guide
            self._share = self._shares(self._position)

    def _keep(self, outcome: Outcome, guides: Tensor) -> None:
        """Keeps the best point in the region of each lane, which itself goes on."""
        lanes, values = outcome.lanes, outcome.values
        best, at = values.max(dim=1)
        better = best > self._best[lanes]
        moved, rows = lanes[better], torch.arange(len(lanes), device=lanes.device)[better]
        self._best[moved], self._kept[moved] = best[better], outcome.units[rows, at[better]]
        self._kept_guide[moved] = guides[rows, at[better]]

    def _parts(self, position: Tensor, target: Tensor, slope: Tensor) -> list[Tensor]:
        """The way to the target in parts: its most promising features first (L-infinity, L0), or all of them partly."""
        if self._norm in (Norm.L1, Norm.L2):
            return [position + part * (target - position) for part in PARTS]
        gain = slope * (target - position)
        order = gain.argsort(dim=1, descending=True)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(gain.shape[1], device=gain.device).expand_as(order))
        useful = (gain > 0).sum(dim=1, keepdim=True)
        return [torch.where(rank < (useful * part).ceil(), target, position) for part in PARTS]

    def observe(self, outcome: Outcome) -> None:
        """Learns the models from probes, moves incumbents, and thins out the lanes."""
        self._points += outcome.merit.numel() / len(self._arms)
        guides = cast(Tensor, outcome.guides)[:, :, : self._rivals]
        if self._stage is _Stage.CENTER:
            self._learn_center(outcome, guides)
        elif self._stage is _Stage.BEGIN:
            self._begin(outcome, guides)
        elif self._stage is _Stage.PROBE:
            self._learn(outcome, guides)
        else:
            self._stage, self._cursor = _Stage.PROBE, 0
            if self._descending:
                self._descend(outcome, guides)
                return
            self._move(outcome, guides, self._own)
            self._thin_out()

    def _learn_center(self, outcome: Outcome, guides: Tensor) -> None:
        """A model at the centre for all arms of each problem."""
        sign = self._arms.sign[outcome.arms].unsqueeze(1)
        center = self._task.center_guides[self._arms.owner[outcome.arms], : self._rivals] * sign
        estimate, _ = _secants(outcome.units, guides - center.unsqueeze(1), self._member[:, : guides.shape[1]])
        place = {int(self._arms.owner[arm]): i for i, arm in enumerate(outcome.arms.tolist())}
        for arm, owner in enumerate(self._arms.owner.tolist()):
            if owner in place:
                i = place[owner]
                self._center_model[arm] += estimate[i] * sign[i] * self._arms.sign[arm]
        if self._cursor >= count(self._center_groups):
            self._stage, self._cursor = _Stage.BEGIN, 0

    def _begin(self, outcome: Outcome, guides: Tensor) -> None:
        """Each lane begins at the best point of its shell, the first lane of an arm without the model of the centre."""
        self._stage, self._cursor = _Stage.PROBE, 0
        width = outcome.merit.shape[1]
        values, units, arms = outcome.values, outcome.units, outcome.arms
        if self._outside:
            self._keep(outcome, guides)
            values = _changes(outcome)
        rivals, shells = self._begun_rivals[:width], self._begun_shells[:width]
        from_models = torch.arange(width, device=values.device) >= self._own
        rows = torch.arange(len(arms), device=values.device)
        for k in range(self._each):
            mine = (shells == k) | (shells == -1)
            if k == 0 and not self._outside:
                mine &= ~from_models
            allowed = torch.where(mine, values, -torch.inf)
            best, at = torch.where(torch.isfinite(allowed).any(dim=1, keepdim=True), allowed, values).max(dim=1)
            lanes = arms * self._each + k
            self._position[lanes], self._guide[lanes] = units[rows, at], guides[rows, at]
            if not self._outside:
                self._best[lanes] = best
            self._rival[lanes] = rivals[at]
            self._share[lanes] = self._shells[k] if self._outside else self._shares(units[rows, at])
            if k or self._outside:
                self._model[lanes] = self._center_model[arms]
            values = torch.where((rivals == rivals[at].unsqueeze(1)) & (shells == k), -torch.inf, values)
        if not self._passing:
            self._begin_descent()

    def _shares(self, units: Tensor) -> Tensor:
        """(L,) distance from the centre as a share of the radius; all of it where only values matter."""
        if self._task.objective is Objective.VALUE or self._norm is Norm.L0:
            return torch.ones_like(units[:, 0])
        length: Tensor = self._arms.space.lengths(units).clamp(1e-3, 1.0)
        return length

    def _learn(self, outcome: Outcome, guides: Tensor) -> None:
        """Secants of the probed groups replace what the model said of them."""
        lanes = outcome.lanes
        member = self._member[torch.searchsorted(self._asked, lanes)][:, : guides.shape[1]]
        moves = outcome.units - self._position[lanes].unsqueeze(1)
        estimate, touched = _secants(moves, guides - self._guide[lanes].unsqueeze(1), member)
        self._model[lanes] = torch.where(touched.unsqueeze(1), estimate, self._model[lanes])
        self._age[lanes] = torch.where(touched, 0.1, self._age[lanes] + 0.1)
        if self._descending:
            self._keep(outcome, guides)
        else:
            self._move(outcome, guides, 0)
        if self._pass < len(self._passing):
            self._cursor += guides.shape[1]
            if self._cursor < count(self._passing[self._pass]):
                return
            self._pass += 1
            if self._pass == len(self._passing):
                self._begin_descent()
        self._stage = _Stage.STEP

    def _move(self, outcome: Outcome, guides: Tensor, own: int) -> None:
        """Incumbents go to the best point; failing that, as s may be flat, to the first ``own`` points' best by the lane's guide."""
        lanes, values = outcome.lanes, outcome.values
        rows = torch.arange(len(lanes), device=lanes.device)
        best, at = values.max(dim=1)
        better = best > self._best[lanes]
        followed = torch.where(outcome.feasible, guides[rows, :, self._rival[lanes]], -torch.inf)[:, :own]
        current = self._guide[lanes, self._rival[lanes]]
        units = outcome.units
        if own:
            liked, where = followed.max(dim=1)
            drifting = ~better & (liked > current)
            moved = lanes[drifting]
            self._position[moved], self._guide[moved] = units[rows, where][drifting], guides[rows, where][drifting]
            other = better & (at >= own) & (at < own + min(self._rivals, 4) - 1)
            self._rival[lanes[other]] = (self._rival[lanes[other]] + 1 + at[other] - own) % self._rivals
        moved = lanes[better]
        self._best[moved], self._position[moved], self._guide[moved] = best[better], units[rows, at][better], guides[rows, at][better]
        self._share[moved] = self._shares(self._position[moved])

    def _thin_out(self) -> None:
        """Ends the worst lane of each arm at set shares of the budget."""
        if self._pass < len(self._passing):
            return
        ended = sum(self._points > share * self._task.queries for share in self._options.thin)
        rank = self._best.view(-1, self._each).argsort(dim=1, descending=True).argsort(dim=1)
        self._live = (rank < max(1, self._each - ended)).reshape(-1)


def _changes(outcome: Outcome) -> Tensor:
    """(L, m) how far s changed the arm's way, in the region or not; -inf where that is unknown."""
    return torch.where(torch.isfinite(outcome.merit), outcome.merit * outcome.length, -torch.inf)


def _secants(moves: Tensor, changes: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (L, T, k) from moves (L, m, k) of one group each and the changes (L, m, T) they made; and which features (L, k) were moved."""
    changes = torch.where(torch.isfinite(changes), changes, 0.0)
    moves = moves * member
    size = moves.square().sum(dim=2, keepdim=True)
    per = torch.where(size > 0, changes / size.clamp_min(1e-20), 0.0)
    return torch.einsum("lmt,lmk->ltk", per, moves), member.any(dim=1).expand(len(moves), -1)
