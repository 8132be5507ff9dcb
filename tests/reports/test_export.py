"""Tables in files: every digit, nothing that a spreadsheet runs, whole or not at all."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netassay.errors import DataError, UsageError
from netassay.reports.export import BATCH, export
from netassay.reports.rows import COLUMNS, Row, Source, row, sides
from netassay.results.answer import Answer, Question
from netassay.results.summary import question_of
from reports.campaign_answers import campaign_answers

ANSWERS = campaign_answers(12)


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_side_comes_back_with_every_digit(tmp_path: Path) -> None:
    assert export((row(a, Source(3, "digits")) for a in ANSWERS), tmp_path / "a.csv") == len(ANSWERS)
    found = read(tmp_path / "a.csv")
    assert {question_of(a) for a in ANSWERS} == set(Question)
    for told, answer in zip(found, ANSWERS, strict=True):
        assert (told["campaign"], told["data"], told["question"]) == ("3", "digits", str(question_of(answer)))
        for name, side in sides(answer).items():
            assert told[name] == ("" if side is None else repr(side.value))
            assert told[f"{name}_guarantee"] == ("" if side is None else str(side.guarantee))
        assert told["outcome"] == str(answer.outcome)


def test_parquet_has_the_same_rows(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    many = [replace(ANSWERS[i % len(ANSWERS)], index=i) for i in range(BATCH + 5)]
    assert export((row(a) for a in many), tmp_path / "a.parquet") == BATCH + 5
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == [row(a) for a in many]


def test_infinities_and_odd_text_survive(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    odd = replace(ANSWERS[0], region=replace(ANSWERS[0].region, radius=math.inf), notes=("half \ud800 a character",))
    export([row(odd)], tmp_path / "a.csv")
    export([row(odd)], tmp_path / "a.parquet")
    assert read(tmp_path / "a.csv")[0]["radius"] == "inf"
    assert pq.read_table(tmp_path / "a.parquet").to_pylist()[0]["radius"] == math.inf


@pytest.mark.parametrize("evil", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1"])
def test_no_text_is_a_formula(tmp_path: Path, evil: str) -> None:
    bad: Answer = replace(ANSWERS[0], notes=(evil,), provenance=replace(ANSWERS[0].provenance, model=evil))
    export([row(bad)], tmp_path / "a.csv")
    (found,) = read(tmp_path / "a.csv")
    assert found["model"] == found["notes"] == f"'{evil}"
    assert float(found["center_value"]) == ANSWERS[0].center_value


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, name: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")

    def rows() -> Iterator[Row]:
        yield row(ANSWERS[0])
        raise DataError("damaged")

    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(DataError):
        export(rows(), tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"before"


def test_numbers_beyond_parquet_are_told(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with pytest.raises(DataError, match="does not fit into Parquet"):
        export([row(replace(ANSWERS[0], label=2**70))], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.csv nor in \.parquet"):
        export([], tmp_path / "a.xlsx")


def test_all_rows_have_all_columns() -> None:
    assert all(list(row(a)) == list(COLUMNS) for a in ANSWERS)
