"""What every engine offers: tasks in, outcomes out, in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from netassay.errors import InputError

RETRIES = 2
"""How often a task is tried again whose worker died."""


class EngineError(InputError):
    """No worker could be started: the machine or the set-up is at fault, not a task."""


@dataclass(frozen=True)
class Work:
    """What the workers of an engine do.

    Args:
        function: Takes a task's content and gives its result; it may raise. Pickled, as are contents and results.
        prepare: Called once in each worker before its first task; what it raises ends the whole engine. A method of the same object as
            ``function`` where they share something.
        gpus: Graphics processors that a worker needs.
    """

    function: Callable[[Any], Any]
    prepare: Callable[[], None] | None = None
    gpus: int = 0


@dataclass(frozen=True)
class Limits:
    """What a task may cost.

    Args:
        seconds: After so many its worker is killed, and it is not tried again.
        retries: How often a task is tried again whose worker died (a crash, an out-of-memory kill).
    """

    seconds: float
    retries: int = RETRIES


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Args:
        key: Names it; no two tasks of an engine have the same.
        content: What the function is given.
    """

    key: str
    content: Any


@dataclass(frozen=True)
class Outcome:
    """One attempt at a task that came to an end.

    Args:
        key: The task's.
        worker: Who made the attempt.
        seconds: Spent on it.
        result: What the function gave; None where it failed.
        reason: Why it failed; empty where it did not.
        last: Whether the task is done with: it succeeded, or is not tried again.
    """

    key: str
    worker: str
    seconds: float
    result: Any = None
    reason: str = ""
    last: bool = True


class Executor(Protocol):
    """An engine. It keeps nothing: what is to last is stored by whoever asks.

    A task whose function raises fails at once; one that takes too long fails when its time is up; one whose worker dies is tried again.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends all workers."""
        ...

    @property
    def waiting(self) -> int:
        """Tasks submitted whose last outcome has not been given."""
        ...

    def submit(self, task: Task) -> None:
        """Takes a task; it is begun as soon as a worker is free."""
        ...

    def results(self, seconds: float) -> list[Outcome]:
        """What has ended; waits for the first outcome, at most so long.

        Raises:
            EngineError: If no worker can be started.
        """
        ...

    def cancel(self) -> None:
        """Forgets all tasks, those that are being worked on included."""
        ...


def timed_out(seconds: float) -> str:
    """The reason of a task that took too long."""
    return f"time-out: no result after {seconds:g} s"


def died(how: str) -> str:
    """The reason of a task whose worker ended."""
    return f"its worker died: {how}"
