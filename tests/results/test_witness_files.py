"""Witness files: exact round trips, content addresses, and refusal of what a stranger may have put there."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from netassay.errors import DataError
from netassay.results.answer import RadiusAnswer
from netassay.results.witness_files import MEBIBYTE, read_limited, read_witness, write_witness
from reports import sample_answers

ANSWER = next(a for a in sample_answers.image_answers(2) if isinstance(a, RadiusAnswer))
assert ANSWER.witness is not None
WITNESS = ANSWER.witness


def store(folder: Path, content: bytes) -> str:
    name = f"witnesses/{hashlib.sha256(content).hexdigest()}.npz"
    (folder / "witnesses").mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return name


def packed(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_round_trip_is_exact(tmp_path: Path) -> None:
    name = write_witness(tmp_path, WITNESS, ANSWER.center)
    found = read_witness(tmp_path, name)
    for stored, original in ((found.point, WITNESS.point), (found.center, ANSWER.center), (found.outputs, WITNESS.outputs)):
        assert stored.dtype == original.dtype
        assert np.array_equal(stored, original)
    assert not list(tmp_path.rglob("*.part"))


def test_equal_content_is_one_file_and_another_centre_is_another(tmp_path: Path) -> None:
    names = {write_witness(tmp_path, WITNESS, ANSWER.center) for _ in range(2)}
    names.add(write_witness(tmp_path, WITNESS, ANSWER.center + 0.25))
    assert len(names) == len(list((tmp_path / "witnesses").iterdir())) == 2


def test_a_centre_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="shape"):
        write_witness(tmp_path, WITNESS, ANSWER.center.reshape(-1))


@pytest.mark.parametrize("name", ["../../etc/passwd", "witnesses/../x.npz", "/etc/passwd", "witnesses/abc.npz", ""])
def test_only_names_that_were_given_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="names no witness file"):
        read_witness(tmp_path, name)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    name = write_witness(tmp_path, WITNESS, ANSWER.center)
    content = bytearray((tmp_path / name).read_bytes())
    content[200] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="changed"):
        read_witness(tmp_path, name)


def test_missing_and_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_witness(tmp_path, f"witnesses/{'0' * 64}.npz")
    name = write_witness(tmp_path, WITNESS, ANSWER.center)
    with pytest.raises(DataError, match="more than"):
        read_witness(tmp_path, name, limit=64)


@pytest.mark.parametrize(
    "content",
    [
        b"not a zip",
        packed(point=np.zeros(2), center=np.zeros(2)),
        packed(point=np.zeros(2), center=np.zeros(3), outputs=np.zeros(1)),
        packed(point=np.zeros(2), center=np.zeros(2), outputs=np.array(["x"])),
        packed(point=np.zeros(2), center=np.zeros(2), outputs=np.zeros(1), more=np.zeros(1)),
        packed(point=np.array([{"a": 1}], dtype=object), center=np.zeros(1), outputs=np.zeros(1)),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="is no witness file"):
        read_witness(tmp_path, store(tmp_path, content))


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("point", "center", "outputs"):
            one = io.BytesIO()
            np.save(one, np.zeros(500_000))
            archive.writestr(f"{name}.npy", one.getvalue())
    content = buffer.getvalue()
    assert len(content) < 1_000_000
    with pytest.raises(DataError, match="is no witness file"):
        read_witness(tmp_path, store(tmp_path, content), limit=1_000_000)


def test_a_small_file_takes_little_memory_whatever_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "small"
    file.write_bytes(bytes(range(200)))
    tracemalloc.start()
    try:
        assert read_limited(file, 1024 * MEBIBYTE) == bytes(range(200))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEBIBYTE


@pytest.mark.parametrize(("size", "limit"), [(0, 0), (5, 5), (5, 6), (100_000, 100_000)])
def test_files_up_to_the_limit_are_read_as_a_whole(tmp_path: Path, size: int, limit: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a" * size)
    assert len(read_limited(file, limit)) == size
    if size:
        with pytest.raises(DataError, match="more than"):
            read_limited(file, size - 1)


def test_what_tells_no_size_is_read_as_a_whole_too(tmp_path: Path) -> None:
    for size in (3, 300_000):
        pipe = tmp_path / f"pipe{size}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(b"a" * size,))
        writer.start()
        assert len(read_limited(pipe, 300_000)) == size
        writer.join()
