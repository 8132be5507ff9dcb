"""Counts what a network is asked, and keeps batches within memory."""

from __future__ import annotations

import torch
from torch import Tensor

from netassay.errors import BudgetSpentError, UsageError
from netassay.models.network import Network

LARGEST_BATCH = 65_536
"""Rows beyond which a larger batch gains nothing."""


class QueryCounter:
    """A network that counts points and batched calls.

    Args:
        network: The network.
        memory: Bytes that one batched call may take, by the network's own estimate (``memory_per_point``). Half is
            left to the caller's own tensors.
        limit: Most points that may ever be asked; None for no limit.
    Attributes:
        points: Points evaluated so far.
        calls: Batched calls so far.
        rows: Points that one call takes within the memory limit, at least one.
        gradient_rows: The same where gradients are wanted.
    """

    def __init__(self, network: Network, memory: int, *, limit: int | None = None) -> None:
        if memory < 1:
            raise UsageError(f"a memory limit must be positive; got {memory} bytes")
        self.network = network
        self.limit = limit
        self.points = 0
        self.calls = 0
        self.rows = self._fitting(memory, gradient=False)
        self.gradient_rows = self._fitting(memory, gradient=True) if network.differentiable else self.rows

    def _fitting(self, memory: int, *, gradient: bool) -> int:
        return max(1, min(LARGEST_BATCH, memory // 2 // max(self.network.memory_per_point(gradient=gradient), 1)))

    def outputs(self, inputs: Tensor) -> Tensor:
        """Raw outputs (N, m) of inputs (N, *shape), in as many calls as memory asks for; keeps gradients.

        With gradients the memory of all calls is held until the caller has gone backwards: ask ``gradient_rows`` at a time.

        Raises:
            BudgetSpentError: If the batch would pass the limit; nothing of it is then evaluated or counted.
        """
        count = len(inputs)
        if self.limit is not None and self.points + count > self.limit:
            raise BudgetSpentError(f"{count} more points would pass the limit of {self.limit} queries; {self.points} are used")
        rows = self.gradient_rows if inputs.requires_grad and torch.is_grad_enabled() else self.rows
        parts = [self._call(inputs[i : i + rows]) for i in range(0, max(count, 1), rows)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _call(self, batch: Tensor) -> Tensor:
        found = self.network.outputs(batch)
        self.points += len(batch)
        self.calls += 1
        return found
