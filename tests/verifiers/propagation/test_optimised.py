"""Optimised bounds against plain ones and against exact minima."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from exact_polygons import affine_pieces, box, claim_about, least, tiny
from netassay.models.nonlinear import Elementwise
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.regions import Ball
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.propagation.fixed import FixedBounds
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.propagation.optimised import AlphaCrown, Ascent, optimised_bounds
from netassay.verifiers.propagation.root import Root
from netassay.verifiers.region import Regions
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph


@pytest.mark.parametrize("seed", range(10))
def test_optimised_bounds_lie_between_plain_bounds_and_the_minimum(seed: int) -> None:
    graph = tiny(seed, (2, 5, 5, 2))
    claim, region = claim_about(graph, np.eye(2), np.zeros(2)), box(graph)
    plain, found = linear_bounds(claim, region)[:, 0], optimised_bounds(claim, region)[:, 0]
    pieces = affine_pieces(graph, region.lower[0], region.upper[0])
    for k, row in enumerate(np.eye(2)):
        assert Fraction(found[k]) <= least(pieces, -1, row)
        assert found[k] >= plain[k] - 1e-12 * abs(plain[k])


def test_optimising_helps() -> None:
    gains = []
    for seed in range(10):
        claim = claim_about(tiny(seed, (2, 5, 5, 2)), np.eye(2), np.zeros(2))
        region = box(claim.graph)
        gains.append((optimised_bounds(claim, region) - linear_bounds(claim, region)).max())
    assert np.mean(gains) > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_optimised_ranges_keep_every_value_and_are_narrower(seed: int) -> None:
    graph = tiny(seed, (2, 5, 5, 4, 2))
    root = Root.of(claim_about(graph, np.eye(2), np.zeros(2)), box(graph))
    before = list(root.ranges)
    root.tighten(Ascent(20), Limits())
    pieces = affine_pieces(graph, root.region.lower[0], root.region.upper[0])
    for value, (old, new) in enumerate(zip(before, root.ranges, strict=True)):
        if old is None or new is None:
            continue
        assert (new[0] >= old[0]).all()
        assert (new[1] <= old[1]).all()
        for k, unit in enumerate(np.eye(new[0].size)):
            assert Fraction(new[0][0, k]) <= least(pieces, value, unit)
            assert Fraction(new[1][0, k]) >= -least(pieces, value, -unit)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_no_point_lies_below(kind: str, norm: str) -> None:
    rounding = 0.0 if kind in EXACT_KINDS else 1e-12
    for seed in range(2):
        graph = random_graph(kind, seed)
        rng = np.random.default_rng(seed)
        center = rng.integers(-2, 3, graph.input_shape) / 4
        ball = Ball(center, 2 if norm == "l0" else 0.5, norm, domain=Box.filled(graph.input_shape, -1, 1))
        points = np.round(ball.sample(300, rng) * 64) / 64
        points = np.concatenate([center[None], points[ball.contains(points)]])
        with torch.no_grad():
            outputs = GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()
        claim = Claim(graph, tuple(Part(r[None], np.zeros(1)) for r in np.eye(graph.output_size)), strict=True)
        found = optimised_bounds(claim, Regions.of([ball]), steps=5, tighten=3)[:, 0]
        assert (found <= outputs.min(axis=0) + rounding).all(), (kind, norm, seed)
        assert np.isfinite(found).all()


def test_findings_improve_and_end_with_a_reason() -> None:
    graph = tiny(4)
    findings = list(AlphaCrown().verify(Task(claim_about(graph, np.eye(2), np.full(2, -1e3)), box(graph))))
    lowers = [f.lower for f in findings]
    assert lowers == sorted(lowers)
    assert findings[-1].reason == "incomplete"
    (only,) = AlphaCrown().verify(Task(claim_about(graph, np.eye(2), np.full(2, 1e3)), box(graph)))
    assert only.proved


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_fixed_bounds_agree_with_linear_bounds(kind: str) -> None:
    """The same lines, the same ranges: what is left is rounding."""
    for seed in range(3):
        graph = random_graph(kind, seed)
        region = box(graph, 0.5)
        root = Root.of(Claim(graph, (Part(np.eye(graph.output_size), np.zeros(graph.output_size)),), strict=True), region)
        bounds = LinearBounds(root.bounded, region, ranges=list(root.ranges), tighten=frozenset())
        rows = np.eye(graph.output_size)
        expected = bounds.minimum(root.bounded.output, rows, np.zeros(len(rows), dtype=np.intp)).lower
        lines = {
            p: bounds.lines_of(root.bounded.output, p)
            for p, n in enumerate(root.bounded.graph.nodes)
            if root.bounded.maps[p] is None and isinstance(n.operator, Elementwise)
        }
        found = FixedBounds(root.bounded, region, root.ranges, root.bounded.output).minimum(rows, lines, {})
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)
