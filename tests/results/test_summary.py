"""Summaries: counts by hand, bounds against exact rational arithmetic, and censored inputs on the sound side."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Outcome, Question, RadiusAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.guarantee import Guarantee
from netassay.results.summary import SURVIVAL_POINTS, mean, median, radius_summary, shows, summarise
from netassay.results.trace import Trace
from netassay.results.witness import Replay, RiskClass, Witness
from reports import sample_answers

FINITE = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)
BASE = next(a for a in sample_answers.image_answers(2) if isinstance(a, RadiusAnswer))


def answer(
    distance: float | None,
    *,
    searched: float = 1.0,
    proved: float | None = None,
    outcome: Outcome | None = None,
    replay: Replay | None = None,
    norm: Norm = Norm.LINF,
) -> RadiusAnswer:
    witness, upper = None, None
    if distance is not None:
        shown = replay or Replay({"torch-float64": -0.5}, True, {"torch-float64": True})
        witness = Witness(np.zeros(64, dtype=np.float32), np.zeros(10), distance, -0.5, 1, RiskClass.ADVERSARIAL, shown)
        upper = sample_answers.side(max(0.0, distance - 1) if norm is Norm.L0 else distance)
    lower = None if proved is None else sample_answers.side(proved, Guarantee.PROVED)
    return replace(
        BASE,
        outcome=outcome or (Outcome.NO_WITNESS if distance is None else Outcome.MEASURED),
        region=replace(BASE.region, radius=searched, norm=norm),
        bracket=Bracket(End.UPPER, lower, upper),
        witness=witness,
        trace=Trace(),
        true_label=BASE.label,
    )


def test_counts_and_figures_of_a_small_set() -> None:
    members = [answer(d) for d in (0.5, 0.1, 0.25)] + [answer(None, searched=2.0), answer(None, outcome=Outcome.MISCLASSIFIED)]
    found = summarise(members)
    assert found.answers == 5
    (group,) = found.groups
    assert (group.question, group.answers, group.witnessed, group.confirmed) == (Question.RADIUS, 5, 3, 3)
    assert group.outcomes == {"measured": 3, "misclassified": 1, "risk-at-center": 0, "no-witness": 1}
    r = group.radius
    assert r is not None
    assert (r.counted, r.censored, r.proved) == (4, 1, 0)
    assert (r.minimum.lower, r.minimum.upper) == (None, 0.1)
    assert r.median.upper == 0.375
    assert r.mean.upper is not None
    exact = (Fraction(0.5) + Fraction(0.1) + Fraction(0.25) + Fraction(2)) / 4
    assert exact <= Fraction(r.mean.upper) <= exact + Fraction(1, 10**15)


def test_the_survival_curve_counts_by_hand() -> None:
    members = [answer(d) for d in (0.5, 0.1, 0.1)] + [answer(None), answer(None, outcome=Outcome.MISCLASSIFIED)]
    r = radius_summary(members)
    assert r is not None
    assert [(p.radius, p.without_witness, p.right_without_witness) for p in r.survival] == [(0.0, 4, 4), (0.1, 2, 2), (0.5, 1, 1)]


def test_attacked_accuracy_needs_all_true_labels() -> None:
    r = radius_summary([answer(0.5), replace(answer(0.1), true_label=None)])
    assert r is not None
    assert {p.right_without_witness for p in r.survival} == {None}


def test_proved_shares_and_figures() -> None:
    r = radius_summary([answer(0.5, proved=0.2), answer(0.4, proved=0.1), answer(0.3)])
    assert r is not None
    assert {p.radius: p.proved_safe for p in r.survival} == {0.0: 2, 0.1: 2, 0.2: 1, 0.3: 0, 0.4: 0, 0.5: 0}
    assert r.minimum.lower == 0.0
    assert r.median.lower == 0.1
    assert r.mean.lower is not None
    assert Fraction(r.mean.lower) <= (Fraction(0.2) + Fraction(0.1)) / 3


def test_a_witness_outside_or_not_borne_out_is_none() -> None:
    outside = Replay({"a": -0.5}, False, {"a": True})
    safe = Replay({"a": 0.5}, True, {"a": False})
    r = radius_summary([answer(0.1, replay=outside), answer(0.2, replay=safe), answer(0.5)])
    assert r is not None
    assert (r.minimum.upper, r.censored) == (0.5, 2)
    assert r.survival[-1].without_witness == 2


def test_disagreeing_engines_count_but_are_told() -> None:
    split = Replay({"a": -1e-9, "b": 1e-9}, True, {"a": True, "b": False})
    (group,) = summarise([answer(0.1, replay=split), answer(0.5)]).groups
    assert (group.witnessed, group.confirmed) == (2, 1)


def test_estimates_never_enter_attained_figures() -> None:
    guess = replace(
        answer(0.1), bracket=Bracket(End.UPPER, sample_answers.side(0.05, Guarantee.SOLVER), sample_answers.side(0.1, Guarantee.HEURISTIC))
    )
    r = radius_summary([guess, answer(0.5)])
    assert r is not None
    assert (r.minimum.upper, r.minimum.lower, r.proved, r.censored) == (0.5, None, 0, 1)


def test_l0_survival_uses_the_witness_and_its_radius_is_one_below() -> None:
    r = radius_summary([answer(3.0, norm=Norm.L0, searched=64.0), answer(1.0, norm=Norm.L0, searched=64.0)])
    assert r is not None
    assert r.minimum.upper == 0.0
    assert {p.radius: p.without_witness for p in r.survival} == {0.0: 2, 1.0: 1, 3.0: 0}
    assert [p.radius for p in r.at_radii] == [1.0, 2.0, 3.0]


def test_an_unlimited_search_without_witness_leaves_the_mean_unknown() -> None:
    r = radius_summary([answer(0.1), answer(None, searched=math.inf)])
    assert r is not None
    assert (r.mean.upper, r.minimum.upper) == (None, 0.1)


def test_without_any_witness_nothing_is_claimed() -> None:
    r = radius_summary([answer(None), answer(None)])
    assert r is not None
    assert (r.minimum.upper, r.median.upper, r.mean.upper, r.at_radii) == (None, None, None, ())


@given(st.lists(FINITE, min_size=1, max_size=40))
def test_mean_and_median_bound_the_exact_ones(values: list[float]) -> None:
    exact = sorted(map(Fraction, values))
    middle = (exact[(len(exact) - 1) // 2] + exact[len(exact) // 2]) / 2
    for figure, truth in ((mean, sum(exact, Fraction(0)) / len(exact)), (median, middle)):
        low, high = figure(values, up=False), figure(values, up=True)
        assert low is not None
        assert high is not None
        assert Fraction(low) <= truth <= Fraction(high)
        assert high <= math.nextafter(low, math.inf)


@given(st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 0.99)), min_size=1, max_size=30), st.floats(0, 1))
def test_survival_points_bound_the_true_shares(inputs: list[tuple[float, float]], radius: float) -> None:
    """With the true radius anywhere between the sides, shares read off the curve bound the true share of safe inputs."""
    members = [answer(d, proved=d * part) for d, part in inputs]
    truth = [d * part + 0.5 * (d - d * part) for d, part in inputs]
    r = radius_summary(members)
    assert r is not None
    safe = sum(t >= radius for t in truth)
    before = [p for p in r.survival if p.radius <= radius]
    after = [p for p in r.survival if p.radius >= radius]
    assert safe <= before[-1].without_witness
    assert not after or after[0].proved_safe <= safe


def test_long_curves_are_thinned_without_losing_their_ends() -> None:
    members = [answer((i + 1) / 1000) for i in range(1000)]
    r = radius_summary(members)
    assert r is not None
    assert len(r.survival) == SURVIVAL_POINTS
    assert (r.survival[0].without_witness, r.survival[-1].radius, r.survival[-1].without_witness) == (1000, 1.0, 0)


@pytest.mark.parametrize("top", [1e-6, 0.031, 0.25, 1.0, 7.0, 123.0])
def test_round_radii_reach_the_farthest_witness(top: float) -> None:
    r = radius_summary([answer(top), answer(top / 3)])
    assert r is not None
    radii = [p.radius for p in r.at_radii]
    assert 3 <= len(radii) <= 8
    assert radii[-1] >= top > radii[-2]


def test_groups_keep_questions_norms_and_risks_apart() -> None:
    answers: list[Answer] = sample_answers.image_answers(3)
    found = summarise(answers)
    assert [(g.question, g.spec, g.norm) for g in found.groups][:4] == [
        (Question.RADIUS, "robustness", Norm.LINF),
        (Question.RADIUS, "robustness", Norm.L0),
        (Question.RADIUS, "uncertainty:0.3", Norm.LINF),
        (Question.LIPSCHITZ, "robustness", Norm.LINF),
    ]
    assert sum(g.answers for g in found.groups) == len(answers)
    slope = found.groups[3].slope
    assert slope is not None
    assert slope.largest.upper is None
    assert slope.largest.lower == max(a.bracket.lower.value for a in answers if a.question is Question.LIPSCHITZ)  # type: ignore[attr-defined]
    span = found.groups[4].range
    assert span is not None
    assert span.minimum.upper is not None
    assert span.maximum.lower is not None
    assert span.minimum.upper < span.maximum.lower
    assert (span.minimum.lower, span.maximum.upper) == (None, None)


def test_shows_follows_claims_of_slopes_and_ranges() -> None:
    assert not shows(None)
    reached = Replay({"a": 3.0}, True, {"a": False}, claim=True)
    assert shows(answer(0.1, replay=reached).witness)
    assert not shows(answer(0.1, replay=replace(reached, claim=False)).witness)
