"""Lines around nonlinear operators: for every output one input below it and one above it, each with a slope.

On the ranges of its inputs, ``lower_slope * x[lower_pick] <= y <= upper_slope * x[upper_pick] + upper_offset``. All operators here are
maxima of two lines or of numbers, convex in every single input, so that a chord over an interval is right once it is right
at both ends, whatever its slope. Those of smooth operators are in ``smooth``; they have an offset below, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions, floats
from netassay.checking.certificates.curves import curve_of
from netassay.errors import UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models.operators import Operator, Shape

LEAST_LEAN = 1 + 2.0**-20
"""The right end of a range is so many times the left one where the line below is the right part. More than 1, as ranges around 0 are
often as long on both sides: rounding must not decide which line is chosen, or both arithmetics would prove different things."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines around one operator, in B subproblems (or in one for all).

    Args:
        lower_slope, upper_slope, upper_offset: (B, m) each; slopes are not negative.
        lower_pick, upper_pick: (B, m) positions in the flat inputs; None where output i depends on input i alone.
        lower_offset: (B, m) of the line below, infinite where there is none; None for 0, where no offset is negative.
    """

    lower_slope: Array
    upper_slope: Array
    upper_offset: Array
    lower_pick: Positions | None = None
    upper_pick: Positions | None = None
    lower_offset: Array | None = None


def left_slope(operator: Operator) -> float | None:
    """The slope below 0 of ``max(x, slope * x)``; None for an operator of another kind."""
    if isinstance(operator, nl.Relu):
        return 0.0
    return operator.slope if isinstance(operator, nl.LeakyRelu) and 0 <= operator.slope < 1 else None


def windows(operator: Operator, shapes: list[Shape], output: Shape, name: str) -> Positions | None:
    """(m, k) the flat inputs of which each output is the greatest, -1 for none; None for an operator of one number.

    Raises:
        UnsupportedOperatorError: If the checker does not know the operator.
    """
    if left_slope(operator) is not None or curve_of(operator) is not None:
        return None
    size = int(np.prod(output))
    begins = np.cumsum([0, *(int(np.prod(s)) for s in shapes)])
    places = [begin + np.arange(np.prod(s), dtype=np.intp).reshape(s) for begin, s in zip(begins, shapes, strict=False)]
    if isinstance(operator, nl.Maximum):
        return np.stack([np.broadcast_to(p, output).reshape(-1) for p in places], axis=1)
    if isinstance(operator, nl.ReduceMax):
        kept = [a for a in range(len(shapes[0])) if a not in operator.axes]
        return np.asarray(places[0].transpose(*kept, *operator.axes).reshape(size, -1), dtype=np.intp)
    if isinstance(operator, nl.MaxPool):
        return _pooled(operator, places[0], output)
    raise UnsupportedOperatorError(
        f"node {name!r}: the checker does not know {operator.name}; of nonlinear operators it knows Relu, LeakyRelu (slope from 0 to 1), "
        "Maximum, ReduceMax, MaxPool, Abs, Clip, Minimum, Sigmoid, Tanh and Exp"
    )


def _pooled(operator: nl.MaxPool, places: Positions, output: Shape) -> Positions:
    widths = [(0, 0), *zip(operator.begins, operator.ends, strict=True)]
    padded = np.pad(places, widths, constant_values=-1)
    found = []
    for offset in np.ndindex(*operator.kernel):
        rows = zip(offset, operator.dilations, operator.strides, output[1:], strict=True)
        cut = tuple(slice(o * d, o * d + s * (n - 1) + 1, s) for o, d, s, n in rows)
        found.append(padded[(slice(None), *cut)].reshape(-1))
    return np.stack(found, axis=1)


def kinked(arithmetic: Arithmetic, left: float, low: Array, high: Array, choice: Array | None = None) -> Lines:
    """Lines around ``max(x, left * x)`` on [low, high].

    Args:
        arithmetic: Of all numbers.
        left: The slope below 0.
        low, high: (B or 1, m).
        choice: (B or 1, m) numbers in [0, 1]: where the lower line lies between both parts; NaN for the usual choice.
    """
    one, s = arithmetic.array(1.0), arithmetic.array(left)
    if choice is not None:
        low, high, choice = np.broadcast_arrays(low, high, choice)
    upper = np.where(low >= 0, one, s)
    lower, offset = upper.copy(), arithmetic.zeros(*low.shape)
    at = np.nonzero((low < 0) & (high > 0))
    chosen = np.where(floats(high[at]) > LEAST_LEAN * floats(-low[at]), 1.0, 0.0)
    if choice is not None:
        chosen = np.where(np.isnan(choice[at]), chosen, np.clip(choice[at], 0.0, 1.0))
    lower[at] = arithmetic.array(np.clip(left + (1 - left) * chosen, left, 1.0))
    upper[at], offset[at] = _chord(arithmetic, s, low[at], high[at])
    return Lines(lower, upper, offset)


def _chord(arithmetic: Arithmetic, s: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """A slope in [s, 1], and an offset above ``max(x, s x) - slope * x`` at both ends of [low, high], with low < 0 < high."""
    a = arithmetic
    slope = np.minimum(np.maximum(a.quotient(high - s * low, high - low), s), 1)
    at_low, at_high = a.up(a.up(slope - s) * -low), a.up(a.up(1 - slope) * high)
    return slope, np.maximum(at_low, at_high)


def greatest(arithmetic: Arithmetic, index: Positions, low: Array, high: Array) -> Lines:
    """Lines around the greatest of each window.

    Args:
        arithmetic: Of all numbers.
        index: (m, k) as ``windows`` gives it.
        low, high: (B, n) ranges of the flat inputs.
    """
    a, lows, highs = arithmetic, _gathered(low, index), _gathered(high, index)
    floor, best = (lows + highs).argmax(axis=2), highs.argmax(axis=2)
    alone = _at(lows, floor) >= _others(highs, floor)
    most, least, others = _at(highs, best), _at(lows, best), _others(highs, best)
    rises = (most > others) & (least < others)
    top, bottom, level = (np.where(rises, side, other) for side, other in ((most, 1), (least, -1), (others, 0)))
    slope = np.minimum(np.maximum(a.quotient(top - level, top - bottom), 0), 1)
    tilted = np.maximum(a.up(level - a.down(slope * bottom)), a.up(top - a.down(slope * top)))
    one, nothing, row = a.array(1.0), a.array(0.0), np.arange(len(index))
    return Lines(
        np.broadcast_to(one, floor.shape),
        np.where(alone, one, np.where(rises, slope, nothing)),
        np.where(alone, nothing, np.where(rises, tilted, most)),
        index[row, floor],
        index[row, np.where(alone, floor, best)],
    )


def _gathered(values: Array, index: Positions) -> Array:
    """(B, m, k) the numbers of each window, -inf where there is none."""
    return np.where(index < 0, -np.inf, values[:, index])


def _at(values: Array, position: Positions) -> Array:
    return np.take_along_axis(values, position[:, :, None], axis=2)[:, :, 0]


def _others(highs: Array, position: Positions) -> Array:
    """The greatest of each window without the input at ``position``; -inf where there is no other."""
    return np.asarray(np.where(np.arange(highs.shape[2]) == position[:, :, None], -np.inf, highs).max(axis=2))


def image(arithmetic: Arithmetic, operator: Operator, index: Positions | None, low: Array, high: Array) -> tuple[Array, Array]:
    """The range of the operator's result, exact but for rounding."""
    if index is not None:
        return _gathered(low, index).max(axis=2), _gathered(high, index).max(axis=2)
    curve = curve_of(operator)
    if curve is not None:
        return curve.value(arithmetic, low)[0], curve.value(arithmetic, high)[1]
    left, zero = left_slope(operator), arithmetic.array(0.0)
    if not left:  # no rounding: next to 0 it would give numbers so small that processors are slow with them
        return np.maximum(low, zero), np.maximum(high, zero)
    s = arithmetic.array(left)
    return np.where(low >= 0, low, arithmetic.down(s * low)), np.where(high >= 0, high, arithmetic.up(s * high))
