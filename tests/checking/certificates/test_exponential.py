"""Ends of exponentials hold the real ones, by much higher precision, in both arithmetics."""

from __future__ import annotations

import os
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from netassay.checking.certificates import exponential as module
from netassay.checking.certificates.arithmetic import UNIT, Arithmetic
from netassay.checking.certificates.exponential import exponential, rational_exponential, rational_logarithm

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)
POINTS = int(os.environ.get("NETASSAY_POINTS", "3000"))
"""Points that are compared with mpmath."""


@pytest.fixture(autouse=True)
def _precise():
    with mpmath.workprec(300):
        yield


def exact(number: object) -> mpmath.mpf:
    if isinstance(number, Fraction):
        return mpmath.mpf(number.numerator) / number.denominator
    return mpmath.mpf(number if isinstance(number, int) else float(number))


def points(count: int, seed: int = 0) -> np.ndarray:
    """Over all of the range, near 0, and at the middles between multiples of log 2, where the reduced numbers are largest."""
    rng = np.random.default_rng(seed)
    middles = (rng.integers(-1000, 1000, count // 4) + 0.5) * np.log(2)
    spread = [rng.uniform(-700, 700, count // 4), rng.normal(size=count // 4), rng.normal(size=count // 4) * 10.0 ** rng.integers(-12, 2)]
    special = [0.0, -0.0, 5e-324, -5e-324, 1.0, -1.0, 700.0, -700.0, 1e-300]
    return np.concatenate([np.clip(np.nextafter(middles, rng.choice([-1e3, 1e3], len(middles))), -700, 700), *spread, special])


def test_the_constants() -> None:
    assert abs(mpmath.log(2) - exact(module.HIGH) - exact(module.LOW)) < mpmath.mpf(2) ** -85
    assert (Fraction(module.HIGH) * 2**32).denominator == 1


def test_floats_hold_the_real_exponentials() -> None:
    x = points(POINTS)
    low, high = exponential(FLOATS, x)
    for each, below, above in zip(x, low, high, strict=True):
        true = mpmath.exp(exact(each))
        assert exact(below) <= true <= exact(above), each
    assert (high - low <= 200 * UNIT * high).all()


def test_a_million_floats_against_extended_precision() -> None:
    """80-bit exponentials are right to a few of their own units, which are taken off on the strict side."""
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("this platform has no extended precision")
    x = points(1_000_000, seed=1)
    low, high = exponential(FLOATS, x)
    true = np.exp(x.astype(np.longdouble))
    room = true * np.longdouble(2) ** -60
    assert (low <= true - room).all()
    assert (high >= true + room).all()


@pytest.mark.parametrize("x", [np.nan, np.inf, 701.0, 1e308])
def test_what_is_not_known_has_no_upper_end(x: float) -> None:
    low, high = exponential(FLOATS, np.array([x]))
    assert low[0] == 0
    assert high[0] == np.inf


def test_far_on_the_left() -> None:
    low, high = exponential(FLOATS, np.array([-701.0, -1e308, -np.inf]))
    assert (low == 0).all()
    assert exact(high[0]) > mpmath.exp(-701)
    assert (high > 0).all()


def test_fractions_hold_the_real_exponentials_and_lie_within_the_floats() -> None:
    x = points(400)
    x = x[np.abs(x) < 100]
    (low, high), (near, far) = exponential(EXACT, EXACT.array(x)), exponential(FLOATS, x)
    for each, *ends, below, above in zip(x, low, high, near, far, strict=True):
        true = mpmath.exp(exact(each))
        assert exact(ends[0]) <= true <= exact(ends[1]), each
        assert Fraction(below) <= ends[1]
        assert ends[0] <= Fraction(above)
        assert ends[1] - ends[0] <= ends[1] * Fraction(1, 1 << 40) + Fraction(1, 1 << 180)


def test_rational_numbers_that_are_no_floats() -> None:
    for x in (Fraction(1, 3), Fraction(-22, 7), Fraction(10**40, 3 * 10**39), Fraction(1, 10**60)):
        low, high = rational_exponential(x)
        assert exact(low) <= mpmath.exp(exact(x)) <= exact(high)
    assert rational_exponential(Fraction(2000)) == (0, np.inf)
    assert rational_exponential(np.nan) == (0, np.inf)
    assert rational_exponential(Fraction(-2000))[0] == 0


def test_logarithms() -> None:
    for x in (Fraction(10), Fraction(1), Fraction(1, 10), Fraction(3, 2), Fraction(10**9)):
        low, high = rational_logarithm(x)
        assert exact(low) <= mpmath.log(exact(x)) <= exact(high)
        assert high - low < Fraction(1, 10**15)
    with pytest.raises(ValueError, match="not enclosed"):
        rational_logarithm(Fraction(0))


@pytest.mark.parametrize("exactly", [False, True])
def test_logarithms_lie_between_their_ends(*, exactly: bool) -> None:
    """Of numbers of all sizes; ends are close together up to exp(120), and say little beyond, and nothing of what is no positive number."""
    a, rng = EXACT if exactly else FLOATS, np.random.default_rng(5)
    x = np.concatenate(
        [np.exp(rng.uniform(-100, 100, 60 if exactly else 3000)), [1.0, 2.0, 0.5, 5e-324, 1e-200, 1e99, np.nextafter(1.0, 2.0)]]
    )
    low, high = module.logarithm(a, a.array(x))
    for i, each in enumerate(x):
        assert exact(low[i]) <= mpmath.log(exact(float(each))) <= exact(high[i])
    assert (np.asarray(high - low, dtype=np.float64)[:-6] < 1e-13).all()
    for none in (np.array([0.0, -1.0]), np.array([np.nan, np.inf, -np.inf])):
        given = a.array(none) if np.isfinite(none).all() else none
        found = module.logarithm(FLOATS if given is none else a, given)
        assert (found[0] == -np.inf).all()
        assert (found[1] == np.inf).all()
