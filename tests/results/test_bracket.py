"""Brackets: sides move inwards only, strong sides are not touched by weak ones, and contradictions are errors."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netassay.errors import InconsistentClaimsError
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.trace import Trace

FINITE = st.floats(-1e6, 1e6)
UNPROVED = st.sampled_from([Guarantee.ATTAINED, Guarantee.SOLVER, Guarantee.STATISTICAL, Guarantee.HEURISTIC])


def side(value: float, guarantee: Guarantee) -> Side:
    return Side(value, guarantee, "test", Arithmetic.FLOAT64)


@settings(derandomize=True)
@given(st.lists(st.tuples(FINITE, UNPROVED), max_size=12))
def test_the_attained_side_moves_inwards_within_one_strength(claims: list[tuple[float, Guarantee]]) -> None:
    bracket = Bracket(End.UPPER)
    for value, guarantee in claims:
        before = bracket.upper
        bracket = bracket.tighten(End.UPPER, side(value, guarantee))
        after = bracket.upper
        assert after is not None
        if before is not None:
            assert after.guarantee.strength >= before.guarantee.strength
            assert after.guarantee.strength > before.guarantee.strength or after.value <= before.value


@settings(derandomize=True)
@given(st.lists(st.tuples(FINITE, st.booleans()), max_size=12))
def test_a_proved_side_is_improved_only_by_a_proved_value(claims: list[tuple[float, bool]]) -> None:
    bracket = Bracket(End.UPPER)
    best = -math.inf
    for value, proved in claims:
        bracket = bracket.tighten(End.LOWER, side(value, Guarantee.PROVED if proved else Guarantee.SOLVER))
        best = max(best, value) if proved else best
        if math.isfinite(best):
            assert bracket.lower == side(best, Guarantee.PROVED)


def test_wrong_ends_contradictions_and_nan_are_errors() -> None:
    with pytest.raises(InconsistentClaimsError, match="attained"):
        Bracket(End.UPPER, lower=side(1, Guarantee.ATTAINED))
    with pytest.raises(InconsistentClaimsError, match="proved"):
        Bracket(End.LOWER, lower=side(1, Guarantee.PROVED))
    proved = Bracket(End.UPPER, lower=side(2, Guarantee.PROVED))
    with pytest.raises(InconsistentClaimsError, match="wrong"):
        proved.tighten(End.UPPER, side(1.9, Guarantee.ATTAINED))
    with pytest.raises(InconsistentClaimsError, match="NaN"):
        side(math.nan, Guarantee.ATTAINED)


def test_the_gap_is_infinite_until_both_sides_are_known() -> None:
    bracket = Bracket(End.UPPER, upper=side(3, Guarantee.ATTAINED))
    assert bracket.gap == math.inf
    assert bracket.tighten(End.LOWER, side(1, Guarantee.PROVED)).gap == 2


@settings(derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 100), FINITE, FINITE), min_size=1, max_size=20))
def test_any_prefix_of_a_trace_is_valid_and_tighter_than_the_one_before(steps: list[tuple[int, float, float]]) -> None:
    trace = Trace()
    for queries, low, high in steps:
        trace.append(queries, 0.0, lower=low, upper=high)
    points = list(trace)
    assert points[-1].lower == max(low for _, low, _ in steps)
    assert points[-1].upper == min(high for _, _, high in steps)
    for before, after in pairwise(points):
        assert before.lower is not None
        assert after.lower is not None
        assert before.upper is not None
        assert after.upper is not None
        assert after.lower >= before.lower
        assert after.upper <= before.upper
        assert after.queries >= before.queries
