"""The process that can be killed: it answers, times out, dies and starts again."""

from __future__ import annotations

import time

import pytest

from cli import light_tasks
from netassay.campaigns.worker import TaskTimeOutError, Worker, WorkerDiedError


def test_it_answers_dies_and_starts_again() -> None:
    with Worker(light_tasks.doubled) as worker:
        assert [worker.ask(n, 30) for n in (1, 2)] == [2, 4]
        assert worker.ask(0, 30) == 0, "Ctrl-C in a terminal reaches it too, and is its parent's matter"
        with pytest.raises(WorkerDiedError, match="exit code 7"):
            worker.ask(-7, 30)
        assert worker.ask(5, 30) == 10
        process = worker._process
    assert process is not None
    assert not process.is_alive()


def test_a_slow_task_is_killed() -> None:
    with Worker(time.sleep) as worker:
        worker.ask(0.0, 30)
        process = worker._process
        with pytest.raises(TaskTimeOutError, match=r"no answer after 0\.2 s"):
            worker.ask(60.0, 0.2)
        assert process is not None
        assert process.exitcode == -9
        assert worker.ask(0.0, 30) is None


def test_what_it_cannot_load_is_told() -> None:
    with Worker(time.sleep, ["no_such_module_anywhere"]) as worker, pytest.raises(WorkerDiedError, match="exit code 1"):
        worker.ask(0.0, 30)
