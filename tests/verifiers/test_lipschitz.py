"""Proved slopes against exact ones: never below, with zero tolerance, and equal up to rounding where they should be."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from exact_planar import planar, steepest
from exact_radii import fractions, size
from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Scale
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers import lipschitz
from netassay.verifiers.claim import claim_of
from netassay.verifiers.lipschitz import SlopeBounds, slope_bounds
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, GraphOnly, random_graph

NORMS = ("linf", "l2", "l1")


def proved(problem: Problem, rounds: int = 12, attained: tuple[float, float] = (0.0, 0.0)) -> SlopeBounds:
    """The last bounds of some rounds; every one is at least as good as the one before."""
    found = list(islice(slope_bounds(claim_of(problem, exact=True), problem.ball, attained=attained), rounds))
    for before, after in pairwise(found):
        assert after.falling <= before.falling
        assert after.rising <= before.rising
    return found[-1]


def _dense(matrix: np.ndarray, offset: np.ndarray) -> Graph:
    builder = GraphBuilder((matrix.shape[1],))
    return builder.build(builder.add(op.Dense(matrix, offset), 0))


def _dual(norm: str, weights: list[Fraction]) -> Fraction:
    """The dual norm of weights >= 0; squared for L2."""
    if norm == "linf":
        return sum(weights, Fraction(0))
    return max(weights) if norm == "l1" else sum((w * w for w in weights), Fraction(0))


def _at_least(norm: str, bound: float, exact: Fraction) -> bool:
    """Whether the bound is not below the exact slope, which is squared for L2."""
    return Fraction(bound) ** 2 >= exact if norm == "l2" else Fraction(bound) >= exact


def _close(norm: str, bound: float, exact: Fraction, share: float = 1e-9) -> bool:
    return bound <= (float(exact) ** 0.5 if norm == "l2" else float(exact)) * (1 + share) + 1e-100


@pytest.mark.parametrize("inputs", [3, 40])
@pytest.mark.parametrize("norm", NORMS)
def test_the_slope_of_an_affine_map_is_its_dual_norm(norm: str, inputs: int) -> None:
    """Features that are fixed do not count; one at a wall of the domain counts on one side only; distances have units."""
    rng = np.random.default_rng(inputs)
    for seed in range(4):
        row = rng.normal(size=inputs)
        center = np.where(rng.random(inputs) < 0.3, 1.0, rng.uniform(-0.5, 0.5, inputs))
        mask = rng.random(inputs) < 0.8
        mask[0] = True
        scale = rng.choice([0.5, 1.0, 3.0], inputs)
        ball = Ball(center, 0.25, norm, domain=Box.filled((inputs,), -1, 1), mask=mask, scale=scale)
        problem = Problem(GraphOnly(_dense(row[None], np.array([0.3]))), ball, OutputHalfspaces([np.eye(1)], [np.zeros(1)]))
        found = proved(problem)
        moved = [(Fraction(float(a)), Fraction(float(u)), c == 1.0) for a, u, c, m in zip(row, scale, center, mask, strict=True) if m]
        for sign, bound in ((1, found.falling), (-1, found.rising)):
            weights = [abs(a) * u if sign * a > 0 or not wall else Fraction(0) for a, u, wall in moved]
            exact = _dual(norm, weights)
            assert _at_least(norm, bound, exact), seed
            assert _close(norm, bound, exact), seed


def _planar_problem(seed: int, norm: str) -> tuple[Problem, tuple[Fraction, Fraction]]:
    network, graph = planar(seed)
    rng = np.random.default_rng([seed, 3])
    center, label = (
        rng.integers(-4, 5, 2) / 4 + np.array([1 / 64, 3 / 128]),
        int(rng.integers(3)),
    )  # on no kink, where boxes never come near
    asked = Robustness(label, on=Scale.LOGITS)
    exact = steepest(network, norm, fractions(center), Fraction(1, 2), label)
    return Problem(GraphOnly(graph), Ball(center, 0.5, norm, domain=Box.filled((2,), -4, 4)), asked), exact


@pytest.mark.parametrize("few", [0, lipschitz.FEW_INPUTS])
@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_one_hidden_layer_against_all_its_pieces(norm: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By shells (``few`` = 0) and by boxes, which come near to the exact slopes."""
    monkeypatch.setattr(lipschitz, "FEW_INPUTS", few)
    for seed in range(12):
        problem, exact = _planar_problem(seed, norm)
        found = proved(problem, 80, (float(exact[0]), float(exact[1])))
        assert Fraction(found.falling) >= exact[0], seed
        assert Fraction(found.rising) >= exact[1], seed
        if few:
            assert found.falling <= float(exact[0]) * 1.02 + 1e-2, seed
            assert found.rising <= float(exact[1]) * 1.02 + 1e-2, seed


def _points(ball: Ball, rng: np.random.Generator) -> np.ndarray:
    drawn = ball.sample(60, rng)
    points = np.concatenate([drawn, ball.center + (drawn - ball.center) / 8, ball.project(ball.center + rng.normal(size=drawn.shape))])
    points = np.round(points * 256) / 256
    return points[ball.contains(points)]


def _beyond(kind: str, norm: str, seed: int, *, exact: bool = False) -> int:
    """How many points have a slope beyond the proved ones."""
    rng = np.random.default_rng([seed, 11])
    graph = random_graph(kind, seed)
    center = rng.integers(-4, 5, graph.input_shape) / 4
    ball = Ball(center, float(rng.choice([0.125, 0.5])), norm, domain=Box.filled(graph.input_shape, -1.25, 1.25))
    asked: OutputHalfspaces | Robustness = OutputHalfspaces(
        [np.eye(3)[:1] - np.eye(3)[1:2], np.eye(3)[1:]], [np.zeros(1), np.full(2, 0.25)]
    )
    if exact:
        asked = Robustness(int(rng.integers(3)), on=Scale.PROBABILITIES)
    found = proved(Problem(GraphOnly(graph), ball, asked), 4)
    points = np.concatenate([center[None], _points(ball, rng)])
    with torch.no_grad():
        outputs = GraphModule(graph, torch.float64)(torch.from_numpy(points))
    scores = torch.softmax(outputs, 1).numpy() if exact else outputs.numpy()
    values = asked.values(scores)
    slack = Fraction(0) if kind in EXACT_KINDS and not exact else Fraction(1, 10**13)
    wrong = 0
    for point, value in zip(points[1:], values[1:], strict=True):
        length = size(norm, [Fraction(float(v)) for v in (point - center).ravel()])
        step = Fraction(float(values[0])) - Fraction(float(value))
        for bound, fall in ((found.falling, step), (found.rising, -step)):
            fall = max(Fraction(0), fall - slack)
            wrong += fall * fall > Fraction(bound) ** 2 * length if norm == "l2" else fall > Fraction(bound) * length
    return wrong


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_no_point_is_steeper(kind: str, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        monkeypatch.setattr(lipschitz, "FEW_INPUTS", 6 * (seed % 2))
        assert _beyond(kind, norm, seed) == 0, seed


def test_no_point_is_steeper_on_probabilities() -> None:
    for seed in range(4):
        assert _beyond("dense", "linf", seed, exact=True) == 0


def test_planted_bugs_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def caught() -> int:
        problems = [_planar_problem(seed, "linf") for seed in range(12)]
        return sum(Fraction(proved(p, 4).falling) < exact[0] or Fraction(proved(p, 4).rising) < exact[1] for p, exact in problems)

    monkeypatch.setattr(lipschitz, "FEW_INPUTS", 0)
    assert not caught()
    with monkeypatch.context() as patched:  # a feature's larger slope is forgotten
        patched.setattr(lipschitz._Bounder, "_dual", lambda self, low, high, _old=lipschitz._Bounder._dual: _old(self, low, low))
        assert caught()
    with monkeypatch.context() as patched:  # the form's error at the centre is forgotten
        patched.setattr(lipschitz._Rows, "between", lambda self, c, _near, far: np.minimum(self.whole(c, far), self.tilt))
        assert caught()
    with monkeypatch.context() as patched:  # a part that is not the least at the centre is taken for one that never is
        patched.setattr(lipschitz._Bounder, "sides", lambda self, rows: (rows[:, 0], rows[:, len(self._low)]))
        assert caught()


def test_a_property_that_cannot_fall_has_slope_zero() -> None:
    """One part stays above s(x0) on the whole ball, and the other is constant."""
    graph = _dense(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([5.0, 1.0]))
    asked = OutputHalfspaces([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])], [np.zeros(1), np.zeros(1)])
    found = proved(Problem(GraphOnly(graph), Ball(np.zeros(2), 1.0, "linf"), asked))
    assert found.falling <= 1e-100
    assert found.rising <= 1e-100
    assert found.center[0] <= 1.0 <= found.center[1]


def test_l0_is_refused_and_a_derivative_may_be_huge() -> None:
    graph = random_graph("dense", 0)
    with pytest.raises(CapabilityError, match="L0"):
        next(
            slope_bounds(
                claim_of(Problem(GraphOnly(graph), Ball(np.zeros(3), 1, "l0"), Robustness(0, on=Scale.LOGITS))), Ball(np.zeros(3), 1, "l0")
            )
        )
    builder = GraphBuilder((1,))
    root = builder.build(builder.add(nl.Sqrt(), builder.add(op.AddConstant(np.array([0.5 + 2.0**-30])), 0)))
    ball = Ball(np.zeros(1), 0.5, "linf", domain=Box.filled((1,), -0.5, 1))
    found = proved(Problem(GraphOnly(root), ball, OutputHalfspaces([np.eye(1)], [np.zeros(1)])), 40)
    steepest = 2 * ((0.5 + 2.0**-30) ** 0.5 - 2.0**-15)  # to the end; the derivative there is 2**14
    assert steepest * (1 - 1e-12) <= found.falling <= steepest * 1.05


def test_what_overflows_proves_nothing() -> None:
    builder = GraphBuilder((1,))
    value = builder.add(op.Dense(np.array([[1e150]]), np.zeros(1)), 0)
    huge = builder.build(builder.add(op.Dense(np.array([[1e150]]), np.zeros(1)), value))
    found = proved(Problem(GraphOnly(huge), Ball(np.zeros(1), 1.0, "l2"), OutputHalfspaces([np.eye(1)], [np.zeros(1)])))
    assert (found.falling, found.rising) == (np.inf, np.inf)
