"""Linear forms on their way back to the input of a network, many at once.

A form is pushed back to the input: through an affine operator by its adjoint, through any other by lines that hold on the ranges of what
it reads (Zhang et al., 2018, https://arxiv.org/abs/1811.00866). What float64 may have lost on the way is added up beside it: one step
errs by at most ``2 gamma(terms)`` times the coefficients' magnitudes times the largest that the step's result can be. Where a step does no
more than scale coefficients, each is off by one rounding, for which the next step has room, as it has for the running sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netassay.checking.certificates.arithmetic import UNIT, Array, Positions
from netassay.checking.certificates.concretisation import inner
from netassay.checking.certificates.relaxation import Lines

if TYPE_CHECKING:
    from netassay.checking.certificates.bounds import Parts


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


class Push:
    """Forms on their way to the input."""

    def __init__(self, parts: Parts, owner: Positions, constant: Array, error: Array) -> None:
        self._parts, self._network, self._a, self._owner = parts, parts.network, parts.arithmetic, owner
        self._steps = 2 * len(parts.network.maps) + 2
        self._constant = constant
        self._error = error if self._a.exact else error + self._a.gamma(self._steps) * np.abs(constant)
        self._pending: dict[int, Array] = {}
        self._unbounded = np.zeros(len(owner), dtype=np.bool_)

    def start(self, value: int, unit: Positions, sign: Positions) -> None:
        """Takes single numbers of a value, each times 1 or -1."""
        mapped = self._network.maps[value - 1]
        if mapped is None:
            rows = self._a.zeros(len(unit), self._network.sizes[value])
            rows[np.arange(len(unit)), unit] = sign
            self.add(value, rows)
            return
        self._lose(mapped.terms, self._parts.weight(value - 1)[unit])
        self._constant = self._constant + sign * mapped.constant[unit]
        self._hand_down(value - 1, mapped.rows(unit, sign))

    def down(self, value: int, extra: Mapping[int, Array]) -> Bound:
        """All the way from a value, with coefficients (R, m) of earlier values that join there."""
        for v in range(value, 0, -1):
            if v in extra:
                self.add(v, extra[v])
            self.through(v - 1)
        if 0 in extra:
            self.add(0, extra[0])
        return self.bound()

    def add(self, value: int, coefficients: Array) -> None:
        """Adds coefficients of a value to those that wait there."""
        there = self._pending.get(value)
        if there is None:
            self._pending[value] = coefficients
            return
        self._err(2, there, self._parts.magnitude(value))
        self._err(2, coefficients, self._parts.magnitude(value))
        self._pending[value] = there + coefficients

    def taken(self, value: int, unit: Positions) -> Array:
        """(R, k) the coefficients of some numbers of a value, which the forms do not have any longer."""
        there = self._pending.get(value)
        if there is None:
            return self._a.zeros(len(self._owner), len(unit))
        rest = there.copy()
        rest[:, unit] = 0
        self._pending[value] = rest
        return there[:, unit]

    def join(self, constant: Array, terms: int, size: Array) -> None:
        """Adds constants; what joins here are sums of so many terms whose magnitudes add up to so much."""
        self._constant = self._constant + constant
        self._lose(terms, size)

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
        if lines.lower_offset is not None:
            self._through_curves(position, coefficients - falling, falling, lines, lines.lower_offset)
            return
        above = self._inner(falling, lines.upper_offset)
        self._constant = self._constant + above
        rising = coefficients - falling
        rising *= self._own(lines.lower_slope)
        if lines.lower_pick is None or lines.upper_pick is None:
            # offsets are at least 0: nothing cancels in their sum; and of each two products one is 0
            self._lose(coefficients.shape[1], -above)
            falling *= self._own(lines.upper_slope)
            rising += falling
            self._hand_down(position, rising)
            return
        terms = sum(self._network.sizes[i] for i in (*self._network.inputs[position], position + 1))
        self._err(terms, coefficients, self._parts.weight(position))
        found = self._a.zeros(len(coefficients), sum(self._network.sizes[i] for i in self._network.inputs[position]))
        row = np.arange(len(coefficients))[:, None]
        np.add.at(found, (row, self._own(lines.lower_pick)), rising)
        np.add.at(found, (row, self._own(lines.upper_pick)), falling * self._own(lines.upper_slope))
        self._hand_down(position, found)

    def _through_curves(self, position: int, rising: Array, falling: Array, lines: Lines, lower_offset: Array) -> None:
        """Lines with offsets on both sides, of any sign, some of them infinite; of each two products one is 0."""
        for some, offset in ((rising, lower_offset), (falling, lines.upper_offset)):
            known = self._a.known(offset)
            if not known.all():
                offset = np.where(known, offset, self._a.zeros(1))
                self._unbounded |= self._inner((some != 0).astype(np.float64), (~known).astype(np.float64)) > 0
            self._constant = self._constant + self._inner(some, offset)
            self._lose(some.shape[1], self._inner(np.abs(some), np.abs(offset)))
        rising *= self._own(lines.lower_slope)
        falling *= self._own(lines.upper_slope)
        rising += falling
        self._hand_down(position, rising)

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
        self._err(2, form, self._parts.magnitude(0))
        least = parts.region.minimum(a, form, parts.low, parts.high, self._owner)
        lost = self._error if a.exact else self._error * (1 + 1e-6) + a.tiny
        unit = 0 if a.exact else 8 * UNIT
        lower = a.down(least + self._constant - lost - unit * (np.abs(least) + np.abs(self._constant) + lost))
        offset = a.down(self._constant - lost - unit * (np.abs(self._constant) + lost))
        lower, offset = (np.where(self._unbounded, -np.inf, x) for x in (lower, offset))
        return Bound(a.bound(lower), form, a.bound(offset))

    def _err(self, terms: int, coefficients: Array, weights: Array) -> None:
        """Adds what one step errs by; running sums over all steps are paid for here too."""
        if not self._a.exact:
            self._lose(terms, np.abs(coefficients) @ weights)

    def _lose(self, terms: int, size: Array) -> None:
        """Adds what sums of so many terms err by whose magnitudes add up to so much."""
        if not self._a.exact:
            self._error = self._error + 2 * self._a.gamma(terms + self._steps) * size

    def _inner(self, rows: Array, per_part: Array) -> Array:
        return np.asarray(rows @ per_part[0]) if len(per_part) == 1 else inner(rows, self._own(per_part))

    def _own(self, per_part: Array) -> Array:
        return per_part if len(per_part) == 1 else np.take(per_part, self._owner, axis=0)
