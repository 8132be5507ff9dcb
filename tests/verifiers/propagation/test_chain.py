"""Bounds of chains against exact minima of small networks and against rational arithmetic, with zero tolerance."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from exact_polygons import affine_pieces, at, least, tiny
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph, Node
from netassay.verifiers.propagation import chain as chain_module
from netassay.verifiers.propagation.chain import Chain, ChainBounds, chain_of
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Regions
from random_graphs import random_graph


def chain(graph: Graph) -> Chain:
    found = chain_of(BoundedGraph(graph))
    assert found is not None
    return found


def drawn_boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    middle, radius = rng.integers(-8, 9, (count, 2)) / 8, rng.integers(0, 9, (count, 2)) / 8
    return middle - radius, middle + radius


def bounds_of(graph: Graph, lower: np.ndarray, upper: np.ndarray, rows: np.ndarray, constants: np.ndarray, known=None) -> ChainBounds:  # type: ignore[no-untyped-def]
    made = chain(graph)
    count = len(lower)
    return ChainBounds(made, lower, upper, np.tile(rows, (count, 1, 1)), np.tile(constants, (count, 1)), known)


def value(form: np.ndarray, point: tuple[Fraction, Fraction]) -> Fraction:
    return at([Fraction(float(c)) for c in form], point)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_lies_below_the_bounds(seed: int) -> None:
    graph, rng = tiny(seed), np.random.default_rng(seed)
    rows, constants = rng.integers(-2, 3, (3, 2)).astype(float), rng.integers(-2, 3, 3) / 2
    lower, upper = drawn_boxes(rng, 4)
    bounds = bounds_of(graph, lower, upper, rows, constants)
    for b in range(4):
        pieces = affine_pieces(graph, lower[b], upper[b])
        for r in range(3):
            assert Fraction(float(bounds.lower[b, r])) <= least(pieces, len(graph.nodes), rows[r], constants[r])
        for polygon, values in pieces:
            for p in polygon:
                outputs = [at(form, p) for form in values[-1]]
                for r in range(3):
                    true = sum((Fraction(float(c)) * y for c, y in zip(rows[r], outputs, strict=True)), Fraction(float(constants[r])))
                    assert value(bounds.forms[b, r], p) <= true
                for (low, high), position in zip(bounds.ranges, (1, 3), strict=True):
                    for unit, form in enumerate(values[position]):
                        assert Fraction(float(low[b, unit])) <= at(form, p) <= Fraction(float(high[b, unit]))


@pytest.mark.parametrize("seed", range(6))
def test_of_a_split_neuron_only_the_kept_sign_is_bounded(seed: int) -> None:
    graph, rng = tiny(seed), np.random.default_rng([seed, 1])
    lower, upper = np.full((1, 2), -1.0), np.full((1, 2), 1.0)
    rows, constants = rng.integers(-2, 3, (2, 2)).astype(float), np.zeros(2)
    first = bounds_of(graph, lower, upper, rows, constants)
    pieces = affine_pieces(graph, lower[0], upper[0])
    tightened = 0
    for layer, position in enumerate((1, 3)):
        low, high = first.ranges[layer]
        for unit in np.flatnonzero((low[0] < 0) & (high[0] > 0)):
            for positive in (False, True):
                known = [(a.copy(), b.copy()) for a, b in first.ranges]
                known[layer][0 if positive else 1][0, unit] = 0.0
                bounds = bounds_of(graph, lower, upper, rows, constants, tuple(known))
                tightened += int((bounds.lower > first.lower).sum())
                conditions = bounds.conditions(4)[0]
                for polygon, values in pieces:
                    for p in polygon:
                        z = at(values[position][unit], p)
                        if (z >= 0 if positive else z <= 0) and polygon:
                            outputs = [at(form, p) for form in values[-1]]
                            for r in range(2):
                                true = sum((Fraction(float(c)) * y for c, y in zip(rows[r], outputs, strict=True)), Fraction(0))
                                assert Fraction(float(bounds.lower[0, r])) <= true
                                assert value(bounds.forms[0, r], p) <= true
                            assert all(value(form, p) <= 0 for form in conditions)
    assert tightened > 0


def at_a_point(seed: int) -> tuple[Fraction, Fraction]:
    """The bound of a deep sum at a single point, and the exact value."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((40, 60)), rng.standard_normal((30, 40)), rng.standard_normal((1, 30))]
    biases = [rng.standard_normal(len(w)) for w in weights]
    builder, node = GraphBuilder((60,)), 0
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        node = builder.add(op.Dense(w, b), node)
        node = builder.add(nl.Relu(), node) if i < 2 else node
    x = rng.standard_normal((1, 60))
    exact = [Fraction(float(v)) for v in x[0]]
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        exact = [
            sum((Fraction(float(c)) * v for c, v in zip(row, exact, strict=True)), Fraction(float(d))) for row, d in zip(w, b, strict=True)
        ]
        exact = [max(v, Fraction(0)) for v in exact] if i < 2 else exact
    bounds = bounds_of(builder.build(node), x, x, np.ones((1, 1)), np.zeros(1))
    return Fraction(float(bounds.lower[0, 0])), exact[0]


def test_rounding_is_on_the_safe_side() -> None:
    for seed in range(8):
        bound, exact = at_a_point(seed)
        assert bound <= exact
        assert float(exact - bound) < 1e-6


def test_dropped_rounding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_module, "gamma", lambda _terms: 0.0)
    monkeypatch.setattr(chain_module, "UNDERFLOW", 0.0)
    assert any(bound > exact for bound, exact in map(at_a_point, range(8)))


def test_as_tight_as_the_general_bounds() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        builder, node = GraphBuilder((2,)), 0
        for n, m in ((2, 8), (8, 8), (8, 8)):
            node = builder.add(nl.Relu(), builder.add(op.Dense(rng.standard_normal((m, n)), rng.standard_normal(m)), node))
        graph = builder.build(builder.add(op.Dense(rng.standard_normal((3, 8)), np.zeros(3)), node))
        lower, upper = drawn_boxes(rng, 3)
        rows = rng.standard_normal((2, 3))
        bounds = bounds_of(graph, lower, upper, rows, np.zeros(2))
        general = LinearBounds(BoundedGraph(graph), Regions(lower, upper))
        expected = general.minimum(len(graph.nodes), np.tile(rows, (3, 1)), np.repeat(np.arange(3), 2)).lower.reshape(3, 2)
        assert np.allclose(bounds.lower, expected, rtol=1e-6, atol=1e-6)


def test_constants_on_either_side_of_a_layer_become_part_of_it() -> None:
    rng = np.random.default_rng(3)
    scale, shift = rng.standard_normal(2), rng.standard_normal(2)
    w, b, after, factor = rng.standard_normal((4, 2)), rng.standard_normal(4), rng.standard_normal(4), rng.standard_normal(4)
    builder = GraphBuilder((1, 2))
    node = builder.add(op.MulConstant(scale), builder.add(op.AddConstant(shift), 0))
    node = builder.add(op.Dense(w, b), builder.add(op.Reshape((2,)), node))
    node = builder.add(nl.Relu(), builder.add(op.MulConstant(factor), builder.add(op.AddConstant(after), node)))
    graph = builder.build(builder.add(op.Dense(np.ones((1, 4)), np.zeros(1)), node))
    x = rng.standard_normal((5, 2))
    made = chain(graph)
    first, last = made.layers
    expected = np.maximum((((x + shift) * scale) @ w.T + b + after) * factor, 0).sum(axis=1)
    assert np.allclose(np.maximum(x @ first.weight.T + first.bias, 0) @ last.weight.T + last.bias, expected[:, None])
    lower = bounds_of(graph, x, x, np.ones((1, 1)), np.zeros(1)).lower[:, 0]
    assert np.allclose(lower, expected)
    assert (lower <= expected).all()


@pytest.mark.parametrize("kind", ["residual", "convolution", "leaky", "sigmoid"])
def test_what_is_no_chain(kind: str) -> None:
    assert chain_of(BoundedGraph(random_graph(kind, 0))) is None


def test_two_dense_layers_in_a_row_are_no_chain() -> None:
    first, relu = Node(op.Dense(np.eye(2), np.zeros(2)), (0,)), Node(nl.Relu(), (2,))
    graph = Graph((2,), (first, Node(op.Dense(np.eye(2), np.zeros(2)), (1,)), relu, Node(op.Dense(np.eye(2), np.zeros(2)), (3,))))
    assert chain_of(BoundedGraph(graph)) is None


def test_magnitudes_without_a_rounding_bound_give_no_bound() -> None:
    graph = tiny(0)
    huge = np.full((1, 2), 1e120)
    assert (bounds_of(graph, -huge, huge, np.eye(2), np.zeros(2)).lower == -np.inf).all()


def test_a_layer_that_is_zero_everywhere_leaves_the_constant() -> None:
    builder = GraphBuilder((2,))
    hidden = builder.add(nl.Relu(), builder.add(op.Dense(np.eye(2), np.full(2, -5.0)), 0))
    deeper = builder.add(nl.Relu(), builder.add(op.Dense(np.ones((3, 2)), np.arange(3.0) - 1), hidden))
    graph = builder.build(builder.add(op.Dense(np.ones((1, 3)), np.full(1, 0.5)), deeper))
    bounds = bounds_of(graph, np.full((2, 2), -1.0), np.full((2, 2), 1.0), np.ones((1, 1)), np.zeros(1))
    assert (bounds.lower <= 1.5).all()
    assert np.allclose(bounds.lower, 1.5)
    assert all((loss < 1e-12).all() for loss in bounds.losses())
    assert (bounds.effects(bounds.losses()) == 0).all()
