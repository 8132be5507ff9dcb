"""Small exact networks as files, and a way to run the command line in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from netassay.cli.main import app


@dataclass(frozen=True)
class Result:
    """What a run of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout, with nothing around it."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``netassay ARGUMENTS`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        return Result(done.exit_code, done.stdout, done.stderr)

    return call


def loaded_by_check(*arguments: str) -> str:
    """The list, as it is printed, of torch, solvers and what finds proofs that a successful ``netassay check`` has loaded."""
    program = (
        "import sys\n"
        "from netassay.cli.check import check\n"
        f"assert check(*{arguments!r}) == 0\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'scipy')"
        " or m.startswith(('netassay.verifiers', 'netassay.falsifiers', 'netassay.assessment'))])\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def dense(path: Path, weights: list[list[float]], bias: list[float]) -> str:
    """An ONNX file of one dense layer: y = W x + b."""
    matrix = np.array(weights, dtype=np.float32)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    graph = helper.make_graph(
        [node],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", matrix.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", matrix.shape[0]])],
        [numpy_helper.from_array(matrix, "w"), numpy_helper.from_array(np.array(bias, dtype=np.float32), "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


@pytest.fixture
def classifier(tmp_path: Path) -> str:
    """Logits (x0, x1): label 0 as long as x0 > x1."""
    return dense(tmp_path / "classifier.onnx", [[1, 0], [0, 1]], [0, 0])


@pytest.fixture
def regression(tmp_path: Path) -> str:
    """y = 2 x0 - x1 + 1: over [0, 10]^2 it runs from -9 to 21."""
    return dense(tmp_path / "regression.onnx", [[2, -1]], [1])


@pytest.fixture
def points(tmp_path: Path) -> str:
    """Three inputs; the second is misclassified. L-infinity distances to the tie x0 = x1: 0.25, -, 0.125."""
    path = tmp_path / "points.npz"
    np.savez(path, x=np.array([[0.75, 0.25], [0.25, 0.75], [0.375, 0.625]]), y=np.array([0, 0, 1]), lower=0.0, upper=1.0)
    return str(path)
