"""Functions of one number as rows: sigmoids, exponentials, powers and waves; the self-gated ones are in ``self_gated``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import cast

import numpy as np

from netassay.verifiers.relaxations.base import Array, Mask
from netassay.verifiers.relaxations.curve import (
    SLACK,
    UNDERFLOW,
    Curve,
    ErrorBound,
    Function,
    Span,
    Spans,
    Turn,
    Turns,
    always,
    everywhere,
    nowhere,
    relative,
    turning,
)
from netassay.verifiers.relaxations.rounding import EPS


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), accurate to a few EPS for every x."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def _logit(p: Array) -> Array:
    p = np.clip(p, 0.0, 1.0)
    return np.log(p) - np.log1p(-p)


def _logistic_slope_inverse(slopes: Array) -> Array:
    """The x <= 0 with logistic'(x) = slope."""
    s = np.clip(slopes, 0.0, 0.25)
    return _logit(2 * s / (1 + np.sqrt(1 - 4 * s)))


def _logistic_slope(x: Array) -> Array:
    """p (1 - p), without cancellation."""
    small = np.exp(-np.abs(x))
    return np.asarray(small / (1.0 + small) ** 2)


def _s_shaped(inverse: Function) -> tuple[Spans, Spans]:
    """Convex left of 0, concave right of it, with an even derivative; ``inverse`` gives points x <= 0."""
    return always(Span(-math.inf, 0.0, inverse)), always(Span(0.0, math.inf, lambda s: -inverse(s)))


def _sigmoid() -> Curve:
    convex, concave = _s_shaped(_logistic_slope_inverse)
    return Curve(logistic, _logistic_slope, convex, concave, limits=(0.0, 1.0), floor=0.0, ceiling=1.0)


def _tanh_slope(x: Array) -> Array:
    """1 - tanh(x)^2, without cancellation."""
    small = np.exp(-2 * np.abs(x))
    return np.asarray(4 * small / (1.0 + small) ** 2)


def _tanh() -> Curve:
    convex, concave = _s_shaped(lambda s: -np.arccosh(1 / np.sqrt(np.clip(s, 0.0, 1.0))))
    return Curve(np.tanh, _tanh_slope, convex, concave, limits=(-1.0, 1.0), floor=-1.0, ceiling=1.0)


_erf = cast(Function, np.vectorize(math.erf, otypes=[np.float64]))
erfc = cast(Function, np.vectorize(math.erfc, otypes=[np.float64]))
"""1 - erf, without cancellation."""


def sketched(function: Function, derivative: Function, far: float) -> Function:
    """``function`` by cubic interpolation in a table filled at the first use, within about 1e-13; constant beyond +-``far``."""
    cells = 8192

    @cache
    def table() -> tuple[Array, Array]:
        points = np.linspace(-far, far, cells + 1)
        return function(points), derivative(points) * (2 * far / cells)

    def sketch(x: Array) -> Array:
        values, slopes = table()
        place = np.clip((x + far) * (cells / (2 * far)), 0.0, float(cells))
        cell = np.minimum(place.astype(np.intp), cells - 1)
        t = place - cell
        v, w, a, b = values[cell], values[cell + 1], slopes[cell], slopes[cell + 1]
        return np.asarray(v + t * (a + t * (3 * (w - v) - 2 * a - b + t * (2 * (v - w) + a + b))))

    return sketch


def _erf_slope(x: Array) -> Array:
    return 2 / math.sqrt(math.pi) * np.exp(-x * x)


def squares_in_exponent(units: float) -> ErrorBound:
    """exp(-x^2) carries the rounding of its exponent: a relative error that grows with x^2, until all underflows."""
    return lambda x, value: units * EPS * (1 + np.minimum(x * x, 1600.0)) * np.abs(value) + UNDERFLOW


def _error_function() -> Curve:
    top = 2 / math.sqrt(math.pi)
    convex, concave = _s_shaped(lambda s: -np.sqrt(-np.log(np.clip(s / top, 0.0, 1.0))))
    return Curve(
        _erf,
        _erf_slope,
        convex,
        concave,
        derivative_error=squares_in_exponent(16),
        limits=(-1.0, 1.0),
        floor=-1.0,
        ceiling=1.0,
        sketch=sketched(_erf, _erf_slope, 7.0),
    )


def _softplus_value(x: Array) -> Array:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0)


def _softplus() -> Curve:
    return Curve(_softplus_value, logistic, convex=always(Span(-math.inf, math.inf, _logit)), limits=(0.0, math.inf), floor=0.0)


def _exp() -> Curve:
    return Curve(np.exp, np.exp, convex=always(Span(-math.inf, math.inf, np.log)), limits=(0.0, math.inf), floor=0.0)


def _log() -> Curve:
    """At x = 0 the value is -inf: still bounded from above."""
    return Curve(
        np.log,
        lambda x: 1 / x,
        concave=always(Span(0.0, math.inf, lambda s: 1 / s)),
        domain=lambda lower, _: lower >= 0,
    )


def _sqrt() -> Curve:
    return Curve(
        np.sqrt,
        lambda x: 0.5 / np.sqrt(x),
        concave=always(Span(0.0, math.inf, lambda s: 0.25 / (s * s))),
        floor=0.0,
        domain=lambda lower, _: lower >= 0,
    )


SIGMOID, TANH, ERF, SOFTPLUS, EXP, LOG, SQRT = _sigmoid(), _tanh(), _error_function(), _softplus(), _exp(), _log(), _sqrt()


def elu(alpha: float) -> Curve:
    """x where x > 0, alpha * (exp(x) - 1) elsewhere."""
    left = always(Span(-math.inf, 0.0, lambda s: np.log(s / alpha)))
    return Curve(
        lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0))),
        lambda x: np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0))),
        convex=left if alpha > 0 else nowhere,
        concave=left if alpha < 0 else nowhere,
        kinks=(0.0,),
        turns=turning(0.0, 0.0, 0.0) if alpha < 0 else nowhere,
        limits=(-alpha, math.inf),
    )


def _power_domain(exponent: float) -> Callable[[Array, Array], Mask]:
    whole = exponent == int(exponent)
    if whole and exponent >= 0:
        return everywhere
    if whole:
        return lambda lower, upper: (lower > 0) | (upper < 0)
    return (lambda lower, _: lower >= 0) if exponent > 0 else (lambda lower, _: lower > 0)


def _power_spans(exponent: float) -> tuple[Spans, Spans]:
    """Convex and concave spans of x ** exponent."""

    def size(slopes: Array) -> Array:
        """|x| where the derivative has that size."""
        return np.asarray(np.abs(slopes / exponent) ** (1 / (exponent - 1)))

    right, left = Span(0.0, math.inf, size), Span(-math.inf, 0.0, lambda s: -size(s))
    if exponent in (0.0, 1.0):
        return nowhere, nowhere
    if exponent != int(exponent):
        return (nowhere, always(right)) if 0 < exponent < 1 else (always(right), nowhere)
    if exponent % 2:
        return always(right), always(left)
    if exponent < 0:
        return always(left, right), nowhere
    return always(Span(-math.inf, math.inf, lambda s: np.sign(s) * size(s))), nowhere


def _power_limits(exponent: float) -> tuple[float, float]:
    if exponent == 0:
        return 1.0, 1.0
    if exponent < 0:
        return 0.0, 0.0
    return (-math.inf if exponent % 2 == 1 else math.inf), math.inf


def power(exponent: float) -> Curve:
    """x ** exponent, real-valued: x >= 0 where the exponent is not whole, x != 0 where it is negative."""
    convex, concave = _power_spans(exponent)
    even = exponent == int(exponent) and exponent % 2 == 0
    return Curve(
        lambda x: np.asarray(x**exponent),
        (lambda x: np.zeros_like(x)) if exponent == 0 else lambda x: np.asarray(exponent * x ** (exponent - 1)),
        convex,
        concave,
        derivative_error=relative(32 + 400 * (abs(exponent) + 1)),
        turns=turning(0.0, 0.0, 0.0) if even and exponent > 0 else nowhere,
        limits=_power_limits(exponent),
        floor=0.0 if even or exponent != int(exponent) else -math.inf,
        domain=_power_domain(exponent),
    )


FAR = 1e8
"""Sines beyond it are bounded by constants: their periods are no longer located well."""


def _unwieldy(lower: Array, upper: Array) -> Mask:
    """Where a sine is bounded by constants: nearly a whole period or more, or far out."""
    return ~((upper - lower < 6.28) & (lower > -FAR) & (upper < FAR))


def _shifts(lower: Array, upper: Array, end: float) -> list[Array]:
    """The two multiples d of 2 pi with end + d first above ``lower``; NaN where ``_unwieldy``."""
    first = np.ceil((lower - end) / (2 * math.pi) - 1e-6)
    return [np.where(_unwieldy(lower, upper), np.nan, 2 * math.pi * (first + i)) for i in (0, 1)]


def _waves(middle: float, rising: float) -> Spans:
    """Spans of length pi around ``middle`` + 2 pi n, on which the derivative is ``rising`` * sin(x - middle)."""

    def shifted(d: Array) -> Span:
        begin, end = middle - math.pi / 2 + d, middle + math.pi / 2 + d
        return Span(begin, end, lambda s: rising * np.arcsin(np.clip(s, -1.0, 1.0)) + middle + d, margin=64 * SLACK)

    return lambda lower, upper: [shifted(d) for d in _shifts(lower, upper, middle + math.pi / 2)]


def _crests(top: float) -> Turns:
    """The crests near the bounds, at ``top`` + 2 pi n, and the troughs between them."""

    def turns(lower: Array, upper: Array) -> Sequence[Turn]:
        found = []
        for at, value in ((top, 1.0), (top + math.pi, -1.0)):
            for d in _shifts(lower, upper, at):
                found.append(Turn(np.where(np.isnan(d), 0.5 * lower + 0.5 * upper, at + d), value, value))
        return found

    return turns


def _wave(value: Function, derivative: Function, top: float) -> Curve:
    """A sine whose crests are at ``top`` + 2 pi n: concave around them, convex around the troughs."""
    return Curve(
        value,
        derivative,
        convex=_waves(top + math.pi, 1.0),
        concave=_waves(top, -1.0),
        turns=_crests(top),
        limits=(math.nan, math.nan),
        floor=-1.0,
        ceiling=1.0,
    )


SIN = _wave(np.sin, np.cos, math.pi / 2)
COS = _wave(np.cos, lambda x: -np.sin(x), 0.0)
