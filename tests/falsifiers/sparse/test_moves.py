"""Moves set one group to a corner of its range; their gains are exact for linear functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.moves import Moves
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from tiny_networks import TinyNetwork, linear, robustness_problems

RNG = np.random.default_rng(0)


def moves(center: np.ndarray, group: str = "feature") -> Moves:
    size = center.size
    network = linear(np.ones((2, size)), np.array([1.0, 0.0]), Box.filled((size,), 0.0, 1.0))
    if group == "pixel":
        network.domain = Box.filled(center.shape, 0.0, 1.0)
    problems = robustness_problems(network, center.reshape(1, -1), size, "l0") if group == "feature" else _pixels(network, center)
    return Moves.of(Search(problems, Objective.VALUE, budget=Budget(queries=9), clock=Clock(), seed=0, violations=True), 0)


def _pixels(network: TinyNetwork, center: np.ndarray) -> list[Problem]:
    module = network.module
    network.module = torch.nn.Sequential(torch.nn.Flatten(), module)
    return robustness_problems(network, center[None], center.size, "l0", group="pixel")


def test_a_feature_at_an_end_of_its_range_moves_to_the_other_only() -> None:
    found = moves(np.array([0.0, 0.25, 1.0]))
    assert found.group.tolist() == [0, 1, 1, 2]
    assert found.values.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
    assert found.change.flatten().tolist() == [1.0, -0.25, 0.75, -1.0]


@pytest.mark.parametrize(("channels", "corners"), [(2, 4), (3, 8), (4, 2)])
def test_pixels_have_all_corners_of_few_channels(channels: int, corners: int) -> None:
    center = np.full((channels, 1, 3), 0.5)
    found = moves(center, "pixel")
    assert found.group.tolist() == [g for g in range(3) for _ in range(corners)]
    points = found.points(torch.arange(len(found)).unsqueeze(1)).numpy().reshape(-1, channels, 3)
    for g in range(3):
        own = points[found.group.numpy() == g]
        assert len(np.unique(own[:, :, g], axis=0)) == corners
        assert set(own[:, :, g].flatten()) == {0.0, 1.0}
        assert (np.delete(own, g, axis=2) == 0.5).all()


def test_gains_are_exact_for_linear_functions() -> None:
    found = moves(np.array([0.0, 0.25, 1.0, 0.5]))
    slopes = RNG.integers(-4, 5, (3, 4)).astype(np.float32)
    points = found.points(torch.arange(len(found)).unsqueeze(1)).numpy()
    assert found.gains(torch.tensor(slopes)).numpy() == pytest.approx(slopes @ (found.center.numpy() - points).T)


def test_sets_apply_all_their_moves() -> None:
    found = moves(np.array([0.0, 0.25, 1.0]))
    assert found.points(torch.tensor([[0, 3], [1, 3]])).tolist() == [[1.0, 0.25, 0.0], [0.0, 0.0, 0.0]]
    assert found.points(torch.empty((1, 0), dtype=torch.long)).tolist() == [[0.0, 0.25, 1.0]]


def test_the_best_of_each_group_is_one_of_its_moves() -> None:
    found = moves(np.array([0.0, 0.25, 1.0]))  # groups 0, 1, 1, 2
    best, which = found.best_of_groups(torch.tensor([[-1.0, 0.0], [2.0, -3.0], [1.0, -2.0], [-5.0, 7.0]]), 4)
    assert best.tolist() == [[-1, 0], [2, -2], [-5, 7], [-np.inf, -np.inf]]
    assert which[:3].tolist() == [[0, 0], [1, 2], [3, 3]]
