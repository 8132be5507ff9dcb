"""The proved side of a radius: never below what bounds alone prove, whatever becomes of the prover, and never above a witness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import netassay.assessment.proved_radius as proved_radius
from netassay.api import radius
from netassay.assessment.proved_radius import CLIMBS, TOLERANCE, safe_balls
from netassay.assessment.proved_sides import ProvedSides
from netassay.assessment.proving import Proof, Prover
from netassay.checking.replay import Replayer
from netassay.models.scores import OutputConvention, Scale
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import GIBIBYTE, Budget
from netassay.results.bracket import Side
from netassay.results.guarantee import Guarantee
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from random_graphs import random_graph

LARGEST = 2.0


class Idle(Prover):
    """Settles nothing, at once."""

    def __init__(self, *, stopped: bool = False) -> None:
        super().__init__("auto", order="none", memory=GIBIBYTE, interrupted=lambda: stopped, seed=0)
        self.asked: list[float] = []

    def settled(self, problem: Problem, seconds: float) -> Proof:
        self.asked.append(problem.ball.radius)
        return Proof(-math.inf, False, Guarantee.PROVED, self.method, reason="time-out")


def problem_of(seed: int, norm: str) -> Problem:
    graph = random_graph("dense", seed)
    network = GraphNetwork(graph, name="random", convention=OutputConvention(), domain=Box.filled(graph.input_shape, -4.0, 4.0))
    center = np.random.default_rng(seed).uniform(-1, 1, size=graph.input_shape)
    return Problem(network, Ball(center, LARGEST, norm, domain=network.domain), Robustness.of(network, center, on=Scale.LOGITS))


def by_bounds(problem: Problem, upper: float) -> float:
    """The largest ball that linear bounds prove, by bisection, one ball at a time."""
    claim, lower = claim_of(problem), 0.0
    while upper - lower > 1e-9:
        middle = (lower + upper) / 2
        value = float(linear_bounds(claim, Regions.of([problem.ball.with_radius(middle)])).min())
        lower, upper = (middle, upper) if claim.holds(value) else (lower, middle)
    return lower


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("seed", range(4))
def test_a_prover_that_settles_nothing_leaves_what_bounds_prove(seed: int, norm: str) -> None:
    problem = problem_of(seed, norm)
    radii = [ball.radius for ball in safe_balls(problem, math.inf, Idle(), 60.0)]
    assert radii == sorted(radii)
    assert 0 < radii[-1] < LARGEST
    assert radii[-1] == pytest.approx(by_bounds(problem, LARGEST), rel=2 * TOLERANCE)


def test_a_ball_up_to_a_witness_is_not_called_safe() -> None:
    """Where bounds prove all, the witness's own ball stays out."""
    problem = problem_of(0, "linf")
    near = by_bounds(problem, LARGEST) / 2
    radii = [ball.radius for ball in safe_balls(problem, near, Idle(), 60.0)]
    assert (1 - 2 * TOLERANCE) * near < radii[-1] < near


def test_the_prover_starts_where_bounds_end() -> None:
    prover, problem = Idle(), problem_of(1, "linf")
    last = [ball.radius for ball in safe_balls(problem, math.inf, prover, 60.0)][-1]
    assert prover.asked[0] == pytest.approx(LARGEST, rel=2 * TOLERANCE)
    assert len(prover.asked) > 2
    assert min(prover.asked) > last


@pytest.mark.parametrize("stopped", [False, True])
def test_ladders_end_where_bounds_prove_nothing(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    asked: list[float] = []

    def nothing(claim: Any, regions: Regions) -> np.ndarray:
        asked.append(float((regions.upper - regions.lower).max(axis=1).min()))
        return np.full((len(claim.parts), len(regions)), np.nan)

    monkeypatch.setattr(proved_radius, "linear_bounds", nothing)
    balls = list(safe_balls(problem_of(2, "linf"), math.inf, Idle(stopped=stopped), 0.5))
    assert [ball.radius for ball in balls] == [0.0] * len(balls)
    assert len(asked) == (2 if stopped else CLIMBS)
    assert min(asked) > 0


class Believed(Prover):
    """Takes a solver's word up to a radius, and settles nothing beyond."""

    def __init__(self, most: float) -> None:
        super().__init__("auto", order="none", memory=GIBIBYTE, interrupted=lambda: False, seed=0)
        self._most = most

    def settled(self, problem: Problem, seconds: float) -> Proof:
        if problem.ball.radius <= self._most:
            return Proof(0.0, True, Guarantee.SOLVER, self.method)
        return Proof(-math.inf, False, Guarantee.PROVED, self.method, reason="time-out")


def test_a_solvers_word_does_not_become_a_proof_by_what_is_left_undecided() -> None:
    """Larger balls that nobody settles say nothing of how a smaller one was."""
    problem = problem_of(1, "linf")
    found = radius(problem.network, problem.property, problem.center, radius=LARGEST, budget=Budget(queries=40), prover=None)
    assert isinstance(found.bracket.upper, Side)
    bounds, near = by_bounds(problem, LARGEST), min(LARGEST, found.bracket.upper.value)
    answer = ProvedSides(Believed((bounds + near) / 2), Replayer(problem.network)).one(found, problem, 60.0)
    lower = answer.bracket.lower  # type: ignore[union-attr]
    assert lower.guarantee is Guarantee.PROVED
    assert bounds * (1 - 2 * TOLERANCE) <= lower.value <= bounds * (1 + TOLERANCE)
