"""Sampling is uniform: known marginals, radial laws, exact area ratios, and counts of discrete points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from netassay.errors import RegionError
from netassay.specs import ball_sampling
from netassay.specs.regions import Ball, Box

LEVEL = 1e-3
"""Each test draws with a fixed seed, so it gives the same p-value every time; a sampler that is wrong gives far less."""


def draw(ball: Ball, count: int = 4000, seed: int = 0) -> np.ndarray:
    points = ball.sample(count, np.random.default_rng(seed))
    assert points.shape == (count, *ball.shape)
    assert ball.contains(points).all()
    return points


@pytest.mark.parametrize("p", [1, 2])
def test_free_balls_have_the_radial_law_and_marginal_of_the_uniform_distribution(p: float) -> None:
    n, scale = 5, np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    ball = Ball(np.arange(5.0), 0.7, p, scale=scale)
    points = draw(ball)
    assert stats.kstest((ball.distance(points) / 0.7) ** n, "uniform").pvalue > LEVEL
    offsets = (points - ball.center) / scale / 0.7
    for i in range(n):
        if p == 2:
            shape = (n + 1) / 2
            assert stats.kstest((offsets[:, i] + 1) / 2, stats.beta(shape, shape).cdf).pvalue > LEVEL
        else:
            assert stats.kstest(1 - (1 - np.abs(offsets[:, i])) ** n, "uniform").pvalue > LEVEL
            assert stats.binomtest(int((offsets[:, i] > 0).sum()), len(points)).pvalue > LEVEL


def test_linf_is_uniform_on_its_clipped_box() -> None:
    points = draw(Ball([0.1, 0.5, 0.9], 0.3, np.inf, Box.filled((3,), 0, 1), mask=[True, True, False]))
    assert stats.kstest(points[:, 0], stats.uniform(0, 0.4).cdf).pvalue > LEVEL
    assert stats.kstest(points[:, 1], stats.uniform(0.2, 0.6).cdf).pvalue > LEVEL
    assert (points[:, 2] == 0.9).all()


def quarter_counts(points: np.ndarray, cells: int) -> np.ndarray:
    index = np.minimum((points * cells).astype(int), cells - 1)
    return np.bincount(index[:, 0] * cells + index[:, 1], minlength=cells * cells)


def cell_areas(ball: Ball, cells: int, fine: int = 400) -> np.ndarray:
    """Share of the region's area in each cell of the unit square, by a fine midpoint grid (error about 1/fine of a cell)."""
    axis = (np.arange(cells * fine // 4) + 0.5) / (cells * fine // 4)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    p = ball.p.order
    inside = np.linalg.norm(grid - ball.center, ord=p, axis=1) <= ball.radius
    counts = quarter_counts(grid[inside], cells)
    return counts / counts.sum()


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("chain", [False, True])
def test_a_clipped_ball_fills_areas_evenly_by_rejection_and_by_gibbs(p: float, chain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ball = Ball([0.3, 0.05], 0.6, p, Box.filled((2,), 0, 1))
    if chain:
        monkeypatch.setattr(ball_sampling, "_by_rejection", lambda *_: None)
    points = draw(ball, 6000)
    areas = cell_areas(ball, 4)
    counts = quarter_counts(points, 4)
    assert counts[areas == 0].sum() == 0
    kept = areas > 0.003
    observed, expected = counts[kept], areas[kept] / areas[kept].sum() * counts[kept].sum()
    assert stats.chisquare(observed, expected).pvalue > LEVEL


@pytest.mark.parametrize("p", [1, 2])
def test_gibbs_with_integrated_features_agrees_with_rejection(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One feature is cut on both sides, the others hardly ever: the chain integrates them out; marginals must not tell the two apart."""
    center = np.array([0.1, *[0.5] * 7])
    ball = Ball(center, 1.2 if p == 1 else 0.6, p, Box.filled((8,), 0, 1))
    exact = draw(ball, 5000, seed=1)
    _, rest = ball_sampling._partition(ball.geometry)
    assert len(rest) > 0
    monkeypatch.setattr(ball_sampling, "_by_rejection", lambda *_: None)
    chained = draw(ball, 5000, seed=2)
    for i in (0, 1, 7):
        assert stats.ks_2samp(exact[:, i], chained[:, i]).pvalue > LEVEL
    assert stats.ks_2samp(ball.distance(exact), ball.distance(chained)).pvalue > LEVEL


@pytest.mark.parametrize("p", [1, 2])
def test_a_ball_that_rejection_cannot_sample_is_sampled_inside(p: float) -> None:
    """60 features near a face of the domain and a ball as wide as the box: neither ball nor box draws are accepted."""
    center = np.full(60, 0.1)
    ball = Ball(center, {1: 12.0, 2: 2.2}[p], p, Box.filled((60,), 0, 1))
    assert ball_sampling._by_rejection(lambda size: ball_sampling._ball_draws(ball.geometry, size, np.random.default_rng(0)), 4, 60) is None
    points = draw(ball, 300)
    halves = stats.ks_2samp(points[:, :30].ravel(), points[:, 30:].ravel()).pvalue
    assert halves > LEVEL, "features play the same role, whenever they are swept"
    assert points.std() > 0.05


@pytest.mark.parametrize("p", [1, 2])
def test_a_centre_in_the_corner_of_its_domain_needs_no_chain(p: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every feature can only rise: mirrored draws of the whole ball are exact, where plain rejection would accept 2**-50."""
    monkeypatch.setattr(ball_sampling, "gibbs", None)
    ball = Ball(np.zeros(50), 0.8, p, Box.filled((50,), 0, 1))
    points = draw(ball, 1000)
    assert stats.kstest((ball.distance(points) / 0.8) ** 50, "uniform").pvalue > LEVEL


def test_l0_draws_uniform_sets_of_exactly_t_groups_and_uniform_values() -> None:
    ball = Ball(np.full(5, 0.5), 2, 0, Box.filled((5,), 0, 1))
    points = draw(ball)
    changed = points != 0.5
    assert (changed.sum(axis=1) == 2).all()
    sets = list(itertools.combinations(range(5), 2))
    counts = [int((changed[:, a] & changed[:, b]).sum()) for a, b in sets]
    assert stats.chisquare(counts).pvalue > LEVEL
    assert stats.kstest(points[changed], "uniform").pvalue > LEVEL


def test_l0_groups_pixels_skips_what_cannot_move_and_needs_a_bounded_domain() -> None:
    center = np.zeros((2, 2, 2))
    domain = Box(np.zeros((2, 2, 2)), np.ones((2, 2, 2)) * np.array([[1.0, 1.0], [1.0, 0.0]]))
    points = draw(Ball(center, 2, 0, domain, group="pixel"), 500)
    changed = (points != 0).any(axis=1)
    assert (changed.sum(axis=(1, 2)) == 2).all()
    assert not changed[:, 1, 1].any()
    assert (draw(Ball(center, 9, 0, domain, group="pixel"), 20) != 0).any(axis=1).sum() == 60
    with pytest.raises(RegionError, match="bounded domain"):
        Ball(np.zeros(2), 1, 0).sample(1, np.random.default_rng(0))


def test_steps_and_categories_have_equal_chances_in_linf_balls() -> None:
    ball = Ball(
        [5.0, 1.0, 0.0, 0.0],
        2,
        np.inf,
        Box(np.array([4.0, 0, 0, 0]), np.array([9.0, 1, 1, 1])),
        granularity=[1, 0, 0, 0],
        one_hot=[(1, 2, 3)],
    )
    points = draw(ball)
    values, counts = np.unique(points[:, 0], return_counts=True)
    assert values.tolist() == [4.0, 5.0, 6.0, 7.0]
    assert stats.chisquare(counts).pvalue > LEVEL
    assert stats.chisquare(points[:, 1:].sum(axis=0)).pvalue > LEVEL


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("chain", [False, True])
def test_discrete_points_of_l1_and_l2_balls_have_equal_chances(p: float, chain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    center = np.array([0.0, 0.0, 1.0, 0.0])
    domain = Box(np.array([-1.0, -2.0, 0, 0]), np.array([2.0, 2.0, 1, 1]))
    ball = Ball(center, 3.0 if p == 1 else 2.3, p, domain, granularity=[1, 1, 0, 0], one_hot=[(2, 3)])
    if chain:
        monkeypatch.setattr(ball_sampling, "_by_rejection", lambda *_: None)
    points = draw(ball, 6000)
    every = np.array(list(itertools.product([-1.0, 0, 1, 2], [-2.0, -1, 0, 1, 2], [0.0, 1], [0.0, 1])))
    every = every[ball.contains(every)]
    counts = (points[:, None] == every).all(axis=2).sum(axis=0)
    assert counts.sum() == len(points)
    assert stats.chisquare(counts).pvalue > LEVEL


def test_l0_steps_always_change_their_group() -> None:
    ball = Ball(
        [5.0, 0.5, 1.0, 0.0], 1, 0, Box(np.array([4.0, 0, 0, 0]), np.array([6.0, 1, 1, 1])), granularity=[1, 0, 0, 0], one_hot=[(2, 3)]
    )
    points = draw(ball, 3000)
    assert (ball.distance(points) == 1).all()
    groups = [int((points[:, 0] != 5).sum()), int((points[:, 1] != 0.5).sum()), int((points[:, 2] != 1).sum())]
    assert sum(groups) == 3000
    assert stats.chisquare(groups).pvalue > LEVEL
    assert sorted(set(points[:, 0])) == [4.0, 5.0, 6.0]


def test_same_seed_same_points_and_counts_are_checked() -> None:
    ball = Ball(np.full(9, 0.2), 1.0, 2, Box.filled((9,), 0, 1))
    assert np.array_equal(draw(ball, 50, seed=3), draw(ball, 50, seed=3))
    assert not np.array_equal(draw(ball, 50, seed=3), draw(ball, 50, seed=4))
    with pytest.raises(RegionError, match="at least one"):
        ball.sample(0, np.random.default_rng(0))


def test_a_region_of_a_single_point_is_sampled() -> None:
    ball = Ball([0.5], 0.1, 2, Box.filled((1,), 0.5, 0.5))
    assert (draw(ball, 5) == 0.5).all()
    assert math.isclose(ball.distance(np.array([[0.5]]))[0], 0.0)
