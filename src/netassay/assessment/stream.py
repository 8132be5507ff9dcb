"""Answers as they grow: progress while the search runs, the answers last."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from netassay.assessment.ask import ask
from netassay.assessment.settings import Progress
from netassay.results.answer import Answer, Question
from netassay.specs.problem import Problem


def stream(question: Question, problems: Sequence[Problem], **options: Any) -> Iterator[Progress | Answer]:
    """Yields ``Progress`` while ``ask`` runs in a thread of its own, then one answer per problem.

    Leaving the loop early stops the search.

    Args:
        question, problems, options: As ``ask`` takes them.
    """
    told = options.pop("progress", None)
    steps: queue.Queue[Progress | list[Answer] | BaseException] = queue.Queue()
    left = threading.Event()

    def progress(step: Progress) -> None:
        if left.is_set():
            raise KeyboardInterrupt
        if told is not None:
            told(step)
        steps.put(step)

    def work() -> None:
        try:
            steps.put(ask(question, problems, **{**options, "progress": progress}))
        except BaseException as error:  # handed over to the caller's thread
            steps.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while isinstance(step := steps.get(), Progress):
            yield step
        if isinstance(step, BaseException):
            raise step
        yield from step
    finally:
        left.set()
        thread.join()
