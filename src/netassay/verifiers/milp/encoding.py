"""Piecewise linear networks as mixed-integer linear programs (MIPVerify; Tjeng, Xiao and Tedrake, 2019, section 4.1).

Every number that counts is a variable. Affine operators are rows; a ReLU whose sign is known is none at all, one whose sign is not known
takes a binary a, 1 where it is active: ``y >= 0``, ``y >= z``, ``y <= z + M1 (1 - a)``, ``y <= M2 a`` with ``M1 >= -low``, ``M2 >= high``.
The maximum of several numbers takes one binary for each that may be the largest. Ranges are proved ones, all numbers that the program
is made of are exact or rounded outwards: whatever the network does on the region satisfies the program, in real arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.operators import Operator
from netassay.numerics.norms import Norm
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.claim import Claim
from netassay.verifiers.milp.cuts import Kinks
from netassay.verifiers.milp.program import Flags, Program, ProgramBuilder
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.root import part_of_rows
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations.positions import PADDING, Index
from netassay.verifiers.relaxations.table import SEVERAL
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, Array, gamma, up

ZERO = -1
"""In place of a variable: the number is 0, or nothing reads it."""

ENTRY_BYTES = 128
"""What an entry of a program takes here and in the solver."""

BLOCK = 1 << 20
"""Most numbers of the rows of an operator's matrix that are laid out densely at once."""

Entries = tuple[Positions, Positions, Array]
"""A sparse matrix: rows, columns, values."""

MAXIMA = (nl.MaxPool, nl.ReduceMax, nl.Maximum)


class TooLargeError(CapabilityError):
    """A program does not fit into memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A program of a graph up to some value.

    Args:
        program: Its variables begin with the numbers of the input, in their order.
        inputs: How many those are.
        outputs: (size,) the variable of each number of the value; ``ZERO`` where it was not asked for.
        kinks: Its ReLUs of unknown sign.
    """

    program: Program
    inputs: int
    outputs: Positions
    kinks: Kinks


def left_slope(operator: Operator) -> float | None:
    """The slope a of ``max(z, a z)``, a <= 1; None for other operators."""
    if isinstance(operator, nl.Relu):
        return 0.0
    if isinstance(operator, nl.Abs):
        return -1.0
    return operator.slope if isinstance(operator, nl.LeakyRelu) and operator.slope <= 1 else None


def check(bounded: BoundedGraph, region: Regions) -> None:
    """Raises CapabilityError, naming what a program has no form for: an operator, a norm, an unbounded region."""
    for node, affine in zip(bounded.graph.nodes, bounded.maps, strict=True):
        if affine is None and left_slope(node.operator) is None and not isinstance(node.operator, MAXIMA):
            raise CapabilityError(
                f"node {node.name!r}: {node.operator.name} has no exact form in a mixed-integer program; affine operators, ReLU, leaky"
                " ReLU (slope at most 1), absolute values and maxima have. Use 'auto' instead"
            )
    if not region.bounded:
        raise CapabilityError("a mixed-integer program needs a bounded region; give a radius, or a domain with finite ends")
    if any(ball.norm is not Norm.L1 for ball in region.balls):
        raise CapabilityError("a mixed-integer program serves boxes, L-infinity balls and L1 balls; use 'auto' for other norms")


def encode(bounded: BoundedGraph, region: Regions, ranges: Sequence[Range], value: int, needed: Flags, memory: float = np.inf) -> Encoded:
    """The program of some numbers of a value.

    Args:
        bounded: The graph.
        region: A single region; steps and categories of its features are not followed.
        ranges: Proved ranges (1, *shape) of every value up to this one.
        value: Its number.
        needed: (size,) which of its numbers are wanted.
        memory: Bytes that it may take.
    Raises:
        CapabilityError: If an operator or the region cannot be encoded, or the numbers are too large.
        TooLargeError: If it does not fit into memory.
    """
    check(bounded, region)
    return _Encoder(bounded, region, ranges, value, needed, memory).encoded()


class _Encoder:
    def __init__(self, bounded: BoundedGraph, region: Regions, ranges: Sequence[Range], value: int, needed: Flags, memory: float) -> None:
        self._bounded, self._region, self._value, self._memory = bounded, region, value, memory
        self._low = [np.asarray(low, dtype=np.float64).reshape(-1) for low, _ in ranges[: value + 1]]
        self._high = [np.asarray(high, dtype=np.float64).reshape(-1) for _, high in ranges[: value + 1]]
        self.builder = ProgramBuilder()
        self._entries: dict[int, Entries] = {}
        self._needed = [np.zeros(prod(s), dtype=np.bool_) for s in bounded.graph.shapes[: value + 1]]
        self._needed[value] = np.array(needed)
        for position in reversed(range(value)):
            if self._needed[position + 1].any():
                self._need(position)
        self._variables = [np.full(len(n), ZERO) for n in self._needed]
        self._defined: dict[int, int] = {}  # by which row, of variables that affine operators make
        self._kinks = Kinks.none()

    def encoded(self) -> Encoded:
        """Variables and rows, operator by operator."""
        self._require_finite()
        self._variables[0] = self.builder.variables(self._low[0], self._high[0])
        for ball in self._region.balls:
            self._one_norm(ball.center, ball.scale, ball.radius)
        for position in range(self._value):
            if self._needed[position + 1].any():
                self._node(position)
        return Encoded(self.builder.build(), len(self._low[0]), self._variables[self._value], self._kinks)

    def _require_finite(self) -> None:
        for low, high, needed in zip(self._low, self._high, self._needed, strict=True):
            if not (np.maximum(np.abs(low), np.abs(high))[needed] < LARGEST).all():
                raise CapabilityError("values of the network are unbounded, or too large for a mixed-integer program")

    def _need(self, position: int) -> None:
        """Notes which numbers the wanted numbers of a node are made of."""
        node, wanted = self._bounded.graph.nodes[position], self._needed[position + 1]
        affine = self._bounded.maps[position]
        if isinstance(node.operator, op.Reshape):
            self._needed[node.inputs[0]] |= wanted
        elif affine is not None:
            entries = self._entries[position] = _matrix(affine, np.flatnonzero(wanted), self._memory)
            self._memory -= ENTRY_BYTES * len(entries[0])
            self._need_flat(node.inputs, entries[1])
        elif isinstance(node.operator, MAXIMA):
            index, kept = self._rivals(position)
            self._need_flat(node.inputs, index[wanted][kept[wanted]])
        else:
            source = node.inputs[0]
            dead = self._high[source] <= 0 if left_slope(node.operator) == 0 else False
            self._needed[source] |= wanted & ~np.asarray(dead)

    def _need_flat(self, inputs: Sequence[int], columns: Positions) -> None:
        """Notes the need for positions in the concatenation of several values."""
        begin = 0
        for i in inputs:
            size = len(self._needed[i])
            self._needed[i][columns[(columns >= begin) & (columns < begin + size)] - begin] = True
            begin += size

    def _node(self, position: int) -> None:
        node = self._bounded.graph.nodes[position]
        if isinstance(node.operator, op.Reshape):
            self._variables[position + 1] = np.where(self._needed[position + 1], self._variables[node.inputs[0]], ZERO)
        elif (affine := self._bounded.maps[position]) is not None:
            self._affine(position, affine)
        elif isinstance(node.operator, MAXIMA):
            self._maximum(position)
        elif (slope := left_slope(node.operator)) is not None:
            self._kinked(position, slope)

    def _fresh(self, value: int, units: Positions) -> Positions:
        """New variables for some numbers of a value."""
        self._variables[value][units] = self.builder.variables(self._low[value][units], self._high[value][units])
        return self._variables[value][units]

    def _affine(self, position: int, affine: AffineMap) -> None:
        """``y - W x = b``, give or take the rounding of W and b."""
        node = self._bounded.graph.nodes[position]
        units = np.flatnonzero(self._needed[position + 1])
        row, column, value = self._entries[position]
        given = np.concatenate([self._variables[i] for i in node.inputs]) if node.inputs else np.zeros(0, dtype=np.intp)
        source = given[column]
        kept = source != ZERO
        if isinstance(node.operator, _MOVES):
            self._variables[position + 1][units[row]] = source
            return
        shapes = [self._bounded.graph.shapes[i] for i in node.inputs]
        magnitudes = [
            np.maximum(np.abs(self._low[i]), np.abs(self._high[i])).reshape(1, *s) for i, s in zip(node.inputs, shapes, strict=True)
        ]
        slack = 4 * gamma(affine.terms) * affine.magnitude(magnitudes).reshape(-1)[units] + UNDERFLOW
        own = self._fresh(position + 1, units)
        constant = affine.constant.reshape(-1)[units]
        rows = np.concatenate([np.arange(len(units)), row[kept]])
        columns = np.concatenate([own, source[kept]])
        values = np.concatenate([np.ones(len(units)), -value[kept]])
        made = self.builder.sparse(rows, columns, values, constant, constant, slack)
        self._defined.update(zip(own.tolist(), made.tolist(), strict=True))

    def _kinked(self, position: int, slope: float) -> None:
        """``max(z, slope z)`` by its sign."""
        source, own = self._bounded.graph.nodes[position].inputs[0], position + 1
        low, high, wanted = self._low[source], self._high[source], self._needed[own]
        if slope == 0:
            self._low[own] = np.maximum(self._low[own], 0.0)
        active = wanted & (low >= 0)
        self._variables[own][active] = self._variables[source][active]
        inactive = np.flatnonzero(wanted & ~active & (high <= 0))
        if slope != 0 and len(inactive):
            y, zero = self._fresh(own, inactive), np.zeros(len(inactive))
            self.builder.constraints([(y, zero + 1), (self._variables[source][inactive], zero - slope)], zero, zero)
        unknown = np.flatnonzero(wanted & ~active & (high > 0))
        if len(unknown):
            self._undecided(self._variables[source][unknown], self._fresh(own, unknown), slope, low[unknown], high[unknown])

    def _undecided(self, z: Positions, y: Positions, slope: float, low: Array, high: Array) -> None:
        """The four inequalities of Tjeng et al., Eq. 7, for any slope on the left; a triangle where the binary is free."""
        builder, one, zero, far = self.builder, np.ones(len(z)), np.zeros(len(z)), np.full(len(z), np.inf)
        a = builder.binaries(len(z))
        if slope == 0:
            self._kinks = self._kinks.and_(Kinks(z, y, a, np.array([self._defined.get(v, -1) for v in z.tolist()], dtype=np.intp)))
        fall, rise = (-low, high) if slope == 0 else (up(up(1 - slope) * -low), up(up(1 - slope) * high))
        builder.constraints([(y, one), (z, -one)], zero, far)
        if slope != 0:
            builder.constraints([(y, one), (z, -slope * one)], zero, far)
        builder.constraints([(y, one), (z, -one), (a, fall)], -far, fall)
        terms = [(y, one), (a, -rise)] + ([(z, -slope * one)] if slope != 0 else [])
        builder.constraints(terms, -far, zero)

    def _rivals(self, position: int) -> tuple[Index, Flags]:
        """For each maximum the positions (out, k) that it is of, and which of them may be the largest."""
        node = self._bounded.graph.nodes[position]
        index = SEVERAL[type(node.operator)][0](node.operator, [self._bounded.graph.shapes[i] for i in node.inputs])
        low, high = (_gathered([side[i] for i in node.inputs], index) for side in (self._low, self._high))
        largest = low.argmax(axis=1)
        kept = high > low.max(axis=1, keepdims=True)
        kept[np.arange(len(index)), largest] = True
        return index, kept

    def _maximum(self, position: int) -> None:
        """``y >= x_i``, ``y <= x_i + M_i (1 - d_i)``, ``sum d_i = 1`` (Tjeng et al., Eq. 8)."""
        node, own = self._bounded.graph.nodes[position], position + 1
        index, kept = self._rivals(position)
        given = np.concatenate([self._variables[i] for i in node.inputs])
        alone = self._needed[own] & (kept.sum(axis=1) == 1)
        self._variables[own][alone] = given[index[alone, kept[alone].argmax(axis=1)]]
        units = np.flatnonzero(self._needed[own] & ~alone)
        if not len(units):
            return
        self._fresh(own, units)
        window, member = np.nonzero(kept[units])
        low, high = (_gathered([side[i] for i in node.inputs], index[units]) for side in (self._low, self._high))
        bound = _largest_of_others(np.where(kept[units], high, -np.inf))[window, member]
        far = np.maximum(up(bound - low[window, member]), 0.0)
        y, x = self._variables[own][units][window], given[index[units][window, member]]
        self._choice(y, x, far, window)

    def _choice(self, y: Positions, x: Positions, far: Array, window: Positions) -> None:
        builder, one, infinite = self.builder, np.ones(len(y)), np.full(len(y), np.inf)
        d = builder.binaries(len(y))
        for chosen in (x != ZERO, x == ZERO):  # a number that is 0 for certain is a term less
            if chosen.any():
                terms = [(y[chosen], one[chosen])] + ([(x[chosen], -one[chosen])] if x[chosen][0] != ZERO else [])
                builder.constraints(terms, 0 * one[chosen], infinite[chosen])
                builder.constraints([*terms, (d[chosen], far[chosen])], -infinite[chosen], far[chosen])
        count = int(window.max()) + 1
        builder.sparse(window, d, one, np.ones(count), np.ones(count), np.zeros(count))

    def _one_norm(self, center: Array, scale: Array, radius: float) -> None:
        """``sum t_i <= radius`` with ``scale_i t_i >= |x_i - center_i|``."""
        x, builder = self._variables[0], self.builder
        t = builder.variables(np.zeros(len(x)), np.full(len(x), radius))
        one, far = np.ones(len(x)), np.full(len(x), np.inf)
        builder.constraints([(t, scale), (x, -one)], -center, far)
        builder.constraints([(t, scale), (x, one)], center, far)
        builder.sparse(np.zeros(len(x), dtype=np.intp), t, one, np.full(1, -np.inf), np.full(1, radius), np.zeros(1))


_MOVES = (op.Transpose, op.Slice, op.Gather, op.Concat)
"""Operators whose outputs are inputs in other places."""


def _gathered(sides: Sequence[Array], index: Index) -> Array:
    """(out, k) the numbers at ``index`` in the concatenation; -inf at padded places."""
    return np.asarray(np.where(index == PADDING, -np.inf, np.concatenate(sides)[index]))


def _largest_of_others(high: Array) -> Array:
    """(out, k) for each the largest of the others in its row."""
    best = high.argmax(axis=1)
    rest = high.copy()
    rest[np.arange(len(high)), best] = -np.inf
    found = np.repeat(high.max(axis=1)[:, None], high.shape[1], axis=1)
    found[np.arange(len(high)), best] = rest.max(axis=1)
    return found


def _matrix(affine: AffineMap, units: Positions, memory: float) -> Entries:
    """The rows of W that belong to some outputs: row numbers count within ``units``, columns run over all inputs."""
    if not affine.shapes:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0)
    if isinstance(affine.operator, op.Dense) and len(affine.output_shape) == 1:
        weight = np.asarray(affine.operator.weight, dtype=np.float64)[units]
        row, column = np.nonzero(weight)
        _require_room(len(row), memory)
        return row, column, weight[row, column]
    found: list[Entries] = []
    size = prod(affine.output_shape)
    step = max(1, BLOCK // max(size, *(prod(s) for s in affine.shapes)))
    for begin in range(0, len(units), step):
        chosen = units[begin : begin + step]
        unit = np.zeros((len(chosen), size))
        unit[np.arange(len(chosen)), chosen] = 1.0
        parts = affine.adjoint(unit.reshape(-1, *affine.output_shape))
        dense = np.concatenate([p.reshape(len(chosen), -1) for p in parts], axis=1)
        row, column = np.nonzero(dense)
        found.append((row + begin, column, dense[row, column]))
        _require_room(sum(len(entries[0]) for entries in found), memory)
    rows, columns, values = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows, columns, values


def _require_room(entries: int, memory: float) -> None:
    if entries * ENTRY_BYTES > memory:
        raise TooLargeError("the mixed-integer program does not fit into memory; allow more, or use 'auto'")


@dataclass(frozen=True, slots=True, eq=False)
class ClaimProgram:
    """The program of the undecided parts of a claim.

    Args:
        encoded: Of the graph that ends in the claim's rows.
        program: With the variables of parts and of s.
        parts: Positions of the undecided parts in the claim.
        least: (parts,) the variable that is the part's s: at least each of its rows.
        s: The variable that is at least the least of them (for whichever part its binary chooses); minimised, it is the least.
    """

    encoded: Encoded
    program: Program
    parts: tuple[int, ...]
    least: Positions
    s: int


def encode_claim(
    claim: Claim, bounded: BoundedGraph, region: Regions, ranges: Sequence[Range], parts: Sequence[int], memory: float = np.inf
) -> ClaimProgram:
    """The program whose least s is that of some parts of a claim, over a region.

    Args:
        claim: The claim.
        bounded: Of the graph that ends in all of the claim's rows (``propagation.root.with_rows``).
        region, ranges: As in ``encode``, for every value.
        parts: Positions of parts.
        memory: As in ``encode``.
    """
    check(bounded, region)
    owner = part_of_rows(claim)
    encoder = _Encoder(bounded, region, ranges, bounded.output, np.isin(owner, list(parts)), memory)
    encoded = encoder.encoded()
    builder = encoder.builder
    low, high = (np.asarray(side).reshape(-1) for side in ranges[bounded.output])
    least = []
    for p in parts:
        rows = np.flatnonzero(owner == p)
        least.append(_greatest(builder, encoded.outputs[rows], float(low[rows].max()), float(high[rows].max())))
    s = least[0] if len(least) == 1 else _least(builder, np.array(least), [(low[owner == p].max(), high[owner == p].max()) for p in parts])
    return ClaimProgram(encoded, builder.build(), tuple(parts), np.array(least), s)


def _greatest(builder: ProgramBuilder, rows: Positions, low: float, high: float) -> int:
    """A variable that is at least each of some others, and no more than it has to be when it is minimised."""
    if len(rows) == 1:
        return int(rows[0])
    t, one = builder.variables(np.array([low]), np.array([high])), np.ones(len(rows))
    builder.constraints([(np.repeat(t, len(rows)), one), (rows, -one)], 0 * one, np.inf * one)
    return int(t[0])


def _least(builder: ProgramBuilder, parts: Positions, ends: Sequence[tuple[float, float]]) -> int:
    """s with ``s >= t_p - M_p (1 - d_p)`` and ``sum d_p = 1``."""
    lowest, one = min(low for low, _ in ends), np.ones(len(parts))
    s = builder.variables(np.array([lowest]), np.array([max(high for _, high in ends)]))
    d = builder.binaries(len(parts))
    far = np.maximum(up(np.array([high for _, high in ends]) - lowest), 0.0)
    builder.constraints([(np.repeat(s, len(parts)), one), (parts, -one), (d, -far)], -far, np.inf * one)
    builder.sparse(np.zeros(len(parts), dtype=np.intp), d, one, np.ones(1), np.ones(1), np.zeros(1))
    return int(s[0])
