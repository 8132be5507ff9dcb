"""Start points in a search: evaluated, recorded, paid for, and handed to the method in its own coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netassay as na
from netassay.falsifiers.base import Objective, Outcome, Proposal, Task
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import MOST_STARTS, Search
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from tiny_networks import relu_network, robustness_problems

DOMAIN = Box.filled((5,), 0, 1)
NORMS = {"linf": 0.25, "l2": 0.5, "l1": 0.75, "l0": 2}


def search_of(norm: str, queries: int = 500, count: int = 3) -> Search:
    inputs = np.random.default_rng(1).integers(2, 7, (count, 5)) / 8
    batch: list[Problem] = robustness_problems(relu_network(7, [5, 12, 3], DOMAIN), inputs, NORMS[norm], norm)
    return Search(batch, Objective.VALUE, budget=Budget(queries=queries), clock=Clock(None), seed=0)


def points_of(search: Search, counts: list[int]) -> list[torch.Tensor]:
    """Points inside each ball, in the network's dtype."""
    rng = np.random.default_rng(2)
    found = []
    for problem, count in zip(search.problems, counts, strict=True):
        inside = problem.ball.rounded(problem.ball.sample(max(1, count), rng), "float32")[:count]
        found.append(torch.as_tensor(np.asarray(inside, dtype=np.float32)))
    return found


class Watching:
    """Proposes nothing, and remembers its task."""

    task: Task

    def start(self, task: Task) -> Watching:
        self.task = task
        return self

    def propose(self, active: torch.Tensor, rows: int, spent: float) -> Proposal | None:
        return None

    def observe(self, outcome: Outcome) -> None:
        raise AssertionError("nothing was proposed")


@pytest.mark.parametrize("norm", NORMS)
def test_start_points_are_recorded_bit_for_bit_and_paid_for(norm: str) -> None:
    search = search_of(norm)
    points = points_of(search, [4, 0, 1])
    search.begin_with(points)
    assert search.used.tolist() == [5, 1, 2]
    for b in (0, 2):
        values = search.values(torch.full((len(points[b]),), b), points[b])[0]
        for direction, best in ((0, values.argmax()), (1, values.argmin())):
            signed = float(values[best]) * (1 if direction == 0 else -1)
            if signed > float(search.center_values[b]) * (1 if direction == 0 else -1):
                assert torch.equal(search.records.points[direction, b], points[b][best])
                assert float(search.records.merit[direction, b]) == pytest.approx(signed, rel=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_methods_get_the_best_ones_first_inside_their_balls(norm: str) -> None:
    search, watching = search_of(norm, queries=2000), Watching()
    points = points_of(search, [40, 0, 3])
    search.begin_with(points)
    arms = search.both_directions()
    search.run(watching, arms, starts=search.starting_points(arms))
    starts = watching.task.starts
    assert starts is not None
    assert starts.shape == (6, MOST_STARTS, 5)
    everyone = torch.arange(6)
    assert torch.equal(arms.pull(everyone, starts), starts) or torch.allclose(arms.pull(everyone, starts), starts, atol=1e-6)
    for arm, sign in ((0, 1), (1, -1)):
        free = arms.points(everyone, starts)[arm]
        values = sign * search.values(torch.zeros(MOST_STARTS, dtype=torch.long), free)[0]
        given = sign * search.values(torch.zeros(40, dtype=torch.long), points[0])[0]
        assert values[0] == pytest.approx(float(given.max()), rel=1e-4, abs=1e-4)
        assert values.numpy() == pytest.approx(given.sort(descending=True).values[:MOST_STARTS].numpy(), rel=1e-3, abs=1e-3)
    drawn = arms.points(everyone, starts)[2].numpy().astype(np.float64)
    assert search.problems[1].region.contains(drawn).all()
    assert len(np.unique(drawn, axis=0)) > 1, "a problem without start points gets random ones"


def test_only_what_the_budget_covers_is_evaluated() -> None:
    search = search_of("linf", queries=4)
    search.begin_with(points_of(search, [10, 2, 0]))
    assert search.used.tolist() == [4, 3, 1]


def test_finished_problems_take_no_further_part() -> None:
    search = search_of("linf")
    search.finished[1] = True
    search.run(METHODS["tpmads"].build(), search.both_directions())
    assert search.used[1] == 1
    assert search.room[1] == 0
    assert min(search.used[0], search.used[2]) >= 450


@pytest.mark.parametrize("method", ["random", "tpmads", "auto"])
@pytest.mark.parametrize("question", ["radius", "lipschitz", "reach"])
def test_blocks_arrive_at_a_function_as_batches(method: str, question: str) -> None:
    """A function on batches sees arrays (m, ...), most points in large ones: one call per block, not one per point."""
    shapes: list[tuple[int, ...]] = []

    def model(batch: np.ndarray) -> np.ndarray:
        assert isinstance(batch, np.ndarray)
        shapes.append(batch.shape)
        score = (batch * np.array([1, -2, 3, 0.5], dtype=np.float32)).sum(axis=1)
        return np.stack([score + 1, 1 - score], axis=1)

    network = na.Network(model, input_shape=(4,), domain=(0, 1), identity="test")
    ball = na.Ball(np.array([0.5, 0.25, 0.5, 0.5]), 0.25, "linf", domain=network.domain)
    shapes.clear()
    (answer,) = [
        s
        for s in na.stream(question, network, "robustness", ball, method=method, budget=na.Budget(queries=3000))
        if hasattr(s, "provenance")
    ]
    assert all(len(shape) == 2 and shape[1] == 4 for shape in shapes)
    sizes = sorted((shape[0] for shape in shapes), reverse=True)
    assert sum(sizes) >= answer.provenance.queries
    assert sum(size for size in sizes if size >= 16) >= 0.9 * sum(sizes)
