"""Files under the hash of their content: kept once, and given back only as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from netassay.errors import DataError, StoreError
from netassay.store.files import digest_of
from netassay.store.writer import Writer, open_writer

CONTENTS = {digest_of(content): content for content in (b"one", b"two", b"")}


def _tamper(writer: Writer, url: str, digest: str) -> None:
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///") + ".files")
        (folder / digest[:2] / digest[2:]).write_bytes(b"other")
    else:
        with writer.database.writing() as connection:
            connection.execute(text("UPDATE files SET content = 'other' WHERE digest = :digest"), {"digest": digest})


def test_files_come_back_or_are_refused(url: str) -> None:
    with open_writer(url) as writer:
        files = writer.database.files
        for _ in range(2):
            with writer.database.writing() as connection:
                files.put(connection, CONTENTS)
        with writer.database.reading() as connection:
            assert {digest: files.get(connection, digest) for digest in CONTENTS} == CONTENTS
            with pytest.raises(DataError):
                files.get(connection, "0" * 64)
            with pytest.raises(StoreError, match="64 hexadecimal digits"):
                files.get(connection, "../../etc/passwd")
        _tamper(writer, url, digest_of(b"two"))
        with writer.database.reading() as connection:
            with pytest.raises(DataError, match="was changed since it was written"):
                files.get(connection, digest_of(b"two"))
            assert files.get(connection, digest_of(b"one")) == b"one"
        with writer.database.writing() as connection, pytest.raises(StoreError):
            files.put(connection, {"../outside": b"x"})


def test_a_file_of_its_own_has_a_place(url: str) -> None:
    with open_writer(url) as writer:
        with writer.database.writing() as connection:
            writer.database.files.put(connection, CONTENTS)
        place = writer.store().place(digest_of(b"one"))
        if url.startswith("sqlite"):
            assert Path(place).read_bytes() == b"one"
            with pytest.raises(StoreError, match="64 hexadecimal digits"):
                writer.store().place("../../etc/passwd")
        else:
            assert place == ""
