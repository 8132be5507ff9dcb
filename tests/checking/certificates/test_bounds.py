"""The checker's bounds: below every value that is attained, in both arithmetics, and next to those of the verifiers."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball as PixelBall
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pixels import PixelBounds
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Case
from netassay.checking.certificates.statement import Part as CasePart
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.graph import Graph, Node
from netassay.models.torch_graph import GraphModule
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball, Box
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.certificates.claims import region_of
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.region import Regions
from random_graphs import EXACT_KINDS, GraphOnly, random_graph


def place(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Box | Ball:
    center = rng.integers(-4, 5, shape) / 4
    if kind == "box":
        return Box(center - rng.integers(0, 5, shape) / 8, center + rng.integers(0, 5, shape) / 8)
    scale = rng.integers(1, 4, shape) / 2
    return Ball(center, float(rng.choice([0.125, 0.5, 1.0])), kind, domain=Box.filled(shape, -1.25, 1.25), scale=scale)


def points_of(where: Box | Ball, rng: np.random.Generator, count: int = 300) -> np.ndarray:
    """Dyadic points of the region, corners of its box among them."""
    box = where if isinstance(where, Box) else where.bounding_box()
    drawn = box.lower + (box.upper - box.lower) * rng.random((count, *box.shape))
    corners = np.where(rng.random(drawn.shape) < 0.5, box.lower, box.upper)
    chosen = np.concatenate([drawn, corners])
    if isinstance(where, Ball):
        chosen = np.concatenate([where.project(chosen), where.sample(count, rng)])
    chosen = np.concatenate([np.round(chosen * 256) / 256, np.asarray(where.center)[None]])
    return chosen[where.contains(chosen)]


def bounded(graph, where: Box | Ball, rows: np.ndarray, *, exact: bool) -> np.ndarray:
    network = CheckedNetwork(graph, Arithmetic(exact))
    a, region = network.arithmetic, region_of(where)
    parts = Parts(network, region, a.array(region.lower)[None], a.array(region.upper)[None])
    return parts.minimum(network.output, a.array(rows), np.zeros(len(rows), dtype=np.intp)).lower


@pytest.mark.parametrize("where", ["box", "linf", "l1", "l2"])
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_no_point_lies_below_a_bound(kind: str, where: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng([seed, 3])
        graph = random_graph(kind, seed)
        region = place(where, graph.input_shape, rng)
        rows = rng.integers(-2, 3, (3, graph.output_size)) / 1.0
        points = points_of(region, rng)
        assert len(points)
        with torch.no_grad():
            values = GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy() @ rows.T
        least = values.min(axis=0)
        found = bounded(graph, region, rows, exact=False)
        assert (found <= least).all(), (kind, where, seed)
        assert np.isfinite(found).all()
        if seed < 3:
            rational = bounded(graph, region, rows, exact=True)
            assert all(isinstance(f, Fraction | int) and f <= Fraction(float(v)) for f, v in zip(rational, least, strict=True))


@pytest.mark.parametrize("kind", ["dense", "convolution", "residual", "pooling"])
def test_bounds_are_about_those_of_linear_bounds(kind: str) -> None:
    for seed in range(6):
        graph = random_graph(kind, seed)
        region = place("box", graph.input_shape, np.random.default_rng(seed))
        row = np.eye(graph.output_size)[:1]
        found = bounded(graph, region, row, exact=False)[0]
        other = linear_bounds(Claim(graph, (Part(row, np.zeros(1)),), strict=True), Regions.of([region])).min()
        assert abs(found - other) < 1e-9 * (1 + abs(other)) or found > other


@pytest.mark.parametrize("ends", [(1, 1), (0, 1), (1, 3), (-3, 1)])
@pytest.mark.parametrize("weight", [1e300, -1e300])
def test_ends_without_halves(ends: tuple[int, int], weight: float) -> None:
    """Half of the smallest float is no float: what is lost there counts where weights scale it up."""
    low, high = (np.array([k * 5e-324]) for k in ends)
    nodes = (Node(op.Dense(np.array([[weight]]), np.array([1e-30])), (0,)), Node(nl.Relu(), (1,)))
    graph = Graph((1,), (*nodes, Node(op.Dense(np.array([[1.0], [-1.0]]), np.zeros(2)), (2,))))
    region, parts = (
        Region(low, high, PixelBall(0, low, np.ones(1), 1.0)),
        (CasePart(np.eye(2)[:1], np.zeros(1)), CasePart(np.eye(2)[1:], np.zeros(1))),
    )
    for exact in (False, True):
        pixels = PixelBounds(CheckedNetwork(graph, Arithmetic(exact)), Case(region, parts), strict=True)
        by_forms = pixels.by_forms([pixels.whole]).lower[0]
        for found, x in product((bounded(graph, Box(low, high), np.eye(2), exact=exact), by_forms), (low, high)):
            value = max(Fraction(weight) * Fraction(float(x[0])) + Fraction(1e-30), Fraction(0))
            assert Fraction(found[0]) <= value
            assert Fraction(found[1]) <= -value


def test_a_point_is_bounded_by_its_value() -> None:
    for kind in EXACT_KINDS:
        graph = random_graph(kind, 1)
        point = np.random.default_rng(5).integers(-4, 5, graph.input_shape) / 4
        with torch.no_grad():
            value = GraphModule(graph, torch.float64)(torch.from_numpy(point[None])).numpy()[0]
        exact = bounded(graph, Box(point, point), np.eye(graph.output_size), exact=True)
        assert [float(e) for e in exact] == value.tolist()


def test_huge_numbers_and_overflow_prove_nothing() -> None:
    from netassay.models import operators as op
    from netassay.models.builder import GraphBuilder

    for size in (1e60, 1e150, 1.7e308):
        builder = GraphBuilder((2,))
        first = builder.add(op.Dense(np.full((2, 2), size), np.zeros(2)), 0)
        graph = builder.build(builder.add(op.Dense(np.full((1, 2), size), np.full(1, size)), first))
        found = bounded(graph, Box(np.zeros(2), np.ones(2)), np.ones((1, 1)), exact=False)
        assert found[0] <= size
        assert not np.isnan(found[0])


def test_cancelling_weights_keep_what_rounding_may_lose() -> None:
    """1e8 x - 1e8 x + c: the bound stays below c, and in rational arithmetic it is c."""
    from netassay.models import operators as op
    from netassay.models.builder import GraphBuilder

    builder = GraphBuilder((1,))
    both = builder.add(op.Dense(np.array([[1e8 + 1], [1e8]]), np.zeros(2)), 0)
    total = builder.add(op.Dense(np.array([[1.0, -1.0]]), np.array([1e-9])), both)
    graph = builder.build(builder.add(op.Dense(np.array([[1.0]]), np.array([0.0])), total))
    region = Box(np.array([0.0]), np.array([1.0]))
    assert bounded(graph, region, np.ones((1, 1)), exact=True)[0] == Fraction(1e-9)
    assert bounded(graph, region, np.ones((1, 1)), exact=False)[0] <= 1e-9


def test_an_output_is_a_linear_form_of_itself() -> None:
    graph = random_graph("dense", 0)
    problem = Problem(GraphOnly(graph), Box(np.zeros(3), np.ones(3)), Output(1))
    found = bounded(graph, problem.region, np.eye(3)[1:2], exact=False)
    whole = bounded(graph, problem.region, np.eye(3), exact=False)
    assert found[0] == pytest.approx(whole[1], abs=1e-12)
