"""Writing to a store: only the process that drives a campaign does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, func, insert, select

from netassay.store.certificates import Check, Kept, add_check, add_written
from netassay.store.database import Database, opening
from netassay.store.files import digest_of
from netassay.store.packing import Packed, pack_presentation
from netassay.store.records import Presentation
from netassay.store.schema import attempts, campaigns, jobs, migrate, results
from netassay.store.store import Store

SOME = 500
"""Keys in one question to the database."""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What is said of a campaign as a whole, see ``Campaign``.

    Args:
        command, title, model, model_sha256, data, tool_version: In words.
        presentation: For reports.
    """

    command: str
    title: str
    model: str
    model_sha256: str
    data: str
    tool_version: str
    presentation: Presentation


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a job that came to an end.

    Args:
        job: The job's key.
        worker: Who made it.
        seconds: Spent on it.
        reason: Why it failed; empty where it did not.
    """

    job: str
    worker: str
    seconds: float
    reason: str = ""


def open_writer(url: str) -> Writer:
    """Opens a store for writing; it is made where there is none, and brought to today's form where it is older.

    Args:
        url: As for ``open_store``.
    Raises:
        UsageError: For another kind of URL.
        StoreError: If it cannot be made or written, or a newer netassay wrote it.
    """
    with opening(url, write=True) as database, database.writing() as connection:
        migrate(connection)
    return Writer(database)


@dataclass(frozen=True)
class Writer:
    """Adds campaigns, results and attempts; nothing is ever changed or removed.

    Any number of writers may work on one store: a result is kept once, from whoever has it first.
    """

    database: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.database.engine.dispose()

    def store(self) -> Store:
        """The same store, for reading."""
        return Store(self.database)

    def begin(self, heading: Heading, asked: Sequence[tuple[str, int]]) -> int:
        """The number of the campaign that consists of these jobs (key, answers asked for); the same jobs are the same campaign."""
        key = digest_of("\n".join(job for job, _ in asked).encode("ascii"))
        with self.database.writing() as connection:
            known = connection.scalar(select(campaigns.c.id).where(campaigns.c.key == key))
            return self._added(connection, key, heading, asked) if known is None else int(known)

    def _added(self, connection: Connection, key: str, heading: Heading, asked: Sequence[tuple[str, int]]) -> int:
        shown, arrays = pack_presentation(heading.presentation)
        if arrays is not None:
            self.database.files.put(connection, {digest_of(arrays): arrays})
        told = {name: value for name, value in vars(heading).items() if name != "presentation"}
        kept = {"key": key, "created": _now(), "presentation": shown, "arrays": None if arrays is None else digest_of(arrays)}
        number = connection.execute(insert(campaigns).values(**told, **kept)).inserted_primary_key[0]  # type: ignore[index]
        rows = [{"campaign": number, "position": i, "key": job, "asked": count} for i, (job, count) in enumerate(asked)]
        if rows:
            connection.execute(insert(jobs), rows)
        return int(number)

    def finished(self, keys: Sequence[str]) -> set[str]:
        """Which of these jobs have their results."""
        found: set[str] = set()
        with self.database.reading() as connection:
            for i in range(0, len(keys), SOME):
                found.update(connection.scalars(select(results.c.job).where(results.c.job.in_(keys[i : i + SOME])).distinct()))
        return found

    def save(self, attempt: Attempt, packed: Sequence[Packed]) -> bool:
        """Keeps all results of a job in one transaction; False where they are there already, and nothing is added."""
        with self.database.writing() as connection:
            if connection.scalar(select(func.count()).where(results.c.job == attempt.job)):
                return False
            self.database.files.put(connection, {name: content for one in packed for name, content in one.files.items()})
            number = _attempted(connection, attempt, "finished")
            connection.execute(insert(results), [_row(attempt.job, number, one) for one in packed])
            add_written(connection, attempt.job, number, {one.position: one.certificate for one in packed if one.certificate is not None})
        return True

    def check(self, kept: Kept, found: Check) -> None:
        """Keeps what checking the certificate of an answer found."""
        with self.database.writing() as connection:
            add_check(connection, kept, found)

    def fail(self, attempt: Attempt) -> None:
        """Keeps that a job failed, and why."""
        with self.database.writing() as connection:
            _attempted(connection, attempt, "failed")


def _attempted(connection: Connection, attempt: Attempt, status: str) -> int:
    before = connection.scalar(select(func.max(attempts.c.number)).where(attempts.c.job == attempt.job)) or 0
    added = insert(attempts).values(**vars(attempt), number=before + 1, status=status, ended=_now())
    return int(connection.execute(added).inserted_primary_key[0])  # type: ignore[index]


def _row(job: str, attempt: int, one: Packed) -> dict[str, object]:
    return {
        "job": job,
        "position": one.position,
        "attempt": attempt,
        "question": one.question,
        "input_index": one.index,
        "document": one.document,
        "left_out": one.left_out,
        "center": one.center,
        "frames": one.frames,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
