"""A process that answers one task after another and is killed when a task takes too long: no task can take its list down with it."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from netassay.errors import NetassayError

READY = "ready"
START_SECONDS = 300.0
"""For the process to start and to load what it needs; on no task's time."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
"""The environment of a process whose numerical libraries use one thread."""


class TaskTimeOutError(NetassayError):
    """The task took longer than allowed; its process was killed."""


class WorkerDiedError(NetassayError):
    """The process ended before it answered; the message says how."""


class TaskFailedError(NetassayError):
    """The task raised an exception, of which this is the text; its process goes on."""


@dataclass(frozen=True)
class Raised:
    """What a process says in place of an answer.

    Args:
        reason: The exception in words.
    """

    reason: str


class Worker:
    """Runs ``function`` on one task at a time in a process of its own, which is started when it is needed.

    ``ask`` waits for the answer. Whoever waits for several calls ``start`` and ``send``, waits for their connections, and takes with
    ``receive`` what comes: first READY, then one answer per task.

    Args:
        function: Takes a task and gives its answer; a function of a module, since the process finds it by its name. Both are pickled.
        modules: Loaded when the process starts, so that no task pays for it.
        prepare: Called when the process starts, likewise; what it raises ends the process. Pickled together with ``function``, so that
            methods of one object still share it there.
        environment: Variables that the process sees beside its parent's.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        modules: Sequence[str] = (),
        *,
        prepare: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._work = _Work(function, tuple(modules), prepare)
        self._environment = dict(environment or {})
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def connection(self) -> Connection | None:
        """Readable once there is something to receive, or once the process has ended; None while there is no process."""
        return self._connection

    @property
    def name(self) -> str:
        """Of the process, for people."""
        return f"process {self._process.pid}" if self._process is not None else "no process"

    def ask(self, task: object, seconds: float) -> Any:
        """The answer to one task.

        Raises:
            TaskTimeOutError: If there is none after so many seconds.
            WorkerDiedError: If the process ended, or could not start.
            TaskFailedError: If the task raised.
        """
        connection = self._running()
        try:
            self.send(task)
            if connection.poll(seconds):
                return self.receive()
        except (TaskFailedError, WorkerDiedError):
            raise
        except BaseException:
            self.stop()
            raise
        self.stop()
        raise TaskTimeOutError(f"no answer after {seconds:g} s")

    def start(self) -> None:
        """Starts the process if none is running, and does not wait for it."""
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        with _environment(self._environment):
            self._process.start()
        theirs.close()

    def send(self, task: object) -> None:
        """Hands a task to the process that was started; raises WorkerDiedError if it has ended."""
        if self._connection is None:
            raise WorkerDiedError("it did not start")
        try:
            self._connection.send(task)
        except OSError as error:
            raise WorkerDiedError(self._end()) from error

    def receive(self) -> Any:
        """What the process says next, once it says something.

        Raises:
            TaskFailedError: If the task raised.
            WorkerDiedError: If the process ended, or could not load what it needs.
        """
        if self._connection is None:
            raise WorkerDiedError("it did not start")
        try:
            said = self._connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError(self._end()) from error
        if isinstance(said, Raised):
            raise TaskFailedError(said.reason)
        return said

    def stop(self) -> None:
        """Kills the process, whatever it does; a later task starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _running(self) -> Connection:
        if self._connection is None or self._process is None or not self._process.is_alive():
            self.start()
            if self._connection is None or not self._connection.poll(START_SECONDS) or self.receive() != READY:
                raise WorkerDiedError(self._end())
        return self._connection

    def _end(self) -> str:
        """How the process ended."""
        if self._process is None:
            return "it did not start"
        self._process.join(1.0)
        code = self._process.exitcode
        self.stop()
        if code is None:
            return "it stopped answering"
        if code < 0:
            with suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"


@dataclass(frozen=True)
class _Work:
    """What a process is for, pickled as one, so that what its parts share is shared there."""

    function: Callable[[Any], Any]
    modules: tuple[str, ...]
    prepare: Callable[[], None] | None


@contextmanager
def _environment(changed: Mapping[str, str]) -> Iterator[None]:
    """These variables set, for a process that starts meanwhile."""
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve(connection: Connection, work: _Work) -> None:
    """What the process does: it answers until nobody asks any more. What it prints goes to stderr; Ctrl-C is left to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for name in work.modules:
        importlib.import_module(name)
    if not _prepared(connection, work):
        return
    connection.send(READY)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_answer(work.function, task))


def _prepared(connection: Connection, work: _Work) -> bool:
    try:
        if work.prepare is not None:
            work.prepare()
    except Exception as error:
        connection.send(Raised(f"{type(error).__name__}: {error}"))
        return False
    return True


def _answer(function: Callable[[Any], Any], task: object) -> Any:
    """The answer, or what the task raised."""
    try:
        return function(task)
    except Exception as error:
        return Raised(f"{type(error).__name__}: {error}")


def _leave_with_parent() -> None:
    """Ends the process once its parent has ended, even in the middle of a task: nobody would hear the answer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
