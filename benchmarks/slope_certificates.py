"""Certificates of slopes: how many are accepted and say what their answers say, what they cost beside the proofs, how large they are.

Answers of ``lipschitz`` on logits: of the first digits for the built-in digits-mlp, in three norms, and of a point of the input domain for
networks of ACAS Xu, the norms in turn (needs NETASSAY_BENCHMARKS). Proving is the bounds of slopes alone, which a short search is
given before. All times are CPU seconds of one thread.

    NETASSAY_BENCHMARKS=DIR python benchmarks/slope_certificates.py [--inputs 12] [--networks 6]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from certificates import CpuClock, figures, tried
from netassay.assessment.ask import ask
from netassay.assessment.certifying import proved
from netassay.checking.answered import Setting, difference
from netassay.checking.certificates.reading import CertificateOutcome, check_certificate
from netassay.models.builtin import builtin, digits_test
from netassay.models.load import load_network
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import LipschitzAnswer, Question
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.risks import parse_risk
from netassay.specs.robustness import Robustness
from netassay.verifiers.base import Limits
from netassay.verifiers.certificates.produce import Produced, write_certificate
from netassay.verifiers.claim import claim_of
from netassay.verifiers.lipschitz import slope_bounds

DIGITS = {"linf": 0.05, "l2": 0.5, "l1": 1.0}
AIRCRAFT = {"linf": 0.01, "l2": 0.02, "l1": 0.03}
"""Norms, and the radii of the balls."""

SECONDS = 10.0
"""For one proof, and for one certificate."""

SEARCH = Budget(queries=200)

RISK = parse_risk("robustness@logits")


def asked(network: Network, center: np.ndarray, norm: str, radius: float, index: int, domain: Box) -> Problem:
    """The slopes of the least margin of logits in a ball."""
    ball = Ball(center, radius, norm, domain=domain)
    return Problem(network, ball, Robustness.of(network, center, on=Scale.LOGITS), index, asked=RISK.spec)


def digits(inputs: int) -> Iterator[tuple[str, Problem]]:
    """The first digits, in each norm."""
    network, (images, _) = builtin("digits-mlp"), digits_test()
    for norm, radius in DIGITS.items():
        for i in range(inputs):
            yield f"digits-mlp {norm}", asked(network, images[i].reshape(network.domain.shape), norm, radius, i, network.domain)


def aircraft(networks: int) -> Iterator[tuple[str, Problem]]:
    """Every seventh network of ACAS Xu, one point each."""
    root = os.environ.get("NETASSAY_BENCHMARKS")
    files, rng = [] if root is None else sorted((Path(root) / "vnncomp2021" / "acasxu" / "onnx").glob("*.onnx")), np.random.default_rng(0)
    for i in range(networks if files else 0):
        network = load_network(str(files[7 * i % len(files)]))
        shape = network.domain.shape
        norm, radius = list(AIRCRAFT.items())[i % 3]
        yield f"ACAS Xu {norm}", asked(network, rng.uniform(-0.3, 0.3, shape), norm, radius, i, Box.filled(shape, -0.65, 0.65))


def measured(problem: Problem, folder: Path) -> dict[str, Any]:
    """One answer: ``same`` says that the certificate claims what it says."""
    (found,) = ask(Question.LIPSCHITZ, [problem], budget=SEARCH, prover="auto")
    answer, graph, file = cast(LipschitzAnswer, found), problem.network.graph, folder / "certificate"
    held = proved(problem, answer)
    if held is None or graph is None:
        return {"holds": False}
    attained = tuple(0.0 if side is None else side.value for side in (answer.falling.lower, answer.bracket.lower))

    def prove() -> bool:
        last = list(slope_bounds(claim_of(problem, exact=True), problem.ball, Limits(CpuClock(SECONDS)), attained))[-1]
        return bool(np.isfinite(last.falling))

    def write(path: Path) -> Produced:
        clock, claim = CpuClock(SECONDS), held.statement()
        return write_certificate(
            path, graph, claim, held.words, "benchmark", regions=[problem.region], spelled_out=True, over=lambda: clock.expired
        )

    def check(path: Path) -> CertificateOutcome:
        return check_certificate(path, [graph], None)

    row = tried(prove, write, check, folder)
    if row.get("accepted"):
        net, domain = problem.network, problem.ball.domain
        outputs = net.in_float64().outputs(torch.tensor(answer.center[None]))[0].detach().numpy().astype(np.float64)
        statement = check(file).statement
        assert statement is not None
        row["same"] = difference(statement, answer, Setting(net.convention, outputs, domain.lower, domain.upper)) == ""
    return row


def table(inputs: int, networks: int) -> str:
    """A table of all sets as text."""
    rows: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, problem in (*digits(inputs), *aircraft(networks)):
            rows.setdefault(name, []).append(measured(problem, Path(folder)))
    lines = []
    for name, of in rows.items():
        shown = figures(of) | {"same claim": str(sum(bool(row.get("same")) for row in of))}
        lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in shown.items()))
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=12, help="digits in each norm")
    parser.add_argument("--networks", type=int, default=6, help="networks of ACAS Xu")
    asked_for = parser.parse_args()
    print(table(asked_for.inputs, asked_for.networks))


if __name__ == "__main__":
    main()
