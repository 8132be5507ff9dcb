"""L0 searches with gradients: chains of leading sets first, then a beam below what they have found."""

from __future__ import annotations

from dataclasses import dataclass, field

from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.beam import SINGLES, BeamSearch
from netassay.falsifiers.sparse.leader import LeaderSearch

LEADERS, BESIDE = 0.9, 0.5
"""Share of the queries, and of the seconds, that the chains take first; the second where the rest suffices to measure all single moves."""


@dataclass(slots=True, eq=False)
class GuidedSearch:
    """The search of one problem; it can be continued.

    Args:
        search: Evaluates, counts, and keeps the nearest violations.
        b: The problem.
    """

    search: Search
    b: int
    leaders: LeaderSearch = field(init=False)
    beam: BeamSearch = field(init=False)

    def __post_init__(self) -> None:
        self.leaders, self.beam = LeaderSearch(self.search, self.b), BeamSearch(self.search, self.b, gradients=True)

    def run(self, queries: int, seconds: float | None = None) -> None:
        """Looks for nearer violations until the queries or the seconds are spent, or neither finds anything new to ask."""
        clock, begin, used = self.search.clock, self.search.clock.elapsed, int(self.search.used[self.b])
        share = BESIDE if len(self.beam.moves) <= SINGLES * (1 - BESIDE) * queries else LEADERS
        self.leaders.run(int(share * queries), None if seconds is None else share * seconds)
        left = None if seconds is None else max(0.0, seconds - (clock.elapsed - begin))
        self.beam.run(queries - int(self.search.used[self.b] - used), left)
