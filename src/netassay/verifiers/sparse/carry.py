"""How the change of a number passes through a nonlinear operator: as a multiple of itself, give or take a remainder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.models.nonlinear import Elementwise, LeakyRelu, Relu
from netassay.verifiers.relaxations import Lines, lines
from netassay.verifiers.rounding import UNDERFLOW, UNIT, Array, gamma


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """What a nonlinear operator makes of a form: the slope that its slopes are multiplied by, and the new constant and remainder."""

    slope: Array
    constant: Array
    rest: Array


def carry(
    operator: Elementwise, span: tuple[Array, Array], at: tuple[Array, Array], after: tuple[Array, Array], form: tuple[Array, Array, Array]
) -> Carried:
    """The operator's change as a multiple of the change of what it reads, give or take a remainder: a Chebyshev line.

    Args:
        operator: Applied number by number.
        span: Least and greatest number that it reads.
        at, after: The number that it reads, and its result, at the centre, and how far off these may be.
        form: Constant, remainder and size of the change of what it reads. The caller multiplies the slopes, which may round once.
    """
    if isinstance(operator, Relu):
        return _relu(operator, span, at, after, form)
    return _carried(operator, span, at, after, form)


def _relu(
    operator: Relu, span: tuple[Array, Array], at: tuple[Array, Array], after: tuple[Array, Array], form: tuple[Array, Array, Array]
) -> Carried:
    """A ReLU hands on what is never negative and swallows what is never positive: a line is for the others only."""
    (low, high), (middle, spread), (result, result_spread), (constant, rest, size) = span, at, after, form
    on, off = low >= 0, high <= 0
    moved = np.where(on, constant + middle, 0.0) - result
    loose = np.where(on, rest + spread, 0.0) + result_spread
    most = np.where(on, size + np.abs(middle), 0.0) + np.abs(result)
    found = Carried(on.astype(np.float64), moved, (loose + 4 * gamma(8) * most) * (1 + 16 * UNIT) + UNDERFLOW)
    left = np.nonzero(~(on | off))  # NaN among them
    pairs = [tuple(np.broadcast_to(x, low.shape)[left] for x in each) for each in (span, at, after, form)]
    other = _carried(operator, *pairs)  # type: ignore[arg-type]
    for mine, part in ((found.slope, other.slope), (found.constant, other.constant), (found.rest, other.rest)):
        mine[left] = part
    return found


def _carried(
    operator: Elementwise, span: tuple[Array, Array], at: tuple[Array, Array], after: tuple[Array, Array], form: tuple[Array, Array, Array]
) -> Carried:
    (low, high), (middle, spread), (result, result_spread), (constant, rest, size) = span, at, after, form
    steered = high / np.maximum(high - low, 1e-300) if isinstance(operator, Relu | LeakyRelu) else None
    found = lines(operator, low, high) if steered is None else lines(operator, low, high, steered)
    slope = found.lower_slope / 2 + found.upper_slope / 2
    slope = np.where(np.isfinite(slope), slope, 0.0)
    below = _end(found.lower_slope - slope, found.lower_offset, (low, high), np.minimum)
    above = _end(found.upper_slope - slope, found.upper_offset, (low, high), np.maximum)
    moved = slope * constant + (slope * middle - result) + (below / 2 + above / 2)
    loose = np.abs(slope) * (rest + spread) + result_spread + (above - below) / 2
    most = np.abs(slope) * (size + np.abs(middle)) + np.abs(result) + _end_sizes(found, slope, (low, high))
    return Carried(slope, moved, (loose + 4 * gamma(8) * most) * (1 + 16 * UNIT) + UNDERFLOW)


def _end(slope: Array, offset: Array, ends: tuple[Array, Array], choose: np.ufunc) -> Array:
    """The least or the greatest of ``slope * x + offset`` between the ends, up to rounding."""
    found = choose(np.where(slope == 0, 0.0, slope * ends[0]), np.where(slope == 0, 0.0, slope * ends[1])) + offset
    return np.asarray(found)


def _end_sizes(found: Lines, slope: Array, ends: tuple[Array, Array]) -> Array:
    """What the rounding of both ``_end`` is relative to."""
    tilt = np.abs(found.lower_slope - slope) + np.abs(found.upper_slope - slope)
    reach = np.where(tilt == 0, 0.0, tilt * np.maximum(np.abs(ends[0]), np.abs(ends[1])))
    return np.asarray(reach + np.abs(found.lower_offset) + np.abs(found.upper_offset))
