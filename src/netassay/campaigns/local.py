"""The engine of one machine: processes of its own, one pipe each."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from netassay.campaigns.executor import EngineError, Limits, Outcome, Task, Work, died, timed_out
from netassay.campaigns.worker import ONE_THREAD, READY, START_SECONDS, TaskFailedError, Worker, WorkerDiedError
from netassay.errors import UsageError

STARTS = 3
"""How often in a row a worker may die before it is ready."""


@dataclass
class _Slot:
    """One worker and what it does.

    Args:
        worker: The process.
        task: What it works on; None while it starts or has nothing to do.
        ready: It has loaded what it needs.
        until: When its time is up.
        began: When it began what it does.
        starts: How often it died before it was ready.
    """

    worker: Worker
    task: Task | None = None
    ready: bool = False
    until: float = 0.0
    began: float = 0.0
    starts: int = 0


class LocalExecutor:
    """See ``Executor``. Each worker uses one thread, so that as many as there are cores do not get in each other's way.

    Args:
        work: What the workers do.
        workers: How many of them.
        limits: What a task may cost.
    """

    def __init__(self, work: Work, workers: int, limits: Limits) -> None:
        if workers < 1:
            raise UsageError(f"an engine needs at least one worker; got {workers}")
        self._limits = limits
        self._slots = [_Slot(Worker(work.function, prepare=work.prepare, environment=ONE_THREAD)) for _ in range(workers)]
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
            left = min([until, *(slot.until for slot in self._slots if slot.worker.connection is not None and self._busy(slot))])
            heard = wait(list(self._connections()), max(0.0, left - time.monotonic()))
            for slot in self._slots:
                if slot.worker.connection in heard:
                    found += self._hear(slot)
                elif self._busy(slot) and time.monotonic() >= slot.until:
                    found += self._expire(slot)
            if time.monotonic() >= until:
                break
        self._dispatch()
        return found

    def cancel(self) -> None:
        self._queue.clear()
        for slot in self._slots:
            if slot.task is not None:
                self._reset(slot)

    def close(self) -> None:
        self._queue.clear()
        for slot in self._slots:
            self._reset(slot)

    def _connections(self) -> list[Connection]:
        return [slot.worker.connection for slot in self._slots if slot.worker.connection is not None]

    def _busy(self, slot: _Slot) -> bool:
        return slot.task is not None or not slot.ready

    def _dispatch(self) -> None:
        """Gives every free worker a task, and starts those that are missing."""
        free = [slot for slot in self._slots if not slot.task]
        for slot in free:
            if not self._queue:
                return
            now = time.monotonic()
            if slot.worker.connection is None:
                slot.worker.start()
                slot.ready, slot.began, slot.until = False, now, now + START_SECONDS
            elif slot.ready:
                task = self._queue.popleft()
                slot.task, slot.began, slot.until = task, now, now + self._limits.seconds
                try:
                    slot.worker.send(task.content)
                except WorkerDiedError:  # between two tasks: this one was not begun
                    self._queue.appendleft(task)
                    self._reset(slot)

    def _hear(self, slot: _Slot) -> list[Outcome]:
        """What a worker said, or that it ended."""
        name, task = slot.worker.name, slot.task
        try:
            said = slot.worker.receive()
        except TaskFailedError as error:
            if not slot.ready:
                raise EngineError(f"a worker could not begin: {error}") from error
            return [self._ended(slot, name, reason=str(error))]
        except WorkerDiedError as error:
            return self._lost(slot, name, str(error))
        if not slot.ready:
            slot.ready, slot.starts = said == READY, 0
            return []
        return [] if task is None else [self._ended(slot, name, result=said)]

    def _ended(self, slot: _Slot, name: str, *, result: object = None, reason: str = "", last: bool = True) -> Outcome:
        """The outcome of what a worker was at; the worker is free for the next task."""
        if slot.task is None:
            raise EngineError(f"{name} ended what it was never given; please report this")
        key, slot.task = slot.task.key, None
        return Outcome(key, name, time.monotonic() - slot.began, result, reason, last)

    def _lost(self, slot: _Slot, name: str, how: str) -> list[Outcome]:
        """A worker died: its task is tried again, unless that was done often enough."""
        task, was_ready = slot.task, slot.ready
        slot.ready = False
        if task is None:
            slot.starts += not was_ready
            if slot.starts >= STARTS:
                raise EngineError(f"no worker can be started: {how}; see what it said on stderr")
            return []
        self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
        again = self._deaths[task.key] <= self._limits.retries
        if again:
            self._queue.appendleft(task)
        return [self._ended(slot, name, reason=died(how), last=not again)]

    def _expire(self, slot: _Slot) -> list[Outcome]:
        """A worker's time is up."""
        if slot.worker.connection is None:
            return []
        name = slot.worker.name
        slot.worker.stop()
        if slot.task is None:
            raise EngineError(f"a worker was not ready after {START_SECONDS:g} s; the machine is too busy, or the model too large")
        slot.ready = False
        return [self._ended(slot, name, reason=timed_out(self._limits.seconds))]

    def _reset(self, slot: _Slot) -> None:
        slot.worker.stop()
        slot.task, slot.ready = None, False
