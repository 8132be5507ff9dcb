"""Minimal perturbations where there are gradients: climbs in balls that follow the boundary.

After the fast minimum-norm attack (Pintor et al. 2021, https://arxiv.org/abs/2102.12827): each climb steps along the gradient
of the property within its own ball, which shrinks a little whenever the point is a violation and grows a little where it is not,
so that the climb zigzags along the boundary towards the centre while its steps and the changes of the ball are annealed. Added
here: climbs for every rival label and from every start point side by side, of which the nearest are climbed further; momentum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Outcome, Proposal, Task, lanes_of
from netassay.numerics.norms import Norm

SHORTEST = 8
"""Fewest steps of a stage."""

HALVINGS = 24
"""Of the amount by which features shrink: what float32 resolves."""


@dataclass(frozen=True, slots=True, eq=False)
class MinimumNorm:
    """Fast minimum-norm climbs, for L1, L2 and L-infinity.

    Args:
        reach: (A,) how far the first balls of each arm reach, as a share of its radius: about as far as the nearest witness known.
        climbs: Most climbs per arm that begin next to the centre: one follows the property, the others make for one label each.
        given: Most climbs per arm that begin at the task's start points, each in a ball that just holds its start.
        kept: Share of the climbs that go on after each stage, the nearest; every stage has the same share of the points.
        step: First and last step of a stage as a share of the ball, annealed along a cosine.
        change: First and last relative change of the ball, likewise.
        momentum: Share of the last direction that is kept.
        spread: How far from the centre climbs begin, as a share of the ball; the first begins at the centre itself.
    """

    reach: NDArray[np.float64]
    climbs: int = 10
    given: int = 4
    kept: tuple[float, ...] = (1.0, 0.4, 0.2)
    step: tuple[float, float] = (0.2, 0.001)
    change: tuple[float, float] = (0.1, 0.0003)
    momentum: float = 0.7
    spread: float = 0.3

    def start(self, task: Task) -> Falsifier:
        """Begins with as many climbs as the points suffice for."""
        return _Climbs(task, self)


class _Climbs:
    """All climbs; those of an arm move from stage to stage together, and begin anew after the last one."""

    def __init__(self, task: Task, options: MinimumNorm) -> None:
        self._task, self._options, self._arms = task, options, task.arms
        like, k = task.arms.low, task.arms.low.shape[1]
        affordable = max(1, task.queries // (SHORTEST * len(options.kept)))
        self._fresh = min(options.climbs, affordable)
        self._given = 0 if task.starts is None else min(options.given, task.starts.shape[1], affordable)
        self._each = self._fresh + self._given
        self._lanes, self._lane_arms = lanes_of(len(task.arms), self._each, like.device)
        climbs = [max(1, round(self._each * share)) for share in options.kept]
        self._kept = torch.tensor(climbs, device=like.device)
        self._steps = torch.tensor([max(SHORTEST, task.queries // (len(climbs) * n)) for n in climbs], device=like.device)
        self._reach = torch.as_tensor(options.reach, dtype=like.dtype, device=like.device).clamp(max=1.0)
        self._stage = torch.zeros(len(task.arms), dtype=torch.long, device=like.device)
        self._position, self._direction, self._kept_position = (like.new_zeros(len(self._lanes), k) for _ in range(3))
        self._ball, self._best = like.new_zeros(len(self._lanes)), like.new_zeros(len(self._lanes))
        self._age, self._alive = torch.zeros_like(self._lanes), torch.ones_like(self._lanes, dtype=torch.bool)
        self._begin(torch.arange(len(task.arms), device=like.device))

    def _of(self, arms: Tensor) -> Tensor:
        """(arms, climbs) the lanes of these arms."""
        return arms.unsqueeze(1) * self._each + torch.arange(self._each, device=arms.device)

    def _begin(self, arms: Tensor) -> None:
        """The climbs of these arms start: next to the centre, and where told."""
        lanes = self._of(arms)
        fresh, given = lanes[:, : self._fresh], lanes[:, self._fresh :]
        self._stage[arms] = 0
        self._ball[fresh] = self._reach[arms].unsqueeze(1).expand_as(fresh)
        drawn = self._arms.sample(arms, self._fresh, self._task.generator)
        share = self._options.spread * self._ball[fresh] * (fresh > fresh[:, :1])
        self._position[fresh] = drawn * share.unsqueeze(2)
        if self._given and self._task.starts is not None:
            points = self._task.starts[arms, : self._given]
            length = self._arms.space.lengths(points).clamp(max=1.0)
            self._position[given], self._ball[given] = points, torch.where(length > 0, length, self._reach[arms].unsqueeze(1))
        self._best[lanes] = torch.inf
        self._restart(lanes.reshape(-1))

    def _restart(self, lanes: Tensor) -> None:
        self._alive[lanes] = True
        self._age[lanes] = 0
        self._direction[lanes] = 0

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        self._advance()
        lanes = self._lanes[active[self._lane_arms] & self._alive]
        if not len(lanes):
            return None
        if len(lanes) > rows:  # those that have waited longest
            lanes = lanes[self._age[lanes].argsort(stable=True)[: max(1, rows)]].sort().values
        place = lanes % self._each
        variants = torch.where(place < self._fresh, place, 0)
        return Proposal(self._lane_arms[lanes], lanes, self._position[lanes].unsqueeze(1), gradient=True, variants=variants)

    def _advance(self) -> None:
        """Arms whose climbs have all come to the end of their stage go on to the next one."""
        age = torch.where(self._alive, self._age, torch.iinfo(torch.long).max).view(-1, self._each).amin(dim=1)
        done = (age >= self._steps[self._stage]).nonzero().squeeze(1)
        if not len(done):
            return
        self._reach[done] = torch.minimum(self._reach[done], self._best[self._of(done)].amin(dim=1))
        last = self._stage[done] == len(self._kept) - 1
        if bool(last.any()):
            self._begin(done[last])
        if not bool(last.all()):
            self._go_on(done[~last])

    def _go_on(self, arms: Tensor) -> None:
        """The nearest climbs go on, from their best points."""
        self._stage[arms] += 1
        lanes = self._of(arms)
        length = torch.where(torch.isfinite(self._best[lanes]), self._best[lanes], 1 + self._ball[lanes])
        ranks = length.argsort(dim=1, stable=True).argsort(dim=1)
        kept = lanes[ranks < self._kept[self._stage[arms]].unsqueeze(1)]
        self._alive[lanes] = False
        self._restart(kept)
        found = kept[torch.isfinite(self._best[kept])]
        self._position[found], self._ball[found] = self._kept_position[found], self._best[found]

    def observe(self, outcome: Outcome) -> None:
        """Shrinks or grows the ball of each climb that was evaluated, and steps within it."""
        if outcome.gradient is None:
            return
        lanes, position, length = outcome.lanes, self._position[outcome.lanes], outcome.length[:, 0]
        violated = (outcome.merit[:, 0] > 0) & outcome.feasible[:, 0]
        better = violated & (length < self._best[lanes])
        self._best[lanes[better]], self._kept_position[lanes[better]] = length[better], position[better]
        progress = self._age[lanes] / self._steps[self._stage[self._lane_arms[lanes]]]
        self._resize(lanes, violated, _annealed(self._options.change, progress))
        direction = self._options.momentum * self._direction[lanes] + _normalised(outcome.gradient[:, 0])
        step = _annealed(self._options.step, progress) * self._ball[lanes] * self._longest_axis
        self._direction[lanes] = direction
        self._position[lanes] = self._inside(lanes, position + direction * step.unsqueeze(1))
        self._age[lanes] += 1

    def _resize(self, lanes: Tensor, violated: Tensor, change: Tensor) -> None:
        shrunk = torch.minimum(self._ball[lanes] * (1 - change), self._best[lanes])
        self._ball[lanes] = torch.where(violated, shrunk, self._ball[lanes] * (1 + change)).clamp(max=1.0)

    @property
    def _longest_axis(self) -> float:
        """Euclidean length from the centre of a unit ball to its farthest point."""
        return math.sqrt(self._position.shape[1]) if self._arms.space.norm is Norm.LINF else 1.0

    def _inside(self, lanes: Tensor, points: Tensor) -> Tensor:
        """The points in their ball and domain; for L1 by the Euclidean projection, which leaves few features moved."""
        ball, arms = self._ball[lanes], self._lane_arms[lanes]
        if self._arms.space.norm is Norm.L1:
            points = project_l1(points, ball, self._arms.low[arms], self._arms.high[arms])
        return self._arms.pull(arms, points.unsqueeze(1), ball.unsqueeze(1)).squeeze(1)


def _annealed(ends: tuple[float, float], progress: Tensor) -> Tensor:
    """From the first to the last value along a cosine, for progress (L,) from 0 to 1."""
    first, last = ends
    return last + (first - last) * (1 + torch.cos(torch.pi * progress)) / 2


def _normalised(rows: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / length.clamp_min(1e-30)


def project_l1(rows: Tensor, radius: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The points nearest to ``rows`` (L, k) in the L1 balls of ``radius`` (L,) around 0, cut by the boxes ``low``, ``high`` (L, k).

    All features shrink by one amount, as far as their walls have not stopped them before: that solves the conditions of Duchi
    et al. 2008 (Efficient projections onto the l1-ball for learning in high dimensions), walls added. The amount is bisected.
    """
    size, caps = rows.abs(), torch.where(rows > 0, high, -low)
    least, most = torch.zeros_like(radius), size.amax(dim=1)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        outside = torch.clamp(size - middle.unsqueeze(1), caps.new_zeros(()), caps).sum(dim=1) > radius
        least, most = torch.where(outside, middle, least), torch.where(outside, most, middle)
    amount = torch.where(least > 0, most, 0.0).unsqueeze(1)
    return torch.clamp(size - amount, caps.new_zeros(()), caps) * rows.sign()
