"""What a VNN-LIB file says: input boxes, each with its unsafe outputs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import inf, prod
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import DataError, UnsupportedSpecificationError
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.vnnlib_exact import Bound, Conjunction, Disjuncts, Row, check_size, conjoin
from netassay.specs.vnnlib_rows import EVERYTHING, FloatRow, coverable, float_row, matrix, polyhedra
from netassay.specs.vnnlib_syntax import Limits

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

STRICT = "a strict inequality is closed for proofs (a superset of the unsafe set); a witness has to satisfy it strictly"
COEFFICIENTS = (
    "an output coefficient is no float64, not even after scaling its row: for proofs the row is covered by rows that are "
    "(a superset of the unsafe set); a witness has to satisfy it exactly"
)
LEFT_OUT = "a polyhedron has too many such rows: some are left out of proofs (a superset of the unsafe set), which may not succeed for it"
NO_OUTPUTS = "a disjunct does not restrict the outputs: every input of its box is a violation"


@dataclass(frozen=True, slots=True)
class Variable:
    """A tensor as the file declares it: its name, element type and shape."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """One input box with the outputs that are unsafe there.

    ``box`` and ``unsafe`` are closed and hold everything that the file allows, its decimals taken exactly: bounds and
    offsets that are no float64 are rounded outward, and a row whose coefficients are none is scaled until they are; where
    that fails, rows whose coefficients are float64 cover it (see ``FloatRow``), and the notes of the specification say so.
    So what is proved on them holds for the file. The other attributes are the file with each bound and offset read as its
    nearest float64, as the competition's checker reads it, and its coefficients exactly; ``admits`` judges a witness by them.

    Attributes:
        box: Over the flat inputs (n,).
        unsafe: The union of polyhedra over the raw outputs (m,).
        nearest: The box with its corners at the nearest float64.
        strict_lower, strict_upper: Which corners of ``nearest`` are excluded, (n,).
        polyhedra: The unsafe polyhedra as the file has them, each with its rows.
        matrix, offset: Their numbers rounded to nearest, (polyhedra, most rows, m) and (polyhedra, most rows), the shorter ones
            filled with their own last row.
        strict_rows: Which rows are strict, in the shape of ``offset``.
    """

    box: Box
    unsafe: OutputHalfspaces
    nearest: Box
    strict_lower: Flags
    strict_upper: Flags
    polyhedra: tuple[tuple[FloatRow, ...], ...]
    matrix: Floats
    offset: Floats
    strict_rows: Flags

    @property
    def strict(self) -> bool:
        """Whether any inequality is strict."""
        return bool(self.strict_lower.any() or self.strict_upper.any() or self.strict_rows.any())

    def admits(self, point: ArrayLike, outputs: ArrayLike) -> bool:
        """Whether inputs (n,) with outputs (m,) violate the specification; compared exactly, strict inequalities strictly."""
        x, y = np.asarray(point, dtype=np.float64), np.asarray(outputs, dtype=np.float64)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return False
        lower = (x > self.nearest.lower) | ((x == self.nearest.lower) & ~self.strict_lower)
        upper = (x < self.nearest.upper) | ((x == self.nearest.upper) & ~self.strict_upper)
        return bool((lower & upper).all()) and any(self._holds(int(d), y) for d in self._within_reach(y))

    def _within_reach(self, y: Floats) -> NDArray[np.intp]:
        """Polyhedra that may hold: those whose rows hold up to the rounding of float64."""
        a = self.matrix
        with np.errstate(all="ignore"):
            slack = (np.abs(a) @ np.abs(y) + np.abs(self.offset)) * ((len(y) + 2) * 2.0**-50) + 1e-300
            missed = a @ y - self.offset > slack
        return np.flatnonzero(~missed.any(axis=1))

    def _holds(self, d: int, y: Floats) -> bool:
        exact = [Fraction(float(v)) for v in y]
        return all(row.holds(exact) for row in self.polyhedra[d])


@dataclass(frozen=True, eq=False)
class Specification:
    """Unsafe iff, for some case, some input of its box has outputs in its unsafe set. Without cases it holds for every network.

    Attributes:
        inputs, outputs: Numbers of flat inputs n and outputs m.
        cases: One per distinct input box, in the order of the file.
        notes: What a reader of an answer should know: strict inequalities, covered rows, empty disjuncts.
        version: Of the language: "1.0" or "2.0".
        variables: As declared; of version 1.0, X and Y.
    """

    inputs: int
    outputs: int
    cases: tuple[Case, ...]
    notes: tuple[str, ...]
    version: str
    variables: tuple[Variable, ...]

    def admits(self, point: ArrayLike, outputs: ArrayLike) -> bool:
        """Whether inputs (n,) with outputs (m,) violate the specification, by any case (see ``Case.admits``)."""
        return any(case.admits(point, outputs) for case in self.cases)


class _Side(NamedTuple):
    """The tightest bounds so far on one side of one input; of an upper bound the negative, so that larger is tighter."""

    outward: float = -inf
    nearest: float = -inf
    strict: bool = False

    def tightened(self, other: _Side) -> _Side:
        if other.nearest > self.nearest and other.outward >= self.outward:
            return other
        return _Side(max(self.outward, other.outward), *max(self[1:], other[1:]))


def _side(bound: Bound) -> _Side:
    return _Side(-bound.outward, -bound.nearest, bound.strict) if bound.upper else _Side(*bound[2:])


class _Sides:
    """One side of all inputs."""

    def __init__(self) -> None:
        self.outward, self.nearest, self.strict = array("d"), array("d"), bytearray()

    def grow(self, more: int) -> None:
        self.outward.extend([-inf] * more)
        self.nearest.extend([-inf] * more)
        self.strict.extend(bytes(more))

    def __getitem__(self, index: int) -> _Side:
        return _Side(self.outward[index], self.nearest[index], bool(self.strict[index]))

    def tighten(self, index: int, outward: float, nearest: float, strict: bool) -> None:
        self.outward[index] = max(outward, self.outward[index])
        if nearest >= self.nearest[index]:
            self.strict[index] = strict or (nearest == self.nearest[index] and bool(self.strict[index]))
            self.nearest[index] = nearest

    def unbounded(self) -> list[int]:
        return [int(i) for i in np.flatnonzero(np.asarray(self.outward) == -inf)]

    def arrays(self, own: Iterable[tuple[int, _Side]]) -> tuple[Floats, Floats, Flags]:
        """(n,) each, with the given inputs replaced."""
        outward, nearest = np.array(self.outward), np.array(self.nearest)
        strict = np.frombuffer(bytes(self.strict), dtype=np.uint8) != 0
        for index, side in own:
            outward[index], nearest[index], strict[index] = side
        return outward, nearest, strict


Own = tuple[tuple[tuple[int, bool], _Side], ...]
"""The sides, sorted by (input, upper), in which the box of a disjunct is smaller than the common box."""


class Assembly:
    """Collects the assertions of a file; bounds that hold in every disjunct are kept apart from the formula."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sides = {False: _Sides(), True: _Sides()}
        self._inputs = 0
        self._rows: list[Row] = []
        self._product: Disjuncts = [()]
        self._notes: dict[str, None] = {}
        self._made: dict[Row, FloatRow] = {}

    def declare_inputs(self, count: int) -> None:
        """Says that there are ``count`` inputs, or more than before."""
        self._inputs = count

    def bound(self, bound: Bound) -> None:
        """Adds a bound that holds in every disjunct."""
        feature, upper, outward, nearest, strict = bound
        side = self._sides[upper]
        if feature >= len(side.strict):
            side.grow(self._inputs - len(side.strict))
        if upper:
            outward, nearest = -outward, -nearest
        side.tighten(feature, outward, nearest, strict)

    def add(self, formula: Disjuncts) -> None:
        """Adds an assertion."""
        if len(formula) != 1:
            self._product = conjoin([self._product, formula], self._limits)
            return
        for atom in formula[0]:
            if isinstance(atom, Bound):
                self.bound(atom)
            else:
                self._rows.append(atom)
        check_size(1, len(self._rows), self._limits)

    def finish(self, outputs: int, version: str, variables: tuple[Variable, ...]) -> Specification:
        """The specification.

        Raises:
            UnsupportedSpecificationError: If a box is unbounded.
            DataError: If the result would be too large, or a number is beyond the range of float64.
        """
        for side in self._sides.values():
            side.grow(self._inputs - len(side.strict))
        if not self._product:
            self._notes["the assertions contradict each other: nothing is unsafe"] = None
        check_size(len(self._product), len(self._product) * len(self._rows), self._limits)
        boxes: dict[Own, dict[tuple[Row, ...], None]] = {}
        unbounded = [(index, upper) for upper in (False, True) for index in self._sides[upper].unbounded()]
        empty, nothing = 0, self._common_is_empty()
        for position, disjunct in enumerate(self._product):
            own = None if nothing else self._own(disjunct)
            if own is None:
                empty += 1
                continue
            self._check_bounded(unbounded, own, position)
            rows = (*self._rows, *(atom for atom in disjunct if isinstance(atom, Row)))
            boxes.setdefault(tuple(sorted(own.items())), {})[tuple(dict.fromkeys(rows))] = None
        if empty:
            self._notes[f"{empty} of {len(self._product)} disjuncts have an empty input box and are left out"] = None
        unsafe = [(own, [self._float_rows(rows) for rows in each]) for own, each in boxes.items()]
        self._check_numbers(self._inputs, outputs, [each for _, each in unsafe])
        cases = tuple(self._case(own, each, outputs) for own, each in unsafe)
        notes = ([STRICT] if any(case.strict for case in cases) else []) + list(self._notes)
        return Specification(self._inputs, outputs, cases, tuple(notes), version, variables)

    def _own(self, disjunct: Conjunction) -> dict[tuple[int, bool], _Side] | None:
        """The sides tighter than the common ones; None if the box is empty, then also in exact arithmetic."""
        own: dict[tuple[int, bool], _Side] = {}
        for atom in disjunct:
            if isinstance(atom, Bound):
                key = (atom.feature, atom.upper)
                before = own.get(key) or self._sides[atom.upper][atom.feature]
                after = before.tightened(_side(atom))
                if after != before:
                    own[key] = after
        for index, upper in own:
            other = own.get((index, not upper)) or self._sides[not upper][index]
            if own[index, upper].nearest > -other.nearest:
                return None
        return own

    def _common_is_empty(self) -> bool:
        lower, upper = self._sides[False].nearest, self._sides[True].nearest
        return bool((np.asarray(lower) > -np.asarray(upper)).any())

    def _check_bounded(self, unbounded: list[tuple[int, bool]], own: dict[tuple[int, bool], _Side], position: int) -> None:
        for index, upper in unbounded:
            if (index, upper) not in own:
                where = f" in disjunct {position + 1}" if len(self._product) > 1 else ""
                side = "upper" if upper else "lower"
                raise UnsupportedSpecificationError(f"input X_{index} has no {side} bound{where}; give every input both bounds")

    def _check_numbers(self, inputs: int, outputs: int, boxes: list[list[tuple[FloatRow, ...]]]) -> None:
        numbers = 5 * inputs * len(boxes)
        for each in boxes:
            covers = sum(prod(len(row.raised) + 1 for row in coverable(rows)) for rows in each)
            numbers += (covers + len(each) * (covers > len(each))) * max(map(len, each)) * (outputs + 3)
        if numbers > self._limits.numbers:
            raise DataError(f"{len(boxes)} boxes of {inputs} inputs are more than the limit of {self._limits.numbers} numbers")

    def _case(self, own: Own, file: list[tuple[FloatRow, ...]], outputs: int) -> Case:
        lower, near_lower, strict_lower = self._sides[False].arrays((i, side) for (i, upper), side in own if not upper)
        upper, near_upper, strict_upper = self._sides[True].arrays((i, side) for (i, upper), side in own if upper)
        unsafe = self._unsafe(file, outputs)
        most = max(map(len, file))
        filled = [rows + rows[-1:] * (most - len(rows)) for rows in file]
        exact = not any(row.raised for rows in file for row in rows)
        return Case(
            Box(lower, -upper),
            unsafe,
            Box(near_lower, -near_upper),
            strict_lower,
            strict_upper,
            tuple(file),
            unsafe.matrix if exact else np.stack([matrix(rows, [row.nearest for row in rows], outputs) for rows in filled]),
            np.array([[row.offset for row in rows] for rows in filled], dtype=np.float64),
            np.array([[row.strict for row in rows] for rows in filled], dtype=np.bool_),
        )

    def _unsafe(self, file: list[tuple[FloatRow, ...]], outputs: int) -> OutputHalfspaces:
        """The union of polyhedra in float64 that holds all of the file's."""
        matrices, offsets = [], []
        for rows in file:
            kept = coverable(rows)
            if any(row.raised for row in rows):
                self._notes[COEFFICIENTS] = None
            if kept != rows:
                self._notes[LEFT_OUT] = None
            for each in polyhedra(kept, outputs):
                matrices.append(each)
                offsets.append([row.offset_above for row in kept])
        return OutputHalfspaces(matrices, offsets, Scale.OUTPUTS)

    def _float_rows(self, rows: tuple[Row, ...]) -> tuple[FloatRow, ...]:
        """The rows of a polyhedron in float64; never none."""
        if not rows:
            self._notes[NO_OUTPUTS] = None
            return (EVERYTHING,)
        for row in rows:
            if row not in self._made:
                self._made[row] = float_row(row)
        return tuple(self._made[row] for row in rows)
