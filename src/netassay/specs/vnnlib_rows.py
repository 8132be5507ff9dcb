"""Rows over outputs in float64: scaled until their coefficients are exact, else covered by rows whose coefficients are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from math import gcd, isfinite, lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from netassay.specs.vnnlib_exact import Rounded, Row, rounded

MOST_COVERS = 256
"""Polyhedra that may stand for one; rows that would make more of it are left out of proofs."""

_LARGEST_OFFSET = 2**1023


class FloatRow(NamedTuple):
    """A row ``c y <= b`` as witnesses and as proofs take it.

    The rows ``n_j y <= above``, j = 0 .. k, cover it: where the row holds, one of them does. n_0 is c rounded down; n_j is n_(j-1)
    with one more coefficient rounded up, those first that lie highest between their neighbours in float64. So c is a convex
    combination of the n_j (its simplex in Kuhn's triangulation of the cube between the neighbours), and the least of the n_j y
    is at most c y, whatever y is. Where c is exact in float64, k = 0 and n_0 = c.

    Attributes:
        terms: c, exactly, as (index, coefficient).
        below, nearest, above: The coefficients of ``terms`` rounded down, to nearest and up.
        raised: The positions in ``terms`` that are rounded up one after the other; (k,).
        offset: b rounded to nearest.
        offset_above: b rounded up.
        strict: Whether it is ``<``.
    """

    terms: tuple[tuple[int, Fraction], ...]
    below: tuple[float, ...]
    nearest: tuple[float, ...]
    above: tuple[float, ...]
    raised: tuple[int, ...]
    offset: float
    offset_above: float
    strict: bool

    def holds(self, outputs: Sequence[Fraction]) -> bool:
        """Whether the row holds, with its coefficients and the outputs (m,) taken exactly and its offset as the nearest float64."""
        excess = sum((c * outputs[index] for index, c in self.terms), -Fraction(self.offset))
        return excess < 0 or (excess == 0 and not self.strict)

    def covers(self) -> Iterator[tuple[float, ...]]:
        """The coefficients n_j, in the order of ``terms``."""
        now = list(self.below)
        yield tuple(now)
        for position in self.raised:
            now[position] = self.above[position]
            yield tuple(now)


EVERYTHING = FloatRow((), (), (), (), (), 0.0, 0.0, False)
"""``0 <= 0``."""


def float_row(row: Row) -> FloatRow:
    """The row in float64; raises DataError if a number is beyond its range."""
    row = scaled(row)
    sides = [rounded(c) for _, c in row.terms]
    heights = [_height(c, at) for (_, c), at in zip(row.terms, sides, strict=True)]
    raised = sorted((p for p, height in enumerate(heights) if height), key=lambda p: -heights[p])
    offset = rounded(row.offset)
    below, nearest, above = (tuple(at[side] for at in sides) for side in range(3))
    return FloatRow(row.terms, below, nearest, above, tuple(raised), offset.nearest, offset.above, row.strict)


def _height(exact: Fraction, at: Rounded) -> Fraction:
    """Where a number lies between its neighbours: 0 at the lower one (and if it is a float64), to 1."""
    below, above = Fraction(at.below), Fraction(at.above)
    return (exact - below) / (above - below) if above > below else Fraction(0)


def scaled(row: Row) -> Row:
    """The row times a positive number that makes its coefficients exact in float64; the row itself if there is none.

    They stay about as large as they were, or become at most 1 where float64 cannot hold them there.
    """
    coefficients = [c for _, c in row.terms]
    if all(_is_float(c) for c in coefficients):
        return row
    factor = Fraction(lcm(*(c.denominator for c in coefficients)), gcd(*(c.numerator for c in coefficients)))
    largest = max(abs(c * factor) for c in coefficients)
    for power in (factor.numerator.bit_length() - factor.denominator.bit_length(), largest.numerator.bit_length()):
        by = factor * Fraction(2) ** -power
        if abs(row.offset * by) < _LARGEST_OFFSET and all(_is_float(c * by) for c in coefficients):
            return Row(tuple((index, c * by) for index, c in row.terms), row.offset * by, row.strict)
    return row


def _is_float(exact: Fraction) -> bool:
    try:
        value = exact.numerator / exact.denominator
    except OverflowError:
        return False
    return isfinite(value) and Fraction(value) == exact


def coverable(rows: Sequence[FloatRow]) -> tuple[FloatRow, ...]:
    """The rows of a polyhedron, with EVERYTHING for those that would make more than MOST_COVERS polyhedra of it."""
    kept, polyhedra = list(rows), 1
    for at in sorted(range(len(rows)), key=lambda i: len(rows[i].raised)):
        more = polyhedra * (len(rows[at].raised) + 1)
        if more > MOST_COVERS:
            kept[at] = EVERYTHING
        else:
            polyhedra = more
    return tuple(kept)


def polyhedra(rows: Sequence[FloatRow], outputs: int) -> Iterator[NDArray[np.float64]]:
    """Matrices (rows, outputs) of polyhedra that together cover the one of ``rows``, all with its offsets rounded up."""
    for chosen in product(*(row.covers() for row in rows)):
        yield matrix(rows, chosen, outputs)


def matrix(rows: Sequence[FloatRow], coefficients: Sequence[Sequence[float]], outputs: int) -> NDArray[np.float64]:
    """The coefficients as a matrix (rows, outputs)."""
    filled = np.zeros((len(rows), outputs))
    for at, (row, values) in enumerate(zip(rows, coefficients, strict=True)):
        for (index, _), value in zip(row.terms, values, strict=True):
            filled[at, index] = value
    return filled
