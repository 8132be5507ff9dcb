"""Values whose ranges by interval arithmetic are exact: their ends are taken at points of the box, and nothing else is called exact."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.operators import Operator
from netassay.numerics.box import Box
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Regions

FUNCTIONS: list[Operator] = [nl.Relu(), nl.LeakyRelu(0.1), nl.Abs(), nl.Clip(-0.4, 0.6), nl.Sigmoid(), nl.Tanh()]

TURNS = 4
"""The last value before a function of a mixture."""


def dense(rng: np.random.Generator, rows: int, columns: int) -> op.Dense:
    return op.Dense(rng.normal(size=(rows, columns)), rng.normal(size=rows) / 4)


def chain(shape: tuple[int, ...], *operators: Operator) -> Graph:
    builder, value = GraphBuilder(shape), 0
    for operator in operators:
        value = builder.add(operator, value)
    return builder.build(value)


def before(rng: np.random.Generator, function: Operator) -> Graph:
    """Numbers are mapped one by one, mixed, and mapped again."""
    scale = op.MulConstant(rng.normal(size=4))
    return chain((4,), scale, function, op.AddConstant(rng.normal(size=4)), dense(rng, 5, 4), function, op.MulConstant(rng.normal(size=5)))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: type(f).__name__)
def test_the_ends_of_exact_ranges_are_taken(function: Operator) -> None:
    """At a corner of the box, or where features are 0, at which the absolute value turns; that of a mixture may turn elsewhere."""
    rng = np.random.default_rng(7)
    for _ in range(6):
        graph = before(rng, function)
        bounded = BoundedGraph(graph)
        low, high = np.sort(rng.normal(size=(2, 4)), axis=0)
        assert bounded.exact == frozenset(range(len(graph.nodes) + 1))
        axes = [(a, (a + b) / 2, b, min(max(a, 0.0), b)) for a, b in zip(low, high, strict=True)]
        points = np.array(list(product(*axes)))
        for value, (least, most) in enumerate(bounded.propagate(Regions.of([Box(low, high)]))):
            found = Evaluator(BoundedGraph(Graph(graph.input_shape, graph.nodes[:value]))).outputs(points) if value else points
            assert (least <= found).all()
            assert (found <= most).all()
            if value <= TURNS or not isinstance(function, nl.Abs):
                np.testing.assert_allclose((least[0], most[0]), (found.min(axis=0), found.max(axis=0)), rtol=0, atol=1e-12)


MIXED: dict[str, Callable[[np.random.Generator], Graph]] = {
    "a second mixture": lambda rng: chain((3,), dense(rng, 3, 3), nl.Relu(), dense(rng, 2, 3)),
    "a number read twice": lambda _: chain((1,), op.MulConstant(np.array([1.0, -1.0])), op.Dense(np.ones((1, 2)), np.zeros(1))),
    "greatest numbers": lambda rng: chain((3,), dense(rng, 4, 3), nl.ReduceMax((0,), True)),
    "a function that turns": lambda rng: chain((3,), dense(rng, 2, 3), nl.HardSwish()),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_may_be_wider_is_not_called_exact(name: str) -> None:
    bounded = BoundedGraph(MIXED[name](np.random.default_rng(1)))
    assert bounded.output not in bounded.exact


def test_a_broadcast_number_is_mixed_with_itself_by_back_substitution() -> None:
    """max(x - x, 0) is 0."""
    graph = chain((1,), op.MulConstant(np.array([1.0, -1.0])), op.Dense(np.ones((1, 2)), np.zeros(1)), nl.Relu())
    bounds = LinearBounds(BoundedGraph(graph), Regions.of([Box.filled((1,), -1.0, 2.0)])).run()
    low, high = bounds.range(2)
    np.testing.assert_allclose((low, high), 0.0, atol=1e-12)


def test_exact_ranges_are_not_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of what max-pooling reads after ReLU are known by intervals."""
    asked: list[int] = []
    tighten = LinearBounds._tighten

    def counted(self: LinearBounds, value: int) -> None:
        asked.append(value)
        tighten(self, value)

    monkeypatch.setattr(LinearBounds, "_tighten", counted)
    rng = np.random.default_rng(3)
    pool = nl.MaxPool((2, 2), (2, 2), (0, 0), (0, 0), (1, 1))
    convolution = op.Convolution(rng.normal(size=(2, 1, 3, 3)), np.zeros(2), (1, 1), (1, 1), (1, 1), (1, 1), 1)
    graph = chain((1, 4, 4), convolution, nl.Relu(), pool, op.Reshape((8,)), dense(rng, 3, 8), nl.Relu())
    LinearBounds(BoundedGraph(graph), Regions.of([Box.filled((1, 4, 4), -1.0, 1.0)])).run()
    assert asked == [5]
