"""Noise symbols of the input, which zonotopes and symbolic intervals share: ``x_i = middle_i + radius_i * eps_i``, eps in [-1, 1].

The middle and the radius are float64 numbers, rounded so that every x of the box has such an eps; linear forms of eps are therefore
linear forms of x, and where the region is a ball they are minimised over the ball too.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import lru_cache
from math import prod

import numpy as np

from netassay.models import operators as op
from netassay.models.operators import LinearOperator
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma, up

_OFFSETS = frozenset({"bias", "shift"})
_ROWS = 1 << 22
"""Most numbers of the linear forms that are minimised over balls at once."""


class Noise:
    """The symbols of B regions: one for every feature that has a width in some region.

    Args:
        regions: Boxes, perhaps within balls.
    """

    def __init__(self, regions: Regions) -> None:
        low, high = regions.corners
        with np.errstate(all="ignore"):
            middle = np.where(low == high, low, low / 2 + high / 2)
            radius = up(np.maximum(high - middle, middle - low))
        radius[low == high] = 0.0
        known = np.maximum(np.abs(low), np.abs(high)) < LARGEST
        self.middle: Array = np.where(known, middle, 0.0)
        """(B, n) middles; 0 where nothing is known."""
        self.radius: Array = np.where(known, radius, 0.0)
        """(B, n) radii."""
        self.unknown: Array = np.where(known, 0.0, np.inf)
        """(B, n) infinite where a feature is unbounded, else 0."""
        self.features: Positions = np.flatnonzero((self.radius > 0).any(axis=0))
        """(k,) the feature of each symbol."""
        self._regions = regions

    def __len__(self) -> int:
        return len(self.features)

    def diagonal(self, widths: Array) -> Array:
        """(B, k, *shape) coefficients of values (B, *shape), one per feature, each of which is its own symbol times its width."""
        count, size = len(widths), prod(widths.shape[1:])
        found = np.zeros((count, len(self), size))
        found[:, np.arange(len(self)), self.features] = widths.reshape(count, size)[:, self.features]
        return found.reshape(count, len(self), *widths.shape[1:])

    def through_dense(self, widths: Array, operator: op.Dense) -> Array:
        """(B, k, m) coefficients of ``W x`` for a diagonal value of widths (B, n): no product of matrices."""
        columns = np.asarray(operator.weight, dtype=np.float64).T[self.features]
        return np.asarray(widths[:, self.features, None] * columns)

    def least(self, coefficients: Array, size: Array | None = None) -> Array:
        """(B, *shape) numbers at or below ``min over region b of sum_j coefficients[b, j] * eps_j``, in real arithmetic.

        Args:
            coefficients: (B, k, *shape).
            size: (B, *shape) at least the sum of their magnitudes, where it is known already.
        """
        with np.errstate(all="ignore"):
            if size is None:
                size = np.abs(coefficients).sum(axis=1) * (1 + 2 * gamma(len(self)))
            found = down(-size - UNDERFLOW)
            if self._regions.ball is not None:
                found = np.maximum(found, self._over_balls(coefficients, size))
        return np.asarray(np.where(size < LARGEST, found, -np.inf))

    def _over_balls(self, coefficients: Array, size: Array) -> Array:
        """The same over the balls: ``<a, eps> = <a / radius, x - middle>`` up to the rounding of the quotient."""
        count, width = len(coefficients), prod(coefficients.shape[2:])
        flat, found = coefficients.reshape(count, len(self), width), np.empty((count, width))
        step = max(1, _ROWS // max(prod(self._regions.shape), 1))
        for b in range(count):
            for begin in range(0, width, step):
                found[b, begin : begin + step] = self._over_ball(b, flat[b, :, begin : begin + step].T)
        return np.asarray(down(found.reshape(size.shape) - 4 * UNIT * size - UNDERFLOW))

    def _over_ball(self, region: int, rows: Array) -> Array:
        radius = self.radius[region, self.features]
        slopes = np.zeros((len(rows), self.middle.shape[1]))
        slopes[:, self.features] = np.where(radius > 0, rows / radius, 0.0)
        least = self._regions.minimum(slopes.reshape(-1, *self._regions.shape), np.full(len(rows), region))
        middle = self.middle[region]
        slack = 2 * gamma(len(middle)) * (np.abs(slopes) @ np.abs(middle))
        return down(least - slopes @ middle - slack - 4 * UNIT * np.abs(least) - UNDERFLOW)


@lru_cache(maxsize=512)
def linear_map(affine: AffineMap) -> AffineMap:
    """The map without what it adds: W x instead of W x + b."""
    return AffineMap(_linear_part(affine.operator), affine.shapes)


def _linear_part(operator: LinearOperator) -> LinearOperator:
    if isinstance(operator, op.Pad):
        return replace(operator, value=0.0)
    names = {"value"} if isinstance(operator, op.AddConstant | op.Constant) else _OFFSETS & {f.name for f in fields(operator)}
    return replace(operator, **{name: np.zeros_like(getattr(operator, name)) for name in names})


def padded(coefficients: Array, symbols: int) -> Array:
    """Coefficients (B, G, *shape) with zeros for the symbols that came later."""
    missing = symbols - coefficients.shape[1]
    if missing <= 0:
        return coefficients
    count, shape = len(coefficients), coefficients.shape[2:]
    return np.concatenate([coefficients, np.zeros((count, missing, *shape))], axis=1)


def times(weights: Array, values: Array) -> Array:
    """The product, in which a zero weight wins against infinity."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(weights == 0, 0.0, weights * values))
