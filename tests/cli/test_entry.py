"""The entry point: the competition's usual call is answered as the general command line would, and loads less."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netassay.assessment import verify as verification
from netassay.cli import entry
from netassay.cli.entry import Call, usual_call

Run = Callable[..., Any]
DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (>= X_0 0.6))(assert (<= X_0 0.9))(assert (>= X_1 0.1))(assert (<= X_1 {top}))(assert (<= Y_0 Y_1))\n"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """Of ``classifier``: safe holds, unsafe does not."""
    for name, top in (("safe", 0.4), ("unsafe", 0.7)):
        (tmp_path / f"{name}.vnnlib").write_text(DECLARED + BOX.format(top=top))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["verify", "n.onnx", "s.vnnlib", "--vnncomp"], Call("n.onnx", "s.vnnlib")),
        (["verify", "--vnncomp", "n.ONNX", "s.vnnlib.gz"], Call("n.ONNX", "s.vnnlib.gz")),
        (["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--timeout", "116"], Call("n.onnx", "s.vnnlib", 116.0)),
        (["verify", "n.onnx", "s.vnnlib", "--timeout=1.5", "--witness=w", "--vnncomp"], Call("n.onnx", "s.vnnlib", 1.5, "w")),
        (["verify", "s.vnnlib", "--network", "N=a=b.onnx"], Call("a=b.onnx", "s.vnnlib", standard=True)),
        (["verify", "s.vnnlib", "--network=N=n.onnx", "--vnncomp"], Call("n.onnx", "s.vnnlib", standard=True)),
    ],
)
def test_the_usual_calls(arguments: list[str], call: Call) -> None:
    assert usual_call(arguments) == call


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["methods"],
        ["verify", "n.onnx", "s.vnnlib"],
        ["verify", "n.onnx", "--vnncomp"],
        ["verify", "n.onnx", "s.vnnlib", "t.vnnlib", "--vnncomp"],
        ["verify", "n.onnx", "s.npz", "--vnncomp"],
        ["verify", "n.pt2", "s.vnnlib", "--vnncomp"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--method", "milp"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--help"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "-q"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp=1"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--timeout"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--timeout", "0"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--timeout", "nan"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--timeout", "-1"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--timeout", "1", "--timeout", "2"],
        ["verify", "n.onnx", "s.vnnlib", "--vnncomp", "--witness", "--timeout"],
        ["verify", "s.vnnlib", "--network", "n.onnx"],
        ["verify", "n.onnx", "s.vnnlib", "--network", "N=n.onnx"],
        ["verify", "s.vnnlib", "--network", "N=n.onnx", "--network", "M=m.onnx"],
    ],
)
def test_anything_else_is_left_to_the_command_line(arguments: list[str]) -> None:
    assert usual_call(arguments) is None


def test_both_ways_ask_the_same(run: Run, specs: Path, classifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    signature = inspect.signature(verification.verify)

    def asking(*given: Any, **named: Any) -> Any:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        asked.append(bound.arguments)
        return []

    monkeypatch.setattr(verification, "verify", asking)
    arguments = ["verify", classifier, str(specs / "safe.vnnlib"), "--vnncomp", "--timeout", "30"]
    assert run(*arguments).out == "unknown\n"
    entered(monkeypatch, *arguments)
    general, quick = asked
    for call in asked:
        (problem,) = call.pop("problems")
        budget = call.pop("budget")
        assert (type(problem.network).__name__, problem.asked) == ("LightNetwork", "safe.vnnlib")
        assert (budget.queries, budget.memory) == (None, 2 * 1024**3)
        assert 20 < budget.seconds < 30
    assert quick == general


def entered(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the entry point."""
    monkeypatch.setattr(sys, "argv", ["netassay", *arguments])
    with pytest.raises(SystemExit) as ended:
        entry.run(leave=sys.exit)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("spec", "word"), [("safe", "unsat"), ("unsafe", "sat"), ("missing", "unknown")])
def test_the_words(
    specs: Path, classifier: str, spec: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = specs / "witness"
    code = entered(monkeypatch, "verify", classifier, str(specs / f"{spec}.vnnlib"), "--vnncomp", "--witness", str(target))
    told = capsys.readouterr()
    assert (code, told.out) == (0, f"{word}\n")
    assert target.exists() == (word == "sat")
    assert ("missing.vnnlib" in told.err) == (word == "unknown")


def test_other_calls_reach_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert entered(monkeypatch, "verify", "n.onnx", "s.vnnlib", "--vnncomp", "--nonsense") == 2
    assert "--nonsense" in capsys.readouterr().err


def test_the_usual_call_loads_neither_torch_nor_a_command_line(specs: Path, classifier: str) -> None:
    code = f"""
import sys
sys.argv = ["netassay", "verify", {classifier!r}, {str(specs / "safe.vnnlib")!r}, "--vnncomp"]
from netassay.cli.entry import run
try:
    run(leave=sys.exit)
except SystemExit as end:
    assert end.code == 0, end.code
loaded = [m for m in ("torch", "typer", "pydantic", "rich", "scipy", "sklearn", "onnx.reference", "numpy.f2py") if m in sys.modules]
assert loaded == [], loaded
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "unsat\n"), done.stderr


@pytest.mark.parametrize(("spec", "word"), [("safe", "unsat"), ("unsafe", "sat")])
def test_the_process_ends_with_all_that_it_has_to_say(specs: Path, classifier: str, spec: str, word: str) -> None:
    target = specs / "witness"
    arguments = ["verify", classifier, str(specs / f"{spec}.vnnlib"), "--vnncomp", "--witness", str(target)]
    done = subprocess.run([sys.executable, "-m", "netassay", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{word}\n"), done.stderr
    assert target.exists() == (word == "sat")


def test_a_full_disk_is_told(specs: Path, classifier: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "netassay", "verify", classifier, str(specs / "safe.vnnlib"), "--vnncomp"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "free space" in done.stderr
