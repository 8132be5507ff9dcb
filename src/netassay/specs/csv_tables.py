"""Tables as CSV: a header of feature names, then rows of finite numbers; one column may hold the labels."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from netassay.errors import DataError
from netassay.specs.data_limits import LIMIT, Arrays, check_size

CSV_LABELS = ("label", "labels", "y", "class", "target")
"""Names of a label column, in lower case, where none is given."""

DELIMITERS = ",;\t"


def read_table(path: Path, limit: int = LIMIT, label_column: str | None = None) -> Arrays:
    """The table under ``x``, ``feature_names`` and, where there is a label column, ``y``.

    The text may take an eighth of ``limit``: a cell of two characters becomes eight bytes, and is then copied once.

    Args:
        path: UTF-8 text; columns are separated by commas, semicolons or tabs, whichever the header has most of.
        limit: Bytes that the table may take.
        label_column: Name of the label column; by default the one that is named as in ``CSV_LABELS``.
    Raises:
        DataError: For a missing header, a column that is not there, and a cell that is not a finite number: named by line and column.
    """
    check_size(str(path), path.stat().st_size, limit // 8)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            delimiter = max(DELIMITERS, key=stream.readline().count)
            stream.seek(0)
            return _table(str(path), csv.reader(stream, delimiter=delimiter), label_column)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason}); save the table as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a readable table ({error}); expected a header and rows of numbers") from error


def _table(name: str, reader: Iterator[list[str]], label_column: str | None) -> Arrays:
    header = [title.strip() for title in next((row for row in reader if row), [])]
    _check_header(name, header)
    label = _label_column(name, header, label_column)
    values = array("d")
    for row in reader:
        if row:
            values.extend(_numbers(name, reader.line_num, row, header, label))  # type: ignore[attr-defined]
    if not values:
        raise DataError(f"{name}: the data set is empty; expected a header of feature names and at least one row of numbers")
    table = np.frombuffer(values, dtype=np.float64).reshape(-1, len(header))
    features = [i for i in range(len(header)) if i != label]
    arrays: Arrays = {"x": table[:, features], "feature_names": np.array([header[i] for i in features])}
    if label is not None:
        arrays["y"] = table[:, label].copy()
    return arrays


def _check_header(name: str, header: list[str]) -> None:
    if header and all(_is_number(title) for title in header):
        raise DataError(f"{name}: the first line holds numbers only; expected a header of feature names")
    if "" in header:
        at = header.index("") + 1
        raise DataError(f"{name}: column {at} has no name; name it or leave it out (pandas writes row numbers so: use to_csv(index=False))")
    twice = next((title for i, title in enumerate(header) if title in header[:i]), None)
    if twice is not None:
        raise DataError(f"{name}: two columns are named {twice!r}; give every column a name of its own")


def _label_column(name: str, header: list[str], wanted: str | None) -> int | None:
    """Position of the label column; None for a table without labels."""
    if wanted is not None:
        if wanted not in header:
            raise DataError(f"{name}: no column {wanted!r} for --label-column; its columns are {_listed(header)}")
        found = [header.index(wanted)]
    else:
        found = [i for i, title in enumerate(header) if title.lower() in CSV_LABELS]
    if len(found) > 1:
        raise DataError(f"{name}: several label columns ({_listed([header[i] for i in found])}); say which: --label-column NAME")
    if len(found) == len(header) == 1:
        raise DataError(f"{name}: its only column, {header[0]!r}, holds the labels; expected columns of features too")
    return found[0] if found else None


def _numbers(name: str, line: int, row: list[str], header: list[str], label: int | None) -> list[float]:
    if len(row) != len(header):
        raise DataError(f"{name}: line {line} has {len(row)} cells, the header has {len(header)}")
    try:
        values = [float(cell) for cell in row]
    except ValueError:
        values = [math.nan]
    if all(map(math.isfinite, values)) and not any("_" in cell for cell in row):
        return values
    at = next(i for i, cell in enumerate(row) if not _is_number(cell))
    if at == label:
        raise DataError(
            f"{name}: line {line}, label column {header[at]!r}: {row[at]!r} is not a number; expected whole numbers, "
            "counted from 0 in the order of the network's outputs"
        )
    raise DataError(f"{name}: line {line}, column {header[at]!r}: {row[at]!r} is not a number; every cell must be a finite number")


def _is_number(cell: str) -> bool:
    """Whether it is a finite decimal number. Python's own ``1_000`` is none."""
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _listed(names: list[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
