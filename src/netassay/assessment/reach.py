"""The range of an expression over a region, from inside (DeepQuant, section 4.3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.assessment.answers import session_common
from netassay.assessment.session import Session
from netassay.assessment.traces import clipped_trace
from netassay.checking.replay import Engine
from netassay.falsifiers.base import Method
from netassay.falsifiers.search import FALLING, RISING, Search
from netassay.falsifiers.space import Arms
from netassay.results.answer import Outcome, ReachAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.witness import Witness

MAXIMUM, MINIMUM = RISING, FALLING

ROUND = 2500
"""Queries per problem between two looks at whether the range still grows."""


def reach(session: Session, method: Method, labels: list[int | None]) -> list[ReachAnswer]:
    """Searches for the least and the greatest value of s over the region.

    With a tolerance, the search runs in rounds, each starting from the best points so far and with fresh random ones, and ends
    after the second round, or a later one, that widens no end by more than a tenth of the tolerance. That is a stopping
    rule, not a proof: the ends stay attained values, the range may be wider.
    """
    search = session.search
    arms = search.both_directions()
    if session.settings.tolerance is None:
        search.run(method, arms, starts=search.starting_points(arms))
    else:
        _until_stalled(search, method, arms, session.settings.tolerance)
    session.confirm()
    return [_answer(session, b, labels[b]) for b in range(len(session.problems))]


def _until_stalled(search: Search, method: Method, arms: Arms, tolerance: float) -> None:
    search.run(method, arms, queries=ROUND, starts=search.starting_points(arms))
    gain = np.inf
    while gain > tolerance / 10 and search.room.max() > 0 and not search.stopped and not search.clock.expired:
        before = search.records.merit.clone()
        search.run(method, arms, queries=ROUND, starts=search.incumbents(arms).unsqueeze(1))
        gain = float(torch.nan_to_num(search.records.merit - before, nan=0.0).max())


def _answer(session: Session, b: int, label: int | None) -> ReachAnswer:
    low, lowest = _settled(session, b, MINIMUM)
    high, highest = _settled(session, b, MAXIMUM)
    history = session.confirmed.history
    return ReachAnswer(
        **session_common(session, b, outcome=Outcome.MEASURED if lowest or highest else Outcome.NO_WITNESS, label=label),
        minimum=low,
        maximum=high,
        minimum_witness=lowest,
        maximum_witness=highest,
        minimum_trace=clipped_trace(history[MINIMUM][b], End.UPPER, low.upper, session, b),
        maximum_trace=clipped_trace(history[MAXIMUM][b], End.LOWER, high.lower, session, b),
        frames=session.frames(b),
    )


def _settled(session: Session, b: int, direction: int) -> tuple[Bracket, Witness | None]:
    """The bracket of one end, from the farthest of its points that a replay alone bears out."""
    end, sign = (End.LOWER, 1.0) if direction == MAXIMUM else (End.UPPER, -1.0)
    bracket, exact = Bracket(end), session.replayer.exact
    replayed = [_replayed(session, b, point, sign, value) for value, point in session.candidates(direction, b)]
    witness = max((w for w in replayed if w is not None), key=lambda w: sign * w.value, default=None)
    if witness is None:
        return bracket, None
    return bracket.tighten(end, Side(witness.value, Guarantee.ATTAINED, session.settings.method, exact.arithmetic)), witness


def _replayed(session: Session, b: int, point: NDArray[np.floating], sign: float, claimed: float) -> Witness | None:
    def bears_out(engine: Engine, value: float, center: float) -> bool:
        del center
        noise = engine.rounding * max(1.0, abs(claimed))
        return bool(sign * (value - claimed) >= -noise)

    return session.replayer.settled(session.problems[b], point, bears_out)
