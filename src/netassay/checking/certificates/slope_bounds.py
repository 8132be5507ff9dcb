"""Bounds of the slopes of ``s = min over parts of max over rows h_r`` from a point x0, over boxes that may lie within a ball around it.

With p the part that is least at x, ``s(x0) - s(x) <= s(x0) - h_r(x)`` for every row r of p; and with p any part, ``s(x) - s(x0)`` is
at most the largest ``h_r(x) - s(x0)`` of its rows. Of every row and both signs v = h_r, -h_r, three bounds are taken of what ``v`` loses
on the way from x0, as a share of the distance, and the least of them counts:

* slopes: ``v(x0) - v(x)`` is a product of x0 - x with a vector from an interval (``interval_slopes``), so at most the dual norm of its
  largest entries times the distance. A feature that can move to one side only counts with one sign, a fixed one not at all;
* forms: a linear form below v, where the distance is not too small: its dual norm, and its error at x0 divided by the distance;
* values: the least v over the box, divided by the distance.

What slopes say is about h_r(x0) rather than s(x0). The difference is added, as a share of the distance, unless the row is one for which it
is known to help: of the rows that may be the greatest of p at x0, one is at least s(x0), so the worst of them counts; and the rows of the
part that is least at x0 are all at most s(x0), so the worst of the parts that may be that one counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array
from netassay.checking.certificates.balls import Ball
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.interval_slopes import interval_slopes
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.odds import odds_of
from netassay.checking.certificates.odds_forms import score_bounds
from netassay.checking.certificates.pushing import Bound
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.statement import Case
from netassay.errors import DataError

NUMBERS, MOST = 1 << 20, 1 << 23
"""Numbers of one array of coefficients, if boxes can be taken apart for that; and at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What rows lose over B boxes: h in the first columns, -h in the others.

    Args:
        slope: (B, 2r) dual norms of their slopes.
        tilt: (B, 2r) dual norms of the forms below them.
        error: (B, 2r) what these are off by at x0, at most.
        drop: (B, 2r) by how much they fall below s(x0), or -s(x0), at most.
        pull: (B, n) the largest coefficient of each feature in a form.
        empty: (B,) boxes without any input that counts.
    """

    slope: Array
    tilt: Array
    error: Array
    drop: Array
    pull: Array
    empty: Array


class SlopeBounds:
    """Bounds of the slopes that a case is about.

    Args:
        network: The network.
        case: Its ``slopes`` say from which point and in which distance.
    Attributes:
        least, most: s(x0) lies between them; infinite where nothing is known.
    Raises:
        DataError: If the case claims nothing of slopes, or has too many rows.
    """

    def __init__(self, network: CheckedNetwork, case: Case) -> None:
        if case.slopes is None or not case.parts:
            raise DataError("the case claims nothing of slopes")
        if 2 * sum(len(p.constants) for p in case.parts) * max(network.sizes) > MOST:
            raise DataError(f"a claim about slopes of {sum(len(p.constants) for p in case.parts)} rows is too large for this network")
        a, self.network, self.case, self.claim = network.arithmetic, network, case, case.slopes
        self.center, self.scale = a.array(case.slopes.center), a.array(case.slopes.scale)
        self._rows = a.array(np.concatenate([p.rows for p in case.parts]))
        constants = a.array(np.concatenate([p.constants for p in case.parts]))
        self._signed, self._constants = np.concatenate([self._rows, -self._rows]), np.concatenate([constants, -constants])
        part = np.repeat(np.arange(len(case.parts)), [len(p.constants) for p in case.parts])
        self._parts = [np.flatnonzero(part == p) for p in range(len(case.parts))]
        point = Region(case.slopes.center, case.slopes.center)
        self._point = Parts(network, point, self.center[None], self.center[None])
        found = self._minimum(self._point).lower
        self._low, self._high = found[: len(self._rows)], -found[len(self._rows) :]
        self._tops = [(self._low[rows].max(), self._high[rows].max()) for rows in self._parts]
        self.least, self.most = min(low for low, _ in self._tops), min(high for _, high in self._tops)

    @property
    def arithmetic(self) -> Arithmetic:
        return self.network.arithmetic

    @property
    def reach(self) -> float | None:
        """The radius of the region, if it is a ball in the claim's distance; None for others."""
        ball, claim = self.case.region.ball, self.claim
        same = ball is not None and ball.norm == claim.norm
        if ball is None or not (same and np.array_equal(ball.center, claim.center) and np.array_equal(ball.scale, claim.scale)):
            return None
        return ball.radius

    def losses(self, low: Array, high: Array, radius: float | None) -> Losses:
        """What rows lose over boxes (B, n), as far as these lie within the region, and within a radius of the centre where one is given."""
        each = 2 * len(self._rows) * max(self.network.sizes)
        step = max(1, NUMBERS // each)
        blocks = [self._losses(low[i : i + step], high[i : i + step], self._region(radius)) for i in range(0, len(low), step)]
        names = Losses.__slots__
        return Losses(*(np.concatenate([getattr(b, name) for b in blocks]) for name in names))

    def _region(self, radius: float | None) -> Region:
        region, claim = self.case.region, self.claim
        if radius is None or claim.norm is None:
            return region
        return Region(region.lower, region.upper, Ball(claim.norm, claim.center, claim.scale, radius))

    def _losses(self, low: Array, high: Array, region: Region) -> Losses:
        a, count, r, n = self.arithmetic, len(low), len(self._signed), self.network.sizes[0]
        parts = Parts(self.network, region, low, high)
        bound = self._minimum(parts)
        form, offset, lower = bound.form.reshape(count, r, n), bound.offset.reshape(count, r), bound.lower.reshape(count, r)
        least, most = interval_slopes(self._rows, parts, self._point)
        sides = np.asarray(low < self.center), np.asarray(high > self.center)
        slope = np.concatenate([self._dual(least, most, *sides), self._dual(-most, -least, *sides)], axis=1)
        start = np.repeat(a.bound(-np.array([self.most, -self.least], dtype=self.center.dtype)), r // 2)
        with np.errstate(all="ignore"):  # start is a lower bound of -s(x0), and of s(x0)
            along, size = form @ self.center, np.abs(form) @ np.abs(self.center)
            error = -(start + offset + along) + 2 * a.gamma(n) * (np.abs(start) + np.abs(offset) + size) + a.tiny
            drop = a.up(-start - lower)
        return Losses(slope, self._dual(form, form, *sides), error, drop, np.abs(form).max(axis=1), parts.empty)

    def _minimum(self, parts: Parts) -> Bound:
        """Bounds of all rows and their negatives in all parts."""
        if odds_of(self.network) is not None:
            return score_bounds(parts, self._signed, self._constants)
        owner = np.repeat(np.arange(len(parts)), len(self._signed))
        return parts.minimum(self.network.output, np.tile(self._signed, (len(parts), 1)), owner, np.tile(self._constants, len(parts)))

    def _dual(self, low: Array, high: Array, falls: Array, rises: Array) -> Array:
        """(B, r) at least ``<c, x0 - x> / d(x)`` for coefficients c in [low, high] (B, r, n) and the x of each box.

        ``falls`` and ``rises`` (B, n) say of which features an x may lie below, or above the centre.
        """
        a = self.arithmetic
        with np.errstate(all="ignore"):
            weights = np.maximum(np.where(falls[:, None], high, 0), np.where(rises[:, None], -low, 0))
            known = a.known(weights)
            weights = np.where(known & (weights > 0), a.up(weights * self.scale), a.zeros(1))
        dual = {None: 1, 1: None, 2: 2}[self.claim.norm]
        return np.where(known.all(axis=2), norm_above(a, weights, dual), np.inf)

    def steepest(self, losses: Losses, near: Array, far: Array) -> tuple[Array, Array]:
        """(B,) bounds of the falling and of the rising slopes where the distance lies between ``near`` (B,), perhaps 0, and ``far``."""
        a, r = self.arithmetic, len(self._rows)
        with np.errstate(all="ignore"):
            formed = _plus(a, losses.tilt, _share(a, losses.error, near, far))
            known = np.minimum(formed, _share(a, losses.drop, near, far))
            apart = np.concatenate([a.up(self.most - self._low), a.up(self._high - self.least)])[None]
            any_row, top_row = (
                np.minimum(known, _plus(a, losses.slope, _share(a, np.broadcast_to(c, known.shape), near, far)))
                for c in (apart, np.minimum(apart, 0))
            )
        falls, rises, others = list[Array](), list[Array](), list[Array]()
        for rows, (low, _) in zip(self._parts, self._tops, strict=True):
            tops = rows[np.asarray(self._high[rows] >= low)]
            falls.append(np.minimum(any_row[:, rows].min(axis=1), top_row[:, tops].max(axis=1)))
            others.append(any_row[:, r + rows].max(axis=1))
            if low <= self.most:
                rises.append(top_row[:, r + rows].max(axis=1))
        falling, rising = np.max(falls, axis=0), np.minimum(np.max(rises, axis=0), np.min(others, axis=0))
        return np.where(losses.empty, 0, np.maximum(falling, 0)), np.where(losses.empty, 0, np.maximum(rising, 0))

    def distances(self, low: Array, high: Array) -> tuple[Array, Array]:
        """(B,) the distance of any x of each box (B, n) from the centre is between them."""
        a = self.arithmetic
        gap = np.maximum(np.maximum(a.down(low - self.center), a.down(self.center - high)), 0)
        reach = np.maximum(np.maximum(a.up(high - self.center), a.up(self.center - low)), 0)
        gap, reach = np.maximum(a.outward(gap, self.scale)[0], 0), a.outward(reach, self.scale)[1]
        return norm_below(a, gap, self.claim.norm), norm_above(a, reach, self.claim.norm)

    def holds(self, falling: Array, rising: Array) -> NDArray[np.bool_]:
        """(B,) bounds that bear out what is claimed."""
        found = np.asarray(falling <= self.claim.falling)
        return found if self.claim.rising is None else found & np.asarray(rising <= self.claim.rising)


def norm_above(a: Arithmetic, weights: Array, norm: int | None) -> Array:
    """At or above the norm of each last axis; weights are not negative, at most ``LARGEST``."""
    if norm is None:
        return np.asarray(weights.max(axis=-1))
    if norm == 1:
        return np.asarray(a.up(weights.sum(axis=-1) * (1 + 2 * a.gamma(weights.shape[-1]))))
    some = np.asarray((weights > 0).any(axis=-1))
    return np.where(some, a.root((weights * weights).sum(axis=-1), weights.shape[-1]), 0)


def norm_below(a: Arithmetic, weights: Array, norm: int | None) -> Array:
    """At or below the norm of each last axis."""
    if norm is None:
        return np.asarray(weights.max(axis=-1))
    less = 1 - 2 * a.gamma(weights.shape[-1])
    if norm == 1:
        return np.maximum(a.down(weights.sum(axis=-1) * less), 0)
    squares = (weights * weights).sum(axis=-1)
    return np.maximum(a.outward(squares * less, a.root(squares, weights.shape[-1]))[0], 0)


def _share(a: Arithmetic, lost: Array, near: Array, far: Array) -> Array:
    """(B, r) at or above ``lost / d`` for all distances d from ``near`` to ``far`` (B,); infinite where that has no bound."""
    known, rises = a.known(lost), np.asarray(lost > 0)
    by = np.where(rises, near[:, None], far[:, None])
    divided = known & np.asarray(by > 0) & np.asarray(lost != 0)
    found = a.outward(np.where(divided, lost, 0), np.where(divided, by, a.array(1.0)))[1]
    return np.where(divided, found, np.where(known & ~rises, a.zeros(1), np.inf))


def _plus(a: Arithmetic, one: Array, other: Array) -> Array:
    """At or above the sum; infinite where one is not known."""
    total = np.where(other == 0, one, a.up(one + other))
    return np.where(a.known(one) & a.known(other), total, np.inf)
