"""The engine of one machine: processes of its own, one pipe each."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from multiprocessing.connection import wait

from netassay.campaigns.executor import EngineError, Limits, Outcome, Work, timed_out
from netassay.campaigns.pool import Pool, Slot, checked_workers
from netassay.campaigns.worker import ONE_THREAD, READY, START_SECONDS, TaskFailedError, Worker, WorkerDiedError


@dataclass(eq=False, kw_only=True)
class _Slot(Slot):
    """A slot of one process.

    Args:
        worker: The process.
    """

    worker: Worker


class LocalExecutor(Pool[_Slot]):
    """See ``Executor``. Each worker uses one thread, so that as many as there are cores do not get in each other's way.

    Args:
        work: What the workers do.
        workers: How many of them.
        limits: What a task may cost.
    """

    hint = "; see what it said on stderr"

    def __init__(self, work: Work, workers: int, limits: Limits) -> None:
        made = [Worker(work.function, prepare=work.prepare, environment=ONE_THREAD) for _ in range(checked_workers(workers))]
        super().__init__([_Slot(worker=worker) for worker in made], limits)

    def _is_busy(self, slot: _Slot) -> bool:
        return slot.worker.connection is not None and (slot.task is not None or not slot.ready)

    def _wait(self, seconds: float) -> Collection[_Slot]:
        open_ones = {slot.worker.connection: slot for slot in self._slots if slot.worker.connection is not None}
        heard = wait([connection for connection in open_ones if connection is not None], seconds)
        return [slot for connection, slot in open_ones.items() if connection in heard]

    def _dispatch(self) -> None:
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
                    self._end(slot)

    def _hear(self, slot: _Slot) -> list[Outcome]:
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

    def _expire(self, slot: _Slot) -> list[Outcome]:
        name = slot.worker.name
        if slot.task is None:
            self._end(slot)
            raise EngineError(f"a worker was not ready after {START_SECONDS:g} s; the machine is too busy, or the model too large")
        outcome = self._ended(slot, name, reason=timed_out(self._limits.seconds))
        self._end(slot)
        return [outcome]

    def _end(self, slot: _Slot) -> None:
        slot.worker.stop()
        slot.task, slot.ready = None, False
