"""Lists of instances: rows in order whatever happens, whole lines, resumed where they ended, hard time limits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cli import light_tasks, stand_in
from netassay.cli import instances
from netassay.cli.instances import Instance, Task, read_list, verdict_of
from netassay.cli.options import ModelOptions
from netassay.cli.verifying import VerifyOptions
from netassay.errors import DataError
from netassay.results.schema import json_schema, validate
from netassay.verifiers.registry import VERIFIERS

Run = Callable[..., Any]

BOX = """(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)
(assert (>= X_0 0.6))(assert (<= X_0 0.9))(assert (>= X_1 0.1))(assert (<= X_1 {top}))
(assert (<= Y_0 Y_1))
"""


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """safe.vnnlib holds of ``classifier`` (min s = 0.2), unsafe.vnnlib does not."""
    (tmp_path / "safe.vnnlib").write_text(BOX.format(top=0.4))
    (tmp_path / "unsafe.vnnlib").write_text(BOX.format(top=0.7))
    return tmp_path


def listed(folder: Path, text: str) -> str:
    path = folder / "list.csv"
    path.write_text(text)
    return str(path)


def rows_of(name: str = "rows.jsonl") -> list[dict[str, Any]]:
    text = Path(name).read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        "a.onnx,b.vnnlib,10\nc.onnx,d.vnnlib.gz,2.5\n",
        "onnx,vnnlib,timeout_s,expected\na.onnx,b.vnnlib,10,holds\n\nc.onnx,d.vnnlib.gz,2.5,\n",
        "\ufeffmodel, spec, timeout\r\na.onnx, b.vnnlib, 10\r\n c.onnx,d.vnnlib.gz, 2.5,more\r\n",
    ],
)
def test_lists_with_and_without_a_header(tmp_path: Path, text: str) -> None:
    name = listed(tmp_path, text)
    assert read_list(name, None) == [Instance("a.onnx", "b.vnnlib", 10.0), Instance("c.onnx", "d.vnnlib.gz", 2.5)]
    assert [i.timeout for i in read_list(name, 5.0)] == [5.0, 2.5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lists no instance"),
        ("model,spec,timeout\n", "lists no instance"),
        ("a.onnx,b.vnnlib\n", "line 1: expected model,spec,timeout"),
        ("a.onnx,b.vnnlib,soon\n", "line 1: expected"),
        ("a.onnx,b.vnnlib,0\n", "positive"),
        ("a.onnx,b.vnnlib,nan\n", "positive"),
        ("a.onnx,b.vnnlib,inf\n", "positive"),
        ("m,s,t\na.onnx,b.vnnlib,1\n,b.vnnlib,1\n", "line 3"),
        ('"a.onnx,b.vnnlib,1\n', "no list of instances"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_list(listed(tmp_path, text), None)


def verdict(folder: Path, model: str, spec: str, method: str = "auto") -> dict[str, Any]:
    task = Task(Instance(model, spec, 30.0), str(folder), str(folder / "out"), ModelOptions(), VerifyOptions(method=method, timeout=30.0))
    row = verdict_of(task)
    validate(row)
    jsonschema.validate(row, json_schema())
    return row


@pytest.fixture
def standing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "netassay.assessment.verify", stand_in)
    stand_in.CALLS.clear()


@pytest.mark.usefixtures("standing_in")
def test_the_row_of_an_instance(specs: Path, classifier: str) -> None:
    held = verdict(specs, "classifier.onnx", "safe.vnnlib")
    assert (held["verdict"], held["guarantee"], held["reason"], held["cases"]) == ("holds", "proved", "", 1)
    assert held["lower"]["guarantee"] == "proved"
    assert 0.199 < held["lower"]["value"] <= 0.2 <= held["upper"]["value"]
    broken = verdict(specs, "classifier.onnx", "unsafe.vnnlib")
    assert (broken["verdict"], broken["guarantee"]) == ("violated", "attained")
    assert broken["witness"]["replayed"] is True
    assert (specs / "out" / broken["witness"]["file"]).is_file()
    solver = verdict(specs, "classifier.onnx", "safe.vnnlib", "solver")
    assert (solver["verdict"], solver["guarantee"]) == ("holds", "solver")
    late = verdict(specs, "classifier.onnx", "safe.vnnlib", "unknown")
    assert (late["verdict"], late["guarantee"], late["reason"]) == ("unknown", None, "time-out")
    budget = stand_in.CALLS[0]["budget"]
    assert 0 < budget.seconds < 30.0, "loading counts"


@pytest.mark.usefixtures("standing_in")
def test_what_goes_wrong_is_a_reason(specs: Path, classifier: str, regression: str) -> None:
    reasons = {
        ("classifier.onnx", "none.vnnlib", "auto"): "input: ",
        ("none.onnx", "safe.vnnlib", "auto"): "input: ",
        ("regression.onnx", "safe.vnnlib", "auto"): "input: safe.vnnlib is about 2 inputs and 2 outputs",
        ("os:getcwd", "safe.vnnlib", "auto"): "input: the model 'os:getcwd' is no file",
        ("digits-mlp", "safe.vnnlib", "auto"): "input: the model 'digits-mlp' is no file",
        ("classifier.onnx", "safe.vnnlib", "boom"): "crash: RuntimeError: boom",
        ("classifier.onnx", "safe.vnnlib", "memory"): "memory",
    }
    for (model, spec, method), reason in reasons.items():
        row = verdict(specs, model, spec, method)
        assert (row["verdict"], row["guarantee"], row["witness"]) == ("unknown", None, None)
        assert row["reason"].startswith(reason)


@pytest.mark.usefixtures("standing_in")
def test_a_compressed_specification_is_found_by_its_plain_name(specs: Path, classifier: str) -> None:
    import gzip

    (specs / "packed.vnnlib.gz").write_bytes(gzip.compress((specs / "safe.vnnlib").read_bytes()))
    assert verdict(specs, "classifier.onnx", "packed.vnnlib")["verdict"] == "holds"


def test_a_list_from_end_to_end(run: Run, specs: Path, classifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "verdict_of", stand_in.answer)
    monkeypatch.setitem(VERIFIERS, "solver", VERIFIERS["auto"])
    where = specs / "sub"
    where.mkdir()
    text = (
        "onnx,vnnlib,timeout\n../classifier.onnx,../safe.vnnlib,30\n../classifier.onnx,../unsafe.vnnlib,30\n../no.onnx,../safe.vnnlib,30\n"
    )
    done = run("verify", "--instances", listed(where, text), "--timeout", 20, "--json-lines", "rows.jsonl", "--json", "--method", "solver")
    assert done.code == 2, "a row with a model that is not there"
    assert done.json == {"instances": 3, "rows": "rows.jsonl", "holds": 0, "holds_solver": 1, "violated": 1, "unknown": 1}
    found = rows_of()
    assert [(r["verdict"], r["guarantee"], r["timeout"]) for r in found] == [
        ("holds", "solver", 20.0),
        ("violated", "attained", 20.0),
        ("unknown", None, 20.0),
    ]
    assert all(r["seconds"] > 0 for r in found)
    assert "1/3 classifier.onnx safe.vnnlib: holds (solver)" in done.err
    assert "2/3 classifier.onnx unsafe.vnnlib: violated" in done.err


def test_neither_slow_nor_dying_instances_end_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(instances, "GRACE", 0.2)
    text = "".join(f"m.onnx,{name}.vnnlib,2\n" for name in ("first", "slow", "after", "die", "leave", "last"))
    name = listed(tmp_path, text)
    how: dict[str, Any] = {"model_options": ModelOptions(), "options": VerifyOptions(), "out": "out", "quiet": True}
    instances.verify_list(name, "rows.jsonl", answer=light_tasks.scripted, modules=(), **how)
    found = rows_of()
    assert [r["reason"] for r in found] == [
        "incomplete",
        "time-out",
        "incomplete",
        "crash: killed by SIGKILL",
        "crash: exit code 3",
        "incomplete",
    ]
    assert {r["verdict"] for r in found} == {"unknown"}
    for row in found:
        validate(row)
    assert os.getpid() not in {r["queries"] for r in found}, "each in a process of its own"


class Recorded:
    """A worker without a process, whose third answer is an interrupt if it is told so."""

    interrupts = False
    asked: list[str]

    def __init__(self, function: Any, modules: Any) -> None:
        del function, modules

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, task: Task, seconds: float) -> dict[str, Any]:
        if Recorded.interrupts and len(Recorded.asked) == 2:
            raise KeyboardInterrupt
        Recorded.asked.append(task.instance.spec)
        return instances.unknown(task, "incomplete")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    monkeypatch.setattr(instances, "Worker", Recorded)
    Recorded.asked, Recorded.interrupts = [], False
    return Recorded


def test_ctrl_c_keeps_what_is_finished_and_the_rest_follows_later(run: Run, tmp_path: Path, recorded: type[Recorded]) -> None:
    name = listed(tmp_path, "".join(f"m.onnx,{i}.vnnlib,5\n" for i in range(5)))
    recorded.interrupts = True
    stopped = run("verify", "--instances", name, "--json-lines", "rows.jsonl")
    assert stopped.code == 130
    kept = Path("rows.jsonl").read_bytes()
    assert [r["spec"] for r in rows_of()] == ["0.vnnlib", "1.vnnlib"]
    Path("rows.jsonl").write_bytes(kept + b'{"half a li')
    recorded.interrupts = False
    done = run("verify", "--instances", name, "--json-lines", "rows.jsonl")
    assert done.code == 3
    assert Path("rows.jsonl").read_bytes().startswith(kept)
    assert [r["spec"] for r in rows_of()] == [f"{i}.vnnlib" for i in range(5)]
    assert recorded.asked == [f"{i}.vnnlib" for i in range(5)], "none is asked twice"
    assert run("verify", "--instances", name, "--json-lines", "rows.jsonl").code == 3
    assert len(recorded.asked) == 5
    assert "5 instances: 5 unknown" in done.out


def test_rows_of_another_list_are_refused(run: Run, tmp_path: Path, recorded: type[Recorded]) -> None:
    run("verify", "--instances", listed(tmp_path, "m.onnx,a.vnnlib,5\nm.onnx,b.vnnlib,5\n"), "--json-lines", "rows.jsonl", "--limit", 1)
    before = Path("rows.jsonl").read_bytes()
    assert len(rows_of()) == 1
    others = ("m.onnx,b.vnnlib,5\n", "m.onnx,a.vnnlib,6\n", "n.onnx,a.vnnlib,5\n")
    for other in others:
        refused = run("verify", "--instances", listed(tmp_path, other), "--json-lines", "rows.jsonl")
        assert refused.code == 2
        assert "rows of another list" in refused.err
    for damage in (b"no JSON\n", b'{"schema": "netassay/instance/1"}\n', before.replace(b'"unknown"', b'"holds"')):
        Path("rows.jsonl").write_bytes(damage)
        refused = run("verify", "--instances", listed(tmp_path, "m.onnx,a.vnnlib,5\n"), "--json-lines", "rows.jsonl")
        assert refused.code == 2
        assert Path("rows.jsonl").read_bytes() == damage


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--json-lines FILE"),
        (["--json-lines", "r", "m.onnx"], "MODEL"),
        (["--json-lines", "r", "--norm", "l2"], "--norm"),
        (["--json-lines", "r", "--mask", "m.npy"], "--mask"),
        (["--json-lines", "r", "--vnncomp"], "--vnncomp"),
        (["--json-lines", "r", "--seconds", "5"], "--seconds"),
        (["--json-lines", "r", "--limit", "0"], "--limit"),
        (["--json-lines", "r", "--method", "magic"], "unknown verifier 'magic'"),
    ],
)
def test_options_that_do_not_go_with_a_list(run: Run, tmp_path: Path, arguments: list[str], says: str) -> None:
    refused = run("verify", "--instances", listed(tmp_path, "m.onnx,a.vnnlib,5\n"), *arguments)
    assert refused.code == 2
    assert says in refused.err
    assert not Path("r").exists()
