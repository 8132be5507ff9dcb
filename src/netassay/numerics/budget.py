"""Budgets: how much a question may cost. Passed in, never global."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from netassay.errors import UsageError

GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class Budget:
    """What one question may spend.

    Args:
        queries: Network evaluations allowed per input (points, not batched calls); None for no limit. The float64
            confirmations and replays of what was found come on top.
        seconds: Wall-clock limit for the whole call; None for no limit. Results under a time limit
            depend on the machine; a budget in queries repeats exactly.
        memory: Bytes that batches of candidate points and their evaluation may take together.
    """

    queries: int | None = 10_000
    seconds: float | None = None
    memory: int = 2 * GIBIBYTE

    def __post_init__(self) -> None:
        if self.queries is not None and self.queries < 1:
            raise UsageError(f"a query budget must be at least 1; got {self.queries}")
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"a time budget must be positive; got {self.seconds} s")
        if self.memory < 1024**2:
            raise UsageError(f"a memory limit below 1 MiB cannot hold a batch; got {self.memory} bytes")
        if self.queries is None and self.seconds is None:
            raise UsageError("a budget needs a limit: give queries, seconds, or both")


@dataclass(slots=True)
class Clock:
    """Time since the start of a question, and whether its time limit has passed."""

    limit: float | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def expired(self) -> bool:
        return self.limit is not None and self.elapsed >= self.limit
