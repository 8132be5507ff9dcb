"""What the search costs beside the network: its processor time over a bare evaluation of the same number of points in the same batches."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from netassay.assessment.assess import problems
from netassay.falsifiers.base import Objective
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import Search
from netassay.models.network import Network
from netassay.models.torch_module import from_module
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.risks import parse_risk
from report import Row

INPUTS = 128
"""Inputs searched side by side, so that batches hold thousands of points."""


def networks() -> dict[str, Network]:
    """Small networks, where overhead shows: dense ones of 5 and 784 inputs, and a convolution."""
    torch.manual_seed(0)

    def dense(sizes: list[int]) -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    conv = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 13 * 13, 10)
    )
    shapes: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "dense 5-50x6-5": (dense([5, *[50] * 6, 5]), (5,)),
        "dense 5-300x6-5": (dense([5, *[300] * 6, 5]), (5,)),
        "dense 784-256x2-10": (dense([784, 256, 256, 10]), (784,)),
        "conv 28x28": (conv, (1, 28, 28)),
    }
    return {name: from_module(module, shape, domain=Box.filled(shape, 0, 1), name=name) for name, (module, shape) in shapes.items()}


def measure(queries: int = 1000) -> list[Row]:
    """One row per network and method."""
    rows = []
    for name, network in networks().items():
        inputs = np.random.default_rng(0).random((INPUTS, *network.input_shape), dtype=np.float32).astype(np.float64)
        spent = queries // 10 if "conv" in name else queries
        batch = problems(network, inputs, None, risk=parse_risk("robustness"), norm="linf", radius=0.1)
        for method in ("random", "tpmads", "mads"):
            search = Search(batch, Objective.SLOPE, budget=Budget(queries=spent), clock=Clock(), seed=0)
            sizes = _record_batches(search)
            begin = time.process_time()
            search.run(METHODS[method].build(), search.both_directions())
            searching = time.process_time() - begin
            bare = _bare_seconds(network, sizes)
            mean = sum(sizes) / len(sizes)
            figures = {
                "points": str(sum(sizes)),
                "mean batch": f"{mean:.0f}",
                "search s": f"{searching:.2f}",
                "bare s": f"{bare:.2f}",
                "search / bare": f"{searching / bare:.2f}",
            }
            rows.append(Row(name, method, figures))
    return rows


def _record_batches(search: Search) -> list[int]:
    sizes: list[int] = []
    evaluate = search.counter.outputs

    def recorded(inputs: torch.Tensor) -> torch.Tensor:
        sizes.append(len(inputs))
        return evaluate(inputs)

    search.counter.outputs = recorded  # type: ignore[method-assign]
    return sizes


def _bare_seconds(network: Network, sizes: list[int]) -> float:
    inputs = torch.rand(max(sizes), *network.input_shape)
    with torch.no_grad():
        network.outputs(inputs)
        begin = time.process_time()
        for size in sizes:
            network.outputs(inputs[:size])
    return time.process_time() - begin


if __name__ == "__main__":
    from report import show

    show(measure())
