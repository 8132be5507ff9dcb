"""Reading arrays from files and factories, with limits: nothing is unpickled, and declared sizes are checked first."""

from __future__ import annotations

import csv
import importlib
import io
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from netassay.errors import DataError, UsageError

INPUT_KEYS = ("x", "inputs", "images")
LABEL_KEYS = ("y", "labels")
READ_KEYS = (*INPUT_KEYS, *LABEL_KEYS, "lower", "upper", "feature_names", "label_names")
CSV_LABELS = ("label", "labels", "y", "class", "target")
LIMIT = 4 * 1024**3
"""Bytes that the arrays of one data file may declare together."""

Arrays = dict[str, Any]


def read_arrays(reference: str, *, limit: int = LIMIT) -> tuple[Arrays, list[str]]:
    """The named arrays behind ``reference`` and notes about them.

    Raises:
        UsageError: If ``reference`` is of no known kind.
        DataError: If the file is missing, broken, pickled, or declares more than ``limit`` bytes.
    """
    if reference == "digits":
        return _digits(), []
    reader = {".npz": _npz, ".npy": _npy, ".csv": _csv}.get(Path(reference).suffix.lower())
    if reader is not None:
        path = Path(reference)
        if not path.is_file():
            raise DataError(f"{reference}: no such file")
        return reader(path, limit), []
    if ":" in reference:
        return _from_factory(reference)
    raise UsageError(f"unknown kind of data {reference!r}; known: digits, FILE.npz, FILE.npy, FILE.csv, module:factory")


def read_array(path: str) -> NDArray[Any]:
    """One array of numbers from a ``.npy`` file (masks, scales, granularities); pickles are refused."""
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{path}: no such file")
    if file.suffix.lower() != ".npy":
        raise DataError(f"{path}: expected a .npy file, as numpy.save writes it")
    return np.asarray(_npy(file, LIMIT)["x"])


def _digits() -> Arrays:
    from netassay.models.builtin import digits_test

    inputs, labels = digits_test()
    return {"x": inputs, "y": labels, "lower": 0.0, "upper": 1.0}


def _npy(path: Path, limit: int) -> Arrays:
    with path.open("rb") as stream:
        return {"x": _read_npy(str(path), stream, path.stat().st_size, limit)}


def _npz(path: Path, limit: int) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [m for m in archive.infolist() if m.filename.removesuffix(".npy") in READ_KEYS]
            _check_size(str(path), sum(m.file_size for m in wanted), limit)
            arrays = {}
            for member in wanted:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _read_npy(f"{path}: {member.filename}", stream, member.file_size, limit)
            return arrays
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: not a readable .npz file ({error}); write it with numpy.savez") from error


def _read_npy(name: str, stream: IO[bytes], size: int, limit: int) -> NDArray[Any]:
    """One array of exactly the size that its header declares; the header is checked before the array is read."""
    try:
        version = npy_format.read_magic(stream)
        header = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}.get(version)
        if header is None:
            raise DataError(f"{name}: .npy format {version} is not for plain numbers; write it with numpy.save")
        shape, fortran, dtype = header(stream)
    except (ValueError, EOFError) as error:
        raise DataError(f"{name}: not a .npy array ({error}); write it with numpy.save or numpy.savez") from error
    if dtype.hasobject:
        raise DataError(f"{name}: the array is pickled Python objects, which could run code; store plain numbers instead")
    return _read_values(name, stream, size, limit, shape, fortran, dtype)


def _read_values(
    name: str, stream: IO[bytes], size: int, limit: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    declared = dtype.itemsize
    for length in shape:
        declared *= length
    _check_size(name, declared, limit)
    if declared > size:
        raise DataError(f"{name}: truncated: its header declares shape {shape} ({declared} bytes), the file holds only {size} bytes")
    content = stream.read(declared)
    if len(content) != declared:
        raise DataError(f"{name}: truncated: shape {shape} needs {declared} bytes, got {len(content)}")
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(f"{name}: declares {size / 1024**2:.0f} MiB of data; the limit is {limit / 1024**2:.0f} MiB; split the file")


def _csv(path: Path, limit: int) -> Arrays:
    _check_size(str(path), path.stat().st_size, limit // 8)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if len(rows) < 2:
        raise DataError(f"{path}: the data set is empty; expected a header of feature names and at least one row of numbers")
    return _table(str(path), [name.strip() for name in rows[0]], rows[1:])


def _table(name: str, header: list[str], rows: list[list[str]]) -> Arrays:
    if all(_is_number(cell) for cell in header):
        raise DataError(f"{name}: the first line holds numbers only; expected a header of feature names")
    label_columns = [i for i, title in enumerate(header) if title.lower() in CSV_LABELS]
    if len(label_columns) > 1:
        raise DataError(f"{name}: several label columns ({', '.join(header[i] for i in label_columns)}); keep one")
    values = np.array([_numbers(name, line, row, header) for line, row in enumerate(rows, start=2)], dtype=np.float64)
    features = [i for i in range(len(header)) if i not in label_columns]
    arrays: Arrays = {"x": values[:, features], "feature_names": np.array([header[i] for i in features])}
    if label_columns:
        arrays["y"] = values[:, label_columns[0]]
    return arrays


def _numbers(name: str, line: int, row: list[str], header: list[str]) -> list[float]:
    if len(row) != len(header):
        raise DataError(f"{name}: line {line} has {len(row)} cells, the header has {len(header)}")
    try:
        return [float(cell) for cell in row]
    except ValueError as error:
        at = next(i for i, cell in enumerate(row) if not _is_number(cell))
        raise DataError(f"{name}: line {line}, column {header[at]!r}: {row[at]!r} is not a number") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _from_factory(reference: str) -> tuple[Arrays, list[str]]:
    """Calls the user's function; the current folder can be imported from, as with ``python -m``."""
    module_name, _, attribute = reference.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        made = getattr(importlib.import_module(module_name), attribute)()
    except Exception as error:
        raise DataError(f"{reference}: the data factory failed: {type(error).__name__}: {error}") from error
    return _named(reference, made), [f"{reference}: the data come from your own code, which was run"]


def _named(reference: str, made: Any) -> Arrays:
    if isinstance(made, Mapping):
        return dict(made)
    if isinstance(made, tuple) and len(made) == 2:
        return {"x": made[0], "y": made[1]}
    if hasattr(made, "__array__") or isinstance(made, list):
        return {"x": made}
    expected = f"inputs, (inputs, labels), or a dict with {', '.join(READ_KEYS)}"
    raise DataError(f"{reference}: returned {type(made).__name__}; expected {expected}")
