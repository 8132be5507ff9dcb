"""Random operator graphs with small dyadic weights: float64 evaluates those without smooth operators exactly at dyadic points."""

from __future__ import annotations

import numpy as np

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.network import Network
from netassay.models.scores import OutputConvention
from netassay.numerics.box import Box

EXACT_KINDS = ("dense", "convolution", "residual", "pooling", "leaky", "shapes")
SMOOTH_KINDS = ("sigmoid", "tanh", "products", "softmax", "gelu")


class GraphOnly(Network):
    """What a proof needs of a network: its graph. It evaluates nothing."""

    differentiable = False

    def __init__(self, graph: Graph, convention: OutputConvention | None = None, domain: Box | None = None) -> None:
        super().__init__(
            name="graph",
            domain=domain or Box.unbounded(graph.input_shape),
            output_size=graph.output_size,
            convention=convention or OutputConvention(),
            sha256=graph.sha256,
            device="cpu",
        )
        self._graph = graph

    @property
    def graph(self) -> Graph:
        return self._graph

    @property
    def dtype(self) -> str:
        return "float64"

    def outputs(self, inputs):  # type: ignore[no-untyped-def]
        raise AssertionError("a proof evaluates no network")

    def in_float64(self) -> None:
        return None


def dyadic(rng: np.random.Generator, *shape: int, steps: int = 4) -> np.ndarray:
    """Multiples of 1/4 between -1 and 1 (or of another power of two)."""
    return rng.integers(-steps, steps + 1, shape) / steps


def random_graph(kind: str, seed: int, outputs: int = 3) -> Graph:
    """A graph of few numbers of the kind; flat inputs of 3, or images (1, 4, 4)."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    image = kind in ("convolution", "pooling", "shapes")
    builder = GraphBuilder((1, 4, 4) if image else (3,))
    value = {
        "dense": _dense,
        "leaky": _leaky,
        "residual": _residual,
        "convolution": _convolution,
        "pooling": _pooling,
        "shapes": _shapes,
        "sigmoid": lambda b, r: _smooth(b, r, nl.Sigmoid()),
        "tanh": lambda b, r: _smooth(b, r, nl.Tanh()),
        "gelu": lambda b, r: _smooth(b, r, nl.Gelu()),
        "products": _products,
        "softmax": lambda b, r: b.add(nl.Softmax(0), _dense(b, r)),
    }[kind](builder, rng)
    flat = builder.add(op.Reshape((int(np.prod(builder.shape(value))),)), value)
    return builder.build(_linear(builder, rng, flat, outputs))


def _linear(builder: GraphBuilder, rng: np.random.Generator, value: int, size: int) -> int:
    return builder.add(op.Dense(dyadic(rng, size, builder.shape(value)[0]), dyadic(rng, size)), value)


def _dense(builder: GraphBuilder, rng: np.random.Generator) -> int:
    value = 0
    for _ in range(2):
        value = builder.add(nl.Relu(), _linear(builder, rng, value, 5))
    return value


def _leaky(builder: GraphBuilder, rng: np.random.Generator) -> int:
    value = builder.add(nl.LeakyRelu(0.25), _linear(builder, rng, 0, 5))
    value = builder.add(op.AddConstant(dyadic(rng, 5)), builder.add(op.MulConstant(dyadic(rng, 5)), value))
    return builder.add(nl.Clip(-0.5, 1.5), builder.add(nl.Abs(), _linear(builder, rng, value, 4)))


def _residual(builder: GraphBuilder, rng: np.random.Generator) -> int:
    value = builder.add(nl.Relu(), _linear(builder, rng, 0, 4))
    branch = _linear(builder, rng, builder.add(nl.Relu(), _linear(builder, rng, value, 4)), 4)
    total = builder.add(op.Add(), value, branch)
    return builder.add(op.Sub(), builder.add(nl.Relu(), total), value)


def _kernel(rng: np.random.Generator, strides: tuple[int, int], begins: tuple[int, int], ends: tuple[int, int]) -> op.Convolution:
    return op.Convolution(dyadic(rng, 2, 1, 2, 2), dyadic(rng, 2), strides, begins, ends, (1, 1))


def _convolution(builder: GraphBuilder, rng: np.random.Generator) -> int:
    value = builder.add(nl.Relu(), builder.add(_kernel(rng, (2, 1), (1, 0), (0, 1)), 0))
    pooled = builder.add(op.AveragePool((2, 2), (1, 1), (0, 0), (0, 0), np.full((), 4.0)), value)
    return builder.add(nl.Relu(), pooled)


def _pooling(builder: GraphBuilder, rng: np.random.Generator) -> int:
    value = builder.add(_kernel(rng, (1, 1), (0, 0), (0, 0)), 0)
    return builder.add(nl.MaxPool((2, 2), (1, 1), (0, 0), (1, 1), (1, 1)), value)


def _shapes(builder: GraphBuilder, rng: np.random.Generator) -> int:
    value = builder.add(op.Transpose((0, 2, 1)), 0)
    part = builder.add(op.Slice((0, 1, 0), (1, 4, 4), (1, 2, 1)), value)
    picked = builder.add(op.Gather(1, np.array([0, 3])), value)
    joined = builder.add(op.Concat(1), part, picked)
    padded = builder.add(op.Pad((0, 1, 0), (0, 0, 1), 0.5), joined)
    total = builder.add(op.Sum((2,), keep=True), padded)
    both = builder.add(op.Add(), builder.add(op.ChannelAffine(dyadic(rng, 1), dyadic(rng, 1)), padded), total)
    low = builder.add(nl.ReduceMax((1,)), both)
    return builder.add(nl.Maximum(), low, builder.add(nl.Minimum(), builder.add(op.MulConstant(np.full((), -0.5)), low), low))


def _smooth(builder: GraphBuilder, rng: np.random.Generator, operator: nl.Elementwise) -> int:
    value = builder.add(operator, _linear(builder, rng, 0, 5))
    return builder.add(operator, _linear(builder, rng, value, 4))


def _products(builder: GraphBuilder, rng: np.random.Generator) -> int:
    one, other = _linear(builder, rng, 0, 4), builder.add(nl.Relu(), _linear(builder, rng, 0, 4))
    return builder.add(nl.Mul(), one, builder.add(nl.Exp(), builder.add(op.MulConstant(np.full((), -0.5)), other)))
