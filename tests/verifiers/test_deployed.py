"""What is proved of the float32 network holds for every float32 evaluation of it, in several orders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netassay.assessment.verify import verify
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Meaning, OutputConvention
from netassay.models.torch_graph import GraphModule
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.results.answer import Verdict
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.verifiers import deployed, perturbed
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.bounding import Bounding, interval_bounds, linear_bounds
from netassay.verifiers.claim import claim_of
from netassay.verifiers.deployed import Deployed, Drifting
from netassay.verifiers.region import Regions
from random_graphs import random_graph

Array = NDArray[np.float64]
KINDS = ("dense", "convolution", "residual", "pooling", "sigmoid", "gelu", "softmax", "shapes", "products")


def problem(graph: Graph, low: Array, high: Array, offset: float = 0.0) -> Problem:
    """s = y_0 - y_1 - offset; both orders of a disjunct of two rows are not asked."""
    network = GraphNetwork(graph, name="net", convention=OutputConvention(Meaning.VALUES))
    row = np.zeros((1, graph.output_size))
    row[0, :2] = 1.0, -1.0
    return Problem(network, Box(low, high), OutputHalfspaces([row], [[offset]]))


def computed(asked: Problem, points: NDArray[np.float32]) -> Array:
    """s of float32 outputs, evaluated one by one and in a batch."""
    graph = asked.network.graph
    assert graph is not None
    module = GraphModule(graph, torch.float32)
    with torch.no_grad():
        rows = torch.tensor(points)
        outputs = torch.cat([module(rows), *(module(row[None]) for row in rows)])
    return np.asarray(asked.property.values(outputs.double().numpy()))


def lower_of(asked: Problem, verifier: Deployed) -> float:
    region = Regions.of([asked.region])
    return max(f.lower for f in verifier.verify(Task(claim_of(asked), region, Limits(Clock(0.2)))))


def box(rng: np.random.Generator, shape: tuple[int, ...], radius: float) -> tuple[Array, Array]:
    center = rng.standard_normal(shape).astype(np.float32).astype(np.float64)
    return (center - radius).astype(np.float32).astype(np.float64), (center + radius).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("small", [0.0, 1.0])
def test_no_evaluation_is_below_the_bound(kind: str, small: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With errors as inputs (nothing is small), and with the drift taken off."""
    monkeypatch.setattr(deployed, "SMALL", small)
    for seed in range(3):
        rng = np.random.default_rng([seed, 5])
        graph = random_graph(kind, seed)
        low, high = box(rng, graph.input_shape, 0.0 if seed == 0 else 1e-4)
        asked = problem(graph, low, high)
        points = rng.uniform(low, high, (40, *low.shape)).astype(np.float32)
        points = np.clip(points, low.astype(np.float32), high.astype(np.float32))
        least = computed(asked, points).min()
        for splits, bounds in ((False, interval_bounds), (False, linear_bounds), (True, linear_bounds)):
            assert lower_of(asked, Deployed(Bounding(bounds), graph, splits=splits)) <= least


def missed(errors: bool) -> int:
    """Proofs at single inputs of claims that real arithmetic barely fulfils and some float32 evaluation does not."""
    found = 0
    for seed in range(30):
        rng = np.random.default_rng([seed, 6])
        graph = random_graph("dense", seed)
        x = rng.standard_normal((1, *graph.input_shape)).astype(np.float32)
        exact = GraphModule(graph, torch.float64)(torch.tensor(x).double()).detach().numpy()
        asked = problem(graph, x[0].astype(np.float64), x[0].astype(np.float64), float(exact[0, 0] - exact[0, 1]) - 1e-9)
        if computed(asked, x).min() <= 0:
            verifier = Bounding(linear_bounds)
            chosen = Deployed(verifier, graph, splits=False) if errors else verifier
            findings = list(chosen.verify(Task(claim_of(asked), Regions.of([asked.region]))))
            found += any(f.proved for f in findings)
    return found


@pytest.mark.parametrize("small", [0.0, 1.0])
def test_rounding_breaks_what_only_real_arithmetic_keeps(small: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "SMALL", small)
    assert missed(errors=False) > 0, "the claims are true, and proved, in real arithmetic"
    assert missed(errors=True) == 0


def test_forgotten_errors_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "SMALL", 0.0)
    monkeypatch.setattr(perturbed, "local_roundings", lambda graph, *_args, **_named: [None] * (len(graph.nodes) + 1))
    assert missed(errors=True) > 0


def deep(seed: int, layers: int = 8, width: int = 24) -> Graph:
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((width,))
    value = 0
    for _ in range(layers):
        weight = rng.standard_normal((width, width)) / np.sqrt(width / 2)
        value = builder.add(nl.Relu(), builder.add(op.Dense(weight.astype(np.float32), np.zeros(width, dtype=np.float32)), value))
    return builder.build(builder.add(op.Dense(rng.standard_normal((3, width)).astype(np.float32), np.zeros(3)), value))


def test_errors_followed_one_by_one_are_bounded_more_tightly() -> None:
    graph, rng = deep(0), np.random.default_rng(0)
    asked = problem(graph, *box(rng, graph.input_shape, 0.02))
    claim, region = claim_of(asked), Regions.of([asked.region])
    made = perturbed.perturbed(claim, graph, region)
    assert made is not None
    lowered, most = Drifting(claim, graph).lowered(region)
    assert lowered is not None
    assert most > 0
    real, together, apart = (float(linear_bounds(c, r).min()) for c, r in ((claim, region), (lowered, region), made))
    assert together < apart < real
    assert real - apart < (real - together) / 2


def test_a_verdict_says_which_arithmetic() -> None:
    graph = random_graph("dense", 2)
    rng = np.random.default_rng(2)
    low, high = box(rng, graph.input_shape, 1e-3)
    least = computed(problem(graph, low, high), ((low + high) / 2)[None].astype(np.float32)).min()
    for offset, verdict in ((least - 0.5, Verdict.HOLDS), (least + 0.5, Verdict.VIOLATED)):
        asked = problem(graph, low, high, float(offset))
        for method in ("auto", "crown", "milp"):
            (answer,) = verify([asked], float32=True, method=method, budget=Budget(seconds=10))
            assert answer.verdict is verdict
            assert answer.provenance.options["float32"] is True
            assert any("float32" in note for note in answer.notes)
            if verdict is Verdict.HOLDS:
                assert answer.bracket.lower is not None
                assert answer.bracket.lower.arithmetic == "float32"
    (answer,) = verify([problem(graph, low, high, float(least - 0.5))], budget=Budget(seconds=10))
    assert answer.bracket.lower is not None
    assert answer.bracket.lower.arithmetic == "real"
    assert "float32" not in answer.provenance.options


@pytest.mark.parametrize("order", ["bounds", "none"])
def test_unbounded_rounding_is_unknown(order: str) -> None:
    builder = GraphBuilder((1,))
    huge = builder.add(op.Dense(np.full((1, 1), 1e30), np.zeros(1)), builder.add(op.Dense(np.full((1, 1), 1e30), np.zeros(1)), 0))
    graph = builder.build(builder.add(op.Dense(np.array([[0.0], [0.0]]), np.array([2.0, 1.0])), huge))
    asked = problem(graph, np.zeros(1), np.ones(1))
    (answer,) = verify([asked], order=order, budget=Budget(seconds=5))
    assert answer.verdict is Verdict.HOLDS
    (answer,) = verify([asked], order=order, float32=True, attack=None, budget=Budget(seconds=0.5))
    assert answer.verdict is Verdict.UNKNOWN
