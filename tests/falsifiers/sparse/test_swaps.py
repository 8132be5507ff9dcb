"""Swaps bring an L0 witness nearer: one strong change for two weak ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.swaps import swap_once
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from tiny_networks import linear, robustness_problems

DOMAIN = Box.filled((6,), -1.0, 1.0)


def search(queries: int = 1000) -> Search:
    """Margin 1.5 + x0 + x1 + x2 + 2 x5 at x = 0: three weak changes flip the label, or one weak and the strong one."""
    network = linear(np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 2.0], [0.0] * 6]), np.array([2.5, 0.0]), DOMAIN)
    problems = robustness_problems(network, np.zeros((1, 6)), 6, "l0")
    return Search(problems, Objective.VALUE, budget=Budget(queries=queries), clock=Clock(), seed=0, violations=True)


def offered(begun: Search, point: list[float]) -> None:
    at = torch.tensor([0])
    begun.records.offer_violations(at, torch.tensor([float(np.count_nonzero(point))]), torch.tensor([point]))


def test_two_weak_changes_become_a_strong_one() -> None:
    begun = search()
    offered(begun, [-1.0, -1.0, -1.0, 0.0, 0.0, 0.0])
    used = int(begun.used[0])
    assert swap_once(begun, 0)
    assert float(begun.records.nearest[0]) == 2
    nearest = begun.records.nearest_points[0].numpy()
    assert nearest[5] == -1.0
    assert np.count_nonzero(nearest) == 2
    assert begun.used[0] > used
    assert not swap_once(begun, 0)  # no single change suffices
    assert float(begun.records.nearest[0]) == 2


@pytest.mark.parametrize("queries", [1, 5])
def test_keeps_within_the_budget(queries: int) -> None:
    begun = search(queries)
    offered(begun, [-1.0, -1.0, -1.0, 0.0, 0.0, 0.0])
    assert not swap_once(begun, 0)
    assert begun.used[0] <= queries
