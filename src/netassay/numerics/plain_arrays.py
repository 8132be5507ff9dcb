"""The arrays of a ``.npz``: numbers only, never a pickle, no more than is allowed.

Headers are read once for all files that begin alike, which is what most of the time goes into where files are many and small.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

_BEGIN = len(npy_format.MAGIC_PREFIX) + 2
"""Bytes before the length of a header."""


def plain_arrays(content: bytes, limit: int) -> dict[str, NDArray[Any]]:
    """The arrays by their names, of the bytes of a ``.npz``.

    Args:
        content: The file.
        limit: Most bytes of all arrays together, as the file declares them; nothing is unpacked beyond.
    Raises:
        ValueError: If it is no such file, declares more, or holds anything but plain arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            unpacked = sum(m.file_size for m in members)
            if unpacked > limit:
                raise ValueError(f"it declares {unpacked} bytes; at most {limit} are read")
            return {m.filename.removesuffix(".npy"): _array(archive.read(m)) for m in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise ValueError(str(error)) from error


def _array(content: bytes) -> NDArray[Any]:
    if content[:_BEGIN] != npy_format.magic(1, 0):
        raise ValueError("it holds something else than plain arrays")
    end = _BEGIN + 2 + int.from_bytes(content[_BEGIN : _BEGIN + 2], "little")
    shape, fortran, dtype = _header(content[_BEGIN:end])
    if dtype.hasobject or len(content) - end != prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} and type {dtype} does not have {len(content) - end} bytes")
    return np.frombuffer(content, dtype, offset=end).reshape(shape, order="F" if fortran else "C").copy()


@lru_cache(maxsize=256)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return npy_format.read_array_header_1_0(io.BytesIO(content))
