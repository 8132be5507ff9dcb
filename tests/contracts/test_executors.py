"""What every engine keeps to: each task has one last outcome, whatever it does to its worker."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaigns.light_work import Scripted
from netassay.campaigns.executor import EngineError, Executor, Limits, Outcome, Task, Work
from netassay.campaigns.local import LocalExecutor
from netassay.campaigns.ray_engine import RayExecutor, connected
from netassay.errors import UsageError

Make = Callable[..., Executor]
TESTS = str(Path(__file__).parents[1])


@pytest.fixture(
    scope="module",
    params=[
        "local",
        pytest.param("ray", marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")),
    ],
)
def engine(request: pytest.FixtureRequest) -> Iterator[type[LocalExecutor] | type[RayExecutor]]:
    """The class of an engine, with a cluster of two cores where it needs one."""
    if request.param == "local":
        yield LocalExecutor
        return
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([TESTS, before])
    try:
        with connected(None):
            yield RayExecutor
    finally:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def make(engine: type[LocalExecutor] | type[RayExecutor], tmp_path: Path) -> Iterator[Make]:
    """Makes an engine for scripted work; it is ended with the test."""
    made: list[Executor] = []

    def call(*, seconds: float = 120, retries: int = 2, workers: int = 2, broken: bool = False) -> Executor:
        work = Scripted(str(tmp_path), broken)
        made.append(engine(Work(work, work.prepare), workers, Limits(seconds, retries)))
        return made[-1]

    yield call
    for executor in made:
        with executor:
            pass


def drained(executor: Executor, seconds: float = 120) -> list[Outcome]:
    """All outcomes until nothing is waiting."""
    found: list[Outcome] = []
    until = time.monotonic() + seconds
    while executor.waiting and time.monotonic() < until:
        found += executor.results(1.0)
    assert not executor.waiting, f"after {seconds} s still without: {executor.waiting} tasks"
    return found


def submitted(executor: Executor, *contents: tuple[str, int]) -> None:
    for order, number in contents:
        executor.submit(Task(f"{order}{number}", (order, number)))


def test_every_task_has_its_own_result_and_workers_are_prepared_once(make: Make) -> None:
    executor = make()
    submitted(executor, *(("square", n) for n in range(8)))
    assert executor.waiting == 8
    found = drained(executor)
    assert {o.key: o.result[0] for o in found} == {f"square{n}": n**2 for n in range(8)}
    assert all(o.last and not o.reason and o.seconds >= 0 and o.worker for o in found)
    assert {o.result[2] for o in found} == {1}
    assert len({o.result[1] for o in found}) <= 2
    assert os.getpid() not in {o.result[1] for o in found}
    assert executor.results(0.0) == []


def test_what_a_task_raises_fails_it_alone(make: Make) -> None:
    executor = make(workers=1)
    submitted(executor, ("raise", 3), ("memory", 0), ("square", 2))
    found = {o.key: o for o in drained(executor)}
    assert found["raise3"].reason == "ValueError: no 3"
    assert found["memory0"].reason.startswith("MemoryError")
    assert found["raise3"].last
    assert found["raise3"].result is None
    assert found["square2"].result[0] == 4
    assert found["square2"].result[2] == 1, "the process that raised goes on"


def test_a_task_whose_worker_dies_is_tried_again_and_then_given_up(make: Make) -> None:
    executor = make(workers=1, retries=2)
    submitted(executor, ("die once", 1), ("die", 2), ("square", 5))
    found = drained(executor)
    once = [o for o in found if o.key == "die once1"]
    assert [(bool(o.reason), o.last) for o in once] == [(True, False), (False, True)]
    assert once[-1].result[0] == 1
    given_up = [o for o in found if o.key == "die2"]
    assert [o.last for o in given_up] == [False, False, True]
    assert all(o.reason.startswith("its worker died") for o in given_up)
    assert next(o for o in found if o.key == "square5").result[0] == 25


def test_a_task_that_takes_too_long_is_killed_and_not_tried_again(make: Make, tmp_path: Path) -> None:
    executor = make(workers=1, seconds=1.0)
    submitted(executor, ("sleep", 1), ("square", 3))
    found = {o.key: o for o in drained(executor)}
    assert found["sleep1"].last
    assert found["sleep1"].reason == "time-out: no result after 1 s"
    assert found["square3"].result[0] == 9
    assert sum(path.name.startswith("sleep1-") for path in tmp_path.iterdir()) == 1


def test_cancelled_tasks_have_no_outcome_and_the_engine_goes_on(make: Make) -> None:
    executor = make(workers=1)
    submitted(executor, ("sleep", 1), ("square", 2))
    executor.results(0.5)
    executor.cancel()
    assert executor.waiting == 0
    assert executor.results(0.0) == []
    submitted(executor, ("square", 4))
    assert [o.result[0] for o in drained(executor)] == [16]


def test_what_cannot_be_prepared_ends_the_engine(make: Make) -> None:
    executor = make(broken=True)
    submitted(executor, ("square", 1))
    with pytest.raises(EngineError, match="nothing to load"):
        drained(executor)


def test_an_engine_needs_a_worker(make: Make) -> None:
    with pytest.raises(UsageError, match="at least one worker; got 0"):
        make(workers=0)


def test_a_worker_that_is_killed_from_outside_costs_one_attempt(make: Make) -> None:
    executor = make(workers=1)
    submitted(executor, ("square", 1))
    first = drained(executor)[0].result[1]
    os.kill(first, signal.SIGKILL)
    submitted(executor, ("square", 2))
    found = drained(executor)
    assert found[-1].result[0] == 4
    assert found[-1].result[1] != first
