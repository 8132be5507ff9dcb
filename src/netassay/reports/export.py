"""Answers as a table in a file, one row per answer: CSV or Parquet. The file appears whole or not at all."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from netassay.errors import CapabilityError, DataError, UsageError
from netassay.reports.rows import COLUMNS, REAL, TEXT, TRUTH, WHOLE, Row

BATCH = 4096
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so is run as a formula by spreadsheets; CSV puts an apostrophe before it."""


def export(rows: Iterable[Row], file: Path | str) -> int:
    """Writes the rows; the ending of the file name says how. Gives their number.

    Args:
        rows: As ``rows.row`` makes them.
        file: ``.csv`` or ``.parquet``; replaced if it exists.
    Raises:
        UsageError: For another ending.
        DataError: If a number does not fit into the columns of Parquet (a label beyond 64 bits).
        CapabilityError: If Parquet is asked for and pyarrow is not installed.
    """
    target = Path(file)
    write = WRITERS.get(target.suffix.lower())
    if write is None:
        raise UsageError(f"{file} ends neither in .csv nor in .parquet; give the file one of these endings")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part", delete=False) as stream:
        temporary = Path(stream.name)
    try:
        written = write(rows, temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return written


def _write_csv(rows: Iterable[Row], file: Path) -> int:
    written = 0
    with file.open("w", newline="", encoding="utf-8", errors="replace") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in COLUMNS])
            written += 1
    return written


def _cell(value: Any) -> str:
    """Empty for None, true or false, all digits of a number, and text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULAS) else value
    return repr(value)


def _write_parquet(rows: Iterable[Row], file: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise CapabilityError("Parquet needs pyarrow: pip install 'netassay[parquet]', or export to a .csv file") from error
    types = {TEXT: pa.string(), WHOLE: pa.int64(), REAL: pa.float64(), TRUTH: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    written = 0
    try:
        with pq.ParquetWriter(file, schema) as writer:
            for some in _batches(rows):
                writer.write_table(pa.Table.from_pylist([_plain(row) for row in some], schema=schema))
                written += len(some)
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"an answer does not fit into Parquet: {error}; export to a .csv file") from error
    return written


def _batches(rows: Iterable[Row]) -> Iterator[tuple[Row, ...]]:
    source = iter(rows)
    while some := tuple(islice(source, BATCH)):
        yield some


def _plain(row: Row) -> Row:
    """Text without half characters, which no Parquet file holds."""
    return {name: value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value for name, value in row.items()}


WRITERS: dict[str, Callable[[Iterable[Row], Path], int]] = {".csv": _write_csv, ".parquet": _write_parquet}
