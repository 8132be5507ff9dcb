"""numpy's files: ``.npz``, ``.npy`` and pairs of ``.npy``. Nothing is unpickled, and declared sizes are checked first."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from netassay.errors import DataError
from netassay.specs.data_limits import LIMIT, READ_KEYS, Arrays, check_size


def read_npz(path: Path, limit: int = LIMIT) -> Arrays:
    """The arrays of a ``.npz`` that a data set can use, by name.

    Raises:
        DataError: If the file is broken, pickled, or declares more than ``limit`` bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [m for m in archive.infolist() if m.filename.removesuffix(".npy") in READ_KEYS]
            check_size(str(path), sum(m.file_size for m in wanted), limit)
            arrays = {}
            for member in wanted:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _read(f"{path}: {member.filename}", stream, member.file_size, limit)
            return arrays
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: not a readable .npz file ({error}); write it with numpy.savez") from error


def read_npy(path: Path, limit: int = LIMIT) -> NDArray[Any]:
    """The array of a ``.npy``; errors as for ``read_npz``."""
    with path.open("rb") as stream:
        return _read(str(path), stream, path.stat().st_size, limit)


def read_pair(inputs: Path, labels: Path, limit: int = LIMIT) -> Arrays:
    """Inputs of one ``.npy`` file and labels of another, of at most ``limit`` bytes together."""
    x = read_npy(inputs, limit)
    return {"x": x, "y": read_npy(labels, limit - x.nbytes)}


def _read(name: str, stream: IO[bytes], size: int, limit: int) -> NDArray[Any]:
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
    return _values(name, stream, size, limit, shape, fortran, dtype)


def _values(
    name: str, stream: IO[bytes], size: int, limit: int, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    declared = dtype.itemsize
    for length in shape:
        declared *= length
    check_size(name, declared, limit)
    if declared > size:
        raise DataError(f"{name}: truncated: its header declares shape {shape} ({declared} bytes), the file holds only {size} bytes")
    content = stream.read(declared)
    if len(content) != declared:
        raise DataError(f"{name}: truncated: shape {shape} needs {declared} bytes, got {len(content)}")
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")
