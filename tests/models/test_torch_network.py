"""Graph networks: preprocessing, domains, identity, memory, devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from netassay.errors import DataError, RegionError, UsageError
from netassay.models.torch_module import from_module
from netassay.models.torch_network import GraphNetwork, as_function
from netassay.numerics.box import Box


@pytest.fixture(scope="module")
def network() -> GraphNetwork:
    torch.manual_seed(0)
    made = from_module(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)), (3, 4, 4), graph="required")
    assert isinstance(made, GraphNetwork)
    return made


@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.5, None), (None, 0.25), ([0.1, 0.2, 0.3], [1.0, 2.0, 0.5]), (np.linspace(0, 1, 48), np.linspace(1, 2, 48).reshape(3, 4, 4))],
)
def test_preprocessing_is_inside(network: GraphNetwork, mean: object, std: object) -> None:
    x = np.random.default_rng(0).random((4, 3, 4, 4))

    def full(value: object, default: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        array = np.asarray(default if value is None else value, dtype=np.float64)
        return array.reshape(3, 1, 1) if array.size == 3 else array.reshape(3, 4, 4) if array.size == 48 else array

    normalised = (x - full(mean, 0.0)) / full(std, 1.0)
    double = network.in_float64()
    found = as_function(double.with_preprocessing(mean, std))(x)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, as_function(double)(normalised), rtol=1e-12)
    ((_, evaluate),) = network.with_preprocessing(mean, std).originals().items()  # type: ignore[arg-type]
    np.testing.assert_allclose(evaluate(x), found, rtol=1e-4, atol=1e-5)


def test_preprocessing_changes_identity_and_carries_the_domain(network: GraphNetwork) -> None:
    normalised = network.with_domain(Box.filled((3, 4, 4), -1, 1)).with_preprocessing(0.5, 0.25)
    assert normalised.sha256 != network.sha256
    assert normalised.sha256 != network.with_preprocessing(0.5, 0.2).sha256
    assert (normalised.domain.lower.min(), normalised.domain.upper.max()) == (0.25, 0.75)
    assert network.with_preprocessing() is network
    assert any("normalised inside" in n for n in normalised.notes)


@pytest.mark.parametrize(
    ("mean", "std", "match"), [([1, 2], None, "per channel"), (None, 0, "positive"), (None, [1, -1, 1], "positive"), (np.nan, 1, "NaN")]
)
def test_preprocessing_that_does_not_fit(network: GraphNetwork, mean: object, std: object, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        network.with_preprocessing(mean, std)  # type: ignore[arg-type]


def test_domain_and_batch_shapes_are_checked(network: GraphNetwork) -> None:
    with pytest.raises(RegionError, match=r"shape \(2,\).*takes inputs of shape \(3, 4, 4\)"):
        network.with_domain(Box.filled((2,), 0, 1))
    with pytest.raises(DataError, match=r"expected \(N, 3, 4, 4\)"):
        network.outputs(torch.zeros(2, 4, 3, 4))


def test_identity_is_that_of_graph_and_convention(network: GraphNetwork) -> None:
    same = GraphNetwork(network.graph, name="another name", convention=network.convention)
    assert same.sha256 == network.sha256 == network.in_float64().sha256 == network.with_domain(Box.filled((3, 4, 4), 0, 1)).sha256


def test_float64_is_exact_where_float32_rounds(network: GraphNetwork) -> None:
    x = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    exact = network.in_float64().outputs(x.double())
    single = network.outputs(x)
    difference = (exact - single.double()).abs().max()
    assert 0 < float(difference) < 1e-5


def test_memory_estimate_grows_with_gradients_and_precision(network: GraphNetwork) -> None:
    plain = network.memory_per_point()
    assert plain == 4 * (network.graph.peak_values + network.graph.workspace_values)
    assert network.graph.workspace_values == 3 * 16 + 4 * 4
    assert network.memory_per_point(gradient=True) > plain
    assert network.in_float64().memory_per_point() > 2 * plain
