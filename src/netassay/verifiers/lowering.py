"""Expands composite operators into ones that have relaxations of their own: softmax, log-softmax, LSTM layers."""

from __future__ import annotations

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph, Node

MOST_LABELS = 64
"""Most labels of which all differences are followed."""


def lowered(graph: Graph) -> Graph:
    """The same function without Softmax, LogSoftmax and Lstm; the graph itself where it has none."""
    if not any(isinstance(n.operator, nl.Softmax | nl.LogSoftmax | nl.Lstm) for n in graph.nodes):
        return graph
    builder = GraphBuilder(graph.input_shape)
    values = [0]
    for node in graph.nodes:
        values.append(_emit(builder, node, [values[i] for i in node.inputs]))
    return builder.build(values[-1])


def _emit(builder: GraphBuilder, node: Node, inputs: list[int]) -> int:
    operator = node.operator
    if isinstance(operator, nl.LogSoftmax):
        return _log_softmax(builder, inputs[0], operator.axis, node.name)
    if isinstance(operator, nl.Softmax):
        return builder.add(nl.Exp(), _log_softmax(builder, inputs[0], operator.axis, node.name), name=node.name)
    if isinstance(operator, nl.Lstm):
        return _lstm(builder, inputs[0], operator, node.name)
    return builder.add(operator, *inputs, name=node.name)


def _log_softmax(builder: GraphBuilder, value: int, axis: int, name: str) -> int:
    """-logsumexp over i of (z_i - z_j) for each j: differences are bounded far more tightly than what they are between.

    Along an axis among others, and for more than ``MOST_LABELS`` labels, z - logsumexp(z).
    """
    shape = builder.shape(value)
    if len(shape) == 1 and shape[0] <= MOST_LABELS:
        size = shape[0]
        one, other = np.divmod(np.arange(size * size), size)
        rows = np.zeros((size * size, size))
        np.add.at(rows, (np.arange(size * size), other), 1.0)
        np.add.at(rows, (np.arange(size * size), one), -1.0)
        differences = builder.add(op.Dense(rows, np.zeros(size * size)), value, name=name)
        total = builder.add(nl.LogSumExp((1,)), builder.add(op.Reshape((size, size)), differences, name=name), name=name)
        return builder.add(op.MulConstant(np.full((), -1.0)), total, name=name)
    total = builder.add(nl.LogSumExp((axis,), keep=True), value, name=name)
    return builder.add(op.Sub(), value, total, name=name)


def _lstm(builder: GraphBuilder, value: int, lstm: nl.Lstm, name: str) -> int:
    """One step per time, as in ``torch_operators``: i, f, g, o = gates of W x_t + U h + b; c = f c + i g; h = o tanh(c)."""
    steps, size = builder.shape(value)[0], lstm.hidden.shape[0]
    driven = builder.add(op.Dense(lstm.input_weight, lstm.bias), value, name=name)
    recurrent = op.Dense(lstm.hidden_weight, np.zeros(4 * size))
    hidden = builder.add(op.Constant(lstm.hidden), name=name)
    cell = builder.add(op.Constant(lstm.cell), name=name)
    states: dict[int, int] = {}
    for t in reversed(range(steps)) if lstm.reverse else range(steps):
        row = builder.add(op.Slice((t, 0), (t + 1, 4 * size), (1, 1)), driven, name=name)
        own, fed_back = builder.add(op.Reshape((4 * size,)), row, name=name), builder.add(recurrent, hidden, name=name)
        total = builder.add(op.Add(), own, fed_back, name=name)
        parts = [builder.add(op.Slice((k * size,), ((k + 1) * size,), (1,)), total, name=name) for k in range(4)]
        i, f, out = (_gate(builder, lstm, parts[k], name) for k in (0, 1, 3))
        g = builder.add(nl.Tanh(), parts[2], name=name)
        kept, new = builder.add(nl.Mul(), f, cell, name=name), builder.add(nl.Mul(), i, g, name=name)
        cell = builder.add(op.Add(), kept, new, name=name)
        hidden = builder.add(nl.Mul(), out, builder.add(nl.Tanh(), cell, name=name), name=name)
        states[t] = builder.add(op.Reshape((1, size)), hidden, name=name)
    return builder.add(op.Concat(0), *(states[t] for t in range(steps)), name=name)


def _gate(builder: GraphBuilder, lstm: nl.Lstm, value: int, name: str) -> int:
    if lstm.hard_sigmoid is None:
        return builder.add(nl.Sigmoid(), value, name=name)
    a, b = lstm.hard_sigmoid
    line = builder.add(op.AddConstant(np.array(b)), builder.add(op.MulConstant(np.array(a)), value, name=name), name=name)
    return builder.add(nl.Clip(0.0, 1.0), line, name=name)
