"""Computes ONNX nodes whose inputs are all constants, within a limit on what they may grow to."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from netassay.errors import ModelError
from netassay.models.onnx_file import attributes_of, node_label

Array = NDArray[Any]

# fmt: off
FOLDABLE = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Erf", "Exp", "Expand",
        "Flatten", "Floor", "Gather", "Greater", "Identity", "Less", "Log", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "Not",
        "Or", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape",
        "Round", "Shape", "Sigmoid", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose",
        "Unsqueeze", "Where",
    }
)
# fmt: on
"""Operators that are computed while reading; onnx's reference evaluator runs them, one node at a time."""

LIMIT = 64 * 1024**2
"""Most numbers that one node may make beyond twice those it reads."""


def fold(node: NodeProto, inputs: dict[str, Array], opset: int) -> list[Array]:
    """The node's outputs, in order; left-out ones are empty.

    Args:
        node: A node of FOLDABLE.
        inputs: Its inputs by name.
        opset: Version of the default operator set.
    Raises:
        ModelError: If the result would be too large, or cannot be computed.
    """
    arrays = [inputs[name] for name in node.input if name]
    size = _result_size(node, arrays)
    if size > max(LIMIT, 2 * sum(a.size for a in arrays)):
        raise ModelError(f"node {node_label(node)!r} ({node.op_type}): its constant result would have {size} numbers; the limit is {LIMIT}")
    ins = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()]
    names = [n for n in node.output if n]
    graph = helper.make_graph([node], "fold", ins, [helper.make_empty_tensor_value_info(n) for n in names])
    from onnx.reference import ReferenceEvaluator  # loads a class for every operator there is; most files have nothing to fold

    try:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        made = dict(zip(names, ReferenceEvaluator(model).run(None, inputs), strict=True))
    except Exception as error:
        raise ModelError(
            f"node {node_label(node)!r} ({node.op_type}): its constants cannot be computed: {type(error).__name__}: {error}"
        ) from error
    return [np.asarray(made[n]) if n else np.zeros(0) for n in node.output]


def _result_size(node: NodeProto, inputs: list[Array]) -> int:
    """An upper bound on the numbers that the node makes."""
    kind = node.op_type
    if not inputs:
        return 0
    if kind == "ConstantOfShape":
        return int(prod(max(int(n), 0) for n in inputs[0].reshape(-1)))
    if kind in ("Expand", "Tile") and len(inputs) > 1:
        return int(inputs[0].size) * prod(max(int(n), 1) for n in inputs[1].reshape(-1))
    if kind == "Range" and len(inputs) == 3:
        first, last, step = (float(a.reshape(-1)[0]) for a in inputs)
        return LIMIT + 1 if step == 0 or not np.isfinite((last - first) / step) else int(abs((last - first) / step))
    if kind == "Gather" and len(inputs) > 1 and inputs[0].ndim:
        axis = int(attributes_of(node).get("axis", 0)) % inputs[0].ndim
        return int(inputs[0].size // max(inputs[0].shape[axis], 1) * inputs[1].size)
    if kind == "MatMul" and len(inputs) > 1 and min(a.ndim for a in inputs) > 0:
        return int(inputs[0].size // max(inputs[0].shape[-1], 1) * inputs[1].size)
    shapes = [a.shape for a in inputs]
    rank = max(len(s) for s in shapes)
    together = prod(max((s[-i] for s in shapes if i <= len(s)), default=1) for i in range(1, rank + 1))
    return int(max(together, sum(a.size for a in inputs)) if kind == "Concat" else together)
