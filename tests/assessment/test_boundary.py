"""Walks along the boundary: their geometry against exact references, and that budgets and walls are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exact_radii import linear_radius, root
from netassay.assessment.boundary import BoundaryWalk, along_curve, nearest_behind
from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.falsifiers.space import Arms
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from tiny_networks import TinyNetwork, linear, relu_network, robustness_problems


def searched(batch: list[Problem], queries: int = 2000) -> Search:
    return Search(batch, Objective.VALUE, budget=Budget(queries=queries), clock=Clock(None), seed=0, violations=True)


def falling(search: Search) -> Arms:
    count = len(search.problems)
    return search.arms(np.arange(count), np.full(count, -1.0), search.space.radii)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_nearest_point_behind_a_tangent(norm: str) -> None:
    """For a level that the box allows, its length is the exact least change that reaches it."""
    rng = np.random.default_rng(3)
    slope, center = rng.integers(-8, 9, 12) / 4, rng.integers(1, 8, 12) / 8
    network = linear(np.stack([-slope, 0 * slope]), np.zeros(2), Box.filled((12,), 0, 1))
    search = searched(robustness_problems(network, center[None], 1.0, norm))
    arms = falling(search)
    for share in (0.125, 0.5, 0.9):
        rooms = np.where(slope > 0, arms.high[0].double().numpy(), -arms.low[0].double().numpy())
        level = share * float(np.abs(slope) @ rooms)
        exact = root(norm, linear_radius(norm, slope.tolist(), level, rooms.tolist()))
        slopes = torch.tensor(slope[None], dtype=torch.float32)
        point = nearest_behind(arms, torch.tensor([0]), slopes, torch.tensor([[level]]), torch.tensor([16.0]))[0, 0].double().numpy()
        order = {"linf": np.inf, "l2": 2, "l1": 1}[norm]
        assert slope @ point >= level * (1 - 1e-5)
        assert np.linalg.norm(point, order) == pytest.approx(exact, rel=1e-4)
        assert (point >= arms.low[0].numpy()).all()
        assert (point <= arms.high[0].numpy()).all()


def test_neighbours_of_an_image_stay_together() -> None:
    """Four consecutive places hold a square of two by two pixels of one channel."""
    network = relu_network(0, [32, 4, 2], Box.filled((32,), 0, 1))
    image = TinyNetwork(torch.nn.Sequential(torch.nn.Flatten(), network.module), Box.filled((2, 4, 4), 0, 1), 2)
    arms = falling(searched(robustness_problems(image, np.full((1, 2, 4, 4), 0.5), 0.25, "linf")))
    place = along_curve(arms)
    assert sorted(place.tolist()) == list(range(32))
    tiles = (place // 4).reshape(2, 4, 4)
    for channel in range(2):
        for row in (0, 2):
            for column in (0, 2):
                assert tiles[channel, row : row + 2, column : column + 2].unique().numel() == 1


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_walks_from_a_far_corner_reach_the_nearest_point(norm: str) -> None:
    rng = np.random.default_rng(5)
    weight, centers = np.stack([rng.integers(-16, 17, 100) / 8, np.zeros(100)]), rng.integers(0, 9, (2, 100)) / 8
    offset = 4 - float((centers @ weight[0]).min())
    network = linear(weight, np.array([offset, 0]), Box.filled((100,), 0, 1))
    batch = robustness_problems(network, centers, 100.0, norm)
    search = searched(batch)
    arms = falling(search)
    corner = torch.where(torch.tensor(weight[0]) > 0, arms.low, arms.high)
    search.run(BoundaryWalk(), arms, starts=arms.pull(torch.arange(2), corner.float().unsqueeze(1)))
    for b, problem in enumerate(batch):
        rooms = np.where(weight[0] > 0, problem.center, 1 - problem.center)
        exact = root(norm, linear_radius(norm, weight[0].tolist(), float(weight[0] @ problem.center) + offset, rooms.tolist()))
        point = search.records.nearest_points[b].double().numpy()
        assert problem.region.contains(point[None])[0]
        assert exact * (1 - 1e-6) <= float(problem.ball.distance(point[None])[0]) <= 1.01 * exact
    assert (search.used <= 2000).all()
    assert search.counter.calls < 300


def test_a_start_that_is_no_violation_is_left_at_once() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    search = searched(robustness_problems(network, np.full((1, 8), 0.5), 0.25, "l2"))
    used = search.used.copy()
    search.run(BoundaryWalk(), falling(search), starts=torch.zeros(1, 3, 8))
    assert (search.used - used).tolist() == [1]
