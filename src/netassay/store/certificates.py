"""What a store keeps of certificates: their files, why some answers have none, and what checking them found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, String, and_, cast, func, insert, inspect, select

from netassay.errors import DataError
from netassay.store.files import digest_of
from netassay.store.schema import certificates, checks, jobs

LONGEST = 1000
"""Characters of a text that is read."""

Place = tuple[str, int]
"""Of an answer: key of its job, position within it."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What came of the certificate of an answer that is proved.

    Args:
        content: Its file; empty where there is none.
        reason: Why there is none.
        seconds: Spent on it.
    """

    content: bytes = b""
    reason: str = ""
    seconds: float

    @property
    def file(self) -> str | None:
        """The name of the file; None where there is none."""
        return digest_of(self.content) if self.content else None


@dataclass(frozen=True, kw_only=True)
class Check:
    """What checking a certificate found.

    Args:
        accepted: Whether it proves what its answer says.
        reason: Why not.
        checker: Who checked, with its version.
        arithmetic: In which numbers.
        leaves: How many leaves were bounded.
        checked: Date and time, ISO 8601.
        seconds: Spent on it.
    """

    accepted: bool
    reason: str
    checker: str
    arithmetic: str
    leaves: int
    checked: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a store says of an answer's certificate.

    Args:
        place: Of the answer.
        file: The name of its file; None where there is none.
        reason: Why there is none.
        seconds: Spent on writing it.
        check: What checking it found last; None where nobody has.
    """

    place: Place
    file: str | None
    reason: str
    seconds: float
    check: Check | None = None


def add_written(connection: Connection, job: str, attempt: int, written: Mapping[int, Written]) -> None:
    """Adds what came of the certificates of a job, by the positions of their answers; their files are kept already."""
    rows = [
        {"job": job, "position": position, "attempt": attempt, "file": one.file, "reason": one.reason, "seconds": one.seconds}
        for position, one in written.items()
    ]
    if rows:
        connection.execute(insert(certificates), rows)


def add_check(connection: Connection, kept: Kept, found: Check) -> None:
    """Adds what checking a certificate found."""
    told = {**vars(found), "accepted": int(found.accepted)}
    connection.execute(insert(checks).values(job=kept.place[0], position=kept.place[1], file=kept.file, **told))


def kept_of(connection: Connection, campaign: int) -> dict[Place, Kept]:
    """What the store says of the certificates of a campaign's answers, by their places; empty for a store of an earlier form.

    Raises:
        DataError: If a row is damaged.
    """
    if not inspect(connection).has_table(certificates.name):
        return {}
    own = jobs.c.campaign == campaign
    latest = select(func.max(checks.c.id)).join(jobs, jobs.c.key == checks.c.job).where(own).group_by(checks.c.job, checks.c.position)
    seen = {_place(row): _check(row) for row in connection.execute(_texts(checks).where(checks.c.id.in_(latest)))}
    rows = connection.execute(_texts(certificates).join(jobs, and_(jobs.c.key == certificates.c.job, own)))
    return {_place(row): _kept(row, seen.get(_place(row))) for row in rows}


def _texts(table: Any) -> Select[Any]:
    """All columns, texts cut short: a row of a stranger may hold anything."""
    columns = [
        func.substr(cast(c, String), 1, LONGEST).label(c.name) if c.name not in ("job", "file") and isinstance(c.type, String) else c
        for c in table.c
    ]
    return select(*columns)


def _place(row: Any) -> Place:
    if not isinstance(row.job, str) or not isinstance(row.position, int):
        raise DataError("a certificate of the store belongs to no answer; the store is damaged")
    return row.job, row.position


def _check(row: Any) -> tuple[str, Check]:
    """The check, with the file that it is about."""
    texts = {name: getattr(row, name) for name in ("file", "reason", "checker", "arithmetic", "checked")}
    if not all(isinstance(text, str) for text in texts.values()) or row.accepted not in (0, 1) or not isinstance(row.leaves, int):
        raise DataError("a check of a certificate in the store cannot be read; the store is damaged")
    file = texts.pop("file")
    return file, Check(accepted=row.accepted == 1, leaves=row.leaves, seconds=_seconds(row), **texts)


def _kept(row: Any, seen: tuple[str, Check] | None) -> Kept:
    if not isinstance(row.reason, str) or not (row.file is None or isinstance(row.file, str)):
        raise DataError("what the store says of a certificate cannot be read; the store is damaged")
    check = seen[1] if seen is not None and seen[0] == row.file else None  # of this file, and no other
    return Kept(place=_place(row), file=row.file, reason=row.reason, seconds=_seconds(row), check=check)


def _seconds(row: Any) -> float:
    if not isinstance(row.seconds, int | float) or not math.isfinite(row.seconds):
        raise DataError("the store says of a certificate that it took no number of seconds; the store is damaged")
    return float(row.seconds)
