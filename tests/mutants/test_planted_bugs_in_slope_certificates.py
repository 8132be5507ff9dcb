"""Bugs planted in the checker's bounds of slopes are caught: slopes beyond the bounds, or certificates of false claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from checking.certificates.test_interval_slopes import beyond, outside
from netassay.checking.certificates import interval_slopes, shells, slope_bounds
from netassay.checking.certificates.affine import Matrix
from netassay.checking.certificates.boxes import Boxes
from netassay.checking.certificates.shells import ShellProof
from netassay.checking.certificates.slope_bounds import Losses, SlopeBounds
from slope_worlds import below, slope_claim, slope_problem, written

Plant = Callable[[pytest.MonkeyPatch], None]


def least_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SlopeBounds._dual
    monkeypatch.setattr(SlopeBounds, "_dual", lambda self, low, _high, falls, rises: own(self, low, low, falls, rises))


def one_sided(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SlopeBounds._dual
    monkeypatch.setattr(SlopeBounds, "_dual", lambda self, low, high, falls, rises: own(self, low, high, falls, rises & ~falls))


def losses_with(**change: Callable[[Losses], np.ndarray]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = SlopeBounds.steepest

        def steepest(self, losses, near, far):  # type: ignore[no-untyped-def]
            return own(self, replace(losses, **{name: make(losses) for name, make in change.items()}), near, far)

        monkeypatch.setattr(SlopeBounds, "steepest", steepest)

    return plant


def far_for_near(monkeypatch: pytest.MonkeyPatch) -> None:
    own = slope_bounds._share
    monkeypatch.setattr(slope_bounds, "_share", lambda a, lost, _near, far: own(a, lost, far, far))


def first_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SlopeBounds.__init__

    def init(self: SlopeBounds, *args: object) -> None:
        own(self, *args)  # type: ignore[arg-type]
        self._parts, self._tops = self._parts[:1], self._tops[:1]
        ((self.least, self.most),) = self._tops

    monkeypatch.setattr(SlopeBounds, "__init__", init)


def derivatives_of_the_box_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = interval_slopes.kinked_slopes
    monkeypatch.setattr(interval_slopes, "kinked_slopes", lambda a, left, known, _center: own(a, left, known, known))


def radii_with_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Matrix.adjoint
    monkeypatch.setattr(Matrix, "adjoint", lambda self, rows, *, absolute=False: np.abs(own(self, rows)) if absolute else own(self, rows))


def lost_child(monkeypatch: pytest.MonkeyPatch) -> None:
    own = shells.halves

    def first_only(now: Boxes, value, index, threshold, children):  # type: ignore[no-untyped-def]
        found = own(now, value, index, threshold, children)
        return found.take(np.flatnonzero(np.isin(found.node, children[0])))

    monkeypatch.setattr(shells, "halves", first_only)
    monkeypatch.setattr("netassay.verifiers.certificates.slopes.halves", first_only)


def too_near(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ShellProof._between
    monkeypatch.setattr(ShellProof, "_between", lambda self, shell, near, far: own(self, shell, far, far))


BUGS: dict[str, Plant] = {
    "the least entries of slopes": least_entries,
    "features count on one side": one_sided,
    "the error of forms at the centre": losses_with(error=lambda x: np.minimum(x.error, 0)),
    "forms without their slope": losses_with(tilt=lambda x: x.tilt / 2),
    "values above the least": losses_with(drop=lambda x: x.drop / 2),
    "the largest distance for the least": far_for_near,
    "one part for all": first_part_alone,
    "derivatives of the box alone": derivatives_of_the_box_alone,
    "radii through signed weights": radii_with_signs,
    "half of each split": lost_child,
    "boxes nearer than they are": too_near,
}


def caught(folder: Path) -> bool:
    """Whether a point is beyond the bounds, a difference outside the slopes, or a claim just below exact slopes has a certificate."""
    if any(outside(kind, seed) for kind in ("dense", "leaky") for seed in range(3)):
        return True
    if any(beyond(kind, norm, seed) for kind in ("dense", "leaky") for norm in ("linf", "l2") for seed in range(3)):
        return True
    for seed in (1, 3, 4, 7):
        problem, (falling, rising) = slope_problem(seed, "linf")
        for sides in ((below(falling, Fraction(1, 10**9)), None), (1e9, below(rising, Fraction(1, 10**9)))):
            calls = iter(range(10**9))
            if (
                min(falling, rising)
                and written(folder / "a", problem, slope_claim(problem, *sides), over=lambda c=calls: next(c) > 8).complete
            ):
                return True
    return False


def test_without_bugs_nothing_is_caught(tmp_path: Path) -> None:
    assert not caught(tmp_path)


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    BUGS[bug](monkeypatch)
    assert caught(tmp_path)
