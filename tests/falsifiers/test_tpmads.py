"""TP-MADS and its augmented Lagrangian: they do what sections 5.1 to 5.3 mean, and planted misreadings of the printed text are seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.falsifiers.base import Objective, Proposal
from netassay.falsifiers.direct_search.merit import AugmentedLagrangian
from netassay.falsifiers.direct_search.tpmads import TpMads, _TpMads
from netassay.falsifiers.search import FALLING, RISING, Search
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from tiny_networks import FunctionModule, TinyNetwork, linear, robustness_problems


def quadratic(optimum: np.ndarray) -> TinyNetwork:
    """Output 0 is minus the squared distance from the optimum."""
    target = torch.tensor(optimum, dtype=torch.float32)
    function = FunctionModule(lambda x: -((x - target.to(x.dtype)) ** 2).sum(dim=1, keepdim=True).expand(-1, 2))
    return TinyNetwork(function, Box.filled((len(optimum),), -1, 1), 2)


def search_on(network: TinyNetwork, norm: str, radius: float, queries: int) -> Search:
    problem = Problem(network, Ball(np.zeros(network.input_shape), radius, norm, domain=network.domain), Output(0, on=Scale.LOGITS))
    return Search([problem], Objective.VALUE, budget=Budget(queries=queries), clock=Clock(None), seed=0)


def test_it_converges_to_a_smooth_optimum_inside_the_ball() -> None:
    optimum = np.array([0.3, -0.2, 0.1])
    search = search_on(quadratic(optimum), "linf", 0.5, 6000)
    search.run(TpMads(), search.both_directions())
    assert np.abs(search.records.points[RISING, 0].numpy() - optimum).max() < 1e-3


@pytest.mark.parametrize(("norm", "exact"), [("l2", 0.5 * 5**0.5), ("l1", 1.0)])
def test_the_augmented_lagrangian_reaches_the_constrained_optimum(norm: str, exact: float) -> None:
    """max 2 x_0 + x_1 over a ball of radius 0.5: the dual norm of (2, 1) times 0.5."""
    network = linear(np.array([[2.0, 1.0], [0, 0]]), np.zeros(2), Box.filled((2,), -1, 1))
    search = search_on(network, norm, 0.5, 15_000)
    search.run(TpMads(), search.both_directions())
    for direction in (RISING, FALLING):
        found = float(search.records.merit[direction, 0])
        assert 0.99 * exact <= found <= exact
        point = search.records.points[direction, 0].numpy().astype(np.float64)
        assert search.problems[0].region.contains(point[None])[0]


def stages(falsifier: _TpMads, search: Search, count: int) -> list[tuple[str, float, float]]:
    """(stage, poll size before, poll size after) of the only lane over ``count`` steps."""
    arms = search.arms(np.zeros(1, dtype=np.int64), np.ones(1), search.space.radii)
    seen = []
    for _ in range(count):
        proposal = falsifier.propose(torch.ones(1, dtype=torch.bool), 10_000, 0.0)
        assert isinstance(proposal, Proposal)
        before = float(falsifier._poll[0])
        falsifier.observe(search.evaluate(arms, proposal))
        seen.append((falsifier._stage.name, before, float(falsifier._poll[0])))
    return seen


def one_lane(network: TinyNetwork) -> tuple[_TpMads, Search]:
    search = search_on(network, "linf", 1.0, 10**9)
    arms = search.arms(np.zeros(1, dtype=np.int64), np.ones(1), search.space.radii)
    falsifier = TpMads(lanes=1).start(search._task(arms, None, search.room))
    assert isinstance(falsifier, _TpMads)
    return falsifier, search


def test_failed_iterations_halve_the_poll_and_only_complete_failures_do() -> None:
    """Nothing improves on a constant: after the design every SEARCH and POLL fails."""
    falsifier, search = one_lane(TinyNetwork(FunctionModule(lambda x: torch.zeros(len(x), 2, dtype=x.dtype)), Box.filled((4,), -1, 1), 2))
    seen = stages(falsifier, search, 9)
    assert [s for s, _, _ in seen] == ["DESIGN", *["SEARCH", "POLL"] * 4]
    for stage, before, after in seen:
        assert after == (before / 2 if stage == "POLL" else before)


def test_successful_polls_double_and_failed_ones_halve(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a SEARCH that only repeats the incumbent, every improvement is the POLL's."""
    monkeypatch.setattr(_TpMads, "_mesh_points", lambda self, lanes, most: self._incumbents[lanes].unsqueeze(1))
    falsifier, search = one_lane(quadratic(np.full(4, 0.37)))
    seen = stages(falsifier, search, 400)
    for stage, before, after in seen:
        restarted = before / 2 < TpMads().tolerance
        assert after in ({before} if stage != "POLL" else {1.0 if restarted else before / 2, min(1.0, 2 * before)})
    assert any(after == 2 * before for stage, before, after in seen if stage == "POLL")


def test_a_successful_search_keeps_the_poll_size() -> None:
    falsifier, search = one_lane(quadratic(np.full(4, 0.37)))
    seen = stages(falsifier, search, 40)
    assert all(before == after for stage, before, after in seen if stage == "SEARCH")
    assert sum(stage == "SEARCH" for stage, _, _ in seen) > sum(stage == "POLL" for stage, _, _ in seen), (
        "successful searches skip the poll"
    )


def test_a_poll_set_is_plus_and_minus_every_axis() -> None:
    falsifier, search = one_lane(TinyNetwork(FunctionModule(lambda x: torch.zeros(len(x), 2, dtype=x.dtype)), Box.filled((4,), -1, 1), 2))
    stages(falsifier, search, 4)
    proposal = falsifier.propose(torch.ones(1, dtype=torch.bool), 10_000, 0.0)
    assert proposal is not None
    offsets = proposal.points[0] - falsifier._incumbents[0]
    size = float(falsifier._poll[0])
    expected = torch.cat([size * torch.eye(4), -size * torch.eye(4)])
    assert torch.allclose(offsets, expected, atol=1e-6)


def test_the_barrier_punishes_leaving_the_ball_and_the_printed_sign_would_not() -> None:
    lagrangian = AugmentedLagrangian(1, Objective.VALUE, torch.zeros(1), multiplier=1.0, shift=0.5)
    lanes = torch.zeros(1, dtype=torch.long)
    length = torch.tensor([[0.2, 0.9, 1.0, 1.2, 1.4, 1.6]])
    merit = torch.zeros(1, 6)
    ranks = lagrangian.of(lanes, merit, length, length <= 1)[0]
    assert (ranks[:-1].diff() < 0).all(), "the further out, the worse"
    assert ranks[-1] == -torch.inf, "beyond the shift a point is refused"
    printed = torch.log((0.5 + (length[0, :-1] - 1)).clamp_min(1e-30))  # + lambda q log(q + c) of Eq. 12 as a minimised term, negated
    assert (printed.diff() > 0).all(), "the printed sign rewards leaving: the planted misreading must differ"


def test_multipliers_follow_algorithm_2() -> None:
    lagrangian = AugmentedLagrangian(2, Objective.SLOPE, torch.zeros(1), multiplier=0.1, shift=0.1)
    lanes = torch.arange(2)
    goes_on = lagrangian.update(lanes, torch.ones(2), torch.tensor([0.95, 1.05]))
    assert goes_on.all()
    assert lagrangian.multiplier[0] == pytest.approx(0.1 * 0.1 / (0.1 + 0.05))
    assert lagrangian.multiplier[1] == pytest.approx(1.0), "outside the ball the penalty factor applies"
    assert (lagrangian.shift < 0.1).all()


def test_large_polls_come_in_blocks_and_stop_at_the_first_success() -> None:
    network = linear(np.vstack([np.ones(3000), np.zeros(3000)]), np.zeros(2), Box.filled((3000,), -1, 1))
    problem = robustness_problems(network, np.full((1, 3000), 1 / 4096), 0.5, "linf")[0]
    search = Search([problem], Objective.SLOPE, budget=Budget(queries=4000), clock=Clock(None), seed=0)
    widest = 0
    evaluate = search.evaluate

    def watched(arms: object, proposal: Proposal) -> object:
        nonlocal widest
        widest = max(widest, proposal.points.shape[0] * proposal.points.shape[1])
        return evaluate(arms, proposal)  # type: ignore[arg-type]

    search.evaluate = watched  # type: ignore[method-assign, assignment]
    search.run(TpMads(), search.both_directions())
    assert widest <= search.rows
    assert search.used[0] == 4000
