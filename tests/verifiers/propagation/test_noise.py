"""Noise symbols: every point of a region has symbols, and forms of them are bounded over boxes and balls."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netassay.models import operators as op
from netassay.numerics.box import Box
from netassay.specs.regions import Ball
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.propagation.noise import Noise, linear_map, padded, times
from netassay.verifiers.region import Regions


def test_every_corner_has_symbols_within_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        low = rng.normal(0, 1, 6) * 10.0 ** rng.integers(-6, 6, 6)
        high = low + np.abs(rng.normal(0, 1, 6)) * 10.0 ** rng.integers(-12, 3, 6)
        low[0] = high[0]
        noise = Noise(Regions.of([Box(low, high)]))
        assert 0 not in noise.features
        for i in noise.features:
            for end in (low[i], high[i]):
                assert abs(Fraction(end) - Fraction(noise.middle[0, i])) <= Fraction(noise.radius[0, i])


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_no_point_of_a_ball_lies_below_the_least(norm: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        center = rng.integers(-8, 9, 5) / 8
        ball = Ball(center, 2 if norm == "l0" else 0.5, norm, domain=Box.filled((5,), -1.0, 1.0))
        noise = Noise(Regions.of([ball]))
        coefficients = rng.normal(0, 1, (1, len(noise), 3))
        least = noise.least(coefficients)[0]
        points = ball.sample(60, rng)
        for x in points[ball.contains(points)]:
            eps = [(Fraction(x[f]) - Fraction(noise.middle[0, f])) / Fraction(noise.radius[0, f]) for f in noise.features]
            for s in range(3):
                value = sum((Fraction(c) * e for c, e in zip(coefficients[0, :, s], eps, strict=True)), Fraction(0))
                assert Fraction(least[s]) <= value


def test_a_ball_is_tighter_than_its_box() -> None:
    ball = Ball(np.zeros(9), 1.0, "l2")
    coefficients = np.ones((1, 9, 1))
    assert Noise(Regions.of([ball])).least(coefficients)[0, 0] == pytest.approx(-3.0)
    assert Noise(Regions.of([ball.bounding_box()])).least(coefficients)[0, 0] == pytest.approx(-9.0)


def test_a_linear_map_adds_nothing() -> None:
    zero = [np.zeros((1, 2))]
    for operator in (op.Dense(np.ones((3, 2)), np.ones(3)), op.AddConstant(np.ones(2)), op.Pad((1,), (1,), 4.0)):
        affine = AffineMap(operator, [(2,)])
        assert affine(zero).any()
        assert not linear_map(affine)(zero).any()
        x = [np.array([[1.0, 2.0]])]
        np.testing.assert_array_equal(linear_map(affine)(x) + affine(zero), affine(x))
    constant = AffineMap(op.Constant(np.ones(2)), [])
    assert not linear_map(constant)([]).any()


def test_zero_wins_against_infinity_and_missing_symbols_are_zero() -> None:
    np.testing.assert_array_equal(times(np.array([0.0, 2.0]), np.array([np.inf, np.inf])), [0.0, np.inf])
    np.testing.assert_array_equal(padded(np.ones((1, 1, 2)), 3), [[[1, 1], [0, 0], [0, 0]]])
