"""Bugs planted in the checker's bounds by groups of ReLUs are caught: they say more than the exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from groups_worlds import no_groups_say_more_than_the_truth
from netassay.checking.certificates import groups
from netassay.checking.certificates.arithmetic import Array
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.groups import _Cells
from netassay.checking.certificates.pushing import Push

Plant = Callable[[pytest.MonkeyPatch], None]


def taking_with(change: Callable[..., tuple[object, ...]]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = _Cells.take
        monkeypatch.setattr(_Cells, "take", lambda self, *args: own(self, *change(*args)))

    return plant


def lines_with(**changes: Callable[[Array], Array]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = groups.kinked

        def kinked(*args):  # type: ignore[no-untyped-def]
            lines = own(*args)
            return replace(lines, **{name: change(getattr(lines, name)) for name, change in changes.items()})

        monkeypatch.setattr(groups, "kinked", kinked)

    return plant


def lost_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    own = groups._cut
    monkeypatch.setattr(groups, "_cut", lambda *args: tuple(side[: (len(side) + 1) // 2] for side in own(*args)))


def smaller_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    own = groups._cut

    def cut(*args):  # type: ignore[no-untyped-def]
        low, high = own(*args)
        return low, low + (high - low) * 0.75

    monkeypatch.setattr(groups, "_cut", cut)


def lines_of_smaller_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    own = groups.kinked
    monkeypatch.setattr(groups, "kinked", lambda a, left, low, high: own(a, left, low * 0.5, high * 0.5))


class Forgetful(Push):
    """What was added to the input's form last is gone when constants join."""

    def add(self, value: int, coefficients: Array) -> None:
        self._last = coefficients
        super().add(value, coefficients)

    def join(self, constant: Array, terms: int, size: Array) -> None:
        self._pending[0] = self._pending[0] - self._last
        super().join(constant, terms, size)


def free_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """What groups take off is given back to nobody."""
    monkeypatch.setattr(groups, "Push", Forgetful)


def forgotten_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members leave the form, and are in no group."""
    monkeypatch.setattr(_Cells, "take", lambda *_: None)


def forgotten_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Push.join
    monkeypatch.setattr(Push, "join", lambda self, constant, terms, size: own(self, np.maximum(constant, 0), terms, size))


def one_side_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms below numbers serve for negative coefficients as well."""
    own = Parts.units

    def units(self, value, owner, unit, sign):  # type: ignore[no-untyped-def]
        found = own(self, value, owner, unit, np.ones_like(sign))
        return replace(found, form=found.form * sign[:, None], offset=found.offset * sign)

    monkeypatch.setattr(Parts, "units", units)


UNSOUND: dict[str, Plant] = {
    "cells are left out": lost_cells,
    "cells are smaller": smaller_cells,
    "lines of smaller ranges": lines_of_smaller_cells,
    "chords are not lifted": lines_with(upper_offset=lambda x: 0 * x),
    "lines below are steeper": lines_with(lower_slope=lambda x: np.where(x > 0, 1.25 * x, x)),
    "biases are lost": taking_with(lambda left, rows, offsets, weights: (left, rows, 0 * offsets, weights)),
    "coefficients of the wrong sign": taking_with(lambda left, rows, offsets, weights: (left, rows, offsets, -weights)),
    "forms given back to nobody": free_forms,
    "members in no group": forgotten_members,
    "least values forgotten": forgotten_constants,
    "the same side of deep numbers for all": one_side_for_all,
}


def everything() -> None:
    compared, _ = no_groups_say_more_than_the_truth(range(14))
    assert compared > 300


def test_without_a_bug_nothing_is_caught() -> None:
    everything()


@pytest.mark.parametrize("name", UNSOUND)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    UNSOUND[name](monkeypatch)
    with pytest.raises(AssertionError):
        everything()
