"""Certificates against claims that are known to be true or false: false ones are never accepted, however the records are damaged."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from certificate_worlds import (
    MUTATIONS,
    body,
    checked,
    damaged_bytes,
    graph_of,
    halfspaces_problem,
    least_seen,
    moved,
    no_damage_proves,
    planar_claim,
    produced,
    rewritten,
    wide_network,
)
from exact_planar import planar_problem
from netassay.checking.certificates.check import Checker
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import InputError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.torch_graph import GraphModule
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import statement_of
from slope_worlds import above, below, slope_claim, slope_problem, written

SEEDS = range(12)
SLACK = Fraction(1, 1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_true_is_accepted_and_what_is_false_is_not(tmp_path: Path, seed: int) -> None:
    """The least margin is known exactly: a claim 0.001 below it has a certificate, in both arithmetics; one at it is false."""
    problem, true, false = planar_claim(seed, SLACK)
    path = tmp_path / "a.cert"
    assert produced(path, problem, true).complete
    records = body(path)
    for exact in (False, True):
        assert checked(problem, true, records, exact=exact).accepted
        told = checked(problem, false, records, exact=exact)
        assert not told.accepted
        assert "part" in told.reason


@pytest.mark.parametrize("seed", SEEDS)
def test_a_claim_just_above_an_attained_value_has_no_certificate(tmp_path: Path, seed: int) -> None:
    """On the wrong side by 1e-9: the search for a certificate ends without one, and a file of splits is rejected."""
    problem, exact = planar_problem(seed)
    false = moved(statement_of([problem]), -(float(exact) + 1e-9))
    calls = iter(range(10**9))
    assert not produced(tmp_path / "b.cert", problem, false, over=lambda: next(calls) > 20).complete
    assert not (tmp_path / "b.cert").exists()


def test_exact_mode_decides_what_rounding_hides() -> None:
    """Over a single point, an output is at least its own value and not above it: float64 can tell neither, rational arithmetic both."""
    problem, _ = planar_problem(1)
    graph, point = graph_of(problem), np.array([0.25, 0.5])
    with torch.no_grad():
        value = float(GraphModule(graph, torch.float64)(torch.from_numpy(point[None]))[0, 0])
    leaf = {"value": np.array([-1], np.int32), "index": np.zeros(1, np.uint32), "threshold": np.zeros(1), "part": np.zeros(1, np.uint32)}
    leaf |= {"weights": np.zeros(0, np.float32), "multipliers": np.zeros(0, np.float32)}
    records = [Record({"record": "case", "case": 0}), Record({"record": "parts"}, leaf)]
    case = Case(Region(point, point), (Part(np.array([[1.0, 0.0, 0.0]]), np.array([-value])),))
    for strict in (True, False):
        statement = Statement(graph.sha256, 2, 3, (case,), strict)
        assert Checker(graph, statement, exact=True).check(records).accepted is not strict
        assert not Checker(graph, statement).check(records).accepted


def with_splits(path: Path) -> tuple[Problem, Statement, Statement]:
    """A claim, true and false, whose certificate (in the file) splits its region."""
    for seed in range(50):
        problem, true, false = planar_claim(seed, Fraction(1, 10**6))
        if produced(path, problem, true).complete and any(r.kind == "boxes" and len(r.arrays["value"]) > 4 for r in body(path)):
            return problem, true, false
    raise AssertionError("no claim needs splits")


def by_neurons(path: Path) -> tuple[Problem, Statement, Statement]:
    """A claim, true and false, whose certificate (in the file) has optimised ranges and splits neurons."""
    asked = halfspaces_problem(wide_network(0), 0, 0.35)
    statement, least = statement_of([asked]), least_seen(asked, np.random.default_rng(0))
    for slack in (0.2, 0.3, 0.5):
        true = moved(statement, slack - least)
        if produced(path, asked, true).complete and any(r.kind == "parts" and len(r.arrays["value"]) > 2 for r in body(path)):
            return asked, true, moved(statement, -(least + 1e-9))
    raise AssertionError("the claim needs no splits")


def of_slopes(path: Path) -> tuple[Problem, Statement, Statement]:
    """A claim about slopes, true and false, whose certificate (in the file) splits its region."""
    for seed in range(50):
        problem, (falling, rising) = slope_problem(seed, "linf")
        true = slope_claim(problem, above(falling, SLACK), above(rising, SLACK))
        if not falling or not written(path, problem, true).complete or len(body(path)[-1].arrays["value"]) < 5:
            continue
        rewritten(path, true, [r for r in body(path) if r.kind in ("case", "shells")])
        return problem, true, slope_claim(problem, below(falling, Fraction(1, 10**9)), above(rising, SLACK))
    raise AssertionError("no claim needs splits")


"""Damaged certificates of each kind."""


@pytest.mark.parametrize("make", [with_splits, by_neurons, of_slopes])
def test_damaged_records_never_prove_what_is_false(tmp_path: Path, make: Callable[[Path], tuple[Problem, Statement, Statement]]) -> None:
    """Hundreds of damaged certificates: no crash, and none makes the checker accept a claim that is not true."""
    path = tmp_path / "a.cert"
    problem, true, false = make(path)
    records = body(path)
    no_damage_proves(problem, true, false, records, seed=7)


def test_damaged_files_are_refused_or_rejected(tmp_path: Path) -> None:
    problem, true, _ = planar_claim(3, SLACK)
    path = tmp_path / "a.cert"
    assert produced(path, problem, true).complete
    bad, rng = tmp_path / "b.cert", np.random.default_rng(0)
    refused = 0
    for _ in range(MUTATIONS):
        for data in damaged_bytes(path, rng):
            bad.write_bytes(data)
            try:
                check_certificate(bad, [graph_of(problem)], lambda _g: true)
            except InputError:
                refused += 1
    assert refused > 2 * MUTATIONS


def test_a_dropped_leaf_is_a_missing_part(tmp_path: Path) -> None:
    path = tmp_path / "a.cert"
    problem, true, _ = with_splits(path)
    records = body(path)
    at, tree = next((i, r) for i, r in enumerate(records) if r.kind == "boxes" and len(r.arrays["value"]) > 4)
    cut = {name: array[:-1] for name, array in tree.arrays.items()}
    with pytest.raises(InputError, match="part of the region is missing"):
        checked(problem, true, [*records[:at], Record(tree.head, cut), *records[at + 1 :]])
    left_out = checked(problem, true, records[:at] + records[at + 1 :])
    assert not left_out.accepted
    assert "nothing in the certificate is about it" in left_out.reason


def test_another_network_or_specification_is_told(tmp_path: Path) -> None:
    problem, true, _ = planar_claim(0, SLACK)
    other, its, _ = planar_claim(1, SLACK)
    path = tmp_path / "a.cert"
    produced(path, problem, true)
    found = check_certificate(path, [graph_of(other)], lambda _g: its)
    assert not found.checked.accepted
    assert "another network" in found.checked.reason
    found = check_certificate(path, [graph_of(problem)], lambda _g: moved(true, -1.0))
    assert not found.checked.accepted
    assert "another specification" in found.checked.reason
    with pytest.raises(InputError, match="is about a specification"):
        check_certificate(path, [graph_of(problem)], None)
    assert check_certificate(rewritten(tmp_path / "c.cert", true, body(path)), [graph_of(problem)], lambda _g: true).checked.accepted


def test_weights_of_nothing_are_refused(tmp_path: Path) -> None:
    """A mean of rows with weights 0 is 0, which would do where 0 is enough."""
    problem, _, false = planar_claim(0, SLACK)
    graph = graph_of(problem)
    loose = Statement(false.network_sha256, false.inputs, false.outputs, moved(false, -1.0).cases, False)
    count = len(loose.cases[0].parts)
    leaf = {"value": np.full(count, -1, np.int32), "index": np.zeros(count, np.uint32), "threshold": np.zeros(count)}
    leaf |= {"part": np.arange(count, dtype=np.uint32), "multipliers": np.zeros(0, np.float32)}
    for weight in (0.0, -1.0, np.nan, np.inf):
        arrays = leaf | {"weights": np.full(count, weight, np.float32)}
        records = [Record({"record": "case", "case": 0}), Record({"record": "parts"}, arrays)]
        for exact in (False, True):
            with pytest.raises(InputError, match="weights"):
                Checker(graph, loose, exact=exact).check(records)


@pytest.mark.parametrize("weight", [2000.0, 1e300])
def test_numbers_beyond_the_floats_are_no_crash(weight: float) -> None:
    """Of exp of a large number no end is known, nor is any of what it is multiplied by."""
    builder, value = GraphBuilder((1,)), 0
    for operator in (nl.Exp(), nl.Relu()):
        value = builder.add(operator, builder.add(op.Dense(np.array([[weight]]), np.array([-1.0])), value))
    graph = builder.build(value)
    case = Case(Region(np.zeros(1), np.ones(1)), (Part(np.ones((1, 1)), np.ones(1)),))
    statement = Statement(graph.sha256, 1, 1, (case,), True)
    leaf = {"value": np.full(1, -1, np.int32), "index": np.zeros(1, np.uint32), "threshold": np.zeros(1)}
    more = {"part": np.zeros(1, np.uint32), "weights": np.zeros(0, np.float32), "multipliers": np.zeros(0, np.float32)}
    records = [Record({"record": "case", "case": 0}), Record({"record": "parts"}, leaf | more)]
    for exact in (False, True):
        found = Checker(graph, statement, exact=exact).check(records)
        assert not found.accepted
        assert found.reason
