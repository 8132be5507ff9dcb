"""Networks of two inputs, one hidden ReLU layer and three outputs: least values and steepest slopes, in rational arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product

import numpy as np

from exact_radii import Line, Planar, Point, crossings, fractions, size
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.robustness import Robustness
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from random_graphs import GraphOnly

ONE, ZERO = Fraction(1), Fraction(0)


def planar(seed: int) -> tuple[Planar, Graph]:
    """A random network with small dyadic weights, in both forms."""
    rng = np.random.default_rng(seed)
    weights = [(rng.integers(-8, 9, (3, 2)) / 4, rng.integers(-4, 5, 3) / 4), (rng.integers(-8, 9, (3, 3)) / 4, rng.integers(-4, 5, 3) / 4)]
    builder = GraphBuilder((2,))
    hidden = builder.add(nl.Relu(), builder.add(op.Dense(*weights[0]), 0))
    return Planar(weights), builder.build(builder.add(op.Dense(*weights[1]), hidden))


def ties(network: Planar) -> Iterator[Line]:
    """Where two outputs tie, under any pattern of active units."""
    for pattern in product((0, 1), repeat=len(network.hidden)):
        for one, other in combinations(range(len(network.out)), 2):
            gaps = [(k - j) * on for k, j, on in zip(network.out[one], network.out[other], pattern, strict=True)]
            a, b = (sum((g * w[i] for g, w in zip(gaps, network.hidden, strict=True)), ZERO) for i in (0, 1))
            constant = sum((g * c for g, c in zip(gaps, network.bias, strict=True)), network.out_bias[one] - network.out_bias[other])
            yield a, b, constant


def least_margin(network: Planar, label: int, low: Point, high: Point) -> Fraction:
    """The least margin of ``label`` over all other outputs in a box: s is affine between the lines, so least at a corner."""
    walls = [(ONE, ZERO, -v) for v in (low[0], high[0])] + [(ZERO, ONE, -v) for v in (low[1], high[1])]
    found = crossings([*network.lines(label), *walls])
    inside = [p for p in found if all(a <= v <= b for a, v, b in zip(low, p, high, strict=True))]
    return min(min(network.margins(p, label)) for p in inside)


def steepest(network: Planar, norm: str, center: Point, radius: Fraction, label: int) -> tuple[Fraction, Fraction]:
    """The largest falling and rising slope of the least margin from the centre of an L-infinity or L1 ball.

    Between the lines where something switches, ties or where the norm bends, s is affine and the distance linear: their ratio is
    largest at a corner.
    """
    x, y = center
    bends = [(ONE, ZERO, -x), (ZERO, ONE, -y), (ONE, -ONE, y - x), (ONE, ONE, -x - y)]
    if norm == "linf":
        walls = [(ONE, ZERO, -x - s * radius) for s in (1, -1)] + [(ZERO, ONE, -y - s * radius) for s in (1, -1)]
    else:
        walls = [(ONE, s * ONE, -x - s * y - t * radius) for s in (1, -1) for t in (1, -1)]
    start = min(network.margins(center, label))
    slopes = []
    for p in crossings([*network.lines(label), *ties(network), *bends, *walls]):
        distance = size(norm, [p[0] - x, p[1] - y])
        if 0 < distance <= radius:
            slopes.append((min(network.margins(p, label)) - start) / distance)
    return max(ZERO, -min(slopes)), max(ZERO, max(slopes))


def task(problem: Problem, limits: Limits | None = None) -> Task:
    """A verifier's task."""
    return Task(claim_of(problem, exact=True), Regions.of([problem.region]), limits or Limits())


def planar_problem(seed: int) -> tuple[Problem, Fraction]:
    """A planar network over a small box, and its exact least margin."""
    network, graph = planar(seed)
    rng = np.random.default_rng([seed, 5])
    center, label = rng.integers(-4, 5, 2) / 4, int(rng.integers(3))
    box = Box(center - 0.5, center + 0.75)
    exact = least_margin(network, label, fractions(box.lower), fractions(box.upper))
    return Problem(GraphOnly(graph), box, Robustness(label, on=Scale.LOGITS)), exact
