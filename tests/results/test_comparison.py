"""Comparisons: surely worse only where brackets lie apart, censored sides kept, tests against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.errors import UsageError
from netassay.results.answer import Answer, LipschitzAnswer, Outcome
from netassay.results.comparison import Compared, compare
from netassay.results.ranking import rank
from reports.campaign_answers import campaign_answers
from results.test_statistics import bracketed
from results.test_summary import answer


def numbered(answers: list[Answer]) -> list[Answer]:
    return [replace(a, index=i) for i, a in enumerate(answers)]


def only(a: list[Answer], b: list[Answer]) -> Compared:
    (found,) = compare(numbered(a), numbered(b))
    return found


@given(st.lists(st.tuples(bracketed(), bracketed()), min_size=1, max_size=20))
def test_what_is_surely_worse_is_worse(drawn: list[tuple[tuple[float, Answer], tuple[float, Answer]]]) -> None:
    found = only([a for (_, a), _ in drawn], [b for _, (_, b) in drawn])
    for index, ((before, _), (after, _)) in enumerate(drawn):
        if index in found.surely_worse:
            assert after < before
        if index in found.surely_better:
            assert after > before
    assert found.undecided == len(drawn) - len(found.surely_worse) - len(found.surely_better)


def test_brackets_apart_decide_and_brackets_that_meet_do_not() -> None:
    found = only(
        [answer(0.9, proved=0.5), answer(0.4, proved=0.1), answer(0.5, proved=0.2), answer(0.9)],
        [answer(0.4, proved=0.1), answer(0.9, proved=0.5), answer(0.4, proved=0.2), answer(0.1)],
    )
    assert (found.surely_worse, found.surely_better, found.undecided) == ((0,), (1,), 2)


def test_a_radius_capped_by_its_search_is_no_upper_bound() -> None:
    found = only([answer(None, searched=0.1)], [answer(0.9, proved=0.5)])
    assert found.surely_better == ()


def test_censored_sides_keep_the_sign_that_they_show() -> None:
    """No witness within 1: a witness nearer than 1 is nearer; one at 1 or beyond says nothing."""
    found = only(
        [answer(None), answer(0.3), answer(None), answer(0.3), answer(None)],
        [answer(0.5), answer(None), answer(None), answer(0.3), answer(1.0)],
    )
    upper = found.sides[1]
    assert (upper.larger, upper.smaller, upper.equal, upper.unknown, upper.known) == (1, 1, 2, 1, 1)


def test_the_sides_are_never_mixed() -> None:
    """A proof in A and a witness in B give no pair of either side."""
    lower, upper = only([answer(None, proved=0.5)], [answer(0.9)]).sides
    assert (lower.known, upper.known) == (0, 0)
    assert (lower.guarantee, upper.guarantee) == ("proved", "attained")
    assert (lower.larger, lower.smaller) == (0, 1)
    assert (upper.larger, upper.smaller) == (0, 1)


def test_the_tests_agree_with_counting() -> None:
    before = [answer(0.5 + 0.01 * i) for i in range(8)]
    after = [answer(0.4 + 0.008 * i) for i in range(8)]
    upper = only(before, after).sides[1]
    assert (upper.smaller, upper.larger) == (8, 0)
    assert upper.sign_p == pytest.approx(2 / 2**8)
    assert upper.wilcoxon_p == pytest.approx(2 / 2**8)
    assert upper.mean_difference == pytest.approx(-0.1 - 0.002 * 3.5)
    assert upper.population.lower is None


def test_the_interval_of_the_mean_difference_repeats_and_holds_it() -> None:
    rng = np.random.default_rng(0)
    before = [answer(float(d)) for d in rng.uniform(0.3, 0.9, 60)]
    after = [answer(float(d)) for d in rng.uniform(0.2, 0.8, 60)]
    upper = only(before, after).sides[1]
    assert upper == only(before, after).sides[1]
    assert upper.population.lower is not None
    assert upper.population.upper is not None
    assert upper.mean_difference is not None
    assert upper.population.lower < upper.mean_difference < upper.population.upper < 0.05


def test_a_model_compared_with_itself_has_not_changed() -> None:
    answers = campaign_answers(30)
    for found in compare(answers, answers):
        assert (found.surely_worse, found.surely_better, found.newly_misclassified) == ((), (), ())
        for side in found.sides:
            assert (side.larger, side.smaller, side.unknown, side.sign_p, side.wilcoxon_p) == (0, 0, 0, None, None)
        assert found.conditions == ()


def test_misclassified_inputs_are_listed_and_out_of_all_figures() -> None:
    wrong = answer(None, outcome=Outcome.MISCLASSIFIED)
    found = only([answer(0.5), wrong, wrong, answer(0.5)], [wrong, answer(0.5), wrong, answer(0.4)])
    assert (found.newly_misclassified, found.no_longer_misclassified, found.misclassified_in_both) == ((0,), (1,), 1)
    assert (found.pairs, found.sides[1].known) == (1, 1)


def test_larger_slopes_are_worse() -> None:
    answers = [a for a in campaign_answers(20) if isinstance(a, LipschitzAnswer)]

    def scaled(a: Answer, factor: float) -> Answer:
        assert isinstance(a, LipschitzAnswer)
        if a.bracket.lower is None or a.bracket.upper is None:
            return a
        lower, upper = replace(a.bracket.lower, value=factor * a.bracket.lower.value), replace(a.bracket.upper, value=1e9)
        return replace(a, bracket=replace(a.bracket, lower=lower, upper=upper))

    found = compare(answers, [scaled(a, 100.0) for a in answers])
    assert all(len(c.surely_worse) == c.pairs and not c.surely_better for c in found)


def test_other_inputs_and_other_searches_are_told_apart() -> None:
    other = replace(answer(0.4), center=answer(0.4).center / 2)
    with pytest.raises(UsageError, match="same input"):
        compare([answer(0.5)], [other])
    longer = replace(answer(0.4), provenance=replace(answer(0.4).provenance, options={"queries": 5}))
    assert "options differs" in only([answer(0.5)], [longer]).conditions[0]


def test_an_input_is_the_same_in_every_layout() -> None:
    flat = replace(answer(0.4), center=answer(0.4).center.reshape(-1))
    assert only([answer(0.5)], [flat]).pairs == 1


def test_a_ranking_is_sure_only_where_brackets_lie_apart() -> None:
    strong, weak, vague = [answer(0.9, proved=0.8)], [answer(0.3, proved=0.1)], [answer(0.9, proved=0.1)]
    (found,) = rank({1: numbered(weak), 2: numbered(strong), 3: numbered(vague)})
    places = {r.campaign: (r.surely_better, r.surely_worse) for r in found.models}
    assert places == {1: (1, 0), 2: (0, 1), 3: (0, 0)}
    assert [r.campaign for r in found.models] == [2, 3, 1]


def test_a_ranking_counts_misclassified_inputs_with_nothing_and_takes_shared_inputs_only() -> None:
    wrong = answer(None, outcome=Outcome.MISCLASSIFIED)
    (found,) = rank({1: numbered([answer(0.8, proved=0.6), wrong]), 2: numbered([answer(0.8, proved=0.6), answer(0.8), answer(0.1)])})
    brackets = {r.campaign: (r.mean.lower, r.mean.upper, r.inputs) for r in found.models}
    assert brackets == {1: (0.3, 0.4, 2), 2: (0.3, 0.8, 2)}
    assert rank({1: numbered([answer(0.5)])}) == []


def test_a_model_whose_search_ended_early_is_not_surely_worse() -> None:
    (found,) = rank({1: numbered([answer(None, searched=0.1)]), 2: numbered([answer(0.9, proved=0.5)])})
    assert all((r.surely_better, r.surely_worse) == (0, 0) for r in found.models)
