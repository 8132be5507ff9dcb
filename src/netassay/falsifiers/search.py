"""The search: evaluates what methods propose, in large batches, and keeps records and budget.

It is the only judge: a point counts only if it lies in ball and domain, is finite, and is far enough from
the centre for float32 differences to mean something. Both directions are recorded from every point, whichever
arm asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.falsifiers.base import Method, Objective, Outcome, Proposal, Task
from netassay.falsifiers.cache import PointCache
from netassay.falsifiers.space import INSET, STEP_ROUNDING, Arms, Space
from netassay.models.query_counter import QueryCounter
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.specs.problem import Problem
from netassay.specs.property import PropertyStack

MINIMUM_SHARE = 1e-3
"""Slopes are measured no nearer to the centre than this share of the radius: below, float32 noise fakes them
(measured on ACAS Xu: 1.3 times too large at 1e-6 of the radius, 4 times at 1e-7, harmless from 1e-3 on)."""

BLACK_BOX_ROUNDING = 1e-6
"""Rounding of s, relative to its size, that a black box in float32 may show and no float64 evaluation can settle."""

MOST_ROWS, MOST_NUMBERS = 16_384, 4_000_000
"""Most points, and most coordinates, in one batch of proposals: beyond, tensors leave the processor's caches."""

MOST_STARTS = 16
"""Start points that a method is given for each arm at most, the best first; all of them are evaluated."""

IDLE = 64
"""Proposals in a row without a new point after which a run gives a problem up: its region is used up, or nearly so."""

RISING, FALLING = 0, 1


class Records:
    """The best points so far: per direction and problem the best merit, and per problem the nearest violation."""

    def __init__(self, space: Space) -> None:
        problems = len(space.problems)
        self.merit = torch.full((2, problems), -torch.inf, dtype=space.dtype, device=space.device)
        self.points = space.free_centers.expand(2, -1, -1).clone()
        self.nearest = torch.full((problems,), torch.inf, dtype=space.dtype, device=space.device)
        self.nearest_points = space.free_centers.clone()
        self.changed = np.zeros((2, problems), dtype=bool)
        self.nearest_changed = np.zeros(problems, dtype=bool)
        self.not_a_number = 0

    def offer(self, direction: int, owners: Tensor, merit: Tensor, points: Tensor) -> None:
        """Takes in one candidate per lane: merit (L,), points (L, k)."""
        _keep_best(self.merit[direction], self.points[direction], self.changed[direction], owners, merit, points)

    def offer_violations(self, owners: Tensor, distance: Tensor, points: Tensor) -> None:
        """Takes in one violating candidate per lane, by its distance (inf for none)."""
        flipped = -self.nearest
        _keep_best(flipped, self.nearest_points, self.nearest_changed, owners, -distance, points)
        self.nearest = -flipped


def _keep_best(record: Tensor, kept: Tensor, changed: NDArray[np.bool_], owners: Tensor, merit: Tensor, points: Tensor) -> None:
    better = (merit > record[owners]).nonzero().squeeze(1)
    if not len(better):
        return
    owners, merit = owners[better], merit[better]
    order = torch.argsort(merit, stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    top = torch.full_like(record, -1, dtype=torch.long).scatter_reduce(0, owners, rank, "amax")
    best = rank == top[owners]  # one lane of each owner
    owners = owners[best]
    record[owners], kept[owners] = merit[best], points[better[best]]
    changed[owners.cpu().numpy()] = True


def _position_among_equals(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each entry, how many equal ones come before it."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ranked)) + 1]
    lengths = np.diff(np.r_[starts, len(values)])
    positions = np.empty(len(values), dtype=np.int64)
    positions[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return positions


class Search:
    """One batch of problems, searched within one budget.

    Args:
        problems: Problems of one network, one property family and one kind of region.
        objective: What the arms of this search drive.
        budget: Queries per problem, seconds for the call, bytes for batches.
        clock: Started by the question.
        seed: Everything random comes from it.
        violations: Whether to track the nearest violating point (``radius``).
    Attributes:
        finished: (problems,) where nothing more is wanted, however much budget is left.
        exhausted: (problems,) where the last run found no new point to evaluate.
        cache: Where points repeat (steps, one-hot blocks, L0), what was evaluated before; None elsewhere, where they do not
            and looking them up would only cost time.
    """

    def __init__(
        self, problems: Sequence[Problem], objective: Objective, *, budget: Budget, clock: Clock, seed: int, violations: bool = False
    ) -> None:
        network = problems[0].network
        self.problems, self.objective, self.budget, self.clock, self.violations = problems, objective, budget, clock, violations
        self.network = network
        self.space = Space(problems, network.device, torch.float32 if network.dtype == "float32" else torch.float64)
        self.counter = QueryCounter(network, budget.memory)
        self.stack = PropertyStack([p.property for p in problems])
        self.zero_is_safe = problems[0].property.zero_is_safe
        self.generator = torch.Generator(network.device).manual_seed(seed)
        self.records = Records(self.space)
        self.used = np.zeros(len(problems), dtype=np.int64)
        self.finished = np.zeros(len(problems), dtype=bool)
        self.stopped = False
        self.interrupted: Callable[[], bool] = lambda: False
        self.on_step: Callable[[Search], None] = lambda _: None
        everyone = torch.arange(len(problems), device=self.space.device)
        self.cache = self._cache()
        self._started: tuple[Tensor, Tensor, Tensor] | None = None
        self._likely = self._likely_labels(everyone)
        self.center_values, _, guides, _ = self._known_values(everyone, self.space.free_centers, None, guided=True)
        self.center_guides = self.center_values.unsqueeze(1) if guides is None else guides
        if objective is Objective.VALUE:
            self._offer_centers()
        self.used += 1
        ranged = isinstance(problems[0].region, Box) or self.space.norm is Norm.L0
        self.too_near = torch.as_tensor(
            0.0 if ranged else MINIMUM_SHARE * self.space.radii, dtype=self.space.dtype, device=self.space.device
        ).expand(len(problems))

    def _cache(self) -> PointCache | None:
        if not self.space.snaps and self.space.norm is not Norm.L0:
            return None
        return PointCache(len(self.problems), self.space.dimension, self.space.dtype, self.budget.memory)

    def _offer_centers(self) -> None:
        """The centre is a point of the region like any other: ranges begin there."""
        for direction, signed in ((RISING, self.center_values), (FALLING, -self.center_values)):
            known = torch.isfinite(signed)
            self.records.merit[direction] = torch.where(known, signed, -torch.inf)
            self.records.changed[direction] = known.cpu().numpy()

    def violated(self, values: Tensor) -> Tensor:
        """Where s is a risk, as ``Property.is_violated`` decides it for one value."""
        return values < 0 if self.zero_is_safe else values <= 0

    @property
    def rows(self) -> int:
        """Points whose candidates, and their evaluation, fit in the memory limit."""
        per_point = self.space.dtype.itemsize * (8 * self.space.dimension + 3 * self.space.size)
        sensible = min(MOST_ROWS, max(512, MOST_NUMBERS // self.space.dimension))
        return int(max(1, min(sensible, self.budget.memory // 2 // per_point)))

    @property
    def room(self) -> NDArray[np.int64]:
        """Queries left for each problem; none where it is finished."""
        limit = np.iinfo(np.int64).max // 2 if self.budget.queries is None else self.budget.queries
        return np.where(self.finished, 0, limit - self.used)

    @property
    def seen(self) -> int:
        """Points evaluated so far, over all problems: those that came again are not counted where there is a cache."""
        return int(self.used.sum()) if self.cache is None else self.cache.learnt

    @property
    def exhausted(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.problems), dtype=bool) if self.cache is None else self.cache.idle >= IDLE

    def arms(self, owner: NDArray[np.int64], sign: NDArray[np.float64], radius: NDArray[np.float64]) -> Arms:
        """Arms in this search's space."""
        return Arms.of(self.space, owner, sign, radius)

    def both_directions(self) -> Arms:
        """A rising and a falling arm for every problem, at the problem's own radius."""
        count = len(self.problems)
        return self.arms(np.repeat(np.arange(count), 2), np.tile([1.0, -1.0], count), np.repeat(self.space.radii, 2))

    def run(
        self, method: Method, arms: Arms, *, queries: int | None = None, seconds: float | None = None, starts: Tensor | None = None
    ) -> None:
        """Lets ``method`` search until it is done, ``queries`` per problem or ``seconds`` are spent, or the budget is.

        A problem takes part until it is finished, or until it is exhausted: points known before cost no queries, so a method that
        proposes only such would never end. An interrupt (Ctrl-C) ends the search and keeps everything found: ``stopped`` tells.
        """
        begin_used, begin_time = self.used.copy(), self.clock.elapsed
        if self.cache is not None:
            self.cache.idle[:] = 0
        allowance = self.room if queries is None else np.minimum(self.room, queries)
        falsifier = method.start(self._task(arms, starts, allowance))
        owners = arms.owner.cpu().numpy()
        try:
            while not self.stopped and not self.clock.expired:
                if self.interrupted():
                    self.stopped = True
                    return
                left = np.where(self.finished | self.exhausted, 0, allowance - (self.used - begin_used))
                if left[owners].max(initial=0) <= 0:
                    return
                spent = self._spent(begin_used, allowance, begin_time, seconds)
                if spent >= 1:
                    return
                active = torch.as_tensor(left[owners] > 0, device=self.space.device)
                proposal = falsifier.propose(active, self.rows, spent)
                fitted = None if proposal is None else self._fit(proposal, owners, left)
                if fitted is None:
                    return
                falsifier.observe(self.evaluate(arms, fitted))
                self.on_step(self)
        except KeyboardInterrupt:
            self.stopped = True

    def _spent(self, begin_used: NDArray[np.int64], allowance: NDArray[np.int64], begin_time: float, seconds: float | None) -> float:
        share = float(np.mean((self.used - begin_used) / np.maximum(allowance, 1)))
        limits = [seconds, None if self.clock.limit is None else self.clock.limit - begin_time]
        return max([share, *[(self.clock.elapsed - begin_time) / max(limit, 1e-9) for limit in limits if limit is not None]])

    def incumbents(self, arms: Arms) -> Tensor:
        """(A, k) unit points of the best records of each arm's problem and direction, pulled into the arm's ball."""
        points = self.records.points[(arms.sign < 0).long(), arms.owner]
        everyone = torch.arange(len(arms), device=points.device)
        return arms.pull(everyone, arms.units(everyone, points.unsqueeze(1))).squeeze(1)

    def begin_with(self, points: Sequence[Tensor]) -> None:
        """Evaluates start points, (w, k) free features inside the region of each problem; they count as queries and for the records.

        Those that the budget does not cover are left out, the last ones first.
        """
        everyone = torch.arange(len(self.problems), device=self.space.device)
        counts = np.minimum([len(p) for p in points], np.maximum(self.room, 0))
        if not counts.any():
            return
        free = self.space.free_centers.unsqueeze(1).repeat(1, int(counts.max()), 1)
        for b, count in enumerate(counts.tolist()):
            free[b, :count] = points[b][:count]
        covered = torch.as_tensor(counts, device=everyone.device)
        arms = self.arms(np.arange(len(points)), np.ones(len(points)), self.space.radii)
        outcome = self._outcome(arms, Proposal(everyone, everyone, free, covered=covered), free)
        self._started = free, outcome.merit, covered

    def starting_points(self, arms: Arms) -> Tensor | None:
        """(A, w, k) unit points for ``run`` to start from, pulled into each arm's ball; None if nothing was begun with.

        They are the best ``MOST_STARTS`` for the arm's direction; where a problem has fewer than others, random points take their place.
        """
        if self._started is None:
            return None
        free, rising, covered = self._started
        merit = torch.where(torch.isfinite(rising[arms.owner]), rising[arms.owner] * arms.sign.unsqueeze(1), -torch.inf)
        given = torch.arange(free.shape[1], device=free.device) < covered[arms.owner].unsqueeze(1)
        ranks = torch.where(given, merit.clamp_min(torch.finfo(merit.dtype).min), -torch.inf)
        order = ranks.argsort(dim=1, descending=True, stable=True)[:, :MOST_STARTS]
        everyone = torch.arange(len(arms), device=free.device)
        best = arms.pull(everyone, arms.units(everyone, free[arms.owner.unsqueeze(1), order]))
        drawn = arms.sample(everyone, order.shape[1], self.generator)
        return torch.where(given.gather(1, order).unsqueeze(-1), best, drawn)

    def _task(self, arms: Arms, starts: Tensor | None, allowance: NDArray[np.int64]) -> Task:
        each = int(np.median(allowance)) * len(self.problems) // max(1, len(arms))
        return Task(
            arms,
            self.objective,
            self.generator,
            partial(self.incumbents, arms),
            self.center_guides,
            each,
            starts,
            self.network.differentiable,
        )

    def _fit(self, proposal: Proposal, owners: NDArray[np.int64], left: NDArray[np.int64]) -> Proposal | None:
        """Cuts a proposal down to what the budget still covers: its last points may be fewer for some lanes than for others."""
        of_lane = owners[proposal.arms.cpu().numpy()]
        lanes, width = np.bincount(of_lane, minlength=len(left)), proposal.points.shape[1]
        if bool((lanes * width <= left).all()):
            return proposal
        share, extra = left // np.maximum(lanes, 1), left % np.maximum(lanes, 1)
        counts = np.minimum(width, share[of_lane] + (_position_among_equals(of_lane) < extra[of_lane]))
        kept = np.flatnonzero(counts > 0)
        if not len(kept):
            return None
        at = torch.as_tensor(kept, device=proposal.arms.device)
        variants = None if proposal.variants is None else proposal.variants[at]
        points = proposal.points[at, : int(counts[kept].max())]
        covered = torch.as_tensor(counts[kept], device=at.device)
        return Proposal(proposal.arms[at], proposal.lanes[at], points, proposal.gradient, variants, covered, proposal.guided)

    def evaluate(self, arms: Arms, proposal: Proposal) -> Outcome:
        """Evaluates a proposal, updates records and budget, and says what each point gave."""
        free = arms.points(proposal.arms, proposal.points)
        return self._outcome(arms, proposal, self._on_steps(arms, proposal.arms, free) if self.space.snaps else free)

    def _on_steps(self, arms: Arms, lane_arms: Tensor, free: Tensor) -> Tensor:
        """Free features (L, m, k) back on a step where a bound of the arm's ball lies between two; at the centre if that is the next."""
        centers, step = self.space.free_centers[arms.owner[lane_arms]].unsqueeze(1), self.space.granularity
        snapped = self.space.snap(free, centers)
        if step is not None:  # a feature that is on a step up to its rounding stays
            share = (snapped - free).abs() / step.clamp_min(1e-30)
            snapped = torch.where((step > 0) & ((share < STEP_ROUNDING) | (share > 1 - STEP_ROUNDING)), free, snapped)
        beyond = (snapped < arms.floor[lane_arms].unsqueeze(1)) | (snapped > arms.ceiling[lane_arms].unsqueeze(1))
        return torch.where(beyond, centers, snapped)

    def _outcome(self, arms: Arms, proposal: Proposal, free: Tensor) -> Outcome:
        """What the free features (L, m, k) of a proposal gave."""
        lanes, width, _ = free.shape
        owners = arms.owner[proposal.arms]
        value, slope, guides = self._evaluated(owners, free, proposal)
        length, distance = self._lengths(arms, proposal.arms, free)
        feasible = self._feasible(length)
        merit = self._judge(owners, value, distance, feasible, free)
        sign = arms.sign[proposal.arms].unsqueeze(1)
        merit = torch.where(torch.isnan(merit), -torch.inf, merit * sign)
        gradient = None if slope is None else slope.reshape(lanes, width, -1) * (sign.unsqueeze(-1) * arms.step[proposal.arms].unsqueeze(1))
        guides = None if guides is None else torch.nan_to_num(guides * sign.unsqueeze(-1), nan=-torch.inf)
        return Outcome(arms, proposal.arms, proposal.lanes, free, merit, length, feasible, gradient, guides)

    def _evaluated(self, owners: Tensor, free: Tensor, proposal: Proposal) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """s (L, m), NaN beyond what the budget covers; its gradient (L * m, k) or guides (L, m, T) where asked for."""
        lanes, width, k = free.shape
        flat_owners, rows = owners.repeat_interleave(width), free.reshape(lanes * width, k)
        targets = self._targets(owners, proposal).repeat_interleave(width) if proposal.gradient else None
        covered = None
        if proposal.covered is not None:
            covered = (torch.arange(width, device=rows.device) < proposal.covered.unsqueeze(1)).reshape(-1)
            flat_owners, rows = flat_owners[covered], rows[covered]
            targets = None if targets is None else targets[covered]
        value, slope, guides, paid = self._known_values(flat_owners, rows, targets, proposal.guided)
        self.used += np.bincount(flat_owners[paid].cpu().numpy(), minlength=len(self.problems))
        self.records.not_a_number += int(torch.isnan(value[paid]).sum())
        if covered is not None:
            value = value.new_full((lanes * width,), torch.nan).masked_scatter(covered, value)
            slope = None if slope is None else slope.new_zeros(lanes * width, k).masked_scatter(covered.unsqueeze(1), slope)
            if guides is not None:
                guides = guides.new_full((lanes * width, guides.shape[1]), torch.nan).masked_scatter(covered.unsqueeze(1), guides)
        return value.reshape(lanes, width), slope, None if guides is None else guides.reshape(lanes, width, -1)

    def _known_values(
        self, owners: Tensor, rows: Tensor, targets: Tensor | None, guided: bool = False
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | slice]:
        """s, its gradient, its guides, from the cache where it knows s (then s is its own guide), and which rows had to be evaluated."""
        if self.cache is not None and targets is None:
            value, paid = self.cache.complete(owners, rows, lambda at: self.values(owners[at], rows[at])[0])
            return value, None, value.unsqueeze(1) if guided else None, paid
        if guided:
            return *self._guided_values(owners, rows), slice(None)
        value, slope = self.values(owners, rows, targets)
        if self.cache is not None:
            self.cache.learn(owners, rows, value)
        return value, slope, None, slice(None)

    def _lengths(self, arms: Arms, lane_arms: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """Length as a share of the arm's radius, and distance in the region's own units, (L, m) each."""
        if self.space.norm is Norm.LINF and self.objective is Objective.VALUE and not self.violations:
            ones = free.new_ones(free.shape[:2])  # every point is inside by construction, and its distance plays no part
            return ones, ones
        distance = self.space.distances(arms.owner[lane_arms], free)
        return distance / arms.radii[lane_arms].unsqueeze(1), distance

    def _feasible(self, length: Tensor) -> Tensor:
        slack = {Norm.LINF: 1e-5, Norm.L0: 1e-6}.get(self.space.norm, -INSET / 2)  # L-inf bounds are exact: ``points`` clamps to them
        return length <= 1 + slack

    def _judge(self, owners: Tensor, value: Tensor, distance: Tensor, feasible: Tensor, free: Tensor) -> Tensor:
        """The objective of each point without sign (NaN where undefined); offers the best to the records."""
        objective = value
        if self.objective is Objective.SLOPE:
            change = self._beyond_rounding(value, self.center_values[owners].unsqueeze(1))
            far = (distance >= self.too_near[owners].unsqueeze(1)) & (distance > 0)
            objective = torch.where(far, change / distance.clamp_min(1e-30), torch.nan)
        usable = feasible & torch.isfinite(objective)
        lanes = torch.arange(len(free), device=free.device)
        for direction, signed in ((RISING, objective), (FALLING, -objective)):
            best, at = torch.where(usable, signed, -torch.inf).max(dim=1)
            self._offer(direction, owners, best, free, lanes, at)
        if self.violations:
            bad = usable & self.violated(value)
            nearest, at = torch.where(bad, distance, torch.inf).min(dim=1)
            better = (nearest < self.records.nearest[owners]).nonzero().squeeze(1)
            if len(better):
                self.records.offer_violations(owners[better], nearest[better], free[better, at[better]])
        return objective

    def _beyond_rounding(self, value: Tensor, center: Tensor) -> Tensor:
        """s - s(center); of a float32 black box less what rounding may have added, so that a search does not chase noise at the centre."""
        change = value - center
        if self.network.differentiable or self.space.dtype != torch.float32:
            return change
        rounding = BLACK_BOX_ROUNDING * torch.maximum(value.abs(), center.abs()).clamp_min(1.0)
        return change.sign() * (change.abs() - rounding).clamp_min(0)

    def _offer(self, direction: int, owners: Tensor, best: Tensor, free: Tensor, lanes: Tensor, at: Tensor) -> None:
        better = (best > self.records.merit[direction, owners]).nonzero().squeeze(1)
        if len(better):
            self.records.offer(direction, owners[better], best[better], free[lanes[better], at[better]])

    def _likely_labels(self, everyone: Tensor) -> Tensor:
        """(B, up to 10) labels of each centre, most likely first."""
        if self.network.labels <= 2:
            return torch.full((len(everyone), 1), -1, device=self.space.device)
        parts = []
        with torch.no_grad():
            for i in range(0, len(everyone), self.counter.rows):
                centers = self.space.centers[i : i + self.counter.rows]
                logits = self.network.scores(centers.reshape(-1, *self.space.shape), Scale.LOGITS)
                parts.append(logits.argsort(dim=1, descending=True)[:, :10])
        return torch.cat(parts)

    def _targets(self, owners: Tensor, proposal: Proposal) -> Tensor:
        """(L,) the label that each lane makes for; -1 for none in particular."""
        if proposal.variants is None:
            return torch.full_like(owners, -1)
        rank = torch.where(proposal.variants > 0, 1 + (proposal.variants - 1) % max(1, self._likely.shape[1] - 1), 0)
        rank = rank.clamp(max=self._likely.shape[1] - 1)
        return torch.where(rank > 0, self._likely[owners, rank], -1)

    def values(self, owners: Tensor, free: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """s (rows,) of free features (rows, k), in blocks that memory allows; with targets (rows,) also the gradient (rows, k)."""
        if targets is None:
            block = self.counter.rows
            return torch.cat([self._block(owners[i : i + block], free[i : i + block])[0] for i in range(0, len(free), block)]), None
        block = self.counter.gradient_rows
        parts = [self._slope_block(owners[i : i + block], free[i : i + block], targets[i : i + block]) for i in range(0, len(free), block)]
        return torch.cat([v for v, _, _ in parts]), torch.cat([g for _, _, g in parts])

    def guides(self, owners: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
        """s (rows,) of free features (rows, k), and the guides (rows, T): over all rivals, then over each; counts no query."""
        values, _, guides = self._guided_values(owners, free)
        return values, guides

    def guide_slopes(self, b: int, free: Tensor, which: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """s (rows,), one guide each, ``which`` (rows,), and its gradients (rows, k) at points (rows, k) of problem b; counts no query."""
        targets = torch.where(which > 0, self._likely[b][which.clamp(max=self._likely.shape[1] - 1)], -1)
        block, owners = self.counter.gradient_rows, torch.full_like(which, b)
        parts = [self._slope_block(owners[i : i + block], free[i : i + block], targets[i : i + block]) for i in range(0, len(free), block)]
        values, guides, slopes = (torch.cat(part) for part in zip(*parts, strict=True))
        return values, guides, slopes

    def _guided_values(self, owners: Tensor, free: Tensor) -> tuple[Tensor, None, Tensor]:
        """s (rows,), no gradient, and the guides (rows, T): over all rivals, then over each of the centre's likeliest; else s itself."""
        block = self.counter.rows
        parts = [self._block(owners[i : i + block], free[i : i + block], guided=True) for i in range(0, len(free), block)]
        return torch.cat([value for value, _ in parts]), None, torch.cat([guides for _, guides in parts])

    def _block(self, owners: Tensor, free: Tensor, guided: bool = False) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            outputs = self.counter.outputs(self.space.assemble(owners, free))
            values: Tensor = self.stack.values(self.network.convention.scores(outputs, self.stack.on), owners)
            guides = self._guides(outputs, owners) if guided and self.has_guides else None
        return values, values.unsqueeze(1) if guides is None else guides

    @property
    def has_guides(self) -> bool:
        """Whether there is a guide for each rival label; else s is its own."""
        return self.network.labels > 0 and self.stack.on is not Scale.OUTPUTS

    def _guides(self, outputs: Tensor, owners: Tensor) -> Tensor | None:
        logits = self.network.convention.scores(outputs, Scale.LOGITS)
        targets = self._likely[owners]
        targets[:, 0] = -1
        guides: Tensor | None = self.stack.guide(logits, owners, targets)
        return guides.unsqueeze(1) if guides is not None and guides.ndim == 1 else guides

    def _slope_block(self, owners: Tensor, free: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            inputs = self.space.assemble(owners, free).detach().requires_grad_()
            outputs, convention = self.counter.outputs(inputs), self.network.convention
            values = self.stack.values(convention.scores(outputs, self.stack.on), owners)
            guide = self.stack.guide(convention.scores(outputs, Scale.LOGITS), owners, targets) if self.has_guides else None
            guide = values if guide is None else guide
            (slope,) = torch.autograd.grad(guide.sum(), inputs)
        flat = slope.reshape(len(owners), -1)
        return values.detach(), guide.detach(), torch.nan_to_num(flat if self.space.all_free else flat[:, self.space.free])
