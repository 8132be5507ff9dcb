"""Interval slopes: between which multiples of its inputs' differences the difference of two values of a network lies.

For inputs x of one region and c of another, every operator f has ``f(x) - f(c) = M (x - c)`` with an M between two bounds: the
quotients of its differences, by the mean value theorem where it is smooth. Going backwards through a graph with interval matrix products
gives such bounds for whole networks (Krawczyk and Neumaier, 1985, "Interval slopes for rational functions and associated centered
forms"). With c a single point these are the slopes of DeepQuant's Definition 6; with both regions the same they bound the generalised
Jacobian, and so every Lipschitz constant. All results hold in real arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import Operator
from netassay.verifiers.affine import AffineMap, absolute
from netassay.verifiers.propagation.interval import BoundedGraph, Range, unsupported
from netassay.verifiers.relaxations import curves
from netassay.verifiers.relaxations.curve import Curve
from netassay.verifiers.relaxations.piecewise import Corners
from netassay.verifiers.relaxations.positions import PADDING, Index, gathered
from netassay.verifiers.relaxations.products import product_range, quotient_range
from netassay.verifiers.relaxations.smooth import curve_interval
from netassay.verifiers.relaxations.table import FUNCTIONS, SEVERAL
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma, up

INFLECTION = 1e-12
"""The derivative at a point of inflection is known to within this, relative to 1 and itself: the point is, to within 1e-14."""


def elementwise_slopes(operator: Elementwise, known: Range, center: Range) -> Range:
    """Contains ``(f(x) - f(c)) / (x - c)`` for all real x in ``known`` and c in ``center``; infinite where nothing is known.

    Raises:
        UnsupportedOperatorError: If the operator has no row.
    """
    with np.errstate(all="ignore"):
        if isinstance(operator, nl.Relu):
            return _hinge(known, center)
        if isinstance(operator, nl.Sin | nl.Cos):
            return _wave(operator, _hull(known, center))
        if type(operator) not in FUNCTIONS:
            raise unsupported("", operator.name, [kind.__name__ for kind in FUNCTIONS])
        row = FUNCTIONS[type(operator)](operator)
        if isinstance(row, Corners):
            return _corner_slopes(row, known, center)
        return _curve_slopes(operator, row, known, center)


def _hull(one: Range, other: Range) -> Range:
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _hinge(known: Range, center: Range) -> Range:
    """Of max(t, 0): convex, so least between the lower ends and largest between the upper ones."""
    low, high = _hinge_quotient(known[0], center[0], 0.0), _hinge_quotient(known[1], center[1], 1.0)
    high = np.where((known[1] <= 0) & (center[1] <= 0), 0.0, high)
    return np.minimum(low, high), high


def _hinge_quotient(a: Array, b: Array, side: float) -> Array:
    """``(max(a, 0) - max(b, 0)) / (a - b)`` rounded down (``side`` 0) or up (``side`` 1): no cancellation, the signs differ."""
    top, bottom = np.maximum(a, b), np.minimum(a, b)
    share = top / (top - bottom)
    share = np.minimum(share * (1 + 8 * UNIT) + UNDERFLOW, 1.0) if side else np.maximum(share * (1 - 8 * UNIT) - UNDERFLOW, 0.0)
    found = np.where(bottom >= 0, 1.0, np.where(top <= 0, 0.0, share))
    return np.where(np.isnan(found) | np.isnan(top), side, found)


def _corner_slopes(row: Corners, known: Range, center: Range) -> Range:
    """A piecewise linear f is a line and multiples of hinges; where all lies in one piece, the slope is the piece's own."""
    low, high = np.full_like(known[0], row.slopes[0]), np.full_like(known[0], row.slopes[0])
    for (at, _), (before, after) in zip(row.corners, pairwise(row.slopes), strict=True):
        share = _hinge(_shifted(known, at), _shifted(center, at))
        exact = {before, after} <= {-1.0, 0.0, 1.0}
        step = (np.asarray(after - before),) * 2 if exact else (down(after - before), up(after - before))
        a, b = product_range(step, share)
        low, high = down(low + a), up(high + b)
    left, right = _hull(known, center)
    edges = [-np.inf, *(x for x, _ in row.corners), np.inf]
    met = [(left < end) & (right > begin) | (left == right) & (begin <= left) & (left <= end) for begin, end in pairwise(edges)]
    least = np.min([np.where(m, s, np.inf) for m, s in zip(met, row.slopes, strict=True)], axis=0)
    most = np.max([np.where(m, s, -np.inf) for m, s in zip(met, row.slopes, strict=True)], axis=0)
    lost = np.isnan(left) | np.isnan(right)
    least, most = np.where(lost, min(row.slopes), least), np.where(lost, max(row.slopes), most)
    return np.fmax(low, least), np.fmin(high, most)


def _shifted(known: Range, at: float) -> Range:
    return known if at == 0 else (down(known[0] - at), up(known[1] - at))


def _wave(operator: Elementwise, hull: Range) -> Range:
    if isinstance(operator, nl.Sin):
        return curve_interval(curves.COS, *hull)
    low, high = curve_interval(curves.SIN, *hull)
    return -high, -low


_PEAKED = (nl.Sigmoid, nl.Tanh, nl.Erf)
"""Their derivative rises, then falls, and so do their quotients in each end: least at the ends."""

_BENT = (nl.Exp, nl.Log, nl.Sqrt, nl.Softplus)
"""Their derivative is monotone, and so are their quotients: least and largest at the ends."""


def _curve_slopes(operator: Elementwise, curve: Curve, known: Range, center: Range) -> Range:
    low, high = derivative_range(curve, *_hull(known, center))
    if isinstance(operator, _PEAKED + _BENT):
        least, most = _end_quotients(curve, known, center)
        low = np.fmax(low, least)
        high = np.fmin(high, most) if isinstance(operator, _BENT) else high
    return low, high


def derivative_range(curve: Curve, lower: Array, upper: Array) -> Range:
    """Contains f' on [lower, upper]: it is monotone on each span, so its extremes are at ends of the box and of spans.

    For curves whose spans do not depend on the box.
    """
    low, high = np.full_like(lower, np.inf), np.full_like(lower, -np.inf)
    for x in (lower, upper):
        value = curve.derivative(x)
        error = curve.derivative_error(x, value)
        low, high = np.minimum(low, down(value - error)), np.maximum(high, up(value + error))
    for span in (*curve.convex(lower, upper), *curve.concave(lower, upper)):
        for end in span.inner:
            x = np.broadcast_to(end, lower.shape)
            value = curve.derivative(x)
            error = curve.derivative_error(x, value) + INFLECTION * (1 + np.abs(value))
            met = np.isfinite(x) & (lower <= x + INFLECTION * (1 + np.abs(x))) & (upper >= x - INFLECTION * (1 + np.abs(x)))
            low, high = np.where(met, np.minimum(low, value - error), low), np.where(met, np.maximum(high, value + error), high)
    lost = np.isnan(low) | np.isnan(high) | ~curve.domain(lower, upper)
    return np.where(lost, -np.inf, low), np.where(lost, np.inf, high)


def _end_quotients(curve: Curve, known: Range, center: Range) -> Range:
    """The least and the largest quotient between an end of the one and an end of the other; infinite where they meet."""
    low, high = np.full_like(known[0], np.inf), np.full_like(known[0], -np.inf)
    for x, c in product(known, center):
        one, other = curve_interval(curve, x, x), curve_interval(curve, c, c)
        rise = down(one[0] - other[1]), up(one[1] - other[0])
        a, b = quotient_range(rise, (down(x - c), up(x - c)))
        low, high = np.minimum(low, a), np.maximum(high, b)
    return low, high


Several = tuple[Index, Array, Array]
"""Positions (out, k) in the concatenated inputs, and the least and largest slopes (B, out, k) of each output with respect to them."""


def several_slopes(operator: Operator, known: Sequence[Range], center: Sequence[Range]) -> Several:
    """The same for operators with several inputs per output.

    Raises:
        UnsupportedOperatorError: If the operator has no row.
    """
    if type(operator) not in _SEVERAL:
        raise unsupported("", operator.name, [kind.__name__ for kind in _SEVERAL])
    index = SEVERAL[type(operator)][0](operator, [low.shape[1:] for low, _ in known])
    with np.errstate(all="ignore"):
        ranges = [(gathered([r[0] for r in side], index), gathered([r[1] for r in side], index)) for side in (known, center)]
        low, high = _SEVERAL[type(operator)](index == PADDING, *ranges)
        low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    padded = index == PADDING
    return np.where(padded, 0, index), np.where(padded, 0.0, low), np.where(padded, 0.0, high)


def _product_slopes(_: Array, known: Range, center: Range) -> Range:
    """x y - a b = (y + b) / 2 (x - a) + (x + a) / 2 (y - b)."""
    low, high = down(known[0] / 2 + center[0] / 2), up(known[1] / 2 + center[1] / 2)
    half = low.shape[-1] // 2
    swap = np.r_[half : 2 * half, 0:half]
    return low[..., swap], high[..., swap]


def _quotient_slopes(_: Array, known: Range, center: Range) -> Range:
    """x / y - a / b = 1 / y (x - a) - (a / b) / y (y - b)."""
    below = known[0][..., 1:], known[1][..., 1:]
    one = np.ones_like(below[0])
    first = quotient_range((one, one), below)
    ratio = quotient_range((center[0][..., :1], center[1][..., :1]), (center[0][..., 1:], center[1][..., 1:]))
    second = quotient_range(ratio, below)
    return np.concatenate([first[0], -second[1]], axis=-1), np.concatenate([first[1], -second[0]], axis=-1)


def _maximum_slopes(padded: Array, known: Range, center: Range) -> Range:
    """Weights that add up to 1: all of it where an input is never below the others, nothing where it is always below one."""
    low, high = _hull(known, center)
    low, high = np.where(padded, -np.inf, low), np.where(padded, -np.inf, high)
    sole = np.ones_like(low, dtype=np.bool_) if low.shape[-1] == 1 else low >= _other_most(high)
    never = np.zeros_like(low, dtype=np.bool_) if low.shape[-1] == 1 else high < _other_most(low)
    lost = (np.isnan(low) | np.isnan(high)).any(axis=-1, keepdims=True)
    return np.where(sole & ~lost, 1.0, 0.0), np.where(never & ~lost, 0.0, 1.0)


def _other_most(values: Array) -> Array:
    """For each entry the largest of the others along the last axis."""
    order = np.argsort(values, axis=-1)
    top, second = order[..., -1:], order[..., -2:-1]
    found = np.broadcast_to(np.take_along_axis(values, top, axis=-1), values.shape).copy()
    np.put_along_axis(found, top, np.take_along_axis(values, second, axis=-1), axis=-1)
    return found


def _minimum_slopes(padded: Array, known: Range, center: Range) -> Range:
    return _maximum_slopes(padded, (-known[1], -known[0]), (-center[1], -center[0]))


def _log_sum_exp_slopes(_: Array, known: Range, center: Range) -> Range:
    """The softmax on the hull: 1 / (1 + sum of the others' exponentials), which are least, or largest, at opposite ends."""
    low, high = _hull(known, center)
    return _share(low, high, -1.0), _share(high, low, 1.0)


def _share(own: Array, others: Array, side: float) -> Array:
    """exp(own_i) / (exp(own_i) + sum over j != i of exp(others_j)), rounded down (``side`` -1) or up."""
    size = own.shape[-1]
    parts = [np.exp(np.delete(others, i, axis=-1) - own[..., i : i + 1]).sum(axis=-1) for i in range(size)]
    total = np.stack(parts, axis=-1)
    spread = np.minimum(np.abs(own).max(axis=-1, keepdims=True) + np.abs(others).max(axis=-1, keepdims=True), 1e6)
    error = 16 * UNIT * (size + 16 + 2 * spread)
    total = total * (1 - side * error)
    found = 1 / (1 + total)
    return np.asarray(np.clip(found * (1 + side * 16 * UNIT) + side * UNDERFLOW, 0.0, 1.0))


_SEVERAL: dict[type[Operator], Callable[[Any, Range, Range], Range]] = {
    nl.Mul: _product_slopes,
    nl.MatMul: _product_slopes,
    nl.Div: _quotient_slopes,
    nl.Maximum: _maximum_slopes,
    nl.Minimum: _minimum_slopes,
    nl.MaxPool: _maximum_slopes,
    nl.ReduceMax: _maximum_slopes,
    nl.LogSumExp: _log_sum_exp_slopes,
}
"""Operators with several inputs per output."""


class SlopeMatrices:
    """Slopes of a graph's outputs with respect to its inputs, as interval matrices.

    Args:
        bounded: The graph.
        known: Ranges (B, *shape) of every value over B regions.
        center: Ranges (B or 1, *shape) of every value over the regions of c; the same object as ``known`` for Jacobians.
    """

    def __init__(self, bounded: BoundedGraph, known: Sequence[Range], center: Sequence[Range]) -> None:
        self._bounded, self._known, self._count = bounded, known, len(known[0][0])
        self._center = [(np.broadcast_to(a, k[0].shape), np.broadcast_to(b, k[0].shape)) for (a, b), k in zip(center, known, strict=True)]
        self._absolute = [None if m is None or not m.shapes else AffineMap(absolute(m.operator), m.shapes) for m in bounded.maps]

    def of_output(self) -> Range:
        """(B, m, *input shape): the least and the largest slope of each output; infinite where nothing is known."""
        graph = self._bounded.graph
        rows = graph.output_size
        middle = np.tile(np.eye(rows), (self._count, 1))
        pending = {self._bounded.output: (middle, np.zeros_like(middle))}
        with np.errstate(all="ignore"):
            for position in reversed(range(len(graph.nodes))):
                given = pending.pop(position + 1, None)
                if given is None:
                    continue
                for value, part in zip(graph.nodes[position].inputs, self._through(position, *given, rows), strict=True):
                    pending[value] = _sum(pending[value], part) if value in pending else part
            shape = (self._count, rows, *graph.input_shape)
            if 0 not in pending:
                return np.zeros(shape), np.zeros(shape)
            middle, radius = pending[0]
            return down(middle - radius).reshape(shape), up(middle + radius).reshape(shape)

    def _through(self, position: int, middle: Array, radius: Array, rows: int) -> list[Range]:
        """Middle and radius of the coefficients of each input of a node, from those (B * rows, *shape) of its result."""
        node, affine, magnitudes = self._bounded.graph.nodes[position], self._bounded.maps[position], self._absolute[position]
        if affine is not None:
            if magnitudes is None:
                return []
            slack = 2 * gamma(affine.terms)
            spread = magnitudes.adjoint(radius + slack * np.abs(middle))
            return [_checked(m, s * (1 + 2 * slack) + UNDERFLOW) for m, s in zip(affine.adjoint(middle), spread, strict=True)]
        if isinstance(node.operator, Elementwise):
            source = node.inputs[0]
            slopes = elementwise_slopes(node.operator, self._known[source], self._center[source])
            return [_middle(*product_range(_ends(middle, radius), _per_row(slopes, rows)))]
        return self._through_several(position, middle, radius, rows)

    def _through_several(self, position: int, middle: Array, radius: Array, rows: int) -> list[Range]:
        node = self._bounded.graph.nodes[position]
        index, *slopes = several_slopes(node.operator, [self._known[i] for i in node.inputs], [self._center[i] for i in node.inputs])
        low, high = (side.reshape(len(middle), -1, 1) for side in _ends(middle, radius))
        parts = product_range((low, high), _per_row((slopes[0], slopes[1]), rows))
        shapes = [self._bounded.graph.shapes[i] for i in node.inputs]
        ends = np.cumsum([int(np.prod(s)) for s in shapes])
        total = [_scattered(side, index, int(ends[-1])) for side in parts]
        slack = 2 * gamma(index.size) * _scattered(np.maximum(np.abs(parts[0]), np.abs(parts[1])), index, int(ends[-1]))
        found = _middle(down(total[0] - slack), up(total[1] + slack))
        split = [np.split(side, ends[:-1], axis=1) for side in found]
        return [(m.reshape(-1, *s), r.reshape(-1, *s)) for m, r, s in zip(*split, shapes, strict=True)]


def _per_row(slopes: Range, rows: int) -> Range:
    return np.repeat(slopes[0], rows, axis=0), np.repeat(slopes[1], rows, axis=0)


def _ends(middle: Array, radius: Array) -> Range:
    exact = radius == 0
    return np.where(exact, middle, down(middle - radius)), np.where(exact, middle, up(middle + radius))


def _middle(low: Array, high: Array) -> Range:
    middle = low / 2 + high / 2
    radius = np.where(low == high, 0.0, up(np.maximum(high - middle, middle - low)))
    return _checked(np.where(low == high, low, middle), radius)


def _checked(middle: Array, radius: Array) -> Range:
    """Nothing is known where magnitudes are too large for the error bounds, or not numbers."""
    known = np.abs(middle) + radius < LARGEST
    return np.where(known, middle, 0.0), np.where(known, radius, np.inf)


def _sum(one: Range, other: Range) -> Range:
    middle = one[0] + other[0]
    return _checked(middle, up((one[1] + other[1]) * (1 + 2 * UNIT) + UNIT * np.abs(middle)))


def _scattered(parts: Array, index: Index, size: int) -> Array:
    """(rows, size): the sums of parts (rows, out, k) that fall on each position."""
    place = np.arange(len(parts))[:, None] * size + index.reshape(1, -1)
    total = np.bincount(place.reshape(-1), weights=parts.reshape(-1), minlength=len(parts) * size)
    return np.asarray(total.reshape(len(parts), size), dtype=np.float64)
