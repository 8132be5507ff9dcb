"""Bugs planted where the checker follows smooth functions over L0 balls are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mpmath
import numpy as np
import pytest

from checking.certificates.test_smooth_pixels import WORLDS, held
from netassay.checking.certificates import forms
from netassay.checking.certificates.forms import _Forward
from netassay.checking.certificates.local import Centre, Local

Plant = Callable[[pytest.MonkeyPatch], None]


def lines_with(**change: Callable[[forms.Lines], np.ndarray]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = forms.smooth

        def smooth(*args):  # type: ignore[no-untyped-def]
            found = own(*args)
            return replace(found, **{name: make(found) for name, make in change.items()})

        monkeypatch.setattr(forms, "smooth", smooth)

    return plant


def centre_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values at the centre are off, and what follows from that is forgotten where a smooth function reads them."""
    own = Centre._affine

    def affine(self, mapped, given, error, drift):  # type: ignore[no-untyped-def]
        value, its, moved = own(self, mapped, given, error, drift)
        return value + 2.0**-20, its, moved + 2.0**-18

    monkeypatch.setattr(Centre, "_affine", affine)
    monkeypatch.setattr(Local, "drift", lambda self, step: np.zeros(len(step.index)))


def narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = _Forward._widened
    monkeypatch.setattr(_Forward, "_widened", lambda self, given, by: own(self, given, -by - 1e-6))


def ends_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    own = forms.image

    def image(a, operator, index, low, high):  # type: ignore[no-untyped-def]
        least, most = own(a, operator, index, low, high)
        return (least + most) / 2, most

    monkeypatch.setattr(forms, "image", image)


BUGS: dict[str, Plant] = {
    "the offset below forgotten": lines_with(lower_offset=lambda x: np.zeros_like(x.lower_offset)),
    "the offset above forgotten": lines_with(upper_offset=lambda x: x.upper_offset / 2),
    "slopes of the other side": lines_with(lower_slope=lambda x: x.upper_slope, upper_slope=lambda x: x.lower_slope),
    "values at the centre that are off": centre_off,
    "narrower instead of wider": narrowed,
    "the middle for the least value": ends_swapped,
}


def everything() -> None:
    with mpmath.workprec(300):
        for world in WORLDS:
            for seed in range(3):
                held(seed, *world)


def test_without_bugs_nothing_is_caught() -> None:
    everything()


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_shows(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    BUGS[bug](monkeypatch)
    with pytest.raises(AssertionError):
        everything()
