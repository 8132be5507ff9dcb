"""Verifiers side by side: how tight and how dear bounds are, what target labels save, and verdicts beside Marabou's.

Tightness is measured on one scale: the lower bound of the margin, beside the least margin that an attack finds. Networks and
specifications come from the folder that NETASSAY_BENCHMARKS names; without it the built-in networks are measured.

    python benchmarks/verify.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import netassay as na
from netassay.assessment.assess import problems
from netassay.assessment.verify import verify
from netassay.errors import CapabilityError
from netassay.models.builtin import builtin, digits_test
from netassay.models.network import Network
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.results.answer import Verdict, VerifyAnswer
from netassay.specs.problem import Problem
from netassay.specs.risks import parse_risk
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from report import Row, show

BOUNDS = ("interval", "symbolic", "zonotope", "crown", "alpha-crown")
COMPLETE = ("milp", "neuron-splitting", "neurify")
SECONDS = 20.0
"""Most seconds of one bound or verdict."""


@dataclass(frozen=True)
class Work:
    """A network, correctly classified inputs, and balls around them."""

    name: str
    network: Network
    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]
    norm: Norm
    radius: float

    def problems(self, count: int) -> list[Problem]:
        """Robustness on logits for the first ``count`` inputs."""
        risk = parse_risk("robustness@logits")
        return problems(self.network, self.inputs[:count], self.labels[:count], risk=risk, norm=self.norm, radius=self.radius)


def folder() -> Path | None:
    """The benchmark networks, if they are there."""
    name = os.environ.get("NETASSAY_BENCHMARKS")
    return None if not name else Path(name)


def works() -> list[Work]:
    """What is measured: dense and convolutional networks, three norms."""
    digits, digit_labels = digits_test()[:2]
    found = []
    for name in ("digits-mlp", "digits-cnn"):
        network = builtin(name)
        inputs = np.asarray(digits, dtype=np.float64).reshape(-1, *network.input_shape)
        found += [
            Work(f"{name}, {norm} {r}", network, inputs, np.asarray(digit_labels), norm, r)
            for norm, r in ((Norm.LINF, 0.06), (Norm.L2, 0.3))
        ]
    place = folder()
    if place is not None:
        images = np.load(place / "mnist" / "mnist_test_100.npz")
        pixels, labels = images["images"].reshape(-1, 784) / 255.0, images["labels"].astype(np.int64)
        for file in ("neurify_mnist/mnist24.onnx", "eran_mnist_fc/mnist_relu_3_100.onnx", "eran_mnist_fc/mnist_relu_6_100.onnx"):
            network = na.load(str(place / file)).with_domain(na.Box.filled((784,), 0, 1))
            found.append(Work(f"{Path(file).stem}, linf 3/255", network, pixels, labels, Norm.LINF, 3 / 255))
    return found


def settled(name: str, problem: Problem, seconds: float) -> tuple[Finding | None, float]:
    """The last finding of a verifier on a problem, and the seconds it took; None where it does not serve it."""
    task = Task(claim_of(problem), Regions.of([problem.region]), Limits(Clock(seconds)))
    begun, last = time.perf_counter(), None
    try:
        for finding in VERIFIERS[name].build().verify(task):
            last = finding
    except CapabilityError:
        return None, 0.0
    return last, time.perf_counter() - begun


def bounds(count: int) -> list[Row]:
    """How tight the single passes are, and what they cost."""
    rows = []
    for work in works():
        batch = work.problems(count)
        attacked = verify(batch, method="interval", order="none", budget=Budget(queries=500))
        least = np.array([a.bracket.upper.value if a.bracket.upper else np.nan for a in attacked])
        for name in BOUNDS:
            found = [settled(name, p, SECONDS) for p in batch]
            lower = np.array([np.nan if f is None else f.lower for f, _ in found])
            figures = {
                "proved": f"{int(np.nansum(lower > 0))} of {len(batch)}",
                "median bound": f"{np.nanmedian(lower):.3g}",
                "median least found": f"{np.nanmedian(least):.3g}",
                "ms per input": f"{1e3 * np.mean([s for _, s in found]):.1f}",
            }
            rows.append(Row(work.name, name, figures))
    return rows


def target_labels(count: int, seconds: float) -> list[Row]:
    """What taking rival labels one by one, the likeliest first, saves each verifier (target-label paper, section 4)."""
    rows = []
    for work in works():
        if "mnist" not in work.name and "mlp" not in work.name:
            continue
        batch = work.problems(count)
        for name in ("zonotope", "crown", *COMPLETE):
            spent: dict[str, float] = {}
            told: dict[str, list[VerifyAnswer]] = {}
            for order in ("none", "bounds", "confidence"):
                begun = time.perf_counter()
                told[order] = verify(batch, method=name, attack=None, order=order, budget=Budget(queries=1, seconds=seconds * len(batch)))
                spent[order] = time.perf_counter() - begun
            figures = {order: f"{spent[order] / len(batch):.3f} s, {_held(told[order])} hold" for order in spent}
            rows.append(Row(work.name, name, {**figures, "none / bounds": f"{spent['none'] / spent['bounds']:.2f}"}))
    return rows


def _held(answers: Sequence[VerifyAnswer]) -> int:
    return sum(a.verdict is Verdict.HOLDS for a in answers)


def measure(*, quick: bool = False) -> list[Row]:
    """All rows."""
    return [*bounds(2 if quick else 10), *target_labels(2 if quick else 5, 2.0 if quick else 10.0)]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two inputs and two seconds")
    show(measure(quick=parser.parse_args().quick))


if __name__ == "__main__":
    main()
