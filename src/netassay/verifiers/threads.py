"""Work that numpy and compiled code do outside the interpreter's lock, spread over threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

WAIT_SECONDS = 0.25
"""So long without a result, at most."""


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result | None]:
    """The results of a function for many items, each as soon as it is there; None now and then while there is none.

    There are as many threads as numerical libraries use by themselves (``OMP_NUM_THREADS``), which meanwhile use one each; no threads where
    that is one. What the function raises is raised here. Whoever stops early waits for the items that are worked on.
    """
    count = torch.get_num_threads()
    if count == 1:
        yield from map(function, items)
        return
    left = iter(items)
    with _one_thread_each(count), ThreadPoolExecutor(count, "netassay-proof") as pool:
        waiting: set[Future[Result]] = set()
        try:
            while True:
                waiting |= {pool.submit(function, item) for item in islice(left, 2 * count - len(waiting))}
                if not waiting:
                    return
                done, waiting = wait(waiting, WAIT_SECONDS, FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                if not done:
                    yield None
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _one_thread_each(count: int) -> Iterator[None]:
    """Numerical libraries use one thread; torch, as many as ``count`` afterwards."""
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(count)
