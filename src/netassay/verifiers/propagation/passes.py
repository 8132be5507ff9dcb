"""Backward linear bounds and their gradients in torch, many rows at once: what searches for good slopes and multipliers runs on.

Nothing here is rigorous. A linear form of a value goes back to the input as in ``linear``; its bound is piecewise linear in every slope
and multiplier, and the gradient is what a forward pass of the *relaxed* network says, from the input at which the form is least
(Danskin): a lower slope's is the coefficient times the value that enters the line, a multiplier's the value it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from netassay.models import operators as op
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import LinearOperator, Shape
from netassay.models.torch_operators import EVALUATORS
from netassay.verifiers.affine import pulled_back
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import Planes

Extra = Callable[[Tensor], Tensor]


def tensor(array: object) -> Tensor:
    """A float array as a torch tensor of the search's type; what that cannot hold becomes infinite."""
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.array(array, dtype=np.float32))


@dataclass(slots=True, eq=False)
class Sides:
    """Lines of an elementwise node: (1 or R, *shape) each; a lower offset of None is 0."""

    lower_slope: Tensor
    upper_slope: Tensor
    upper_offset: Tensor
    lower_offset: Tensor | None = None


@dataclass(slots=True, eq=False)
class Back:
    """What a backward pass leaves.

    Args:
        lower: (R,) bounds, up to rounding.
        form, offset: (R, *input shape) and (R,): the linear form of the input that is minimised.
        point: (R, *input shape) where the forms at the input are least.
        coefficients: (R, *shape) by position of an elementwise node: the coefficients of its result.
        chosen: By position, the slope and the offset that each coefficient took.
        planes: By position of another nonlinear node, which coefficients of its result are positive.
        affine: Positions of the affine nodes that were passed.
    """

    lower: Tensor
    form: Tensor
    offset: Tensor
    point: Tensor
    coefficients: dict[int, Tensor] = field(default_factory=dict)
    chosen: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    planes: dict[int, Tensor] = field(default_factory=dict)
    affine: set[int] = field(default_factory=set)


class _Affine:
    """One affine node in torch: its value and its adjoint."""

    def __init__(self, operator: LinearOperator, shapes: Sequence[Shape], constant: np.ndarray) -> None:
        self.operator, self.shapes = operator, tuple(shapes)
        self.weights = {
            k: tensor(a) if a.dtype.kind == "f" else torch.from_numpy(np.array(a, dtype=np.int64)) for k, a in operator.arrays().items()
        }
        offsets = {f.name for f in fields(operator)} & {"bias", "shift"}
        self._linear = {k: torch.zeros_like(t) if k in offsets else t for k, t in self.weights.items()}
        self.constant = tensor(constant).reshape(-1) if np.any(constant) else None

    def forward(self, inputs: tuple[Tensor, ...], rows: int) -> Tensor:
        if isinstance(self.operator, op.Constant):
            return self.weights["value"].expand(rows, *self.operator.value.shape)
        return EVALUATORS[type(self.operator)](self.operator, self.weights, inputs)

    def adjoint(self, a: Tensor) -> Sequence[Tensor]:
        operator, shapes = self.operator, self.shapes
        if isinstance(operator, op.Constant):
            return ()
        if isinstance(operator, op.Dense):
            return (a @ self.weights["weight"],)
        if isinstance(operator, op.Reshape):
            return (a.reshape(len(a), *shapes[0]),)
        if isinstance(operator, op.Add | op.Sub) and shapes[0] == shapes[1]:
            return (a, a if isinstance(operator, op.Add) else -a)
        if isinstance(operator, op.AddConstant) and a.shape[1:] == shapes[0]:
            return (a,)
        if isinstance(operator, op.Convolution) and len(operator.strides) == 2 and operator.begins == operator.ends:
            return (self._convolution(operator, a),)
        zeros = tuple(torch.zeros(len(a), *s) for s in shapes)
        return pulled_back(lambda *x: EVALUATORS[type(operator)](operator, self._linear, x), zeros, a)

    def _convolution(self, operator: op.Convolution, a: Tensor) -> Tensor:
        spans = [d * (k - 1) + 1 for d, k in zip(operator.dilations, operator.weight.shape[2:], strict=True)]
        made = [(n - 1) * s - 2 * b + w for n, s, b, w in zip(a.shape[2:], operator.strides, operator.begins, spans, strict=True)]
        extra = [n - m for n, m in zip(self.shapes[0][1:], made, strict=True)]
        return F.conv_transpose2d(
            a, self.weights["weight"], None, operator.strides, operator.begins, extra, operator.groups, operator.dilations
        )


class Passes:
    """Backward and forward passes over one region.

    Args:
        bounded: The graph.
        region: A single region.
    """

    def __init__(self, bounded: BoundedGraph, region: Regions) -> None:
        self.bounded, self._region = bounded, region
        self._affine = [None if m is None else _Affine(m.operator, m.shapes, m.constant) for m in bounded.maps]
        low, high = region.corners
        self._middle, self._radius = tensor((low / 2 + high / 2)[0]), tensor((high / 2 - low / 2)[0])
        self._planes: dict[int, tuple[Tensor, ...]] = {}

    def set_planes(self, planes: Mapping[int, Planes]) -> None:
        """Fixes the planes (of one box) of every nonlinear node with several inputs per output."""
        for position, p in planes.items():
            sides = (p.lower_slopes[0], p.upper_slopes[0], p.lower_offset[0], p.upper_offset[0])
            self._planes[position] = (torch.from_numpy(p.index), *(tensor(np.nan_to_num(s, posinf=1e30, neginf=-1e30)) for s in sides))

    def back(
        self, value: int, start: Tensor, sides: Mapping[int, Sides], extra: Mapping[int, Tensor | Extra], constant: Tensor | None = None
    ) -> Back:
        """Bounds of ``<start, y> + sum <extra, y_v> + constant`` for a value y.

        Args:
            value: Its number.
            start: (R, *shape).
            sides: The lines of every elementwise node before the value.
            extra: Coefficients (R, *shape) of earlier values: the multipliers; or how they follow from those that have come there.
            constant: (R,); 0 by default.
        """
        total = torch.zeros(len(start)) if constant is None else constant.clone()
        found = Back(total, total, total, total)
        pending = {value: start}
        for v in range(value, 0, -1):
            a, more = pending.pop(v, None), extra.get(v)
            if callable(more) and not isinstance(more, Tensor):
                more = None if a is None else more(a)
            if more is not None:
                a = more if a is None else a + more
            if a is not None:
                self._through(v - 1, a, sides, pending, found)
        rest = pending.get(0)
        if rest is None:
            rest = torch.zeros(len(start), *self.bounded.graph.input_shape)
        least, found.point = self._least(rest)
        found.form, found.offset, found.lower = rest, found.lower, found.lower + least
        return found

    def _through(self, position: int, a: Tensor, sides: Mapping[int, Sides], pending: dict[int, Tensor], found: Back) -> None:
        node, affine = self.bounded.graph.nodes[position], self._affine[position]
        if affine is not None:
            found.affine.add(position)
            if affine.constant is not None:
                found.lower = found.lower + a.flatten(1) @ affine.constant
            parts = affine.adjoint(a)
        elif isinstance(node.operator, Elementwise):
            s = sides[position]
            rising = a > 0
            slope = torch.where(rising, s.lower_slope, s.upper_slope)
            offset = torch.where(rising, 0.0 if s.lower_offset is None else s.lower_offset, s.upper_offset)
            found.lower = found.lower + (a * offset).flatten(1).sum(1)
            found.coefficients[position], found.chosen[position] = a, (slope, offset)
            parts = (a * slope,)
        else:
            parts = self._through_planes(position, a, found)
        for i, part in zip(node.inputs, parts, strict=True):
            pending[i] = pending[i] + part if i in pending else part

    def _through_planes(self, position: int, a: Tensor, found: Back) -> Sequence[Tensor]:
        index, low, high, low_offset, high_offset = self._planes[position]
        flat = a.flatten(1)
        rising = flat > 0
        found.planes[position] = rising
        found.lower = found.lower + (flat * torch.where(rising, low_offset, high_offset)).sum(1)
        shapes = [self.bounded.graph.shapes[i] for i in self.bounded.graph.nodes[position].inputs]
        into = torch.zeros(len(a), sum(prod(s) for s in shapes))
        for k in range(index.shape[1]):
            into.index_add_(1, index[:, k], flat * torch.where(rising, low[:, k], high[:, k]))
        parts = torch.split(into, [prod(s) for s in shapes], dim=1)
        return [part.reshape(len(a), *s) for part, s in zip(parts, shapes, strict=True)]

    def _least(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        rows = rest.reshape(len(rest), -1)
        if self._region.ball is None or self._region.ball[0] < 0:
            least = rows @ self._middle - rows.abs() @ self._radius
            return least, (self._middle - torch.sign(rows) * self._radius).reshape(rest.shape)
        given = rest.numpy().astype(np.float64)
        owner: Positions = np.zeros(len(given), dtype=np.intp)
        point = tensor(self._region.minimisers(given, owner))
        return tensor(self._region.minimum(given, owner)), point

    def forward(self, value: int, back: Back) -> dict[int, Tensor]:
        """Every value (R, *shape) on the way to ``value`` in the relaxed network of a backward pass, at its least point."""
        values = {0: back.point}
        for position in range(value):
            inputs = self.bounded.graph.nodes[position].inputs
            affine = self._affine[position]
            if position in back.affine and affine is not None:
                values[position + 1] = affine.forward(tuple(values[i] for i in inputs), len(back.lower))
            elif position in back.chosen:
                slope, offset = back.chosen[position]
                values[position + 1] = torch.addcmul(offset, slope, values[inputs[0]])
            elif position in back.planes:
                values[position + 1] = self._plane_values(position, [values[i] for i in inputs], back.planes[position])
        return values

    def _plane_values(self, position: int, inputs: Sequence[Tensor], rising: Tensor) -> Tensor:
        index, low, high, low_offset, high_offset = self._planes[position]
        flat = torch.cat([x.flatten(1) for x in inputs], dim=1)
        found = torch.where(rising, low_offset, high_offset)
        for k in range(index.shape[1]):
            found = found + flat[:, index[:, k]] * torch.where(rising, low[:, k], high[:, k])
        return found.reshape(len(found), *self.bounded.graph.shapes[position + 1])
