"""``doctor`` and ``demo``, from end to end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from netassay.results.schema import json_schema

Run = Callable[..., Any]


def test_doctor_names_versions_and_optional_parts(run: Run) -> None:
    facts = run("doctor", "--json").json
    assert facts["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "onnxruntime" in facts["optional"]
    assert facts["devices"][0] == "cpu"
    assert facts["cache"]
    assert "torch" in run("doctor").out


def test_doctor_checks_every_network_of_a_folder(run: Run, classifier: str, regression: str) -> None:
    done = run("doctor", "--models", ".", "--json")
    assert done.code == 0, done.out
    rows = done.json["models"]
    assert len(rows) == 2
    assert all(row["agrees"] and row["deviation"] <= 1e-5 for row in rows)
    assert "2 of 2 networks import" in run("doctor", "--models", ".").out


def test_doctor_fails_if_a_network_does(run: Run, classifier: str) -> None:
    Path("broken.onnx").write_bytes(Path(classifier).read_bytes()[:40])
    done = run("doctor", "--models", ".")
    assert done.code == 1
    assert "1 of 2 networks import" in done.out
    assert "broken.onnx" in done.out


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    from typer.testing import CliRunner

    from netassay.cli.main import app

    folder = tmp_path_factory.mktemp("demo") / "report"
    return CliRunner().invoke(app, ["demo", "--queries", "100", "--report", str(folder), "--json"]), folder


def test_the_demo_assesses_eight_digits(shown: tuple[Any, Path]) -> None:
    import json

    done, _ = shown
    assert done.exit_code == 0, done.stderr
    content = json.loads(done.stdout)
    jsonschema.validate(content, json_schema())
    seen = {(r["question"], r["risk"]["name"], r["region"]["norm"]) for r in content["results"]}
    assert {risk for _, risk, _ in seen} == {"robustness", "uncertainty", "reachability"}
    assert {norm for _, _, norm in seen} == {"linf", "l2"}
    assert {r["index"] for r in content["results"]} == set(range(8))


def test_the_demo_writes_a_report_that_needs_nothing_else(shown: tuple[Any, Path]) -> None:
    done, folder = shown
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert str(folder / "report.html") in done.stderr
    assert re.findall(r"""(?:src|href)=["']https?://""", page) == []
    assert page.count("<img") > 8
