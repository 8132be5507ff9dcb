"""The mean radius over a data set as a bracket."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import netassay as na
from netassay.assessment.ask import ask
from netassay.assessment.global_robustness import global_robustness, growing
from netassay.numerics.box import Box
from netassay.results.answer import Outcome, Question, RadiusAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from tiny_networks import linear, robustness_problems


@pytest.fixture(scope="module")
def answer() -> RadiusAnswer:
    network = linear(np.array([[1.0, 0.5], [0.0, 0.0]]), np.array([0.25, 0.0]), Box.filled((2,), -1.0, 1.0))
    (found,) = ask(
        Question.RADIUS,
        robustness_problems(network, np.array([[0.5, 0.5]]), 2, "l0"),
        method="random",
        budget=na.Budget(queries=50),
        seed=0,
    )
    assert isinstance(found, RadiusAnswer)
    return found


def with_sides(answer: RadiusAnswer, lower: float | None, upper: float | None, guarantee: Guarantee = Guarantee.PROVED) -> RadiusAnswer:
    bracket = Bracket(
        End.UPPER,
        None if lower is None else Side(lower, guarantee, "crown", Arithmetic.REAL),
        None if upper is None else Side(upper, Guarantee.ATTAINED, "random", Arithmetic.FLOAT64),
    )
    return replace(answer, bracket=bracket, outcome=Outcome.MEASURED)


def test_means_of_sides_and_what_is_closed(answer: RadiusAnswer) -> None:
    found = global_robustness([with_sides(answer, 1, 1), with_sides(answer, 1, 3), with_sides(answer, None, 2)])
    assert (found.lower, found.upper, found.counted, found.closed) == (pytest.approx(2 / 3), 2.0, 3, 1)
    assert found.center == pytest.approx(4 / 3)
    assert found.radius == pytest.approx(2 / 3)
    assert found.proved


def test_a_heuristic_side_closes_and_proves_nothing(answer: RadiusAnswer) -> None:
    found = global_robustness([with_sides(answer, 2, 2, Guarantee.HEURISTIC)])
    assert (found.closed, found.proved) == (0, False)


def test_misclassified_inputs_are_left_out_and_missing_witnesses_need_a_limit(answer: RadiusAnswer) -> None:
    wrong = replace(with_sides(answer, 0, 0), outcome=Outcome.MISCLASSIFIED)
    open_ = with_sides(answer, 1, None)
    assert global_robustness([wrong]).counted == 0
    assert global_robustness([wrong, open_]).upper is None
    assert global_robustness([wrong, open_]).center is None
    assert global_robustness([wrong, open_], limit=4).upper == 4


def test_moments_are_monotone(answer: RadiusAnswer) -> None:
    moments = [[with_sides(answer, 0, None)], [with_sides(answer, 2, 5)], [with_sides(answer, 1, 6)]]
    found = list(growing(moments))
    assert [f.lower for f in found] == [0, 2, 2]
    assert [f.upper for f in found] == [None, 5, 5]
