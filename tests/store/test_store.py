"""What is kept comes back: whole, once, in order, and no other results with it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, select, text

from netassay.errors import StoreError, UsageError
from netassay.results.answer import Answer
from netassay.results.codec import document
from netassay.store import open_store
from netassay.store import schema as tables
from netassay.store.packing import Packed
from netassay.store.writer import Writer, open_writer
from reports import sample_answers
from store.stores import HEADING, JOB, OTHER, PRESENTATION, attempt, packed

ANSWERS: list[Answer] = [*sample_answers.image_answers(3), *sample_answers.verdicts()[:2]]
LEFT_OUT = Packed(position=1, index=7, question="radius", left_out="the target is the decision already")


def begun(writer: Writer) -> int:
    return writer.begin(HEADING, [(JOB, len(ANSWERS)), (OTHER, 2)])


def test_answers_come_back_in_order_with_what_belongs_to_them(url: str) -> None:
    with open_writer(url) as writer:
        number = begun(writer)
        assert writer.save(attempt(OTHER), [packed(ANSWERS[-1:])[0], LEFT_OUT])
        assert writer.save(attempt(), packed(ANSWERS))
    with open_store(url) as store:
        found = list(store.answers(number))
        assert [document(a) for a in found] == [document(a) for a in [*ANSWERS, ANSWERS[-1]]]
        assert [type(a) for a in found[:-1]] == [type(a) for a in ANSWERS]
        for one, other in zip(found, ANSWERS, strict=False):
            assert np.array_equal(one.center, other.center)
            assert [v for v, _ in one.frames] == [v for v, _ in other.frames]
            assert all(np.array_equal(p, q) for (_, p), (_, q) in zip(one.frames, other.frames, strict=True))
        assert store.left_out(number) == [(7, LEFT_OUT.left_out)]
        assert {index: outputs.tolist() for index, outputs in store.outputs().items()} == {a.index: [0.0, 1.0, 2.0] for a in ANSWERS}


def test_a_campaign_says_how_far_it_has_come(url: str) -> None:
    with open_writer(url) as writer:
        number = begun(writer)
        writer.fail(attempt(reason="its worker died: killed by SIGKILL"))
        before = writer.store().campaigns()[0]
        assert (before.asked, before.finished, before.left_out, before.failed) == (len(ANSWERS) + 2, 0, 0, len(ANSWERS))
        assert writer.store().failures(number) == ["its worker died: killed by SIGKILL"]
        writer.save(attempt(), packed(ANSWERS))
        writer.save(attempt(OTHER), [packed(ANSWERS[:1])[0], LEFT_OUT])
    with open_store(url) as store:
        (after,) = store.campaigns()
        assert (after.asked, after.finished, after.left_out, after.failed) == (len(ANSWERS) + 2, len(ANSWERS) + 1, 1, 0)
        assert store.failures(number) == []
        shown = after.presentation
        assert (after.title, after.command, shown.label_names, shown.notes) == (
            "Assessment",
            "netassay assess",
            PRESENTATION.label_names,
            ("a note",),
        )
        assert shown.upper is not None
        assert np.array_equal(shown.upper, np.full((1, 8, 8), np.inf))
        assert shown.scale is None
        assert dict(shown.facts) == {"Outputs": "10"}


def test_the_same_jobs_are_the_same_campaign_and_shared_results_are_given_once(url: str) -> None:
    with open_writer(url) as writer:
        first = begun(writer)
        assert begun(writer) == first
        second = writer.begin(HEADING, [(JOB, len(ANSWERS))])
        assert second != first
        assert writer.finished([JOB, OTHER]) == set()
        writer.save(attempt(), packed(ANSWERS))
        assert writer.finished([JOB, OTHER, *(f"{i:064d}" for i in range(1200))]) == {JOB}
        store = writer.store()
        assert len(list(store.answers(first))) == len(list(store.answers(second))) == len(list(store.answers())) == len(ANSWERS)
        with pytest.raises(StoreError, match="has no campaign 9; it has 1, 2"):
            list(store.answers(9))


def test_a_result_is_kept_once_and_attempts_are_only_added(url: str) -> None:
    with open_writer(url) as writer:
        begun(writer)
        writer.fail(attempt(reason="time-out"))
        assert writer.save(attempt(), packed(ANSWERS))
        assert not writer.save(attempt(), packed(ANSWERS[:1]))
        assert len(list(writer.store().answers())) == len(ANSWERS)
        with writer.database.reading() as connection:
            rows = connection.execute(select(tables.attempts).order_by(tables.attempts.c.id)).all()
        assert [(row.number, row.status, row.reason) for row in rows] == [(1, "failed", "time-out"), (2, "finished", "")]


def test_two_drivers_at_once_keep_each_result_whole_and_once(url: str) -> None:
    """Both have all results and write them as fast as they can: each job is kept from one of them."""
    jobs = [f"{i:064x}" for i in range(12)]
    with open_writer(url):
        pass
    kept: dict[int, list[str]] = {0: [], 1: []}
    errors: list[BaseException] = []
    start = threading.Barrier(2)

    def drive(who: int) -> None:
        try:
            with open_writer(url) as writer:
                start.wait(30)
                writer.begin(HEADING, [(job, 2) for job in jobs])
                kept[who] = [job for job in jobs if writer.save(attempt(job), packed(ANSWERS[:2]))]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=drive, args=(who,)) for who in kept]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(kept[0] + kept[1]) == jobs
    with open_store(url) as store:
        assert [(c.asked, c.finished) for c in store.campaigns()] == [(24, 24)]
        assert len(list(store.answers())) == 24


def test_a_transaction_that_fails_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_writer(url) as writer:
        begun(writer)
        broken = packed(ANSWERS)
        broken[-1] = Packed(position=0, index=0, question="radius", document=b"{}", center="c" * 64)  # a place that is taken
        with pytest.raises(StoreError):
            writer.save(attempt(), broken)
        assert writer.finished([JOB]) == set()
        with writer.database.reading() as connection:
            assert connection.execute(select(tables.attempts)).all() == []
        assert writer.save(attempt(), packed(ANSWERS))


def test_no_password_is_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as told:
        open_store("postgresql://me:secret@/none?host=/nowhere")
    assert "secret" not in str(told.value)
    assert "postgresql://me:***@" in str(told.value)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("mysql://host/db", UsageError, "unknown kind of store 'mysql'"),
        ("sqlite://", UsageError, "names no file"),
        ("what://", UsageError, "unknown kind of store"),
        ("no/such/folder/runs.db", StoreError, "there is no store"),
    ],
)
def test_what_is_no_store_is_told(name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        open_store(name)


def test_a_store_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        open_writer(str(tmp_path / "none" / "runs.db"))
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(StoreError, match="not a database"):
        open_writer(str(tmp_path / "text.db"))
    with pytest.raises(StoreError, match="not a database"):
        open_store(str(tmp_path / "text.db"))


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with open_writer(str(path)) as writer:
        begun(writer)
    before = path.read_bytes()
    with open_store(str(path)) as store, pytest.raises(StoreError), store.database.reading() as connection:
        connection.execute(text("DELETE FROM campaigns"))
    assert path.read_bytes() == before
    plain = create_engine(f"sqlite:///{path}")
    with plain.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    plain.dispose()
