"""Parts of an L0 ball as bound propagation sees them: some groups move within cells, a few of some others over their whole range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from netassay.specs.ball_geometry import Geometry
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, Array, down, gamma

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """B parts of one L0 ball.

    Args:
        geometry: The ball.
        allowed: (B, g) groups that may change, of which at most ``count`` do.
        count: (B,).
    """

    geometry: Geometry
    allowed: Bools
    count: Positions

    def take(self, positions: Positions) -> Part:
        return replace(self, allowed=self.allowed[positions], count=self.count[positions])

    def join(self, other: Part) -> Part:
        return replace(self, allowed=np.concatenate([self.allowed, other.allowed]), count=np.concatenate([self.count, other.count]))


@dataclass(frozen=True, slots=True, eq=False)
class PixelRegions(Regions):
    """Boxes of which the allowed groups' features leave the centre in a few groups only; all other features take any value of the box."""

    part: Part | None = None

    def take(self, positions: Positions) -> PixelRegions:
        """The regions at these positions."""
        assert self.part is not None
        return replace(self, lower=self.lower[positions], upper=self.upper[positions], part=self.part.take(positions))

    def minimum(self, coefficients: Array, owner: Positions) -> Array:
        """(R,) numbers at or below ``min <coefficients, x>`` over region ``owner[r]``, in real arithmetic; -inf where nothing is known."""
        rows, low, high = self._laid_out(coefficients, owner)
        assert self.part is not None
        center = self.part.geometry.center
        with np.errstate(all="ignore"):
            least = np.minimum(rows * low, rows * high)
            loose = self._loose(owner)
            base = np.where(loose, rows * center, least)
            gain = self._best(np.where(loose, rows * center - least, 0.0), owner)[0]
            magnitude = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.abs(center))
            slack = (np.abs(rows) * magnitude).sum(axis=1)
            bound = down(base.sum(axis=1) - gain - 6 * gamma(rows.shape[1] + 8) * slack - UNDERFLOW)
        usable = np.isfinite(rows).all(axis=1) & (magnitude.max(axis=1, initial=0.0) < LARGEST)
        return np.asarray(np.where(usable, bound, -np.inf))

    def minimisers(self, coefficients: Array, owner: Positions) -> Array:
        """(R, *shape) points of the region where ``<coefficients, x>`` is smallest."""
        rows, low, high = self._laid_out(coefficients, owner)
        assert self.part is not None
        center = self.part.geometry.center
        corner, loose = np.where(rows > 0, low, high), self._loose(owner)
        chosen = self._best(np.where(loose, rows * (center - corner), 0.0), owner)[1]
        spread = np.asarray(self.part.geometry.per_feature(chosen), dtype=np.bool_)
        return np.where(loose & ~spread, center, corner).reshape(-1, *self.shape)

    def gains(self, coefficients: Array) -> Array:
        """(B, g) how far each allowed group alone lowers the form (B, *shape) of its region; 0 for other groups."""
        assert self.part is not None
        owner = np.arange(len(self))
        rows, low, high = self._laid_out(coefficients, owner)
        single = rows * self.part.geometry.center - np.minimum(rows * low, rows * high)
        return self.part.geometry.group_sums(np.where(self._loose(owner), single, 0.0))

    def _laid_out(self, coefficients: Array, owner: Positions) -> tuple[Array, Array, Array]:
        low, high = self.corners
        return coefficients.reshape(len(coefficients), prod(self.shape)), low[owner], high[owner]

    def _loose(self, owner: Positions) -> Bools:
        assert self.part is not None
        return np.asarray(self.part.geometry.per_feature(self.part.allowed), dtype=np.bool_)[owner]

    def _best(self, single: Array, owner: Positions) -> tuple[Array, Bools]:
        """The sum (R,) of the largest group gains, as many as each region allows, and which groups (R, g) they are."""
        assert self.part is not None
        sums = self.part.geometry.group_sums(single)
        order = np.argsort(-sums, axis=1, kind="stable")
        first = np.arange(sums.shape[1]) < self.part.count[owner][:, None]
        chosen = np.zeros(sums.shape, dtype=np.bool_)
        np.put_along_axis(chosen, order, first, axis=1)
        return np.where(chosen, sums, 0.0).sum(axis=1), chosen
