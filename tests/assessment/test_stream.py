"""Streams: progress first, answers last, and a loop that is left stops the search."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.assessment.settings import Progress
from netassay.assessment.stream import stream
from netassay.errors import UsageError
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Question, RadiusAnswer
from tiny_networks import relu_network, robustness_problems

NETWORK = relu_network(4, [6, 16, 3], Box.filled((6,), 0, 1))
PROBLEMS = robustness_problems(NETWORK, np.full((2, 6), 0.5), 0.5, "linf")


def test_progress_comes_first_and_the_answers_last() -> None:
    steps = list(stream(Question.RADIUS, PROBLEMS, budget=Budget(queries=3000)))
    assert all(isinstance(s, RadiusAnswer) for s in steps[-2:])
    assert all(isinstance(s, Progress) for s in steps[:-2])
    assert len(steps) >= 3


def test_leaving_the_loop_stops_the_search() -> None:
    steps = stream(Question.RADIUS, PROBLEMS, budget=Budget(queries=10_000_000))
    first = next(iter(steps))
    assert isinstance(first, Progress)
    steps.close()  # type: ignore[attr-defined]  # joins the thread: this test hangs if the search goes on
    assert first.done_queries < 10_000_000


def test_errors_reach_the_caller() -> None:
    with pytest.raises(UsageError, match="unknown method"):
        list(stream(Question.RADIUS, PROBLEMS, method="nonsense"))
