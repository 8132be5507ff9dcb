"""Witnesses as files: one content-addressed ``.npz`` each, read back without trusting it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError
from netassay.numerics.plain_arrays import plain_arrays
from netassay.results.witness import Witness

FOLDER = "witnesses"
_NAME = re.compile(rf"{FOLDER}/[0-9a-f]{{64}}\.npz")
_ARRAYS = ("point", "center", "outputs")
MEBIBYTE = 1024**2


@dataclass(frozen=True, eq=False)
class StoredWitness:
    """What a witness file holds: the point, the centre it was searched around, the raw outputs at the point."""

    point: NDArray[np.floating]
    center: NDArray[np.floating]
    outputs: NDArray[np.floating]


def write_witness(folder: Path | str, witness: Witness, center: NDArray[np.floating]) -> str:
    """Stores ``point``, ``center`` and ``outputs`` below ``folder``; returns the path relative to it.

    The name is the SHA-256 of the file's bytes, so equal content is stored once, and the file appears
    whole or not at all (temporary file, then rename).

    Args:
        folder: Created if missing; the file goes to its sub-folder ``witnesses``.
        witness: The witness.
        center: The input it belongs to, same shape as the point.
    Raises:
        DataError: If point and centre differ in shape.
    """
    name, content = witness_file(witness.point, center, witness.outputs)
    target = Path(folder) / name
    if not target.exists():
        write_atomically(target, content)
    return name


def witness_file(point: NDArray[np.floating], center: NDArray[np.floating], outputs: NDArray[np.floating]) -> tuple[str, bytes]:
    """Name and content of the file of a witness: the name is the SHA-256 of the content.

    Raises:
        DataError: If point and centre differ in shape.
    """
    if point.shape != center.shape:
        raise DataError(f"a witness of shape {point.shape} does not belong to an input of shape {center.shape}; pass its own input")
    buffer = io.BytesIO()
    np.savez(buffer, point=point, center=center, outputs=outputs)
    content = buffer.getvalue()
    return f"{FOLDER}/{hashlib.sha256(content).hexdigest()}.npz", content


def write_atomically(target: Path, content: bytes) -> None:
    """Writes a file so that no reader ever sees half of it; creates the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_witness(folder: Path | str, name: str, *, limit: int = 1024 * MEBIBYTE) -> StoredWitness:
    """Reads what ``write_witness`` wrote, as data only: never a pickle, never outside ``folder``.

    Args:
        folder: The folder given to ``write_witness``.
        name: The relative path that it returned.
        limit: Most bytes accepted, for the file and for its arrays together.
    Raises:
        DataError: For another kind of name, a missing or changed file, one above the limit, or one that is
            not three plain numeric arrays.
    """
    return parse_witness(name, read_limited(Path(folder) / checked_name(name), limit), limit=limit)


def checked_name(name: str) -> str:
    """The name, if it is one that ``witness_file`` gives: no other can lead out of a folder; raises DataError for any other."""
    if not _NAME.fullmatch(name):
        raise DataError(f"{name!r} names no witness file; expected {FOLDER}/<64 hexadecimal digits>.npz as the document gives it")
    return name


def parse_witness(name: str, content: bytes, *, limit: int = 1024 * MEBIBYTE) -> StoredWitness:
    """The arrays of a witness file, as data only; raises DataError where the content is not what its name says, see ``read_witness``."""
    digest = hashlib.sha256(content).hexdigest()
    if digest not in checked_name(name):
        raise DataError(f"{name} was changed since it was written (its content has SHA-256 {digest}); take it from the original folder")
    return _arrays(name, content, limit)


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a file; raises DataError if it is missing, no file, or longer than ``limit``."""
    try:
        with path.open("rb") as stream:
            expected = min(limit, os.fstat(stream.fileno()).st_size)  # reading sets aside as much memory as it is asked for
            content = stream.read(expected + 1)
            if expected < len(content) <= limit:
                content += stream.read(limit + 1 - len(content))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    if len(content) > limit:
        raise DataError(f"{path} has more than {limit} bytes, the limit for such files; raise the limit only if you trust the file")
    return content


def _arrays(name: str, content: bytes, limit: int) -> StoredWitness:
    try:
        arrays = plain_arrays(content, limit)
        if sorted(arrays) != sorted(_ARRAYS):
            raise ValueError(f"it holds {sorted(arrays)}")
    except ValueError as error:
        raise DataError(f"{name} is no witness file: {error}; expected the plain arrays {', '.join(_ARRAYS)}") from error
    kinds = {a: v.dtype.kind for a, v in arrays.items()}
    if set(kinds.values()) != {"f"} or arrays["point"].shape != arrays["center"].shape:
        raise DataError(
            f"{name} is no witness file: expected floating-point arrays, point and center of one shape; got dtype kinds {kinds}"
        )
    return StoredWitness(**arrays)
