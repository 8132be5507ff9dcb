"""ONNX to operator graph: one pass over the nodes, constants folded, the batch axis made implicit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from netassay.errors import ModelError, UnsupportedOperatorError
from netassay.models.assembler import Assembler, Operand, Value
from netassay.models.graph import Graph
from netassay.models.onnx_file import LIMIT, OnnxFile, array_of, attributes_of, node_label, read_onnx_file
from netassay.models.onnx_folding import FOLDABLE, fold
from netassay.models.operators import Shape


@dataclass(frozen=True)
class Source:
    """An ONNX file read as a graph.

    Args:
        file: The checked file.
        graph: One sample in, flat output.
        dtype: The file's own floating-point type, "float32" or "float64".
        input_name, output_name: Tensors of the file.
        file_shape: The file's input shape, 1 for a dynamic length.
        batch: Its batch axis: 0, or None where it has none.
        dynamic: Whether the batch axis takes any length.
        notes: What was read differently from how it is written.
    """

    file: OnnxFile
    graph: Graph
    dtype: str
    input_name: str
    output_name: str
    file_shape: Shape
    batch: int | None
    dynamic: bool
    notes: tuple[str, ...] = ()


class Context:
    """What an operator's row in the table sees of its node.

    Attributes:
        assembler: The graph in progress.
        node: The ONNX node.
        inputs: Its inputs: values, constants, None where left out.
        attributes: Its attributes as Python values.
        opset: Version of the default operator set.
    """

    def __init__(self, assembler: Assembler, node: NodeProto, inputs: Sequence[Operand | None], opset: int) -> None:
        self.assembler = assembler
        self.node = node
        self.inputs = inputs
        self.attributes = attributes_of(node)
        self.opset = opset

    @property
    def label(self) -> str:
        return f"node {node_label(self.node)!r} ({self.node.op_type})"

    def value(self, position: int = 0) -> Value:
        """Input ``position`` as a value; a constant becomes one."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise ModelError(f"{self.label}: input {position} is missing")
        return found if isinstance(found, Value) else self.assembler.constant(found)

    def constant(self, position: int, default: Any = None) -> NDArray[Any] | None:
        """Input ``position`` as a constant, ``default`` where left out; raises UnsupportedOperatorError for a computed tensor."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            return None if default is None else np.asarray(default)
        if isinstance(found, Value):
            raise UnsupportedOperatorError(
                f"{self.label}: input {position} ({self.node.input[position]!r}) depends on the network's input; expected a constant"
            )
        return found

    def weight(self, position: int) -> NDArray[Any]:
        """Input ``position`` as a constant that must be there."""
        found = self.constant(position)
        if found is None:
            raise ModelError(f"{self.label}: input {position} is missing")
        return found

    def integers(self, name: str, position: int) -> list[int] | None:
        """A list of integers: attribute ``name`` in older opsets, input ``position`` in newer ones."""
        if name in self.attributes:
            return [int(v) for v in self.attributes[name]]
        found = self.constant(position)
        return None if found is None else [int(v) for v in found.reshape(-1)]

    def refuse(self, why: str) -> UnsupportedOperatorError:
        """The error for a form of the operator that is not supported."""
        return UnsupportedOperatorError(f"{self.label}: {why}")


Handler = Callable[[Context], Operand | list[Operand]]


class _Reader:
    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.notes: list[str] = []
        self.values: dict[str, Operand] = {t.name: array_of(t, f"{file.path}: initializer {t.name!r}") for t in file.graph.initializer}

    def read(self) -> Source:
        given = self._single([i for i in self.file.graph.input if i.name not in self.values], "input")
        wanted = self._single(list(self.file.graph.output), "output")
        shape, dynamic = self._input_shape(given)
        batch = 0 if dynamic or (len(shape) > 1 and shape[0] == 1) else None
        assembler = Assembler(shape, batch)
        self.values[given.name] = assembler.input
        for node in self.file.graph.node:
            self._node(assembler, node)
        output = self.values.get(wanted.name)
        if not isinstance(output, Value):
            raise ModelError(f"{self.file.path}: the output {wanted.name!r} does not depend on the input")
        graph = assembler.build(output)
        dtype = "float64" if given.type.tensor_type.elem_type == TensorProto.DOUBLE else "float32"
        return Source(self.file, graph, dtype, given.name, wanted.name, shape, batch, dynamic, tuple(self.notes))

    def _single(self, found: list[ValueInfoProto], kind: str) -> ValueInfoProto:
        if len(found) != 1:
            names = ", ".join(repr(v.name) for v in found) or "none"
            raise ModelError(f"{self.file.path}: expected one {kind}, got {len(found)} ({names}); cut the model to one {kind}")
        return found[0]

    def _input_shape(self, given: ValueInfoProto) -> tuple[Shape, bool]:
        """The input's shape with 1 for a dynamic batch axis, and whether the batch is dynamic."""
        tensor = given.type.tensor_type
        if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            kind = helper.tensor_dtype_to_string(tensor.elem_type) if tensor.elem_type else "no type"
            raise ModelError(f"{self.file.path}: the input {given.name!r} has {kind}; expected float32 or float64 numbers")
        if not tensor.HasField("shape") or not tensor.shape.dim:
            raise ModelError(
                f"{self.file.path}: the input {given.name!r} declares no shape; set it, for instance with onnx.tools.update_model_dims"
            )
        lengths = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
        if any(n is None for n in lengths[1:]):
            came = [d.dim_value or d.dim_param or "?" for d in tensor.shape.dim]
            raise ModelError(f"{self.file.path}: the input {given.name!r} has shape {came}; only the first axis, the batch, may be dynamic")
        if lengths[0] is not None and lengths[0] > 1 and len(lengths) > 1:
            self.notes.append(f"the file declares a fixed input of {lengths}: all of it is taken as one input, without a batch axis")
        return (lengths[0] or 1, *(n or 1 for n in lengths[1:])), lengths[0] is None

    def _node(self, assembler: Assembler, node: NodeProto) -> None:
        from netassay.models.onnx_operators import HANDLERS  # the table's rows take a Context, defined here

        label = node_label(node)
        if node.domain not in ("", "ai.onnx"):
            raise UnsupportedOperatorError(
                f"node {label!r}: operator {node.op_type} of the domain {node.domain!r} is unknown; known: {_known(HANDLERS)}"
            )
        if any(name and name not in self.values for name in node.input):
            missing = [name for name in node.input if name and name not in self.values]
            raise ModelError(f"{self.file.path}: node {label!r} reads {missing[0]!r}, which nothing before it computes")
        inputs = [self.values[name] if name else None for name in node.input]
        made = self._fold(node, inputs)
        if made is None:
            if node.op_type not in HANDLERS:
                raise UnsupportedOperatorError(f"node {label!r}: unknown operator {node.op_type}; known: {_known(HANDLERS)}")
            assembler.name = node.output[0] if node.output else label
            result = HANDLERS[node.op_type](Context(assembler, node, inputs, self.file.opset))
            made = result if isinstance(result, list) else [result]
        self.values.update({name: value for name, value in zip(node.output, made, strict=False) if name})

    def _fold(self, node: NodeProto, inputs: list[Operand | None]) -> list[Operand] | None:
        """The node's results as constants, or None where it depends on the network's input."""
        if node.op_type == "Shape" and isinstance(inputs[0], Value):
            start, end = (attributes_of(node).get(k, d) for k, d in (("start", 0), ("end", None)))
            return [np.array(inputs[0].shape[start:end], dtype=np.int64)]
        if node.op_type == "Size" and isinstance(inputs[0], Value):
            return [np.array(prod(inputs[0].shape), dtype=np.int64)]
        if node.op_type not in FOLDABLE or any(isinstance(i, Value) for i in inputs):
            return None
        constants = {name: value for name, value in zip(node.input, inputs, strict=True) if isinstance(value, np.ndarray)}
        return list(fold(node, constants, self.file.opset))


def _known(handlers: dict[str, Handler]) -> str:
    return ", ".join(sorted({*handlers, *FOLDABLE}))


def read_onnx(path: str | Path, *, limit: int = LIMIT) -> Source:
    """Reads an ONNX file into an operator graph.

    Args:
        path: The file.
        limit: Largest size in bytes, external data included.
    Raises:
        UnsupportedOperatorError: Naming the node, its operator and the known ones.
        ModelError: If the file is missing, truncated, unsafe, ill-formed, or holds NaN or infinite weights.
    """
    return _Reader(read_onnx_file(path, limit=limit)).read()
