"""Groups of ReLUs in the checker: no groups, slopes or cells give more than the exact truth, and what is true can be proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from certificate_worlds import checked, moved, no_damage_proves
from groups_worlds import World, by_groups, first_output, no_groups_say_more_than_the_truth, together, whole_of
from netassay.checking.certificates import groups as module
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.balls import Ball as CheckedBall
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.groups import Groups, group_bound
from netassay.checking.certificates.records import group_arrays, read_groups
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Statement
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import statement_of
from random_graphs import GraphOnly


def test_no_groups_give_more_than_the_truth() -> None:
    compared, nearest = no_groups_say_more_than_the_truth(range(20))
    assert compared > 500
    assert nearest < 1e-9


def test_no_groups_give_more_than_the_truth_in_rational_arithmetic() -> None:
    compared, nearest = no_groups_say_more_than_the_truth(range(20, 22), exact=True)
    assert compared > 50
    assert nearest < 0.2


def test_a_single_group_is_as_good_as_its_cells_are_small() -> None:
    """One layer in one group: nothing to disagree about."""
    excess = []
    for seed in range(10):
        world = World.of(seed)
        excess.append([float(world.truth - Fraction(world.bound(together(world.whole(), pieces)))) for pieces in (1, 4, 16, 64)])
    shrunk = np.array(excess)
    assert (shrunk >= 0).all()
    assert (shrunk[:, 3] <= 0.1 * shrunk[:, 0] + 1e-9).all()
    assert shrunk[:, 0].max() > 1


def test_both_arithmetics_say_the_same() -> None:
    for seed in range(6):
        world = World.of(seed, 2)
        groups = replace(together(world.whole(), 3), slopes=np.array([0.25, -0.5]))
        rounded, exact = world.bound(groups), world.bound(groups, exact=True)
        assert rounded <= exact
        assert float(exact) == pytest.approx(rounded, abs=1e-9)


def leaky(slope: float) -> Graph:
    """ReLUs that go on below 0, two of which read the same two of three inputs."""
    builder, weight = GraphBuilder((3,)), np.array([[1.0, -2.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, -1.0]])
    value = builder.add(nl.LeakyRelu(slope), builder.add(op.Dense(weight, np.array([0.25, -0.5, 0.0])), 0))
    return builder.build(builder.add(op.Dense(np.array([[1.0, -1.0, 0.5]]), np.zeros(1)), value))


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_slopes_below_0_and_balls(slope: float) -> None:
    """Two groups over a box, or the ball in it: below the values at points of a grid, which are exact, and near them."""
    graph, points = leaky(slope), np.array(list(product(*[np.linspace(-1, 1, 33)] * 3)))
    weight, bias = graph.nodes[0].operator.weight, graph.nodes[0].operator.bias
    read = points @ weight.T + bias
    values = np.maximum(read, slope * read) @ np.array([1.0, -1.0, 0.5])
    members = {1: (np.array([0, 1, 2]), np.array([0, 0, 1]))}
    for norm, inside in ((None, np.abs(points).max(axis=1) <= 1), (2, np.linalg.norm(points, axis=1) <= 1)):
        ball = None if norm is None else CheckedBall(norm, np.zeros(3), np.ones(3), 1.0)
        whole = whole_of(graph, Region(-np.ones(3), np.ones(3), ball))
        found = []
        for slopes in product((-0.5, 0.0, 0.5), repeat=4):
            groups = Groups(np.array([0, 1, 1, 2]), np.array([0, 2, 4]), np.array(slopes), np.full(4, 16), members)
            found.append(group_bound(whole, groups, first_output(whole)))
        assert max(found) <= values[inside].min()
        assert max(found) > values[inside].min() - (0.5 if norm is None else 1.0)


def windows(seed: int, side: int = 3) -> Graph:
    """Images (1, side, side) of whole numbers through 2 x 2 windows of 3 ReLUs, and a dense layer of two outputs."""
    rng = np.random.default_rng([seed, 13])
    builder = GraphBuilder((1, side, side))
    kernel = op.Convolution(rng.integers(-2, 3, (3, 1, 2, 2)) / 1.0, rng.integers(-1, 2, 3) / 1.0, (1, 1), (0, 0), (0, 0), (1, 1), 1)
    flat = builder.add(op.Reshape((3 * (side - 1) ** 2,)), builder.add(nl.Relu(), builder.add(kernel, 0)))
    return builder.build(builder.add(op.Dense(rng.integers(-2, 3, (2, 3 * (side - 1) ** 2)) / 1.0, rng.integers(-2, 3, 2) / 1.0), flat))


def claims(seed: int, slack: float) -> tuple[Problem, Statement, Statement]:
    """That both outputs exceed what the first one's least value at points of a grid is less a slack; and a claim that fails there."""
    graph, box = windows(seed), Box.filled((1, 3, 3), -1, 1)
    asked = Problem(
        GraphOnly(graph), box, OutputHalfspaces([np.eye(2)[:1], np.array([[1.0, 0.0], [1.0, 0.0]])], [np.zeros(1), np.zeros(2)])
    )
    points = np.array(list(product(*[(-1.0, 0.0, 1.0)] * 9))).reshape(-1, 1, 3, 3)
    kernel, dense = graph.nodes[0].operator, graph.nodes[-1].operator
    read = sum(kernel.weight[:, 0, i, j][None, :, None, None] * points[:, :, i : i + 2, j : j + 2] for i, j in product(range(2), repeat=2))
    hidden = np.maximum(read + kernel.bias[None, :, None, None], 0).reshape(len(points), -1)
    least = float((hidden @ dense.weight.T + dense.bias)[:, 0].min())
    statement = statement_of([asked])
    return asked, moved(statement, slack - least), moved(statement, -least)


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_what_is_true_is_accepted_and_what_is_false_is_not(seed: int) -> None:
    asked, true, false = claims(seed, 3.0)
    closed, records = by_groups(asked, true)
    assert closed
    assert [r.kind for r in records] == ["case", "groups", "groups"]
    for exact in (False, True):
        told = checked(asked, true, records, exact=exact)
        assert told.accepted
        assert told.leaves > 40
        told = checked(asked, false, records, exact=exact)
        assert not told.accepted
        assert "by groups" in told.reason
    assert not by_groups(asked, false)[0]


def test_damaged_records_never_prove_what_is_false() -> None:
    asked, true, false = claims(1, 2.0)
    closed, records = by_groups(asked, true)
    assert closed
    no_damage_proves(asked, true, false, records, seed=21)


def spoiled(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Record], Record]:
    return lambda record: Record(record.head, {**record.arrays, name: change(np.array(record.arrays[name]))})


def first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[0] = value
        return array

    return change


REFUSED: dict[str, tuple[Callable[[Record], Record], str]] = {
    "an input twice": (spoiled("reads", lambda x: np.concatenate([x[:1], x[:1], x[2:]])), "ascending"),
    "an input that is none": (spoiled("reads", first(9)), "ascending"),
    "another input": (spoiled("reads", lambda x: np.where(np.arange(len(x)) == 3, 8, x).astype("u4")), "does not name"),
    "fewer inputs": (spoiled("reads", lambda x: x[:-1]), "not as many"),
    "more inputs": (spoiled("many", first(5)), "not as many"),
    "no pieces": (spoiled("pieces", first(0)), "from 1 on"),
    "fewer pieces": (spoiled("pieces", lambda x: x[1:]), "from 1 on"),
    "a slope that is no number": (spoiled("slopes", first(np.nan)), "finite"),
    "an infinite slope": (spoiled("slopes", first(np.inf)), "finite"),
    "a member twice": (spoiled("chosen 1", lambda x: np.concatenate([x[:1], x[:-1]])), "two groups"),
    "a member that is none": (spoiled("chosen 1", first(12)), "beyond"),
    "a group that is none": (spoiled("group 1", lambda x: np.where(x == x.max(), 4, x).astype("u4")), "below 4"),
    "groups out of order": (spoiled("group 1", lambda x: x[::-1].copy()), "ascending"),
    "fewer members": (spoiled("chosen 1", lambda x: x[:-1]), "each needs one"),
    "too many cells": (spoiled("pieces", lambda x: np.full_like(x, 255)), "followed"),
    "a part that is none": (lambda r: Record({**r.head, "part": 2}, r.arrays), "part 2"),
    "weights that are not positive": (spoiled("weights", lambda x: 0 * x), "all 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_groups_that_are_none_are_refused(name: str) -> None:
    asked, true, _ = claims(1, 2.0)
    _, records = by_groups(asked, true)
    assert checked(asked, true, records).accepted
    change, reason = REFUSED[name]
    at = max(i for i, r in enumerate(records) if r.kind == "groups")
    with pytest.raises(DataError, match=reason):
        checked(asked, true, [*records[:at], change(records[at]), *records[at + 1 :]])


def test_values_that_no_relu_reads_alone_are_refused() -> None:
    asked, true, _ = claims(1, 2.0)
    _, records = by_groups(asked, true)
    arrays = dict(records[1].arrays)
    moved_arrays = {name.replace(" 1", " 2"): array for name, array in arrays.items()}
    with pytest.raises(DataError, match="no other nonlinear operator"):
        checked(asked, true, [records[0], Record(records[1].head, moved_arrays)])
    builder = GraphBuilder((2,))
    both = [builder.add(operator, 0) for operator in (nl.Relu(), nl.LeakyRelu(0.5))]
    graph = builder.build(builder.add(op.Concat(0), *both))
    whole = whole_of(graph, Region(-np.ones(2), np.ones(2)))
    with pytest.raises(DataError, match="no other nonlinear operator"):
        group_bound(whole, together(whole, 2), first_output(whole))


def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World.of(0)
    groups = together(world.whole(), 2)
    monkeypatch.setattr(module, "NUMBERS", 4 * 9)
    assert world.bound(groups) > -np.inf
    with pytest.raises(DataError, match="at most 2 "):
        world.bound(groups, exact=True)
    monkeypatch.setattr(module, "NUMBERS", 4 * 9 - 1)
    with pytest.raises(DataError, match="36 numbers"):
        world.bound(groups)
    monkeypatch.setattr(module, "MOST", 1)
    with pytest.raises(DataError, match="more than 1"):
        world.bound(groups)


@pytest.mark.parametrize("size", [1e120, 1e308])
def test_numbers_that_are_too_large_prove_nothing(size: float) -> None:
    builder = GraphBuilder((2,))
    value = builder.add(nl.Relu(), builder.add(op.Dense(np.array([[size, 1.0], [1.0, -1.0]]), np.zeros(2)), 0))
    graph = builder.build(builder.add(op.Dense(np.array([[size, 1.0]]), np.zeros(1)), value))
    whole = whole_of(graph, Region(-np.ones(2), np.ones(2)))
    assert group_bound(whole, together(whole, 2), first_output(whole)) == -np.inf


def test_groups_without_members_and_without_inputs() -> None:
    """Their forms are taken off and given back, which can only lower the bound."""
    world = World.of(3)
    groups = together(world.whole(), 4)
    more = replace(
        groups, reads=np.array([0, 1, 1]), begin=np.array([0, 2, 2, 3]), slopes=np.array([0, 0, 0.5]), pieces=np.array([4, 4, 2])
    )
    assert world.bound(groups) - 1.0 - 1e-9 < world.bound(more) <= world.bound(groups)
    empty = Groups(np.zeros(0, dtype=np.intp), np.zeros(1, dtype=np.intp), np.zeros(0), np.zeros(0, dtype=np.intp), {})
    assert world.bound(empty) <= world.truth


def test_records_hold_what_groups_are() -> None:
    world = World.of(1)
    groups = replace(together(world.whole(), 3), slopes=np.array([0.5, -2.0]))
    found = read_groups(Record({"record": "groups"}, group_arrays(groups)))
    for name in ("reads", "begin", "slopes", "pieces"):
        assert np.array_equal(getattr(found, name), getattr(groups, name))
    assert found.cells == 9
    assert all(np.array_equal(a, b) for a, b in zip(found.members[1], groups.members[1], strict=True))


def test_cells_cover_the_box_exactly() -> None:
    for exact in (False, True):
        a, low, high = Arithmetic(exact), np.array([-1.0, 0.1, 0.3]), np.array([0.7, 0.1, 1e3])
        lower, upper = module._cut(a, low, high, np.array([3, 2, 5]))
        assert lower.shape == (30, 3)
        assert (lower <= upper).all()
        sizes = (upper - lower).astype(np.float64)
        assert (sizes[:, 0] * sizes[:, 2]).sum() == pytest.approx(2 * 1.7 * 999.7)
        for i, (least, most) in enumerate(zip(low, high, strict=True)):
            edges = np.unique(np.concatenate([lower[:, i], upper[:, i]]).astype(np.float64))
            assert (edges[0], edges[-1]) == (least, most)
            assert set(lower[:, i]) | {high[i]} == set(upper[:, i]) | {low[i]}
