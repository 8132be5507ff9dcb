"""The target-label experiment: the paper's tables as printed, measurements that are kept and gone on from, pages, and a tiny run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.verifiers.bounding import Bounding
from netassay.verifiers.propagation.zonotope import zonotope_bounds
from random_graphs import GraphOnly
from target_labels import benchmark, command, paper
from target_labels.benchmark import EPSILONS, NETWORKS, UnavailableError
from target_labels.measure import Each, Line, Run, append, lines, measure
from target_labels.methods import METHODS
from target_labels.page import page
from target_labels.rows import Row, rows, standing


def test_every_table_has_every_row() -> None:
    assert set(paper.TABLES) == {name for name, method in METHODS.items() if method.table}
    for table in paper.TABLES.values():
        assert set(table) == set(NETWORKS) == set(paper.SORTING)
        assert all(len(rows) == len(EPSILONS) for rows in table.values())


def test_the_printed_savings_follow_from_the_printed_times() -> None:
    """A slip in transcribing a time would show; the paper's own are rounded."""
    for table in paper.TABLES.values():
        for name, printed in table.items():
            for row, sorting in zip(printed, paper.SORTING[name], strict=True):
                if row is not None:
                    assert 100 * (row.plain - row.targeted - sorting) / row.plain == pytest.approx(row.saved, abs=0.5)


def small(seed: int = 0) -> Graph:
    """784 inputs, four hidden neurons, ten labels."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((784,))
    hidden = builder.add(nl.Relu(), builder.add(op.Dense(rng.normal(0, 0.1, (4, 784)), np.zeros(4)), 0))
    return builder.build(builder.add(op.Dense(rng.normal(0, 1, (10, 4)), np.zeros(10)), hidden))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three networks are the same small one, and there are four images, of which three are labelled rightly."""
    made = GraphOnly(small(), domain=Box.filled((784,), 0.0, 1.0))
    inputs = np.random.default_rng(1).integers(0, 256, (4, 784)) / 255.0
    monkeypatch.setattr(benchmark, "network", lambda _name: made)
    labels = benchmark.outputs("FNN_1", inputs).argmax(axis=1)
    labels[2] = (labels[2] + 1) % 10
    monkeypatch.setattr(benchmark, "images", lambda: benchmark.Images(inputs, labels))
    benchmark.valid.cache_clear()
    yield
    benchmark.valid.cache_clear()


def ran(folder: Path, *options: str) -> int:
    return command.main(["--methods", "zonotope", "--networks", "FNN_1", "--eps", "1", "5", "--out", str(folder), *options])


@pytest.mark.usefixtures("tiny")
def test_a_run_measures_the_valid_images_and_writes_a_page(tmp_path: Path) -> None:
    assert ran(tmp_path) == 0
    found = list(lines(tmp_path / "zonotope.jsonl"))
    assert [(line.eps, line.image) for line in found] == [(e, i) for e in (1, 5) for i in (0, 1, 3)]
    for line in found:
        assert line.discarded + line.asked == 9
        assert 0 < line.sorting <= line.targeted.seconds
        assert line.plain.verdict == line.each.verdict == line.targeted.verdict
    text = (tmp_path / "zonotope.md").read_text()
    assert "FNN_1" in text
    assert "FNN_2" not in text
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith(("| 1 |", "| 5 |"))]
    assert [row[:3] for row in rows] == [["1", "20 s", "3"], ["5", "20 s", "3"]]
    assert rows[0][-6:] == ["0.15", "4.01", "0.49", "83.8 %", "96", "96"]
    head = next(row for row in text.splitlines() if row.startswith("| eps"))
    assert all(len(row) == head.count("|") - 1 for row in rows)


@pytest.mark.usefixtures("tiny")
def test_a_later_run_goes_on_where_the_first_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "zonotope.jsonl"
    assert ran(tmp_path) == 0
    whole = file.read_text().splitlines()
    file.write_text("\n".join(whole[:4]) + "\n" + whole[4][:40])  # stopped in the middle of a line
    measured: list[tuple[int, int]] = []

    def noted(network: str, method: str, eps: int, image: int, *rest: object) -> Line:
        measured.append((eps, image))
        return measure(network, method, eps, image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "measure", noted)
    assert ran(tmp_path) == 0
    assert measured == [(5, 1), (5, 3)]
    assert len(list(lines(file))) == 6
    assert ran(tmp_path) == 0
    assert len(measured) == 2
    assert ran(tmp_path, "--seconds", "7") == 0  # a lower limit is another measurement
    assert len(measured) == 8
    assert ran(tmp_path, "--seconds", "60") == 0  # nothing was late
    assert ran(tmp_path, "--seconds", "0") == 0
    assert len(measured) == 8


@pytest.mark.usefixtures("tiny")
def test_fewer_ways_leave_dashes_and_are_completed_later(tmp_path: Path) -> None:
    file = tmp_path / "zonotope.jsonl"
    assert ran(tmp_path, "--ways", "plain") == 0
    assert [line.has(["plain"]) and not line.has(["each"]) and not line.has(["targeted"]) for line in lines(file)] == [True] * 6
    row = next(row for row in (tmp_path / "zonotope.md").read_text().splitlines() if row.startswith("| 1 |"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]][:16]
    assert [i for i, cell in enumerate(cells) if cell == "-"] == [3, 5, 6, 7, 8, 10, 12, 14, 15]
    assert ran(tmp_path) == 0
    assert len(file.read_text().splitlines()) == 12
    assert len(lines(file)) == 6
    assert all(line.has(["plain", "each", "targeted"]) for line in lines(file))
    assert ran(tmp_path, "--ways", "plain", "targeted") == 0
    assert len(file.read_text().splitlines()) == 12


@pytest.mark.usefixtures("tiny")
def test_an_interrupt_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(network: str, method: str, eps: int, image: int, *rest: object) -> Line:
        if image == 1:
            raise KeyboardInterrupt
        return measure(network, method, eps, image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "measure", interrupted)
    assert ran(tmp_path) == 130
    assert len(list(lines(tmp_path / "zonotope.jsonl"))) == 1
    assert (tmp_path / "zonotope.md").exists()
    assert "to go on" in capsys.readouterr().err


def test_what_is_not_at_hand_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(_name: str) -> None:
        raise UnavailableError("no solver here")

    monkeypatch.setattr(command, "verifier", missing)
    assert ran(tmp_path) == 1
    assert "zonotope left out: no solver here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny")
def test_one_by_one_agrees_with_all_at_once() -> None:
    for eps in (1, 3, 11):
        line = measure("FNN_1", "zonotope", eps, 0, None, Bounding(zonotope_bounds))
        assert line.plain.verdict == line.each.verdict
    assert isinstance(Each(Bounding(zonotope_bounds)), Each)


def test_a_solvers_word_is_named_on_the_page(tmp_path: Path) -> None:
    proved, by_solver = Run("holds", "proved", "", 1.0), Run("holds", "solver", "", 1.0)
    line = Line("FNN_2", "milp", 3, 0, 20.0, by_solver, proved, proved, 0.5, 4, 5)
    append(line, tmp_path / "some.jsonl")
    assert list(lines(tmp_path / "some.jsonl")) == [line]
    assert "1 of the verifications that hold rest on a solver's word" in page("milp", [Row("FNN_2", 3, 20.0, (line,), 98)])
    sure = Line("FNN_2", "auto", 3, 0, 20.0, proved, proved, proved, 0.5, 4, 5)
    assert "All that holds is proved" in page("auto", [Row("FNN_2", 3, 20.0, (sure,), 98)])


HOLDS, LATE = Run("holds", "proved", "", 1.0), Run("unknown", "", "time-out", 20.1)


def line_of(image: int, limit: float | None, plain: Run = HOLDS, targeted: Run | None = HOLDS) -> Line:
    return Line("FNN_1", "auto", 5, image, limit, plain, None, targeted)


def test_what_ended_before_its_limit_stands_for_longer_ones() -> None:
    for run, stands in (
        (HOLDS, True),
        (Run("violated", "", "", 3.0), True),
        (Run("unknown", "", "incomplete", 3.0), True),
        (Run("unknown", "", "incomplete", 20.1), False),  # it may be for lack of time that it gave up
        (LATE, False),
    ):
        for line in (line_of(0, 20.0, plain=run), line_of(0, 20.0, targeted=run)):
            assert standing([line], 20.0) == {("FNN_1", 5, 0): line}
            assert standing([line], 10.0) == {}
            assert [bool(standing([line], longer)) for longer in (20.5, 60.0, None)] == [stands] * 3
    assert standing([line_of(0, 20.0, targeted=None)], 60.0)
    assert standing([line_of(0, None)], 60.0) == {}


def test_of_several_lines_the_one_with_most_ways_stands_then_that_of_the_highest_limit() -> None:
    for order in (1, -1):
        both = [line_of(0, 20.0), line_of(0, 60.0)][::order]
        assert standing(both, 60.0)["FNN_1", 5, 0].limit == 60.0
        assert standing(both, 20.0)["FNN_1", 5, 0].limit == 20.0
        assert standing([line_of(0, 20.0), line_of(0, 60.0, targeted=None)][::order], 60.0)["FNN_1", 5, 0].limit == 20.0
        assert standing([line_of(0, 20.0, plain=LATE), line_of(0, 60.0, targeted=None)][::order], 60.0)["FNN_1", 5, 0].limit == 60.0


def valid(_network: str) -> tuple[int, ...]:
    return 0, 2, 3


def test_a_row_is_of_the_limit_with_most_images() -> None:
    def made(*found: Line) -> list[tuple[float | None, list[int]]]:
        return [(row.limit, [line.image for line in row.lines]) for row in rows(found, valid)]

    assert made() == []
    assert made(line_of(0, 20.0), line_of(2, 20.0), line_of(0, 60.0)) == [(60.0, [0, 2])]
    assert made(line_of(0, 20.0), line_of(2, 20.0, LATE), line_of(0, 60.0)) == [(20.0, [0, 2])]
    assert made(line_of(0, 20.0), line_of(2, 20.0, LATE), line_of(2, 60.0)) == [(60.0, [0, 2])]
    assert made(line_of(0, 20.0), line_of(0, None), line_of(0, 60.0)) == [(None, [0])]
    assert made(line_of(3, 20.0), line_of(0, 20.0)) == [(20.0, [0])]  # of the first images only, however it went with the next
    assert made(line_of(2, 20.0)) == []
    assert [row.valid for row in rows([line_of(0, 20.0)], valid)] == [3]


def test_rows_say_their_limits_and_images() -> None:
    text = page("auto", rows([line_of(0, 20.0), line_of(2, 20.0, LATE), replace(line_of(0, None), eps=7)], valid))
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")]
    assert [row[:3] for row in cells if row[0] in ("5", "7")] == [["5", "20 s", "2 of 3"], ["7", "none", "1 of 3"]]
    row = dict(zip(cells[0], cells[2], strict=True))
    assert (row["RST"], row["late"], row["RST*"], row["late*"], row["T"]) == ("1", "1", "2", "0", "21.10")
    assert "--seconds LIMIT" in text
    assert "--seconds 20`" in page("auto", rows([line_of(0, 20.0)], valid))


@pytest.mark.usefixtures("tiny")
def test_only_what_was_late_is_measured_with_more_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []

    def noted(network: str, method: str, eps: int, image: int, limit: float, *_rest: object) -> Line:
        asked.append((image, limit))
        run = LATE if (eps, image) == (5, 1) and limit < 100 else HOLDS
        return Line(network, method, eps, image, limit, run, HOLDS, HOLDS)

    monkeypatch.setattr(command, "measure", noted)
    for seconds in ("20", "20", "60", "60", "180", "400"):
        assert ran(tmp_path, "--seconds", seconds) == 0
    assert asked[6:] == [(1, 60.0), (1, 180.0)]
    text = (tmp_path / "zonotope.md").read_text()
    assert "| 1 | 20 s | 3 |" in text
    assert "| 5 | 180 s | 3 |" in text


@pytest.mark.usefixtures("tiny")
def test_pages_can_be_written_again_from_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(tmp_path) == 0
    text = (tmp_path / "zonotope.md").read_text()
    (tmp_path / "zonotope.md").unlink()
    before = (tmp_path / "zonotope.jsonl").read_bytes()
    monkeypatch.setattr(command, "measure", None)
    monkeypatch.setattr(command, "verifier", None)
    assert command.main(["--pages-only", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "zonotope.md").read_text() == text
    assert (tmp_path / "zonotope.jsonl").read_bytes() == before
    assert "no page of milp: nothing is measured" in capsys.readouterr().err


def test_pages_need_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    append(line_of(0, 20.0), tmp_path / "auto.jsonl")
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    for cached in (benchmark.valid, benchmark.images, benchmark.network):
        cached.cache_clear()
    assert command.main(["--methods", "auto", "--pages-only", "--out", str(tmp_path)]) == 1
    assert "auto left out: NETASSAY_BENCHMARKS is not set" in capsys.readouterr().err


@pytest.mark.skipif(
    "NETASSAY_BENCHMARKS" not in os.environ, reason="NETASSAY_BENCHMARKS is not set: the benchmark networks are not at hand"
)
def test_the_networks_label_as_many_images_rightly_as_the_paper_says() -> None:
    for name, source in NETWORKS.items():
        assert len(benchmark.valid(name)) == source.valid, name


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "experiments" / "target_labels" / "run.py"
    shown = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in METHODS)
