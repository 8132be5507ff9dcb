"""Projection onto balls within boxes: inside, idempotent, and nearest by the variational inequality or enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netassay.errors import RegionError
from netassay.specs.regions import Ball, Box


def random_ball(seed: int, p: float, n: int = 7) -> tuple[Ball, np.ndarray]:
    rng = np.random.default_rng(seed)
    center = np.where(rng.random(n) < 0.3, 0.0, rng.random(n)) * rng.choice([1.0, 1e-6])
    radius = int(rng.integers(1, n)) if p == 0 else float(rng.choice([1e-4, 0.05, 0.4, 1.5, 20.0]))
    mask = rng.random(n) < 0.8
    mask[0] = True
    scale = rng.uniform(0.2, 3, n) if rng.random() < 0.5 else None
    bounded = Box.filled((n,), 0.0, 1.0) if rng.random() < 0.7 else None
    return Ball(center, radius, p, bounded, mask=mask, scale=scale), center + rng.normal(size=(16, n)) * rng.choice([1e-3, 1.0, 100.0])


@pytest.mark.parametrize("p", [0, 1, 2, np.inf])
@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_projections_are_inside_and_points_inside_stay(p: float, seed: int) -> None:
    ball, points = random_ball(seed, p)
    projected = ball.project(points)
    assert ball.contains(projected).all()
    assert np.array_equal(ball.project(projected), projected)


@pytest.mark.parametrize("p", [1, 2, np.inf])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_point_of_the_region_is_nearer(p: float, seed: int) -> None:
    """Variational inequality: <(y - P) / scale^2, z - P> <= 0 for every z of the region; the best z from ``minimise_linear``."""
    ball, points = random_ball(seed, p)
    units = np.ones(7) if ball.scale is None else ball.scale
    projected = ball.project(points)
    pull = np.where(ball.mask, (points - projected) / units**2, 0.0)
    best, _ = ball.minimise_linear(-pull)
    ahead = -best - (pull * projected).sum(axis=1)
    assert (ahead <= 1e-10 * (1 + np.abs(pull).sum(axis=1))).all()


@pytest.mark.parametrize("seed", range(15))
def test_l0_keeps_the_groups_that_gain_most(seed: int) -> None:
    ball, points = random_ball(seed, 0, n=6)
    units = np.ones(6) if ball.scale is None else ball.scale
    low = np.where(ball.mask, ball.domain.lower, ball.center)
    high = np.where(ball.mask, ball.domain.upper, ball.center)
    found = (((points - ball.project(points)) / units) ** 2).sum(axis=1)
    best = np.full(len(points), np.inf)
    for chosen in itertools.combinations(range(6), min(int(ball.radius), 6)):
        trial = np.broadcast_to(ball.center, points.shape).copy()
        trial[:, chosen] = np.clip(points, low, high)[:, chosen]
        best = np.minimum(best, (((points - trial) / units) ** 2).sum(axis=1))
    np.testing.assert_allclose(found, best, rtol=1e-12)


@pytest.mark.parametrize("p", [0, np.inf])
def test_steps_and_blocks_are_projected_exactly_where_features_are_independent(p: float) -> None:
    rng = np.random.default_rng(4)
    center = np.array([3.0, 0.2, 0.0, 1.0, 0.0])
    domain = Box(np.array([1.0, 0.0, 0.0, 0.0, 0.0]), np.array([6.0, 1.0, 1.0, 1.0, 1.0]))
    ball = Ball(center, 2, p, domain, granularity=[1.0, 0.3, 0, 0, 0], one_hot=[(2, 3, 4)])
    values = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.2, 0.5, 0.8], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    every = np.array(list(itertools.product(*values)))
    every = every[ball.contains(every)]
    points = center + rng.normal(size=(60, 5)) * 3
    projected = ball.project(points)
    assert ball.contains(projected).all()
    found = ((points - projected) ** 2).sum(axis=1)
    np.testing.assert_allclose(found, ((points[:, None] - every) ** 2).sum(axis=2).min(axis=1), rtol=1e-9)


@pytest.mark.parametrize("p", [1, 2])
def test_steps_in_l1_and_l2_balls_are_snapped_inside(p: float) -> None:
    rng = np.random.default_rng(6)
    center = np.array([3.0, 0.2, 0.0, 1.0, 0.0, 1.0, 0.0])
    ball = Ball(center, 2.5, p, granularity=[1.0, 0.3, 0, 0, 0, 0, 0], one_hot=[(2, 3, 4), (5, 6)])
    points = center + rng.normal(size=(300, 7)) * 3
    projected = ball.project(points)
    assert ball.contains(projected).all()
    assert (projected[:, 0] != 3.0).any()
    assert (projected[:, 3] == 0.0).any(), "a category can change"


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_the_outermost_8_bit_step_is_reached(p: float) -> None:
    """8/255 is not a sum of float64 steps; the last of the 8 steps must not be lost to that."""
    for start in range(20, 200, 7):
        ball = Ball([start / 255], 8 / 255, p, Box.filled((1,), 0, 1), granularity=[1 / 255])
        for target in (0.0, 1.0):
            reached = ball.project(np.array([[target]]))
            assert ball.contains(reached)[0]
            assert abs(reached[0, 0] - start / 255) == pytest.approx(8 / 255, rel=1e-9)


def test_a_single_feature_that_can_move_takes_the_whole_radius() -> None:
    """Its reach is the radius up to rounding, so whether its cap is met hangs on the last bit."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        center = np.array([0.0, 0.0, rng.random(), 0.5])
        ball = Ball(center, 0.05, 2, Box.filled((4,), 0.0, 2.0), mask=[True, True, True, False])
        points = ball.project(np.array([[-9.0, -100.0, 10.0, 3.0]]))
        assert ball.contains(points)[0]
        assert ball.distance(points)[0] == pytest.approx(0.05, rel=1e-12)


def test_points_that_are_not_finite_are_refused() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(RegionError, match="NaN or infinite"):
            Ball(np.zeros(2), 1, 2).project(np.array([[bad, 0.0]]))


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_large_centres_do_not_push_points_out(p: float) -> None:
    rng = np.random.default_rng(2)
    center = rng.uniform(-1e6, 1e6, 50)
    ball = Ball(center, 1e-3, p)
    assert ball.contains(ball.project(center + rng.normal(size=(100, 50)))).all()
