"""Certificates of a campaign's answers: written by the workers, part of the same results, asked for by the key of the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaigns import small
from netassay.assessment.certifying import Certificates
from netassay.campaigns.plan import Asked, plan
from netassay.campaigns.runner import Runner
from netassay.campaigns.source import tool
from netassay.campaigns.subject import Subject
from netassay.checking.certificates.reading import check_certificate
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.scores import OutputConvention
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.specs.risks import parse_risk
from netassay.store import open_store

TESTS = Path(__file__).parents[1]


def network() -> GraphNetwork:
    """The same function as ``small.network``, as a graph."""
    builder = GraphBuilder((2,))
    graph = builder.build(builder.add(op.Dense(np.eye(2), np.zeros(2)), 0))
    return GraphNetwork(graph, name="points", convention=OutputConvention(), domain=Box(np.zeros(2), np.ones(2)))


def subject() -> Subject:
    return small.subject(network=network())


def asked(policy: Certificates, *questions: Question) -> Asked:
    verify = questions == (Question.VERIFY,)
    return small.asked(
        questions=questions,
        risks=(parse_risk("robustness@logits"),),
        norms=(Norm.LINF,),
        radii={Norm.LINF: 0.05},
        method="auto" if verify else "random",
        budget=Budget(queries=40, seconds=60.0),
        prover=None if verify else "auto",
        certificates=policy,
    )


def results(policy: Certificates, *questions: Question) -> list[Any]:
    about, asking = subject(), asked(policy, *questions)
    runner = Runner(subject, asking, about.identity(), tool(), about)
    return [packed for job in plan(about, asking) for packed in runner(job)]


@pytest.mark.parametrize("question", [Question.VERIFY, Question.RADIUS, Question.REACH, Question.LIPSCHITZ])
def test_what_is_proved_has_one(tmp_path: Path, question: Question) -> None:
    found = results(Certificates.ALL, question)
    graph = network().graph
    assert len(found) == small.INPUTS
    have = [p for p in found if p.certificate is not None]
    assert 0 < len(have) < small.INPUTS or question in (Question.REACH, Question.LIPSCHITZ), (
        "nothing is proved of one that is misclassified"
    )
    for packed in have:
        assert packed.certificate.file in packed.files
        (tmp_path / "one").write_bytes(packed.certificate.content)
        outcome = check_certificate(tmp_path / "one", [graph], None)
        assert outcome.checked.accepted, outcome.checked.reason
        assert outcome.claim.startswith(f"input {packed.index}: ")


def test_none_are_made_where_none_are_wanted() -> None:
    assert [p.certificate for p in results(Certificates.NONE, Question.VERIFY)] == [None] * small.INPUTS


def test_the_key_of_a_job_says_which_are_wanted() -> None:
    about = subject()
    keys = {policy: {job.key for job in plan(about, asked(policy, Question.VERIFY))} for policy in Certificates}
    assert len(set.union(*keys.values())) == 3 * small.INPUTS


@pytest.mark.parametrize(("what", "count"), [("row", 2), ("file", 11), ("file", 12)])
def test_killed_and_taken_up_again_each_answer_has_its_certificate(tmp_path: Path, what: str, count: int) -> None:
    """kill -9 in the middle of a transaction, and between the files of one."""
    whole, url = str(tmp_path / "whole.db"), str(tmp_path / "runs.db")
    small.drive(whole, executor=small.Inline(small.certified))
    paths = os.pathsep.join([str(TESTS), *sys.path])
    call = [sys.executable, "-c", "from campaigns.small import main; main()", url, what, str(count), "certified"]
    killed = subprocess.run(call, cwd=TESTS, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with open_store(url) as store:
        found = list(store.certified(1))
        assert all(kept is not None and kept.file and store.file(kept.file) for _, kept in found)
        assert len(found) == store.campaigns()[0].finished
    small.drive(url, executor=small.Inline(small.certified))
    assert small.contents(url) == small.contents(whole)


def test_seconds_are_shared_out() -> None:
    assert Certificates.NONE.seconds(10.0, None) == 0.0
    assert Certificates.CHEAP.seconds(10.0, None) == 2.0
    assert Certificates.CHEAP.seconds(10.0, 60.0) == 2.0
    assert Certificates.ALL.seconds(10.0, 90.0) == 90.0
    assert Certificates.ALL.seconds(10.0, None) == 60.0
    assert Certificates.ALL.seconds(500.0, None) == 500.0


def test_one_that_takes_too_long_is_dropped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netassay.assessment.certifying.SHARE", 0.0)
    found = [p.certificate for p in results(Certificates.CHEAP, Question.VERIFY)]
    have = [c for c in found if c is not None]
    assert have
    assert {(c.content, c.reason) for c in have} == {(b"", "no time was left for it")}
    assert replace(have[0], content=b"x").file is not None
