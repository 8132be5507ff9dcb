"""Interval propagation: the range of every value from the ranges of what it is computed from (survey, section 4.2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from netassay.errors import UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.graph import Graph
from netassay.models.operators import LinearOperator
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.lowering import lowered
from netassay.verifiers.region import Regions
from netassay.verifiers.relaxations import interval, undefined
from netassay.verifiers.rounding import LARGEST, SMALLEST, UNDERFLOW, Array, gamma, up

Range = tuple[Array, Array]
Mask = NDArray[np.bool_]

_POINTWISE = (op.Reshape, op.AddConstant, op.MulConstant, op.DivConstant, op.ChannelAffine, op.Transpose, op.Slice, op.Pad)
"""Operators that move and rescale single numbers; none reads a number twice unless it is broadcast."""

_CONTINUOUS = (nl.Relu, nl.LeakyRelu, nl.Abs, nl.Clip, nl.Sigmoid, nl.Tanh)
"""Functions of one number whose intervals are their images, which are taken everywhere between the least and the greatest."""


class BoundedGraph:
    """A graph made ready for bounds: composite operators expanded, affine maps prepared once.

    Args:
        graph: Any graph; see ``lowering`` for what is expanded.
    Raises:
        UnsupportedOperatorError: If an operator has no bounds.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = lowered(graph)
        shapes = self.graph.shapes
        self.maps: tuple[AffineMap | None, ...] = tuple(
            AffineMap(node.operator, [shapes[i] for i in node.inputs]) if isinstance(node.operator, LinearOperator) else None
            for node in self.graph.nodes
        )
        self.relaxed = frozenset(i for p, node in enumerate(self.graph.nodes) if self.maps[p] is None for i in node.inputs)
        """Values that a nonlinear operator reads: those whose bounds decide how tight everything else is."""
        self.exact = self._exact()
        """Values whose ranges over a box are exact already, up to rounding: they mix the numbers of the input once."""

    @property
    def output(self) -> int:
        """The number of the output value."""
        return len(self.graph.nodes)

    def _exact(self) -> frozenset[int]:
        apart, exact = {0}, {0}  # numbers that depend on separate inputs; numbers with exact ranges
        for position, node in enumerate(self.graph.nodes):
            if len(node.inputs) != 1:
                continue
            source, linear = node.inputs[0], self.maps[position] is not None
            single = isinstance(node.operator, _POINTWISE if linear else _CONTINUOUS)
            if (linear and source in apart) or (single and source in exact):
                exact.add(position + 1)
            if single and source in apart and not self._broadcast(position):
                apart.add(position + 1)
        return frozenset(exact)

    def _broadcast(self, position: int) -> bool:
        """Whether a node of one input may read a number of it for several results."""
        node, shapes = self.graph.nodes[position], self.graph.shapes
        return not isinstance(node.operator, op.Pad) and prod(shapes[position + 1]) > prod(shapes[node.inputs[0]])

    def range_of(self, value: int, ranges: Sequence[Range | None]) -> Range:
        """The range of a value from its inputs' ranges, rounded outwards; infinite where nothing is known.

        NaN where some input may give no number at all (the root of a negative number), and in all that is computed from it.
        """
        node, affine = self.graph.nodes[value - 1], self.maps[value - 1]
        inputs = []
        for i in node.inputs:
            given = ranges[i]
            assert given is not None
            inputs.append(given)
        if affine is not None:
            return _affine_range(affine, inputs)
        lowers, uppers = [low for low, _ in inputs], [high for _, high in inputs]
        low, high = interval(node.operator, lowers, uppers)
        lost = undefined(node.operator, lowers, uppers)
        return (low, high) if lost is None else (np.where(lost, np.nan, low), np.where(lost, np.nan, high))

    def propagate(self, regions: Regions) -> list[Range]:
        """Ranges (B, *shape) of every value over each region."""
        ranges: list[Range] = [(regions.lower, regions.upper)]
        for value in range(1, self.output + 1):
            low, high = self.range_of(value, ranges)
            count = len(regions)
            ranges.append(
                (low, high)
                if len(low) == count
                else (np.broadcast_to(low, (count, *low.shape[1:])), np.broadcast_to(high, (count, *high.shape[1:])))
            )
        return ranges


@lru_cache(maxsize=8)
def bounded_graph(graph: Graph) -> BoundedGraph:
    """``BoundedGraph(graph)``, remembered for the graphs asked about last."""
    return BoundedGraph(graph)


def _affine_range(affine: AffineMap, inputs: Sequence[Range]) -> Range:
    """Midpoint and radius pass through the map separately (Rump, 1999); every rounding widens the result."""
    with np.errstate(all="ignore"):
        middles = [low / 2 + high / 2 for low, high in inputs]
        radii = [np.where(low == high, 0.0, up(np.maximum(high - m, m - low))) for (low, high), m in zip(inputs, middles, strict=True)]
        magnitudes = [np.maximum(np.abs(m) + r, SMALLEST) for m, r in zip(middles, radii, strict=True)]
        middle, spread, magnitude = affine(middles), affine.spread(radii), affine.magnitude(magnitudes)
        slack = spread + 4 * gamma(affine.terms) * magnitude + UNDERFLOW
        low, high = middle - slack, middle + slack
        known = magnitude < LARGEST
    low, high = np.where(known, low, -np.inf), np.where(known, high, np.inf)
    for given, _ in inputs:
        if np.isnan(given.min(initial=0.0)):
            lost = no_number(given).reshape(-1, *(1,) * len(affine.output_shape))
            low, high = np.where(lost, np.nan, low), np.where(lost, np.nan, high)
    return low, high


def no_number(low: Array) -> Mask:
    """(B,) regions in which a value (B, *shape), by its least numbers, may be undefined for some input."""
    return np.asarray(np.isnan(low).reshape(len(low), -1).any(axis=1))


def intersect(one: Range, other: Range) -> Range:
    """The common part of two ranges that both hold."""
    return np.maximum(one[0], other[0]), np.minimum(one[1], other[1])


def unsupported(name: str, operator: str, known: Sequence[str]) -> UnsupportedOperatorError:
    """The error for an operator without bounds."""
    return UnsupportedOperatorError(f"node {name!r}: no bounds are known for {operator}; known are {', '.join(sorted(known))}")
