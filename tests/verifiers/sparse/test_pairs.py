"""Pairs of changes where nearly all pixels interact: by what either does alone and their interplay, in blocks first."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from netassay.errors import CapabilityError
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.sparse import additive, interplay
from netassay.verifiers.sparse.additive import Additive
from netassay.verifiers.sparse.interplay import Interplay
from netassay.verifiers.sparse.local_forms import LocalForms
from sparse_enumeration import SIZE, image_strip, problem

SEEDS = range(8)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few pixels make several blocks."""
    monkeypatch.setattr(additive, "MANY", 1)
    monkeypatch.setattr(interplay, "BLOCK", 2)


def asked(seed: int) -> Problem:
    """Every other input is far from the boundary."""
    return problem(image_strip(seed, mixed=True), seed, 2)


def sampled(question: Problem) -> float:
    """The least s over a grid of every pair; weights and points are dyadic."""
    claim = claim_of(question)
    rows = np.concatenate([part.rows for part in claim.parts])
    constants = np.concatenate([part.constants for part in claim.parts])
    moves = list(product(combinations(range(SIZE), 2), product(np.arange(-8, 9) / 8, repeat=2)))
    points = np.repeat(question.center.reshape(1, -1), len(moves), axis=0)
    for row, (features, values) in enumerate(moves):
        points[row, list(features)] = values
    outputs = Evaluator(BoundedGraph(claim.graph)).outputs(points.reshape(-1, *claim.graph.input_shape))
    return float((outputs @ rows.T + constants).min())


def final(question: Problem) -> Finding:
    *_, last = Additive(Task(claim_of(question), Regions.of([question.region]))).run()
    return last


def test_proofs_hold_at_every_pair() -> None:
    decided = {True: 0, False: 0}
    for seed in SEEDS:
        question = asked(seed)
        local = LocalForms(claim_of(question), question.ball.geometry)
        assert local.interacts.mean() > additive.MOST_INTERACTIONS
        found, least = final(question), sampled(question)
        assert found.lower <= least
        assert found.proved or found.point is not None
        assert not (found.proved and least <= 0)
        decided[found.proved] += 1
    assert min(decided.values()) >= 2, decided


def test_forgotten_interplay_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interplay, "drops", lambda self, group, others: np.zeros((len(others), len(self._local.center))))
    assert any(final(asked(seed)).lower > sampled(asked(seed)) for seed in range(24))


def test_blocks_bound_what_their_members_do() -> None:
    for seed in SEEDS:
        question = asked(seed)
        local = LocalForms(claim_of(question), question.ball.geometry)
        between = Interplay(local, [local.drops_and_spans(local.whole((g,)))[1] for g in range(SIZE)])
        for group in range(SIZE):
            others = [o for o in range(SIZE) if o != group]
            assert (between.block_drops(group, others) >= between.drops(group, others) - 1e-12).all()  # up to rounding


def test_three_changes_are_refused() -> None:
    question = asked(0)
    more = Problem(question.network, Ball(question.center, 3, "l0", domain=question.network.domain), question.property)
    with pytest.raises(CapabilityError, match="interact"):
        Additive(Task(claim_of(more), Regions.of([more.region])))
