"""The range of an expression over a region, from inside (DeepQuant, section 4.3)."""

from __future__ import annotations

import numpy as np

from netassay.assessment.answers import session_common
from netassay.assessment.session import Session
from netassay.assessment.traces import clipped_trace
from netassay.checking.replay import Engine
from netassay.falsifiers.base import Falsifier, Method, Outcome, Proposal, Task
from netassay.results.answer import Outcome as AnswerOutcome
from netassay.results.answer import ReachAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.witness import Witness

MAXIMUM, MINIMUM = 0, 1

STALL_QUERIES = 4000
"""A stalled search is not stopped before this many queries per problem."""


def reach(session: Session, method: Method, labels: list[int | None]) -> list[ReachAnswer]:
    """Searches for the least and the greatest value of s over the region.

    With a tolerance, the search ends early once the second half of its queries has widened neither end by more than
    a tenth of it. That is a stopping rule, not a proof: the ends stay attained values, the range may be wider.
    """
    search = session.search
    tolerance = session.settings.tolerance
    search.run(method if tolerance is None else _UntilStalled(method, session, tolerance), search.both_directions())
    session.confirm()
    return [_answer(session, b, labels[b]) for b in range(len(session.problems))]


class _UntilStalled:
    """A method that says it is done once the records have stopped moving."""

    def __init__(self, method: Method, session: Session, tolerance: float) -> None:
        self._method, self._session, self._tolerance = method, session, tolerance

    def start(self, task: Task) -> Falsifier:
        return _Stalling(self._method.start(task), self._session, self._tolerance)


class _Stalling:
    def __init__(self, falsifier: Falsifier, session: Session, tolerance: float) -> None:
        self._falsifier, self._session, self._tolerance = falsifier, session, tolerance
        self._marks: list[tuple[float, float]] = []

    def propose(self, active: object, rows: int, spent: float) -> Proposal | None:
        return None if self._stalled() else self._falsifier.propose(active, rows, spent)  # type: ignore[arg-type]

    def _stalled(self) -> bool:
        search = self._session.search
        done = float(search.used.mean())
        worst = float(search.records.merit.sum())  # grows whenever any end of any problem moves
        self._marks.append((done, worst))
        if done < STALL_QUERIES:
            return False
        before = max((m for q, m in self._marks if q <= done / 2), default=-np.inf)
        return worst - before <= self._tolerance / 10

    def observe(self, outcome: Outcome) -> None:
        self._falsifier.observe(outcome)


def _answer(session: Session, b: int, label: int | None) -> ReachAnswer:
    low, lowest = _settled(session, b, MINIMUM)
    high, highest = _settled(session, b, MAXIMUM)
    history = session.confirmed.history
    return ReachAnswer(
        **session_common(session, b, outcome=AnswerOutcome.MEASURED if lowest or highest else AnswerOutcome.NO_WITNESS, label=label),
        minimum=low,
        maximum=high,
        minimum_witness=lowest,
        maximum_witness=highest,
        minimum_trace=clipped_trace(history[MINIMUM][b], End.UPPER, low.upper, session, b),
        maximum_trace=clipped_trace(history[MAXIMUM][b], End.LOWER, high.lower, session, b),
        frames=session.frames(b),
    )


def _settled(session: Session, b: int, direction: int) -> tuple[Bracket, Witness | None]:
    """The bracket of one end, from its best point replayed alone."""
    end = End.LOWER if direction == MAXIMUM else End.UPPER
    bracket = Bracket(end)
    point = session.confirmed.points[direction][b]
    if point is None:
        return bracket, None
    claimed = session.confirmed.value[direction, b]
    sign = 1.0 if direction == MAXIMUM else -1.0

    def bears_out(engine: Engine, value: float, center: float) -> bool:
        del center
        noise = (1e-9 if engine.arithmetic is Arithmetic.FLOAT64 else 2e-5) * max(1.0, abs(claimed))
        return bool(sign * (value - claimed) >= -noise)

    replay = session.replayer.replay(session.problems[b], point, bears_out)
    if not replay.confirmed:
        return bracket, None
    exact = session.replayer.exact
    side = Side(replay.values[exact.name], Guarantee.ATTAINED, session.settings.method, exact.arithmetic)
    return bracket.tighten(end, side), session.replayer.witness(session.problems[b], point, replay)
