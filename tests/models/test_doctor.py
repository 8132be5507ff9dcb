"""The table of models: every benchmark network imports and agrees; bad files get a row with their error."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from netassay.errors import ModelError
from netassay.models.agreement import TOLERANCE, Agreement, compare, random_inputs
from netassay.models.doctor import model_table
from netassay.numerics.box import Box

BENCHMARKS = os.environ.get("NETASSAY_BENCHMARKS", "")


def save(path: Path, kind: str = "Relu") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node(kind, ["z"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.arange(6, dtype="f4").reshape(2, 3), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_rows_of_good_and_bad_files(tmp_path: Path) -> None:
    save(tmp_path / "b.onnx")
    save(tmp_path / "sub" / "a.onnx", "Unknown")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "notes.txt").write_text("not a model")
    manifest = {"files": [{"path": "b.onnx", "input_box": [[10, 20], [-3, -2]]}, {"path": "sub/a.onnx"}]}
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest))
    seen: list[str] = []
    good, broken, unknown = model_table(tmp_path, inputs=7, progress=lambda row: seen.append(row.path))
    assert seen == [good.path, broken.path, unknown.path] == ["b.onnx", "broken.onnx", "sub/a.onnx"]
    assert good.agrees
    assert (good.operators, good.input_shape, good.outputs, good.parameters) == (("MatMul", "Relu"), (2,), 3, 9)
    assert (good.opset, good.inputs, good.domain, good.error) == (17, 7, "declared", "")
    assert not broken.agrees
    assert "truncated" in broken.error
    assert "unknown operator Unknown" in unknown.error


def test_folder_and_manifest_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        model_table(tmp_path / "nowhere")
    (tmp_path / "MANIFEST.json").write_text("{")
    with pytest.raises(ModelError, match="expected JSON"):
        model_table(tmp_path)


def test_random_inputs_lie_in_the_box_and_are_seeded() -> None:
    box = Box(np.array([0.1, -np.inf, 5.0, 2.0]), np.array([0.3, np.inf, np.inf, 2.0]))
    x = random_inputs(box, 200, seed=1)
    assert x.dtype == np.float32
    wide = x.astype(np.float64)
    assert (wide[:, [0, 2]] >= np.float32([0.1, 5.0]) - 1e-7).all()
    assert (wide[:, 0] <= 0.3 + 1e-7).all()
    assert (x[:, 3] == 2).all()
    assert x[:, 1].min() < -1
    np.testing.assert_array_equal(x, random_inputs(box, 200, seed=1))
    assert (x != random_inputs(box, 200, seed=2)).any()


def test_agreement_is_relative_to_the_largest_output_and_nan_never_agrees() -> None:
    box = Box.filled((2,), 0, 1)

    def off(by: float) -> Agreement:
        return compare(lambda x: 1000 + x.astype("f8") + by, lambda x: 1000 + x.astype("f8"), box, name="itself")

    assert off(0.0).deviation == 0
    assert off(0.009).within
    assert not off(0.011).within
    assert not off(float("nan")).within
    with pytest.raises(ModelError, match="outputs of shape"):
        compare(lambda x: x[:, :1].astype("f8"), lambda x: x.astype("f8"), box, name="itself")
    zero = compare(lambda x: 0 * x.astype("f8") + 1e-4, lambda x: 0 * x.astype("f8"), box, name="zeros")
    assert not zero.within


def test_a_time_limit_leaves_at_least_three_inputs() -> None:
    box = Box.filled((2,), 0, 1)
    found = compare(lambda x: x.astype("f8"), lambda x: x.astype("f8"), box, name="itself", seconds=1e-9)
    assert found.inputs == 4
    assert compare(lambda x: x.astype("f8"), lambda x: x.astype("f8"), box, name="itself", seconds=60).inputs == 100


@pytest.mark.skipif(not BENCHMARKS, reason="NETASSAY_BENCHMARKS is not set: the benchmark networks are not at hand")
def test_every_benchmark_network_imports_and_agrees() -> None:
    rows = model_table(BENCHMARKS)
    assert len(rows) >= 89
    assert {r.path: r.error for r in rows if r.error} == {}
    assert {r.path: r.deviation for r in rows if not (r.deviation is not None and r.deviation <= TOLERANCE and r.inputs == 100)} == {}
    declared = [r for r in rows if r.domain == "declared"]
    assert any(r.path.startswith("deepquant_acasxu") for r in declared)
    assert sum("ACASXU" in r.path for r in rows) >= 43
