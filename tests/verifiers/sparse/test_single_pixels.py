"""Proofs for one change against networks of which every subset and every linear piece is enumerated, and against fine grids."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.sparse.pixel_splitting import PixelSplitting
from netassay.verifiers.sparse.single_pixels import SinglePixels
from random_graphs import dyadic
from sparse_enumeration import SIZE, exact_least, image_strip, problem


def pooled(seed: int) -> Graph:
    """The same with a maximum of every two neighbours."""
    rng = np.random.default_rng([seed, 37])
    builder = GraphBuilder((1, 1, SIZE))
    value = builder.add(op.Convolution(dyadic(rng, 2, 1, 1, 2), dyadic(rng, 2), (1, 1), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(nl.MaxPool((1, 2), (1, 2), (0, 0), (0, 0), (1, 1)), builder.add(nl.Relu(), value))
    value = builder.add(op.Reshape((6,)), value)
    return builder.build(builder.add(op.Dense(dyadic(rng, 3, 6), dyadic(rng, 3)), value))


def task(asked: Problem, seconds: float = 20.0) -> Task:
    return Task(claim_of(asked), Regions.of([asked.region]), Limits(Clock(seconds)))


def findings(asked: Problem) -> list[Finding]:
    found = list(SinglePixels(task(asked)).run())
    lowers = [f.lower for f in found]
    assert lowers == sorted(lowers)
    return found


def test_decides_as_the_enumeration_does() -> None:
    decided = {True: 0, False: 0}
    for seed in range(12):
        asked = problem(image_strip(seed), seed, 1)
        exact = exact_least(asked.network.graph, asked.center, 1, asked.property.label, -1.0, 1.0)  # type: ignore[arg-type, attr-defined]
        final = findings(asked)[-1]
        assert exact >= final.lower
        assert final.proved is (exact > 0)
        if exact < 0:
            assert final.point is not None
            assert asked.region.contains(final.point[None])[0]
            assert final.least <= 0
        decided[exact > 0] += 1
    assert min(decided.values()) >= 2, decided


def test_bounds_through_max_pooling_are_below_every_grid_point() -> None:
    """Weights and points are dyadic, so that the points are evaluated exactly."""
    proved = 0
    for seed in range(12):
        asked = problem(pooled(seed), seed, 1)
        claim = claim_of(asked)
        rows = np.concatenate([part.rows for part in claim.parts])
        points = np.repeat(asked.center.reshape(1, -1), SIZE * 129, axis=0)
        points[np.arange(len(points)), np.repeat(np.arange(SIZE), 129)] = np.tile(np.arange(-64, 65) / 64, SIZE)
        least = (Evaluator(BoundedGraph(claim.graph)).outputs(points.reshape(-1, 1, 1, SIZE)) @ rows.T).min()
        final = findings(asked)[-1]
        assert final.lower <= least
        assert final.proved or least <= 1 / 16  # steps of 1/64 miss little
        assert not (final.proved and least <= 0)
        proved += final.proved
    assert 2 <= proved <= 10


def test_pixel_splitting_follows_one_change_through_max_pooling() -> None:
    asked = next(a for a in (problem(pooled(seed), seed, 1) for seed in range(12)) if findings(a)[-1].proved)
    (*_, final) = PixelSplitting().verify(task(asked))
    assert final.proved


def test_an_end_of_time_keeps_what_holds() -> None:
    asked = problem(image_strip(1), 1, 1)
    (*_, final) = SinglePixels(task(asked, seconds=0.0)).run()
    assert (final.proved, final.reason) == (False, "time-out")


def test_refuses_more_changes() -> None:
    asked = problem(image_strip(0), 0, 1)
    more = Problem(asked.network, Ball(asked.center, 2, "l0", domain=asked.network.domain), asked.property)
    with pytest.raises(CapabilityError, match="one change"):
        SinglePixels(task(more))
