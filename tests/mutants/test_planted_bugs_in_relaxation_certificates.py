"""Bugs planted in the checker's semidefinite relaxations are caught: they say more than the truth, or call semidefinite what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from checking.certificates.test_semidefinite import FLOATS, barely, truly_semidefinite
from netassay.checking.certificates import definiteness, semidefinite
from netassay.checking.certificates.semidefinite import Duals, _Matrix, _Relaxation, semidefinite_bounds
from relaxed_worlds import Leaf, no_bound_lies_above_the_truth, no_matrix_says_more_than_the_truth

Plant = Callable[[pytest.MonkeyPatch], None]


def neurons_with(change: Callable[..., tuple[object, ...]]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = _Matrix.take_neurons
        monkeypatch.setattr(_Matrix, "take_neurons", lambda self, *args: own(self, *change(*args)))

    return plant


def splits_with(change: Callable[..., tuple[object, ...]]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = _Matrix.take_split
        monkeypatch.setattr(_Matrix, "take_split", lambda self, *args: own(self, *change(*args)))

    return plant


def ranges_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    own = _Relaxation.forms

    def forms(self, ranges, chosen):  # type: ignore[no-untyped-def]
        return own(self, {v: (low / 2, high / 2) for v, (low, high) in ranges.items()}, chosen)

    monkeypatch.setattr(_Relaxation, "forms", forms)


def inputs_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    own = _Relaxation.__init__

    def init(self, whole):  # type: ignore[no-untyped-def]
        own(self, whole)
        self._first[0].rows[: self.inputs] *= 0.5

    monkeypatch.setattr(_Relaxation, "__init__", init)


def free_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_inputs(self, mu):  # type: ignore[no-untyped-def]
        self._diagonal = self._a.array(mu)

    monkeypatch.setattr(_Matrix, "take_inputs", take_inputs)


def left_out_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = _Relaxation._cut
    monkeypatch.setattr(_Relaxation, "_cut", lambda self, *args: replace(own(self, *args), error=self.a.zeros(len(args[1]))))


def everything_semidefinite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semidefinite, "is_semidefinite", lambda *_: True)


def inputs_not_eliminated(monkeypatch: pytest.MonkeyPatch) -> None:
    own = definiteness.is_semidefinite
    monkeypatch.setattr(definiteness, "is_semidefinite", lambda a, diagonal, side, block: own(a, diagonal, 0 * side, block))


def enough_if_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(a, diagonal, side, block):  # type: ignore[no-untyped-def]
        try:
            np.linalg.cholesky(block - (side / diagonal[:, None]).T @ side)
        except np.linalg.LinAlgError:
            return False
        return True

    monkeypatch.setattr(definiteness, "is_semidefinite", ends)


def negative_multipliers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semidefinite, "_check", lambda *_: None)


UNSOUND: dict[str, Plant] = {
    "range of the output halved": neurons_with(lambda before, first, top, chosen: (before, first, top / 2, chosen)),
    "products of the wrong sign": neurons_with(lambda b, first, top, y: (b, first, top, y * np.array([[1.0], [-1.0], [1.0]]))),
    "the piece above of the wrong sign": neurons_with(lambda b, first, top, y: (b, first, top, y * np.array([[1.0], [1.0], [-1.0]]))),
    "splits of the wrong side": splits_with(lambda form, sign, threshold, phi: (form, -sign, threshold, phi)),
    "ranges halved": ranges_halved,
    "inputs halved": inputs_halved,
    "squares of inputs for nothing": free_squares,
    "neurons left out for nothing": left_out_for_nothing,
    "everything semidefinite": everything_semidefinite,
    "inputs not eliminated": inputs_not_eliminated,
    "a factorisation that ends is enough": enough_if_it_ends,
    "negative multipliers": negative_multipliers,
}


def nothing_indefinite_passes() -> None:
    for shift in (-1e-3, -1e-16, 0.0, 1e-17):
        for seed in range(40):
            matrix = barely(seed, shift)
            assert not definiteness.is_semidefinite(FLOATS, *matrix) or truly_semidefinite(*matrix)


def turned(duals: Duals) -> Duals:
    """The multipliers of the piece above made negative, and large."""
    return replace(duals, neurons={v: (i, np.stack([y[0], y[1], -100 * y[2] - 1])) for v, (i, y) in duals.neurons.items()})


def multipliers_of_either_sign_prove_nothing_false() -> None:
    for seed in range(4):
        leaf = Leaf(seed, 0)
        try:
            found = leaf.highest(turned(leaf.duals))
        except semidefinite.DataError:
            continue
        assert leaf.truth is None
        assert found <= Fraction(0)


def everything() -> None:
    no_matrix_says_more_than_the_truth(range(4))
    no_bound_lies_above_the_truth(range(2), steps=6)
    nothing_indefinite_passes()
    multipliers_of_either_sign_prove_nothing_false()


def test_without_a_bug_nothing_is_caught() -> None:
    everything()
    leaf = Leaf(1, 1)
    assert semidefinite_bounds(leaf.whole, leaf.splits, leaf.duals, leaf.target(leaf.whole))[0] <= leaf.truth


@pytest.mark.parametrize("name", UNSOUND)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    UNSOUND[name](monkeypatch)
    with pytest.raises(AssertionError):
        everything()
