"""Weights and boxes of any size that float64 has: no bound lies above what rational arithmetic finds at a point, and nothing breaks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph, Node
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.results.guarantee import Guarantee
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.claim import Claim, Part, claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from random_graphs import GraphOnly

Array = NDArray[np.float64]
SIZES = np.array([1e300, 1e150, 1e30, 2.0**53, 1e8, 1.0, 1.0, 1.0, 1e-8, 1e-30, 1e-150, 1e-310, 5e-324, 0.0])


def numbers(rng: np.random.Generator, *shape: int) -> Array:
    """Of one size, of several, or of the usual one."""
    found = rng.standard_normal(shape)
    return np.asarray([found, found * rng.choice(SIZES), found * rng.choice(SIZES, shape)][rng.integers(3)])


def ends(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """A point, a box one number wide, or one as large as its numbers."""
    center = numbers(rng, size)
    if rng.random() < 0.2:
        return center, center
    if rng.random() < 0.3:
        return center, np.nextafter(center, np.inf)
    return center - np.abs(numbers(rng, size)), center + rng.choice(np.array([0.0, 1.0]), size)


def hostile(seed: int) -> tuple[Problem, list[tuple[Array, Array]]]:
    """A network of one or two hidden layers, with its layers."""
    rng = np.random.default_rng([seed, 9])
    sizes = [int(n) for n in rng.integers(1, 5, rng.integers(2, 4))] + [2]
    layers = [(numbers(rng, after, before), numbers(rng, after)) for before, after in pairwise(sizes)]
    nodes: list[Node] = []
    for i, (weight, bias) in enumerate(layers):
        if i:
            nodes.append(Node(nl.Relu(), (len(nodes),)))
        nodes.append(Node(op.Dense(weight, bias), (len(nodes),)))
    unsafe = OutputHalfspaces([rng.standard_normal((1, 2)), rng.standard_normal((2, 2))], [numbers(rng, 1), numbers(rng, 2)])
    network = GraphOnly(Graph((sizes[0],), tuple(nodes)))
    return Problem(network, Box(*ends(rng, sizes[0])), unsafe, seed), layers


def rational(layers: list[tuple[Array, Array]], claim: Claim, point: Array) -> Fraction:
    """s at a point, exactly."""
    value = [Fraction(float(x)) for x in point]
    for i, (weight, bias) in enumerate(layers):
        value = [max(v, Fraction(0)) for v in value] if i else value
        value = [dot(row, value) + Fraction(float(b)) for row, b in zip(weight, bias, strict=True)]
    return min(max(dot(row, value) + Fraction(float(c)) for row, c in zip(p.rows, p.constants, strict=True)) for p in claim.parts)


def dot(row: Array, value: list[Fraction]) -> Fraction:
    return sum((Fraction(float(a)) * v for a, v in zip(row, value, strict=True)), Fraction(0))


def least(layers: list[tuple[Array, Array]], claim: Claim, box: Box, seed: int) -> Fraction:
    """The least of s at corners, the middle, and points between."""
    rng = np.random.default_rng(seed)
    points = [np.where(rng.random(box.shape) < 0.5, box.lower, box.upper) for _ in range(8)]
    points += [np.clip(box.lower + rng.random(box.shape) * box.width, box.lower, box.upper) for _ in range(6)]
    return min(rational(layers, claim, x) for x in [*points, box.center])


@pytest.mark.parametrize("name", [name for name in VERIFIERS if name != "marabou"])
def test_bounds_hold_in_rational_arithmetic(name: str) -> None:
    served = 0
    for seed in range(20):
        problem, layers = hostile(seed)
        box, claim = problem.region, claim_of(problem)
        assert isinstance(box, Box)
        if not np.isfinite(box.width).all():
            continue
        truth = least(layers, claim, box, seed)
        try:
            findings = list(VERIFIERS[name].build().verify(Task(claim, Regions.of([box]), Limits(Clock(0.02)), seed)))
        except CapabilityError:
            continue
        served += 1
        for finding in findings:
            assert not np.isnan(finding.lower)
            assert finding.point is None or box.contains(finding.point[None])[0]
            if finding.guarantee is Guarantee.PROVED:
                assert finding.lower < np.inf
                assert finding.lower == -np.inf or Fraction(finding.lower) <= truth
                assert not finding.proved or truth > 0
    assert served or name in ("pixel-splitting", "decomposition")


def test_neurons_of_no_symbols() -> None:
    """At a point there are no symbols, and where nothing is known of a neuron it is split all the same."""
    nodes = [Node(op.Dense(np.array([[-1e-32], [-1e149], [1.0]]), np.array([1e-150, 1e-150, -1e-150])), (0,)), Node(nl.Relu(), (1,))]
    nodes += [Node(op.Dense(np.array([[-1e-151, -1e30, -1.0], [-0.6, -1e-8, -0.8]]), np.array([0.1, 0.9])), (2,)), Node(nl.Relu(), (3,))]
    nodes += [Node(op.Dense(np.array([[2.0, -1e30], [-1e-151, -1e299]]), np.array([0.0, -0.5])), (4,))]
    unsafe = OutputHalfspaces([[[0.2, -1.3]], [[1.0, -0.3]]], [[0.2], [-0.5]])
    problem = Problem(GraphOnly(Graph((1,), tuple(nodes))), Box(np.array([-1e-310]), np.array([-1e-310])), unsafe)
    found = list(VERIFIERS["neurify"].build().verify(Task(claim_of(problem), Regions.of([problem.region]), Limits(Clock(1.0)))))
    assert found


SMALLEST = 5e-324
FEATHER: tuple[tuple[tuple[float, ...], float, float], ...] = (
    ((1e-200, 1e-200, 1e300, 1e100), 0.0, 1.0),
    ((1e300,), SMALLEST, SMALLEST),
    ((1e300,), 0.0, SMALLEST),
    ((1e300,), SMALLEST, 3 * SMALLEST),
    ((1e-160, 1e-170, 1e165, 1e165), -1.0, 1.0),
)
"""Factors that follow each other, and the ends of x: a product underflows, or an end has no half, and what is lost is scaled up again."""


@pytest.mark.parametrize(("factors", "low", "high"), FEATHER)
@pytest.mark.parametrize("dense_at", [0, 2])
def test_what_underflows_and_is_scaled_up_again_is_not_lost(factors: tuple[float, ...], low: float, high: float, dense_at: int) -> None:
    """``relu(factors * x) < half of what it reaches`` fails, at the upper end, and nothing says that it holds."""
    nodes: list[Node] = []
    for i, factor in enumerate(factors):
        one = op.Dense(np.array([[factor]]), np.zeros(1)) if i == min(dense_at, len(factors) - 1) else op.MulConstant(np.full((), factor))
        nodes.append(Node(one, (i,)))
    nodes.append(Node(nl.Relu(), (len(nodes),)))
    product = Fraction(high)
    for factor in factors:
        product *= Fraction(factor)
    nodes.append(Node(op.Dense(np.array([[-1.0]]), np.array([float(product) / 2])), (len(nodes),)))
    claim = Claim(Graph((1,), tuple(nodes)), (Part(np.ones((1, 1)), np.zeros(1)),), strict=True)
    least = Fraction(float(product) / 2) - product
    assert least < 0
    box = Regions.of([Box(np.array([low]), np.array([high]))])
    for name in VERIFIERS:
        if name == "marabou":
            continue
        try:
            found = list(VERIFIERS[name].build().verify(Task(claim, box, Limits(Clock(0.05)))))
        except CapabilityError:
            continue
        for finding in found:
            assert not finding.proved, name
            assert finding.lower == -np.inf or Fraction(finding.lower) <= least, name


FAR: tuple[tuple[tuple[float, ...], tuple[float, ...], float, float], ...] = (
    ((), (1e149, 1e-160, 1e-165), 1e99, 1e-80),
    ((1e-170, 1e-170), (1e90,), 1e250, 0.75),
    ((), (1.0,), 1.0, 0.75),
)
"""Factors before and after a ReLU, how far a feature moves, and s where it does not."""


@pytest.mark.parametrize(("before", "after", "most", "center"), FAR)
def test_changes_that_underflow_on_their_way_are_not_lost(
    before: tuple[float, ...], after: tuple[float, ...], most: float, center: float
) -> None:
    """The same for balls of changed features, whose forms go back through several layers at once."""
    builder, value, least = GraphBuilder((2,)), 0, Fraction(most)
    for factor in before:
        value, least = builder.add(op.MulConstant(np.full((), factor)), value), least * Fraction(factor)
    value = builder.add(nl.Relu(), value)
    for factor in after:
        value, least = builder.add(op.Dense(factor * np.eye(2), np.zeros(2)), value), least * Fraction(factor)
    graph = builder.build(builder.add(op.Dense(np.array([[-1.0, -1.0]]), np.array([center])), value))
    claim = Claim(graph, (Part(np.ones((1, 1)), np.zeros(1)),), strict=True)
    ball, least = Ball(np.zeros(2), 1, 0, Box.filled((2,), 0.0, most)), Fraction(center) - least
    assert least < 0
    for name in ("auto", "pixel-splitting", "crown"):
        for finding in VERIFIERS[name].build().verify(Task(claim, Regions.of([ball]), Limits(Clock(0.1)))):
            assert not finding.proved
            assert finding.lower == -np.inf or Fraction(finding.lower) <= least
