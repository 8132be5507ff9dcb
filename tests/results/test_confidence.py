"""Confidence limits: against exact binomial tails in rational arithmetic, never on the wrong side."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.errors import UsageError
from netassay.results.confidence import LEAST_INPUTS, mean_limits, median_limits, share_limits


def tail(total: int, least: int, share: Fraction) -> Fraction:
    """P(Binomial(total, share) >= least), exactly."""
    return sum((math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(least, total + 1)), Fraction(0))


@given(st.integers(1, 40), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_clopper_pearson_keeps_each_error_below_half(total: int, data: st.DataObject, level: float) -> None:
    surely = data.draw(st.integers(0, total))
    perhaps = data.draw(st.integers(surely, total))
    found = share_limits(surely, perhaps, total, level)
    assert found.lower is not None
    assert found.upper is not None
    half = (1 - Fraction(level)) / 2
    if surely:
        assert tail(total, surely, Fraction(found.lower)) <= half
        assert tail(total, surely, Fraction(found.lower) * Fraction(1000001, 1000000)) > half * Fraction(999, 1000)
    else:
        assert found.lower == 0
    if perhaps < total:
        assert 1 - tail(total, perhaps + 1, Fraction(found.upper)) <= half
    else:
        assert found.upper == 1


@pytest.mark.parametrize(("surely", "perhaps", "total"), [(-1, 0, 5), (3, 2, 5), (3, 6, 5)])
def test_no_bracket_of_a_count_is_refused(surely: int, perhaps: int, total: int) -> None:
    with pytest.raises(UsageError):
        share_limits(surely, perhaps, total)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, math.nan])
def test_a_confidence_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(UsageError):
        share_limits(1, 2, 3, level)


@given(st.integers(LEAST_INPUTS, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_median_lies_outside_its_limits_no_more_often_than_allowed(size: int, level: float) -> None:
    """Of a continuous distribution, the order statistic of rank r exceeds the median iff at most r values lie below it."""
    values = np.arange(size, dtype=np.float64)
    found = median_limits(values, values, level)
    half = (1 - Fraction(level)) / 2
    assert (found.lower is None) == (found.upper is None)
    if found.lower is None:
        assert Fraction(1, 2**size) > half
        return
    rank = int(found.lower)
    assert found.upper == size - 1 - rank
    missed = sum((Fraction(math.comb(size, k), 2**size) for k in range(rank + 1)), Fraction(0))
    assert missed <= half < missed + Fraction(math.comb(size, rank + 1), 2**size)


def test_each_limit_belongs_to_its_own_side() -> None:
    rng = np.random.default_rng(0)
    lower = rng.random(200)
    upper = lower + 1
    for found in (median_limits(lower, upper), mean_limits(lower, upper)):
        assert found.lower is not None
        assert found.upper is not None
        assert found.lower < 0.55 < 1.45 < found.upper
    assert mean_limits(lower, None).upper is None
    assert median_limits(None, upper).lower is None


def test_the_bootstrap_repeats_with_its_seed_and_brackets_the_mean() -> None:
    values = np.random.default_rng(1).exponential(size=300)
    assert mean_limits(values, values, seed=3) == mean_limits(values, values, seed=3)
    assert mean_limits(values, values, seed=3) != mean_limits(values, values, seed=4)
    found = mean_limits(values, values)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < values.mean() < found.upper
    spread = 1.96 * values.std() / math.sqrt(len(values))
    assert found.upper - found.lower == pytest.approx(2 * spread, rel=0.2)


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(2), 0
    for trial in range(200):
        sample = rng.normal(size=60)
        found = mean_limits(sample, sample, seed=trial, level=0.9, resamples=200)
        hits += found.lower is not None and found.upper is not None and found.lower <= 0 <= found.upper
    assert 165 <= hits <= 195


def test_few_or_infinite_values_support_nothing() -> None:
    few = np.ones(LEAST_INPUTS - 1)
    for found in (mean_limits(few, few), median_limits(few, few), mean_limits(np.full(50, np.inf), None), median_limits(None, None)):
        assert (found.lower, found.upper) == (None, None)
    assert median_limits(None, np.full(50, np.inf)).upper is None
