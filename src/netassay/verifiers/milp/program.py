"""Mixed-integer linear programs as plain arrays, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """``row_lower - slack <= A x <= row_upper + slack`` with ``lower <= x <= upper``, some x being 0 or 1.

    Solvers are given the rows without their slack. It bounds what was rounded when the rows were made: with it, in real arithmetic of
    these floats, no point of what the program stands for is left out.

    Args:
        lower, upper: (n,) finite bounds of the variables.
        binary: (n,) which variables are 0 or 1.
        row_lower, row_upper, slack: (m,); infinite where a row has no such side. The slack is finite and not negative.
        row, column, value: (k,) the entries of A, row by row, each place once.
    """

    lower: Array
    upper: Array
    binary: Flags
    row_lower: Array
    row_upper: Array
    slack: Array
    row: Positions
    column: Positions
    value: Array

    @property
    def columns(self) -> int:
        return len(self.lower)

    @property
    def rows(self) -> int:
        return len(self.row_lower)

    def cost(self, column: int) -> Array:
        """(n,) the objective that is one variable."""
        found = np.zeros(self.columns)
        found[column] = 1.0
        return found

    def within(self, lower: Array, upper: Array) -> Program:
        """The same rows between other bounds of the variables."""
        return replace(self, lower=lower, upper=upper)

    def joined(self, rows: Rows) -> Program:
        """With more rows, after those that there are."""
        return replace(
            self,
            row_lower=np.concatenate([self.row_lower, np.full(len(rows), -np.inf)]),
            row_upper=np.concatenate([self.row_upper, rows.upper]),
            slack=np.concatenate([self.slack, rows.slack]),
            row=np.concatenate([self.row, rows.row + self.rows]),
            column=np.concatenate([self.column, rows.column]),
            value=np.concatenate([self.value, rows.value]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows ``A x <= upper + slack`` that every point of some program satisfies.

    Args:
        upper, slack: (m,) finite.
        row, column, value: (k,) the entries of A, row by row, each place once.
    """

    upper: Array
    slack: Array
    row: Positions
    column: Positions
    value: Array

    def __len__(self) -> int:
        return len(self.upper)

    @classmethod
    def none(cls) -> Rows:
        """No rows."""
        return cls(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0))

    def and_(self, other: Rows) -> Rows:
        """These, then others."""
        mine, theirs = (self.upper, self.slack), (other.upper, other.slack)
        upper, slack = (np.concatenate(pair) for pair in zip(mine, theirs, strict=True))
        row = np.concatenate([self.row, other.row + len(self)])
        return Rows(upper, slack, row, np.concatenate([self.column, other.column]), np.concatenate([self.value, other.value]))

    def take(self, kept: Flags) -> Rows:
        """Those that are flagged (m,)."""
        entries = kept[self.row]
        row = (np.cumsum(kept) - 1)[self.row[entries]]
        return Rows(self.upper[kept], self.slack[kept], row, self.column[entries], self.value[entries])


class ProgramBuilder:
    """Collects variables and rows."""

    def __init__(self) -> None:
        self._columns: list[tuple[Array, Array, Flags]] = []
        self._sides: list[tuple[Array, Array, Array]] = []
        self._entries: list[tuple[Positions, Positions, Array]] = []
        self._width = self._height = 0

    def variables(self, lower: Array, upper: Array, *, binary: bool = False) -> Positions:
        """Adds variables between these bounds (k,); returns their numbers."""
        count = len(lower)
        self._columns.append((np.asarray(lower, float), np.asarray(upper, float), np.full(count, binary)))
        self._width += count
        return np.arange(self._width - count, self._width)

    def binaries(self, count: int) -> Positions:
        """Adds variables that are 0 or 1."""
        return self.variables(np.zeros(count), np.ones(count), binary=True)

    def constraints(self, terms: list[tuple[Positions, Array]], lower: Array, upper: Array) -> None:
        """Adds rows that all have the same few terms: variables (r,) times coefficients (r,)."""
        rows = np.arange(len(lower))
        entries = (np.concatenate([rows] * len(terms)), np.concatenate([c for c, _ in terms]), np.concatenate([v for _, v in terms]))
        self.sparse(*entries, lower, upper, np.zeros(len(lower)))

    def sparse(self, row: Positions, column: Positions, value: Array, lower: Array, upper: Array, slack: Array) -> Positions:
        """Adds rows by their entries; ``row`` counts from 0. Entries at the same place are added, their rounding is the slack's matter.

        Returns:
            The rows' numbers.
        """
        place, where = np.unique(row * max(self._width, 1) + column, return_inverse=True)
        total = np.asarray(np.bincount(where, weights=value, minlength=len(place)), dtype=np.float64)
        row, column = (np.asarray(part, dtype=np.intp) for part in np.divmod(place, max(self._width, 1)))
        self._entries.append((row + self._height, column, total))
        self._sides.append((lower, upper, slack))
        self._height += len(lower)
        return np.arange(self._height - len(lower), self._height)

    def build(self) -> Program:
        """The program so far."""
        lower, upper, binary = (np.concatenate(part) for part in zip(*self._columns, strict=True))
        none = np.zeros(0)
        sides = [np.concatenate(part) for part in zip(*self._sides, strict=True)] if self._sides else [none, none, none]
        row, column, value = (
            (np.concatenate(p) for p in zip(*self._entries, strict=True)) if self._entries else (none.astype(int), none.astype(int), none)
        )
        return Program(lower, upper, binary, sides[0], sides[1], sides[2], row, column, value)
