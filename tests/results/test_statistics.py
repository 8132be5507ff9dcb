"""Global figures: brackets of figures hold the true figures, whatever is censored; sides are never mixed."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Outcome, RadiusAnswer, VerifyAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.guarantee import Guarantee
from netassay.results.quantities import quantities
from netassay.results.statistics import accuracies, figures, order_statistic, percentile
from netassay.results.summary import grouped
from reports.campaign_answers import campaign_answers
from reports.sample_answers import side
from results.test_summary import answer

RADII = st.floats(min_value=0, max_value=1, allow_nan=False, width=32)


@st.composite
def bracketed(draw: st.DrawFn) -> tuple[float, RadiusAnswer]:
    """A true radius (capped at 1, where the search ends) and an answer that brackets it, perhaps on one side only."""
    true = draw(RADII)
    low = draw(st.none() | st.floats(0, true)) if true else draw(st.none() | st.just(0.0))
    high = draw(st.none() | st.floats(true, 1)) if true < 1 else None
    return true, answer(high, proved=low)


@given(st.lists(bracketed(), min_size=1, max_size=25))
@settings(max_examples=150)
def test_every_figure_holds_the_true_one(drawn: list[tuple[float, RadiusAnswer]]) -> None:
    true = sorted(t for t, _ in drawn)
    found = figures([a for _, a in drawn])
    (d,) = found.distributions
    exact = {p.share: Fraction(true[max(0, math.ceil(len(true) * p.share / 100) - 1)]) for p in d.percentiles}
    exact[50] = (Fraction(true[(len(true) - 1) // 2]) + Fraction(true[len(true) // 2])) / 2
    pairs = [(d.least, Fraction(true[0])), (d.greatest, Fraction(true[-1])), (d.mean, sum(map(Fraction, true), Fraction(0)) / len(true))]
    pairs += [(p.value, exact[p.share]) for p in d.percentiles]
    for interval, value in pairs:
        assert interval.lower is None or interval.lower <= value
        assert interval.upper is None or interval.upper >= value
    for accuracy in accuracies([a for _, a in drawn], radii=[0.1, 0.5, 0.9]):
        assert accuracy.radius is not None
        assert accuracy.certified <= sum(t >= accuracy.radius for t in true)
        assert accuracy.attacked >= sum(t > accuracy.radius for t in true)


def test_a_side_that_nobody_knows_is_absent() -> None:
    (d,) = figures([answer(0.5), answer(0.25)]).distributions
    assert (d.mean.lower, d.mean.upper) == (None, 0.375)
    assert d.population_mean.lower is None
    (d,) = figures([answer(None, proved=0.25), answer(None, proved=0.5)]).distributions
    assert (d.mean.lower, d.mean.upper) == (0.375, None)


def test_an_unproved_input_counts_with_nothing_below_and_an_unbroken_one_with_its_cap_above() -> None:
    (d,) = figures([answer(0.5, proved=0.25), answer(None, searched=2.0)]).distributions
    assert (d.mean.lower, d.mean.upper) == (0.125, 1.25)
    assert (d.lower_known, d.upper_known) == (1, 1)


@pytest.mark.parametrize("guarantee", [Guarantee.SOLVER, Guarantee.HEURISTIC, Guarantee.STATISTICAL])
def test_only_proofs_count_below_and_only_witnesses_above(guarantee: Guarantee) -> None:
    weak = replace(answer(0.5), bracket=Bracket(End.UPPER, side(0.25, guarantee), side(0.5, guarantee)))
    (d,) = figures([weak]).distributions
    assert (d.lower_known, d.upper_known) == (0, 0)
    assert accuracies([weak], radii=[0.3])[0].certified == 0


def test_misclassified_inputs_are_apart_in_distributions_and_failed_in_accuracies() -> None:
    found = figures([answer(0.5, proved=0.4), answer(None, outcome=Outcome.MISCLASSIFIED)])
    (d,) = found.distributions
    assert (found.misclassified, d.counted, d.mean.upper) == (1, 1, 0.5)
    (accuracy,) = accuracies([answer(0.5, proved=0.4), answer(None, outcome=Outcome.MISCLASSIFIED)], radii=[0.3])
    assert (accuracy.certified, accuracy.attacked, accuracy.total) == (1, 1, 2)


def test_a_witness_just_at_the_proved_radius_is_not_counted_safe_there() -> None:
    closed = answer(0.5, proved=0.5)
    below, at = accuracies([closed], radii=[math.nextafter(0.5, 0), 0.5])
    assert (below.certified, below.attacked) == (1, 1)
    assert (at.certified, at.attacked) == (0, 0)


def test_changed_pixels_count_whole() -> None:
    (accuracy,) = accuracies([answer(3.0, searched=64.0, proved=2.0, norm=Norm.L0)], radii=[2.0])
    assert (accuracy.certified, accuracy.attacked) == (1, 1)
    (d,) = figures([answer(3.0, searched=64.0, proved=2.0, norm=Norm.L0)]).distributions
    assert (d.mean.lower, d.mean.upper) == (2.0, 2.0)


@pytest.mark.parametrize(("share", "expected"), [(0, 1.0), (5, 1.0), (10, 1.0), (10.1, 2.0), (29, 3.0), (95, 10.0), (100, 10.0)])
def test_percentiles_are_order_statistics(share: float, expected: float) -> None:
    import numpy as np

    assert order_statistic(np.arange(10.0, 0.0, -1.0), share) == expected


CAMPAIGN = campaign_answers(120)


def group(name: type[Answer]) -> list[Answer]:
    return next(members for members in grouped(CAMPAIGN) if isinstance(members[0], name))


def test_verdicts_have_one_accuracy_and_a_solvers_word_certifies_nothing() -> None:
    members = [a for a in group(VerifyAnswer) if isinstance(a, VerifyAnswer)]
    (accuracy,) = figures(members).accuracies
    assert accuracy.certified == sum(a.word == "holds" and a.guarantee is Guarantee.PROVED for a in members)
    assert accuracy.attacked == len(members) - sum(a.word in ("violated", "misclassified") for a in members)
    assert any(a.guarantee is Guarantee.SOLVER for a in members)
    assert 0 < accuracy.certified < accuracy.attacked < accuracy.total


def test_every_question_has_its_quantities_and_classes_add_up() -> None:
    names = set()
    for members in grouped(CAMPAIGN):
        found = figures(members)
        names |= {d.quantity for d in found.distributions}
        assert sum(c.inputs for c in found.classes) == len(members)
        assert sum(c.misclassified for c in found.classes) == found.misclassified
        assert len(found.worst) == 20
    assert names == {"radius", "slope", "d_prime", "minimum", "maximum", "least"}


def test_the_estimate_of_d_prime_says_nothing_of_a_population() -> None:
    from netassay.results.answer import LipschitzAnswer

    d_prime = figures(group(LipschitzAnswer)).distributions[1]
    assert d_prime.upper_guarantee is Guarantee.HEURISTIC
    assert d_prime.mean.upper is not None
    assert d_prime.population_mean.upper is None
    assert d_prime.population_mean.lower is not None


def test_the_median_agrees_with_the_summary() -> None:
    from netassay.results.summary import radius_summary

    members = [a for a in group(RadiusAnswer) if isinstance(a, RadiusAnswer)]
    summary = radius_summary(members)
    assert summary is not None
    assert percentile(quantities(members)[0], 50) == summary.median
    assert figures(members).distributions[0].mean == summary.mean
