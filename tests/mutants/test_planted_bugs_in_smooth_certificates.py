"""Bugs planted in the checker's exponentials, in its lines around smooth functions and in claims about probabilities are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import floor

import mpmath
import numpy as np
import pytest

from checking.certificates import test_exponential, test_probabilities, test_smooth
from netassay.checking.certificates import curves, exponential, probabilities, pushing, smooth
from netassay.checking.certificates.arithmetic import UNIT
from netassay.checking.certificates.curves import Curve
from netassay.checking.certificates.pushing import Bound
from netassay.models import nonlinear as nl

Plant = Callable[[pytest.MonkeyPatch], None]


def constant(module: object, name: str, value: object) -> Plant:
    return lambda monkeypatch: monkeypatch.setattr(module, name, value)


def curve_with(**changes: object) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(curves._CURVES, nl.Sigmoid, replace(curves._CURVES[nl.Sigmoid], **changes))

    return plant


def swapped_slopes(a, x):  # type: ignore[no-untyped-def]
    value, (low, high) = curves._tanh(a, x)
    return value, (high * a.array(1.5), low * a.array(1.5))


def raised_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    own = smooth._least
    monkeypatch.setattr(smooth, "_least", lambda a, *rest: own(a, *rest) + a.array(2.0**-30))


def end_of_the_concave_part_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    own = smooth._least
    monkeypatch.setattr(
        smooth, "_least", lambda a, curve, slope, at, low, high: own(a, curve, slope, at, low, np.minimum(high, (low + high) / 2))
    )


def nearest_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    own = probabilities.sum_below
    monkeypatch.setattr(probabilities, "sum_below", lambda one, other: np.nextafter(own(one, other), np.inf).item())


def infinite_offsets_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    own = pushing.Push.bound

    def bound(self: pushing.Push) -> Bound:
        self._unbounded = np.zeros_like(self._unbounded)
        return own(self)

    monkeypatch.setattr(pushing.Push, "bound", bound)


def pivot_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The factor of the label that all is divided by is left out."""
    own = probabilities._of_probabilities
    monkeypatch.setattr(probabilities, "_of_probabilities", lambda *args: replace(own(*args), constant=args[2]))


UNSOUND: dict[str, Plant] = {
    "ends too narrow": constant(exponential, "RELATIVE", UNIT / 4),
    "another logarithm of 2": constant(exponential, "LOW", exponential.LOW * (1 + 2.0**-9)),
    "polynomial cut short": constant(exponential, "_COEFFICIENTS", exponential._COEFFICIENTS[3:]),
    "rational series cut short": constant(exponential, "_TERMS", 5),
    "nothing beyond the left end": constant(exponential, "SMALL", 0.0),
    "taken for convex": curve_with(bends=False),
    "another ceiling": curve_with(ceiling=0.999),
    "slopes too steep": curve_with(ends=swapped_slopes, floor=-1.0),
    "offsets too high": raised_offsets,
    "an end forgotten": end_of_the_concave_part_forgotten,
    "factors rounded up": nearest_sums,
    "factors of logarithms rounded down": constant(probabilities, "ceil", floor),
    "infinite offsets forgotten": infinite_offsets_forgotten,
    "the pivot's factor forgotten": pivot_kept,
}


def everything() -> None:
    with mpmath.workprec(700):
        test_exponential.test_floats_hold_the_real_exponentials()
        test_exponential.test_far_on_the_left()
        test_exponential.test_fractions_hold_the_real_exponentials_and_lie_within_the_floats()
        for name in test_smooth.OPERATORS:
            test_smooth.test_lines_hold(name)
        for logarithms in (False, True):
            test_probabilities.test_what_is_proved_implies_what_is_claimed(binary=False, logarithms=logarithms)
        test_probabilities.test_exponentials_beyond_all_bounds_prove_nothing()


def test_without_a_bug_nothing_is_caught() -> None:
    everything()


@pytest.mark.parametrize("name", UNSOUND)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    smooth._table.cache_clear()
    UNSOUND[name](monkeypatch)
    with pytest.raises(AssertionError):
        everything()
    monkeypatch.undo()
    smooth._table.cache_clear()
    assert isinstance(curves.curve_of(nl.Sigmoid()), Curve)
