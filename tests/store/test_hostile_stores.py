"""Stores from strangers, full disks and damage: an error that says so, and no harm."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from netassay.errors import DataError, NetassayError, StoreError
from netassay.results import witness_files
from netassay.store import open_store
from netassay.store.files import FolderFiles, digest_of
from netassay.store.packing import packed_arrays
from netassay.store.writer import open_writer
from reports import sample_answers
from store.stores import HEADING, JOB, attempt, packed

ANSWERS = sample_answers.image_answers(3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good store, to be damaged."""
    found = tmp_path / "runs.db"
    with open_writer(str(found)) as writer:
        writer.begin(HEADING, [(JOB, len(ANSWERS))])
        writer.save(attempt(), packed(ANSWERS))
    return found


def changed(path: Path, statement: str, *values: Any) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def read(path: Path) -> int:
    """Reads all that there is: the number of answers."""
    with open_store(str(path)) as store:
        return len([len(answer.frames) for answer in store.answers()])


def test_a_good_store_is_read(path: Path) -> None:
    assert read(path) == len(ANSWERS)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a" * 63 + "/", "..", "A" * 64, "", "a" * 64 + "\n"])
@pytest.mark.parametrize("column", ["center", "frames"])
def test_names_of_files_lead_nowhere(path: Path, name: str, column: str) -> None:
    (path.parent / "secret").write_bytes(b"secret")
    changed(path, f"UPDATE results SET {column} = ? WHERE position = 0", name)
    with pytest.raises(NetassayError, match="64 hexadecimal digits"):
        read(path)


def test_names_in_documents_lead_nowhere(path: Path) -> None:
    content = json.loads(sqlite3.connect(path).execute("SELECT document FROM results WHERE position = 0").fetchone()[0])
    for name in ("witnesses/../../../etc/passwd", "/etc/passwd", "witnesses/" + "a" * 64 + ".npz/.."):
        content["witness"]["file"] = name
        changed(path, "UPDATE results SET document = ? WHERE position = 0", json.dumps(content).encode())
        with pytest.raises(DataError, match="no valid netassay/answer"):
            read(path)


@pytest.mark.parametrize(
    "document", [b"", b"[1]", b"{}", b"[" * 100_000, b"\xff\xfe", b"null", b'{"schema": "netassay/answer/2"}', b'{"schema": NaN}']
)
def test_what_is_no_answer_is_refused(path: Path, document: bytes) -> None:
    changed(path, "UPDATE results SET document = ? WHERE position = 0", document)
    with pytest.raises(DataError):
        read(path)


def test_a_huge_document_is_refused_before_it_is_read(path: Path) -> None:
    size = 100 * 1024**2
    changed(path, "UPDATE results SET document = zeroblob(?) WHERE position = 0", size)
    tracemalloc.start()
    with pytest.raises(DataError, match=f"{size} bytes"):
        read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 4


def test_a_row_beyond_the_limit_is_refused(path: Path) -> None:
    changed(path, "UPDATE results SET document = zeroblob(?) WHERE position = 0", 140 * 1024**2)
    with pytest.raises(NetassayError):
        read(path)
    changed(path, "UPDATE campaigns SET presentation = zeroblob(?)", 70 * 1024**2)
    with open_store(str(path)) as store, pytest.raises(DataError, match="tampered"):
        store.campaigns()


def test_views_and_triggers_call_nothing(path: Path, tmp_path: Path) -> None:
    """A table that is a view with a function in it: the store is opened without trust in its schema."""
    changed(path, "ALTER TABLE campaigns RENAME TO real_campaigns")
    columns = "id, key, writefile('x', 'y') AS command, created, title, model, model_sha256, data, tool_version, presentation, arrays"
    changed(path, f"CREATE VIEW campaigns AS SELECT {columns} FROM real_campaigns")
    with pytest.raises(StoreError):
        read(path)


def test_files_that_were_changed_or_are_missing_are_told(path: Path) -> None:
    folder = path.with_name("runs.db.files")
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    assert all(digest_of(p.read_bytes()) == p.parent.name + p.name for p in found)
    kept = found[0].read_bytes()
    for file in found:
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="was changed since it was written"):
        read(path)
    found[0].write_bytes(kept)
    for file in found:
        file.unlink()
    with pytest.raises(DataError, match="cannot read"):
        read(path)


def test_pickles_in_files_are_refused(path: Path) -> None:
    """A file whose name is right and whose arrays would run code."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(path.with_name("trapped")),))

    content = packed_arrays_of(Trap())
    digest = digest_of(content)
    FolderFiles(path.with_name("runs.db.files")).put(None, {digest: content})  # type: ignore[arg-type]
    changed(path, "UPDATE results SET center = ?, frames = ? WHERE position = 0", digest, digest)
    with pytest.raises(DataError):
        read(path)
    assert not path.with_name("trapped").exists()


def packed_arrays_of(trap: object) -> bytes:
    import io

    buffer = io.BytesIO()
    array = np.array([trap], dtype=object)
    np.savez(buffer, points=array, values=array)
    return buffer.getvalue()


def test_arrays_of_other_names_or_kinds_are_refused(path: Path) -> None:
    content = packed_arrays(points=np.arange(3), values=np.arange(3))
    FolderFiles(path.with_name("runs.db.files")).put(None, {digest_of(content): content})  # type: ignore[arg-type]
    changed(path, "UPDATE results SET frames = ? WHERE position = 0", digest_of(content))
    with pytest.raises(DataError, match="floating-point"):
        read(path)


def test_snapshots_are_read_when_they_are_looked_at(path: Path) -> None:
    place = next(i for i, answer in enumerate(ANSWERS) if answer.frames)
    (name,) = sqlite3.connect(path).execute("SELECT frames FROM results WHERE position = ?", (place,)).fetchone()
    with open_store(str(path)) as store:
        seen = list(store.answers())[place].frames
        assert len(seen) == len(ANSWERS[place].frames)
        (path.with_name("runs.db.files") / name[:2] / name[2:]).unlink()
        unseen = list(store.answers())[place].frames
        assert [value for value, _ in seen[1:]] == [value for value, _ in ANSWERS[place].frames[1:]]
        with pytest.raises(DataError, match="cannot read"):
            len(unseen)


@pytest.mark.parametrize(("points", "values"), [((3, 2), (3,)), ((2, 1, 8, 8), (3,)), ((3, 1, 8, 8), (3, 1)), ((3,), (3,)), ((), ())])
def test_snapshots_of_another_shape_are_refused(path: Path, points: tuple[int, ...], values: tuple[int, ...]) -> None:
    content = packed_arrays(points=np.zeros(points), values=np.zeros(values))
    FolderFiles(path.with_name("runs.db.files")).put(None, {digest_of(content): content})  # type: ignore[arg-type]
    changed(path, "UPDATE results SET frames = ? WHERE position = 0", digest_of(content))
    with pytest.raises(DataError, match="no snapshots of inputs of shape"):
        read(path)


def test_labels_are_data(path: Path) -> None:
    with open_store(str(path)) as store:
        assert store.campaigns()[0].presentation.label_names[0] == "<b>null</b>"
    changed(path, "UPDATE campaigns SET presentation = ?", b'{"label_names": 3}')
    with open_store(str(path)) as store, pytest.raises(DataError, match="cannot be read"):
        store.campaigns()


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after a few files: the job is not kept, those before it are, and it is kept once there is room."""
    path, other = tmp_path / "runs.db", "c" * 64
    with open_writer(str(path)) as writer:
        writer.begin(HEADING, [(JOB, 2), (other, len(ANSWERS))])
        writer.save(attempt(), packed(ANSWERS[:2]))
        written: list[int] = []

        def full(descriptor: int) -> None:
            written.append(descriptor)
            if len(written) > 2:
                time.sleep(0.1 * (len(written) - 3))  # the later ones are still at work when the first has failed
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(witness_files.os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                writer.save(attempt(other), packed(ANSWERS))
        assert writer.finished([JOB, other]) == {JOB}
        assert read(path) == 2
        assert not list(path.with_name("runs.db.files").rglob("*.part"))
        assert writer.save(attempt(other), packed(ANSWERS))
        assert read(path) == 2 + len(ANSWERS)


def test_a_full_database_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    path, other = tmp_path / "runs.db", "c" * 64
    with open_writer(str(path)) as writer:
        writer.begin(HEADING, [(JOB, 2), (other, len(ANSWERS))])
        writer.save(attempt(), packed(ANSWERS[:2]))
        pages = sqlite3.connect(path).execute("PRAGMA page_count").fetchone()[0]
        limited = writer.database.engine

        def small(opened: Any, _record: Any) -> None:
            opened.execute(f"PRAGMA max_page_count={pages}")

        event.listen(limited, "connect", small)
        limited.dispose()
        with pytest.raises(StoreError, match="database or disk is full"):
            writer.save(attempt(other), packed(ANSWERS))
        event.remove(limited, "connect", small)
        limited.dispose()
        assert writer.finished([JOB, other]) == {JOB}
        assert read(path) == 2
        assert writer.save(attempt(other), packed(ANSWERS))
