"""A small campaign: a linear classifier of two features, eight inputs, jobs of four. As a program it drives it until it kills itself."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from sqlalchemy import select

from netassay.campaigns import plan as planning
from netassay.campaigns.campaign import Ended, run
from netassay.campaigns.executor import Executor, Outcome, Task
from netassay.campaigns.plan import Asked, plan
from netassay.campaigns.runner import Runner
from netassay.campaigns.source import tool
from netassay.campaigns.subject import Subject
from netassay.models.black_box import BlackBox
from netassay.models.network import Network
from netassay.models.scores import Meaning
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results import witness_files
from netassay.results.answer import Question
from netassay.specs.risks import parse_risk
from netassay.store import Presentation
from netassay.store import schema as tables
from netassay.store import writer as writing
from netassay.store.certificates import Written
from netassay.store.packing import Packed
from netassay.store.writer import Heading, Writer, open_writer

INPUTS = 8
INDICES = np.arange(100, 100 + INPUTS)


def scores(points: Any) -> Any:
    """Logits (x0, x1): label 0 as long as x0 > x1."""
    return np.asarray(points)


def network() -> Network:
    return BlackBox(scores, Box(np.zeros(2), np.ones(2)), name="points", outputs=Meaning.LOGITS, float64=True)


def subject(**changes: Any) -> Subject:
    rng = np.random.default_rng(7)
    inputs = rng.uniform(0.1, 0.9, (INPUTS, 2))
    labels = np.argmax(inputs, axis=1)
    labels[5] = 1 - labels[5]  # one is misclassified
    whole = {"network": network(), "inputs": inputs, "labels": labels, "indices": INDICES, "region": {"group": "feature"}}
    return Subject(**{**whole, **changes})


def asked(**changes: Any) -> Asked:
    whole: dict[str, Any] = {
        "questions": (Question.RADIUS, Question.LIPSCHITZ),
        "risks": (parse_risk("robustness"), parse_risk("targeted:1")),
        "norms": (Norm.LINF, Norm.L2),
        "radii": {Norm.LINF: 0.1, Norm.L2: 0.1},
        "method": "random",
        "budget": Budget(queries=40),
        "seed": 3,
    }
    return Asked(**{**whole, **changes})


HEADING = Heading(
    command="netassay assess", title="Assessment", model="points", model_sha256="0", data="points", tool_version="0",
    presentation=Presentation(input_shape=(2,)),
)  # fmt: skip


@dataclass
class Inline:
    """An engine without processes: it works when it is asked for results, one task at a time.

    Args:
        function: Gives a task's result; what it raises is the reason of a failure.
        worked: Keys of the tasks that were worked on.
        after: Called after each of them.
    """

    function: Callable[[Any], Any]
    worked: list[str] = field(default_factory=list)
    after: Callable[[], None] = lambda: None
    tasks: deque[Task] = field(default_factory=deque)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.tasks.clear()

    @property
    def waiting(self) -> int:
        return len(self.tasks)

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def results(self, seconds: float) -> list[Outcome]:
        if not self.tasks:
            return []
        task = self.tasks.popleft()
        self.worked.append(task.key)
        try:
            outcome = Outcome(task.key, "here", 0.0, self.function(task.content))
        except ValueError as error:
            outcome = Outcome(task.key, "here", 0.0, reason=str(error))
        self.after()
        return [outcome]

    def cancel(self) -> None:
        self.tasks.clear()


def runner(asking: Asked | None = None, about: Subject | None = None) -> Runner:
    about = about or subject()
    return Runner(subject, asking or asked(), about.identity(), tool(), about)


def inline(asking: Asked | None = None) -> Inline:
    return Inline(runner(asking))


def certified(job: Any) -> list[Packed]:
    """The results of a job, each with a certificate of its own."""
    found = []
    for packed in runner()(job):
        written = Written(content=f"certificate {job.key} {packed.position}".encode(), seconds=0.5)
        found.append(
            packed
            if packed.document is None
            else replace(packed, certificate=written, files={**packed.files, str(written.file): written.content})
        )
    return found


def drive(url: str, *, executor: Executor | None = None, asking: Asked | None = None, ahead: int = 2) -> Ended:
    """The whole campaign on a store."""
    jobs = plan(subject(), asking or asked())
    with open_writer(url) as writer:
        return run(jobs, executor or inline(asking), writer, HEADING, ahead=ahead)


def contents(url: str) -> dict[str, list[Any]]:
    """All rows of a store, times and attempt numbers aside, and the files beside it."""
    with open_writer(url) as writer:
        return {**_rows(writer), "files": sorted(p.parent.name + p.name for p in Path(f"{url}.files").glob("*/[0-9a-f]*"))}


def _rows(writer: Writer) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    with writer.database.reading() as connection:
        for table in (tables.campaigns, tables.jobs, tables.results, tables.certificates):
            rows = connection.execute(select(table).order_by(*table.primary_key.columns)).all()
            found[table.name] = [_timeless(dict(row._mapping)) for row in rows]
        finished = connection.scalars(select(tables.attempts.c.job).where(tables.attempts.c.status == "finished"))
        found["finished"] = sorted(finished)
    return found


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("document") is not None:
        row["document"] = without_seconds(json.loads(row["document"]))
    return {name: value for name, value in row.items() if name not in ("created", "attempt")}


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def _kill_at(module: Any, name: str, count: int) -> None:
    """The process kills itself when that function is called for the count-th time, once its work is done."""
    original, calls = getattr(module, name), []

    def call(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(module, name, call)


planning.MOST_INPUTS = 4


def main() -> None:
    """Drives the campaign of ``URL`` until ``row|file`` number ``COUNT`` is written; with ``certified``, answers have certificates."""
    url, what, count, *kind = sys.argv[1:]
    _kill_at(*{"row": (writing, "_attempted"), "file": (witness_files.os, "fsync")}[what], int(count))
    drive(url, executor=Inline(certified) if kind else None)
