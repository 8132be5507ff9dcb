"""A graph made ready for the checker: the maps of its affine operators, the windows of the others."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.affine import Affine
from netassay.checking.certificates.arithmetic import Arithmetic, Positions
from netassay.checking.certificates.curves import Curve, curve_of
from netassay.checking.certificates.entries import Entries, entries_of
from netassay.checking.certificates.linear_operators import affine
from netassay.checking.certificates.lowering import lowered
from netassay.checking.certificates.relaxation import left_slope, windows
from netassay.models import operators as op
from netassay.models.graph import Graph

_POINTWISE = (op.Reshape, op.AddConstant, op.MulConstant, op.DivConstant, op.ChannelAffine, op.Transpose, op.Slice, op.Pad)
"""Operators of which every output depends on one input, and every input on at most one output, where nothing is broadcast."""


class CheckedNetwork:
    """A graph in one arithmetic, made of operators that the checker has lines for.

    Value 0 is the input, value i + 1 the result of node i, all of them flat.

    Args:
        graph: The graph.
        arithmetic: Of all numbers.
        levels: Where the last node is an exponential, which tangents are chosen below it, see ``smooth``.
    Raises:
        UnsupportedOperatorError: If the checker does not know an operator.
    """

    def __init__(self, graph: Graph, arithmetic: Arithmetic, levels: NDArray[np.float64] | None = None) -> None:
        self.graph, self.arithmetic, self.levels = lowered(graph), arithmetic, levels
        graph = self.graph
        shapes = graph.shapes
        self.sizes = tuple(prod(s) for s in shapes)
        self.inputs = tuple(node.inputs for node in graph.nodes)
        self.maps: list[Affine | None] = []
        self.windows: list[Positions | None] = []
        for position, node in enumerate(graph.nodes):
            given, result, name = [shapes[i] for i in node.inputs], shapes[position + 1], node.name or str(position)
            linear = node.operator.linear
            self.maps.append(affine(arithmetic, node.operator, given, result, name) if linear else None)
            self.windows.append(None if linear else windows(node.operator, given, result, name))
        self.relaxed = frozenset(i for p, inputs in enumerate(self.inputs) if self.maps[p] is None for i in inputs)
        """Values that a nonlinear operator reads."""

    @property
    def output(self) -> int:
        """The number of the output value."""
        return len(self.graph.nodes)

    def left(self, position: int) -> float | None:
        """The slope below 0 of a node ``max(x, slope * x)``; None for others."""
        return left_slope(self.graph.nodes[position].operator)

    def curve(self, position: int) -> Curve | None:
        """The function of a smooth node; None for others."""
        return curve_of(self.graph.nodes[position].operator)

    @cached_property
    def entries(self) -> tuple[Entries | None, ...]:
        """The entries of the affine maps, by node."""
        return tuple(None if m is None else entries_of(m) for m in self.maps)

    @cached_property
    def kinked(self) -> frozenset[int]:
        """Values of which all nonlinear readers bend at 0 only: numbers of one sign are decided."""
        readers = [(i, self.left(p)) for p, inputs in enumerate(self.inputs) if self.maps[p] is None for i in inputs]
        return self.relaxed - {i for i, left in readers if left is None}

    @cached_property
    def exact(self) -> frozenset[int]:
        """Values whose ranges over a box are exact by interval arithmetic: they mix the numbers of the input once."""
        apart, exact = {0}, {0}
        for position, (node, inputs) in enumerate(zip(self.graph.nodes, self.inputs, strict=True)):
            if len(inputs) != 1:
                continue
            if self.maps[position] is None:
                if self.left(position) is not None and inputs[0] in exact:  # monotone, number by number
                    exact.add(position + 1)
                continue
            source, moved = inputs[0], isinstance(node.operator, _POINTWISE) and self.sizes[position + 1] == self.sizes[inputs[0]]
            if source in apart or (moved and source in exact):
                exact.add(position + 1)
            if moved and source in apart:
                apart.add(position + 1)
        return frozenset(exact)
