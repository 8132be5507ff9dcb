"""Certificates of slopes as they are found: of what the verifier has proved, by shells and by boxes, and given up in time."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from certificate_worlds import graph_of, wide_network
from netassay.checking.certificates.reading import check_certificate
from netassay.errors import CapabilityError
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.property import Property
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers import lipschitz
from netassay.verifiers.certificates import slopes
from netassay.verifiers.certificates.claims import slope_statement
from netassay.verifiers.claim import claim_of
from netassay.verifiers.lipschitz import SlopeBounds, slope_bounds
from random_graphs import EXACT_KINDS, GraphOnly, random_graph
from slope_worlds import written

SEVERAL = OutputHalfspaces([np.eye(3)[:1] - np.eye(3)[1:2], np.eye(3)[1:]], [np.zeros(1), np.full(2, 0.25)])


def proved(problem: Problem, rounds: int = 6) -> SlopeBounds:
    return list(islice(slope_bounds(claim_of(problem, exact=True), problem.ball), rounds))[-1]


def asked(kind: str, seed: int, norm: str, about: Property) -> Problem:
    """With a feature that is fixed, one at a wall, and units."""
    graph, rng = random_graph(kind, seed), np.random.default_rng([seed, 12])
    center = rng.integers(-4, 5, graph.input_shape) / 4
    center.reshape(-1)[0] = 1.25
    mask = np.ones(center.shape, dtype=np.bool_)
    mask.reshape(-1)[-1] = False
    scale = rng.choice([0.5, 1.0, 2.0], center.shape)
    return Problem(GraphOnly(graph), Ball(center, 0.25, norm, domain=Box.filled(center.shape, -1.25, 1.25), mask=mask, scale=scale), about)


@pytest.mark.parametrize("few", [0, lipschitz.FEW_INPUTS])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_what_the_verifier_proves_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, norm: str, few: int) -> None:
    for module in (lipschitz, slopes):
        monkeypatch.setattr(module, "FEW_INPUTS", few)
    for seed, about in enumerate((Robustness(0, on=Scale.LOGITS), SEVERAL)):
        problem = asked(kind, seed, norm, about)
        found = proved(problem)
        start = float(found.center[0])
        reach = min(0.25, start / found.falling) if start > 0 and found.falling > 0 else None
        statement = slope_statement(problem, found.falling, found.steepest, reach)
        claimed = statement.cases[0].slopes
        assert claimed is not None
        assert claimed.falling <= found.falling * (1 + 1e-9)
        path = tmp_path / f"{seed}.cert"
        assert written(path, problem, statement).complete, seed
        checked = check_certificate(path, [graph_of(problem)], None).checked
        assert checked.accepted, checked.reason


def test_many_inputs_are_divided_by_distances(tmp_path: Path) -> None:
    graph, rng = wide_network(3), np.random.default_rng(3)
    for norm in ("linf", "l2", "l1"):
        problem = Problem(GraphOnly(graph), Ball(rng.uniform(-0.5, 0.5, 16), 0.5, norm), Robustness(0, on=Scale.LOGITS))
        found = proved(problem, 20)
        statement = slope_statement(problem, found.falling, found.steepest, None)
        path = tmp_path / "a.cert"
        assert written(path, problem, statement).complete
        assert check_certificate(path, [graph_of(problem)], None).checked.accepted
        smaller = slope_statement(problem, found.falling * 0.2, found.steepest * 0.2, None)
        assert not written(path, problem, smaller).complete


@pytest.mark.parametrize("few", [0, lipschitz.FEW_INPUTS])
def test_time_may_be_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(slopes, "FEW_INPUTS", few)
    problem = asked("dense", 0, "l2", SEVERAL)
    less = slope_statement(problem, proved(problem).falling * 0.5, None, None)
    made = written(tmp_path / "a.cert", problem, less, over=lambda: True)
    assert (made.complete, made.reason) == (False, "time-out")
    assert not (tmp_path / "a.cert").exists()


def test_what_has_no_form_is_told() -> None:
    graph = random_graph("dense", 0)
    ball = Ball(np.zeros(graph.input_shape), 1, "l0")
    with pytest.raises(CapabilityError, match="about distances in L1"):
        slope_statement(Problem(GraphOnly(graph), ball, Robustness(0)), 1.0, None, None)
