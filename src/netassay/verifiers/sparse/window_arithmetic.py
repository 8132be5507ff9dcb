"""Linear forms of a few features on windows: products, ranges, maxima. All rounding is added to the remainders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.models.nonlinear import MaxPool, Relu
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNDERFLOW, UNIT, Array, down, gamma, up
from netassay.verifiers.sparse.carry import carry
from netassay.verifiers.sparse.windows import Window

Number = TypeVar("Number", bound=np.generic)


@dataclass(slots=True, eq=False)
class Forms:
    """Of B windows: slopes of K features and the constant (K + 1, B, P, c), remainders (B, P, c), and what no change exceeds (B, P, c)."""

    lines: Array
    rest: Array
    size: Array
    window: Window | None


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """A difference and its positive part at the centre: middles and half widths over a whole map (c, h, w)."""

    before: tuple[Array, Array]
    after: tuple[Array, Array]


def gaps(sides: tuple[Array, Array], operator: MaxPool, shape: tuple[int, int]) -> list[Gap]:
    """What each number that a maximum is taken of, after the first, exceeds the largest one before it by.

    Args:
        sides: Least and greatest numbers (c, h', w') at the centre.
        operator: The maximum.
        shape: (h, w) of its results.
    """
    numbers = [entries(side, operator, shape) for side in sides]
    low, high = numbers[0][0], numbers[1][0]
    found = []
    for least, most in zip(*(side[1:] for side in numbers), strict=True):
        before = down(least - high), up(most - low)
        found.append(Gap(middled(*before), middled(np.maximum(before[0], 0.0), np.maximum(before[1], 0.0))))
        low, high = np.maximum(low, least), np.maximum(high, most)
    return found


def entries(values: NDArray[Number], operator: MaxPool, shape: tuple[int, int]) -> NDArray[Number]:
    """(k, c, h, w) of a map (c, h', w') what the results are the largest of."""
    stride, dilation = operator.strides, operator.dilations
    found = []
    for row, column in np.ndindex(*operator.kernel):
        part = values[:, row * dilation[0] :: stride[0], column * dilation[1] :: stride[1]]
        found.append(part[:, : shape[0], : shape[1]])
    return np.stack(found)


def product(values: Array, weight: Array) -> Array:
    """(..., outputs) values (..., inputs) times (inputs, outputs), summed in any order, as ``gamma`` allows."""
    flat, by = (torch.from_numpy(np.require(x, requirements=["C", "W"])) for x in (values.reshape(-1, len(weight)), weight))
    return np.asarray((flat @ by).numpy()).reshape(*values.shape[:-1], -1)


def formed(lines: Array, rest: Array, window: Window | None) -> Forms:
    """Forms with their sizes."""
    return Forms(lines, rest, np.abs(lines).sum(axis=0) + rest, window)


def middled(low: Array, high: Array) -> tuple[Array, Array]:
    """The middles of ranges, and how far their ends are off at most."""
    middle = low / 2 + high / 2
    return middle, up(np.maximum(high - middle, middle - low))


def read(values: Array, reads: Positions) -> Array:
    """(F, B, P, k, c) of values (F, B, P', c), zero where the position is P'."""
    count, before = values.shape[1:3]
    padded = np.concatenate([values, np.zeros((len(values), count, 1, values.shape[3]))], axis=2)
    at = reads + (np.arange(count) * (before + 1))[:, None, None]
    return np.asarray(padded.reshape(len(values), -1, values.shape[3])[:, at])


def ranged(form: Forms) -> tuple[Array, Array]:
    """Least and greatest change over each cell, rounded outwards."""
    moved = np.abs(form.lines[:-1]).sum(axis=0)
    slack = form.rest + 2 * gamma(len(form.lines) + 8) * form.size
    return down(form.lines[-1] - moved - slack), up(form.lines[-1] + moved + slack)


def larger(one: Forms, other: Forms, at: tuple[Array, Array], after: tuple[Array, Array]) -> Forms:
    """The change of max(a, b) = b + relu(a - b), from those of a and b, and a - b and relu(a - b) at the centre."""
    gap = Forms(one.lines - other.lines, one.rest + other.rest, one.size + other.size, one.window)
    low, high = ranged(gap)
    span = down(low + down(at[0] - at[1])), up(high + up(at[0] + at[1]))
    carried = carry(Relu(), span, at, after, (gap.lines[-1], np.zeros_like(gap.rest), gap.size))
    slope = carried.slope
    lines = np.concatenate([other.lines[:-1] + slope * gap.lines[:-1], (other.lines[-1] + carried.constant)[None]])
    rest = np.abs(1 - slope) * other.rest + slope * one.rest + carried.rest
    rest = (rest + 16 * UNIT * (gap.size + np.abs(carried.constant))) * (1 + 16 * UNIT) + UNDERFLOW
    return formed(lines, rest, one.window)
