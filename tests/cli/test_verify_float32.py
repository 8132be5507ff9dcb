"""``verify --float32``: a verdict about the network as float32 evaluates it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Run = Callable[..., Any]

DECLARED = "(declare-const X_0 Real)(declare-const Y_0 Real)"


@pytest.fixture
def absorbing(tmp_path: Path) -> Path:
    """y = (x + 64) - 64: x in real arithmetic, a multiple of 2^-18 or so in float32."""
    ones, big = np.ones((1, 1), dtype=np.float32), np.array([64.0], dtype=np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["r"])]
    nodes.append(helper.make_node("Gemm", ["r", "w", "c"], ["y"]))
    weights = [numpy_helper.from_array(a, n) for a, n in ((ones, "w"), (big, "b"), (-big, "c"))]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1])] for n in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "g", *ends, weights), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "absorbing.onnx")
    return tmp_path / "absorbing.onnx"


def specification(folder: Path, low: float, high: float) -> Path:
    """Unsafe: y <= 0.4999999."""
    path = folder / f"from_{low}.vnnlib"
    path.write_text(f"{DECLARED}(assert (>= X_0 {low}))(assert (<= X_0 {high}))(assert (<= Y_0 0.4999999))\n")
    return path


def test_what_float32_absorbs_is_no_proof(run: Run, absorbing: Path) -> None:
    spec = specification(absorbing.parent, 0.5, 0.75)
    real = run("verify", absorbing, spec, "--json", "--timeout", 10)
    assert (real.json["verdict"], real.json["lower"]["arithmetic"], real.code) == ("holds", "real", 0)
    deployed = run("verify", absorbing, spec, "--json", "--float32", "--timeout", 2)
    assert (deployed.json["verdict"], deployed.code) == ("unknown", 3)


def test_a_margin_beyond_rounding_is_a_proof(run: Run, absorbing: Path) -> None:
    spec = specification(absorbing.parent, 64, 128)
    done = run("verify", absorbing, spec, "--json", "--float32", "--timeout", 10)
    assert (done.json["verdict"], done.json["guarantee"], done.code) == ("holds", "proved", 0), done.err
    assert done.json["lower"]["arithmetic"] == "float32"
    assert run("verify", absorbing, spec, "--vnncomp", "--float32", "--timeout", 10).out == "unsat\n"
