"""VNN-LIB rows over outputs: exact in float64 where scaling makes them so, else covered by rows that are."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netassay.errors import DataError
from netassay.specs.vnnlib import Case
from netassay.specs.vnnlib_cases import COEFFICIENTS, LEFT_OUT
from netassay.specs.vnnlib_rows import MOST_COVERS
from specs.test_vnnlib import BOX, SMALL, read, rounds


def test_a_row_is_scaled_until_its_coefficients_are_exact(tmp_path: Path) -> None:
    case = read(tmp_path, SMALL + BOX + "(assert (<= (+ (* 0.1 Y_0) (* -0.3 Y_1)) 0.5))").cases[0]
    assert case.unsafe.matrix[0, 0, 1] == -3 * case.unsafe.matrix[0, 0, 0]
    assert case.unsafe.offset[0, 0] == 5 * case.unsafe.matrix[0, 0, 0]
    assert 0.05 <= case.unsafe.matrix[0, 0, 0] <= 0.2


def test_coefficients_that_cannot_be_exact_are_noted_and_enclosed(tmp_path: Path) -> None:
    near = 0.1234567890123456789
    specification = read(tmp_path, SMALL + BOX + "(assert (<= (+ (* 0.1234567890123456789 Y_0) Y_1) 0.5))")
    assert specification.notes == (COEFFICIENTS,)
    (case,) = specification.cases
    assert case.matrix.tolist() == [[[near, 1.0]]]
    first, second = case.unsafe.matrix[:, 0].tolist()
    assert Fraction(first[0]) < Fraction("0.1234567890123456789") < Fraction(second[0])
    assert second[0] == np.nextafter(first[0], 1)
    assert (first[1], second[1]) == (1.0, 1.0)


LONG = st.tuples(st.integers(-(10**19), 10**19), st.integers(-25, -15)).map(lambda pair: f"{pair[0]}e{pair[1]}")
"""More digits than float64 has."""
THREE = "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)(declare-const Y_2 Real)"


def weakest(case: Case, y: list[Fraction]) -> Fraction:
    """Exactly, over the unsafe polyhedra of the proofs, the least of the largest excess of a row: at most 0 where the union holds y."""

    def excess(row: Any, offset: float) -> Fraction:
        return sum((Fraction(float(c)) * v for c, v in zip(row, y, strict=True)), -Fraction(float(offset)))

    return min(max(map(excess, a, b)) for a, b in zip(case.unsafe.matrix, case.unsafe.offset, strict=True))


def through(rows: list[tuple[str, str, str]], y: list[Fraction], short: Fraction = Fraction(0)) -> str:
    """Rows ``c y <= b`` with b = c y, exactly, less ``short`` times the sum of the sizes of the products."""
    text = ""
    for row in rows:
        products = [Fraction(c) * v for c, v in zip(row, y, strict=True)]
        offset = sum(products, Fraction(0)) - short * sum(map(abs, products))
        with localcontext(prec=400):
            at = Decimal(offset.numerator) / Decimal(offset.denominator)
        assert Fraction(at) == offset
        text += f"(assert (<= (+ {' '.join(f'(* {c} Y_{i})' for i, c in enumerate(row))}) {at:f}))"
    return text


@given(
    rows=st.lists(st.tuples(LONG, LONG, LONG), min_size=1, max_size=5),
    at=st.tuples(*[st.integers(-500, 500)] * 3),
)
@example(rows=[("999999999999999999e-18", "-1", "0")], at=(64, 64, 0))
@rounds
def test_rows_that_cannot_be_exact_are_covered(tmp_path: Path, rows: list[tuple[str, str, str]], at: tuple[int, int, int]) -> None:
    """On the edge of every row, where nothing is left for roundings: what a file forbids is left out of no proof."""
    y = [Fraction(v, 64) for v in at]
    specification = read(tmp_path, THREE + BOX + through(rows, y))
    assert weakest(specification.cases[0], y) <= 0
    short = Fraction(1, 2**50)
    near = read(tmp_path, THREE + BOX + through(rows, y, short))
    if LEFT_OUT not in near.notes and any(Fraction(c) * v for row in rows for c, v in zip(row, y, strict=True)):
        assert weakest(near.cases[0], y) > 0
        assert not near.admits([0.0], [float(v) for v in y])


def test_a_row_that_rounding_would_turn_around(tmp_path: Path) -> None:
    """Of outputs (1, 1) the file says that they are unsafe; with its coefficient rounded to nearest they would be safe."""
    (case,) = read(tmp_path, SMALL + BOX + "(assert (<= (- (* 0.999999999999999999 Y_0) Y_1) -0.0000000000000000005))").cases
    assert case.matrix.tolist() == [[[1.0, -1.0]]]
    assert case.admits([0.0], [1.0, 1.0])
    assert weakest(case, [Fraction(1)] * 2) <= 0
    assert not case.admits([0.0], [0.0, 0.0])
    assert weakest(case, [Fraction(0)] * 2) > 0


def test_a_witness_has_to_satisfy_the_row_that_was_covered(tmp_path: Path) -> None:
    (case,) = read(tmp_path, SMALL + BOX + "(assert (<= (- (* 1.000000000000000001 Y_0) Y_1) 0.0000000000000000005))").cases
    assert weakest(case, [Fraction(1)] * 2) <= 0
    assert not case.admits([0.0], [1.0, 1.0])
    assert case.admits([0.0], [0.25, 0.25])


def test_too_many_covers_leave_rows_out_of_proofs_but_not_of_witnesses(tmp_path: Path) -> None:
    rows = [(f"0.{n}234567890123456789", f"0.{n}234567890123456787", f"0.{n}234567890123456783") for n in range(1, 6)]
    specification = read(tmp_path, THREE + BOX + through(rows, [Fraction(1)] * 3))
    assert specification.notes == (COEFFICIENTS, LEFT_OUT)
    (case,) = specification.cases
    assert len(case.unsafe.rows) == 4**4 <= MOST_COVERS
    assert weakest(case, [Fraction(1)] * 3) <= 0
    assert weakest(case, [Fraction(2)] * 3) > 0
    assert specification.admits([0.0], [0.5] * 3)
    assert not specification.admits([0.0], [2.0] * 3)


def test_covers_count_towards_the_limit_of_numbers(tmp_path: Path) -> None:
    text = THREE + BOX + "(assert (<= (+ (* 0.1234567890123456789 Y_0) (* 0.3234567890123456789 Y_1) Y_2) 1))"
    numbers = 5 + (3 + 1) * (3 + 3)
    assert len(read(tmp_path, text, numbers=numbers).cases[0].unsafe.rows) == 3
    with pytest.raises(DataError, match="limit"):
        read(tmp_path, text, numbers=numbers - 1)


@pytest.mark.parametrize("power", [-320, 320])
def test_a_row_outside_of_float64_is_scaled_into_it(tmp_path: Path, power: int) -> None:
    specification = read(tmp_path, SMALL + BOX + f"(assert (<= (+ (* 1e{power} Y_0) (* -3e{power} Y_1)) 5e{power}))")
    (case,) = specification.cases
    (row,), (offset,) = case.unsafe.matrix[:, 0].tolist(), case.unsafe.offset[:, 0].tolist()
    assert specification.notes == ()
    assert row[1] == -3 * row[0] != 0
    assert offset == 5 * row[0]
