"""The operator graph: what verifiers follow, independent of any framework."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from math import isnan, prod

import numpy as np

from netassay.errors import ModelError
from netassay.models.nonlinear import Clip, Lstm, MaxPool
from netassay.models.operators import AveragePool, Convolution, Gather, Operator, Reshape, Shape, ShapeError, TransposedConvolution


@dataclass(frozen=True, eq=False)
class Node:
    """One operator applied to earlier values.

    Args:
        operator: What is computed.
        inputs: Values it reads: 0 is the graph's input, i + 1 the result of node i.
        name: For messages only; not part of the graph's identity.
    """

    operator: Operator
    inputs: tuple[int, ...]
    name: str = ""


@dataclass(frozen=True, eq=False)
class Graph:
    """A function from one input (``input_shape``) to one flat output (m,), per sample; the batch axis is implicit.

    Args:
        input_shape: Shape of one input.
        nodes: In an order in which each reads earlier values only. The last one's result is the output.
    Raises:
        ModelError: Naming the node, if shapes do not fit, a value is read before it exists, a weight is NaN or
            infinite, or the output is not flat.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if len(self.output_shape) != 1 or self.output_size < 1:
            raise ModelError(f"the graph's output has shape {self.output_shape}; expected a flat output (m,) with m >= 1")

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Shape of every value: the input's first, then each node's."""
        shapes = [self.input_shape]
        if not all(isinstance(n, int) and n > 0 for n in self.input_shape):
            raise ModelError(f"the graph's input has shape {self.input_shape}; every axis needs a positive length")
        for position, node in enumerate(self.nodes):
            label = f"node {node.name or position!r} ({node.operator.name})"
            if any(not 0 <= i <= position for i in node.inputs):
                raise ModelError(f"{label} reads values {node.inputs}, of which some are not computed yet")
            shapes.append(checked_shape(node.operator, [shapes[i] for i in node.inputs], label))
        return tuple(shapes)

    @property
    def output_shape(self) -> Shape:
        return self.shapes[-1]

    @property
    def output_size(self) -> int:
        return prod(self.output_shape)

    @property
    def parameters(self) -> int:
        """Numbers in the weights of all operators."""
        return sum(a.size for node in self.nodes for key, a in node.operator.arrays().items() if key != "indices")

    @cached_property
    def last_use(self) -> tuple[int, ...]:
        """For each value the position of the last node that reads it; the number of nodes for the output."""
        last = [-1] * (len(self.nodes) + 1)
        for position, node in enumerate(self.nodes):
            for value in node.inputs:
                last[value] = position
        last[-1] = len(self.nodes)
        return tuple(last)

    @cached_property
    def peak_values(self) -> int:
        """Most numbers alive at once per sample when values are dropped after their last use; views count nothing."""
        peak = live = prod(self.input_shape)
        for position, node in enumerate(self.nodes):
            live += self._size(position + 1)
            peak = max(peak, live)
            live -= sum(self._size(v) for v in set(node.inputs) if self.last_use[v] == position)
        return peak

    @cached_property
    def total_values(self) -> int:
        """Numbers in all values together, per sample: what a backward pass keeps."""
        return sum(self._size(v) for v in range(len(self.nodes) + 1))

    @cached_property
    def workspace_values(self) -> int:
        """Most numbers, per sample, that one operator takes beside what it reads and writes: a generous estimate.

        Convolutions copy both into their own layout, padded pooling copies its input, an LSTM keeps its gates.
        """
        return max((self._workspace(p, n) for p, n in enumerate(self.nodes)), default=0)

    def _workspace(self, position: int, node: Node) -> int:
        operator, result = node.operator, self._size(position + 1)
        if isinstance(operator, Lstm):
            return 16 * result
        if isinstance(operator, Convolution | TransposedConvolution):
            return prod(self.shapes[node.inputs[0]]) + result
        if isinstance(operator, AveragePool | MaxPool):
            return 2 * prod(self.shapes[node.inputs[0]])
        return 0

    @cached_property
    def unfolded_values(self) -> int:
        """Most numbers, per sample, that the unfolded input of one convolution takes."""
        return max((prod(o.weight.shape[1:]) * o.groups * prod(self.shapes[p + 1][1:]) for p, o in self._convolutions()), default=0)

    def _convolutions(self) -> list[tuple[int, Convolution | TransposedConvolution]]:
        return [(p, n.operator) for p, n in enumerate(self.nodes) if isinstance(n.operator, Convolution | TransposedConvolution)]

    def _size(self, value: int) -> int:
        if value and isinstance(self.nodes[value - 1].operator, Reshape):
            return 0
        return prod(self.shapes[value])

    @cached_property
    def sha256(self) -> str:
        """Hash of structure and weights; node names do not enter."""
        digest = hashlib.sha256(repr(("netassay-graph-1", self.input_shape)).encode())
        for node in self.nodes:
            digest.update(repr((node.operator.name, node.inputs)).encode())
            for field in fields(node.operator):
                value = getattr(node.operator, field.name)
                if isinstance(value, np.ndarray):
                    little = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
                    digest.update(repr((field.name, little.dtype.str, little.shape)).encode())
                    digest.update(little.tobytes())
                else:
                    digest.update(repr((field.name, value)).encode())
        return digest.hexdigest()


def checked_shape(operator: Operator, shapes: list[Shape], label: str) -> Shape:
    """Output shape of ``operator``; raises ModelError with ``label`` where arity, shapes or numbers are wrong."""
    arity = operator.arity
    if (arity is None and not shapes) or (arity is not None and len(shapes) != arity):
        raise ModelError(f"{label} takes {'at least one' if arity is None else arity} inputs, got {len(shapes)}")
    _check_numbers(operator, label)
    try:
        return operator.output_shape(*shapes)
    except (ShapeError, ValueError) as error:
        raise ModelError(f"{label}: {error}") from error


def _check_numbers(operator: Operator, label: str) -> None:
    for field in fields(operator):
        value = getattr(operator, field.name)
        if isinstance(value, np.ndarray):
            kinds = "i" if isinstance(operator, Gather) else "f"
            if value.dtype.kind not in kinds:
                raise ModelError(
                    f"{label}: {field.name} has dtype {value.dtype}; expected {'integers' if kinds == 'i' else 'floating point'}"
                )
            if not np.isfinite(value).all():
                bad = int((~np.isfinite(value)).sum())
                raise ModelError(
                    f"{label}: {bad} of {value.size} numbers in {field.name} are NaN or infinite; nothing can be measured with them"
                )
        elif isinstance(value, float) and (isnan(value) or (np.isinf(value) and not _no_limit(operator, field.name, value))):
            raise ModelError(f"{label}: {field.name} is {value}; expected a finite number")


def _no_limit(operator: Operator, field: str, value: float) -> bool:
    """Whether an infinite number stands for a clip that does not bind on that side; at the other infinity its results would be infinite."""
    return isinstance(operator, Clip) and (field, value) in (("lower", -np.inf), ("upper", np.inf))
