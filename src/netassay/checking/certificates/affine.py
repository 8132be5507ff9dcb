"""Affine operators ``y = W x + b`` on flat numbers: values, magnitudes and adjoints, in either arithmetic.

Operators that only move numbers are one table of positions; convolutions and average pooling are sums over the offsets of their kernels.
Which operator is which map, and maps of factors and sums, are in ``linear_operators``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
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
    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:
        """(R, n) A W, or A |W|, of (R, m)."""

    def rows(self, unit: Positions, sign: Array) -> Array:
        """(R, n) single rows of W, each times 1 or -1."""
        ones = self.arithmetic.zeros(len(unit), self.size)
        ones[np.arange(len(unit)), unit] = sign
        return self.adjoint(ones)


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

    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:  # noqa: ARG002
        if self._plain:
            return rows
        found = self.arithmetic.zeros(len(rows), sum(self.sizes))
        if self._once:
            found[:, self._source] = rows[:, self._used]
        else:
            np.add.at(found.T, self._source, rows[:, self._used].T)
        return found


class Matrix(Affine):
    """``x @ weight.T + bias`` on the last axis."""

    def __init__(self, arithmetic: Arithmetic, inputs: Sequence[Shape], output: Shape, operator: op.Dense) -> None:
        super().__init__(arithmetic, inputs, output, np.broadcast_to(operator.bias, output).reshape(-1))
        self._weight = arithmetic.array(operator.weight)
        self._absolute = np.abs(self._weight)

    def linear(self, x: Array, *, absolute: bool = False) -> Array:
        weight = self._absolute if absolute else self._weight
        return self.arithmetic.product(x.reshape(-1, weight.shape[1]), weight.T).reshape(len(x), self.size)

    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:
        weight = self._absolute if absolute else self._weight
        return self.arithmetic.product(rows.reshape(-1, len(weight)), weight).reshape(len(rows), self.sizes[0])

    def rows(self, unit: Positions, sign: Array) -> Array:
        if len(self._weight) != self.size:
            return super().rows(unit, sign)
        return np.asarray(self._weight[unit] * sign[:, None])


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

    def adjoint(self, rows: Array, *, absolute: bool = False) -> Array:
        full, inner = self._padded
        groups, count = len(self._weight), len(rows)
        given = rows if self._divisor is None else rows / (np.abs(self._divisor) if absolute else self._divisor)
        given = given.reshape(count, groups, self.output[0] // groups, -1)
        padded = self.arithmetic.zeros(count, *full)
        for weight, places in self._offsets():
            part = (np.abs(weight) if absolute else weight).swapaxes(1, 2) @ given
            padded[(slice(None), slice(None), *places)] += part.reshape(count, full[0], *self.output[1:])
        return np.ascontiguousarray(padded[(slice(None), slice(None), *inner)]).reshape(count, self.sizes[0])

    def rows(self, unit: Positions, sign: Array) -> Array:
        """Entry by entry: a window is a small part of the input."""
        full, inner = self._padded
        count, outputs, width = len(unit), self.output[0] // len(self._weight), full[0] // len(self._weight)
        channel, place = np.divmod(unit, prod(self.output[1:]))
        spatial, group, own = np.unravel_index(place, self.output[1:]), channel // outputs, channel % outputs
        factor = sign if self._divisor is None else sign / self._divisor[unit]
        padded = self.arithmetic.zeros(count, *full)
        for weight, places in self._offsets():
            at = (s[:, None] * p.step + p.start for s, p in zip(spatial, places, strict=True))
            where = (np.arange(count)[:, None], group[:, None] * width + np.arange(width), *at)
            padded[where] += weight[group, own] * factor[:, None]
        return np.ascontiguousarray(padded[(slice(None), slice(None), *inner)]).reshape(count, self.sizes[0])
