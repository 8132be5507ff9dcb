"""Graphs in terms of what the checker has lines for: absolute values, clips and minima by ReLUs and maxima, in real arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph


def lowered(graph: Graph) -> Graph:
    """The same function without Abs, Clip and Minimum, and with layers that a constant is added to as one; else the graph itself."""
    shifted = _shifted_dense(graph)
    if not shifted and not any(isinstance(n.operator, nl.Abs | nl.Clip | nl.Minimum) for n in graph.nodes):
        return graph
    builder, values = GraphBuilder(graph.input_shape), [0]
    for position, node in enumerate(graph.nodes):
        inputs = [values[i] for i in node.inputs]
        if position in shifted:
            values.append(builder.add(shifted[position], values[graph.nodes[position - 1].inputs[0]], name=node.name))
            continue
        if isinstance(node.operator, nl.Abs):
            values.append(_absolute(builder, inputs[0], node.name))
        elif isinstance(node.operator, nl.Clip):
            values.append(_clipped(builder, inputs[0], node.operator, node.name))
        elif isinstance(node.operator, nl.Minimum):
            turned = [_scaled(builder, i, -1.0, node.name) for i in inputs]
            values.append(_scaled(builder, builder.add(nl.Maximum(), *turned, name=node.name), -1.0, node.name))
        else:
            values.append(builder.add(node.operator, *inputs, name=node.name))
    return builder.build(values[-1])


def _shifted_dense(graph: Graph) -> dict[int, op.Dense]:
    """For nodes that add a constant to what a dense layer gives, and to nothing else: the layer with both, where their sum is exact."""
    found = {}
    for position, node in enumerate(graph.nodes):
        before = graph.nodes[position - 1] if position else node
        alone = sum(n.inputs.count(position) for n in graph.nodes) == 1
        if isinstance(node.operator, op.AddConstant) and isinstance(before.operator, op.Dense) and node.inputs == (position,) and alone:
            bias, value = (np.asarray(x, dtype=np.float64) for x in (before.operator.bias, node.operator.value))
            if value.shape == bias.shape and _exact_sum(bias, value):
                found[position] = op.Dense(before.operator.weight, bias + value)
    return found


def _exact_sum(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    with np.errstate(over="ignore"):
        total = one + other
    return all(isfinite(t) and Fraction(a) + Fraction(b) == Fraction(t) for a, b, t in zip(one, other, total, strict=True))


def _scaled(builder: GraphBuilder, value: int, factor: float, name: str) -> int:
    return builder.add(op.MulConstant(np.full((), factor)), value, name=name)


def _shifted(builder: GraphBuilder, value: int, by: float, name: str) -> int:
    return builder.add(op.AddConstant(np.full((), by)), value, name=name)


def _absolute(builder: GraphBuilder, value: int, name: str) -> int:
    """|x| = 2 max(x, 0) - x."""
    return builder.add(op.Sub(), _scaled(builder, builder.add(nl.Relu(), value, name=name), 2.0, name), value, name=name)


def _clipped(builder: GraphBuilder, value: int, clip: nl.Clip, name: str) -> int:
    """First max(x, l) = l + max(x - l, 0), then min(y, u) = u - max(u - y, 0)."""
    if isfinite(clip.lower):
        value = _shifted(builder, builder.add(nl.Relu(), _shifted(builder, value, -clip.lower, name), name=name), clip.lower, name)
    if isfinite(clip.upper):
        rest = _shifted(builder, _scaled(builder, value, -1.0, name), clip.upper, name)
        rest = builder.add(nl.Relu(), rest, name=name)
        value = _shifted(builder, _scaled(builder, rest, -1.0, name), clip.upper, name)
    return value
