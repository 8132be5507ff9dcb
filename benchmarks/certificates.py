"""Certificates of proofs: how many are accepted, what they cost beside the proofs, how large they are.

Every instance of a list of specifications that is expected to hold is proved (``auto``), its certificate is searched for and written, and
checked by ``netassay.checking.certificates``. All times are CPU seconds of one thread. Rows go into a file of JSON lines as they come; what
it has already is not done again. ``measure`` takes a few instances of each set, and L0 balls of radius 1 around the first test inputs.

    NETASSAY_BENCHMARKS=DIR python benchmarks/certificates.py ROWS.jsonl [--seconds S] [--sets test verivital mnistfc acasxu]

Every proof, and every certificate, has S CPU seconds; without ``--seconds`` the list's own limit for each instance.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netassay.checking.certificates.reading import CertificateOutcome, check_certificate
from netassay.checking.certificates.specification import of_specification
from netassay.models.builtin import builtin, digits_test
from netassay.models.graph import Graph
from netassay.models.load import load_network
from netassay.models.network import Network
from netassay.models.onnx_reader import read_onnx
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.specs.vnnlib import Specification, read_vnnlib
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.certificates import neurons  # noqa: F401 - loads torch before anything is timed
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.produce import Produced, write_certificate
from netassay.verifiers.claim import Claim, Part, claim_of
from netassay.verifiers.portfolio import Auto
from netassay.verifiers.region import Regions
from report import Row

SETS = ("test", "verivital", "mnistfc", "acasxu")

FEW = {"test": 1, "verivital": 5, "mnistfc": 6, "acasxu": 6}
"""Every how many-th instance of a set ``measure`` takes."""

QUICK = 5.0
"""CPU seconds for each of its proofs, and for each of its certificates."""

INPUTS = 10
"""Test inputs, of those that are decided right, whose L0 balls ``measure`` takes."""


class CpuClock(Clock):
    """A clock that runs with the CPU time of this process, so that a busy machine does not change what is found."""

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self._cpu = time.process_time()

    @property
    def elapsed(self) -> float:
        return time.process_time() - self._cpu


def boxes_of(graph: Graph, specification: Specification) -> list[Box]:
    """The regions of a specification's cases."""
    return [Box(c.box.lower.reshape(graph.input_shape), c.box.upper.reshape(graph.input_shape)) for c in specification.cases]


def proved(graph: Graph, specification: Specification, seconds: float) -> bool:
    """Whether ``auto`` proves all cases."""
    clock = CpuClock(seconds)
    for case, box in zip(specification.cases, boxes_of(graph, specification), strict=True):
        unsafe = case.unsafe
        parts = tuple(Part(unsafe.matrix[d, :r], -unsafe.offset[d, :r]) for d, r in enumerate(unsafe.rows))
        if not holds(Claim(graph, parts, strict=True), box, clock):
            return False
    return True


def holds(claim: Claim, region: Ball | Box, clock: Clock) -> bool:
    """Whether ``auto`` proves a claim over a region."""
    return list(Auto().verify(Task(claim, Regions.of([region]), Limits(clock))))[-1].proved


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    begun = time.process_time()
    found = call()
    return found, round(time.process_time() - begun, 4)


def tried(
    prove: Callable[[], bool], write: Callable[[Path], Produced], check: Callable[[Path], CertificateOutcome], folder: Path
) -> dict[str, Any]:
    """One instance: whether it is proved, has a certificate, and that is accepted; what each step takes."""
    held, proving = timed(prove)
    row: dict[str, Any] = {"holds": held, "proving": proving}
    if not held:
        return row
    file = folder / "certificate"
    made, writing = timed(lambda: write(file))
    row |= {"certified": made.complete, "reason": made.reason, "writing": writing, "bytes": made.size}
    if made.complete:
        outcome, checking = timed(lambda: check(file))
        row |= {"accepted": outcome.checked.accepted, "checking": checking, "leaves": outcome.checked.leaves}
    return row


def measured(model: Path, spec: Path, seconds: float, folder: Path) -> dict[str, Any]:
    """One specification."""
    graph, specification = read_onnx(model).graph, read_vnnlib(spec)
    statement, regions = of_specification(graph, specification), boxes_of(graph, specification)

    def write(file: Path) -> Produced:
        clock = CpuClock(seconds)
        return write_certificate(
            file, graph, statement, spec.name, "benchmark", regions=regions, spelled_out=False, over=lambda: clock.expired
        )

    def check(file: Path) -> CertificateOutcome:
        return check_certificate(file, [graph], lambda g: of_specification(g, specification))

    return tried(lambda: proved(graph, specification, seconds), write, check, folder)


def measured_ball(problem: Problem, seconds: float, folder: Path) -> dict[str, Any]:
    """One ball around an input."""
    graph = problem.network.graph
    if graph is None:
        raise ValueError(f"{problem.network.name} has no operator graph")

    def write(file: Path) -> Produced:
        clock = CpuClock(seconds)
        return write_certificate(
            file,
            graph,
            statement_of([problem]),
            "robustness",
            "benchmark",
            regions=[problem.region],
            spelled_out=True,
            over=lambda: clock.expired,
        )

    return tried(
        lambda: holds(claim_of(problem), problem.region, CpuClock(seconds)),
        write,
        lambda file: check_certificate(file, [graph], None),
        folder,
    )


def balls(network: Network, inputs: Sequence[np.ndarray], labels: Sequence[int], radius: int) -> list[Problem]:
    """L0 balls around the first inputs that are decided right."""
    points = torch.from_numpy(np.stack(inputs)).to(getattr(torch, network.dtype)).reshape(-1, *network.input_shape)
    with torch.no_grad():
        right = network.outputs(points).argmax(dim=1).numpy() == np.asarray(labels)
    chosen = np.flatnonzero(right)[:INPUTS]
    return [
        Problem(network, Ball(points[i].numpy(), radius, "l0", domain=network.domain), Robustness(int(labels[i])), index=int(i))
        for i in chosen
    ]


def networks() -> list[tuple[str, list[Problem]]]:
    """Names and L0 balls of radius 1: of the built-in networks, and of the published one for small pictures where that is there."""
    images, labels = digits_test()
    found = [(name, balls(builtin(name), images, labels, 1)) for name in ("digits-mlp", "digits-cnn")]
    root = os.environ.get("NETASSAY_BENCHMARKS")
    if root:
        network = load_network(Path(root) / "deeptre_mnist14" / "sdnn.onnx")
        with np.load(Path(root) / "mnist14" / "mnist14_test.npz", allow_pickle=False) as stored:
            x, y = stored["images"][: 2 * INPUTS], stored["labels"][: 2 * INPUTS]
        found.append(("sDNN", balls(network.with_domain(Box.filled(network.input_shape, 0.0, 1.0)), x, y, 1)))
    return found


def listed(root: Path, name: str) -> list[tuple[Path, Path, float]]:
    """Models and specifications of a set that are expected to hold, and the list's limits, in seconds."""
    with (root / name / "instances.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["expected"] == "holds"]
    return [(root / name / r["onnx"], root / name / r["vnnlib"], float(r["timeout_s"])) for r in rows]


def run(rows: Path, seconds: float | None, sets: list[str], only: str) -> list[dict[str, Any]]:
    """All instances with ``only`` in a name, those that are in the file already left as they are; None for the list's own limits."""
    root = Path(os.environ["NETASSAY_BENCHMARKS"]) / "vnncomp2021"
    found = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    known = {(r["set"], r["model"], r["spec"]) for r in found}
    with tempfile.TemporaryDirectory() as folder, rows.open("a") as out:
        for name in sets:
            for model, spec, limit in listed(root, name):
                key = name, model.name, spec.name
                if key in known or only not in f"{key[1]} {key[2]}":
                    continue
                row = dict(zip(("set", "model", "spec"), key, strict=True))
                row |= measured(model, spec, limit if seconds is None else seconds, Path(folder))
                found.append(row)
                print(json.dumps(row), file=out, flush=True)
    return found


def measure() -> list[Row]:
    """A few instances of each set where the benchmark networks are there, and L0 balls."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*measure_specifications(), *measure_balls(networks())]
    finally:
        torch.set_num_threads(threads)


def measure_specifications(sets: Sequence[str] = SETS) -> list[Row]:
    """A few instances of each set, added up; none where the benchmark networks are missing."""
    root, found = os.environ.get("NETASSAY_BENCHMARKS"), list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        for name in sets if root else ():
            instances = listed(Path(root or "") / "vnncomp2021", name)[:: FEW[name]]
            found.append(Row(name, "auto", figures([measured(model, spec, QUICK, Path(folder)) for model, spec, _ in instances])))
    return found


def measure_balls(asked: Sequence[tuple[str, Sequence[Problem]]]) -> list[Row]:
    """The balls of each network, added up."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            Row(f"{name}, L0 radius 1", "auto", figures([measured_ball(p, QUICK, Path(folder)) for p in problems]))
            for name, problems in asked
        ]


def figures(rows: list[dict[str, Any]]) -> dict[str, str]:
    """How many were tried, proved and accepted; CPU seconds and bytes over those that were accepted."""
    both = [r for r in rows if r.get("accepted")]
    counts = {"instances": len(rows), "proved": sum(r["holds"] for r in rows), "accepted": len(both)}
    times = {f"{name} s": f"{sum(r[name] for r in both):.2f}" for name in ("proving", "writing", "checking")}
    return {name: str(n) for name, n in counts.items()} | times | {"largest file": str(max((r["bytes"] for r in both), default=0))}


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each set."""
    lines = [
        "| set | expected to hold | proved | accepted, of the proved | proving (sum, median) | writing | checking | checking / proving "
        "(sum, median) | bytes (median, 95 %, most) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(r["set"] for r in rows):
        mine = [r for r in rows if r["set"] == name]
        held = [r for r in mine if r["holds"]]
        both = [r for r in held if r.get("accepted")]
        if not both:
            continue
        proving, writing, checking = ([r[k] for r in both] for k in ("proving", "writing", "checking"))
        ratio = statistics.median(c / max(p, 1e-3) for c, p in zip(checking, proving, strict=True))
        sizes = np.array([r["bytes"] for r in both])
        lines.append(
            f"| {name} | {len(mine)} | {len(held)} | {len(both)} | {sum(proving):.1f} s, {statistics.median(proving):.2f} s "
            f"| {sum(writing):.1f} s, {statistics.median(writing):.2f} s | {sum(checking):.1f} s, {statistics.median(checking):.2f} s "
            f"| {sum(checking) / sum(proving):.2f}, {ratio:.2f} "
            f"| {int(np.median(sizes))}, {int(np.quantile(sizes, 0.95))}, {sizes.max()} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--seconds", type=float, help="CPU seconds for each proof, and for each certificate; by default the list's limits")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--only", default="", help="instances with this in the name of model or specification")
    options = parser.parse_args()
    print(table(run(options.rows, options.seconds, options.sets, options.only)))


if __name__ == "__main__":
    main()
