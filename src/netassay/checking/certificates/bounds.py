"""Ranges of all values of a network over parts of its input region, and lower bounds of linear forms of any value.

A form is pushed back to the input: through an affine operator by its adjoint, through any other by lines that hold on the ranges of what
it reads (Zhang et al., 2018, https://arxiv.org/abs/1811.00866). What float64 may have lost on the way is added up beside it: one step
errs by at most ``2 gamma(terms)`` times the coefficients' magnitudes times the largest that the step's result can be.

All that is said of a part holds for those of its inputs that fulfil its conditions (``known`` ranges), which may be none.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netassay.checking.certificates.arithmetic import UNIT, Arithmetic, Array, Positions
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region, inner
from netassay.checking.certificates.relaxation import Lines, greatest, image, kinked

Range = tuple[Array, Array]

NUMBERS = 1 << 15
"""Numbers of one value of the rows that are pushed back together."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Lower bounds of R forms, and linear forms of the input below them.

    Args:
        lower: (R,); -inf where nothing is known.
        form, offset: (R, n) and (R,): ``<form, x> + offset`` is at most the form's value for each x of its part.
    """

    lower: Array
    form: Array
    offset: Array


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
    """

    def __init__(self, network: CheckedNetwork, region: Region, low: Array, high: Array, known: Mapping[int, Range] | None = None) -> None:
        self.network, self.region, self.low, self.high = network, region, low, high
        self.empty = np.zeros(len(low), dtype=np.bool_)
        self.facts: list[tuple[Positions, Array, Array]] = []
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
        middle = low / 2 + high / 2
        radius = np.where(low == high, 0, np.maximum(a.up(high - middle), a.up(middle - low)))
        spread = mapped.linear(radius, absolute=True)
        size = mapped.linear(np.abs(middle), absolute=True) + spread + np.abs(mapped.constant)
        slack = spread + 4 * a.gamma(mapped.terms) * size + a.tiny
        centre = mapped.linear(middle) + mapped.constant
        return a.bound(a.down(centre - slack)), -a.bound(-a.up(centre + slack))

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
        """Pushes back what is undecided, both sides, and the numbers that are held to one sign."""
        low, high = self.ranges[value]
        exact = value in self.network.exact and self.region.ball is None
        undecided = (low < 0) & (high > 0) if value in self.network.kinked else low < high
        held = np.zeros_like(undecided)
        if value in self._known:
            held = np.asarray((self._known[value][0] == 0) | (self._known[value][1] == 0))
        owner, unit = np.nonzero(held if exact else undecided | held)
        if not len(owner):
            return
        bound = self._units(value, owner, unit)
        count = len(owner)
        new_low, new_high = low.copy(), high.copy()
        new_low[owner, unit], new_high[owner, unit] = bound.lower[:count], -bound.lower[count:]
        if value in self._known:
            self._remember(value, owner, unit, bound)
        self.ranges[value] = self._meet((low, high), (new_low, new_high))

    def _units(self, value: int, owner: Positions, unit: Positions) -> Bound:
        """Bounds of numbers of a value, each in its part; then of their negatives."""
        step, found = max(64, NUMBERS // max(self.network.sizes[: value + 1])), []
        for sign in (1, -1):
            for begin in range(0, len(owner), step):
                some, at = owner[begin : begin + step], unit[begin : begin + step]
                rows = self.arithmetic.zeros(len(some), self.network.sizes[value])
                rows[np.arange(len(some)), at] = sign
                found.append(self._pushed(value, rows, some, self.arithmetic.zeros(len(some)), self.arithmetic.zeros(len(some)), {}))
        return Bound(*(np.concatenate([getattr(b, name) for b in found]) for name in ("lower", "form", "offset")))

    def _remember(self, value: int, owner: Positions, unit: Positions, bound: Bound) -> None:
        """``z >= 0`` where it counts: the form below -z is at most 0 there; and likewise ``z <= 0``."""
        count = len(owner)
        for side, begin in ((0, count), (1, 0)):
            held = np.flatnonzero(self._known[value][side][owner, unit] == 0)
            if len(held):
                self.facts.append((owner[held], bound.form[begin + held], bound.offset[begin + held]))

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
        step, found = max(64, NUMBERS // max(self.network.sizes[: value + 1])), []
        for begin in range(0, len(rows), step):
            cut = slice(begin, begin + step)
            more = {v: e[cut] for v, e in (extra or {}).items()}
            found.append(self._pushed(value, rows[cut], owner[cut], start[cut], slack[cut], more))
        return Bound(*(np.concatenate([getattr(b, name) for b in found]) for name in ("lower", "form", "offset")))

    def _pushed(self, value: int, rows: Array, owner: Positions, constant: Array, error: Array, extra: Mapping[int, Array]) -> Bound:
        with np.errstate(all="ignore"):
            push = _Push(self, owner, constant, error)
            push.add(value, rows)
            for v in range(value, 0, -1):
                if v in extra:
                    push.add(v, extra[v])
                push.through(v - 1)
            if 0 in extra:
                push.add(0, extra[0])
            return push.bound()

    def magnitude(self, value: int) -> Array:
        """(m,) the largest absolute values in any part."""
        if self._base is not None:
            return self._base.magnitude(value)
        if value not in self._magnitudes:
            low, high = self.ranges[value]
            self._magnitudes[value] = np.maximum(np.abs(low), np.abs(high)).max(axis=0)
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
            elif (index := self.network.windows[position]) is not None:
                low, high = (_joined([r[side] for r in ranges], len(self)) for side in (0, 1))
                self._lines[position] = greatest(a, index, low, high)
        return self._lines[position]


class _Push:
    """Forms on their way to the input."""

    def __init__(self, parts: Parts, owner: Positions, constant: Array, error: Array) -> None:
        self._parts, self._network, self._a, self._owner = parts, parts.network, parts.arithmetic, owner
        self._steps = 2 * len(parts.network.maps) + 2
        self._constant = constant
        self._error = error if self._a.exact else error + self._a.gamma(self._steps) * np.abs(constant)
        self._pending: dict[int, Array] = {}

    def add(self, value: int, coefficients: Array) -> None:
        """Adds coefficients of a value to those that wait there."""
        there = self._pending.get(value)
        if there is None:
            self._pending[value] = coefficients
            return
        self._pending[value] = there + coefficients
        self._err(2, self._pending[value], self._parts.magnitude(value))

    def through(self, position: int) -> None:
        """From the result of a node to what it reads."""
        coefficients = self._pending.pop(position + 1, None)
        if coefficients is None:
            return
        mapped = self._network.maps[position]
        if mapped is None:
            self._through_lines(position, coefficients)
            return
        if not mapped.moves:
            self._err(mapped.terms, coefficients, self._parts.weight(position))
            self._constant = self._constant + coefficients @ mapped.constant
        self._hand_down(position, mapped.adjoint(coefficients))

    def _through_lines(self, position: int, coefficients: Array) -> None:
        lines = self._parts.lines(position)
        falling = np.minimum(coefficients, 0)
        terms = sum(self._network.sizes[i] for i in (*self._network.inputs[position], position + 1))
        self._err(terms, coefficients, self._parts.weight(position))
        self._constant = self._constant + self._inner(falling, lines.upper_offset)
        below, above = (coefficients - falling) * self._own(lines.lower_slope), falling * self._own(lines.upper_slope)
        if lines.lower_pick is None or lines.upper_pick is None:
            self._hand_down(position, below + above)
            return
        found = self._a.zeros(len(coefficients), sum(self._network.sizes[i] for i in self._network.inputs[position]))
        row = np.arange(len(coefficients))[:, None]
        np.add.at(found, (row, self._own(lines.lower_pick)), below)
        np.add.at(found, (row, self._own(lines.upper_pick)), above)
        self._hand_down(position, found)

    def _hand_down(self, position: int, coefficients: Array) -> None:
        begin = 0
        for value in self._network.inputs[position]:
            end = begin + self._network.sizes[value]
            self.add(value, coefficients[:, begin:end])
            begin = end

    def bound(self) -> Bound:
        """Least values over the parts' boxes."""
        a, parts = self._a, self._parts
        form = self._pending.get(0)
        if form is None:
            form = a.zeros(len(self._owner), self._network.sizes[0])
        least = parts.region.minimum(a, form, parts.low, parts.high, self._owner)
        lost = self._error if a.exact else self._error * (1 + 1e-6) + a.tiny
        unit = 0 if a.exact else 8 * UNIT
        lower = a.down(least + self._constant - lost - unit * (np.abs(least) + np.abs(self._constant) + lost))
        offset = a.down(self._constant - lost - unit * (np.abs(self._constant) + lost))
        return Bound(a.bound(lower), form, a.bound(offset))

    def _err(self, terms: int, coefficients: Array, weights: Array) -> None:
        """Adds what one step errs by; running sums over all steps are paid for here too."""
        if not self._a.exact:
            self._error = self._error + 2 * self._a.gamma(terms + self._steps) * (np.abs(coefficients) @ weights)

    def _inner(self, rows: Array, per_part: Array) -> Array:
        return np.asarray(rows @ per_part[0]) if len(per_part) == 1 else inner(rows, per_part[self._owner])

    def _own(self, per_part: Array) -> Array:
        return per_part if len(per_part) == 1 else per_part[self._owner]


def _joined(arrays: Sequence[Array], count: int) -> Array:
    """(count or 1, n) arrays side by side."""
    if len(arrays) == 1:
        return arrays[0]
    if not arrays:
        return np.zeros((count, 0))
    most = max(map(len, arrays))
    return np.concatenate([np.broadcast_to(x, (most, x.shape[1])) for x in arrays], axis=1)
