"""Balls: what they refuse, exact membership, distance, boxes around them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netassay.errors import InputError, RegionError, UsageError
from netassay.numerics.norms import Norm
from netassay.specs.regions import Ball, Box, domain_scale

UNIT = Box.filled((3,), 0.0, 1.0)
CENTER = np.array([0.5, 0.0, 1.0])


def exact_distance(ball: Ball, point: np.ndarray) -> Fraction:
    """The p-th power of the distance (p for L2 is 2), or the number of changed features, in rational arithmetic."""
    scale = np.ones(ball.center.size) if ball.scale is None else ball.scale.ravel()
    pairs = zip(point.ravel(), ball.center.ravel(), scale, strict=True)
    terms = [abs(Fraction(float(x)) - Fraction(float(c))) / Fraction(float(s)) for x, c, s in pairs]
    if ball.p is Norm.L0:
        return Fraction(sum(t != 0 for t in terms))
    if ball.p is Norm.LINF:
        return max(terms)
    return sum((t * t if ball.p is Norm.L2 else t for t in terms), Fraction(0))


def exactly_inside(ball: Ball, point: np.ndarray) -> bool:
    limit = Fraction(ball.radius) ** (2 if ball.p is Norm.L2 else 1)
    return exact_distance(ball, point) <= limit and bool(((point >= ball.domain.lower) & (point <= ball.domain.upper)).all())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"radius": 0.0}, "positive"),
        ({"radius": -1.0}, "positive"),
        ({"radius": np.nan}, "positive"),
        ({"radius": np.inf}, "finite"),
        ({"radius": 1e200}, "between"),
        ({"p": 0, "radius": 1.5}, "whole number"),
        ({"p": 0, "radius": 0}, "positive"),
        ({"center": [np.nan, 0, 1]}, "NaN"),
        ({"center": ["a", "b", "c"]}, "numbers"),
        ({"center": []}, "no features"),
        ({"center": [2.0, 0, 1], "domain": UNIT}, "outside the domain at feature \\(0,\\)"),
        ({"domain": Box.filled((2,), 0, 1)}, "shape"),
        ({"mask": [False, False, False]}, "fixes every feature"),
        ({"mask": [True, False]}, "shape"),
        ({"mask": [1, 0, 1]}, "True"),
        ({"scale": [1.0, 0.0, 1.0]}, "positive"),
        ({"scale": [1.0, -1.0, 1.0]}, "positive"),
        ({"scale": [1.0, np.nan, 1.0]}, "finite"),
        ({"scale": [1.0, 1.0]}, "shape"),
        ({"scale": [1.0, 1e-99, 1.0], "radius": 1e-3}, "below"),
        ({"granularity": [-1.0, 0, 0]}, "step"),
        ({"granularity": [1.0]}, "shape"),
        ({"one_hot": [(0, 1)]}, "exactly one 1"),
        ({"one_hot": [(1, 2), (2, 0)]}, "overlap"),
        ({"one_hot": [(2, 2)]}, "overlap"),
        ({"one_hot": [(2,)]}, "two or more"),
        ({"one_hot": [(1, 7)]}, "outside 0..2"),
        ({"one_hot": [(1, 2)], "mask": [True, True, False]}, "all features"),
        ({"group": "channel"}, "'feature' or 'pixel'"),
        ({"group": "pixel"}, "L0 only"),
        ({"group": "pixel", "p": 0, "radius": 1}, "channels, height, width"),
    ],
)
def test_refuses_what_does_not_fit_and_says_why(changes: dict[str, object], words: str) -> None:
    arguments: dict[str, object] = {"center": CENTER, "radius": 0.1, "p": np.inf} | changes
    with pytest.raises(RegionError, match=words) as caught:
        Ball(**arguments)  # type: ignore[arg-type]
    assert isinstance(caught.value, InputError)


def test_pixel_groups_refuse_one_hot_blocks() -> None:
    with pytest.raises(RegionError, match="contradict"):
        Ball(np.array([0.0, 1.0]).reshape(2, 1, 1), 1, 0, one_hot=[(0, 1)], group="pixel")


def test_unknown_norms_list_the_known() -> None:
    with pytest.raises(UsageError, match="l0, l1, l2, linf"):
        Ball(CENTER, 0.1, "l3")


@pytest.mark.parametrize("method", ["contains", "distance", "project", "minimise_linear", "lower_bound_linear"])
def test_batches_must_have_the_shape_of_the_region(method: str) -> None:
    ball = Ball(CENTER, 0.1, 2)
    for wrong in (np.zeros(3), np.zeros((2, 4)), np.zeros((2, 3, 1))):
        with pytest.raises(RegionError, match=r"shape \(3,\)"):
            getattr(ball, method)(wrong)


def test_fields_are_normalised_read_only_and_independent_of_the_callers_arrays() -> None:
    center = np.array([[0, 1], [1, 0]], dtype=np.int64)
    ball = Ball(center, 1, "Linf", mask=np.ones((2, 2), dtype=bool), scale=np.full((2, 2), 2.0))
    center[0, 0] = 9
    assert ball.center.dtype == np.float64
    assert ball.center[0, 0] == 0
    assert ball.p is Norm.LINF
    assert not ball.domain.bounded
    assert not any(array.flags.writeable for array in (ball.center, ball.scale, ball.mask))
    assert ball.summary().scaled
    assert ball.summary().features == 4
    half = ball.with_radius(0.5)
    assert half.radius == 0.5
    assert half.scale is not None
    assert half.scale[0, 0] == 2.0
    assert ball.radius == 1
    with pytest.raises(RegionError, match="positive"):
        ball.with_radius(0)


numbers = st.floats(-4, 4, allow_subnormal=False).map(lambda v: round(v, 3))


@settings(max_examples=150, deadline=None)
@given(
    p=st.sampled_from([0, 1, 2, np.inf]),
    center=st.lists(numbers, min_size=1, max_size=4),
    offsets=st.lists(numbers, min_size=4, max_size=4),
    scale=st.sampled_from([None, 2.0, 0.3]),
    nudges=st.lists(st.integers(-2, 2), min_size=4, max_size=4),
)
def test_membership_is_exact_in_real_arithmetic_even_one_rounding_from_the_limit(
    p: float, center: list[float], offsets: list[float], scale: float | None, nudges: list[int]
) -> None:
    """The radius is the float64 distance of a point; its neighbours lie just inside or just outside."""
    middle = np.array(center)
    n = len(middle)
    units = None if scale is None else np.full(n, scale)
    far = middle + np.array(offsets[:n])
    reached = float(Ball(middle, 1, p, scale=units).distance(far[None])[0])
    if reached <= 1e-6:
        return
    ball = Ball(middle, reached, p, scale=units)
    point = far.copy()
    for i, nudge in enumerate(nudges[:n]):
        for _ in range(abs(nudge)):
            point[i] = np.nextafter(point[i], np.sign(nudge) * np.inf)
    assert bool(ball.contains(point[None])[0]) is exactly_inside(ball, point)
    assert bool(ball.contains(far[None])[0]) is exactly_inside(ball, far)


@pytest.mark.parametrize(("p", "size", "radius"), [(1, 2.0**-7, 8.0), (2, 0.125, 4.0)])
def test_a_long_sum_whose_roundings_hide_the_excess_is_outside(p: float, size: float, radius: float) -> None:
    """1,024 equal terms reach the radius exactly; one of them a single rounding larger is lost in a float64 sum."""
    ball = Ball(np.zeros(1024), radius, p)
    point = np.full(1024, size)
    assert ball.contains(point[None])[0]
    point[3] = np.nextafter(size, 1.0)
    assert np.linalg.norm(point, ord=p) == radius
    assert not ball.contains(point[None])[0]


def test_nan_and_infinity_are_never_inside() -> None:
    for p in (0, 1, 2, np.inf):
        ball = Ball(np.zeros(2), 1, p)
        points = np.array([[np.nan, 0.0], [0.0, np.inf], [-np.inf, 0.0], [0.0, 0.0]])
        assert ball.contains(points).tolist() == [False, False, False, True]


def test_domain_and_mask_are_compared_exactly() -> None:
    ball = Ball(CENTER, 0.75, np.inf, UNIT, mask=[True, True, False])
    points = np.array([[1.0, 0.75, 1.0], [np.nextafter(1.0, 2.0), 0.0, 1.0], [0.5, -5e-324, 1.0], [0.5, 0.0, np.nextafter(1.0, 0.0)]])
    assert ball.contains(points).tolist() == [True, False, False, False]


def test_pixels_count_once_whatever_channels_change() -> None:
    center = np.zeros((3, 2, 2))
    points = np.zeros((3, 3, 2, 2))
    points[0, :, 0, 1] = 0.5
    points[1, 0, 0, 1] = points[1, 2, 1, 1] = 0.5
    points[2, 0, 0, 0] = points[2, 1, 0, 1] = points[2, 2, 1, 0] = 1.0
    by_pixel = Ball(center, 2, 0, group="pixel")
    by_feature = Ball(center, 2, 0)
    assert by_pixel.distance(points).tolist() == [1, 2, 3]
    assert by_feature.distance(points).tolist() == [3, 2, 3]
    assert by_pixel.contains(points).tolist() == [True, True, False]
    assert by_feature.contains(points).tolist() == [False, True, False]


def test_steps_are_met_within_their_stated_tolerance_only() -> None:
    ball = Ball([100 / 255, 7.0], 5.0, np.inf, granularity=[1 / 255, 1.0])
    step = 1 / 255
    exact = 100 / 255 + 3 * step
    points = np.array(
        [
            [exact, 8.0],
            [exact + 0.9e-9 * step, 8.0],
            [np.float64(np.float32(exact)), 8.0],
            [exact + 1e-3 * step, 8.0],
            [exact, 8.001],
            [exact, 8.5],
        ]
    )
    assert ball.contains(points).tolist() == [True, True, True, False, False, False]


def test_one_hot_blocks_hold_exactly_one_one_and_count_once_in_l0() -> None:
    center = np.array([1.0, 0.0, 0.0, 0.3])
    ball = Ball(center, 1, 0, Box.filled((4,), 0, 1), one_hot=[(0, 1, 2)])
    points = np.array([[0, 1, 0, 0.3], [1, 1, 0, 0.3], [0, 0, 0, 0.3], [0.5, 0.5, 0, 0.3], [0, 1, 0, 0.4], [1, 0, 0, 0.4]], dtype=float)
    assert ball.contains(points).tolist() == [True, False, False, False, False, True]
    assert ball.distance(points[[0, 4]]).tolist() == [1, 2]


@settings(max_examples=100, deadline=None)
@given(p=st.sampled_from([1, 2, np.inf]), offsets=st.lists(numbers, min_size=3, max_size=3), scale=st.sampled_from([1.0, 0.7]))
def test_distance_is_rounded_from_the_exact_one(p: float, offsets: list[float], scale: float) -> None:
    ball = Ball(CENTER, 1, p, scale=np.full(3, scale))
    point = CENTER + np.array(offsets)
    exact = exact_distance(ball, point)
    found = Fraction(float(ball.distance(point[None])[0]))
    if p == 2:
        assert abs(found * found - exact) <= exact * Fraction(4, 2**53)
    else:
        assert abs(found - exact) <= exact * Fraction(2, 2**53)


@settings(max_examples=150, deadline=None)
@given(p=st.sampled_from([1, 2, np.inf]), center=numbers, radius=st.floats(1e-9, 4), scale=st.floats(0.01, 30))
def test_the_bounding_box_holds_every_real_point_and_is_tight(p: float, center: float, radius: float, scale: float) -> None:
    ball = Ball([center], radius, p, scale=[scale])
    low, high = ball.bounds()
    reach = Fraction(ball.radius) * Fraction(scale)
    exact_low, exact_high = Fraction(center) - reach, Fraction(center) + reach
    assert Fraction(float(low[0])) <= exact_low
    assert Fraction(float(high[0])) >= exact_high
    slack = Fraction(1, 2**50) * (abs(Fraction(center)) + reach)
    assert exact_low - Fraction(float(low[0])) <= slack
    assert Fraction(float(high[0])) - exact_high <= slack


def test_the_bounding_box_respects_domain_mask_and_l0() -> None:
    box = Ball(CENTER, 0.25, 2, UNIT, mask=[True, False, True]).bounding_box()
    assert box.lower.tolist() == [0.25, 0.0, 0.75]
    assert box.upper.tolist() == [0.75, 0.0, 1.0]
    box = Ball(CENTER, 1, 0, UNIT, mask=[True, True, False]).bounding_box()
    assert box.lower.tolist() == [0.0, 0.0, 1.0]
    assert box.upper.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_points_rounded_to_float32_stay_inside(p: float) -> None:
    rng = np.random.default_rng(5)
    center = rng.random(40).astype(np.float32).astype(np.float64)
    ball = Ball(center, 0.1, p, Box.filled((40,), 0, 1))
    points = ball.project(center + rng.normal(size=(200, 40)))
    narrow = ball.rounded(points, "float32")
    assert narrow.dtype == np.float32
    assert ball.contains(narrow).all()
    assert np.abs(narrow - points).max() <= 2.0**-23
    assert not ball.contains(points.astype(np.float32)).all(), "rounding to nearest would have left the ball"


def test_domain_scale_is_the_width_of_each_range() -> None:
    assert domain_scale(Box(np.array([0.0, -2.0, 5.0]), np.array([0.5, 2.0, 5.0]))).tolist() == [0.5, 4.0, 1.0]
    with pytest.raises(RegionError, match="bounded"):
        domain_scale(Box.unbounded((2,)))
