"""Certificates of the proofs of a list of specifications: how many are accepted, what they cost beside the proofs, how large they are.

Every instance that is expected to hold is proved (``auto``), its certificate is searched for and written, and checked by
``netassay.checking.certificates``. All times are CPU seconds of one thread. Rows go into a file of JSON lines as they come; what it has
already is not done again. ``measure`` takes a few instances of each set.

    NETASSAY_BENCHMARKS=DIR python benchmarks/certificates.py ROWS.jsonl [--seconds 60] [--sets test verivital mnistfc acasxu]
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

from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.specification import of_specification
from netassay.models.graph import Graph
from netassay.models.onnx_reader import read_onnx
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.vnnlib import Specification, read_vnnlib
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.certificates import neurons  # noqa: F401 - loads torch before anything is timed
from netassay.verifiers.certificates.produce import write_certificate
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.portfolio import Auto
from netassay.verifiers.region import Regions
from report import Row

SETS = ("test", "verivital", "mnistfc", "acasxu")

FEW = {"test": 1, "verivital": 5, "mnistfc": 6, "acasxu": 6}
"""Every how many-th instance of a set ``measure`` takes."""

QUICK = 5.0
"""CPU seconds for each of its proofs, and for each of its certificates."""


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
        findings = list(Auto().verify(Task(Claim(graph, parts, strict=True), Regions.of([box]), Limits(clock))))
        if not findings[-1].proved:
            return False
    return True


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    begun = time.process_time()
    found = call()
    return found, round(time.process_time() - begun, 4)


def measured(model: Path, spec: Path, seconds: float, folder: Path) -> dict[str, Any]:
    """One instance."""
    graph, specification = read_onnx(model).graph, read_vnnlib(spec)
    holds, proving = timed(lambda: proved(graph, specification, seconds))
    row: dict[str, Any] = {"holds": holds, "proving": proving}
    if not holds:
        return row
    file, clock = folder / "certificate", CpuClock(seconds)
    statement, regions = of_specification(graph, specification), boxes_of(graph, specification)

    def write() -> Any:
        return write_certificate(
            file, graph, statement, spec.name, "benchmark", regions=regions, spelled_out=False, over=lambda: clock.expired
        )

    made, writing = timed(write)
    row |= {"certified": made.complete, "reason": made.reason, "writing": writing, "bytes": made.size}
    if made.complete:
        outcome, checking = timed(lambda: check_certificate(file, [graph], lambda g: of_specification(g, specification)))
        row |= {"accepted": outcome.checked.accepted, "checking": checking, "leaves": outcome.checked.leaves}
    return row


def listed(root: Path, name: str) -> list[tuple[Path, Path]]:
    """Models and specifications of a set that are expected to hold."""
    with (root / name / "instances.csv").open() as file:
        return [(root / name / r["onnx"], root / name / r["vnnlib"]) for r in csv.DictReader(file) if r["expected"] == "holds"]


def run(rows: Path, seconds: float, sets: list[str], only: str) -> list[dict[str, Any]]:
    """All instances with ``only`` in a name, those that are in the file already left as they are."""
    root = Path(os.environ["NETASSAY_BENCHMARKS"]) / "vnncomp2021"
    found = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    known = {(r["set"], r["model"], r["spec"]) for r in found}
    with tempfile.TemporaryDirectory() as folder, rows.open("a") as out:
        for name in sets:
            for model, spec in listed(root, name):
                key = name, model.name, spec.name
                if key in known or only not in f"{key[1]} {key[2]}":
                    continue
                row = dict(zip(("set", "model", "spec"), key, strict=True))
                row |= measured(model, spec, seconds, Path(folder))
                found.append(row)
                print(json.dumps(row), file=out, flush=True)
    return found


def measure(sets: Sequence[str] = SETS) -> list[Row]:
    """A few instances of each set, added up; none where the benchmark networks are missing."""
    root = os.environ.get("NETASSAY_BENCHMARKS")
    if not root:
        return []
    threads, found = torch.get_num_threads(), list[Row]()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in sets:
                instances = listed(Path(root) / "vnncomp2021", name)[:: FEW[name]]
                rows = [measured(model, spec, QUICK, Path(folder)) for model, spec in instances]
                found.append(Row(name, "auto", figures(rows)))
    finally:
        torch.set_num_threads(threads)
    return found


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
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--only", default="", help="instances with this in the name of model or specification")
    options = parser.parse_args()
    print(table(run(options.rows, options.seconds, options.sets, options.only)))


if __name__ == "__main__":
    main()
