"""The tables of a store, and the steps that bring an older store to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    inspect,
    select,
)

from netassay.errors import StoreError

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True), Column("applied", String, nullable=False))
"""One row per step that was taken."""

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("command", Text, nullable=False),
    Column("created", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_sha256", String, nullable=False),
    Column("data", Text, nullable=False),
    Column("tool_version", String, nullable=False),
    Column("presentation", LargeBinary, nullable=False),
    Column("arrays", String(64), nullable=True),
)
"""A command that asked: ``key`` hashes the keys of its jobs; ``presentation`` is JSON, ``arrays`` a file."""

jobs = Table(
    "jobs",
    metadata,
    Column("campaign", Integer, ForeignKey("campaigns.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("key", String(64), nullable=False),
    Column("asked", Integer, nullable=False),
    PrimaryKeyConstraint("campaign", "position"),
    Index("jobs_by_key", "key"),
)
"""Which jobs a campaign consists of, in its order; campaigns share the results of jobs with the same key."""

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("worker", String, nullable=False),
    Column("ended", String, nullable=False),
    Column("seconds", Float, nullable=False),
    UniqueConstraint("job", "number"),
)
"""Every attempt at a job that came to an end, "finished" or "failed" with its reason; rows are only ever added."""

results = Table(
    "results",
    metadata,
    Column("job", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, ForeignKey("attempts.id"), nullable=False),
    Column("question", String, nullable=False),
    Column("input_index", Integer, nullable=True),
    Column("document", LargeBinary, nullable=True),
    Column("left_out", Text, nullable=False),
    Column("center", String(64), nullable=True),
    Column("frames", String(64), nullable=True),
    PrimaryKeyConstraint("job", "position"),
)
"""An answer as JSON, or why an input is left out (then ``document`` is null); ``center`` and ``frames`` are files."""

certificates = Table(
    "certificates",
    metadata,
    Column("job", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, ForeignKey("attempts.id"), nullable=False),
    Column("file", String(64), nullable=True),
    Column("reason", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    PrimaryKeyConstraint("job", "position"),
)
"""Certificates of proved answers, which have the same place in ``results``: a file, or the reason why there is none."""

checks = Table(
    "checks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    Column("file", String(64), nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("checker", String, nullable=False),
    Column("arithmetic", String, nullable=False),
    Column("leaves", Integer, nullable=False),
    Column("checked", String, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("checks_by_answer", "job", "position"),
)
"""What checking a certificate found; the last row of an answer counts, and rows are only ever added."""

files = Table("files", metadata, Column("digest", String(64), primary_key=True), Column("content", LargeBinary, nullable=False))
"""Files of a store that has no folder."""


def _first(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False, tables=[campaigns, jobs, attempts, results, files])


def _second(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False, tables=[certificates, checks])


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_first, _second)
"""Step n brings a store of version n to version n + 1, an empty database being of version 0. Steps are never changed, only added."""


def version(connection: Connection) -> int:
    """The version of the store's tables; 0 for an empty database.

    Raises:
        StoreError: If the database has tables that are not a store's.
    """
    names = set(inspect(connection).get_table_names())
    if schema_version.name in names:
        return connection.scalar(select(func.max(schema_version.c.version))) or 0
    if names & set(metadata.tables):
        raise StoreError("the database has tables of a store's names but is none; name another file, or an empty database")
    return 0


def migrate(connection: Connection, steps: Sequence[Callable[[Connection], None]] = MIGRATIONS) -> None:
    """Takes the steps that are missing, in the caller's transaction.

    Raises:
        StoreError: If a newer netassay wrote the store.
    """
    now = checked_version(connection, steps)
    if now == 0 and steps:
        metadata.create_all(connection, checkfirst=True, tables=[schema_version])
    for number, step in enumerate(steps[now:], start=now + 1):
        step(connection)
        connection.execute(insert(schema_version).values(version=number, applied=datetime.now(UTC).isoformat(timespec="seconds")))


def checked_version(connection: Connection, steps: Sequence[Callable[[Connection], None]] = MIGRATIONS) -> int:
    """The version, at most that of this netassay."""
    found = version(connection)
    if found > len(steps):
        raise StoreError(f"the store has version {found}, and this netassay knows versions up to {len(steps)}: use a newer netassay")
    return found
