"""The file of a certificate: a compressed stream of records, each a JSON head and arrays; nothing in it is ever executed.

::

    gzip( magic | record | record | ... )        record = length of head (4 bytes, little-endian) | head | arrays

The head is a JSON object whose ``arrays`` lists names, types and shapes of the arrays behind it. The first record is the header, the
last one says how many there were. Sizes are checked before anything of that size is read.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError

MAGIC = b"netassay certificate 2\n"
HEAD, RECORD, TOTAL, ARRAYS = 1 << 20, 1 << 27, 1 << 31, 256
"""Bytes of one head, of one record's arrays, of everything; arrays of one record; at most."""

TYPES = {"<f8", "<f4", "<i4", "<u4", "|u1", "|i1"}


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A JSON object and arrays."""

    head: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.head.get("record"))

    def integer(self, name: str) -> int:
        """A whole number of the head, not negative; raises DataError for anything else."""
        found = self.head.get(name)
        if type(found) is not int or found < 0:
            raise DataError(f"a record {self.kind!r} needs a whole number {name!r}; got {found!r}")
        return found

    def array(self, name: str, dtype: str, axes: int = 1) -> NDArray[Any]:
        """An array of that type and number of axes; raises DataError for anything else."""
        found = self.arrays.get(name)
        if found is None or found.dtype != np.dtype(dtype) or found.ndim != axes:
            raise DataError(f"a record {self.kind!r} needs an array {name!r} of type {dtype} with {axes} axes")
        return found


class Writer:
    """Writes records into a file; use it as a context. Without ``finish`` the file stays incomplete, which readers notice."""

    def __init__(self, path: str | Path) -> None:
        self._raw = Path(path).open("wb")  # noqa: SIM115
        self._file = gzip.GzipFile("", "wb", compresslevel=6, fileobj=self._raw, mtime=0)
        self._count = 0
        self.finished = False
        self._file.write(MAGIC)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()

    def write(self, record: Record) -> None:
        little = {name: np.ascontiguousarray(a, dtype=a.dtype.newbyteorder("<")) for name, a in record.arrays.items()}
        listed = [[name, a.dtype.str, list(a.shape)] for name, a in little.items()]
        head = json.dumps({**record.head, "arrays": listed}, allow_nan=False, separators=(",", ":")).encode()
        if len(head) > HEAD or sum(a.nbytes for a in little.values()) > RECORD or len(listed) > ARRAYS:
            raise DataError(f"a record {record.kind!r} is larger than readers accept; split it into several")
        self._file.write(struct.pack("<I", len(head)) + head)
        for array in little.values():
            self._file.write(array.tobytes())
        self._count += 1

    def finish(self) -> None:
        """Says that nothing is missing."""
        self.write(Record({"record": "end", "records": self._count}))
        self.finished = True


@contextmanager
def whole_file(path: str | Path) -> Iterator[Writer]:
    """A writer of a file that appears as a whole once it is finished, or not at all."""
    target = Path(path)
    made = target.with_name(target.name + ".part")
    try:
        with Writer(made) as writer:
            yield writer
        if writer.finished:
            made.replace(target)
    finally:
        made.unlink(missing_ok=True)


def read_records(path: str | Path) -> Iterator[Record]:
    """The records of a file, one after the other, without the last one.

    Raises:
        DataError: If the file cannot be read, is no certificate, is incomplete, or larger than the limits.
    """
    try:
        with gzip.open(path, "rb") as stream:
            yield from _Reader(stream).records()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is no readable certificate: {error}") from error


class _Reader:
    def __init__(self, stream: Any) -> None:
        self._stream: BinaryIO = stream
        self._total = 0

    def records(self) -> Iterator[Record]:
        if self._stream.read(len(MAGIC)) != MAGIC:
            raise DataError("the file is no netassay certificate of version 1: its first line says something else")
        count = 0
        while True:
            record = self._record()
            if record.kind == "end":
                break
            yield record
            count += 1
        if record.integer("records") != count or self._stream.read(1):
            raise DataError(f"the certificate ends with the wrong number of records ({count} came), or something follows its end")

    def _record(self) -> Record:
        (length,) = struct.unpack("<I", self._bytes(4))
        if length > HEAD:
            raise DataError(f"a record's head of {length} bytes is longer than {HEAD}")
        try:
            head = json.loads(self._bytes(length))
        except (ValueError, RecursionError) as error:
            raise DataError(f"a record's head is no JSON: {error}") from error
        listed = head.pop("arrays", None) if isinstance(head, dict) else None
        if not isinstance(listed, list) or len(listed) > ARRAYS:
            raise DataError("a record's head is no object that lists its arrays")
        described = [_described(each) for each in listed]
        size = sum(np.dtype(kind).itemsize * _numbers(shape) for _, kind, shape in described)
        if size > RECORD or self._total + size > TOTAL:
            raise DataError(f"a record of {size} bytes, or the whole, is larger than what is read ({RECORD}, {TOTAL})")
        arrays = {}
        for name, kind, shape in described:
            data = self._bytes(np.dtype(kind).itemsize * _numbers(shape))
            arrays[name] = np.frombuffer(data, dtype=kind).reshape(shape)
        return Record(head, arrays)

    def _bytes(self, count: int) -> bytes:
        self._total += count
        pieces = []
        while count:
            piece = self._stream.read(min(count, 1 << 20))
            if not piece:
                raise DataError("the certificate is incomplete: it ends within a record")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)


def _numbers(shape: list[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def _described(listed: Any) -> tuple[str, str, list[int]]:
    if not (isinstance(listed, list) and len(listed) == 3 and isinstance(listed[0], str) and isinstance(listed[2], list)):
        raise DataError(f"an array is described by {str(listed)[:60]}; expected [name, type, shape]")
    name, kind, shape = listed
    if kind not in TYPES or len(shape) > 3 or not all(type(n) is int and 0 <= n <= RECORD for n in shape):
        raise DataError(
            f"the array {name[:40]!r} has type {str(kind)[:20]!r} and shape {str(shape)[:60]}; known types: {', '.join(sorted(TYPES))}"
        )
    return name, kind, shape
