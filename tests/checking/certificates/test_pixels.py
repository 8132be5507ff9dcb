"""Certificates of L0 balls: against networks of which every subset of pixels and every linear piece is enumerated in rational numbers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from certificate_worlds import body, checked, graph_of, moved, no_damage_proves, produced, wide_network
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pixel_trees import AMONG, BY_SUMS, PIXEL, leaves, tree_of
from netassay.checking.certificates.pixels import PixelBounds, PixelPart
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.checking.certificates.trees import INPUT, LEAF
from netassay.errors import DataError, UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.produce import write_certificate
from random_graphs import EXACT_KINDS, random_graph
from sparse_enumeration import exact_least, image_strip, problem


def claims(seed: int, changes: int, slack: Fraction) -> tuple[Problem, Statement, Statement]:
    """A problem, its claim ``margin > least - slack``, which is true, and ``margin > least``, which is just false."""
    asked = problem(image_strip(seed), seed, changes)
    label = asked.property.label  # type: ignore[attr-defined]
    least = exact_least(graph_of(asked), asked.center, changes, label, -1.0, 1.0)
    statement = statement_of([asked])
    return asked, moved(statement, -float(least - slack)), moved(statement, -float(least))


@pytest.mark.parametrize(("seed", "changes"), [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2)])
def test_what_is_true_is_accepted_and_what_is_false_is_not(tmp_path: Path, seed: int, changes: int) -> None:
    """The least margin is known exactly: a claim a little below it has a certificate, one at it is false, in both arithmetics."""
    asked, true, false = claims(seed, changes, Fraction(1, 50))
    path = tmp_path / "a.cert"
    assert produced(path, asked, true).complete
    records = body(path)
    assert {r.kind for r in records} == {"case", "alone", "pixels"}
    for exact in (False, True):
        assert checked(asked, true, records, exact=exact).accepted
        told = checked(asked, false, records, exact=exact)
        assert not told.accepted
        assert "tree over pixels" in told.reason
    more = Statement(true.network_sha256, true.inputs, true.outputs, tuple(_widened(c) for c in true.cases), true.strict)
    with pytest.raises(DataError, match="one more pixel|may change"):  # one more change than is proved
        checked(asked, more, records)


def test_a_claim_that_is_spelled_out_is_read_again(tmp_path: Path) -> None:
    asked, true, _ = claims(1, 1, Fraction(1, 50))
    path, graph = tmp_path / "a.cert", graph_of(asked)
    made = write_certificate(path, graph, true, "a claim", "a test", regions=[asked.region], spelled_out=True, over=lambda: False)
    assert made.complete
    found = check_certificate(path, [graph], None)
    assert found.checked.accepted
    assert found.statement is not None
    assert found.statement.sha256 == true.sha256
    assert "at most 1 of 7 inputs other than in the input" in found.statement.symbols()[0]


def _widened(case: Case) -> Case:
    ball = case.region.ball
    assert ball is not None
    return Case(replace(case.region, ball=replace(ball, radius=ball.radius + 1)), case.parts)


def test_where_all_pixels_meet_parts_of_the_ball_are_bounded_at_once(tmp_path: Path) -> None:
    """Three changes of sixteen inputs of a dense network: fewer leaves than the 560 sets, and no claim above what is attained."""
    asked = problem(wide_network(3), 3, 3)
    statement, rng = statement_of([asked]), np.random.default_rng(0)
    points = np.repeat(asked.center[None], 20_000, axis=0)
    for column in rng.integers(0, 16, (3, len(points))):
        points[np.arange(len(points)), column] = rng.choice([-1.0, 1.0], len(points))
    least = float(_values(graph_of(asked), statement.cases[0], points).min())
    path = tmp_path / "a.cert"
    true, false = moved(statement, 1.0 - least), moved(statement, -least)
    assert produced(path, asked, true).complete
    leaf_count = sum(int((r.arrays["value"] == LEAF).sum()) for r in body(path) if r.kind == "pixels")
    assert 1 < leaf_count < 560
    assert checked(asked, true, body(path)).accepted
    assert not checked(asked, false, body(path)).accepted


@pytest.mark.parametrize("changes", [1, 2])
def test_a_claim_that_is_attained_has_no_certificate(tmp_path: Path, changes: int) -> None:
    for seed in range(2):
        asked, _, false = claims(seed, changes, Fraction(0))
        calls = iter(range(10**9))
        assert not produced(tmp_path / "b.cert", asked, false, over=lambda calls=calls: next(calls) > 60).complete  # type: ignore[misc]


def ball_case(graph: Graph, rng: np.random.Generator, changes: int) -> tuple[Case, np.ndarray]:
    """A ball of some pixels of one to three features, two parts, and points of it."""
    size = int(np.prod(graph.input_shape))
    center = rng.integers(-4, 5, size) / 4
    low, high = center - rng.integers(0, 5, size) / 8, center + rng.integers(0, 5, size) / 8
    group = rng.integers(1, size // 2 + 2, size).astype(np.float64)
    parts = tuple(Part(rng.integers(-2, 3, (rows, graph.output_size)) / 1.0, rng.integers(-2, 3, rows) / 2.0) for rows in (1, 2))
    drawn = np.round((low + (high - low) * rng.random((300, size))) * 256) / 256
    drawn = np.where(rng.random(drawn.shape) < 0.5, drawn, np.where(rng.random(drawn.shape) < 0.5, low, high))
    names = np.unique(group)
    chosen = np.stack([rng.permutation(names)[: min(changes, len(names))] for _ in drawn])
    points = np.where((group[None, :, None] == chosen[:, None]).any(axis=2), drawn, center)
    return Case(Region(low, high, Ball(0, center, group, float(changes))), parts), points


def _values(graph: Graph, case: Case, points: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        y = GraphModule(graph, torch.float64)(torch.from_numpy(points.reshape(-1, *graph.input_shape))).numpy()
    return np.concatenate([y @ p.rows.T + p.constants for p in case.parts], axis=1)


def _inside(part: PixelPart, bounds: PixelBounds, points: np.ndarray) -> np.ndarray:
    """Which points belong to a part, in real arithmetic."""
    center = bounds.center.astype(np.float64)
    changed = np.stack([(points[:, f] != center[f]).any(axis=1) for f in bounds.pixels], axis=1)
    forced = np.zeros(len(bounds.pixels), dtype=bool)
    forced[list(part.forced)] = True
    within = ((points >= part.low.astype(np.float64)) & (points <= part.high.astype(np.float64))).all(axis=1)
    return np.asarray(within & ~changed[:, ~forced & ~part.allowed].any(axis=1) & (changed[:, part.allowed].sum(axis=1) <= part.count))


def random_part(bounds: PixelBounds, rng: np.random.Generator) -> PixelPart:
    """Some pixels split, by each of the three ways, and sometimes values."""
    part = bounds.whole
    for _ in range(int(rng.integers(0, 4))):
        allowed = np.flatnonzero(part.allowed)
        if part.count and len(allowed):
            ways = [part.sides(int(rng.choice(allowed))), *([part.among(int(rng.choice(allowed)))] if part.count == 1 else [])]
            part = ways[int(rng.integers(len(ways)))][int(rng.integers(2))]
        elif part.forced:
            feature = int(rng.choice(bounds.pixels[int(rng.choice(part.forced))]))
            part = part.halves(feature, (part.low[feature] + part.high[feature]) / 2)[int(rng.integers(2))]
    return part


def no_bound_lies_above_a_point(kind: str, seed: int, *, exact: bool = False) -> int:
    """How many parts held points."""
    rng, graph, compared = np.random.default_rng([seed, 5]), random_graph(kind, seed), 0
    case, points = ball_case(graph, rng, int(rng.integers(1, 4)))
    bounds = PixelBounds(CheckedNetwork(graph, Arithmetic(exact)), case, strict=True)
    values = _values(graph, case, points)
    assert (bounds.at_centre[0] <= _values(graph, case, case.region.ball.center[None])[0]).all()  # type: ignore[union-attr]
    for _ in range(3):
        part = random_part(bounds, rng)
        inside = _inside(part, bounds, points)
        lower = bounds.by_forms([part]).lower[0]
        if inside.any():
            compared += 1
            assert (lower > -np.inf).all()
            assert (lower <= np.array([Fraction(v) for v in values[inside].min(axis=0)])).all(), (kind, seed)
    return compared


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_no_form_lies_above_a_point(kind: str) -> None:
    assert sum(no_bound_lies_above_a_point(kind, seed) for seed in range(12)) > 15


@pytest.mark.parametrize("kind", ["dense", "residual"])
def test_no_form_lies_above_a_point_in_rational_arithmetic(kind: str) -> None:
    assert sum(no_bound_lies_above_a_point(kind, seed, exact=True) for seed in range(30, 34)) > 3


def sums_are_right(kind: str, seeds: range) -> int:
    """Where the checker finds that two pixels share nothing, what they do together is the sum of what they do alone: at points, exactly."""
    apart = 0
    for seed in seeds:
        rng, graph = np.random.default_rng([seed, 9]), random_graph(kind, seed)
        case, points = ball_case(graph, rng, 2)
        bounds = PixelBounds(CheckedNetwork(graph, Arithmetic()), case, strict=True)
        center = bounds.center
        for p, q in zip(*np.nonzero(~bounds.meets), strict=True):
            if p < q:
                apart += 1
                some = [np.where(np.isin(np.arange(len(center)), np.concatenate(f)), points[:20], center) for f in _sets(bounds, p, q)]
                both, one, other = (_values(graph, case, x) for x in some)
                assert (both + _values(graph, case, center[None]) == one + other).all()
    return apart


@pytest.mark.parametrize("kind", ["convolution", "pooling"])
def test_pixels_that_do_not_meet_add_up(kind: str) -> None:
    assert sums_are_right(kind, range(20)) > 5


NEAR = 1e-3
"""Of values of the size of 1e7."""


def exact_values(seed: int) -> None:
    """Boxes that are points: rational arithmetic gives the value itself, of weights that are no short binary numbers; float64 less."""
    rng = np.random.default_rng([seed, 21])
    builder = GraphBuilder((1, 3, 3))
    value = builder.add(op.Convolution(1e6 * rng.normal(size=(2, 1, 2, 2)), rng.normal(size=2), (1, 1), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(op.ChannelAffine(rng.normal(size=2), rng.normal(size=2)), builder.add(nl.LeakyRelu(0.1), value))
    value = builder.add(nl.MaxPool((2, 2), (1, 1), (0, 0), (0, 0), (1, 1)), value)
    graph = builder.build(builder.add(op.Dense(rng.normal(size=(3, 2)), rng.normal(size=3)), builder.add(op.Reshape((2,)), value)))
    center, low = rng.normal(size=9), rng.normal(size=9)
    parts = (Part(rng.normal(size=(3, 3)), rng.normal(size=3)),)
    case = Case(Region(np.minimum(low, center), np.maximum(low, center), Ball(0, center, np.arange(1.0, 10.0), 2.0)), parts)
    found = []
    for exact in (True, False):
        bounds = PixelBounds(CheckedNetwork(graph, Arithmetic(exact)), case, strict=True)
        point = bounds.network.arithmetic.array(low)
        part = replace(bounds.single(4), forced=(1, 4), low=point, high=point)
        found.append((bounds.by_forms([part]).lower[0], *bounds.at_centre))
    (value_there, value_at_centre, also), (lower, below, above) = found
    assert (value_at_centre == also).all()
    assert ((lower < value_there) & (value_there - lower < NEAR)).all()
    assert ((below < value_at_centre) & (value_at_centre < above) & (above - below < NEAR)).all()


@pytest.mark.parametrize("seed", range(6))
def test_every_rounding_is_paid_for(seed: int) -> None:
    exact_values(seed)


def _sets(bounds: PixelBounds, p: int, q: int) -> list[list[np.ndarray]]:
    return [[bounds.pixels[p], bounds.pixels[q]], [bounds.pixels[p]], [bounds.pixels[q]]]


def every_point_lies_in_a_leaf(seeds: range) -> None:
    """Of any tree that is read."""
    rng = np.random.default_rng(0)
    for seed in seeds:
        graph = random_graph("convolution", seed)
        case, points = ball_case(graph, rng, int(rng.integers(1, 4)))
        bounds = PixelBounds(CheckedNetwork(graph, Arithmetic()), case, strict=True)
        rows = _random_tree(bounds, bounds.whole, rng, 5)
        arrays = tuple(np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), ("i4", "u4", "f8"), strict=True))
        found = leaves(bounds, tree_of(arrays, bounds), 0, bounds.whole)  # type: ignore[arg-type]
        assert np.any([_inside(part, bounds, points) for _, part in found], axis=0).all()


def test_trees_cover_the_ball_whatever_they_say() -> None:
    every_point_lies_in_a_leaf(range(20))


def _random_tree(bounds: PixelBounds, part: PixelPart, rng: np.random.Generator, depth: int) -> list[tuple[int, int, float]]:
    allowed = np.flatnonzero(part.allowed)
    features = [f for p in part.forced for f in bounds.pixels[p]]
    ways = [PIXEL] * (part.count > 0) + [AMONG] * (part.count == 1) + [INPUT] * bool(features)
    if not depth or not ways:
        return [(LEAF, 0, 0.0)]
    kind = int(rng.choice(ways))
    index = int(rng.choice(features if kind == INPUT else allowed))
    middle = float(part.low[index] + part.high[index]) / 2 if kind == INPUT else 0.0
    sides = part.halves(index, middle) if kind == INPUT else part.sides(index) if kind == PIXEL else part.among(index)
    return [(kind, index, middle), *(row for side in sides for row in _random_tree(bounds, side, rng, depth - 1))]


def test_damaged_records_never_prove_what_is_false(tmp_path: Path) -> None:
    path = tmp_path / "a.cert"
    asked, true, false = claims(3, 2, Fraction(1, 20))
    assert produced(path, asked, true).complete
    records = body(path)
    no_damage_proves(asked, true, false, records, seed=3)


@pytest.mark.parametrize(
    ("limit", "value"), [("entries.MOST", 5), ("local.LARGEST_BLOCK", 5), ("forms.NUMBERS", 2), ("pixels.MOST_PLACES", 5)]
)
def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    asked, true, _ = claims(0, 2, Fraction(1))
    monkeypatch.setattr(f"netassay.checking.certificates.{limit}", value)
    bounds = PixelBounds(CheckedNetwork(graph_of(asked), Arithmetic()), true.cases[0], strict=True)
    ask = partial(bounds.by_sums, bounds.whole.sides(0)[0]) if limit == "pixels.MOST_PLACES" else partial(bounds.by_forms, [bounds.whole])
    with pytest.raises((DataError, UnsupportedOperatorError), match="too large|more than are followed|it has to leave fewer"):
        ask()


def test_trees_that_are_too_deep_for_the_inputs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, true, _ = claims(0, 2, Fraction(1))
    bounds = PixelBounds(CheckedNetwork(graph_of(asked), Arithmetic()), true.cases[0], strict=True)
    arrays = np.array([PIXEL, LEAF, LEAF], "i4"), np.zeros(3, "u4"), np.zeros(3)
    assert len(tree_of(arrays, bounds)) == 1
    monkeypatch.setattr("netassay.checking.certificates.pixel_trees.HELD", 6)
    with pytest.raises(DataError, match="too deep"):
        tree_of(arrays, bounds)


def test_sums_are_refused_where_pixels_meet_or_more_than_one_may_change() -> None:
    asked, true, _ = claims(0, 2, Fraction(1))
    bounds = PixelBounds(CheckedNetwork(graph_of(asked), Arithmetic()), true.cases[0], strict=True)
    changed, _ = bounds.whole.sides(3)
    for part in (bounds.whole, changed):
        with pytest.raises(DataError, match="shares no number"):
            bounds.by_sums(part)
    lonely = replace(changed, allowed=np.asarray(changed.allowed & ~bounds.meets[3]))
    assert not bounds.by_sums(lonely).any()  # nothing is known of any pixel alone yet


@pytest.mark.parametrize(
    ("value", "index", "said"),
    [
        ([PIXEL, LEAF, LEAF], [99, 0, 0], "names a pixel"),
        ([LEAF], [2], "unknown rule"),
        ([PIXEL, PIXEL, LEAF, LEAF, LEAF], [0, 0, 0, 0, 0], "split above it already"),
        ([AMONG, LEAF, LEAF], [3, 0, 0], "where 2 may change"),
        ([INPUT, LEAF, LEAF], [0, 0, 0], "does not take any value"),
        ([1, LEAF, LEAF], [0, 0, 0], "another value"),
        ([LEAF, LEAF], [0, 0], "expected one"),
        ([LEAF], [BY_SUMS], "shares no number"),
    ],
)
def test_trees_that_say_nothing_are_refused(value: list[int], index: list[int], said: str) -> None:
    asked, true, _ = claims(0, 2, Fraction(1))
    arrays = {"value": np.array(value, "i4"), "index": np.array(index, "u4"), "threshold": np.zeros(len(value))}
    with pytest.raises(DataError, match=said):
        checked(asked, true, [Record({"record": "case", "case": 0}), Record({"record": "pixels"}, arrays)])
