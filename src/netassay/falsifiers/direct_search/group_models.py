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
from netassay.falsifiers.direct_search.group_moves import GroupMoves
from netassay.falsifiers.direct_search.model_points import ModelPoints
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
        probes: Groups probed before the model is tried again: an eighth of the features within a quarter of a lane's queries, at least
            so many.
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
        self._time, self._probed = like.new_ones(lanes), like.new_zeros(lanes, self._dimension)
        self._share = like.new_ones(lanes)
        self._guide = like.new_full((lanes, self._rivals), -torch.inf)
        self._best = like.new_full((lanes,), -torch.inf)
        self._rival = torch.zeros_like(self._lanes)
        self._live = torch.ones(lanes, dtype=torch.bool, device=like.device)
        self._levels = levels(arms.space, task.generator)
        self._passing = [g for g in self._levels if count(g) <= options.level * task.queries / self._each] or self._levels[:1]
        each = task.queries // self._each
        many = min(self._dimension // 4, task.queries // 10) if self._descends else min(self._dimension // 8, each // 4)
        self._wanted = max(options.probes, many)
        self._passing = [] if self._outside else self._passing
        fitting = [g for g in self._levels if count(g) <= 2 * options.center * task.queries]
        self._center_groups, self._modelled = (fitting or self._levels)[-1], bool(fitting)
        self._center_model = like.new_zeros(len(task.center_guides), self._rivals, self._dimension)
        self._stage = _Stage.CENTER if self._modelled else _Stage.BEGIN
        self._pass, self._cursor, self._turn, self._points = 0, 0, 0, 0.0
        self._round, self._drawn = self._lanes, (self._levels[0], self._lanes[:0].unsqueeze(1))
        self._asked, self._moves = self._lanes, GroupMoves.of_block(self._levels[0], 0, 0, lanes)
        self._begun_rivals, self._begun_shells = torch.zeros(0, device=like.device), torch.zeros(0, device=like.device)
        self._own = 0
        self._begun = torch.zeros(len(arms), dtype=torch.bool, device=like.device)
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
            waiting = (active & ~self._begun).nonzero().squeeze(1)
            if len(waiting):
                return self._beginnings(waiting, rows)
            self._stage, self._cursor = _Stage.PROBE, 0
            if not self._passing:
                self._begin_descent()
        if self._cursor == 0 or not bool(alive[self._round].any()):
            self._begin_round(alive, rows)
        self._asked = lanes = self._round[alive[self._round]]
        points = self._probes(lanes, max(1, rows // len(lanes))) if self._stage is _Stage.PROBE else self._steps(lanes)
        return Proposal(self._lane_arms[lanes], lanes, points, guided=True)

    def _beginnings(self, waiting: Tensor, rows: int) -> Proposal:
        """The first points of as many of the waiting arms as fit in a batch."""
        given = 0 if self._task.starts is None else self._task.starts.shape[1]
        width = given + self._each * (6 + (self._rivals if self._modelled else 0))
        arms = waiting[: max(1, rows // width)]
        self._begun[arms] = True
        return Proposal(arms, arms, self._first_points(arms)[:, : max(1, rows // len(arms))], guided=True)

    def _begin_round(self, alive: Tensor, rows: int) -> None:
        """The lanes that take the next step, or the next probes until these are through, however many batches that takes."""
        self._turn += self._stage is _Stage.PROBE
        leading = alive & ~self._lagging()[self._lane_arms]
        lanes = self._lanes[leading if bool(leading.any()) else alive]
        if len(lanes) > rows:
            drawn = torch.randperm(len(lanes), generator=self._task.generator, device=lanes.device)
            lanes = lanes[drawn[: max(1, rows)]].sort().values
        self._round, self._cursor = lanes, 0
        if self._stage is _Stage.PROBE and self._pass >= len(self._passing):
            self._drawn = self._drawn_groups(lanes)

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

    def _center_probes(self, active: Tensor, rows: int) -> Proposal:
        """Each group of the centre moved to the roomier side; one arm of each problem asks for all."""
        owners = self._arms.owner.tolist()
        first = {owner: i for i, owner in reversed(list(enumerate(owners))) if bool(active[i])}
        arms = torch.tensor(sorted(first.values()), device=active.device)
        end = min(count(self._center_groups), self._cursor + max(1, rows // len(arms)))
        self._asked, self._moves = arms, GroupMoves.of_block(self._center_groups, self._cursor, end, len(arms))
        self._cursor = end
        size = 0.25 if self._norm is Norm.LINF else 0.3
        low, high = self._moves.walls(self._arms, arms, self._near(torch.full_like(self._best[:1], size).expand(len(arms), 1)))
        move = self._moves.evened(torch.where(high >= -low, high, low), self._norm)
        return Proposal(arms, arms, self._moves.applied(move.new_zeros(len(arms), self._dimension), move), guided=True)

    def _near(self, share: Tensor) -> Tensor | None:
        """The share as far as it is a distance: in L0 a feature moves as far as it likes."""
        return None if self._norm is Norm.L0 else share

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
        self._own, balls = len(rivals), ModelPoints(self._arms, arms)
        for k, shell in enumerate(self._shells[: self._each] if self._modelled else ()):
            share = torch.full((len(arms), 1), shell, dtype=base.dtype, device=base.device)
            for rival in range(self._rivals):
                slope = self._center_model[self._arms.owner[arms], rival] * self._arms.sign[arms].unsqueeze(1)
                parts.append(balls.best(slope, share).unsqueeze(1))
                rivals.append(rival)
                shells.append(k)
        if self._task.starts is not None:
            parts.insert(0, self._task.starts[arms])
            given = self._task.starts.shape[1]
            rivals, shells, self._own = [0] * given + rivals, [-1] * given + shells, self._own + given
        self._begun_rivals = torch.tensor(rivals, device=arms.device)
        self._begun_shells = torch.tensor(shells, device=arms.device)
        return torch.cat(parts, dim=1)

    def _probes(self, lanes: Tensor, most: int) -> Tensor:
        """The incumbents with one group moved: across the ball (L-infinity, L0), or by a step."""
        arms, share = self._lane_arms[lanes], self._share[lanes].unsqueeze(1)
        if self._pass < len(self._passing):
            groups = self._passing[self._pass]
            moves = GroupMoves.of_block(groups, self._cursor, min(count(groups), self._cursor + most), len(lanes))
        else:
            groups, chosen = self._drawn
            block = chosen[torch.searchsorted(self._round, lanes), self._cursor : self._cursor + most]
            moves = GroupMoves.of_chosen(groups, block)
        position, self._moves = self._position[lanes], moves
        here = position.gather(1, moves.features)
        if self._norm in (Norm.LINF, Norm.L0):
            low, high = moves.walls(self._arms, arms, self._near(share))
            move = torch.where(here > (low + high) / 2, low, high) - here
            if self._norm is Norm.L0:  # a changed feature is put back
                move = torch.where(here != 0, -here, move)
        else:
            move = self._short_moves(lanes, here, share)
        return moves.applied(position, moves.evened(move, self._norm))

    def _short_moves(self, lanes: Tensor, here: Tensor, share: Tensor) -> Tensor:
        """For L1 and L2: steps along the model, to the roomier side where that knows nothing; in L1 a feature in use is put back."""
        low, high = self._moves.walls(self._arms, self._lane_arms[lanes])
        slope = self._model[lanes, self._rival[lanes]].gather(1, self._moves.features)
        size = share * (0.5 if self._norm is Norm.L1 else 0.2)
        up, down = torch.minimum(here + size, high) - here, torch.maximum(here - size, low) - here
        move = torch.where((up >= -down) | ((slope > 0) & (up > 0.3 * size)), up, down)
        return torch.where(here.abs() > 0.05 * share, -here, move) if self._norm is Norm.L1 else move

    def _drawn_groups(self, lanes: Tensor) -> tuple[Tensor, Tensor]:
        """A level, mostly the finest within the budget, and groups of it (L, m) by their weight and the time since their last probe."""
        room = max(16.0, self._task.queries * len(self._arms) / len(lanes))
        fitting = [groups for groups in self._levels if count(groups) <= room] or self._levels[:1]
        draw = float(self._random(1))
        groups = fitting[-1] if draw < 0.8 or self._descends else fitting[int((draw - 0.8) * 5 * len(fitting)) % len(fitting)]
        size = self._model[lanes, self._rival[lanes]].abs()
        weight = (size + size.mean(dim=1, keepdim=True) + 1e-12) * (self._time[lanes].unsqueeze(1) - self._probed[lanes])
        total = weight.new_zeros(len(lanes), count(groups)).index_add_(1, groups, weight)
        luck = -torch.log(-torch.log(self._random(*total.shape).clamp(1e-6, 1 - 1e-6)))
        return groups, (total.log() + luck).topk(min(self._wanted, total.shape[1]), dim=1).indices

    def _steps(self, lanes: Tensor) -> Tensor:
        """The models' best points: for the lane's rival whole and in part, for the next rivals, and at other distances."""
        if self._descending:
            return self._lower(lanes)
        position, arms, share = self._position[lanes], self._lane_arms[lanes], self._share[lanes].unsqueeze(1)
        balls, slope = ModelPoints(self._arms, arms), self._model[lanes, self._rival[lanes]]
        points = balls.parts(position, balls.best(slope, share, position), slope, PARTS)
        self._own = len(points)
        for ahead in range(1, min(self._rivals, 4)):
            rival = (self._rival[lanes] + ahead) % self._rivals
            points.append(balls.best(self._model[lanes, rival], share, position))
        if self._norm is not Norm.LINF:
            points = [balls.pulled(point, share) for point in points]
        if self._pass >= len(self._passing) and self._task.objective is Objective.SLOPE and self._norm is not Norm.L0:
            points += [balls.best(slope, (share * ray).clamp(max=1), position) for ray in RAYS[:4]]
            points += [balls.pulled(position * ray, (share * ray).clamp(max=1)) for ray in RAYS]
        return torch.stack(points, dim=1)

    def _lower(self, lanes: Tensor) -> Tensor:
        """A descent's next points: each rival's best at the next distance, half the way to that of the lane's, and points inward."""
        position, arms, first = self._position[lanes], self._lane_arms[lanes], self._shells[0]
        whole = self._descent.until * self._task.queries - self._from
        done = min(1.0, (self._points - self._from) / max(whole, 1.0))
        self._share[lanes] = first * (self._descent.near / first) ** done
        share = self._share[lanes].unsqueeze(1)
        balls = ModelPoints(self._arms, arms)
        goals = [balls.best(self._model[lanes, rival], share, position) for rival in range(self._rivals)]
        self._own = len(goals)
        slope = self._model[lanes, self._rival[lanes]]
        goals.append((position + balls.best(slope, share, position)) / 2)
        inward = [balls.best(slope, share * part, position) for part in INWARD]
        near = [balls.pulled(point, share * part) for part, point in zip(INWARD, inward, strict=True)]
        return torch.stack([*(balls.pulled(goal, share) for goal in goals), *near], dim=1)

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
        self._position[lanes], self._guide[lanes] = outcome.chosen(rows, at), guides[rows, at]
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
        moved, row, place = lanes[better], torch.arange(len(lanes), device=lanes.device)[better], at[better]
        self._best[moved], self._kept[moved] = best[better], outcome.chosen(row, place)
        self._kept_guide[moved] = guides[row, place]

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
        """A model at the centre of each problem, for all of its arms."""
        owners, sign = self._arms.owner[outcome.arms], self._arms.sign[outcome.arms].view(-1, 1, 1)
        moves = self._moves.kept(torch.searchsorted(self._asked, outcome.lanes), guides.shape[1])
        changes = guides * sign - self._task.center_guides[owners, : self._rivals].unsqueeze(1)
        moves.put(self._center_model, owners, moves.slopes(outcome, torch.zeros_like(outcome.free[:, 0]), changes))
        if self._cursor >= count(self._center_groups):
            self._stage, self._cursor = _Stage.BEGIN, 0

    def _begin(self, outcome: Outcome, guides: Tensor) -> None:
        """Each lane begins at the best point of its shell, the first lane of an arm without the model of the centre."""
        width = outcome.merit.shape[1]
        values, arms = outcome.values, outcome.arms
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
            chosen = outcome.chosen(rows, at)
            self._position[lanes], self._guide[lanes] = chosen, guides[rows, at]
            if not self._outside:
                self._best[lanes] = best
            self._rival[lanes] = rivals[at]
            self._share[lanes] = self._shells[k] if self._outside else self._shares(chosen)
            if k or self._outside:
                self._model[lanes] = self._center_model[self._arms.owner[arms]] * self._arms.sign[arms].view(-1, 1, 1)
            values = torch.where((rivals == rivals[at].unsqueeze(1)) & (shells == k), -torch.inf, values)

    def _shares(self, units: Tensor) -> Tensor:
        """(L,) distance from the centre as a share of the radius; all of it where only values matter."""
        if self._task.objective is Objective.VALUE or self._norm is Norm.L0:
            return torch.ones_like(units[:, 0])
        length: Tensor = self._arms.space.lengths(units).clamp(1e-3, 1.0)
        return length

    def _learn(self, outcome: Outcome, guides: Tensor) -> None:
        """Secants of the probed groups replace what the model said of them."""
        lanes = outcome.lanes
        moves = self._moves.kept(torch.searchsorted(self._asked, lanes), guides.shape[1])
        slopes = moves.slopes(outcome, self._position[lanes], guides - self._guide[lanes].unsqueeze(1))
        moves.put(self._model, lanes, slopes)
        moves.mark(self._probed, lanes, self._time[lanes])
        self._time[lanes] += 0.1
        if self._descending:
            self._keep(outcome, guides)
        else:
            self._move(outcome, guides, 0)
        passing = self._pass < len(self._passing)
        self._cursor += guides.shape[1]
        if self._cursor < (count(self._passing[self._pass]) if passing else self._drawn[1].shape[1]):
            return
        if passing:
            self._pass += 1
            if self._pass == len(self._passing):
                self._begin_descent()
        self._stage, self._cursor = _Stage.STEP, 0

    def _move(self, outcome: Outcome, guides: Tensor, own: int) -> None:
        """Incumbents go to the best point; failing that, as s may be flat, to the first ``own`` points' best by the lane's guide."""
        lanes, values = outcome.lanes, outcome.values
        rows = torch.arange(len(lanes), device=lanes.device)
        best, at = values.max(dim=1)
        better = best > self._best[lanes]
        followed = torch.where(outcome.feasible, guides[rows, :, self._rival[lanes]], -torch.inf)[:, :own]
        current = self._guide[lanes, self._rival[lanes]]
        if own:
            liked, where = followed.max(dim=1)
            drifting = ~better & (liked > current)
            moved, row, place = lanes[drifting], rows[drifting], where[drifting]
            self._position[moved], self._guide[moved] = outcome.chosen(row, place), guides[row, place]
            other = better & (at >= own) & (at < own + min(self._rivals, 4) - 1)
            self._rival[lanes[other]] = (self._rival[lanes[other]] + 1 + at[other] - own) % self._rivals
        moved, row, place = lanes[better], rows[better], at[better]
        self._best[moved], self._position[moved], self._guide[moved] = best[better], outcome.chosen(row, place), guides[row, place]
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
