"""Reads a reference distribution for the uncertainty risk from a file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError

LARGEST_FILE = 16 * 1024**2
KEYS = ("q", "reference", "distribution")


def read_distribution(path: str | Path) -> NDArray[np.float64]:
    """The numbers in a ``.npy``, ``.npz`` (its only array, or the one called q, reference or distribution) or ``.csv`` file, flat.

    Never unpickles. Whether they form a distribution is for ``Uncertainty`` to check.

    Raises:
        DataError: If the file is missing, larger than 16 MiB, or not numbers in one of these formats.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"no file {str(path)!r} with a reference distribution; give a .npy, .npz or .csv file")
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv}
    if file.suffix.lower() not in readers:
        raise DataError(f"a reference distribution is read from {', '.join(readers)}; got {file.name!r}")
    if file.stat().st_size > LARGEST_FILE:
        raise DataError(f"{file.name!r} is larger than {LARGEST_FILE} bytes; a reference distribution holds one number per label")
    try:
        return np.asarray(readers[file.suffix.lower()](file), dtype=np.float64).reshape(-1)
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read a reference distribution from {file.name!r}: {error}") from error


def _npy(file: Path) -> NDArray[np.generic]:
    return np.asarray(np.load(file, allow_pickle=False))


def _npz(file: Path) -> NDArray[np.generic]:
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_FILE:
            raise ValueError(f"it unpacks to more than {LARGEST_FILE} bytes")
    with np.load(file, allow_pickle=False) as arrays:
        names = [key for key in KEYS if key in arrays.files] or arrays.files
        if len(names) != 1:
            raise ValueError(f"it holds arrays {arrays.files}; give one, or call it 'q'")
        return np.asarray(arrays[names[0]])


def _csv(file: Path) -> NDArray[np.generic]:
    text = file.read_text(encoding="utf-8").replace(",", " ").split()
    return np.array([float(word) for word in text])
