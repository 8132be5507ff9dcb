"""Small networks with max pooling for pairs of changed pixels: float64 evaluates them without rounding at the points of their grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.claim import claim_of
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from random_graphs import GraphOnly, dyadic

ROWS, COLUMNS = 5, 6
STEPS = 8
"""Of the grid of each feature's values, from -1 to 1."""


def pooled(seed: int, *, scale: float = 1.0) -> Graph:
    """A convolution, ReLU and pooling, another convolution and ReLU, two dense layers."""
    rng = np.random.default_rng([seed, 43])
    builder = GraphBuilder((1, ROWS, COLUMNS))
    pool = nl.MaxPool((2, 2), (2, 2) if seed % 2 else (1, 1), (0, 0), (0, 0), (1, 1))
    value = builder.add(op.Convolution(dyadic(rng, 2, 1, 2, 2), dyadic(rng, 2), (1, 1), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(pool, builder.add(nl.Relu(), value))
    value = builder.add(op.Convolution(dyadic(rng, 3, 2, 2, 2) * scale, dyadic(rng, 3), (1, 1), (1, 0), (0, 1), (1, 1)), value)
    value = builder.add(nl.Relu(), value)
    size = int(np.prod(builder.shape(value)))
    value = builder.add(nl.Relu(), builder.add(op.Dense(dyadic(rng, 4, size) / 4, dyadic(rng, 4)), builder.add(op.Reshape((size,)), value)))
    return builder.build(builder.add(op.Dense(dyadic(rng, 3, 4) / scale, dyadic(rng, 3)), value))


def asked(graph: Graph, seed: int, changes: int = 2) -> Problem:
    rng = np.random.default_rng([seed, 47])
    network = GraphOnly(graph, domain=Box.filled(graph.input_shape, -1.0, 1.0))
    centers = rng.integers(-4, 5, (40, *graph.input_shape)) / 4
    scores = np.sort(Evaluator(BoundedGraph(graph)).outputs(centers), axis=1)
    center = centers[int(np.argmax(scores[:, -1] - scores[:, -2])) if seed % 3 else 0]  # two of three are far from the boundary
    label = int(Evaluator(BoundedGraph(graph)).outputs(center[None].copy())[0].argmax())
    return Problem(network, Ball(center, changes, "l0", domain=network.domain), Robustness(label, on="logits"))  # type: ignore[arg-type]


def row_values(question: Problem) -> Callable[[np.ndarray], np.ndarray]:
    claim = claim_of(question)
    rows = np.concatenate([part.rows for part in claim.parts])
    evaluator = Evaluator(BoundedGraph(claim.graph))
    return lambda points: np.asarray(evaluator.outputs(points.reshape(-1, *claim.graph.input_shape).copy()) @ rows.T)


def grid_of_pair(question: Problem, i: int, j: int) -> np.ndarray:
    """(STEPS + 1, STEPS + 1, n) inputs."""
    points = np.tile(question.center.reshape(-1), (STEPS + 1, STEPS + 1, 1))
    values = np.linspace(-1, 1, STEPS + 1)
    points[:, :, i], points[:, :, j] = values[:, None], values[None]
    return points
