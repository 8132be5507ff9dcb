"""VNN-LIB 1.0: what is read equals what is written, rounding is on the sound side, everything else is refused."""

from __future__ import annotations

import gzip
import math
import operator
import os
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netassay.errors import DataError, UnsupportedSpecificationError
from netassay.models.scores import Scale
from netassay.specs import vnnlib, vnnlib_syntax
from netassay.specs.vnnlib import Case, Limits, Specification, read_vnnlib
from netassay.specs.vnnlib_cases import COEFFICIENTS, NO_OUTPUTS, STRICT

FOLDER = Path(os.environ.get("NETASSAY_BENCHMARKS") or ".") / "vnncomp2021"
needs_benchmarks = pytest.mark.skipif(
    "NETASSAY_BENCHMARKS" not in os.environ, reason="NETASSAY_BENCHMARKS is not set: the benchmark specifications are not at hand"
)
rounds = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])

SMALL = "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)"
BOX = "(assert (<= X_0 1))(assert (>= X_0 -1))"
NEVER = re.compile("(?!)")


def read(folder: Path, text: str, **limits: int) -> Specification:
    path = folder / "p.vnnlib"
    path.write_bytes(text.encode("latin-1"))
    return read_vnnlib(path, limits=Limits(**limits))


def same(left: Specification, right: Specification) -> bool:
    if (left.inputs, left.outputs, left.notes, len(left.cases)) != (right.inputs, right.outputs, right.notes, len(right.cases)):
        return False
    return all(all(map(np.array_equal, arrays(a), arrays(b))) for a, b in zip(left.cases, right.cases, strict=True))


def arrays(case: Case) -> list[Any]:
    boxes = [case.box.lower, case.box.upper, case.nearest.lower, case.nearest.upper, case.strict_lower, case.strict_upper]
    return [*boxes, case.unsafe.matrix, case.unsafe.offset, case.offset, case.strict_rows, np.array(case.unsafe.rows)]


# --- formulas drawn at random, written down, read back, and compared with their direct evaluation -------------------------------

COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
    "==": operator.eq,
}
eighths = st.integers(-12, 12).map(lambda k: Fraction(k, 4))
Values = dict[str, Fraction]


def decimal(value: Fraction) -> str:
    return str(float(value))


@st.composite
def input_atoms(draw: st.DrawFn) -> tuple[Any, ...]:
    index, at = draw(st.integers(0, 1)), draw(eighths)
    form = draw(st.sampled_from(["plain", "turned", "scaled", "both"]))
    op, x = draw(st.sampled_from(list(COMPARE))), ("v", f"X_{index}")
    if form == "plain":
        return (op, x, ("c", at))
    if form == "turned":
        return (op, ("c", at), x)
    factor = draw(st.sampled_from([Fraction(-2), Fraction(1, 2), Fraction(4)]))
    if form == "scaled":
        return (op, ("*", ("c", factor), x), ("c", at))
    return (op, ("+", ("*", x, ("c", factor)), ("c", at)), ("-", x, ("c", Fraction(1))))


@st.composite
def output_atoms(draw: st.DrawFn) -> tuple[Any, ...]:
    def side() -> tuple[Any, ...]:
        terms = [("*", ("c", draw(eighths)), ("v", f"Y_{i}")) for i in range(2) if draw(st.booleans())]
        extra: list[tuple[Any, ...]] = [("v", f"Y_{draw(st.integers(0, 1))}"), ("c", draw(eighths)), ("-", ("v", "Y_1"))]
        return ("+", *terms, draw(st.sampled_from(extra)))

    return (draw(st.sampled_from(list(COMPARE))), side(), draw(st.one_of(st.just(("v", "Y_0")), eighths.map(lambda c: ("c", c)))))


formulas = st.recursive(
    st.one_of(input_atoms(), output_atoms()),
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)).map(lambda pair: (pair[0], *pair[1])),
    max_leaves=7,
)


def write(node: tuple[Any, ...]) -> str:
    if node[0] == "c":
        return decimal(node[1])
    if node[0] == "v":
        return str(node[1])
    return f"({node[0]} " + " ; a comment ) (\n ".join(write(each) for each in node[1:]) + " )"


def term(node: tuple[Any, ...], values: Values) -> Fraction:
    if node[0] == "c":
        return Fraction(node[1])
    if node[0] == "v":
        return values[node[1]]
    parts = [term(each, values) for each in node[1:]]
    if node[0] == "+":
        return sum(parts, Fraction(0))
    if node[0] == "*":
        return math.prod(parts, start=Fraction(1))
    return -parts[0] if len(parts) == 1 else parts[0] - sum(parts[1:])


def holds(node: tuple[Any, ...], values: Values) -> bool:
    if node[0] in ("and", "or"):
        return (all if node[0] == "and" else any)(holds(each, values) for each in node[1:])
    return COMPARE[node[0]](term(node[1], values), term(node[2], values))


def file_of(assertions: list[tuple[Any, ...]]) -> str:
    head = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    bounds = "".join(f"(assert (<= X_{i} 3.0))\n(assert (>= X_{i} -3.0))\n" for i in range(2))
    return head + bounds + "\n".join(f"(assert {write(each)})" for each in assertions)


@given(
    assertions=st.lists(formulas, min_size=1, max_size=3),
    points=st.lists(st.tuples(eighths, eighths, eighths, eighths), min_size=12, max_size=12),
)
@rounds
def test_membership_equals_direct_evaluation(
    tmp_path: Path, assertions: list[tuple[Any, ...]], points: list[tuple[Fraction, Fraction, Fraction, Fraction]]
) -> None:
    specification = read(tmp_path, file_of(assertions))
    for point in points:
        values = dict(zip(("X_0", "X_1", "Y_0", "Y_1"), point, strict=True))
        x, y = np.array([float(v) for v in point[:2]]), np.array([float(v) for v in point[2:]])
        expected = all(holds(each, values) for each in assertions)
        assert specification.admits(x, y) == expected
        closed = any(c.box.contains(x[None])[0] and c.unsafe.is_violated(float(c.unsafe.values(y[None])[0])) for c in specification.cases)
        assert closed or not expected
        if not any(c.strict for c in specification.cases):
            assert closed == expected
    keys = [tuple(map(bytes, arrays(c)[:6])) for c in specification.cases]
    assert len(set(keys)) == len(keys)


@given(assertions=st.lists(formulas, min_size=1, max_size=2), piece=st.integers(1, 40))
@rounds
def test_short_cuts_and_pieces_change_nothing(tmp_path: Path, assertions: list[tuple[Any, ...]], piece: int) -> None:
    text = file_of(assertions)
    whole = read(tmp_path, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vnnlib_syntax, "PIECE", piece)
        assert same(read(tmp_path, text), whole)
        for name in ("_DECLARATION", "_BOUND", "_SIDE", "_COMPARISON"):
            patch.setattr(vnnlib, name, NEVER)
        assert same(read(tmp_path, text), whole)


# --- rounding ---------------------------------------------------------------------------------------------------------------------

decimals = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False).map(repr),
    st.floats(width=32, min_value=-2, max_value=2).map(lambda v: repr(float(v))),
    st.from_regex(r"-?[0-9]{1,3}\.[0-9]{1,25}([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["0.1", "-0.1", "+.5", "5.", "0", "-0.0", "1e-400", "-1e-400", "1e-323", "179769313486231570e291", "9007199254740993"]),
)


@given(text=decimals, form=st.sampled_from(["{}", "(+ {})", "(* 1.0 {})"]))
@example(text="0.1", form="{}")
@example(text="1e-400", form="(+ {})")
@rounds
def test_bounds_are_rounded_outward_by_the_least(tmp_path: Path, text: str, form: str) -> None:
    written = form.format(text)
    for side, other in (("<=", ">="), (">=", "<=")):
        far = "-1.7976931348623157e308" if side == "<=" else "1.7976931348623157e308"
        body = f"(assert ({side} X_0 {written}))(assert ({other} X_0 {far}))(assert (<= Y_0 Y_1))"
        case = read(tmp_path, SMALL + body).cases[0]
        bound, nearest = (case.box.upper, case.nearest.upper) if side == "<=" else (case.box.lower, case.nearest.lower)
        exact, inward = Fraction(text), -np.inf if side == "<=" else np.inf
        assert nearest[0] == float(text)
        if side == "<=":
            assert Fraction(float(bound[0])) >= exact > Fraction(float(np.nextafter(bound[0], inward)))
        else:
            assert Fraction(float(bound[0])) <= exact < Fraction(float(np.nextafter(bound[0], inward)))


moderate = decimals.filter(lambda text: abs(Fraction(text)) < 10**300)
"""What is beyond float64 once a row is scaled is refused."""


@given(texts=st.tuples(moderate, moderate, moderate), y=st.tuples(st.floats(-8, 8), st.floats(-8, 8)), op=st.sampled_from(["<=", ">="]))
@example(texts=("0.1", "-0.3", "0.7"), y=(7.0, 0.0), op="<=")
@rounds
def test_unsafe_outputs_are_a_superset(tmp_path: Path, texts: tuple[str, str, str], y: tuple[float, float], op: str) -> None:
    body = f"(assert ({op} (+ (* {texts[0]} Y_0) (* Y_1 {texts[1]})) {texts[2]}))"
    specification = read(tmp_path, SMALL + BOX + body)
    factors, offset = [Fraction(t) for t in texts[:2]], Fraction(texts[2])
    inexact = COEFFICIENTS in specification.notes
    assert not inexact or any(Fraction(float(t)) != Fraction(t) for t in texts[:2])
    if inexact or not any(factors):
        return
    unsafe, sign = specification.cases[0].unsafe, 1 if op == "<=" else -1
    row = [Fraction(float(c)) for c in unsafe.matrix[0, 0]]
    k = next(i for i, f in enumerate(factors) if f)
    scale = row[k] / (sign * factors[k])
    assert scale > 0
    assert row == [scale * sign * f for f in factors]
    exact = scale * sign * offset
    below = Fraction(float(np.nextafter(unsafe.offset[0, 0], -np.inf)))
    assert Fraction(float(unsafe.offset[0, 0])) >= exact > below
    value = sum(c * Fraction(v) for c, v in zip(row, y, strict=True))
    assert (value <= exact) <= (value <= Fraction(float(unsafe.offset[0, 0])))


# --- what files mean ----------------------------------------------------------------------------------------------------------------


def test_boxes_of_disjuncts_are_cases_and_equal_ones_are_merged(tmp_path: Path) -> None:
    text = """(assert (or (and (<= X_0 0.5) (<= Y_0 1)) (and (>= X_0 0.5) (<= Y_1 2)) (and (<= X_0 0.5) (>= Y_0 7) (<= Y_1 3))
        (and (<= X_0 0.5) (<= X_0 0.75) (<= Y_0 1)) (and (>= X_0 2) (<= Y_0 0))))"""
    specification = read(tmp_path, SMALL + BOX + text)
    first, second = specification.cases
    assert (first.box.lower[0], first.box.upper[0], second.box.lower[0], second.box.upper[0]) == (-1.0, 0.5, 0.5, 1.0)
    assert first.unsafe.rows == (1, 2)
    assert second.unsafe.rows == (1,)
    assert first.unsafe.on is Scale.OUTPUTS
    assert specification.notes == ("1 of 5 disjuncts have an empty input box and are left out",)


@pytest.mark.parametrize("at", ["1", "-1", "0.1"])
def test_a_box_of_one_point_is_not_empty(tmp_path: Path, at: str) -> None:
    text = f"(assert (or (and (<= X_0 {at}) (>= X_0 {at}) (<= Y_0 0)) (and (= X_0 5) (<= Y_0 0)) (and (<= X_0 -1) (<= Y_1 0))))"
    specification = read(tmp_path, SMALL + BOX + text)
    assert specification.notes == ("1 of 3 disjuncts have an empty input box and are left out",)
    assert specification.admits([float(at)], [0.0, 1.0])
    assert specification.admits([-1.0], [1.0, 0.0])
    assert any(case.box.contains([[float(at)]])[0] for case in specification.cases)


def test_assertions_that_contradict_each_other_leave_no_case(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL + BOX + "(assert (>= X_0 2))(assert (<= Y_0 0))").cases == ()
    never = read(tmp_path, SMALL + BOX + "(assert (<= 1 0))")
    assert never.cases == ()
    assert "nothing is unsafe" in never.notes[0]


def test_a_file_without_output_constraints_makes_every_input_unsafe(tmp_path: Path) -> None:
    specification = read(tmp_path, SMALL + BOX)
    assert specification.notes == (NO_OUTPUTS,)
    assert specification.admits([0.5], [1e30, -3.0])
    assert not specification.admits([1.5], [0.0, 0.0])


def test_strict_inequalities_are_closed_for_proofs_but_not_for_witnesses(tmp_path: Path) -> None:
    specification = read(tmp_path, SMALL + "(assert (< X_0 1))(assert (>= X_0 -1))(assert (or (> Y_0 Y_1) (<= Y_0 -2)))")
    (case,) = specification.cases
    assert specification.notes == (STRICT,)
    assert case.strict
    assert case.strict_upper.tolist() == [True]
    assert case.strict_lower.tolist() == [False]
    assert case.strict_rows.tolist() == [[True], [False]]
    assert case.box.upper.tolist() == [1.0]
    assert case.unsafe.is_violated(float(case.unsafe.values(np.array([[1.0, 1.0]]))[0]))
    assert not specification.admits([0.0], [1.0, 1.0])
    assert specification.admits([0.0], [np.nextafter(1.0, 2), 1.0])
    assert not specification.admits([1.0], [2.0, 1.0])
    assert specification.admits([-1.0], [-2.0, 5.0])


@pytest.mark.parametrize("form", ["({} X_0 0.5)", "({} (+ X_0) 0.5)", "(and ({} X_0 0.5) (<= Y_0 9))"])
@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
def test_every_form_of_a_bound_keeps_its_side_and_strictness(tmp_path: Path, form: str, op: str) -> None:
    (case,) = read(tmp_path, SMALL + BOX + f"(assert {form.format(op)})").cases
    upper = op.startswith("<")
    assert (case.box.lower[0], case.box.upper[0]) == ((-1.0, 0.5) if upper else (0.5, 1.0))
    assert (case.strict_lower[0], case.strict_upper[0]) == (op == ">", op == "<")


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [0.0, np.inf]])
def test_what_is_not_finite_is_no_witness(tmp_path: Path, bad: list[float]) -> None:
    specification = read(tmp_path, SMALL + BOX)
    assert not specification.admits([0.0], bad)
    assert not specification.admits([np.nan], [0.0, 0.0])


def test_huge_outputs_are_judged_exactly(tmp_path: Path) -> None:
    specification = read(tmp_path, SMALL + BOX + "(assert (<= (+ Y_0 Y_1) 0))")
    assert not specification.admits([0.0], [1.7e308, 1.7e308])
    assert specification.admits([0.0], [1.7e308, -1.7e308])
    assert not specification.admits([0.0], [1.7e308, float(np.nextafter(-1.7e308, 0))])


def test_commands_of_smt_lib_and_other_bytes(tmp_path: Path) -> None:
    head = '(set-logic QF_LRA)(set-info :source "(; no comment \xe4")(set-option :a |b) (|)\r\n'
    head += "(declare-fun X_0 () Real)(declare-const Y_0 Real)"
    text = head + "\t(assert(and(<= X_0 1.5e0)(>= X_0 -1.5E+0)\f(= Y_0 0.5))) ; \xfc\n(check-sat)(get-model)(exit) ; the end"
    specification = read(tmp_path, text)
    assert (specification.cases[0].box.lower[0], specification.cases[0].box.upper[0]) == (-1.5, 1.5)
    assert specification.cases[0].unsafe.rows == (2,)
    assert specification.variables == (vnnlib.Variable("X", "real", (1,)), vnnlib.Variable("Y", "real", (1,)))


# --- refusals -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SMALL + "(assert (<= X_0 1))", "X_0 has no lower bound"),
        (SMALL + "(assert (or (<= X_0 1) (>= X_0 0)))", "X_0 has no lower bound in disjunct 1"),
        (SMALL + BOX + "(assert (<= X_0 Y_0))", "relates inputs with outputs: X_0, Y_0"),
        ("(declare-const X_1 Real)" + SMALL + BOX + "(assert (<= X_1 X_0))", "relates inputs with each other.*X_0, X_1"),
        (SMALL + BOX + "(assert (<= (* Y_0 Y_1) 1))", "not linear"),
        (SMALL + BOX + "(assert (<= (* Y_0 (- Y_0 Y_0)) 1))", "not linear"),
        (SMALL + BOX + "(assert (<= (/ Y_0 2) 1))", "unknown function '/' in a term"),
        (SMALL + BOX + "(assert (not (<= Y_0 2)))", "unknown function 'not' in a formula"),
        (SMALL + BOX + "(assert (!= Y_0 2))", "unknown function '!='"),
        (SMALL + BOX + "(define-fun f () Real 1)", "unknown command 'define-fun'"),
        (SMALL + BOX + "(", "unknown command ''"),
        (SMALL + "(push 1)", "unknown command 'push'"),
        (SMALL + "(declare-const N_0 Real)", "neither an input X_i nor an output"),
        (SMALL + "(declare-const X_9999999999999999999 Real)", "neither an input X_i nor an output"),
        (SMALL + "(declare-const X_01 Real)", "neither an input X_i nor an output"),
        (SMALL + "(declare-const X_1 Int)", "sort 'Int'"),
        (SMALL + BOX + "(assert (<= Y_0 nan))", "'nan' is neither a number nor a variable"),
        (SMALL + BOX + "(assert (<= Y_0))", "'\\)' is neither a number nor a variable"),
        (SMALL + BOX + "(assert (<= X_99999999999999999999 1))", "X_99999999999999999999"),
        (SMALL + BOX + "(assert (<= Y_0 1e4000))", "neither a number nor a variable"),
        (SMALL + BOX + "(assert (<= Y_0 1_0))", "neither a number nor a variable"),
        (SMALL + BOX + "(assert (<= Y_0 \xb2))", "neither a number nor a variable"),
    ],
)
def test_what_cannot_be_represented_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UnsupportedSpecificationError, match=rf"p\.vnnlib(, line [12])?: .*{words}"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a form in parentheses"),
        ("; nothing", "expected a form in parentheses"),
        (SMALL + BOX + ")", "expected a form in parentheses, got '\\)'"),
        (SMALL + BOX + "x", "expected a form in parentheses, got 'x'"),
        (SMALL + BOX + "(assert", "the file ends where a formula is missing"),
        (SMALL + BOX + "(assert (<= Y_0 1)", "the file ends where '\\)' is missing"),
        (SMALL + BOX + "(assert (<= Y_0 1 2))", "expected '\\)', got '2'"),
        (SMALL + BOX + "(assert (<= 0 Y_0 1))", "expected '\\)', got '1'"),
        (SMALL + BOX + "(assert (<= Y_0 1) (<= Y_1 1))", "expected '\\)', got '\\('"),
        (SMALL + BOX + "(assert true)", "expected a formula, got 'true'"),
        (SMALL + BOX + "(assert (and))", "without arguments"),
        (SMALL + BOX + "(assert (or (<= Y_0 1)", "the file ends where a formula is missing"),
        (SMALL + BOX + "(assert (<= (+) 1))", "without arguments"),
        (SMALL + BOX + "(assert (<= Y_2 1))", "Y_2 is not declared"),
        (SMALL + "(assert (<= X_1 1))", "X_1 is not declared"),
        (SMALL + "(assert (or (<= X_1 1)))", "X_1 is not declared"),
        (SMALL + "(declare-const X_0 Real)", "X_0 is declared twice"),
        (SMALL + "(declare-fun Y_1 () Real)", "Y_1 is declared twice"),
        (SMALL + "(declare-const X_2 Real)", "X_1 is not declared, but X_2 is"),
        (SMALL + "(declare-const X_999999999999999999 Real)", "more than 10000000 variables"),
        ("(declare-const X_0 Real)" + BOX, "no outputs"),
        ("(declare-const Y_0 Real)", "no inputs"),
        (SMALL + "(assert (<= X_0 1e400))", "beyond the range of float64"),
        (SMALL + "(assert (<= X_0 179769313486231571e291))", "beyond the range of float64"),
        (SMALL + BOX + "(assert (<= Y_0 1e400))", "beyond the range of float64"),
        (SMALL + BOX + "(assert (<= (* 1e300 1e300 Y_0 1e-100) (* 1e200 Y_1)))", "beyond the range of float64"),
        (SMALL + BOX + f"(assert (<= Y_0 {'9' * 900}))", "more than 800 characters"),
        (SMALL + f"(assert (<= X_0 0.{'9' * 900}))", "more than 800 characters"),
        (SMALL + BOX + f"(assert (<= (* {'1e999 ' * 50} Y_0) 1))", "unreasonably long"),
        (SMALL + BOX + f"(assert (<= {'Y' * 1_200_000} 1))", "longer than 65536"),
        (SMALL + BOX + '(set-info :a "b', "does not end"),
        (SMALL + BOX + "(set-info :a (b)", "a closing parenthesis is missing"),
        (SMALL + BOX + "(check-sat)(assert (<= Y_0 0))", "'assert' after check-sat"),
        (SMALL + BOX + "(exit)(assert (<= X_0 0))", "'assert' after check-sat"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=rf"p\.vnnlib(, line [12])?: .*({words})"):
        read(tmp_path, text)


def test_errors_name_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL + "\n; one\n\n" + BOX.replace(")(", ")\n(") + "\n(assert (<= Y_7 1))\n"
    for piece in (1, 3, 1 << 20):
        monkeypatch.setattr(vnnlib_syntax, "PIECE", piece)
        with pytest.raises(DataError, match="line 6: Y_7 is not declared"):
            read(tmp_path, text)


DEEP = "(assert " + "(and " * 120 + "(<= Y_0 1)" + ")" * 121


@pytest.mark.parametrize(
    ("text", "limits", "words"),
    [
        (SMALL + BOX + DEEP, {}, "nest deeper than 100"),
        (SMALL + BOX + "(assert (<= " + "(+ " * 120 + "1" + ")" * 120 + " Y_0))", {}, "nest deeper than 100"),
        (SMALL + BOX + "(set-info " + "(" * 120 + ")" * 121, {}, "nest deeper than 100"),
        (SMALL + BOX, {"bytes": 60}, "raise the limit"),
        (SMALL + BOX, {"variables": 1}, "more than 1 variables"),
        (SMALL + BOX + "(assert (or (<= Y_0 1) (<= Y_1 1)))" * 17, {}, "more than 100000 disjuncts"),
        (SMALL + BOX + "(assert (and" + "(or (<= Y_0 1) (<= Y_1 1))" * 17 + "))", {}, "more than 100000 disjuncts"),
        (SMALL + BOX + "(assert (or" + "(<= Y_0 1)" * 9 + "))", {"disjuncts": 8}, "more than 8 disjuncts"),
        (SMALL + BOX + "(assert (or (<= Y_0 1) (<= Y_1 1)))" * 9, {"atoms": 1000}, "more than 1000 comparisons"),
        (SMALL + BOX + "(assert (and" + "(<= Y_0 1)" * 9 + "))", {"atoms": 8}, "more than 8 comparisons"),
        (SMALL + BOX + "(assert (<= Y_0 1))" * 9, {"atoms": 8}, "more than 8 comparisons"),
        (
            SMALL + BOX + "(assert (<= Y_0 1))" * 3 + "(assert (or (<= Y_1 1) (<= Y_1 2) (<= Y_1 3)))",
            {"atoms": 8},
            "more than 8 comparisons",
        ),
        (SMALL + BOX + "(assert (<= (+ 1 1 1 Y_0) 1))", {"arguments": 3}, "more than 3 arguments"),
        (SMALL + BOX + "(assert (or (<= X_0 0) (>= X_0 0)))", {"numbers": 10}, "more than the limit of 10"),
    ],
)
def test_limits(tmp_path: Path, text: str, limits: dict[str, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, text, **limits)


def test_within_the_limits(tmp_path: Path) -> None:
    nested = "(assert " + "(and " * 98 + "(<= Y_0 1)" + ")" * 99
    assert read(tmp_path, SMALL + BOX + nested).cases[0].unsafe.rows == (1,)
    comment = ";" + " (" * 100_000 + "\n"
    assert same(read(tmp_path, comment + SMALL + comment + BOX + nested), read(tmp_path, SMALL + BOX + nested))


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_a_comment_ends_with_its_line_however_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, piece: int) -> None:
    """In SMT-LIB a carriage return ends a comment too: no disjunct after it may be lost."""
    monkeypatch.setattr(vnnlib_syntax, "PIECE", piece)
    text = f"; (or {end}(assert (or (<= Y_0 0.5) ; one {end} (>= Y_0 2) ;; two {end}))"
    assert same(read(tmp_path, SMALL + BOX + text), read(tmp_path, SMALL + BOX + "(assert (or (<= Y_0 0.5) (>= Y_0 2)))"))


def test_a_long_comment_is_no_long_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vnnlib_syntax, "PIECE", 4096)
    assert read(tmp_path, SMALL + ";" + " (" * 100_000 + "\n" + BOX).cases[0].box.bounded


def test_gzip(tmp_path: Path) -> None:
    text = SMALL + BOX + "(assert (<= Y_0 0.5))"
    plain = read(tmp_path, text)
    packed = tmp_path / "p.vnnlib.gz"
    packed.write_bytes(gzip.compress(text[:50].encode()) + gzip.compress(text[50:].encode()))
    assert same(read_vnnlib(packed), plain)
    packed.write_bytes(gzip.compress(text.encode())[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        read_vnnlib(packed)
    packed.write_bytes(gzip.compress(text.encode())[:20] + b"\xff" * 40)
    with pytest.raises(DataError, match="cannot be read"):
        read_vnnlib(packed)


def test_gzip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.vnnlib.gz"
    path.write_bytes(gzip.compress(b" " * (1 << 24)) * 4)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="more than 2 MiB"):
        read_vnnlib(path, limits=Limits(bytes=1 << 21))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.vnnlib"):
        with pytest.raises(DataError, match="cannot be read"):
            read_vnnlib(path)


def test_reading_needs_no_torch() -> None:
    code = "import sys, netassay.specs.vnnlib, netassay.specs.vnnlib_witness\n"
    code += "print(sorted({'torch', 'scipy', 'pydantic', 'vnnlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "src"})
    assert done.stdout.strip() == "[]"


# --- the competition's files ----------------------------------------------------------------------------------------------------------


@needs_benchmarks
@pytest.mark.parametrize(
    ("family", "inputs", "outputs"), [("acasxu", 5, 5), ("mnistfc", 784, 10), ("eran", 784, 10), ("verivital", 784, 10)]
)
def test_every_file_of_a_family(family: str, inputs: int, outputs: int) -> None:
    paths = sorted((FOLDER / family / "vnnlib").iterdir())
    assert len(paths) > 5
    for path in paths:
        specification = read_vnnlib(path)
        assert (specification.inputs, specification.outputs, len(specification.cases), specification.notes) == (inputs, outputs, 1, ())
        assert specification.cases[0].box.bounded


@needs_benchmarks
def test_published_files() -> None:
    acas = FOLDER / "acasxu" / "vnnlib"
    first = read_vnnlib(acas / "prop_1.vnnlib.gz").cases[0]
    assert first.nearest.lower.tolist() == [0.6, -0.5, -0.5, 0.45, -0.5]
    assert first.nearest.upper.tolist() == [0.679857769, 0.5, 0.5, 0.5, -0.45]
    assert Fraction(float(first.box.lower[0])) <= Fraction("0.6")
    assert Fraction(float(first.box.upper[0])) >= Fraction("0.679857769")
    assert first.unsafe.matrix.tolist() == [[[-1.0, 0, 0, 0, 0]]]
    assert first.offset.tolist() == [[-3.991125645861615]]
    assert first.unsafe.offset[0, 0] >= first.offset[0, 0]
    eighth = read_vnnlib(acas / "prop_8.vnnlib.gz").cases[0].unsafe
    assert eighth.matrix.tolist() == [[difference(5, c, other) for other in (0, 1)] for c in (2, 3, 4)]
    assert not eighth.offset.any()
    mnist = read_vnnlib(FOLDER / "mnistfc" / "vnnlib" / "prop_0_0.03.vnnlib.gz").cases[0]
    assert mnist.unsafe.matrix[:, 0].tolist() == [difference(10, 8, other) for other in range(10) if other != 8]
    assert mnist.nearest.upper[783] == np.float32(0.03)
    assert (mnist.nearest.lower >= 0).all()
    nano = read_vnnlib(FOLDER / "test" / "vnnlib" / "test_nano.vnnlib.gz").cases[0]
    assert (nano.box.lower[0], nano.box.upper[0], nano.unsafe.offset[0, 0]) == (-1.0, 1.0, -1.0)


def difference(count: int, smaller: int, larger: int) -> list[float]:
    return [float((i == smaller) - (i == larger)) for i in range(count)]
