"""How changes pass through nonlinear operators, against their exact changes at many points in rational numbers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from netassay.models.nonlinear import Elementwise, LeakyRelu, Relu
from netassay.verifiers.sparse import carry as module
from netassay.verifiers.sparse.carry import Carried, carry

SLOPES: dict[type[Elementwise], Fraction] = {Relu: Fraction(0), LeakyRelu: Fraction(1, 4)}
OPERATORS = (Relu(), LeakyRelu(0.25))


def applied(operator: Elementwise, value: Fraction) -> Fraction:
    return value if value >= 0 else SLOPES[type(operator)] * value


def excess(operator: Elementwise, seed: int) -> tuple[Fraction, set[str]]:
    """By how much an exact change lies beyond what was carried, at most, and which signs the numbers had: half steps, so all is exact."""
    rng = np.random.default_rng([seed, 41])
    shape = (2, 30, 3)
    here, constant = (rng.integers(-8, 9, shape) / 2 for _ in range(2))
    half, rest = (rng.integers(0, 5, shape) / 2 for _ in range(2))
    low, high = here + constant - half - rest, here + constant + half + rest
    result = np.where(here >= 0, here, float(SLOPES[type(operator)]) * here)
    none = np.zeros(shape)
    found = carry(operator, (low, high), (here, none), (result, none), (constant, rest, np.abs(constant) + half + rest))
    worst, signs = Fraction(-1000), set[str]()
    for place in np.ndindex(*shape):
        signs.add("on" if low[place] >= 0 else "off" if high[place] <= 0 else "either")
        before, slope, moved, loose = (Fraction(float(x[place])) for x in (here, found.slope, found.constant, found.rest))
        for share in (-1, Fraction(-1, 3), Fraction(2, 5), 1):
            for side in (-1, 0, 1):
                along = share * Fraction(float(half[place]))
                change = along + Fraction(float(constant[place])) + side * Fraction(float(rest[place]))
                exact = applied(operator, before + change) - applied(operator, before)
                worst = max(worst, abs(exact - slope * along - moved) - loose)
    return worst, signs


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
def test_no_change_lies_beyond(operator: Elementwise) -> None:
    found = [excess(operator, seed) for seed in range(4)]
    assert max(worst for worst, _ in found) <= 0
    assert set().union(*(signs for _, signs in found)) == {"on", "off", "either"}


def bare(own: Callable[..., Carried]) -> Callable[..., Carried]:
    """Lines without their remainder."""

    def lines(*args: object) -> Carried:
        found = own(*args)
        return Carried(found.slope, found.constant, np.zeros_like(found.rest))

    return lines


def test_a_forgotten_remainder_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_carried", bare(module._carried))
    assert excess(Relu(), 0)[0] > 0


def test_what_is_never_negative_passes_unchanged_and_what_is_never_positive_not_at_all() -> None:
    span = np.array([1.0, -3.0]), np.array([2.0, -1.0])
    here, result = np.array([1.5, -2.0]), np.array([1.5, 0.0])
    none = np.zeros(2)
    found = carry(Relu(), span, (here, none), (result, none), (none, none, np.ones(2)))
    np.testing.assert_array_equal(found.slope, [1.0, 0.0])
    np.testing.assert_array_equal(found.constant, [0.0, 0.0])
    assert (found.rest < 1e-13).all()


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_unknown_ranges_bound_nothing(end: float) -> None:
    here, none = np.array([1.0]), np.zeros(1)
    with np.errstate(all="ignore"):
        found = carry(Relu(), (np.array([-1.0]), np.array([end])), (here, none), (here, none), (none, none, np.ones(1)))
    assert not (found.rest < 1e300).any()
