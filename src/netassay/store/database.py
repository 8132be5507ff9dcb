"""Databases by their URL: SQLite in WAL mode, or PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from netassay.errors import StoreError, UsageError
from netassay.results.witness_files import MEBIBYTE
from netassay.store.files import Files, FolderFiles, TableFiles

FORMS = "FILE.db, sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE"
LOCK_SECONDS = 60.0
"""How long one writer waits for another."""
LARGEST_ROW = 128 * MEBIBYTE
"""Bytes of a text or a row of SQLite; no store that netassay wrote comes near."""
WRITING = {"netassay_writing": True}
_LOCK = 7_305_871_446
"""The advisory lock of PostgreSQL that one writer holds at a time."""


@dataclass(frozen=True)
class Database:
    """A database, and where its files are.

    Args:
        engine: Of SQLAlchemy.
        files: Beside it or in it.
        name: How messages call it, without a password.
    """

    engine: Engine
    files: Files
    name: str

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store."""
        with self._told(), self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other writer runs beside; what is written in it is there as a whole or not at all."""
        with self._told(), self.engine.connect().execution_options(**WRITING) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(
                f"the store {self.name}: {_said(error)}; what it holds is kept: see to it, and give the same command again"
            ) from error
        except SQLAlchemyError as error:
            raise StoreError(f"the store {self.name} is damaged: {_said(error)}; restore it from a copy, or name a new one") from error


@contextmanager
def opening(url: str, *, write: bool) -> Iterator[Database]:
    """The database of a URL, whose connections are given back if what is done first with it fails; see ``connect``."""
    database = connect(url, write=write)
    try:
        yield database
    except BaseException:
        database.engine.dispose()
        raise


def connect(url: str, *, write: bool) -> Database:
    """The database of a URL, or of a path, which means SQLite.

    Raises:
        UsageError: For another kind of URL.
        StoreError: If there is no such file and ``write`` does not make one, or the database cannot be reached.
    """
    if "://" not in url:
        return _sqlite(Path(url), write)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(f"cannot read the store's URL ({error}); expected {FORMS}") from error
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise UsageError(f"the store {url!r} names no file; expected {FORMS}")
        return _sqlite(Path(parsed.database), write)
    if kind == "postgresql":
        return _postgresql(parsed)
    raise UsageError(f"unknown kind of store {kind!r}; expected {FORMS}")


def _sqlite(path: Path, write: bool) -> Database:
    if not write and not path.is_file():
        raise StoreError(f"there is no store {path}; name the file that --store named")
    if write and not path.parent.is_dir():
        raise StoreError(f"the store {path} cannot be made: there is no folder {path.parent}; make it, or name another")
    engine = create_engine("sqlite://", creator=lambda: _opened(path, write), poolclass=QueuePool)
    event.listen(engine, "begin", _begin)
    return Database(engine, FolderFiles(path.with_name(path.name + ".files")), str(path))


def _opened(path: Path, write: bool) -> sqlite3.Connection:
    """A connection that a hostile file cannot do much with: its views and triggers may call nothing, its rows have a limit."""
    uri = f"file:{quote(str(path.absolute()))}?mode={'rwc' if write else 'ro'}"
    connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_ROW)
        connection.execute("PRAGMA trusted_schema=OFF")
        if write:
            _in_wal_mode(connection)
            connection.execute("PRAGMA synchronous=NORMAL")
        else:
            connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _in_wal_mode(connection: sqlite3.Connection) -> None:
    """Readers do not wait for the writer; the switch itself does not wait for anybody, so it is tried for a while."""
    until = time.monotonic() + LOCK_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            with closing(connection.execute("PRAGMA journal_mode=WAL")) as cursor:
                cursor.fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("netassay_writing") else "BEGIN")


def _postgresql(parsed: URL) -> Database:
    shown = parsed.render_as_string(hide_password=True)
    try:
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"))
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(f"the store {shown} needs PostgreSQL's driver: pip install 'netassay[postgres]'") from error
    return Database(engine, TableFiles(), shown)


def _said(error: Exception) -> str:
    """The first line of what a driver says."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
