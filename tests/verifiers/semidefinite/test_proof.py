"""No multipliers give more than the exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from exact_polygons import affine_pieces, box, claim_about, least, tiny
from netassay.verifiers.propagation.root import Root
from netassay.verifiers.semidefinite import proof
from netassay.verifiers.semidefinite.forms import Forms, Linear, forms_of
from netassay.verifiers.semidefinite.interior_point import InteriorPoint
from netassay.verifiers.semidefinite.matrices import Arrow
from netassay.verifiers.semidefinite.program import Program, groups_of
from netassay.verifiers.semidefinite.proof import proved_bound


def world(seed: int) -> tuple[Forms, Fraction]:
    """A tiny network's forms, and the exact least value of its first output."""
    graph = tiny(seed)
    root = Root.of(claim_about(graph, np.eye(2), np.zeros(2)), box(graph))
    pieces = affine_pieces(graph, root.region.lower[0], root.region.upper[0])
    return forms_of(root.bounded, root.region, root.ranges, {}), least(pieces, -1, np.eye(2)[0])


def some_multipliers(forms: Forms, row: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The best ones, the best ones disturbed, and any."""
    best = InteriorPoint(goal=np.inf).solve(forms, row).multipliers
    count = groups_of(forms)[-1].stop
    return [best, best * rng.uniform(0.5, 2.0, count), -best, rng.exponential(1.0, count), np.zeros(count)]


def highest(forms: Forms, multipliers: list[np.ndarray]) -> float:
    return max(proved_bound(forms, forms.output.rows[0], float(forms.output.errors[0]), y) for y in multipliers)


@pytest.mark.parametrize("seed", range(10))
def test_no_multipliers_prove_more_than_the_truth(seed: int) -> None:
    forms, truth = world(seed)
    multipliers = some_multipliers(forms, forms.output.rows[0], np.random.default_rng(seed))
    found = highest(forms, multipliers)
    assert found > -np.inf
    assert Fraction(found) <= truth


def test_multipliers_that_are_no_numbers_prove_nothing() -> None:
    forms, _ = world(0)
    count = groups_of(forms)[-1].stop
    for value in (np.nan, np.inf):
        y = np.ones(count)
        y[count // 2] = value
        assert proved_bound(forms, forms.output.rows[0], 0.0, y) == -np.inf
    assert proved_bound(forms, forms.output.rows[0], 0.0, np.ones(count + 1)) == -np.inf
    assert proved_bound(forms, forms.output.rows[0], np.nan, np.ones(count)) == -np.inf


def test_errors_of_forms_are_taken_off() -> None:
    forms, _ = world(1)
    row = forms.output.rows[0]
    y = InteriorPoint(goal=np.inf).solve(forms, row).multipliers
    plain = proved_bound(forms, row, 0.0, y)
    wider = replace(forms, before=Linear(forms.before.rows, forms.before.errors + 0.5))
    assert proved_bound(forms, row, 0.25, y) <= plain - 0.25
    assert proved_bound(wider, row, 0.0, y) < plain


def _free_ranges(self: Program, y: np.ndarray, t: float) -> Arrow:
    """Ranges of inputs whose price is not paid."""
    found = COMBINED(self, y, t)
    found.block[0, 0] -= float(y[self.groups[0]].sum())
    return found


def _half_ranges(self: Program, y: np.ndarray, t: float) -> Arrow:
    """Neurons that reach only half as far."""
    found = COMBINED(self, y, t)
    found.block[0, 1:] -= 0.25 * y[self.groups[1]]
    found.block[1:, 0] -= 0.25 * y[self.groups[1]]
    return found


COMBINED = Program.combined


@pytest.mark.parametrize("bug", [_free_ranges, _half_ranges])
def test_planted_bugs_in_the_matrix_are_caught(monkeypatch: pytest.MonkeyPatch, bug: Callable[[Program, np.ndarray, float], Arrow]) -> None:
    wrong = 0
    for seed in range(5):
        forms, truth = world(seed)
        with monkeypatch.context() as patch:
            patch.setattr(Program, "combined", bug)
            found = highest(forms, some_multipliers(forms, forms.output.rows[0], np.random.default_rng(seed)))
        wrong += found > -np.inf and Fraction(found) > truth
    assert wrong


def test_a_check_that_is_left_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    forms, truth = world(2)
    multipliers = some_multipliers(forms, forms.output.rows[0], np.random.default_rng(2))
    assert Fraction(highest(forms, multipliers)) <= truth
    monkeypatch.setattr(Program, "best", lambda self, y: float(truth) + 1.0)
    assert highest(forms, multipliers) == -np.inf
    monkeypatch.setattr(proof, "is_semidefinite", lambda *_: True)
    assert Fraction(highest(forms, multipliers)) > truth
