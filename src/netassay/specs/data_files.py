"""Reading named arrays from whatever a data set is stored in: files, folders, the user's own code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError, UsageError
from netassay.specs.csv_tables import read_table
from netassay.specs.data_limits import INPUT_KEYS as INPUT_KEYS
from netassay.specs.data_limits import LABEL_KEYS as LABEL_KEYS
from netassay.specs.data_limits import LIMIT, READ_KEYS, Arrays
from netassay.specs.image_folders import read_folder
from netassay.specs.numpy_files import read_npy, read_npz, read_pair

KNOWN = "digits, FILE.npz, FILE.npy, INPUTS.npy,LABELS.npy, FILE.csv, a folder of pictures, module:factory"


def read_arrays(reference: str, *, limit: int = LIMIT, label_column: str | None = None) -> tuple[Arrays, list[str]]:
    """The named arrays behind ``reference`` and notes about them. Pictures are decoded only when they are indexed.

    Args:
        reference: See ``datasets``.
        limit: Bytes that the arrays may declare together.
        label_column: Column of a table that holds the labels.
    Raises:
        UsageError: If ``reference`` is of no known kind, or ``label_column`` is given for what is no table.
        DataError: If the file is missing, broken, pickled, or declares more than ``limit`` bytes.
    """
    path = Path(reference)
    table = path.suffix.lower() == ".csv" and not path.is_dir()
    if label_column is not None and not table:
        raise UsageError(f"--label-column is for tables (FILE.csv); got {reference}")
    if reference == "digits":
        return _digits(), []
    if reference and path.is_dir():
        return read_folder(path, limit)
    if table:
        return read_table(_existing(reference), limit, label_column), []
    if path.suffix.lower() == ".npz":
        return read_npz(_existing(reference), limit), []
    if path.suffix.lower() == ".npy":
        return _npy(reference, limit), []
    if ":" in reference:
        return _from_factory(reference)
    raise UsageError(f"unknown kind of data {reference!r}; known: {KNOWN}")


def read_array(path: str) -> NDArray[Any]:
    """One array of numbers from a ``.npy`` file (masks, scales, granularities); pickles are refused."""
    file = _existing(path)
    if file.suffix.lower() != ".npy":
        raise DataError(f"{path}: expected a .npy file, as numpy.save writes it")
    return read_npy(file)


def _existing(reference: str) -> Path:
    path = Path(reference)
    if not path.is_file():
        raise DataError(f"{reference}: no such file")
    return path


def _npy(reference: str, limit: int) -> Arrays:
    """Inputs, or with a comma between two names inputs and labels."""
    inputs, found, labels = reference.partition(".npy,")
    if found and not Path(reference).is_file():
        return read_pair(_existing(inputs + ".npy"), _existing(labels), limit)
    return {"x": read_npy(_existing(reference), limit)}


def _digits() -> Arrays:
    from netassay.models.builtin import digits_test

    inputs, labels = digits_test()
    return {"x": inputs, "y": labels, "lower": 0.0, "upper": 1.0}


def _from_factory(reference: str) -> tuple[Arrays, list[str]]:
    """Calls the user's function; the current folder can be imported from, as with ``python -m``."""
    module_name, _, attribute = reference.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        with redirect_stdout(sys.stderr):  # stdout belongs to the answer
            made = getattr(importlib.import_module(module_name), attribute)()
    except (Exception, SystemExit) as error:
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


def input_shape(arrays: Arrays) -> tuple[int, ...] | None:
    """The shape of one input as it is stored; None where there are no inputs, or a single number each."""
    inputs = next((arrays[key] for key in INPUT_KEYS if key in arrays), None)
    if isinstance(inputs, list | tuple):
        inputs = np.asarray(inputs)
    shape = tuple(int(n) for n in getattr(inputs, "shape", ()))
    return shape[1:] if len(shape) > 1 else None
