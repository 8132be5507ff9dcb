"""Networks small enough that every subset of features and every linear piece is enumerated in rational numbers."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.sparse.reach import matrix
from random_graphs import GraphOnly, dyadic

SIZE = 7
"""Features of the enumerated strips; neighbours interact."""


def image_strip(seed: int, *, mixed: bool = False) -> Graph:
    """A convolution of width 2 over a picture of one row, ReLU, three labels; mixed: five more ReLUs that read everything."""
    rng = np.random.default_rng([seed, 11])
    builder, hidden = GraphBuilder((1, 1, SIZE)), 2 * (SIZE - 1)
    value = builder.add(op.Convolution(dyadic(rng, 2, 1, 1, 2), dyadic(rng, 2), (1, 1), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(op.Reshape((hidden,)), builder.add(nl.Relu(), value))
    if mixed:
        value = builder.add(nl.Relu(), builder.add(op.Dense(dyadic(rng, 5, hidden) / 4, dyadic(rng, 5)), value))
        hidden = 5
    return builder.build(builder.add(op.Dense(dyadic(rng, 3, hidden), dyadic(rng, 3)), value))


def weights(graph: Graph) -> tuple[list[list[Fraction]], list[Fraction], list[list[Fraction]], list[Fraction]]:
    """Hidden and output layers of a strip in rational numbers."""
    first, last = AffineMap(graph.nodes[0].operator, [graph.input_shape]), graph.nodes[-1].operator  # type: ignore[arg-type]
    assert isinstance(last, op.Dense)
    hidden = matrix(first).toarray()
    return (
        [[Fraction(v) for v in row] for row in hidden.tolist()],
        [Fraction(v) for v in first.constant.reshape(-1).tolist()],
        [[Fraction(float(v)) for v in row] for row in last.weight],
        [Fraction(float(v)) for v in last.bias],
    )


def corners(lines: list[tuple[list[Fraction], Fraction]], low: list[Fraction], high: list[Fraction]) -> list[list[Fraction]]:
    """Every point of a box of one or two dimensions at which as many lines or faces meet as there are dimensions."""
    size = len(low)
    lines = lines + [([Fraction(int(i == k)) for i in range(size)], -end) for k in range(size) for end in (low[k], high[k])]
    found = []
    for chosen in combinations(lines, size):
        if size == 1:
            ((slope, constant),) = chosen
            point = [-constant / slope[0]] if slope[0] else None
        else:
            ((a, b), e), ((c, d), f) = chosen
            det = a * d - b * c
            point = [(b * f - d * e) / det, (c * e - a * f) / det] if det else None
        if point is not None and all(lo <= p <= hi for lo, p, hi in zip(low, point, high, strict=True)):
            found.append(point)
    return found


def exact_least(graph: Graph, center: np.ndarray, changes: int, label: int, low: float, high: float) -> Fraction:
    """The least margin of the label over all inputs with so many changed features: all subsets, all corners of linear pieces."""
    hidden, bias, out, out_bias = weights(graph)
    x = [Fraction(float(v)) for v in center.reshape(-1)]
    least = None
    for subset in combinations(range(len(x)), changes):
        lines = []
        for row, b in zip(hidden, bias, strict=True):
            constant = sum((w * v for i, (w, v) in enumerate(zip(row, x, strict=True)) if i not in subset), b)
            lines.append(([row[i] for i in subset], constant))
        for point in corners([line for line in lines if any(line[0])], [Fraction(low)] * changes, [Fraction(high)] * changes):
            active = [max(Fraction(0), sum((s * p for s, p in zip(slope, point, strict=True)), c)) for slope, c in lines]
            scores = [sum((w * a for w, a in zip(row, active, strict=True)), b) for row, b in zip(out, out_bias, strict=True)]
            margin = min(scores[label] - s for j, s in enumerate(scores) if j != label)
            least = margin if least is None else min(least, margin)
    assert least is not None
    return least


def problem(graph: Graph, seed: int, changes: int, group: str = "feature") -> Problem:
    rng = np.random.default_rng([seed, 13])
    network = GraphOnly(graph, domain=Box.filled(graph.input_shape, -1.0, 1.0))
    centers = rng.integers(-4, 5, (40, *graph.input_shape)) / 4
    scores = Evaluator(BoundedGraph(graph)).outputs(centers)
    ahead = np.sort(scores, axis=1)
    best = int(np.argmax(ahead[:, -1] - ahead[:, -2])) if seed % 2 else 0  # every other input is far from the boundary
    center, scores = centers[best], scores[best]
    return Problem(network, Ball(center, changes, "l0", domain=network.domain, group=group), Robustness(int(scores.argmax()), on="logits"))  # type: ignore[arg-type]
