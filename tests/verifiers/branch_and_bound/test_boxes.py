"""Shrinking and splitting boxes loses no point that matters."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from netassay.verifiers.branch_and_bound.boxes import Boxes, Waiting, clipped, halves, shrunk, splittable
from netassay.verifiers.region import Regions


def drawn(seed: int, forms: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middle, radius = rng.standard_normal((6, 3)), rng.random((6, 3)) * 10.0 ** rng.integers(-6, 1, (6, 3))
    slopes = rng.standard_normal((6, forms, 3)) * (rng.random((6, forms, 3)) < 0.8)
    through = np.matmul(slopes, (middle + radius * rng.uniform(-1, 1, (6, 3)))[:, :, None])
    return middle - radius, middle + radius, np.concatenate([slopes, -through], axis=2)


def exactly(form: np.ndarray, x: np.ndarray) -> Fraction:
    return sum((Fraction(float(c)) * Fraction(float(v)) for c, v in zip(form[:-1], x, strict=True)), Fraction(float(form[-1])))


def points(lower: np.ndarray, upper: np.ndarray, forms: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Points of a box, among them some that lie almost on a form's zero set."""
    found = [np.clip(lower + rng.random(3) * (upper - lower), lower, upper) for _ in range(40)]
    found += [np.where(rng.random(3) < 0.5, lower, upper) for _ in range(8)]
    for form in forms:
        for x in found[:10]:
            axis = int(np.argmax(np.abs(form[:-1])))
            moved = x.copy()
            if form[axis]:
                moved[axis] -= float(exactly(form, x)) / form[axis]
                found.append(np.clip(moved, lower, upper))
    return found


def test_points_where_no_form_is_positive_stay() -> None:
    kept = 0
    for seed in range(12):
        lower, upper, forms = drawn(seed)
        low, high, empty = shrunk(lower, upper, forms)
        flat = Regions(lower, upper)
        regions, nothing = clipped(flat, forms[:, :, :-1].reshape(-1, 3), forms[:, :, -1].reshape(-1), np.repeat(np.arange(6), 3))
        rng = np.random.default_rng([seed, 1])
        for b in range(6):
            for x in points(lower[b], upper[b], forms[b], rng):
                if all(exactly(form, x) <= 0 for form in forms[b]):
                    kept += 1
                    assert not empty[b]
                    assert (low[b] <= x).all()
                    assert (x <= high[b]).all()
                    assert not nothing[b]
                    assert (regions.lower[b] <= x).all()
                    assert (x <= regions.upper[b]).all()
    assert kept > 100


def test_shrinking_shrinks() -> None:
    forms = np.array([[[1.0, 1.0, -1.0]], [[1.0, 0.0, 3.0]], [[0.0, 0.0, 1.0]]])
    low, high, empty = shrunk(np.zeros((3, 2)), np.full((3, 2), 2.0), forms)
    assert empty.tolist() == [False, True, True]
    assert np.allclose(high[0], 1.0)
    assert np.allclose(low[0], 0.0)


def test_forms_that_say_nothing_change_nothing() -> None:
    forms = np.array([[[np.nan, 1.0, 0.0], [1.0, 0.0, -np.inf], [np.inf, 0.0, -1.0], [0.0, 0.0, -1.0]]])
    low, high, empty = shrunk(np.zeros((1, 2)), np.ones((1, 2)), forms)
    assert not empty[0]
    assert (low == 0).all()
    assert (high == 1).all()


def some(count: int, seed: int = 0) -> Boxes:
    rng = np.random.default_rng(seed)
    lower = rng.standard_normal((count, 2))
    regions = Regions(lower, lower + rng.random((count, 2)))
    ranges = ((rng.standard_normal((count, 3)), rng.standard_normal((count, 3))),)
    return Boxes(regions, np.zeros(count, dtype=np.intp), rng.standard_normal(count), np.zeros(count, dtype=np.intp), ranges)


def test_halves_cover_the_box_and_keep_its_ranges() -> None:
    boxes = some(5)
    both = halves(boxes, np.array([0, 1, 0, 1, 1]))
    assert len(both) == 10
    assert both.ranges is not None
    rng = np.random.default_rng(1)
    for b in range(5):
        for _ in range(50):
            x = boxes.regions.lower[b] + rng.random(2) * (boxes.regions.upper[b] - boxes.regions.lower[b])
            inside = [bool((both.regions.lower[i] <= x).all() and (x <= both.regions.upper[i]).all()) for i in (b, b + 5)]
            assert any(inside)
        assert (both.ranges[0][0][b] == both.ranges[0][0][b + 5]).all()


def test_waiting_boxes_are_neither_lost_nor_doubled() -> None:
    for newest in (True, False):
        waiting = Waiting(some(7, 1), newest=newest)
        waiting.put(some(5, 2))
        assert waiting.bytes > 0
        seen: list[float] = []
        while len(waiting):
            assert waiting.lower <= min((waiting._blocks[i].lower.min() for i in range(len(waiting._blocks))), default=np.inf)
            before = len(waiting)
            taken = waiting.take(4)
            assert 1 <= len(taken) <= 4
            assert len(waiting) == before - len(taken)
            seen += taken.lower.tolist()
        assert sorted(seen) == sorted([*some(7, 1).lower, *some(5, 2).lower])
        assert waiting.lower == np.inf


def test_the_least_bound_comes_first_where_that_is_asked() -> None:
    waiting = Waiting(some(7, 1), newest=False)
    waiting.put(some(5, 2))
    least = waiting.lower
    assert waiting.take(1).lower[0] == least


def test_a_box_of_neighbouring_floats_cannot_be_split() -> None:
    one = np.array([[1.0, 1.0]])
    assert not splittable(Regions(one, np.nextafter(one, 2)))[0]
    assert splittable(Regions(one, one + np.array([0.0, 1.0])))[0]
