"""What is called semidefinite is so in rational arithmetic, however little is left; and no multipliers give more than the truth."""

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
from netassay.verifiers.semidefinite.matrices import Arrow, is_definite
from netassay.verifiers.semidefinite.program import Program, groups_of
from netassay.verifiers.semidefinite.proof import is_semidefinite, proved_bound


def dense(arrow: Arrow) -> np.ndarray:
    return np.block([[np.diag(arrow.diagonal), arrow.side], [arrow.side.T, arrow.block]])


def truly_semidefinite(matrix: np.ndarray) -> bool:
    """By symmetric elimination in rational arithmetic."""
    rest = [[Fraction(float(v)) for v in row] for row in matrix]
    size = len(rest)
    for k in range(size):
        pivot = rest[k][k]
        if pivot < 0 or (pivot == 0 and any(rest[k][j] for j in range(k, size))):
            return False
        for i in range(k + 1, size):
            factor = rest[i][k] / pivot if pivot else Fraction(0)
            for j in range(k, size):
                rest[i][j] -= factor * rest[k][j]
    return True


def barely(seed: int, shift: float, scale: float = 1.0) -> Arrow:
    """A singular matrix up to rounding, whose block's diagonal is then shifted."""
    rng = np.random.default_rng([seed, 4])
    inputs, size = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    diagonal = rng.uniform(0.1, 2.0, inputs) * 10.0 ** rng.integers(-6, 3, inputs)
    side = rng.standard_normal((inputs, size)) * np.sqrt(diagonal)[:, None]
    low = rng.standard_normal((size, size - 1)) if size > 1 else np.zeros((1, 1))
    block = (side / diagonal[:, None]).T @ side + low @ low.T
    block = (block + block.T) / 2
    block[np.arange(size), np.arange(size)] += shift * np.abs(block).max()
    return Arrow(diagonal * scale, side * scale, block * scale)


@pytest.mark.parametrize("shift", [-1e-3, -1e-9, -1e-14, -1e-16, 0.0, 1e-16, 1e-14, 1e-12])
def test_nothing_indefinite_passes(shift: float) -> None:
    for seed in range(40):
        for scale in (1.0, 1e-8, 1e30):
            arrow = barely(seed, shift, scale)
            assert not is_semidefinite(arrow) or truly_semidefinite(dense(arrow)), (seed, scale)


def test_what_is_definite_by_more_than_rounding_passes() -> None:
    assert all(is_semidefinite(barely(seed, 1e-10)) for seed in range(40))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_numbers_without_a_bound_pass_nothing(value: float) -> None:
    for part in range(3):
        parts = [np.ones(2), np.zeros((2, 2)), np.eye(2)]
        assert is_semidefinite(Arrow(*parts))
        parts[part].flat[0] = value
        assert not is_semidefinite(Arrow(*parts))
    assert not is_semidefinite(Arrow(np.array([1.0, 0.0]), np.zeros((2, 2)), np.eye(2)))
    assert not is_semidefinite(Arrow(np.ones(2), np.zeros((2, 2)), np.array([[1.0, 0.1], [0.0, 1.0]])))


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


def _without_shift(slack: Arrow) -> bool:
    """The check with nothing taken off for rounding."""
    return is_definite(slack.schur())


def test_a_check_that_forgets_rounding_is_caught() -> None:
    arrows = [barely(seed, shift) for seed in range(40) for shift in (-1e-16, 0.0, 1e-17)]
    assert any(_without_shift(each) and not truly_semidefinite(dense(each)) for each in arrows)
    assert not any(is_semidefinite(each) and not truly_semidefinite(dense(each)) for each in arrows)


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
    monkeypatch.setattr(proof, "is_semidefinite", lambda slack: True)
    assert Fraction(highest(forms, multipliers)) > truth
