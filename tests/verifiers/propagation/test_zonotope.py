"""Zonotopes: parallelograms against high precision, a hand example, correlations that boxes lose, memory, balls."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import mpmath
import numpy as np
import pytest

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.nonlinear import Elementwise
from netassay.numerics.box import Box
from netassay.specs.regions import Ball
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.zonotope import Zonotopes, parallelogram, slab, zonotope_bounds
from netassay.verifiers.region import Regions
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph

ELEMENTWISE: dict[str, tuple[Elementwise, Callable[[mpmath.mpf], mpmath.mpf]]] = {
    "relu": (nl.Relu(), lambda x: max(x, mpmath.mpf(0))),
    "leaky": (nl.LeakyRelu(0.25), lambda x: x if x >= 0 else x / 4),
    "abs": (nl.Abs(), abs),
    "clip": (nl.Clip(-1.0, 0.5), lambda x: min(max(x, mpmath.mpf(-1)), mpmath.mpf(0.5))),
    "sigmoid": (nl.Sigmoid(), lambda x: 1 / (1 + mpmath.exp(-x))),
    "tanh": (nl.Tanh(), mpmath.tanh),
    "exp": (nl.Exp(), mpmath.exp),
    "softplus": (nl.Softplus(), lambda x: mpmath.log1p(mpmath.exp(x))),
    "sin": (nl.Sin(), mpmath.sin),
}


def intervals(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Wide, narrow, degenerate, and touching zero."""
    middle, radius = rng.normal(0, 2, count), np.abs(rng.normal(0, 1, count)) * 10.0 ** rng.integers(-8, 1, count)
    low, high = middle - radius, middle + radius
    low[::7], high[1::7] = 0.0, 0.0
    low, high = np.minimum(low, high), np.maximum(low, high)
    high[2::7] = low[2::7]
    return low[None], high[None]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_parallelogram_holds_the_function(name: str) -> None:
    operator, exact = ELEMENTWISE[name]
    rng = np.random.default_rng(5)
    lower, upper = intervals(rng, 60)
    slope, (low, high) = parallelogram(operator, lower, upper)
    with mpmath.workdps(60):
        for i in range(lower.shape[1]):
            a, b = float(lower[0, i]), float(upper[0, i])
            corners = [c for c in (0.0, -1.0, 0.5) if a <= c <= b]
            for x in (a, b, *corners, *np.clip(rng.uniform(a, b, 12), a, b)):
                rest = exact(mpmath.mpf(float(x))) - mpmath.mpf(float(slope[0, i])) * mpmath.mpf(float(x))
                assert low[0, i] <= rest <= high[0, i], (name, a, b, x)


def test_the_parallelogram_of_relu_is_that_of_deepz() -> None:
    slope, (low, high) = parallelogram(nl.Relu(), np.array([[-1.0, 2.0, -3.0]]), np.array([[3.0, 4.0, -1.0]]))
    np.testing.assert_allclose(slope, [[0.75, 1.0, 0.0]], rtol=1e-12)
    np.testing.assert_allclose(high - low, [[0.75, 0.0, 0.0]], rtol=1e-12)


@pytest.mark.parametrize("ends", [(-5.0, 5.0), (-1.0, 3.0), (0.5, 2.0)])
@pytest.mark.parametrize("operator", [nl.Sigmoid(), nl.Tanh()])
def test_s_shaped_parallelograms_are_no_wider_than_those_of_deepz(operator: Elementwise, ends: tuple[float, float]) -> None:
    """DeepZ takes the smaller derivative of both ends as slope."""
    f = np.tanh if isinstance(operator, nl.Tanh) else lambda x: 1 / (1 + np.exp(-x))
    derivative = (lambda x: 1 - np.tanh(x) ** 2) if isinstance(operator, nl.Tanh) else (lambda x: f(x) * (1 - f(x)))
    slope = min(derivative(np.array(ends)))
    width = (f(ends[1]) - slope * ends[1]) - (f(ends[0]) - slope * ends[0])
    _, (low, high) = parallelogram(operator, np.array([[ends[0]]]), np.array([[ends[1]]]))
    assert high[0, 0] - low[0, 0] <= width * (1 + 1e-9)


def test_products_leave_the_product_of_the_radii() -> None:
    rng = np.random.default_rng(2)
    low = rng.integers(-8, 8, (2, 1, 5)) / 4
    high = low + rng.integers(0, 8, (2, 1, 5)) / 4
    index, slopes, below, above = slab(nl.Mul(), [(low[0], high[0]), (low[1], high[1])])
    radii = (high - low) / 2
    np.testing.assert_allclose(above - below, 2 * radii[0] * radii[1], atol=1e-12)
    for o, (i, j) in enumerate(index):
        assert (i, j - 5) == (o, o)
        for x, y in product((low[0, 0, o], high[0, 0, o]), (low[1, 0, o], high[1, 0, o])):
            rest = Fraction(x) * Fraction(y) - Fraction(slopes[0, o, 0]) * Fraction(x) - Fraction(slopes[0, o, 1]) * Fraction(y)
            assert Fraction(below[0, o]) <= rest <= Fraction(above[0, o])


def hand_made() -> Graph:
    """(relu(a + b) + relu(a - b), relu(a + b) - relu(a - b)) of inputs a, b."""
    builder = GraphBuilder((2,))
    mixed = np.array([[1.0, 1.0], [1.0, -1.0]])
    value = builder.add(nl.Relu(), builder.add(op.Dense(mixed, np.zeros(2)), 0))
    return builder.build(builder.add(op.Dense(mixed, np.zeros(2)), value))


def test_an_example_by_hand() -> None:
    """On [-1, 1]^2 both ReLUs become x / 2 + 1/2 +- 1/2, so the outputs are a + 1 and b, +- 1 each."""
    regions = Regions.of([Box.filled((2,), -1.0, 1.0)])
    zonotopes = Zonotopes(BoundedGraph(hand_made()), regions)
    low, high = zonotopes.range_of(zonotopes.run())
    np.testing.assert_allclose(low, [[-1.0, -2.0]], atol=1e-12)
    np.testing.assert_allclose(high, [[3.0, 2.0]], atol=1e-12)
    assert zonotopes.symbols == 4


def test_differences_of_outputs_are_exact_forms() -> None:
    """The difference of both outputs is 2 relu(a - b), so the other symbol cancels: at least -2, where ranges give -3."""
    claim = Claim(hand_made(), (Part(np.array([[1.0, -1.0]]), np.zeros(1)),), strict=True)
    found = zonotope_bounds(claim, Regions.of([Box.filled((2,), -1.0, 1.0)]))
    assert found[0, 0] == pytest.approx(-2.0, abs=1e-12)
    assert found[0, 0] <= -2.0


def claim_about(kind: str, seed: int) -> Claim:
    graph = random_graph(kind, seed)
    rng = np.random.default_rng([seed, 3])
    parts = tuple(Part(rng.integers(-2, 3, (rows, graph.output_size)) / 1.0, np.zeros(rows)) for rows in (1, 2))
    return Claim(graph, parts, strict=True)


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_batches_agree_with_single_regions(kind: str) -> None:
    claim = claim_about(kind, 1)
    rng = np.random.default_rng(4)
    boxes = []
    for _ in range(3):
        center = rng.integers(-4, 5, claim.graph.input_shape) / 4
        boxes.append(Box(center - rng.random(center.shape) / 2, center + rng.random(center.shape) / 2))
    together = zonotope_bounds(claim, Regions.of(list(boxes)))
    alone = np.concatenate([zonotope_bounds(claim, Regions.of([b])) for b in boxes], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_without_room_for_symbols_bounds_are_looser_and_hold(kind: str) -> None:
    for seed in range(4):
        claim, rng = claim_about(kind, seed), np.random.default_rng(seed)
        box = Box.filled(claim.graph.input_shape, -0.5, 0.5)
        bounded, regions = BoundedGraph(claim.graph), Regions.of([box])
        roomy, cramped = Zonotopes(bounded, regions), Zonotopes(bounded, regions, limit=0)
        (low, high), (loose_low, loose_high) = (z.range_of(z.run()) for z in (roomy, cramped))
        assert cramped.symbols == len(cramped.noise)
        assert (loose_low <= low + 1e-9).all()
        assert (loose_high >= high - 1e-9).all()
        points = rng.integers(-32, 33, (200, *claim.graph.input_shape)) / 64
        outputs = Evaluator(bounded).outputs(points)
        assert (loose_low <= outputs).all()
        assert (outputs <= loose_high).all()


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_balls_are_tighter_than_their_boxes(norm: str) -> None:
    claim = claim_about("dense", 3)
    ball = Ball(np.zeros(claim.graph.input_shape), 0.5, norm)
    of_ball = zonotope_bounds(claim, Regions.of([ball]))
    of_box = zonotope_bounds(claim, Regions.of([ball.bounding_box()]))
    assert (of_ball >= of_box).all()
    assert (of_ball > of_box).any()


def test_known_ranges_count() -> None:
    """Where both ReLUs are known to be active, the outputs are 2 a and 2 b."""
    bounded = BoundedGraph(hand_made())
    known = {1: (np.zeros((1, 2)), np.full((1, 2), np.inf))}
    zonotopes = Zonotopes(bounded, Regions.of([Box.filled((2,), -1.0, 1.0)]), known)
    low, high = zonotopes.range_of(zonotopes.run())
    np.testing.assert_allclose((low, high), ([[-2.0, -2.0]], [[2.0, 2.0]]), atol=1e-12)
    assert not zonotopes.empty[0]
    contradicted = Zonotopes(bounded, Regions.of([Box.filled((2,), -1.0, 1.0)]), {1: (np.full((1, 2), 3.0), np.full((1, 2), 4.0))})
    contradicted.run()
    assert contradicted.empty[0]


def test_nothing_is_known_without_bounds() -> None:
    claim = claim_about("dense", 0)
    for box in (Box.unbounded(claim.graph.input_shape), Box.filled(claim.graph.input_shape, -1e200, 1e200)):
        assert (zonotope_bounds(claim, Regions.of([box])) == -np.inf).all()
