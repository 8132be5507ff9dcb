"""VNN-LIB 2.0, through the syntax tree of the package ``vnnlib``."""

from __future__ import annotations

import gzip
import importlib.util
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from netassay.errors import CapabilityError, DataError, UnsupportedSpecificationError
from netassay.specs.vnnlib import Limits, Specification, Variable, read_vnnlib
from netassay.specs.vnnlib_cases import COEFFICIENTS, STRICT

needs_package = pytest.mark.skipif(importlib.util.find_spec("vnnlib") is None, reason="the package vnnlib is not installed")

HEAD = "(vnnlib-version <2.0>)\n; a comment (\n(declare-network N (declare-input X real [1,2]) (declare-output Y real [2]))\n"
BOX = "(assert (<= X[0,0] 1.0))(assert (>= X[0,0] -1.0))(assert (<= X[0,1] 0.1))(assert (>= X[0,1] 0.1))"


def read(folder: Path, text: str, **limits: int) -> Specification:
    path = folder / "q.vnnlib"
    path.write_text(text)
    return read_vnnlib(path, limits=Limits(**limits))


@needs_package
def test_a_query(tmp_path: Path) -> None:
    text = "(assert (or (and (< Y[0] 0.5) (== Y[1] 2.0)) (and (>= X[0,0] 0.0) (> (- (+ Y[0] (* -2.0 Y[1])) 1.0 (- Y[1])) -3.0))))"
    specification = read(tmp_path, HEAD + BOX + text)
    assert (specification.version, specification.inputs, specification.outputs) == ("2.0", 2, 2)
    assert specification.variables == (Variable("X", "real", (1, 2)), Variable("Y", "real", (2,)))
    assert specification.notes == (STRICT,)
    first, second = specification.cases
    assert Fraction(float(first.box.lower[1])) <= Fraction("0.1") <= Fraction(float(first.box.upper[1]))
    assert first.nearest.lower[1] == first.nearest.upper[1] == 0.1
    assert (first.box.lower[0], second.box.lower[0]) == (-1.0, 0.0)
    assert first.unsafe.matrix.tolist() == [[[1, 0], [0, 1], [0, -1]]]
    assert first.unsafe.offset.tolist() == [[0.5, 2, -2]]
    assert first.strict_rows.tolist() == [[True, False, False]]
    assert second.unsafe.matrix.tolist() == [[[-1, 1]]]  # y0 - 2 y1 - 1 + y1 > -3
    assert second.unsafe.offset.tolist() == [[2.0]]
    assert specification.admits([-1.0, 0.1], [0.25, 2.0])
    assert not specification.admits([-1.0, 0.1], [0.5, 2.0])


@needs_package
def test_elements_are_counted_in_row_major_order(tmp_path: Path) -> None:
    head = "(vnnlib-version <2.0>)(declare-network N (declare-input A float32 [2,3]) (declare-output B float32 []))"
    text = "".join(f"(assert (== A[{i},{j}] {i}.{j}))" for i in range(2) for j in range(3)) + "(assert (<= B 1.5))"
    specification = read(tmp_path, head + text)
    assert specification.cases[0].nearest.lower.tolist() == [0.0, 0.1, 0.2, 1.0, 1.1, 1.2]
    assert specification.outputs == 1
    assert specification.variables[0] == Variable("A", "float32", (2, 3))


@needs_package
def test_both_versions_of_a_specification_agree(tmp_path: Path) -> None:
    old = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)"
    rows = "(assert (and (or (<= Y[0] 0.3) (>= Y[1] 0.7)) (or (<= X[0,0] 0.25) (<= (* 0.1 Y[0]) Y[1]))))"
    names = {"X[0,0]": "X_0", "X[0,1]": "X_1", "Y[0]": "Y_0", "Y[1]": "Y_1"}
    text = BOX + rows
    new = read(tmp_path, HEAD + text)
    for name, plain in names.items():
        text = text.replace(name, plain)
    before = read(tmp_path, old + text)
    assert len(new.cases) == len(before.cases) == 2
    for a, b in zip(new.cases, before.cases, strict=True):
        assert np.array_equal(a.box.lower, b.box.lower)
        assert np.array_equal(a.box.upper, b.box.upper)
        assert np.array_equal(a.unsafe.matrix, b.unsafe.matrix)
        assert np.array_equal(a.unsafe.offset, b.unsafe.offset)


@needs_package
def test_a_row_that_cannot_be_exact_is_covered(tmp_path: Path) -> None:
    specification = read(tmp_path, HEAD + BOX + "(assert (<= (- (* 0.999999999999999999 Y[0]) Y[1]) -0.0000000000000000005))")
    (case,) = specification.cases
    assert specification.notes == (COEFFICIENTS,)
    assert case.unsafe.matrix.tolist() == [[[np.nextafter(1.0, 0), -1.0]], [[1.0, -1.0]]]
    assert specification.admits([0.0, 0.1], [1.0, 1.0])
    assert not specification.admits([0.0, 0.1], [0.0, 0.0])


@needs_package
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_comment_ends_with_its_line_however_that_ends(tmp_path: Path, end: str) -> None:
    specification = read(tmp_path, f"{HEAD}{BOX}(assert (or (<= Y[0] 0.3) ; one {end} (>= Y[1] 0.7) {end}))")
    assert specification.cases[0].unsafe.matrix.tolist() == [[[1, 0]], [[0, -1]]]


@needs_package
def test_compressed(tmp_path: Path) -> None:
    path = tmp_path / "q.vnnlib.gz"
    path.write_bytes(gzip.compress((HEAD + BOX).encode()))
    assert read_vnnlib(path).version == "2.0"


TWO = "(declare-network M (declare-input U real [1]) (declare-output V real [1]))"


@needs_package
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + TWO + BOX, "2 networks are declared"),
        (HEAD.replace("(declare-output", "(declare-input Z real [1]) (declare-output") + BOX, "2 inputs, 0 hidden"),
        (HEAD.replace("X real", "X int8").replace("1.0", "1") + "(assert (<= X[0,0] 1))", "X is of type I8"),
        (HEAD + BOX + "(assert (!= Y[0] 1.0))", "unsupported formula NotEqual"),
        (HEAD + BOX + "(assert (<= (* Y[0] Y[1]) 1.0))", "not linear"),
        (HEAD + BOX + "(assert (<= X[0,0] X[0,1]))", "relates inputs with each other"),
        (HEAD + BOX + "(assert (<= X[0,0] Y[1]))", "relates inputs with outputs"),
        (HEAD + "(assert (<= X[0,0] 1.0))", "X_0 has no lower bound"),
    ],
)
def test_what_cannot_be_represented_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UnsupportedSpecificationError, match=rf"q\.vnnlib: .*{words}"):
        read(tmp_path, text)


@needs_package
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + BOX + "(assert (<= Y[0] 1.0)", "not readable as VNN-LIB 2.0"),
        (HEAD + BOX + "(assert (<= Y[2] 1.0))", "not readable|no element"),
        (HEAD + BOX + "(assert (<= Y[0,0] 1.0))", "not readable|no element"),
        (HEAD + BOX + "(assert (<= Z[0] 1.0))", "not readable as VNN-LIB 2.0"),
        (HEAD + BOX + "(assert (<= Y[0] 123456789012345678901234567890))", "not readable as VNN-LIB 2.0"),
        (HEAD + BOX + "(assert " + "(and " * 200_000 + "(<= Y[0] 1.0)" + ")" * 200_001, "nest deeper than 100"),
        (HEAD + BOX + '; "\n(assert ' + "(and " * 200_000 + "(<= Y[0] 1.0)" + ")" * 200_001, "nest deeper than 100"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=rf"q\.vnnlib: .*({words})"):
        read(tmp_path, text)


@needs_package
def test_limits(tmp_path: Path) -> None:
    choice = "(assert (or (<= Y[0] 1.0) (<= Y[1] 1.0)))"
    with pytest.raises(DataError, match="more than 8 disjuncts"):
        read(tmp_path, HEAD + BOX + choice * 4, disjuncts=8)
    with pytest.raises(DataError, match="expected 1 to 1 elements"):
        read(tmp_path, HEAD + BOX, variables=1)
    with pytest.raises(DataError, match="raise the limit"):
        read(tmp_path, HEAD + BOX, tree=100)
    with pytest.raises(DataError, match="X has shape"):
        read(tmp_path, HEAD.replace("[1,2]", "[100000,100000]") + BOX)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vnnlib", None)
    with pytest.raises(CapabilityError, match=r"pip install 'netassay\[vnnlib\]'"):
        read(tmp_path, HEAD + BOX)
