"""The engine beyond one machine: Ray actors, which hold network and inputs. The only file that imports Ray."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from netassay.campaigns.executor import EngineError, Limits, Outcome, Work, timed_out
from netassay.campaigns.pool import Pool, Slot, checked_workers
from netassay.campaigns.worker import START_SECONDS
from netassay.errors import UsageError

LISTENER_SECONDS = 10.0
"""For the head of a cluster to accept a connection."""


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


@dataclass(eq=False, kw_only=True)
class _Slot(Slot):
    """A slot of one actor.

    Args:
        name: For people.
        actor: Ray's handle; None where there is none.
        reference: Of what it does: preparing itself, or a task.
    """

    name: str
    actor: Any = None
    reference: Any = None


class RayExecutor(Pool[_Slot]):
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

        super().__init__([_Slot(name=f"actor {i + 1}") for i in range(checked_workers(workers))], limits)
        self._ray = ray
        self._make = ray.remote(_Actor).options(num_cpus=1, num_gpus=work.gpus, max_restarts=0)
        self._work = ray.put(work)

    def _is_busy(self, slot: _Slot) -> bool:
        return slot.reference is not None

    def _wait(self, seconds: float) -> Collection[_Slot]:
        asked = {slot.reference: slot for slot in self._slots if slot.reference is not None}
        heard = self._ray.wait(list(asked), timeout=seconds)[0] if asked else []
        return [asked[reference] for reference in heard]

    def _dispatch(self) -> None:
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
        try:
            said = self._ray.get(slot.reference)
        except self._ray.exceptions.RayError as error:
            return self._lost(slot, slot.name, str(error).strip().splitlines()[0])
        slot.reference = None
        if slot.task is None:
            if said:
                raise EngineError(f"a worker could not begin: {said}")
            slot.ready, slot.starts = True, 0
            return []
        result, reason = said
        return [self._ended(slot, slot.name, result=result, reason=reason)]

    def _expire(self, slot: _Slot) -> list[Outcome]:
        """A worker that only waits for room is left to wait while others work."""
        if slot.task is None:
            if any(other.ready for other in self._slots):
                slot.until += START_SECONDS
                return []
            raise EngineError(f"no worker was ready after {START_SECONDS:g} s; has the cluster free cores, and the network's packages?")
        outcome = self._ended(slot, slot.name, reason=timed_out(self._limits.seconds))
        self._end(slot)
        return [outcome]

    def _end(self, slot: _Slot) -> None:
        if slot.actor is not None:
            with suppress(Exception):  # whatever the cluster says of an actor that is gone
                self._ray.kill(slot.actor, no_restart=True)
        slot.actor = slot.reference = slot.task = None
        slot.ready = False
