"""Choices that the checker makes itself do not depend on rounding: what float64 proves is proved in rational numbers too."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netassay.checking.certificates.arithmetic import Arithmetic, floats
from netassay.checking.certificates.curves import curve_of
from netassay.checking.certificates.relaxation import kinked
from netassay.models import nonlinear as nl
from netassay.models.operators import Operator

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)


def test_ranges_as_long_on_both_sides_have_one_line_below() -> None:
    """Rounding outwards makes one side of such a range longer now and then."""
    ends = np.random.default_rng(0).uniform(0.01, 5.0, 50)
    for left in (0.0, 0.25):
        (expected,) = {float(x) for x in floats(kinked(EXACT, left, EXACT.array(-ends)[None], EXACT.array(ends)[None]).lower_slope).ravel()}
        for high in (ends, np.nextafter(ends, np.inf), np.nextafter(ends, 0.0)):
            assert (kinked(FLOATS, left, -ends[None], high[None]).lower_slope == expected).all()


def test_the_line_below_is_the_part_that_a_range_leans_to() -> None:
    low, high = np.array([[-1.0, -2.0, -1.0]]), np.array([[2.0, 1.0, 1.001]])
    assert kinked(FLOATS, 0.0, low, high).lower_slope.tolist() == [[1.0, 0.0, 1.0]]


@pytest.mark.parametrize("operator", [nl.Sigmoid(), nl.Tanh(), nl.Exp()])
def test_ends_of_values_at_whole_numbers_are_rational(operator: Operator) -> None:
    """Python divides whole numbers to floats, of which nothing is believed."""
    curve = curve_of(operator)
    assert curve is not None
    at = np.array([Fraction(0), 0, Fraction(1), -1, Fraction(-3, 2)], dtype=object)
    for ends in curve.ends(EXACT, at):
        for side in ends:
            assert EXACT.known(side).all()
            assert all(isinstance(x, Fraction | int) for x in side)
