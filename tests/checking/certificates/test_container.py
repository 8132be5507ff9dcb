"""The file: what is written is read; what is too large, damaged or no certificate is refused before it costs anything."""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from netassay.checking.certificates.container import MAGIC, RECORD, Record, Writer, read_records
from netassay.errors import DataError


def record_bytes(head: dict[str, object], data: bytes = b"") -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + data


def written(path: Path, *pieces: bytes) -> Path:
    path.write_bytes(gzip.compress(b"".join(pieces)))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float64).reshape(2, 3), "b": np.zeros(0, np.uint8), "c": np.array([-1], np.int32)}
    with Writer(tmp_path / "x") as writer:
        writer.write(Record({"record": "one", "n": 3}, arrays))
        writer.write(Record({"record": "two"}))
        writer.finish()
    first, second = read_records(tmp_path / "x")
    assert first.integer("n") == 3
    assert all(np.array_equal(first.arrays[k], v) and first.arrays[k].dtype == v.dtype for k, v in arrays.items())
    assert second.kind == "two"


def test_the_same_certificate_is_the_same_file(tmp_path: Path) -> None:
    for name in ("x", "y"):
        with Writer(tmp_path / name) as writer:
            writer.finish()
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"",),
        (b"something else\n",),
        (MAGIC,),
        (MAGIC, struct.pack("<I", 1 << 31)),
        (MAGIC, struct.pack("<I", 100), b"{}"),
        (MAGIC, struct.pack("<I", 60000), b"[" * 60000),
        (MAGIC, record_bytes({"record": "x"})),
        (MAGIC, record_bytes({"record": "x", "arrays": [["a", "O", [3]]]})),
        (MAGIC, record_bytes({"record": "x", "arrays": [["a", "<f8", [-1]]]})),
        (MAGIC, record_bytes({"record": "x", "arrays": [["a", "<f8", [1 << 20, 1 << 20, 1 << 20]]]})),
        (MAGIC, record_bytes({"record": "x", "arrays": [["a", "<f8", [True]]]})),
        (MAGIC, record_bytes({"record": "x", "arrays": [["a", "<f8", [1]]] * 300})),
        (MAGIC, record_bytes({"record": "x", "arrays": [["a", "<f8", [2]]]}, b"\0" * 15)),
        (MAGIC, record_bytes({"record": "end", "records": 1, "arrays": []})),
        (MAGIC, record_bytes({"record": "end", "records": 0, "arrays": []}), b"more"),
        (MAGIC, record_bytes({"record": "x", "arrays": []})),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(DataError):
        list(read_records(written(tmp_path / "x", *pieces)))


def test_files_that_are_not_compressed_or_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(MAGIC)
    for name in ("x", "nothing"):
        with pytest.raises(DataError):
            list(read_records(tmp_path / name))


def test_a_bomb_costs_little_memory(tmp_path: Path) -> None:
    """An array that is declared large and is not there, and a record beyond the limit: refused without room for either."""
    missing = record_bytes({"record": "x", "arrays": [["a", "|u1", [RECORD]]]}, b"\0" * 1000)
    beyond = record_bytes({"record": "x", "arrays": [["a", "|u1", [RECORD]], ["b", "|u1", [RECORD]]]}, b"\0" * (1 << 22))
    for piece in (missing, beyond):
        path = written(tmp_path / "x", MAGIC, piece)
        tracemalloc.start()
        with pytest.raises(DataError):
            list(read_records(path))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 << 20
