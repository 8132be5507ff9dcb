"""Lagrangian decomposition: never above exact values, as tight as the exact least value on small networks, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers import decomposition, decomposition_cells
from netassay.verifiers.base import Task
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.claim import claim_of
from netassay.verifiers.decomposition import Decomposition
from netassay.verifiers.decomposition_cells import Cells
from netassay.verifiers.decomposition_sums import Sums, sums_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from random_graphs import GraphOnly, dyadic


def windows(seed: int, *, skip: bool = False, layers: int = 1, side: int = 3) -> Graph:
    """Images (1, side, side) through 2x2 windows of 3 ReLUs each, and a dense layer of one output."""
    rng = np.random.default_rng([seed, 5])
    builder = GraphBuilder((1, side, side))
    value, channels = 0, 1
    for _ in range(layers):
        kernel = op.Convolution(dyadic(rng, 3, channels, 2, 2), dyadic(rng, 3), (1, 1), (0, 0), (0, 0), (1, 1), 1)
        value, channels = builder.add(nl.Relu(), builder.add(kernel, value)), 3
    flat = builder.add(op.Reshape((int(np.prod(builder.shape(value))),)), value)
    if skip:
        flat = builder.add(op.Concat(0), flat, builder.add(op.Reshape((side * side,)), 0))
    return builder.build(builder.add(op.Dense(dyadic(rng, 1, builder.shape(flat)[0]), dyadic(rng, 1)), flat))


def task_of(graph: Graph, region: Box | Ball) -> Task:
    """The claim that the one output is positive."""
    asked = Problem(GraphOnly(graph), region, OutputHalfspaces([np.ones((1, 1))], [np.zeros(1)]))
    return Task(claim_of(asked), Regions.of([region]))


def bound_of(task: Task, method: Decomposition | None = None) -> float:
    return max(f.lower for f in (method or Decomposition()).verify(task))


def values_at(graph: Graph, points: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()[:, 0]


def grid(box: Box) -> np.ndarray:
    """Every point whose features are at an end or in the middle of the box; all are dyadic, so that their values are exact."""
    flat = [np.array([low, (low + high) / 2, high]) for low, high in zip(box.lower.reshape(-1), box.upper.reshape(-1), strict=True)]
    return np.array(list(product(*flat))).reshape(-1, *box.shape)


@pytest.mark.parametrize("skip", [False, True])
def test_no_value_lies_below_the_bound(skip: bool) -> None:
    rng = np.random.default_rng(0)
    for seed in range(12):
        graph = windows(seed, skip=skip)
        center = dyadic(rng, 1, 3, 3)
        box = Box(center - 0.5, center + 0.5 * rng.integers(0, 2, (1, 3, 3)))
        least = float(values_at(graph, grid(box)).min())
        for parts in ((1,), (2,), (4,)):
            assert bound_of(task_of(graph, box), Decomposition(parts=parts)) <= least
        ball = Ball(center, 0.75, "l2", domain=box)
        inside = grid(box)[ball.contains(grid(box))]
        assert bound_of(task_of(graph, ball)) <= values_at(graph, inside).min()


def test_it_is_never_looser_than_linear_bounds_and_mostly_tighter() -> None:
    gains = []
    for seed in range(20):
        task = task_of(windows(seed), Box.filled((1, 3, 3), -1, 1))
        crown, found = float(linear_bounds(task.claim, task.region).min()), bound_of(task)
        assert task.claim.holds(crown) <= task.claim.holds(found)
        gains.append(found - crown)
    assert min(gains) > -1e-9
    assert np.mean(np.array(gains) > 0.05) > 0.7


def test_a_single_window_is_bounded_as_exactly_as_its_cells_are_small() -> None:
    """One group: nothing to disagree about. The excess shrinks with the cells."""
    for seed in range(6):
        graph = windows(seed, side=2)
        box = Box.filled((1, 2, 2), -1, 1)
        points = np.linspace(-1, 1, 17)
        fine = np.stack(np.meshgrid(*[points] * 4, indexing="ij"), axis=-1).reshape(-1, 1, 2, 2)
        least = float(values_at(graph, fine).min())
        offset = Problem(GraphOnly(graph), box, OutputHalfspaces([np.ones((1, 1))], [np.full(1, least)]))
        task = Task(claim_of(offset), Regions.of([box]))
        excess = [-bound_of(task, Decomposition(parts=(parts,))) for parts in (1, 8)]
        assert 0 <= excess[1] < 0.45 * excess[0] + 0.01


def test_forms_of_cells_lie_below_their_sums_exactly() -> None:
    """Rational arithmetic at the corners of every cell, where a line below a convex function and a chord are both at their worst."""
    sums = _sums(3)
    for parts in (1, 2, 3):
        cells = Cells.of(sums, sums.weights[0], parts)
        multipliers = dyadic(np.random.default_rng(1), *sums.reads.shape)
        proved = cells.proved(multipliers)
        for g in range(len(sums.reads)):
            for point in product(*[(-1.0, -0.25, 0.0, 0.5, 1.0)] * sums.reads.shape[1]):
                assert _exact(sums, g, point, multipliers[g]) >= Fraction(float(proved[g]))


def _sums(seed: int) -> Sums:
    task = task_of(windows(seed), Box.filled((1, 3, 3), -1, 1))
    return sums_of(task.claim, task.region)


def _exact(sums: Sums, g: int, point: tuple[float, ...], multipliers: np.ndarray) -> Fraction:
    total = -sum(Fraction(float(m)) * Fraction(x) for m, x in zip(multipliers, point, strict=True))
    for a, b, w in zip(sums.coefficients[g], sums.offsets[g], sums.weights[0, g], strict=True):
        z = Fraction(float(b)) + sum(Fraction(float(c)) * Fraction(x) for c, x in zip(a, point, strict=True))
        total += Fraction(float(w)) * max(z, Fraction(0))
    return Fraction(total)


def test_cells_cover_what_they_cut() -> None:
    sums = _sums(1)
    for parts in (1, 2, 3):
        low, high = decomposition_cells._cut(sums, sums.weights[0], parts)
        ends = sums.low[sums.reads], sums.high[sums.reads]
        assert np.array_equal(low.min(axis=1), ends[0])
        assert np.array_equal(high.max(axis=1), ends[1])
        volume = (high - low).prod(axis=2).sum(axis=1)
        np.testing.assert_allclose(volume, (ends[1] - ends[0]).prod(axis=1))


def lost_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chords above the ReLU are forgotten to be lifted."""
    own = decomposition_cells._lines
    monkeypatch.setattr(decomposition_cells, "_lines", lambda *args: (own(*args)[0], np.zeros_like(own(*args)[1])))


def lost_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the cells of every group are left out."""
    own = decomposition_cells._cut
    monkeypatch.setattr(decomposition_cells, "_cut", lambda *args: tuple(side[:, : (side.shape[1] + 1) // 2] for side in own(*args)))


def free_multipliers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multipliers are taken from the groups and never paid for."""
    monkeypatch.setattr(Sums, "gathered", lambda self, row, multipliers: np.append(self.linear[row], 0.0))


@pytest.mark.parametrize("plant", [lost_offset, lost_cells, free_multipliers])
def test_planted_bugs_show(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        test_no_value_lies_below_the_bound(False)


def test_what_it_refuses() -> None:
    box = Box.filled((1, 3, 3), -1, 1)
    with pytest.raises(CapabilityError, match="one layer"):
        bound_of(task_of(windows(0, layers=2), box))
    with pytest.raises(CapabilityError, match="bounded"):
        bound_of(task_of(windows(0), Box.unbounded((1, 3, 3))))
    builder = GraphBuilder((40,))
    wide = builder.build(builder.add(op.Dense(np.ones((1, 2)), np.zeros(1)), builder.add(nl.Relu(), builder.add(_dense(), 0))))
    with pytest.raises(CapabilityError, match="at most 32"):
        bound_of(task_of(wide, Box.filled((40,), -1, 1)))
    builder = GraphBuilder((2,))
    smooth = builder.build(builder.add(op.Dense(np.ones((1, 2)), np.zeros(1)), builder.add(nl.Tanh(), 0)))
    with pytest.raises(CapabilityError, match="ReLU"):
        bound_of(task_of(smooth, Box.filled((2,), -1, 1)))


def _dense() -> op.Dense:
    return op.Dense(np.ones((2, 40)), np.zeros(2))


def test_not_a_number_proves_nothing() -> None:
    sums = _sums(2)
    sums.offsets[0, 0] = np.nan
    region = Regions.of([Box.filled((1, 3, 3), -1, 1)])
    assert decomposition._bound(sums, 0, 2, 5, region, lambda: False) == -np.inf


def test_networks_without_a_bend_are_linear_forms() -> None:
    task = task_of(windows(0), Box.filled((1, 3, 3), 0.5, 0.5))
    assert bound_of(task) == pytest.approx(float(values_at(windows(0), np.full((1, 1, 3, 3), 0.5))[0]), abs=1e-9)


def test_auto_uses_it_where_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that linear bounds leave open: decided before any branch and bound."""
    from netassay.verifiers import portfolio

    monkeypatch.setattr(portfolio, "FEW_INPUTS", 0)
    for seed in range(20):
        graph, box = windows(seed), Box.filled((1, 3, 3), -1, 1)
        probe = task_of(graph, box)
        crown, found = float(linear_bounds(probe.claim, probe.region).min()), bound_of(probe, Decomposition(steps=200))
        if found - crown > 0.2:
            break
    between = OutputHalfspaces([np.ones((1, 1))], [np.full(1, crown + 0.5 * (found - crown))])
    task = Task(claim_of(Problem(GraphOnly(graph), box, between)), Regions.of([box]))
    *_, last = VERIFIERS["auto"].build().verify(task)
    assert (last.proved, last.source) == (True, "decomposition")


def test_the_average_pooling_network_of_verivital() -> None:
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        pytest.skip("needs NETASSAY_BENCHMARKS")
    from netassay.cli.specifications import problems_of
    from netassay.models.load import load_network
    from netassay.specs.vnnlib import read_vnnlib

    place = Path(folder) / "vnncomp2021" / "verivital"
    network = load_network(place / "onnx" / "Convnet_avgpool.onnx", outputs="values")
    (problem,) = problems_of(network, read_vnnlib(place / "vnnlib" / "prop_7_0.04.vnnlib.gz"), "prop_7_0.04.vnnlib.gz")
    task = Task(claim_of(problem), Regions.of([problem.region]))
    assert any(f.proved for f in Decomposition().verify(task))
