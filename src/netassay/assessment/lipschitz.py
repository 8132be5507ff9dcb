"""The Lipschitz metric Q from below (DeepQuant, Definition 6), two-sided and on the falling side alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from netassay.assessment.answers import session_common
from netassay.assessment.session import Session
from netassay.assessment.traces import clipped_trace
from netassay.checking.replay import Engine
from netassay.falsifiers.base import Method
from netassay.falsifiers.search import FALLING, RISING
from netassay.numerics.norms import Norm
from netassay.results.answer import LipschitzAnswer, Outcome
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.witness import Witness

NOISE = 1e-6
"""Rounding of s, relative to its size, that a float32 model may show between two points."""


def lipschitz(session: Session, method: Method, labels: list[int | None]) -> list[LipschitzAnswer]:
    """Searches both branches of abs(s(x) - s(x0)) / ||x - x0||: the two have basins of their own, and the falling one decides robustness.

    A Q found this way is a lower bound. Theorem 1 needs the true supremum, so s(x0)/Q here is an upper bound of
    its d', labelled HEURISTIC: as a radius it is an estimate and bounds the true one on neither side.
    """
    search = session.search
    arms = search.both_directions()
    search.run(method, arms, starts=search.starting_points(arms))
    session.confirm()
    return [_answer(session, b, labels[b]) for b in range(len(session.problems))]


def _answer(session: Session, b: int, label: int | None) -> LipschitzAnswer:
    rising, falling = _settled(session, b, RISING), _settled(session, b, FALLING)
    steepest = max((found for found in (rising, falling) if found), key=lambda found: found[0], default=None)
    arithmetic = session.replayer.exact.arithmetic
    bracket, fall = _bracket(session, steepest, arithmetic), _bracket(session, falling, arithmetic)
    histories = session.confirmed.history
    steep = [(q, t, -v) for q, t, v in histories[FALLING][b] if v < 0]
    both = sorted([*(step for step in histories[RISING][b] if step[2] > 0), *steep])
    return LipschitzAnswer(
        **session_common(session, b, outcome=Outcome.MEASURED if steepest else Outcome.NO_WITNESS, label=label),
        bracket=bracket,
        falling=fall,
        witness=steepest[1] if steepest else None,
        falling_witness=falling[1] if falling else None,
        d_prime_lower=None,
        d_prime_upper=_d_prime(session, b, steepest),
        trace=clipped_trace(both, End.LOWER, bracket.lower, session, b),
        falling_trace=clipped_trace(steep, End.LOWER, fall.lower, session, b),
    )


def _bracket(session: Session, found: tuple[float, Witness] | None, arithmetic: Arithmetic) -> Bracket:
    bracket = Bracket(End.LOWER)
    if found is None:
        return bracket
    return bracket.tighten(End.LOWER, Side(found[0], Guarantee.ATTAINED, session.settings.method, arithmetic))


def _settled(session: Session, b: int, direction: int) -> tuple[float, Witness] | None:
    """The steepest slope of a direction whose point, replayed alone, bears it out, and its witness; None if none does.

    Falling slopes are given as positive numbers. A direction in which s never moved has no witness.
    """
    sign = 1.0 if direction == RISING else -1.0
    replayed = [_replayed(session, b, point, sign, sign * value) for value, point in session.candidates(direction, b) if sign * value > 0]
    return max((found for found in replayed if found), key=lambda found: found[0], default=None)


def _replayed(session: Session, b: int, point: NDArray[np.floating], sign: float, claimed: float) -> tuple[float, Witness] | None:
    """The slope of a point replayed alone, in the direction of ``sign``, and its witness; None if the replay does not bear it out."""
    problem, replayer = session.problems[b], session.replayer
    distance = float(problem.ball.distance(np.asarray(point, dtype=np.float64)[None])[0])

    def bears_out(engine: Engine, value: float, center: float) -> bool:
        noise = engine.rounding * max(1.0, abs(value), abs(center))
        return bool(sign * (value - center) / distance >= claimed * (1 - 1e-9) - noise / distance)

    witness = replayer.settled(problem, point, bears_out)
    if witness is None:
        return None
    slope = float(sign * (witness.value - session.centers[b]) / distance)
    return None if slope <= 0 else (slope, _marked(session, b, witness, slope))


def _marked(session: Session, b: int, witness: Witness, slope: float) -> Witness:
    """Without float64, rounding of s may fake part of a slope measured over a short distance: that is said."""
    if session.replayer.exact.arithmetic is Arithmetic.FLOAT64 or not witness.distance:
        return witness
    share = NOISE * max(1.0, abs(witness.value), abs(session.centers[b])) / witness.distance / slope
    if share <= 0.01:
        return witness
    return replace(witness, marked=f"the model has no float64 evaluation: its rounding may account for {min(1.0, share):.0%} of this slope")


def _d_prime(session: Session, b: int, steepest: tuple[float, Witness] | None) -> Side | None:
    """min(d, s(x0) / Q found): no d' at all for L0, whose ball is not convex, or where s(x0) < 0."""
    problem = session.problems[b]
    value, radius = float(session.centers[b]), float(problem.ball.radius)
    if session.search.space.norm is Norm.L0 or value < 0 or steepest is None:
        return None
    return Side(
        min(radius, value / steepest[0]),
        Guarantee.HEURISTIC,
        f"{session.settings.method} (Theorem 1 with the Q found)",
        session.replayer.exact.arithmetic,
    )
