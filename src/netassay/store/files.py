"""Files of a store, each under the SHA-256 of its content: in a folder beside a SQLite file, in a table of a PostgreSQL database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, func, insert, select

from netassay.errors import DataError, StoreError
from netassay.results.witness_files import MEBIBYTE, read_limited, write_atomically
from netassay.store.schema import files

LARGEST = 256 * MEBIBYTE
"""Bytes of a file that is read."""

AT_ONCE = 16
"""Files written side by side: disks are slow to say that one file is safe, and hardly slower for many."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Files(Protocol):
    """Content by its SHA-256."""

    def put(self, connection: Connection, contents: Mapping[str, bytes]) -> None:
        """Keeps files, whole and safe on disk before the transaction that names them ends. What is there already stays as it is."""
        ...

    def get(self, connection: Connection, digest: str) -> bytes:
        """The content; raises DataError where it is missing, too large, or not what its name says."""
        ...

    def place(self, digest: str) -> str:
        """Where it lies; empty where it is no file of its own."""
        ...


class FolderFiles:
    """``FOLDER/ab/cdef...``: one file each, which appears whole or not at all.

    Args:
        folder: Made when the first file comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE, "netassay-files")

    def put(self, connection: Connection, contents: Mapping[str, bytes]) -> None:
        del connection
        missing = {path: content for digest, content in contents.items() if not (path := self._path(digest)).exists()}
        if len(missing) == 1:
            write_atomically(*next(iter(missing.items())))
        elif missing:
            writing = [self._pool.submit(write_atomically, *one) for one in missing.items()]
            wait(writing)  # all of them, also after a failure: none may still be at work when the caller goes on
            for one in writing:
                one.result()

    def get(self, connection: Connection, digest: str) -> bytes:
        del connection
        return _checked(digest, read_limited(self._path(digest), LARGEST))

    def place(self, digest: str) -> str:
        return str(self._path(digest))

    def _path(self, digest: str) -> Path:
        return self._folder / _named(digest)[:2] / digest[2:]


class TableFiles:
    """Rows of the table ``files``: a database that several machines share has no folder that they all see."""

    def put(self, connection: Connection, contents: Mapping[str, bytes]) -> None:
        there = set(connection.scalars(select(files.c.digest).where(files.c.digest.in_(sorted(contents)))))
        missing = [{"digest": _named(digest), "content": content} for digest, content in sorted(contents.items()) if digest not in there]
        if missing:
            connection.execute(insert(files), missing)

    def get(self, connection: Connection, digest: str) -> bytes:
        size = connection.scalar(select(func.length(files.c.content)).where(files.c.digest == _named(digest)))
        if size is None or size > LARGEST:
            raise DataError(
                f"the store's file {digest} is {'missing' if size is None else f'{size} bytes long'}; take the store it came from"
            )
        content = connection.scalar(select(files.c.content).where(files.c.digest == digest))
        return _checked(digest, bytes(content or b""))

    def place(self, digest: str) -> str:
        del digest
        return ""


def digest_of(content: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(content).hexdigest()


def _named(digest: str) -> str:
    """The digest, if it is one: nothing else can lead out of a folder."""
    if not _DIGEST.fullmatch(digest):
        raise StoreError(f"the store names a file {digest[:100]!r}; files have 64 hexadecimal digits: it was tampered with")
    return digest


def _checked(digest: str, content: bytes) -> bytes:
    if digest_of(content) != digest:
        raise DataError(f"the store's file {digest} was changed since it was written; take it from the store that it came from")
    return content
