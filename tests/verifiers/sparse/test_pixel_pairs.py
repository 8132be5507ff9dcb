"""Proofs for two changes against networks of which every subset and every linear piece is enumerated, and against grids of every pair."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import torch

from netassay.errors import CapabilityError
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.sparse import pair_bounds, pair_cells, pixel_pairs
from netassay.verifiers.sparse.pixel_pairs import PixelPairs
from netassay.verifiers.sparse.pixel_splitting import PixelSplitting
from netassay.verifiers.sparse.single_spans import Cells, Single
from pair_worlds import COLUMNS, ROWS, asked, grid_of_pair, pooled, row_values
from sparse_enumeration import exact_least, image_strip, problem


@pytest.fixture(autouse=True)
def _few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small networks need finer cells than the first."""
    monkeypatch.setattr(pixel_pairs, "CELLS", 2)
    monkeypatch.setattr(pair_cells, "BATCH", 16)
    monkeypatch.setattr(pixel_pairs, "BLOCK", 2)


def task(question: Problem, seconds: float | None = 60.0, memory: int = 2**31) -> Task:
    return Task(claim_of(question), Regions.of([question.region]), Limits(Clock(seconds), memory))


def last(question: Problem) -> Finding:
    *_, final = PixelPairs(task(question)).run()
    return final


@pytest.mark.parametrize(("most_outputs", "depth"), [(10_000, 6), (6, 6), (6, 1)])
def test_decides_as_the_enumeration_does(most_outputs: int, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_cells, "MOST_DEPTH", depth)
    monkeypatch.setattr(pair_bounds, "MOST_OUTPUTS", max(most_outputs, 12))
    decided = {True: 0, False: 0}
    for seed in range(10):
        question = problem(image_strip(seed), seed, 2)
        exact = exact_least(question.network.graph, question.center, 2, question.property.label, -1.0, 1.0)  # type: ignore[arg-type, attr-defined]
        final = last(question)
        assert exact >= final.lower
        assert not (final.proved and exact <= 0)
        assert final.proved or exact < 1e-3
        if final.point is not None:
            assert exact <= 0
            assert question.region.contains(final.point[None])[0]
        decided[final.proved] += 1
    assert min(decided.values()) >= 2, decided


def test_bounds_through_max_pooling_are_below_every_grid_point() -> None:
    proved = 0
    for seed in range(9):
        question = asked(pooled(seed), seed)
        values = row_values(question)
        least = min(float(values(grid_of_pair(question, i, j)).min()) for i, j in combinations(range(ROWS * COLUMNS), 2))
        final = last(question)
        assert final.lower <= least
        assert not (final.proved and least <= 0)
        assert final.proved or least <= 1 / 2
        proved += final.proved
    assert 2 <= proved <= 8


def test_a_claim_that_only_one_pair_breaks_is_not_proved() -> None:
    """The margin less a constant falls below 0 for the worst pair alone; that less half of it holds for every grid point."""
    for seed in range(1, 5):
        question = asked(pooled(seed), seed)
        values = row_values(question)
        drops = sorted(float(values(grid_of_pair(question, *pair)).min()) for pair in combinations(range(ROWS * COLUMNS), 2))
        asking = task(question)
        parts = tuple(replace(part, constants=part.constants - (drops[0] + drops[1]) / 2) for part in asking.claim.parts)
        if drops[0] < drops[1]:
            *_, final = PixelPairs(replace(asking, claim=replace(asking.claim, parts=parts))).run()
            assert not final.proved


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_threads_prove_the_same(seed: int) -> None:
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(last(asked(pooled(seed), seed)))
    finally:
        torch.set_num_threads(threads)
    one, several = found
    assert one.proved == several.proved
    if one.proved:
        assert (one.lower, one.subproblems) == (several.lower, several.subproblems)


def test_an_error_in_a_square_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = pair_cells.SquareProof._open

    def broken(self: pair_cells.SquareProof, *given: Any) -> Any:
        if self._at == 3:
            raise MemoryError
        return bounds(self, *given)

    monkeypatch.setattr(pair_cells.SquareProof, "_open", broken)
    with pytest.raises(MemoryError):
        last(asked(pooled(1), 1))


def test_runs_below_a_features_cells_are_theirs() -> None:
    """Halves of halves of a cell meet and fill it, and remembered bounds are the same as new ones."""
    proof = PixelPairs(task(asked(pooled(1), 1)))
    (one,) = Single.of(proof._forms, [2], proof._chain.operators, 2)
    for depth in range(5):
        parts = [one.part((depth, at)) for at in range(2**depth)]
        assert parts[0][0] == one.ends[0]
        assert parts[-1][1] == one.ends[-1]
        assert all(a[1] == b[0] for a, b in pairwise(parts))
        assert all(low < high for low, high in parts)
    list(proof._prepare())
    alone = [proof._singles[g] for g in range(len(proof._features))]
    unused: dict[str, Any] = dict.fromkeys(("sides", "of_squares", "of_blocks", "squares", "blocks", "inside"))
    own = {"features": proof._features, "center": proof._center, "alone": alone, "seen": proof._seen}
    given = pair_cells.Given(task=proof._task, forms=proof._forms, chain=proof._chain, **own, **unused)
    runs = [(3, 5), (4, 0), (3, 2)]
    new, again = given.smaller(2, runs), given.smaller(2, runs[::-1])
    low, high = np.array([alone[2].part(run) for run in runs]).T
    (exact,) = Cells.of(proof._forms, [2], proof._chain.operators, low[None], high[None])
    for found, order in ((new, slice(None)), (again, slice(None, None, -1))):
        np.testing.assert_array_equal(found.most[order], exact.most)
        for k in range(len(proof._chain.operators)):
            np.testing.assert_array_equal(found.low[k][order], exact.low[k])
            np.testing.assert_array_equal(found.high[k][order], exact.high[k])


def test_where_nothing_can_change_the_centre_decides() -> None:
    question = asked(pooled(1), 1)
    center = question.center
    fixed = replace(question, region=Ball(center, 2, "l0", domain=Box(center, center)))
    final = last(fixed)
    assert final.proved
    assert 0 < final.lower <= row_values(question)(center).min()


def test_time_and_memory_are_respected() -> None:
    question = asked(pooled(1), 1)
    *_, final = PixelPairs(task(question, seconds=0.0)).run()
    assert final.reason == "time-out"
    assert not final.proved
    *_, final = PixelPairs(task(question, memory=100)).run()
    assert final.reason == "memory"


def test_pixel_splitting_turns_to_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_: list[Task] = []

    class Noted(PixelPairs):
        def __init__(self, task: Task) -> None:
            super().__init__(task)
            asked_.append(task)

    monkeypatch.setattr("netassay.verifiers.sparse.pixel_splitting.PixelPairs", Noted)
    *_, final = PixelSplitting().verify(task(asked(pooled(1), 1)))
    assert asked_
    assert final.proved or final.point is not None or final.reason


def test_other_balls_are_refused() -> None:
    with pytest.raises(CapabilityError, match="balls of two changes"):
        PixelPairs(task(asked(pooled(0), 0, changes=3)))
