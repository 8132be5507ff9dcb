"""ONNX conventions: batch axes, initialisers listed as inputs, old opsets, shape arithmetic, heads; and the replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from netassay.errors import ModelError, PropertyError
from netassay.models import onnx_operators
from netassay.models.onnx_network import load_onnx
from netassay.models.onnx_reader import read_onnx
from netassay.models.scores import Decision, Meaning
from netassay.models.torch_network import GraphNetwork, as_function
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem

RNG = np.random.default_rng(9)
Array = NDArray[Any]


def draw(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype("f4")


def save(
    folder: Path,
    nodes: Sequence[Any],
    shape: Sequence[int | str],
    constants: dict[str, Array],
    *,
    opset: int = 17,
    listed: bool = False,
    output: str = "y",
    double: bool = False,
) -> Path:
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    if listed:
        inputs = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors] + inputs
    graph = helper.make_graph(list(nodes), "g", inputs, [helper.make_tensor_value_info(output, kind, None)], tensors)
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if opset < 9 else 8), path)
    return path


def replayed(path: Path, network: GraphNetwork, file_shape: tuple[int, ...], rows: int = 3) -> None:
    """The network on a batch against the file run row by row by the reference evaluator."""
    x = draw(rows, *network.input_shape)
    run = ReferenceEvaluator(onnx.load(path))
    expected = np.stack([np.asarray(run.run(None, {"x": row.reshape(file_shape)})[0]).reshape(-1) for row in x])
    np.testing.assert_allclose(as_function(network)(x), expected, rtol=1e-5, atol=1e-6)


def acas(folder: Path, *, listed: bool) -> Path:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["s"]),
        helper.make_node("Flatten", ["s"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    return save(folder, nodes, [1, 1, 1, 5], {"mean": draw(1, 1, 1, 5), "w": draw(5, 3), "b": draw(3)}, opset=8, listed=listed)


@pytest.mark.parametrize("listed", [True, False])
def test_initialisers_listed_as_inputs_and_a_batch_of_one(tmp_path: Path, listed: bool) -> None:
    path = acas(tmp_path, listed=listed)
    network = load_onnx(path)
    assert network.input_shape == (1, 1, 5)
    replayed(path, network, (1, 1, 1, 5))


@pytest.mark.parametrize(("shape", "sample"), [([1], (1,)), ([4], (4,)), ([2, 4], (2, 4)), ([1, 4], (4,)), (["n", 4], (4,))], ids=str)
def test_files_without_and_with_a_batch_axis(tmp_path: Path, shape: list[Any], sample: tuple[int, ...]) -> None:
    constants = {"w": draw(sample[-1], 3)}
    path = save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])], shape, constants)
    network = load_onnx(path, outputs=Meaning.VALUES)
    assert network.input_shape == sample
    replayed(path, network, tuple(1 if isinstance(n, str) else n for n in shape))


def test_a_fixed_first_axis_above_one_is_part_of_the_sample_and_said(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [2, 4], {})
    assert any("all of it is taken as one input" in n for n in load_onnx(path).notes)


@pytest.mark.parametrize("target", [[1, 12], [-1, 12], [0, -1], [1, -1]], ids=str)
@pytest.mark.parametrize("batch", [1, "n"])
def test_reshape_with_a_hard_coded_batch_takes_any_batch(tmp_path: Path, target: list[int], batch: int | str) -> None:
    nodes = [helper.make_node("Reshape", ["x", "t"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["y"])]
    path = save(tmp_path, nodes, [batch, 3, 4], {"t": np.array(target), "w": draw(12, 2)})
    network = load_onnx(path)
    replayed(path, network, (1, 3, 4))


def test_reshape_computed_from_the_shape(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["b"], axis=0),
        helper.make_node("Unsqueeze", ["b", "first"], ["b1"]),
        helper.make_node("Concat", ["b1", "rest"], ["t"], axis=0),
        helper.make_node("Reshape", ["x", "t"], ["y"]),
    ]
    path = save(tmp_path, nodes, ["n", 3, 4], {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1])})
    network = load_onnx(path)
    assert [n.operator.name for n in network.graph.nodes] == ["Reshape"]
    replayed(path, network, (1, 3, 4))


def test_a_reshape_that_joins_samples_of_a_dynamic_batch_is_refused(tmp_path: Path) -> None:
    """Rows of such a file are not independent: reshaped to (5, -1) a batch mixes its samples."""
    nodes = [
        helper.make_node("Reshape", ["x", "t"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["m"], axes=[0]),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    path = save(tmp_path, nodes, ["n", 5], {"t": np.array([-1, 5])})
    with pytest.raises(ModelError, match="deviates from onnx's reference evaluator"):
        load_onnx(path)


def test_convolution_in_an_unbatched_file(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "t"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["c"]),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]
    path = save(tmp_path, nodes, [36], {"t": np.array([1, 1, 6, 6]), "w": draw(2, 1, 3, 3)})
    replayed(path, load_onnx(path), (36,))


def test_opset_before_seven_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["y"], broadcast=1, axis=1)]
    with pytest.raises(ModelError, match="opset 6 is older than 7"):
        read_onnx(save(tmp_path, nodes, [1, 3, 2], {"b": draw(3)}, opset=6, listed=True))


def test_double_files_keep_their_precision(tmp_path: Path) -> None:
    weight = RNG.standard_normal((4, 3))
    path = save(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [1, 4], {"w": weight}, double=True)
    network = load_onnx(path)
    assert network.dtype == "float64"
    x = RNG.standard_normal((2, 4))
    np.testing.assert_allclose(as_function(network)(x), x @ weight, rtol=1e-14)


def classifier(folder: Path, last: Sequence[Any], outputs: int = 3) -> Path:
    return save(
        folder, [helper.make_node("Gemm", ["x", "w", "b"], ["z"], transB=1), *last], ["n", 4], {"w": draw(outputs, 4), "b": draw(outputs)}
    )


SOFTMAX = [helper.make_node("Softmax", ["z"], ["y"], axis=-1)]
SIGMOID = [helper.make_node("Sigmoid", ["z"], ["y"])]


@pytest.mark.parametrize("outputs", [None, Meaning.LOGITS, Meaning.PROBABILITIES])
def test_final_softmax_is_recognised_and_logits_recovered(tmp_path: Path, outputs: Meaning | None) -> None:
    path = classifier(tmp_path, SOFTMAX)
    network = load_onnx(path, outputs=outputs)
    assert network.convention.meaning is Meaning.LOGITS
    assert [n.operator.name for n in network.graph.nodes] == ["Dense"]
    assert any("probabilities" in n for n in network.notes)
    x = draw(5, 4)
    logits = as_function(network)(x)
    probabilities = ReferenceEvaluator(onnx.load(path)).run(None, {"x": x})[0]
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), probabilities, rtol=1e-5)
    for evaluate in network.originals().values():
        np.testing.assert_allclose(evaluate(x), logits, rtol=1e-5)


@pytest.mark.parametrize(("last", "size", "outputs"), [(SOFTMAX, 3, Meaning.PROBABILITIES), (SOFTMAX, 3, None), (SIGMOID, 1, None)])
def test_a_model_whose_head_is_off_is_not_asked_about_its_own_outputs(
    tmp_path: Path, last: Sequence[Any], size: int, outputs: Meaning | None
) -> None:
    """What a specification says of probabilities must not be read off logits, which may hold there where it does not hold."""
    path, box = classifier(tmp_path, last, size), Box.filled((4,), 0.0, 1.0)
    unsafe = OutputHalfspaces([np.eye(1, size)], [np.array([0.5])])
    for network in (load_onnx(path, outputs=outputs), load_onnx(path, outputs=outputs).with_preprocessing(0.5, 2.0).with_domain(box)):
        with pytest.raises(PropertyError, match="outputs='values'"):
            Problem(network, box, unsafe)
    assert Problem(load_onnx(path, outputs=Meaning.VALUES), box, unsafe).network.output_size == size


def test_final_softmax_is_kept_for_plain_values(tmp_path: Path) -> None:
    network = load_onnx(classifier(tmp_path, SOFTMAX), outputs=Meaning.VALUES)
    assert network.graph.nodes[-1].operator.name == "Softmax"
    assert network.labels == 0


def test_softmax_over_part_of_the_outputs_is_not_a_head(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["z", "t"], ["r"]), helper.make_node("Softmax", ["r"], ["y"], axis=-1)]
    constants = {"w": draw(6, 4), "b": draw(6), "t": np.array([0, 2, 3])}
    path = save(tmp_path, [helper.make_node("Gemm", ["x", "w", "b"], ["z"], transB=1), *nodes], ["n", 4], constants)
    assert load_onnx(path).graph.nodes[-2].operator.name == "Softmax"


@pytest.mark.parametrize("outputs", [None, Meaning.SIGMOID, Meaning.BINARY_LOGIT])
def test_single_sigmoid_means_two_labels(tmp_path: Path, outputs: Meaning | None) -> None:
    network = load_onnx(classifier(tmp_path, SIGMOID, 1), outputs=outputs)
    assert network.convention.meaning is Meaning.BINARY_LOGIT
    assert network.labels == 2
    assert [n.operator.name for n in network.graph.nodes] == ["Dense"]


def test_single_output_without_sigmoid_is_a_value(tmp_path: Path) -> None:
    assert load_onnx(classifier(tmp_path, [helper.make_node("Identity", ["z"], ["y"])], 1)).convention.meaning is Meaning.VALUES


def test_several_sigmoids_are_labels_and_said(tmp_path: Path) -> None:
    network = load_onnx(classifier(tmp_path, SIGMOID))
    assert network.convention.meaning is Meaning.LOGITS
    assert any("one sigmoid per output" in n for n in network.notes)


@pytest.mark.parametrize(
    ("outputs", "size"), [(Meaning.SIGMOID, 3), (Meaning.BINARY_LOGIT, 3), (Meaning.LOGITS, 1), (Meaning.PROBABILITIES, 1)]
)
def test_meanings_that_do_not_fit_the_number_of_outputs(tmp_path: Path, outputs: Meaning, size: int) -> None:
    with pytest.raises(ModelError, match=f"outputs {outputs} mean"):
        load_onnx(classifier(tmp_path, [helper.make_node("Identity", ["z"], ["y"])], size), outputs=outputs)


def test_decision_is_part_of_the_identity(tmp_path: Path) -> None:
    path = classifier(tmp_path, SOFTMAX)
    assert load_onnx(path).sha256 == load_onnx(path).sha256
    assert load_onnx(path, decision=Decision.ARGMIN).sha256 != load_onnx(path).sha256


def test_a_wrong_operator_is_caught_by_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = classifier(tmp_path, [helper.make_node("Sigmoid", ["z"], ["y"])])
    monkeypatch.setitem(onnx_operators.HANDLERS, "Sigmoid", onnx_operators.HANDLERS["Tanh"])
    with pytest.raises(ModelError, match=r"deviates from onnx's reference evaluator by .* 1e-05 is allowed"):
        load_onnx(path)


def test_a_small_error_in_a_weight_is_caught_by_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = classifier(tmp_path, [helper.make_node("Elu", ["z"], ["y"], alpha=1.0)])
    table = onnx_operators.HANDLERS
    monkeypatch.setitem(table, "Elu", lambda c: c.assembler.scaled(c.assembler.unary(onnx_operators.nonlinear.Elu(1.0), c.value()), 1.0001))
    with pytest.raises(ModelError, match="deviates"):
        load_onnx(path)


def test_float32_rounding_is_told_from_a_wrong_graph(tmp_path: Path) -> None:
    """Outputs that are differences of much larger numbers deviate in float32 and agree in float64: read, and said."""
    weight = draw(1, 300)
    constants = {
        "a": np.tile(weight, (64, 1)).T * 1000,
        "b": np.concatenate([np.ones(32), -np.ones(32)]).astype("f4")[:, None] + draw(64, 1) * np.float32(1e-3),
    }
    nodes = [helper.make_node("MatMul", ["x", "a"], ["m"]), helper.make_node("MatMul", ["m", "b"], ["y"])]
    network = load_onnx(save(tmp_path, nodes, ["n", 300], constants))
    assert any("float32 rounding alone" in n for n in network.notes)


def test_originals_evaluate_the_file_itself(tmp_path: Path) -> None:
    path = acas(tmp_path, listed=True)
    network = load_onnx(path).with_preprocessing(mean=[1, 2, 3, 4, 5], std=2.0)
    x = draw(3, 1, 1, 5)
    ((name, evaluate),) = network.originals().items()
    assert name.endswith("float32")
    np.testing.assert_allclose(evaluate(x), as_function(network)(x), rtol=1e-4, atol=1e-5)
    assert network.originals() is network.originals()


def test_gradients_float64_and_domain(tmp_path: Path) -> None:
    network = load_onnx(acas(tmp_path, listed=False), domain=Box.filled((1, 1, 5), -1, 1))
    x = torch.zeros(2, 1, 1, 5, requires_grad=True)
    network.outputs(x).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0
    double = network.in_float64()
    assert double.dtype == "float64"
    assert double.outputs(torch.zeros(2, 1, 1, 5, dtype=torch.float64)).dtype is torch.float64
    assert double.sha256 == network.sha256
    narrow = network.with_domain(Box.filled((1, 1, 5), 0, 1))
    assert narrow.in_float64().domain is narrow.domain
    assert network.domain.lower.min() == -1
