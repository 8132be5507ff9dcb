"""Rigorous backward bounds of rows that share one region but not their lines: what closes subproblems of branch and bound over neurons.

The same steps and the same error terms as in ``linear``. Here the ranges of all values are known for the whole region once and for all, so
that the weights of the error terms are shared by all rows, and a row costs little more than its matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from netassay.models.nonlinear import Elementwise
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Regions
from netassay.verifiers.relaxations import Lines, Planes, planes
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma


class FixedBounds:
    """Lower bounds of linear forms over one region, by given lines.

    Args:
        bounded: The graph.
        region: A single region.
        ranges: Proved ranges (1, *shape) of some values; the others follow from them.
        upto: The value that forms are about.
    """

    def __init__(self, bounded: BoundedGraph, region: Regions, ranges: list[Range | None], upto: int) -> None:
        self.bounded, self.region, self.value = bounded, region, upto
        known = LinearBounds(bounded, region, ranges=list(ranges), tighten=frozenset())
        known.ensure(upto)
        self.ranges = [known.range(v) for v in range(upto + 1)]
        self.empty = bool(known.empty[0])
        self._defined = not np.isnan(self.ranges[-1][0]).any()
        self._magnitudes = [_magnitude(r) for r in self.ranges]
        self._weights: dict[int, Array] = {}
        self._planes: dict[int, Planes] = {}
        for position, node in enumerate(bounded.graph.nodes[:upto]):
            affine = bounded.maps[position]
            if affine is not None:
                with np.errstate(all="ignore"):
                    self._weights[position] = affine.magnitude([self._magnitudes[i] for i in node.inputs])
            elif not isinstance(node.operator, Elementwise):
                self._planes[position] = planes(
                    node.operator, [self.ranges[i][0] for i in node.inputs], [self.ranges[i][1] for i in node.inputs]
                )

    def minimum(self, start: Array, lines: Mapping[int, Lines], extra: Mapping[int, Array], constant: Array | None = None) -> Array:
        """(R,) lower bounds of ``<start, y> + sum <extra, y_v> + constant``, in real arithmetic, where the lines hold.

        Args:
            start: (R, *shape of the value).
            lines: (1 or R, *shape) of every elementwise node before it, each right wherever its row's bound is to hold. A row's
                part of the region may be smaller than the region; ranges of the whole region serve for its rounding errors.
            extra: Coefficients (R, *shape) of earlier values.
            constant: (R,); 0 by default.
        """
        if not self._defined:
            return np.full(len(start), -np.inf)
        rows = _Rows(np.zeros(len(start)) if constant is None else np.array(constant, dtype=np.float64), {self.value: start})
        with np.errstate(all="ignore"):
            for value in range(self.value, 0, -1):
                if value in extra:
                    rows.add(value, extra[value], self._magnitudes[value])
                coefficients = rows.pending.pop(value, None)
                if coefficients is not None:
                    self._through(value - 1, coefficients, lines, rows)
            rest = rows.pending.get(0)
            if rest is None:
                rest = np.zeros((len(start), *self.bounded.graph.input_shape))
            least = self.region.minimum(rest, np.zeros(len(start), dtype=np.intp))
            total = least + rows.constant - rows.error * (1 + 1e-6) - UNDERFLOW
            return down(total - 8 * UNIT * (np.abs(least) + np.abs(rows.constant) + rows.error))

    def affine_part(self, value: int, start: Array) -> Pulled:
        """Forms ``<start, y_value>`` brought back as far as the graph is affine."""
        rows = _Rows(np.zeros(len(start)), {value: start})
        with np.errstate(all="ignore"):
            for v in range(value, 0, -1):
                if self.bounded.maps[v - 1] is not None and v in rows.pending:
                    self._through(v - 1, rows.pending.pop(v), {}, rows)
        return Pulled(rows.pending, rows.constant, rows.error * (1 + 1e-6) + UNDERFLOW)

    def _through(self, position: int, a: Array, lines: Mapping[int, Lines], rows: _Rows) -> None:
        node, affine = self.bounded.graph.nodes[position], self.bounded.maps[position]
        if affine is not None:
            rows.error += 2 * gamma(affine.terms) * _inner(np.abs(a), self._weights[position])
            rows.shift(affine.of_constant(a))
            for i, part in zip(node.inputs, affine.adjoint(a), strict=True):
                rows.add(i, part, self._magnitudes[i])
        elif isinstance(node.operator, Elementwise):
            self._through_lines(a, lines[position], node.inputs[0], rows)
        else:
            self._through_planes(position, a, rows)

    def _through_lines(self, a: Array, relaxed: Lines, source: int, rows: _Rows) -> None:
        rising, falling = np.maximum(a, 0), np.minimum(a, 0)
        slope = np.maximum(np.abs(relaxed.lower_slope), np.abs(relaxed.upper_slope))
        weights = slope * self._magnitudes[source] + np.maximum(np.abs(relaxed.lower_offset), np.abs(relaxed.upper_offset))
        rows.error += 2 * gamma(a[0].size + 4) * _inner(rising - falling, weights)
        rows.shift(_inner(rising, relaxed.lower_offset) + _inner(falling, relaxed.upper_offset))
        rising *= relaxed.lower_slope
        falling *= relaxed.upper_slope
        rising += falling
        rows.add(source, rising, self._magnitudes[source])

    def _through_planes(self, position: int, a: Array, rows: _Rows) -> None:
        inputs, relaxed = self.bounded.graph.nodes[position].inputs, self._planes[position]
        shapes = [self.bounded.graph.shapes[i] for i in inputs]
        flat = a.reshape(len(a), -1)
        rising, falling = np.maximum(flat, 0), np.minimum(flat, 0)
        magnitudes = np.concatenate([self._magnitudes[i].reshape(-1) for i in inputs])
        slopes = np.maximum(np.abs(relaxed.lower_slopes[0]), np.abs(relaxed.upper_slopes[0]))
        weights = (slopes * magnitudes[relaxed.index]).sum(axis=1) + np.maximum(
            np.abs(relaxed.lower_offset[0]), np.abs(relaxed.upper_offset[0])
        )
        rows.error += 2 * gamma(flat.shape[1] + len(magnitudes) + 4) * _inner(rising - falling, weights[None])
        rows.shift(_inner(rising, relaxed.lower_offset) + _inner(falling, relaxed.upper_offset))
        into = np.zeros((len(a), len(magnitudes)))
        for k in range(relaxed.index.shape[1]):
            passed = rising * relaxed.lower_slopes[0, :, k] + falling * relaxed.upper_slopes[0, :, k]
            np.add.at(into.T, relaxed.index[:, k], passed.T)
        begin = 0
        for i, shape in zip(inputs, shapes, strict=True):
            size = int(np.prod(shape))
            rows.add(i, into[:, begin : begin + size].reshape(len(a), *shape), self._magnitudes[i])
            begin += size


@dataclass(frozen=True, slots=True, eq=False)
class Pulled:
    """Forms as ``sum <coefficients[v], y_v> + constant``, each right to within its error, in real arithmetic.

    Args:
        coefficients: (R, *shape) by value: the input, 0, and what nonlinear operators give.
        constant, error: (R,).
    """

    coefficients: dict[int, Array]
    constant: Array
    error: Array


class _Rows:
    """Forms on their way back: what waits at earlier values, constants, and what rounding can have changed at most."""

    def __init__(self, constant: Array, pending: dict[int, Array]) -> None:
        self.constant, self.pending, self.error = constant, pending, np.zeros(len(constant))

    def shift(self, constant: Array) -> None:
        self.constant = self.constant + constant
        self.error += 2 * UNIT * np.abs(self.constant)

    def add(self, value: int, coefficients: Array, magnitude: Array) -> None:
        there = self.pending.get(value)
        if there is None:
            self.pending[value] = coefficients
            return
        total = there + coefficients
        self.pending[value] = total
        self.error += 2 * UNIT * _inner(np.abs(total), magnitude)


def _magnitude(known: Range) -> Array:
    """(1, *shape) the largest absolute values; infinite where they are too large for error bounds."""
    found = np.maximum(np.abs(known[0]), np.abs(known[1]))
    return np.asarray(np.where(found < LARGEST, found, np.inf))


def _inner(rows: Array, weights: Array) -> Array:
    """(R,) inner products of rows (R, ...) with weights (1 or R, ...); a zero takes no part, also against infinity."""
    flat, others = rows.reshape(len(rows), -1), weights.reshape(len(weights), -1)
    if not np.isfinite(others).all():
        return np.asarray(np.where(flat == 0, 0.0, flat * others).sum(axis=1))
    if len(others) == 1:
        return np.asarray(flat @ others[0])
    return np.asarray(np.einsum("rn,rn->r", flat, others))
