"""The anytime trace: what was known after how much work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TracePoint:
    """The best sides after ``queries`` points and ``seconds``; None where nothing was known yet."""

    queries: int
    seconds: float
    lower: float | None
    upper: float | None


@dataclass(slots=True)
class Trace:
    """Monotone by construction: lower never falls, upper never rises; any prefix is a valid answer."""

    points: list[TracePoint] = field(default_factory=list)

    def append(self, queries: int, seconds: float, lower: float | None = None, upper: float | None = None) -> None:
        """Adds what is known now, kept at least as tight as what was known before."""
        if self.points:
            last = self.points[-1]
            if last.lower is not None:
                lower = last.lower if lower is None else max(lower, last.lower)
            if last.upper is not None:
                upper = last.upper if upper is None else min(upper, last.upper)
            queries, seconds = max(queries, last.queries), max(seconds, last.seconds)
            if (
                (last.lower, last.upper) == (lower, upper)
                and len(self.points) > 1
                and (self.points[-2].lower, self.points[-2].upper) == (lower, upper)
            ):
                self.points.pop()
        self.points.append(TracePoint(queries, seconds, lower, upper))

    def __iter__(self) -> Iterator[TracePoint]:
        return iter(self.points)

    def __len__(self) -> int:
        return len(self.points)
