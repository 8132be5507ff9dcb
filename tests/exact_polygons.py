"""The exact minimum of a small ReLU network over a two-dimensional box: its linear pieces as polygons, in rational arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.region import Regions


def tiny(seed: int, sizes: tuple[int, ...] = (2, 5, 4, 2)) -> Graph:
    """A ReLU network of small integers."""
    rng = np.random.default_rng(seed)
    builder, value = GraphBuilder((2,)), 0
    for i, (n, m) in enumerate(pairwise(sizes)):
        value = builder.add(op.Dense(rng.integers(-3, 4, (m, n)).astype(float), rng.integers(-2, 3, m).astype(float)), value)
        value = value if i == len(sizes) - 2 else builder.add(nl.Relu(), value)
    return builder.build(value)


def box(graph: Graph, radius: float = 1.0) -> Regions:
    shape = (1, *graph.input_shape)
    return Regions(np.full(shape, -radius), np.full(shape, radius))


def claim_about(graph: Graph, rows: np.ndarray, constants: np.ndarray) -> Claim:
    """Every row has to be positive."""
    return Claim(graph, tuple(Part(r[None], np.array([c])) for r, c in zip(rows, constants, strict=True)), strict=True)


Point = tuple[Fraction, Fraction]
Affine = list[Fraction]
"""Coefficients of both inputs, and the constant."""
Piece = tuple[list[Point], list[list[Affine]]]
"""A convex polygon, and every value of the graph as affine functions on it."""


def affine_pieces(graph: Graph, lower: np.ndarray, upper: np.ndarray) -> list[Piece]:
    """The linear pieces of a graph of Dense and Relu nodes in a row."""
    (a, b), (c, d) = ([Fraction(float(v)) for v in side] for side in (lower, upper))
    one, zero = Fraction(1), Fraction(0)
    pieces: list[Piece] = [([(a, b), (c, b), (c, d), (a, d)], [[[one, zero, zero], [zero, one, zero]]])]
    for node in graph.nodes:
        if isinstance(node.operator, op.Dense):
            pieces = [(polygon, [*values, _dense(node.operator, values[-1])]) for polygon, values in pieces]
        else:
            assert isinstance(node.operator, nl.Relu)
            pieces = [p for piece in pieces for p in _relu(*piece)]
    return pieces


def at(form: Affine, point: Point) -> Fraction:
    return form[0] * point[0] + form[1] * point[1] + form[2]


def least(pieces: list[Piece], value: int, row: np.ndarray, constant: float = 0.0) -> Fraction:
    """min of ``<row, y> + constant`` over the pieces."""
    found = [
        sum((Fraction(float(c)) * at(f, p) for c, f in zip(row, values[value], strict=True)), Fraction(constant))
        for polygon, values in pieces
        for p in polygon
    ]
    return min(found)


def cut(polygon: list[Point], form: Affine, side: int) -> list[Point]:
    """The part of a convex polygon where ``side * form >= 0``, its border included."""
    kept: list[Point] = []
    for p, q in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        u, v = side * at(form, p), side * at(form, q)
        if u >= 0:
            kept.append(p)
        if u * v < 0:
            t = u / (u - v)
            kept.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
    return kept


def _dense(operator: op.Dense, forms: list[Affine]) -> list[Affine]:
    made = []
    for weights, bias in zip(operator.weight, operator.bias, strict=True):
        total = [sum((Fraction(float(w)) * f[k] for w, f in zip(weights, forms, strict=True)), Fraction(0)) for k in range(3)]
        made.append([total[0], total[1], total[2] + Fraction(float(bias))])
    return made


def _relu(polygon: list[Point], values: list[list[Affine]]) -> Iterator[Piece]:
    parts: list[tuple[list[Point], list[Affine]]] = [(polygon, [])]
    for form in values[-1]:
        split = []
        for corners, done in parts:
            for side, result in ((1, form), (-1, [Fraction(0)] * 3)):
                part = cut(corners, form, side)
                if part:
                    split.append((part, [*done, result]))
        parts = split
    return ((corners, [*values, done]) for corners, done in parts)
