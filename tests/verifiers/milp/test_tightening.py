"""Ranges narrowed by linear programs: points stay inside with no tolerance, and some ranges do get narrower."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.numerics.box import Box
from netassay.verifiers.base import Limits
from netassay.verifiers.milp import tightening
from netassay.verifiers.milp.tightening import Ranges
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from random_graphs import random_graph

KINDS = ("dense", "residual", "convolution")


def values_at(bounded: BoundedGraph, points: np.ndarray) -> list[np.ndarray]:
    """Every value of a graph of affine maps and ReLUs; exact at dyadic points."""
    values = [points]
    for node, affine in zip(bounded.graph.nodes, bounded.maps, strict=True):
        given = [values[i] for i in node.inputs]
        values.append(affine(given) if affine is not None else np.maximum(given[0], 0))
    return values


def outside(kind: str, seed: int, *, split: bool = False) -> tuple[int, float]:
    """How many values of points lie outside the narrowed ranges, and how much narrower those are in all."""
    bounded = BoundedGraph(random_graph(kind, seed))
    rng = np.random.default_rng([seed, 5])
    center = rng.integers(-4, 5, bounded.graph.input_shape) / 4
    region = Regions.of([Box(center - 0.5, center + 0.5)])
    before = Ranges.of(bounded, region)
    after = Ranges(bounded, region, list(before.known), before.empty)
    if split:
        after.split(4, Limits(), 60)
    else:
        after.tighten(Limits(), 60)
    points = center + rng.integers(-4, 5, (500, *center.shape)) / 8
    wrong = 0
    for found, (low, high) in zip(values_at(bounded, points), after.known, strict=True):
        wrong += int(((found < low) | (found > high)).sum())
    gain = sum(float(((b[1] - b[0]) - (a[1] - a[0])).sum()) for b, a in zip(before.known, after.known, strict=True))
    for (low, high), (least, most) in zip(before.known, after.known, strict=True):
        assert (least >= low - 1e-9).all()
        assert (most <= high + 1e-9).all()
    return wrong + after.empty, gain


@pytest.mark.parametrize("kind", KINDS)
def test_points_stay_inside(kind: str) -> None:
    results = [outside(kind, seed) for seed in range(6)]
    assert all(wrong == 0 for wrong, _ in results)
    assert kind != "dense" or max(gain for _, gain in results) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_points_stay_inside_ranges_of_small_trees(kind: str) -> None:
    results = [outside(kind, seed, split=True) for seed in range(4)]
    assert all(wrong == 0 for wrong, _ in results)
    assert kind != "dense" or max(gain for _, gain in results) > 0.01


def test_programs_that_narrow_nothing_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def nothing(*args: object) -> float:
        asked.append(1)
        return -np.inf

    monkeypatch.setattr(tightening.DualBounds, "bound", nothing)
    counts = []
    for most in (1, 1000):
        monkeypatch.setattr(tightening, "FRUITLESS", most)
        asked.clear()
        assert all(outside("dense", seed)[0] == 0 for seed in range(6))
        counts.append(len(asked))
    assert 0 < counts[0] < counts[1]


def test_a_bound_that_is_too_good_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = tightening.DualBounds.bound
    monkeypatch.setattr(tightening.DualBounds, "bound", lambda *args: bound(*args) + 0.5)
    assert any(outside("dense", seed)[0] for seed in range(6))


def test_no_time_leaves_ranges_as_they_are() -> None:
    bounded = BoundedGraph(random_graph("dense", 1))
    region = Regions.of([Box.filled((3,), -1, 1)])
    ranges = Ranges.of(bounded, region)
    known = list(ranges.known)
    ranges.tighten(Limits(), 0.0)
    ranges.tighten(Limits(interrupted=lambda: True), 60)
    assert all(a is b for a, b in zip(known, ranges.known, strict=True))
