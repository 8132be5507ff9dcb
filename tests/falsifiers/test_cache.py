"""The cache gives back what was evaluated, evaluates each point once, and lets a search end whose region is used up."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netassay.assessment.ask import ask
from netassay.falsifiers.base import Objective, Proposal
from netassay.falsifiers.cache import PointCache
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import IDLE, Search
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.results.answer import Question, RadiusAnswer, ReachAnswer
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from tiny_networks import TinyNetwork, relu_network, robustness_problems

Row = tuple[int, tuple[int, int]]
ROWS = st.lists(st.tuples(st.integers(0, 2), st.tuples(st.integers(0, 3), st.integers(-1, 2))), min_size=1, max_size=30)


def value_of(owner: int, point: tuple[float, ...]) -> float:
    """Some number without a short form; NaN for one point."""
    return np.nan if point == (3.0, -1.0) else float(np.float32(np.sin(1 + owner + 7 * point[0] + 50 * point[1])))


def tensors(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([o for o, _ in rows]), torch.tensor([p for _, p in rows], dtype=torch.float32)


class Evaluator:
    """Evaluates rows of a request, and remembers which."""

    def __init__(self) -> None:
        self.seen: list[Row] = []

    def answer(self, cache: PointCache, rows: list[Row]) -> tuple[list[float], list[int]]:
        owners, points = tensors(rows)

        def evaluate(at: torch.Tensor) -> torch.Tensor:
            self.seen += [rows[i] for i in at.tolist()]
            return torch.tensor([value_of(*rows[i]) for i in at.tolist()])

        values, paid = cache.complete(owners, points, evaluate)
        return values.tolist(), paid.tolist()


@given(requests=st.lists(ROWS, min_size=1, max_size=6), memory=st.sampled_from([1, 20_000, 10**9]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_values_come_back_bit_for_bit_however_little_fits(requests: list[list[Row]], memory: int) -> None:
    cache, evaluator = PointCache(3, 2, torch.float32, memory), Evaluator()
    for rows in requests:
        values, paid = evaluator.answer(cache, rows)
        np.testing.assert_array_equal(values, [value_of(*row) for row in rows])
        assert len({rows[i] for i in paid}) == len(paid), "a request evaluates no point twice"
    if memory == 10**9:
        assert sorted(evaluator.seen) == sorted({row for rows in requests for row in rows})


def test_the_oldest_points_are_forgotten_first() -> None:
    cache, evaluator = PointCache(1, 2, torch.float32, 8 * 3 * (4 + 12 + 200)), Evaluator()
    for first in range(4):
        evaluator.answer(cache, [(0, (first, 0))])
    assert evaluator.answer(cache, [(0, (1, 0)), (0, (2, 0)), (0, (3, 0))])[1] == []
    assert evaluator.answer(cache, [(0, (0, 0))])[1] == [0]
    assert evaluator.answer(cache, [(0, (1, 0))])[1] == [0]


def test_problems_that_share_a_point_do_not_share_its_value() -> None:
    cache, evaluator = PointCache(2, 2, torch.float32, 10**6), Evaluator()
    values, paid = evaluator.answer(cache, [(0, (1, 1)), (1, (1, 1)), (0, (1, 1))])
    assert paid == [0, 1]
    assert values[0] == values[2] != values[1]


def test_idle_requests_are_counted_for_the_problems_in_them() -> None:
    cache, evaluator = PointCache(2, 2, torch.float32, 10**6), Evaluator()
    evaluator.answer(cache, [(0, (0, 0)), (1, (0, 0))])
    for _ in range(3):
        evaluator.answer(cache, [(0, (0, 0))])
    assert cache.idle.tolist() == [3, 0]
    evaluator.answer(cache, [(0, (0, 0)), (0, (1, 0))])
    assert cache.idle.tolist() == [0, 0]


def test_what_was_evaluated_for_its_gradient_is_known() -> None:
    cache, evaluator = PointCache(1, 2, torch.float32, 10**6), Evaluator()
    owners, points = tensors([(0, (1, 2)), (0, (2, 2))])
    cache.learn(owners, points, torch.tensor([0.25, 0.5]))
    values, paid = evaluator.answer(cache, [(0, (2, 2)), (0, (1, 2)), (0, (0, 0))])
    assert values[:2] == [0.5, 0.25]
    assert paid == [2]


class Recording(TinyNetwork):
    """Remembers every point that it is asked in batches."""

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        self.asked = [*getattr(self, "asked", []), *inputs.detach().tolist()]
        return super().outputs(inputs)


DOMAIN = Box.filled((4,), 0, 1)
STEPS = np.full(4, 0.125)
REGIONS = {
    "steps": ("linf", 0.3, {"granularity": STEPS}),
    "steps-l1": ("l1", 0.5, {"granularity": STEPS}),
    "one-hot": ("linf", 1.0, {"one_hot": ((0, 1, 2),)}),
    "l0": ("l0", 2, {}),
}


def region_problem(name: str, seed: int = 3) -> tuple[Recording, Problem]:
    norm, radius, region = REGIONS[name]
    network = Recording(relu_network(seed, [4, 12, 12, 3], DOMAIN).module, DOMAIN, 3)
    (problem,) = robustness_problems(network, np.array([[0.0, 1.0, 0.0, 0.5]]), radius, norm, **region)
    return network, problem


def search_of(problem: Problem, queries: int | None = 3000, seed: int = 0) -> Search:
    budget = Budget(queries=queries, seconds=None if queries else 60)
    return Search([problem], Objective.VALUE, budget=budget, clock=Clock(budget.seconds), seed=seed)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("method", ["random", "tpmads"])
def test_no_point_is_evaluated_twice(region: str, method: str) -> None:
    network, problem = region_problem(region)
    search = search_of(problem)
    network.asked = []
    search.run(METHODS[method].build(), search.both_directions())
    assert len(network.asked) == len({tuple(point) for point in network.asked}) == search.used[0] - 1
    assert search.counter.points == search.used.sum()


@pytest.mark.parametrize("method", METHODS)
def test_records_are_those_of_a_search_without_a_cache(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proposals give the same records; only the queries are fewer."""

    def found() -> tuple[torch.Tensor, torch.Tensor, int]:
        search, steps = search_of(region_problem("steps")[1], queries=None), iter(range(30))

        def stop(self: Search) -> None:
            self.stopped = next(steps) >= 28

        search.on_step = stop
        search.run(METHODS[method].build(), search.both_directions())
        return search.records.merit.clone(), search.records.points.clone(), int(search.used[0])

    merit, points, paid = found()
    monkeypatch.setattr(Search, "_cache", lambda self: None)
    plain_merit, plain_points, plain_paid = found()
    assert torch.equal(merit, plain_merit)
    assert torch.equal(points, plain_points)
    assert paid < plain_paid if method == "tpmads" else paid <= plain_paid


def test_continuous_regions_have_no_cache() -> None:
    network = relu_network(3, [4, 12, 3], DOMAIN)
    for norm in ("linf", "l2", "l1"):
        (problem,) = robustness_problems(network, np.full((1, 4), 0.5), 0.25, norm)
        assert search_of(problem).cache is None


def grid_values(network: TinyNetwork, problem: Problem, steps: int) -> np.ndarray:
    """Output 0 at every point of the region, which moves in ``steps`` steps at most to each side."""
    axes = [center + np.arange(-steps, steps + 1) * 0.125 for center in problem.center]
    points = np.array([p for p in product(*axes) if problem.region.contains(np.array(p)[None])[0]])
    with torch.no_grad():
        return network.in_float64().outputs(torch.tensor(points)).numpy()[:, 0]


@pytest.mark.parametrize("method", ["random", "tpmads"])
def test_a_used_up_region_ends_the_search_before_its_budget(method: str) -> None:
    """All 81 points are asked, each once, and both ends of the range are exact."""
    network = relu_network(5, [4, 12, 12, 1], Box.filled((4,), -1, 1))
    region = Ball(np.zeros(4), 0.1875, "linf", domain=network.domain, granularity=STEPS)
    problem = Problem(network, region, Output(0))
    (answer,) = ask(Question.REACH, [problem], method=method, budget=Budget(queries=1_000_000), seed=1)
    assert isinstance(answer, ReachAnswer)
    exact = grid_values(network, problem, 1)
    assert len(exact) == 81
    assert answer.minimum.upper is not None
    assert answer.maximum.lower is not None
    assert (answer.minimum.upper.value, answer.maximum.lower.value) == (exact.min(), exact.max())
    assert answer.provenance.queries == 81
    assert not answer.provenance.interrupted
    assert any("no new point" in note for note in answer.notes)


@pytest.mark.parametrize("question", [Question.RADIUS, Question.LIPSCHITZ])
@pytest.mark.parametrize("method", ["random", "tpmads", "auto"])
def test_every_question_ends_on_a_tiny_region_and_repeats(question: Question, method: str) -> None:
    network = relu_network(5, [3, 8, 3], Box.filled((3,), 0, 1))
    batch = robustness_problems(network, np.array([[0.5, 0.5, 0.5], [0.25, 0.5, 0.75]]), 0.25, "linf", granularity=np.full(3, 0.125))
    first, again = (ask(question, batch, method=method, budget=Budget(queries=1_000_000)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert one.provenance.queries == other.provenance.queries
        assert one.provenance.queries < 20_000
        assert getattr(one, "bracket") == getattr(other, "bracket")  # noqa: B009
        if method == "random" and isinstance(one, RadiusAnswer):
            assert one.provenance.queries <= 2 * 125 + 64, "walks along rays come on top"


def test_a_method_that_repeats_itself_is_ended() -> None:
    """A planted bug: the same two points for ever."""
    from netassay.falsifiers.base import Outcome, Task

    class Repeating:
        proposals = 0

        def start(self, task: Task) -> Repeating:
            return self

        def propose(self, active: torch.Tensor, rows: int, spent: float) -> Proposal:
            Repeating.proposals += 1
            arms = torch.arange(len(active))
            return Proposal(arms, arms, torch.full((len(arms), 2, 4), 0.9))

        def observe(self, outcome: Outcome) -> None:
            pass

    search = search_of(region_problem("steps")[1], queries=None)
    search.run(Repeating(), search.both_directions())
    assert Repeating.proposals == IDLE + 1
    assert search.used[0] == 2, "the centre and one point"
    assert search.exhausted[0]


def test_evaluated_points_are_on_steps_where_the_ball_ends_between_two() -> None:
    """The ball ends at 4.4 steps, and at 0.7 of a change of category: points are pushed far beyond, and land on the last step inside."""
    network = relu_network(3, [5, 8, 3], Box(np.zeros(5), np.array([1, 1, 1, 1000.0, 1000.0])))
    steps = {"granularity": np.array([0, 0, 0, 0.25, 0.1]), "one_hot": ((0, 1, 2),)}
    for radius in (0.7, 1.1):
        (problem,) = robustness_problems(network, np.array([[0.0, 1.0, 0.0, 400.125, 600.5]]), radius, "linf", **steps)
        search = search_of(problem)
        arms = search.both_directions()
        points = 3 * torch.randn(2, 200, 5, generator=torch.Generator().manual_seed(0))
        both = torch.arange(2)
        outcome = search.evaluate(arms, Proposal(both, both, points))
        free = outcome.free.reshape(-1, 5).numpy().astype(np.float64)
        assert problem.region.contains(free).all()
        assert len(np.unique(free[:, 3])) == len(np.arange(-radius // 0.25 + 1, radius // 0.25 + 1))
        assert len(np.unique(free[:, :3], axis=0)) == (3 if radius > 1 else 1)


def test_a_step_is_not_lost_to_rounding() -> None:
    """Far from 0 float32 misses a step of 0.1 by more than the space forgives: points on it must stay there all the same."""
    centers = np.random.default_rng(0).uniform(100, 900, (1, 4)).astype(np.float32).astype(np.float64)
    network = relu_network(3, [4, 8, 3], Box.filled((4,), 0, 1000))
    (problem,) = robustness_problems(network, centers, 0.55, "linf", granularity=np.full(4, 0.1))
    search = search_of(problem)
    arms = search.both_directions()
    moves = torch.tensor(list(product((-3, -1, 1, 5), repeat=4)), dtype=torch.float32) * 0.1
    free = (search.space.free_centers[0] + moves).expand(2, -1, -1)
    assert torch.equal(search._on_steps(arms, torch.arange(2), free), free)
