"""No float32 evaluation, in whatever order, drifts further from the real value than its bound says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netassay.checking.drift import RULES, drift
from netassay.checking.float32 import elementwise, values
from netassay.checking.float32.values import FLOAT32
from netassay.errors import RegionError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph, Node
from netassay.models.operators import Operator
from netassay.models.torch_graph import GraphModule
from netassay.models.torch_operators import EVALUATORS
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph

Points = NDArray[np.float32]
Array = NDArray[np.float64]


def test_every_operator_has_a_rule() -> None:
    assert set(RULES) == set(EVALUATORS) | {op.Constant}


def points_in(low: Array, high: Array, rng: np.random.Generator, count: int) -> Points:
    """float32 numbers of the box, corners among them."""
    inner = rng.uniform(low, high, (count, *low.shape))
    inner[: count // 4] = np.where(rng.random((count // 4, *low.shape)) < 0.5, low, high)
    found = inner.astype(np.float32)
    found = np.where(found > high, np.nextafter(found, np.float32(-np.inf)), found)
    return np.where(found < low, np.nextafter(found, np.float32(np.inf)), found)


def box_around(rng: np.random.Generator, shape: tuple[int, ...], radius: float = 0.4) -> tuple[Array, Array]:
    center = rng.standard_normal(shape).astype(np.float32).astype(np.float64)
    return center - radius, center + radius


def by_torch(graph: Graph, points: NDArray[np.floating], dtype: torch.dtype, *, batch: int = 1 << 20) -> Array:
    module = GraphModule(graph, dtype)
    with torch.no_grad():
        rows = [module(torch.tensor(points[i : i + batch], dtype=dtype)) for i in range(0, len(points), batch)]
    return torch.cat(rows).double().numpy()


def evaluations(graph: Graph, points: Points) -> Iterator[Array]:
    """float32 outputs by several kernels: batches of all sizes, with and without oneDNN, channels last, fused."""
    yield by_torch(graph, points, torch.float32)
    yield by_torch(graph, points, torch.float32, batch=1)
    yield by_torch(graph, points, torch.float32, batch=7)
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):
        yield by_torch(graph, points, torch.float32)
    module = GraphModule(graph, torch.float32)
    if len(graph.input_shape) == 3:
        with torch.no_grad():
            yield module(torch.tensor(points).to(memory_format=torch.channels_last)).double().numpy()


def worst(graph: Graph, low: Array, high: Array, rng: np.random.Generator, count: int = 200) -> float:
    """The largest observed drift by its bound; at most 1 where the bound is true."""
    points = points_in(low, high, rng, count)
    real = by_torch(graph, points.astype(np.float64), torch.float64)
    bound = drift(graph, low, high)[0]
    assert bound.shape == (graph.output_size,)
    return max(float((np.abs(found - real).max(axis=0) / bound).max()) for found in evaluations(graph, points))


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_random_networks(kind: str) -> None:
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng([seed, 1])
        graph = random_graph(kind, seed)
        ratios.append(worst(graph, *box_around(rng, graph.input_shape), rng))
    assert max(ratios) <= 1
    assert max(ratios) > 1e-3  # and the bound is no more than a thousand times too large


ROUNDED: dict[str, tuple[Operator, tuple[int, ...], float]] = {
    "relu": (nl.Relu(), (50,), 3.0),
    "leaky": (nl.LeakyRelu(0.3), (50,), 3.0),
    "elu": (nl.Elu(0.7), (50,), 20.0),
    "sigmoid": (nl.Sigmoid(), (50,), 30.0),
    "tanh": (nl.Tanh(), (50,), 12.0),
    "softplus": (nl.Softplus(), (50,), 40.0),
    "gelu": (nl.Gelu(), (50,), 8.0),
    "gelu by tanh": (nl.Gelu(tanh=True), (50,), 8.0),
    "silu": (nl.Silu(), (50,), 60.0),
    "hard swish": (nl.HardSwish(), (50,), 5.0),
    "exp": (nl.Exp(), (50,), 40.0),
    "erf": (nl.Erf(), (50,), 4.0),
    "sin": (nl.Sin(), (50,), 200.0),
    "cos": (nl.Cos(), (50,), 200.0),
    "abs": (nl.Abs(), (50,), 3.0),
    "clip": (nl.Clip(-0.3, 1.7), (50,), 3.0),
    "square": (nl.Power(2.0), (50,), 3.0),
    "cube": (nl.Power(3.0), (50,), 3.0),
    "softmax": (nl.Softmax(0), (50,), 20.0),
    "log-softmax": (nl.LogSoftmax(0), (50,), 20.0),
    "log-sum-exp": (nl.LogSumExp((1,)), (10, 5), 20.0),
    "largest": (nl.ReduceMax((1,)), (10, 5), 3.0),
    "mean": (op.Mean((0,)), (50, 2), 3.0),
    "divided": (op.DivConstant(np.linspace(0.1, 7, 50)), (50,), 3.0),
    "affine": (op.ChannelAffine(np.linspace(-3, 3, 10), np.linspace(1, 0.1, 10)), (10, 5), 3.0),
    "padded": (op.Pad((1,), (2,), 0.1), (50,), 3.0),
    "constant": (op.AddConstant(np.linspace(0, 0.7, 50)), (50,), 3.0),
    "transposed convolution": (
        op.TransposedConvolution(
            np.linspace(-1, 1, 36).reshape(2, 2, 3, 3), np.array([0.1, 0.2]), (2, 1), (1, 0), (0, 1), (0, 0), (1, 2), 1
        ),
        (2, 5, 5),
        2.0,
    ),
    "grouped convolution": (
        op.Convolution(np.linspace(-1, 1, 72).reshape(4, 2, 3, 3), np.linspace(0, 0.1, 4), (1, 2), (1, 1), (1, 0), (2, 1), 2),
        (4, 7, 7),
        2.0,
    ),
    "average pool": (op.AveragePool((2, 3), (1, 2), (1, 0), (0, 1), np.full((), 6.0)), (2, 6, 6), 2.0),
}


def alone(operator: Operator, shape: tuple[int, ...]) -> Graph:
    builder = GraphBuilder(shape)
    return builder.build(builder.add(operator, 0))


@pytest.mark.parametrize("name", ROUNDED)
def test_single_operators_over_wide_boxes(name: str) -> None:
    """Over boxes of random widths: also the assumptions about the library's functions are tested here."""
    operator, shape, size = ROUNDED[name]
    rng = np.random.default_rng(len(name))
    for radius in (0.0, 1e-3, size):
        center = rng.uniform(-size, size, shape).astype(np.float32).astype(np.float64)
        assert worst(alone(operator, shape), center - radius, center + radius, rng) <= 1


@pytest.mark.parametrize("operator", [nl.Log(), nl.Sqrt(), nl.Power(0.5), nl.Power(-1.0), nl.Power(-2.5)], ids=str)
def test_operators_of_positive_numbers(operator: Operator) -> None:
    rng = np.random.default_rng(0)
    for low, high in ((0.5, 2.0), (1e-3, 1.0), (1.0, 1e5)):
        assert worst(alone(operator, (40,)), np.full(40, low), np.full(40, high), rng) <= 1
    assert np.isinf(drift(alone(operator, (1,)), np.array([-1.0]), np.array([1.0]))).all()


def test_two_values() -> None:
    rng = np.random.default_rng(0)
    for make in (nl.Mul, nl.Div, nl.Maximum, nl.Minimum, op.Add, op.Sub):
        builder = GraphBuilder((8,))
        one = builder.add(op.Dense(rng.standard_normal((6, 8)), rng.standard_normal(6)), 0)
        other = builder.add(nl.Sigmoid(), builder.add(op.Dense(rng.standard_normal((6, 8)), np.full(6, 2.0)), 0))
        graph = builder.build(builder.add(make(), one, other))
        assert worst(graph, *box_around(rng, (8,), 0.1), rng) <= 1, make
    builder = GraphBuilder((3, 8))
    one = builder.add(op.Dense(rng.standard_normal((6, 8)), rng.standard_normal(6)), 0)
    graph = builder.build(builder.add(nl.MatMul(), one, builder.add(op.Transpose((1, 0)), one)))
    assert worst(graph, *box_around(rng, (3, 8), 0.1), rng) <= 1


@pytest.mark.parametrize("hard", [None, (0.2, 0.5)])
def test_lstm(hard: tuple[float, float] | None) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((16, 3), (16, 4), (16,), (4,), (4,))]
    for reverse in (False, True):
        graph = alone(nl.Lstm(*arrays, reverse=reverse, hard_sigmoid=hard), (5, 3))
        assert worst(graph, *box_around(rng, (5, 3), 0.1), rng) <= 1


def sums(terms: NDArray[np.float32]) -> Iterator[np.float32]:
    """One sum in several orders, one rounding at a time."""
    for order in (terms, terms[::-1], np.sort(terms), np.sort(terms)[::-1], terms[np.argsort(-np.abs(terms))]):
        total = np.float32(0)
        for term in order:
            total = np.float32(total + term)
        yield total
    halves = list(terms)
    while len(halves) > 1:
        halves = [np.float32(sum(halves[i : i + 2], np.float32(0))) for i in range(0, len(halves), 2)]
    yield halves[0]


@pytest.mark.parametrize("scale", [1.0, 1e8, 1e-30, 1e-41])
def test_every_order_of_summation_against_rationals(scale: float) -> None:
    """Cancelling weights of any size: exact rational arithmetic says how far each order is off."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        weight = (rng.standard_normal(16) * scale).astype(np.float32)
        weight[8:] = -weight[:8] * rng.choice(np.array([1, 1 + 1e-6], dtype=np.float32), 8)
        x = rng.standard_normal(16).astype(np.float32)
        graph = Graph((16,), (Node(op.Dense(weight[None], np.array([0.1], dtype=np.float32)), (0,)),))
        bound = Fraction(float(drift(graph, x, x)[0, 0]))
        real = sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(weight, x, strict=True)), Fraction(float(np.float32(0.1))))
        for found in sums(np.append(weight * x, np.float32(0.1))):
            assert abs(Fraction(float(found)) - real) <= bound


def test_flushed_subnormal_numbers() -> None:
    rng = np.random.default_rng(0)
    builder = GraphBuilder((8,))
    value = builder.add(nl.Relu(), builder.add(op.Dense(rng.standard_normal((8, 8)) * 1e-38, np.zeros(8)), 0))
    graph = builder.build(builder.add(op.Dense(rng.standard_normal((3, 8)), np.zeros(3)), value))
    low, high = box_around(rng, (8,))
    points = points_in(low, high, rng, 100)
    real, bound = by_torch(graph, points.astype(np.float64), torch.float64), drift(graph, low, high)[0]
    assert torch.set_flush_denormal(True)
    try:
        flushed = by_torch(graph, points, torch.float32)
    finally:
        torch.set_flush_denormal(False)
    off = np.abs(flushed - real).max(axis=0)
    assert (off > 0).any()
    assert (off <= bound).all()


def test_weights_that_are_no_float32_numbers() -> None:
    graph = Graph((1,), (Node(op.Dense(np.array([[1 / 3]]), np.array([0.1])), (0,)),))
    one = np.ones(1)
    stored = abs(float(np.float32(1 / 3)) + float(np.float32(0.1)) - 1 / 3 - 0.1)
    assert drift(graph, one, one)[0, 0] >= stored > 0


def test_overflow_is_unbounded() -> None:
    rng = np.random.default_rng(0)
    weight = np.full((1, 2), 1e38)
    graph = Graph((2,), (Node(op.Dense(weight, np.zeros(1)), (0,)), Node(nl.Clip(-1.0, 1.0), (1,)), Node(nl.Relu(), (2,))))
    assert np.isinf(drift(graph, np.full(2, -4.0), np.full(2, 4.0))).all()
    assert np.isfinite(drift(graph, np.full(2, -0.1), np.full(2, 0.1))).all()
    squared = alone(nl.Power(2.0), (1,))
    assert np.isinf(drift(squared, np.array([0.0]), np.array([1e20]))).all()
    assert np.isinf(drift(alone(nl.Exp(), (1,)), np.array([0.0]), np.array([90.0]))).all()
    builder = GraphBuilder((2,))
    lost = builder.build(builder.add(op.Dense(np.array([[0.0], [1.0]]), np.zeros(2)), builder.add(op.Dense(weight, np.zeros(1)), 0)))
    assert np.isinf(drift(lost, np.full(2, -4.0), np.full(2, 4.0))).all(), "zero times infinity is NaN"
    assert np.isinf(drift(random_graph("dense", 0), np.full(3, -np.inf), rng.standard_normal(3))).all()


def test_a_network_of_one_box_and_of_many() -> None:
    graph, rng = random_graph("residual", 3), np.random.default_rng(0)
    boxes = [box_around(rng, graph.input_shape, r) for r in (0.1, 0.5, 2.0)]
    together = drift(graph, np.stack([low for low, _ in boxes]), np.stack([high for _, high in boxes]))
    for found, (low, high) in zip(together, boxes, strict=True):
        np.testing.assert_allclose(found, drift(graph, low, high)[0], rtol=1e-9)
        assert (drift(graph, (low + high) / 2, high)[0] <= found * (1 + 1e-9)).all(), "part of a box"


def test_rows_are_no_worse_than_their_outputs() -> None:
    graph, rng = random_graph("dense", 1), np.random.default_rng(0)
    low, high = box_around(rng, graph.input_shape)
    rows = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, 2.0]])
    each, found = drift(graph, low, high)[0], drift(graph, low, high, rows=rows)[0]
    assert (found <= (np.abs(rows) @ each) * (1 + 1e-9)).all()
    points = points_in(low, high, rng, 300)
    real = by_torch(graph, points.astype(np.float64), torch.float64)
    for computed in evaluations(graph, points):
        assert (np.abs((computed - real) @ rows.T).max(axis=0) <= found).all()


def test_what_follows_the_network_is_not_rounded() -> None:
    builder = GraphBuilder((3,))
    value = builder.add(op.Dense(np.ones((2, 3)), np.zeros(2)), 0)
    network = builder.build(value)
    claimed = GraphBuilder((3,))
    tail = claimed.add(nl.LogSoftmax(0), claimed.add(network.nodes[0].operator, 0))
    graph = claimed.build(tail)
    low, high = np.full(3, -1.0), np.full(3, 1.0)
    alone_, partly, wholly = drift(network, low, high), drift(graph, low, high, deployed=network), drift(graph, low, high)
    assert (alone_ <= partly).all()
    assert (partly <= 2.0001 * alone_.max() + 1e-30).all()
    assert (partly < wholly).all()


def test_bad_boxes_are_refused() -> None:
    graph = random_graph("dense", 0)
    for low, high in ((np.ones(3), np.zeros(3)), (np.zeros(2), np.ones(2)), (np.full(3, np.nan), np.ones(3))):
        with pytest.raises(RegionError):
            drift(graph, low, high)


@pytest.mark.parametrize("bug", ["sums", "functions", "constants"])
def test_planted_bugs_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of the terms some evaluation is further off than the bound."""
    if bug == "sums":
        monkeypatch.setattr(values.Rounding, "gamma", lambda _self, _n: 0.0)
    elif bug == "functions":
        monkeypatch.setattr(elementwise, "_bounded", lambda run, _s, _l, x, r: values.settled(r, run(x.low), run(x.high), x.error, 1.0))
    else:
        monkeypatch.setattr(values.Rounding, "of_constant", lambda _self, value: np.zeros_like(value))
    builder = GraphBuilder((30,))
    rng = np.random.default_rng(0)
    if bug == "functions":
        graph = alone(nl.Sigmoid(), (30,))
    elif bug == "constants":
        graph = alone(op.MulConstant(np.full((), 1 / 3)), (30,))
        monkeypatch.setattr(values.Rounding, "gamma", lambda _self, _n: FLOAT32.unit * 0.3)
    else:
        graph = builder.build(builder.add(op.Dense(rng.standard_normal((5, 30)), np.zeros(5)), 0))
    assert worst(graph, *box_around(rng, (30,), 0.01), rng) > 1
