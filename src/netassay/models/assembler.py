"""Turns operations on whole tensors, as files and exporters write them, into the per-sample graph.

A front end sees tensors that contain the batch axis; a graph does not. The meaning taken here is the file's own at
a batch of one: a ``Value`` remembers its full shape with batch one and where the batch axis is. An axis of length one
can be moved or dropped without changing the order of the numbers, so files with a hard-coded batch of one, files
without a batch axis (``batch`` is None: the whole tensor is one sample) and files with a dynamic batch all become
the same graph. Operations that would mix samples are then the file's operations on one sample; replaying
batches against the source (``agreement``) finds sources that are not the same row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import ModelError
from netassay.models import nonlinear, operators
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.operators import Operator, Shape

Array = NDArray[Any]
PAIRS: dict[str, Callable[[], Operator]] = {
    "add": operators.Add,
    "sub": operators.Sub,
    "mul": nonlinear.Mul,
    "div": nonlinear.Div,
    "max": nonlinear.Maximum,
    "min": nonlinear.Minimum,
}


@dataclass(frozen=True)
class Value:
    """A tensor of the source.

    Args:
        ref: The graph's value that holds one sample of it.
        shape: Its shape at batch one, batch axis included.
        batch: Which axis is the batch; None where all of it is one sample.
    """

    ref: int
    shape: Shape
    batch: int | None

    @property
    def sample(self) -> Shape:
        """Shape of one sample: without the batch axis."""
        return self.shape if self.batch is None else self.shape[: self.batch] + self.shape[self.batch + 1 :]


Operand = Value | Array


class Assembler:
    """Grows a graph from operations on ``Value``; array operands are constants.

    Args:
        shape: Full input shape at batch one.
        batch: The input's batch axis, or None.
    """

    def __init__(self, shape: Shape, batch: int | None) -> None:
        self.name = ""
        self.input = Value(0, shape, batch)
        self.builder = GraphBuilder(self.input.sample or (1,))
        if not self.input.sample:
            self.input = Value(self.builder.add(operators.Reshape(()), 0), shape, batch)

    def build(self, value: Value) -> Graph:
        """The graph that computes ``value``."""
        return self.builder.build(value.ref)

    def emit(self, operator: Operator, *values: Value, shape: Shape, batch: int | None) -> Value:
        """Adds a node; ``shape`` and ``batch`` describe the result."""
        made = Value(self.builder.add(operator, *(v.ref for v in values), name=self.name), shape, batch)
        if self.builder.shape(made.ref) != made.sample:
            raise ModelError(f"node {self.name!r}: the graph gives {self.builder.shape(made.ref)}, the source {made.sample}")
        return made

    # --- the batch axis

    def whole(self, value: Value) -> Value:
        """The same tensor with all of it as one sample."""
        if value.batch is None:
            return value
        return self.emit(operators.Reshape(value.shape), value, shape=value.shape, batch=None)

    def rows(self, value: Value) -> Value:
        """The same tensor with axis 0 as its batch; raises ModelError if axis 0 is longer than one."""
        if value.batch == 0:
            return value
        if not value.shape or value.shape[0] != 1:
            raise ModelError(f"node {self.name!r}: axis 0 of {value.shape} should be the batch, and be 1 for one sample; got {value.shape}")
        return self.emit(operators.Reshape(value.shape[1:]), value, shape=value.shape, batch=0)

    def axis(self, value: Value, axis: int) -> int:
        """A full axis counted from 0; raises ModelError if there is none."""
        rank = len(value.shape)
        if not -rank <= axis < rank:
            raise ModelError(f"node {self.name!r}: axis {axis} is not an axis of {value.shape}")
        return axis % rank

    def sample_axes(self, value: Value, axes: Sequence[int]) -> Shape:
        """Per-sample positions of full axes, the batch axis left out."""
        full = [self.axis(value, a) for a in axes]
        return tuple(a - (value.batch is not None and value.batch < a) for a in full if a != value.batch)

    # --- layout

    def reshape(self, value: Value, shape: Shape) -> Value:
        """The same numbers in another full shape; a leading axis of one becomes the batch."""
        if prod(shape) != prod(value.shape):
            raise ModelError(f"node {self.name!r}: {value.shape} has {prod(value.shape)} numbers, {shape} would need {prod(shape)}")
        batch = 0 if shape and shape[0] == 1 and value.batch is not None else None
        made = Value(value.ref, shape, batch)
        return self.emit(operators.Reshape(made.sample), value, shape=shape, batch=batch)

    def target_shape(self, value: Value, wanted: Sequence[int], *, zero_copies: bool = True) -> Shape:
        """A reshape's target with 0 (copy, if ``zero_copies``) and -1 (infer) resolved."""
        shape = [value.shape[i] if n == 0 and zero_copies and i < len(value.shape) else int(n) for i, n in enumerate(wanted)]
        if shape.count(-1) > 1 or any(n < -1 for n in shape):
            raise ModelError(f"node {self.name!r}: {list(wanted)} is no shape")
        if -1 in shape:
            rest = prod(n for n in shape if n != -1)
            if rest == 0 or prod(value.shape) % rest:
                raise ModelError(f"node {self.name!r}: {value.shape} cannot be brought to {list(wanted)}")
            shape[shape.index(-1)] = prod(value.shape) // rest
        return tuple(shape)

    def squeeze(self, value: Value, axes: Sequence[int] | None) -> Value:
        """Drops axes of length one; all of them, the batch excepted, where ``axes`` is None."""
        if axes is None:
            axes = [i for i, n in enumerate(value.shape) if n == 1 and i != value.batch]
        gone = {self.axis(value, a) for a in axes}
        if any(value.shape[a] != 1 for a in gone):
            raise ModelError(f"node {self.name!r}: axes {sorted(gone)} of {value.shape} are not all of length 1")
        shape = tuple(n for i, n in enumerate(value.shape) if i not in gone)
        batch = None if value.batch is None or value.batch in gone else value.batch - sum(a < value.batch for a in gone)
        return self.emit(operators.Reshape(Value(0, shape, batch).sample), value, shape=shape, batch=batch)

    def unsqueeze(self, value: Value, axes: Sequence[int]) -> Value:
        """Adds axes of length one at ``axes`` of the result."""
        rank = len(value.shape) + len(axes)
        new = {a % rank for a in axes}
        if len(new) != len(axes) or any(not -rank <= a < rank for a in axes):
            raise ModelError(f"node {self.name!r}: {list(axes)} are not {len(axes)} axes of {rank}")
        old = [i for i in range(rank) if i not in new]
        shape = tuple(value.shape[old.index(i)] if i in old else 1 for i in range(rank))
        batch = None if value.batch is None else old[value.batch]
        return self.emit(operators.Reshape(Value(0, shape, batch).sample), value, shape=shape, batch=batch)

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """Output axis i is input axis ``axes[i]``."""
        order = [self.axis(value, a) for a in axes]
        if sorted(order) != list(range(len(value.shape))):
            raise ModelError(f"node {self.name!r}: {list(axes)} is no permutation of the axes of {value.shape}")
        shape = tuple(value.shape[a] for a in order)
        batch = None if value.batch is None else order.index(value.batch)
        sample = self.sample_axes(value, order)
        if sample == tuple(range(len(sample))):
            return Value(value.ref, shape, batch)
        return self.emit(operators.Transpose(sample), value, shape=shape, batch=batch)

    def slice(self, value: Value, cuts: dict[int, tuple[int, int, int]]) -> Value:
        """x[start:stop:step] on the given full axes, numpy's meaning; a negative step becomes a gather."""
        picked = {self.axis(value, a): range(value.shape[a])[slice(*cut)] for a, cut in cuts.items()}
        if any(not len(r) for r in picked.values()):
            raise ModelError(f"node {self.name!r}: slice {cuts} of {value.shape} is empty")
        for a, r in picked.items():
            if r.step < 0:
                value = self.gather(value, np.array(r), a)
        forward = {a: r for a, r in picked.items() if r.step > 0 and len(r) < value.shape[a]}
        if not forward:
            return value
        axes = [i for i in range(len(value.shape)) if i != value.batch]
        ranges = [forward.get(a, range(value.shape[a])) for a in axes]
        shape = tuple(len(forward[i]) if i in forward else n for i, n in enumerate(value.shape))
        operator = operators.Slice(tuple(r.start for r in ranges), tuple(r[-1] + 1 for r in ranges), tuple(r.step for r in ranges))
        return self.emit(operator, value, shape=shape, batch=value.batch)

    def gather(self, value: Value, indices: Array, axis: int) -> Value:
        """numpy.take along a full axis; negative indices count from the end."""
        axis = self.axis(value, axis)
        if axis == value.batch:
            return self.gather(self.whole(value), indices, axis)
        size = value.shape[axis]
        if indices.size == 0 or indices.min() < -size or indices.max() >= size:
            raise ModelError(f"node {self.name!r}: indices leave axis {axis} of {value.shape}, or there are none")
        (at,) = self.sample_axes(value, [axis])
        positions = np.asarray(np.where(indices < 0, indices + size, indices), dtype=np.int64)
        shape = value.shape[:axis] + indices.shape + value.shape[axis + 1 :]
        batch = value.batch if value.batch is None or value.batch < axis else value.batch + indices.ndim - 1
        if indices.ndim == 0:
            cut = self.slice(value, {axis: (int(positions), int(positions) + 1, 1)})
            return self.squeeze(cut, [axis])
        return self.emit(operators.Gather(at, positions), value, shape=shape, batch=batch)

    def concat(self, parts: Sequence[Operand], axis: int) -> Value:
        """Joins tensors and constants along a full axis."""
        values = [p for p in parts if isinstance(p, Value)]
        axis = self.axis(values[0], axis)
        if any(v.batch != values[0].batch for v in values) or axis == values[0].batch:
            values = [self.whole(v) for v in values]
        batch = values[0].batch
        remaining = iter(values)
        joined = [next(remaining) if isinstance(p, Value) else self.constant(p, batch) for p in parts]
        length = sum(j.shape[axis] for j in joined)
        shape = (*joined[0].shape[:axis], length, *joined[0].shape[axis + 1 :])
        (at,) = self.sample_axes(joined[0], [axis])
        return self.emit(operators.Concat(at), *joined, shape=shape, batch=batch)

    def constant(self, array: Array, batch: int | None = None) -> Value:
        """A constant as a value; its axis ``batch``, if given, must have length one."""
        if batch is not None and array.shape[batch] != 1:
            raise ModelError(f"node {self.name!r}: a constant of shape {array.shape} is joined to tensors whose axis {batch} is the batch")
        sample = array if batch is None else np.squeeze(array, axis=batch)
        return self.emit(operators.Constant(_floating(sample)), shape=array.shape, batch=batch)

    def expand(self, value: Value, shape: Shape) -> Value:
        """Broadcasts to ``shape`` (numpy's rules, both ways)."""
        if np.broadcast_shapes(value.shape, shape) == value.shape:
            return value
        return self.pair("add", value, np.zeros(shape, dtype=np.float32))

    def pad(self, value: Value, begins: Sequence[int], ends: Sequence[int], *, mode: str = "constant", fill: float = 0.0) -> Value:
        """Pads full axes; ``reflect`` and ``edge`` become gathers, negative amounts cut."""
        cuts = {
            i: (max(-b, 0), n - max(-e, 0), 1) for i, (n, b, e) in enumerate(zip(value.shape, begins, ends, strict=True)) if min(b, e) < 0
        }
        value = self.slice(value, cuts) if cuts else value
        begins, ends = [max(b, 0) for b in begins], [max(e, 0) for e in ends]
        if value.batch is not None and (begins[value.batch] or ends[value.batch]):
            value = self.whole(value)
        if mode in ("reflect", "edge", "replicate"):
            kind: Any = "reflect" if mode == "reflect" else "edge"
            for i, (b, e) in enumerate(zip(begins, ends, strict=True)):
                if b or e:
                    value = self.gather(value, np.pad(np.arange(value.shape[i]), (b, e), mode=kind), i)
            return value
        if mode != "constant":
            raise ModelError(f"node {self.name!r}: padding mode {mode!r} is not known; known: constant, reflect, edge")
        if not any(begins) and not any(ends):
            return value
        shape = tuple(n + b + e for n, b, e in zip(value.shape, begins, ends, strict=True))
        kept = [i for i in range(len(shape)) if i != value.batch]
        operator = operators.Pad(tuple(begins[i] for i in kept), tuple(ends[i] for i in kept), float(fill))
        return self.emit(operator, value, shape=shape, batch=value.batch)

    # --- arithmetic

    def unary(self, operator: Operator, value: Value) -> Value:
        """An operator that keeps the shape."""
        return self.emit(operator, value, shape=value.shape, batch=value.batch)

    def pair(self, kind: str, left: Operand, right: Operand) -> Value:
        """left op right, broadcast as numpy does on the full shapes; ``kind`` is a key of PAIRS."""
        if isinstance(left, Value) and isinstance(right, Value):
            return self._two_values(kind, left, right)
        if isinstance(right, Value):
            fixed = np.asarray(left)
            if kind == "sub":
                return self.pair("add", self.scaled(right, -1.0), fixed)
            if kind == "div":
                return self._with_constant_value(kind, right, fixed, first=False)
            return self.pair(kind, right, fixed)
        if not isinstance(left, Value):
            raise ModelError(f"node {self.name!r}: neither operand is a tensor")
        array = np.asarray(right)
        if kind in ("max", "min") and array.size == 1 and array.ndim <= len(left.shape):
            bounds = (float(array.item()), np.inf) if kind == "max" else (-np.inf, float(array.item()))
            return self.unary(nonlinear.Clip(*bounds), left)
        if kind in ("max", "min"):
            return self._with_constant_value(kind, left, array, first=True)
        return self._affine(kind, left, array)

    def scaled(self, value: Value, factor: float) -> Value:
        """value * factor."""
        return self.pair("mul", value, np.asarray(factor, dtype=np.float64))

    def _affine(self, kind: str, value: Value, array: Array) -> Value:
        value, constant, shape, batch = self._fit(value, _floating(array))
        operator: Operator
        if kind == "add":
            operator = operators.AddConstant(constant)
        elif kind == "sub":
            operator = operators.AddConstant(-constant)
        else:
            operator = operators.MulConstant(constant) if kind == "mul" else operators.DivConstant(constant)
        return self.emit(operator, value, shape=shape, batch=batch)

    def _with_constant_value(self, kind: str, value: Value, array: Array, *, first: bool) -> Value:
        value, constant, shape, batch = self._fit(value, _floating(array))
        fixed = Value(self.builder.add(operators.Constant(constant), name=self.name), constant.shape, None)
        order = (value, fixed) if first else (fixed, value)
        return self.emit(PAIRS[kind](), *order, shape=shape, batch=batch)

    def _fit(self, value: Value, array: Array) -> tuple[Value, Array, Shape, int | None]:
        """The value and the constant's per-sample part, with the full shape and batch axis of their broadcast."""
        shape = operators.broadcast(value.shape, array.shape)
        if value.batch is None:
            return value, array, shape, None
        from_right = len(value.shape) - value.batch
        batch = len(shape) - from_right
        if array.ndim >= from_right:
            if array.shape[array.ndim - from_right] != 1:
                return self.whole(value), array, shape, None
            array = np.squeeze(array, axis=array.ndim - from_right)
        return value, array, shape, batch

    def _two_values(self, kind: str, left: Value, right: Value) -> Value:
        shape = operators.broadcast(left.shape, right.shape)
        left, right = self._same_batch(left, right)
        batch = None if left.batch is None else left.batch + len(shape) - len(left.shape)
        return self.emit(PAIRS[kind](), left, right, shape=shape, batch=batch)

    def _same_batch(self, left: Value, right: Value) -> tuple[Value, Value]:
        """Both with their batch at one axis counted from the right, or both without."""
        places = {None if v.batch is None else len(v.shape) - v.batch for v in (left, right)}
        if len(places) == 1:
            return left, right
        return self.whole(left), self.whole(right)

    def matmul(self, left: Operand, right: Operand) -> Value:
        """numpy.matmul on the full shapes."""
        if isinstance(left, Value) and not isinstance(right, Value):
            if right.ndim == 2 and left.shape and left.batch != len(left.shape) - 1:
                return self.linear(left, np.ascontiguousarray(right.T), None)
            if right.ndim == 1:
                return self.squeeze(self.matmul(left, right[:, None]), [-1])
            return self._matrices(left, self.constant(right))
        if isinstance(right, Value) and not isinstance(left, Value):
            if left.ndim == 2 and len(right.shape) == 1 and right.batch is None:
                return self.linear(right, left, None)
            if len(right.shape) == 1:
                return self.squeeze(self.matmul(left, self.unsqueeze(right, [-1])), [-1])
            if left.ndim == 2 and right.batch not in (len(right.shape) - 2,):
                turned = [*range(len(right.shape) - 2), len(right.shape) - 1, len(right.shape) - 2]
                return self.transpose(self.linear(self.transpose(right, turned), left, None), turned)
            if left.ndim == 1:
                return self.squeeze(self.matmul(left[None], right), [-2])
            return self._matrices(self.constant(left), right)
        if not isinstance(left, Value) or not isinstance(right, Value):
            raise ModelError(f"node {self.name!r}: neither operand is a tensor")
        return self._matrices(left, right)

    def _matrices(self, left: Value, right: Value) -> Value:
        if len(left.shape) == 1:
            return self.squeeze(self._matrices(self.unsqueeze(self.whole(left), [0]), right), [-2])
        if len(right.shape) == 1:
            return self.squeeze(self._matrices(left, self.unsqueeze(self.whole(right), [1])), [-1])
        left, right = self._same_batch(left, right)
        if left.batch is not None and left.batch >= len(left.shape) - 2:
            left, right = self.whole(left), self.whole(right)
        lead = operators.broadcast(left.shape[:-2], right.shape[:-2])
        shape = (*lead, left.shape[-2], right.shape[-1])
        batch = None if left.batch is None else left.batch + len(shape) - len(left.shape)
        return self.emit(nonlinear.MatMul(), left, right, shape=shape, batch=batch)

    def linear(self, value: Value, weight: Array, bias: Array | None) -> Value:
        """value @ weight.T + bias on the last axis."""
        if value.batch is not None and value.batch == len(value.shape) - 1:
            value = self.whole(value)
        offset = np.zeros(weight.shape[0], dtype=weight.dtype) if bias is None else np.broadcast_to(bias, (weight.shape[0],)).copy()
        return self.emit(operators.Dense(weight, offset), value, shape=(*value.shape[:-1], weight.shape[0]), batch=value.batch)

    # --- reductions and normalisations

    def reduce(self, kind: str, value: Value, axes: Sequence[int] | None, *, keep: bool) -> Value:
        """``sum``, ``mean``, ``max`` or ``min`` over full axes (None: all); over the batch it is the sample itself."""
        if kind == "min":
            return self.scaled(self.reduce("max", self.scaled(value, -1.0), axes, keep=keep), -1.0)
        full = sorted(self.axis(value, a) for a in (range(len(value.shape)) if axes is None else axes))
        shape = tuple(1 if i in full else n for i, n in enumerate(value.shape) if keep or i not in full)
        sample = self.sample_axes(value, full)
        batch = value.batch
        if batch is not None and not keep:
            batch = None if batch in full else batch - sum(a < batch for a in full)
        if not sample:
            return Value(value.ref, shape, batch)
        table: dict[str, Callable[[Shape, bool], Operator]] = {"sum": operators.Sum, "mean": operators.Mean, "max": nonlinear.ReduceMax}
        return self.emit(table[kind](sample, keep), value, shape=shape, batch=batch)

    def softmax(self, value: Value, axis: int, *, log: bool = False) -> Value:
        """Softmax, or its logarithm, along a full axis."""
        if self.axis(value, axis) == value.batch:
            value = self.whole(value)
        (at,) = self.sample_axes(value, [axis])
        return self.unary(nonlinear.LogSoftmax(at) if log else nonlinear.Softmax(at), value)

    def normalise(self, value: Value, axes: Sequence[int], epsilon: float) -> Value:
        """(x - mean) / sqrt(variance + epsilon) over full axes: the core of layer, group and instance norms."""
        centered = self.pair("sub", value, self.reduce("mean", value, axes, keep=True))
        variance = self.reduce("mean", self.pair("mul", centered, centered), axes, keep=True)
        spread = self.unary(nonlinear.Sqrt(), self.pair("add", variance, np.asarray(epsilon)))
        return self.pair("div", centered, spread)

    def batch_norm(self, value: Value, scale: Array, shift: Array, mean: Array, variance: Array, epsilon: float) -> Value:
        """Evaluation-mode batch normalisation of axis 1; its affine map is computed in float64."""
        value = self.rows(value)
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
        offset = shift.astype(np.float64) - mean.astype(np.float64) * factor
        return self.unary(operators.ChannelAffine(factor, offset), value)


def _floating(array: Array) -> Array:
    """Integers and booleans as float64; floats as they are."""
    return array if array.dtype.kind == "f" else array.astype(np.float64)
