"""What every method owes to every problem: nothing outside the region counts, nothing is over-reported, budgets hold, seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.falsifiers.base import Objective
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import MINIMUM_SHARE, Search
from netassay.falsifiers.space import Arms, Space
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from tiny_networks import FunctionModule, TinyNetwork, relu_network, robustness_problems

NORMS = {"linf": 0.3, "l2": 0.5, "l1": 0.9, "l0": 2}
DOMAIN = Box.filled((6,), 0.0, 1.0)


def problems(norm: str, count: int = 3, **region: object) -> list[Problem]:
    network = relu_network(1, [6, 12, 12, 4], DOMAIN)
    inputs = np.random.default_rng(2).integers(0, 9, (count, 6)) / 8
    return robustness_problems(network, inputs, NORMS[norm], norm, **region)


def search_of(batch: list[Problem], objective: Objective, queries: int = 800, seed: int = 0) -> Search:
    return Search(batch, objective, budget=Budget(queries=queries), clock=Clock(None), seed=seed, violations=objective is Objective.VALUE)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("objective", Objective)
def test_records_lie_in_the_region_and_are_what_the_network_says(name: str, norm: str, objective: Objective) -> None:
    batch = problems(norm)
    search = search_of(batch, objective)
    search.run(METHODS[name].build(), search.both_directions())
    assert (search.used <= 800).all()
    assert search.used.min() >= 700, "a method must use the budget it is given"
    for direction, sign in ((0, 1.0), (1, -1.0)):
        for b, problem in enumerate(batch):
            merit = float(search.records.merit[direction, b])
            if not np.isfinite(merit):
                continue
            point = search.records.points[direction, b].numpy().astype(np.float64)
            assert problem.region.contains(point[None])[0]
            with torch.no_grad():
                scores = problem.network.in_float64().outputs(torch.tensor(np.stack([point, problem.center])))
            value, center = problem.property.values(scores).tolist()
            distance = float(problem.region.distance(point[None])[0])
            expected = sign * ((value - center) / distance if objective is Objective.SLOPE else value)
            assert merit == pytest.approx(expected, rel=2e-3, abs=1e-5)
            if objective is Objective.SLOPE:
                assert distance >= MINIMUM_SHARE * problem.region.radius * (1 - 1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_result_and_another_seed_another(name: str) -> None:
    def run(seed: int) -> torch.Tensor:
        search = search_of(problems("l2"), Objective.SLOPE, seed=seed)
        search.run(METHODS[name].build(), search.both_directions())
        return search.records.points.clone()

    assert torch.equal(run(7), run(7))
    assert not torch.equal(run(7), run(8))


@pytest.mark.parametrize("queries", [2, 3, 17, 150])
def test_the_budget_holds_to_the_last_query(queries: int) -> None:
    batch = problems("linf", 2)
    network = batch[0].network
    assert isinstance(network, TinyNetwork)
    search = search_of(batch, Objective.SLOPE, queries=queries)
    search.run(METHODS["auto"].build(), search.both_directions())
    assert (search.used <= queries).all()
    assert search.counter.points == search.used.sum()


def test_not_a_number_never_counts() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        broken = torch.where(x[:, :1] > 0.6, torch.nan, x[:, :1] * 2)
        return torch.cat([1 - broken, broken - 1], dim=1)

    network = TinyNetwork(FunctionModule(function), Box.filled((2,), 0, 1), 2)
    batch = [Problem(network, Ball(np.array([0.5, 0.5]), 0.5, "linf", domain=network.domain), Robustness(0))]
    search = search_of(batch, Objective.VALUE)
    search.run(METHODS["random"].build(), search.both_directions())
    assert search.records.not_a_number > 0
    assert torch.isfinite(search.records.merit).all()
    assert not torch.isnan(search.records.points).any()
    assert float(search.records.points[..., 0].max()) <= 0.6


def test_a_method_that_leaves_the_ball_gains_nothing() -> None:
    """A planted bug: points far outside are proposed, and everything recorded still lies inside."""
    from netassay.falsifiers.base import Outcome, Proposal, Task

    class Leaving:
        def start(self, task: Task) -> Leaving:
            self.task = task
            return self

        def propose(self, active: torch.Tensor, rows: int, spent: float) -> Proposal:
            arms = torch.arange(len(active))
            points = 50 * torch.randn(len(arms), 20, 6, generator=self.task.generator)
            return Proposal(arms, arms, points)

        def observe(self, outcome: Outcome) -> None:
            pass

    for norm in NORMS:
        batch = problems(norm)
        search = search_of(batch, Objective.VALUE)
        search.run(Leaving(), search.both_directions())
        for direction in (0, 1):
            for b, problem in enumerate(batch):
                point = search.records.points[direction, b].numpy().astype(np.float64)
                assert problem.region.contains(point[None])[0], (norm, direction, b)


@pytest.mark.parametrize("norm", NORMS)
def test_unit_samples_lie_in_the_ball(norm: str) -> None:
    batch = problems(norm)
    space = Space(batch, "cpu", torch.float32)
    arms = Arms.of(space, np.arange(3), np.ones(3), space.radii)
    lanes = torch.arange(3)
    free = arms.points(lanes, arms.sample(lanes, 500, torch.Generator().manual_seed(0)))
    for b, problem in enumerate(batch):
        assert problem.region.contains(free[b].numpy().astype(np.float64)).all()


def test_mask_scale_steps_and_one_hot_are_kept() -> None:
    network = relu_network(3, [7, 10, 3], Box(np.zeros(7), np.array([1, 1, 1, 10, 10, 50, 1.0])))
    x = np.array([0.0, 1.0, 0.0, 4.0, 2.5, 25.0, 0.5])
    region = {
        "mask": np.array([1, 1, 1, 1, 1, 1, 0], dtype=bool),
        "scale": np.array([1, 1, 1, 2, 2, 10, 1.0]),
        "granularity": np.array([0, 0, 0, 1, 0, 5, 0.0]),
        "one_hot": ((0, 1, 2),),
    }
    for norm, radius in {"linf": 1.5, "l2": 2.5, "l1": 4.0, "l0": 3}.items():
        batch = robustness_problems(network, x[None], radius, norm, **region)
        for name in METHODS:
            search = search_of(batch, Objective.VALUE)
            search.run(METHODS[name].build(), search.both_directions())
            point = search.records.points[1, 0].numpy().astype(np.float64)
            full = x.copy()
            full[:6] = point
            assert batch[0].region.contains(full[None])[0], (norm, name, full)
            assert sorted(full[:3]) == [0, 0, 1]
            assert full[3] == round(full[3])


def test_every_method_beats_random_sampling_in_high_dimension_where_it_claims_to() -> None:
    network = relu_network(5, [40, 30, 30, 3], Box.filled((40,), 0, 1))
    inputs = np.random.default_rng(0).integers(0, 9, (4, 40)) / 8
    batch = robustness_problems(network, inputs, 0.1, "linf")
    found = {}
    for name in METHODS:
        search = search_of(batch, Objective.SLOPE, queries=3000)
        search.run(METHODS[name].build(), search.both_directions())
        found[name] = search.records.merit.amax(dim=0).mean().item()
    assert found["tpmads"] > found["random"]
    assert found["gradient"] > 1.5 * found["random"]
    assert found["auto"] > 1.5 * found["random"]
