"""Does a property hold on a whole region? An attack first, then a proof; both sides of min s are kept at any moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netassay.assessment.answers import common
from netassay.assessment.centre import Centre, screened
from netassay.assessment.proving import PATIENCE, Proof, Prover, replayed
from netassay.assessment.rounding import representable_problem
from netassay.assessment.settings import Progress, Settings
from netassay.assessment.settling import raised, settled_upper
from netassay.assessment.stopping import StopRule
from netassay.checking.replay import Replayer, require_repeatable
from netassay.errors import InconsistentClaimsError, UsageError
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.interrupts import deferred_interrupts
from netassay.results.answer import Outcome, Question, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.trace import Trace
from netassay.results.witness import Witness
from netassay.specs.problem import Problem

if TYPE_CHECKING:
    from netassay.assessment.session import Session
    from netassay.falsifiers.search import Search

ATTACK = 2000
"""Most queries per problem of the attack that comes before the proof."""

FLOAT32 = "HOLDS is claimed of the network as float32 evaluates it: what its rounding can change is taken off the proved bound."

SHARE = 0.2
"""Share of the time limit that the attack may take."""


def verify(
    problems: Sequence[Problem],
    *,
    method: str = "auto",
    attack: str | None = "auto",
    order: str = "none",
    float32: bool = False,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[Progress], bool] | None = None,
) -> list[VerifyAnswer]:
    """A verdict for every problem: HOLDS with its guarantee, VIOLATED with a replayed witness, or UNKNOWN with the reason.

    Centres are rounded to the network's dtype first, as for the other questions. An attack on all problems at once comes first; those
    it does not break are given to the verifier one after the other. What a verifier takes for a counterexample counts only
    once every engine has replayed it. An interrupt returns the verdicts so far.

    Args:
        problems: Problems of one network.
        method: A verifier of ``verifiers.registry``.
        attack: A search method, or None for no attack of its own (some verifiers attack by themselves).
        order: In which order rival labels are taken (target-label paper, Algorithm 1): "bounds", "confidence", or "none" for all at once.
        float32: Whether HOLDS has to be true of the network as float32 evaluates it, in any order of summation (``checking.drift``
            says what is assumed): what rounding can take from s is taken off its proved lower bound.
        budget: Queries of the attack per problem, seconds for the whole call, bytes.
        seed: For everything random. Verdicts within a time limit may depend on the machine.
        progress: Told where things stand: the sides of min s.
        stop: Asked after every finding: True ends everything.
    Raises:
        UsageError: For an unknown method, or problems of several networks.
        ModelError: If the network gives other outputs each time.
    """
    if not problems:
        return []
    network = problems[0].network
    if any(p.network is not network for p in problems):
        raise UsageError("one call asks about one network; these problems have several: ask about each network in a call of its own")
    budget = budget or Budget(queries=ATTACK)
    with deferred_interrupts() as interrupted:
        rule = None if stop is None else StopRule(stop)
        settings = Settings(
            method, budget, seed, Clock(budget.seconds), progress, asked=budget, problems=len(problems), interrupted=interrupted, stop=rule
        )
        prover = Prover(method, order=order, memory=budget.memory, interrupted=interrupted, seed=seed, float32=float32)
        return _Verification(problems, settings, prover, attack).run()


@dataclass(slots=True, eq=False)
class _Standing:
    """What is known of one problem."""

    problem: Problem
    centre: Centre
    bracket: Bracket
    trace: Trace
    witness: Witness | None = None
    proof: Proof | None = None
    queries: int = 1

    @property
    def open(self) -> bool:
        """Whether there is still something to find out."""
        return not self.centre.wrong and not self.violated and (self.proof is None or not self.proof.proved)

    @property
    def violated(self) -> bool:
        witness = self.witness
        return witness is not None and witness.replay.confirmed and all(witness.replay.violated.values())


class _Verification:
    def __init__(self, problems: Sequence[Problem], settings: Settings, prover: Prover, attack: str | None) -> None:
        self._settings, self._prover, self._attack_name = settings, prover, attack
        self._replayer = Replayer(problems[0].network)
        rounded = [representable_problem(p) for p in problems]
        require_repeatable(self._replayer, rounded[0].center)
        self._all = [self._begun(p) for p in rounded]

    def run(self) -> list[VerifyAnswer]:
        answers: list[VerifyAnswer] = []
        for standing in self._all:
            if standing.open and not self._ended:
                self._take(standing, self._prover.first(standing.problem, self._share(len(self._all))))
        unbroken = [s for s in self._all if s.open and not self._prover.splits_inputs(s.problem)]
        if unbroken and self._attack_name is not None:
            self._attack(unbroken)
        for i, standing in enumerate(self._all):
            if standing.open and not self._ended:
                share = self._share(sum(s.open for s in self._all[i:]))
                self._take(standing, self._prover.prove(standing.problem, share, begun=True))
            answers.append(self._answer(standing))
            self._report()
            if self._settings.interrupted():
                break
        return answers

    @property
    def _ended(self) -> bool:
        stop = self._settings.stop
        return self._settings.interrupted() or (stop is not None and stop.said)

    def _begun(self, problem: Problem) -> _Standing:
        replayer = self._replayer
        standing = _Standing(problem, screened(problem, replayer), Bracket(End.UPPER), Trace())
        if not standing.centre.wrong:
            point = problem.center.astype(problem.network.dtype)
            if not problem.region.contains(point.astype(np.float64)[None])[0]:
                point = problem.center
            self._witnessed(standing, replayer.witness(problem, point, replayer.replay(problem, point)), "centre")
        return standing

    def _witnessed(self, standing: _Standing, witness: Witness, source: str) -> None:
        """Takes in a replayed point: the least s so far."""
        upper = standing.bracket.upper
        if witness.replay.inside and not math.isnan(witness.value) and (upper is None or witness.value < upper.value):
            side = Side(witness.value, Guarantee.ATTAINED, source, self._replayer.exact.arithmetic)
            standing.bracket = settled_upper(standing.bracket, side)
            standing.witness = witness
            standing.trace.append(standing.queries, self._settings.clock.elapsed, upper=witness.value)

    def _attack(self, open_: list[_Standing]) -> None:
        """Searches all open problems for the least s; those that are broken are searched no further."""
        from netassay.assessment.session import Session
        from netassay.falsifiers.base import Objective
        from netassay.falsifiers.registry import method_entry
        from netassay.falsifiers.search import FALLING, Search

        settings = self._settings
        budget = settings.budget
        queries = min(ATTACK, budget.queries or ATTACK)
        seconds = None if budget.seconds is None else SHARE * budget.seconds
        for group in _alike(open_, budget):
            method = method_entry(str(self._attack_name)).build()
            share = replace(budget, queries=queries, seconds=seconds)
            batch = [s.problem for s in group]
            search = Search(batch, Objective.VALUE, budget=share, clock=Clock(seconds), seed=settings.seed)
            session = Session(
                Question.VERIFY, batch, replace(settings, budget=share, progress=None, stop=None), search, self._replayer, slopes=False
            )
            arms = search.arms(np.arange(len(batch)), np.full(len(batch), -1.0), search.space.radii)
            search.on_step = partial(_end_broken, session)
            search.run(method, arms, queries=queries, seconds=seconds)
            session.confirm()
            for b, standing in enumerate(group):
                standing.queries += int(search.used[b])
                for _, point in session.candidates(FALLING, b)[:1]:
                    self._witnessed(
                        standing,
                        self._replayer.witness(standing.problem, point, self._replayer.replay(standing.problem, point)),
                        str(self._attack_name),
                    )
            if self._ended:
                return

    def _share(self, waiting: int) -> float:
        """Seconds for one of so many problems."""
        limit = self._settings.budget.seconds
        return PATIENCE if limit is None else max(0.01, (limit - self._settings.clock.elapsed) / max(1, waiting))

    def _take(self, standing: _Standing, proofs: Iterator[Proof]) -> None:
        """Takes in what a prover says, until it has decided."""
        for proof in proofs:
            standing.proof = proof
            if proof.point is not None:
                self._candidate(standing, proof.point, proof.source)
            if math.isfinite(proof.lower):
                side = Side(proof.lower, proof.guarantee, proof.source, proof.arithmetic)
                standing.bracket = raised(standing.bracket, side)
                standing.trace.append(
                    standing.queries,
                    self._settings.clock.elapsed,
                    lower=None if standing.bracket.lower is None else standing.bracket.lower.value,
                )
            self._report()
            if self._ended or standing.violated:
                return

    def _candidate(self, standing: _Standing, point: NDArray[np.float64], source: str) -> None:
        witness = replayed(self._replayer, standing.problem, point)
        if witness is not None:
            self._witnessed(standing, witness, source)

    def _report(self) -> None:
        settings = self._settings
        if settings.progress is None and settings.stop is None:
            return
        lines = tuple((s.problem.index, _value(s.bracket.lower), _value(s.bracket.upper)) for s in self._all)
        done = sum(s.queries for s in self._all)
        step = Progress(Question.VERIFY, done, None, settings.clock.elapsed, settings.budget.seconds, lines)
        if settings.progress is not None:
            settings.progress(step)
        if settings.stop is not None:
            settings.stop(step)

    def _answer(self, standing: _Standing) -> VerifyAnswer:
        shared: dict[str, Any] = common(
            standing.problem,
            self._settings,
            outcome=Outcome.MISCLASSIFIED if standing.centre.wrong else Outcome.MEASURED,
            center_value=standing.centre.value,
            label=standing.centre.label,
            queries=standing.queries,
            calls=0,
            interrupted=self._settings.interrupted(),
        )
        if self._prover.float32:
            shared["notes"] = (FLOAT32,)
            options = {**shared["provenance"].options, "float32": True}
            shared["provenance"] = replace(shared["provenance"], options=options)
        verdict, reason = self._verdict(standing)
        targets = () if standing.proof is None else standing.proof.targets
        return VerifyAnswer(
            **shared,
            verdict=verdict,
            reason=reason,
            bracket=standing.bracket,
            witness=standing.witness,
            targets=targets,
            trace=standing.trace,
        )

    def _verdict(self, standing: _Standing) -> tuple[Verdict, str]:
        proof = standing.proof
        if standing.centre.wrong:
            return Verdict.UNKNOWN, "misclassified"
        if standing.violated:
            if proof is not None and proof.proved and proof.guarantee is Guarantee.PROVED:
                raise InconsistentClaimsError(
                    f"{proof.source} claims a proof, and a replayed point violates the property: one of them is wrong; please report this"
                )
            return Verdict.VIOLATED, ""
        if proof is None:
            return Verdict.UNKNOWN, "interrupted" if self._ended else "time-out"
        if proof.proved:
            return Verdict.HOLDS, ""
        if proof.point is not None and proof.float32:
            return Verdict.UNKNOWN, "drift: at some point s is so small that rounding in float32 might change its sign, as far as is known"
        if proof.point is not None:
            return (
                Verdict.UNKNOWN,
                "rounding: the point that the verifier found violates the property in exact arithmetic at most, not when it is replayed",
            )
        return Verdict.UNKNOWN, proof.reason or ("interrupted" if self._ended else "incomplete")


def _alike(open_: list[_Standing], budget: Budget) -> list[list[_Standing]]:
    """Problems that one search can hold, as for the other questions."""
    from netassay.assessment.ask import groups

    problems = [s.problem for s in open_]
    return [[open_[i] for i in group] for group in groups(problems, list(range(len(open_))), budget)]


def _value(side: Side | None) -> float | None:
    return None if side is None else side.value


def _end_broken(session: Session, search: Search) -> None:
    """Problems whose least s is a violation in the search's own arithmetic, and in float64, are finished."""
    from netassay.falsifiers.search import FALLING

    least = -search.records.merit[FALLING].double().cpu().numpy()
    below = [b for b in np.flatnonzero(least <= 0).tolist() if not search.finished[b]]
    if below:
        session.confirm()
        for b in below:
            value = session.confirmed.value[FALLING, b]
            search.finished[b] = bool(session.problems[b].property.is_violated(float(value))) and value < -1e-6
