"""Bugs planted in the checker of L0 balls are caught: bounds above attained values, sums of what is not a sum, or points in no leaf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from checking.certificates.test_pixels import every_point_lies_in_a_leaf, exact_values, no_bound_lies_above_a_point, sums_are_right
from netassay.checking.certificates import forms, local
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.forms import Cells
from netassay.checking.certificates.local import Centre, Local, Mapped
from netassay.checking.certificates.pixels import PixelBounds, PixelPart

Plant = Callable[[pytest.MonkeyPatch], None]


def one_change_less(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Cells.minimum
    monkeypatch.setattr(Cells, "minimum", lambda self, *args: own(replace(self, count=max(self.count - 1, 0)), *args))


def wrong_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Cells.minimum
    monkeypatch.setattr(Cells, "minimum", lambda self, *args: own(replace(self, low=self.high), *args))


def nothing_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rest of the inputs adds to a number is forgotten."""
    own = Local._step

    def step(self: Local, position: int) -> object:
        found = own(self, position)
        return replace(found, constant=0 * found.constant) if isinstance(found, Mapped) else found

    monkeypatch.setattr(Local, "_step", step)


def reached_by_half(monkeypatch: pytest.MonkeyPatch) -> None:
    own = local.reached
    monkeypatch.setattr(
        local, "reached", lambda centre, features: [v[: (len(v) + 1) // 2] if i else v for i, v in enumerate(own(centre, features))]
    )


def nothing_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PixelBounds, "meets", property(lambda self: np.zeros((len(self.pixels),) * 2, dtype=np.bool_)))


def lines_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    own = forms.kinked
    monkeypatch.setattr(forms, "kinked", lambda *args: replace(f := own(*args), lower_slope=f.upper_slope, upper_slope=f.lower_slope))


def offset_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    own = forms.kinked
    monkeypatch.setattr(forms, "kinked", lambda *args: replace(f := own(*args), upper_offset=0 * f.upper_offset))


def stays_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The side of a split in which a pixel stays keeps no other change either."""
    own = PixelPart.sides
    monkeypatch.setattr(PixelPart, "sides", lambda self, p: ((s := own(self, p))[0], replace(s[1], allowed=0 * s[1].allowed > 0, count=0)))


def later_ones_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    own = PixelPart.among
    monkeypatch.setattr(PixelPart, "among", lambda self, p: (own(self, p)[0],) * 2)


def halves_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    own = PixelPart.halves
    monkeypatch.setattr(PixelPart, "halves", lambda self, f, t: (own(self, f, t - 0.25)[0], own(self, f, t + 0.25)[1]))


def without_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arithmetic, "gamma", lambda self, terms: 0 * terms)
    monkeypatch.setattr(Arithmetic, "down", lambda self, values: values)
    monkeypatch.setattr(Arithmetic, "up", lambda self, values: values)


def centre_without_error(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Centre.__init__

    def init(self: Centre, *args: object) -> None:
        own(self, *args)  # type: ignore[arg-type]
        self.drifts, self.errors = [0 * d for d in self.drifts], [0 * e for e in self.errors]
        self.values = [v * (1 + 1e-13) if i else v for i, v in enumerate(self.values)]

    monkeypatch.setattr(Centre, "__init__", init)


UNSOUND: dict[str, Plant] = {
    plant.__name__.replace("_", " "): plant
    for plant in (
        one_change_less,
        wrong_corner,
        nothing_left_over,
        reached_by_half,
        nothing_meets,
        lines_swapped,
        offset_dropped,
        stays_nowhere,
        later_ones_lost,
        halves_apart,
        without_rounding,
        centre_without_error,
    )
}


def everything() -> None:
    for kind in ("dense", "convolution", "pooling"):
        for seed in range(8):
            no_bound_lies_above_a_point(kind, seed)
    sums_are_right("convolution", range(4))
    every_point_lies_in_a_leaf(range(8))
    for seed in range(4):
        exact_values(seed)


def test_without_a_bug_nothing_is_caught() -> None:
    everything()


@pytest.mark.parametrize("name", UNSOUND)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    UNSOUND[name](monkeypatch)
    with pytest.raises(AssertionError):
        everything()
