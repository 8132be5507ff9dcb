"""What a worker does: it loads network and inputs once, then answers one job after another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.assessment.assess import assess, problems
from netassay.assessment.certifying import Certificates, certificates, proved
from netassay.assessment.verify import verify
from netassay.campaigns.plan import Asked, Job
from netassay.campaigns.source import tool
from netassay.campaigns.subject import Array, Loader, Subject
from netassay.checking.replay import Replayer, classify
from netassay.errors import InconsistentClaimsError, ModelError, NotFiniteError, PropertyError
from netassay.results.answer import Answer, Question
from netassay.specs.problem import Problem
from netassay.store.certificates import Written
from netassay.store.packing import Packed, pack


@dataclass(eq=False)
class Runner:
    """Answers jobs.

    Args:
        loader: Loads the subject.
        asked: What is asked.
        identity: Of the driver's subject; tool: of the driver's netassay. A worker that has another one does not begin.
        subject: Loaded already, where it travels with the runner.
    """

    loader: Loader
    asked: Asked
    identity: str
    tool: tuple[str, ...]
    subject: Subject | None = None

    def holding(self, subject: Subject) -> Runner:
        """The same with the subject, which then travels with it."""
        return replace(self, subject=subject)

    def prepare(self) -> None:
        """Loads the subject.

        Raises:
            ModelError: If network, inputs or netassay are not those of the driver.
        """
        if tool() != self.tool:
            raise ModelError("netassay was changed since the campaign began, or is another one here; give the command again")
        subject = self.loader() if self.subject is None else self.subject
        if subject.identity() != self.identity:
            raise ModelError(
                "the worker loaded another network or other inputs than the driver: a file was changed, or is another one here"
            )
        self.subject = subject

    def __call__(self, job: Job) -> list[Packed]:
        """The results of a job, one per input, as the store keeps them."""
        if self.subject is None:
            self.prepare()
            return self(job)
        reasons: dict[int, str] = {}
        begun = time.monotonic()
        given = self._answers(self.subject, job, reasons)
        answers = {answer.index: answer for answer in given}
        certified = dict(zip(answers, self._certificates(self.subject, job, given, time.monotonic() - begun), strict=True))
        replayer = Replayer(self.subject.network)
        found: list[Packed] = []
        for position, index in enumerate(self.subject.indices[job.start : job.stop].tolist()):
            answer = answers.get(index)
            if answer is not None:
                found.append(pack(_whole(answer), position, _outputs(replayer, answer), certified[index]))
            elif index in reasons:
                found.append(Packed(position=position, index=index, question=str(job.question), left_out=reasons[index]))
            else:
                raise InconsistentClaimsError(f"input {index} has neither an answer nor a reason why not; please report this")
        return found

    def _answers(self, subject: Subject, job: Job, reasons: dict[int, str]) -> list[Answer]:
        """The answers; inputs that the risk cannot be bound to are told in ``reasons``."""
        part = slice(job.start, job.stop)
        labels = None if subject.labels is None else subject.labels[part]
        indices = subject.indices[part].tolist()
        try:
            if job.question is Question.VERIFY:
                return self._verdicts(subject, job, labels, indices, reasons)
            goal = self.asked.targets.get(job.question)
            return assess(
                subject.network,
                subject.inputs[part],
                labels,
                risks=[job.risk],
                norms=[job.norm],
                radius=self.asked.radii,
                questions=[job.question],
                method=self.asked.method,
                budget=job.budget,
                seed=self.asked.seed,
                indices=indices,
                skipped=reasons.__setitem__,
                starts={i: self.asked.starts[i] for i in indices if i in self.asked.starts},
                target=None if goal is None else {job.question: goal},
                prover=self.asked.prover,
                **subject.region,
            )
        except (PropertyError, NotFiniteError):
            if len(reasons) < len(indices):
                raise
            return []  # none of these inputs; others may do

    def _verdicts(
        self, subject: Subject, job: Job, labels: NDArray[np.int64] | None, indices: list[int], reasons: dict[int, str]
    ) -> list[Answer]:
        asked = self.asked
        batch = self._problems(subject, job, labels, indices, reasons)
        how: dict[str, Any] = {"method": asked.method, "seed": asked.seed, "order": asked.order, "float32": asked.float32}
        return [answer for problem in batch for answer in verify([problem], budget=job.budget, **how)]

    def _problems(
        self, subject: Subject, job: Job, labels: NDArray[np.int64] | None, indices: list[int], reasons: dict[int, str]
    ) -> list[Problem]:
        return problems(
            subject.network,
            subject.inputs[job.start : job.stop],
            labels,
            risk=job.risk,
            norm=job.norm,
            radius=self.asked.radii.get(job.norm),
            indices=indices,
            skipped=reasons.__setitem__,
            **subject.region,
        )

    def _certificates(self, subject: Subject, job: Job, answers: Sequence[Answer], spent: float) -> list[Written | None]:
        """For each answer its certificate, or why there is none; None where nothing is proved, or none is wanted."""
        policy = self.asked.certificates
        if policy is Certificates.NONE or not answers:
            return [None] * len(answers)
        labels = None if subject.labels is None else subject.labels[job.start : job.stop]
        asked = {p.index: p for p in self._problems(subject, job, labels, subject.indices[job.start : job.stop].tolist(), {})}
        held = [proved(asked[answer.index], answer) for answer in answers]
        found = certificates(held, policy.seconds(spent, job.budget.seconds))
        return [None if c is None else Written(content=c.content, reason=c.reason, seconds=c.seconds) for c in found]


def _whole(answer: Answer) -> Answer:
    """The answer, unless it was cut short: such a one is no result."""
    if answer.provenance.interrupted:
        raise InconsistentClaimsError(f"the search around input {answer.index} was interrupted, so its answer is not kept")
    return answer


def _outputs(replayer: Replayer, answer: Answer) -> Array:
    """The network's outputs at the input; none where they are not finite."""
    with suppress(NotFiniteError):
        return np.asarray(classify(replayer, answer.center), dtype=np.float64)
    return np.zeros(0)
