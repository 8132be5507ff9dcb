"""Affine operators as maps with an adjoint: how values, magnitudes and coefficients pass through them.

Dense layers and what only moves or shifts numbers is done by numpy alone, so that proofs on small networks need no torch; every other
linear operator is evaluated by torch in float64, its adjoint being the gradient of its evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from netassay.models import operators as op
from netassay.models.operators import LinearOperator, Shape
from netassay.verifiers.rounding import Array

if TYPE_CHECKING:
    from torch import Tensor


class AffineMap:
    """``y = W x + b`` of one node, for inputs of given shapes (several inputs count as one long x).

    Args:
        operator: The linear operator.
        shapes: Shape of each input, without the batch axis.
    """

    def __init__(self, operator: LinearOperator, shapes: Sequence[Shape]) -> None:
        self.operator = operator
        self.shapes = tuple(shapes)
        self.output_shape = operator.output_shape(*shapes)
        self._absolute = absolute(operator)
        self.constant = apply(operator, [np.zeros((1, *s)) for s in shapes], 1)[0]
        self._absolute_constant = np.abs(self.constant)

    @property
    def terms(self) -> int:
        """At least the number of terms of any sum in the map or its adjoint."""
        return max(prod(self.output_shape), *(prod(s) for s in self.shapes), 1) + 2

    def __call__(self, inputs: Sequence[Array]) -> Array:
        """W x + b of inputs (N, *shape), up to rounding: at most ``gamma(terms) * magnitude``."""
        return apply(self.operator, inputs, len(inputs[0]) if inputs else 1)

    def magnitude(self, magnitudes: Sequence[Array]) -> Array:
        """|W| m + |b| for magnitudes m >= 0, up to rounding."""
        return apply(self._absolute, magnitudes, len(magnitudes[0]) if magnitudes else 1)

    def spread(self, radii: Sequence[Array]) -> Array:
        """|W| r for radii r >= 0, up to rounding."""
        return np.asarray(self.magnitude(radii) - self._absolute_constant)

    def adjoint(self, coefficients: Array) -> list[Array]:
        """(R, *shape_i) per input: the coefficients A W, up to ``gamma(terms) * |A| |W|``."""
        special = _ADJOINTS.get(type(self.operator))
        if special is not None:
            found = special(self.operator, coefficients, self.shapes)
            if found is not None:
                return found
        return _adjoint_by_torch(self.operator, coefficients, self.shapes)

    def of_constant(self, coefficients: Array) -> Array:
        """(R,) the inner products A b, up to ``gamma(terms) * |A| |b|``."""
        return np.asarray(coefficients.reshape(len(coefficients), -1) @ self.constant.reshape(-1))


def absolute(operator: LinearOperator) -> LinearOperator:
    """The operator with all its constants' signs dropped, and sums for differences."""
    if isinstance(operator, op.Sub):
        return op.Add()
    if isinstance(operator, op.Pad):
        return replace(operator, value=abs(operator.value))
    arrays = {name: np.abs(value) for name, value in operator.arrays().items() if value.dtype.kind == "f"}
    return replace(operator, **arrays)


def apply(operator: LinearOperator, inputs: Sequence[Array], batch: int) -> Array:
    """The operator's value (N, *output shape) of inputs (N, *shape), in float64."""
    special = _VALUES.get(type(operator))
    if special is not None:
        found = special(operator, inputs, batch)
        if found is not None:
            return found
    import torch

    from netassay.models.torch_operators import EVALUATORS

    tensors = tuple(torch.from_numpy(np.require(x, requirements=["C", "W"])) for x in inputs)
    with torch.no_grad():
        value: Array = EVALUATORS[type(operator)](operator, _tensors(operator), tensors).numpy()
    return value


@lru_cache(maxsize=512)
def _tensors(operator: LinearOperator) -> dict[str, Tensor]:
    import torch

    kinds = {"f": np.float64, "i": np.int64}
    return {name: torch.from_numpy(np.array(a, dtype=kinds[a.dtype.kind])) for name, a in operator.arrays().items()}


def _adjoint_by_torch(operator: LinearOperator, coefficients: Array, shapes: Sequence[Shape]) -> list[Array]:
    import torch

    from netassay.models.torch_operators import EVALUATORS

    given = torch.from_numpy(np.ascontiguousarray(coefficients))
    if isinstance(operator, op.Convolution):
        return [_convolution_adjoint(operator, given, shapes[0]).numpy()]
    weights = _without_offset(operator)
    zeros = tuple(torch.zeros(len(coefficients), *s, dtype=torch.float64) for s in shapes)
    return [t.numpy() for t in pulled_back(lambda *x: EVALUATORS[type(operator)](operator, weights, x), zeros, given)]


def pulled_back(function: Callable[..., Tensor], inputs: Sequence[Tensor], given: Tensor) -> tuple[Tensor, ...]:
    """The adjoint of a linear function: the gradient of ``<given, function(inputs)>``.

    Of a sum, as ``torch.func.vjp`` and gradients in given directions load torch's compiler first, which takes most of a second.
    """
    import torch

    with torch.enable_grad():
        free = [x.requires_grad_() for x in inputs]
        total = (function(*free) * given).sum()
    return torch.autograd.grad(total, free, allow_unused=True, materialize_grads=True)


def _without_offset(operator: LinearOperator) -> dict[str, Tensor]:
    names = {f.name for f in fields(operator)} & {"bias", "shift"}
    return {name: t.new_zeros(t.shape) if name in names else t for name, t in _tensors(operator).items()}


def _convolution_adjoint(operator: op.Convolution, given: Tensor, shape: Shape) -> Tensor:
    """The input's coefficients without a forward pass: a transposed convolution, its padding cut off."""
    import torch

    functions = torch.nn.functional
    run = (functions.conv_transpose1d, functions.conv_transpose2d, functions.conv_transpose3d)[len(operator.strides) - 1]
    full = run(given, _tensors(operator)["weight"], None, operator.strides, 0, 0, operator.groups, operator.dilations)
    for axis, (size, begin) in enumerate(zip(shape[1:], operator.begins, strict=True)):
        have = full.shape[axis + 2]
        if have < begin + size:  # cells that no window reaches
            widths = [0, 0] * (full.ndim - 3 - axis) + [0, begin + size - have]
            full = torch.nn.functional.pad(full, widths)
        full = full.narrow(axis + 2, begin, size)
    return full


def _weight(operator: op.Dense) -> Array:
    return _float64(operator)["weight"]


@lru_cache(maxsize=512)
def _float64(operator: LinearOperator) -> dict[str, Array]:
    return {name: np.asarray(a, dtype=np.float64) for name, a in operator.arrays().items()}


def _dense(operator: op.Dense, inputs: Sequence[Array], _batch: int) -> Array:
    constants = _float64(operator)
    return np.asarray(inputs[0] @ constants["weight"].T + constants["bias"])


def _fits(x: Array, value: Array) -> bool:
    """Whether the constant takes the input's shape when they are combined."""
    return np.broadcast_shapes(x.shape[1:], value.shape) == x.shape[1:]


def _add_constant(operator: op.AddConstant, inputs: Sequence[Array], _batch: int) -> Array | None:
    value = _float64(operator)["value"]
    return np.asarray(inputs[0] + value) if _fits(inputs[0], value) else None


def _mul_constant(operator: op.MulConstant, inputs: Sequence[Array], _batch: int) -> Array | None:
    value = _float64(operator)["value"]
    return np.asarray(inputs[0] * value) if _fits(inputs[0], value) else None


def _div_constant(operator: op.DivConstant, inputs: Sequence[Array], _batch: int) -> Array | None:
    value = _float64(operator)["value"]
    with np.errstate(all="ignore"):
        return np.asarray(inputs[0] / value) if _fits(inputs[0], value) else None


def _same(inputs: Sequence[Array]) -> bool:
    return inputs[0].shape == inputs[1].shape


_VALUES: dict[type[LinearOperator], Callable[[Any, Sequence[Array], int], Array | None]] = {
    op.Constant: lambda o, _x, n: np.broadcast_to(_float64(o)["value"], (n, *o.value.shape)),
    op.Dense: _dense,
    op.Reshape: lambda o, x, n: x[0].reshape(n, *o.shape),
    op.AddConstant: _add_constant,
    op.MulConstant: _mul_constant,
    op.DivConstant: _div_constant,
    op.Add: lambda _o, x, _n: x[0] + x[1] if _same(x) else None,
    op.Sub: lambda _o, x, _n: x[0] - x[1] if _same(x) else None,
}
"""What needs no torch; None where a case is left to it."""

BY_NUMPY = frozenset(_VALUES)
"""The operators that, but for odd broadcasts, numpy alone evaluates."""


def _adjoint_of_constant(operator: Any, a: Array, shapes: Sequence[Shape], *, scaled: bool) -> list[Array] | None:
    value = _float64(operator)["value"]
    if np.broadcast_shapes(shapes[0], value.shape) != shapes[0]:
        return None
    return [a * value if scaled else a]


def _adjoint_of_division(operator: op.DivConstant, a: Array, shapes: Sequence[Shape]) -> list[Array] | None:
    value = _float64(operator)["value"]
    with np.errstate(all="ignore"):
        return [a / value] if np.broadcast_shapes(shapes[0], value.shape) == shapes[0] else None


_ADJOINTS: dict[type[LinearOperator], Callable[[Any, Array, Sequence[Shape]], list[Array] | None]] = {
    op.Constant: lambda _o, _a, _s: [],
    op.Dense: lambda o, a, _s: [a @ _weight(o)],
    op.Reshape: lambda _o, a, s: [a.reshape(len(a), *s[0])],
    op.AddConstant: lambda o, a, s: _adjoint_of_constant(o, a, s, scaled=False),
    op.MulConstant: lambda o, a, s: _adjoint_of_constant(o, a, s, scaled=True),
    op.DivConstant: _adjoint_of_division,
    op.Add: lambda _o, a, s: [a, a] if s[0] == s[1] else None,
    op.Sub: lambda _o, a, s: [a, -a] if s[0] == s[1] else None,
}
