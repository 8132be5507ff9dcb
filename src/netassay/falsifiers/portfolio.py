"""The portfolio ``auto``: several methods one after the other on one budget, each starting from what the others found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Method, Objective, Outcome, Proposal, Task

FIRST_CYCLE = 2000.0
"""Points per arm of the first cycle through all methods."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A method and the share of a cycle at which it hands over."""

    method: Method
    until: float


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Methods in sequence.

    Args:
        slopes: Phases for slopes of networks with gradients. values: Phases for their values.
        small: Phases for networks with gradients and at most ``few`` free features.
        black_box: Phases for networks without gradients.
    """

    slopes: tuple[Phase, ...]
    values: tuple[Phase, ...]
    small: tuple[Phase, ...]
    black_box: tuple[Phase, ...]
    few: int = 16

    def start(self, task: Task) -> Falsifier:
        """Begins with the first phase that fits the network and the objective."""
        if not task.gradients:
            return Sequence(task, self.black_box)
        if task.arms.space.dimension <= self.few:
            return Sequence(task, self.small)
        return Sequence(task, self.slopes if task.objective is Objective.SLOPE else self.values)


class Sequence:
    """Runs the phases in cycles, the first of ``first`` points per arm, each twice as long as the last: a short search has had all."""

    def __init__(self, task: Task, phases: tuple[Phase, ...], first: float = FIRST_CYCLE) -> None:
        self._task, self._phases, self._at = task, phases, 0
        self._points, self._begin, self._first = 0.0, 0.0, True
        self._length = self._cycle(first)
        self._current = phases[0].method.start(replace(task, queries=self._share()))

    def _cycle(self, length: float) -> float:
        """The length of a cycle in points per arm; what would be left over too little for another one is added."""
        left = self._task.queries - self._points
        return left if 0 < left <= 1.5 * length else length  # points known from before cost nothing: a search may run on past its queries

    def _share(self) -> int:
        begin = self._phases[self._at - 1].until if self._at else 0.0
        return max(1, round(self._length * (self._phases[self._at].until - begin)))

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        while self._points - self._begin >= self._length * self._phases[self._at].until:
            self._advance()
        return self._current.propose(active, rows, spent)

    def _advance(self) -> None:
        self._at += 1
        if self._at == len(self._phases):
            self._at, self._begin, self._first = 0, self._points, False
            self._length = self._cycle(2 * self._length)
        starts = self._task.incumbents().unsqueeze(1)
        if self._first and self._task.starts is not None:
            starts = torch.cat([starts, self._task.starts], dim=1)
        self._current = self._phases[self._at].method.start(replace(self._task, starts=starts, queries=self._share()))

    def observe(self, outcome: Outcome) -> None:
        self._points += outcome.merit.numel() / len(self._task.arms)
        self._current.observe(outcome)
