"""The DeepTRE experiments: what is missing is said, and pages hold what was measured."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from deeptre import two_changes
from deeptre.command import MISSING, OK, main
from deeptre.larger import Setting
from netassay.specs.problem import Problem
from pair_worlds import asked, pooled


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert main(["fig2", "--out", str(tmp_path)]) == MISSING
    assert "NETASSAY_BENCHMARKS" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif("NETASSAY_BENCHMARKS" not in os.environ, reason="needs the benchmark networks: set NETASSAY_BENCHMARKS")
def test_closes_a_bracket_by_proof(tmp_path: Path) -> None:
    """The first image that is known to have a single changed pixel too many: nothing is to be proved, and the bracket is closed."""
    assert main(["proofs", "--proved", "3", "--points", "2", "--seconds", "0.01", "--out", str(tmp_path)]) == OK
    assert " of 3 brackets are closed" in (tmp_path / "proofs.md").read_text()


@pytest.mark.skipif("NETASSAY_BENCHMARKS" not in os.environ, reason="needs the benchmark networks: set NETASSAY_BENCHMARKS")
def test_larger_networks_have_pages_of_their_own(tmp_path: Path) -> None:
    small = ["--larger", "1", "--queries", "50", "--points", "2", "--seconds", "0.01"]
    assert main(["cifar_base_kw", *small, "--out", str(tmp_path)]) == OK
    page = (tmp_path / "cifar_base_kw.md").read_text()
    assert "of 1 brackets are closed" in page
    assert "(0.485, 0.456, 0.406)" in page


def test_two_changes_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[str] = []

    def small(setting: Setting, count: int) -> list[Problem]:
        asked_for.append(setting.network)
        return [replace(asked(pooled(seed), seed), index=seed) for seed in range(1, count + 1)]

    monkeypatch.setattr(two_changes, "problems", small)
    for count in (1, 2):
        assert main(["two_changes", "--two", str(count), "--two-seconds", "30", "--out", str(tmp_path)]) == OK
        assert len((tmp_path / "two_changes.jsonl").read_text().splitlines()) == 2 * count
    assert len(asked_for) == 4
    page = (tmp_path / "two_changes.md").read_text()
    verdicts = {line.verdict for line in two_changes.measured(2, 30.0, tmp_path / "two_changes.jsonl")}
    assert verdicts <= {"proved", "broken", "incomplete"}
    assert "of 2 images" in page
    assert "case3_cnn" in page
    assert "mnist_complicated" in page
