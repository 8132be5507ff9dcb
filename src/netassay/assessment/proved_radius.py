"""The maximum safe radius from below: the largest ball that is proved safe, by bisection (DeepQuant, Definition 4)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from netassay.assessment.proving import Proof, Prover
from netassay.errors import CapabilityError
from netassay.numerics.budget import Clock
from netassay.numerics.norms import Norm
from netassay.results.guarantee import Guarantee
from netassay.specs.problem import Problem
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.claim import Claim, claim_of
from netassay.verifiers.region import Regions

LADDER, CLIMBS = 8, 10
"""Balls bounded in one batch, and most batches."""

TOLERANCE = 1e-4
"""The bisection ends when its sides are this close, relative to the upper one."""

LEAST = 1e-12
"""It ends too when they are this close, relative to the radius that it began at."""

FIRST, PATIENCE = 0.1, 0.34
"""Share of the remaining time that the first ball, just inside the nearest witness, and each further one may take."""

BOUNDS = 0.5
"""Share of the remaining time that finding the largest ball that bounds alone prove may take."""


@dataclass(frozen=True, slots=True, eq=False)
class SafeBall:
    """A radius that is proved safe, or (``proof`` undecided, ``radius`` as before) a proof under way or given up, maybe with a point.

    Args:
        radius: The largest radius proved safe so far; 0 where none is.
        proof: The proof that this was said after.
    """

    radius: float
    proof: Proof


def safe_balls(problem: Problem, upper: float, prover: Prover, seconds: float) -> Iterator[SafeBall]:
    """Growing proved-safe balls below ``upper``.

    A ladder of balls is bounded in one batch first, then once more between its last safe and first undecided rung. If the prover does
    not settle the ball just inside the nearest witness, ladders go on until they have found what bounds alone prove; what is left above
    that is bisected with the prover, each ball within a share of the remaining time. A ball that was not decided is an upper end for the
    bisection, and nothing more.

    Args:
        problem: Its ball says centre, norm, domain and the largest radius.
        upper: Distance of the nearest witness, or infinity.
        prover: Decides single balls.
        seconds: For everything.
    """
    clock = Clock(seconds)
    limit = float(problem.ball.radius)
    ceiling = min(upper, limit)
    discrete = problem.ball.p is Norm.L0
    try:
        claim = claim_of(problem)
    except CapabilityError as error:
        yield SafeBall(0.0, Proof(-math.inf, False, Guarantee.PROVED, prover.method, reason=str(error)))
        return
    if discrete:
        yield from _whole_numbers(problem, upper, prover, clock)
        return
    ladder = _Ladder(claim, problem, ceiling, reachable=upper > limit)
    for _ in range(2):
        ladder.climb()
    cheap = Proof(0.0, True, Guarantee.PROVED, "crown" if prover.method == "crown" else f"{prover.method}: crown")
    if ladder.lower > 0:
        yield SafeBall(ladder.lower, cheap)
    if clock.expired or ceiling - ladder.lower <= TOLERANCE * ceiling:
        return
    inside = ceiling * (1 - TOLERANCE)  # the witness may be as near as there is one
    proof = _settled(problem, inside, prover, FIRST, clock)
    yield SafeBall(inside if proof.proved else ladder.lower, proof)
    if proof.proved:
        return
    for lower in _climbed(ladder, prover, BOUNDS * _left(clock)):
        yield SafeBall(lower, cheap)
    yield from _bisected(problem, (ladder.lower, inside), prover, clock)


class _Ladder:
    """Balls of growing radius, bounded in one batch; then again between the last safe and the first undecided one.

    Args:
        claim, problem: What is to hold on the balls.
        ceiling: The largest radius.
        reachable: Whether it may be safe itself; it is not where a witness is as near.
    Attributes:
        lower: The largest radius that is proved safe; 0 where none is.
    """

    def __init__(self, claim: Claim, problem: Problem, ceiling: float, *, reachable: bool) -> None:
        self._claim, self._problem, self.lower = claim, problem, 0.0
        self._ceiling = ceiling if reachable else ceiling * (1 - TOLERANCE)
        self._climbs = 0

    @property
    def done(self) -> bool:
        """Whether further rungs would be too close."""
        return self._climbs >= CLIMBS or self._ceiling - self.lower <= TOLERANCE * self._ceiling

    def climb(self) -> None:
        """Bounds the next rungs, if there are any."""
        steps, ceiling = np.arange(1, LADDER + 1), self._ceiling
        rungs = self.lower + (ceiling - self.lower) * steps / (LADDER + 1) if self._climbs else ceiling * 2.0 ** (steps - LADDER)
        if self.done:
            return
        self._climbs += 1
        if not (rungs > 0).all():
            return
        regions = Regions.of([self._problem.ball.with_radius(float(r)) for r in rungs])
        safe = np.array([self._claim.holds(float(v)) for v in linear_bounds(self._claim, regions).min(axis=0)])
        proved = int(np.argmin(safe)) if not safe.all() else len(rungs)
        if proved:
            self.lower = float(rungs[proved - 1])
        if proved < len(rungs):
            self._ceiling = float(rungs[proved])


def _climbed(ladder: _Ladder, prover: Prover, seconds: float) -> Iterator[float]:
    """Radii proved safe by further ladders, while these are expected to end in time."""
    clock, last = Clock(seconds), 0.0
    while not ladder.done and not prover.stopped and clock.elapsed + last <= seconds:
        begun, before = clock.elapsed, ladder.lower
        ladder.climb()
        last = clock.elapsed - begun
        if ladder.lower > before:
            yield ladder.lower


def _settled(problem: Problem, radius: float, prover: Prover, share: float, clock: Clock) -> Proof:
    return prover.settled(replace(problem, region=problem.ball.with_radius(radius)), share * _left(clock))


def _bisected(problem: Problem, ends: tuple[float, float], prover: Prover, clock: Clock) -> Iterator[SafeBall]:
    (lower, ceiling), least = ends, LEAST * ends[1]
    while ceiling - lower > max(TOLERANCE * ceiling, least) and not clock.expired and not prover.stopped:
        radius = lower + (ceiling - lower) / 2
        proof = _settled(problem, radius, prover, PATIENCE, clock)
        lower, ceiling = (radius, ceiling) if proof.proved else (lower, radius)
        yield SafeBall(lower, proof)


def _whole_numbers(problem: Problem, upper: float, prover: Prover, clock: Clock) -> Iterator[SafeBall]:
    """L0: one more changed feature at a time; a proof that is still under way is told too, with the radius that is safe so far."""
    lower = 0.0
    while lower + 1 <= min(problem.ball.radius, upper - 1) and not clock.expired and not prover.stopped:
        ball = replace(problem, region=problem.ball.with_radius(lower + 1))
        proved = False
        for proof in prover.prove(ball, _left(clock)):
            proved = proof.proved
            yield SafeBall(lower + 1 if proved else lower, proof)
        if not proved:
            return  # an undecided ball is the last
        lower += 1


def _left(clock: Clock) -> float:
    """Seconds that are left, and a moment for those who come late."""
    return 0.01 + (math.inf if clock.limit is None else max(0.0, clock.limit - clock.elapsed))
