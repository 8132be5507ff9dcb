"""What the engines share: tasks that wait, workers in slots, and what becomes of a task whose worker dies."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from netassay.campaigns.executor import EngineError, Limits, Outcome, Task, died
from netassay.errors import UsageError

STARTS = 3
"""How often in a row a worker may die before it is ready."""


@dataclass(eq=False, kw_only=True)
class Slot:
    """One worker and what it does.

    Args:
        task: What it works on; None while it starts or has nothing to do.
        ready: It has loaded what it needs.
        began: When it began what it does.
        until: When its time is up.
        starts: How often it died before it was ready.
    """

    task: Task | None = None
    ready: bool = False
    began: float = 0.0
    until: float = 0.0
    starts: int = 0


AnySlot = TypeVar("AnySlot", bound=Slot)


class Pool(ABC, Generic[AnySlot]):
    """An ``Executor`` but for how workers are started, heard and ended.

    Args:
        slots: One per worker.
        limits: What a task may cost.
    Attributes:
        hint: Where to look when no worker can be started.
    """

    hint = ""

    def __init__(self, slots: Sequence[AnySlot], limits: Limits) -> None:
        self._slots, self._limits = slots, limits
        self._queue: deque[Task] = deque()
        self._deaths: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        return len(self._queue) + sum(slot.task is not None for slot in self._slots)

    def submit(self, task: Task) -> None:
        self._queue.append(task)
        self._dispatch()

    def results(self, seconds: float) -> list[Outcome]:
        until = time.monotonic() + seconds
        found: list[Outcome] = []
        while not found and self.waiting:
            self._dispatch()
            left = min([until, *(slot.until for slot in self._slots if self._is_busy(slot))])
            heard = self._wait(max(0.0, left - time.monotonic()))
            for slot in self._slots:
                if slot in heard:
                    found += self._hear(slot)
                elif self._is_busy(slot) and time.monotonic() >= slot.until:
                    found += self._expire(slot)
            if time.monotonic() >= until:
                break
        self._dispatch()
        return found

    def cancel(self) -> None:
        self._queue.clear()
        for slot in self._slots:
            if slot.task is not None:
                self._end(slot)

    def close(self) -> None:
        """Forgets all tasks and ends all workers."""
        self._queue.clear()
        for slot in self._slots:
            self._end(slot)

    @abstractmethod
    def _dispatch(self) -> None:
        """Gives every free worker a task, and starts those that are missing."""

    @abstractmethod
    def _is_busy(self, slot: AnySlot) -> bool:
        """Whether there is a worker that starts or works."""

    @abstractmethod
    def _wait(self, seconds: float) -> Collection[AnySlot]:
        """The slots of which something can be heard; waits for the first one, at most so long."""

    @abstractmethod
    def _hear(self, slot: AnySlot) -> list[Outcome]:
        """What a worker gave, or that it ended."""

    @abstractmethod
    def _expire(self, slot: AnySlot) -> list[Outcome]:
        """A worker's time is up."""

    @abstractmethod
    def _end(self, slot: AnySlot) -> None:
        """Ends a worker, if there is one, whatever it does; the slot is free then."""

    def _ended(self, slot: AnySlot, name: str, *, result: Any = None, reason: str = "", last: bool = True) -> Outcome:
        """The outcome of what a worker was at; the worker is free for the next task."""
        if slot.task is None:
            raise EngineError(f"{name} ended what it was never given; please report this")
        key, slot.task = slot.task.key, None
        return Outcome(key, name, time.monotonic() - slot.began, result, reason, last)

    def _lost(self, slot: AnySlot, name: str, how: str) -> list[Outcome]:
        """A worker died: its task is tried again, unless that was done often enough."""
        task, was_ready = slot.task, slot.ready
        if task is None:
            self._end(slot)
            slot.starts += not was_ready
            if slot.starts >= STARTS:
                raise EngineError(f"no worker can be started: {how}{self.hint}")
            return []
        self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
        again = self._deaths[task.key] <= self._limits.retries
        if again:
            self._queue.appendleft(task)
        outcome = self._ended(slot, name, reason=died(how), last=not again)
        self._end(slot)
        return [outcome]


def checked_workers(count: int) -> int:
    """The number of workers, at least one; raises UsageError otherwise."""
    if count < 1:
        raise UsageError(f"an engine needs at least one worker; got {count}")
    return count
