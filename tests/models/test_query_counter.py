"""Counting, chunking and limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from netassay.errors import BudgetSpentError, UsageError
from netassay.models.black_box import BlackBox
from netassay.models.query_counter import LARGEST_BATCH, QueryCounter
from netassay.models.torch_module import from_module
from netassay.numerics.box import Box

MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return from_module(nn.Sequential(nn.Linear(6, 2000), nn.Tanh(), nn.Linear(2000, 3)), (6,))


def test_counts_points_and_calls_and_keeps_values(network: Any) -> None:
    counter = QueryCounter(network, MEBIBYTE)
    assert counter.rows == MEBIBYTE // 2 // network.memory_per_point()
    x = torch.rand(3 * counter.rows + 1, 6)
    torch.testing.assert_close(counter.outputs(x), network.outputs(x))
    assert (counter.points, counter.calls) == (len(x), 4)
    counter.outputs(x[:2])
    assert (counter.points, counter.calls) == (len(x) + 2, 5)


def test_each_call_fits_the_memory(network: Any) -> None:
    largest = 0

    def watched(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonlocal largest
        largest = max(largest, len(x))
        return x

    box = BlackBox(watched, Box.filled((6,), 0, 1))
    counter = QueryCounter(box, MEBIBYTE)
    counter.outputs(torch.rand(1000, 6))
    assert largest == counter.rows < 1000
    assert largest * box.memory_per_point() <= MEBIBYTE // 2


def test_gradients_pass_through_chunks(network: Any) -> None:
    counter = QueryCounter(network, MEBIBYTE)
    assert 1 <= counter.gradient_rows < counter.rows
    x = torch.rand(2 * counter.gradient_rows + 1, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(counter.outputs(x).sum(), x)
    (expected,) = torch.autograd.grad(network.outputs(x).sum(), x)
    torch.testing.assert_close(slope, expected)
    assert counter.calls == 3


def test_a_hard_limit_stops_before_evaluating(network: Any) -> None:
    counter = QueryCounter(network, MEBIBYTE, limit=10)
    counter.outputs(torch.rand(7, 6))
    with pytest.raises(BudgetSpentError, match="limit of 10 queries; 7 are used"):
        counter.outputs(torch.rand(4, 6))
    assert counter.points == 7
    counter.outputs(torch.rand(3, 6))
    assert counter.points == 10


def test_one_row_always_fits_and_batches_have_an_end(network: Any) -> None:
    assert QueryCounter(network, 1).rows == 1
    assert QueryCounter(network, 10**15).rows == LARGEST_BATCH
    with pytest.raises(UsageError, match="must be positive"):
        QueryCounter(network, 0)


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.MaxPool2d(2, padding=1), nn.Flatten()
    )


class Recurrent(nn.Module):
    """The states of an LSTM, flat."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 24, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x.flatten(1, 2))[0].flatten(1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [convolutions, Recurrent])
def test_the_estimate_covers_what_torch_allocates(make: Callable[[], nn.Module], dtype: str) -> None:
    """Peak memory of a batch, by the allocator's own count, stays within the estimate, which is not absurdly large."""
    torch.manual_seed(0)
    network: Any = from_module(make(), (3, 16, 16))
    network = network if dtype == "float32" else network.in_float64()
    x = torch.rand(200, 3, 16, 16, dtype=getattr(torch, dtype))
    network.outputs(x)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record, torch.no_grad():
        network.outputs(x)
    live = peak = 0
    for event in record.profiler.kineto_results.events() if record.profiler else []:  # type: ignore[union-attr]
        if event.name() == "[memory]":
            live += event.nbytes()
            peak = max(peak, live)
    assert 0 < peak <= 200 * network.memory_per_point() <= 40 * peak
