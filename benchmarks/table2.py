"""DeepQuant's Table 2: the range of the six published ReLU networks over [0, 10]^2, searched and proved, against their known ranges."""

from __future__ import annotations

import json
import os
from pathlib import Path

import netassay as na
from netassay.assessment.ask import ask
from netassay.results.answer import Question, ReachAnswer
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from report import Row, stopwatch

PAPER = {0: "1.80", 1: "1.56", 2: "1.21", 3: "1.26", 4: "1.21", 5: "2.81"}


def measure() -> list[Row]:
    """Time until the search stops and the proof is within 0.01, and how far both are from the known ends; empty without the networks."""
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        return []
    manifest = json.loads((Path(folder) / "MANIFEST.json").read_text())
    known = {entry["path"]: entry for entry in manifest["files"]}
    rows = []
    for k in range(6):
        path = f"deepquant_table2/relu_nn_{k}.onnx"
        network = na.load(str(Path(folder) / path))
        problem = Problem(network, na.Box.filled(network.input_shape, 0, 10), Output(0))
        with stopwatch() as searching:
            ask(Question.REACH, [problem], tolerance=0.01)
        with stopwatch() as watch:
            (answer,) = ask(Question.REACH, [problem], tolerance=0.01, prover="auto")
        assert isinstance(answer, ReachAnswer)
        assert answer.minimum.upper is not None
        assert answer.maximum.lower is not None
        assert answer.minimum.lower is not None
        assert answer.maximum.upper is not None
        exact = known[path]["reference_range"]
        figures = {
            "search s": f"{searching.seconds:.2f}",
            "search and proof s": f"{watch.seconds:.2f}",
            "proved gaps": f"{answer.minimum.gap:.1e}, {answer.maximum.gap:.1e}",
            "proved beyond the known": f"{exact['min'] - answer.minimum.lower.value:.1e}, {answer.maximum.upper.value - exact['max']:.1e}",
            "paper s": PAPER[k],
            "queries": str(answer.provenance.queries),
            "minimum": f"{answer.minimum.upper.value:.4f}",
            "above the known": f"{answer.minimum.upper.value - exact['min']:.1e}",
            "maximum": f"{answer.maximum.lower.value:.4f}",
            "below the known": f"{exact['max'] - answer.maximum.lower.value:.1e}",
        }
        rows.append(Row(f"ReLU-NN-{k}", "auto", figures))
    return rows


if __name__ == "__main__":
    from report import show

    show(measure())
