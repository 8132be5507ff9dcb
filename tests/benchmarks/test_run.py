from __future__ import annotations

import pytest

import run
from report import Row

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
