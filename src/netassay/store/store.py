"""Reading a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, case, exists, func, select

from netassay.errors import DataError, StoreError
from netassay.results.answer import Answer
from netassay.results.witness_files import MEBIBYTE, StoredWitness
from netassay.store.certificates import Kept, Place, kept_of
from netassay.store.database import Database, opening
from netassay.store.packing import LARGEST_DOCUMENT, Get, Snapshots, stored_input, unpack, unpack_presentation
from netassay.store.records import Campaign
from netassay.store.schema import attempts, campaigns, checked_version, jobs, results

AT_ONCE, SMALL = 200, 256 * 1024
"""Rows fetched at a time, and bytes of a document that is fetched with its row."""

KEPT = 64 * MEBIBYTE
"""Bytes of inputs that are kept at hand, since many answers are about the same input."""


def open_store(url: str) -> Store:
    """Opens a store for reading.

    Args:
        url: ``sqlite:///FILE.db``, the path of such a file, or ``postgresql://USER:PASSWORD@HOST/DATABASE``.
    Raises:
        UsageError: For another kind of URL.
        StoreError: If there is no store, or a newer netassay wrote it.
    """
    with opening(url, write=False) as database, database.reading() as connection:
        if checked_version(connection) == 0:
            raise StoreError(f"{database.name} holds no store yet; 'netassay assess ... --store' makes one")
    return Store(database)


@dataclass(frozen=True)
class Store:
    """The campaigns and answers of a database; each method reads one state of it, whoever writes meanwhile.

    What is read is checked: a store that a stranger gives can be refused (DataError, StoreError), and do no more.
    """

    database: Database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connections back."""
        self.database.engine.dispose()

    def campaigns(self) -> list[Campaign]:
        """All campaigns, in the order in which they began."""
        with self.database.reading() as connection:
            rows = connection.execute(select(campaigns).order_by(campaigns.c.id)).all()
            return [self._campaign(connection, row) for row in rows]

    def answers(self, campaign: int | None = None) -> Iterator[Answer]:
        """The finished answers of a campaign, in the order in which they were asked; of all campaigns, each once, for None.

        Their snapshots (``frames``) are read when they are first looked at, which may raise as well.

        Raises:
            StoreError: If there is no such campaign.
            DataError: If an answer is damaged.
        """
        with self.database.reading() as connection:
            for _, answer in self._answers(connection, campaign):
                yield answer

    def certified(self, campaign: int) -> Iterator[tuple[Answer, Kept | None]]:
        """The same with what the store says of each answer's certificate; None where none was wanted, or nothing is proved."""
        with self.database.reading() as connection:
            kept = kept_of(connection, campaign)
            for place, answer in self._answers(connection, campaign):
                yield answer, kept.get(place)

    def file(self, name: str) -> bytes:
        """The content of a file by its name.

        Raises:
            DataError: If it is missing, too large, or was changed; StoreError: if that is no name of a file.
        """
        return self._file(name)

    def place(self, name: str) -> str:
        """Where a file lies, by its name; empty where the database keeps it. StoreError if that is no name of a file."""
        return self.database.files.place(name)

    def _answers(self, connection: Connection, campaign: int | None) -> Iterator[tuple[Place, Answer]]:
        get = self._getter(connection)
        inputs = _Inputs(get)
        for row in self._results(connection, campaign, results.c.document.is_not(None)):
            if row.center is None:
                raise DataError(f"the answer about input {row.input_index} has no input; the store is damaged")
            told, center = _document(connection, row), inputs(row.center)
            frames = () if row.frames is None else Snapshots(partial(self._file, row.frames), center.center.shape)
            yield (row.job, row.position), unpack(told, center, frames, get)

    def left_out(self, campaign: int | None = None) -> list[tuple[int, str]]:
        """Inputs (index, why) that a risk could not be bound to; an input appears once for each risk and question."""
        with self.database.reading() as connection:
            return [(row.input_index, row.left_out) for row in self._results(connection, campaign, results.c.document.is_(None))]

    def outputs(self, campaign: int | None = None) -> dict[int, NDArray[np.float64]]:
        """The network's raw outputs at the inputs, by the index of the input; inputs without finite ones are missing."""
        found: dict[int, NDArray[np.float64]] = {}
        with self.database.reading() as connection:
            for row in self._results(connection, campaign, results.c.center.is_not(None)):
                if row.input_index is not None and row.input_index not in found:
                    outputs = stored_input(row.center, self._getter(connection)).outputs
                    found[row.input_index] = np.asarray(outputs, dtype=np.float64)
        return {index: outputs for index, outputs in found.items() if outputs.size}

    def failures(self, campaign: int) -> list[str]:
        """Why jobs without results failed last."""
        with self.database.reading() as connection:
            last = select(func.max(attempts.c.id)).group_by(attempts.c.job)
            chosen = select(attempts.c.reason).join(jobs, attempts.c.job == jobs.c.key).where(attempts.c.id.in_(last))
            chosen = chosen.where(jobs.c.campaign == campaign, ~_finished())
            return list(connection.scalars(chosen.order_by(jobs.c.position)))

    def _campaign(self, connection: Connection, row: Any) -> Campaign:
        own = jobs.c.campaign == row.id
        kept = case((results.c.document.is_not(None), 1), else_=0)
        told = connection.execute(select(func.sum(kept), func.count()).join(jobs, jobs.c.key == results.c.job).where(own)).one()
        tried = exists().where(attempts.c.job == jobs.c.key)
        failed = connection.scalar(select(func.sum(jobs.c.asked)).where(own, tried, ~_finished()))
        finished = int(told[0] or 0)
        fields = ("id", "command", "created", "title", "model", "model_sha256", "data", "tool_version")
        arrays = None if row.arrays is None else self.database.files.get(connection, row.arrays)
        return Campaign(
            **{name: getattr(row, name) for name in fields},
            asked=int(connection.scalar(select(func.sum(jobs.c.asked)).where(own)) or 0),
            finished=finished,
            left_out=int(told[1]) - finished,
            failed=int(failed or 0),
            presentation=unpack_presentation(row.presentation, arrays),
        )

    def _results(self, connection: Connection, campaign: int | None, wanted: Any) -> Iterator[Any]:
        """Rows of results, each once, campaign by campaign; documents that are large are left out, see ``_document``."""
        numbers = list(connection.scalars(select(campaigns.c.id).order_by(campaigns.c.id)))
        if campaign is not None and campaign not in numbers:
            raise StoreError(f"the store {self.database.name} has no campaign {campaign}; it has {', '.join(map(str, numbers)) or 'none'}")
        seen: set[str] = set()
        names = [c for c in results.c if c is not results.c.document]
        for number in numbers if campaign is None else [campaign]:
            before = frozenset(seen)
            size = func.length(results.c.document)
            chosen = select(*names, size.label("size"), case((size <= SMALL, results.c.document)).label("small"))
            chosen = chosen.join(jobs, and_(jobs.c.key == results.c.job, jobs.c.campaign == number)).where(wanted)
            ordered = chosen.order_by(jobs.c.position, results.c.position).execution_options(yield_per=AT_ONCE)
            for row in connection.execute(ordered):
                if row.job not in before:
                    seen.add(row.job)
                    yield row

    def _file(self, digest: str) -> bytes:
        with self.database.reading() as connection:
            return self.database.files.get(connection, digest)

    def _getter(self, connection: Connection) -> Get:
        return lambda digest: self.database.files.get(connection, digest)


class _Inputs:
    """Inputs by the name of their file, the latest ones without reading it again.

    Args:
        get: Reads a file.
    """

    def __init__(self, get: Get) -> None:
        self._get = get
        self._known: dict[str, StoredWitness] = {}
        self._bytes = 0

    def __call__(self, digest: str) -> StoredWitness:
        if digest not in self._known:
            found = stored_input(digest, self._get)
            self._bytes += found.point.nbytes + found.center.nbytes + found.outputs.nbytes
            if self._bytes > KEPT:
                self._known.clear()
                self._bytes = 0
            self._known[digest] = found
        return self._known[digest]


def _finished() -> Any:
    return exists().where(results.c.job == jobs.c.key)


def _document(connection: Connection, row: Any) -> bytes:
    """The document of a result, once its size is known."""
    if row.size > LARGEST_DOCUMENT:
        raise DataError(f"an answer of {row.size} bytes is longer than any that netassay writes; the store was tampered with")
    if row.small is not None:
        return bytes(row.small)
    chosen = select(results.c.document).where(results.c.job == row.job, results.c.position == row.position)
    return bytes(connection.scalars(chosen).one())
