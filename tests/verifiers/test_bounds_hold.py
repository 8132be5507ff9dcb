"""Bounds of every method against points of the region: none lies below, with zero tolerance where evaluation is exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, GraphOnly, random_graph

SINGLE_PASS = ("interval", "crown", "symbolic", "zonotope")
REGIONS = ("box", "linf", "l2", "l1", "l0")


def region(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Box | Ball:
    center = rng.integers(-4, 5, shape) / 4
    if kind == "box":
        return Box(center - rng.integers(0, 5, shape) / 8, center + rng.integers(0, 5, shape) / 8)
    domain = Box.filled(shape, -1.25, 1.25)
    return Ball(center, 2 if kind == "l0" else float(rng.choice([0.125, 0.5, 1.0])), kind, domain=domain)


def points_of(where: Box | Ball, rng: np.random.Generator, count: int = 400) -> np.ndarray:
    """Dyadic points of the region (multiples of 1/64), its corners and its centre among them."""
    box = where if isinstance(where, Box) else where.bounding_box()
    drawn = box.lower + (box.upper - box.lower) * rng.random((count, *box.shape))
    corners = np.where(rng.random(drawn.shape) < 0.5, box.lower, box.upper)
    chosen = np.where(rng.random((count, *(1,) * len(box.shape))) < 0.5, drawn, corners)
    if isinstance(where, Ball):
        chosen = np.concatenate([where.project(chosen), where.sample(count, rng)])
    chosen = np.concatenate([np.round(chosen * 64) / 64, np.asarray(where.center)[None]])
    return chosen[where.contains(chosen)]


def problem(kind: str, where: str, seed: int) -> Problem:
    rng = np.random.default_rng([seed, 7])
    graph = random_graph(kind, seed)
    matrices = [rng.integers(-2, 3, (rows, graph.output_size)) / 1.0 for rows in (1, 2)]
    asked = OutputHalfspaces(matrices, [np.zeros(1), np.full(2, 0.5)])
    return Problem(GraphOnly(graph), region(where, graph.input_shape, rng), asked)


def least_of(asked: Problem, seed: int) -> float:
    graph = asked.network.graph
    assert graph is not None
    points = points_of(asked.region, np.random.default_rng([seed, 9]))
    assert len(points)
    with torch.no_grad():
        outputs = GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()
    return float(asked.property.values(outputs).min())


@pytest.mark.parametrize("where", REGIONS)
@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_no_point_lies_below_a_bound(kind: str, where: str) -> None:
    for seed in range(6):
        asked = problem(kind, where, seed)
        least = least_of(asked, seed)
        rounding = 0.0 if kind in EXACT_KINDS else 1e-12
        claim = claim_of(asked)
        for name in SINGLE_PASS:
            for finding in VERIFIERS[name].build().verify(Task(claim, Regions.of([asked.region]))):
                assert finding.lower <= least + rounding, (name, seed)
                assert np.isfinite(finding.lower), (name, seed)
                assert not finding.proved or asked.property.is_violated(least - rounding) is False


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_a_single_point_is_bounded_by_its_own_value(kind: str) -> None:
    """A region without extent: what is left between bound and value is rounding."""
    for seed in range(4):
        asked = problem(kind, "box", seed)
        center = np.asarray(asked.region.center)
        at_center = Problem(asked.network, Box(center, center), asked.property)
        value = least_of(at_center, seed)
        for name in SINGLE_PASS:
            (finding,) = VERIFIERS[name].build().verify(Task(claim_of(at_center), Regions.of([at_center.region])))
            assert finding.lower == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_batches_agree_with_single_regions(kind: str) -> None:
    from netassay.verifiers.bounding import interval_bounds, linear_bounds

    asked = [problem(kind, "l2", seed) for seed in range(3)]
    claim = claim_of(asked[0])
    regions = [p.region for p in asked]
    for bounds in (interval_bounds, linear_bounds):
        together = bounds(claim, Regions.of(regions))
        alone = np.concatenate([bounds(claim, Regions.of([r])) for r in regions], axis=1)
        np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)


def test_not_a_number_proves_nothing() -> None:
    asked = problem("dense", "box", 0)
    claim = claim_of(asked)
    assert not claim.holds(float("nan"))
    unbounded = Problem(asked.network, Box.unbounded(asked.network.input_shape), asked.property)
    for name in SINGLE_PASS:
        (finding,) = VERIFIERS[name].build().verify(Task(claim, Regions.of([unbounded.region])))
        assert not finding.proved
        assert finding.lower == -np.inf
