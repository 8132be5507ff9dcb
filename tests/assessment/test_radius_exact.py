"""Radii against exact references: the attained side is never below the truth, in rational arithmetic, and close to it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from exact_radii import Planar, fractions, linear_radius, root, size
from netassay.assessment.ask import ask
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Outcome, Question, RadiusAnswer
from netassay.specs.problem import Problem
from tiny_networks import FunctionModule, TinyNetwork, linear, relu_network, robustness_problems

NORMS = ("linf", "l2", "l1")


class Blind(TinyNetwork):
    """The same without gradients."""

    differentiable = False


def blind(network: TinyNetwork) -> Blind:
    return Blind(network.module, network.domain, network.output_size, meaning=network.meaning, double=network.double)


def nearest(batch: list[Problem], queries: int, method: str = "auto") -> list[RadiusAnswer]:
    answers = ask(Question.RADIUS, batch, method=method, budget=Budget(queries=queries))
    assert all(isinstance(a, RadiusAnswer) for a in answers)
    return answers  # type: ignore[return-value]


def witness_size(norm: str, problem: Problem, answer: RadiusAnswer) -> Fraction:
    """The rational size of the witness's change; checks that it lies in the domain and that its distance is the answer's."""
    assert answer.witness is not None
    assert answer.bracket.upper is not None
    point = np.asarray(answer.witness.point, dtype=np.float64).reshape(-1)
    assert problem.network.domain.contains(point.reshape(1, *problem.network.input_shape))[0]
    exact = size(norm, [a - b for a, b in zip(fractions(point), fractions(problem.center.reshape(-1)), strict=True)])
    assert answer.bracket.upper.value == pytest.approx(root(norm, exact), rel=1e-14)
    return exact


WEIGHT = np.array([[1.5, -0.25, 0.75, 0, -2, 0.125, 1, -0.5], [0, 0.5, 0, 0, 0.25, 0, -0.5, 0]])
CENTERS = np.array([[0.25, 0.5, 0.125, 0.75, 0.875, 0, 0.5, 0.25], [0.5, 0, 0.0625, 0.5, 1, 0.5, 0.03125, 0.75]])
BIAS = np.array([2.0, 0])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["auto", "gradient", "auto, black box", "tpmads, black box"])
def test_a_linear_form_in_a_box(norm: str, kind: str) -> None:
    """Walls stop some features before the boundary is reached, so that the others have to move further."""
    network = linear(WEIGHT, BIAS, Box.filled((8,), 0, 1))
    asked = blind(network) if kind.endswith("black box") else network
    batch = robustness_problems(asked, CENTERS, 8.0, norm)
    slope = WEIGHT[0] - WEIGHT[1]
    for problem, answer in zip(batch, nearest(batch, 1500, kind.partition(",")[0]), strict=True):
        rooms = np.where(slope > 0, problem.center, 1 - problem.center)
        exact = linear_radius(norm, slope.tolist(), float(slope @ problem.center + BIAS[0] - BIAS[1]), rooms.tolist())
        found = witness_size(norm, problem, answer)
        assert found >= exact
        assert root(norm, found) <= 1.001 * root(norm, exact)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(3))
def test_relu_networks_of_two_inputs(norm: str, seed: int) -> None:
    """All patterns of five hidden units are enumerated."""
    network = relu_network(seed, [2, 5, 3], Box.filled((2,), -2, 2))
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in network.module if isinstance(m, torch.nn.Linear)]
    planar, inputs = Planar(layers), np.random.default_rng(seed).integers(-12, 13, (3, 2)) / 8
    for asked, factor in ((network, 1.001), (blind(network), 1.01)):
        batch = robustness_problems(asked, inputs, 4.0, norm)
        for problem, answer in zip(batch, nearest(batch, 2500), strict=True):
            label = int(problem.property.parameters()["label"])
            exact = planar.radius(norm, fractions(problem.center), label, Fraction(-2), Fraction(2))
            if exact is None or exact == 0:
                assert answer.outcome is (Outcome.NO_WITNESS if exact is None else Outcome.RISK_AT_CENTER)
                continue
            found = witness_size(norm, problem, answer)
            assert found >= exact
            assert root(norm, found) <= factor * root(norm, exact)


@pytest.mark.parametrize("black_box", [False, True])
def test_scale_and_mask_are_what_distances_are_measured_in(black_box: bool) -> None:
    network = linear(WEIGHT, BIAS, Box.filled((8,), 0, 1))
    scale, mask = np.array([1, 2, 0.5, 1, 0.25, 1, 4, 1]), np.array([True, True, True, True, True, True, True, False])
    slope = (WEIGHT[0] - WEIGHT[1]) * scale * mask
    for norm in NORMS:
        batch = robustness_problems(blind(network) if black_box else network, CENTERS[:1], 8.0, norm, scale=scale, mask=mask)
        ((problem,), (answer,)) = batch, nearest(batch, 1500)
        rooms = np.where(slope > 0, problem.center, 1 - problem.center) / scale
        value = float((WEIGHT[0] - WEIGHT[1]) @ problem.center + BIAS[0])
        exact = root(norm, linear_radius(norm, slope.tolist(), value, rooms.tolist()))
        assert answer.bracket.upper is not None
        assert exact * (1 - 1e-15) <= answer.bracket.upper.value <= 1.002 * exact  # one rounding of the distance


@pytest.mark.parametrize("black_box", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_granular_features_stay_on_their_steps(norm: str, black_box: bool) -> None:
    """All 17^2 points of the grid are known."""
    network = relu_network(9, [2, 12, 3], Box.filled((2,), 0, 1))
    grid = np.stack(np.meshgrid(*[np.arange(17) / 16] * 2), -1).reshape(-1, 2)
    batch = robustness_problems(
        blind(network) if black_box else network, np.array([[0.5, 0.25], [0.75, 0.875]]), 2.0, norm, granularity=np.full(2, 1 / 16)
    )
    for problem, answer in zip(batch, nearest(batch, 400), strict=True):
        values = problem.property.values(network.in_float64().module(torch.tensor(grid)).detach()).numpy()
        best = problem.ball.distance(grid[values <= 0]).min(initial=np.inf)
        if answer.witness is None:
            assert best == np.inf
            continue
        assert (np.asarray(answer.witness.point) * 16 % 1 == 0).all()
        assert best <= answer.witness.distance <= 1.05 * best


@pytest.mark.parametrize("black_box", [False, True])
def test_a_violation_that_only_another_input_knows_is_found(black_box: bool) -> None:
    """Around the first input the network is flat; what it confuses it with is a small box around the second one."""
    inputs = np.stack([np.full(8, 0.25), np.full(8, 0.75)])

    def bump(x: torch.Tensor) -> torch.Tensor:
        near = torch.relu(1 - 8 * (x - 0.75).abs().amax(dim=1, keepdim=True))
        return torch.cat([torch.ones_like(near), 2 * near], dim=1)

    network = TinyNetwork(FunctionModule(bump), Box.filled((8,), 0, 1), 2)
    for norm, exact in (("linf", 0.5 - 1 / 16), ("l2", (0.5 - 1 / 16) * 8**0.5), ("l1", 8 * (0.5 - 1 / 16))):
        batch = robustness_problems(blind(network) if black_box else network, inputs, 8.0, norm)
        answer = nearest(batch, 1500)[0]
        assert answer.bracket.upper is not None
        assert exact <= answer.bracket.upper.value <= 1.01 * exact


@pytest.mark.parametrize("black_box", [False, True])
def test_not_a_number_is_no_witness(black_box: bool) -> None:
    """Beyond the wall x0 = 0.75 the network gives NaN; the violations are further away on the other side."""

    def function(x: torch.Tensor) -> torch.Tensor:
        s = torch.where(x[:, :1] > 0.75, torch.nan, x[:, :1] - 0.125 + 0 * x[:, 1:2])
        return torch.cat([s, 0 * s], dim=1)

    network = TinyNetwork(FunctionModule(function), Box.filled((3,), 0, 1), 2)
    for norm in NORMS:
        batch = robustness_problems(blind(network) if black_box else network, np.full((1, 3), 0.625), 3.0, norm)
        (answer,) = nearest(batch, 1500)
        assert answer.bracket.upper is not None
        assert 0.5 <= answer.bracket.upper.value <= 0.505


@pytest.mark.parametrize("queries", [1, 2, 7, 30, 101, 400])
def test_no_budget_is_overspent_and_seeds_repeat(queries: int) -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    inputs = np.random.default_rng(1).integers(0, 9, (3, 8)) / 8
    for asked in (network, blind(network)):
        for norm in NORMS:
            first, again = (nearest(robustness_problems(asked, inputs, 2.0, norm), queries) for _ in range(2))
            assert max(a.provenance.queries for a in first) <= queries
            assert [a.witness and a.witness.distance for a in first] == [a.witness and a.witness.distance for a in again]
