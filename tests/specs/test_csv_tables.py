"""Tables: which column is the label, and every cell that is no finite number named by line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netassay.errors import DataError, UsageError
from netassay.specs.csv_tables import read_table
from netassay.specs.data_files import read_arrays


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "t.csv"


def test_the_label_column_is_the_one_that_is_named(table: Path) -> None:
    table.write_text("label,age,outcome\n5,1.5,1\n6,-2e-3,0\n", encoding="utf-8")
    arrays, notes = read_arrays(str(table), label_column="outcome")
    np.testing.assert_array_equal(arrays["x"], [[5, 1.5], [6, -0.002]])
    assert arrays["feature_names"].tolist() == ["label", "age"]
    assert arrays["y"].tolist() == [1, 0]
    assert notes == []
    assert read_table(table)["y"].tolist() == [5, 6]


def test_a_label_column_that_is_not_there_lists_the_columns(table: Path) -> None:
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no column 'c' for --label-column; its columns are a, b"):
        read_table(table, label_column="c")


@pytest.mark.parametrize("reference", ["digits", "data.npz", "x.npy,y.npy", "module:factory", "."])
def test_a_label_column_is_for_tables_only(reference: str) -> None:
    with pytest.raises(UsageError, match=r"--label-column is for tables"):
        read_arrays(reference, label_column="y")


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e999", "", " ", "1_000", "0x10", "3,5", "--", "1" * 5000])
def test_a_cell_that_is_no_finite_number_is_named_by_line_and_column(table: Path, cell: str) -> None:
    table.write_text(f"age;height\n1;2\n\n3;{cell}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 4, column 'height': '.*' is not a number; every cell must be a finite number"):
        read_table(table)


def test_lines_are_counted_as_an_editor_counts_them(table: Path) -> None:
    table.write_text('"age\nin years",b\n1,2\n3,x\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 4, column 'b': 'x'"):
        read_table(table)


def test_labels_in_words_are_refused_with_what_is_expected(table: Path) -> None:
    table.write_text("a,species\n1,setosa\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"label column 'species': 'setosa' .* whole numbers, counted from 0 in the order"):
        read_table(table, label_column="species")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a\n0,1\n", r"column 1 has no name; .* to_csv\(index=False\)"),
        ("a,b,a\n1,2,3\n", "two columns are named 'a'"),
        ("label\n1\n", "its only column, 'label', holds the labels"),
        ("a,b\n", "at least one row"),
        ("\n\n", "the data set is empty"),
        (f"a,b\n1,{'9' * 200_000}\n", "not a readable table"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the header has 2"),
    ],
)
def test_broken_tables_are_refused(table: Path, text: str, message: str) -> None:
    table.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_table(table)


def test_a_table_above_the_limit_is_refused_before_it_is_read(table: Path) -> None:
    table.write_text("a,b\n" + "1,2\n" * 1000, encoding="utf-8")
    with pytest.raises(DataError, match="split the file"):
        read_table(table, limit=8 * 1000)
    assert read_table(table, limit=8 * 5000)["x"].shape == (1000, 2)


def test_a_byte_order_mark_and_spaces_around_names_do_no_harm(table: Path) -> None:
    table.write_bytes("\ufeffage , label\r\n 1.5 ,2\r\n".encode())
    arrays = read_table(table)
    assert arrays["feature_names"].tolist() == ["age"]
    assert arrays["x"].tolist() == [[1.5]]
    assert arrays["y"].tolist() == [2]
