"""The portfolio ``auto``: several methods one after the other on one budget, each starting from what the others found."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from netassay.falsifiers.base import Falsifier, Method, Objective, Outcome, Proposal, Task


@dataclass(frozen=True, slots=True)
class Phase:
    """A method and the share of the budget at which it hands over."""

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
            return _Sequence(task, self.black_box)
        if task.arms.space.dimension <= self.few:
            return _Sequence(task, self.small)
        return _Sequence(task, self.slopes if task.objective is Objective.SLOPE else self.values)


class _Sequence:
    def __init__(self, task: Task, phases: tuple[Phase, ...]) -> None:
        self._task, self._phases, self._at = task, phases, 0
        self._current = phases[0].method.start(replace(task, queries=self._share(0)))

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        while self._at < len(self._phases) - 1 and spent >= self._phases[self._at].until:
            self._advance()
        proposal = self._current.propose(active, rows, spent)
        while proposal is None and self._at < len(self._phases) - 1:
            self._advance()
            proposal = self._current.propose(active, rows, spent)
        return proposal

    def _advance(self) -> None:
        self._at += 1
        starts = self._task.incumbents().unsqueeze(1)
        self._current = self._phases[self._at].method.start(replace(self._task, starts=starts, queries=self._share(self._at)))

    def _share(self, at: int) -> int:
        begin = self._phases[at - 1].until if at else 0.0
        return round(self._task.queries * (self._phases[at].until - begin))

    def observe(self, outcome: Outcome) -> None:
        self._current.observe(outcome)
