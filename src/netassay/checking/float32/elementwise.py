"""Functions of one number: how far their computed values lie from the real ones.

Of the library's functions is assumed, ``library`` being 2**-20 (16 units roundoff): exp, pow, sqrt, log are off by at most ``library``
relative to the result (log also absolutely, pow for exponents that are no small integers by as much as
exp of a product with a logarithm loses); sigmoid, tanh,
erf, sin, cos and the exp(x) - 1 of ELU by at most ``library`` absolutely; softplus by ``library`` of 1 + its value; GELU, SiLU and
hard swish by ``library`` of their argument. "Fast" modes of compilers and devices may break this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from netassay.checking.float32.values import SLACK, SMALLEST, Array, Rounding, Values, constant, settled, wider
from netassay.models import nonlinear as nl
from netassay.models.operators import Operator

Rule = Callable[[Any, Sequence[Values], Rounding], Values]
Function = Callable[[Array], Array]

_erf: Function = np.vectorize(math.erf, otypes=[np.float64])
_SQRT2 = math.sqrt(2)


def _relu(_: nl.Relu, x: Sequence[Values], rounding: Rounding) -> Values:
    """Nothing is rounded; that a result may be flushed to zero is counted where it is read."""
    v, error = x[0], x[0].error
    with np.errstate(invalid="ignore"):
        left = np.minimum(error, np.maximum(v.high + error, 0.0) * (1 + SLACK))
    return settled(rounding, np.maximum(v.low, 0), np.maximum(v.high, 0), np.where(np.isinf(error), np.inf, left), 0.0)


def _leaky_relu(o: nl.LeakyRelu, x: Sequence[Values], rounding: Rounding) -> Values:
    v, error, slope = x[0], x[0].error, abs(o.slope)
    steepest = max(1.0, slope)
    with np.errstate(all="ignore"):
        ends = [np.where(z >= 0, z, o.slope * z) for z in (v.low, v.high)]
        low, high = wider(np.minimum(*ends), np.maximum(*ends))
        crossing = (v.low < 0) & (v.high > 0)
        low, high = np.where(crossing, np.minimum(low, 0), low), np.where(crossing, np.maximum(high, 0), high)
        own = np.where(v.low - error < 0, (rounding.gamma(2) * slope + rounding.tiny) * v.computed, 0.0)
    return settled(rounding, low, high, steepest * (error + rounding.tiny) + own + 4 * rounding.tiny, steepest * v.computed)


def _elu(o: nl.Elu, x: Sequence[Values], rounding: Rounding) -> Values:
    v, alpha = x[0], abs(o.alpha)
    with np.errstate(all="ignore"):
        ends = [np.where(z > 0, z, o.alpha * np.expm1(np.minimum(z, 0))) for z in (v.low, v.high)]
        low, high = wider(np.minimum(*ends), np.maximum(*ends))
        if o.alpha < 0:
            high = np.maximum(high, -o.alpha)
            low = np.minimum(low, 0)
        own = np.where(v.low - v.error <= 0, alpha * (rounding.library + rounding.gamma(4)), 0.0)
    return settled(rounding, low, high, max(1.0, alpha) * v.error + own + (4 + alpha) * rounding.tiny, max(1.0, alpha) * (1 + v.computed))


def _nearest_zero(v: Values) -> Array:
    """The least magnitude between the real and the computed value's ends."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(np.maximum(v.low - v.error, -(v.high + v.error)), 0.0))


def _bounded(run: Function, slope: Function, lowest: float, x: Values, rounding: Rounding) -> Values:
    """A rising function between ``lowest`` and 1 whose slope falls with the distance from 0."""
    low, high = wider(run(x.low), run(x.high))
    with np.errstate(all="ignore"):
        error = slope(_nearest_zero(x)) * (1 + SLACK) * x.error + rounding.library
    return settled(rounding, np.maximum(low, lowest), np.minimum(high, 1.0), error + 2 * rounding.tiny, 1.0)


def _logistic(z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))


def _logistic_slope(z: Array) -> Array:
    fallen = np.exp(-np.abs(z))
    return np.asarray(fallen / (1 + fallen) ** 2 + SMALLEST)


def _tanh_slope(z: Array) -> Array:
    fallen = np.exp(-2 * np.abs(z))
    return np.asarray(4 * fallen / (1 + fallen) ** 2 + SMALLEST)


def sigmoid(x: Values, rounding: Rounding) -> Values:
    """1 / (1 + exp(-x))."""
    return _bounded(_logistic, _logistic_slope, 0.0, x, rounding)


def tanh(x: Values, rounding: Rounding) -> Values:
    """tanh(x)."""
    return _bounded(np.tanh, _tanh_slope, -1.0, x, rounding)


def _softplus(_: nl.Softplus, x: Sequence[Values], rounding: Rounding) -> Values:
    v = x[0]
    low, high = wider(np.logaddexp(v.low, 0), np.logaddexp(v.high, 0))
    size = np.maximum(v.computed, 0) + 1
    return settled(rounding, np.maximum(low, 0), high, v.error + rounding.library * size + 4 * rounding.tiny, 2 * size)


def _gated(run: Function, floor: float, steepest: float, _: Operator, x: Sequence[Values], rounding: Rounding) -> Values:
    """x times a gate from 0 to 1: between max(floor, x) and 0 below 0, rising above."""
    v = x[0]
    with np.errstate(all="ignore"):
        low = np.where(v.low >= 0, run(np.maximum(v.low, 0)), np.maximum(floor, v.low))
        low, high = wider(low, np.where(v.high > 0, run(np.maximum(v.high, 0)), 0.0))
        error = steepest * v.error + rounding.library * v.computed + 4 * rounding.tiny
        reach = np.where(v.computed < 2.0**40, 16 * v.computed, rounding.largest)
    return settled(rounding, np.where(np.isnan(v.low), -np.inf, low), high, error, reach)


def _gelu(o: nl.Gelu, x: Sequence[Values], rounding: Rounding) -> Values:
    def by_tanh(z: Array) -> Array:
        return np.asarray(z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))))

    def by_erf(z: Array) -> Array:
        return np.asarray(z / 2 * (1 + _erf(z / _SQRT2)))

    return _gated(by_tanh if o.tanh else by_erf, -0.18, 1.14, o, x, rounding)


def _exp(_: nl.Exp, x: Sequence[Values], rounding: Rounding) -> Values:
    return exponential(x[0], rounding)


def exponential(v: Values, rounding: Rounding) -> Values:
    """exp(x)."""
    with np.errstate(all="ignore"):
        top, bottom = np.exp(v.high) * (1 + SLACK), np.exp(v.low) * (1 - SLACK)
        reach = np.exp(v.high + v.error) * (1 + SLACK) * (1 + rounding.library)
        error = top * np.expm1(v.error) * (1 + SLACK) + rounding.library * reach + 4 * rounding.tiny + SMALLEST
        error = np.where(np.isinf(v.error), np.inf, np.where(v.error == 0, rounding.library * reach + 4 * rounding.tiny, error))
    return settled(rounding, np.maximum(bottom - SMALLEST, 0), top + SMALLEST, error, reach)


def _positive(v: Values, rounding: Rounding) -> Array:
    """At most the least number that the real or the computed value takes; 0 where it may not be positive."""
    with np.errstate(invalid="ignore"):
        least = (v.low - v.error - rounding.tiny) * (1 - SLACK)
    return np.where(least > 2 * rounding.tiny, least, 0.0)


def _log(_: nl.Log, x: Sequence[Values], rounding: Rounding) -> Values:
    v, least = x[0], _positive(x[0], rounding)
    with np.errstate(all="ignore"):
        low, high = wider(np.log(np.maximum(v.low, 0)), np.log(v.high))
        size = np.maximum(np.abs(np.log(least)), np.abs(np.log(v.computed)))
        error = np.where(least > 0, v.error / least + rounding.library * (size + 1), np.inf)
    return settled(rounding, np.where(v.low > 0, low, -np.inf), np.where(v.high > 0, high, np.inf), error, 0.0)


def _sqrt(_: nl.Sqrt, x: Sequence[Values], rounding: Rounding) -> Values:
    v = x[0]
    with np.errstate(all="ignore"):
        low, high = wider(np.sqrt(np.maximum(v.low, 0)), np.sqrt(np.maximum(v.high, 0)))
        moved = v.error + rounding.tiny
        least = np.sqrt(np.maximum(v.low - moved, 0)) + np.sqrt(np.maximum(v.low, 0))
        error = np.minimum(moved / (least * (1 - SLACK)), np.sqrt(moved)) * (1 + SLACK) + rounding.library * np.sqrt(v.computed)
        error = np.where(v.low - v.error >= 0, np.where(moved == 0, rounding.library * np.sqrt(v.computed), error), np.inf)
    return settled(rounding, np.maximum(low, 0), high, error, v.computed)


def _power(o: nl.Power, x: Sequence[Values], rounding: Rounding) -> Values:
    p, v = o.exponent, x[0]
    if p == 0:
        return constant(rounding, np.ones(v.low.shape[1:]))
    whole = p == int(p) and 0 < p <= 64
    least = np.zeros_like(v.low) if whole else _positive(v, rounding)
    with np.errstate(all="ignore"):
        ends = np.power(v.low, p), np.power(v.high, p)
        low, high = wider(np.minimum(*ends), np.maximum(*ends))
        if whole and p % 2 == 0:
            low = np.where((v.low <= 0) & (v.high >= 0), 0.0, low)
        known = whole | (v.low > 0)
        low, high = np.where(known, low, -np.inf), np.where(known, high, np.inf)
        steepest = abs(p) * np.maximum(np.power(v.computed, p - 1), 0.0 if whole else np.power(least, p - 1))
        reach = np.maximum(np.power(v.computed, p), 0.0 if whole else np.power(least, p))
        logs = np.maximum(np.abs(np.log(least)), np.abs(np.log(v.computed)))
        own = rounding.library * reach * (1.0 if whole else (1 + abs(p)) * (1 + logs))
        error = steepest * (v.error + rounding.tiny) * (1 + SLACK) + own + 4 * rounding.tiny
        error = np.where(whole | (least > 0), np.where(np.isinf(v.error), np.inf, error), np.inf)
    return settled(rounding, low, high, error, np.maximum(reach, v.computed))


def _erf_rule(_: nl.Erf, x: Sequence[Values], rounding: Rounding) -> Values:
    return _bounded(_erf, lambda z: np.asarray(2 / math.sqrt(math.pi) * np.exp(-np.square(z)) + SMALLEST), -1.0, x[0], rounding)


def _wave(run: Function, _: Operator, x: Sequence[Values], rounding: Rounding) -> Values:
    v = x[0]
    with np.errstate(all="ignore"):
        middle, radius = v.low / 2 + v.high / 2, (v.high / 2 - v.low / 2) * (1 + SLACK) + SLACK * (1 + v.magnitude)
        low, high = np.maximum(run(middle) - radius, -1.0), np.minimum(run(middle) + radius, 1.0)
        low, high = np.where(np.isnan(low), -1.0, low), np.where(np.isnan(high), 1.0, high)
    return settled(rounding, low, high, v.error + rounding.library + rounding.tiny, np.where(v.magnitude < np.inf, 1.0, np.inf))


def _abs(_: nl.Abs, x: Sequence[Values], rounding: Rounding) -> Values:
    v = x[0]
    low = np.where((v.low <= 0) & (v.high >= 0), 0.0, np.minimum(np.abs(v.low), np.abs(v.high)))
    return settled(rounding, low, v.magnitude, v.error + rounding.tiny, 0.0)


def clip(v: Values, lower: float, upper: float, rounding: Rounding) -> Values:
    """min(max(x, lower), upper)."""
    binding = [b for b, free in ((lower, lower <= -rounding.largest), (upper, upper >= rounding.largest)) if not free]
    stored = max([float(rounding.of_constant(np.asarray(b))) for b in binding], default=0.0)
    with np.errstate(invalid="ignore"):
        above, below = np.maximum(v.high + v.error - lower, 0.0), np.maximum(upper - (v.low - v.error), 0.0)
        moved = np.minimum(v.error, np.minimum(above, below) * (1 + SLACK)) + stored + rounding.tiny
    error = np.where(np.isinf(v.error), np.inf, moved)
    low, high = (np.minimum(np.maximum(end, lower), upper) for end in (v.low, v.high))
    return settled(rounding, low, high, error, max(map(abs, binding), default=0.0))


ELEMENTWISE: dict[type[Operator], Rule] = {
    nl.Relu: _relu,
    nl.LeakyRelu: _leaky_relu,
    nl.Elu: _elu,
    nl.Sigmoid: lambda _, x, r: sigmoid(x[0], r),
    nl.Tanh: lambda _, x, r: tanh(x[0], r),
    nl.Softplus: _softplus,
    nl.Gelu: _gelu,
    nl.Silu: partial(_gated, lambda z: z * _logistic(z), -0.28, 1.1),
    nl.HardSwish: partial(_gated, lambda z: z * np.clip(z / 6 + 0.5, 0, 1), -0.376, 1.5),
    nl.Exp: _exp,
    nl.Log: _log,
    nl.Sqrt: _sqrt,
    nl.Power: _power,
    nl.Erf: _erf_rule,
    nl.Sin: partial(_wave, np.sin),
    nl.Cos: partial(_wave, np.cos),
    nl.Abs: _abs,
    nl.Clip: lambda o, x, r: clip(x[0], o.lower, o.upper, r),
}
"""Every elementwise operator of ``models.nonlinear``."""
