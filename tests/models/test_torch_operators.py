"""Torch's evaluation of every operator, against numpy written out by hand; linearity; the table is complete."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import erf
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.torch_graph import GraphModule
from netassay.models.torch_operators import EVALUATORS

Array = NDArray[np.float64]
Shape = tuple[int, ...]
RNG = np.random.default_rng(11)


def draw(*shape: int) -> Array:
    return RNG.standard_normal(shape)


def _padded(x: Array, begins: Shape, ends: Shape, value: float = 0.0) -> Array:
    return np.pad(x, [(0, 0), *zip(begins, ends, strict=True)], constant_values=value)


def _windows(x: Array, kernel: Shape, strides: Shape, dilations: Shape, shape: Shape) -> Array:
    """(c, *windows, *kernel)."""
    found = np.zeros((x.shape[0], *shape, *kernel))
    for at in product(*map(range, shape)):
        cut = tuple(slice(i * s, i * s + d * (k - 1) + 1, d) for i, s, d, k in zip(at, strides, dilations, kernel, strict=True))
        found[(slice(None), *at)] = x[(slice(None), *cut)]
    return found


def _convolution(o: op.Convolution, x: Array) -> Array:
    out = o.output_shape(x.shape)
    cells = _windows(_padded(x, o.begins, o.ends), o.weight.shape[2:], o.strides, o.dilations, out[1:])
    per, wide = out[0] // o.groups, o.weight.shape[1]
    axes = list(range(1, 1 + len(o.strides)))
    rows = [
        np.tensordot(o.weight[m], cells[m // per * wide : (m // per + 1) * wide], ([0, *axes], [0, *[a + len(axes) for a in axes]]))
        for m in range(out[0])
    ]
    return np.stack(rows) + o.bias.reshape(-1, *(1,) * len(o.strides))


def _transposed(o: op.TransposedConvolution, x: Array) -> Array:
    """Scatters each input cell over its window."""
    kernel = o.weight.shape[2:]
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[1:], o.strides, o.dilations, kernel, strict=True)]
    wide, narrow = o.weight.shape[1], x.shape[0] // o.groups
    result = np.zeros((wide * o.groups, *(f + e for f, e in zip(full, o.extra, strict=True))))
    for c in range(x.shape[0]):
        g = c // narrow
        for at in product(*map(range, x.shape[1:])):
            cut = tuple(slice(i * s, i * s + d * (k - 1) + 1, d) for i, s, d, k in zip(at, o.strides, o.dilations, kernel, strict=True))
            result[(slice(g * wide, (g + 1) * wide), *cut)] += o.weight[c] * x[(c, *at)]
    ends = [n - e for n, e in zip(result.shape[1:], o.ends, strict=True)]
    cut = tuple(slice(b, e) for b, e in zip(o.begins, ends, strict=True))
    return result[(slice(None), *cut)] + o.bias.reshape(-1, *(1,) * len(o.strides))


def _pooled(o: Any, x: Array, value: float, reduce: Callable[..., Array], dilations: Shape) -> Array:
    shape = o.output_shape(x.shape)[1:]
    cells = _windows(_padded(x, o.begins, o.ends, value), o.kernel, o.strides, dilations, shape)
    return reduce(cells, axis=tuple(range(1 + len(shape), cells.ndim)))


def _softmax(o: nl.Softmax, x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(axis=o.axis, keepdims=True)


def _lstm(o: nl.Lstm, x: Array) -> Array:
    def gate(v: Array) -> Array:
        return 1 / (1 + np.exp(-v)) if o.hard_sigmoid is None else np.clip(o.hard_sigmoid[0] * v + o.hard_sigmoid[1], 0, 1)

    hidden, cell, states = o.hidden, o.cell, {}
    for t in reversed(range(len(x))) if o.reverse else range(len(x)):
        i, f, g, out = np.split(o.input_weight @ x[t] + o.hidden_weight @ hidden + o.bias, 4)
        cell = gate(f) * cell + gate(i) * np.tanh(g)
        hidden = gate(out) * np.tanh(cell)
        states[t] = hidden
    return np.stack([states[t] for t in range(len(x))])


def _conv(m: int, c: int, kernel: Shape, strides: Shape, begins: Shape, ends: Shape, dilations: Shape, groups: int = 1) -> op.Convolution:
    return op.Convolution(draw(m, c // groups, *kernel), draw(m), strides, begins, ends, dilations, groups)


def _lstm_operator(*, reverse: bool, hard: tuple[float, float] | None) -> nl.Lstm:
    return nl.Lstm(draw(12, 4), draw(12, 3), draw(12), draw(3), draw(3), reverse, hard)


Case = tuple[op.Operator, list[Shape], Callable[..., Array]]
CASES: list[Case] = [
    (op.Dense(draw(3, 4), draw(3)), [(4,)], lambda o, x: x @ o.weight.T + o.bias),
    (op.Dense(draw(3, 4), draw(3)), [(2, 5, 4)], lambda o, x: x @ o.weight.T + o.bias),
    (_conv(4, 3, (3, 2), (1, 1), (0, 0), (0, 0), (1, 1)), [(3, 6, 5)], _convolution),
    (_conv(4, 6, (3, 3), (2, 1), (1, 2), (0, 1), (1, 2), 2), [(6, 7, 8)], _convolution),
    (_conv(4, 4, (3,), (2,), (1,), (1,), (2,), 4), [(4, 9)], _convolution),
    (_conv(2, 2, (2, 2, 2), (1, 1, 1), (0, 1, 0), (0, 1, 0), (1, 1, 1)), [(2, 3, 3, 3)], _convolution),
    (op.TransposedConvolution(draw(3, 2, 3, 2), draw(2), (2, 1), (1, 0), (0, 1), (1, 0), (1, 2)), [(3, 4, 5)], _transposed),
    (op.TransposedConvolution(draw(4, 2, 3), draw(4), (2,), (1,), (1,), (1,), (1,), 2), [(4, 5)], _transposed),
    (
        op.AveragePool((2, 3), (2, 1), (1, 0), (0, 1), np.float64(6).reshape(())),
        [(3, 5, 6)],
        lambda o, x: _pooled(o, x, 0, np.sum, (1, 1)) / 6,
    ),
    (op.AveragePool((3,), (2,), (1,), (1,), np.array([2.0, 3, 3, 2])), [(2, 7)], lambda o, x: _pooled(o, x, 0, np.sum, (1,)) / o.divisor),
    (op.AddConstant(draw(3, 1)), [(3, 4)], lambda o, x: x + o.value),
    (op.AddConstant(draw(2, 1, 4)), [(4,)], lambda o, x: x + o.value),
    (op.MulConstant(draw()), [(3, 4)], lambda o, x: x * o.value),
    (op.DivConstant(np.abs(draw(4)) + 1), [(3, 4)], lambda o, x: x / o.value),
    (op.ChannelAffine(draw(3), draw(3)), [(3, 2, 4)], lambda o, x: x * o.scale[:, None, None] + o.shift[:, None, None]),
    (op.Reshape((6, 2)), [(3, 4)], lambda _, x: x.reshape(6, 2)),
    (op.Transpose((2, 0, 1)), [(3, 4, 5)], lambda _, x: x.transpose(2, 0, 1)),
    (op.Slice((1, 0), (3, 5), (1, 2)), [(4, 5)], lambda _, x: x[1:3, 0:5:2]),
    (op.Gather(1, np.array([[2, 0], [1, 1]])), [(3, 4)], lambda o, x: np.take(x, o.indices, axis=1)),
    (op.Concat(0), [(2, 3), (4, 3)], lambda _, x, y: np.concatenate([x, y], axis=0)),
    (op.Pad((1, 0), (0, 2), -0.5), [(2, 3)], lambda _, x: np.pad(x, [(1, 0), (0, 2)], constant_values=-0.5)),
    (op.Sum((0, 2)), [(3, 4, 5)], lambda _, x: x.sum(axis=(0, 2))),
    (op.Mean((1,), True), [(3, 4)], lambda _, x: x.mean(axis=1, keepdims=True)),
    (op.Add(), [(3, 4), (4,)], lambda _, x, y: x + y),
    (op.Sub(), [(4,), (3, 1)], lambda _, x, y: x - y),
    (nl.Relu(), [(7,)], lambda _, x: np.maximum(x, 0)),
    (nl.LeakyRelu(0.2), [(7,)], lambda _, x: np.where(x > 0, x, 0.2 * x)),
    (nl.Elu(1.5), [(7,)], lambda _, x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    (nl.Sigmoid(), [(7,)], lambda _, x: 1 / (1 + np.exp(-x))),
    (nl.Tanh(), [(7,)], lambda _, x: np.tanh(x)),
    (nl.Softplus(), [(7,)], lambda _, x: np.log1p(np.exp(x))),
    (nl.Gelu(), [(7,)], lambda _, x: x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2),
    (nl.Gelu(tanh=True), [(7,)], lambda _, x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    (nl.Silu(), [(7,)], lambda _, x: x / (1 + np.exp(-x))),
    (nl.HardSwish(), [(7,)], lambda _, x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (nl.Exp(), [(7,)], lambda _, x: np.exp(x)),
    (nl.Log(), [(7,)], lambda _, x: np.log(x)),
    (nl.Sqrt(), [(7,)], lambda _, x: np.sqrt(x)),
    (nl.Power(3.0), [(7,)], lambda _, x: x**3),
    (nl.Erf(), [(7,)], lambda _, x: np.vectorize(erf)(x)),
    (nl.Sin(), [(7,)], lambda _, x: np.sin(x)),
    (nl.Cos(), [(7,)], lambda _, x: np.cos(x)),
    (nl.Abs(), [(7,)], lambda _, x: np.abs(x)),
    (nl.Clip(-0.5, np.inf), [(7,)], lambda _, x: np.maximum(x, -0.5)),
    (nl.Softmax(1), [(3, 4)], _softmax),
    (nl.LogSoftmax(0), [(3, 4)], lambda o, x: np.log(_softmax(o, x))),
    (nl.MaxPool((2, 2), (2, 1), (0, 1), (1, 0), (1, 2)), [(2, 5, 6)], lambda o, x: _pooled(o, x, -np.inf, np.max, o.dilations)),
    (nl.MaxPool((3,), (2,), (1,), (1,), (1,)), [(2, 7)], lambda o, x: _pooled(o, x, -np.inf, np.max, (1,))),
    (nl.ReduceMax((1,)), [(3, 4)], lambda _, x: x.max(axis=1)),
    (nl.LogSumExp((0, 2), True), [(3, 4, 2)], lambda _, x: np.log(np.exp(x).sum(axis=(0, 2), keepdims=True))),
    (nl.Mul(), [(3, 4), (4,)], lambda _, x, y: x * y),
    (nl.Div(), [(3, 4), (3, 4)], lambda _, x, y: x / y),
    (nl.Maximum(), [(3, 4), (4,)], lambda _, x, y: np.maximum(x, y)),
    (nl.Minimum(), [(3, 4), (4,)], lambda _, x, y: np.minimum(x, y)),
    (nl.MatMul(), [(2, 3, 4), (4, 5)], lambda _, x, y: x @ y),
    (_lstm_operator(reverse=False, hard=None), [(5, 4)], _lstm),
    (_lstm_operator(reverse=True, hard=(0.2, 0.5)), [(5, 4)], _lstm),
]
POSITIVE = (nl.Log, nl.Sqrt, nl.Div)


def _run(operator: op.Operator, inputs: list[Array]) -> Array:
    """One operator on a batch (N, *shape) of each input, in float64; all inputs travel as one flat vector."""
    sizes = [int(np.prod(x.shape[1:])) for x in inputs]
    builder = GraphBuilder((sum(sizes),))
    values, start = [], 0
    for x, size in zip(inputs, sizes, strict=True):
        cut = builder.add(op.Slice((start,), (start + size,), (1,)), 0)
        values.append(builder.add(op.Reshape(x.shape[1:]), cut))
        start += size
    result = builder.add(operator, *values)
    graph = builder.build(result)
    rows = np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    flat = GraphModule(graph, torch.float64)(torch.from_numpy(rows)).numpy()
    return flat.reshape(len(flat), *builder.shape(result))


def _inputs(operator: op.Operator, shapes: list[Shape], rows: int = 3) -> list[Array]:
    found = [draw(rows, *s) for s in shapes]
    return [np.abs(x) + 0.3 for x in found] if isinstance(operator, POSITIVE) else found


@pytest.mark.parametrize(("operator", "shapes", "expected"), CASES, ids=[f"{o.name}-{i}" for i, (o, _, _) in enumerate(CASES)])
def test_value_and_shape(operator: op.Operator, shapes: list[Shape], expected: Callable[..., Array]) -> None:
    inputs = _inputs(operator, shapes)
    found = _run(operator, inputs)
    rows = np.stack([expected(operator, *(x[i] for x in inputs)) for i in range(3)])
    assert found.shape == rows.shape
    np.testing.assert_allclose(found, rows, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("operator", "shapes", "expected"), CASES, ids=[f"{o.name}-{i}" for i, (o, _, _) in enumerate(CASES)])
def test_linear_operators_are_affine_and_the_others_are_not(operator: op.Operator, shapes: list[Shape], expected: object) -> None:
    a, b = _inputs(operator, shapes), _inputs(operator, shapes)
    mixed = [0.3 * x + 0.7 * y for x, y in zip(a, b, strict=True)]
    difference = _run(operator, mixed) - (0.3 * _run(operator, a) + 0.7 * _run(operator, b))
    largest = float(np.max(np.abs(difference)))
    assert largest < 1e-12 if operator.linear else largest > 1e-6


def _concrete(kind: Any) -> set[Any]:
    return {s for k in kind.__subclasses__() for s in (_concrete(k) or {k})}


def test_every_operator_has_an_evaluation_and_a_case() -> None:
    operators = {k for k in _concrete(op.Operator) if k.__module__.startswith("netassay.models.")}
    assert operators == set(EVALUATORS) | {op.Constant}
    assert {type(o) for o, _, _ in CASES} == set(EVALUATORS)


def test_constant_has_a_row_for_every_sample() -> None:
    builder = GraphBuilder((2,))
    fixed = builder.add(op.Constant(np.array([5.0, 6.0, 7.0])))
    graph = builder.build(builder.add(op.Concat(0), 0, fixed))
    found = GraphModule(graph, torch.float64)(torch.zeros(4, 2, dtype=torch.float64))
    assert found.tolist() == [[0, 0, 5, 6, 7]] * 4


def test_gradient_reaches_the_input_and_matches_differences() -> None:
    builder = GraphBuilder((2, 6, 6))
    value = builder.add(_conv(3, 2, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)), 0)
    value = builder.add(nl.Tanh(), value)
    module = GraphModule(builder.build(builder.add(op.Mean((1, 2)), value)), torch.float64)
    assert torch.autograd.gradcheck(module, torch.from_numpy(draw(2, 2, 6, 6)).requires_grad_())


def test_values_are_dropped_after_their_last_use() -> None:
    builder = GraphBuilder((4,))
    value = 0
    for _ in range(5):
        value = builder.add(nl.Relu(), value)
    module = GraphModule(builder.build(value))
    assert [step.done for step in module._plan] == [(0,), (1,), (2,), (3,), (4,)]
