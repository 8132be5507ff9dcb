"""Witness files of the competitions: exact values, both versions, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netassay.errors import DataError
from netassay.specs.vnnlib_cases import Variable
from netassay.specs.vnnlib_witness import (
    TO_VNNCOMP,
    TO_VNNLIB_2,
    format_assignment,
    format_witness,
    parse_assignment,
    parse_witness,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
singles = st.floats(allow_nan=False, allow_infinity=False, width=32)
rounds = settings(max_examples=100, deadline=None, derandomize=True)


def test_words() -> None:
    assert TO_VNNCOMP == {"holds": "unsat", "violated": "sat", "unknown": "unknown", "timeout": "timeout"}
    assert TO_VNNLIB_2 == {"holds": "unsat", "violated": "sat", "unknown": "unknown", "timeout": "timed-out"}


def test_layout_of_version_1() -> None:
    text = format_witness(np.array([[0.5, -1.0]], dtype=np.float32), [1e-20])
    assert text == "sat\n((X_0 0.5)\n (X_1 -1.0)\n (Y_0 1e-20))\n"


@given(x=st.lists(finite, max_size=5), y=st.lists(finite, max_size=3))
@rounds
def test_values_of_version_1_read_back(x: list[float], y: list[float]) -> None:
    for text in (format_witness(x, y), format_witness(x, y).removeprefix("sat\n")):
        point, outputs = parse_witness(text)
        assert point.tobytes() == np.array(x).tobytes()
        assert outputs.tobytes() == np.array(y).tobytes()


@given(x=st.lists(singles, min_size=1, max_size=5))
@rounds
def test_float32_reads_back_in_both_precisions(x: list[float]) -> None:
    given_ = np.array(x, dtype=np.float32)
    point, _ = parse_witness(format_witness(given_, []))
    assert point.tobytes() == given_.astype(np.float64).tobytes()
    assert point.astype(np.float32).tobytes() == given_.tobytes()


def test_layout_of_version_2() -> None:
    a, b = Variable("A", "float32", (2, 2)), Variable("Y", "real", (1,))
    text = format_assignment([(a, np.array([[0.5, 0.25], [0.125, 2.0]], dtype=np.float32)), (b, [0.1])])
    assert text == "sat\nA float32 [2,2]\n0.5\n0.25\n0.125\n2.0\nY real [1]\n0.1\n"


@given(x=st.lists(singles, min_size=6, max_size=6), y=finite)
@rounds
def test_values_of_version_2_read_back(x: list[float], y: float) -> None:
    a, b = Variable("in_1", "float32", (1, 2, 3)), Variable("Y", "real", ())
    given_ = np.array(x, dtype=np.float32).reshape(1, 2, 3)
    (first, values), (second, scalar) = parse_assignment(format_assignment([(a, given_), (b, y)]))
    assert (first, second) == (a, b)
    assert values.shape == (1, 2, 3)
    assert values.tobytes() == given_.astype(np.float64).tobytes()
    assert scalar.tobytes() == np.array(y).tobytes()


def test_values_are_read_in_the_declared_type() -> None:
    ((_, values),) = parse_assignment("X float32 [1]\n0.1\n")
    assert values.tolist() == [float(np.float32(0.1))]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DataError, match="finite"):
        format_witness([0.0, bad], [1.0])
    with pytest.raises(DataError, match="finite"):
        format_assignment([(Variable("X", "real", (1,)), [bad])])
    with pytest.raises(DataError, match="finite"):
        parse_witness(f"((X_0 {bad}))")
    with pytest.raises(DataError, match="finite"):
        parse_assignment(f"X real [1]\n{bad}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "in parentheses"),
        ("sat\n", "in parentheses"),
        ("unsat", "in parentheses"),
        ("((X_1 0.5))", "expected X_0, got X_1"),
        ("((X_0 0.5) (X_0 0.5))", "expected X_1, got X_0"),
        ("((Z_0 0.5))", "made of pairs"),
        ("((X_0 0.5) x)", "made of pairs"),
        ("((X_0 0.5 1))", "made of pairs"),
        ("((X_0 zero))", "expected a number"),
    ],
)
def test_broken_witnesses_of_version_1(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_witness(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sat\nX float32", "NAME type"),
        ("sat\nX int8 [1]\n1", "NAME type"),
        ("sat\nX real [1,,2]\n1", "dimensions"),
        ("sat\nX real [1 2]\n1", "dimensions"),
        ("sat\nX real [2]\n1", "only 1 values follow"),
        ("sat\nX real [1]\none", "expected a number"),
        ("sat\nX real [1]\n1\n2", "NAME type"),
        ("sat\nX float32 [1]\n1e39", "finite"),
    ],
)
def test_broken_witnesses_of_version_2(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_assignment(text)


def test_an_assignment_has_the_declared_number_of_values() -> None:
    with pytest.raises(DataError, match="got 3 values"):
        format_assignment([(Variable("X", "real", (2,)), [1.0, 2.0, 3.0])])
