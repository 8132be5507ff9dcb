"""Certificates that are found: accepted by the checker, for true claims only, on every kind of network and region."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from certificate_worlds import body, checked, graph_of, halfspaces_problem, least_seen, moved, produced, wide_network
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.check import Checker
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.scores import Scores
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import OutputConvention, Scale
from netassay.models.torch_graph import GraphModule
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.specs.reachability import Direction, Reachability
from netassay.specs.regions import Ball, Box
from netassay.specs.robustness import Robustness
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.branch_and_bound.neuron_splitting import NeuronSplitting
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.neurons import NeuronOptions, NeuronProof
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.claim import Claim, Part, claim_of
from netassay.verifiers.region import Regions
from random_graphs import EXACT_KINDS, GraphOnly, random_graph


@pytest.mark.parametrize("seed", range(3))
def test_splitting_neurons_comes_near_the_truth(tmp_path: Path, seed: int) -> None:
    """Just below the proved minimum there is a certificate of splits; above a value that is attained there is none."""
    asked = halfspaces_problem(wide_network(seed), seed, 0.35)
    task = Task(claim_of(asked), Regions.of([asked.region]), Limits(Clock(20.0)))
    lower, least = -np.inf, np.inf
    for finding in NeuronSplitting(tolerance=1e-2).verify(task):
        lower, least = finding.lower, min(least, finding.least)
    assert least - lower < 0.05
    statement = statement_of([asked])
    true = moved(statement, -(lower - 0.02))
    path = tmp_path / "a.cert"
    assert produced(path, asked, true).complete
    records = body(path)
    assert any(r.kind == "parts" and len(r.arrays["value"]) > len(r.arrays["part"]) for r in records)
    assert checked(asked, true, records).accepted
    assert checked(asked, true, records, exact=True).accepted if seed == 0 else True
    false = moved(statement, -(least_seen(asked, np.random.default_rng(seed)) + 1e-9))
    assert not checked(asked, false, records).accepted
    calls = count()
    assert not produced(tmp_path / "b.cert", asked, false, over=lambda: next(calls) > 200).complete


def test_ranges_by_trees(tmp_path: Path) -> None:
    """Where splitting takes long, inner ranges are tightened by trees of their own first, which the checker proves again."""
    asked = halfspaces_problem(wide_network(0), 0, 0.35)
    statement = moved(statement_of([asked]), 0.4 - least_seen(asked, np.random.default_rng(0)))
    case, network, records = statement.cases[0], CheckedNetwork(graph_of(asked), Arithmetic()), list[Record]()
    whole = Parts(network, case.region, case.region.lower[None], case.region.upper[None])
    proof = CaseProof(0, case, whole, True, records.append, lambda: False)
    parts = tuple(Part(p.rows, p.constants) for p in case.parts)
    claim = Claim(network.graph, parts, strict=True)
    assert NeuronProof(claim, Regions.of([asked.region]), proof, NeuronOptions(first=3, batch=2)).run()
    trees = [r for r in records if r.kind == "range" and len(r.arrays["value"]) > len(r.arrays["unit"])]
    assert trees
    begin = [Record({"record": "case", "case": 0})]
    assert checked(asked, statement, begin + records).accepted
    assert checked(asked, statement, begin + records, exact=True).accepted
    wrong = moved(statement_of([asked]), -(least_seen(asked, np.random.default_rng(0)) + 1e-9))
    assert not checked(asked, wrong, begin + records).accepted


def deep_network(seed: int, inputs: int = 16, hidden: int = 10) -> Graph:
    """Three hidden layers."""
    rng, builder, value, before = np.random.default_rng(seed), GraphBuilder((inputs,)), 0, inputs
    for _ in range(3):
        dense = op.Dense(rng.integers(-4, 5, (hidden, before)) / 8, rng.integers(-2, 3, hidden) / 4)
        value, before = builder.add(nl.Relu(), builder.add(dense, value)), hidden
    return builder.build(builder.add(op.Dense(rng.integers(-4, 5, (3, hidden)) / 4, np.zeros(3)), value))


@pytest.mark.parametrize("seed", range(3))
def test_the_checker_comes_to_the_ranges_that_were_relied_on(seed: int) -> None:
    """Also where ranges of a value are the first record: those of later values do not depend on that."""
    asked = halfspaces_problem(deep_network(seed), seed, 0.35)
    statement = moved(statement_of([asked]), 0.3 - least_seen(asked, np.random.default_rng(seed)))
    case, network, records = statement.cases[0], CheckedNetwork(graph_of(asked), Arithmetic()), list[Record]()
    whole = Parts(network, case.region, case.region.lower[None], case.region.upper[None])
    calls = count()
    proof = CaseProof(0, case, whole, True, records.append, lambda: next(calls) > 400)
    claim = Claim(network.graph, tuple(Part(p.rows, p.constants) for p in case.parts), strict=True)
    NeuronProof(claim, Regions.of([asked.region]), proof, NeuronOptions(first=3, batch=2)).run()
    assert records[0].kind == "range"
    checker = Checker(graph_of(asked), statement)
    checker.check([Record({"record": "case", "case": 0}), *records])
    found = checker._whole
    assert found is not None
    for value, sides in whole.ranges.items():
        assert all(np.array_equal(mine, other) for mine, other in zip(found.ranges[value], sides, strict=True)), value


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_every_kind_of_network(tmp_path: Path, kind: str) -> None:
    """Claims 0.5 below what points attain: mostly true; whatever is written down is accepted, and the false ones have nothing."""
    complete = 0
    for seed in range(3):
        asked = halfspaces_problem(random_graph(kind, seed), seed, 0.0625)
        statement = statement_of([asked])
        least = least_seen(asked, np.random.default_rng(seed))
        calls = count()
        made = produced(tmp_path / "a.cert", asked, moved(statement, -(least - 0.5)), over=lambda calls=calls: next(calls) > 500)
        if made.complete:
            complete += 1
            assert checked(asked, moved(statement, -(least - 0.5)), body(tmp_path / "a.cert")).accepted
            assert not checked(asked, moved(statement, -(least + 1e-9)), body(tmp_path / "a.cert")).accepted
    assert complete


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_balls(tmp_path: Path, norm: str) -> None:
    graph = wide_network(5)
    center = np.random.default_rng(0).integers(0, 5, 16) / 4
    with torch.no_grad():
        label = int(GraphModule(graph, torch.float64)(torch.from_numpy(center[None])).argmax())
    for radius, expected in ((1e-3, True), (50.0, False)):
        ball = Ball(center, radius, norm, domain=Box.filled((16,), -3, 3))
        asked = Problem(GraphOnly(graph), ball, Robustness(label, on=Scale.LOGITS))
        statement, calls = statement_of([asked]), count()
        made = produced(tmp_path / "a.cert", asked, statement, over=lambda calls=calls: next(calls) > 100)
        assert made.complete is expected
        assert not expected or checked(asked, statement, body(tmp_path / "a.cert"), exact=True).accepted


def test_scores_behind_the_outputs_are_taken_back_exactly() -> None:
    """Where the least output wins, rows change their sign; thresholds of probabilities are claimed as they are."""
    from netassay.models.scores import Decision, Meaning

    graph = wide_network(1)
    box = Box(np.zeros(16), np.ones(16))
    turned = GraphOnly(graph, OutputConvention(Meaning.LOGITS, Decision.ARGMIN))
    statement = statement_of([Problem(turned, box, Robustness(0, on=Scale.LOGITS))])
    assert statement.cases[0].parts[0].rows.tolist() == [[-1.0, 1.0, 0.0]]
    statement = statement_of([Problem(GraphOnly(graph), box, Reachability(0, 0.3, Direction.BELOW))])
    assert statement.scores == Scores()
    assert statement.cases[0].parts[0].constants.tolist() == [-0.3]
