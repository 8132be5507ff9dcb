"""Operators that mix several numbers and are not affine: maxima over windows and axes, softmax, products of matrices, LSTM layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from netassay.checking.float32.elementwise import clip, sigmoid, tanh
from netassay.checking.float32.linear import cells, dense
from netassay.checking.float32.pairs import add, divide, larger, multiply, smaller
from netassay.checking.float32.values import SLACK, SMALLEST, Array, Rounding, Values, constant, settled, wider
from netassay.models import nonlinear as nl
from netassay.models.operators import Operator, window_counts

Rule = Callable[[Any, Sequence[Values], Rounding], Values]


def _max_pool(o: nl.MaxPool, x: Sequence[Values], rounding: Rounding) -> Values:
    counts = window_counts(x[0].low.shape[2:], o.kernel, o.strides, o.begins, o.ends, o.dilations)
    widths = ((0, 0), (0, 0), *zip(o.begins, o.ends, strict=True))

    def largest(array: Array, empty: float) -> Array:
        padded, parts = np.pad(array, widths, constant_values=empty), []
        for offsets in product(*map(range, o.kernel)):
            parts.append(padded[cells(offsets, counts, o.strides, o.dilations)])
        return np.asarray(np.maximum.reduce(parts))

    error = largest(x[0].error, 0.0) + rounding.tiny
    return settled(rounding, largest(x[0].low, -np.inf), largest(x[0].high, -np.inf), error, 0.0)


def _reduce_max(o: nl.ReduceMax, x: Sequence[Values], rounding: Rounding) -> Values:
    low, high, error = (_largest(a, o.axes, o.keep) for a in (x[0].low, x[0].high, x[0].error))
    return settled(rounding, low, high, error + rounding.tiny, 0.0)


def _largest(array: Array, axes: tuple[int, ...], keep: bool) -> Array:
    return np.asarray(array.max(axis=tuple(a + 1 for a in axes), keepdims=keep))


def _log_sum_exp(o: nl.LogSumExp, x: Sequence[Values], rounding: Rounding) -> Values:
    return log_sum_exp(x[0], o.axes, o.keep, rounding)


def log_sum_exp(v: Values, axes: tuple[int, ...], keep: bool, rounding: Rounding) -> Values:
    """log(sum(exp(x))) over axes, the greatest x being subtracted first: off by the greatest error, and by rounding of the terms."""
    count = prod(v.low.shape[a + 1] for a in axes)

    def real(array: Array) -> Array:
        top = _largest(array, axes, True)
        finite = np.where(np.isfinite(top), top, 0.0)
        total = np.exp(array - finite).sum(axis=tuple(a + 1 for a in axes), keepdims=True)
        found = np.log(total) + finite
        return np.asarray(found if keep else found.reshape(_largest(array, axes, False).shape))

    with np.errstate(all="ignore"):
        low, high = wider(real(v.low) - count * SLACK, real(v.high) + count * SLACK)
        size = _largest(v.computed, axes, keep)
        error = _largest(v.error, axes, keep) + _of_sums(count, rounding) * (1 + 2 * size + np.log(count))
    return settled(rounding, low, high, error + 4 * rounding.tiny, 4 * size)


def _of_sums(count: int, rounding: Rounding) -> float:
    """Relative error of a sum of so many exponentials, and of what is done with it."""
    return 2 * rounding.library + rounding.gamma(2 * count + 8)


def _log_softmax(o: nl.LogSoftmax, x: Sequence[Values], rounding: Rounding) -> Values:
    v = x[0]
    real = v.under(rounding)
    total = log_sum_exp(Values(v.low, v.high, np.zeros_like(v.low), rounding=rounding), (o.axis,), True, rounding)
    with np.errstate(all="ignore"):
        low, high = wider(real.low - total.high, np.minimum(real.high - total.low, 0.0))
        count = v.low.shape[o.axis + 1]
        size = _largest(v.computed, (o.axis,), True)
        own = 2 * _of_sums(count, rounding) * (1 + 2 * size + np.log(count)) + 8 * rounding.tiny
        error = 2 * _largest(v.error, (o.axis,), True) + own + np.zeros_like(v.low)
    return settled(rounding, low, high, error, 4 * size)


def _softmax(o: nl.Softmax, x: Sequence[Values], rounding: Rounding) -> Values:
    scores = _log_softmax(nl.LogSoftmax(o.axis), x, rounding)
    count = x[0].low.shape[o.axis + 1]
    with np.errstate(all="ignore"):
        low, high = wider(np.exp(scores.low), np.exp(np.minimum(scores.high, 0.0)))
        spread = _largest(x[0].error, (o.axis,), True)
        moved = np.where(spread == 0, 0.0, high * np.expm1(2 * spread))
        error = moved + 2 * _of_sums(count, rounding) + 4 * rounding.tiny
        error = np.where(np.isinf(spread), np.inf, np.minimum(error, np.inf))
        reach = 4 * _largest(x[0].computed, (o.axis,), True)
    return settled(rounding, np.maximum(low, 0.0), np.minimum(high, 1.0), error, reach)


def _matmul(_: nl.MatMul, x: Sequence[Values], rounding: Rounding) -> Values:
    a, b = _aligned_matrices(x[0].under(rounding), x[1].under(rounding))
    terms = a.low.shape[-1]
    lost = [np.isinf(v.error).reshape(len(v.low), -1).any(axis=1) for v in (a, b)]
    with np.errstate(all="ignore"):
        middles = [v.low / 2 + v.high / 2 for v in (a, b)]
        radii = [(np.maximum(v.high - m, m - v.low)) * (1 + SLACK) + SMALLEST for v, m in zip((a, b), middles, strict=True)]
        sizes = [np.abs(m) + r for m, r in zip(middles, radii, strict=True)]
        e, f = (np.where(np.isinf(v.error), 0.0, v.error) + rounding.tiny for v in (a, b))
        mass = (sizes[0] + e) @ (sizes[1] + f) * (1 + SLACK)
        own = (terms + 16) * 2.0**-50
        spread = np.abs(middles[0]) @ radii[1] + radii[0] @ np.abs(middles[1]) + radii[0] @ radii[1] + 2 * own * mass + SMALLEST
        real = middles[0] @ middles[1]
        error = (e @ sizes[1] + sizes[0] @ f + e @ f) * (1 + own) + (4 * terms + 8) * rounding.tiny + SMALLEST
    error = np.where((lost[0] | lost[1]).reshape(-1, *(1,) * (error.ndim - 1)), np.inf, error)
    return settled(rounding, real - spread, real + spread, error, mass, open_=(mass, terms + 4))


def _aligned_matrices(a: Values, b: Values) -> tuple[Values, Values]:
    rank = max(a.low.ndim, b.low.ndim)

    def raised(v: Values) -> Values:
        missing = rank - v.low.ndim
        return v.moved(lambda x: x.reshape(len(x), *(1,) * missing, *x.shape[1:]))

    return raised(a), raised(b)


def _lstm(o: nl.Lstm, x: Sequence[Values], rounding: Rounding) -> Values:
    """One step per time: i, f, g, o = gates of W x_t + U h + b; c = f c + i g; h = o tanh(c)."""
    size, steps, batch = o.hidden.shape[0], x[0].low.shape[1], len(x[0].low)
    weights = [np.asarray(w, dtype=np.float64) for w in (o.input_weight, o.bias, o.hidden_weight)]

    def gate(v: Values) -> Values:
        if o.hard_sigmoid is None:
            return sigmoid(v, rounding)
        a, b = (constant(rounding, float(n)) for n in o.hard_sigmoid)
        return clip(add(multiply(v, a, rounding), b, rounding), 0.0, 1.0, rounding)

    def every(v: Values) -> Values:
        return v.moved(lambda a: np.broadcast_to(a, (batch, *a.shape[1:])))

    hidden, cell = (every(constant(rounding, np.asarray(w, dtype=np.float64))) for w in (o.hidden, o.cell))
    states: dict[int, Values] = {}
    for t in reversed(range(steps)) if o.reverse else range(steps):
        now = x[0].under(rounding).moved(lambda a, t=t: a[:, t])  # type: ignore[misc]
        total = add(dense(rounding, now, weights[0], weights[1]), dense(rounding, hidden, weights[2], np.zeros(4 * size)), rounding)
        parts = [total.moved(lambda a, k=k: a[:, k * size : (k + 1) * size]) for k in range(4)]  # type: ignore[misc]
        i, f, out = (gate(parts[k]) for k in (0, 1, 3))
        cell = add(multiply(f, cell, rounding), multiply(i, tanh(parts[2], rounding), rounding), rounding).under(rounding)
        hidden = multiply(out, tanh(cell, rounding), rounding)
        states[t] = hidden
    rows = [states[t] for t in range(steps)]
    low, high, error = (np.stack([np.asarray(getattr(s, name)) for s in rows], axis=1) for name in ("low", "high", "error"))
    return Values(low, high, error, rounding=rounding)


COMPOSITE: dict[type[Operator], Rule] = {
    nl.MaxPool: _max_pool,
    nl.ReduceMax: _reduce_max,
    nl.LogSumExp: _log_sum_exp,
    nl.LogSoftmax: _log_softmax,
    nl.Softmax: _softmax,
    nl.MatMul: _matmul,
    nl.Lstm: _lstm,
    nl.Mul: lambda _, x, r: multiply(x[0], x[1], r),
    nl.Div: lambda _, x, r: divide(x[0], x[1], r),
    nl.Maximum: lambda _, x, r: larger(x[0], x[1], r),
    nl.Minimum: lambda _, x, r: smaller(x[0], x[1], r),
}
"""The rest of ``models.nonlinear``."""
