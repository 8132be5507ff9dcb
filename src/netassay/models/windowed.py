"""Convolutions, pooling and LSTM layers of a source, on full tensors (batch, channels, *spatial)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import ModelError
from netassay.models import nonlinear, operators
from netassay.models.assembler import Assembler, Value
from netassay.models.operators import Shape, window_count

Array = NDArray[Any]


def same_padding(spatial: Shape, kernel: Shape, strides: Shape, dilations: Shape, *, lower: bool) -> tuple[Shape, Shape]:
    """Padding that keeps ceil(size / stride) windows; the odd cell goes to the end, or to the beginning if ``lower``."""
    totals = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in zip(spatial, kernel, strides, dilations, strict=True)]
    small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (large, small) if lower else (small, large)


def overhang(spatial: Shape, kernel: Shape, strides: Shape, begins: Shape, ends: Shape, dilations: Shape) -> Shape:
    """Extra cells at the end for which rounding the window count down equals rounding it up without them.

    A last window that would begin in the end padding is left out, as torch and onnxruntime do.
    """
    extra = []
    for n, k, s, b, e, d in zip(spatial, kernel, strides, begins, ends, dilations, strict=True):
        count = -(-(n + b + e - d * (k - 1) - 1) // s) + 1
        if (count - 1) * s >= n + b:
            count -= 1
        extra.append(max((count - 1) * s + d * (k - 1) + 1 - (n + b + e), 0))
    return tuple(extra)


def _described(assembler: Assembler, value: Value, shape: Shape, operator: operators.Operator) -> Value:
    return assembler.emit(operator, value, shape=(1, *shape), batch=0)


def convolution(
    assembler: Assembler,
    value: Value,
    weight: Array,
    bias: Array | None,
    *,
    strides: Shape,
    begins: Shape,
    ends: Shape,
    dilations: Shape,
    groups: int,
) -> Value:
    """A convolution of (batch, c, *spatial) with ``weight`` (m, c / groups, *kernel)."""
    value = assembler.rows(value)
    offset = np.zeros(weight.shape[0], dtype=weight.dtype) if bias is None else bias
    operator = operators.Convolution(weight, offset, strides, begins, ends, dilations, groups)
    return _described(assembler, value, operator.output_shape(value.sample), operator)


def transposed_convolution(
    assembler: Assembler,
    value: Value,
    weight: Array,
    bias: Array | None,
    *,
    strides: Shape,
    begins: Shape,
    ends: Shape,
    extra: Shape,
    dilations: Shape,
    groups: int,
) -> Value:
    """The adjoint of a convolution, of (batch, c, *spatial) with ``weight`` (c, m / groups, *kernel)."""
    value = assembler.rows(value)
    offset = np.zeros(weight.shape[1] * groups, dtype=weight.dtype) if bias is None else bias
    operator = operators.TransposedConvolution(weight, offset, strides, begins, ends, extra, dilations, groups)
    return _described(assembler, value, operator.output_shape(value.sample), operator)


def max_pool(
    assembler: Assembler, value: Value, kernel: Shape, *, strides: Shape, begins: Shape, ends: Shape, dilations: Shape, ceil: bool
) -> Value:
    """Largest value of each window; ``ceil`` keeps windows that hang over the end."""
    value = assembler.rows(value)
    if ceil:
        over = overhang(value.sample[1:], kernel, strides, begins, ends, dilations)
        ends = tuple(e + o for e, o in zip(ends, over, strict=True))
    operator = nonlinear.MaxPool(kernel, strides, begins, ends, dilations)
    return _described(assembler, value, operator.output_shape(value.sample), operator)


def average_pool(
    assembler: Assembler,
    value: Value,
    kernel: Shape,
    *,
    strides: Shape,
    begins: Shape,
    ends: Shape,
    ceil: bool,
    count_padding: bool,
    divisor: int | None = None,
) -> Value:
    """Mean of each window; ``count_padding`` counts padded cells, never those that only ``ceil`` added."""
    value = assembler.rows(value)
    spatial = value.sample[1:]
    ones = (1,) * len(kernel)
    over = overhang(spatial, kernel, strides, begins, ends, ones) if ceil else (0,) * len(kernel)
    full = tuple(e + o for e, o in zip(ends, over, strict=True))
    counts: Array = np.full((), divisor or 1, dtype=np.float32)
    if divisor is None:
        rows = list(zip(spatial, kernel, strides, begins, ends, full, strict=True))
        for axis, (n, k, s, b, e, f) in enumerate(rows):
            cells = _cells(n, k, s, b, e, f, count_padding=count_padding)
            counts = counts[..., None] * cells if axis else cells
    if (counts == 0).any():
        raise ModelError(f"node {assembler.name!r}: padding {begins} and {full} leaves windows of {kernel} without any input")
    if (counts == counts.flat[0]).all():
        counts = np.full((), counts.flat[0])
    operator = operators.AveragePool(kernel, strides, begins, full, counts.astype(np.float32))
    return _described(assembler, value, operator.output_shape(value.sample), operator)


def _cells(size: int, kernel: int, stride: int, begin: int, end: int, full_end: int, *, count_padding: bool) -> Array:
    """How many cells of each window along one axis count."""
    starts = np.arange(window_count(size, kernel, stride, 1, begin + full_end)) * stride - begin
    low, high = (-begin, size + end) if count_padding else (0, size)
    return np.asarray(np.maximum(np.minimum(starts + kernel, high) - np.maximum(starts, low), 0), dtype=np.float32)


def adaptive_average(assembler: Assembler, value: Value, sizes: Sequence[int]) -> Value:
    """Average pooling to given spatial sizes; raises ModelError unless each divides the input's."""
    value = assembler.rows(value)
    spatial = value.sample[1:]
    if all(n == 1 for n in sizes):
        return assembler.reduce("mean", value, range(2, 2 + len(spatial)), keep=True)
    if any(n % m for n, m in zip(spatial, sizes, strict=True)):
        raise ModelError(f"node {assembler.name!r}: adaptive pooling from {spatial} to {tuple(sizes)} needs sizes that divide evenly")
    kernel = tuple(n // m for n, m in zip(spatial, sizes, strict=True))
    zeros = (0,) * len(kernel)
    return average_pool(assembler, value, kernel, strides=kernel, begins=zeros, ends=zeros, ceil=False, count_padding=True)


def lstm(
    assembler: Assembler,
    value: Value,
    layers: Sequence[nonlinear.Lstm],
) -> list[Value]:
    """The hidden states (time, batch, h) of each of ``layers`` (one per direction) over ``value`` (time, batch, n)."""
    if value.batch != 1:
        value = assembler.squeeze(value, [1]) if value.batch is None else value
        if value.batch is not None or len(value.shape) != 2:
            raise ModelError(f"node {assembler.name!r}: an LSTM takes (time, batch, features) with one sample; got {value.shape}")
        value = Value(value.ref, (value.shape[0], 1, value.shape[1]), 1)
    return [assembler.emit(layer, value, shape=(value.shape[0], 1, layer.hidden.shape[0]), batch=1) for layer in layers]
