"""Operators of the graph: the base classes and the linear family.

Every shape here is the shape of one sample; the batch axis is implicit, always axis 0, and no operator can reach it.
An operator is a frozen value: its constants are numpy arrays inside it, and all it knows is its output shape.
How it is evaluated, bounded or encoded is said elsewhere, in one table per purpose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from netassay.errors import ModelError

Shape = tuple[int, ...]
Weights = NDArray[np.floating[Any]]


class ShapeError(ModelError):
    """An operator does not fit the shapes of its inputs."""


@dataclass(frozen=True, eq=False)
class Operator(ABC):
    """A function of one or more tensors.

    Class attributes:
        arity: Number of inputs; None for any number from one.
        linear: Whether it is an affine map of all its inputs together.
    """

    arity: ClassVar[int | None] = 1
    linear: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Makes constants read-only arrays, numbers without axes included."""
        for field in fields(self):
            if field.type in ("Weights", "NDArray[np.int64]"):
                array = np.asarray(getattr(self, field.name)).view()
                array.flags.writeable = False
                object.__setattr__(self, field.name, array)

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the result for inputs of ``shapes``; raises ShapeError where they do not fit."""

    @property
    def name(self) -> str:
        return type(self).__name__

    def arrays(self) -> dict[str, Weights]:
        """The operator's constants, by field."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, eq=False)
class LinearOperator(Operator):
    """An affine map of its inputs: bounds pass through it exactly, by its adjoint."""

    linear: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class Constant(LinearOperator):
    """The same value for every sample."""

    value: Weights
    arity: ClassVar[int | None] = 0

    def output_shape(self, *_shapes: Shape) -> Shape:
        return self.value.shape


@dataclass(frozen=True, eq=False)
class Dense(LinearOperator):
    """x @ weight.T + bias on the last axis: (..., n) to (..., m), weight (m, n), bias (m,)."""

    weight: Weights
    bias: Weights

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not shape or shape[-1] != self.weight.shape[1] or self.bias.shape != self.weight.shape[:1]:
            raise ShapeError(f"weight {self.weight.shape} and bias {self.bias.shape} do not fit inputs of shape {shape}")
        return (*shape[:-1], self.weight.shape[0])


def window_count(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """How many windows fit along an axis of ``size`` with ``padding`` in all; may be below one."""
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def window_counts(spatial: Shape, kernel: Shape, strides: Shape, begins: Shape, ends: Shape, dilations: Shape) -> Shape:
    """Output extent along each spatial axis."""
    lengths = {len(part) for part in (spatial, kernel, strides, begins, ends, dilations)}
    if len(lengths) > 1 or min((*kernel, *strides, *dilations), default=1) < 1 or min((*begins, *ends), default=0) < 0:
        raise ShapeError(
            f"kernel {kernel}, strides {strides}, padding {begins} and {ends}, dilations {dilations} do not fit spatial axes {spatial}"
        )
    rows = zip(spatial, kernel, strides, dilations, begins, ends, strict=True)
    counts = tuple(window_count(n, k, s, d, b + e) for n, k, s, d, b, e in rows)
    if min(counts, default=1) < 1:
        raise ShapeError(f"a window of {kernel} (dilations {dilations}) is larger than the padded spatial axes {spatial}")
    return counts


@dataclass(frozen=True, eq=False)
class Convolution(LinearOperator):
    """Cross-correlation in one to three dimensions: (c, *spatial) to (m, *spatial'), zero padding.

    Args:
        weight: (m, c / groups, *kernel).
        bias: (m,).
        strides, begins, ends, dilations: One number per spatial axis; ``begins`` and ``ends`` are the padding.
        groups: Channels are cut into that many independent groups.
    """

    weight: Weights
    bias: Weights
    strides: Shape
    begins: Shape
    ends: Shape
    dilations: Shape
    groups: int = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if len(shape) != self.weight.ndim - 1 or not 2 <= len(shape) <= 4:
            raise ShapeError(f"a weight of shape {self.weight.shape} does not fit inputs of shape {shape}")
        channels, out = self.weight.shape[1] * self.groups, self.weight.shape[0]
        if shape[0] != channels or out % self.groups or self.bias.shape != (out,):
            raise ShapeError(f"weight {self.weight.shape}, bias {self.bias.shape}, {self.groups} groups do not fit inputs of shape {shape}")
        return (out, *window_counts(shape[1:], self.weight.shape[2:], self.strides, self.begins, self.ends, self.dilations))


@dataclass(frozen=True, eq=False)
class TransposedConvolution(LinearOperator):
    """The adjoint of a convolution, plus a bias: (c, *spatial) to (m, *spatial').

    Args:
        weight: (c, m / groups, *kernel).
        bias: (m,).
        begins, ends: What is cut off the full result; ``extra`` is added at its end before the bias.
    """

    weight: Weights
    bias: Weights
    strides: Shape
    begins: Shape
    ends: Shape
    extra: Shape
    dilations: Shape
    groups: int = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if len(shape) != self.weight.ndim - 1 or not 2 <= len(shape) <= 4:
            raise ShapeError(f"a weight of shape {self.weight.shape} does not fit inputs of shape {shape}")
        out = self.weight.shape[1] * self.groups
        if shape[0] != self.weight.shape[0] or shape[0] % self.groups or self.bias.shape != (out,):
            raise ShapeError(f"weight {self.weight.shape}, bias {self.bias.shape}, {self.groups} groups do not fit inputs of shape {shape}")
        rows = zip(shape[1:], self.weight.shape[2:], self.strides, self.dilations, self.begins, self.ends, self.extra, strict=True)
        spatial = tuple((n - 1) * s + d * (k - 1) + 1 + x - b - e for n, k, s, d, b, e, x in rows)
        if min(spatial) < 1:
            raise ShapeError(f"nothing is left of inputs of shape {shape} after cutting {self.begins} and {self.ends}")
        return (out, *spatial)


@dataclass(frozen=True, eq=False)
class AveragePool(LinearOperator):
    """Window sums of the zero-padded input (c, *spatial), divided by ``divisor``, which broadcasts to the windows."""

    kernel: Shape
    strides: Shape
    begins: Shape
    ends: Shape
    divisor: Weights

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if len(shape) < 2:
            raise ShapeError(f"pooling needs (channels, *spatial), got {shape}")
        spatial = window_counts(shape[1:], self.kernel, self.strides, self.begins, self.ends, (1,) * len(self.kernel))
        if np.broadcast_shapes(self.divisor.shape, spatial) != spatial or (self.divisor == 0).any():
            raise ShapeError(f"a divisor of shape {self.divisor.shape} does not fit windows {spatial}, or holds a zero")
        return (shape[0], *spatial)


def broadcast(*shapes: Shape) -> Shape:
    """The common shape, as numpy broadcasts; raises ShapeError where there is none."""
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise ShapeError(f"shapes {' and '.join(map(str, shapes))} do not broadcast") from error


@dataclass(frozen=True, eq=False)
class AddConstant(LinearOperator):
    """x + value, broadcast."""

    value: Weights

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(shapes[0], self.value.shape)


@dataclass(frozen=True, eq=False)
class MulConstant(LinearOperator):
    """x * value, broadcast."""

    value: Weights

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(shapes[0], self.value.shape)


@dataclass(frozen=True, eq=False)
class DivConstant(LinearOperator):
    """x / value, broadcast; no entry of value is zero."""

    value: Weights

    def output_shape(self, *shapes: Shape) -> Shape:
        if (self.value == 0).any():
            raise ShapeError("division by a constant that holds a zero")
        return broadcast(shapes[0], self.value.shape)


@dataclass(frozen=True, eq=False)
class ChannelAffine(LinearOperator):
    """x * scale[c] + shift[c] on axis 0: batch normalisation in evaluation."""

    scale: Weights
    shift: Weights

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not shape or self.scale.shape != (shape[0],) or self.shift.shape != (shape[0],):
            raise ShapeError(f"scale {self.scale.shape} and shift {self.shift.shape} do not fit inputs of shape {shape}")
        return shape


@dataclass(frozen=True, eq=False)
class Reshape(LinearOperator):
    """The same numbers, row by row, in another shape."""

    shape: Shape

    def output_shape(self, *shapes: Shape) -> Shape:
        if prod(shapes[0]) != prod(self.shape) or min(self.shape, default=1) < 0:
            raise ShapeError(f"{prod(shapes[0])} numbers of shape {shapes[0]} do not fill shape {self.shape}")
        return self.shape


@dataclass(frozen=True, eq=False)
class Transpose(LinearOperator):
    """Output axis i is input axis ``axes[i]``."""

    axes: Shape

    def output_shape(self, *shapes: Shape) -> Shape:
        if sorted(self.axes) != list(range(len(shapes[0]))):
            raise ShapeError(f"axes {self.axes} are no permutation of the axes of {shapes[0]}")
        return tuple(shapes[0][a] for a in self.axes)


@dataclass(frozen=True, eq=False)
class Slice(LinearOperator):
    """x[start:stop:step] on every axis, with 0 <= start < stop <= size and step >= 1."""

    starts: Shape
    stops: Shape
    steps: Shape

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not len(shape) == len(self.starts) == len(self.stops) == len(self.steps):
            raise ShapeError(f"a slice of {len(self.starts)} axes does not fit shape {shape}")
        rows = list(zip(shape, self.starts, self.stops, self.steps, strict=True))
        if not all(0 <= a < b <= n and s >= 1 for n, a, b, s in rows):
            raise ShapeError(f"slice {self.starts} to {self.stops} by {self.steps} leaves or empties shape {shape}")
        return tuple((b - a + s - 1) // s for _, a, b, s in rows)


@dataclass(frozen=True, eq=False)
class Gather(LinearOperator):
    """Picks ``indices`` (any shape of integers) along ``axis``, as numpy.take."""

    axis: int
    indices: NDArray[np.int64]

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not 0 <= self.axis < len(shape):
            raise ShapeError(f"axis {self.axis} is not an axis of {shape}")
        if self.indices.size == 0 or self.indices.min() < 0 or self.indices.max() >= shape[self.axis]:
            raise ShapeError(f"indices leave axis {self.axis} of {shape}, or there are none")
        return (*shape[: self.axis], *self.indices.shape, *shape[self.axis + 1 :])


@dataclass(frozen=True, eq=False)
class Concat(LinearOperator):
    """Joins its inputs along ``axis``."""

    axis: int
    arity: ClassVar[int | None] = None

    def output_shape(self, *shapes: Shape) -> Shape:
        first, at = shapes[0], self.axis
        if not 0 <= at < len(first):
            raise ShapeError(f"axis {at} is not an axis of {first}")
        if any(len(s) != len(first) or s[:at] != first[:at] or s[at + 1 :] != first[at + 1 :] for s in shapes):
            raise ShapeError(f"shapes {' and '.join(map(str, shapes))} cannot be joined along axis {at}")
        return (*first[:at], sum(s[at] for s in shapes), *first[at + 1 :])


@dataclass(frozen=True, eq=False)
class Pad(LinearOperator):
    """Surrounds every axis with ``begins`` and ``ends`` copies of ``value``."""

    begins: Shape
    ends: Shape
    value: float = 0.0

    def output_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        if not len(shape) == len(self.begins) == len(self.ends) or min((*self.begins, *self.ends), default=0) < 0:
            raise ShapeError(f"padding {self.begins} and {self.ends} does not fit shape {shape}")
        return tuple(n + b + e for n, b, e in zip(shape, self.begins, self.ends, strict=True))


def reduced(shape: Shape, axes: Shape, keep: bool) -> Shape:
    """``shape`` after reducing ``axes``; raises ShapeError unless they are distinct axes of it."""
    if len(set(axes)) != len(axes) or any(not 0 <= a < len(shape) for a in axes):
        raise ShapeError(f"axes {axes} are not distinct axes of {shape}")
    if any(shape[a] == 0 for a in axes):
        raise ShapeError(f"nothing to reduce along axes {axes} of {shape}")
    return tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)


@dataclass(frozen=True, eq=False)
class Sum(LinearOperator):
    """Sum over ``axes``, which stay with length 1 where ``keep``."""

    axes: Shape
    keep: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        return reduced(shapes[0], self.axes, self.keep)


@dataclass(frozen=True, eq=False)
class Mean(LinearOperator):
    """Mean over ``axes``, which stay with length 1 where ``keep``."""

    axes: Shape
    keep: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        return reduced(shapes[0], self.axes, self.keep)


@dataclass(frozen=True, eq=False)
class Add(LinearOperator):
    """x + y, broadcast over the sample's axes."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(*shapes)


@dataclass(frozen=True, eq=False)
class Sub(LinearOperator):
    """x - y, broadcast over the sample's axes."""

    arity: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(*shapes)
