"""Programs of networks: at a fixed input they allow the network's own values and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.regions import Ball
from netassay.verifiers.milp import encoding
from netassay.verifiers.milp.encoding import encode
from netassay.verifiers.milp.program import Program
from netassay.verifiers.milp.solver import Outcome, solve
from netassay.verifiers.milp.tightening import Ranges
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from random_graphs import dyadic, random_graph


def leaky(seed: int, operator: nl.Elementwise) -> Graph:
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((3,))
    value = builder.add(operator, builder.add(op.Dense(dyadic(rng, 4, 3), dyadic(rng, 4)), 0))
    doubled = builder.add(op.Add(), value, value)
    return builder.build(builder.add(operator, builder.add(op.Dense(dyadic(rng, 3, 4), dyadic(rng, 3)), doubled)))


def maxima(seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((3,))
    one, two = (builder.add(nl.Relu(), builder.add(op.Dense(dyadic(rng, 4, 3), dyadic(rng, 4)), 0)) for _ in range(2))
    largest = builder.add(nl.Maximum(), one, two)
    top = builder.add(nl.ReduceMax((0,), keep=True), largest)
    return builder.build(builder.add(op.Concat(0), largest, top))


GRAPHS = {
    "dense": lambda s: random_graph("dense", s),
    "convolution": lambda s: random_graph("convolution", s),
    "residual": lambda s: random_graph("residual", s),
    "pooling": lambda s: random_graph("pooling", s),
    "leaky": lambda s: leaky(s, nl.LeakyRelu(0.25)),
    "steep": lambda s: leaky(s, nl.LeakyRelu(-0.5)),
    "absolute": lambda s: leaky(s, nl.Abs()),
    "maxima": maxima,
}


def program_at(graph: Graph, seed: int) -> tuple[Program, np.ndarray, np.ndarray]:
    """The program over a box with its inputs fixed at a point of it, the variables of its outputs, and the network's values there."""
    rng = np.random.default_rng([seed, 3])
    shape = graph.input_shape
    center = rng.integers(-4, 5, shape) / 4
    region = Regions.of([Box(center - 0.75, center + 0.75)])
    bounded = BoundedGraph(graph)
    ranges = Ranges.of(bounded, region)
    encoded = encode(bounded, region, ranges.known, bounded.output, np.ones(graph.output_size, dtype=bool))
    point = center + rng.integers(-6, 7, shape) / 8
    lower, upper = encoded.program.lower.copy(), encoded.program.upper.copy()
    lower[: encoded.inputs] = upper[: encoded.inputs] = point.reshape(-1)
    with torch.no_grad():
        outputs = GraphModule(graph, torch.float64)(torch.from_numpy(point[None])).numpy()[0]
    return encoded.program.within(lower, upper), encoded.outputs, outputs


def allows(program: Program, column: int, low: float, high: float) -> bool:
    """Whether the program has a point at which a variable lies in this range."""
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[column], upper[column] = max(low, lower[column]), min(high, upper[column])
    if lower[column] > upper[column]:
        return False
    answer = solve(program.within(lower, upper), column, seconds=60, cutoff=np.inf, stop=lambda: False)
    assert answer.outcome is not Outcome.STOPPED or answer.point is not None or answer.bound > 0
    return answer.outcome is not Outcome.INFEASIBLE


def faults(kind: str, seeds: range = range(3)) -> int:
    """How many outputs of how many networks the program gets wrong."""
    found = 0
    for seed in seeds:
        program, columns, values = program_at(GRAPHS[kind](seed), seed)
        for column, value in zip(columns, values, strict=True):
            if column == encoding.ZERO:
                found += value != 0
                continue
            found += not allows(program, int(column), value - 1e-6, value + 1e-6)
            found += allows(program, int(column), -np.inf, value - 1e-3) + allows(program, int(column), value + 1e-3, np.inf)
    return found


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_fixed_input_has_the_networks_outputs_alone(kind: str) -> None:
    assert faults(kind) == 0


UNDECIDED = encoding._Encoder._undecided


def _too_small(self, z, y, slope, low, high):  # type: ignore[no-untyped-def]
    UNDECIDED(self, z, y, slope, low / 2, high / 2)


def _flipped(self, z, y, slope, low, high):  # type: ignore[no-untyped-def]
    one, zero, far = np.ones(len(z)), np.zeros(len(z)), np.full(len(z), np.inf)
    a = self.builder.binaries(len(z))
    self.builder.constraints([(y, one), (z, -one)], zero, far)
    self.builder.constraints([(y, one), (z, -one), (a, -low)], -far, -low)
    self.builder.constraints([(y, one), (a, high)], -far, high)


def _without_below(self, z, y, slope, low, high):  # type: ignore[no-untyped-def]
    one, zero, far = np.ones(len(z)), np.zeros(len(z)), np.full(len(z), np.inf)
    a = self.builder.binaries(len(z))
    self.builder.constraints([(y, one), (z, -one), (a, -low)], -far, -low)
    self.builder.constraints([(y, one), (a, -high)], -far, zero)


@pytest.mark.parametrize("bug", [_too_small, _flipped, _without_below])
def test_planted_bugs_are_caught(bug: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding._Encoder, "_undecided", bug)
    assert faults("dense") > 0


def test_stable_neurons_have_no_binaries() -> None:
    builder = GraphBuilder((1,))
    value = builder.add(op.Dense(np.array([[1.0], [1.0], [1.0]]), np.array([2.0, -2.0, 0.0])), 0)
    graph = builder.build(builder.add(op.Dense(np.ones((1, 3)), np.zeros(1)), builder.add(nl.Relu(), value)))
    bounded, region = BoundedGraph(graph), Regions.of([Box([-1.0], [1.0])])
    ranges = Ranges.of(bounded, region)
    encoded = encode(bounded, region, ranges.known, bounded.output, np.ones(1, dtype=bool))
    assert int(encoded.program.binary.sum()) == 1
    assert encoded.program.columns == 1 + 2 + 2 + 1  # input; active and undecided z; undecided y and a; output


def test_what_has_no_exact_form_is_named() -> None:
    graph = random_graph("sigmoid", 0)
    bounded, region = BoundedGraph(graph), Regions.of([Box.filled((3,), -1, 1)])
    with pytest.raises(CapabilityError, match="Sigmoid"):
        encode(bounded, region, Ranges.of(bounded, region).known, bounded.output, np.ones(3, dtype=bool))
    bounded = BoundedGraph(random_graph("dense", 0))
    ball = Regions.of([Ball(np.zeros(3), 1.0, "l2")])
    with pytest.raises(CapabilityError, match="L1 balls"):
        encode(bounded, ball, Ranges.of(bounded, ball).known, bounded.output, np.ones(3, dtype=bool))
    unbounded = Regions.of([Box.unbounded((3,))])
    with pytest.raises(CapabilityError, match="bounded region"):
        encode(bounded, unbounded, [], bounded.output, np.ones(3, dtype=bool))
