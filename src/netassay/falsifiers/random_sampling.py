"""Random sampling: the baseline of DeepQuant, section 6.1 (RS)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netassay.falsifiers.base import Falsifier, Outcome, Proposal, Task


@dataclass(frozen=True, slots=True)
class RandomSampling:
    """Draws points uniformly in the ball (see ``Arms.sample`` for what uniform means next to a domain's wall).

    Args:
        points: Points per arm and batch.
    """

    points: int = 1024

    def start(self, task: Task) -> Falsifier:
        """Begins; needs nothing but the generator."""
        return _Sampling(task, self.points)


class _Sampling:
    def __init__(self, task: Task, points: int) -> None:
        self._task, self._points = task, points
        # Both directions read the same points, so one arm per problem and radius draws them.
        seen = {
            (int(o), float(r)): i
            for i, (o, r) in reversed(list(enumerate(zip(task.arms.owner.tolist(), task.arms.radius.tolist(), strict=True))))
        }
        self._drawing = torch.tensor(sorted(seen.values()), device=task.arms.owner.device)

    def propose(self, active: Tensor, rows: int, spent: float) -> Proposal | None:
        del spent
        arms = self._drawing[active[self._drawing]]
        if not len(arms):
            return None
        arms = arms[: max(1, rows)]
        count = max(1, min(self._points, rows // len(arms), self._task.queries // 4))
        return Proposal(arms, arms, self._task.arms.sample(arms, count, self._task.generator))

    def observe(self, outcome: Outcome) -> None:
        """Nothing to learn: the search keeps the records."""
