"""Driving a campaign: what is finished is taken from the store, the rest goes to the engine, and every result is kept as it comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from netassay.campaigns.executor import Executor, Outcome, Task
from netassay.campaigns.plan import Job
from netassay.numerics.interrupts import deferred_interrupts
from netassay.store.writer import Attempt, Heading, Writer

PATIENCE = 0.2
"""Seconds between looks at whether the user wants to stop."""

FRESH, NEXT = 1.0, 64
"""Seconds for which it is taken for granted that another driver has not finished a job, and how many jobs are looked up at a time."""


@dataclass(frozen=True)
class Standing:
    """Where a campaign stands, in answers.

    Args:
        asked: All that were asked for.
        reused: Found in the store.
        done: Given since.
        failed: Of jobs that are not tried again.
        seconds: Since it began.
    """

    asked: int
    reused: int
    done: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class Ended:
    """How a campaign ended.

    Args:
        campaign: Its number in the store.
        standing: Where it stands.
        reasons: Why jobs failed, one each.
        interrupted: The user stopped it.
    """

    campaign: int
    standing: Standing
    reasons: tuple[str, ...]
    interrupted: bool


def run(
    jobs: Sequence[Job],
    executor: Executor,
    writer: Writer,
    heading: Heading,
    *,
    ahead: int,
    progress: Callable[[Standing], None] | None = None,
) -> Ended:
    """Works off the jobs that the store has no results of.

    Args:
        jobs: Of the campaign, in its order.
        executor: Whose work gives the results of a job, packed.
        writer: Of the store.
        heading: What is said of the campaign.
        ahead: Jobs that the engine has at a time; more than it has workers, so that none of them waits for the store.
        progress: Told where the campaign stands.
    Raises:
        StoreError: If the store cannot be written; what it has is kept.
        EngineError: If no worker can be started.
    """
    number = writer.begin(heading, [(job.key, len(job)) for job in jobs])
    driver = _Driver(jobs, executor, writer, progress)
    with deferred_interrupts() as interrupted:
        stopped = driver.work(ahead, interrupted)
    return Ended(number, driver.standing(), tuple(driver.reasons), stopped)


class _Driver:
    """A campaign on its way."""

    def __init__(self, jobs: Sequence[Job], executor: Executor, writer: Writer, progress: Callable[[Standing], None] | None) -> None:
        self._executor, self._writer, self._progress = executor, writer, progress
        self._jobs = {job.key: job for job in jobs}
        finished = writer.finished(list(self._jobs))
        self._pending = deque(job for key, job in self._jobs.items() if key not in finished)
        self._asked = sum(len(job) for job in self._jobs.values())
        self._reused = sum(len(self._jobs[key]) for key in finished)
        self._done = self._failed = 0
        self._elsewhere: set[str] = set()
        self._began = self._looked = time.monotonic()
        self.reasons: list[str] = []

    def work(self, ahead: int, interrupted: Callable[[], bool]) -> bool:
        """Until all is done, or the user stops it: then True."""
        self._tell()
        while self._pending or self._executor.waiting:
            stopping = interrupted()
            if not stopping:
                self._submit(ahead)
            for outcome in self._executor.results(0 if stopping else PATIENCE):
                self._keep(outcome)
            self._tell()
            if stopping:
                self._executor.cancel()
                return True
        return False

    def standing(self) -> Standing:
        return Standing(self._asked, self._reused, self._done, self._failed, time.monotonic() - self._began)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.standing())

    def _submit(self, ahead: int) -> None:
        """Hands on as many jobs as the engine should have, leaving out those that another driver has finished meanwhile."""
        while self._pending and self._executor.waiting < ahead:
            self._look()
            job = self._pending.popleft()
            if job.key in self._elsewhere:
                self._reused += len(job)
            else:
                self._executor.submit(Task(job.key, job))

    def _look(self) -> None:
        """Which of the next jobs have their results by now; seldom enough to cost nothing where jobs are short."""
        if time.monotonic() - self._looked >= FRESH:
            self._elsewhere = self._writer.finished([job.key for job in islice(self._pending, NEXT)])
            self._looked = time.monotonic()

    def _keep(self, outcome: Outcome) -> None:
        job = self._jobs[outcome.key]
        attempt = Attempt(job=job.key, worker=outcome.worker, seconds=outcome.seconds, reason=outcome.reason)
        if outcome.reason:
            self._writer.fail(attempt)
        elif self._writer.save(attempt, outcome.result):
            self._done += len(job)
        else:
            self._reused += len(job)
        if outcome.reason and outcome.last:
            self._failed += len(job)
            self.reasons.append(outcome.reason)
