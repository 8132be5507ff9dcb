"""Small networks with one counterexample hidden where gradients vanish, and their twins without one.

Each gives one number, ``base(x) - height * spike(x)``; it is to be positive on [-1, 1]^n. ``base`` is at least 1; ``spike`` is 0, or
flat, but for a basin about 0.02 wide around a point. With the counterexample the value there is ``-margin``; without, it is ``margin``
(sigmoids: more), and greater elsewhere. All numbers but those of the sigmoids are dyadic, so that float64 evaluates the planted points
exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.scores import Meaning, OutputConvention
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem

WIDTH = 2.0**-6

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Planted:
    """A problem, and the point that breaks it (or nearly does, in a twin)."""

    problem: Problem
    point: Array
    value: float


def planted(kind: str, seed: int, margin: float, *, twin: bool = False) -> Planted:
    """The network of a kind: "dense", "convolution", "max-pool", "residual" or "sigmoid"."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    shape = (1, 2, 2) if kind == "convolution" else (3,)
    point = rng.integers(-40, 41, shape) / 64
    builder = GraphBuilder(shape)
    spike = SPIKES[kind](builder, point)
    base = _base(builder, rng)
    parts = builder.add(op.Concat(0), base, spike)
    at_point = _value(builder.build(parts), point)
    height = (at_point[0] + (-margin if twin else margin)) / at_point[1]
    if twin and kind == "sigmoid":
        height = 1.0 - margin  # its spike is flat at the top, where the base may fall
    graph = builder.build(builder.add(op.Dense(np.array([[1.0, -height]]), np.zeros(1)), parts))
    network = GraphNetwork(graph, name=kind, convention=OutputConvention(Meaning.VALUES), dtype="float64")
    problem = Problem(network, Box.filled(shape, -1.0, 1.0), OutputHalfspaces([[[1.0]]], [[0.0]]), seed)
    return Planted(problem, point, float(_value(graph, point)[0]))


def _value(graph: Graph, point: Array) -> Array:
    import torch

    from netassay.models.torch_graph import GraphModule

    with torch.no_grad():
        found: Array = GraphModule(graph, torch.float64)(torch.tensor(point[None])).numpy()[0]
    return found


def _base(builder: GraphBuilder, rng: np.random.Generator) -> int:
    """(1,) at least 1: a ReLU network with nonnegative last weights."""
    flat = builder.add(op.Reshape((int(np.prod(builder.input_shape)),)), 0)
    size = builder.shape(flat)[0]
    hidden = builder.add(nl.Relu(), builder.add(op.Dense(rng.integers(-4, 5, (4, size)) / 4, rng.integers(-4, 5, 4) / 4), flat))
    return builder.add(op.Dense(rng.integers(0, 3, (1, 4)) / 4, np.ones(1)), hidden)


def _spike_of(builder: GraphBuilder, distances: int) -> int:
    """relu(WIDTH - sum of distances), (1,)."""
    size = builder.shape(distances)[0]
    return builder.add(nl.Relu(), builder.add(op.Dense(np.full((1, size), -1.0), np.array([WIDTH])), distances))


def _dense(builder: GraphBuilder, point: Array) -> int:
    eye = np.eye(len(point))
    both = builder.add(op.Dense(np.concatenate([eye, -eye]), np.concatenate([-point, point])), 0)
    return _spike_of(builder, builder.add(nl.Relu(), both))


def _max_pool(builder: GraphBuilder, point: Array) -> int:
    signs = np.repeat(np.eye(len(point)), 2, axis=0) * np.tile([1.0, -1.0], len(point))[:, None]
    both = builder.add(op.Reshape((len(point), 2)), builder.add(op.Dense(signs, -signs @ point), 0))
    larger = builder.add(nl.MaxPool((2,), (2,), (0,), (0,), (1,)), both)
    return _spike_of(builder, builder.add(op.Reshape((len(point),)), larger))


def _residual(builder: GraphBuilder, point: Array) -> int:
    """|z| = z + 2 relu(-z)."""
    z = builder.add(op.AddConstant(-point), 0)
    negative = builder.add(nl.Relu(), builder.add(op.Dense(-np.eye(len(point)), np.zeros(len(point))), z))
    return _spike_of(builder, builder.add(op.Add(), z, builder.add(op.MulConstant(np.full((), 2.0)), negative)))


def _convolution(builder: GraphBuilder, point: Array) -> int:
    z = builder.add(op.AddConstant(-point), 0)
    signs = np.array([1.0, -1.0]).reshape(2, 1, 1, 1)
    both = builder.add(nl.Relu(), builder.add(op.Convolution(signs, np.zeros(2), (1, 1), (0, 0), (0, 0), (1, 1)), z))
    total = op.Convolution(np.full((1, 2, *point.shape[1:]), -1.0), np.array([WIDTH]), (1, 1), (0, 0), (0, 0), (1, 1))
    return builder.add(op.Reshape((1,)), builder.add(nl.Relu(), builder.add(total, both)))


def _sigmoid(builder: GraphBuilder, point: Array) -> int:
    """A bump per feature, and a sigmoid that fires where all are high."""
    size, steep = len(point), 1024.0
    eye = np.eye(size) * steep
    edges = builder.add(op.Dense(np.concatenate([eye, -eye]), np.concatenate([8.0 - steep * point, 8.0 + steep * point])), 0)
    bumps = builder.add(nl.Sigmoid(), edges)
    fires = builder.add(op.Dense(np.full((1, 2 * size), 64.0), np.array([-64.0 * (2 * size - 0.5)])), bumps)
    return builder.add(nl.Sigmoid(), fires)


SPIKES: dict[str, Callable[[GraphBuilder, Array], int]] = {
    "dense": _dense,
    "convolution": _convolution,
    "max-pool": _max_pool,
    "residual": _residual,
    "sigmoid": _sigmoid,
}
