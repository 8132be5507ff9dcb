"""Groups of ReLUs bounded together: the inputs of a group are cut into cells, with a linear form below the group's sum in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.verifiers.decomposition_sums import Sums
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import SMALLEST, UNDERFLOW, Array, down, gamma, up

MOST_NUMBERS = 1 << 22
"""Most numbers of the ReLUs of all cells: fewer of a group's inputs are cut, those with the largest effect, to stay below."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """S cells for each of G groups, and linear forms: ``sum of the group >= <slope, x> + offset`` in the cell, up to rounding.

    Args:
        middle, radius: (G, S, D): the cell lies within.
        slope, offset: (G, S, D) and (G, S).
        size: (G, S) what errors of rounding are a share of.
        terms: Length of the sums in them.
    """

    middle: Array
    radius: Array
    slope: Array
    offset: Array
    size: Array
    terms: int

    @classmethod
    def of(cls, sums: Sums, weights: Array, parts: int) -> Cells:
        """Cells whose forms are below the groups' sums with weights (G, N), with the inputs cut into so many parts."""
        a, b = sums.coefficients, sums.offsets[:, None]
        low, high = _cut(sums, weights, parts)
        middle = low / 2 + high / 2
        radius = np.where(low == high, 0.0, up(np.maximum(high - middle, middle - low)))
        largest = np.maximum(np.abs(middle) + radius, SMALLEST)
        across = np.swapaxes(a, 1, 2)
        value, spread, size = middle @ across + b, radius @ np.abs(across), largest @ np.abs(across) + np.abs(b)
        slack = spread + 4 * gamma(a.shape[2] + 4) * size + UNDERFLOW
        factor, shift = _lines(value - slack, value + slack, weights[:, None])
        terms = a.shape[1] + a.shape[2] + 16
        heavy = weights[:, None] * factor
        offset = (heavy * b + weights[:, None] * shift).sum(axis=2)
        size = (np.abs(heavy) * size + np.abs(weights[:, None]) * shift).sum(axis=2)
        return cls(middle, radius, heavy @ a, offset, size, terms)

    def least(self, multipliers: Array) -> tuple[Array, Array]:
        """(G,) the least of all cells' forms less ``<multipliers, x>``, up to rounding, and (G, D) where it is."""
        slope = self.slope - multipliers[:, None]
        values = (slope * self.middle).sum(axis=2) - (np.abs(slope) * self.radius).sum(axis=2) + self.offset
        groups, cell = np.arange(len(values)), values.argmin(axis=1)
        points = self.middle[groups, cell] - np.sign(slope[groups, cell]) * self.radius[groups, cell]
        return values[groups, cell], points

    def proved(self, multipliers: Array) -> Array:
        """(G,) lower bounds of each group's sum less ``<multipliers, x>``, in real arithmetic; -inf where nothing is known."""
        slope = self.slope - multipliers[:, None]
        values = (slope * self.middle).sum(axis=2) - (np.abs(slope) * self.radius).sum(axis=2) + self.offset
        size = self.size + (np.abs(multipliers)[:, None] * np.maximum(np.abs(self.middle) + self.radius, SMALLEST)).sum(axis=2)
        return down(np.min(values - 4 * gamma(self.terms) * size - UNDERFLOW, axis=1))


def cut_inputs(sums: Sums, weights: Array, parts: int) -> Positions:
    """(G, k) which of its inputs each group is cut along, into so many equal parts each."""
    low, high = sums.low[sums.reads], sums.high[sums.reads]
    groups, depth = low.shape
    most = max(1, MOST_NUMBERS // max(1, groups * max(depth, weights.shape[1])))
    count = 0 if parts < 2 else int(min(depth, np.log(most) / np.log(parts)))
    effect = (np.abs(weights)[:, :, None] * np.abs(sums.coefficients)).sum(axis=1) * (high - low)
    return np.argsort(-effect, axis=1)[:, :count]


def _cut(sums: Sums, weights: Array, parts: int) -> tuple[Array, Array]:
    """(G, S, D) ends of the cells; together they hold everything between the ends of a group's inputs."""
    low, high = sums.low[sums.reads], sums.high[sums.reads]
    order = cut_inputs(sums, weights, parts)
    groups, count = order.shape
    steps = np.arange(parts + 1) / parts
    edges = np.clip(low[..., None] + (high - low)[..., None] * steps, low[..., None], high[..., None])
    edges[..., 0], edges[..., -1] = low, high
    digits = np.indices((parts,) * count).reshape(count, -1) if count else np.zeros((0, 1), dtype=np.intp)
    lower, upper = (np.repeat(side[:, None], digits.shape[1], axis=1) for side in (low, high))
    for r in range(count):
        column = order[:, r]
        own = edges[np.arange(groups), column]
        at = np.broadcast_to(column[:, None, None], (groups, digits.shape[1], 1))
        np.put_along_axis(lower, at, own[:, digits[r], None], axis=2)
        np.put_along_axis(upper, at, own[:, digits[r] + 1, None], axis=2)
    return lower, upper


def _lines(low: Array, high: Array, weights: Array) -> tuple[Array, Array]:
    """Slopes in [0, 1] and offsets >= 0 of lines on the side of the ReLU that the weight asks for, on ``low <= z <= high``."""
    on, off = low >= 0, high <= 0
    chord = np.clip(high / (high - low), 0.0, 1.0)
    below = np.where(high > -low, 1.0, 0.0)
    slope = np.where(on, 1.0, np.where(off, 0.0, np.where(weights < 0, chord, below)))
    above = up(np.maximum(-slope * low, (1 - slope) * high) * (1 + 1e-15)) + UNDERFLOW
    return slope, np.where(on | off | (weights >= 0), 0.0, above)
