"""Demands: met only by what is surely known, missed only by what surely denies it, else undecided."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.errors import UsageError
from netassay.results.answer import Answer, Outcome
from netassay.results.demands import SIGNS, Finding, decide, parse_demand
from reports.campaign_answers import campaign_answers
from results.test_statistics import bracketed
from results.test_summary import answer

TWO = [answer(0.5, proved=0.25), answer(1.0, proved=0.75, searched=2.0)]


def finding(text: str, answers: list[Answer] | None = None, missing: int = 0) -> Finding:
    (decision,) = decide(parse_demand(text), TWO if answers is None else answers, missing=missing)
    return decision.finding


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("radius.linf.min >= 0.25", Finding.MET),
        ("radius.linf.min > 0.25", Finding.UNDECIDED),
        ("radius.linf.min >= 0.5", Finding.UNDECIDED),
        ("radius.linf.min > 0.5", Finding.MISSED),
        ("radius.linf.min <= 0.5", Finding.MET),
        ("radius.linf.min < 0.5", Finding.UNDECIDED),
        ("radius.linf.min < 0.25", Finding.MISSED),
        ("radius.linf.mean >= 0.5", Finding.MET),
        ("radius.linf.mean >= 0.76", Finding.MISSED),
        ("radius.linf.median>=0.6", Finding.UNDECIDED),
        ("radius.linf.p05 >= 1e-1", Finding.MET),
        ("radius.linf.max <= 1", Finding.MET),
        ("radius.linf.robust@0.3 >= 50%", Finding.MET),
        ("radius.linf.robust@0.3 >= 0.51", Finding.UNDECIDED),
        ("radius.linf.robust@0.5 > 50%", Finding.MISSED),
        ("radius.linf.certified@0.3 >= 0.51", Finding.MISSED),
        ("radius.linf.attacked@0.3 >= 1", Finding.MET),
        ("radius.linf.min.proved >= 0.25", Finding.MET),
        ("radius.linf.min.proved >= 0.3", Finding.MISSED),
        ("radius.linf.min.attained >= 0.5", Finding.MET),
        ("radius.linf.min.attained > 0.5", Finding.MISSED),
        ("robustness:radius.linf.min >= 0.25", Finding.MET),
        ("uncertainty:0.5:radius.linf.min >= 0.25", Finding.UNDECIDED),
        ("radius.l2.min >= 0.25", Finding.UNDECIDED),
        ("verify.linf.certified >= 0.1", Finding.UNDECIDED),
    ],
)
def test_findings(text: str, expected: Finding) -> None:
    assert finding(text) is expected


def test_an_upper_bound_alone_never_meets_a_demand_from_below() -> None:
    attacked = [answer(0.5), answer(None)]
    for figure in ("min", "p05", "median", "mean", "max", "robust@0.1", "certified@0.1"):
        assert finding(f"radius.linf.{figure} >= 0.01", attacked) is not Finding.MET
    assert finding("radius.linf.min.attained >= 0.5", attacked) is Finding.MET


@given(st.lists(bracketed(), min_size=1, max_size=12), st.sampled_from(["min", "max", "mean", "median", "p05", "p90"]), st.data())
def test_what_is_decided_is_true(drawn: list[tuple[float, Answer]], figure: str, data: st.DataObject) -> None:
    """Whatever the brackets are, a demand that is met or missed is so for the true figure."""
    true = sorted(t for t, _ in drawn)
    exact = {
        "min": true[0],
        "max": true[-1],
        "mean": math.fsum(true) / len(true),
        "median": float(np.median(true)),
        "p05": true[math.ceil(len(true) * 0.05) - 1],
        "p90": true[math.ceil(len(true) * 9 / 10) - 1],
    }[figure]
    value, sign = data.draw(st.floats(0, 1)), data.draw(st.sampled_from(sorted(SIGNS)))
    if abs(value - exact) < 1e-9:  # the float of the exact mean may err in its last digit
        return
    found = finding(f"radius.linf.{figure} {sign} {value!r}", [a for _, a in drawn])
    if found is not Finding.UNDECIDED:
        assert SIGNS[sign](exact, value) == (found is Finding.MET)


def test_missing_answers_leave_everything_undecided() -> None:
    assert finding("radius.linf.min >= 0.25", missing=1) is Finding.UNDECIDED
    assert finding("radius.linf.min > 0.5", missing=1) is Finding.UNDECIDED


def test_misclassified_inputs_alone_decide_accuracies_only() -> None:
    wrong = [answer(None, outcome=Outcome.MISCLASSIFIED)]
    assert finding("radius.linf.min >= 0.1", wrong) is Finding.UNDECIDED
    assert finding("radius.linf.robust@0.1 >= 10%", wrong) is Finding.MISSED


def test_estimates_decide_nothing() -> None:
    answers = campaign_answers(40)
    assert finding("d_prime.linf.min >= 10", answers) is Finding.UNDECIDED
    assert finding("d_prime.linf.min >= 1e-9", answers) is Finding.MET
    assert finding("lipschitz.linf.max <= 1e6", answers) is Finding.MET
    assert finding("lipschitz.linf.max.attained >= 1e6", answers) is Finding.MISSED
    assert finding("reach.linf.min >= -100", answers) is Finding.MET
    assert finding("reach.linf.max >= 100", answers) is Finding.MISSED
    assert finding("verify.linf.robust >= 99%", answers) is Finding.MISSED


def test_one_decision_per_risk() -> None:
    answers = [*TWO, *campaign_answers(12)]
    assert len(decide(parse_demand("radius.linf.min >= 0.1"), answers)) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected"),
        ("radius", "expected"),
        ("radius.linf.p05 == 1", "expected"),
        ("radius.linf.p05 >= nan", "expected"),
        ("radius.linf.p05 >= 1 or 1", "expected"),
        ("radius.l3.p05 >= 1", "expected"),
        ("speed.linf.min >= 1", "unknown subject 'speed'"),
        ("radius.linf.p101 >= 1", "unknown figure 'p101'"),
        ("radius.linf.best >= 1", "unknown figure 'best'"),
        ("reach.linf.median >= 1", "unknown figure 'median'"),
        ("lipschitz.linf.certified@0.1 >= 1", "unknown figure"),
        ("radius.linf.certified >= 1", "needs radius"),
        ("radius.linf.min@0.1 >= 1", "takes no radius"),
        ("verify.linf.robust@0.1 >= 1", "takes no radius"),
        ("radius.linf.certified@0.1.attained >= 1", "a side already"),
        ("d_prime.linf.min.attained >= 1", "no attained side"),
        ("radius.linf.min >= " + "1" * 600, "expected"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_demand(text)
