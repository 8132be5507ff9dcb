"""Certificates are kept with their answers or not at all, checks of them are only ever added, and strange rows are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, update

from netassay.errors import DataError, StoreError
from netassay.store import open_store
from netassay.store import schema as tables
from netassay.store.certificates import Check, Kept, Written
from netassay.store.database import connect
from netassay.store.files import digest_of
from netassay.store.packing import Packed, pack
from netassay.store.schema import MIGRATIONS, migrate
from netassay.store.writer import Writer, open_writer
from reports import sample_answers
from store.stores import HEADING, JOB, OTHER, attempt, packed

ANSWERS = sample_answers.image_answers(3)[:3]
FILE = Written(content=b"a certificate", seconds=0.25)
NONE = Written(reason="it was not found in time", seconds=1.5)
CHECK = Check(
    accepted=True, reason="", checker="netassay check 0", arithmetic="float64", leaves=7, checked="2026-01-02T03:04:05+00:00", seconds=0.5
)


def certified(*written: Written | None) -> list[Packed]:
    return [pack(answer, i, np.arange(3.0), one) for i, (answer, one) in enumerate(zip(ANSWERS, written, strict=True))]


def begun(writer: Writer, *written: Written | None) -> int:
    number = writer.begin(HEADING, [(JOB, len(ANSWERS))])
    assert writer.save(attempt(), certified(*written))
    return number


def kept(writer: Writer, number: int) -> list[Kept | None]:
    return [one for _, one in writer.store().certified(number)]


def test_they_come_back_with_their_answers(url: str) -> None:
    with open_writer(url) as writer:
        number = begun(writer, FILE, None, NONE)
    with open_store(url) as store:
        found = list(store.certified(number))
        assert [answer.index for answer, _ in found] == [answer.index for answer in ANSWERS]
        first, second, third = (one for _, one in found)
        assert first == Kept(place=(JOB, 0), file=digest_of(FILE.content), reason="", seconds=0.25)
        assert second is None
        assert third == Kept(place=(JOB, 2), file=None, reason=NONE.reason, seconds=1.5)
        assert store.file(digest_of(FILE.content)) == FILE.content


def test_the_last_check_counts_and_none_is_lost(url: str) -> None:
    with open_writer(url) as writer:
        number = begun(writer, FILE, NONE, FILE)
        first, _, third = kept(writer, number)
        assert first is not None
        assert third is not None
        bad = replace(CHECK, accepted=False, reason="case 0, part 1, leaf 2: its lower bound is -1")
        for one in (bad, CHECK):
            writer.check(first, one)
        writer.check(third, bad)
        assert [one and one.check for one in kept(writer, number)] == [CHECK, None, bad]
        with writer.database.reading() as connection:
            rows = connection.execute(select(tables.checks.c.position, tables.checks.c.accepted).order_by(tables.checks.c.id)).all()
        assert [tuple(row) for row in rows] == [(0, 0), (0, 1), (2, 0)]


def test_a_check_of_another_file_says_nothing(url: str) -> None:
    with open_writer(url) as writer:
        number = begun(writer, FILE, None, None)
        (first, *_) = kept(writer, number)
        assert first is not None
        writer.check(replace(first, file="0" * 64), CHECK)
        assert kept(writer, number)[0] == first


def test_a_transaction_that_fails_leaves_no_certificate(url: str) -> None:
    with open_writer(url) as writer:
        number = writer.begin(HEADING, [(JOB, len(ANSWERS))])
        writer.fail(attempt(reason="its worker died"))
        place = {"job": JOB, "position": 1, "attempt": 1, "reason": "", "seconds": 0.0}
        with writer.database.writing() as connection:
            connection.execute(insert(tables.certificates).values(**place))
        with pytest.raises(StoreError):
            writer.save(attempt(), certified(FILE, FILE, FILE))  # the second one's place is taken
        assert writer.finished([JOB]) == set()
        with writer.database.reading() as connection:
            assert len(connection.execute(select(tables.certificates)).all()) == 1
            assert connection.execute(select(tables.results)).all() == []
        with writer.database.writing() as connection:
            connection.execute(delete(tables.certificates))
        assert writer.save(attempt(), certified(FILE, FILE, FILE))
        assert not writer.save(attempt(), certified(NONE, NONE, NONE))
        assert {one.file for one in kept(writer, number) if one is not None} == {digest_of(FILE.content)}


def test_certificates_of_other_campaigns_are_left_out(url: str) -> None:
    with open_writer(url) as writer:
        begun(writer, FILE, FILE, FILE)
        number = writer.begin(HEADING, [(OTHER, len(ANSWERS))])
        writer.save(attempt(OTHER), packed(list(ANSWERS)))
        assert kept(writer, number) == [None] * len(ANSWERS)


def test_a_store_of_the_first_form_has_none_and_is_brought_to_todays(url: str) -> None:
    database = connect(url, write=True)
    with database.writing() as connection:
        migrate(connection, MIGRATIONS[:1])
    old = Writer(database)
    number = old.begin(HEADING, [(JOB, len(ANSWERS))])
    assert old.save(attempt(), packed(list(ANSWERS)))
    database.engine.dispose()
    with open_store(url) as store:
        assert [one for _, one in store.certified(number)] == [None] * len(ANSWERS)
    with open_writer(url) as writer:
        begun_again = writer.begin(HEADING, [(OTHER, len(ANSWERS))])
        assert writer.save(attempt(OTHER), certified(FILE, NONE, None))
        assert [one is None for one in kept(writer, begun_again)] == [False, False, True]


def test_a_file_that_is_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netassay.store.packing.LARGEST", len(FILE.content) - 1)
    (one, *_) = certified(FILE, None, None)
    assert one.certificate is not None
    assert one.certificate.file is None
    assert "more than a store keeps" in one.certificate.reason
    assert digest_of(FILE.content) not in one.files


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (tables.certificates, {"seconds": "soon"}),
        (tables.certificates, {"file": b"\xff"}),
        (tables.checks, {"accepted": 7}),
        (tables.checks, {"leaves": "many"}),
        (tables.checks, {"seconds": float("inf")}),
    ],
)
def test_strange_rows_are_refused(tmp_path: Path, table: Any, values: dict[str, Any]) -> None:
    """SQLite keeps whatever it is given, whatever the column's type."""
    path = str(tmp_path / "runs.db")
    with open_writer(path) as writer:
        number = begun(writer, FILE, None, None)
        (first, *_) = kept(writer, number)
        assert first is not None
        writer.check(first, CHECK)
        (name,) = values
        with writer.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE {table.name} SET {name} = ?", (values[name],))
    with open_store(path) as store, pytest.raises(DataError, match="damaged"):
        list(store.certified(number))


def test_names_of_files_lead_nowhere_and_texts_are_cut(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    (tmp_path / "secret").write_bytes(b"secret")
    with open_writer(path) as writer:
        number = begun(writer, FILE, NONE, None)
        with writer.database.writing() as connection:
            connection.execute(update(tables.certificates).where(tables.certificates.c.position == 0).values(file="../../secret"))
            connection.execute(update(tables.certificates).where(tables.certificates.c.position == 1).values(reason="x" * 3_000_000))
    with open_store(path) as store:
        first, second, _ = (one for _, one in store.certified(number))
        assert first is not None
        assert second is not None
        assert len(second.reason) == 1000
        with pytest.raises(StoreError, match="64 hexadecimal digits"):
            store.file(str(first.file))
