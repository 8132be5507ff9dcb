"""Proved upper bounds of the Lipschitz metric Q (DeepQuant, Definition 6), of abs(s - s0) and of its falling side alone.

With the claim's ``s = min over parts of max over rows h_r`` and x0 the centre, ``s(x0) - s(x) <= c_r + h_r(x0) - h_r(x)`` for the part that
is least at x and any row of it, where ``c_r = s(x0) - h_r(x0)``: so s falls no faster than the largest over parts of the least over
rows with ``c_r <= 0`` (one is always there). A part whose rows stay above s(x0) falls no faster than 0: what cannot be the least
anywhere does not count. Likewise s rises no faster than the rows of the part that is least at x0.

For one row two bounds are taken, and the better one counts:

* slopes: ``h(x0) - h(x)`` is a product of x0 - x with a row of an interval matrix (``slopes``), so its ratio to the distance is at most
  the dual norm of the largest entries. A feature that stands at a wall of the domain has one sign only, a fixed one none.
* linear forms: ``h(x) >= <A, x> + b`` on a ball or a box, away from the centre. Between two radii ``inner`` and ``outer`` the ratio
  is at most the dual norm of A plus the form's error at the centre divided by ``inner``.

Balls are cut into shells, and those of few inputs into boxes; the worst piece is cut again, as long as time allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from netassay.errors import CapabilityError
from netassay.numerics.norms import Norm
from netassay.specs.ball_geometry import Geometry
from netassay.specs.regions import Ball
from netassay.verifiers.base import Limits
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.propagation.root import part_of_rows, with_rows
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import UNDERFLOW, UNIT, Array, down, gamma, up
from netassay.verifiers.slopes import SlopeMatrices

FEW_INPUTS = 6
"""Up to so many inputs that move, the ball is cut into boxes."""

MOST = 160
"""Most balls."""

BATCH = 8
"""Pieces that are cut in one round (balls), and ``BATCH`` times as many boxes."""

CLOSE = 1e-3
"""Bounds this near to what was attained, or to what cutting can reach, relative to their size, are not improved."""

STALLED = 30
"""Rounds in which a bound has to come down by as much, or its side is left as it is."""

NUMBERS = 1 << 23
"""Most numbers of one array of coefficients."""


@dataclass(frozen=True, slots=True)
class SlopeBounds:
    """What is proved about the slopes of s from the centre of a ball; every number holds in real arithmetic.

    Args:
        falling: At least ``(s(x0) - s(x)) / ||x - x0||`` for every x of the ball; not negative, inf where nothing is known.
        rising: At least ``(s(x) - s(x0)) / ||x - x0||``.
        center: Below and above s(x0), in the claim's units.
        pieces: Balls or boxes that were bounded.
    """

    falling: float
    rising: float
    center: tuple[float, float]
    pieces: int

    @property
    def steepest(self) -> float:
        """At least Q."""
        return max(self.falling, self.rising)

    def of_rounded(self) -> SlopeBounds:
        """The same of an s whose coefficients are all larger than those of the claim, in one ratio, by 2^-50 at most."""
        return replace(self, falling=self.falling * (1 + 2**-48), rising=self.rising * (1 + 2**-48))


def slope_bounds(
    claim: Claim, ball: Ball, limits: Limits | None = None, attained: tuple[float, float] = (0.0, 0.0)
) -> Iterator[SlopeBounds]:
    """Bounds of both sides, each at least as good as the last.

    Args:
        claim: Its s is the one that is measured; it should be the property's own.
        ball: Of L1, L2 or L-infinity; steps and one-hot blocks are taken as continuous.
        limits: Time.
        attained: Falling and rising slopes that points have shown: near enough to them nothing is improved.
    Raises:
        CapabilityError: For L0, whose ball is not convex, or an operator without slopes.
    """
    if ball.p is Norm.L0:
        raise CapabilityError("slopes are proved for the norms L1, L2 and L-infinity; an L0 ball is not convex")
    limits = limits or Limits()
    bounder = _Bounder(claim, ball)
    moving = int((ball.geometry.outer_high > ball.geometry.outer_low).sum())
    pieces: _Shells | _Boxes = _Boxes(bounder) if moving <= FEW_INPUTS else _Shells(bounder)
    best = SlopeBounds(np.inf, np.inf, bounder.center, 0)
    history: list[SlopeBounds] = []
    while True:
        falling, rising = pieces.bounds()
        best = SlopeBounds(min(best.falling, falling), min(best.rising, rising), bounder.center, len(pieces))
        yield best
        history.append(best)
        before = history[max(0, len(history) - STALLED)]
        open_ = (
            best.falling > attained[0] * (1 + CLOSE) and _moves(before.falling, best.falling, history),
            best.rising > attained[1] * (1 + CLOSE) and _moves(before.rising, best.rising, history),
        )
        if limits.over or not any(open_) or not pieces.cut(open_):
            return


def _moves(before: float, now: float, history: Sequence[SlopeBounds]) -> bool:
    """Whether a bound is still on its way down."""
    return len(history) < STALLED or now < before * (1 - CLOSE)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Bounds over B regions of both signs of m rows: how fast ``v = h`` falls in the first m columns, and ``v = -h`` in the others.

    Args:
        slope: (B, 2m) dual norms of the slopes.
        drop: (B, 2m) at least c + v(x0) - v(x) for every x of the region.
        error: (B, 2m) at least c + v(x0) - <A, x0> - b.
        tilt: (B, 2m) dual norms of A.
        pull: (B, n) the largest coefficient of each feature.
    """

    slope: Array
    drop: Array
    error: Array
    tilt: Array
    pull: Array

    def __len__(self) -> int:
        return len(self.slope)

    def join(self, other: _Rows) -> _Rows:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return _Rows(*(np.concatenate(pair) for pair in pairs))

    def take(self, positions: Positions) -> _Rows:
        return _Rows(*(getattr(self, name)[positions] for name in self.__slots__))

    def whole(self, c: Array, far: Array) -> Array:
        """(B, 2m) ratios by slopes alone: for regions around the centre, no farther from it than ``far`` (B,)."""
        return _known(self.slope + up(c / far[:, None]))

    def between(self, c: Array, near: Array, far: Array) -> Array:
        """(B, 2m) ratios where the distance is between ``near`` and ``far`` (B,); ``near`` may be 0."""
        n, f = near[:, None], far[:, None]
        with np.errstate(all="ignore"):
            crude = _known(np.where(self.drop > 0, self.drop / n, self.drop / f))
            formed = _known(self.tilt + up(np.where(self.error > 0, self.error / n, self.error / f)))
        return np.minimum(self.whole(c, far), np.where(n > 0, np.minimum(crude, formed), np.inf))


def _known(ratios: Array) -> Array:
    """Rounded up; inf for NaN."""
    return np.where(np.isnan(ratios), np.inf, up(ratios + 4 * UNIT * np.abs(ratios)))


class _Bounder:
    """Bounds of the rows of a claim over regions in a ball, and how rows make up s."""

    def __init__(self, claim: Claim, ball: Ball) -> None:
        self.ball, self._claim = ball, claim
        self.geometry: Geometry = ball.geometry
        self._bounded = BoundedGraph(with_rows(claim))
        point = Regions.of([ball])
        middle = self.geometry.center.reshape(point.lower.shape)
        self._center = self._bounded.propagate(Regions(middle, middle))
        self._low, self._high = (side[0] for side in self._center[-1])
        self._part = part_of_rows(claim)
        parts = [np.flatnonzero(self._part == p) for p in range(len(claim.parts))]
        self._least = [(float(self._low[rows].max()), float(self._high[rows].max())) for rows in parts]
        self._parts = parts
        self.center = (min(low for low, _ in self._least), min(high for _, high in self._least))
        falling, rising = up(self.center[1] - self._low), up(self._high - self.center[0])
        self._settled = np.concatenate([falling, rising]) <= 0
        self.c = np.minimum(np.concatenate([falling, rising]), 0.0)
        """(2m,) at least s(x0) - h(x0), and h(x0) - s(x0), of the rows that can decide."""

    def rows(self, regions: Regions) -> _Rows:
        """Bounds over regions, in blocks that fit the memory."""
        graph = self._bounded.graph
        each = max(prod(s) for s in graph.shapes) * max(1, graph.output_size)
        step = max(1, NUMBERS // each)
        found = [self._block(regions.take(np.arange(i, min(i + step, len(regions))))) for i in range(0, len(regions), step)]
        total = found[0]
        for block in found[1:]:
            total = total.join(block)
        return total

    def _block(self, regions: Regions) -> _Rows:
        count, m, n = len(regions), self._bounded.graph.output_size, self.geometry.size
        bounds = LinearBounds(self._bounded, regions).run()
        ranges: list[Range] = [bounds.range(v) for v in range(self._bounded.output + 1)]
        low, high = (side.reshape(count, m, n) for side in SlopeMatrices(self._bounded, ranges, self._center).of_output())
        slope = np.concatenate([self._dual(low, high), self._dual(-high, -low)], axis=1)
        signed = np.concatenate([np.eye(m), -np.eye(m)])
        bound = bounds.minimum(self._bounded.output, np.tile(signed, (count, 1)), np.repeat(np.arange(count), 2 * m))
        forms = bound.coefficients.reshape(count, 2 * m, n)
        value = np.concatenate([self._high, -self._low]) + self.c
        value = up(value + 4 * UNIT * np.abs(value))
        with np.errstate(all="ignore"):
            along = np.sum(forms * self.geometry.center, axis=2)
            size = np.sum(np.abs(forms * self.geometry.center), axis=2)
            offset = bound.offset.reshape(count, 2 * m)
            error = value - offset - along
            error = up(error + gamma(n) * size + 8 * UNIT * (np.abs(value) + np.abs(offset) + np.abs(along)) + UNDERFLOW)
            drop = up(value - bound.lower.reshape(count, 2 * m))
        pull = np.nan_to_num(np.abs(forms), posinf=1.0, nan=1.0).max(axis=1)
        return _Rows(slope, drop, error, self._dual(forms, forms), pull)

    def _dual(self, low: Array, high: Array) -> Array:
        """(B, m) at least ``<-a, x - x0> / ||x - x0||`` for coefficients a in [low, high] (B, m, n) and x in the ball."""
        g = self.geometry
        falls, rises = g.outer_low < g.center, g.outer_high > g.center
        with np.errstate(all="ignore"):
            weights = np.maximum(np.where(falls, high, 0.0), np.where(rises, -low, 0.0))
            weights = np.where(np.isnan(weights), np.inf, np.maximum(weights, 0.0)) * g.scale
            weights = np.where(weights > 0, up(weights), 0.0)
            return _norm_above(weights, {Norm.L1: Norm.LINF, Norm.L2: Norm.L2, Norm.LINF: Norm.L1}[g.norm])

    def sides(self, rows: Array) -> tuple[Array, Array]:
        """(B,) how fast s falls and rises, from the ratios (B, 2m) of the rows."""
        m = len(self._low)
        falling, rising = rows[:, :m], rows[:, m:]
        surely_falling, surely_rising = self._settled[:m], self._settled[m:]
        falls, rises, other_rises = [], [], []
        for p, mine in enumerate(self._parts):
            deciding = mine[self._high[mine] >= self._least[p][0]]
            any_of = falling[:, mine[surely_falling[mine]]].min(axis=1, initial=np.inf)
            falls.append(np.minimum(falling[:, deciding].max(axis=1), any_of))
            greatest = rising[:, mine].max(axis=1)
            if self._least[p][0] <= self.center[1]:
                rises.append(greatest)
            if surely_rising[mine].all():
                other_rises.append(greatest)
        rise = np.minimum(np.max(rises, axis=0), np.min(other_rises, axis=0) if other_rises else np.inf)
        return np.maximum(np.max(falls, axis=0), 0.0), np.maximum(rise, 0.0)


def _norm_above(weights: Array, norm: Norm) -> Array:
    """The norm of each last axis, rounded up; weights are not negative."""
    slack = 1 + 2 * gamma(weights.shape[-1])
    if norm is Norm.LINF:
        return np.asarray(weights.max(axis=-1))
    if norm is Norm.L1:
        return up(weights.sum(axis=-1) * slack)
    top = weights.max(axis=-1, keepdims=True)
    shares = np.where(top > 0, weights / top, 0.0)
    length = top[..., 0] * np.sqrt((shares * shares).sum(axis=-1))
    return np.where(top[..., 0] == 0, 0.0, up(length * slack + UNDERFLOW * (top[..., 0] > 0)))


class _Shells:
    """Balls of falling radii; what lies between two of them is a shell."""

    def __init__(self, bounder: _Bounder) -> None:
        self._bounder = bounder
        self._radii: Array = np.array([bounder.ball.radius], dtype=np.float64)
        self._rows = self._bounded(self._radii)

    def __len__(self) -> int:
        return len(self._radii)

    def _bounded(self, radii: Array) -> _Rows:
        balls = [self._bounder.ball.with_radius(float(r)) for r in radii]
        return self._bounder.rows(Regions.of(list(balls)))

    def bounds(self) -> tuple[float, float]:
        falling, rising = (found[0] for found in self._within())
        return float(falling), float(rising)

    def _pieces(self) -> tuple[Sequence[Array], Sequence[Array]]:
        """(falling, rising) bounds of each ball by slopes, and of each shell; the last shell is the whole innermost ball."""
        near = np.append(self._radii[1:], 0.0)
        c, b = self._bounder.c, self._bounder
        return b.sides(self._rows.whole(c, self._radii)), b.sides(self._rows.between(c, near, self._radii))

    def _within(self) -> list[Array]:
        """Bounds over each whole ball: by its slopes, or by its shell and the ball inside."""
        found = []
        for ball, shell in zip(*self._pieces(), strict=True):
            best = ball.copy()
            for k in range(len(best) - 2, -1, -1):
                best[k] = min(best[k], max(shell[k], best[k + 1]))
            found.append(best)
        return found

    def cut(self, sides: tuple[bool, bool]) -> bool:
        """Cuts the shells that decide; False once that is of no more use."""
        limit = self._bounder.sides(self._rows.between(self._bounder.c, self._radii, self._radii))
        chosen: set[int] = set()
        for wanted, best, shell, reach in zip(sides, self._within(), self._pieces()[1], limit, strict=True):
            if wanted:
                chosen.update(self._worst(float(best[0]), shell, reach))
        new = [self._middle(k) for k in sorted(chosen)]
        if not new or len(self) + len(new) > MOST:
            return False
        radii: Array = np.concatenate([self._radii, new])
        rows = self._rows.join(self._bounded(np.array(new)))
        order = np.argsort(-radii)
        self._radii, self._rows = radii[order], rows.take(order)
        return True

    def _worst(self, bound: float, shell: Array, reach: Array) -> list[int]:
        """Shells that are as bad as the bound, the worst first; none if one of them stays as it is however it is cut."""
        bad = [int(k) for k in np.flatnonzero(shell >= bound * (1 - CLOSE))]
        if not 0 < bound < np.inf or not all(self._helps(k, shell, reach) for k in bad):
            return []
        return sorted(bad, key=lambda k: -shell[k])[:BATCH]

    def _helps(self, k: int, shell: Array, reach: Array) -> bool:
        if k == len(self) - 1:
            return bool(self._radii[k] > 1e-9 * self._radii[0])
        return bool(shell[k] > reach[k] * (1 + CLOSE) and self._radii[k] > 1.0005 * self._radii[k + 1])

    def _middle(self, k: int) -> float:
        return float(self._radii[k] / 2 if k == len(self) - 1 else np.sqrt(self._radii[k] * self._radii[k + 1]))


class _Boxes:
    """Boxes that cover the ball; one of them is around the centre."""

    def __init__(self, bounder: _Bounder) -> None:
        self._bounder, self._geometry = bounder, bounder.geometry
        g = self._geometry
        self._ball = Regions.of([bounder.ball])
        self._low, self._high = g.outer_low[None], g.outer_high[None]
        self._core = np.array([True])
        self._sides, self._pull = self._bounded(self._low, self._high)

    def __len__(self) -> int:
        return len(self._low)

    def bounds(self) -> tuple[float, float]:
        falling, rising = self._sides.max(axis=1)
        return float(falling), float(rising)

    def _bounded(self, low: Array, high: Array) -> tuple[Array, Array]:
        """(2, B) bounds of both sides over each box, and (B, n) which features matter."""
        g, shape = self._geometry, self._ball.shape
        regions = self._ball.take(np.zeros(len(low), dtype=np.intp)).with_box(low.reshape(-1, *shape), high.reshape(-1, *shape))
        near = _norm_below(np.maximum(down(np.maximum(low - g.center, g.center - high) / g.scale * (1 - 4 * UNIT)), 0.0), g.norm)
        away = np.maximum(np.abs(high - g.center), np.abs(low - g.center)) / g.scale
        far = np.minimum(_norm_above(up(away * (1 + 4 * UNIT)), g.norm), g.radius)
        rows = self._bounder.rows(regions)
        sides = np.stack(self._bounder.sides(rows.between(self._bounder.c, near, np.maximum(far, UNDERFLOW))))
        return np.where(near > g.radius, 0.0, sides), rows.pull

    def cut(self, sides: tuple[bool, bool]) -> bool:
        """Cuts the boxes with the largest bounds; False when nothing can be cut any more, or there are too many."""
        bound = np.where(np.array(sides), self._sides.max(axis=1), np.inf)[:, None]
        with np.errstate(all="ignore"):
            badness = np.where(np.isinf(self._sides) & np.array(sides)[:, None], 1.0, self._sides / bound).max(axis=0)
        order = np.argsort(-np.nan_to_num(badness), kind="stable")[: BATCH * BATCH]
        order = order[badness[order] > 1 - 0.25]
        low, high, parent = self._children(order)
        if not len(parent) or 8 * len(self) * self._low.shape[1] > NUMBERS:
            return False
        found, pull = self._bounded(low, high)
        found = np.minimum(found, self._sides[:, parent])
        core = self._core[parent] & (low <= self._geometry.center).all(axis=1) & (high >= self._geometry.center).all(axis=1)
        core &= np.cumsum(core) == 1
        rest = np.setdiff1d(np.arange(len(self)), parent)
        self._low, self._high = np.concatenate([low, self._low[rest]]), np.concatenate([high, self._high[rest]])
        self._sides = np.concatenate([found, self._sides[:, rest]], axis=1)
        self._pull, self._core = np.concatenate([pull, self._pull[rest]]), np.concatenate([core, self._core[rest]])
        return True

    def _children(self, chosen: Positions) -> tuple[Array, Array, Positions]:
        lows: list[Array] = []
        highs: list[Array] = []
        parents: list[int] = []
        for i in chosen.tolist():
            pairs = self._peeled(i) if self._core[i] else self._halved(i)
            lows += [low for low, _ in pairs]
            highs += [high for _, high in pairs]
            parents += [i] * len(pairs)
        return np.array(lows), np.array(highs), np.array(parents, dtype=np.intp)

    def _halved(self, i: int) -> list[tuple[Array, Array]]:
        low, high = self._low[i], self._high[i]
        score = (high - low) * np.maximum(self._pull[i], 1e-300)
        axis = int(score.argmax())
        middle = low[axis] / 2 + high[axis] / 2
        if not low[axis] < middle < high[axis]:
            return []
        left, right = high.copy(), low.copy()
        left[axis] = right[axis] = middle
        return [(low, left), (right, high)]

    def _peeled(self, i: int) -> list[tuple[Array, Array]]:
        """The box around the centre of half the size, and what is left of it on each side, feature by feature."""
        low, high, center = self._low[i].copy(), self._high[i].copy(), self._geometry.center
        if not ((high - low) > 1e-9 * (self._geometry.outer_high - self._geometry.outer_low)).any():
            return []
        inner = np.maximum(low, center / 2 + low / 2), np.minimum(high, center / 2 + high / 2)
        found: list[tuple[Array, Array]] = []
        for axis in np.flatnonzero(high > low):
            for side, end in ((low, inner[0][axis]), (high, inner[1][axis])):
                if side[axis] == end:
                    continue
                slab = low.copy(), high.copy()
                slab[1 if side is low else 0][axis] = end
                found.append(slab)
                side[axis] = end
        return [(low, high), *found]


def _norm_below(distances: Array, norm: Norm) -> Array:
    """The norm of each row of distances >= 0, rounded down."""
    slack = 1 - 2 * gamma(distances.shape[-1])
    if norm is Norm.LINF:
        return np.asarray(distances.max(axis=-1))
    if norm is Norm.L1:
        return np.maximum(down(distances.sum(axis=-1) * slack), 0.0)
    return np.maximum(down(np.sqrt((distances * distances).sum(axis=-1)) * slack - UNDERFLOW), 0.0)
