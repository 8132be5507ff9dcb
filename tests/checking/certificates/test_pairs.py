"""Bounds over pairs of pixels against points that are evaluated without rounding, or in rational numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from certificate_pairs import pair_bounds, pixel_bounds
from certificate_worlds import graph_of
from netassay.checking.certificates import interplay, maxima, pairs
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball
from netassay.checking.certificates.local import Centre
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pairs import Node, PairBounds
from netassay.checking.certificates.pixels import PixelBounds
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.single_changes import Singles
from netassay.checking.certificates.statement import Case, Part
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.verifiers.certificates.claims import statement_of
from pair_worlds import STEPS, asked, grid_of_pair, pooled, row_values
from random_graphs import dyadic

DEPTH = 3


def excess(seed: int, scale: float = 1.0) -> tuple[float, float]:
    """By how much a bound exceeds a row at a point of its node at most, and how far it lies below the least of them on average."""
    problem = asked(pooled(seed, scale=scale), seed)
    values, rng = row_values(problem), np.random.default_rng(seed)
    found = pair_bounds(graph_of(problem), statement_of([problem]).cases[0], DEPTH, together=1 + seed % 4, seed=seed)
    worst, slack = -np.inf, list[float]()
    for _ in range(12):
        pixel = int(rng.integers(len(found.order) - 1))
        own = _run(rng)
        nodes = [Node(pixel, own, 0, int(rng.integers(pixel + 1, len(found.order))), _run(rng)) for _ in range(3)]
        level = int(rng.integers(1, 4))
        nodes.append(Node(pixel, own, level, int(rng.integers((pixel + 1) >> level, (len(found.order) - 1 >> level) + 1))))
        for node, lower in zip(nodes, found.lower(nodes), strict=True):
            behind = [q for q in range(node.place << node.level, node.place + 1 << node.level) if pixel < q < len(found.order)]
            least = [_inside(values(grid_of_pair(problem, *found.order[[pixel, q]])), node).min(axis=(0, 1)) for q in behind]
            worst = max([worst, *(float((lower - one).max()) for one in least)])
            slack.append(float((np.min(least, axis=0) - lower).mean()))
    return worst, float(np.mean(slack))


def _run(rng: np.random.Generator) -> tuple[int, int]:
    depth = int(rng.integers(DEPTH + 1))
    return depth, int(rng.integers(1 << depth))


def _inside(values: np.ndarray, node: Node) -> np.ndarray:
    """The rows at the points of a grid that lie in a node."""
    sides = [slice(STEPS * place >> depth, (STEPS * (place + 1) >> depth) + 1) for depth, place in (node.own, node.cells)]
    return values.reshape(STEPS + 1, STEPS + 1, -1)[sides[0], sides[1]]


def test_no_bound_lies_above_a_point() -> None:
    found = [excess(seed) for seed in range(8)]
    assert max(worst for worst, _ in found) <= 0
    assert np.median([slack for _, slack in found]) < 4  # of rows that vary by tens


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_no_bound_lies_above_a_point_at_any_scale(scale: float) -> None:
    assert max(excess(seed, scale)[0] for seed in range(3)) <= 0


def rough_network(seed: int) -> Graph:
    """Weights that are no short binary numbers, and large values of which little is left."""
    rng = np.random.default_rng([seed, 22])
    builder = GraphBuilder((1, 3, 3))
    value = builder.add(op.Convolution(1e6 * rng.normal(size=(3, 1, 2, 2)), rng.normal(size=3), (1, 1), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(nl.Relu(), value)
    value = builder.add(nl.MaxPool((2, 2), (1, 1), (0, 0), (0, 0), (1, 1)), value) if seed % 2 else value
    size = int(np.prod(builder.shape(value)))
    value = builder.add(
        nl.Relu(), builder.add(op.Dense(rng.normal(size=(6, size)), rng.normal(size=6)), builder.add(op.Reshape((size,)), value))
    )
    return builder.build(builder.add(op.Dense(rng.normal(size=(3, 6)), rng.normal(size=3)), value))


def exact_pairs(seed: int) -> tuple[float, float]:
    """Ranges that are points: by how much bounds exceed the rows there, in rational numbers, and how far they lie below, at most."""
    graph, rng = rough_network(seed), np.random.default_rng([seed, 23])
    center, point = rng.normal(size=9), rng.normal(size=9)
    ball, parts = Ball(0, center, np.arange(1.0, 10.0), 2.0), (Part(rng.normal(size=(3, 3)), rng.normal(size=3)),)
    found = pair_bounds(graph, Case(Region(point, point, ball), parts), 0)
    exact = CheckedNetwork(graph, Arithmetic(exact=True))
    rows, constants = (exact.arithmetic.array(x) for x in (parts[0].rows, parts[0].constants))
    above, below = -np.inf, -np.inf
    for i, j in [(0, 1), (2, 5), (3, 8), (4, 6)]:
        one, other = found.order[[i, j]]
        moved = center.copy()
        moved[[one, other]] = point[[one, other]]
        value = rows @ Centre(exact, exact.arithmetic.array(moved)).values[-1] + constants
        lower = [Fraction(v) for v in found.lower([Node(i, (0, 0), 0, j)])[0].tolist()]
        above = max([above, *(float(b - v) for b, v in zip(lower, value, strict=True))])
        below = max([below, *(float(v - b) for b, v in zip(lower, value, strict=True))])
    return above, below


def test_every_rounding_is_paid_for() -> None:
    for seed in range(8):
        above, below = exact_pairs(seed)
        assert above <= 0
        assert below < 100  # of values of the size of 1e7, of which float32 keeps 24 bits


@pytest.mark.parametrize("bug", ["spread", "maps", "cells", "others", "centre", "rounding"])
def test_planted_bugs_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "spread":
        monkeypatch.setattr(interplay, "_reach", lambda frame, k, below, low, high: np.zeros(frame.maps[k].shape[1]))
        monkeypatch.setattr(interplay, "_carried", _without_radius(interplay._carried))
    elif bug == "maps":
        monkeypatch.setattr(maxima._Pushing, "through", _without_maps(maxima._Pushing.through))
    elif bug == "cells":
        own = pairs._Home.own
        monkeypatch.setattr(pairs._Home, "own", lambda self, node: own(self, replace(node, own=(DEPTH, node.own[1]))))
    elif bug == "others":
        wholes = pairs._Home.other
        monkeypatch.setattr(pairs._Home, "other", lambda self, node: wholes(self, replace(node, level=0, place=node.place << node.level)))
    elif bug == "centre":
        at = PixelBounds.at_centre.func  # type: ignore[attr-defined]
        monkeypatch.setattr(PixelBounds, "at_centre", property(lambda self: tuple(side - 0.25 for side in at(self))))
    else:
        monkeypatch.setattr(Arithmetic, "gamma", lambda self, terms: 0.0 * terms)
        monkeypatch.setattr(Arithmetic, "up", lambda self, values: values)
        monkeypatch.setattr(Arithmetic, "down", lambda self, values: values)
        monkeypatch.setattr(interplay, "UNIT", 0.0)
        monkeypatch.setattr(interplay, "LOST", 0.0)
        monkeypatch.setattr("netassay.checking.certificates.single_changes._narrowed", lambda values, _: values.astype(np.float32))
        assert max(exact_pairs(seed)[0] for seed in range(8)) > 0
        return
    assert max(excess(seed)[0] for seed in range(8)) > 0


def _without_maps(through: Callable[..., tuple[list[np.ndarray], list[np.ndarray]]]) -> object:
    def found(*args: object) -> object:
        matrices, masses = through(*args)
        return [0 * m for m in matrices], masses

    return found


def _without_radius(carried: Callable[..., object]) -> object:
    def found(frame: object, k: int, at: object, below: object, low: np.ndarray, high: np.ndarray) -> object:
        return carried(frame, k, at, below, low / 2 + high / 2, low / 2 + high / 2)

    return found


def test_networks_without_maxima_add_up() -> None:
    builder = GraphBuilder((1, 1, 4))
    graph = builder.build(builder.add(op.Dense(np.arange(12.0).reshape(3, 4) - 5, np.zeros(3)), builder.add(op.Reshape((4,)), 0)))
    problem = asked(graph, 0)
    found = pair_bounds(graph, statement_of([problem]).cases[0], 0)
    values = row_values(problem)
    for i, j in ((0, 1), (1, 3)):
        least = values(grid_of_pair(problem, *found.order[[i, j]])).min(axis=0)
        lower = found.lower([Node(i, (0, 0), 0, j)])[0]
        assert ((lower <= least) & (least - lower < 1e-9)).all()


def test_pixels_that_reach_nothing_change_nothing() -> None:
    """A convolution that passes every other pixel by."""
    rng = np.random.default_rng(4)
    builder = GraphBuilder((1, 3, 4))
    value = builder.add(op.Convolution(dyadic(rng, 2, 1, 1, 1), dyadic(rng, 2), (2, 2), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(op.Reshape((8,)), builder.add(nl.Relu(), value))
    graph = builder.build(builder.add(op.Dense(dyadic(rng, 3, 8), dyadic(rng, 3)), value))
    problem = asked(graph, 0)
    found = pair_bounds(graph, statement_of([problem]).cases[0], 1)
    values = row_values(problem)
    for i, j in combinations(range(12), 2):
        least = values(grid_of_pair(problem, *found.order[[i, j]])).min(axis=0)
        lower = found.lower([Node(i, (0, 0), 0, j)])[0]
        assert ((lower <= least) & (least - lower < 2)).all()


def test_values_beyond_what_is_followed_prove_nothing() -> None:
    problem = asked(pooled(1, scale=2.0**400), 1)
    found = pair_bounds(graph_of(problem), statement_of([problem]).cases[0], 1)
    assert (found.lower([Node(0, (0, 0), 0, 1), Node(0, (1, 0), 2, 1)]) == -np.inf).all()


def test_what_is_no_ball_of_two_changes_of_features_is_refused() -> None:
    problem = asked(pooled(1), 1)
    graph, case = graph_of(problem), statement_of([problem]).cases[0]
    bounds, every = pixel_bounds(graph, case), np.arange(30)
    ball = case.region.ball
    assert ball is not None
    three = pixel_bounds(graph, replace(case, region=replace(case.region, ball=replace(ball, radius=3.0))))
    wide = pixel_bounds(graph, replace(case, region=replace(case.region, ball=replace(ball, scale=np.arange(30.0) // 2 + 1))))
    refused = [
        (pixel_bounds(graph, case, exact=True), every, 1, "float64 alone"),
        (three, every, 1, "this one is about 3"),
        (wide, every[:15], 1, "one feature"),
        (bounds, every[:-1], 1, "an order of the 30"),
        (bounds, np.append(every[:-1], 0), 1, "an order of the 30"),
        (bounds, every, 0, "share a frame"),
        (bounds, every, 31, "share a frame"),
    ]
    for of, order, together, said in refused:
        with pytest.raises(DataError, match=said):
            PairBounds(of, order, together)


def test_frames_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = asked(pooled(1), 1)
    found = pair_bounds(graph_of(problem), statement_of([problem]).cases[0], 0)
    monkeypatch.setattr(maxima, "LARGEST_MAPS", 10)
    with pytest.raises(DataError, match="fewer have to share one"):
        found.lower([Node(0, (0, 0), 0, 1)])
    monkeypatch.undo()
    monkeypatch.setattr(pairs, "HELD", 100)
    with pytest.raises(DataError, match="too many to be followed"):
        found.lower([Node(0, (0, 0), 0, 1)])


def test_cutting_a_pixel_changes_nothing_of_coarser_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netassay.checking.certificates.single_changes.BASE", 1)
    monkeypatch.setattr(pairs, "KEPT", 2)
    problem = asked(pooled(3), 3)
    found = pair_bounds(graph_of(problem), statement_of([problem]).cases[0], 1)
    nodes = [Node(0, (1, 1), 0, j, (1, 0)) for j in range(1, 6)]
    before = found.lower(nodes)
    for pixel in found.order[[0, 1, 3]].tolist():
        found.cut(pixel, 2)
    np.testing.assert_array_equal(found.lower(nodes), before)
    halves = [replace(node, own=(2, 2 + half)) for node in nodes for half in (0, 1)]
    assert found.lower(halves).mean() > before.mean()
    assert isinstance(found._cutting, Singles)
