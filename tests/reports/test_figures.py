"""Printed numbers: a rounded bound is still a bound, exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.reports.figures import Rounding, aligned, count, duration, estimate, figure, lower, percent, setting, upper

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(FLOATS)
def test_printed_bounds_are_on_the_sound_side(value: float) -> None:
    low, high = Fraction(lower(value)), Fraction(upper(value))
    assert low <= Fraction(value) <= high
    assert high - low <= abs(Fraction(value)) / 99


@given(FLOATS)
def test_rounding_to_nearest_keeps_the_sign(value: float) -> None:
    printed = Fraction(figure(value))
    assert (printed > 0, printed < 0) == (value > 0, value < 0)
    assert abs(printed - Fraction(value)) <= abs(Fraction(value)) / 199


@pytest.mark.parametrize(
    ("value", "rounding", "printed"),
    [
        (0.03041, Rounding.UP, "0.0305"),
        (0.03041, Rounding.DOWN, "0.0304"),
        (0.03041, Rounding.NEAREST, "0.0304"),
        (-0.03041, Rounding.UP, "-0.0304"),
        (0.9999, Rounding.UP, "1.00"),
        (12, Rounding.NEAREST, "12.0"),
        (123456.0, Rounding.UP, "124000"),
        (1234567.0, Rounding.DOWN, "1.23e6"),
        (-1e-7, Rounding.NEAREST, "-1.00e-7"),
        (0.0, Rounding.UP, "0"),
        (-0.0, Rounding.DOWN, "0"),
        (math.inf, Rounding.DOWN, "inf"),
        (-math.inf, Rounding.UP, "-inf"),
    ],
)
def test_figures(value: float, rounding: Rounding, printed: str) -> None:
    assert figure(value, rounding) == printed


def test_nan_is_never_printed() -> None:
    with pytest.raises(ValueError, match="NaN"):
        figure(math.nan)


def test_settings_are_printed_as_chosen() -> None:
    assert [setting(v) for v in (0.1, 0.3, 1.0, 784.0, 8 / 255, math.inf)] == ["0.1", "0.3", "1", "784", repr(8 / 255), "inf"]


@pytest.mark.parametrize(
    ("part", "whole", "printed"),
    [(0, 7, "0 %"), (7, 7, "100 %"), (1, 8, "12.5 %"), (1, 100_000, "0.1 %"), (99_999, 100_000, "99.9 %"), (0, 0, "none")],
)
def test_shares_are_never_rounded_to_all_or_nothing(part: int, whole: int, printed: str) -> None:
    assert percent(part, whole) == printed


def test_decimal_points_line_up() -> None:
    cells = aligned(["0.5", "12", "\u2264 0.043", "1.00e-5", ""])
    assert [len(c) - (c.index(".") if "." in c and "e" not in c else len(c.rstrip("\u2007\u2008"))) for c in cells] == [4] * 5
    assert aligned([]) == []
    assert aligned(["1", "20"]) == ["1", "20"]


def test_estimates_of_round_numbers_look_round() -> None:
    assert [estimate(v) for v in (0.1, 0.1004, 0.3, -0.3, 0.0)] == ["0.100", "0.101", "0.300", "-0.300", "0"]


def test_counts_and_durations() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert (duration(0.4217), duration(185.4)) == ("0.422 s", "3 min 05 s")
