"""Which relaxation and which interval belong to which operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from netassay.errors import UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import Operator, Shape
from netassay.verifiers.relaxations import curves, log_sum_exp, maxima, piecewise, positions, products, self_gated
from netassay.verifiers.relaxations.base import Array, Interval, Lines, Mask, Planes
from netassay.verifiers.relaxations.curve import Curve, everywhere
from netassay.verifiers.relaxations.piecewise import Corners
from netassay.verifiers.relaxations.positions import Index
from netassay.verifiers.relaxations.smooth import curve_interval, curve_lines

LOWERED: frozenset[type[Operator]] = frozenset({nl.Softmax, nl.LogSoftmax, nl.Lstm})
"""Written in terms of other operators before anything is bounded."""

FUNCTIONS: dict[type[Elementwise], Callable[[Any], Curve | Corners]] = {
    nl.LeakyRelu: lambda o: piecewise.leaky_relu(o.slope),
    nl.Abs: lambda _: piecewise.absolute(),
    nl.Clip: lambda o: piecewise.clip(o.lower, o.upper),
    nl.Elu: lambda o: curves.elu(o.alpha),
    nl.Sigmoid: lambda _: curves.SIGMOID,
    nl.Tanh: lambda _: curves.TANH,
    nl.Softplus: lambda _: curves.SOFTPLUS,
    nl.Gelu: lambda o: self_gated.GELU_TANH if o.tanh else self_gated.GELU,
    nl.Silu: lambda _: self_gated.SILU,
    nl.HardSwish: lambda _: self_gated.HARD_SWISH,
    nl.Exp: lambda _: curves.EXP,
    nl.Log: lambda _: curves.LOG,
    nl.Sqrt: lambda _: curves.SQRT,
    nl.Power: lambda o: curves.power(o.exponent),
    nl.Erf: lambda _: curves.ERF,
    nl.Sin: lambda _: curves.SIN,
    nl.Cos: lambda _: curves.COS,
}
"""Functions of one number as rows; ReLU is met so often that it has its own code."""

Relaxation = Callable[[Index, list[Array], list[Array]], Planes]
Range = Callable[[Index, list[Array], list[Array]], Interval]
Positions = Callable[[Any, Sequence[Shape]], Index]

SEVERAL: dict[type[Operator], tuple[Positions, Relaxation, Range]] = {
    nl.Mul: (lambda _, s: positions.pairs(*s), products.mul_planes, products.mul_interval),
    nl.Div: (lambda _, s: positions.pairs(*s), products.div_planes, products.div_interval),
    nl.MatMul: (lambda _, s: positions.factors(*s), products.matmul_planes, products.matmul_interval),
    nl.Maximum: (lambda _, s: positions.pairs(*s), maxima.max_planes, maxima.max_interval),
    nl.Minimum: (lambda _, s: positions.pairs(*s), maxima.min_planes, maxima.min_interval),
    nl.MaxPool: (lambda o, s: positions.windows(o, s[0]), maxima.max_planes, maxima.max_interval),
    nl.ReduceMax: (lambda o, s: positions.reductions(s[0], o.axes), maxima.max_planes, maxima.max_interval),
    nl.LogSumExp: (
        lambda o, s: positions.reductions(s[0], o.axes),
        log_sum_exp.log_sum_exp_planes,
        log_sum_exp.log_sum_exp_interval,
    ),
}
"""Operators with several input numbers per output number."""

RELAXED: frozenset[type[Operator]] = frozenset({nl.Relu, *FUNCTIONS, *SEVERAL})
"""Every operator class that ``lines`` or ``planes``, and ``interval``, accept."""


def lines(operator: Elementwise, lower: Array, upper: Array, slope: Array | None = None) -> Lines:
    """Lines below and above an elementwise operator on each [lower, upper], both (B, *shape) with lower <= upper.

    Args:
        operator: A row of ``FUNCTIONS``, or ReLU.
        lower, upper: Bounds of the input; may be infinite.
        slope: Wanted slopes of the lower lines of ReLU and leaky ReLU where the sign is not known, in [0, 1], cut to what
            is sensible there; ignored elsewhere. Default: the slope of least area.
    Raises:
        UnsupportedOperatorError: If the operator has no lines.
    """
    if isinstance(operator, nl.Relu):
        return piecewise.relu_lines(lower, upper, slope)
    row = _function(operator)
    return piecewise.corner_lines(row, lower, upper, slope) if isinstance(row, Corners) else curve_lines(row, lower, upper)


def planes(operator: Operator, lowers: Sequence[Array], uppers: Sequence[Array]) -> Planes:
    """Planes below and above an operator with several inputs per output; the bounds of input i are (B, *shape_i).

    Raises:
        UnsupportedOperatorError: If the operator has no planes.
    """
    index, relaxation, _ = _several(operator, lowers)
    return relaxation(index, list(lowers), list(uppers))


def interval(operator: Operator, lowers: Sequence[Array], uppers: Sequence[Array]) -> Interval:
    """Contains the operator's value, (B, *output shape), for all real inputs between the bounds; rounded outwards.

    Raises:
        UnsupportedOperatorError: If the operator is linear, lowered or unknown.
    """
    if isinstance(operator, nl.Relu):
        return piecewise.relu_interval(lowers[0], uppers[0])
    if isinstance(operator, Elementwise):
        row = _function(operator)
        if isinstance(row, Corners):
            return piecewise.corner_interval(row, lowers[0], uppers[0])
        return curve_interval(row, lowers[0], uppers[0])
    index, _, bounds = _several(operator, lowers)
    low, high = bounds(index, list(lowers), list(uppers))
    shape = (len(low), *operator.output_shape(*(x.shape[1:] for x in lowers)))
    return low.reshape(shape), high.reshape(shape)


def undefined(operator: Operator, lowers: Sequence[Array], uppers: Sequence[Array]) -> Mask | None:
    """Where a result may be no number, (B, *output shape): outside the operator's domain, or from what may be no number; None for nowhere.

    What may be no number has bounds that are NaN. A later operator may have a bounded image, and bounds nothing for such an input.
    """
    found = _outside(operator, lowers, uppers)
    if any(np.isnan(x.min(initial=0.0)) for x in lowers):
        shape = operator.output_shape(*(x.shape[1:] for x in lowers))
        lost = _lost(operator, lowers, len(shape))
        found = lost if found is None else found | lost
    return found if found is not None and found.any() else None


def _outside(operator: Operator, lowers: Sequence[Array], uppers: Sequence[Array]) -> Mask | None:
    if isinstance(operator, nl.Div):
        below = ~((lowers[1] > 0) | (uppers[1] < 0))
        rank = len(shape := operator.output_shape(*(x.shape[1:] for x in lowers)))
        return np.broadcast_to(below.reshape(len(below), *(1,) * (rank + 1 - below.ndim), *below.shape[1:]), (len(below), *shape))
    row = FUNCTIONS[type(operator)](operator) if isinstance(operator, Elementwise) and type(operator) in FUNCTIONS else None
    if not isinstance(row, Curve) or row.domain is everywhere:
        return None
    return ~row.domain(lowers[0], uppers[0])


def _lost(operator: Operator, lowers: Sequence[Array], rank: int) -> Mask:
    """Where a number that is read may be none: entry by entry, else for whole results."""
    if isinstance(operator, Elementwise):
        return np.isnan(lowers[0])
    some = np.logical_or.reduce([np.isnan(x).reshape(len(x), -1).any(axis=1) for x in lowers])
    return np.asarray(some.reshape(-1, *(1,) * rank))


def _function(operator: Elementwise) -> Curve | Corners:
    if type(operator) not in FUNCTIONS:
        raise _unknown(operator)
    return FUNCTIONS[type(operator)](operator)


def _several(operator: Operator, lowers: Sequence[Array]) -> tuple[Index, Relaxation, Range]:
    if type(operator) not in SEVERAL:
        raise _unknown(operator)
    where, relaxation, bounds = SEVERAL[type(operator)]
    return where(operator, [x.shape[1:] for x in lowers]), relaxation, bounds


def _unknown(operator: Operator) -> UnsupportedOperatorError:
    known = ", ".join(sorted(kind.__name__ for kind in RELAXED))
    return UnsupportedOperatorError(f"{operator.name} has no relaxation of this kind; there are some for {known}")
