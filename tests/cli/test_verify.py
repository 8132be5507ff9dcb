"""``verify`` of specifications and around inputs: verdicts, exit codes, JSON, the competition's forms."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from cli import stand_in
from netassay.cli.exit_codes import ExitCode
from netassay.cli.specifications import competition_word
from netassay.cli.verdicts import word_code
from netassay.cli.verifying import VerifyOptions
from netassay.results.codec import read_document, read_witness
from netassay.results.guarantee import Guarantee
from netassay.results.schema import json_schema
from netassay.results.verdicts import Conclusion
from netassay.specs.vnnlib_witness import parse_witness
from netassay.verifiers.registry import VERIFIERS

Run = Callable[..., Any]
SCHEMA = json_schema()

DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(and (>= X_0 0.6)(<= X_0 0.9)(>= X_1 0.1)(<= X_1 {top})(<= Y_0 Y_1))"


@pytest.fixture(autouse=True)
def standing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "netassay.assessment.verify", stand_in)
    for name in stand_in.METHODS:
        monkeypatch.setitem(VERIFIERS, name, VERIFIERS["auto"])
    stand_in.CALLS.clear()


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """Of ``classifier``: safe holds with min s = 0.2; unsafe, and one of the two boxes of both, do not; two holds in both its boxes."""
    for name, tops in {"safe": (0.4,), "unsafe": (0.7,), "both": (0.4, 0.7), "two": (0.4, 0.5)}.items():
        cases = " ".join(BOX.format(top=top) for top in tops)
        (tmp_path / f"{name}.vnnlib").write_text(f"{DECLARED}(assert (or {cases}))\n")
    return tmp_path


def valid(content: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(content, SCHEMA)
    return content


def test_a_proof_is_one_answer(run: Run, specs: Path, classifier: str) -> None:
    done = run("verify", classifier, specs / "safe.vnnlib", "--json", "--seed", 5, "--order", "none", "--timeout", 20)
    assert done.code == 0, done.err
    answer = valid(done.json)
    assert (answer["question"], answer["verdict"], answer["guarantee"], answer["reason"]) == ("verify", "holds", "proved", "")
    assert answer["lower"]["guarantee"] == "proved"
    assert 0.199 < answer["lower"]["value"] <= 0.2 <= answer["upper"]["value"] < 0.21
    assert answer["risk"]["spec"] == "safe.vnnlib"
    assert answer["region"]["norm"] is None
    assert read_document("netassay-out/answer.json") == answer
    (call,) = stand_in.CALLS
    assert (call["seed"], call["order"], call["method"], call["problems"]) == (5, "none", "auto", 1)
    assert 0 < call["budget"].seconds < 20


@pytest.mark.parametrize("place", ["taken/below/w.txt", "folder"])
def test_a_witness_that_cannot_be_written_is_told(run: Run, specs: Path, classifier: str, place: str) -> None:
    Path("taken").write_text("a file")
    Path("folder").mkdir()
    done = run("verify", classifier, specs / "unsafe.vnnlib", "--witness", place)
    assert done.code == 2, done.err
    assert done.err.splitlines()[-1].startswith(f"error: {place.removesuffix('/w.txt')}: ")


def test_a_violation_has_a_witness_that_can_be_read_back(run: Run, specs: Path, classifier: str) -> None:
    done = run("verify", classifier, specs / "unsafe.vnnlib", "--json", "--witness", "w.txt")
    assert done.code == 1
    answer = valid(done.json)
    assert (answer["verdict"], answer["guarantee"]) == ("violated", "attained")
    stored = read_witness(Path("netassay-out"), answer["witness"]["file"])
    point, outputs = parse_witness(Path("w.txt").read_text())
    assert np.array_equal(point, stored.point.astype(np.float64))
    assert np.array_equal(outputs, stored.outputs)
    assert outputs[0] <= outputs[1]
    assert (point >= [0.6, 0.1]).all()
    assert (point <= [0.9, 0.7]).all()


def test_no_violation_writes_no_witness(run: Run, specs: Path, classifier: str) -> None:
    run("verify", classifier, specs / "safe.vnnlib", "--witness", "w.txt")
    assert not Path("w.txt").exists()


@pytest.mark.parametrize(
    ("spec", "method", "code", "verdict", "guarantee"),
    [
        ("two", "auto", 0, "holds", "proved"),
        ("two", "solver", 3, "holds", "solver"),
        ("both", "auto", 1, "violated", "attained"),
        ("two", "unknown", 3, "unknown", None),
    ],
)
def test_several_boxes_make_one_verdict(
    run: Run, specs: Path, classifier: str, spec: str, method: str, code: int, verdict: str, guarantee: Any
) -> None:
    done = run("verify", classifier, specs / f"{spec}.vnnlib", "--json", "--method", method)
    assert done.code == code
    found = valid(done.json)
    assert (found["verdict"], found["guarantee"], found["reason"]) == (verdict, guarantee, "time-out" if method == "unknown" else "")
    assert [r["index"] for r in found["results"]] == [0, 1]
    assert found["summary"]["answers"] == 2
    assert len(found["summary"]["groups"]) == 1
    assert read_document("netassay-out/assessment.json") == found


def test_the_table_calls_only_a_proof_holding(run: Run, specs: Path, classifier: str) -> None:
    proved = run("verify", classifier, specs / "safe.vnnlib")
    assert "holds " in proved.out
    assert "(proved)" in proved.out
    assert "verdict:" not in proved.out
    solver = run("verify", classifier, specs / "safe.vnnlib", "--method", "solver")
    assert solver.code == 3
    assert "holds (solver)" in solver.out
    several = run("verify", classifier, specs / "two.vnnlib", "--method", "solver")
    assert "verdict: holds (solver) (2 holds (solver))" in several.out
    late = run("verify", classifier, specs / "two.vnnlib", "--method", "unknown")
    assert "unknown: time-out" in late.out
    assert "verdict: unknown: time-out (2 unknown)" in late.out


def test_one_verdict_per_input(run: Run, classifier: str, points: str) -> None:
    done = run("verify", classifier, points, "--norm", "linf", "--radius", 0.2, "--json")
    assert done.code == 1
    found = valid(done.json)
    assert [r["verdict"] for r in found["results"]] == ["holds", "misclassified", "violated"]
    counts = {key: found["summary"][key] for key in ("holds", "holds_solver", "violated", "unknown", "misclassified")}
    assert counts == {"holds": 1, "holds_solver": 0, "violated": 1, "unknown": 0, "misclassified": 1}
    assert [c["problems"] for c in stand_in.CALLS] == [1, 1, 1], "each with a time limit of its own"
    assert all(0 < c["budget"].seconds <= 60 for c in stand_in.CALLS)


@pytest.mark.parametrize(
    ("arguments", "calls", "seconds", "queries"),
    [
        (["--seconds", "7"], [3], 7, None),
        (["--queries", "50"], [3], None, 50),
        (["--timeout", "5"], [1, 1, 1], 5, None),
        (["--timeout", "50", "--seconds", "9", "--queries", "8"], [1, 1, 1], 9, 8),
    ],
)
def test_time_is_limited_for_each_or_for_all(
    run: Run, classifier: str, points: str, arguments: list[str], calls: list[int], seconds: float | None, queries: int | None
) -> None:
    run("verify", classifier, points, "--radius", 0.1, *arguments)
    assert [c["problems"] for c in stand_in.CALLS] == calls
    for call in stand_in.CALLS:
        budget = call["budget"]
        assert budget.queries == queries
        assert (budget.seconds is None) if seconds is None else 0 < budget.seconds <= seconds


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (VerifyOptions(), 180.0),
        (VerifyOptions(seconds=9.0), 9.0),
        (VerifyOptions(timeout=5.0), 15.0),
        (VerifyOptions(timeout=5.0, seconds=9.0), 9.0),
        (VerifyOptions(queries=8), None),
    ],
)
def test_certificates_may_take_as_long_as_the_answers_together(options: VerifyOptions, seconds: float | None) -> None:
    assert options.given(3) == seconds


@pytest.mark.parametrize(("index", "radius", "code"), [(0, 0.2, 0), (0, 0.3, 1), (1, 0.1, 1)], ids=["holds", "violated", "misclassified"])
def test_exit_codes_of_single_inputs(run: Run, classifier: str, points: str, index: int, radius: float, code: int) -> None:
    assert run("verify", classifier, points, "--index", index, "--radius", radius, "--quiet").code == code


def test_unknown_is_three(run: Run, classifier: str, points: str) -> None:
    done = run("verify", classifier, points, "--index", 0, "--radius", 0.2, "--method", "unknown", "--json")
    assert done.code == 3
    assert done.json["reason"] == "time-out"


def test_ctrl_c_between_inputs_keeps_the_finished_ones(run: Run, classifier: str, points: str) -> None:
    done = run("verify", classifier, points, "--radius", 0.2, "--method", "second-call-interrupts", "--json")
    assert done.code == 130
    found = valid(done.json)
    assert [r["verdict"] for r in found["results"]] == ["holds"]
    assert (found["verdict"], found["guarantee"]) == ("unknown", None), "two inputs were not verified"
    marked = run("verify", classifier, points, "--radius", 0.2, "--method", "interrupt", "--json")
    assert marked.code == 130
    assert len(marked.json["results"]) == 1


def test_an_input_that_is_left_out_leaves_the_verdict_open(run: Run, classifier: str, points: str) -> None:
    done = run("verify", classifier, points, "--radius", 0.01, "--risk", "targeted:1", "--json", "--index", 0)
    assert done.code == 0
    both = run("verify", classifier, points, "--radius", 0.01, "--risk", "targeted:1", "--json")
    assert both.code == 3
    assert [r["verdict"] for r in both.json["results"]] == ["holds"]
    assert both.json["verdict"] == "unknown"
    assert both.err == "", "notes go with the table only"
    assert "input 1 is left out" in run("verify", classifier, points, "--radius", 0.01, "--risk", "targeted:1").err


def test_a_report_of_verdicts(run: Run, classifier: str, points: str, specs: Path) -> None:
    assert run("verify", classifier, points, "--radius", 0.2, "--report", "rep").code == 1
    page = Path("rep/report.html").read_text()
    assert "verdict on the whole region" in page
    assert run("verify", classifier, specs / "both.vnnlib", "--report", "rep2").code == 1
    assert "Region 1" in Path("rep2/report.html").read_text()


@pytest.mark.parametrize(
    ("spec", "method", "word"),
    [
        ("safe", "auto", "unsat"),
        ("unsafe", "auto", "sat"),
        ("safe", "solver", "unknown"),
        ("safe", "unknown", "timeout"),
        ("safe", "boom", "unknown"),
    ],
)
def test_the_competitions_words(run: Run, specs: Path, classifier: str, spec: str, method: str, word: str) -> None:
    done = run("verify", classifier, specs / f"{spec}.vnnlib", "--vnncomp", "--method", method, "--witness", "w.txt", "--timeout", 10)
    assert done.code == 0
    assert done.out == f"{word}\n"
    assert Path("w.txt").exists() == (word == "sat")
    assert not Path("netassay-out").exists()


def test_in_the_competition_errors_are_unknown(run: Run, specs: Path, classifier: str, regression: str) -> None:
    for arguments in ((classifier, specs / "none.vnnlib"), ("none.onnx", specs / "safe.vnnlib"), (regression, specs / "safe.vnnlib")):
        done = run("verify", *arguments, "--vnncomp")
        assert (done.code, done.out) == (0, "unknown\n")
        assert done.err.startswith("error: ")


def test_the_calling_form_of_the_standard(run: Run, specs: Path, classifier: str) -> None:
    done = run("verify", specs / "unsafe.vnnlib", "--network", f"N={classifier}", "--timeout", 10)
    assert done.code == 0
    first, _, rest = done.out.partition("\n")
    assert first == "sat"
    assert len(parse_witness(rest)[0]) == 2
    assert run("verify", specs / "safe.vnnlib", "--network", f"N={classifier}").out == "unsat\n"
    told = run("verify", specs / "safe.vnnlib", "--network", f"N={classifier}", "--json")
    assert told.json["verdict"] == "holds"


def test_late_is_spelled_as_each_version_does() -> None:
    late = Conclusion("unknown", None, "time-out")
    assert [competition_word(late, version) for version in ("1.0", "2.0")] == ["timeout", "timed-out"]
    assert competition_word(Conclusion("unknown", None, "incomplete"), "2.0") == "unknown"
    assert competition_word(Conclusion("holds", Guarantee.SOLVER), "1.0") == "unknown"


def test_a_witness_on_an_excluded_limit_is_no_violation(run: Run, tmp_path: Path, classifier: str) -> None:
    """y0 < y1 is unsafe, y0 = y1 is not: at the only point of the box where they meet there is no violation, and no proof either."""
    box = "(and (>= X_0 0.5)(<= X_0 0.5)(>= X_1 0.25)(<= X_1 0.5)(< Y_0 Y_1))"
    (tmp_path / "strict.vnnlib").write_text(f"{DECLARED}(assert {box})\n")
    done = run("verify", classifier, tmp_path / "strict.vnnlib", "--json", "--witness", "w.txt")
    assert done.code == 3
    assert done.json["verdict"] == "unknown"
    assert done.json["reason"].startswith("limit")
    assert not Path("w.txt").exists()
    (tmp_path / "closed.vnnlib").write_text(f"{DECLARED}(assert {box.replace('(< Y', '(<= Y')})\n")
    assert run("verify", classifier, tmp_path / "closed.vnnlib").code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say what to verify"),
        (["{model}"], "say what to verify"),
        (["{model}", "{data}"], "--radius"),
        (["{model}", "{data}", "--radius", "-1"], "--radius"),
        (["{model}", "{data}", "--radius", "0.1", "--vnncomp"], "--vnncomp"),
        (["{model}", "{data}", "--radius", "0.1", "--witness", "w"], "--witness"),
        (["{model}", "{data}", "--radius", "0.1", "--order", "best"], "--order"),
        (["{model}", "{data}", "--radius", "0.1", "--method", "magic"], "unknown verifier 'magic'"),
        (["{model}", "{data}", "--radius", "0.1", "--timeout", "0"], "--timeout"),
        (["{model}", "{data}", "--radius", "0.1", "--json-lines", "r"], "--json-lines"),
        (["{model}", "{spec}", "--radius", "0.1"], "--radius does not go with a specification"),
        (["{model}", "{spec}", "--norm", "l2", "--risk", "robustness"], "--norm, --risk do not go"),
        (["{model}", "{spec}", "--granularity", "0.1"], "--granularity"),
        (["{model}", "{spec}", "--domain", "0,1"], "--domain"),
        (["{spec}", "--network", "N"], "NAME=FILE"),
        (["{spec}", "--network", "N=a.onnx", "--network", "M=b.onnx"], "2 networks"),
        (["{model}", "{spec}", "--network", "N=a.onnx"], "one argument"),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, specs: Path, classifier: str, points: str, arguments: list[str], says: str) -> None:
    named = {"model": classifier, "data": points, "spec": specs / "safe.vnnlib"}
    done = run("verify", *(a.format(**named) for a in arguments))
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert stand_in.CALLS == []


def test_other_questions_leave_verify_to_verify(run: Run, classifier: str, points: str) -> None:
    done = run("assess", classifier, points, "--question", "verify")
    assert done.code == 2
    assert "netassay verify MODEL DATA" in done.err


def test_exit_codes_by_word() -> None:
    codes = {(w, g): word_code(w, g) for w in ("holds", "violated", "unknown", "misclassified") for g in ("proved", "solver", None)}
    assert [key for key, code in codes.items() if code is ExitCode.OK] == [("holds", "proved")]
    assert {codes["violated", "proved"], codes["misclassified", None]} == {ExitCode.VIOLATION}
