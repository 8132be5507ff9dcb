"""Cases that a search gets wrong easily: each was wrong once."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
import torch

import netassay as na
from netassay.assessment.ask import SEARCHED, Progress, ask
from netassay.assessment.assess import assess, covering_radius, problems
from netassay.errors import ModelError, PropertyError, RegionError, UsageError
from netassay.models.scores import Meaning, Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from netassay.specs.risks import parse_risk
from netassay.specs.robustness import Robustness
from tiny_networks import FunctionModule, TinyNetwork, linear, relu_network, robustness_problems

BUDGET = Budget(queries=2000)


def reach(network: TinyNetwork, region: Ball | Box, expression: Property | None = None, queries: int = 2000) -> ReachAnswer:
    (answer,) = ask(Question.REACH, [Problem(network, region, expression or Output(0))], budget=Budget(queries=queries))
    assert isinstance(answer, ReachAnswer)
    return answer


@pytest.mark.parametrize("make", [lambda on: Robustness(1, 0.0, on), lambda on: Output(0, on), lambda on: ConfidenceGap(1, 0, on=on)])
def test_a_scale_may_be_given_by_its_name(make: object) -> None:
    scores = np.array([[0.3, 1.5]])
    for name in ("logits", "probabilities"):
        by_name, by_member = make(name), make(Scale(name))  # type: ignore[operator]
        assert by_name == by_member
        assert by_name.on is Scale(name)
    network = linear(np.eye(2), np.zeros(2), Box.filled((2,), -1, 1))
    assert network.convention.scores(scores, "logits") is scores  # type: ignore[arg-type]
    with pytest.raises(PropertyError, match="measured on"):
        make("log-odds")  # type: ignore[operator]


def test_a_fixed_feature_that_float32_cannot_hold_does_not_hide_the_range() -> None:
    network = TinyNetwork(
        linear(np.array([[1.0, 2.0]]), np.zeros(1), Box.unbounded((2,))).module, Box.unbounded((2,)), 1, meaning=Meaning.VALUES
    )
    for low, high in (((0.1, 0.0), (0.1, 1.0)), ((0.1, 0.0), (0.1 + 1e-10, 1.0))):
        answer = reach(network, Box(np.array(low), np.array(high)))
        assert answer.minimum.upper is not None
        assert answer.maximum.lower is not None
        assert answer.minimum.upper.value == pytest.approx(0.1)
        assert answer.maximum.lower.value == pytest.approx(2.1)
    ball = Ball(np.array([0.1, 0.5]), 0.25, "linf", domain=Box(np.array([0.1, 0.0]), np.array([0.1, 1.0])))
    around = reach(network, ball)
    assert around.maximum.lower is not None
    assert around.maximum.lower.value == pytest.approx(1.6)


def test_values_that_float32_blurs_are_kept_and_marked() -> None:
    weight = np.array([[0.1, -0.3]])
    network = TinyNetwork(linear(weight, np.array([200050.3]), Box.unbounded((2,))).module, Box.unbounded((2,)), 1, meaning=Meaning.VALUES)
    answer = reach(network, Box(np.full(2, 1e6), np.full(2, 1e6 + 1000)))
    assert answer.minimum.upper is not None
    assert answer.maximum.lower is not None
    assert answer.maximum.lower.value - answer.minimum.upper.value == pytest.approx(400, rel=0.02)


@pytest.mark.parametrize("radius", [10, 100, 784])
def test_l0_slopes_are_sought_down_to_a_single_change(radius: int) -> None:
    """One weight of 30 among small ones: the steepest slope per changed feature is that of this feature alone."""
    weight = np.random.default_rng(0).integers(-2, 3, (2, 784)) / 16
    weight[0, 17], weight[1, 17] = 30, 0
    network = linear(weight, np.zeros(2), Box.filled((784,), 0, 1))
    (problem,) = robustness_problems(network, np.full((1, 784), 0.5), radius, "l0")
    (answer,) = ask(Question.LIPSCHITZ, [problem], budget=Budget(queries=4000))
    assert isinstance(answer, LipschitzAnswer)
    assert answer.bracket.lower is not None
    assert answer.bracket.lower.value > 14


@pytest.mark.parametrize("radius", [0.4, 100.0, 1e6])
def test_a_ball_far_larger_than_the_domain_is_searched_as_the_domain(radius: float) -> None:
    network = linear(np.array([[3.0, -1.0], [0, 0]]), np.array([5.0, 0]), Box.filled((2,), 0, 1))
    for norm, exact in (("linf", 4.0), ("l2", 10**0.5), ("l1", 3.0)):
        (answer,) = ask(Question.LIPSCHITZ, robustness_problems(network, np.full((1, 2), 0.5), radius, norm), budget=BUDGET)
        assert isinstance(answer, LipschitzAnswer)
        assert answer.bracket.lower is not None
        assert answer.bracket.lower.value >= 0.99 * exact


def test_not_a_number_in_the_region_is_said() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        first = torch.where(x[:, :1] > 0.6, torch.nan, x[:, :1])
        return torch.cat([first + 1, 0 * first], dim=1)

    network = TinyNetwork(FunctionModule(function), Box.filled((2,), 0, 1), 2)
    (answer,) = ask(Question.RADIUS, robustness_problems(network, np.full((1, 2), 0.5), 0.5, "linf"), budget=BUDGET)
    assert answer.outcome is Outcome.NO_WITNESS
    assert any("NaN" in note for note in answer.notes)
    (clean,) = ask(Question.RADIUS, robustness_problems(network, np.full((1, 2), 0.5), 0.05, "linf"), budget=BUDGET)
    assert clean.notes == ()


def test_an_input_without_finite_outputs_fails_alone() -> None:
    network = TinyNetwork(FunctionModule(lambda x: torch.where(x > 0.6, torch.nan, x)), Box.filled((2,), 0, 1), 2)
    inputs, told = np.array([[0.25, 0.5], [0.75, 0.5], [0.5, 0.25]]), []
    found = problems(
        network, inputs, None, risk=parse_risk("robustness"), norm="linf", radius=0.1, skipped=lambda i, why: told.append((i, why))
    )
    assert [p.index for p in found] == [0, 2]
    assert [i for i, _ in told] == [1]


def test_slopes_of_a_float32_black_box_are_marked_where_rounding_could_fake_them() -> None:
    network = na.Network(lambda x: np.stack([100 + x[:, 0], x[:, 1]], axis=1), domain=na.Box.filled((2,), 0, 2), identity="test")
    for radius, marked in ((1e-3, True), (0.5, False)):
        answer = na.lipschitz(
            network,
            na.Robustness(0, on="logits"),
            na.Ball(np.ones(2), radius, "linf", domain=network.domain),
            budget=na.Budget(queries=500),
        )
        assert answer.witness is not None
        assert ("rounding" in answer.witness.marked) is marked


def test_a_range_holds_the_value_at_the_centre() -> None:
    network = TinyNetwork(
        FunctionModule(lambda x: 1 - (x - 0.5).abs().sum(dim=1, keepdim=True)), Box.filled((6,), 0, 1), 1, meaning=Meaning.VALUES
    )
    for queries in (1, 2, 50):
        answer = reach(network, Ball(np.full(6, 0.5), 0.4, "linf", domain=network.domain), queries=queries)
        assert answer.maximum.lower is not None
        assert answer.maximum.lower.value == 1.0


def test_probabilities_that_underflow_are_no_tie() -> None:
    network = TinyNetwork(FunctionModule(lambda x: torch.cat([0 * x + 5000, 1000 + x, 0 * x + 10], dim=1)), Box.filled((1,), 0, 1), 3)
    problem = Problem(network, Ball(np.array([0.5]), 0.25, "linf", domain=network.domain), ConfidenceGap(1, 2))
    (answer,) = ask(Question.RADIUS, [problem], budget=BUDGET)
    assert isinstance(answer, RadiusAnswer)
    assert answer.bracket.upper is None


def test_ctrl_c_at_any_moment_keeps_what_was_found() -> None:
    """The signal arrives between the network's calls, wherever in the code that is."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    for call in (1, 5, 40, 200):
        network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
        batch = robustness_problems(network, np.random.default_rng(1).integers(0, 9, (3, 8)) / 8, 0.5, "linf")
        network.module = Interrupting(network.module, call)
        for question in SEARCHED:
            CALLS[0] = 0
            answers = ask(question, batch, budget=Budget(queries=50_000))
            assert CALLS[0] >= call, "the interrupt must have been sent"
            assert len(answers) == 3
            assert all(a.provenance.interrupted for a in answers)
            assert max(a.provenance.queries for a in answers) < 50_000


CALLS = [0]  # shared by the float32 network and its float64 copy


class Interrupting(torch.nn.Module):
    """A module that sends this process an interrupt at one of its calls."""

    def __init__(self, module: torch.nn.Module, at: int) -> None:
        super().__init__()
        self.module, self.at = module, at

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        CALLS[0] += 1
        if CALLS[0] == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return self.module(inputs.to(next(self.module.parameters()).dtype))


def test_assess_stops_at_an_interrupt_even_where_the_last_input_is_not_searched() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    inputs = np.random.default_rng(1).integers(0, 9, (2, 8)) / 8
    with torch.no_grad():
        right = network.in_float64().module(torch.tensor(inputs)).argmax(dim=1).numpy()

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    labels = np.array([right[0], (right[1] + 1) % 4])
    answers = assess(
        network,
        inputs,
        labels,
        risks=[parse_risk("robustness")],
        norms=list(Norm),
        radius=1,
        questions=[Question.LIPSCHITZ],
        progress=interrupt,
    )
    assert len(answers) == 2
    assert answers[0].provenance.interrupted


def test_one_call_is_about_one_network() -> None:
    first, second = (relu_network(seed, [3, 8, 3], Box.filled((3,), 0, 1)) for seed in (1, 2))
    batch = [*robustness_problems(first, np.full((1, 3), 0.5), 0.1, "l2"), *robustness_problems(second, np.full((1, 3), 0.5), 0.1, "l2")]
    with pytest.raises(UsageError, match="one network"):
        ask(Question.RADIUS, batch)


def test_risks_are_bound_at_the_rounded_centre() -> None:
    network = relu_network(3, [3, 8, 3], Box.filled((3,), 0, 1))
    (problem,) = problems(network, np.full((1, 3), 0.1), None, risk=parse_risk("robustness"), norm="linf", radius=0.05)
    assert (problem.center == np.float32(0.1)).all()


def test_a_mask_without_a_free_feature_is_a_region_error() -> None:
    with pytest.raises(RegionError, match="no feature free"):
        covering_radius(np.zeros(2), Box.filled((2,), 0, 1), Norm.L2, mask=np.zeros(2, dtype=bool))


def test_a_model_that_answers_differently_each_time_is_refused() -> None:
    noise = np.random.default_rng(0)
    box = na.Network(lambda x: x + noise.normal(0, 0.1, x.shape).astype(x.dtype), domain=na.Box.filled((3,), 0, 1), identity="noisy")
    with pytest.raises(ModelError, match="other outputs each time"):
        na.radius(box, na.Robustness(0), np.full(3, 0.5), p="linf", budget=na.Budget(queries=50))


def test_several_interrupts_at_once_lose_nothing_either() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    batch = robustness_problems(network, np.random.default_rng(1).integers(0, 9, (2, 8)) / 8, 0.5, "linf")

    def impatient(progress: Progress) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)

    answers = ask(Question.LIPSCHITZ, batch, budget=Budget(queries=200_000), progress=impatient)
    assert len(answers) == 2
    assert all(a.provenance.interrupted for a in answers)


def test_an_unknown_option_is_named() -> None:
    network = relu_network(3, [3, 8, 3], Box.filled((3,), 0, 1))
    with pytest.raises(UsageError, match="budgett"):
        na.radius(network, "robustness", np.full(3, 0.5), budgett=3)


def test_an_answer_prints_in_one_line() -> None:
    network = relu_network(3, [3, 8, 3], Box.filled((3,), 0, 1))
    text = repr(na.reach(network, na.Output(0), na.Ball(np.full(3, 0.5), 0.1, "linf", domain=network.domain), budget=na.Budget(queries=50)))
    assert len(text) < 200
    assert "attained" in text
