"""Nested Lipschitz optimisation (DeepGO, Ruan et al., 2018, "Reachability analysis of deep neural networks with provable guarantees").

The minimum over a box is taken coordinate by coordinate: ``min over x_1 of (min over x_2 of (... w(x)))``. Each of these functions of one
number has the Lipschitz constant of w in its coordinate, so that between two points a and b whose values lie above p and q it stays above
``(p + q - K (b - a)) / 2``, which is reached at one place: the next point to look at (Piyavskii, 1972; Shubert, 1972). Many coordinate
searches run side by side, and all their new points are evaluated in one batch.

The constants are proved by default (``slopes``), and each value at a point is a proved bound, so that the result is one. One constant for
the whole box is that of its steepest corner; so each piece has its own, proved over the part of the box that it stands for, and never more
than that of the piece it was cut from. DeepGO itself estimates its constants from the slopes that it sees: that is fast, and no proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netassay.errors import CapabilityError
from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.claim import Claim
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import values
from netassay.verifiers.propagation.interval import BoundedGraph, Range, bounded_graph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.propagation.root import with_rows
from netassay.verifiers.propagation.symbolic import SymbolicIntervals
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import UNIT, Array, down, up
from netassay.verifiers.slopes import SlopeMatrices

MOST_INPUTS = 6
"""Most inputs that may move: each multiplies the points by those of one search."""

POINTS, SEARCHES, BOXES = 1 << 15, 512, 1 << 10
"""Most points evaluated, searches along a coordinate followed, and boxes given a constant, side by side."""


@dataclass(frozen=True, slots=True)
class DeepGo:
    """Complete on boxes up to rounding, but in time exponential in the number of inputs.

    Args:
        tolerance: Stop when the bound is within this of the least value seen; None to stop at a decision only.
        estimated: Take the constants from sampled gradients, enlarged by this factor, instead of proved ones; the answer is HEURISTIC then.
        seed: For the samples.
    """

    tolerance: float | None = None
    estimated: float | None = None
    seed: int = 0

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after every search, each closer than the one before."""
        return _Search(task, self).run()


@dataclass(slots=True, eq=False)
class _Segments:
    """Pieces [a, b] of coordinate searches: ``low`` bounds the function between the ends, whose values lie above ``p`` and ``q``.

    Args:
        owner: (S,) which search each belongs to.
        a, b, p, q, low: (S,).
        constant: (S,) a Lipschitz constant of the function between the ends.
    """

    owner: Positions
    a: Array
    b: Array
    p: Array
    q: Array
    constant: Array
    low: Array = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, positions: Positions) -> _Segments:
        return _Segments(*(getattr(self, name)[positions] for name in self.__slots__))

    def join(self, other: _Segments) -> _Segments:
        return _Segments(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__slots__))

    def bounded(self) -> _Segments:
        """With ``low`` from the Lipschitz constants."""
        width = up(self.b - self.a)
        found = 0.5 * (self.p + self.q) - 0.5 * up(self.constant * width)
        self.low = down(found - 4 * UNIT * (np.abs(self.p) + np.abs(self.q) + self.constant * width))
        return self

    @property
    def narrow(self) -> NDArray[np.bool_]:
        """(S,) segments with hardly a float between their ends."""
        return np.asarray(self.b - self.a <= 64 * UNIT * (np.abs(self.a) + np.abs(self.b)))

    def valleys(self) -> Array:
        """Where the bound is reached, but not too near to an end."""
        with np.errstate(all="ignore"):
            at = 0.5 * self.a + 0.5 * self.b + 0.5 * (self.p - self.q) / self.constant
        margin = 0.05 * (self.b - self.a)
        middle = 0.5 * self.a + 0.5 * self.b
        return np.clip(np.where(np.isfinite(at), at, middle), self.a + margin, self.b - margin)


class _Search:
    def __init__(self, task: Task, options: DeepGo) -> None:
        low, high = (side[0] for side in task.region.corners)
        self._moving = np.flatnonzero(high > low)
        if len(self._moving) > MOST_INPUTS:
            raise CapabilityError(f"deepgo serves regions in which at most {MOST_INPUTS} inputs move; here {len(self._moving)} do")
        if not np.isfinite(low).all() or not np.isfinite(high).all() or task.region.ball is not None:
            raise CapabilityError("deepgo serves boxes and L-infinity balls with finite ends; take 'input-splitting' for other regions")
        self._task, self._options, self._claim = task, options, task.claim
        self._low, self._high, self._shape = low, high, task.region.shape
        self._bounded = BoundedGraph(with_rows(task.claim))
        self._evaluator = Evaluator(bounded_graph(task.claim.graph))
        self._least, self._point = np.inf, low.reshape(self._shape)
        self._points = 0
        self._constants = self._proved() if options.estimated is None else self._estimated(options.estimated)

    @property
    def _guarantee(self) -> Guarantee:
        return Guarantee.PROVED if self._options.estimated is None else Guarantee.HEURISTIC

    def _proved(self) -> Array:
        """(moving,) proved Lipschitz constants of s over the region, coordinate by coordinate: the largest of all rows'."""
        bounds = LinearBounds(self._bounded, self._task.region).run()
        return np.asarray(self._steepest([bounds.range(v) for v in range(self._bounded.output + 1)])[0])

    def _ranges(self, regions: Regions) -> list[Range]:
        """Of all values over small boxes: symbolic intervals are about as tight there as backward bounds, at a fraction of the cost."""
        symbolic = SymbolicIntervals(self._bounded, regions)
        symbolic.run()
        return symbolic.ranges

    def _steepest(self, ranges: Sequence[Range]) -> Array:
        """(B, moving) the same over each of the regions that the ranges of all values belong to."""
        low, high = SlopeMatrices(self._bounded, ranges, ranges).of_output()
        size = np.maximum(np.abs(low), np.abs(high)).reshape(len(low), self._bounded.graph.output_size, -1)
        return np.asarray(size.max(axis=1)[:, self._moving])

    def _constants_between(self, prefixes: Array, a: Array, b: Array, known: Array) -> Array:
        """(N,) constants along the coordinate after prefixes (N, k), between a and b (N,), wherever the coordinates after it lie.

        Where constants are estimated, ``known`` (N,), those of larger pieces.
        """
        if self._options.estimated is not None:
            return known
        axis, count = prefixes.shape[1], len(prefixes)
        low, high = np.tile(self._low, (count, 1)), np.tile(self._high, (count, 1))
        low[:, self._moving[:axis]] = high[:, self._moving[:axis]] = prefixes
        low[:, self._moving[axis]], high[:, self._moving[axis]] = a, b
        shape = (-1, *self._shape)
        blocks = [slice(i, i + BOXES) for i in range(0, count, BOXES)]
        found = [self._steepest(self._ranges(Regions(low[i].reshape(shape), high[i].reshape(shape))))[:, axis] for i in blocks]
        return np.asarray(np.fmin(known, np.concatenate(found)))

    def _estimated(self, factor: float) -> Array:
        """(moving,) the largest sampled partial derivatives of any row, times the factor."""
        rng = np.random.default_rng(self._options.seed)
        points = self._low + (self._high - self._low) * rng.random((1000, len(self._low)))
        rows = np.concatenate([part.rows for part in self._claim.parts])
        found = [
            np.abs(self._evaluator.gradients(points.reshape(-1, *self._shape), np.tile(row, (len(points), 1)))[1]).reshape(len(points), -1)
            for row in rows
        ]
        return np.asarray(factor * np.max(found, axis=(0, 1))[self._moving])

    def run(self) -> Iterator[Finding]:
        if not np.isfinite(self._constants).all():
            yield Finding(-np.inf, guarantee=self._guarantee, reason="incomplete")
            return
        if not len(self._moving):
            lower = float(self._values(self._low[None])[0])
            yield self._finding(lower, "" if self._done(lower) else "rounding")
            return
        everything = np.zeros((1, 0))
        with np.errstate(over="ignore"):
            tolerance = float((self._constants * (self._high - self._low)[self._moving]).sum())
        if not np.isfinite(tolerance):
            yield Finding(-np.inf, guarantee=self._guarantee, reason="incomplete")
            return
        lower = -np.inf
        while True:
            tolerance = self._closer(tolerance)
            lower = max(lower, float(self._searched(everything, tolerance)[0]))
            reason = "" if self._done(lower) else self._given_up(tolerance)
            yield self._finding(lower, reason)
            if reason or self._done(lower):
                return

    def _closer(self, tolerance: float) -> float:
        """The next search's tolerance: each begins anew, so that steps are long, but the last one's no longer than it takes."""
        wanted = self._options.tolerance
        if wanted is None:
            return tolerance / 4
        return max(tolerance / 16, wanted / 2) if tolerance > wanted / 2 else tolerance / 4

    def _finding(self, lower: float, reason: str) -> Finding:
        broken = self._options.tolerance is None and not self._claim.holds(self._least)
        proved = self._options.estimated is None and self._claim.holds(lower) and not broken
        point = self._point if broken else None
        return Finding(lower, proved, self._guarantee, point, self._least, "" if broken or proved else reason, max(1, self._points))

    def _done(self, lower: float) -> bool:
        if self._options.tolerance is not None:
            return self._least - lower <= self._options.tolerance
        return self._claim.holds(lower) or not self._claim.holds(self._least)

    def _given_up(self, tolerance: float) -> str:
        if self._task.limits.over:
            return "time-out"
        return "rounding" if tolerance < 64 * UNIT * (1 + abs(self._least)) else ""

    def _wanted(self, prefixes: Array) -> float:
        """Nothing at or above this value has to be known better; along the inner coordinates, whose values have to reach far, all has."""
        if prefixes.shape[1]:
            return np.inf
        if self._options.tolerance is not None:
            return self._least - self._options.tolerance
        return float(np.nextafter(0.0, 1.0)) if self._claim.strict else 0.0

    def _minima(self, prefixes: Array, tolerance: float) -> Array:
        """(N,) lower bounds of s over the points of the box that begin with prefixes (N, k).

        Each is within ``tolerance`` of the truth; less where time is over.
        """
        if prefixes.shape[1] == len(self._moving):
            return self._of_points(prefixes)
        blocks = [self._searched(prefixes[i : i + SEARCHES], tolerance) for i in range(0, len(prefixes), SEARCHES)]
        return np.concatenate(blocks)

    def _searched(self, prefixes: Array, tolerance: float) -> Array:
        """The same by searches along the next coordinate, side by side; the next but one is followed twice as closely."""
        count = len(prefixes)
        segments = self._first(prefixes, tolerance)
        found, top = np.full(count, np.inf), np.full(count, np.inf)
        while len(segments):
            low = _least(segments.low, segments.owner, count)
            top = np.minimum(top, _least(np.minimum(segments.p, segments.q), segments.owner, count))
            found = np.where(low < np.inf, low, found)
            stuck = _least(np.where(segments.narrow, segments.low, np.inf), segments.owner, count) <= low
            with np.errstate(invalid="ignore"):
                going = (top - low > tolerance) & (low < self._wanted(prefixes)) & ~stuck & (not self._task.limits.over)
                middle = low + 0.5 * (top - low)
            segments = segments.take(np.flatnonzero(going[segments.owner]))
            near = segments.low <= middle[segments.owner]
            chosen = np.flatnonzero((near | (segments.low == low[segments.owner])) & ~segments.narrow)
            if len(chosen):
                segments = self._cut(segments, chosen, prefixes, tolerance)
        return found

    def _first(self, prefixes: Array, tolerance: float) -> _Segments:
        """One segment per search, from one end of the coordinate to the other."""
        axis, count = self._moving[prefixes.shape[1]], len(prefixes)
        a, b = np.full(count, self._low[axis]), np.full(count, self._high[axis])
        p, q = (self._minima(np.column_stack([prefixes, end]), tolerance / 2) for end in (a, b))
        constant = self._constants_between(prefixes, a, b, np.full(count, self._constants[prefixes.shape[1]]))
        return _Segments(np.arange(count), a, b, p, q, constant).bounded()

    def _cut(self, segments: _Segments, chosen: Positions, prefixes: Array, tolerance: float) -> _Segments:
        """The segments with the chosen ones cut at the places where their bounds are reached."""
        old = segments.take(chosen)
        at = old.valleys()
        known = self._minima(np.column_stack([prefixes[old.owner], at]), tolerance / 2)
        left = _Segments(old.owner, old.a, at, old.p, known, old.constant)
        halves = left.join(_Segments(old.owner, at, old.b, known, old.q, old.constant))
        halves.constant = self._constants_between(prefixes[halves.owner], halves.a, halves.b, halves.constant)
        halves.bounded()
        halves.low = np.maximum(halves.low, np.tile(old.low, 2))
        return segments.take(np.setdiff1d(np.arange(len(segments)), chosen)).join(halves)

    def _of_points(self, moved: Array) -> Array:
        """(N,) proved lower bounds of s at points, given by their moving features; the least value is kept."""
        points = np.tile(self._low, (len(moved), 1))
        points[:, self._moving] = moved
        found = [self._values(points[i : i + POINTS]) for i in range(0, len(points), POINTS)]
        return np.concatenate(found)

    def _values(self, points: Array) -> Array:
        shaped = points.reshape(-1, *self._shape)
        self._points += len(points)
        seen = values(self._claim, self._evaluator.outputs(shaped))
        best = int(np.argmin(np.where(np.isnan(seen), np.inf, seen)))
        if seen[best] < self._least:
            self._least, self._point = float(seen[best]), shaped[best].copy()
        return _proved_values(self._claim, self._bounded.propagate(Regions(shaped, shaped))[-1][0])


def _least(numbers: Array, owner: Positions, count: int) -> Array:
    """(count,) the least of each owner's numbers; inf for none."""
    found = np.full(count, np.inf)
    np.minimum.at(found, owner, numbers)
    return found


def _proved_values(claim: Claim, rows: Array) -> Array:
    """(N,) lower bounds of s from those of all rows (N, m)."""
    ends = np.cumsum([len(part.rows) for part in claim.parts])[:-1]
    found = np.min([block.max(axis=1) for block in np.split(rows, ends, axis=1)], axis=0)
    return np.where(np.isnan(found), -np.inf, found)
