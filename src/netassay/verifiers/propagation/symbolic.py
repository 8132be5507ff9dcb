"""Symbolic intervals with linear relaxation (ReluVal and Neurify, Wang et al. 2018; the target-label paper, sections 2.3 and 2.4).

Every value lies between two linear equations over the inputs, which are carried forward. Affine maps take each equation's
coefficients to the equation of the sign they need: with ``mean`` and ``half`` for half the sum and half the difference of both
equations, ``W+ low + W- high = W mean - |W| half``. A nonlinear operator takes lines below and above it over what the equations reach.
Equations are kept in the noise symbols of the input, and rounding in an error of its own, so that bounds hold in real arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.graph import Graph
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import Operator
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.forward import forward
from netassay.verifiers.propagation.interval import BoundedGraph, Range, bounded_graph, intersect
from netassay.verifiers.propagation.noise import Noise, linear_map, times
from netassay.verifiers.propagation.zonotope import BYTES, best_of_parts, rows_of_claim
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import Lines, interval, lines, planes
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma, up

_RISING = (nl.Relu, nl.Sigmoid, nl.Tanh, nl.Exp, nl.Softplus, nl.Erf, nl.Clip)
"""Functions that never fall: what bounds the input bounds the output, so each equation is relaxed over its own range."""


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """Linear forms of the symbols, one per number of a value: ``constant + sum_j coefficients_j * eps_j``.

    Args:
        coefficients: (B, k, *shape).
        constant: (B, *shape).
        size: (B, *shape) at least the sum of the coefficients' magnitudes, where it is known already.
    """

    coefficients: Array
    constant: Array
    size: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Symbolic:
    """``low - error <= y <= high + error``, number by number.

    Args:
        low, high: The two equations; the same object where they coincide.
        error: (B, *shape), not negative; infinite where nothing is known.
        magnitude: (B, *shape) at least what either equation or y can reach in magnitude, up to a few roundings.
    """

    low: Equation
    high: Equation
    error: Array
    magnitude: Array


class SymbolicIntervals:
    """The symbolic intervals of a graph's values over B regions.

    Args:
        bounded: The graph.
        regions: The regions.
        known: Ranges (B, *shape) of some values that hold for the points that count (of a split neuron).
        kept: Values whose symbolic intervals are kept, beside the output's.
    """

    def __init__(
        self, bounded: BoundedGraph, regions: Regions, known: Mapping[int, Range] | None = None, kept: frozenset[int] = frozenset()
    ) -> None:
        self.bounded, self.regions, self.noise = bounded, regions, Noise(regions)
        self.ranges: list[Range] = [(regions.lower, regions.upper)]
        """Ranges (B, *shape) of the values so far."""
        self.values: dict[int, Symbolic] = {0: self._input()}
        """The symbolic intervals that are still needed, or kept."""
        self.empty = np.zeros(len(regions), dtype=np.bool_)
        """(B,) regions whose known ranges contradict the equations: no point of them counts."""
        self._known, self._kept = known or {}, kept

    def run(self) -> Symbolic:
        """The output's symbolic interval."""
        return forward(self, self._kept)

    def range_of(self, value: Symbolic) -> Range:
        """(B, *shape) the least of the lower and the largest of the upper equation over the regions, rounded outwards."""
        with np.errstate(all="ignore"):
            return down(self._least(value.low) - value.error), up(self._most(value.high) + value.error)

    def through(self, affine: AffineMap, inputs: Sequence[Symbolic]) -> Symbolic:
        """The image under an affine map."""
        with np.errstate(all="ignore"):
            linear = linear_map(affine)
            magnitude = affine.magnitude([v.magnitude for v in inputs])
            error = linear.magnitude([v.error for v in inputs]) + 8 * gamma(affine.terms) * magnitude + UNDERFLOW
            if all(v.low is v.high for v in inputs):
                constant = self._broadcast(affine([v.low.constant for v in inputs]))
                low = high = Equation(self._image([v.low.coefficients for v in inputs], linear), constant)
            else:
                low, high = self._both_sides(affine, linear, inputs)
            return _checked(low, high, self._broadcast(error))

    def _both_sides(self, affine: AffineMap, linear: AffineMap, inputs: Sequence[Symbolic]) -> tuple[Equation, Equation]:
        """``W+ low + W- high`` and ``W+ high + W- low``."""
        mean = self._image([v.low.coefficients + v.high.coefficients for v in inputs], linear)
        half = self._image([v.high.coefficients - v.low.coefficients for v in inputs], linear, magnitudes=True)
        mean *= 0.5
        half *= 0.5
        middle = self._broadcast(affine([v.low.constant / 2 + v.high.constant / 2 for v in inputs]))
        radius = self._broadcast(linear.magnitude([v.high.constant / 2 - v.low.constant / 2 for v in inputs]))
        low = Equation(mean - half, middle - radius)
        mean += half
        return low, Equation(mean, middle + radius)

    def affine(self, affine: AffineMap, values: Sequence[int]) -> Symbolic:
        """The image of values under an affine map."""
        return self._of_input(affine) if tuple(values) == (0,) else self.through(affine, [self.given(i) for i in values])

    def _of_input(self, affine: AffineMap) -> Symbolic:
        """The image of the input: of a dense layer without any product of matrices."""
        if not isinstance(affine.operator, op.Dense) or len(self.regions.shape) != 1:
            return self.through(affine, [self.given(0)])
        given = self.values[0]
        linear = linear_map(affine)
        magnitude = affine.magnitude([given.magnitude])
        error = linear.magnitude([given.error]) + 8 * gamma(affine.terms) * magnitude + UNDERFLOW
        same = Equation(self.noise.through_dense(self.noise.radius, affine.operator), affine([given.low.constant]))
        return _checked(same, same, error)

    def _broadcast(self, x: Array) -> Array:
        return x if len(x) == len(self.regions) else np.broadcast_to(x, (len(self.regions), *x.shape[1:]))

    def _input(self) -> Symbolic:
        """The input; its coefficients, a diagonal, are made when they are needed."""
        shape, noise = (len(self.regions), *self.regions.shape), self.noise
        middle, radius, unknown = (x.reshape(shape) for x in (noise.middle, noise.radius, noise.unknown))
        same = Equation(np.zeros((len(self.regions), 0, *self.regions.shape)), middle)
        return Symbolic(same, same, unknown, np.abs(middle) + radius + unknown)

    def given(self, value: int) -> Symbolic:
        """A value with all its coefficients."""
        found = self.values[value]
        if value > 0:
            return found
        same = Equation(self.noise.diagonal(self.noise.radius.reshape(found.error.shape)), found.low.constant)
        return Symbolic(same, same, found.error, found.magnitude)

    def keep(self, value: int, found: Symbolic) -> None:
        """Keeps a value; its range is the better of its equations' and of interval arithmetic, cut by what is known."""
        low, high = (self._broadcast(side) for side in self.bounded.range_of(value, self.ranges))
        if value in self.bounded.relaxed:
            low, high = intersect((low, high), self.range_of(found))
        if value in self._known:
            low, high = intersect((low, high), self._known[value])
        crossed = low > high
        self.empty |= crossed.reshape(len(crossed), -1).any(axis=1)
        self.ranges.append((np.minimum(low, high), np.maximum(low, high)))
        self.values[value] = found

    def _least(self, equation: Equation) -> Array:
        """(B, *shape) at most the equation."""
        least = self.noise.least(equation.coefficients, equation.size)
        return down(equation.constant + least - 4 * UNIT * (np.abs(equation.constant) + np.abs(least)))

    def _most(self, equation: Equation) -> Array:
        if self.regions.ball is None:
            most = -self.noise.least(equation.coefficients, equation.size)
        else:
            most = -self.noise.least(-equation.coefficients, equation.size)
        return up(equation.constant + most + 4 * UNIT * (np.abs(equation.constant) + np.abs(most)))

    def _image(self, parts: list[Array], linear: AffineMap, *, magnitudes: bool = False) -> Array:
        """Coefficients (B, k, *shape) through the map, or through the map of its magnitudes."""
        count, symbols = len(self.regions), len(self.noise)
        if not parts:
            return np.zeros((count, symbols, *linear.output_shape))
        flat = [p.reshape(count * symbols, *p.shape[2:]) for p in parts]
        image = linear.magnitude(flat) if magnitudes else linear(flat)
        return image.reshape(count, symbols, *linear.output_shape)

    def elementwise(self, operator: Elementwise, given: Symbolic, known: Range) -> Symbolic:
        """Lines below and above: over each equation's own range where the function never falls, else over the whole range."""
        if isinstance(operator, _RISING):
            floor, ceiling = self._own_lines(operator, given, known)
            low = _scaled(given.low, floor.lower_slope, floor.lower_offset)
            high = _scaled(given.high, ceiling.upper_slope, ceiling.upper_offset)
        else:
            floor = ceiling = lines(operator, *known)
            low = _chosen(given, floor.lower_slope, floor.lower_offset)
            high = _chosen(_swapped(given), ceiling.upper_slope, ceiling.upper_offset)
        slope = np.maximum(np.abs(floor.lower_slope), np.abs(ceiling.upper_slope))
        offset = np.maximum(np.abs(floor.lower_offset), np.abs(ceiling.upper_offset))
        return _relaxed(low, high, times(slope, given.error), times(slope, given.magnitude) + offset)

    def _own_lines(self, operator: Elementwise, given: Symbolic, known: Range) -> tuple[Lines, Lines]:
        """Lines below f over what the lower equation reaches, and above f over what the upper equation reaches.

        For x between the equations (and their error) and a rising f, ``f(x) <= f(t)`` with t the upper equation plus the error. Where
        x is known to be at most u, ``f(x) <= f(min(t, u))``; a line above f up to u that rises is above that too. As t >= x, t is also
        at least what x is. The lower side likewise.
        """
        (least, most), error = known, given.error
        begin = np.minimum(np.maximum(down(self._least(given.high) + error), least), most)
        end = np.maximum(np.minimum(up(self._most(given.high) + error), most), begin)
        ceiling = _rising(operator, begin, end)
        end = np.maximum(np.minimum(up(self._most(given.low) - error), most), least)
        begin = np.minimum(np.maximum(down(self._least(given.low) - error), least), end)
        return _rising(operator, begin, end), ceiling

    def several(self, operator: Operator, inputs: Sequence[Symbolic], known: Sequence[Range]) -> Symbolic:
        """Planes below and above."""
        found = planes(operator, [low for low, _ in known], [high for _, high in known])
        joined = Symbolic(
            _joined([v.low for v in inputs]),
            _joined([v.high for v in inputs]),
            _flat([v.error for v in inputs]),
            _flat([v.magnitude for v in inputs]),
        )
        low = _gathered(joined, found.index, found.lower_slopes, found.lower_offset)
        high = _gathered(_swapped(joined), found.index, found.upper_slopes, found.upper_offset)
        slopes = np.maximum(np.abs(found.lower_slopes), np.abs(found.upper_slopes))
        offset = np.maximum(np.abs(found.lower_offset), np.abs(found.upper_offset))
        size = (found.index.shape[1] + 1) * (times(slopes, joined.magnitude[:, found.index]).sum(axis=2) + offset)
        error = times(slopes, joined.error[:, found.index]).sum(axis=2)
        shape = operator.output_shape(*(v.error.shape[1:] for v in inputs))
        return _relaxed(_shaped(low, shape), _shaped(high, shape), error.reshape(-1, *shape), size.reshape(-1, *shape))


def _measured(equation: Equation) -> Equation:
    size = np.abs(equation.coefficients).sum(axis=1) * (1 + 2 * gamma(equation.coefficients.shape[1]))
    return Equation(equation.coefficients, equation.constant, size)


def _sum(one: Equation, other: Equation) -> Equation:
    return Equation(one.coefficients + other.coefficients, one.constant + other.constant)


def _swapped(value: Symbolic) -> Symbolic:
    return Symbolic(value.high, value.low, value.error, value.magnitude)


def _scaled(equation: Equation, slope: Array, offset: Array) -> Equation:
    return Equation(slope[:, None] * equation.coefficients, slope * equation.constant + offset)


def _shaped(equation: Equation, shape: tuple[int, ...]) -> Equation:
    count, symbols = equation.coefficients.shape[:2]
    return Equation(equation.coefficients.reshape(count, symbols, *shape), equation.constant.reshape(count, *shape))


def _chosen(value: Symbolic, slope: Array, offset: Array) -> Equation:
    """``slope * y + offset`` from below: by the lower equation where the slope is positive, else by the upper one."""
    rising, falling = np.maximum(slope, 0), np.minimum(slope, 0)
    low = _scaled(value.low, rising, offset)
    return low if not falling.any() else _sum(low, _scaled(value.high, falling, np.zeros_like(offset)))


def _flat(parts: list[Array]) -> Array:
    return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)


def _joined(equations: list[Equation]) -> Equation:
    """The equations of several values as those of one flat value."""
    coefficients = [e.coefficients.reshape(*e.coefficients.shape[:2], e.constant[0].size) for e in equations]
    return Equation(np.concatenate(coefficients, axis=2), _flat([e.constant for e in equations]))


def _gathered(value: Symbolic, index: Positions, slopes: Array, offset: Array) -> Equation:
    """``sum_k slopes[k] * y[index[k]] + offset`` from below."""
    count, symbols = value.low.coefficients.shape[:2]
    coefficients, constant = np.zeros((count, symbols, len(index))), np.array(offset)
    for weights, equation in ((np.maximum(slopes, 0), value.low), (np.minimum(slopes, 0), value.high)):
        for k in range(index.shape[1]):
            if weights[:, :, k].any():
                coefficients += weights[:, None, :, k] * equation.coefficients[:, :, index[:, k]]
                constant += weights[:, :, k] * equation.constant[:, index[:, k]]
    return Equation(coefficients, constant)


def _rising(operator: Elementwise, lower: Array, upper: Array) -> Lines:
    """Lines that do not fall; constants where one would."""
    found = lines(operator, lower, upper)
    below, above = found.lower_slope >= 0, found.upper_slope >= 0
    if below.all() and above.all():
        return found
    low, high = interval(operator, [lower], [upper])
    return Lines(
        np.where(below, found.lower_slope, 0.0),
        np.where(below, found.lower_offset, low),
        np.where(above, found.upper_slope, 0.0),
        np.where(above, found.upper_offset, high),
    )


def _relaxed(low: Equation, high: Equation, error: Array, size: Array) -> Symbolic:
    """Equations after a relaxation; ``size`` bounds what was rounded."""
    return _checked(low, high, error * (1 + 8 * UNIT) + 16 * UNIT * size + UNDERFLOW)


def _checked(low: Equation, high: Equation, error: Array) -> Symbolic:
    """The symbolic interval, without any knowledge where magnitudes are too large for the error bounds."""
    sides = [_measured(low)]
    sides.append(sides[0] if low is high else _measured(high))
    low, high = sides
    size: Array = np.maximum.reduce([np.abs(e.constant) + e.size for e in sides]) + error
    lost = ~(size < LARGEST)
    if lost.any():
        low, high = (_measured(Equation(np.where(lost[:, None], 0.0, e.coefficients), np.where(lost, 0.0, e.constant))) for e in sides)
        error = np.where(lost, np.inf, error)
    return Symbolic(low, high, error, np.where(lost, np.inf, size))


def symbolic_bounds(claim: Claim, regions: Regions) -> Array:
    """(parts, B) each part's bound: the rows applied to the output's equations, so that what outputs share cancels."""
    bounded, rows = bounded_graph(claim.graph), rows_of_claim(claim)
    found = []
    for block in _blocks(bounded, regions):
        symbolic = SymbolicIntervals(bounded, block)
        low, _ = symbolic.range_of(symbolic.through(rows, [symbolic.run()]))
        found.append(best_of_parts(claim, low))
    return np.concatenate(found, axis=1)


def label_ranges(graph: Graph, regions: Regions) -> Range:
    """The range (B, m) of every output, as the target-label paper ranks labels by (section 3.1)."""
    bounded = bounded_graph(graph)
    found = [output_range(SymbolicIntervals(bounded, block)) for block in _blocks(bounded, regions)]
    return np.concatenate([low for low, _ in found]), np.concatenate([high for _, high in found])


def output_range(symbolic: SymbolicIntervals) -> Range:
    """The range (B, m) of the output: by its equations or by interval arithmetic, whichever is better."""
    output = symbolic.run() if len(symbolic.ranges) == 1 else symbolic.values[symbolic.bounded.output]
    return intersect(symbolic.range_of(output), symbolic.ranges[-1])


def _blocks(bounded: BoundedGraph, regions: Regions) -> list[Regions]:
    """The regions in blocks that ``BYTES`` allow."""
    each = 4 * 8 * max(prod(s) for s in bounded.graph.shapes) * prod(bounded.graph.input_shape)
    step = max(1, BYTES // max(each, 1))
    return [regions.take(np.arange(begin, min(begin + step, len(regions)))) for begin in range(0, len(regions), step)]
