"""A process that answers one task after another and is killed when a task takes too long: no task can take its list down with it."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from netassay.errors import NetassayError

READY = "ready"
START_SECONDS = 300.0
"""For the process to start and to load what it needs; on no task's time."""


class TaskTimeOutError(NetassayError):
    """The task took longer than allowed; its process was killed."""


class WorkerDiedError(NetassayError):
    """The process ended before it answered; the message says how."""


class Worker:
    """Runs ``function`` on one task at a time in a process of its own, which is started when it is needed.

    Args:
        function: Takes a task and gives its answer; a function of a module, since the process finds it by its name. Both are pickled.
        modules: Loaded when the process starts, so that no task pays for it.
    """

    def __init__(self, function: Callable[[Any], Any], modules: Sequence[str] = ()) -> None:
        self._function = function
        self._modules = tuple(modules)
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def ask(self, task: object, seconds: float) -> Any:
        """The answer to one task.

        Raises:
            TaskTimeOutError: If there is none after so many seconds.
            WorkerDiedError: If the process ended, or could not start.
        """
        connection = self._running()
        try:
            connection.send(task)
            if connection.poll(seconds):
                return connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerDiedError(self._end()) from error
        except BaseException:
            self.stop()
            raise
        self.stop()
        raise TaskTimeOutError(f"no answer after {seconds:g} s")

    def stop(self) -> None:
        """Kills the process, whatever it does; a later task starts another one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _running(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.is_alive():
            return self._connection
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._function, self._modules), daemon=True)
        self._process.start()
        theirs.close()
        with suppress(EOFError, OSError):
            if self._connection.poll(START_SECONDS) and self._connection.recv() == READY:
                return self._connection
        raise WorkerDiedError(self._end())

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


def _serve(connection: Connection, function: Callable[[Any], Any], modules: Sequence[str]) -> None:
    """What the process does: it answers until nobody asks any more. What it prints goes to stderr; Ctrl-C is left to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for name in modules:
        importlib.import_module(name)
    connection.send(READY)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(function(task))
