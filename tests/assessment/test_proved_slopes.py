"""Proved sides of slopes, and Theorem 1's radius, against what searches attain and what is exactly true."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import cast

import numpy as np
import pytest

from exact_planar import planar, steepest
from exact_radii import fractions
from netassay.assessment import proved_sides
from netassay.assessment.ask import ask
from netassay.models.scores import OutputConvention, Scale
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import LipschitzAnswer, Question, RadiusAnswer
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph

QUICK = Budget(queries=300)


@pytest.fixture(autouse=True)
def _moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for the proofs of one input."""
    monkeypatch.setattr(proved_sides, "PATIENCE", proved_sides.LEAST)


def slopes(problem: Problem) -> LipschitzAnswer:
    (answer,) = ask(Question.LIPSCHITZ, [problem], budget=QUICK, prover="crown")
    return cast(LipschitzAnswer, answer)


def robust(kind: str, seed: int, norm: str, scale: Scale = Scale.LOGITS) -> Problem:
    graph = random_graph(kind, seed)
    net = GraphNetwork(graph, name=kind, convention=OutputConvention(), domain=Box.filled(graph.input_shape, -2, 2))
    center = np.random.default_rng(seed).integers(-4, 5, graph.input_shape) / 4
    return Problem(net, Ball(center, 0.5, norm, domain=net.domain), Robustness.of(net, center, on=scale), 0)


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_the_brackets_close_around_q_and_theorem_1_gives_a_safe_radius(kind: str) -> None:
    for seed, norm in enumerate(("linf", "l2", "l1")):
        problem = robust(kind, seed, norm, Scale.PROBABILITIES if seed == 0 else Scale.LOGITS)
        answer = slopes(problem)
        for bracket in (answer.bracket, answer.falling):
            assert bracket.upper is not None
            assert (bracket.upper.guarantee, bracket.upper.arithmetic) == (Guarantee.PROVED, Arithmetic.REAL)
            assert bracket.lower is None or bracket.lower.value <= bracket.upper.value
        assert answer.falling.upper.value <= answer.bracket.upper.value  # type: ignore[union-attr]
        (nearest,) = ask(Question.RADIUS, [problem], budget=QUICK)
        witness = cast(RadiusAnswer, nearest).witness
        if answer.d_prime_lower is None:
            assert answer.center_value <= 1e-9
            continue
        assert answer.d_prime_lower.guarantee is Guarantee.PROVED
        assert "Theorem 1" in answer.d_prime_lower.source
        assert answer.d_prime_lower.value <= 0.5
        assert witness is None or answer.d_prime_lower.value <= float(witness.distance or 0.0)


def test_theorem_1_of_a_planar_network_is_below_the_exact_one() -> None:
    """d' of the exact falling slope, and the exact radius, which is no smaller."""
    compared = 0
    for seed in range(8):
        network, graph = planar(seed)
        net = GraphNetwork(graph, name="planar", convention=OutputConvention(), domain=Box.filled((2,), -4, 4))
        center = np.random.default_rng([seed, 3]).integers(-4, 5, 2) / 4 + np.array([1 / 64, 3 / 128])
        problem = Problem(net, Ball(center, 1.0, "linf", domain=net.domain), Robustness.of(net, center, on=Scale.LOGITS), 0)
        label = int(problem.property.parameters()["label"])
        point = fractions(center)
        falling, rising = steepest(network, "linf", point, Fraction(1), label)
        answer = slopes(problem)
        assert answer.falling.upper is not None
        assert answer.bracket.upper is not None
        assert Fraction(answer.falling.upper.value) >= falling
        assert Fraction(answer.bracket.upper.value) >= max(falling, rising)
        start = min(network.margins(point, label))
        if answer.d_prime_lower is not None and falling:
            exact = network.radius("linf", point, label, Fraction(-4), Fraction(4))
            assert Fraction(answer.d_prime_lower.value) <= min(Fraction(1), start / falling)
            assert exact is None or Fraction(answer.d_prime_lower.value) <= exact
            compared += 1
    assert compared >= 5


def test_an_affine_network_is_bracketed_to_rounding() -> None:
    """Here what is attained and what is proved meet; rounding of either must not make them cross."""
    from netassay.models import operators as op
    from netassay.models.graph import Graph, Node

    for seed in range(5):
        rng = np.random.default_rng(seed)
        graph = Graph((6,), (Node(op.Dense(rng.normal(size=(2, 6)) * 100, rng.normal(size=2)), (0,)),))
        net = GraphNetwork(graph, name="affine", convention=OutputConvention(), domain=Box.filled((6,), -1, 1))
        center = rng.uniform(-0.3, 0.3, 6)
        answer = slopes(Problem(net, Ball(center, 1e-4, "linf", domain=net.domain), Robustness.of(net, center, on=Scale.LOGITS), 0))
        assert answer.bracket.lower is not None
        assert answer.bracket.upper is not None
        assert math.isclose(answer.bracket.lower.value, answer.bracket.upper.value, rel_tol=1e-3)


def test_what_cannot_be_followed_leaves_a_note() -> None:
    problem = robust("dense", 1, "linf")
    answer = slopes(replace(problem, region=Ball(np.zeros(3), 2, "l0", domain=Box.filled((3,), -2, 2))))
    assert answer.bracket.upper is None
    assert answer.d_prime_lower is None
    assert any("L0" in note for note in answer.notes)
