"""Which affine map a linear operator of a graph is; the maps that scale, add and sum up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from netassay.checking.certificates.affine import Affine, Matrix, Picked, Windows
from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.errors import UnsupportedOperatorError
from netassay.models import operators as op
from netassay.models.operators import Shape


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

    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:
        if self._factor is None:
            return self._spread.adjoint(rows)
        return self._spread.adjoint(rows * (np.abs(self._factor) if absolute else self._factor))


class Divided(Scaled):
    """``x / divisor``."""

    def _factors(self, factor: Any) -> Array:
        return 1 / super()._factors(factor)


class Summed(Affine):
    """Sums over axes, times a factor."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, axes: Shape, count: int) -> None:
        super().__init__(arithmetic, inputs, output)
        self._axes, self._count = tuple(a + 1 for a in axes), count

    def linear(self, x: Array, *, absolute: bool = False) -> Array:  # noqa: ARG002
        total = x.reshape(len(x), *self.inputs[0]).sum(axis=self._axes) if self._axes else x
        return np.asarray(total / self.arithmetic.array(self._count)).reshape(len(x), self.size)

    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:  # noqa: ARG002
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

    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:
        other = self._parts[1].adjoint(rows)
        return np.concatenate([self._parts[0].adjoint(rows), other if absolute or self._sign > 0 else -other], axis=1)


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
