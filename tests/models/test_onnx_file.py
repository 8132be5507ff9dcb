"""ONNX files that cannot be trusted, or are not what they say: each is refused with an error that says why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netassay.errors import InputError, ModelError, UnsupportedOperatorError
from netassay.models.onnx_file import read_onnx_file
from netassay.models.onnx_reader import read_onnx

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype("f4")


def linear_model(
    weight: np.ndarray[Any, Any] = WEIGHT, *, kind: str = "MatMul", opset: int = 17, domain: str = "", **attributes: Any
) -> onnx.ModelProto:
    nodes = [helper.make_node(kind, ["x", "w"], ["y"], name="the_node", domain=domain, **attributes)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def external(folder: Path, location: str, **entries: str) -> Path:
    model = linear_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return saved(folder, model)


def test_missing_file() -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_onnx("nowhere.onnx")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_truncated_file(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, linear_model())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match="truncated"):
        read_onnx(path)


@pytest.mark.parametrize("content", [b"", b"not onnx at all, but text", bytes(range(256))], ids=["empty", "text", "bytes"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX model"):
        read_onnx(path)


def test_every_prefix_and_many_changed_bytes_give_a_model_or_an_input_error(tmp_path: Path) -> None:
    path = saved(tmp_path, linear_model())
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    variants = [bytes(whole[:n]) for n in range(0, len(whole), 7)]
    for _ in range(150):
        changed = bytearray(whole)
        changed[int(rng.integers(len(whole)))] = int(rng.integers(256))
        variants.append(bytes(changed))
    refused = 0
    for content in variants:
        path.write_bytes(content)
        try:
            read_onnx(path)
        except InputError:
            refused += 1
    assert refused > len(range(0, len(whole), 7))


def test_size_limit(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="more than the limit of 100"):
        read_onnx_file(saved(tmp_path, linear_model()), limit=100)


def test_unknown_operator_names_node_operator_and_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"'the_node'.*NonMaxSuppression.*known: .*Conv.*Relu"):
        read_onnx(saved(tmp_path, linear_model(kind="NonMaxSuppression")))


def test_operator_of_a_foreign_domain(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"'the_node'.*Attention.*'com.microsoft'"):
        read_onnx(saved(tmp_path, linear_model(kind="Attention", domain="com.microsoft")))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_name_the_node(tmp_path: Path, bad: float) -> None:
    weight = WEIGHT.copy()
    weight[2, 1] = bad
    with pytest.raises(ModelError, match=r"'y' \(Dense\).*NaN or infinite"):
        read_onnx(saved(tmp_path, linear_model(weight)))


def test_external_data_inside_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"12345678" + WEIGHT.tobytes() + b"rest")
    source = read_onnx(external(tmp_path, "data/w.bin", offset="8", length=str(WEIGHT.nbytes)))
    np.testing.assert_array_equal(source.graph.nodes[0].operator.arrays()["weight"], WEIGHT.T)


def test_external_data_that_leaves_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(ModelError, match="leaves the model's folder"):
        read_onnx(external(inner, "../secret.bin"))
    with pytest.raises(ModelError, match="leaves the model's folder"):
        read_onnx(external(inner, "a/../../secret.bin"))
    with pytest.raises(ModelError, match="relative to the model's folder"):
        read_onnx(external(inner, str(tmp_path / "secret.bin")))


def test_external_data_behind_a_symbolic_link_that_leaves_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    (inner / "w.bin").symlink_to(tmp_path / "secret.bin")
    (inner / "folder").symlink_to(tmp_path)
    for location in ("w.bin", "folder/secret.bin"):
        with pytest.raises(ModelError, match="leaves the model's folder"):
            read_onnx(external(inner, location))


def test_external_data_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for location in ("sub", "pipe", "missing.bin"):
        with pytest.raises(ModelError, match="no file in the model's folder"):
            read_onnx(external(tmp_path, location))
    for location in ("", "a\0b"):
        with pytest.raises(ModelError, match="relative to the model's folder"):
            read_onnx(external(tmp_path, location))


@pytest.mark.parametrize(
    "entries", [{"length": "47"}, {"length": "49"}, {"offset": "1"}, {"offset": "-4"}, {"length": "9" * 30}, {"offset": "x"}], ids=str
)
def test_external_data_of_another_size(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    with pytest.raises(ModelError, match="external data"):
        read_onnx(external(tmp_path, "w.bin", **entries))


def test_external_data_counts_towards_the_limit(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    path = external(tmp_path, "w.bin")
    size = path.stat().st_size
    read_onnx_file(path, limit=size + WEIGHT.nbytes)
    with pytest.raises(ModelError, match="larger than the limit"):
        read_onnx_file(path, limit=size + WEIGHT.nbytes - 1)


def test_tensors_that_do_not_hold_what_they_declare(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.initializer[0].raw_data = WEIGHT.tobytes()[:-4]
    with pytest.raises(ModelError, match="declares 48 bytes.*holds 44"):
        read_onnx(saved(tmp_path, model))
    model = linear_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1.0] * 5)
    with pytest.raises(ModelError, match="declares 12 numbers.*holds 5"):
        read_onnx(saved(tmp_path, model))
    model = linear_model()
    model.graph.initializer[0].dims[0] = -4
    with pytest.raises(ModelError, match="negative"):
        read_onnx(saved(tmp_path, model))
    model = linear_model()
    model.graph.initializer[0].dims[0] = 2**60
    with pytest.raises(ModelError, match="declares"):
        read_onnx(saved(tmp_path, model))


def test_constants_that_would_not_fit_memory(tmp_path: Path) -> None:
    for kind, constant in (("ConstantOfShape", np.array([2**40])), ("Range", np.array(2**50))):
        names = ["k"] if kind == "ConstantOfShape" else ["zero", "k", "one"]
        model = linear_model()
        model.graph.node.insert(0, helper.make_node(kind, names, ["big"]))
        model.graph.node.append(helper.make_node("Add", ["y", "big"], ["z"]))
        for name, value in (("k", constant), ("zero", np.array(0)), ("one", np.array(1))):
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.int64), name))
        with pytest.raises(ModelError, match="the limit is"):
            read_onnx(saved(tmp_path, model))


def test_what_a_file_may_not_bring(tmp_path: Path) -> None:
    model = linear_model()
    model.functions.append(
        helper.make_function("own", "f", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)])
    )
    with pytest.raises(ModelError, match="functions of its own"):
        read_onnx(saved(tmp_path, model))
    model = linear_model()
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 2]))
    with pytest.raises(ModelError, match="expected one input, got 2"):
        read_onnx(saved(tmp_path, model))
    model = linear_model()
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    with pytest.raises(ModelError, match="expected one output, got 2"):
        read_onnx(saved(tmp_path, model))


@pytest.mark.parametrize(
    ("shape", "kind", "match"),
    [
        (["batch", "width"], TensorProto.FLOAT, "only the first axis"),
        ([1, 4], TensorProto.INT64, "expected float32 or float64"),
        ([1, 4], TensorProto.FLOAT16, "expected float32 or float64"),
        (None, TensorProto.FLOAT, "declares no shape"),
    ],
)
def test_inputs_that_say_too_little(tmp_path: Path, shape: list[Any] | None, kind: int, match: str) -> None:
    model = linear_model()
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("x", kind, shape))
    with pytest.raises(ModelError, match=match):
        read_onnx(saved(tmp_path, model))


def test_output_that_does_not_depend_on_the_input(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.output[0].name = "w"
    with pytest.raises(ModelError, match="does not depend on the input"):
        read_onnx(saved(tmp_path, model))


def test_node_that_reads_what_nobody_computes(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.node[0].input[1] = "nobody"
    with pytest.raises(ModelError, match="'nobody'"):
        read_onnx(saved(tmp_path, model))
