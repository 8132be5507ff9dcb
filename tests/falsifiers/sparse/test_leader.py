"""The chains find the fewest changes where they are known, never fewer than there are, also where the centre's gradients mislead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse import allowance
from netassay.falsifiers.sparse.guided import GuidedSearch
from netassay.falsifiers.sparse.leader import LeaderSearch
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from tiny_networks import FunctionModule, TinyNetwork, fewest_changes, linear, relu_network, robustness_problems

Kind = type[LeaderSearch] | type[GuidedSearch]
KINDS = pytest.mark.parametrize("kind", [LeaderSearch, GuidedSearch])


def begun(problems: list[Problem], queries: int, *, seed: int = 0) -> Search:
    return Search(problems, Objective.VALUE, budget=Budget(queries=queries), clock=Clock(), seed=seed, violations=True)


def searched(problems: list[Problem], queries: int, kind: Kind = LeaderSearch, *, seed: int = 0) -> Search:
    search = begun(problems, queries, seed=seed)
    for b in range(len(problems)):
        kind(search, b).run(queries)
    return search


def margin(function: Callable[[Tensor], Tensor], size: int) -> Problem:
    """The margin of label 0 over label 1 is ``function`` of x (rows, size); the centre is 0."""
    module = FunctionModule(lambda x: torch.stack([function(x), torch.zeros(len(x))], dim=1))
    network = TinyNetwork(module, Box.filled((size,), 0.0, 1.0), 2)
    return robustness_problems(network, np.zeros((1, size)), size, "l0")[0]


def random_problems(count: int, size: int) -> list[Problem]:
    inputs = np.random.default_rng(1).integers(0, 9, (count, size)) / 8
    return robustness_problems(relu_network(3, [size, 12, 4], Box.filled((size,), 0.0, 1.0)), inputs, size, "l0")


@KINDS
def test_takes_the_strongest_changes_of_a_linear_function(kind: Kind) -> None:
    """Margin 5 - x . w at x = 0: the three largest weights, 2, 1.75 and 1.25, are just enough."""
    weight = np.array([[0.5, 1.25, 0.25, 2.0, 0.5, 1.75, 0.25, 1.0], [0.0] * 8])
    network = linear(-weight, np.array([5.0, 0.0]), Box.filled((8,), 0.0, 1.0))
    search = searched(robustness_problems(network, np.zeros((1, 8)), 8, "l0"), 200, kind)
    assert float(search.records.nearest[0]) == 3
    assert np.flatnonzero(search.records.nearest_points[0].numpy()).tolist() == [1, 3, 5]


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_fewest_corners_that_enumeration_finds(seed: int) -> None:
    problems = random_problems(5, 9)
    known = [fewest_changes(problem, 4) for problem in problems]
    assert max(known) > 1
    assert searched(problems, 500, seed=seed).records.nearest.tolist() == known


@pytest.mark.parametrize("seed", range(3))
def test_finds_what_no_gradient_at_the_centre_tells(seed: int) -> None:
    """Features 3, 11 and 17 do nothing up to 0.5, so that all gradients at the centre are those of the others; two of them are enough."""

    def function(x: Tensor) -> Tensor:
        return 3.5 - 4 * torch.relu(x[:, [3, 11, 17]] - 0.5).sum(dim=1) - 0.25 * x.sum(dim=1)

    search = searched([margin(function, 20)], 300, seed=seed)
    assert float(search.records.nearest[0]) == 2
    assert set(np.flatnonzero(search.records.nearest_points[0].numpy()).tolist()) <= {3, 11, 17}


def test_values_inside_the_range_are_tried() -> None:
    """Feature 0 helps most at 0.75; with both features at 1 the margin is 0.1."""

    def function(x: Tensor) -> Tensor:
        return 1.1 - 0.5 * x[:, 1] - x[:, 0] + 2 * torch.relu(x[:, 0] - 0.75)

    problem = margin(function, 2)
    assert fewest_changes(problem, 2) == np.inf
    search = searched([problem], 100)
    assert float(search.records.nearest[0]) == 2
    assert 0.5 < float(search.records.nearest_points[0][0]) < 1


@KINDS
@pytest.mark.parametrize("queries", [2, 7, 40, 300])
def test_keeps_within_the_budget(kind: Kind, queries: int) -> None:
    inputs = np.random.default_rng(1).integers(0, 9, (4, 30)) / 8
    problems = robustness_problems(relu_network(5, [30, 16, 5], Box.filled((30,), 0.0, 1.0)), inputs, 30, "l0")
    search = searched(problems, queries, kind)
    assert (search.used <= queries).all()
    assert search.counter.points <= len(problems) * queries


@KINDS
def test_pixels_count_once(kind: Kind) -> None:
    """Margin 2.5 - sum of all channels at 0: a pixel of three channels takes off 3."""
    module = FunctionModule(lambda x: torch.stack([2.5 - x.flatten(1).sum(dim=1), torch.zeros(len(x))], dim=1))
    network = TinyNetwork(module, Box.filled((3, 2, 2), 0.0, 1.0), 2)
    search = searched(robustness_problems(network, np.zeros((1, 3, 2, 2)), 4, "l0", group="pixel"), 100, kind)
    assert float(search.records.nearest[0]) == 1
    assert int(search.records.nearest_points[0].count_nonzero()) == 3


def test_what_is_not_a_number_is_no_violation() -> None:
    problem = margin(lambda x: torch.where((x == 0).all(dim=1), 1.0 + x.sum(dim=1), torch.nan), 4)
    search = searched([problem], 100)
    assert float(search.records.nearest[0]) == np.inf
    assert search.used[0] <= 100


@KINDS
def test_ends_where_nothing_is_left_to_ask(kind: Kind) -> None:
    problem = margin(lambda x: 1.0 + x.sum(dim=1), 4)
    search = searched([problem], 5000, kind)
    assert float(search.records.nearest[0]) == np.inf
    assert search.used[0] < 500


def test_goes_on_where_it_stopped() -> None:
    (problem,) = robustness_problems(
        relu_network(5, [40, 16, 5], Box.filled((40,), 0.0, 1.0)), np.random.default_rng(2).integers(0, 9, (1, 40)) / 8, 40, "l0"
    )
    search = begun([problem], 2000)
    leaders, seen = LeaderSearch(search, 0), []
    for _ in range(6):
        leaders.run(100)
        seen.append(float(search.records.nearest[0]))
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < np.inf
    assert search.counter.points == search.used[0] <= 601


def test_what_is_too_much_to_keep_is_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "ENTRY", 10**9)
    search = begun([margin(lambda x: 5.75 - 2 * x.sum(dim=1), 12)], 400)
    leaders = LeaderSearch(search, 0)
    for used in (101, 201):
        leaders.run(100)
        assert not leaders.asked
        assert not leaders.rivals
        assert search.used[0] <= used
    assert float(search.records.nearest[0]) == 3


def test_an_interrupt_ends_it_at_once() -> None:
    search = begun(random_problems(1, 9), 2000)
    search.on_step = lambda s: setattr(s, "stopped", True)
    LeaderSearch(search, 0).run(2000)
    assert search.used[0] < 100


def test_the_same_seed_gives_the_same_search() -> None:
    first, second = (searched(random_problems(2, 9), 60) for _ in range(2))
    assert torch.equal(first.records.nearest_points, second.records.nearest_points)
    assert first.used.tolist() == second.used.tolist()
