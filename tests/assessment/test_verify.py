"""Verdicts, and the proved sides of radii and ranges, against the truth of small networks."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.assessment.ask import ask
from netassay.assessment.verify import verify
from netassay.errors import UsageError
from netassay.models.scores import OutputConvention, Scale
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Outcome, Question, RadiusAnswer, ReachAnswer, Verdict
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph


def network(kind: str, seed: int) -> GraphNetwork:
    graph = random_graph(kind, seed)
    return GraphNetwork(graph, name=kind, convention=OutputConvention(), domain=Box.filled(graph.input_shape, -2, 2))


def robust(net: GraphNetwork, center: np.ndarray, radius: float, p: str = "linf") -> Problem:
    return Problem(net, Ball(center, radius, p, domain=net.domain), Robustness.of(net, center, on=Scale.LOGITS), 0)


def dense_grid(net: GraphNetwork, box: Box, property_: object, steps: int = 33) -> float:
    import torch

    axes = [np.linspace(a, b, steps) for a, b in zip(box.lower.ravel(), box.upper.ravel(), strict=True)]
    points = np.stack(np.meshgrid(*axes), -1).reshape(-1, *box.shape)
    exact = net.in_float64()
    with torch.no_grad():
        outputs = exact.outputs(torch.from_numpy(points)).numpy()
    return float(property_.values(outputs).min())  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_of_few_inputs_are_complete_and_right(seed: int) -> None:
    net = network("dense", seed)
    center = np.random.default_rng(seed).integers(-4, 5, 3) / 4
    for radius in (0.0625, 0.25, 1.0):
        problem = robust(net, center, radius)
        if net_value(net, problem) <= 0:
            continue
        (answer,) = verify([problem], budget=Budget(queries=50, seconds=30))
        least = dense_grid(net, problem.ball.bounding_box(), problem.property)
        if answer.verdict is Verdict.HOLDS:
            assert least > 0
            assert answer.guarantee is Guarantee.PROVED
            assert answer.bracket.lower is not None
            assert answer.bracket.lower.value <= least
        else:
            assert answer.verdict is Verdict.VIOLATED, answer.reason
            assert answer.witness is not None
            assert answer.witness.replay.confirmed


def net_value(net: GraphNetwork, problem: Problem) -> float:
    return dense_grid(net, Box(problem.center, problem.center), problem.property, 1)


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_the_proved_side_is_never_above_the_attained_one(kind: str) -> None:
    for seed in range(3):
        net = network(kind, seed)
        center = np.random.default_rng(seed).integers(-4, 5, net.input_shape) / 4
        for p in ("linf", "l2", "l1", "l0"):
            problem = robust(net, center, 1.0, p)
            (answer,) = verify([problem], method="crown", order="none", budget=Budget(queries=200))
            lower, upper = answer.bracket.lower, answer.bracket.upper
            assert upper is not None
            assert (answer.verdict is Verdict.VIOLATED) is (lower is None)
            if lower is not None:
                assert lower.value <= upper.value
                assert lower.arithmetic is Arithmetic.REAL


def test_a_region_on_the_boundary_is_not_safe() -> None:
    """s = 0 at a corner: a tie is no decision, so neither HOLDS nor a wrong VIOLATED may come out."""
    from netassay.models import operators as op
    from netassay.models.graph import Graph, Node

    graph = Graph((2,), (Node(op.Dense(np.array([[1.0, 1.0], [0.0, 0.0]]), np.zeros(2)), (0,)),))
    net = GraphNetwork(graph, name="edge", convention=OutputConvention(), domain=Box.filled((2,), -1, 1))
    touching = Problem(net, Ball(np.array([0.25, 0.25]), 0.25, "linf", domain=net.domain), Robustness(0, on=Scale.LOGITS), 0)
    (answer,) = verify([touching], budget=Budget(queries=100, seconds=20))
    assert answer.verdict is Verdict.VIOLATED
    inside = Problem(net, Ball(np.array([0.25, 0.25]), 0.2499, "linf", domain=net.domain), Robustness(0, on=Scale.LOGITS), 0)
    (answer,) = verify([inside], budget=Budget(queries=100, seconds=20))
    assert answer.verdict is Verdict.HOLDS


def test_misclassified_inputs_are_counted_apart_and_several_networks_refused() -> None:
    net = network("dense", 1)
    problem = robust(net, np.zeros(3), 0.1)
    wrong = Problem(net, problem.region, problem.property, 0, true_label=(int(problem.property.parameters()["label"]) + 1) % 3)
    (answer,) = verify([wrong])
    assert answer.outcome is Outcome.MISCLASSIFIED
    assert answer.word == "misclassified"
    with pytest.raises(UsageError, match="several"):
        verify([problem, robust(network("dense", 2), np.zeros(3), 0.1)])
    with pytest.raises(UsageError):
        verify([problem], method="no-such-verifier")


def test_a_time_limit_leaves_a_reason_and_both_sides() -> None:
    net = network("convolution", 0)
    asked = OutputHalfspaces([np.array([[1.0, 0, 0]])], [np.array([-1000.0])])
    (easy,) = verify([Problem(net, Box.filled(net.input_shape, -1, 1), asked)], budget=Budget(queries=10, seconds=10))
    assert easy.verdict is Verdict.HOLDS
    tight = OutputHalfspaces([np.array([[1.0, 0, 0]])], [np.array([float(easy.bracket.upper.value) - 1000 - 1e-4])])  # type: ignore[union-attr]
    (hard,) = verify([Problem(net, Box.filled(net.input_shape, -1, 1), tight)], method="crown", budget=Budget(queries=10, seconds=1))
    assert hard.verdict in (Verdict.UNKNOWN, Verdict.VIOLATED)
    if hard.verdict is Verdict.UNKNOWN:
        assert hard.reason
        assert hard.bracket.lower is not None


@pytest.mark.parametrize("p", ["linf", "l2", "l1"])
@pytest.mark.parametrize("seed", range(3))
def test_radii_are_bracketed_and_close(seed: int, p: str) -> None:
    net = network("dense", seed)
    center = np.random.default_rng(seed + 10).integers(-4, 5, 3) / 4
    problem = robust(net, center, 2.0, p)
    if net_value(net, problem) <= 0:
        return
    (answer,) = ask(Question.RADIUS, [problem], prover="auto", budget=Budget(queries=1500, seconds=20))
    assert isinstance(answer, RadiusAnswer)
    lower, upper = answer.bracket.lower, answer.bracket.upper
    assert lower is not None
    assert lower.guarantee is Guarantee.PROVED
    if upper is not None:
        assert lower.value <= upper.value
        assert lower.value >= 0.999 * upper.value
    inner = Ball(center, lower.value, p, domain=net.domain)
    points = inner.sample(500, np.random.default_rng(0))
    import torch

    with torch.no_grad():
        outputs = net.in_float64().outputs(torch.from_numpy(points)).numpy()
    assert problem.property.values(outputs).min() > -1e-12


def test_l0_radii_are_whole_numbers() -> None:
    net = network("dense", 0)
    center = np.array([0.5, -0.25, 0.25])
    problem = robust(net, center, 3, "l0")
    (answer,) = ask(Question.RADIUS, [problem], prover="auto", budget=Budget(queries=1500, seconds=20))
    assert isinstance(answer, RadiusAnswer)
    if answer.bracket.lower is not None:
        assert answer.bracket.lower.value == int(answer.bracket.lower.value)


@pytest.mark.parametrize("kind", ["dense", "tanh", "residual", "sigmoid"])
def test_ranges_are_enclosed_to_the_tolerance(kind: str) -> None:
    net = network(kind, 2)
    box = Box.filled((3,), -1, 1)
    (answer,) = ask(Question.REACH, [Problem(net, box, Output(1))], prover="auto", tolerance=0.05, budget=Budget(queries=1000, seconds=40))
    assert isinstance(answer, ReachAnswer)
    least, most = dense_grid(net, box, Output(1)), -dense_grid(net, box, Negative(1))
    assert answer.minimum.lower is not None
    assert answer.maximum.upper is not None
    assert answer.minimum.lower.value <= least + 1e-12
    assert answer.maximum.upper.value >= most - 1e-12
    assert answer.minimum.gap <= 0.08
    assert answer.maximum.gap <= 0.08


class Negative:
    """The negative of one output."""

    def __init__(self, index: int) -> None:
        self.index = index

    def values(self, outputs: np.ndarray) -> np.ndarray:
        return np.asarray(-outputs[:, self.index])
