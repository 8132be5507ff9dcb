"""Certificates of two changes of small networks, and the checker's bounds over pairs of their pixels."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from certificate_worlds import graph_of, moved, never
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pairs import PairBounds
from netassay.checking.certificates.pixels import PixelBounds
from netassay.checking.certificates.statement import Case, Statement
from netassay.models.graph import Graph
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.pairs import prove_by_pairs
from netassay.verifiers.certificates.sink import CaseProof
from pair_worlds import COLUMNS, ROWS, asked, grid_of_pair, pooled, row_values


def pixel_bounds(graph: Graph, case: Case, *, exact: bool = False) -> PixelBounds:
    return PixelBounds(CheckedNetwork(graph, Arithmetic(exact)), case, strict=True)


def pair_bounds(graph: Graph, case: Case, depth: int, together: int = 1, seed: int = 0) -> PairBounds:
    """In a random order."""
    bounds = pixel_bounds(graph, case)
    order = np.random.default_rng(seed).permutation(len(bounds.pixels))
    found = PairBounds(bounds, order, together)
    for pixel in order.tolist():
        found.cut(pixel, depth)
    return found


def proved(problem: Problem, statement: Statement) -> list[Record]:
    """The records of a proof by pairs; none if there is none."""
    network, case, records = CheckedNetwork(graph_of(problem), Arithmetic()), statement.cases[0], list[Record]()
    whole = Parts(network, case.region, case.region.lower[None], case.region.upper[None])
    proof = CaseProof(0, case, whole, statement.strict, records.append, never)
    if not prove_by_pairs(proof, PixelBounds(network, case, strict=statement.strict)):
        assert proof.open
        return []
    return [Record({"record": "case", "case": 0}), *records]


def pooled_claims(seed: int, slack: float) -> tuple[Problem, Statement, Statement]:
    """A problem, a claim ``slack`` below the least of its grid of pairs, and the claim of that, which is false."""
    problem = asked(pooled(seed), seed)
    values, pairs = row_values(problem), combinations(range(ROWS * COLUMNS), 2)
    least = min(float(values(grid_of_pair(problem, i, j)).min()) for i, j in pairs)
    statement = statement_of([problem])
    return problem, moved(statement, slack - least), moved(statement, -least)


@pytest.fixture
def pairs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs of two changes are by pairs, however small and sparse the network."""
    monkeypatch.setattr("netassay.verifiers.certificates.pixels.FEW", 0)
    monkeypatch.setattr("netassay.verifiers.certificates.pixels.MANY_MEET", -1.0)
