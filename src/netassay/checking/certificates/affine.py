"""Affine operators ``y = W x + b`` on flat numbers: values, magnitudes and adjoints, in either arithmetic.

Operators that only pick numbers (reshape, transpose, slice, gather, concatenation, padding) are one table of positions; convolutions
and average pooling are sums over the offsets of their kernels; all else is a line of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.errors import UnsupportedOperatorError
from netassay.models import operators as op
from netassay.models.operators import Shape


class Affine(ABC):
    """One affine operator for inputs of given shapes; several inputs count as one long x.

    Args:
        arithmetic: Of all numbers.
        inputs: Shape of each input.
        output: Shape of the result.
        constant: (m,) b.
    """

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, constant: Array | None = None) -> None:
        self.arithmetic, self.inputs, self.output = arithmetic, tuple(inputs), output
        self.size = prod(output)
        self.sizes = [prod(s) for s in inputs]
        self.constant = arithmetic.zeros(self.size) if constant is None else arithmetic.array(constant).reshape(self.size)

    @property
    def terms(self) -> int:
        """At least the terms of any sum in the map or its adjoint."""
        return max(self.size, sum(self.sizes)) + 2

    @property
    def moves(self) -> bool:
        """Whether numbers are only moved: nothing is rounded on the way back."""
        return False

    @abstractmethod
    def linear(self, x: Array, *, absolute: bool = False) -> Array:
        """(N, m) W x, or |W| x, of (N, n)."""

    @abstractmethod
    def adjoint(self, rows: Array) -> Array:
        """(R, n) A W of (R, m)."""


class Picked(Affine):
    """Every output is an input or a constant: ``source`` (m,) says which input, -1 for none."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, source: Positions, value: Any = 0.0) -> None:
        super().__init__(arithmetic, inputs, output, np.where(source < 0, value, 0.0))
        self._used = np.flatnonzero(source >= 0)
        self._source = source[self._used]
        self._plain = len(self._source) == self.size == sum(self.sizes) and bool((self._source == np.arange(self.size)).all())
        self._once = len(np.unique(self._source)) == len(self._source)

    @property
    def moves(self) -> bool:
        return self._once and not self.constant.any()

    def linear(self, x: Array, *, absolute: bool = False) -> Array:  # noqa: ARG002
        if self._plain:
            return x
        found = self.arithmetic.zeros(len(x), self.size)
        found[:, self._used] = x[:, self._source]
        return found

    def adjoint(self, rows: Array) -> Array:
        if self._plain:
            return rows
        found = self.arithmetic.zeros(len(rows), sum(self.sizes))
        if self._once:
            found[:, self._source] = rows[:, self._used]
        else:
            np.add.at(found.T, self._source, rows[:, self._used].T)
        return found


class Scaled(Affine):
    """``x * factor + constant``, with the input broadcast to the output."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, factor: Any, constant: Any) -> None:
        super().__init__(arithmetic, inputs, output, np.broadcast_to(np.asarray(constant, dtype=np.float64), output).reshape(-1))
        positions = np.arange(self.sizes[0]).reshape(inputs[0])
        self._spread = Picked(arithmetic, inputs, output, np.broadcast_to(positions, output).reshape(-1))
        self._factor = None if factor is None else self._factors(factor)

    def _factors(self, factor: Any) -> Array:
        return np.broadcast_to(self.arithmetic.array(factor), self.output).reshape(-1)

    def linear(self, x: Array, *, absolute: bool = False) -> Array:
        found = self._spread.linear(x)
        return found if self._factor is None else np.asarray(found * (np.abs(self._factor) if absolute else self._factor))

    def adjoint(self, rows: Array) -> Array:
        return self._spread.adjoint(rows if self._factor is None else rows * self._factor)


class Divided(Scaled):
    """``x / divisor``."""

    def _factors(self, factor: Any) -> Array:
        return 1 / super()._factors(factor)


class Matrix(Affine):
    """``x @ weight.T + bias`` on the last axis."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, operator: op.Dense) -> None:
        super().__init__(arithmetic, inputs, output, np.broadcast_to(operator.bias, output).reshape(-1))
        self._weight = arithmetic.array(operator.weight)
        self._absolute = np.abs(self._weight)

    def linear(self, x: Array, *, absolute: bool = False) -> Array:
        weight = self._absolute if absolute else self._weight
        return np.asarray(x.reshape(-1, weight.shape[1]) @ weight.T).reshape(len(x), self.size)

    def adjoint(self, rows: Array) -> Array:
        return np.asarray(rows.reshape(-1, len(self._weight)) @ self._weight).reshape(len(rows), self.sizes[0])


class Windows(Affine):
    """Sums over windows of (c, *spatial): ``sum over offsets k of weight[k] @ x[:, k + stride * s]``, group by group.

    Args:
        weight: (groups, m / groups, c / groups, *kernel).
        divisor: Of every window, broadcast to the output; None for 1.
    """

    def __init__(
        self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, weight: Any, geometry: tuple[Shape, Shape, Shape, Shape],
        bias: Any = None, divisor: Any = None,
    ) -> None:  # fmt: skip
        shaped = np.zeros(1) if bias is None else np.asarray(bias, dtype=np.float64).reshape(-1, *[1] * (len(output) - 1))
        super().__init__(arithmetic, inputs, output, np.broadcast_to(shaped, output).reshape(-1))
        self._weight, self._geometry = arithmetic.array(weight), geometry
        self._divisor = None if divisor is None else np.broadcast_to(arithmetic.array(divisor), output).reshape(-1)

    def _offsets(self) -> Iterator[tuple[Array, tuple[slice, ...]]]:
        """The weights of each offset, and where it reads the padded input."""
        strides, _, _, dilations = self._geometry
        kernel = self._weight.shape[3:]
        flat = self._weight.reshape(*self._weight.shape[:3], -1)
        for i, offset in enumerate(product(*(range(k) for k in kernel))):
            rows = zip(offset, dilations, strides, self.output[1:], strict=True)
            places = tuple(slice(o * d, o * d + s * (n - 1) + 1, s) for o, d, s, n in rows)
            yield flat[:, :, :, i], places

    @property
    def _padded(self) -> tuple[Shape, tuple[slice, ...]]:
        """Shape of the padded input, and where the input lies in it."""
        _, begins, ends, _ = self._geometry
        shape = self.inputs[0]
        full = (shape[0], *(n + b + e for n, b, e in zip(shape[1:], begins, ends, strict=True)))
        return full, tuple(slice(b, b + n) for n, b in zip(shape[1:], begins, strict=True))

    def linear(self, x: Array, *, absolute: bool = False) -> Array:
        full, inner = self._padded
        groups, count = len(self._weight), len(x)
        padded = self.arithmetic.zeros(count, *full)
        padded[(slice(None), slice(None), *inner)] = x.reshape(count, *self.inputs[0])
        total = self.arithmetic.zeros(count, groups, self.output[0] // groups, prod(self.output[1:]))
        for weight, places in self._offsets():
            seen = padded[(slice(None), slice(None), *places)].reshape(count, groups, full[0] // groups, -1)
            total += (np.abs(weight) if absolute else weight) @ seen
        found = total.reshape(count, self.size)
        return found if self._divisor is None else np.asarray(found / (np.abs(self._divisor) if absolute else self._divisor))

    def adjoint(self, rows: Array) -> Array:
        full, inner = self._padded
        groups, count = len(self._weight), len(rows)
        given = rows if self._divisor is None else rows / self._divisor
        given = given.reshape(count, groups, self.output[0] // groups, -1)
        padded = self.arithmetic.zeros(count, *full)
        for weight, places in self._offsets():
            part = weight.swapaxes(1, 2) @ given
            padded[(slice(None), slice(None), *places)] += part.reshape(count, full[0], *self.output[1:])
        return np.ascontiguousarray(padded[(slice(None), slice(None), *inner)]).reshape(count, self.sizes[0])


class Summed(Affine):
    """Sums over axes, times a factor."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, axes: Shape, count: int) -> None:
        super().__init__(arithmetic, inputs, output)
        self._axes, self._count = tuple(a + 1 for a in axes), count

    def linear(self, x: Array, *, absolute: bool = False) -> Array:  # noqa: ARG002
        total = x.reshape(len(x), *self.inputs[0]).sum(axis=self._axes) if self._axes else x
        return np.asarray(total / self.arithmetic.array(self._count)).reshape(len(x), self.size)

    def adjoint(self, rows: Array) -> Array:
        kept = tuple(1 if i + 1 in self._axes else n for i, n in enumerate(self.inputs[0]))
        spread = np.broadcast_to(rows.reshape(len(rows), *kept), (len(rows), *self.inputs[0]))
        return np.asarray(spread / self.arithmetic.array(self._count)).reshape(len(rows), self.sizes[0])


class Joined(Affine):
    """``x + y`` or ``x - y``, each broadcast."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, sign: int) -> None:
        super().__init__(arithmetic, inputs, output)
        self._parts, self._sign = [Scaled(arithmetic, [s], output, None, 0.0) for s in inputs], sign

    def linear(self, x: Array, *, absolute: bool = False) -> Array:
        one, other = self._parts[0].linear(x[:, : self.sizes[0]]), self._parts[1].linear(x[:, self.sizes[0] :])
        return np.asarray(one + other if absolute or self._sign > 0 else one - other)

    def adjoint(self, rows: Array) -> Array:
        other = self._parts[1].adjoint(rows)
        return np.concatenate([self._parts[0].adjoint(rows), other if self._sign > 0 else -other], axis=1)


def _picked(arithmetic: Arithmetic, operator: Any, inputs: Sequence[Shape], output: Shape) -> Affine:
    begins = np.cumsum([0, *(prod(s) for s in inputs)])
    places = [begin + np.arange(prod(s)).reshape(s) for begin, s in zip(begins, inputs, strict=False)]
    return Picked(arithmetic, inputs, output, _PICKS[type(operator)](operator, places).reshape(-1), getattr(operator, "value", 0.0))


_PICKS: dict[type[op.Operator], Callable[[Any, list[Positions]], Positions]] = {
    op.Reshape: lambda _o, x: x[0],
    op.Transpose: lambda o, x: x[0].transpose(o.axes),
    op.Slice: lambda o, x: x[0][tuple(slice(a, b, s) for a, b, s in zip(o.starts, o.stops, o.steps, strict=True))],
    op.Gather: lambda o, x: np.take(x[0], o.indices, axis=o.axis),
    op.Concat: lambda o, x: np.concatenate(x, axis=o.axis),
    op.Pad: lambda o, x: np.pad(x[0], list(zip(o.begins, o.ends, strict=True)), constant_values=-1),
}


def _convolution(a: Arithmetic, o: op.Convolution, inputs: Sequence[Shape], output: Shape) -> Affine:
    weight = o.weight.reshape(o.groups, o.weight.shape[0] // o.groups, *o.weight.shape[1:])
    return Windows(a, inputs, output, weight, (o.strides, o.begins, o.ends, o.dilations), o.bias)


def _average(a: Arithmetic, o: op.AveragePool, inputs: Sequence[Shape], output: Shape) -> Affine:
    ones = np.ones((inputs[0][0], 1, 1, *o.kernel))
    return Windows(a, inputs, output, ones, (o.strides, o.begins, o.ends, (1,) * len(o.kernel)), None, o.divisor)


def _channel(values: Any, shape: Shape) -> Any:
    return np.asarray(values).reshape(-1, *[1] * (len(shape) - 1))


_MAPS: dict[type[op.Operator], Callable[[Arithmetic, Any, Sequence[Shape], Shape], Affine]] = {
    op.Constant: lambda a, o, i, s: Picked(a, i, s, np.full(prod(s), -1), np.asarray(o.value).reshape(-1)),
    op.Dense: lambda a, o, i, s: Matrix(a, i, s, o),
    op.Convolution: _convolution,
    op.AveragePool: _average,
    op.AddConstant: lambda a, o, i, s: Scaled(a, i, s, None, o.value),
    op.MulConstant: lambda a, o, i, s: Scaled(a, i, s, o.value, 0.0),
    op.DivConstant: lambda a, o, i, s: Divided(a, i, s, o.value, 0.0),
    op.ChannelAffine: lambda a, o, i, s: Scaled(a, i, s, _channel(o.scale, s), _channel(o.shift, s)),
    op.Sum: lambda a, o, i, s: Summed(a, i, s, o.axes, 1),
    op.Mean: lambda a, o, i, s: Summed(a, i, s, o.axes, prod(i[0][x] for x in o.axes)),
    op.Add: lambda a, _o, i, s: Joined(a, i, s, 1),
    op.Sub: lambda a, _o, i, s: Joined(a, i, s, -1),
    **dict.fromkeys(_PICKS, _picked),
}


def affine(arithmetic: Arithmetic, operator: op.Operator, inputs: Sequence[Shape], output: Shape, name: str) -> Affine:
    """The map of a linear operator; raises UnsupportedOperatorError for one that the checker does not know."""
    make = _MAPS.get(type(operator))
    if make is None:
        known = ", ".join(sorted(kind.__name__ for kind in _MAPS))
        raise UnsupportedOperatorError(f"node {name!r}: the checker does not know {operator.name}; of linear operators it knows {known}")
    return make(arithmetic, operator, inputs, output)
