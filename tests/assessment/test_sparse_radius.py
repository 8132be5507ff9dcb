"""The L0 radius as a bracket that is proved: exact on enumerated networks, monotone at any moment, kept at an interrupt."""

from __future__ import annotations

import signal

import pytest

from netassay.assessment import proved_sides
from netassay.assessment.ask import ask
from netassay.assessment.settings import Progress
from netassay.models.scores import OutputConvention
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.budget import Budget
from netassay.results.answer import Question, RadiusAnswer
from netassay.results.guarantee import Guarantee
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from sparse_enumeration import exact_least, image_strip, problem

PATIENCE = proved_sides.SPARSE_PATIENCE

MOST = 2
"""Changes that are enumerated."""


@pytest.fixture(autouse=True)
def _seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties are never decided: no long wait for them."""
    monkeypatch.setattr(proved_sides, "SPARSE_PATIENCE", 2.0)


def asked(seed: int) -> Problem:
    graph = image_strip(seed)
    plain = problem(graph, seed, MOST)
    network = GraphNetwork(graph, name="strip", domain=plain.network.domain, convention=OutputConvention())
    return Problem(network, Ball(plain.center, MOST, "l0", domain=network.domain), plain.property)


def exact(question: Problem) -> int:
    """The largest number of changes, of those enumerated, that leave the label."""
    graph, label = question.network.graph, question.property.label  # type: ignore[attr-defined]
    safe = [exact_least(graph, question.center, t, label, -1.0, 1.0) > 0 for t in range(1, MOST + 1)]
    return safe.index(False) if False in safe else MOST


def measured(questions: list[Problem], told: list[Progress] | None = None) -> list[RadiusAnswer]:
    keep = None if told is None else told.append
    answers = ask(Question.RADIUS, questions, budget=Budget(queries=400), prover="auto", progress=keep)
    assert all(isinstance(a, RadiusAnswer) for a in answers)
    return answers  # type: ignore[return-value]


def test_brackets_are_the_enumerated_radius() -> None:
    questions = [asked(seed) for seed in range(10)]
    truth = [exact(q) for q in questions]
    for question, known in zip(questions, truth, strict=True):
        (answer,) = measured([question])
        lower, upper = answer.bracket.lower, answer.bracket.upper
        assert (0 if lower is None else lower.value) == known
        assert upper is None if known == MOST else upper is not None and upper.value == known
        assert lower is None or lower.guarantee is Guarantee.PROVED
    assert set(truth) == {0, 1, 2}


def sides(progress: Progress) -> tuple[float, float]:
    ((_, lower, upper),) = progress.lines
    return (0.0 if lower is None else lower), (float("inf") if upper is None else upper)


def test_brackets_only_tighten() -> None:
    for seed in range(10):
        told: list[Progress] = []
        measured([asked(seed)], told)
        lowers, uppers = zip(*(sides(p) for p in told), strict=True)
        assert list(lowers) == sorted(lowers)
        assert list(uppers) == sorted(uppers, reverse=True)
        assert all(low <= up for low, up in zip(lowers, uppers, strict=True))


def test_the_search_tells_the_side_that_its_answer_has() -> None:
    for seed in range(10):
        told: list[Progress] = []
        (answer,) = ask(Question.RADIUS, [asked(seed)], budget=Budget(queries=400), progress=told.append)
        assert isinstance(answer, RadiusAnswer)
        upper = answer.bracket.upper
        assert sides(told[-1])[1] == (float("inf") if upper is None else upper.value)


def test_an_interrupt_of_the_proofs_keeps_the_bracket() -> None:
    question = next(q for q in map(asked, range(10)) if exact(q) == MOST)

    def interrupt(progress: Progress) -> None:
        if sides(progress)[0] == 1:
            signal.raise_signal(signal.SIGINT)

    (answer,) = ask(Question.RADIUS, [question], budget=Budget(queries=400), prover="auto", progress=interrupt)
    assert isinstance(answer, RadiusAnswer)
    assert answer.bracket.lower is not None
    assert (answer.bracket.lower.value, answer.bracket.lower.guarantee) == (1.0, Guarantee.PROVED)


def test_l0_gets_more_time_than_other_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proved_sides, "SPARSE_PATIENCE", PATIENCE)
    question = asked(0)
    other = Problem(question.network, Ball(question.center, 0.5, "linf", domain=question.network.domain), question.property)
    assert proved_sides._patience(question) == PATIENCE > proved_sides._patience(other)
