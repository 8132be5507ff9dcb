"""Bugs planted in the checker's bounds of how fast smooth functions and probabilities change are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mpmath
import numpy as np
import pytest

from checking.certificates import test_interval_slopes
from checking.certificates.test_odds import held, moved_outside
from netassay.checking.certificates import interval_slopes, odds, odds_forms
from netassay.checking.certificates.curves import Curve
from netassay.checking.certificates.odds_forms import Forms

Plant = Callable[[pytest.MonkeyPatch], None]


def steepness_of_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the derivative rose, or fell, on all of the interval."""

    def steepness(self: Curve, a, low, high):  # type: ignore[no-untyped-def]
        one, other = (self.ends(a, x)[1] for x in (low, high))
        return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])

    monkeypatch.setattr(Curve, "steepness", steepness)


def right_of_0_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Curve.steepness
    monkeypatch.setattr(Curve, "steepness", lambda self, a, low, high: own(self, a, low, np.minimum(high, np.maximum(low, 0))))


def far_half_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = interval_slopes.between
    monkeypatch.setattr(interval_slopes, "between", lambda a, known, center: own(a, known, center)[4:])


def between_middles(monkeypatch: pytest.MonkeyPatch) -> None:
    def between(a, known, center):  # type: ignore[no-untyped-def]
        low, high = ((side[0] + side[1]) / 2 for side in ((known[0], center[0]), (known[1], center[1])))
        return [(low, high)]

    monkeypatch.setattr(interval_slopes, "between", between)


def upper_ends_as_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    own = odds_forms.probabilities

    def greater(a, differences):  # type: ignore[no-untyped-def]
        found = own(a, differences)
        return replace(found, ends=(found.ends[1], found.ends[1]))

    monkeypatch.setattr(odds_forms, "probabilities", greater)


def signs_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odds, "least_sum", lambda a, factors, least, _most: odds.sum_beside(a, factors * least, up=False))


def level_taken_for_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that is no lower bound, without what falls short of it."""
    own = odds_forms._levels
    monkeypatch.setattr(odds_forms, "_levels", lambda rows, low, high: own(rows, low, high) + 0.01)
    monkeypatch.setattr(odds_forms, "least_sum", lambda a, factors, _least, _most: a.zeros(*factors.shape[:-1]))


def rows_of_other_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    own = odds_forms.score_bounds
    monkeypatch.setattr("checking.certificates.test_odds.score_bounds", lambda parts, rows, c: own(parts, rows[:, ::-1], c))


def forms_with(**change: Callable[[Forms], np.ndarray]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = odds_forms._Forms.of_logarithms

        def of_logarithms(self):  # type: ignore[no-untyped-def]
            found = own(self)
            return replace(found, **{name: make(found) for name, make in change.items()})

        monkeypatch.setattr(odds_forms._Forms, "of_logarithms", of_logarithms)

    return plant


def weights_beyond_1(monkeypatch: pytest.MonkeyPatch) -> None:
    own = odds_forms._Forms._weights

    def more(self):  # type: ignore[no-untyped-def]
        weights, entropy = own(self)
        return weights, entropy + 0.05

    monkeypatch.setattr(odds_forms._Forms, "_weights", more)


def logarithm_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    own = odds_forms.logarithm
    monkeypatch.setattr(odds_forms, "logarithm", lambda a, x: tuple(side - 1e-6 for side in own(a, x)))


BUGS: dict[str, Plant] = {
    "the steepest point between the ends forgotten": steepness_of_the_ends,
    "the right of 0 forgotten": right_of_0_forgotten,
    "the far half of the way alone": far_half_alone,
    "middles for ends": between_middles,
    "upper ends of probabilities as a factor": upper_ends_as_factor,
    "factors' signs forgotten": signs_forgotten,
    "a level taken for granted": level_taken_for_granted,
    "labels in another order": rows_of_other_labels,
    "logarithms without what the odds add": forms_with(odds=lambda f: 0 * f.odds),
    "logarithms without the differences": forms_with(differences=lambda f: f.differences * 0.9),
    "greatest for least": forms_with(least=lambda f: f.least + 1e-3),
    "weights that are too many": weights_beyond_1,
    "logarithms too small": logarithm_too_small,
}


def everything() -> None:
    for operator in test_interval_slopes.CURVES:
        test_interval_slopes.test_quotients_of_smooth_functions(operator, exact=False)
    with mpmath.workprec(300):
        for logarithms in (False, True):
            assert [held(seed, exactly=False, logarithms=logarithms) for seed in range(4)] == [0] * 4
            assert [moved_outside(seed, exactly=False, logarithms=logarithms) for seed in range(4)] == [0] * 4


def test_without_bugs_nothing_is_caught() -> None:
    everything()


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_shows(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    BUGS[bug](monkeypatch)
    with pytest.raises(AssertionError):
        everything()
