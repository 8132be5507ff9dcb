"""Symbolic intervals: the paper's example, ranges of labels against points, known signs, batches."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.specs.regions import Ball
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.symbolic import SymbolicIntervals, label_ranges, symbolic_bounds
from netassay.verifiers.region import Regions
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph


def figure_1() -> Graph:
    """The network of Fig. 1: relu(2 x + y) and relu(x + 2 y), of which the output is the difference."""
    builder = GraphBuilder((2,))
    value = builder.add(nl.Relu(), builder.add(op.Dense(np.array([[2.0, 1.0], [1.0, 2.0]]), np.zeros(2)), 0))
    return builder.build(builder.add(op.Dense(np.array([[-1.0, 1.0]]), np.zeros(1)), value))


FIGURE_1_INPUT = Regions.of([Box(np.array([1.0, 2.0]), np.array([3.0, 4.0]))])


def test_the_example_of_the_paper() -> None:
    """Intervals give [-5, 7], symbolic intervals [-1, 3] (target-label paper, section 2.3)."""
    low, high = BoundedGraph(figure_1()).propagate(FIGURE_1_INPUT)[-1]
    np.testing.assert_allclose((low, high), ([[-5.0]], [[7.0]]), rtol=1e-12)
    low, high = label_ranges(figure_1(), FIGURE_1_INPUT)
    np.testing.assert_allclose((low, high), ([[-1.0]], [[3.0]]), rtol=1e-12)
    assert low[0, 0] <= -1.0
    assert high[0, 0] >= 3.0


def test_a_relaxed_relu_lies_between_its_lines() -> None:
    """Table 1 for x in [-1, 3]: at most 3/4 (x + 1), and at least x, the slope of least area."""
    builder = GraphBuilder((1,))
    symbolic = SymbolicIntervals(BoundedGraph(builder.build(builder.add(nl.Relu(), 0))), Regions.of([Box.filled((1,), -1.0, 3.0)]))
    found = symbolic.run()
    np.testing.assert_allclose(found.high.coefficients[0, 0], [0.75 * 2], rtol=1e-12)  # x = 1 + 2 eps
    np.testing.assert_allclose(found.high.constant[0], [1.5], rtol=1e-12)
    np.testing.assert_allclose(found.low.coefficients[0, 0], [2.0], rtol=1e-12)
    np.testing.assert_allclose(found.low.constant[0], [1.0], rtol=1e-12)


def points_in(box: Box, count: int, seed: int) -> np.ndarray:
    """Dyadic points, corners among them."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 17, (count, *box.shape)) / 16
    steps[: count // 2] = np.round(steps[: count // 2])
    return box.lower + steps * (box.upper - box.lower)


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_ranges_of_labels_hold(kind: str) -> None:
    for seed in range(4):
        graph = random_graph(kind, seed)
        box = Box.filled(graph.input_shape, -0.5, 0.75)
        low, high = label_ranges(graph, Regions.of([box]))
        outputs = Evaluator(BoundedGraph(graph)).outputs(points_in(box, 300, seed))
        rounding = 0.0 if kind in EXACT_KINDS else 1e-12
        assert (low - rounding <= outputs).all(), seed
        assert (outputs <= high + rounding).all(), seed


@pytest.mark.parametrize("kind", ["dense", "residual", "convolution"])
def test_a_known_sign_bounds_the_points_that_have_it(kind: str) -> None:
    for seed in range(6):
        graph = random_graph(kind, seed)
        bounded = BoundedGraph(graph)
        value = min(bounded.relaxed)
        box = Box.filled(graph.input_shape, -0.5, 0.75)
        points = points_in(box, 400, seed)
        inner = Evaluator(BoundedGraph(_upto(graph, value))).outputs(points)
        outputs = Evaluator(bounded).outputs(points)
        shape = graph.shapes[value]
        for unit, active in ((0, True), (0, False), (1, True)):
            low, high = np.full((1, int(np.prod(shape))), -np.inf), np.full((1, int(np.prod(shape))), np.inf)
            (low if active else high)[0, unit] = 0.0
            symbolic = SymbolicIntervals(bounded, Regions.of([box]), {value: (low.reshape(1, *shape), high.reshape(1, *shape))})
            least, most = symbolic.range_of(symbolic.run())
            counts = inner[:, unit] >= 0 if active else inner[:, unit] <= 0
            assert not (symbolic.empty[0] and counts.any())
            if not symbolic.empty[0]:
                assert (least <= outputs[counts]).all()
                assert (outputs[counts] <= most).all()


def _upto(graph: Graph, value: int) -> Graph:
    """The graph whose output is a value, flat."""
    builder = GraphBuilder(graph.input_shape)
    for node in graph.nodes[:value]:
        builder.add(node.operator, *node.inputs)
    return builder.build(builder.add(op.Reshape((int(np.prod(graph.shapes[value])),)), value))


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_batches_agree_with_single_regions(kind: str) -> None:
    graph = random_graph(kind, 2)
    claim = Claim(graph, (Part(np.ones((1, graph.output_size)), np.zeros(1)),), strict=True)
    balls = [Ball(np.full(graph.input_shape, c), 0.25, "l2") for c in (0.0, 0.5, -0.5)]
    together = symbolic_bounds(claim, Regions.of(list(balls)))
    alone = np.concatenate([symbolic_bounds(claim, Regions.of([b])) for b in balls], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)


def test_nothing_is_known_without_bounds() -> None:
    graph = random_graph("dense", 0)
    low, high = label_ranges(graph, Regions.of([Box.unbounded(graph.input_shape)]))
    assert (low == -np.inf).all()
    assert (high == np.inf).all()
