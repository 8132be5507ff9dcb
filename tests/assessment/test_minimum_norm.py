"""Climbs that follow the boundary: on a linear form in a box they come within a hundredth of the exact radius; the L1 projection."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exact_radii import linear_radius, root
from netassay.assessment.minimum_norm import MinimumNorm, project_l1
from netassay.falsifiers.base import Objective
from netassay.falsifiers.search import Search
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from tiny_networks import TinyNetwork, linear, robustness_problems

RNG = np.random.default_rng(7)
WEIGHT = np.stack([RNG.integers(-16, 17, 40) / 8, np.zeros(40)])
CENTERS = RNG.integers(0, 9, (3, 40)) / 8


def network() -> TinyNetwork:
    """s is positive at all centres, by 4."""
    offset = 4 - float((CENTERS @ WEIGHT[0]).min())
    return linear(WEIGHT, np.array([offset, 0]), Box.filled((40,), 0, 1))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("told", [False, True])
def test_a_linear_form_in_a_box(norm: str, told: bool) -> None:
    """``told``: the climbs begin at a violation far away, in a ball that just holds it, too."""
    batch = robustness_problems(network(), CENTERS, 40.0, norm)
    search = Search(batch, Objective.VALUE, budget=Budget(queries=3000), clock=Clock(None), seed=0, violations=True)
    arms = search.arms(np.arange(3), np.full(3, -1.0), search.space.radii)
    corner = torch.where(torch.tensor(WEIGHT[0]) > 0, arms.low, arms.high)
    starts = arms.pull(torch.arange(3), corner.float().unsqueeze(1)) if told else None
    search.run(MinimumNorm(np.ones(3)), arms, starts=starts)
    for b, problem in enumerate(batch):
        rooms = np.where(WEIGHT[0] > 0, problem.center, 1 - problem.center)
        value = float(WEIGHT[0] @ problem.center) + float(network().module.bias[0].detach())
        exact = root(norm, linear_radius(norm, WEIGHT[0].tolist(), value, rooms.tolist()))
        point = search.records.nearest_points[b].double().numpy()
        found = float(problem.ball.distance(point[None])[0])
        assert problem.region.contains(point[None])[0]
        assert exact * (1 - 1e-6) <= found <= 1.01 * exact  # the search's own float32 record: not confirmed yet
    assert (search.used <= 3000).all()


ROOMS = st.lists(st.tuples(st.floats(-8, 8, width=32), st.floats(0, 4, width=32), st.floats(0, 4, width=32)), min_size=1, max_size=12)


@given(ROOMS, st.floats(0.0625, 8, width=32), st.integers(0, 2**16))
def test_the_projection_is_the_nearest_point_of_ball_and_box(features: list[tuple[float, float, float]], radius: float, seed: int) -> None:
    rows, below, high = torch.tensor(features, dtype=torch.float64).T.unsqueeze(1)
    nearest = project_l1(rows, torch.tensor([radius], dtype=torch.float64), -below, high)
    assert nearest.abs().sum() <= radius + 1e-5
    assert ((nearest >= -below) & (nearest <= high)).all()
    if rows.abs().sum() <= radius:
        assert torch.equal(nearest, torch.clamp(rows, -below, high))
    generator = torch.Generator().manual_seed(seed)
    others = torch.lerp(-below, high, torch.rand(50, len(features), generator=generator, dtype=torch.float64))
    others *= (radius / others.abs().sum(dim=1, keepdim=True).clamp_min(1e-9)).clamp(max=1)
    assert ((rows - nearest) * (others - nearest)).sum(dim=1).max() <= 1e-4  # the obtuse-angle criterion of projections


def test_the_projection_leaves_few_features_and_stops_at_walls() -> None:
    rows, radius, walls = torch.tensor([[3.0, -2.0, 0.5, 0.25]]), torch.tensor([2.0]), torch.full((1, 4), 4.0)
    assert project_l1(rows, radius, -walls, walls)[0].tolist() == pytest.approx([1.5, -0.5, 0, 0], abs=1e-5)
    walls[0, 0] = 0.5
    assert project_l1(rows, radius, -walls, walls)[0].tolist() == pytest.approx([0.5, -1.5, 0, 0], abs=1e-5)
