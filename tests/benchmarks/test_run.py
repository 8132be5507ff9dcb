from __future__ import annotations

import datetime
from pathlib import Path

import pytest

import run
from report import Row, rows_of, table

TITLES = [section.title for section in run.SECTIONS.values()]


def test_one_table_is_replaced_and_the_others_stay() -> None:
    text = f"# Head\n\n{run.MARK}\n\n## {TITLES[0]}\n\nold\n\n## {TITLES[3]}\n\nkept\n"
    found = run.rewritten(text, TITLES[0], [Row("work", "one", {"figure": "7"})])
    assert found.startswith("# Head\n")
    assert "old" not in found
    assert "| work | one | 7 |" in found
    assert found.endswith(f"## {TITLES[3]}\n\nkept\n")


def test_a_new_table_stands_in_its_place() -> None:
    text = f"# Head\n\n{run.MARK}\n\n## {TITLES[3]}\n\nkept\n"
    found = run.rewritten(text, TITLES[1], [Row("work", "one", {"figure": "7"})])
    assert found.index(TITLES[1]) < found.index(TITLES[3])


def test_tables_that_are_no_more_go() -> None:
    found = run.rewritten(f"# Head\n\n{run.MARK}\n\n## Gone\n\nold\n", TITLES[1], [Row("work", "one", {"figure": "7"})])
    assert "Gone" not in found


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["nothing"])
    assert "known are" in capsys.readouterr().err


def test_a_table_is_read_as_it_was_written() -> None:
    rows = [Row("work, 1", "one", {"first": "7", "last": "1.00 (0, 1, 0)"}), Row("work, 2", "two", {"first": "-"})]
    assert rows_of(f"Measured then.\n\n{table(rows)}\n") == rows
    assert rows_of("no table") == []


DAY = datetime.date.today().isoformat()


def row(work: str, figure: str, day: str = DAY) -> Row:
    return Row(work, "one", {"figure": figure, "measured": day})


def fresh(work: str, figure: str) -> Row:
    return Row(work, "one", {"figure": figure})


def written(rows: list[Row]) -> str:
    return f"# Head\n\n{run.MARK}\n\n## {TITLES[0]}\n\nMeasured on some machine.\n\n{table(rows)}\n"


def test_one_part_is_replaced_and_the_others_stay() -> None:
    text, works = written([row("b", "1", "2020-01-02"), row("gone", "2", "2020-01-02"), row("c", "3", "2020-01-02")]), ["a", "b", "c"]
    found = run.rewritten(text, TITLES[0], [fresh("a", "4"), fresh("c", "5")], works)
    assert rows_of(found) == [row("a", "4"), row("b", "1", "2020-01-02"), row("c", "5")]
    assert rows_of(run.rewritten(text, TITLES[0], [fresh("c", "5")])) == [fresh("c", "5")]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A table of three parts, of which the file has the second; gives the list of those that are measured."""
    measured: list[str] = []

    def part(work: str) -> list[Row]:
        measured.append(work)
        if len(measured) > 2:
            raise KeyboardInterrupt
        return [fresh(work, "new")]

    works = ("near, 10", "near, 20", "far, 10")
    section = run.Section(TITLES[0], parts={work: lambda work=work: part(work) for work in works})  # type: ignore[misc]
    monkeypatch.setattr(run, "SECTIONS", {"some": section})
    monkeypatch.setattr(run, "README", tmp_path / "README.md")
    run.README.write_text(written([row("near, 20", "old")]))
    return measured


def test_parts_are_written_as_they_are_measured(parts: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.main(["some"])
    assert parts == ["near, 10", "near, 20", "far, 10"]
    assert rows_of(run.README.read_text()) == [row("near, 10", "new"), row("near, 20", "new")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["--missing"], ["near, 10", "far, 10"]),
        (["--parts", "near"], ["near, 10", "near, 20"]),
        (["--parts", "near", "--missing"], ["near, 10"]),
        (["--parts", "near, 20"], ["near, 20"]),
    ],
)
def test_parts_are_chosen(parts: list[str], asked: list[str], expected: list[str]) -> None:
    run.main(["some", *asked])
    assert parts == expected
    assert {r.work for r in rows_of(run.README.read_text())} == {"near, 20", *expected}


def test_unknown_parts_are_refused(parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["some", "--parts", "near", "nowhere"])
    assert "no part begins with 'nowhere'; known are near, 10; near, 20; far, 10" in capsys.readouterr().err
    assert not parts


def test_parts_of_networks_that_are_not_there_have_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert run.SECTIONS["l0_attacks"].parts["sdnn, 1000 queries"]() == []
