"""Ranges of all values of a network over parts of its input region, and lower bounds of linear forms of any value.

All that is said of a part holds for those of its inputs that fulfil its conditions (``known`` ranges), which may be none.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.curves import Curve
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pushing import Bound, Push
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.relaxation import Lines, greatest, image, kinked
from netassay.checking.certificates.smooth import merged, smooth

Range = tuple[Array, Array]

NUMBERS = 1 << 15
"""Numbers of one value of the rows that are pushed back together."""


class Parts:
    """B parts of a region: a box each, with ranges that are known to hold for the inputs that count.

    Args:
        network: The network.
        region: All boxes lie within it, or what lies outside does not count.
        low, high: (B, n) corners.
        known: For values that nonlinear operators read, ranges (B, m) that hold where it counts.
    Attributes:
        empty: (B,) parts that hold no input that counts, since two ranges contradict each other.
        facts: Forms (owner, rows (F, n), offsets) of the input that are at most 0 where it counts.
        pushed: For values, what was pushed back of them: owners, numbers, and the forms below those numbers or their negatives.
    """

    def __init__(self, network: CheckedNetwork, region: Region, low: Array, high: Array, known: Mapping[int, Range] | None = None) -> None:
        self.network, self.region, self.low, self.high = network, region, low, high
        self.empty = np.zeros(len(low), dtype=np.bool_)
        self.facts: list[tuple[Positions, Array, Array]] = []
        self.pushed: dict[int, tuple[Positions, Positions, Array]] = {}
        self.ranges: dict[int, Range] = {0: (low, high)}
        self._known = known or {}
        self._choices: Mapping[int, Array] = {}
        self._magnitudes: dict[int, Array] = {}
        self._weights: dict[int, Array] = {}
        self._lines: dict[int, Lines] = {}
        self._base: Parts | None = None

    def __len__(self) -> int:
        return len(self.low)

    @property
    def arithmetic(self) -> Arithmetic:
        return self.network.arithmetic

    # -- ranges -------------------------------------------------------------------------------------------------------------------

    def ensure(self, value: int) -> None:
        """Computes the ranges of all values up to this one, those that are relaxed by pushing their numbers back."""
        for v in range(1, value + 1):
            if v in self.ranges:
                continue
            with np.errstate(all="ignore"):
                self.ranges[v] = self._met(v, self._interval(v))
                if v in self.network.relaxed:
                    self._narrow(v)

    def _interval(self, value: int) -> Range:
        a, position = self.arithmetic, value - 1
        ranges = [self.ranges[i] for i in self.network.inputs[position]]
        low, high = (_joined([r[side] for r in ranges], len(self)) for side in (0, 1))
        mapped = self.network.maps[position]
        if mapped is None:
            low, high = image(a, self.network.graph.nodes[position].operator, self.network.windows[position], low, high)
            return a.bound(low), -a.bound(-high)
        middle, radius = low / 2 + high / 2, high / 2 - low / 2
        slack = 4 * a.gamma(mapped.terms) * self.weight(position) + a.tiny
        centre, spread = mapped.linear(middle) + mapped.constant, mapped.linear(radius, absolute=True) + slack
        return a.bound(centre - spread), -a.bound(-centre - spread)

    def _met(self, value: int, found: Range) -> Range:
        if value not in self._known:
            return found
        return self._meet(found, self._known[value])

    def _meet(self, one: Range, other: Range) -> Range:
        """The common part of two ranges; where there is none the part is empty, and any numbers will do."""
        low, high = np.maximum(one[0], other[0]), np.minimum(one[1], other[1])
        crossed = np.asarray(low > high)
        if crossed.any():
            self.empty = self.empty | np.broadcast_to(crossed.any(axis=1), self.empty.shape)
            low, high = np.where(crossed, high, low), np.where(crossed, low, high)
        return low, high

    def _narrow(self, value: int) -> None:
        """Pushes back what is undecided, both sides, and of numbers that are held to one sign what follows from that for the input."""
        low, high = self.ranges[value]
        asked = low < high if value not in self.network.kinked else (low < 0) & (high > 0)
        if value in self.network.exact and self.region.ball is None:
            asked = np.zeros_like(asked)
        below, above = asked, asked
        if value in self._known:
            below, above = asked | (self._known[value][1] == 0), asked | (self._known[value][0] == 0)
        (owner, unit), (other, its) = np.nonzero(below), np.nonzero(above)
        if not len(owner) + len(other):
            return
        bound = self.units(value, np.r_[owner, other], np.r_[unit, its], np.repeat([1, -1], [len(owner), len(other)]))
        count = len(owner)
        new_low, new_high = low.copy(), high.copy()
        new_low[owner, unit], new_high[other, its] = bound.lower[:count], -bound.lower[count:]
        self.pushed[value] = np.r_[owner, other], np.r_[unit, its], bound.form
        if value in self._known:
            held = np.r_[self._known[value][1][owner, unit] == 0, self._known[value][0][other, its] == 0].astype(np.bool_)
            self.facts.append((np.r_[owner, other][held], bound.form[held], bound.offset[held]))
        self.ranges[value] = self._meet((low, high), (new_low, new_high))

    def units(self, value: int, owner: Positions, unit: Positions, sign: Positions) -> Bound:
        """Bounds of numbers of a value, or of their negatives, each in its part."""
        step, found = self._step(value), []
        for begin in range(0, len(owner), step):
            cut = slice(begin, begin + step)
            nothing = self.arithmetic.zeros(len(owner[cut]))
            push = Push(self, owner[cut], nothing, nothing)
            push.start(value, unit[cut], sign[cut])
            found.append(push.down(value, {}))
        return _together(found)

    def _step(self, value: int) -> int:
        """Rows of a value that are pushed back together."""
        return max(64, NUMBERS // max(self.network.sizes[: value + 1]))

    def tighten(self, value: int, unit: Positions, lower: Array, upper: Array) -> None:
        """Takes in proved ends of numbers of a value (of a single part); what was computed from its ranges is forgotten."""
        low, high = (side.copy() for side in self.ranges[value])
        low[0, unit], high[0, unit] = lower, upper
        self.ranges[value] = self._meet(self.ranges[value], (low, high))
        for cache in (self._lines, self._weights, self._magnitudes):
            cache.clear()

    def within(self, ranges: Mapping[int, Range], choices: Mapping[int, Array], low: Array, high: Array) -> Parts:
        """Parts of this single part, whose ranges have been computed: with smaller boxes and ranges, and lines of their own choice.

        Args:
            ranges: (L, m) of values whose ranges are known already.
            choices: For values, (L or 1, m): where the lower line of a number lies between both parts; NaN for the usual place.
            low, high: (L, n) boxes within this one.
        """
        found = copy.copy(self)
        found._base = self
        found.low, found.high, found.empty = low, high, np.zeros(len(low), dtype=np.bool_)
        found._choices, found._lines, found.ranges = choices, {}, dict(self.ranges)
        for value, other in ranges.items():
            found.ranges[value] = found._meet(self.ranges[value], other)
        changed = {*ranges, *choices}
        kept = {p: lines for p, lines in self._lines.items() if not changed & set(self.network.inputs[p])}
        found._lines.update(kept)
        return found

    # -- forms --------------------------------------------------------------------------------------------------------------------

    def minimum(
        self,
        value: int,
        rows: Array,
        owner: Positions,
        constant: Array | None = None,
        error: Array | None = None,
        extra: Mapping[int, Array] | None = None,
    ) -> Bound:
        """Lower bounds of ``<rows, y> + constant + sum of <extra[v], y_v>`` for a value y.

        Args:
            value: Number of the value.
            rows: (R, m).
            owner: (R,) the part of each row.
            constant: (R,), 0 by default.
            error: (R,) what rows and constant may differ by from what is meant.
            extra: Coefficients (R, m_v) of earlier values.
        """
        self.ensure(value - 1)
        nothing = self.arithmetic.zeros(len(rows))
        start, slack = (nothing if given is None else given for given in (constant, error))
        step, found = self._step(value), []
        for begin in range(0, len(rows), step):
            cut = slice(begin, begin + step)
            push = Push(self, owner[cut], start[cut], slack[cut])
            push.add(value, rows[cut])
            with np.errstate(all="ignore"):
                found.append(push.down(value, {v: e[cut] for v, e in (extra or {}).items()}))
        return _together(found)

    def magnitude(self, value: int) -> Array:
        """(m,) the largest absolute values in any part; in float64 no less than halves of which are exact."""
        if self._base is not None:
            return self._base.magnitude(value)
        if value not in self._magnitudes:
            low, high = self.ranges[value]
            self._magnitudes[value] = np.maximum(np.maximum(np.abs(low), np.abs(high)).max(axis=0), self.arithmetic.smallest)
        return self._magnitudes[value]

    def weight(self, position: int) -> Array:
        """(m,) at least the sum of the magnitudes that a node adds up for each of its results, in any part."""
        if self._base is not None:
            return self._base.weight(position)
        if position not in self._weights:
            given = np.concatenate([self.arithmetic.zeros(0), *(self.magnitude(i) for i in self.network.inputs[position])])[None]
            mapped = self.network.maps[position]
            if mapped is not None:
                found = mapped.linear(given, absolute=True) + np.abs(mapped.constant)
            else:  # slopes are at most 1, offsets at most twice the largest input
                operator, index = self.network.graph.nodes[position].operator, self.network.windows[position]
                found = 4 * image(self.arithmetic, operator, index, given, given)[1]
            self._weights[position] = found[0]
        return self._weights[position]

    def lines(self, position: int) -> Lines:
        """Lines around a nonlinear node on the ranges of what it reads."""
        if position not in self._lines:
            a, inputs, left = self.arithmetic, self.network.inputs[position], self.network.left(position)
            ranges = [self.ranges[i] for i in inputs]
            if left is not None:
                self._lines[position] = kinked(a, left, *ranges[0], self._choices.get(inputs[0]))
            elif (curve := self.network.curve(position)) is not None:
                self._lines[position] = self._smooth(position, curve, *ranges[0])
            elif (index := self.network.windows[position]) is not None:
                low, high = (_joined([r[side] for r in ranges], len(self)) for side in (0, 1))
                self._lines[position] = greatest(a, index, low, high)
        return self._lines[position]

    def _smooth(self, position: int, curve: Curve, low: Array, high: Array) -> Lines:
        """Lines around a smooth node; tangents of the network's choice are the whole's, and remain where a leaf's range is the whole's."""
        a, levels = self.arithmetic, self.network.levels
        if levels is None or position != self.network.output - 1:
            return smooth(a, curve, low, high)
        if self._base is None:
            return smooth(a, curve, low, high, levels)
        whole, (value,) = self._base.lines(position), self.network.inputs[position]
        same = np.asarray((low == self._base.ranges[value][0]) & (high == self._base.ranges[value][1]))
        return merged(same, whole, smooth(a, curve, low, high))


def _together(found: Sequence[Bound]) -> Bound:
    return Bound(*(np.concatenate([getattr(b, name) for b in found]) for name in ("lower", "form", "offset")))


def _joined(arrays: Sequence[Array], count: int) -> Array:
    """(count or 1, n) arrays side by side."""
    if len(arrays) == 1:
        return arrays[0]
    if not arrays:
        return np.zeros((count, 0))
    most = max(map(len, arrays))
    return np.concatenate([np.broadcast_to(x, (most, x.shape[1])) for x in arrays], axis=1)
