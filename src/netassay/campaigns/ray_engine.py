"""The engine beyond one machine: Ray actors, which hold network and inputs. The only file that imports Ray."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from netassay.campaigns.executor import EngineError, Limits, Outcome, Task, Work, died, timed_out
from netassay.campaigns.worker import START_SECONDS
from netassay.errors import UsageError

LISTENER_SECONDS = 10.0
"""For the head of a cluster to accept a connection."""

STARTS = 3
"""How often in a row an actor may die before it is ready."""


@dataclass(frozen=True)
class Cluster:
    """What a cluster has.

    Args:
        cores, gpus: Of all its machines, at least one each.
    """

    cores: int
    gpus: int


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """A connection to the cluster at ``address``, or to one that is started here and ends with the block; an open one is used as it is.

    Raises:
        UsageError: If Ray is not installed.
        EngineError: If there is no such cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'netassay[ray]'; --engine local needs nothing") from error
    opened = not ray.is_initialized()
    if opened:
        _require_listener(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **_own(address))
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EngineError(f"no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]}") from error
    try:
        has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield Cluster(max(1, int(has.get("CPU", 1))), max(1, int(has.get("GPU", 1))))
    finally:
        if opened:
            ray.shutdown()


def _require_listener(address: str | None) -> None:
    """Refuses an address where nobody listens at once: Ray itself looks for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), LISTENER_SECONDS).close()
        except OSError as error:
            raise EngineError(f"no Ray cluster at {address}: {error.strerror or error}; 'ray status' tells the address of one") from error


def _own(address: str | None) -> dict[str, Any]:
    """Further arguments for a cluster that is started here."""
    return {} if address is not None else {"include_dashboard": False}


class _Actor:
    """What runs in an actor: the function, once it is prepared."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def prepare(self) -> str:
        """Empty, or why it cannot begin."""
        try:
            if self._work.prepare is not None:
                self._work.prepare()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    def call(self, content: Any) -> tuple[Any, str]:
        """The result, and why there is none."""
        try:
            return self._work.function(content), ""
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"


@dataclass(eq=False)
class _Slot:
    """One actor and what it does.

    Args:
        name: For people.
        actor: Ray's handle; None where there is none.
        reference: Of what it does: preparing itself, or a task.
        task: The task; None while it prepares itself.
        ready: It has.
        began, until: When it began, and when its time is up.
        starts: How often it died before it was ready.
    """

    name: str
    actor: Any = None
    reference: Any = None
    task: Task | None = None
    ready: bool = False
    began: float = 0.0
    until: float = 0.0
    starts: int = 0


class RayExecutor:
    """See ``Executor``. Needs an open connection, see ``connected``.

    Actors that a cluster has no room for wait until it has. What the workers share (network and inputs) is put into the cluster's
    memory once.

    Args:
        work: What the actors do.
        workers: How many of them, each with one core (and as many GPUs as the work says).
        limits: What a task may cost.
    """

    def __init__(self, work: Work, workers: int, limits: Limits) -> None:
        import ray

        if workers < 1:
            raise UsageError(f"an engine needs at least one worker; got {workers}")
        self._ray, self._limits = ray, limits
        self._make = ray.remote(_Actor).options(num_cpus=1, num_gpus=work.gpus, max_restarts=0)
        self._work = ray.put(work)
        self._slots = [_Slot(f"actor {i + 1}") for i in range(workers)]
        self._queue: deque[Task] = deque()
        self._deaths: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._queue.clear()
        for slot in self._slots:
            self._end(slot)

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
            asked = [slot.reference for slot in self._slots if slot.reference is not None]
            left = min([until, *(slot.until for slot in self._slots if slot.reference is not None)])
            heard, _ = self._ray.wait(asked, timeout=max(0.0, left - time.monotonic())) if asked else ([], [])
            for slot in self._slots:
                if slot.reference is not None and slot.reference in heard:
                    found += self._hear(slot)
                elif slot.reference is not None and time.monotonic() >= slot.until:
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

    def _dispatch(self) -> None:
        """Gives every free actor a task, and starts those that are missing."""
        for slot in self._slots:
            if not self._queue:
                return
            if slot.reference is not None:
                continue
            slot.began = time.monotonic()
            if slot.actor is None:
                slot.actor, slot.ready = self._make.remote(self._work), False
                slot.reference, slot.until = slot.actor.prepare.remote(), slot.began + START_SECONDS
            elif slot.ready:
                slot.task = self._queue.popleft()
                slot.reference, slot.until = slot.actor.call.remote(slot.task.content), slot.began + self._limits.seconds

    def _hear(self, slot: _Slot) -> list[Outcome]:
        """What an actor gave, or that it died."""
        try:
            said = self._ray.get(slot.reference)
        except self._ray.exceptions.RayError as error:
            return self._lost(slot, str(error).strip().splitlines()[0])
        slot.reference = None
        if slot.task is None:
            if said:
                raise EngineError(f"a worker could not begin: {said}")
            slot.ready, slot.starts = True, 0
            return []
        result, reason = said
        return [self._ended(slot, slot.task, result=result, reason=reason)]

    def _ended(self, slot: _Slot, task: Task, *, result: Any = None, reason: str = "", last: bool = True) -> Outcome:
        slot.task = None
        return Outcome(task.key, slot.name, time.monotonic() - slot.began, result, reason, last)

    def _lost(self, slot: _Slot, how: str) -> list[Outcome]:
        """An actor died: its task is tried again, unless that was done often enough."""
        task = slot.task
        self._end(slot)
        if task is None:
            slot.starts += 1
            if slot.starts >= STARTS:
                raise EngineError(f"no worker can be started: {how}")
            return []
        self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
        again = self._deaths[task.key] <= self._limits.retries
        if again:
            self._queue.appendleft(task)
        return [self._ended(slot, task, reason=died(how), last=not again)]

    def _expire(self, slot: _Slot) -> list[Outcome]:
        """An actor's time is up. One that only waits for room is left to wait while others work."""
        task = slot.task
        if task is None:
            if any(other.ready for other in self._slots):
                slot.until += START_SECONDS
                return []
            raise EngineError(f"no worker was ready after {START_SECONDS:g} s; has the cluster free cores, and the network's packages?")
        self._end(slot)
        return [self._ended(slot, task, reason=timed_out(self._limits.seconds))]

    def _end(self, slot: _Slot) -> None:
        if slot.actor is not None:
            with suppress(Exception):  # whatever the cluster says of an actor that is gone
                self._ray.kill(slot.actor, no_restart=True)
        slot.actor = slot.reference = slot.task = None
        slot.ready = False
