"""Affine operators: moves, sums and products with constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from netassay.checking.float32.pairs import add, divide, multiply, negative
from netassay.checking.float32.values import SMALLEST, Array, Rounding, Values, constant, settled
from netassay.models import operators as op
from netassay.models.operators import Operator, Shape

Rule = Callable[[Any, Sequence[Values], Rounding], Values]
Contraction = Callable[[Array, Array], Array]
"""(weight, x): sums of products, linear in both; x has the batch axis first."""


def contracted(rounding: Rounding, x: Values, weight: Array, bias: Array, terms: int, run: Contraction) -> Values:
    """``run(weight, x) + bias``, each a sum of at most ``terms`` products and a number of ``bias``, left open.

    Args:
        rounding: The arithmetic.
        x: (B, *input shape).
        weight: As ``run`` takes it.
        bias: Broadcast against the result without its batch axis.
        terms: Most products in one sum.
        run: The sums.
    """
    lost = np.isinf(x.error).reshape(len(x.low), -1).any(axis=1)
    with np.errstate(all="ignore"):
        size, middle = np.abs(weight), x.low / 2 + x.high / 2
        radius = np.where(x.low == x.high, 0.0, np.nextafter(np.maximum(x.high - middle, middle - x.low), np.inf))
        error = np.where(np.isinf(x.error), 0.0, x.error) + rounding.tiny
        computed = np.abs(middle) + radius + error
        real, mass = run(weight, middle) + bias, run(size, computed) + np.abs(bias)
        own = (terms + 16) * 2.0**-50
        spread = run(size, radius) + own * mass + SMALLEST
        moved = run(rounding.of_constant(weight), computed) + rounding.of_constant(bias)
        inherited = (run(size, error) + moved) * (1 + own) + (4 * terms + 8) * rounding.tiny + SMALLEST
        inherited[lost] = np.inf
        mass = mass * (1 + own)
    return settled(rounding, real - spread, real + spread, inherited, mass, open_=(mass, terms + 4))


def dense(rounding: Rounding, x: Values, weight: Array, bias: Array) -> Values:
    """x @ weight.T + bias on the last axis."""
    return contracted(rounding, x, weight, bias, weight.shape[1], lambda w, v: v @ w.T)


def _dense(o: op.Dense, x: Sequence[Values], rounding: Rounding) -> Values:
    return dense(rounding, x[0], _float64(o.weight), _float64(o.bias))


def cells(offsets: Shape, counts: Shape, strides: Shape, dilations: Shape) -> tuple[slice, ...]:
    """Where one cell of all windows lies in (B, c, *spatial)."""
    rows = zip(offsets, counts, strides, dilations, strict=True)
    return _whole(*(slice(k * d, k * d + (n - 1) * s + 1, s) for k, n, s, d in rows))


def _whole(*spatial: slice) -> tuple[slice, ...]:
    return (slice(None), slice(None), *spatial)


def kernel_cell(weight: Array, offsets: Shape) -> Array:
    """(first axis, second axis) of a kernel's cell."""
    return np.asarray(np.moveaxis(weight, (0, 1), (-2, -1))[offsets])


def windows(groups: int, strides: Shape, begins: Shape, ends: Shape, dilations: Shape) -> Contraction:
    """Cross-correlation of (B, c, *spatial) with weights (m, c / groups, *kernel), one cell of the kernel at a time."""

    def run(weight: Array, x: Array) -> Array:
        padded = np.pad(x, ((0, 0), (0, 0), *zip(begins, ends, strict=True)))
        kernel, batch = weight.shape[2:], len(x)
        counts = op.window_counts(x.shape[2:], kernel, strides, begins, ends, dilations)
        total = np.zeros((batch, groups, weight.shape[0] // groups, prod(counts)))
        for offsets in product(*map(range, kernel)):
            part = padded[cells(offsets, counts, strides, dilations)]
            matrix = kernel_cell(weight, offsets).reshape(groups, -1, weight.shape[1])
            total += matrix @ part.reshape(batch, groups, weight.shape[1], -1)
        return total.reshape(batch, weight.shape[0], *counts)

    return run


def _convolution(o: op.Convolution, x: Sequence[Values], rounding: Rounding) -> Values:
    weight = _float64(o.weight)
    run = windows(o.groups, o.strides, o.begins, o.ends, o.dilations)
    return contracted(rounding, x[0], weight, _per_channel(o.bias, weight.ndim - 1), prod(weight.shape[1:]), run)


def _transposed(o: op.TransposedConvolution, x: Sequence[Values], rounding: Rounding) -> Values:
    def run(weight: Array, values: Array) -> Array:
        batch, spatial, kernel, groups = len(values), values.shape[2:], weight.shape[2:], o.groups
        channels, full = weight.shape[0] // groups, [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in _axes(spatial, kernel)]
        total = np.zeros((batch, weight.shape[1] * groups, *(f + e for f, e in zip(full, o.extra, strict=True))))
        rows = values.reshape(batch, groups, channels, -1)
        for offsets in product(*map(range, kernel)):
            matrix = kernel_cell(weight, offsets).reshape(groups, channels, -1)
            part = (np.swapaxes(matrix, 1, 2) @ rows).reshape(batch, -1, *spatial)
            total[cells(offsets, spatial, o.strides, o.dilations)] += part
        kept = tuple(slice(b, n - e) for b, e, n in zip(o.begins, o.ends, total.shape[2:], strict=True))
        return total[_whole(*kept)]

    def _axes(spatial: Shape, kernel: Shape) -> list[tuple[int, int, int, int]]:
        return list(zip(spatial, o.strides, o.dilations, kernel, strict=True))

    weight = _float64(o.weight)
    terms = weight.shape[0] * prod(weight.shape[2:])
    return contracted(rounding, x[0], weight, _per_channel(o.bias, weight.ndim - 1), terms, run)


def _average_pool(o: op.AveragePool, x: Sequence[Values], rounding: Rounding) -> Values:
    channels = x[0].low.shape[1]
    ones = np.ones((channels, 1, *o.kernel))
    run = windows(channels, o.strides, o.begins, o.ends, (1,) * len(o.kernel))
    total = contracted(rounding, x[0], ones, np.zeros(()), prod(o.kernel), run)
    return divide(total, constant(rounding, o.divisor), rounding)


def _sum(o: op.Sum | op.Mean, x: Sequence[Values], rounding: Rounding) -> Values:
    axes, keep = tuple(a + 1 for a in o.axes), o.keep
    terms = prod(x[0].low.shape[a] for a in axes)
    return contracted(rounding, x[0], np.ones(()), np.zeros(()), terms, lambda w, v: np.asarray(w * v.sum(axis=axes, keepdims=keep)))


def _mean(o: op.Mean, x: Sequence[Values], rounding: Rounding) -> Values:
    count = prod(x[0].low.shape[a + 1] for a in o.axes)
    return divide(_sum(o, x, rounding), constant(rounding, float(count)), rounding)


def _channel_affine(o: op.ChannelAffine, x: Sequence[Values], rounding: Rounding) -> Values:
    scale, shift = (_per_channel(a, x[0].low.ndim - 1) for a in (o.scale, o.shift))
    return add(multiply(x[0], constant(rounding, scale), rounding), constant(rounding, shift), rounding)


def _pad(o: op.Pad, x: Sequence[Values], rounding: Rounding) -> Values:
    widths = ((0, 0), *zip(o.begins, o.ends, strict=True))
    edge = constant(rounding, o.value)

    def around(inner: Array, value: Array) -> Array:
        return np.pad(inner, widths, constant_values=float(value.flat[0]))

    value = x[0].under(rounding)
    return Values(around(value.low, edge.low), around(value.high, edge.high), around(value.error, edge.error), rounding=rounding)


def _concat(o: op.Concat, x: Sequence[Values], rounding: Rounding) -> Values:
    parts = [v.under(rounding) for v in x]
    count = max(len(v.low) for v in parts)

    def join(arrays: list[Array]) -> Array:
        return np.concatenate([np.broadcast_to(a, (count, *a.shape[1:])) for a in arrays], axis=o.axis + 1)

    return Values(join([v.low for v in parts]), join([v.high for v in parts]), join([v.error for v in parts]), rounding=rounding)


def _moved(move: Callable[[Any, Array], Array]) -> Rule:
    return lambda o, x, _: x[0].moved(lambda array: np.asarray(move(o, array)))


def _slice(o: op.Slice, array: Array) -> Array:
    ends = [slice(a, b, s) for a, b, s in zip(o.starts, o.stops, o.steps, strict=True)]
    return array[(slice(None), *ends)]


def _float64(array: Any) -> Array:
    return np.asarray(array, dtype=np.float64)


def _per_channel(array: Any, rank: int) -> Array:
    return _float64(array).reshape(-1, *(1,) * (rank - 1))


LINEAR: dict[type[Operator], Rule] = {
    op.Constant: lambda o, _x, r: constant(r, o.value),
    op.Dense: _dense,
    op.Convolution: _convolution,
    op.TransposedConvolution: _transposed,
    op.AveragePool: _average_pool,
    op.AddConstant: lambda o, x, r: add(x[0], constant(r, o.value), r),
    op.MulConstant: lambda o, x, r: multiply(x[0], constant(r, o.value), r),
    op.DivConstant: lambda o, x, r: divide(x[0], constant(r, o.value), r),
    op.ChannelAffine: _channel_affine,
    op.Reshape: _moved(lambda o, a: a.reshape(len(a), *o.shape)),
    op.Transpose: _moved(lambda o, a: a.transpose(0, *(i + 1 for i in o.axes))),
    op.Slice: _moved(_slice),
    op.Gather: _moved(lambda o, a: np.take(a, o.indices, axis=o.axis + 1)),
    op.Concat: _concat,
    op.Pad: _pad,
    op.Sum: _sum,
    op.Mean: _mean,
    op.Add: lambda _o, x, r: add(x[0], x[1], r),
    op.Sub: lambda _o, x, r: add(x[0], negative(x[1]), r),
}
"""Every operator of ``models.operators``."""
