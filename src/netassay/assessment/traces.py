"""Turns the history of a search into a trace that never claims more than the replayed answer."""

from __future__ import annotations

from collections.abc import Iterable

from netassay.assessment.session import Session
from netassay.results.bracket import End, Side
from netassay.results.trace import Trace


def clipped_trace(history: Iterable[tuple[int, float, float]], end: End, final: Side | None, session: Session, b: int) -> Trace:
    """The trace of one side; values beyond the final one (by the rounding of batches) are brought back to it."""
    trace = Trace()
    if final is None:
        return trace
    for queries, seconds, value in history:
        inside = min(value, final.value) if end is End.LOWER else max(value, final.value)
        _append(trace, queries, seconds, inside, end)
    _append(trace, int(session.search.used[b]), session.search.clock.elapsed, final.value, end)
    return trace


def _append(trace: Trace, queries: int, seconds: float, value: float, end: End) -> None:
    if end is End.LOWER:
        trace.append(queries, seconds, lower=value)
    else:
        trace.append(queries, seconds, upper=value)
