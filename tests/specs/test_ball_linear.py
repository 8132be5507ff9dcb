"""Minimising linear forms over balls: against solvers, enumeration and rational arithmetic."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from netassay.errors import RegionError
from netassay.specs.regions import Ball, Box


def random_ball(seed: int, p: float, n: int = 6) -> tuple[Ball, np.ndarray]:
    """A ball in a box that cuts it, with uneven scale, some features fixed and some on the edge; and coefficients (8, n)."""
    rng = np.random.default_rng(seed)
    center = np.where(rng.random(n) < 0.3, 0.0, rng.random(n))
    radius = int(rng.integers(1, n)) if p == 0 else float(rng.choice([0.05, 0.4, 1.5, 20.0]))
    mask = rng.random(n) < 0.8
    mask[0] = True
    scale = rng.uniform(0.2, 3, n) if rng.random() < 0.5 else None
    coefficients = rng.normal(size=(8, n)) * rng.choice([1.0, 1e-3, 0.0], size=(8, n), p=[0.7, 0.2, 0.1])
    return Ball(center, radius, p, Box.filled((n,), 0.0, 1.0), mask=mask, scale=scale), coefficients


def exact_value(coefficients: np.ndarray, point: np.ndarray) -> Fraction:
    return sum((Fraction(float(a)) * Fraction(float(x)) for a, x in zip(coefficients, point, strict=True)), Fraction(0))


def exact_minimum(ball: Ball, a: np.ndarray) -> Fraction:
    """The minimum over the real region for L0, L1 and L-infinity, in rational arithmetic throughout."""
    n = len(a)
    radius = Fraction(ball.radius)
    scale = np.ones(n) if ball.scale is None else ball.scale
    gains = []
    for i in range(n):
        c, s = Fraction(float(ball.center[i])), Fraction(float(scale[i]))
        room = c - Fraction(float(ball.domain.lower[i])) if a[i] > 0 else Fraction(float(ball.domain.upper[i])) - c
        room = room / s if ball.mask[i] else Fraction(0)
        gains.append((abs(Fraction(float(a[i]))) * s, room))
    best = exact_value(a, ball.center)
    if ball.p.order == np.inf:
        return best - sum((w * min(room, radius) for w, room in gains), Fraction(0))
    if ball.p.order == 0:
        return best - sum(sorted((w * room for w, room in gains), reverse=True)[: int(ball.radius)], Fraction(0))
    left = radius
    for w, room in sorted(gains, reverse=True):
        taken = min(room, left)
        best, left = best - w * taken, left - taken
    return best


@pytest.mark.parametrize("p", [0, 1, 2, np.inf])
@pytest.mark.parametrize("seed", range(12))
def test_points_are_inside_and_values_are_theirs(p: float, seed: int) -> None:
    ball, coefficients = random_ball(seed, p)
    values, points = ball.minimise_linear(coefficients)
    assert ball.contains(points).all()
    exact = [exact_value(a, x) for a, x in zip(coefficients, points, strict=True)]
    assert all(abs(Fraction(float(v)) - e) <= Fraction(1, 10**14) for v, e in zip(values, exact, strict=True))
    bounds = ball.lower_bound_linear(coefficients)
    assert all(Fraction(float(b)) <= e for b, e in zip(bounds, exact, strict=True))
    assert (values - bounds <= 1e-12 * (1 + np.abs(coefficients).sum(axis=1))).all(), "the two sides enclose the minimum, so both are tight"


@pytest.mark.parametrize("p", [0, 1, np.inf])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), magnitude=st.sampled_from([1.0, 1e-12, 1e9]))
def test_the_lower_bound_is_never_above_the_rational_minimum(p: float, seed: int, magnitude: float) -> None:
    ball, coefficients = random_ball(seed, p)
    coefficients = coefficients * magnitude
    for a, bound in zip(coefficients, ball.lower_bound_linear(coefficients), strict=True):
        exact = exact_minimum(ball, a)
        assert Fraction(float(bound)) <= exact
        assert exact - Fraction(float(bound)) <= Fraction(1, 10**12) * Fraction(magnitude)


def precise_l2_minimum(ball: Ball, a: np.ndarray) -> Fraction:
    """<a, x> at a rational point of the L2 region, at the optimum to some 25 digits: at or above the real minimum."""
    scale = [Fraction(1)] * len(a) if ball.scale is None else [Fraction(float(s)) for s in ball.scale]
    weights = [abs(Fraction(float(v))) * s for v, s in zip(a, scale, strict=True)]
    caps = []
    for i, v in enumerate(a):
        c = Fraction(float(ball.center[i]))
        room = c - Fraction(float(ball.domain.lower[i])) if v > 0 else Fraction(float(ball.domain.upper[i])) - c
        caps.append(room / scale[i] if ball.mask[i] else Fraction(0))
    radius = Fraction(ball.radius)

    def moves(tau: Fraction) -> list[Fraction]:
        return [min(cap, tau * w) for w, cap in zip(weights, caps, strict=True)]

    low, high = Fraction(0), Fraction(10) ** 9
    for _ in range(120):
        middle = Fraction(round((low + high) / 2 * 2**100), 2**100)
        low, high = (middle, high) if sum(m * m for m in moves(middle)) <= radius * radius else (low, middle)
    return exact_value(a, ball.center) - sum((w * m for w, m in zip(weights, moves(low), strict=True)), Fraction(0))


@pytest.mark.parametrize("seed", range(30))
def test_the_l2_lower_bound_is_never_above_a_rational_point_at_the_optimum(seed: int) -> None:
    ball, coefficients = random_ball(seed, 2)
    for a, bound in zip(coefficients[:3], ball.lower_bound_linear(coefficients[:3]), strict=True):
        attained = precise_l2_minimum(ball, a)
        assert Fraction(float(bound)) <= attained
        assert attained - Fraction(float(bound)) <= Fraction(1, 10**12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("p", [1, np.inf])
def test_l1_and_linf_agree_with_linear_programming(p: float, seed: int) -> None:
    ball, coefficients = random_ball(seed, p)
    n = 6
    scale = np.ones(n) if ball.scale is None else ball.scale
    fixed = np.where(ball.mask, 1.0, 0.0)
    down, up = (ball.center - ball.domain.lower) / scale * fixed, (ball.domain.upper - ball.center) / scale * fixed
    if p == np.inf:
        down, up = np.minimum(down, ball.radius), np.minimum(up, ball.radius)
    values, _ = ball.minimise_linear(coefficients)
    for a, value in zip(coefficients, values, strict=True):
        w = a * scale
        rows = [np.ones(2 * n)] if p == 1 else None
        solved = linprog(np.concatenate([w, -w]), A_ub=rows, b_ub=[ball.radius] if p == 1 else None, bounds=[(0, b) for b in (*up, *down)])
        assert solved.fun + a @ ball.center == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_l2_agrees_with_a_general_solver(seed: int) -> None:
    ball, coefficients = random_ball(seed, 2)
    n = 6
    scale = np.ones(n) if ball.scale is None else ball.scale
    bounds = [
        (lo, hi) if free else (c, c) for lo, hi, c, free in zip(ball.domain.lower, ball.domain.upper, ball.center, ball.mask, strict=True)
    ]
    values, _ = ball.minimise_linear(coefficients[:3])
    for a, value in zip(coefficients[:3], values, strict=True):
        inside = {"type": "ineq", "fun": lambda x: ball.radius**2 - np.sum(((x - ball.center) / scale) ** 2)}
        solved = minimize(lambda x, a=a: a @ x, ball.center, bounds=bounds, constraints=[inside], method="SLSQP", options={"ftol": 1e-13})
        assert value <= solved.fun + 1e-6
        assert value >= solved.fun - 1e-5


def every_point(ball: Ball, values: list[list[float]]) -> np.ndarray:
    points = np.array(list(itertools.product(*values)))
    return points[ball.contains(points)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("p", [0, np.inf])
def test_steps_and_one_hot_blocks_are_minimised_exactly(p: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    center = np.array([3.0, 0.2, 0.0, 1.0, 0.0])
    domain = Box(np.array([1.0, 0.0, 0.0, 0.0, 0.0]), np.array([6.0, 1.0, 1.0, 1.0, 1.0]))
    ball = Ball(center, int(rng.integers(1, 3)), p, domain, granularity=[1.0, 0.3, 0, 0, 0], one_hot=[(2, 3, 4)])
    points = every_point(ball, [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.2, 0.5, 0.8], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    coefficients = rng.normal(size=(20, 5))
    values, found = ball.minimise_linear(coefficients)
    assert ball.contains(found).all()
    np.testing.assert_allclose(values, (coefficients @ points.T).min(axis=1), atol=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_steps_in_l1_and_l2_balls_give_points_inside_and_a_sound_bound(p: float) -> None:
    rng = np.random.default_rng(1)
    center = np.array([3.0, 0.2, 0.0, 1.0, 0.0])
    domain = Box(np.array([1.0, 0.0, 0.0, 0.0, 0.0]), np.array([6.0, 1.0, 1.0, 1.0, 1.0]))
    ball = Ball(center, 3.0, p, domain, granularity=[1.0, 0.3, 0, 0, 0], one_hot=[(2, 3, 4)])
    points = every_point(ball, [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.2, 0.5, 0.8], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    coefficients = rng.normal(size=(50, 5))
    _, found = ball.minimise_linear(coefficients)
    assert ball.contains(found).all()
    assert (ball.lower_bound_linear(coefficients)[:, None] <= coefficients @ points.T).all()


def test_pixels_are_chosen_by_their_channels_together() -> None:
    center = np.full((2, 1, 3), 0.5)
    ball = Ball(center, 1, 0, Box.filled((2, 1, 3), 0, 1), group="pixel")
    coefficients = np.array([[[3.0, 2.0, 0.0]], [[0.0, 2.0, -3.5]]])[None]
    values, points = ball.minimise_linear(coefficients)
    assert values[0] == (coefficients * center).sum() - 2.0
    assert points[0, :, 0, 1].tolist() == [0.0, 0.0]
    assert (points[0, :, 0, [0, 2]] == 0.5).all()


def test_a_ball_inside_its_domain_meets_the_dual_norm() -> None:
    rng = np.random.default_rng(3)
    coefficients = rng.normal(size=(5, 30))
    for p, dual in ((1, np.inf), (2, 2), (np.inf, 1)):
        values, _ = Ball(np.zeros(30), 0.3, p).minimise_linear(coefficients)
        np.testing.assert_allclose(values, -0.3 * np.linalg.norm(coefficients, ord=dual, axis=1), rtol=1e-12)


def test_what_has_no_minimum_says_so() -> None:
    ball = Ball(np.zeros(2), 1, 0)
    with pytest.raises(RegionError, match="bounded domain"):
        ball.minimise_linear(np.ones((1, 2)))
    assert ball.lower_bound_linear(np.ones((1, 2)))[0] == -np.inf
    assert ball.lower_bound_linear(np.zeros((1, 2)))[0] <= 0
    for bad in (np.nan, np.inf):
        with pytest.raises(RegionError, match="finite"):
            Ball(np.zeros(2), 1, 2).minimise_linear(np.array([[bad, 1.0]]))
        assert Ball(np.zeros(2), 1, 2).lower_bound_linear(np.array([[bad, 1.0]]))[0] == -np.inf


@pytest.mark.parametrize("p", [1, 2, np.inf])
@pytest.mark.parametrize("size", [1e-160, 1e-308, 5e-324])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_tiny_coefficients_lose_no_soundness(p: float, size: float, scale: float) -> None:
    ball = Ball(np.zeros(3), 800.0, p, scale=np.full(3, scale))
    coefficients = np.array([[size, -size, 0.0]])
    _, points = ball.minimise_linear(coefficients)
    bound = Fraction(float(ball.lower_bound_linear(coefficients)[0]))
    assert bound <= exact_value(coefficients[0], points[0])
    assert bound <= -Fraction(size) * Fraction(800) * Fraction(scale)


@pytest.mark.parametrize("p", [0, 1, np.inf])
@pytest.mark.parametrize(("center", "radius"), [(0.0, 0.7), (1e6, 1e-9)])
def test_long_sums_are_rounded_outwards(p: float, center: float, radius: float) -> None:
    """Hundreds of terms of one sign, around 0 (the gain rounds) and around a large centre (the value of the form rounds)."""
    rng = np.random.default_rng(8)
    n = 400
    middle = center * (1 + rng.random(n))
    ball = Ball(
        middle, 300 if p == 0 else radius, p, Box(middle - rng.random(n) * 1e-3, middle + rng.random(n) * 1e-3), mask=np.ones(n, dtype=bool)
    )
    coefficients = rng.random((60, n))
    for a, bound in zip(coefficients, ball.lower_bound_linear(coefficients), strict=True):
        assert Fraction(float(bound)) <= exact_minimum(ball, a)
