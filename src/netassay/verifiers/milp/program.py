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

    def sparse(self, row: Positions, column: Positions, value: Array, lower: Array, upper: Array, slack: Array) -> None:
        """Adds rows by their entries; ``row`` counts from 0. Entries at the same place are added, their rounding is the slack's matter."""
        place, where = np.unique(row * max(self._width, 1) + column, return_inverse=True)
        total = np.asarray(np.bincount(where, weights=value, minlength=len(place)), dtype=np.float64)
        row, column = (np.asarray(part, dtype=np.intp) for part in np.divmod(place, max(self._width, 1)))
        self._entries.append((row + self._height, column, total))
        self._sides.append((lower, upper, slack))
        self._height += len(lower)

    def build(self) -> Program:
        """The program so far."""
        lower, upper, binary = (np.concatenate(part) for part in zip(*self._columns, strict=True))
        none = np.zeros(0)
        sides = [np.concatenate(part) for part in zip(*self._sides, strict=True)] if self._sides else [none, none, none]
        row, column, value = (
            (np.concatenate(p) for p in zip(*self._entries, strict=True)) if self._entries else (none.astype(int), none.astype(int), none)
        )
        return Program(lower, upper, binary, sides[0], sides[1], sides[2], row, column, value)
