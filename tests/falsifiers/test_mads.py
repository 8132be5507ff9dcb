"""MADS: it reaches known suprema, for few features and for many, in every norm, and its polls are what its convergence needs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from netassay.assessment.assess import problems
from netassay.falsifiers.base import Objective
from netassay.falsifiers.direct_search.group_models import GroupModels
from netassay.falsifiers.direct_search.mads import Mads, _Mads
from netassay.falsifiers.direct_search.model_points import ModelPoints
from netassay.falsifiers.direct_search.tiles import count, levels
from netassay.falsifiers.direct_search.tpmads import TpMads
from netassay.falsifiers.search import FALLING, RISING, Search
from netassay.falsifiers.space import Space
from netassay.models.scores import Scale
from netassay.models.torch_module import from_module
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from netassay.specs.risks import parse_risk
from tiny_networks import FunctionModule, TinyNetwork

NORMS = ("linf", "l1", "l2")
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def slope_search(network: TinyNetwork, center: np.ndarray, norm: str, radius: float, queries: int, **region: object) -> Search:
    ball = Ball(center, radius, norm, domain=network.domain, **region)
    problem = Problem(network, ball, Output(0, on=Scale.LOGITS))
    return Search([problem], Objective.SLOPE, budget=Budget(queries=queries), clock=Clock(None), seed=0)


def scores(function: object, size: int, low: float = -1.0) -> TinyNetwork:
    return TinyNetwork(FunctionModule(lambda x: function(x).unsqueeze(1).expand(-1, 2)), Box.filled((size,), low, 1), 2)  # type: ignore[operator]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [4, 60])
def test_the_slope_of_a_linear_score_is_its_dual_norm(norm: str, size: int) -> None:
    weights = np.random.default_rng(size).normal(size=size)
    network = scores(lambda x: x @ torch.tensor(weights, dtype=x.dtype), size)
    search = slope_search(network, np.zeros(size), norm, 0.5, 6000)
    search.run(Mads(), search.both_directions())
    exact = np.linalg.norm(weights, DUAL[norm])
    for direction in (RISING, FALLING):
        found = float(search.records.merit[direction, 0])
        assert 0.97 * exact <= found <= exact * (1 + 1e-5), "never above it but for rounding"


def test_a_needle_on_a_plateau_is_found_among_few_features() -> None:
    """Flat but for a corner of the ball: only starts that cover it see anything."""
    network = scores(lambda x: torch.relu(x.sum(dim=1) - 1.6), 4)
    search = slope_search(network, np.zeros(4), "linf", 0.5, 3000)
    search.run(Mads(), search.both_directions())
    assert float(search.records.merit[RISING, 0]) > 0.79  # 0.4 / 0.5 in the corner


def test_a_kink_inside_the_ball_is_followed_to_its_best_radius() -> None:
    """|x_0| saturates at 0.1 and x_1 tells nothing: the best slope lies at a fifth of the radius, on a ridge in L-infinity."""
    network = scores(lambda x: x[:, 0].abs().clamp(max=0.1) - (x[:, 0].abs() - 0.1).clamp(min=0) + 0 * x[:, 1], 2)
    search = slope_search(network, np.zeros(2), "linf", 0.5, 3000)
    search.run(Mads(), search.both_directions())
    assert float(search.records.merit[RISING, 0]) > 0.999


@pytest.mark.parametrize("constraint", ["project", "barrier", "lagrangian"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_every_treatment_of_the_ball_ends_inside_it(constraint: str, norm: str) -> None:
    network = scores(lambda x: 2 * x[:, 0] + x[:, 1] - x[:, 0] ** 2, 2)
    search = slope_search(network, np.zeros(2), norm, 0.5, 6000)
    search.run(Mads(constraint=constraint), search.both_directions())  # type: ignore[arg-type]
    point = search.records.points[RISING, 0].numpy().astype(np.float64)
    assert search.problems[0].region.contains(point[None])[0]
    exact = {"l1": 2.0, "l2": 5**0.5}[norm]  # the gradient at the centre, approached as the distance tends to 0
    assert 0.97 * exact <= float(search.records.merit[RISING, 0]) <= exact


def test_hundreds_of_features_in_few_queries_where_axis_polls_get_nowhere() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(400, 32), nn.ReLU(), nn.Linear(32, 4))
    network = from_module(module, (1, 20, 20), domain=Box.filled((1, 20, 20), 0, 1))
    inputs = np.random.default_rng(0).random((3, 1, 20, 20))
    batch = problems(network, inputs, None, risk=parse_risk("robustness@logits"), norm="linf", radius=0.05)
    found = {}
    for name, method in (("mads", Mads()), ("tpmads", TpMads())):
        search = Search(batch, Objective.SLOPE, budget=Budget(queries=1500), clock=Clock(None), seed=0)
        search.run(method, search.both_directions())
        found[name] = search.records.merit.amax(dim=0)
    assert bool((found["mads"] > 1.5 * found["tpmads"]).all())


@pytest.mark.parametrize("size", [5, 80])
def test_fixed_and_granular_features_are_respected(size: int) -> None:
    mask, step = np.ones(size, dtype=bool), np.zeros(size)
    mask[0], step[1] = False, 0.125
    network = scores(lambda x: x.sum(dim=1), size)
    search = slope_search(network, np.zeros(size), "linf", 0.3, 2000, mask=mask, granularity=step)
    search.run(Mads(), search.both_directions())
    point = search.space.assemble(torch.zeros(1, dtype=torch.long), search.records.points[RISING])[0]
    assert float(point[0]) == 0
    assert float(point[1]) in (0.0, 0.125, 0.25)
    assert float(search.records.merit[RISING, 0]) > 0.9 * (size - 2)


def test_values_of_a_saturated_probability_follow_the_guide() -> None:
    """s = p_0 - max p_j is 1 in float32 all around the centre; the logits still tell the way down."""
    weights = np.random.default_rng(3).normal(size=(100, 2))
    module = nn.Linear(100, 2).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weights.T * 0.5))
        module.bias.copy_(torch.tensor([30.0, 0.0]))
    network = from_module(module.float(), (100,), domain=Box.filled((100,), -2, 2))
    batch = problems(network, np.zeros((1, 100)), None, risk=parse_risk("robustness"), norm="linf", radius=1.0)
    search = Search(batch, Objective.VALUE, budget=Budget(queries=1500), clock=Clock(None), seed=0, violations=True)
    assert float(search.center_values[0]) == 1.0
    search.run(Mads(), search.both_directions())
    assert bool(torch.isfinite(search.records.nearest[0]))


def test_polls_are_orthogonal_bases_in_ever_new_directions() -> None:
    """What Audet and Dennis ask for: a positive spanning set each time, in new directions each time."""
    network = scores(lambda x: -(x**2).sum(dim=1), 3)
    search = slope_search(network, np.zeros(3), "linf", 1.0, 100_000)
    arms = search.arms(np.zeros(1, dtype=np.int64), np.ones(1), search.space.radii)
    falsifier = Mads(lanes=1).start(search._task(arms, None, search.room))
    assert isinstance(falsifier, _Mads)
    lane = torch.zeros(1, dtype=torch.long)
    bases = []
    for _ in range(4):
        draws = torch.randn(1, 3, generator=search.generator)
        falsifier._mirror[:] = draws / draws.norm()
        directions = falsifier._poll_directions(lane, 6)[0]
        torch.testing.assert_close(directions[:3], -directions[3:])
        torch.testing.assert_close(directions[:3] @ directions[:3].T, torch.eye(3), atol=1e-5, rtol=0)
        bases.append(directions[:3])
    assert float((bases[0] - bases[1]).abs().max()) > 1e-3


def test_a_failed_poll_halves_the_poll_size_and_a_success_doubles_it() -> None:
    network = scores(lambda x: -(x - 0.25).abs().sum(dim=1), 3)
    problem = Problem(network, Ball(np.zeros(3), 1.0, "linf", domain=network.domain), Output(0, on=Scale.LOGITS))
    search = Search([problem], Objective.VALUE, budget=Budget(queries=5000), clock=Clock(None), seed=0)
    arms = search.arms(np.zeros(1, dtype=np.int64), np.ones(1), search.space.radii)
    falsifier = Mads(lanes=1).start(search._task(arms, None, search.room))
    assert isinstance(falsifier, _Mads)
    seen = {True: 0, False: 0}
    for _ in range(30):
        size, value = float(falsifier._size[0]), float(falsifier._value[0])
        proposal = falsifier.propose(torch.ones(1, dtype=torch.bool), 10_000, 0.0)
        assert proposal is not None
        designing = falsifier._stage.name == "DESIGN" or bool(falsifier._fresh[0])
        falsifier.observe(search.evaluate(arms, proposal))
        if designing or bool(falsifier._fresh[0]):
            continue
        success = float(falsifier._value[0]) > value
        if falsifier._restarts[0] == 0:
            assert float(falsifier._size[0]) == pytest.approx(min(1.0, 2 * size) if success else size / 2)
            seen[success] += 1
    assert seen[True] > 0
    assert seen[False] > 0


def test_levels_are_nested_tiles_for_images_and_random_groups_for_tables() -> None:
    def space(shape: tuple[int, ...]) -> Space:
        network = TinyNetwork(FunctionModule(lambda x: x.flatten(1)[:, :2]), Box.filled(shape, 0, 1), 2)
        return Space([Problem(network, Ball(np.full(shape, 0.5), 0.1, "linf", domain=network.domain), Output(0))], "cpu", torch.float32)

    generator = torch.Generator().manual_seed(0)
    image = levels(space((3, 8, 8)), generator)
    assert [count(groups) for groups in image] == [12, 48, 192]
    for coarse, fine in pairwise(image):
        pairs = {(int(c), int(f)) for c, f in zip(coarse, fine, strict=True)}
        assert len(pairs) == count(fine), "every tile lies in one tile of the level above"
    table = levels(space((30,)), generator)
    assert [count(groups) for groups in table] == [4, 16, 30]
    assert table[0].tolist() != sorted(table[0].tolist()), "groups of a table are random"


@pytest.mark.parametrize("norm", [*NORMS, "l0"])
def test_the_best_point_of_a_linear_model_is_exact(norm: str) -> None:
    """Against the sampled ball: no point of the ball has a larger linear value."""
    network = scores(lambda x: x.sum(dim=1), 40, low=-0.05)
    search = slope_search(network, np.zeros(40), norm, 3.0 if norm == "l0" else 0.4, 1000)
    arms = search.arms(np.zeros(1, dtype=np.int64), np.ones(1), search.space.radii)
    one = torch.zeros(1, dtype=torch.long)
    for seed in range(5):
        slope = torch.randn(1, 40, generator=torch.Generator().manual_seed(seed))
        best = ModelPoints(arms, one).best(slope, torch.ones(1, 1))
        value = float((best * slope).sum())
        points = arms.pull(one, arms.sample(one, 2000, search.generator) * 3)
        assert value >= float((points[0] @ slope[0]).max()) - 1e-5
        outside = search.space.lengths(best * arms.step) / search.space.radii[0]
        assert float(outside) <= 1 + 1e-5


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_slope_that_shows_only_outside_the_ball_is_found_by_descending(norm: str) -> None:
    """s is flat around the centre but for a weak lure; the steep part begins well off it, along other features than the lure."""

    def cliff(x: torch.Tensor) -> torch.Tensor:
        return 0.02 * x[:, 58:].sum(dim=1) + 0.005 * x[:, :8].sum(dim=1) + 3 * torch.relu(x[:, :8].sum(dim=1) - 2.2)

    search = slope_search(scores(cliff, 60), np.zeros(60), norm, {"l1": 3.0, "l2": 1.2}[norm], 8000)
    arms = search.both_directions()
    search.run(GroupModels(), arms)
    exact = {"l1": 3 * 0.8 / 3.0, "l2": 3 * (1.2 * 8**0.5 - 2.2) / 1.2}[norm]
    assert float(search.records.merit[RISING, 0]) > 0.9 * exact
    assert bool(search.problems[0].region.contains(search.records.points[RISING].numpy().astype(np.float64))[0])


def test_one_seed_one_result() -> None:
    network = scores(lambda x: torch.sin(3 * x).sum(dim=1), 50)
    found = []
    for _ in range(2):
        search = slope_search(network, np.full(50, 0.1), "linf", 0.4, 1500)
        search.run(Mads(), search.both_directions())
        found.append(search.records.merit.clone())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_more_arms_than_a_batch_holds_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Search, "rows", 10)
    network = scores(lambda x: x.sum(dim=1), 40)
    problem = [Problem(network, Ball(np.zeros(40), 0.2, "linf", domain=network.domain), Output(0, on=Scale.LOGITS)) for _ in range(6)]
    search = Search(problem, Objective.SLOPE, budget=Budget(queries=400), clock=Clock(None), seed=0)
    search.run(Mads(), search.both_directions())
    assert bool((search.records.merit.amax(dim=0) > 0).all())
