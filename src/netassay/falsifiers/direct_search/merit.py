"""What a direct search compares points by: with or without a constraint that is not a box."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from netassay.falsifiers.base import Objective


class Merit(Protocol):
    """Ranks points of each lane; higher is better, -inf is refused (an extreme barrier)."""

    def of(self, lanes: Tensor, merit: Tensor, length: Tensor, feasible: Tensor) -> Tensor:
        """(L, m) ranks from the search's merit, length (share of the radius) and feasibility."""
        ...

    def update(self, lanes: Tensor, merit: Tensor, length: Tensor) -> Tensor:
        """Called when lanes (L,) have minimised their subproblem, at incumbents with merit and length (L,); True where a new one starts."""
        ...

    def reset(self, lanes: Tensor) -> None:
        """Called when lanes start again from new points."""
        ...

    def accuracy(self, lanes: Tensor, tolerance: float) -> Tensor:
        """(L,) poll size below which the current subproblem counts as minimised; ``tolerance`` for the last one."""
        ...


class FeasibleMerit:
    """Points outside the ball are refused: for L-infinity, whose ball is a box (DeepQuant, Eq. 11), and for L0."""

    def of(self, lanes: Tensor, merit: Tensor, length: Tensor, feasible: Tensor) -> Tensor:
        del lanes, length
        return torch.where(feasible, merit, -torch.inf)

    def update(self, lanes: Tensor, merit: Tensor, length: Tensor) -> Tensor:
        del merit, length
        return torch.zeros_like(lanes, dtype=torch.bool)

    def reset(self, lanes: Tensor) -> None:
        del lanes

    def accuracy(self, lanes: Tensor, tolerance: float) -> Tensor:
        return torch.full(lanes.shape, tolerance, device=lanes.device)


class AugmentedLagrangian:
    """The merit of DeepQuant's Algorithm 2 for L1 and L2 balls, per lane.

    The subproblem's objective is Theta(x) = w(x) - lambda * q * log(q - c(x)) with c(x) = ||x - x0|| / d - 1.
    The paper prints log(q + c(x)) (Eq. 12), which rewards leaving the ball; the barrier of the method it builds
    on (Lewis, Torczon and Kolda 2006, its reference 27) has the sign used here: infinite at c = q, defined a little
    outside the ball (c < q). Its printed output argmin Theta may lie outside the ball; here the search keeps
    the best feasible point, whatever Theta says.

    w is ||x - x0|| / |s - s0| relative to the best slope of the lane (or, for a value objective, the gap to its
    best value), so that lambda means the same for every network.

    Args:
        lanes: Number of lanes.
        objective: SLOPE or VALUE.
        multiplier: First lambda. shift: First q. penalty: Factor on lambda where the subproblem ends outside the ball.
        rounds: Subproblems before a lane is left to restart.
    """

    def __init__(
        self,
        lanes: int,
        objective: Objective,
        like: Tensor,
        *,
        multiplier: float = 0.1,
        shift: float = 0.1,
        penalty: float = 10.0,
        rounds: int = 6,
    ) -> None:
        self._objective, self._first, self._penalty, self._rounds = objective, (multiplier, shift), penalty, rounds
        self.multiplier = torch.full((lanes,), multiplier, dtype=like.dtype, device=like.device)
        self.shift = torch.full((lanes,), shift, dtype=like.dtype, device=like.device)
        self.best = torch.full((lanes,), -torch.inf, dtype=like.dtype, device=like.device)
        self.worst = torch.full((lanes,), torch.inf, dtype=like.dtype, device=like.device)
        self.round = torch.zeros(lanes, dtype=torch.long, device=like.device)

    def of(self, lanes: Tensor, merit: Tensor, length: Tensor, feasible: Tensor) -> Tensor:
        self._learn(lanes, merit, feasible)
        excess = length - 1
        room = self.shift[lanes].unsqueeze(1) - excess
        barrier = self.multiplier[lanes].unsqueeze(1) * self.shift[lanes].unsqueeze(1) * torch.log(room.clamp_min(1e-30))
        value = -self._objective_of(lanes, merit) + barrier
        return torch.where((room > 0) & torch.isfinite(merit), value, -torch.inf)

    def _learn(self, lanes: Tensor, merit: Tensor, feasible: Tensor) -> None:
        usable = feasible & torch.isfinite(merit)
        self.best[lanes] = torch.maximum(self.best[lanes], torch.where(usable, merit, -torch.inf).amax(dim=1))
        self.worst[lanes] = torch.minimum(self.worst[lanes], torch.where(usable, merit, torch.inf).amin(dim=1))

    def _objective_of(self, lanes: Tensor, merit: Tensor) -> Tensor:
        best = torch.nan_to_num(self.best[lanes], neginf=1.0).unsqueeze(1)
        if self._objective is Objective.SLOPE:
            scale = best.abs().clamp_min(1e-30)
            # 1/slope where the slope points the right way; beyond that, continued linearly so that it still ranks.
            relative = merit / scale
            return torch.where(relative > 1e-2, 1 / relative.clamp_min(1e-2), 200 - 1e4 * relative)
        spread = (best - torch.nan_to_num(self.worst[lanes], posinf=0.0).unsqueeze(1)).abs().clamp_min(1e-12)
        return (best - merit) / spread

    def update(self, lanes: Tensor, merit: Tensor, length: Tensor) -> Tensor:
        """Algorithm 2's updates of lambda and q after a subproblem; True for lanes that go on with a new one."""
        del merit
        excess = length - 1
        shift, multiplier = self.shift[lanes], self.multiplier[lanes]
        inside = excess <= 0
        self.multiplier[lanes] = torch.where(inside, multiplier * shift / (shift - excess).clamp_min(1e-6), multiplier * self._penalty)
        self.shift[lanes] = torch.where(inside, shift * 0.5, shift * 0.2).clamp_min(1e-4)
        self.round[lanes] += 1
        return self.round[lanes] < self._rounds

    def reset(self, lanes: Tensor) -> None:
        self.multiplier[lanes], self.shift[lanes] = self._first
        self.round[lanes] = 0

    def accuracy(self, lanes: Tensor, tolerance: float) -> Tensor:
        """The first subproblems are solved roughly, each ten times as accurately as the one before."""
        return (10.0 ** -(2.0 + self.round[lanes])).clamp_min(tolerance)
