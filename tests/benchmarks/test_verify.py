"""The benchmark of verifiers on a network whose answers are known: its figures, its peer, and that it measures what it says."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import verify
import verify_peers
from netassay.models.torch_module import from_module
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm
from netassay.specs.vnnlib import read_vnnlib
from tiny_networks import relu_network

DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)\n(assert (>= X_0 0.0))(assert (<= X_0 1.0))\n"
SPECS = {
    "safe": "(assert (<= Y_0 -0.5))",
    "unsafe": "(assert (<= Y_0 0.25))",
    "two": "(assert (or (and (<= Y_0 -1.0)) (and (>= Y_0 3.0))))",
}
"""Of ``y = relu(x0 + x1) - relu(x0)`` with x1 in [0, 1]: its values are those of [0, 1]."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmarks with that network and its specifications."""
    folder = tmp_path / "vnncomp2021" / "tiny"
    for name in ("onnx", "vnnlib"):
        (folder / name).mkdir(parents=True)
    arrays = {"a": [[1, 1], [1, 0]], "b": [[1], [-1]]}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, k]) for n, k in (("x", 2), ("y", 1))]
    weights = [numpy_helper.from_array(np.array(v, dtype=np.float32), k) for k, v in arrays.items()]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "onnx" / "tiny.onnx")
    for name, unsafe in SPECS.items():
        text = f"{DECLARED}(assert (>= X_1 0.0))(assert (<= X_1 1.0))\n{unsafe}\n"
        (folder / "vnnlib" / f"{name}.vnnlib.gz").write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("NETASSAY_BENCHMARKS", str(tmp_path))
    return folder


WORDS = [("safe", "holds"), ("unsafe", "violated"), ("two", "holds")]


@pytest.mark.parametrize(("name", "word"), WORDS)
def test_the_default_method_and_marabou_agree(place: Path, name: str, word: str) -> None:
    model, specification = place / "onnx" / "tiny.onnx", read_vnnlib(place / "vnnlib" / f"{name}.vnnlib.gz")
    assert verify.auto(model, specification, 10.0) == word
    if not verify_peers.INSTALLED:
        pytest.skip("maraboupy is not installed")
    assert verify_peers.marabou(model, specification, 10.0) == word


def test_rows_of_verdicts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "INSTALLED", True)
    monkeypatch.setattr(verify, "marabou", lambda *_: "unknown")
    ours, theirs = verify.verdicts([("tiny", "tiny", "safe")], 5.0)
    assert (ours.contender, ours.figures["verdict"]) == ("auto", "holds")
    assert (theirs.contender, theirs.figures["verdict"]) == ("Marabou", "unknown")
    assert theirs.figures["over auto"].startswith(">")


def test_without_the_folder_there_are_no_published_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert verify.published(verify.FNN, 0.01) == []
    assert verify.verdicts(verify.INSTANCES, 1.0) == []


@pytest.fixture
def work() -> verify.Work:
    """Two inputs of a random network, which is wrong about neither."""
    network = relu_network(0, [4, 8, 3], Box.filled((4,), -1, 1))
    inputs = np.array([[0.5, -0.5, 0.25, 0.0], [-0.75, 0.5, 0.0, 0.25]])
    labels = network.outputs(torch.tensor(inputs, dtype=torch.float32)).argmax(1).numpy()
    made = from_module(network.module, domain=Box.filled((4,), -1, 1))
    return verify.Work("tiny", made, inputs, labels, Norm.LINF, 0.01)


def test_rows_of_bounds(work: verify.Work) -> None:
    rows = {row.contender: row.figures for row in verify.bounds([work], 2, 5.0)}
    assert tuple(rows) == verify.BOUNDS
    for figures in rows.values():
        assert float(figures["median bound"]) <= float(figures["median least found"]) * 1.01
    assert float(rows["crown"]["median bound"]) >= float(rows["interval"]["median bound"])


def test_rows_of_target_labels(work: verify.Work) -> None:
    rows = verify.target_labels([work], 2, 5.0)
    assert [row.contender for row in rows] == list(verify.LABELLED)
    for row in rows:
        assert {row.figures[f"{order}: decided"] for order in verify.ORDERS} == {"2 of 2"}, row.contender


def test_a_verifier_that_does_not_serve_has_no_finding(work: verify.Work) -> None:
    (problem,) = work.problems(1)
    assert verify.last_finding("pixel-splitting", problem, 1.0) == (None, 0.0)
