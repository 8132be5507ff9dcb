"""Work in threads: everything arrives, errors too, and numerical libraries are left as they were found."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info

from netassay.verifiers import threads
from netassay.verifiers.threads import in_threads


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_every_result_arrives_and_none_while_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WAIT_SECONDS", 0.01)
    together = threading.Barrier(2, timeout=60)

    def slow(item: int) -> tuple[int, str]:
        together.wait()  # two at a time, or never
        time.sleep(0.05)
        return item, threading.current_thread().name

    found = list(in_threads(slow, range(10)))
    results = [r for r in found if r is not None]
    assert sorted(item for item, _ in results) == list(range(10))
    assert len({name for _, name in results}) == 2
    assert None in found


def test_numerical_libraries_use_one_thread_each_meanwhile() -> None:
    def used(_: int) -> tuple[int, ...]:
        return torch.get_num_threads(), *(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")

    before = used(0)
    assert {r for r in in_threads(used, range(4)) if r is not None} == {(1,) * len(before)}
    assert used(0) == before


def test_one_thread_works_in_order() -> None:
    torch.set_num_threads(1)
    assert list(in_threads(lambda i: (i, threading.current_thread()), range(3))) == [(i, threading.main_thread()) for i in range(3)]


def test_an_error_is_raised_here_and_everything_restored() -> None:
    def broken(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(in_threads(broken, range(100)))
    assert torch.get_num_threads() == 2


def test_whoever_stops_early_leaves_the_rest_undone() -> None:
    begun: list[int] = []

    def noted(item: int) -> int:
        begun.append(item)
        time.sleep(0.01)
        return item

    for result in in_threads(noted, range(1000)):
        if result is not None:
            break
    assert len(begun) < 20
    assert torch.get_num_threads() == 2
