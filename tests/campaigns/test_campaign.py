"""A campaign takes what is there, asks what is not, and keeps each result as it comes; killed and taken up again it ends the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaigns import small
from netassay.assessment.assess import assess
from netassay.campaigns import campaign as driving
from netassay.campaigns.campaign import Standing, run
from netassay.campaigns.plan import plan
from netassay.numerics.budget import Budget
from netassay.results.answer import Answer, Outcome
from netassay.results.codec import document
from netassay.store import open_store
from netassay.store.writer import Writer, open_writer

ALL = 8 * small.INPUTS
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    url = str(tmp_path_factory.mktemp("whole") / "runs.db")
    ended = small.drive(url)
    assert (ended.standing.asked, ended.standing.done, ended.standing.reused, ended.standing.failed) == (ALL, ALL, 0, 0)
    assert not ended.interrupted
    return small.contents(url)


def test_all_questions_are_answered_in_their_order(tmp_path: Path) -> None:
    url = str(tmp_path / "runs.db")
    small.drive(url)
    with open_store(url) as store:
        (campaign,) = store.campaigns()
        answers, left_out = list(store.answers()), store.left_out()
    labels = small.subject().inputs.argmax(axis=1)
    already = int((labels == 1).sum())  # label 1 cannot be the target where it is the decision
    assert campaign.left_out == len(left_out) == 4 * already
    assert campaign.finished == len(answers) == ALL - 4 * already
    assert [a.index for a in answers[: small.INPUTS]] == small.INDICES.tolist()
    wrong = [a for a in answers if a.outcome is Outcome.MISCLASSIFIED]
    assert {a.index for a in wrong} == {105}
    assert all(a.true_label is not None for a in answers)


def test_a_job_gives_what_one_call_gives(tmp_path: Path) -> None:
    """The answers of a batch are those of the same inputs asked about in one call."""
    url = str(tmp_path / "runs.db")
    small.drive(url)
    subject, asked = small.subject(), small.asked()
    assert subject.labels is not None
    direct = assess(
        subject.network,
        subject.inputs[4:8],
        subject.labels[4:8],
        risks=asked.risks[:1],
        norms=asked.norms[:1],
        radius=asked.radii,
        questions=asked.questions[:1],
        method=asked.method,
        budget=asked.budget,
        seed=asked.seed,
        indices=list(range(104, 108)),
    )
    with open_store(url) as store:
        kept = [a for a in store.answers() if a.index in range(104, 108)][:4]
    assert [_timeless(a) for a in kept] == [_timeless(a) for a in direct]


def _timeless(answer: Answer) -> Any:
    return small.without_seconds(_fileless(document(answer)))


def _fileless(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "witness": content["witness"] and {**content["witness"], "file": None}}


def test_the_same_command_again_asks_nothing(tmp_path: Path, uninterrupted: dict[str, list[Any]]) -> None:
    url = str(tmp_path / "runs.db")
    small.drive(url)
    again = small.Inline(pytest.fail)
    ended = small.drive(url, executor=again)
    assert (ended.standing.reused, ended.standing.done, again.worked) == (ALL, 0, [])
    assert small.contents(url) == uninterrupted


def test_another_budget_is_another_campaign_that_shares_nothing(tmp_path: Path) -> None:
    url = str(tmp_path / "runs.db")
    small.drive(url)
    ended = small.drive(url, asking=small.asked(budget=Budget(queries=41)))
    assert (ended.campaign, ended.standing.reused, ended.standing.done) == (2, 0, ALL)


def test_more_risks_reuse_those_that_were_asked_before(tmp_path: Path) -> None:
    url = str(tmp_path / "runs.db")
    small.drive(url, asking=small.asked(risks=small.asked().risks[1:]))
    ended = small.drive(url)
    assert (ended.standing.reused, ended.standing.done) == (ALL // 2, ALL // 2)


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_interrupt_keeps_what_was_found(tmp_path: Path, uninterrupted: dict[str, list[Any]], jobs: int) -> None:
    """Ctrl-C while a job is being worked on: its result still counts, the engine is told to stop, and the rest comes later."""
    url, engine = str(tmp_path / "runs.db"), small.inline()
    engine.after = lambda: os.kill(os.getpid(), signal.SIGINT) if len(engine.worked) == jobs else None
    ended = small.drive(url, executor=engine)
    assert ended.interrupted
    assert len(engine.worked) in (jobs, jobs + 1)
    assert ended.standing.done == 4 * len(engine.worked)
    assert engine.waiting == 0
    rest = small.drive(url)
    assert (rest.standing.reused, rest.standing.done) == (ended.standing.done, ALL - ended.standing.done)
    assert small.contents(url) == uninterrupted


@pytest.mark.parametrize("kills", [[("row", 3), ("file", 9)], [("file", 1), ("row", 1)]], ids=str)
def test_killed_twice_and_taken_up_again_it_is_as_if_nothing_had_happened(
    tmp_path: Path, uninterrupted: dict[str, list[Any]], kills: list[tuple[str, int]]
) -> None:
    """kill -9 in the middle of a transaction, and after some of a job's files."""
    url, before = str(tmp_path / "runs.db"), -1
    for what, count in kills:
        killed = _driven(url, what, count)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        with open_store(url) as store:
            (campaign,) = store.campaigns()
            whole = len(list(store.answers()))
        assert whole == campaign.finished < ALL
        assert (campaign.finished + campaign.left_out) % 4 == 0, "a job is kept as a whole"
        assert campaign.finished >= before
        before = campaign.finished
    small.drive(url)
    assert small.contents(url) == uninterrupted


def _driven(url: str, what: str, count: int) -> subprocess.CompletedProcess[bytes]:
    paths = os.pathsep.join([str(TESTS), *sys.path])
    call = [sys.executable, "-c", "from campaigns.small import main; main()", url, what, str(count)]
    return subprocess.run(call, cwd=TESTS, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, timeout=300)


def test_jobs_that_fail_are_told_and_tried_again(tmp_path: Path, uninterrupted: dict[str, list[Any]]) -> None:
    url, good = str(tmp_path / "runs.db"), small.runner()

    def at_times(job: Any) -> Any:
        if job.start == 4:
            raise ValueError("its worker died: killed by SIGKILL")
        return good(job)

    ended = small.drive(url, executor=small.Inline(at_times))
    assert (ended.standing.done, ended.standing.failed) == (ALL // 2, ALL // 2)
    assert set(ended.reasons) == {"its worker died: killed by SIGKILL"}
    with open_store(url) as store:
        (campaign,) = store.campaigns()
        assert (campaign.failed, len(store.failures(1))) == (ALL // 2, 8)
    assert small.drive(url).standing.reused == ALL // 2
    assert small.contents(url) == uninterrupted


def test_what_another_driver_finished_meanwhile_is_left_to_it(
    tmp_path: Path, uninterrupted: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "FRESH", 0.0)
    url, engine = str(tmp_path / "runs.db"), small.inline()
    once: list[int] = []

    def other() -> None:
        if not once:
            once.append(1)
            small.drive(url)

    engine.after = other
    ended = small.drive(url, executor=engine)
    assert len(engine.worked) == 2, "the two that the engine had already"
    assert (ended.standing.done, ended.standing.reused) == (0, ALL)
    assert small.contents(url) == uninterrupted


def test_a_store_that_breaks_stops_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, original = str(tmp_path / "runs.db"), Writer.save
    saved: list[int] = []

    def full(self: Writer, *arguments: Any) -> bool:
        saved.append(1)
        if len(saved) > 2:
            raise OSError(28, "No space left on device")
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "save", full)
        with pytest.raises(OSError, match="No space"):
            small.drive(url)
    assert small.drive(url).standing.reused == 8


def test_progress_adds_up(tmp_path: Path) -> None:
    told: list[Standing] = []
    collect: Callable[[Standing], None] = told.append
    jobs = plan(small.subject(), small.asked())
    with open_writer(str(tmp_path / "runs.db")) as writer:
        run(jobs, small.inline(), writer, small.HEADING, ahead=2, progress=collect)
    assert [s.done for s in told] == sorted(s.done for s in told)
    assert (told[0].done, told[-1].done, told[-1].asked) == (0, ALL, ALL)
