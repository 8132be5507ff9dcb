"""Zonotopes and symbolic intervals against rational arithmetic, where float64 rounds everywhere."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.symbolic import SymbolicIntervals
from netassay.verifiers.propagation.zonotope import Zonotopes
from netassay.verifiers.region import Regions


def by_zonotope(graph: Graph, regions: Regions) -> Range:
    zonotopes = Zonotopes(BoundedGraph(graph), regions)
    return zonotopes.range_of(zonotopes.run())


def by_symbolic(graph: Graph, regions: Regions) -> Range:
    symbolic = SymbolicIntervals(BoundedGraph(graph), regions)
    return symbolic.range_of(symbolic.run())


Layers = list[tuple[np.ndarray, np.ndarray]]


def layers(seed: int) -> Layers:
    """Three dense layers whose terms nearly cancel, so that rounding shows."""
    rng = np.random.default_rng(seed)
    sizes = (3, 6, 6, 2)
    return [(rng.normal(0, 1, (m, n)) * 10.0 ** rng.integers(-3, 4, (m, n)), rng.normal(0, 1, m)) for n, m in pairwise(sizes)]


def graph_of(made: Layers) -> Graph:
    builder, value = GraphBuilder((3,)), 0
    for i, (weight, bias) in enumerate(made):
        value = builder.add(op.Dense(weight, bias), builder.add(nl.Relu(), value) if i else value)
    return builder.build(value)


def exact(made: Layers, x: np.ndarray) -> list[Fraction]:
    values = [Fraction(v) for v in x]
    for i, (weight, bias) in enumerate(made):
        values = [max(v, Fraction(0)) for v in values] if i else values
        values = [
            sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b)) for row, b in zip(weight, bias, strict=True)
        ]
    return values


@pytest.mark.parametrize("width", [0.0, 1e-15, 1e-6, 1.0])
@pytest.mark.parametrize("bounds", [by_zonotope, by_symbolic])
def test_exact_values_lie_within(bounds: Callable[[Graph, Regions], Range], width: float) -> None:
    for seed in range(25):
        made, rng = layers(seed), np.random.default_rng([seed, 1])
        center = rng.normal(0, 1, 3)
        box = Box(center - width, center + width)
        low, high = bounds(graph_of(made), Regions.of([box]))
        corners = np.where(rng.random((8, 3)) < 0.5, box.lower, box.upper)
        for x in np.concatenate([corners, center[None]]):
            for value, least, most in zip(exact(made, x), low[0], high[0], strict=True):
                assert Fraction(least) <= value <= Fraction(most), (seed, width)
        if width == 0:
            assert (high - low <= 1e-9 * np.maximum(1, np.abs(low))).all(), seed


@pytest.mark.parametrize("width", [0.0, 1e-12])
@pytest.mark.parametrize("bounds", [by_zonotope, by_symbolic])
def test_differences_of_nearly_equal_values_keep_their_rounding(bounds: Callable[[Graph, Regions], Range], width: float) -> None:
    """Two sums that differ by a billionth, subtracted: what each was rounded by is far more than the rounding of the difference."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        row = rng.normal(0, 1, 20)
        weight = np.stack([row, row + 1e-9 * rng.normal(0, 1, 20)])
        builder = GraphBuilder((20,))
        value = builder.add(op.Dense(weight, rng.normal(0, 1, 2) * 1e-12), 0)
        graph = builder.build(builder.add(op.Dense(np.array([[1.0, -1.0]]), np.zeros(1)), value))
        center = rng.normal(0, 1, 20)
        low, high = bounds(graph, Regions.of([Box(center - width, center + width)]))
        bias = np.asarray(graph.nodes[0].operator.arrays()["bias"])
        one, other = (
            sum((Fraction(w) * Fraction(v) for w, v in zip(r, center, strict=True)), Fraction(b)) for r, b in zip(weight, bias, strict=True)
        )
        assert Fraction(low[0, 0]) <= one - other <= Fraction(high[0, 0]), seed
