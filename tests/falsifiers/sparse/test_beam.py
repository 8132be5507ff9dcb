"""The beam finds the fewest changes where they are known, never fewer than there are, and keeps within its budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.beam import BeamSearch
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from tiny_networks import FunctionModule, TinyNetwork, fewest_changes, linear, relu_network, robustness_problems


def searched(problems: list[Problem], queries: int, *, gradients: bool) -> Search:
    search = Search(problems, Objective.VALUE, budget=Budget(queries=queries), clock=Clock(), seed=0, violations=True)
    for b in range(len(problems)):
        BeamSearch(search, b, gradients).run(queries)
    return search


@pytest.mark.parametrize("gradients", [True, False])
def test_takes_the_strongest_changes_of_a_linear_function(gradients: bool) -> None:
    """Margin 5 - x . w at x = 0: the three largest weights, 2, 1.75 and 1.25, are just enough."""
    weight = np.array([[0.5, 1.25, 0.25, 2.0, 0.5, 1.75, 0.25, 1.0], [0.0] * 8])
    network = linear(-weight, np.array([5.0, 0.0]), Box.filled((8,), 0.0, 1.0))
    search = searched(robustness_problems(network, np.zeros((1, 8)), 8, "l0"), 200, gradients=gradients)
    assert float(search.records.nearest[0]) == 3
    assert np.flatnonzero(search.records.nearest_points[0].numpy()).tolist() == [1, 3, 5]


@pytest.mark.parametrize("gradients", [True, False])
def test_finds_the_fewest_corners_that_enumeration_finds(gradients: bool) -> None:
    inputs = np.random.default_rng(1).integers(0, 9, (10, 9)) / 8
    problems = robustness_problems(relu_network(3, [9, 12, 4], Box.filled((9,), 0.0, 1.0)), inputs, 9, "l0")
    search = searched(problems, 20_000, gradients=gradients)
    known = [fewest_changes(problem, 4) for problem in problems]
    assert search.records.nearest.tolist() == known
    assert max(known) > 1


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("queries", [2, 7, 40, 300])
def test_keeps_within_the_budget(queries: int, gradients: bool) -> None:
    inputs = np.random.default_rng(1).integers(0, 9, (4, 30)) / 8
    problems = robustness_problems(relu_network(5, [30, 16, 5], Box.filled((30,), 0.0, 1.0)), inputs, 30, "l0")
    search = searched(problems, queries, gradients=gradients)
    assert (search.used <= queries).all()
    assert search.counter.points <= len(problems) * queries


def test_pixels_count_once() -> None:
    """Margin 2.5 - sum of all channels at 0: a pixel of three channels takes off 3."""
    module = FunctionModule(lambda x: torch.stack([2.5 - x.flatten(1).sum(dim=1), torch.zeros(len(x))], dim=1))
    network = TinyNetwork(module, Box.filled((3, 2, 2), 0.0, 1.0), 2)
    search = searched(robustness_problems(network, np.zeros((1, 3, 2, 2)), 4, "l0", group="pixel"), 100, gradients=True)
    assert float(search.records.nearest[0]) == 1
    assert int(search.records.nearest_points[0].count_nonzero()) == 3


def test_what_is_not_a_number_is_no_violation() -> None:
    module = FunctionModule(lambda x: torch.stack([torch.where((x == 0).all(dim=1), 1.0, torch.nan), torch.zeros(len(x))], dim=1))
    network = TinyNetwork(module, Box.filled((4,), 0.0, 1.0), 2)
    search = searched(robustness_problems(network, np.zeros((1, 4)), 4, "l0"), 100, gradients=False)
    assert float(search.records.nearest[0]) == np.inf


def test_nothing_is_found_where_nothing_is() -> None:
    network = linear(np.array([[1.0] * 4, [0.0] * 4]), np.array([1.0, 0.0]), Box.filled((4,), 0.0, 1.0))
    search = searched(robustness_problems(network, np.zeros((1, 4)), 4, "l0"), 1000, gradients=True)
    assert float(search.records.nearest[0]) == np.inf
    assert search.used[0] < 100


def test_goes_on_where_it_stopped() -> None:
    inputs = np.random.default_rng(2).integers(0, 9, (1, 40)) / 8
    problems = robustness_problems(relu_network(5, [40, 16, 5], Box.filled((40,), 0.0, 1.0)), inputs, 40, "l0")
    search = Search(problems, Objective.VALUE, budget=Budget(queries=2000), clock=Clock(), seed=0, violations=True)
    beam, seen = BeamSearch(search, 0, gradients=False), []
    for _ in range(6):
        beam.run(100)
        seen.append(float(search.records.nearest[0]))
    assert seen == sorted(seen, reverse=True)
    assert search.counter.points == search.used[0] <= 601
    assert len(beam.known) <= search.used[0]
