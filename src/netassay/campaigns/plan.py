"""A campaign as a list of jobs, each with a key that names all that its results depend on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from netassay.assessment.ask import together
from netassay.assessment.certifying import Certificates
from netassay.assessment.stopping import Target
from netassay.campaigns.source import tool
from netassay.campaigns.subject import Array, Subject, digest
from netassay.checking.replay import Replayer
from netassay.errors import UsageError
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Question
from netassay.specs.property import RiskTemplate

MOST_INPUTS = 128
"""Inputs of a job: beyond, a larger batch gains little, and more is lost when a job is."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """What is asked of every input.

    Args:
        questions, risks, norms: Each with each.
        radii: Of the balls, by norm; a norm that is missing has none.
        method: Of the search; of the proof where verdicts are asked for.
        budget: Queries per input; seconds for all inputs of one question together (for a verdict: for each input), which jobs share
            out by their inputs.
        seed: As everywhere.
        prover: Of the other sides; None for none.
        order: Of rival labels, where verdicts are asked for; float32: what they have to hold for; see ``verify``.
        targets: By question, see ``ask``.
        starts: Points to begin with, by the index of the input.
        certificates: Of which answers certificates are kept.
    """

    questions: tuple[Question, ...]
    risks: tuple[RiskTemplate, ...]
    norms: tuple[Norm, ...]
    radii: Mapping[Norm, float]
    method: str
    budget: Budget
    seed: int
    prover: str | None = None
    order: str = "none"
    float32: bool = False
    targets: Mapping[Question, Target] = field(default_factory=dict)
    starts: Mapping[int, Array] = field(default_factory=dict)
    certificates: Certificates = Certificates.NONE


@dataclass(frozen=True)
class Job:
    """One question about some inputs, which share batches: always the same inputs, whatever else is finished.

    Args:
        question, risk, norm: What is asked.
        start, stop: Positions of the inputs.
        budget: For this job.
        key: SHA-256 of all that its results depend on.
    """

    question: Question
    risk: RiskTemplate
    norm: Norm
    start: int
    stop: int
    budget: Budget
    key: str = ""

    def __len__(self) -> int:
        return self.stop - self.start


def plan(subject: Subject, asked: Asked) -> list[Job]:
    """All jobs of a campaign, in the order of risks, norms, questions and inputs.

    Inputs are grouped by their place in the data set and by the memory limit alone. A verdict depends on its own input only, so
    each of them is a job.

    Raises:
        UsageError: If a risk cannot be named for good: one with a function in it, say.
    """
    common = (*tool(), *subject.network_identity(), *subject.region_identity())
    behaviour = _Behaviour(subject)
    jobs = [
        replace(job, key=_key(common, subject, asked, job, behaviour(job)))
        for risk in asked.risks
        for norm in asked.norms
        for question in asked.questions
        for job in _split(subject, asked, question, risk, norm)
    ]
    return list({job.key: job for job in jobs}.values())


def _split(subject: Subject, asked: Asked, question: Question, risk: RiskTemplate, norm: Norm) -> Iterator[Job]:
    single = question is Question.VERIFY
    size = 1 if single else min(MOST_INPUTS, together(int(np.prod(subject.network.input_shape)), asked.budget.memory))
    for start in range(0, len(subject), size):
        stop = min(start + size, len(subject))
        seconds = asked.budget.seconds
        if seconds is not None and not single:
            seconds = seconds * (stop - start) / len(subject)
        yield Job(question, risk, norm, start, stop, replace(asked.budget, seconds=seconds))


def _key(common: tuple[str, ...], subject: Subject, asked: Asked, job: Job, behaviour: str) -> str:
    indices = subject.indices[job.start : job.stop].tolist()
    parts = (
        "netassay-job-2",
        common,
        behaviour,
        str(job.question),
        _lasting(job.risk),
        str(job.norm),
        asked.radii.get(job.norm),
        subject.inputs_identity(job.start, job.stop),
        (asked.method, asked.prover, asked.order, asked.float32, asked.seed),
        repr(job.budget),
        repr(asked.targets.get(job.question)),
        digest([asked.starts.get(index) for index in indices]),
        str(asked.certificates),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _lasting(risk: RiskTemplate) -> str:
    """The risk with all its parameters, the same in every process."""
    text = repr(risk)
    if _ADDRESS.search(text):
        raise UsageError(f"the risk {text} cannot be told from others in a later process, so nothing about it can be kept; use a dataclass")
    return f"{type(risk).__module__}.{type(risk).__qualname__}: {text}"


class _Behaviour:
    """What a network does at the inputs of a job, where its identity does not say all of it: code is not part of a black box's."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._replayer = Replayer(subject.network) if subject.network.graph is None else None
        self._known: dict[tuple[int, int], str] = {}

    def __call__(self, job: Job) -> str:
        if self._replayer is None:
            return ""
        place = (job.start, job.stop)
        if place not in self._known:
            inputs = self._subject.inputs[job.start : job.stop]
            self._known[place] = digest([np.asarray(self._replayer.outputs(x)) for x in inputs])
        return self._known[place]
