"""How far a float32 evaluation of a network may drift from real arithmetic, over whole boxes of inputs.

The bound holds for every order of summation, for fused multiply-adds, for constant factors and residual sums fused into the sums
before them, and whether or not subnormal numbers are flushed to zero (Higham, Accuracy and Stability of Numerical Algorithms,
chapter 3). Inputs are float32 numbers; weights that are not are rounded once. It is assumed that every operator of the graph is
evaluated in float32 or better, that sums are sums (no fast Fourier or Winograd transforms of convolutions, no TF32, no half
precision), that softmax and log-sum-exp subtract the greatest value first, and what ``float32.elementwise`` says about the library's
functions. A batch normalisation is one multiplication and one addition, as the graph has it. Where a number may overflow, or a
function is not defined on all that rounding allows, the drift is infinite.

Two bounds are kept of every value's error, and the smaller one counts: forwards, what an operator makes of its inputs' errors; and
backwards, the sum over all earlier operators of what each rounds, times the greatest slope of the value with respect to its result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.float32.adjoints import ADJOINTS, Sensitivity
from netassay.checking.float32.composite import COMPOSITE
from netassay.checking.float32.elementwise import ELEMENTWISE
from netassay.checking.float32.linear import LINEAR
from netassay.checking.float32.values import FLOAT32, REAL, SMALLEST, Array, Rounding, Values
from netassay.errors import RegionError, UnsupportedOperatorError
from netassay.models import operators as op
from netassay.models.graph import Graph
from netassay.models.operators import LinearOperator, Operator

Ranges = Callable[[int], tuple[Array, Array] | None]
"""From the number of a value to a proved range (B, *shape) of the real one, or None."""

RULES: dict[type[Operator], Callable[[Any, Sequence[Values], Rounding], Values]] = {**LINEAR, **ELEMENTWISE, **COMPOSITE}
"""Every operator of the graph."""

_CONTINUES = (op.AddConstant, op.MulConstant, op.DivConstant, op.ChannelAffine, op.Add, op.Sub, op.Reshape, op.Transpose)
"""Operators through which a sum goes on."""

_WORK = 1 << 24
"""Most numbers of one sensitivity that is pushed back for the sake of an inner value."""


def drift(
    graph: Graph,
    lower: NDArray[Any],
    upper: NDArray[Any],
    *,
    rows: NDArray[Any] | None = None,
    deployed: Graph | None = None,
    ranges: Ranges | None = None,
    inner: bool = True,
) -> Array:
    """(B, r) bounds on ``|<row, float32 outputs> - <row, real outputs>|`` over all float32 inputs of each box.

    The rows themselves are real arithmetic of float32 outputs: comparisons of two outputs, or of one with a number, are exact, but
    for outputs that are flushed to zero, which is counted.

    Args:
        graph: The network; perhaps going on to what is claimed of its outputs.
        lower, upper: (B, *input shape) corners of the boxes, or (*input shape) for a single one.
        rows: (r, m); each output by itself by default.
        deployed: The part of ``graph`` that is evaluated in float32, sharing its operators; the rest is real arithmetic of its
            outputs. All of it by default, and where they share no operators.
        ranges: Tighter ranges of the graph's values than interval arithmetic finds.
        inner: Whether hidden values are bounded backwards too: tighter for deep networks over large boxes, and slower.
    Raises:
        RegionError: If the corners do not fit the graph, or a box is empty or NaN.
        UnsupportedOperatorError: If the drift of an operator is not known.
    """
    low, high = _boxes(graph, lower, upper)
    asked = np.eye(graph.output_size) if rows is None else np.asarray(rows, dtype=np.float64)
    trace = _Trace(graph, low, high, deployed, ranges, inner=inner)
    output = len(graph.nodes)
    backwards = trace.pushed_back(output, asked)
    with np.errstate(all="ignore"):
        ends = np.where(asked == 0, 0.0, np.abs(asked) * trace.error[output][:, None]).sum(axis=2)
        found = np.minimum(np.where(np.isnan(ends), np.inf, ends), backwards) + FLOAT32.tiny * np.abs(asked).sum(axis=1)
        return np.asarray(found * (1 + (graph.output_size + 8) * 2.0**-50) + SMALLEST)


class _Evaluation:
    """How each operator of a graph is evaluated: in which arithmetic, and whether its sum goes on through the next one."""

    def __init__(self, graph: Graph, deployed: Graph | None) -> None:
        self.graph = graph
        self._rounded = _rounded(graph, deployed or graph)
        self._readers = _readers(graph)
        real = (node for node in graph.nodes if id(node.operator) not in self._rounded)
        self._handed = {i for node in real for i in node.inputs}
        """Values that real arithmetic reads: whether they were flushed to zero is counted before it does."""

    def rounding(self, number: int) -> Rounding:
        """Of the operator that computes a value."""
        return FLOAT32 if id(self.graph.nodes[number - 1].operator) in self._rounded else REAL

    def value(self, number: int, kept: Sequence[Values]) -> Values:
        """A value from those before it."""
        node, rounding = self.graph.nodes[number - 1], self.rounding(number)
        if type(node.operator) not in RULES:
            known = ", ".join(sorted(kind.__name__ for kind in RULES))
            raise UnsupportedOperatorError(f"node {node.name!r}: the rounding of {node.operator.name} is not known; known: {known}")
        inputs = [v if v.rounding is rounding else v.under(rounding) for v in (kept[i] for i in node.inputs)]
        found = RULES[type(node.operator)](node.operator, inputs, rounding)
        return replace(found, inherited=found.inherited + rounding.tiny) if number in self._handed else found

    def goes_on(self, number: int) -> bool:
        """Whether the value is read once only, by an operator that carries its sum on: a runtime may fuse both."""
        if self.rounding(number) is REAL or self._readers[number] != 1:
            return False
        (reader,) = (n.operator for n in self.graph.nodes if number in n.inputs)
        return isinstance(reader, _CONTINUES) and id(reader) in self._rounded


def local_roundings(
    graph: Graph, lower: NDArray[Any], upper: NDArray[Any], assumed: Ranges, *, deployed: Graph | None = None
) -> list[Array | None]:
    """(B, *shape) for each value what its operator's own rounding adds at most, None for nothing.

    Each computed value is then the real operator's result of the computed values that it reads, up to that: given that all evaluations
    of the values before it lie in the ranges assumed, which is to be proved of the graph so perturbed.

    Args:
        graph, lower, upper, deployed: As for ``drift``.
        assumed: Ranges (B, *shape) of all evaluations of some values; those of others follow.
    """
    low, high = _boxes(graph, lower, upper)
    evaluation = _Evaluation(graph, deployed)
    kept, found = [Values(low, high, np.zeros_like(low))], list[Array | None]([None])
    for number in range(1, len(graph.nodes) + 1):
        value, shape = evaluation.value(number, kept), (len(low), *graph.shapes[number])
        if evaluation.goes_on(number):
            kept.append(value)
            found.append(None)
            continue
        error = np.broadcast_to(value.error, shape)
        alone, known = _enlarged(value, error), assumed(number)
        kept.append(alone if known is None else alone.within(*known))
        found.append(error if (error > 0).any() else None)
    return found


def _enlarged(value: Values, error: Array) -> Values:
    """What all evaluations of a value keep to, as values without an error; an infinite one remains."""
    with np.errstate(invalid="ignore"):
        low = value.low - error - (np.abs(value.low) + error) * 2.0**-50
        high = value.high + error + (np.abs(value.high) + error) * 2.0**-50
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return Values(low, high, np.where(np.isinf(error), np.inf, 0.0), rounding=value.rounding)


class _Trace:
    """All values of a graph over B boxes: their ranges, what each rounds, and how far it is off."""

    def __init__(self, graph: Graph, low: Array, high: Array, deployed: Graph | None, ranges: Ranges | None, *, inner: bool) -> None:
        self.graph, self._inner = graph, inner
        self.own: list[Array | None] = [None]
        """What the operator's own rounding adds; None for nothing."""
        self.error: list[Array] = [np.zeros_like(low)]
        """How far the value is off."""
        self.range: list[tuple[Array, Array]] = [(low, high)]
        """What every evaluation of the value keeps to, exact or rounded."""
        self._evaluation = _Evaluation(graph, deployed)
        self._values = [Values(low, high, np.zeros_like(low))]
        self._alone = list(self._values)
        for number in range(1, len(graph.nodes) + 1):
            self._take(number, len(low), None if ranges is None else ranges(number))

    def _take(self, number: int, batch: int, known: tuple[Array, Array] | None) -> None:
        whole, alone = (self._evaluation.value(number, kept) for kept in (self._values, self._alone))
        if known is not None:
            whole = whole.within(*known)
        shape = (batch, *self.graph.shapes[number])
        low, high, error = (np.broadcast_to(a, shape) for a in (whole.low, whole.high, whole.error))
        goes_on = self._evaluation.goes_on(number)
        self.own.append(None if goes_on else np.broadcast_to(alone.error, shape))
        self.error.append(error)
        self.range.append((low, high))
        if not goes_on:
            error = self._sharpened(number, error)
            whole = Values(low, high, error, rounding=whole.rounding)
            alone = _enlarged(whole, error)
            self.error[number], self.range[number] = error, (alone.low, alone.high)
        self._values.append(whole)
        self._alone.append(alone)

    def _sharpened(self, number: int, error: Array) -> Array:
        """The smaller of both bounds, where sensitivities are not too many to push back."""
        size = prod(error.shape[1:])
        widest = max(prod(shape) for shape in self.graph.shapes[: number + 1])
        first = all(np.all(self.error[i] == 0) for i in self.graph.nodes[number - 1].inputs)
        linear = isinstance(self.graph.nodes[number - 1].operator, LinearOperator)
        if not self._inner or first or not linear or len(error) * size * widest > _WORK:
            return error
        backwards = self.pushed_back(number, np.eye(size))
        return np.minimum(error, backwards.reshape(error.shape))

    def pushed_back(self, number: int, rows: Array) -> Array:
        """(B, R) bounds on the error of ``<row, value>``: what every operator rounds, times the row's greatest slope there."""
        batch, total = len(self.range[0][0]), np.zeros((len(self.range[0][0]), len(rows)))
        start = np.broadcast_to(rows.reshape(1, len(rows), *self.graph.shapes[number]), (batch, len(rows), *self.graph.shapes[number]))
        pending: dict[int, Sensitivity] = {number: Sensitivity(start, np.zeros_like(start))}
        for value in range(number, 0, -1):
            given = pending.pop(value, None)
            if given is None:
                continue
            with np.errstate(all="ignore"):
                parts = self._adjoint(value, given)
                total += _weighed(given.size, self.error[value] if parts is None else self.own[value])
                for i, part in zip(self.graph.nodes[value - 1].inputs, parts or [], strict=bool(parts)):
                    pending[i] = part.plus(pending.get(i))
        return total

    def _adjoint(self, value: int, given: Sensitivity) -> list[Sensitivity] | None:
        """Sensitivities to the inputs; None where they do not pass."""
        node = self.graph.nodes[value - 1]
        run = ADJOINTS.get(type(node.operator))
        if run is None:
            return None
        return run(node.operator, given, [self.graph.shapes[i] for i in node.inputs], [self.range[i] for i in node.inputs])


def _weighed(size: Array, error: Array | None) -> Array:
    """(B, R) sums of sizes (B, R, *shape) times errors (B, *shape); infinite where one may be."""
    if error is None:
        return np.zeros(size.shape[:2])
    flat = size.reshape(*size.shape[:2], -1)
    found = np.einsum("brn,bn->br", flat, error.reshape(len(error), -1)) * (1 + (flat.shape[2] + 8) * 2.0**-51) + SMALLEST
    return np.where(np.isnan(found), np.inf, found)


def _boxes(graph: Graph, lower: NDArray[Any], upper: NDArray[Any]) -> tuple[Array, Array]:
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if low.shape == graph.input_shape:
        low, high = low[None], high[None] if high.shape == graph.input_shape else high
    if low.shape != high.shape or low.shape[1:] != graph.input_shape or not len(low):
        raise RegionError(f"corners of shapes {low.shape} and {high.shape} do not fit a network of inputs {graph.input_shape}")
    if not (low <= high).all():
        raise RegionError("a box is empty or NaN: every lower corner must not exceed its upper corner")
    return low, high


def _rounded(graph: Graph, deployed: Graph) -> set[int]:
    """Identities of the operators that are evaluated in float32: all, unless ``graph`` does go on from ``deployed``."""
    every, own = ({id(n.operator) for n in g.nodes} for g in (graph, deployed))
    kept = {id(n.operator) for n in deployed.nodes if not isinstance(n.operator, op.Reshape)}
    return own if kept <= every else every


def _readers(graph: Graph) -> list[int]:
    """How many operators read each value: one that several read is computed once, and no sum goes on through it."""
    count = [0] * (len(graph.nodes) + 1)
    for node in graph.nodes:
        for i in node.inputs:
            count[i] += 1
    return count
