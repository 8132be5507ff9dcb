"""Verifiers side by side: how tight and how dear bounds are, what target labels save, and verdicts beside Marabou's.

Tightness is measured on one scale: the lower bound of the margin, beside the least margin that an attack finds. Networks and
specifications come from the folder that NETASSAY_BENCHMARKS names; without it the built-in networks are measured.

    python benchmarks/verify.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import netassay as na
from netassay.assessment.assess import problems
from netassay.assessment.light import light_network
from netassay.assessment.verify import verify
from netassay.cli.specifications import problems_of, settled
from netassay.errors import CapabilityError
from netassay.models.builtin import builtin, digits_test
from netassay.models.network import Network
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm
from netassay.results.answer import Verdict, VerifyAnswer
from netassay.results.verdicts import conclude
from netassay.specs.problem import Problem
from netassay.specs.risks import parse_risk
from netassay.specs.vnnlib import Specification
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from report import Row, show
from verify_peers import INSTALLED, marabou

BOUNDS = ("interval", "symbolic", "zonotope", "crown", "alpha-crown")
LABELLED = ("zonotope", "crown", "milp", "neuron-splitting", "neurify")
ORDERS = ("none", "bounds", "confidence")

INSTANCES = (
    ("acasxu", "ACASXU_run2a_5_9_batch_2000", "prop_3"),
    ("acasxu", "ACASXU_run2a_3_3_batch_2000", "prop_4"),
    ("acasxu", "ACASXU_run2a_3_9_batch_2000", "prop_2"),
    ("acasxu", "ACASXU_run2a_5_6_batch_2000", "prop_2"),
    ("acasxu", "ACASXU_run2a_3_4_batch_2000", "prop_1"),
    ("mnistfc", "mnist-net_256x2", "prop_2_0.03"),
    ("mnistfc", "mnist-net_256x2", "prop_7_0.03"),
    ("mnistfc", "mnist-net_256x4", "prop_4_0.03"),
)
"""Folder, network and specification of the shared instances."""


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


def built_in() -> list[Work]:
    """A dense and a convolutional network that need no folder, in two norms."""
    digits, labels = digits_test()[:2]
    found = []
    for name in ("digits-mlp", "digits-cnn"):
        network = builtin(name)
        inputs = np.asarray(digits, dtype=np.float64).reshape(-1, *network.input_shape)
        found += [
            Work(f"{name}, {norm} {r}", network, inputs, np.asarray(labels), norm, r) for norm, r in ((Norm.LINF, 0.06), (Norm.L2, 0.3))
        ]
    return found


def published(files: Sequence[str], radius: float) -> list[Work]:
    """Networks of the target-label paper, on MNIST; none without their folder."""
    place = folder()
    if place is None:
        return []
    images = np.load(place / "mnist" / "mnist_test_100.npz")
    pixels, labels = images["images"].reshape(-1, 784) / 255.0, images["labels"].astype(np.int64)
    found = []
    for file in files:
        network = na.load(str(place / file)).with_domain(na.Box.filled((784,), 0, 1))
        found.append(Work(f"{Path(file).stem}, linf {round(255 * radius)}/255", network, pixels, labels, Norm.LINF, radius))
    return found


FNN = ("neurify_mnist/mnist24.onnx", "eran_mnist_fc/mnist_relu_3_100.onnx", "eran_mnist_fc/mnist_relu_6_100.onnx")


def last_finding(name: str, problem: Problem, seconds: float) -> tuple[Finding | None, float]:
    """The last finding of a verifier on a problem, and the processor seconds it took; None where it does not serve it."""
    task = Task(claim_of(problem), Regions.of([problem.region]), Limits(Clock(seconds)))
    begun, last = time.process_time(), None
    try:
        for finding in VERIFIERS[name].build().verify(task):
            last = finding
    except CapabilityError:
        return None, 0.0
    return last, time.process_time() - begun


def bounds(works: Sequence[Work], count: int, seconds: float = 20.0) -> list[Row]:
    """How tight the single passes are, and what they cost in processor time."""
    rows = []
    for work in works:
        batch = work.problems(count)
        attacked = verify(batch, method="interval", budget=Budget(queries=500))
        least = np.array([a.bracket.upper.value if a.bracket.upper else np.nan for a in attacked])
        for name in BOUNDS:
            found = [last_finding(name, p, seconds) for p in batch]
            lower = np.array([np.nan if f is None else f.lower for f, _ in found])
            figures = {
                "proved": f"{int(np.nansum(lower > 0))} of {len(batch)}",
                "median bound": f"{np.nanmedian(lower):.3g}",
                "median least found": f"{np.nanmedian(least):.3g}",
                "ms per input": f"{1e3 * np.mean([s for _, s in found]):.1f}",
            }
            rows.append(Row(work.name, name, figures))
    return rows


def target_labels(works: Sequence[Work], count: int, seconds: float) -> list[Row]:
    """What taking rival labels one by one, the likeliest first, saves each verifier (target-label paper, section 4)."""
    rows = []
    for work in works:
        batch = work.problems(count)
        for name in LABELLED:
            spent, told = {}, {}
            for order in ORDERS:
                begun = time.process_time()
                told[order] = [a for p in batch for a in verify([p], method=name, attack=None, order=order, budget=Budget(1, seconds))]
                spent[order] = time.process_time() - begun
            figures = {f"{order}: s per input": f"{spent[order] / len(batch):.3f}" for order in ORDERS}
            figures |= {f"{order}: decided": f"{_decided(told[order])} of {len(batch)}" for order in ORDERS}
            figures["none / bounds"] = f"{spent['none'] / spent['bounds']:.2f}"
            rows.append(Row(work.name, name, figures))
    return rows


def _decided(answers: Sequence[VerifyAnswer]) -> int:
    return sum(a.verdict is not Verdict.UNKNOWN for a in answers)


def verdicts(instances: Sequence[tuple[str, str, str]], seconds: float) -> list[Row]:
    """Verdicts on published specifications, ours and Marabou's, each from the files on and within the same time."""
    place = folder()
    if place is None:
        return []
    rows = []
    for family, model, name in instances:
        network = place / "vnncomp2021" / family / "onnx" / f"{model}.onnx"
        specification = place / "vnncomp2021" / family / "vnnlib" / f"{name}.vnnlib.gz"
        word, mine = _timed(auto, network, specification, seconds)
        rows.append(Row(f"{model} {name}", "auto", {"verdict": word, "s": f"{mine:.2f}"}))
        if INSTALLED:
            word, other = _timed(marabou, network, specification, seconds)
            rows.append(Row(f"{model} {name}", "Marabou", {"verdict": word, "s": f"{other:.2f}", "over auto": _ratio(word, other / mine)}))
    return rows


def _timed(ask: Callable[[Path, Specification, float], str], network: Path, specification: Path, seconds: float) -> tuple[str, float]:
    """A verdict, and the seconds from the files on."""
    begun = time.perf_counter()
    word = ask(network, na.read_vnnlib(specification), seconds)
    return word, time.perf_counter() - begun


def _ratio(verdict: str, ratio: float) -> str:
    """The ratio of times; a lower bound of it where time ran out."""
    return f"{'>' if verdict == 'unknown' else ''}{ratio:.1f}"


def auto(model: Path, specification: Specification, seconds: float) -> str:
    """The verdict of the default method."""
    network = light_network(model) or na.load(str(model), outputs="values")
    asked = problems_of(network, specification, model.name)
    answers = settled(verify(asked, budget=Budget(None, seconds)), asked, specification)
    return conclude(answers, len(asked)).word


def measure_bounds(*, quick: bool = False) -> list[Row]:
    """Tightness and time of single passes."""
    return bounds([*built_in(), *published(FNN, 3 / 255)], 2 if quick else 10)


def measure_target_labels(*, quick: bool = False) -> list[Row]:
    """What target labels save."""
    return target_labels([built_in()[0], *published(FNN[:2], 7 / 255)], 2 if quick else 4, 1.0 if quick else 10.0)


def measure_verdicts(*, quick: bool = False) -> list[Row]:
    """Verdicts beside Marabou's."""
    return verdicts(INSTANCES[:2] if quick else INSTANCES, 2.0 if quick else 15.0)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer inputs and seconds")
    quick = parser.parse_args().quick
    for measure in (measure_bounds, measure_target_labels, measure_verdicts):
        show(measure(quick=quick))
        print(flush=True)


if __name__ == "__main__":
    main()
