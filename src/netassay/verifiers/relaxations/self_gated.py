"""x times a sigmoid of x, as rows: SiLU, GELU (exact and by tanh) and its piecewise form HardSwish."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from netassay.verifiers.relaxations.base import Array
from netassay.verifiers.relaxations.curve import UNDERFLOW, Curve, ErrorBound, Function, Span, Turn, always, relative, turning
from netassay.verifiers.relaxations.curves import erfc, logistic, sketched, squares_in_exponent
from netassay.verifiers.relaxations.rounding import EPS


def _silu_error(x: Array, _: Array) -> Array:
    p = logistic(x)
    return 16 * EPS * (p + np.abs(x) * p * logistic(-x)) + UNDERFLOW


def _silu_slope(x: Array) -> Array:
    p = logistic(x)
    return p + x * p * logistic(-x)


def _normal(x: Array) -> Array:
    """Density of the standard normal distribution."""
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def _below_normal(x: Array) -> Array:
    """Its distribution function."""
    return 0.5 * erfc(x * -math.sqrt(0.5))


def _gelu_slope_error(x: Array, _: Array) -> Array:
    return 16 * EPS * (1 + np.minimum(x * x, 1600.0)) * (_below_normal(x) + np.abs(x) * _normal(x)) + UNDERFLOW


_TANH_SCALE = 2 * math.sqrt(2 / math.pi)
_TANH_CUBIC = 0.044715


def _gelu_tanh_exponent(x: Array) -> Array:
    return _TANH_SCALE * x * (1 + _TANH_CUBIC * x * x)


def _gelu_tanh_value(x: Array) -> Array:
    """x / 2 * (1 + tanh(u / 2)) = x * logistic(u)."""
    return x * logistic(_gelu_tanh_exponent(x))


def _gelu_tanh_parts(x: Array) -> tuple[Array, Array]:
    u = _gelu_tanh_exponent(x)
    p = logistic(u)
    return p, x * (_TANH_SCALE * (1 + 3 * _TANH_CUBIC * x * x)) * p * logistic(-u)


def _gelu_tanh_slope(x: Array) -> Array:
    x = np.clip(x, -1e60, 1e60)
    p, rest = _gelu_tanh_parts(x)
    return p + rest


def _gelu_tanh_slope_error(x: Array, _: Array) -> Array:
    x = np.clip(x, -1e60, 1e60)
    p, rest = _gelu_tanh_parts(x)
    return 16 * EPS * (1 + np.minimum(np.abs(_gelu_tanh_exponent(x)), 800.0)) * (p + np.abs(rest)) + UNDERFLOW


def _gelu_tanh_error(x: Array, value: Array) -> Array:
    return 16 * EPS * (1 + np.minimum(np.abs(_gelu_tanh_exponent(np.clip(x, -1e60, 1e60))), 800.0)) * np.abs(value) + UNDERFLOW


def _tabulated(derivative: Function, begin: float, end: float) -> Function:
    """An inverse of a monotone ``derivative`` on [begin, end], from a table that is filled at the first use."""

    @cache
    def table() -> tuple[Array, Array]:
        points = np.linspace(begin, end, 2049)
        slopes = derivative(points)
        order = np.argsort(slopes, kind="stable")
        return slopes[order], points[order]

    def inverse(slopes: Array) -> Array:
        known, points = table()
        at = np.interp(slopes, known, points)
        cell = np.clip(np.searchsorted(known, slopes), 1, len(known) - 1)
        with np.errstate(all="ignore"):
            rate = (points[cell] - points[cell - 1]) / (known[cell] - known[cell - 1])
            for _ in range(2):
                moved = at - (derivative(at) - slopes) * rate
                at = np.where(np.isfinite(moved), np.clip(moved, begin, end), at)
        return at

    return inverse


def _dipping(
    value: Function,
    derivative: Function,
    value_error: ErrorBound,
    derivative_error: ErrorBound,
    bend: float,
    far: float,
    turn: Turn,
    sketch: Function | None = None,
    rough_derivative: Function | None = None,
) -> Curve:
    """Concave, convex between -bend and bend, concave: x times a sigmoid. ``far``: where its tails are straight to rounding."""
    rough = rough_derivative or derivative
    return Curve(
        value,
        derivative,
        convex=always(Span(-bend, bend, _tabulated(rough, -bend, bend))),
        concave=always(Span(-math.inf, -bend, _tabulated(rough, -far, -bend)), Span(bend, math.inf, _tabulated(rough, bend, far))),
        value_error=value_error,
        derivative_error=derivative_error,
        turns=lambda _l, _u: (turn,),
        limits=(0.0, math.inf),
        floor=turn.low,
        sketch=sketch,
    )


SILU = _dipping(
    lambda x: x * logistic(x),
    _silu_slope,
    relative(16),
    _silu_error,
    bend=2.3993572805154676,
    far=50.0,
    turn=Turn(-1.2784645427610738, -0.2784645427610739, -0.2784645427610737),
)
_rough_below_normal = sketched(_below_normal, _normal, 12.0)
GELU = _dipping(
    lambda x: x * _below_normal(x),
    lambda x: _below_normal(x) + x * _normal(x),
    squares_in_exponent(16),
    _gelu_slope_error,
    bend=math.sqrt(2),
    far=12.0,
    turn=Turn(-0.7517915246935645, -0.1699712074799037, -0.1699712074799035),
    sketch=lambda x: x * _rough_below_normal(x),
    rough_derivative=lambda x: _rough_below_normal(x) + x * _normal(x),
)
GELU_TANH = _dipping(
    _gelu_tanh_value,
    _gelu_tanh_slope,
    _gelu_tanh_error,
    _gelu_tanh_slope_error,
    bend=1.4185040087908284,
    far=9.0,
    turn=Turn(-0.7524614220710163, -0.1700407505712542, -0.1700407505712539),
)


def _hard_swish() -> Curve:
    return Curve(
        lambda x: np.where(x <= -3, 0.0, np.where(x >= 3, x, x * np.clip((x + 3) / 6, 0.0, 1.0))),
        lambda x: np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5)),
        convex=always(Span(-3.0, 3.0, lambda s: 3 * (s - 0.5))),
        derivative_error=lambda x, _: 8 * EPS * (np.minimum(np.abs(x), 3.0) + 1),
        kinks=(-3.0, 3.0),
        turns=turning(-1.5, -0.375, -0.375),
        limits=(0.0, math.inf),
        floor=-0.375,
    )


HARD_SWISH = _hard_swish()
