"""Reads an ONNX file as data, trusting nothing it says.

Sizes are checked before memory is taken, tensors must hold exactly what they declare, and external data may only come
from regular files inside the model's own folder, symbolic links resolved. Nothing in the file is executed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from netassay.errors import ModelError

LIMIT = 2 * 1024**3
"""Largest model, external data included, in bytes."""

MAX_NODES = 200_000
OLDEST_OPSET = 7
"""Before it, arithmetic broadcast along an ``axis``. No evaluator runs such files, and onnx's version converter turns some of
them into another function without a word (onnx 1.23: Add with ``broadcast=1, axis=1``), so nothing could be checked."""


@dataclass(frozen=True)
class OnnxFile:
    """A checked model: all its tensors are inside ``model``.

    Args:
        path: Where it came from.
        model: The protobuf, external data loaded.
        opset: Version of the default operator set.
    """

    path: Path
    model: ModelProto
    opset: int

    @property
    def graph(self) -> GraphProto:
        return self.model.graph


def read_onnx_file(path: str | Path, *, limit: int = LIMIT) -> OnnxFile:
    """Reads and checks the file.

    Args:
        path: The ``.onnx`` file.
        limit: Largest size in bytes, external data included.
    Raises:
        ModelError: If it is missing, too large, truncated, not ONNX, or its tensors are not what they declare.
    """
    file = Path(path)
    model = _parse(file, limit)
    _check_structure(file, model)
    remaining = limit - file.stat().st_size
    for owner, tensor in _tensors(model.graph):
        remaining -= _load_external(file, owner, tensor, remaining)
        _check_tensor(file, owner, tensor)
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"{file}: opset {opset} is older than {OLDEST_OPSET}, the oldest that can be checked; export the model again with a newer one"
        )
    return OnnxFile(file, model, opset)


def _parse(file: Path, limit: int) -> ModelProto:
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    size = file.stat().st_size
    if size > limit:
        raise ModelError(f"{file}: {size} bytes are more than the limit of {limit}")
    model = ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except (DecodeError, RecursionError) as error:
        raise ModelError(f"{file}: not an ONNX model, or a truncated one ({error}); expected a complete .onnx file") from error
    return model


def _check_structure(file: Path, model: ModelProto) -> None:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not model.ir_version or not model.graph.output or not versions:
        raise ModelError(f"{file}: not an ONNX model, or a truncated one: it lacks a version, an operator set or an output")
    if len(model.graph.node) > MAX_NODES:
        raise ModelError(f"{file}: {len(model.graph.node)} nodes are more than the limit of {MAX_NODES}")
    if model.functions:
        raise ModelError(
            f"{file}: it defines functions of its own ({model.functions[0].name}, ...); inline them first, for instance with onnx.inliner"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{file}: sparse initialisers are not supported; store them as dense tensors")


def _tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Every tensor of the graph, with the name of what holds it; subgraphs belong to operators that are refused later."""
    for tensor in graph.initializer:
        yield f"initializer {tensor.name!r}", tensor
    for node in graph.node:
        for attribute in node.attribute:
            for tensor in [attribute.t] if attribute.type == AttributeProto.TENSOR else attribute.tensors:
                yield f"node {node_label(node)!r}", tensor


def node_label(node: NodeProto) -> str:
    """The node's name, or its first output where it has none."""
    return node.name or (node.output[0] if node.output else node.op_type)


def _load_external(file: Path, owner: str, tensor: TensorProto, remaining: int) -> int:
    """Moves external data into the tensor; returns the bytes read."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return 0
    entries = {e.key: e.value for e in tensor.external_data}
    source = _inside(file, owner, entries.get("location", ""))
    expected = _declared_bytes(file, owner, tensor)
    offset, length = (_count(file, owner, entries, key, default) for key, default in (("offset", 0), ("length", expected)))
    available = source.stat().st_size - offset
    if length != expected or length > available:
        raise ModelError(
            f"{file}: {owner} declares {expected} bytes; its external data has {min(length, max(available, 0))} ({source.name})"
        )
    if length > remaining:
        raise ModelError(f"{file}: with its external data the model is larger than the limit")
    with source.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]
    return length


def _count(file: Path, owner: str, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ModelError(f"{file}: {owner} has external data with {key} {text!r}; expected a number of bytes")
    return int(text)


def _inside(file: Path, owner: str, location: str) -> Path:
    """The external file, resolved; raises ModelError unless it is a regular file below the model's folder."""
    folder = Path(os.path.realpath(file.parent))
    if not location or "\0" in location or "\\" in location or Path(location).is_absolute():
        raise ModelError(f"{file}: {owner} has external data at {location!r}; expected a path relative to the model's folder")
    source = Path(os.path.realpath(folder / location))
    if not source.is_relative_to(folder):
        raise ModelError(f"{file}: {owner} has external data at {location!r}, which leaves the model's folder; it is not read")
    if not source.exists() or not stat.S_ISREG(source.stat().st_mode):
        raise ModelError(f"{file}: {owner} has external data at {location!r}, which is no file in the model's folder")
    return source


def _declared_bytes(file: Path, owner: str, tensor: TensorProto) -> int:
    if any(d < 0 for d in tensor.dims):
        raise ModelError(f"{file}: {owner} has shape {tuple(tensor.dims)}; lengths cannot be negative")
    try:
        width = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    except (KeyError, TypeError) as error:
        raise ModelError(f"{file}: {owner} has the unknown data type {tensor.data_type}") from error
    return int(prod(tensor.dims) * width)


def _check_tensor(file: Path, owner: str, tensor: TensorProto) -> None:
    """The numbers that a tensor holds are exactly those it declares."""
    if tensor.data_type == TensorProto.STRING:
        return
    expected = _declared_bytes(file, owner, tensor)
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != expected:
            raise ModelError(f"{file}: {owner} declares {expected} bytes for shape {tuple(tensor.dims)} and holds {len(tensor.raw_data)}")
        return
    held = max(len(getattr(tensor, f)) for f in ("float_data", "double_data", "int32_data", "int64_data", "uint64_data"))
    if held != prod(tensor.dims):
        raise ModelError(f"{file}: {owner} declares {prod(tensor.dims)} numbers for shape {tuple(tensor.dims)} and holds {held}")


def array_of(tensor: TensorProto, where: str) -> NDArray[Any]:
    """The tensor as an array; raises ModelError for types that the operator graph does not compute with."""
    array = numpy_helper.to_array(tensor)
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:
        raise ModelError(f"{where}: data of type {array.dtype} is not supported; expected float32, float64, integers or booleans")
    return np.array(array)


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """The node's attributes as Python values, tensors as arrays, text as str."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, TensorProto):
            value = array_of(value, f"node {node_label(node)!r}")
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, list | tuple):
            value = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
        found[attribute.name] = value
    return found
