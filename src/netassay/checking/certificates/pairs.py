"""L0 balls of two changes, pair of pixels by pair: bounds over a pair's values, and what they are made of.

Pixels come in an order. Some neighbours in it share a frame, which holds all numbers where a change of theirs has an interplay with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from netassay.checking.certificates.arithmetic import Array, Positions
from netassay.checking.certificates.interplay import interplay
from netassay.checking.certificates.maxima import Frame, maxima_of
from netassay.checking.certificates.pixels import PixelBounds
from netassay.checking.certificates.single_changes import HELD, Single, Singles, Table
from netassay.errors import DataError

KEPT = 64
"""Pixels whose cells are held as they look in one frame, at most."""

Run = tuple[int, int]
"""A run of 2^depth that divide something: depth, and place from 0 on."""


@dataclass(frozen=True, slots=True)
class Node:
    """Some pairs of pixels with some of their values.

    Args:
        pixel: Position of one pixel in the order.
        own: A run of its cells.
        level, place: The others lie at ``2**level`` positions from ``place * 2**level`` on, behind the pixel.
        cells: A run of the cells of the only one of them; ``(0, 0)`` where there are more.
    """

    pixel: int
    own: Run
    level: int
    place: int
    cells: Run = (0, 0)


class PairBounds:
    """Bounds of the rows of a claim over pairs of pixels, once all pixels have been cut into cells.

    Args:
        bounds: Of the claim, whose region is an L0 ball of radius 2.
        order: The pixels.
        together: So many pixels share a frame.
    Attributes:
        singles: By pixel, what it does alone.
    Raises:
        DataError: If that is no order, or the network or the pixels are none that are followed.
    """

    def __init__(self, bounds: PixelBounds, order: Positions, together: int) -> None:
        count = len(bounds.pixels)
        if bounds.network.arithmetic.exact:
            raise DataError("pairs of pixels are bounded in float64 alone: check this certificate without exact arithmetic")
        if bounds.changes != 2:
            raise DataError(f"pairs of pixels prove claims about two changes; this one is about {bounds.changes}")
        if len(order) != count or (np.sort(order) != np.arange(count)).any():
            raise DataError(f"an order of the {count} pixels that can change has to name each of them once")
        if not 0 < together <= max(count, 1):
            raise DataError(f"{together} pixels share a frame; expected 1 to {count}")
        self.bounds, self.order, self._together = bounds, order, together
        self.maxima = maxima_of(bounds.centre)
        self._cutting = Singles(bounds, self.maxima)
        self._held, self.singles = 0, dict[int, Single]()
        self._home: _Home | None = None

    def cut(self, pixel: int, depth: int) -> None:
        """Cuts a pixel's values into ``2**depth`` cells; what is known of coarser ones, from a depth of ``BASE`` on, stays.

        Raises:
            DataError: If that is too fine, or more than is held.
        """
        known = self.singles.get(pixel)
        self.singles[pixel] = self._cutting.single(pixel, depth, known)
        self._held += self.singles[pixel].numbers - (0 if known is None else known.numbers)
        if self._held > HELD:
            raise DataError(f"what single pixels do takes more than {HELD} numbers; they have to be cut into fewer cells")
        if self._home is not None:
            self._home.forget(pixel)

    def home(self, pixel: int) -> int:
        """Which frame a pixel at a position of the order shares."""
        return pixel // self._together

    def alone(self, spare: float = 0.0) -> list[int]:
        """The pixels of which it is not known that the claim holds, with so much to spare, wherever that one alone changes."""
        return [p for p, single in self.singles.items() if not self.bounds.holds(single.finest.least - spare).all()]

    def lower(self, nodes: Sequence[Node]) -> Array:
        """(P, R) lower bounds of the rows over nodes whose pixels share a frame."""
        number, a = self.home(nodes[0].pixel), self.bounds.network.arithmetic
        if self._home is None or self._home.number != number:
            self._home = None  # which is large
            self._home = _Home(self, number, self.order[number * self._together : (number + 1) * self._together])
        one, two = _stacked([self._home.own(n) for n in nodes]), _stacked([self._home.other(n) for n in nodes])
        found = interplay(self._home.frame, (one.low, one.high), (two.low, two.high))
        with np.errstate(invalid="ignore"):
            alone = a.down(a.down(one.least + two.least) - self.bounds.at_centre[1])
            return a.bound(a.down(alone + found))

    @cached_property
    def wholes(self) -> tuple[Positions, Positions, Table]:
        """Over all values: for every number that a pixel reaches, the pixel's position, the number, its ends; and all rows by position."""
        found = [self.singles[pixel].whole for pixel in self.order.tolist()]
        units = [self.singles[pixel].units for pixel in self.order.tolist()]
        low, high = (np.concatenate([getattr(w, side)[0] for w in found]) for side in ("low", "high"))
        owner = np.repeat(np.arange(len(units)), [len(u) for u in units])
        return owner, np.concatenate(units), Table(low, high, np.concatenate([w.least for w in found]))


class _Home:
    """Pixels that share a frame, and what others do in it."""

    def __init__(self, pairs: PairBounds, number: int, pixels: Positions) -> None:
        bounds = pairs.bounds
        self.number, self._pairs, self._first = number, pairs, int(np.flatnonzero(pairs.order == pixels[0])[0])
        features = np.sort(np.concatenate([bounds.pixels[p] for p in pixels]))
        self.frame = Frame(bounds.centre, pairs.maxima, features, bounds.rows)
        if len(self.frame.gap) * len(pairs.order) > HELD:
            raise DataError(
                f"{len(pixels)} pixels that share a frame reach {len(self.frame.gap)} numbers of maxima, too many to be followed"
            )
        self._runs = {int(p): self._cut(int(p)) for p in pixels}
        self._kept: dict[int, list[Table]] = {}
        self._levels = [self._wholes()]
        while len(self._levels[-1]) > 1:
            self._levels.append(self._levels[-1].halved())

    def own(self, node: Node) -> tuple[Table, int]:
        """Where a node's own pixel stands in a table."""
        depth, place = node.own
        return self._runs[int(self._pairs.order[node.pixel])][depth], place

    def other(self, node: Node) -> tuple[Table, int]:
        """Where the others stand in one."""
        depth, place = node.cells
        if not depth:
            return self._levels[node.level], node.place
        pixel = int(self._pairs.order[node.place])
        if pixel not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[pixel] = self._cut(pixel)
        return self._kept[pixel][depth], place

    def forget(self, pixel: int) -> None:
        """What was known of a pixel's cells, now that there are more of them."""
        self._kept.pop(pixel, None)
        if pixel in self._runs:
            self._runs[pixel] = self._cut(pixel)

    def _cut(self, pixel: int) -> list[Table]:
        """Of the gaps, by depth."""
        single = self._pairs.singles[pixel]
        place = np.searchsorted(single.units, self.frame.units)
        place = np.minimum(place, max(len(single.units) - 1, 0))
        there = np.flatnonzero(single.units[place] == self.frame.units) if len(single.units) else np.zeros(0, dtype=np.intp)
        found = []
        for depth in sorted(single.cells):
            table = single.cells[depth]
            low, high = (np.zeros((len(table), len(self.frame.units)), dtype=np.float32) for _ in range(2))
            low[:, there], high[:, there] = table.low[:, place[there]], table.high[:, place[there]]
            found.append(Table(*self.frame.gaps(low, high), table.least))
        while len(found[0]) > 1:
            found.insert(0, found[0].halved())
        return found

    def _wholes(self) -> Table:
        """Of the pixels from the first of these on in the order; nothing of those before."""
        owner, unit, table = self._pairs.wholes
        begin, first = np.searchsorted(owner, self._first), self._first
        owner, unit = owner[begin:] - first, unit[begin:]
        low, high = (np.zeros((len(table) - first, len(self.frame.units)), dtype=np.float32) for _ in range(2))
        place = np.full(1 + max(int(unit.max(initial=0)), int(self.frame.units.max(initial=0))), -1)
        place[self.frame.units] = np.arange(len(self.frame.units))
        there = np.flatnonzero(place[unit] >= 0)
        at = owner[there], place[unit[there]]
        low[at], high[at] = table.low[begin:][there], table.high[begin:][there]
        low, high = (np.concatenate([np.zeros((first, side.shape[1]), dtype=np.float32), side]) for side in self.frame.gaps(low, high))
        return Table(low, high, np.where(np.arange(len(table))[:, None] < first, np.inf, table.least))


def _stacked(places: list[tuple[Table, int]]) -> Table:
    return Table(
        np.stack([table.low[i] for table, i in places]),
        np.stack([table.high[i] for table, i in places]),
        np.stack([table.least[i] for table, i in places]),
    )
