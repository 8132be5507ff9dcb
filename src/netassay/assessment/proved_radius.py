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

LADDER = 8
"""Balls bounded in one batch."""

TOLERANCE = 1e-4
"""The bisection ends when its sides are this close, relative to the upper one."""

FIRST, PATIENCE = 0.1, 0.34
"""Share of the remaining time that the first ball, just inside the nearest witness, and each further one may take."""


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

    A ladder of balls is bounded in one batch first, then once more between its last safe and first undecided rung; what is left up to
    the nearest witness is bisected with the prover, each ball within a share of the remaining time. A ball that was not decided
    is an upper end for the bisection, and nothing more.

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
    lower = _by_bounds(claim, problem, ceiling, upper > limit)
    if lower > 0:
        yield SafeBall(lower, Proof(0.0, True, Guarantee.PROVED, f"{prover.method}: crown"))
    yield from _bisected(problem, (lower, ceiling), prover, clock)


def _by_bounds(claim: Claim, problem: Problem, ceiling: float, reachable: bool) -> float:
    """The largest ball proved by linear bounds: 0 where they prove none."""
    lower = 0.0
    for i in range(2):
        steps = np.arange(1, LADDER + 1)
        rungs = ceiling * 2.0 ** (steps - LADDER) if i == 0 else lower + (ceiling - lower) * steps / (LADDER + 1)
        if i == 0 and not reachable:
            rungs = rungs * (1 - TOLERANCE)  # the witness's own ball is not safe
        if not (rungs > 0).all() or rungs[-1] <= lower:
            return lower
        regions = Regions.of([problem.ball.with_radius(float(r)) for r in rungs])
        safe = np.array([claim.holds(float(v)) for v in linear_bounds(claim, regions).min(axis=0)])
        proved = int(np.argmin(safe)) if not safe.all() else len(rungs)
        if proved:
            lower = float(rungs[proved - 1])
        if proved < len(rungs):
            ceiling = float(rungs[proved])
    return lower


def _bisected(problem: Problem, ends: tuple[float, float], prover: Prover, clock: Clock) -> Iterator[SafeBall]:
    lower, ceiling = ends
    share, radius = FIRST, ceiling * (1 - TOLERANCE)  # the witness may be as near as there is one
    while ceiling - lower > TOLERANCE * ceiling and not clock.expired:
        proof = prover.settled(replace(problem, region=problem.ball.with_radius(radius)), share * _left(clock))
        if proof.proved:
            lower = radius
        else:
            ceiling = radius
        yield SafeBall(lower, proof)
        share, radius = PATIENCE, lower + (ceiling - lower) / 2


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
