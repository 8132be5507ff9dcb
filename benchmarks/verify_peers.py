"""Marabou on specifications, through its own reader and its own defaults: file in, verdict out, within a time limit.

Every disjunct of the unsafe set is a query of its own; the limit is for all of them together. Marabou's verdicts rest on floating-point
arithmetic without error bounds, so its "holds" is a solver's word; its violations are replayed here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from netassay.specs.vnnlib import Case, Specification

INSTALLED = importlib.util.find_spec("maraboupy") is not None


def marabou(model: Path, specification: Specification, seconds: float) -> str:
    """``holds``, ``violated`` or ``unknown``, by Marabou on an uncompressed ONNX file."""
    begun, answers = time.monotonic(), []
    for case in specification.cases:
        for disjunct in range(len(case.unsafe.rows)):
            left = seconds - (time.monotonic() - begun)
            answers.append(_solved(model, case, disjunct, left) if left > 0 else "unknown")
            if answers[-1] == "sat":
                return "violated"
    return "holds" if all(a == "unsat" for a in answers) else "unknown"


def _solved(model: Path, case: Case, disjunct: int, seconds: float) -> str:
    with _silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from maraboupy import Marabou

        network: Any = Marabou.read_onnx(str(model))
        inputs, outputs = (np.asarray(v[0]).reshape(-1) for v in (network.inputVars, network.outputVars))
        for variable, low, high in zip(inputs, case.box.lower.reshape(-1), case.box.upper.reshape(-1), strict=True):
            network.setLowerBound(int(variable), float(low))
            network.setUpperBound(int(variable), float(high))
        for row in range(case.unsafe.rows[disjunct]):
            weights = case.unsafe.matrix[disjunct, row].tolist()
            network.addInequality([int(v) for v in outputs], weights, float(case.unsafe.offset[disjunct, row]))
        options = Marabou.createOptions(timeoutInSeconds=max(1, ceil(seconds)), verbosity=0)
        answer, values, _ = network.solve(verbose=False, options=options)
    if answer == "sat" and not _violates(network, case, disjunct, [values[int(v)] for v in inputs]):
        return "unknown"
    return str(answer)


def _violates(network: Any, case: Case, disjunct: int, point: list[float]) -> bool:
    """Whether a point, put into the box, is in the unsafe set, by onnxruntime and up to float32 rounding."""
    inside = np.clip(np.asarray(point), case.box.lower.reshape(-1), case.box.upper.reshape(-1))
    outputs = np.asarray(network.evaluateWithoutMarabou([inside.reshape(np.asarray(network.inputVars[0]).shape)])[0]).reshape(-1)
    rows = slice(0, case.unsafe.rows[disjunct])
    return bool((case.unsafe.matrix[disjunct, rows] @ outputs <= case.unsafe.offset[disjunct, rows] + 1e-4).all())


@contextmanager
def _silent() -> Iterator[None]:
    """Marabou writes to the terminal from C++: what the process prints meanwhile goes nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
