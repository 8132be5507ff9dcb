"""Cuts for ReLUs of unknown sign: inequalities that hold at every point of the program, but not at a point of its relaxation.

For ``y = max(w x + b, 0)`` with x in a box and the binary a, 1 where it is active, every set I of inputs gives one:
``y <= sum over I of (w_i x_i - least(w_i x_i) (1 - a)) + (b + sum over the others of greatest(w_i x_i)) a``. All of them together with
the rows of the encoding describe the ReLU over the box as well as linear inequalities can, far better than its range does alone; the one
that a point violates most has in I the inputs whose term is the smaller of the two.

References:
    Anderson, Huchette, Ma, Tjandraatmadja and Vielma, 2020, https://doi.org/10.1007/s10107-020-01474-5, section 4.1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.verifiers.milp.program import Program, Rows
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, Array, gamma, up

VIOLATION = 1e-3
"""Less than that share of a ReLU's range is not worth a row."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinks:
    """ReLUs of unknown sign in a program: ``y = max(z, 0)``.

    Args:
        z, y: (k,) their variables.
        binary: (k,) 1 where z >= 0, and 0 where z <= 0.
        row: (k,) the row ``z - w x = b`` of the program that says what z is; -1 where there is none.
    """

    z: Positions
    y: Positions
    binary: Positions
    row: Positions

    @classmethod
    def none(cls) -> Kinks:
        """No ReLUs."""
        empty = np.zeros(0, dtype=np.intp)
        return cls(empty, empty, empty, empty)

    def and_(self, other: Kinks) -> Kinks:
        """These, then others."""
        pairs = ((self.z, other.z), (self.y, other.y), (self.binary, other.binary), (self.row, other.row))
        return Kinks(*(np.concatenate(pair) for pair in pairs))


class Cuts:
    """Finds the cuts of a program.

    Args:
        program: Its bounds are those of the boxes; cuts hold wherever these and its rows do.
        kinks: Of the program.
    """

    def __init__(self, program: Program, kinks: Kinks) -> None:
        known = kinks.row >= 0
        z, row = kinks.z[known], kinks.row[known]
        self._y, self._binary, self._slack = kinks.y[known], kinks.binary[known], program.slack[row]
        self._range = program.upper[self._y]
        begin, end = (np.searchsorted(program.row, row, side) for side in ("left", "right"))
        entries = np.concatenate([np.zeros(0, dtype=np.intp), *(np.arange(b, e) for b, e in zip(begin, end, strict=True))])
        unit = np.repeat(np.arange(len(row)), end - begin)
        inputs = program.column[entries] != z[unit]
        self._unit, entries = unit[inputs], entries[inputs]
        self._column, self._weight = program.column[entries], -program.value[entries]
        ends = self._weight * program.lower[self._column], self._weight * program.upper[self._column]
        self._least, self._greatest = np.minimum(*ends), np.maximum(*ends)
        self._constant = program.row_lower[row]
        size = self._sums(np.maximum(np.abs(self._least), np.abs(self._greatest))) + np.abs(self._constant)
        terms = int(np.bincount(self._unit, minlength=1).max(initial=0))
        self._error = 2 * gamma(terms + 8) * size + UNDERFLOW
        self._usable = size < LARGEST

    def violated(self, point: Array) -> Rows:
        """For each ReLU the cut that a point (n,) violates most, where that is by enough to matter."""
        active = np.clip(point[self._binary], 0.0, 1.0)
        share, a = self._weight * point[self._column], active[self._unit]
        chosen = share - self._least * (1 - a) < self._greatest * a
        least = self._sums(np.where(chosen, self._least, 0.0))
        upper = up(-least + self._error)
        slope = up(self._constant + least + self._sums(np.where(chosen, 0.0, self._greatest)) + self._error)
        excess = point[self._y] - (self._sums(np.where(chosen, share, 0.0)) + slope * active + upper)
        cut = self._usable & (excess > VIOLATION * self._range)
        return self._rows(np.flatnonzero(cut), chosen & cut[self._unit], slope, upper)

    def _sums(self, terms: Array) -> Array:
        """(k,) the sum of each ReLU's terms."""
        return np.asarray(np.bincount(self._unit, weights=terms, minlength=len(self._y)))

    def _rows(self, cut: Positions, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], slope: Array, upper: Array) -> Rows:
        """``y - sum over I of w_i x_i - slope a <= upper``, with what the row of z may be off."""
        number = np.zeros(len(self._y), dtype=np.intp)
        number[cut] = np.arange(len(cut))
        row = np.concatenate([np.arange(len(cut)), np.arange(len(cut)), number[self._unit[chosen]]])
        column = np.concatenate([self._y[cut], self._binary[cut], self._column[chosen]])
        value = np.concatenate([np.ones(len(cut)), -slope[cut], -self._weight[chosen]])
        order = np.argsort(row, kind="stable")
        return Rows(upper[cut], self._slack[cut], row[order], column[order], value[order])
