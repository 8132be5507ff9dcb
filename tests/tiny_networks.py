"""Networks small enough to know the truth about, and problems on them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import torch

from netassay.models.network import Network
from netassay.models.scores import Meaning, OutputConvention, Scale
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness


class TinyNetwork(Network):
    """A torch function as a network, without any of the loading code."""

    differentiable = True

    def __init__(
        self, module: torch.nn.Module, domain: Box, outputs: int, *, meaning: Meaning = Meaning.LOGITS, double: bool = False
    ) -> None:
        super().__init__(
            name="tiny", domain=domain, output_size=outputs, convention=OutputConvention(meaning), sha256="0" * 64, device="cpu"
        )
        self.module, self.double, self.meaning = module, double, meaning
        self.batches: list[int] = []

    @property
    def dtype(self) -> str:
        return "float64" if self.double else "float32"

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(inputs))
        return self.module(inputs)

    def in_float64(self) -> TinyNetwork:
        return (
            self
            if self.double
            else TinyNetwork(copy.deepcopy(self.module).double(), self.domain, self.output_size, meaning=self.meaning, double=True)
        )

    def with_domain(self, domain: Box) -> TinyNetwork:
        return TinyNetwork(self.module, domain, self.output_size, meaning=self.meaning, double=self.double)

    def with_preprocessing(self, mean: Any, std: Any) -> Network:
        raise AssertionError("not needed here")


class FunctionModule(torch.nn.Module):
    """A plain function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.function(inputs)


def linear(weight: np.ndarray, bias: np.ndarray, domain: Box) -> TinyNetwork:
    """Logits weight @ x + bias, with exactly representable numbers."""
    module = torch.nn.Linear(weight.shape[1], weight.shape[0])
    module.weight.data = torch.tensor(weight, dtype=torch.float32)
    module.bias.data = torch.tensor(bias, dtype=torch.float32)
    return TinyNetwork(module, domain, weight.shape[0])


def relu_network(seed: int, sizes: list[int], domain: Box, **options: Any) -> TinyNetwork:
    """A random ReLU network with small dyadic weights, so that float64 evaluates it without rounding."""
    rng = np.random.default_rng(seed)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layer = torch.nn.Linear(inputs, outputs)
        layer.weight.data = torch.tensor(rng.integers(-8, 9, (outputs, inputs)) / 8, dtype=torch.float32)
        layer.bias.data = torch.tensor(rng.integers(-8, 9, outputs) / 8, dtype=torch.float32)
        layers += [layer, torch.nn.ReLU()]
    return TinyNetwork(torch.nn.Sequential(*layers[:-1]), domain, sizes[-1], **options)


def robustness_problems(
    network: TinyNetwork, inputs: np.ndarray, radius: float, norm: str, *, on: Scale = Scale.LOGITS, **region: Any
) -> list[Problem]:
    """No label overtakes: one problem per input (N, *shape)."""
    found = []
    for i, x in enumerate(np.asarray(inputs, dtype=np.float64)):
        with torch.no_grad():
            label = int(network.in_float64().module(torch.tensor(x[None])).argmax())
        found.append(Problem(network, Ball(x, radius, norm, domain=network.domain, **region), Robustness(label, on=on), i))
    return found


def fewest_changes(problem: Problem, most: int) -> float:
    """Fewest changed features of a violation at a corner, of all sets of up to ``most`` features; inf where there is none."""
    network, center = problem.network, problem.center
    assert isinstance(network, TinyNetwork)
    for size in range(1, most + 1):
        rows = []
        for chosen in combinations(range(center.size), size):
            for ends in product((0.0, 1.0), repeat=size):
                rows.append(center.copy())
                rows[-1][list(chosen)] = ends
        values = problem.property.values(network.module(torch.tensor(np.stack(rows), dtype=torch.float32)).detach())
        if bool((values <= 0).any()):
            return size
    return np.inf
