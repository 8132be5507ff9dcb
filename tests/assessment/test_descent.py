"""Which descents there are, and the points that they start from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.assessment.boundary import BoundaryWalk
from netassay.assessment.descent import _kinds
from netassay.assessment.minimum_norm import MinimumNorm
from netassay.assessment.openings import GRID, MOST, openings
from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from tiny_networks import TinyNetwork, relu_network, robustness_problems

INPUTS = np.random.default_rng(4).integers(0, 9, (6, 20)) / 8


def searched(norm: str = "l2", queries: int = 2000, features: int = 20, *, differentiable: bool = True, **region: object) -> Search:
    network = relu_network(9, [features, 16, 4], Box.filled((features,), 0, 1))
    network.differentiable = differentiable  # type: ignore[misc]
    batch = robustness_problems(network, INPUTS[:, :features], float(features), norm, **region)
    return Search(batch, Objective.VALUE, budget=Budget(queries=queries), clock=Clock(None), seed=0, violations=True)


@pytest.mark.parametrize(
    ("method", "differentiable", "features", "kinds"),
    [
        ("auto", True, 20, [MinimumNorm]),
        ("auto", True, 8, [BoundaryWalk, MinimumNorm]),
        ("auto", False, 20, [BoundaryWalk]),
        ("gradient", True, 8, [MinimumNorm]),
        ("tpmads", True, 20, [BoundaryWalk]),
        ("random", True, 20, []),
    ],
)
def test_gradients_are_used_by_the_methods_that_use_them(method: str, differentiable: bool, features: int, kinds: list[type]) -> None:
    assert _kinds(searched(features=features, differentiable=differentiable), method) == kinds


def test_counts_and_categories_are_not_walked_with() -> None:
    assert _kinds(searched("l0"), "auto") == []
    network = relu_network(6, [4, 16, 4], Box.filled((4,), 0, 1))
    batch = robustness_problems(network, np.array([[1.0, 0, 0, 0.5]]), 2.0, "l2", one_hot=[(0, 1, 2)])
    search = Search(batch, Objective.VALUE, budget=Budget(queries=100), clock=Clock(None), seed=0, violations=True)
    assert _kinds(search, "mads") == []
    assert _kinds(search, "auto") == [MinimumNorm]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_openings_are_violations_sorted_by_distance(norm: str) -> None:
    """Violations come first, the nearest before the others, each next to the point of its ray where the grid last saw none."""
    search = searched(norm)
    starts = openings(search)
    assert starts.shape[0] == len(INPUTS)
    assert 1 <= starts.shape[1] <= MOST
    network = search.network
    assert isinstance(network, TinyNetwork)
    seen = 0
    for b, problem in enumerate(search.problems):
        values = problem.property.values(network.module(starts[b]).detach()).numpy()
        distance = problem.ball.distance(starts[b].double().numpy())
        bad = values <= 0
        assert (np.diff(bad.astype(int)) <= 0).all()
        assert (np.diff(distance[bad]) >= -1e-6).all()
        assert problem.region.contains(starts[b].double().numpy()).all()
        seen += int(bad.sum())
        if bad.any():
            assert float(search.records.nearest[b]) <= distance[bad].min() * (1 + 1e-6)
    assert seen >= 3
    assert (search.used <= 1 + 0.1 * 2000).all()


def test_too_small_a_budget_has_no_openings() -> None:
    search = searched(queries=2 * 10 * GRID - 1)
    used = search.used.copy()
    assert openings(search).shape[1] == 0
    assert (search.used == used).all()


def test_problems_without_room_are_left_out() -> None:
    search = searched()
    search.used[2] = 2000
    starts = openings(search)
    assert torch.equal(starts[2], search.space.free_centers[2].expand_as(starts[2]))
    assert search.used[2] == 2000
