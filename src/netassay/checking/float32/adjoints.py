"""Sensitivities pushed back through operators: coefficients with a radius, ``center - radius <= A <= center + radius``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from netassay.checking.float32.linear import cells, kernel_cell
from netassay.checking.float32.values import SMALLEST, Array
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.operators import Operator, Shape


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """Intervals of coefficients (B, R, *shape): of R numbers with respect to a value of that shape."""

    center: Array
    radius: Array

    def plus(self, other: Sensitivity | None) -> Sensitivity:
        """The sum."""
        return self if other is None else _widened(self.center + other.center, self.radius + other.radius, 1)

    @property
    def size(self) -> Array:
        """Largest magnitudes."""
        return np.asarray((np.abs(self.center) + self.radius) * (1 + 2.0**-50))


def _widened(center: Array, radius: Array, terms: int) -> Sensitivity:
    return Sensitivity(center, (radius + np.abs(center) * 2.0**-51) * (1 + (terms + 8) * 2.0**-51) + SMALLEST)


Linear = Callable[[Array, bool], Array]
"""The adjoint of an affine operator's linear part, on (B, R, *output shape); with True, of its magnitudes."""


def _through(run: Linear, given: Sensitivity, terms: int) -> Sensitivity:
    own = (terms + 16) * 2.0**-51
    center = run(given.center, False)
    return _widened(center, run(given.radius + own * np.abs(given.center), True), terms)


Range = tuple[Array, Array]
Adjoint = Callable[[Any, Sensitivity, Sequence[Shape], Sequence[Range]], list[Sensitivity] | None]
"""Operator, sensitivity to its result, its inputs' shapes and the ranges (B, *shape) that all evaluations of them keep to.

The sensitivities to its inputs; None where they do not pass."""


def _dense(o: op.Dense, given: Sensitivity, _shapes: Sequence[Shape], _ranges: Sequence[Range]) -> list[Sensitivity]:
    weight = np.asarray(o.weight, dtype=np.float64)
    return [_through(lambda a, absolute: a @ (np.abs(weight) if absolute else weight), given, len(weight))]


def _scaled(factor: Callable[[Any], Array]) -> Adjoint:
    def run(o: Any, given: Sensitivity, shapes: Sequence[Shape], _: Sequence[Range]) -> list[Sensitivity] | None:
        by = factor(o)
        if by.ndim == 1 and isinstance(o, op.ChannelAffine):
            by = by.reshape(-1, *(1,) * (len(shapes[0]) - 1))
        if np.broadcast_shapes(by.shape, shapes[0]) != shapes[0]:
            return None
        return [_through(lambda a, absolute: a * (np.abs(by) if absolute else by), given, 1)]

    return run


def _convolution(o: op.Convolution, given: Sensitivity, shapes: Sequence[Shape], _: Sequence[Range]) -> list[Sensitivity]:
    weight = np.asarray(o.weight, dtype=np.float64)
    kernel, spatial, groups = weight.shape[2:], shapes[0][1:], o.groups
    padded = tuple(n + b + e for n, b, e in zip(spatial, o.begins, o.ends, strict=True))

    def run(a: Array, absolute: bool) -> Array:
        lead, counts = a.shape[:2], a.shape[3:]
        rows = a.reshape(prod(lead), groups, weight.shape[0] // groups, -1)
        total = np.zeros((prod(lead), shapes[0][0], *padded))
        for offsets in product(*map(range, kernel)):
            matrix = kernel_cell(np.abs(weight) if absolute else weight, offsets).reshape(groups, -1, weight.shape[1])
            part = (np.swapaxes(matrix, 1, 2) @ rows).reshape(prod(lead), -1, *counts)
            total[cells(offsets, counts, o.strides, o.dilations)] += part
        inner = (slice(b, b + n) for b, n in zip(o.begins, spatial, strict=True))
        return total[(slice(None), slice(None), *inner)].reshape(*lead, *shapes[0])

    return [_through(run, given, prod(kernel) * weight.shape[0])]


def _average_pool(o: op.AveragePool, given: Sensitivity, shapes: Sequence[Shape], ranges: Sequence[Range]) -> list[Sensitivity]:
    ones = np.ones((shapes[0][0], 1, *o.kernel))
    sums = op.Convolution(ones, np.zeros(len(ones)), o.strides, o.begins, o.ends, (1,) * len(o.kernel), len(ones))
    divided = _through(lambda a, _: a / np.asarray(o.divisor, dtype=np.float64), given, 1)
    return _convolution(sums, divided, shapes, ranges)


def _moved(back: Callable[[Any, Array, Shape], Array]) -> Adjoint:
    return lambda o, given, shapes, _: [Sensitivity(back(o, given.center, shapes[0]), back(o, given.radius, shapes[0]))]


def _transposed(o: op.Transpose, a: Array, _: Shape) -> Array:
    return a.transpose(0, 1, *(int(i) + 2 for i in np.argsort(o.axes)))


def _repeated(o: op.Sum | op.Mean, a: Array, shape: Shape) -> Array:
    kept = tuple(1 if i in o.axes else n for i, n in enumerate(shape))
    return np.broadcast_to(a.reshape(*a.shape[:2], *kept), (*a.shape[:2], *shape))


def _mean(o: op.Mean, given: Sensitivity, shapes: Sequence[Shape], _: Sequence[Range]) -> list[Sensitivity]:
    count = prod(shapes[0][i] for i in o.axes)
    return [_through(lambda a, _absolute: _repeated(o, a, shapes[0]) / count, given, 1)]


def _pair(sign: float) -> Adjoint:
    def run(_: Operator, given: Sensitivity, shapes: Sequence[Shape], _ranges: Sequence[Range]) -> list[Sensitivity] | None:
        if shapes[0] != shapes[1]:
            return None
        return [given, Sensitivity(sign * given.center, given.radius)]

    return run


def _sloped(slopes: Callable[[Any, Array, Array], Range]) -> Adjoint:
    def run(o: Operator, given: Sensitivity, _: Sequence[Shape], ranges: Sequence[Range]) -> list[Sensitivity]:
        least, most = slopes(o, *ranges[0])
        middle, spread = (least / 2 + most / 2)[:, None], ((most - least) / 2 * (1 + 2.0**-50))[:, None]
        center = given.center * middle
        return [_widened(center, np.abs(given.center) * spread + given.radius * (np.abs(middle) + spread), 4)]

    return run


def _relu(_: nl.Relu, low: Array, high: Array) -> Range:
    return np.where(low >= 0, 1.0, 0.0), np.where(high > 0, 1.0, 0.0)


def _leaky_relu(o: nl.LeakyRelu, low: Array, high: Array) -> Range:
    least, most = sorted((1.0, float(o.slope)))
    first, last = np.where(low >= 0, 1.0, o.slope), np.where(high > 0, 1.0, o.slope)
    return np.where(first == last, first, least), np.where(first == last, first, most)


def _falling_from_zero(slope: Callable[[Array], Array]) -> Callable[[Any, Array, Array], Range]:
    def run(_: Operator, low: Array, high: Array) -> Range:
        nearest = np.maximum(np.maximum(low, -high), 0.0)
        farthest = np.maximum(np.abs(low), np.abs(high))
        return slope(farthest) * (1 - 2.0**-40), slope(nearest) * (1 + 2.0**-40)

    return run


def _logistic(z: Array) -> Array:
    fallen = np.exp(-z)
    return np.asarray(fallen / (1 + fallen) ** 2)


def _tanh(z: Array) -> Array:
    fallen = np.exp(-2 * z)
    return np.asarray(4 * fallen / (1 + fallen) ** 2)


ADJOINTS: dict[type[Operator], Adjoint] = {
    op.Dense: _dense,
    op.Convolution: _convolution,
    op.AveragePool: _average_pool,
    op.AddConstant: _scaled(lambda o: np.ones(np.shape(o.value))),
    op.MulConstant: _scaled(lambda o: np.asarray(o.value, dtype=np.float64)),
    op.DivConstant: _scaled(lambda o: 1 / np.asarray(o.value, dtype=np.float64)),
    op.ChannelAffine: _scaled(lambda o: np.asarray(o.scale, dtype=np.float64)),
    op.Reshape: _moved(lambda _, a, shape: a.reshape(*a.shape[:2], *shape)),
    op.Transpose: _moved(_transposed),
    op.Sum: _moved(_repeated),
    op.Mean: _mean,
    op.Add: _pair(1.0),
    op.Sub: _pair(-1.0),
    nl.Relu: _sloped(_relu),
    nl.LeakyRelu: _sloped(_leaky_relu),
    nl.Sigmoid: _sloped(_falling_from_zero(_logistic)),
    nl.Tanh: _sloped(_falling_from_zero(_tanh)),
}
"""Operators that sensitivities pass through; at any other, the error of its result is taken as a whole."""
