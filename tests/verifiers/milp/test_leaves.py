"""What multipliers prove: never more than rational arithmetic says they do."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netassay.verifiers.milp import leaves
from netassay.verifiers.milp.leaves import DualBounds
from netassay.verifiers.milp.program import Program, ProgramBuilder
from netassay.verifiers.milp.solver import Outcome, Relaxation


def program(seed: int, rows: int = 4, columns: int = 5) -> Program:
    """A random program of ugly numbers, with a point that satisfies it with room to spare."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder()
    lower = -rng.random(columns)
    builder.variables(lower, lower + 0.5 + rng.random(columns))
    matrix = rng.standard_normal((rows, columns)) * 10.0 ** rng.integers(-4, 4, (rows, 1))
    middle = matrix @ (lower + 0.5)
    kind = rng.integers(0, 3, rows)
    width = np.abs(matrix).sum(axis=1) * rng.random(rows) * 0.2
    below = np.where(kind == 1, -np.inf, middle - width)
    above = np.where(kind == 2, np.inf, middle + width)
    row, column = np.divmod(np.arange(rows * columns), columns)
    builder.sparse(row, column, matrix.reshape(-1), below, above, 1e-9 * rng.random(rows))
    return builder.build()


def exact_dual(given: Program, cost: np.ndarray, multipliers: np.ndarray) -> Fraction:
    """The Lagrangian bound in rational arithmetic, slack included."""
    y = [Fraction(float(v)) for v in multipliers]
    for i, v in enumerate(y):
        side = given.row_lower[i] if v > 0 else given.row_upper[i]
        y[i] = v if v and np.isfinite(side) else Fraction(0)
    total = Fraction(0)
    for i, v in enumerate(y):
        if v:
            side = Fraction(float(given.row_lower[i] if v > 0 else given.row_upper[i]))
            total += v * side - abs(v) * Fraction(float(given.slack[i]))
    reduced = [Fraction(float(c)) for c in cost]
    for i, j, value in zip(given.row, given.column, given.value, strict=True):
        reduced[j] -= y[i] * Fraction(float(value))
    for r, low, high in zip(reduced, given.lower, given.upper, strict=True):
        total += min(r * Fraction(float(low)), r * Fraction(float(high)))
    return total


def dual_bound(given: Program, cost: np.ndarray, multipliers: np.ndarray) -> float:
    return DualBounds(given).bound(cost, multipliers, given.lower, given.upper)


def proves_empty(given: Program, ray: np.ndarray) -> bool:
    return DualBounds(given).shows_empty(ray, given.lower, given.upper)


def excess(seed: int) -> float:
    """How far a bound lies above its exact value, relative to the numbers it is made of; the largest of several multipliers."""
    rng = np.random.default_rng([seed, 1])
    given = program(seed)
    worst = -np.inf
    for _ in range(20):
        multipliers = rng.standard_normal(given.rows) * 10.0 ** rng.integers(-3, 4, given.rows)
        cost = rng.standard_normal(given.columns)
        exact = exact_dual(given, cost, multipliers)
        found = dual_bound(given, cost, multipliers)
        worst = max(worst, float(Fraction(found) - exact))
        assert found == pytest.approx(float(exact), rel=1e-7, abs=1e-4)
    return worst


def test_a_bound_is_never_above_its_exact_value() -> None:
    assert all(excess(seed) <= 0 for seed in range(30))


def test_without_error_terms_some_bound_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaves, "gamma", lambda terms: 0.0)
    monkeypatch.setattr(leaves, "UNIT", 0.0)
    assert any(excess(seed) > 0 for seed in range(30))


def test_the_solvers_multipliers_give_nearly_its_value() -> None:
    for seed in range(10):
        given = program(seed)
        relaxation = Relaxation(given)
        relaxation.minimise(0)
        solved = relaxation.solve()
        assert solved.outcome is Outcome.OPTIMAL
        assert solved.multipliers is not None
        assert dual_bound(given, given.cost(0), solved.multipliers) == pytest.approx(solved.point[0], abs=1e-6)


def test_infeasible_leaves_are_shown_empty_by_their_ray() -> None:
    shown = 0
    for seed in range(20):
        given = program(seed)
        upper = np.where(np.arange(given.columns) < 3, given.lower, given.upper)
        relaxation = Relaxation(given)
        relaxation.bound(given.lower, upper)
        solved = relaxation.solve()
        if solved.outcome is Outcome.INFEASIBLE:
            assert solved.multipliers is not None
            assert proves_empty(given.within(given.lower, upper), solved.multipliers)
            assert not proves_empty(given, solved.multipliers)
            shown += 1
    assert shown > 3


def test_nothing_shows_that_a_feasible_program_is_empty() -> None:
    rng = np.random.default_rng(0)
    for seed in range(20):
        given = program(seed)
        for _ in range(50):
            assert not proves_empty(given, rng.standard_normal(given.rows) * 10.0 ** rng.integers(-9, 9, given.rows))


def test_numbers_that_are_none_prove_nothing() -> None:
    given = program(0)
    cost = given.cost(1)
    for bad in (np.nan, np.inf, 1e200):
        assert dual_bound(given, cost, np.full(given.rows, bad)) <= dual_bound(given, cost, np.zeros(given.rows)) + 1e-9
    assert dual_bound(given.within(given.lower, np.full(given.columns, np.inf)), -cost, np.zeros(given.rows)) == -np.inf
