"""Backward linear bounds (CROWN, Zhang et al. 2018; DeepPoly, Singh et al. 2019), with every rounding bounded.

A linear form of some value is pushed back to the input, operator by operator: affine maps by their adjoint, nonlinear operators by
a line below or above them, whichever the sign of the coefficient asks for. What is left, a linear form of the input, is minimised
over the region exactly. Every step adds what its rounding can change at most, ``gamma * |coefficients| . weights``, to an error that is
subtracted in the end: the bound holds in real arithmetic for any order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netassay.models.nonlinear import Elementwise, LeakyRelu, Relu
from netassay.models.operators import Dense
from netassay.verifiers.propagation.interval import BoundedGraph, Range, intersect, no_number
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import Lines, Planes, lines, planes
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma

Slopes = Callable[[int, int], Array | None]
"""Wanted lower slopes (B, *shape) of the ReLU-like node at a position, for bounds of a value (value, position); None: the usual ones."""

CHUNK = 1 << 14
"""Most numbers of one coefficient array, by default."""


@dataclass(slots=True, eq=False)
class Form:
    """What is left of linear forms on their way back: ``T >= sum over values of <coefficients, y_v> + constant - error``."""

    pending: dict[int, Array]
    constant: Array
    error: Array


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Lower bounds of linear forms.

    Args:
        lower: (R,) proved lower bounds.
        coefficients, offset: (R, *input shape) and (R,): ``<coefficients, x> + offset`` lies below everywhere in the region, in real
            arithmetic; rounding has been taken off the offset.
    """

    lower: Array
    coefficients: Array
    offset: Array


@dataclass(eq=False)
class LinearBounds:
    """Bounds of all values of a graph over a batch of regions.

    Args:
        bounded: The graph.
        regions: B regions.
        ranges: Known ranges (B, *shape) of some values, None elsewhere: those of a parent region, of a split neuron.
        slopes: Chooses lower slopes of ReLU-like nodes.
        tighten: Values whose ranges are tightened by back-substitution; all that nonlinear operators read by default.
        chunk: Most numbers of one coefficient array.
    """

    bounded: BoundedGraph
    regions: Regions
    ranges: list[Range | None] = field(default_factory=list)
    slopes: Slopes | None = None
    tighten: frozenset[int] | None = None
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        graph = self.bounded.graph
        given = self.ranges or [None] * (len(graph.nodes) + 1)
        self.ranges = [(self.regions.lower, self.regions.upper), *given[1:]]
        self._magnitudes: dict[int, Array] = {}
        self._weights: dict[tuple[int, int], Array] = {}
        self._lines: dict[tuple[int, int], Lines] = {}
        self._planes: dict[int, Planes] = {}
        self._done = 0
        self.empty: NDArray[np.bool_] = np.zeros(len(self.regions), dtype=np.bool_)
        """(B,) regions whose known ranges contradict their bounds: no point is left in them."""

    def run(self) -> LinearBounds:
        """Bounds every value in turn; returns itself."""
        for value in range(1, self.bounded.output + 1):
            self.ensure(value)
        return self

    def ensure(self, upto: int) -> None:
        """Bounds every value up to this one."""
        tighten = self.bounded.relaxed if self.tighten is None else self.tighten
        for value in range(self._done + 1, upto + 1):
            found = self.bounded.range_of(value, self.ranges)
            if len(found[0]) != len(self.regions):
                found = tuple(np.broadcast_to(side, (len(self.regions), *side.shape[1:])) for side in found)  # type: ignore[assignment]
            known = self.ranges[value]
            self._set(value, found if known is None else intersect(found, known))
            self._done = value
            if value in tighten and not (value in self.bounded.exact and self.regions.ball is None):
                self._tighten(value)

    def range(self, value: int) -> Range:
        """The range (B, *shape) of a value."""
        self.ensure(value)
        found = self.ranges[value]
        assert found is not None
        return found

    def _tighten(self, value: int) -> None:
        """Back-substitution for the numbers of a value whose sign, or width, makes a difference."""
        low, high = self.range(value)
        count = len(self.regions)
        needed = self._undecided(value, low, high).reshape(count, -1)
        owner, unit = (np.asarray(a, dtype=np.intp) for a in np.nonzero(needed))
        if not len(owner):
            return
        low, high = np.array(low).reshape(count, -1), np.array(high).reshape(count, -1)
        rows = max(1, self.chunk // max(self._widest(value), 1))
        for begin in range(0, len(owner), rows):
            o, u = owner[begin : begin + rows], unit[begin : begin + rows]
            both = self._units(value, np.concatenate([o, o]), np.concatenate([u, u]), np.repeat([1.0, -1.0], len(o)))
            low[o, u] = np.maximum(low[o, u], both[: len(o)])
            high[o, u] = np.minimum(high[o, u], -both[len(o) :])
        shape = (count, *self.bounded.graph.shapes[value])
        self._set(value, (low.reshape(shape), high.reshape(shape)))

    def _set(self, value: int, found: Range) -> None:
        """Keeps a range; where its ends cross, the region is empty and any range will do."""
        low, high = found
        crossed = low > high
        if crossed.any():
            self.empty |= crossed.reshape(len(crossed), -1).any(axis=1)
            low, high = np.minimum(low, high), np.maximum(low, high)
        self.ranges[value] = (low, high)

    def _undecided(self, value: int, low: Array, high: Array) -> NDArray[np.bool_]:
        readers = [n.operator for n in self.bounded.graph.nodes if value in n.inputs]
        if all(isinstance(o, Relu | LeakyRelu) or o.linear for o in readers):
            return np.asarray((low < 0) & (high > 0))
        return np.asarray(low < high)

    def _widest(self, value: int) -> int:
        return max(int(np.prod(s)) for s in self.bounded.graph.shapes[: value + 1])

    def _units(self, value: int, owner: Positions, unit: Positions, sign: Array) -> Array:
        """(R,) lower bounds of ``sign * y[unit]`` of a value."""
        node = self.bounded.graph.nodes[value - 1]
        if isinstance(node.operator, Dense) and len(self.bounded.graph.shapes[value]) == 1:
            weight, bias = (np.asarray(a, dtype=np.float64) for a in (node.operator.weight, node.operator.bias))
            form = Form({node.inputs[0]: weight[unit] * sign[:, None]}, bias[unit] * sign, np.zeros(len(unit)))
            return self._finish(value, node.inputs[0], form, owner).lower
        rows = np.zeros((len(unit), int(np.prod(self.bounded.graph.shapes[value]))))
        rows[np.arange(len(unit)), unit] = sign
        return self.minimum(value, rows.reshape(-1, *self.bounded.graph.shapes[value]), owner).lower

    def minimum(
        self,
        value: int,
        rows: Array,
        owner: Positions,
        constant: Array | None = None,
        extra: Mapping[int, Array] | None = None,
    ) -> Bound:
        """Lower bounds of ``<rows, y> + constant`` for a value y.

        Args:
            value: Number of the value.
            rows: (R, *shape of the value).
            owner: (R,) the region of each row.
            constant: (R,); 0 by default.
            extra: Further coefficients (R, *shape) of earlier values: minus a multiplier >= 0 times what is known to be
                >= 0 on the part of the region that counts (a split neuron), so that the result bounds the form there.
        """
        self.ensure(value)
        start = np.zeros(len(rows)) if constant is None else np.array(constant, dtype=np.float64)
        return self._finish(value, value, Form({value: rows}, start, np.zeros(len(rows))), owner, extra)

    def _finish(self, of: int, start: int, form: Form, owner: Positions, extra: Mapping[int, Array] | None = None) -> Bound:
        with np.errstate(all="ignore"):
            for value in range(start, 0, -1):
                if extra is not None and value in extra:
                    self._add(form, value, extra[value], owner)
                coefficients = form.pending.pop(value, None)
                if coefficients is not None:
                    self._through(of, value - 1, coefficients, form, owner)
            rest = form.pending.get(0)
            if rest is None:
                rest = np.zeros((len(owner), *self.bounded.graph.input_shape))
            least = self.regions.minimum(rest, owner)
            total = least + form.constant - form.error * (1 + 1e-6) - UNDERFLOW
            lower = down(total - 8 * UNIT * (np.abs(least) + np.abs(form.constant) + form.error))
            offset = down(form.constant - form.error * (1 + 1e-6) - UNDERFLOW - 8 * UNIT * (np.abs(form.constant) + form.error))
        known = self.ranges[of]
        if known is not None and np.isnan(known[0].min(initial=0.0)):  # a coefficient of 0 does not make it a number
            lost = no_number(known[0])[owner]
            lower, offset = np.where(lost, -np.inf, lower), np.where(lost, -np.inf, offset)
        return Bound(lower, rest, offset)

    def _add(self, form: Form, value: int, coefficients: Array, owner: Positions) -> None:
        """Adds coefficients of a value to those that wait there."""
        there = form.pending.get(value)
        if there is None:
            form.pending[value] = coefficients
            return
        total = there + coefficients
        form.pending[value] = total
        form.error += 2 * UNIT * self._inner(np.abs(total), self._magnitude(value), owner)

    def _through(self, of: int, position: int, coefficients: Array, form: Form, owner: Positions) -> None:
        node, affine = self.bounded.graph.nodes[position], self.bounded.maps[position]
        if affine is not None:
            weights = self._weight(position, lambda: affine.magnitude([self._magnitude(i) for i in node.inputs]))
            form.error += 2 * gamma(affine.terms) * self._inner(np.abs(coefficients), weights, owner)
            form.constant = form.constant + affine.of_constant(coefficients)
            form.error += 2 * UNIT * np.abs(form.constant)
            for i, part in zip(node.inputs, affine.adjoint(coefficients), strict=True):
                self._add(form, i, part, owner)
        elif isinstance(node.operator, Elementwise):
            self._through_lines(of, position, coefficients, form, owner)
        else:
            self._through_planes(position, coefficients, form, owner)

    def _through_lines(self, of: int, position: int, coefficients: Array, form: Form, owner: Positions) -> None:
        source = self.bounded.graph.nodes[position].inputs[0]
        relaxed = self.lines_of(of, position)
        weights = self._weight(position, lambda: self._line_weights(relaxed, source), of)
        rising, falling = np.maximum(coefficients, 0), np.minimum(coefficients, 0)
        size = coefficients[0].size
        form.error += 2 * gamma(size + 4) * self._inner(rising - falling, weights, owner)
        offsets = self._inner(rising, relaxed.lower_offset, owner) + self._inner(falling, relaxed.upper_offset, owner)
        form.constant = form.constant + offsets
        form.error += 2 * UNIT * np.abs(form.constant)
        passed = self._scaled(rising, relaxed.lower_slope, owner) + self._scaled(falling, relaxed.upper_slope, owner)
        self._add(form, source, passed, owner)

    def _through_planes(self, position: int, coefficients: Array, form: Form, owner: Positions) -> None:
        node = self.bounded.graph.nodes[position]
        relaxed = self._planes_of(position)
        count, shapes = len(coefficients), [self.bounded.graph.shapes[i] for i in node.inputs]
        flat = coefficients.reshape(count, -1)
        rising, falling = np.maximum(flat, 0), np.minimum(flat, 0)
        slopes = np.maximum(np.abs(relaxed.lower_slopes), np.abs(relaxed.upper_slopes))
        magnitudes = np.concatenate([self._magnitude(i).reshape(len(self.regions), -1) for i in node.inputs], axis=1)
        offsets = np.maximum(np.abs(relaxed.lower_offset), np.abs(relaxed.upper_offset))
        weights = (slopes * magnitudes[:, relaxed.index]).sum(axis=2) + offsets
        form.error += 2 * gamma(flat.shape[1] + magnitudes.shape[1] + 4) * self._inner(rising - falling, weights, owner)
        constants = self._inner(rising, relaxed.lower_offset, owner) + self._inner(falling, relaxed.upper_offset, owner)
        form.constant = form.constant + constants
        form.error += 2 * UNIT * np.abs(form.constant)
        parts = rising[:, :, None] * relaxed.lower_slopes[owner] + falling[:, :, None] * relaxed.upper_slopes[owner]
        into = np.zeros((count, magnitudes.shape[1]))
        place = np.arange(count)[:, None] * magnitudes.shape[1] + relaxed.index.reshape(1, -1)
        into.reshape(-1)[:] = np.bincount(place.reshape(-1), weights=parts.reshape(-1), minlength=into.size)
        begin = 0
        for i, shape in zip(node.inputs, shapes, strict=True):
            size = int(np.prod(shape))
            self._add(form, i, into[:, begin : begin + size].reshape(count, *shape), owner)
            begin += size

    def lines_of(self, of: int, position: int) -> Lines:
        """The lines of an elementwise node, as bounds of value ``of`` use them."""
        wanted = None if self.slopes is None else self.slopes(of, position)
        key = (0 if wanted is None else of, position)
        if key not in self._lines:
            node = self.bounded.graph.nodes[position]
            assert isinstance(node.operator, Elementwise)
            self._lines[key] = lines(node.operator, *self.range(node.inputs[0]), wanted)
        return self._lines[key]

    def _planes_of(self, position: int) -> Planes:
        if position not in self._planes:
            node = self.bounded.graph.nodes[position]
            ranges = [self.range(i) for i in node.inputs]
            self._planes[position] = planes(node.operator, [r[0] for r in ranges], [r[1] for r in ranges])
        return self._planes[position]

    def _line_weights(self, relaxed: Lines, source: int) -> Array:
        slope = np.maximum(np.abs(relaxed.lower_slope), np.abs(relaxed.upper_slope))
        return np.asarray(slope * self._magnitude(source) + np.maximum(np.abs(relaxed.lower_offset), np.abs(relaxed.upper_offset)))

    def _magnitude(self, value: int) -> Array:
        """(B, *shape) the largest absolute values; infinite where they are too large for error bounds."""
        if value not in self._magnitudes:
            low, high = self.range(value)
            found = np.maximum(np.abs(low), np.abs(high))
            self._magnitudes[value] = np.where(found < LARGEST, found, np.inf)
        return self._magnitudes[value]

    def _weight(self, position: int, make: Callable[[], Array], of: int = 0) -> Array:
        key = (of if self.slopes is not None else 0, position)
        if key not in self._weights:
            self._weights[key] = make()
        return self._weights[key]

    def _inner(self, rows: Array, weights: Array, owner: Positions) -> Array:
        """(R,) inner products of rows (R, ...) with their regions' weights (B, ...); a zero takes no part, also against infinity."""
        flat, per_region = rows.reshape(len(rows), -1), weights.reshape(len(weights), -1)
        if not np.isfinite(per_region).all():
            chosen = per_region[owner] if len(per_region) > 1 else per_region
            return np.asarray(np.where(flat == 0, 0.0, flat * chosen).sum(axis=1))
        if len(per_region) == 1:
            return np.asarray(flat @ per_region[0])
        return np.asarray(np.einsum("rn,rn->r", flat, per_region[owner]))

    def _scaled(self, rows: Array, factors: Array, owner: Positions) -> Array:
        return np.asarray(rows * (factors if len(factors) == 1 else factors[owner]))
