"""Branch and bound over neurons against the exact minimum of tiny networks, and bugs planted in it that must show."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch

from exact_polygons import Piece, affine_pieces, box, claim_about, cut, least, tiny
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from netassay.numerics.budget import Clock
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.branch_and_bound import neuron_search, neuron_splitting
from netassay.verifiers.branch_and_bound.branching import children
from netassay.verifiers.branch_and_bound.neuron_search import NeuronSearch
from netassay.verifiers.branch_and_bound.neuron_splitting import NeuronSplitting
from netassay.verifiers.branch_and_bound.pool import Nodes, Pool
from netassay.verifiers.branch_and_bound.range_splitting import RangeSplitting, split_ranges
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.propagation.optimised import Ascent, ascend
from netassay.verifiers.propagation.root import Root
from netassay.verifiers.propagation.steered import ABOVE, BELOW, Rows, Steered
from netassay.verifiers.region import Regions
from random_graphs import random_graph

PLAIN = NeuronSplitting(attack=0, rows=2, tighten=0, steps=3, leaves=0)
"""As little help as possible, so that the splits do the work."""


def last(verifier: NeuronSplitting, claim: Claim, region: Regions, limits: Limits | None = None) -> Finding:
    *_, finding = verifier.verify(Task(claim, region, limits or Limits()))
    return finding


def exact_least(graph: Graph, rows: np.ndarray) -> Fraction:
    region = box(graph)
    pieces = affine_pieces(graph, region.lower[0], region.upper[0])
    return min(least(pieces, -1, row) for row in rows)


def check_decisions(seed: int, verifier: NeuronSplitting) -> None:
    """Claims just above and just below the exact minimum are decided, and rightly."""
    graph, rows = tiny(seed), np.eye(2)
    truth = exact_least(graph, rows)
    for shift, holds in ((2.0**-10, True), (-(2.0**-10), False)):
        constant = float(-truth) + shift
        assert (truth + Fraction(constant) > 0) == holds
        finding = last(verifier, claim_about(graph, rows, np.full(2, constant)), box(graph))
        assert finding.proved == holds, (seed, shift)
        assert (finding.point is not None) == (not holds), (seed, shift)
        assert finding.lower == -np.inf or Fraction(finding.lower) <= truth + Fraction(constant)


@pytest.mark.parametrize("seed", range(12))
def test_tiny_networks_are_decided_next_to_their_exact_minimum(seed: int) -> None:
    check_decisions(seed, PLAIN)


@pytest.mark.parametrize("seed", range(4))
def test_with_every_help_the_decisions_are_the_same(seed: int) -> None:
    check_decisions(seed, NeuronSplitting(attack=20, leaves=4))


@pytest.mark.parametrize("seed", range(6))
def test_the_minimum_is_enclosed_to_the_tolerance(seed: int) -> None:
    graph, rows = tiny(seed), np.eye(2)[:1]
    truth = exact_least(graph, rows)
    finding = last(NeuronSplitting(attack=20, tolerance=1e-3, leaves=0), claim_about(graph, rows, np.zeros(1)), box(graph))
    assert Fraction(finding.lower) <= truth <= finding.least + 1e-9
    assert finding.least - finding.lower <= 1e-3
    assert not finding.proved


def test_findings_never_get_worse() -> None:
    graph = tiny(3)
    claim = claim_about(graph, np.eye(2), np.full(2, float(-exact_least(graph, np.eye(2))) + 2.0**-10))
    lowers = [f.lower for f in NeuronSplitting(attack=0, tighten=2, batch=1).verify(Task(claim, box(graph)))]
    assert len(lowers) > 3
    assert lowers == sorted(lowers)


def test_what_waits_is_proved_when_the_search_ends() -> None:
    """The bound of all rises to what the waiting subproblems have, never above the exact minimum, and none of them is lost."""
    rises = []
    for seed in range(6):
        graph = tiny(seed)
        truth = exact_least(graph, np.eye(2))
        claim = claim_about(graph, np.eye(2), np.full(2, float(-truth) - 2.0**-10))
        options = NeuronSplitting(rows=0, tighten=0, batch=2, leaves=0)
        search = NeuronSearch(Root.of(claim, box(graph)), Task(claim, box(graph)), options, 0.0)
        list(search.prepare())
        for _ in range(3):
            if len(search.pool):
                search.step(0.0)
        before, waiting = search.lower, len(search.pool)
        search.prove_waiting(60.0)
        assert len(search.pool) == waiting
        assert Fraction(search.lower) <= -(Fraction(2) ** -10)
        rises.append(search.lower - before)
    assert min(rises) >= 0
    assert max(rises) > 1e-3


def test_when_time_is_nearly_over_what_waits_is_proved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the search goes on to the right decision."""
    asked: list[float] = []
    own = NeuronSearch.prove_waiting

    def noting(self: NeuronSearch, seconds: float) -> None:
        asked.append(seconds)
        own(self, seconds)

    monkeypatch.setattr(NeuronSearch, "prove_waiting", noting)
    monkeypatch.setattr(neuron_splitting, "LATE", -1.0)
    graph = tiny(3)
    claim = claim_about(graph, np.eye(2), np.full(2, float(-exact_least(graph, np.eye(2))) + 2.0**-10))
    finding = last(NeuronSplitting(attack=0, tighten=0, batch=1), claim, box(graph), Limits(Clock(600.0)))
    assert finding.proved
    assert len(asked) == 1
    assert 0 < asked[0] <= 600


def test_any_row_of_a_part_suffices() -> None:
    """y = x and y' = -x + 1/8 over [-1, 1]: neither is positive everywhere, but one always is, and only their mean shows it."""
    builder = GraphBuilder((2,))
    hidden = builder.add(nl.Relu(), builder.add(op.Dense(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros(2)), 0))
    graph = builder.build(builder.add(op.Dense(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([0.0, 0.125])), hidden))
    for constant, holds in ((0.0, True), (-0.25, False)):
        claim = Claim(graph, (Part(np.eye(2), np.full(2, constant)),), strict=True)
        finding = last(NeuronSplitting(attack=0, tighten=0), claim, box(graph))
        assert finding.proved == holds
        assert (finding.point is None) == holds


def test_a_point_region_and_a_linear_network_need_no_split() -> None:
    graph = tiny(0, (2, 2))
    region = box(graph, 0.0)
    value = graph.nodes[0].operator.bias  # type: ignore[attr-defined]
    finding = last(NeuronSplitting(attack=0), claim_about(graph, np.eye(2), 0.5 - value), region)
    assert finding.proved
    assert finding.lower <= 0.5


def test_time_and_memory_are_respected() -> None:
    graph = tiny(5)
    claim = claim_about(graph, np.eye(2), np.full(2, float(-exact_least(graph, np.eye(2))) + 2.0**-30))
    assert last(PLAIN, claim, box(graph), Limits(Clock(0.0))).reason == "time-out"
    assert last(PLAIN, claim, box(graph), Limits(memory=1)).reason == "memory"


# -- smooth functions, other operators, balls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "leaky", "convolution", "residual", "pooling", "products", "gelu"])
def test_no_point_lies_below_the_bound_of_any_graph(kind: str) -> None:
    for seed in range(3):
        graph = random_graph(kind, seed)
        rng = np.random.default_rng(seed)
        region = box(graph, 0.5)
        row = np.eye(graph.output_size)[:1]
        points = rng.uniform(-0.5, 0.5, (2000, *graph.input_shape))
        with torch.no_grad():
            outputs = GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()
        claim = claim_about(graph, row, np.zeros(1))
        plain = Root.of(claim, region).least
        finding = last(NeuronSplitting(attack=20, tolerance=1e-3, leaves=0, batch=8), claim, region, Limits(Clock(0.5)))
        assert finding.lower <= outputs[:, 0].min() + 1e-12
        assert finding.lower >= plain


def test_a_smooth_network_is_split_until_its_minimum_is_known() -> None:
    builder = GraphBuilder((2,))
    hidden = builder.add(nl.Tanh(), builder.add(op.Dense(np.array([[2.0, 1.0], [-1.0, 1.5]]), np.zeros(2)), 0))
    graph = builder.build(builder.add(op.Dense(np.array([[1.0, -1.0]]), np.zeros(1)), hidden))
    claim = claim_about(graph, np.ones((1, 1)), np.zeros(1))
    finding = last(NeuronSplitting(attack=100, tolerance=0.02, leaves=0), claim, box(graph), Limits(Clock(20.0)))
    assert finding.least - finding.lower <= 0.02 < finding.least - Root.of(claim, box(graph)).least
    points = np.random.default_rng(0).uniform(-1, 1, (10_000, 2))
    values = np.tanh(points @ [2.0, 1.0]) - np.tanh(points @ [-1.0, 1.5])
    assert finding.lower <= values.min() + 1e-12


# -- rows with any choices at all ----------------------------------------------------------------------------------------------------


def steered_of(graph: Graph) -> Steered:
    return Root.of(claim_about(graph, np.eye(2), np.zeros(2)), box(graph)).steered()


def random_rows(steered: Steered, rng: np.random.Generator, count: int) -> Rows:
    """Random splits, slopes and multipliers, of the wrong sign as often as not."""
    rows = steered.rows(torch.eye(2)[torch.from_numpy(rng.integers(0, 2, count))])
    shape = (count, steered.neurons)
    rows.slope = torch.from_numpy(rng.random(shape)).float()
    rows.code = torch.from_numpy(rng.choice(3, shape, p=(0.7, 0.15, 0.15)).astype(np.int8))
    rows.multiplier = torch.from_numpy(rng.normal(0, 3, shape)).float()
    return rows


def pieces_of_row(steered: Steered, pieces: list[Piece], code: np.ndarray) -> list[Piece]:
    """What is left of the pieces where every split neuron keeps its phase."""
    for group in steered.groups:
        for k, unit in enumerate(group.index):
            side = {ABOVE: 1, BELOW: -1}.get(int(code[group.begin + k]))
            if side is not None:
                pieces = [(part, values) for p, values in pieces if (part := cut(p, values[group.value][unit], side))]
    return pieces


def check_rows(seed: int) -> int:
    """No proved bound lies above the exact minimum of its part; returns how many parts had points."""
    graph, rng = tiny(seed), np.random.default_rng(seed)
    steered, region = steered_of(graph), box(graph)
    everything = affine_pieces(graph, region.lower[0], region.upper[0])
    rows = random_rows(steered, rng, 60)
    assert rows.code is not None
    proved = steered.prove(rows)
    met = 0
    for i in range(len(rows)):
        pieces = pieces_of_row(steered, everything, rows.code[i].numpy())
        if pieces:
            met += 1
            assert Fraction(proved[i]) <= least(pieces, -1, rows.start[i].numpy()), (seed, i)
    return met


@pytest.mark.parametrize("seed", range(8))
def test_any_choices_give_true_bounds(seed: int) -> None:
    assert check_rows(seed) > 5


def test_gradients_are_those_of_the_bound() -> None:
    rng = np.random.default_rng(1)
    steered = steered_of(tiny(1))
    rows = random_rows(steered, rng, 5)
    assert rows.multiplier is not None
    assert rows.code is not None
    back = steered.back(rows)
    gradients = steered.gradients(rows, back)
    assert gradients.multiplier is not None
    for name, gradient in (("slope", gradients.slope), ("multiplier", gradients.multiplier)):
        for column in range(steered.neurons):
            moved = rows.take(torch.arange(len(rows)))
            getattr(moved, name)[:, column] += 1e-3
            change = (steered.back(moved).lower - back.lower) / 1e-3
            assert torch.allclose(change, gradient[:, column], atol=0.05, rtol=0.02), (name, column)


@pytest.mark.parametrize("seed", range(5))
def test_small_trees_tighten_ranges_and_keep_every_value(seed: int) -> None:
    graph = tiny(seed, (2, 4, 4, 3, 2))
    root = Root.of(claim_about(graph, np.eye(2), np.zeros(2)), box(graph))
    pieces = affine_pieces(graph, root.region.lower[0], root.region.upper[0])
    tight = split_ranges(root.bounded, root.region, root.ranges, RangeSplitting(16), Limits(), np.inf)
    narrower = 0
    for value, (before, after) in enumerate(zip(root.ranges, tight, strict=True)):
        if before is None or after is None:
            continue
        units = np.eye(before[0].size)
        for k, unit in enumerate(units):
            assert before[0][0, k] <= after[0][0, k] <= least(pieces, value, unit)
            assert before[1][0, k] >= after[1][0, k] >= -least(pieces, value, -unit)
        narrower += int((after[1] - after[0] < before[1] - before[0]).sum())
    assert narrower or all((r[0] >= 0).all() or (r[1] <= 0).all() for r in root.ranges[3:] if r is not None)


# -- bugs planted by hand ------------------------------------------------------------------------------------------------------------


def failed(check: Callable[[], object]) -> bool:
    try:
        check()
    except AssertionError:
        return True
    return False


def test_a_multiplier_of_the_wrong_sign_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Steered._multipliers

    def wrong(self, rows):  # type: ignore[no-untyped-def]
        extra, constant = right(self, rows)
        return {value: -coefficients for value, coefficients in extra.items()}, constant

    monkeypatch.setattr(Steered, "_multipliers", wrong)
    assert any(failed(lambda s=seed: check_rows(s)) for seed in range(8))  # type: ignore[misc]


def test_a_multiplier_without_its_split_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Steered._multipliers

    def wrong(self, rows):  # type: ignore[no-untyped-def]
        return right(self, Rows(rows.start, rows.slope, torch.full_like(rows.code, ABOVE | BELOW), None, None, rows.multiplier))

    monkeypatch.setattr(Steered, "_multipliers", wrong)
    assert any(failed(lambda s=seed: check_rows(s)) for seed in range(8))  # type: ignore[misc]


def test_an_unsound_clamp_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Steered._ends

    def wrong(self, group, code, rows):  # type: ignore[no-untyped-def]
        low, high = right(self, group, code, rows)
        return low, np.where(code.numpy() == 0, high / 2, high)

    monkeypatch.setattr(Steered, "_ends", wrong)
    assert any(failed(lambda s=seed: check_rows(s)) for seed in range(8))  # type: ignore[misc]


def test_a_lost_child_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(steered, rows, column):  # type: ignore[no-untyped-def]
        both = children(steered, rows, column)
        return both.take(torch.arange(len(rows)).repeat(2))

    monkeypatch.setattr(neuron_search, "children", lost)
    monkeypatch.setattr(neuron_splitting._Run, "_see_points", lambda self, points: None)
    assert any(failed(lambda s=seed: check_decisions(s, PLAIN)) for seed in range(12))  # type: ignore[misc]


# -- parts ---------------------------------------------------------------------------------------------------------------------------


def test_the_pool_returns_what_it_was_given() -> None:
    rng = np.random.default_rng(0)
    pool, given = Pool(3, 2, ranged=False), {}
    for _ in range(30):
        count = int(rng.integers(1, 200))
        rows = Rows(torch.zeros(count, 2), torch.from_numpy(rng.random((count, 3))).float(), torch.zeros(count, 3, dtype=torch.int8))
        rows.multiplier = torch.from_numpy(rng.random((count, 3))).float()
        nodes = Nodes(rows, rng.integers(0, 4, count), rng.random(count), rng.random(count))
        given.update({float(e): float(m) for e, m in zip(nodes.estimate, rows.multiplier[:, 0], strict=True)})
        pool.add(nodes)
        taken = pool.pop(int(rng.integers(1, 150)))
        assert taken.rows.multiplier is not None
        order = sorted(given)[: len(taken)]
        assert sorted(taken.estimate) == order
        for e, m in zip(taken.estimate, taken.rows.multiplier[:, 0], strict=True):
            assert given.pop(float(e)) == float(m)
        assert len(pool) == len(given)


def test_ascent_never_loses_what_it_had() -> None:
    steered = steered_of(tiny(2))
    rows = steered.rows(torch.eye(2))
    before = steered.back(rows).lower
    best, kept = ascend(steered, rows, Ascent(15))
    assert (best >= before).all()
    assert torch.allclose(steered.back(kept).lower, best)
