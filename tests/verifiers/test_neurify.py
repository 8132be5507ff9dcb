"""Neurify: decisions on small networks against points, multipliers against exact arithmetic, what it refuses, limits."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.results.guarantee import Guarantee
from netassay.specs.regions import Ball
from netassay.verifiers import neurify
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.neurify import Neurify, Program
from netassay.verifiers.probe import values
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.zonotope import Zonotopes
from netassay.verifiers.region import Regions
from random_graphs import random_graph

UNIT_SQUARE = Box.filled((2,), 0.0, 1.0)


def network(seed: int) -> Graph:
    """Two inputs, two hidden layers of 5, three outputs; small dyadic weights, so that float64 is exact on the grid."""
    rng = np.random.default_rng(seed)
    builder, value = GraphBuilder((2,)), 0
    for size in (5, 5):
        weight, bias = rng.integers(-8, 9, (size, builder.shape(value)[0])) / 8, rng.integers(-4, 5, size) / 8
        value = builder.add(nl.Relu(), builder.add(op.Dense(weight, bias), value))
    return builder.build(builder.add(op.Dense(rng.integers(-8, 9, (3, 5)) / 8, rng.integers(-8, 9, 3) / 8), value))


def claim(graph: Graph, seed: int) -> Claim:
    """One part of one row and one of two rows, moved so that the claim just holds on the grid, or just fails."""
    rows = np.random.default_rng([seed, 1]).integers(-2, 3, (3, 3)) / 1.0

    def moved(by: float) -> Claim:
        return Claim(graph, (Part(rows[:1], np.full(1, by)), Part(rows[1:], np.full(2, by))), strict=True)

    least = float(values(moved(0.0), Evaluator(BoundedGraph(graph)).outputs(points())).min())
    return moved((1 / 64 if seed % 2 else -1 / 64) - least)


def points(steps: int = 128) -> np.ndarray:
    axis = np.arange(steps + 1) / steps
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def last(findings: Iterator[Finding]) -> Finding:
    return list(findings)[-1]


def test_decisions_agree_with_points() -> None:
    decided, split = [], 0
    for seed in range(40):
        asked = claim(network(seed), seed)
        evaluator = Evaluator(BoundedGraph(asked.graph))
        least = float(values(asked, evaluator.outputs(points())).min())
        findings = list(Neurify().verify(Task(asked, Regions.of([UNIT_SQUARE]), Limits(Clock(60.0)))))
        found = findings[-1]
        assert found.proved or found.point is not None, (seed, found.reason)
        assert found.guarantee is Guarantee.PROVED
        assert all(f.lower <= least for f in findings), seed
        assert [f.lower for f in findings] == sorted(f.lower for f in findings), seed
        if found.proved:
            assert least > 0, seed
        else:
            assert found.point is not None
            assert UNIT_SQUARE.contains(found.point[None])[0]
            assert values(asked, evaluator.outputs(found.point[None]))[0] <= 0, seed
        decided.append(found.proved)
        split += found.subproblems > 2
    assert {True, False} == set(decided)
    assert split > 5


def test_no_answer_is_looser_than_backward_linear_bounds() -> None:
    """What is known when time is over, after the first subproblem, and after a few more."""
    tighter = 0
    for seed in range(30):
        asked = claim(network(seed), seed)
        task = Task(asked, Regions.of([UNIT_SQUARE]), Limits(Clock(60.0)))
        cheap = float(linear_bounds(asked, task.region).min())
        found = list(Neurify(refinements=3).verify(task))
        assert all(f.lower >= cheap for f in found if not f.proved), seed
        if not found[0].proved:
            zonotopes = Zonotopes(BoundedGraph(asked.graph), task.region)
            output = zonotopes.run()
            rows = [zonotopes.through(neurify._rows(asked, i), [output]) for i in range(len(asked.parts))]
            tighter += cheap > min(float(zonotopes.range_of(r)[0].max()) for r in rows)
    assert tighter > 3, "the first zonotopes alone are looser on some of them"


def test_both_solvers_agree() -> None:
    pytest.importorskip("highspy", reason="highspy is not installed; scipy's HiGHS is used then")
    rng = np.random.default_rng(3)
    for count in (1, 2, 6):
        forms, limits = rng.standard_normal((count, 30)), rng.standard_normal(count)
        one, other = (solve(forms, limits, None) for solve in (neurify._by_highspy, neurify._by_scipy))
        assert one is not None
        assert other is not None
        assert (forms @ one[0] - limits).max() == pytest.approx((forms @ other[0] - limits).max(), abs=1e-6)
        for _, multipliers in (one, other):
            assert multipliers.min() >= -1e-9
            assert multipliers.sum() == pytest.approx(1.0)


def exact_forms(program: Program, eps: np.ndarray) -> list[Fraction]:
    """Each form less its error, in rational arithmetic."""
    return [
        sum((Fraction(a) * Fraction(e) for a, e in zip(form, eps, strict=True)), Fraction(c) - Fraction(error))
        for form, c, error in zip(program.forms, program.constants, program.errors, strict=True)
    ]


@pytest.mark.parametrize("optimal", [False, True])
def test_no_multipliers_give_a_wrong_bound(optimal: bool) -> None:
    """Against symbols at which the signs hold, the program's own solution among them: no greatest row there is below the bound."""
    rng = np.random.default_rng(8)
    informative = 0
    for _ in range(60):
        constants, errors = rng.integers(-4, 5, 4) / 4, rng.integers(0, 3, 4) / 16
        program = Program(rng.integers(-4, 5, (4, 3)) / 4, constants, errors, rows=2)
        solved = program.solve()
        assert solved is not None
        bound = program.bound(solved[1] if optimal else rng.integers(-1, 4, 4) / 3.0)
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 3), axis=-1).reshape(-1, 3)
        forms = [exact_forms(program, eps) for eps in np.concatenate([grid, np.clip(solved[0], -1, 1)[None]])]
        allowed = [max(f[:2]) for f in forms if max(f[2:]) <= 0]
        if np.isfinite(bound):
            assert all(Fraction(bound) <= v for v in allowed)
            informative += bool(allowed)
        elif bound > 0:
            assert not allowed
    assert informative > 20


def test_multipliers_that_are_not_numbers_prove_nothing() -> None:
    program = Program(np.ones((2, 2)), np.array([5.0, 5.0]), np.zeros(2), rows=1)
    assert program.bound(np.array([1.0, 0.0])) == pytest.approx(3.0)
    assert program.bound(np.array([np.nan, np.nan])) == -np.inf
    assert program.bound(np.array([0.0, 0.0])) == -np.inf
    assert Program(np.full((1, 1), np.nan), np.ones(1), np.zeros(1), rows=1).bound(np.ones(1)) == -np.inf


def test_it_gives_up_at_its_limits() -> None:
    seed = next(s for s in range(40) if _subproblems(s) > 3)
    asked = claim(network(seed), seed)
    found = last(Neurify(refinements=1).verify(Task(asked, Regions.of([UNIT_SQUARE]))))
    assert found.reason == "incomplete"
    assert not found.proved
    found = last(Neurify().verify(Task(asked, Regions.of([UNIT_SQUARE]), Limits(Clock(1e-9)))))
    assert found.reason == "time-out"


def _subproblems(seed: int) -> int:
    return last(Neurify().verify(Task(claim(network(seed), seed), Regions.of([UNIT_SQUARE])))).subproblems


@pytest.mark.parametrize("scaled", [False, True])
def test_signs_of_neurons_that_read_the_inputs_one_by_one(scaled: bool) -> None:
    """ReLUs right after the inputs, or after a scaling of each: what their signs say of the input is followed too."""
    rng, split, x = np.random.default_rng(4), 0, 2 * points(64) - 1
    for _ in range(40):
        builder, value = GraphBuilder((2,)), 0
        if scaled:
            value = builder.add(op.MulConstant(rng.integers(1, 9, 2) / 4 * rng.choice([-1.0, 1.0], 2)), value)
            value = builder.add(op.AddConstant(rng.integers(-4, 5, 2) / 8), value)
        value = builder.add(nl.Relu(), value)
        for size in (3, 1):
            value = builder.add(nl.Relu(), value) if size == 1 else value
            value = builder.add(op.Dense(rng.integers(-8, 9, (size, builder.shape(value)[0])) / 8, rng.integers(-4, 5, size) / 8), value)
        graph = builder.build(value)
        least = float(Evaluator(BoundedGraph(graph)).outputs(x).min())
        for margin in (-0.03125, 0.03125):
            asked = Claim(graph, (Part(np.ones((1, 1)), np.array([margin - least])),), strict=True)
            task = Task(asked, Regions.of([Box.filled((2,), -1.0, 1.0)]), Limits(Clock(2.0)))
            finding = last(Neurify().verify(task))
            assert finding.lower <= margin
            assert not finding.proved or margin > 0
            split += finding.subproblems > 2
    assert split > 10


def test_what_it_does_not_serve_it_refuses() -> None:
    graph = random_graph("tanh", 0)
    smooth = Claim(graph, (Part(np.ones((1, graph.output_size)), np.zeros(1)),), strict=True)
    with pytest.raises(CapabilityError, match="Tanh"):
        Neurify().verify(Task(smooth, Regions.of([Box.filled(graph.input_shape, 0.0, 1.0)])))
    asked = claim(network(0), 0)
    with pytest.raises(CapabilityError, match="L-infinity"):
        Neurify().verify(Task(asked, Regions.of([Ball(np.zeros(2), 1.0, "l2")])))
    with pytest.raises(CapabilityError, match="bounded"):
        Neurify().verify(Task(asked, Regions.of([Box.unbounded((2,))])))
    ball = Ball(np.full(2, 0.5), 0.5, "linf")
    assert last(Neurify().verify(Task(asked, Regions.of([ball])))).reason == ""


@pytest.mark.parametrize("kind", ["convolution", "residual", "pooling"])
def test_other_layers_than_dense_ones(kind: str) -> None:
    for seed in range(4):
        graph = random_graph(kind, seed)
        if any(not isinstance(n.operator, nl.Relu) and not n.operator.linear for n in graph.nodes):
            continue
        asked = Claim(graph, (Part(np.ones((1, graph.output_size)), np.array([1.0])),), strict=True)
        box = Box.filled(graph.input_shape, -0.25, 0.25)
        found = last(Neurify(refinements=30).verify(Task(asked, Regions.of([box]))))
        drawn = np.random.default_rng(seed).integers(-16, 17, (300, *graph.input_shape)) / 64
        least = float(values(asked, Evaluator(BoundedGraph(graph)).outputs(drawn)).min())
        assert found.lower <= least
        assert not (found.proved and least <= 0)
