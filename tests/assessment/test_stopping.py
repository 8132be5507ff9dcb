"""Ends before the budget: targets that were reached, rules of the caller; both are said, and neither is an interrupt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import netassay as na
from netassay.assessment.ask import SEARCHED, Progress, ask
from netassay.assessment.stopping import StopRule, checked_target, passed
from netassay.assessment.stream import stream
from netassay.errors import UsageError
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Answer, LipschitzAnswer, Question, RadiusAnswer, ReachAnswer
from tiny_networks import TinyNetwork, linear, relu_network, robustness_problems

DOMAIN = Box.filled((6,), 0, 1)
NETWORK = relu_network(0, [6, 16, 16, 3], DOMAIN)
INPUTS = np.random.default_rng(0).integers(1, 8, (3, 6)) / 8
BUDGET = Budget(queries=2500)
NORMS = {"linf": 0.5, "l2": 0.75, "l1": 1.5, "l0": 4}


def attained(answer: Answer) -> float:
    assert isinstance(answer, RadiusAnswer | LipschitzAnswer)
    side = answer.bracket.upper if isinstance(answer, RadiusAnswer) else answer.bracket.lower
    assert side is not None
    return side.value


def says_target(answer: Answer) -> bool:
    return any("stopped at its target" in note for note in answer.notes)


@pytest.mark.parametrize("method", ["random", "tpmads"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_radius_ends_at_its_target(norm: str, method: str) -> None:
    batch = robustness_problems(NETWORK, INPUTS[:1], NORMS[norm], norm)
    (full,) = ask(Question.RADIUS, batch, budget=BUDGET, method=method)
    target = float(np.ceil(attained(full) * 1.2) if norm == "l0" else attained(full) * 1.2)
    (early,) = ask(Question.RADIUS, batch, budget=BUDGET, method=method, target=target)
    assert attained(early) <= target
    assert early.provenance.queries < full.provenance.queries
    assert says_target(early)
    assert not says_target(full)
    assert not early.provenance.interrupted
    assert early.provenance.options["target"] == f"{target:g}"


@pytest.mark.parametrize("method", ["random", "tpmads"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_slope_ends_at_its_target(norm: str, method: str) -> None:
    batch = robustness_problems(NETWORK, INPUTS[:1], NORMS[norm], norm)
    (full,) = ask(Question.LIPSCHITZ, batch, budget=BUDGET, method=method)
    (early,) = ask(Question.LIPSCHITZ, batch, budget=BUDGET, method=method, target=attained(full) * 0.7)
    assert attained(early) >= attained(full) * 0.7
    assert early.provenance.queries < full.provenance.queries / 2
    assert says_target(early)


@pytest.mark.parametrize("ends", [(True, True), (True, False), (False, True)])
def test_a_range_ends_once_it_holds_its_target(ends: tuple[bool, bool]) -> None:
    batch = robustness_problems(NETWORK, INPUTS[:1], 0.5, "linf")
    (full,) = ask(Question.REACH, batch, budget=BUDGET)
    assert isinstance(full, ReachAnswer)
    assert full.minimum.upper is not None
    assert full.maximum.lower is not None
    low, high, center = full.minimum.upper.value, full.maximum.lower.value, full.center_value
    target = (center + 0.7 * (low - center) if ends[0] else None, center + 0.7 * (high - center) if ends[1] else None)
    (early,) = ask(Question.REACH, batch, budget=BUDGET, target=target)
    assert isinstance(early, ReachAnswer)
    assert early.minimum.upper is not None
    assert early.maximum.lower is not None
    assert target[0] is None or early.minimum.upper.value <= target[0]
    assert target[1] is None or early.maximum.lower.value >= target[1]
    assert early.provenance.queries < full.provenance.queries / 2
    assert says_target(early)


def test_a_target_is_each_inputs_own() -> None:
    """The linear network's slopes are the same everywhere, the radii differ: only the near input ends early."""
    network = linear(np.array([[1.0, 0], [0, 1.0]]), np.zeros(2), Box.filled((2,), 0, 1))
    batch = robustness_problems(network, np.array([[0.75, 0.25], [0.875, 0.0]]), 0.5, "linf")
    near, far = ask(Question.RADIUS, batch, budget=BUDGET, target=0.3)
    assert says_target(near)
    assert not says_target(far)
    assert near.provenance.queries < far.provenance.queries / 4
    assert 0.25 <= attained(near) <= 0.3
    assert 0.4375 <= attained(far) <= 0.44


def test_a_target_out_of_reach_changes_nothing() -> None:
    for question, target in ((Question.RADIUS, 1e-6), (Question.LIPSCHITZ, 1e6), (Question.REACH, (None, 1e6))):
        batch = robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf")
        (plain,) = ask(question, batch, budget=Budget(queries=1000))
        (aimed,) = ask(question, batch, budget=Budget(queries=1000), target=target)  # type: ignore[arg-type]
        assert aimed.provenance.queries == plain.provenance.queries
        assert not says_target(aimed)
        assert repr(aimed) == repr(plain)


def test_a_start_point_may_reach_the_target_at_once() -> None:
    (problem,) = robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf")
    for question in (Question.RADIUS, Question.LIPSCHITZ):
        (first,) = ask(question, [problem], budget=BUDGET)
        points = np.array([np.asarray(getattr(first, "witness").point, dtype=np.float64)])  # noqa: B009
        (again,) = ask(question, [problem], budget=BUDGET, starts=[points], target=attained(first))
        assert again.provenance.queries == 2, "the centre and the start point"
        assert attained(again) == attained(first)
        assert says_target(again)


@pytest.mark.parametrize("target", [-1.0, np.nan, np.inf, True, "0.1", (0.1, 0.2)])
@pytest.mark.parametrize("question", [Question.RADIUS, Question.LIPSCHITZ])
def test_targets_of_another_form_are_refused(question: Question, target: Any) -> None:
    with pytest.raises(UsageError, match=f"target of {question} must be"):
        checked_target(question, target)


@pytest.mark.parametrize("target", [1.0, (None, None), (1.0,), (1.0, 2.0, 3.0), (np.nan, 1.0), ("a", None)])
def test_targets_of_a_range_are_pairs(target: Any) -> None:
    with pytest.raises(UsageError, match="pair"):
        checked_target(Question.REACH, target)


def test_what_is_not_known_has_passed_nothing() -> None:
    unknown = np.array([np.nan])
    for question, target in ((Question.RADIUS, 1.0), (Question.LIPSCHITZ, 0.0), (Question.REACH, (0.0, None))):
        assert not passed(question, target, unknown, unknown, np.array([np.inf]))[0]  # type: ignore[arg-type]


def test_assess_takes_targets_by_question() -> None:
    answers = na.assess(NETWORK, INPUTS, radius=0.25, budget=na.Budget(queries=2000), target={"lipschitz": 0.01})
    assert [says_target(a) for a in answers] == [False] * 3 + [True] * 3
    with pytest.raises(UsageError, match="a target is given for reach"):
        na.assess(NETWORK, INPUTS, radius=0.25, target={"reach": (0, 1)})


@pytest.mark.parametrize("question", SEARCHED)
def test_the_callers_rule_ends_the_search_without_an_interrupt(question: Question) -> None:
    seen: list[Progress] = []

    def rule(progress: Progress) -> bool:
        seen.append(progress)
        return progress.done_queries > 600

    batch = robustness_problems(NETWORK, INPUTS[:2], 0.5, "linf")
    answers = ask(question, batch, budget=Budget(queries=100_000), stop=rule)
    assert len(answers) == 2
    assert not any(a.provenance.interrupted for a in answers)
    assert all(any("stopped by the caller" in note for note in a.notes) for a in answers)
    assert 600 < seen[-1].done_queries <= sum(a.provenance.queries for a in answers) < 20_000
    assert [p.done_queries <= 600 for p in seen] == [True] * (len(seen) - 1) + [False], "asked until it says yes, and not again"
    assert sorted(p.done_queries for p in seen) == [p.done_queries for p in seen]


def test_a_rule_sees_bounds_that_are_confirmed_and_repeat() -> None:
    """What the rule saw last is what the answer has, and the same seed ends at the same point."""

    def run() -> tuple[float, float, int]:
        seen: list[float] = []

        def rule(progress: Progress) -> bool:
            seen.extend(v for _, v, _ in progress.lines if v is not None)
            return bool(seen) and seen[-1] > 0.5

        (answer,) = ask(Question.LIPSCHITZ, robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf"), budget=BUDGET, stop=rule)
        return seen[-1], attained(answer), answer.provenance.queries

    last, value, queries = run()
    assert value == pytest.approx(last, rel=1e-12)
    assert queries < 2500
    assert run() == (last, value, queries)


@pytest.mark.parametrize("question", [Question.RADIUS, Question.LIPSCHITZ])
def test_a_rule_sees_every_batch_confirmed(question: Question) -> None:
    """So a rule about a value ends the search where a target does, or after the next batch if it was reached on a walk to the boundary."""
    batch = robustness_problems(NETWORK, INPUTS[:1], 0.5, "linf")
    (full,) = ask(question, batch, budget=BUDGET, method="tpmads")
    target = attained(full) * (1.1 if question is Question.RADIUS else 0.9)

    def rule(progress: Progress) -> bool:
        _, lower, upper = progress.lines[0]
        return (upper is not None and upper <= target) if question is Question.RADIUS else (lower is not None and lower >= target)

    (ruled,) = ask(question, batch, budget=BUDGET, method="tpmads", stop=rule)
    (aimed,) = ask(question, batch, budget=BUDGET, method="tpmads", target=target)
    later = ruled.provenance.queries - aimed.provenance.queries
    assert later == 0 or (question is Question.RADIUS and 0 < later < 64)
    assert aimed.provenance.queries < full.provenance.queries - 64
    assert attained(ruled) <= attained(aimed) if question is Question.RADIUS else attained(ruled) == attained(aimed)


def test_a_target_counts_once_every_engine_agrees() -> None:
    """The original engine sees the boundary at 0.3 from the centre, the network itself at 0.25: a target between is not reached."""

    class Disputed(TinyNetwork):
        def originals(self) -> dict[str, Any]:
            return {"other": lambda points: np.array([[points[0][0] + 0.05, points[0][1] - 0.05]], dtype=np.float64)}

    network = Disputed(torch.nn.Identity(), Box.filled((2,), 0, 1), 2)
    batch = robustness_problems(network, np.array([[0.75, 0.25]]), 0.5, "linf")
    (between,) = ask(Question.RADIUS, batch, budget=BUDGET, target=0.28)
    assert not says_target(between)
    assert between.provenance.queries > 2000
    (beyond,) = ask(Question.RADIUS, batch, budget=BUDGET, target=0.45)
    assert not says_target(beyond) or attained(beyond) <= 0.45


def test_a_rule_that_never_says_yes_costs_no_queries() -> None:
    batch = robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf")
    for question in SEARCHED:
        (plain,) = ask(question, batch, budget=Budget(queries=1500), seed=3)
        (ruled,) = ask(question, batch, budget=Budget(queries=1500), seed=3, stop=lambda _: False)
        assert ruled.provenance.queries <= 1500
        assert ruled.notes == plain.notes == ()


def test_an_error_in_the_rule_reaches_the_caller() -> None:
    def rule(progress: Progress) -> bool:
        raise ZeroDivisionError("in the rule")

    batch = robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf")
    with pytest.raises(ZeroDivisionError, match="in the rule"):
        ask(Question.REACH, batch, budget=BUDGET, stop=rule)
    with pytest.raises(ZeroDivisionError, match="in the rule"):
        list(stream(Question.REACH, batch, budget=BUDGET, stop=rule))


def test_an_interrupt_in_the_rule_is_an_interrupt() -> None:
    def rule(progress: Progress) -> bool:
        raise KeyboardInterrupt

    (answer,) = ask(Question.REACH, robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf"), budget=BUDGET, stop=rule)
    assert answer.provenance.interrupted


def test_assess_and_batches_that_were_not_begun_are_left_out() -> None:
    """Two norms: the rule ends the first one, and the second is not begun."""
    answers = na.assess(
        NETWORK, INPUTS, norms=["linf", "l2"], radius=0.25, questions=["reach"], budget=na.Budget(queries=500), stop=lambda _: True
    )
    assert len(answers) == 3
    assert not any(a.provenance.interrupted for a in answers)
    both = [*robustness_problems(NETWORK, INPUTS[:1], 0.25, "linf"), *robustness_problems(NETWORK, INPUTS[:1], 0.25, "l2")]
    assert len(ask(Question.REACH, both, stop=lambda _: True)) == 1


def test_a_stream_takes_target_and_rule() -> None:
    ball = na.Ball(INPUTS[0], 0.25, "linf", domain=DOMAIN)
    steps = list(na.stream("lipschitz", NETWORK, "robustness", ball, budget=na.Budget(queries=4000), target=0.01))
    assert isinstance(steps[-1], LipschitzAnswer)
    assert says_target(steps[-1])
    steps = list(na.stream("radius", NETWORK, "robustness", ball, budget=na.Budget(queries=4000), stop=lambda p: p.done_queries > 200))
    assert isinstance(steps[-1], RadiusAnswer)
    assert any("stopped by the caller" in note for note in steps[-1].notes)


def test_a_rule_remembers_that_it_said_yes() -> None:
    rule = StopRule(lambda progress: progress.done_queries > 3)
    assert [rule(Progress(Question.REACH, n, None, 0.0, None, ())) for n in (1, 4, 2)] == [False, True, True]
    assert rule.said
