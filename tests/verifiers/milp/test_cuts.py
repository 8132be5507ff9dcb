"""Cuts in rational arithmetic: none leaves out a point of its ReLU, and together they leave nothing but its convex hull."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netassay.verifiers.milp import cuts
from netassay.verifiers.milp.cuts import Cuts, Kinks
from netassay.verifiers.milp.program import Program, ProgramBuilder, Rows
from netassay.verifiers.milp.solver import Relaxation

INPUTS = 4


def neuron(seed: int, share: float = 0.0) -> tuple[Program, Kinks]:
    """One ReLU of ugly numbers over a box, without the rows of its range: variables x, z, y, a, and ``t = share w x - y``."""
    rng = np.random.default_rng(seed)
    lower = rng.normal(0, 1, INPUTS)
    upper = lower + rng.random(INPUTS) * (rng.random(INPUTS) < 0.9)
    weight = rng.normal(0, 1, INPUTS) * 10.0 ** rng.integers(-3, 4, INPUTS)
    constant = -float(weight @ (lower + upper) / 2) + 0.1 * float(np.abs(weight) @ (upper - lower)) * rng.normal()
    far = float(np.abs(weight) @ (upper - lower)) + abs(constant) + 1
    builder = ProgramBuilder()
    x = builder.variables(lower, upper)
    z, y = builder.variables(np.array([-far]), np.array([far])), builder.variables(np.zeros(1), np.array([far]))
    a, one, side = builder.binaries(1), np.ones(1), np.array([constant])
    entries = (np.zeros(INPUTS + 1, dtype=np.intp), np.concatenate([x, z]), np.concatenate([-weight, one]))
    row = builder.sparse(*entries, side, side, np.zeros(1))
    builder.constraints([(y, one), (z, -one)], np.zeros(1), np.full(1, np.inf))
    t = builder.variables(np.array([-2 * far]), np.array([2 * far]))
    entries = (np.zeros(INPUTS + 2, dtype=np.intp), np.concatenate([x, y, t]), np.concatenate([-share * weight, one, one]))
    builder.sparse(*entries, np.zeros(1), np.zeros(1), np.zeros(1))
    return builder.build(), Kinks(z, y, a, row)


def points_of(program: Program, rng: np.random.Generator) -> list[list[Fraction]]:
    """Corners and other points of the box as points of the program, exactly: x, z, y, a; with z = 0 both a."""
    lower, upper = program.lower[:INPUTS], program.upper[:INPUTS]
    corners = [np.where(side, upper, lower) for side in itertools.product([False, True], repeat=INPUTS)]
    inner = [np.clip(lower + rng.random(INPUTS) * (upper - lower), lower, upper) for _ in range(20)]
    found = []
    for point in (*corners, *inner):
        x = [Fraction(float(v)) for v in point]
        z = Fraction(float(program.row_lower[0]))
        for column, value in zip(program.column[program.row == 0], program.value[program.row == 0], strict=True):
            z -= Fraction(float(value)) * x[column] if column < INPUTS else 0
        found += [[*x, z, max(z, Fraction(0)), Fraction(a)] for a in (0, 1) if (z >= 0 if a else z <= 0)]
    return found


def drawn(seed: int, count: int = 30) -> tuple[Rows, list[list[Fraction]]]:
    """Cuts at random points of the relaxation, those far above the ReLU included; and points of the program."""
    rng = np.random.default_rng([seed, 1])
    program, kinks = neuron(seed)
    finder, rows = Cuts(program, kinks), Rows.none()
    for _ in range(count):
        point = program.lower + rng.random(program.columns) * (program.upper - program.lower)
        point[kinks.y] = program.upper[kinks.y]
        point[kinks.binary] = rng.choice([0.0, 1.0, rng.random()])
        rows = rows.and_(finder.violated(point))
    return rows, points_of(program, rng)


def left_out(seed: int) -> int:
    """How often a cut leaves out a point of the program, in rational arithmetic."""
    rows, points = drawn(seed)
    wrong = 0
    for i in range(len(rows)):
        column, value = rows.column[rows.row == i], [Fraction(float(v)) for v in rows.value[rows.row == i]]
        for point in points:
            wrong += sum((v * point[c] for c, v in zip(column, value, strict=True)), Fraction(0)) > Fraction(float(rows.upper[i]))
    return wrong


def test_no_cut_leaves_out_a_point() -> None:
    assert sum(len(drawn(seed)[0]) for seed in range(12)) > 200
    assert all(left_out(seed) == 0 for seed in range(12))


def test_without_error_terms_some_cut_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "gamma", lambda terms: 0.0)
    monkeypatch.setattr(cuts, "up", lambda values: values)
    assert any(left_out(seed) for seed in range(12))


def test_cuts_of_a_smaller_box_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cuts.Cuts.__init__

    def smaller(self: Cuts, program: Program, kinks: Kinks) -> None:
        true(self, program.within(program.lower, program.upper - 0.1 * (program.upper - program.lower)), kinks)

    monkeypatch.setattr(cuts.Cuts, "__init__", smaller)
    assert any(left_out(seed) for seed in range(12))


def test_all_of_them_are_the_convex_hull() -> None:
    """The least ``share w x - y`` over a box is at a corner; with cuts until none is violated the relaxation says the same."""
    for seed, share in itertools.product(range(6), (0.0, 0.3, 0.8)):
        program, kinks = neuron(seed, share)
        relaxation, finder = Relaxation(program), Cuts(program, kinks)
        relaxation.minimise(program.columns - 1)
        first = relaxation.solve().value
        for _ in range(60):
            solved = relaxation.solve()
            found = finder.violated(solved.point)
            if not len(found):
                break
            relaxation.add(found)
        slopes = [Fraction(-float(v)) * Fraction(share) for v in program.value[program.row == 0][:INPUTS]]
        points = points_of(program, np.random.default_rng(seed))
        exact = min(float(sum((s * v for s, v in zip(slopes, p, strict=False)), -p[-2])) for p in points)
        size = float(program.upper[kinks.y][0])
        assert exact - 2e-3 * size <= solved.value <= exact + 1e-6 * size
        assert first < exact - 0.1 * size


def test_what_does_not_matter_or_is_not_known_gives_no_cut() -> None:
    program, kinks = neuron(0)
    point = (program.lower + program.upper) / 2
    point[kinks.y] = 0.0
    assert not len(Cuts(program, kinks).violated(point))
    point[kinks.y] = program.upper[kinks.y]
    assert len(Cuts(program, kinks).violated(point)) == 1
    assert not len(Cuts(program, replace(kinks, row=np.array([-1]))).violated(point))
    assert not len(Cuts(program, Kinks.none()).violated(point))


def test_added_rows_can_be_taken_out_again() -> None:
    program, kinks = neuron(0)
    relaxation, finder = Relaxation(program), Cuts(program, kinks)
    relaxation.minimise(int(kinks.y[0]), -1.0)
    first = relaxation.solve()
    relaxation.add(finder.violated(first.point))
    second = relaxation.solve()
    assert second.value > first.value + 1e-3
    assert relaxation.binding().tolist() == [True]
    relaxation.drop_cuts()
    assert relaxation.solve(first.basis).value == pytest.approx(first.value)
    assert not len(relaxation.binding())


def test_a_bound_above_the_cutoff_ends_a_solve() -> None:
    program, kinks = neuron(0)
    relaxation = Relaxation(program)
    relaxation.minimise(int(kinks.z[0]))
    whole = relaxation.solve()
    fixed = program.lower.copy()
    fixed[: INPUTS - 1] = program.upper[: INPUTS - 1]
    relaxation.bound(fixed, program.upper)
    cut = relaxation.solve(whole.basis, cutoff=whole.value - 1.0)
    assert cut.value > whole.value - 1.0
    assert cut.multipliers is not None
