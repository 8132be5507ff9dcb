"""Operators of the graph that are not affine. Shapes are per sample, as in ``operators``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from netassay.models.operators import Operator, Shape, ShapeError, Weights, broadcast, reduced, window_counts

MOST_EARLY = 1 << 20
"""Most windows of one axis that are looked at one by one; where there are more, the padding is refused."""


@dataclass(frozen=True, eq=False)
class Elementwise(Operator):
    """A function of one number, applied to every entry."""

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Relu(Elementwise):
    """max(x, 0)."""


@dataclass(frozen=True, eq=False)
class LeakyRelu(Elementwise):
    """x where x >= 0, slope * x elsewhere."""

    slope: float = 0.01


@dataclass(frozen=True, eq=False)
class Elu(Elementwise):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere."""

    alpha: float = 1.0


@dataclass(frozen=True, eq=False)
class Sigmoid(Elementwise):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, eq=False)
class Tanh(Elementwise):
    """tanh(x)."""


@dataclass(frozen=True, eq=False)
class Softplus(Elementwise):
    """log(1 + exp(x))."""


@dataclass(frozen=True, eq=False)
class Gelu(Elementwise):
    """x * Phi(x); with ``tanh`` its usual approximation by tanh."""

    tanh: bool = False


@dataclass(frozen=True, eq=False)
class Silu(Elementwise):
    """x * sigmoid(x), also called Swish."""


@dataclass(frozen=True, eq=False)
class HardSwish(Elementwise):
    """x * clip(x / 6 + 1/2, 0, 1)."""


@dataclass(frozen=True, eq=False)
class Exp(Elementwise):
    """exp(x)."""


@dataclass(frozen=True, eq=False)
class Log(Elementwise):
    """Natural logarithm; NaN or -inf outside x > 0."""


@dataclass(frozen=True, eq=False)
class Sqrt(Elementwise):
    """Square root; NaN for x < 0."""


@dataclass(frozen=True, eq=False)
class Power(Elementwise):
    """x to a constant power."""

    exponent: float


@dataclass(frozen=True, eq=False)
class Erf(Elementwise):
    """The error function."""


@dataclass(frozen=True, eq=False)
class Sin(Elementwise):
    """sin(x), x in radians."""


@dataclass(frozen=True, eq=False)
class Cos(Elementwise):
    """cos(x), x in radians."""


@dataclass(frozen=True, eq=False)
class Abs(Elementwise):
    """|x|."""


@dataclass(frozen=True, eq=False)
class Clip(Elementwise):
    """min(max(x, lower), upper); a bound may be infinite."""

    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class AlongAxis(Operator):
    """A function of the vectors along one axis, of the same shape."""

    axis: int

    def output_shape(self, *shapes: Shape) -> Shape:
        if not 0 <= self.axis < len(shapes[0]):
            raise ShapeError(f"axis {self.axis} is not an axis of {shapes[0]}")
        return shapes[0]


@dataclass(frozen=True, eq=False)
class Softmax(AlongAxis):
    """exp(x) / sum(exp(x)) along an axis."""


@dataclass(frozen=True, eq=False)
class LogSoftmax(AlongAxis):
    """x - log(sum(exp(x))) along an axis."""


@dataclass(frozen=True, eq=False)
class MaxPool(Operator):
    """Largest value of each window of (c, *spatial); padding counts as minus infinity."""

    kernel: Shape
    strides: Shape
    begins: Shape
    ends: Shape
    dilations: Shape

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if len(shape) < 2:
            raise ShapeError(f"pooling needs (channels, *spatial), got {shape}")
        counts = window_counts(shape[1:], self.kernel, self.strides, self.begins, self.ends, self.dilations)
        rows = zip(counts, shape[1:], self.kernel, self.strides, self.begins, self.dilations, strict=True)
        if not all(_windows_read(*row) for row in rows):
            raise ShapeError(
                f"padding {self.begins} and {self.ends} (dilations {self.dilations}) leaves windows of {self.kernel} without any input"
            )
        return (shape[0], *counts)


def _windows_read(count: int, size: int, kernel: int, stride: int, begin: int, dilation: int) -> bool:
    """Whether each window along an axis holds a number that is not padding: the largest of none is no number."""
    if begin > dilation * (kernel - 1) or (count - 1) * stride - begin >= size:
        return False
    if dilation <= size:
        return True
    early = min(count, -(-begin // stride), dilation)  # windows that begin in the padding; from then on they repeat
    return early <= MOST_EARLY and bool(((np.arange(early) * stride - begin) % dilation < size).all())


@dataclass(frozen=True, eq=False)
class ReduceMax(Operator):
    """Largest value over ``axes``, which stay with length 1 where ``keep``."""

    axes: Shape
    keep: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        return reduced(shapes[0], self.axes, self.keep)


@dataclass(frozen=True, eq=False)
class LogSumExp(Operator):
    """log(sum(exp(x))) over ``axes``, which stay with length 1 where ``keep``."""

    axes: Shape
    keep: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        return reduced(shapes[0], self.axes, self.keep)


@dataclass(frozen=True, eq=False)
class _Pairwise(Operator):
    """A function of two tensors, entry by entry, broadcast over the sample's axes."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(*shapes)


@dataclass(frozen=True, eq=False)
class Mul(_Pairwise):
    """x * y."""


@dataclass(frozen=True, eq=False)
class Div(_Pairwise):
    """x / y."""


@dataclass(frozen=True, eq=False)
class Maximum(_Pairwise):
    """max(x, y)."""


@dataclass(frozen=True, eq=False)
class Minimum(_Pairwise):
    """min(x, y)."""


@dataclass(frozen=True, eq=False)
class MatMul(Operator):
    """Matrix product of two tensors (..., m, k) and (..., k, n); leading axes broadcast."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        left, right = shapes
        if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
            raise ShapeError(f"matrices of shapes {left} and {right} cannot be multiplied")
        return (*broadcast(left[:-2], right[:-2]), left[-2], right[-1])


@dataclass(frozen=True, eq=False)
class Lstm(Operator):
    """The hidden states of one LSTM layer in one direction: (time, n) to (time, h).

    Args:
        input_weight: (4h, n), gates in the order input, forget, cell, output.
        hidden_weight: (4h, h).
        bias: (4h,).
        hidden, cell: (h,) each, the state before the first step.
        reverse: Whether time runs backwards; state t stays at position t.
        hard_sigmoid: Gates are clip(a * x + b, 0, 1) with these (a, b) instead of the sigmoid.
    """

    input_weight: Weights
    hidden_weight: Weights
    bias: Weights
    hidden: Weights
    cell: Weights
    reverse: bool = False
    hard_sigmoid: tuple[float, float] | None = None

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        size = self.hidden.shape[0] if self.hidden.ndim == 1 else -1
        expected = [(4 * size, shape[-1] if shape else 0), (4 * size, size), (4 * size,), (size,), (size,)]
        came = [a.shape for a in (self.input_weight, self.hidden_weight, self.bias, self.hidden, self.cell)]
        if len(shape) != 2 or came != expected:
            raise ShapeError(f"LSTM constants of shapes {came} do not fit inputs of shape {shape}")
        return (shape[0], size)
