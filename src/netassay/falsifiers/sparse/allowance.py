"""What the L0 search of one problem may still spend in a run, and how few changes it has to find."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netassay.falsifiers.search import Search

ENTRY, MEMORY_SHARE = 500, 8
"""Bytes that a known set takes; what is known of all problems may take one part in that many of the budget's memory between two runs."""


@dataclass(slots=True, eq=False)
class Allowance:
    """Queries and seconds of one problem.

    Args:
        search: Evaluates, counts, and keeps the nearest violations.
        b: The problem.
        left: Queries that this run may still take.
        until: The clock's seconds at which it ends.
    """

    search: Search
    b: int
    left: int = 0
    until: float = torch.inf

    def begin(self, queries: int, seconds: float | None) -> None:
        """A run of so many queries, as far as the budget goes, and seconds."""
        self.left = min(queries, int(self.search.room[self.b]))
        self.until = torch.inf if seconds is None else self.search.clock.elapsed + seconds

    @property
    def going(self) -> bool:
        search = self.search
        ended = search.stopped or search.interrupted() or search.clock.expired or bool(search.finished[self.b])
        return self.left > 0 and not ended and search.clock.elapsed < self.until

    @property
    def wanted(self) -> int:
        """One change fewer than the nearest witness has; 0 where there is none."""
        nearest = float(self.search.records.nearest[self.b])
        return int(nearest) - 1 if nearest < torch.inf else 0

    def found(self, size: int) -> bool:
        """Whether a witness of at most so many changes is known."""
        return float(self.search.records.nearest[self.b]) <= size

    def spend(self, queries: int) -> None:
        self.search.used[self.b] += queries
        self.left -= queries

    def too_large(self, sets: int, numbers: int = 0) -> bool:
        """Whether so many known sets, and numbers beside them, are too much to keep between two runs, as each problem has its own."""
        bytes_ = sets * ENTRY + numbers * self.search.space.dtype.itemsize
        return bytes_ * len(self.search.problems) > self.search.budget.memory // MEMORY_SHARE

    def offer(self, rows: Tensor, values: Tensor) -> None:
        """Records the violations among points (N, k) with s = values (N,), and tells of the step."""
        search, space = self.search, self.search.space
        which = search.violated(values).nonzero().squeeze(1)
        if len(which):
            lengths = space.lengths((rows[which] - space.free_centers[self.b]) / space.scale)
            search.records.offer_violations(torch.full_like(which, self.b), lengths, rows[which])
        search.on_step(search)
