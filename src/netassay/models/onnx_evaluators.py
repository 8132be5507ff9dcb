"""Independent evaluation of ONNX files: onnx's reference evaluator, and onnxruntime where it is installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from netassay.errors import ModelError
from netassay.models.onnx_reader import Source

Evaluate = Callable[[NDArray[np.floating[Any]]], NDArray[np.float64]]
"""Points (N, *input_shape) to raw outputs (N, m)."""


def cut(source: Source, tensor: str | None) -> ModelProto:
    """The file's model with ``tensor`` as its only output; unchanged for None."""
    if tensor is None:
        return source.file.model
    model = ModelProto()
    model.CopyFrom(source.file.model)
    del model.graph.output[:]
    kind = TensorProto.DOUBLE if source.dtype == "float64" else TensorProto.FLOAT
    model.graph.output.append(helper.make_tensor_value_info(tensor, kind, None))
    return model


def in_double(model: ModelProto) -> ModelProto:
    """A copy that computes in float64 from the same weights."""
    double = ModelProto()
    double.CopyFrom(model)
    for tensor in double.graph.initializer:
        _widen(tensor)
    for node in double.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return double


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def reference(source: Source, tensor: str | None = None, *, double: bool = False) -> Evaluate:
    """The file by onnx's reference evaluator, as the file is batched.

    Args:
        source: The file.
        tensor: Read this tensor instead of the output.
        double: Compute in float64 instead of the file's own precision.
    Raises:
        ModelError: If the evaluator cannot run the file (when the result is called).
    """
    from netassay.models.onnx_reference import reference_evaluator  # loads a class for every operator there is

    try:
        model = cut(source, tensor)
        session = reference_evaluator(in_double(model) if double else model)
    except Exception as error:
        raise ModelError(f"{source.file.path}: onnx's reference evaluator refuses the file: {type(error).__name__}: {error}") from error
    return _evaluate(source, lambda batch: _first(session.run(None, {source.input_name: batch})), "float64" if double else source.dtype)


def _first(results: Any) -> Any:
    return results[0]


def onnxruntime(source: Source, tensor: str | None = None) -> Evaluate | None:
    """The file by onnxruntime on one CPU thread, its telemetry off; None where it is not installed or refuses the file."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the package is imported
    import onnxruntime as runtime  # type: ignore[import-untyped]

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = runtime.InferenceSession(cut(source, tensor).SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # a file that it does not support: the reference evaluator stands in
        return None
    return _evaluate(source, lambda batch: _first(session.run(None, {source.input_name: batch})), source.dtype)


def _evaluate(source: Source, run: Callable[[NDArray[Any]], Any], dtype: str) -> Evaluate:
    def call(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        rows = np.asarray(points, dtype=dtype)
        try:
            with np.errstate(all="ignore"):  # sigmoids of large arguments overflow on their way to the right value
                outputs = _batched(source, run, rows) if source.dynamic else None
                if outputs is None:
                    outputs = np.stack([np.asarray(run(row.reshape(source.file_shape))).reshape(-1) for row in rows])
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{source.file.path}: the source cannot be evaluated: {type(error).__name__}: {error}") from error
        return np.asarray(outputs, dtype=np.float64)

    return call


def _batched(source: Source, run: Callable[[NDArray[Any]], Any], rows: NDArray[Any]) -> NDArray[Any] | None:
    """The file on a whole batch; None where it declares a dynamic batch and cannot take one."""
    try:
        found = np.asarray(run(rows.reshape(len(rows), *source.file_shape[1:])))
    except Exception:  # a reshape inside with a hard-coded batch of one: the caller goes row by row, which raises what else is wrong
        return None
    return found.reshape(len(rows), -1) if found.ndim and found.shape[0] == len(rows) else None


def evaluators(source: Source, tensor: str | None = None) -> dict[str, Evaluate]:
    """The best independent evaluator, by name: onnxruntime where it works, else the reference evaluator; one point at a time."""
    fast = onnxruntime(source, tensor)
    name, evaluate = ("onnx-reference", reference(source, tensor)) if fast is None else ("onnxruntime", fast)

    def singly(points: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        return np.concatenate([evaluate(points[i : i + 1]) for i in range(len(points))])

    return {f"{name}-{source.dtype}": singly}
