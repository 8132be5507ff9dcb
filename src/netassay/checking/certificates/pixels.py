"""Parts of an L0 ball, and bounds over them: some pixels take any value of a box, a few of some others change, the rest stays.

Three rules bound the rows of a claim over a part.

- *Forms*: linear forms are pushed forward from the pixels that may change, through what these reach.
- *Alone*: over a pixel that changes alone, by the cells into which a tree cuts its values.
- *Sums*: pixels p and q (or sets of them) of which no number of a nonlinear operator depends on both add up:
  ``f(x_pq) - f(x) = f(x_p) - f(x) + f(x_q) - f(x)``, since each nonlinear operator's number is what it is under one of the changes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Array, Positions
from netassay.checking.certificates.forms import Bounded, Cells, row_bounds
from netassay.checking.certificates.local import Centre, Local, reached
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.statement import Case
from netassay.errors import DataError

Bools = NDArray[np.bool_]

MOST_PLACES = 50_000_000
"""Pairs of a pixel and a number that it may reach, or another pixel, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelPart:
    """Inputs that differ from the centre in some pixels.

    Args:
        forced: Pixels that take any value of the box.
        allowed: (g,) pixels of which some may change, to anything.
        count: How many of these, at most.
        low, high: (n,) the box.
    """

    forced: tuple[int, ...]
    allowed: Bools
    count: int
    low: Array
    high: Array

    def like(self, other: PixelPart) -> bool:
        """Whether both differ in their boxes alone."""
        return self.forced == other.forced and self.count == other.count and bool((self.allowed == other.allowed).all())

    def settled(self) -> PixelPart:
        """The same inputs; where all allowed pixels may change at once they are forced."""
        if self.allowed.sum() > self.count:
            return replace(self, allowed=np.zeros_like(self.allowed)) if self.count == 0 else self
        forced = tuple(sorted({*self.forced, *np.flatnonzero(self.allowed).tolist()}))
        return replace(self, forced=forced, allowed=np.zeros_like(self.allowed), count=0)

    def sides(self, pixel: int) -> tuple[PixelPart, PixelPart]:
        """Those in which an allowed pixel takes any value, one less of the others then; those in which it stays."""
        rest = self.allowed.copy()
        rest[pixel] = False
        changed = replace(self, forced=tuple(sorted({*self.forced, pixel})), allowed=rest, count=self.count - 1)
        return changed.settled(), replace(self, allowed=rest).settled()

    def among(self, pixel: int) -> tuple[PixelPart, PixelPart]:
        """Where one may change at most: those in which it is up to a pixel by number, and those in which it comes later."""
        first = np.arange(len(self.allowed)) <= pixel
        return replace(self, allowed=self.allowed & first).settled(), replace(self, allowed=self.allowed & ~first).settled()

    def halves(self, feature: int, threshold: Any) -> tuple[PixelPart, PixelPart]:
        """Those in which a feature is at most a threshold, and those in which it is at least that."""
        high, low = self.high.copy(), self.low.copy()
        high[feature], low[feature] = min(high[feature], threshold), max(low[feature], threshold)
        return replace(self, high=high), replace(self, low=low)


class PixelBounds:
    """A case whose region is an L0 ball.

    Args:
        network: The network.
        case: The case.
        strict: Whether 0 is not enough.
    Attributes:
        changes: How many pixels may change.
        alone: (g, R) lower bounds of the rows where one pixel changes; -inf for what is not bounded.
    Raises:
        DataError: If its region is another one.
    """

    def __init__(self, network: CheckedNetwork, case: Case, *, strict: bool) -> None:
        ball, a = case.region.ball, network.arithmetic
        if ball is None or ball.norm != 0:
            raise DataError("trees over pixels are for L0 balls; the claim is about another region")
        self.network, self.case, self._strict = network, case, strict
        self.center = a.array(ball.center)
        low, high = case.region.lower, case.region.upper
        moves = (low != ball.center) | (high != ball.center)
        every = [np.flatnonzero(ball.scale == number) for number in np.unique(ball.scale)]
        self.pixels: list[Positions] = [features for features in every if moves[features].any()]
        """The features of each pixel that can change."""
        self.pixel_of = np.full(len(low), -1, dtype=np.intp)
        for i, features in enumerate(self.pixels):
            self.pixel_of[features] = i
        self.changes, self._low, self._high = int(ball.radius), a.array(low), a.array(high)
        self.rows = a.array(np.concatenate([part.rows for part in case.parts]))
        self.constants = a.array(np.concatenate([part.constants for part in case.parts]))
        self._begins = np.cumsum([0, *(len(part.constants) for part in case.parts)])[:-1]
        self.alone: Array = a.zeros(len(self.pixels), len(self.rows)) - np.inf
        self._last: tuple[bytes, Local] | None = None

    @property
    def whole(self) -> PixelPart:
        """All of the ball."""
        return PixelPart((), np.ones(len(self.pixels), dtype=np.bool_), self.changes, self._low, self._high).settled()

    def single(self, pixel: int) -> PixelPart:
        """One pixel takes any value."""
        return replace(self.whole, forced=(pixel,), allowed=np.zeros(len(self.pixels), dtype=np.bool_), count=0)

    def holds(self, lower: Array) -> Bools:
        """(B,) whether lower bounds (B, R) of the rows prove all parts: of each one row is positive."""
        best = np.maximum.reduceat(lower, self._begins, axis=1)
        return np.asarray((best > 0 if self._strict else best >= 0).all(axis=1), dtype=np.bool_)

    @cached_property
    def centre(self) -> Centre:
        """The network's values at the centre."""
        return Centre(self.network, self.center)

    @cached_property
    def at_centre(self) -> tuple[Array, Array]:
        """(R,) lower and upper bounds of the rows at the centre."""
        a, value = self.network.arithmetic, self.centre.values[-1]
        found, size = self.rows @ value + self.constants, np.abs(self.rows) @ np.abs(value) + np.abs(self.constants)
        slack = (np.abs(self.rows) @ self.centre.errors[-1]) * (1 + 4 * a.gamma(len(value))) + 4 * a.gamma(len(value)) * size + a.tiny
        return a.bound(a.down(found - slack)), -a.bound(-a.up(found + slack))

    @cached_property
    def meets(self) -> Bools:
        """(g, g) pixels of which some number of a nonlinear operator may depend on both.

        Raises:
            DataError: If the network is too large for this.
        """
        bent = [p for p, mapped in enumerate(self.network.maps) if mapped is None]
        if len(self.pixels) * max(len(self.pixels), sum(self.network.sizes[p + 1] for p in bent)) > MOST_PLACES:
            raise DataError(f"the network is too large to add up what {len(self.pixels)} pixels do one by one")
        found = np.zeros((len(self.pixels), len(self.pixels)), dtype=np.bool_)
        places = [np.zeros((len(self.pixels), self.network.sizes[p + 1]), dtype=np.float32) for p in bent]
        for i, features in enumerate(self.pixels):
            kept = reached(self.centre, features)
            for place, position in zip(places, bent, strict=True):
                place[i, kept[position + 1]] = 1.0
        for place in places:
            found |= place @ place.T > 0
        return found

    def local(self, part: PixelPart) -> Local:
        """The network as a function of the pixels that may change; that of the last call is kept."""
        features = self._features(part)
        if self._last is None or self._last[0] != features.tobytes():
            self._last = features.tobytes(), Local(self.centre, features)
        return self._last[1]

    def _features(self, part: PixelPart) -> Positions:
        some = [self.pixels[p] for p in (*part.forced, *np.flatnonzero(part.allowed))]
        return np.sort(np.concatenate([np.zeros(0, dtype=np.intp), *some]))

    def by_forms(self, parts: Sequence[PixelPart]) -> Bounded:
        """Bounds of the rows over parts that differ in their boxes alone."""
        first, features = parts[0], self._features(parts[0])
        loose = [np.searchsorted(features, self.pixels[p]) for p in np.flatnonzero(first.allowed)]
        low, high = np.stack([p.low[features] for p in parts]), np.stack([p.high[features] for p in parts])
        cells = Cells(low, high, self.center[features], loose, first.count)
        return row_bounds(self.local(first), cells, self.rows, self.constants, self.centre.drift)

    def by_sums(self, part: PixelPart) -> Bools:
        """(a,) for each allowed pixel whether the rows hold where it changes beside the forced ones.

        Raises:
            DataError: If more than one may change, or some allowed pixel meets a forced one.
        """
        others = np.flatnonzero(part.allowed)
        if part.count != 1 or (part.forced and self.meets[list(part.forced)][:, others].any()):
            raise DataError("sums are for one more pixel that shares no number of a nonlinear operator with those that change")
        a, (least, most) = self.network.arithmetic, self.at_centre
        if len(part.forced) == 1:
            least = self.alone[part.forced[0]]
        elif part.forced:
            least = self.by_forms([replace(part, allowed=np.zeros_like(part.allowed), count=0)]).lower[0]
        return self.holds(a.bound(a.down(a.down(self.alone[others] + least) - most)))
