"""A worker answers only about what its driver asks about, and gives nothing that is not whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from campaigns import small
from netassay.campaigns import runner as running
from netassay.campaigns.plan import plan
from netassay.campaigns.runner import Runner
from netassay.campaigns.source import tool
from netassay.errors import InconsistentClaimsError, ModelError
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.specs.risks import parse_risk


def shifted() -> Any:
    return small.subject(inputs=small.subject().inputs * 0.999)


def test_it_loads_what_its_driver_loaded_or_does_not_begin() -> None:
    identity = small.subject().identity()
    Runner(small.subject, small.asked(), identity, tool()).prepare()
    with pytest.raises(ModelError, match="another network or other inputs"):
        Runner(shifted, small.asked(), identity, tool()).prepare()
    with pytest.raises(ModelError, match="netassay was changed"):
        Runner(small.subject, small.asked(), identity, ("0.0.0",)).prepare()
    with pytest.raises(ModelError, match="another network or other inputs"):
        Runner(small.subject, small.asked(), identity, tool()).holding(shifted()).prepare()


def test_inputs_that_a_risk_cannot_be_bound_to_are_results_too() -> None:
    """In a job of which no input can be asked about as well."""
    subject = small.subject(labels=None, inputs=np.array([[0.2, 0.8], [0.3, 0.7], [0.8, 0.2]]), indices=np.arange(3))
    asked = small.asked(questions=(Question.RADIUS,), norms=(Norm.L2,), risks=(parse_risk("targeted:1"),), budget=Budget(queries=20))
    (job,) = plan(subject, asked)
    runner = small.runner(asked, subject)
    assert [bool(p.left_out) for p in runner(job)] == [True, True, False]
    first = runner(replace(job, stop=2))
    assert [(p.position, p.index, p.document) for p in first] == [(0, 0, None), (1, 1, None)]
    assert all("target" in p.left_out for p in first)


def test_verdicts_are_asked_for_one_by_one() -> None:
    asked = small.asked(questions=(Question.VERIFY,), risks=(parse_risk("robustness@logits"),), method="auto", norms=(Norm.LINF,))
    subject = small.subject()
    results = [small.runner(asked, subject)(job) for job in plan(subject, asked)]
    assert [len(r) for r in results] == [1] * small.INPUTS
    assert all(r[0].question == "verify" and r[0].document for r in results)


@pytest.mark.parametrize("cut", ["missing", "interrupted"])
def test_what_is_not_whole_is_no_result(monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
    original = running.assess

    def assess(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        if cut == "missing":
            return found[:-1]
        return [replace(a, provenance=replace(a.provenance, interrupted=True)) for a in found]

    monkeypatch.setattr(running, "assess", assess)
    job = plan(small.subject(), small.asked())[0]
    with pytest.raises(InconsistentClaimsError):
        small.runner()(job)
