"""The proved sides of answers that a search has given: they are added to the brackets, which they can only tighten."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netassay.assessment.proved_radius import SafeBall, safe_balls
from netassay.assessment.proving import Proof, Prover, replayed
from netassay.assessment.settling import raised, settled_upper
from netassay.checking.replay import Replayer
from netassay.errors import CapabilityError
from netassay.numerics.budget import Clock
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.witness import Witness
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.claim import Claim, claim_of, negated
from netassay.verifiers.lipschitz import SlopeBounds, slope_bounds
from netassay.verifiers.portfolio import Range
from netassay.verifiers.region import Regions

PATIENCE, TOGETHER, LEAST = 10.0, 120.0, 0.5
"""Seconds for the proofs of one input where no time limit was given, for those of all inputs together, and for one at least."""

SPARSE_PATIENCE = 120.0
"""Seconds for one input in L0, where the radius is a whole number and one more proof may close its bracket."""

CLOSE = 1e-6
"""A range is proved until its sides are this close, relative to its size, where no tolerance was given."""


class ProvedSides:
    """Adds proved sides to answers.

    Args:
        prover: The verifier.
        replayer: Of the network; replays what a verifier takes for a counterexample.
        tolerance: For ranges: how close the sides have to come.
        told: Called with all answers as they grow.
    """

    def __init__(
        self, prover: Prover, replayer: Replayer, *, tolerance: float | None = None, told: Callable[[Sequence[Answer]], None] | None = None
    ) -> None:
        self._prover, self._replayer, self._tolerance, self._told = prover, replayer, tolerance, told
        self._answers: list[Answer] = []
        self._under_way: int | None = None

    def all(self, answers: Sequence[Answer], problems: Sequence[Problem], clock: Clock) -> list[Answer]:
        """The answers with what can be proved in the time that is left, shared by those that wait."""
        self._answers = list(answers)
        for i, problem in enumerate(problems):
            seconds = max(LEAST, min(_patience(problem), TOGETHER / len(answers)))
            if clock.limit is not None:
                seconds = (clock.limit - clock.elapsed) / (len(answers) - i)
            if seconds <= 0 or self._prover.stopped:
                break
            self._under_way = i
            self._tell(self.one(self._answers[i], problem, seconds))
        return self._answers

    def _tell(self, answer: Answer) -> None:
        """Keeps the answer under way as it is now, and shows it."""
        if self._under_way is None:
            return
        self._answers[self._under_way] = answer
        if self._told is not None:
            self._told(self._answers)

    def one(self, answer: Answer, problem: Problem, seconds: float) -> Answer:
        """One answer with its proved sides; with a note where nothing can follow its network or property."""
        if answer.outcome in (Outcome.MISCLASSIFIED, Outcome.RISK_AT_CENTER):
            return answer
        try:
            if isinstance(answer, RadiusAnswer):
                return self._radius(answer, problem, seconds)
            if isinstance(answer, ReachAnswer):
                return self._reach(answer, problem, seconds)
            if isinstance(answer, LipschitzAnswer):
                return self._lipschitz(answer, problem, seconds)
        except CapabilityError as error:
            return replace(answer, notes=(*answer.notes, f"nothing was proved: {error}"))
        return answer

    def _radius(self, answer: RadiusAnswer, problem: Problem, seconds: float) -> RadiusAnswer:
        distance = math.inf if answer.witness is None or answer.witness.distance is None else float(answer.witness.distance)
        reason, clock = "", Clock(seconds)
        for ball in safe_balls(problem, distance, self._prover, seconds):
            answer = self._grown(answer, ball, clock)
            reason = "" if ball.proof.proved else ball.proof.reason
            if ball.proof.point is not None:
                answer = self._nearer(answer, problem, ball.proof, ball.proof.point)
            self._tell(answer)
        if answer.bracket.lower is None and reason:
            answer = replace(answer, notes=(*answer.notes, f"no radius was proved safe: {reason}"))
        return answer

    def _grown(self, answer: RadiusAnswer, ball: SafeBall, clock: Clock) -> RadiusAnswer:
        """With the radius of a ball that is proved now: one that is told again beside an undecided proof has been taken in already."""
        if ball.radius <= 0 or not ball.proof.proved:
            return answer
        side = Side(ball.radius, Guarantee.PROVED, ball.proof.source, Arithmetic.REAL)
        if ball.proof.guarantee is not Guarantee.PROVED:
            side = Side(ball.radius, ball.proof.guarantee, ball.proof.source, Arithmetic.FLOAT64)
        bracket = raised(answer.bracket, side)
        if bracket is answer.bracket:
            return answer
        lower, spent = bracket.lower, answer.provenance
        answer.trace.append(spent.queries, spent.seconds + clock.elapsed, lower=None if lower is None else lower.value)
        return replace(answer, bracket=bracket)

    def _nearer(self, answer: RadiusAnswer, problem: Problem, proof: Proof, point: NDArray[np.float64]) -> RadiusAnswer:
        """A counterexample of the prover, if it is nearer than the nearest witness, pulled towards the centre as far as it stays one."""
        witness = replayed(self._replayer, problem, point)
        if witness is None or witness.distance is None:
            return answer
        inside = 0.0
        for _ in range(40 if problem.ball.p is not Norm.L0 else 0):
            share = inside + (1 - inside) / 2
            offset = np.asarray(witness.point, dtype=np.float64) - problem.center
            nearer = replayed(self._replayer, problem, problem.center + share * offset)
            if nearer is None or nearer.distance is None or nearer.distance >= witness.distance:
                inside = share
            else:
                witness, inside = nearer, 0.0 if share < 0.5 else inside / share
            if 1 - inside < 1e-6:
                break
        value = max(0.0, float(witness.distance or 0.0) - (1 if problem.ball.p is Norm.L0 else 0))
        if answer.bracket.upper is not None and value >= answer.bracket.upper.value:
            return answer
        side = Side(value, Guarantee.ATTAINED, proof.source, self._replayer.exact.arithmetic)
        answer.trace.append(answer.provenance.queries, answer.provenance.seconds, upper=value)
        return replace(answer, bracket=settled_upper(answer.bracket, side), witness=witness, outcome=Outcome.MEASURED)

    def _reach(self, answer: ReachAnswer, problem: Problem, seconds: float) -> ReachAnswer:
        claim = claim_of(problem, exact=True)
        turned = negated(claim)
        low = self._least(claim, problem, seconds / 2, answer.minimum)
        high = None if turned is None else self._least(turned, problem, seconds / 2, answer.maximum)
        minimum, maximum = answer.minimum, answer.maximum
        if low is not None:
            minimum = _kept_outside(minimum, End.LOWER, low)
        if high is not None:
            maximum = _kept_outside(maximum, End.UPPER, replace(high, value=-high.value))
        return replace(answer, minimum=minimum, maximum=maximum)

    def _lipschitz(self, answer: LipschitzAnswer, problem: Problem, seconds: float) -> LipschitzAnswer:
        """Q and its falling side from above, and Theorem 1's radius from the latter: s need not fall faster than it does."""
        claim = claim_of(problem, exact=True)
        limits = Limits(Clock(seconds), self._prover.memory, self._prover.interrupted)
        attained = (_value(answer.falling.lower), _value(answer.bracket.lower))
        for rows in slope_bounds(claim, problem.ball, limits, attained):
            found = rows if claim.above is None else rows.of_rounded()
            answer = replace(
                answer,
                bracket=_steeper(answer.bracket, found.steepest, self._noise(answer, answer.witness)),
                falling=_steeper(answer.falling, found.falling, self._noise(answer, answer.falling_witness)),
                d_prime_lower=_theorem_1(claim.value(found.center[0]), found, float(problem.ball.radius)),
            )
        return answer

    def _noise(self, answer: LipschitzAnswer, witness: Witness | None) -> float:
        """What rounding of s can add to a slope that was measured over the distance of its witness."""
        if witness is None or not witness.distance:
            return 0.0
        return self._replayer.exact.rounding * max(1.0, abs(witness.value), abs(answer.center_value)) / witness.distance

    def _least(self, claim: Claim, problem: Problem, seconds: float, bracket: Bracket) -> Side | None:
        """A proved lower bound of the claim's s, as near to the least value seen as time allows."""
        region = Regions.of([problem.region])
        known = bracket.side(bracket.attained)
        size = 1.0 if known is None else max(abs(known.value), 1e-3)
        tolerance = CLOSE * size if self._tolerance is None else self._tolerance
        task = Task(claim, region, Limits(Clock(seconds), self._prover.memory, self._prover.interrupted), self._prover.seed)
        best, source = -math.inf, ""
        for finding in Range(tolerance).verify(task):
            if finding.lower > best:
                best, source = finding.lower, finding.source
        return None if best == -math.inf else Side(best, Guarantee.PROVED, f"{self._prover.method}: {source}", Arithmetic.REAL)


def _patience(problem: Problem) -> float:
    return SPARSE_PATIENCE if isinstance(problem.region, Ball) and problem.region.p is Norm.L0 else PATIENCE


SLOPES = "interval slopes and linear forms"
"""The method behind proved slopes, as reports name it."""


def _value(side: Side | None) -> float:
    return 0.0 if side is None else side.value


def _steeper(bracket: Bracket, slope: float, noise: float) -> Bracket:
    """The bracket of a slope, attained from below, with a proved upper side, which gives way to what is attained by rounding alone."""
    if slope == math.inf:
        return bracket
    attained = _value(bracket.lower)
    slope = attained if attained - noise <= slope < attained else slope
    return _lowered(bracket, Side(slope, Guarantee.PROVED, SLOPES, Arithmetic.REAL))


def _theorem_1(center: float, found: SlopeBounds, radius: float) -> Side | None:
    """min(d, s(x0) / Q) rounded down (DeepQuant, Theorem 1), from lower bounds of s(x0) and upper bounds of the falling Q."""
    if found.falling == math.inf or center <= 0:
        return None
    reach = math.nextafter(center / found.falling, 0.0) if found.falling > 0 else math.inf
    return Side(min(radius, reach), Guarantee.PROVED, f"{SLOPES} (Theorem 1)", Arithmetic.REAL)


def _kept_outside(bracket: Bracket, end: End, side: Side) -> Bracket:
    """The bracket of one end of a range with its proved side; what floating point attains beyond it by rounding alone moves it there."""
    return raised(bracket, side) if end is End.LOWER else _lowered(bracket, side)


def _lowered(bracket: Bracket, side: Side) -> Bracket:
    turned = raised(_turned(bracket), replace(side, value=-side.value))
    return _turned(turned)


def _turned(bracket: Bracket) -> Bracket:
    """The bracket of the negative quantity."""
    lower, upper = bracket.lower, bracket.upper
    return Bracket(
        End.UPPER if bracket.attained is End.LOWER else End.LOWER,
        lower=None if upper is None else replace(upper, value=-upper.value),
        upper=None if lower is None else replace(lower, value=-lower.value),
    )
