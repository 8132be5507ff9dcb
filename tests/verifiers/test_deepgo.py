"""Nested Lipschitz optimisation against exact minima: never above them, and as near as was asked for."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from exact_planar import planar_problem, task
from netassay.errors import CapabilityError
from netassay.models import operators as op
from netassay.models.graph import Graph, Node
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.results.guarantee import Guarantee
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers import deepgo
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.deepgo import DeepGo
from netassay.verifiers.probe import values
from random_graphs import GraphOnly, random_graph


def last(verifier: DeepGo, asked: Task) -> Finding:
    found = list(verifier.verify(asked))
    for before, after in pairwise(found):
        assert after.lower >= before.lower
        assert after.least <= before.least
    return found[-1]


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_is_below_the_minimum_and_near_it(seed: int) -> None:
    problem, exact = planar_problem(seed)
    found = last(DeepGo(tolerance=0.01), task(problem))
    assert Fraction(found.lower) <= exact
    assert Fraction(found.least) >= exact - Fraction(1, 10**12)  # evaluated in floating point
    assert found.least - found.lower <= 0.01
    assert found.guarantee is Guarantee.PROVED


@pytest.mark.parametrize("seed", range(12))
def test_verdicts_are_right(seed: int) -> None:
    problem, exact = planar_problem(seed)
    found = last(DeepGo(), task(problem))
    assert found.proved is (exact > 0)
    assert (found.point is not None) is (exact <= 0)
    if found.point is not None:
        assert problem.region.contains(found.point[None])[0]


def test_a_smooth_network_of_three_inputs() -> None:
    graph = random_graph("tanh", 1)
    center = np.zeros(3)
    asked = OutputHalfspaces([np.eye(3)[:1], np.eye(3)[1:]], [np.full(1, -8.0), np.full(2, -8.0)])
    problem = Problem(GraphOnly(graph), Ball(center, 0.25, "linf", mask=np.array([True, False, True])), asked)
    found = last(DeepGo(tolerance=0.02), task(problem))
    assert found.proved
    assert 0 <= found.least - found.lower <= 0.02


def test_a_planted_bug_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants that are too small put the bound above the minimum somewhere."""
    true_constants = deepgo._Search._proved
    monkeypatch.setattr(deepgo._Search, "_proved", lambda self: 0.3 * true_constants(self))
    wrong = 0
    for seed in range(12):
        problem, exact = planar_problem(seed)
        wrong += Fraction(last(DeepGo(tolerance=0.01), task(problem)).lower) > exact
    assert wrong


def test_constants_of_pieces_bound_the_differences_of_minima_and_no_more_than_those_of_the_box() -> None:
    """Along the second coordinate, of s itself; along the first, of its least value over a grid of the second, no steeper than s."""
    smaller, count = 0, 17
    for seed in range(12):
        problem, _ = planar_problem(seed)
        search = deepgo._Search(task(problem), DeepGo(tolerance=0.01))
        ends = [np.linspace(low, high, count) for low, high in zip(search._low, search._high, strict=True)]
        grid = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 2)
        seen = values(search._claim, search._evaluator.outputs(grid.reshape(-1, *search._shape))).reshape(count, count)
        for axis, along in ((0, seen.min(axis=1)[None]), (1, seen)):
            prefixes = np.zeros((1, 0)) if axis == 0 else ends[0][:, None]
            for begin in (0, 8, 12):
                a, b = (np.full(len(prefixes), ends[axis][i]) for i in (begin, begin + 4))
                whole = np.full(len(prefixes), search._constants[axis])
                found = search._constants_between(prefixes, a, b, whole)
                steepest = np.abs(np.diff(along[:, begin : begin + 5], axis=1)).max(axis=1) / (ends[axis][1] - ends[axis][0])
                assert (found >= steepest * (1 - 1e-9)).all(), (seed, axis)
                assert (found <= whole).all()
                smaller += int((found < 0.9 * whole).sum())
    assert smaller > 100


def test_estimated_constants_prove_nothing() -> None:
    for seed in range(6):
        problem, _ = planar_problem(seed)
        found = last(DeepGo(tolerance=0.05, estimated=2.0), task(problem))
        assert found.guarantee is Guarantee.HEURISTIC
        assert not found.proved


def test_a_single_point_and_the_end_of_time() -> None:
    problem, exact = planar_problem(2)
    assert exact < 0
    corner = Box(problem.region.lower, problem.region.lower)
    found = last(DeepGo(), task(Problem(problem.network, corner, problem.property)))
    assert found.proved or found.point is not None
    hard = Problem(GraphOnly(random_graph("residual", 3)), Box.filled((3,), -2, 2), Robustness(0, on=Scale.LOGITS))
    found = last(DeepGo(tolerance=1e-9), task(hard, Limits(Clock(0.2))))
    assert found.reason == "time-out"
    assert found.least - found.lower > 1e-9


def test_what_is_not_served_is_refused() -> None:
    robust = Robustness(0, on=Scale.LOGITS)
    image = Problem(GraphOnly(random_graph("convolution", 0)), Box.filled((1, 4, 4), 0, 1), robust)
    with pytest.raises(CapabilityError, match="at most 6"):
        next(DeepGo().verify(task(image)))
    for region in (Ball(np.zeros(3), 0.5, "l2"), Box.unbounded((3,))):
        with pytest.raises(CapabilityError, match="boxes"):
            next(DeepGo().verify(task(Problem(GraphOnly(random_graph("dense", 0)), region, robust))))


def test_what_overflows_proves_nothing() -> None:
    huge = Graph((1,), (Node(op.Dense(np.array([[1e150]]), np.zeros(1)), (0,)), Node(op.Dense(np.array([[1e150]]), np.zeros(1)), (1,))))
    asked = OutputHalfspaces([np.eye(1)], [np.full(1, -1.0)])
    (found,) = DeepGo().verify(task(Problem(GraphOnly(huge), Box.filled((1,), 0, 1), asked)))
    assert (found.proved, found.lower, found.reason) == (False, -np.inf, "incomplete")
