"""Jobs have a fixed composition, and a key that changes with everything their results depend on, and with nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from campaigns import small
from netassay.assessment.ask import together
from netassay.campaigns import plan as planning
from netassay.campaigns.plan import Asked, plan
from netassay.campaigns.subject import Subject
from netassay.errors import UsageError
from netassay.models.black_box import BlackBox
from netassay.models.scores import Decision, Meaning
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.specs.risks import parse_risk


def keys(subject: Subject | None = None, asked: Asked | None = None) -> set[str]:
    return {job.key for job in plan(subject or small.subject(), asked or small.asked())}


def box(low: float = 0.0, high: float = 1.0) -> Box:
    return Box(np.full(2, low), np.full(2, high))


def network(**changes: Any) -> BlackBox:
    return BlackBox(**{"function": small.scores, "domain": box(), "name": "points", "outputs": Meaning.LOGITS, "float64": True, **changes})


def steeper(points: Any) -> Any:
    return 2 * np.asarray(points)


def test_every_input_is_in_one_job_of_each_question() -> None:
    jobs = plan(small.subject(), small.asked())
    assert len({job.key for job in jobs}) == len(jobs) == 2 * 2 * 2 * small.INPUTS // 4
    for question in (Question.RADIUS, Question.LIPSCHITZ):
        places = [(job.start, job.stop) for job in jobs if (job.question, job.norm) == (question, Norm.L2)][: small.INPUTS // 4]
        assert places == [(i, i + 4) for i in range(0, small.INPUTS, 4)]


def test_a_verdict_is_a_job_of_its_own() -> None:
    jobs = plan(small.subject(), small.asked(questions=(Question.VERIFY,), norms=(Norm.L2,)))
    assert [len(job) for job in jobs] == [1] * (2 * small.INPUTS)


def test_batches_grow_with_memory_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert together(2, 1024**2) < together(2, 64 * 1024**2)
    monkeypatch.setattr(planning, "MOST_INPUTS", 3)
    assert [len(job) for job in plan(small.subject(), small.asked(questions=(Question.RADIUS,)))][:3] == [3, 3, 2]


def test_seconds_are_shared_out_by_inputs() -> None:
    jobs = plan(small.subject(), small.asked(budget=Budget(seconds=8.0)))
    assert {job.budget.seconds for job in jobs} == {4.0}
    verdicts = plan(small.subject(), small.asked(questions=(Question.VERIFY,), budget=Budget(seconds=8.0)))
    assert {job.budget.seconds for job in verdicts} == {8.0}


def test_the_same_question_has_the_same_keys() -> None:
    assert keys() == keys()
    assert keys(small.subject(network=network(name="another name"))) == keys(), "a name decides nothing"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"method": "auto"},
        {"prover": "auto"},
        {"order": "bounds"},
        {"float32": True},
        {"budget": Budget(queries=41)},
        {"budget": Budget(queries=40, seconds=60)},
        {"budget": Budget(queries=40, memory=1024**3)},
        {"radii": {Norm.LINF: 0.2, Norm.L2: 0.2}},
        {"risks": (parse_risk("robustness:0.1"), parse_risk("targeted:0"))},
        {"risks": (parse_risk("robustness@logits"), parse_risk("targeted:1@logits"))},
        {"norms": (Norm.L1, Norm.L0)},
        {"questions": (Question.REACH,)},
        {"targets": {Question.RADIUS: 0.1, Question.LIPSCHITZ: 5.0}},
        {"starts": {i: np.full((1, 2), 0.5) for i in small.INDICES.tolist()}},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_another_question_shares_no_key(changes: dict[str, Any]) -> None:
    assert not keys() & keys(asked=small.asked(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": network(function=steeper)},
        {"network": network(domain=box(high=0.95))},
        {"network": network(decision=Decision.ARGMIN)},
        {"network": network(outputs=Meaning.PROBABILITIES)},
        {"network": network(identity="version 2")},
        {"inputs": small.subject().inputs + 1e-12},
        {"labels": None},
        {"labels": 1 - np.argmax(small.subject().inputs, axis=1)},
        {"indices": small.INDICES + 1},
        {"region": {"group": "feature", "mask": np.array([True, False])}},
        {"region": {"group": "feature", "scale": np.array([1.0, 2.0])}},
        {"region": {"group": "pixel"}},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_another_subject_shares_no_key(changes: dict[str, Any]) -> None:
    assert not keys() & keys(small.subject(**changes))


def test_a_function_that_behaves_otherwise_under_the_same_name_shares_no_key() -> None:
    """The code that a function calls is not part of its identity, but what it does at the inputs is."""
    factor = [1.0]

    def outer(points: Any) -> Any:
        return factor[0] * np.asarray(points)

    before = keys(small.subject(network=network(function=outer)))
    factor[0] = 3.0
    after = keys(small.subject(network=network(function=outer)))
    assert not before & after


def test_fewer_inputs_share_the_jobs_that_are_full() -> None:
    whole = small.subject()
    part = small.subject(inputs=whole.inputs[:6], labels=None if whole.labels is None else whole.labels[:6], indices=whole.indices[:6])
    assert len(keys(part) & keys(whole)) == len(keys(part)) // 2


def test_another_tool_shares_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys()
    monkeypatch.setattr(planning, "tool", lambda: ("0.0.0", "other source"))
    assert not before & keys()


@dataclass(frozen=True)
class WithFunction:
    """A risk that only its own process knows."""

    spec: str
    function: Any

    def bind(self, convention: Any, outputs: Any) -> Any:
        raise NotImplementedError


def test_a_risk_without_a_lasting_name_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be told from others"):
        plan(small.subject(), small.asked(risks=(WithFunction("custom", lambda s: s),)))


def test_jobs_asked_twice_are_one() -> None:
    once, twice = small.asked(), small.asked(norms=(Norm.LINF, Norm.LINF, Norm.L2))
    assert [job.key for job in plan(small.subject(), once)] == [job.key for job in plan(small.subject(), twice)]
