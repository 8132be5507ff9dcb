"""Products and least values of rational numbers by whole ones: exactly what sums of fractions give, and what is left to these."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netassay.checking.certificates import rationals as module
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.concretisation import box_minimum
from netassay.checking.certificates.rationals import whole

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)


def rationals(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Fractions of many sizes, zeros and whole numbers among them."""
    found = EXACT.array(rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 9, shape))
    flat = found.reshape(-1)
    for i in range(0, len(flat), 3):
        flat[i] = [0, 3, -1, Fraction(1, 3), Fraction(-7, 25)][i % 5]
    return found


def by_hand(one: np.ndarray, other: np.ndarray) -> list[list[Fraction]]:
    return [[sum((Fraction(a) * Fraction(b) for a, b in zip(row, column, strict=True)), Fraction(0)) for column in other.T] for row in one]


@pytest.mark.parametrize("seed", range(5))
def test_products_are_exact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    one, other = rationals(rng, 4, 7), rationals(rng, 7, 3)
    assert EXACT.product(one, other).tolist() == by_hand(one, other)
    monkeypatch.setattr(module, "LONGEST", 8)
    assert whole(one) is None
    assert EXACT.product(one, other).tolist() == by_hand(one, other)


def test_products_of_floats_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((4, 7)), rng.standard_normal((7, 3))
    assert np.array_equal(FLOATS.product(one, other), one @ other)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 0.5])
def test_a_float_among_rational_numbers_stays_one(value: float) -> None:
    """So that nothing is known of what it is part of."""
    one = EXACT.array(np.ones((2, 2)))
    one[0, 0] = value
    found = EXACT.product(one, EXACT.array(np.ones((2, 2))))
    assert EXACT.known(found).tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("seed", range(5))
def test_least_values_over_boxes_are_exact(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corner by corner, for a box of each row's own; the same without whole numbers."""
    rng = np.random.default_rng([seed, 1])
    rows, ends, owner = rationals(rng, 6, 4), np.sort(rng.standard_normal((2, 3, 4)), axis=0), rng.integers(0, 3, 6)
    low, high = EXACT.array(ends[0]), EXACT.array(ends[1])
    found = box_minimum(EXACT, rows, low, high, owner).tolist()
    assert found == [sum(min(r * a, r * b) for r, a, b in zip(rows[i], low[o], high[o], strict=True)) for i, o in enumerate(owner)]
    rounded = box_minimum(FLOATS, rows.astype(np.float64), *ends, owner)
    assert np.abs(rounded - np.array(found, dtype=np.float64)).max() < 1e-5
    monkeypatch.setattr(module, "LONGEST", 8)
    assert box_minimum(EXACT, rows, low, high, owner).tolist() == found
