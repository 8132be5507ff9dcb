"""Published networks: the exact ranges of DeepQuant's Table 2, and its ACAS Xu network. Needs the benchmark networks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import netassay as na
from netassay.assessment.ask import ask
from netassay.results.answer import LipschitzAnswer, Question, ReachAnswer
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output

FOLDER = Path(os.environ.get("NETASSAY_BENCHMARKS") or ".")
pytestmark = pytest.mark.skipif(
    "NETASSAY_BENCHMARKS" not in os.environ, reason="NETASSAY_BENCHMARKS is not set: the benchmark networks are not at hand"
)


@pytest.mark.parametrize("k", range(5))
def test_the_range_of_table_2_is_reached_to_a_hundredth_and_never_passed(k: int) -> None:
    path = f"deepquant_table2/relu_nn_{k}.onnx"
    files = json.loads((FOLDER / "MANIFEST.json").read_text())["files"]
    exact = next(entry for entry in files if entry["path"] == path)["reference_range"]
    network = na.load(str(FOLDER / path))
    (answer,) = ask(Question.REACH, [Problem(network, na.Box.filled(network.input_shape, 0, 10), Output(0))], tolerance=0.01)
    assert isinstance(answer, ReachAnswer)
    assert answer.minimum.upper is not None
    assert answer.maximum.lower is not None
    rounding = 1e-12 * max(abs(exact["min"]), abs(exact["max"]))  # of the reference, which is itself a float64 computation
    assert exact["min"] - rounding <= answer.minimum.upper.value <= exact["min"] + 0.01
    assert exact["max"] - 0.01 <= answer.maximum.lower.value <= exact["max"] + rounding


def test_acas_xu_in_physical_units_gives_a_replayed_slope() -> None:
    data = np.load(FOLDER / "deepquant_acasxu" / "inputs.npz")
    network = na.load(str(FOLDER / "deepquant_acasxu" / "net.onnx")).with_domain(na.Box(data["lower"], data["upper"]))
    scale = data["upper"] - data["lower"]
    ball = na.Ball(data["x"][1199].astype(np.float32).astype(np.float64), 0.05, "linf", domain=network.domain, scale=scale)
    answer = na.lipschitz(network, "robustness", ball, budget=na.Budget(queries=4000))
    assert isinstance(answer, LipschitzAnswer)
    assert answer.witness is not None
    assert answer.witness.replay.confirmed
    assert len(answer.witness.replay.values) >= 3
    assert answer.bracket.lower is not None
    assert answer.bracket.lower.value > 19.4, "20,000 random points give 18.8"
