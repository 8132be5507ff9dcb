"""Every ONNX operator on random shapes against onnx's reference evaluator, or onnxruntime where that one is known to be wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from netassay.errors import ModelError, UnsupportedOperatorError
from netassay.models.onnx_network import load_onnx
from netassay.models.onnx_operators import HANDLERS
from netassay.models.onnx_reader import read_onnx
from netassay.models.scores import Meaning
from netassay.models.torch_graph import GraphModule

RNG = np.random.default_rng(5)
Array = NDArray[Any]


def draw(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype("f4")


def model(
    nodes: Sequence[Any],
    shape: Sequence[int | str],
    constants: dict[str, Array] | None = None,
    *,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model with input ``x`` and output ``y``."""
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()]
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", kind, shape)], [helper.make_tensor_value_info("y", kind, None)], tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(kind: str, *constants: str, **attributes: Any) -> Any:
    return helper.make_node(kind, ["x", *constants], ["y"], **attributes)


Case = tuple[str, Any, Sequence[int], dict[str, Array], int]


def simple(kind: str, shape: Sequence[int] = (1, 3, 4), *, opset: int = 17, **attributes: Any) -> Case:
    return kind, node(kind, **attributes), shape, {}, opset


def with_constants(kind: str, shape: Sequence[int], constants: Sequence[Array], *, opset: int = 17, **attributes: Any) -> Case:
    named = {f"k{i}": a for i, a in enumerate(constants)}
    return kind, node(kind, *named, **attributes), shape, named, opset


def ints(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def lstm(directions: int, *, direction: str, layout: int = 0, **attributes: Any) -> Case:
    arrays = [draw(directions, 12, 4), draw(directions, 12, 3), draw(directions, 24)]
    named = {f"k{i}": a for i, a in enumerate(arrays)}
    made = helper.make_node("LSTM", ["x", *named], ["y"], hidden_size=3, direction=direction, layout=layout, **attributes)
    return "LSTM", made, (1, 5, 4) if layout else (5, 1, 4), named, 17


CASES: list[Case] = [
    *(simple(k) for k in ("Abs", "Cos", "Erf", "Exp", "Identity", "Neg", "Relu", "Sigmoid", "Sin", "Softplus", "Tanh", "HardSwish")),
    *(simple(k) for k in ("HardSigmoid", "Elu", "Selu", "LeakyRelu", "Flatten", "GlobalAveragePool")),
    simple("GlobalMaxPool", (1, 3, 4, 5)),
    simple("Elu", alpha=1.7),
    simple("LeakyRelu", alpha=0.3),
    simple("Selu", alpha=1.2, gamma=0.7),
    simple("HardSigmoid", alpha=0.3, beta=0.4),
    simple("Gelu", opset=20),
    simple("Gelu", opset=20, approximate="tanh"),
    simple("Swish", opset=24),
    simple("Dropout"),
    simple("Cast", to=TensorProto.FLOAT),
    simple("Flatten", (1, 3, 4), axis=0),
    simple("Flatten", (1, 3, 4), axis=-1),
    *(with_constants(k, (1, 3, 4), [draw(3, 1)]) for k in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    with_constants("Add", (1, 4), [draw(2, 1, 4)]),
    with_constants("Add", (1, 4), [draw(5, 4)]),
    with_constants("Max", (1, 4), [np.float32(0.1)]),
    with_constants("Min", (1, 3), [draw(1), draw(3)]),
    with_constants("Sum", (1, 3), [draw(1, 3), draw(3)]),
    with_constants("Mean", (1, 3), [draw(1, 3), draw(3)]),
    with_constants("Pow", (1, 3), [np.float32(2)]),
    with_constants("Pow", (1, 3), [np.float32(3)]),
    with_constants("Clip", (1, 4), [np.float32(-0.5), np.float32(0.4)]),
    ("Clip", node("Clip", min=-0.5, max=0.4), (1, 4), {}, 8),
    with_constants("PRelu", (1, 3, 4), [draw(3, 1)]),
    with_constants("PRelu", (1, 3, 4), [np.float32(0.3)]),
    with_constants("Reshape", (1, 3, 4), [ints(1, 2, 6)]),
    with_constants("Reshape", (1, 3, 4), [ints(0, -1)]),
    with_constants("Reshape", (1, 3, 4), [ints(-1)]),
    with_constants("Reshape", (1, 3, 4), [ints(2, 6)]),
    with_constants("Squeeze", (1, 1, 4), [ints(1)]),
    with_constants("Squeeze", (1, 1, 4), [ints(0, 1)]),
    ("Squeeze", node("Squeeze", axes=[1]), (1, 1, 4), {}, 11),
    with_constants("Unsqueeze", (1, 4), [ints(1, 3)]),
    with_constants("Unsqueeze", (1, 4), [ints(0)]),
    simple("Transpose", (1, 3, 4), perm=[0, 2, 1]),
    simple("Transpose", (1, 3, 4), perm=[2, 0, 1]),
    simple("Transpose", (1, 3, 4)),
    with_constants("Slice", (1, 6, 5), [ints(1, -3), ints(5, 1000), ints(1, 2), ints(2, 1)]),
    with_constants("Slice", (1, 6, 5), [ints(-1), ints(-1000), ints(1), ints(-2)]),
    with_constants("Slice", (1, 6, 5), [ints(4), ints(0), ints(2), ints(-1)]),
    ("Slice", node("Slice", starts=[1], ends=[3], axes=[1]), (1, 6, 5), {}, 9),
    with_constants("Gather", (1, 6, 5), [ints(3, -1, 0)], axis=1),
    with_constants("Gather", (1, 6, 5), [np.array(2)], axis=2),
    with_constants("Gather", (1, 6, 5), [np.array([[0, 1], [2, 3]])], axis=1),
    with_constants("Gather", (1, 6), [np.array(0)], axis=0),
    ("Concat", helper.make_node("Concat", ["x", "k", "x"], ["y"], axis=1), (1, 3, 4), {"k": draw(1, 2, 4)}, 17),
    ("Concat", helper.make_node("Concat", ["x", "x"], ["y"], axis=0), (1, 3), {}, 17),
    ("Split", helper.make_node("Split", ["x"], ["a", "y"], axis=1), (1, 6), {}, 13),
    ("Split", helper.make_node("Split", ["x", "k"], ["a", "y"], axis=1), (1, 6), {"k": ints(4, 2)}, 13),
    ("Split", helper.make_node("Split", ["x"], ["a", "y"], axis=1, num_outputs=2), (1, 5), {}, 18),
    with_constants("Expand", (1, 1, 4), [ints(1, 3, 4)]),
    with_constants("Expand", (1, 4), [ints(5, 4)]),
    with_constants("Pad", (1, 3, 4), [ints(0, 1, 0, 0, 0, 2), np.float32(0.7)]),
    with_constants("Pad", (1, 3, 4), [ints(0, 1, 2, 0, 0, 1)], mode="reflect"),
    with_constants("Pad", (1, 3, 4), [ints(0, 0, 2, 0, 1, 1)], mode="edge"),
    ("Pad", helper.make_node("Pad", ["x", "p", "", "a"], ["y"]), (1, 3, 4), {"p": ints(1, 2), "a": ints(-1)}, 18),
    ("Pad", node("Pad", pads=[0, 0, 1, 0, 0, 2], value=0.5), (1, 3, 4), {}, 9),
    *(with_constants(k, (1, 3, 4), [ints(2)], opset=18, keepdims=0) for k in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")),
    *(("Reduce" + k, node("Reduce" + k, axes=[1, -1], keepdims=1), (1, 3, 4), {}, 11) for k in ("Max", "Mean", "Min", "Sum")),
    simple("ReduceMean", keepdims=0),
    simple("ReduceSum", (1, 3, 4), opset=13),
    ("ReduceMean", node("ReduceMean", axes=[0], keepdims=0), (1, 3), {}, 11),
    simple("Softmax", (1, 3, 4), axis=-1),
    simple("Softmax", (1, 3, 4), axis=1),
    simple("LogSoftmax", (1, 3, 4), axis=2),
    with_constants("Gemm", (1, 4), [draw(4, 3), draw(3)], alpha=0.5, beta=2.0),
    with_constants("Gemm", (1, 4), [draw(3, 4), draw(1)], transB=1),
    with_constants("Gemm", (1, 4), [draw(4, 3), draw(1, 3)]),
    ("Gemm", helper.make_node("Gemm", ["k", "x"], ["y"], transB=1), (1, 4), {"k": draw(2, 4)}, 17),
    with_constants("MatMul", (1, 3, 4), [draw(4, 2)]),
    with_constants("MatMul", (1, 4), [draw(4)]),
    with_constants("MatMul", (1, 2, 3, 4), [draw(2, 4, 5)]),
    with_constants("MatMul", (1, 3, 4), [draw(1, 4, 5)]),
    ("MatMul", helper.make_node("MatMul", ["k", "x"], ["y"]), (1, 4, 3), {"k": draw(5, 4)}, 17),
    ("MatMul", helper.make_node("MatMul", ["k", "x"], ["y"]), (4,), {"k": draw(5, 4)}, 17),
    ("MatMul", helper.make_node("MatMul", ["k", "x"], ["y"]), (1, 4, 3), {"k": draw(2, 5, 4)}, 17),
    with_constants("Conv", (1, 3, 7, 6), [draw(4, 3, 3, 2), draw(4)]),
    with_constants("Conv", (1, 4, 9, 8), [draw(6, 2, 3, 3)], group=2, strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    with_constants("Conv", (1, 3, 9), [draw(4, 3, 3), draw(4)], strides=[2], pads=[1, 1]),
    with_constants("Conv", (1, 3, 8, 7), [draw(4, 3, 3, 2)], auto_pad="SAME_UPPER", strides=[2, 2]),
    with_constants("Conv", (1, 3, 8, 7), [draw(4, 3, 2, 2)], auto_pad="SAME_LOWER"),
    with_constants("ConvTranspose", (1, 3, 4, 5), [draw(3, 2, 3, 3), draw(2)], strides=[2, 1], pads=[1, 0, 0, 1], output_padding=[1, 0]),
    simple("MaxPool", (1, 2, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1]),
    simple("MaxPool", (1, 2, 9), kernel_shape=[3], strides=[2]),
    simple("AveragePool", (1, 2, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]),
    simple("AveragePool", (1, 2, 7, 6), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], count_include_pad=1),
    with_constants("BatchNormalization", (1, 3, 4), [draw(3), draw(3), draw(3), np.abs(draw(3)) + 0.1], epsilon=1e-3),
    with_constants("InstanceNormalization", (1, 3, 4), [draw(3), draw(3)]),
    with_constants("LayerNormalization", (1, 3, 4), [draw(4), draw(4)], axis=-1),
    with_constants("LayerNormalization", (1, 3, 4), [draw(3, 4)], axis=1),
    lstm(1, direction="forward"),
    lstm(1, direction="reverse"),
    lstm(2, direction="bidirectional"),
    lstm(1, direction="forward", layout=1),
]
REFERENCE_IS_WRONG: list[Case] = [
    simple("Softmax", (1, 3, 4), axis=1, opset=11),
    simple("GlobalMaxPool", (1, 3, 4)),
    with_constants("ConvTranspose", (1, 4, 5), [draw(4, 2, 3)], group=2, strides=[2]),
]
POSITIVE = {"Log": simple("Log"), "Sqrt": simple("Sqrt"), "Reciprocal": simple("Reciprocal")}
TWO_TENSORS = ("Add", "Sub", "Mul", "Div", "Max", "Min", "MatMul", "Sum", "Mean")


def ours(path: Any, x: Array) -> Array:
    source = read_onnx(path)
    rows = torch.from_numpy(x.reshape(1, *source.graph.input_shape))
    return np.asarray(GraphModule(source.graph)(rows).numpy()[0])


def check(made: onnx.ModelProto, tmp_path: Any, x: Array) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(made, path)
    expected = np.asarray(ReferenceEvaluator(made).run(None, {"x": x})[0])
    np.testing.assert_allclose(ours(path, x), expected.reshape(-1), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("kind", "made", "shape", "constants", "opset"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_agrees_with_the_reference(
    kind: str, made: Any, shape: Sequence[int], constants: dict[str, Array], opset: int, tmp_path: Any
) -> None:
    check(model([made], shape, constants, opset=opset), tmp_path, draw(*shape))


@pytest.mark.parametrize(
    ("kind", "made", "shape", "constants", "opset"), REFERENCE_IS_WRONG, ids=[f"{c[0]}-{i}" for i, c in enumerate(REFERENCE_IS_WRONG)]
)
def test_agrees_with_onnxruntime_where_the_reference_is_wrong(
    kind: str, made: Any, shape: Sequence[int], constants: dict[str, Array], opset: int, tmp_path: Any
) -> None:
    onnx.save(model([made], shape, constants, opset=opset), tmp_path / "m.onnx")
    against_onnxruntime(tmp_path / "m.onnx", draw(*shape))
    network = load_onnx(tmp_path / "m.onnx", outputs=Meaning.VALUES)
    assert any("onnxruntime" in note for note in network.notes)


def against_onnxruntime(path: Any, x: Array) -> None:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    runtime = pytest.importorskip("onnxruntime")
    expected = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_allclose(ours(path, x), expected.reshape(-1), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", POSITIVE)
def test_agrees_where_only_positive_numbers_make_sense(kind: str, tmp_path: Any) -> None:
    _, made, shape, constants, opset = POSITIVE[kind]
    check(model([made], shape, constants, opset=opset), tmp_path, np.abs(draw(*shape)) + np.float32(0.2))


@pytest.mark.parametrize("kind", TWO_TENSORS)
@pytest.mark.parametrize("shape", [(1, 4, 4), (4, 4)], ids=["batched", "unbatched"])
def test_agrees_on_two_computed_tensors(kind: str, shape: tuple[int, ...], tmp_path: Any) -> None:
    nodes = [helper.make_node("Exp", ["x"], ["e"]), helper.make_node(kind, ["x", "e"], ["y"])]
    check(model(nodes, shape), tmp_path, draw(*shape))


def test_factors_of_a_dense_layer_lose_nothing(tmp_path: Any) -> None:
    """float32 weights times a float32 factor are exact in float64: the graph is the file's network in real arithmetic."""
    path = tmp_path / "m.onnx"
    constants = {"w": np.array([[3.0]], dtype="f4"), "b": np.array([7.0], dtype="f4")}
    onnx.save(model([helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.1, beta=0.3)], (1, 1), constants), str(path))
    (dense,) = read_onnx(path).graph.nodes
    weight, bias = (getattr(dense.operator, name).item() for name in ("weight", "bias"))
    assert Fraction(weight) == 3 * Fraction(float(np.float32(0.1)))
    assert Fraction(bias) == 7 * Fraction(float(np.float32(0.3)))


@pytest.mark.parametrize(("kind", "attributes"), [("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1})])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 1]])
def test_ceil_mode_agrees_with_onnxruntime(kind: str, attributes: dict[str, int], pads: list[int], tmp_path: Any) -> None:
    made = model([node(kind, kernel_shape=[3, 2], strides=[2, 3], pads=pads, ceil_mode=1, **attributes)], (1, 2, 8, 7), opset=19)
    path = tmp_path / "m.onnx"
    onnx.save(made, path)
    against_onnxruntime(path, draw(1, 2, 8, 7))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_lstm_with_hard_gates_agrees_with_onnxruntime(direction: str, tmp_path: Any) -> None:
    d = 2 if direction == "bidirectional" else 1
    activations = {"activations": ["HardSigmoid", "Tanh", "Tanh"] * d, "activation_alpha": [0.3] * d, "activation_beta": [0.4] * d}
    _, made, shape, constants, opset = lstm(d, direction=direction, **activations)
    path = tmp_path / "m.onnx"
    onnx.save(model([made], shape, constants, opset=opset), path)
    against_onnxruntime(path, draw(*shape))


def test_every_operator_of_the_table_has_a_case() -> None:
    assert {c[0] for c in CASES} | set(POSITIVE) | set(TWO_TENSORS) == set(HANDLERS)


REFUSED: list[Case] = [
    ("exponents", node("Pow", "k"), (1, 3), {"k": draw(3)}, 17),
    ("casts to integers", node("Cast", to=TensorProto.INT64), (1, 3), {}, 17),
    ("computed weights", helper.make_node("Conv", ["x", "x"], ["y"]), (1, 1, 3, 3), {}, 17),
    ("training batch norm", node("BatchNormalization", *"abcd", training_mode=1), (1, 3), {n: np.abs(draw(3)) for n in "abcd"}, 17),
    ("dilated average", node("AveragePool", kernel_shape=[2], dilations=[2]), (1, 1, 9), {}, 19),
]


@pytest.mark.parametrize(("kind", "made", "shape", "constants", "opset"), REFUSED, ids=[c[0] for c in REFUSED])
def test_forms_that_are_not_supported_are_said(
    kind: str, made: Any, shape: Sequence[int], constants: dict[str, Array], opset: int, tmp_path: Any
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model([made], shape, constants, opset=opset), path)
    with pytest.raises(UnsupportedOperatorError, match="'y'"):
        read_onnx(path)


def test_padding_that_is_no_padding_mode(tmp_path: Any) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model([node("Pad", "k", mode="wrap")], (1, 4), {"k": ints(0, 1, 0, 1)}, opset=19), path)
    with pytest.raises(ModelError, match="'wrap'.*known: constant"):
        read_onnx(path)
