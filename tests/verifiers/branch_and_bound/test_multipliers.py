"""Combinations of forms: sound for whatever multipliers, and nearly as strong as a linear program."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from netassay.verifiers.branch_and_bound.multipliers import combined


def drawn(seed: int, count: int = 30, forms: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middle, radius = rng.standard_normal((count, 4)), rng.random((count, 4)) * 10.0 ** rng.integers(-4, 1, (count, 4))
    given = rng.standard_normal((count, forms, 5)) * 10.0 ** rng.integers(-3, 2, (count, forms, 1))
    through = middle + radius * rng.uniform(-1, 1, (count, 4))
    given[:, :, -1] = -np.matmul(given[:, :, :-1], through[:, :, None])[:, :, 0] + 0.3 * rng.standard_normal((count, forms)) * np.abs(
        np.matmul(given[:, :, :-1], radius[:, :, None])[:, :, 0]
    )
    return given, middle - radius, middle + radius


def exactly(form: np.ndarray, x: np.ndarray) -> Fraction:
    return sum((Fraction(float(c)) * Fraction(float(v)) for c, v in zip(form[:-1], x, strict=True)), Fraction(float(form[-1])))


def least(form: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    return float(np.where(form[:-1] > 0, form[:-1] * lower, form[:-1] * upper).sum() + form[-1])


def test_where_no_form_is_positive_the_combination_is_not() -> None:
    met = 0
    for seed in range(6):
        forms, lower, upper = drawn(seed, forms=3)
        found, _ = combined(forms, lower, upper)
        rng = np.random.default_rng([seed, 1])
        for b in range(len(forms)):
            for x in lower[b] + rng.random((40, 4)) * (upper[b] - lower[b]):
                if all(exactly(form, x) <= 0 for form in forms[b]):
                    met += 1
                    assert exactly(found[b], x) <= 0
    assert met > 100


def test_the_combination_shows_what_a_linear_program_shows() -> None:
    shown = 0
    for seed in range(4):
        forms, lower, upper = drawn(seed)
        found, points = combined(forms, lower, upper, steps=40)
        for b, form in enumerate(forms):
            scaled = form / np.abs(form[:, :-1]).max(axis=1, keepdims=True)
            table = np.column_stack([scaled[:, :-1], -np.ones(len(form))])
            sides = [*zip(lower[b], upper[b], strict=True), (None, None)]
            program = linprog(np.r_[np.zeros(4), 1.0], A_ub=table, b_ub=-scaled[:, -1], bounds=sides)
            if program.fun > 1e-3:
                shown += 1
                assert least(found[b], lower[b], upper[b]) > 0
            elif program.fun < -1e-9:
                assert least(found[b], lower[b], upper[b]) <= 0
                assert (scaled[:, :-1] @ points[b] + scaled[:, -1] <= 1e-9).all()
    assert shown > 20


def test_unusable_forms_take_no_part() -> None:
    forms = np.array([[[np.nan, 0.0, 1.0], [0.0, 1.0, -np.inf], [1.0, 0.0, 1.0]]])
    found, _ = combined(forms, np.zeros((1, 2)), np.ones((1, 2)))
    assert least(found[0], np.zeros(2), np.ones(2)) > 0
    nothing, _ = combined(np.full((1, 2, 3), np.nan), np.zeros((1, 2)), np.ones((1, 2)))
    assert least(nothing[0], np.zeros(2), np.ones(2)) <= 0
