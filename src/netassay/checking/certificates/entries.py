"""The entries of affine maps one by one: which numbers some inputs reach, and the small matrix between some inputs and some results."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.checking.certificates.affine import Affine, Picked, Windows
from netassay.checking.certificates.arithmetic import Array, Positions
from netassay.checking.certificates.linear_operators import Scaled
from netassay.errors import UnsupportedOperatorError

CHUNK = 1 << 21
"""Numbers of the rows that are looked through together."""

MOST = 20_000_000
"""Entries of one map, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """All entries of a map that are not 0, rounded once or twice where the map divides.

    Args:
        row, column, value: (k,), by ascending row.
        first: (m + 1,) where the entries of each row begin.
        by_column: (k,) the entries by ascending column.
        first_of_column: (n + 1,) where the entries of each column begin, in that order.
        pointwise: Whether result i depends on input i alone, for every i.
    """

    row: Positions
    column: Positions
    value: Array
    first: Positions
    by_column: Positions
    first_of_column: Positions
    pointwise: bool

    def reached(self, inputs: Positions) -> Positions:
        """The results that depend on any of some inputs, ascending."""
        found = np.zeros(len(self.first) - 1, dtype=np.bool_)
        found[self.row[self.by_column[_gathered(self.first_of_column, inputs)]]] = True
        return np.flatnonzero(found)

    def factors(self, outputs: Positions) -> Array:
        """The factors of some results of a pointwise map."""
        return self.value[outputs]

    def block(self, outputs: Positions, inputs: Positions, zeros: Array) -> Array:
        """Fills ``zeros`` (outputs, inputs) with the entries between them, both ascending."""
        some = _gathered(self.first, outputs)
        place = np.full(len(self.first_of_column) - 1, -1)
        place[inputs] = np.arange(len(inputs))
        at = place[self.column[some]]
        within = np.flatnonzero(at >= 0)
        rows = np.repeat(np.arange(len(outputs)), self.first[outputs + 1] - self.first[outputs])
        zeros[rows[within], at[within]] = self.value[some[within]]
        return zeros


def entries_of(mapped: Affine) -> Entries:
    """The entries of a map.

    Raises:
        UnsupportedOperatorError: If there are more than ``MOST``.
    """
    row, column, value = _listed(mapped)
    order = np.argsort(row, kind="stable")
    row, column, value = row[order], column[order], value[order]
    m, n = mapped.size, sum(mapped.sizes)
    pointwise = len(row) == m == n and bool((row == np.arange(m)).all() and (column == row).all())
    by_column = np.argsort(column, kind="stable")
    return Entries(row, column, value, _starts(row, m), by_column, _starts(column, n), pointwise)


def _starts(sorted_or_not: Positions, count: int) -> Positions:
    return np.concatenate([[0], np.cumsum(np.bincount(sorted_or_not, minlength=count))]).astype(np.intp)


def _gathered(first: Positions, some: Positions) -> Positions:
    """The positions ``first[i] .. first[i + 1] - 1`` for each i of some, one after the other."""
    begin, count = first[some], first[some + 1] - first[some]
    ends = np.cumsum(count)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(begin - (ends - count), count), dtype=np.intp)


def _listed(mapped: Affine) -> tuple[Positions, Positions, Array]:
    if isinstance(mapped, Picked):
        return mapped._used, mapped._source, mapped.arithmetic.array(np.ones(len(mapped._used)))
    if isinstance(mapped, Scaled):
        row, column, value = _listed(mapped._spread)
        if mapped._factor is None:
            return row, column, value
        return _kept(row, column, mapped._factor[row])
    return _windows(mapped) if isinstance(mapped, Windows) else _by_rows(mapped)


def _by_rows(mapped: Affine) -> tuple[Positions, Positions, Array]:
    """Unit rows, pushed back."""
    step = max(1, CHUNK // max(mapped.size, sum(mapped.sizes), 1))
    found, count = list[tuple[Positions, Positions, Array]](), 0
    for begin in range(0, mapped.size, step):
        some = np.arange(min(step, mapped.size - begin))
        rows = mapped.arithmetic.zeros(len(some), mapped.size)
        rows[some, begin + some] = mapped.arithmetic.array(1.0)
        back = mapped.adjoint(rows)
        row, column = np.nonzero(back)
        count += len(row)
        _limited(count)
        found.append((row + begin, column, back[row, column]))
    return _joined(found)


def _windows(mapped: Windows) -> tuple[Positions, Positions, Array]:
    """Offset by offset of the kernel."""
    _limited(mapped._weight.size * prod(mapped.output[1:]))
    full, inner = mapped._padded
    groups, given = len(mapped._weight), mapped.inputs[0]
    place = np.full(full, -1, dtype=np.intp)
    place[(slice(None), *inner)] = np.arange(mapped.sizes[0]).reshape(given)
    result = np.arange(mapped.size).reshape(groups, mapped.output[0] // groups, 1, -1)
    found = []
    for weight, places in mapped._offsets():
        source = place[(slice(None), *places)].reshape(groups, 1, full[0] // groups, -1)
        row, column, value = (np.ravel(x) for x in np.broadcast_arrays(result, source, weight[..., None]))
        inside = np.flatnonzero(column >= 0)
        found.append(_kept(row[inside], column[inside], value[inside]))
    row, column, value = _joined(found)
    return row, column, value if mapped._divisor is None else value / mapped._divisor[row]


def _limited(count: int) -> None:
    if count > MOST:
        raise UnsupportedOperatorError(f"a layer of {count} weights or more is too large for certificates of L0 balls, which follow {MOST}")


def _joined(found: list[tuple[Positions, Positions, Array]]) -> tuple[Positions, Positions, Array]:
    row, column, value = (np.concatenate([f[i] for f in found]) for i in range(3))
    return row, column, value


def _kept(row: Positions, column: Positions, value: Array) -> tuple[Positions, Positions, Array]:
    some = np.flatnonzero(value)
    return row[some], column[some], value[some]
