"""Interval slopes: between which multiples of ``x - c`` the difference of a network's values at x and at a point c lies.

Every operator f here has ``f(x) - f(c) = M (x - c)`` with an M between two bounds: that of an affine map is its matrix; that of
``max(z, l z)`` is a quotient of its differences, which for a convex function rises in both ends; that of a smooth function is a derivative
between both points; that of a maximum has weights that add up to 1, none for inputs that are always below another; probabilities at the
end are followed from the logits on (``odds``). Products of these, from the outputs back, bound the slopes of the network (Krawczyk and
Neumaier, 1985, "Interval slopes for rational functions and associated centered forms"). Coefficients are kept as middles and radii: what
rounding may have done to a middle is added to its radius. Nothing of this can be chosen: a certificate has no say in it.
"""

from __future__ import annotations

import numpy as np

from netassay.checking.certificates.arithmetic import LARGEST, Arithmetic, Array, Positions
from netassay.checking.certificates.bounds import Parts, Range
from netassay.checking.certificates.curves import Curve
from netassay.checking.certificates.odds import logits_of, odds_of, score_slopes

PIECES = 8
"""Into which the way between two points is cut for the mean of a derivative; a power of 2."""


def interval_slopes(rows: Array, parts: Parts, center: Parts) -> Range:
    """(B, r, n) the least and the largest slopes of some rows of the outputs; infinite where nothing is known.

    Args:
        rows: (r, m).
        parts: B parts of a region.
        center: The point c, as a part of its own.
    """
    network = parts.network
    for each in (parts, center):
        each.ensure(network.output)
    with np.errstate(all="ignore"):
        middle, radius = _Back(parts, center, len(rows)).run(rows)
        shape = (len(parts), len(rows), network.sizes[0])
        low, high = _ends(network.arithmetic, middle, radius)
        return low.reshape(shape), high.reshape(shape)


class _Back:
    """Coefficients (B * r, size) of values on their way back to the input."""

    def __init__(self, parts: Parts, center: Parts, rows: int) -> None:
        self._parts, self._center, self._rows, self._a = parts, center, rows, parts.arithmetic
        self._network = parts.network

    def run(self, rows: Array) -> Range:
        a, network, pending = self._a, self._network, self._begun(rows)
        for position in reversed(range(network.output)):
            given = pending.pop(position + 1, None)
            if given is None:
                continue
            found, begin = self._through(position, *given), 0
            for value in network.inputs[position]:
                end = begin + network.sizes[value]
                part = found[0][:, begin:end], found[1][:, begin:end]
                pending[value] = self._sum(pending[value], part) if value in pending else part
                begin = end
        nothing = a.zeros(len(self._parts) * self._rows, network.sizes[0])
        return pending.get(0, (nothing, nothing))

    def _begun(self, rows: Array) -> dict[int, Range]:
        """Coefficients of the output; of the logits, where rows are about probabilities."""
        a, network = self._a, self._network
        last = odds_of(network)
        if last is None:
            every = np.tile(rows, (len(self._parts), 1))
            return {network.output: (every, a.zeros(*every.shape))}
        pieces = between(a, *(p.ranges[network.output - 1] for p in (self._parts, self._center)))
        low, high = _mean(a, [score_slopes(a, rows, piece, logarithms=last.logarithms) for piece in pieces])
        return {logits_of(network): _middle(a, *(side.reshape(-1, rows.shape[1]) for side in (low, high)))}

    def _through(self, position: int, middle: Array, radius: Array) -> Range:
        a, mapped = self._a, self._network.maps[position]
        if mapped is None:
            return self._through_bent(position, middle, radius)
        if mapped.moves:
            return mapped.adjoint(middle), mapped.adjoint(radius, absolute=True)
        slack = 2 * a.gamma(mapped.terms)
        spread = mapped.adjoint(radius + slack * np.abs(middle), absolute=True)
        return _checked(a, mapped.adjoint(middle), spread * (1 + 2 * slack) + a.tiny)

    def _through_bent(self, position: int, middle: Array, radius: Array) -> Range:
        a, left, index = self._a, self._network.left(position), self._network.windows[position]
        low, high = _ends(a, middle, radius)
        known, center = ([p.ranges[i] for i in self._network.inputs[position]] for p in (self._parts, self._center))
        if index is None:
            curve = self._network.curve(position)
            slopes = kinked_slopes(a, left or 0.0, known[0], center[0]) if curve is None else smooth_slopes(a, curve, known[0], center[0])
            least, most = (np.repeat(side, self._rows, axis=0) for side in slopes)
            return _middle(a, _product(a, low, least, most), -_product(a, -high, least, most))
        hull = _hull(_joined(known), _joined(center))
        return self._through_windows(index, low, high, hull)

    def _through_windows(self, index: Positions, low: Array, high: Array, hull: Range) -> Range:
        a = self._a
        least, most = (np.repeat(side, self._rows, axis=0) for side in window_weights(index, *hull))
        total = [a.zeros(len(low), hull[0].shape[1]) for _ in range(3)]
        row = np.arange(len(low))[:, None]
        for k in range(index.shape[1]):
            used = index[:, k] >= 0
            lowest = np.where(low < 0, low * most[:, :, k], low * least[:, :, k])[:, used]
            highest = np.where(high > 0, high * most[:, :, k], high * least[:, :, k])[:, used]
            for side, part in zip(total, (lowest, highest, np.maximum(np.abs(lowest), np.abs(highest))), strict=True):
                np.add.at(side, (row, index[used, k]), part)
        slack = 2 * a.gamma(index.size) * total[2] + a.tiny
        return _middle(a, a.down(total[0] - slack), a.up(total[1] + slack))

    def _sum(self, one: Range, other: Range) -> Range:
        a = self._a
        size = np.abs(one[0]) + np.abs(other[0]) + one[1] + other[1]
        return _checked(a, one[0] + other[0], a.up(one[1] + other[1] + a.gamma(2) * size))


def kinked_slopes(a: Arithmetic, left: float, known: Range, center: Range) -> Range:
    """Contains ``(f(x) - f(c)) / (x - c)`` of ``f(z) = max(z, left z)`` for all x in ``known`` and c in ``center``, x != c.

    ``max(z, 0)`` is convex: its quotient is least between the lower ends and largest between the upper ones.
    """
    low, high = _share(a, known[0], center[0], 0), _share(a, known[1], center[1], 1)
    low = np.minimum(low, high)
    if left == 0:
        return low, high
    s, rest = a.array(left), a.array(1.0) - a.array(left)
    below, above = (np.maximum(step(s + step(step(rest) * share)), s) for step, share in ((a.down, low), (a.up, high)))
    return np.where(low == 1, low, below), np.where(high == 0, s, np.minimum(above, a.array(1.0)))


def smooth_slopes(a: Arithmetic, curve: Curve, known: Range, center: Range) -> Range:
    """Contains ``(f(x) - f(c)) / (x - c)`` of a smooth f for all x in ``known`` and c in ``center``, x != c."""
    low, high = _mean(a, [curve.steepness(a, *piece) for piece in between(a, known, center)])
    return np.maximum(low, 0), high


def between(a: Arithmetic, known: Range, center: Range) -> list[Range]:
    """The way from any c in ``center`` to any x in ``known``, in pieces of equal length: between which numbers each of them lies.

    So the mean of a derivative over all of it is at most the mean of what it is at most in the pieces.
    """
    places = [(a.array(1 - i / PIECES), a.array(i / PIECES)) for i in range(PIECES + 1)]
    low, high = ([turn(turn(c * s) + turn(x * t)) for s, t in places] for turn, x, c in zip((a.down, a.up), known, center, strict=True))
    return [(np.minimum(low[i], low[i + 1]), np.maximum(high[i], high[i + 1])) for i in range(PIECES)]


def _mean(a: Arithmetic, pieces: list[Range]) -> Range:
    low, high = pieces[0]
    for one, other in pieces[1:]:
        low, high = a.down(low + one), a.up(high + other)
    return a.down(low * a.array(1 / len(pieces))), a.up(high * a.array(1 / len(pieces)))


def _share(a: Arithmetic, one: Array, other: Array, side: int) -> Array:
    """``(max(y, 0) - max(z, 0)) / (y - z)`` rounded down (``side`` 0) or up (1): no cancellation, the signs of both ends differ."""
    top, bottom = np.maximum(one, other), np.minimum(one, other)
    found = np.where(bottom >= 0, a.array(1.0), a.zeros(1)) if side == 0 else np.where(top <= 0, a.zeros(1), a.array(1.0))
    at = np.nonzero((bottom < 0) & (top > 0) & a.known(top) & a.known(bottom))
    width = top[at] - bottom[at]
    if side == 0:
        found[at] = np.maximum(a.outward(top[at], a.up(width))[0], 0)
    else:
        found[at] = np.minimum(a.outward(top[at], a.down(width))[1], 1)
    return found


def window_weights(index: Positions, low: Array, high: Array) -> Range:
    """(B, m, k) the least and the largest weights of the inputs of each window: 1 for one that is never below the others, 0 for one below.

    Args:
        index: (m, k) as ``windows`` gives it.
        low, high: (B, n) ranges of the flat inputs that hold x, c and what lies between them.
    """
    lows, highs = (np.where(index < 0, -np.inf, side[:, index]) for side in (low, high))
    sole, never = np.asarray(lows >= _other_most(highs)), np.asarray(highs < _other_most(lows))
    return np.where(sole, 1, 0), np.where(never, 0, 1)


def _other_most(values: Array) -> Array:
    """For each of the last axis the greatest of the others; -inf where there is none."""
    place, best = np.arange(values.shape[2]), values.argmax(axis=2)[:, :, None]
    second = np.where(place == best, -np.inf, values).max(axis=2, keepdims=True)
    return np.asarray(np.where(place == best, second, values.max(axis=2, keepdims=True)))


def _hull(one: Range, other: Range) -> Range:
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _joined(ranges: list[Range]) -> Range:
    most = max(len(r[0]) for r in ranges)
    low, high = (np.concatenate([np.broadcast_to(r[i], (most, r[i].shape[1])) for r in ranges], axis=1) for i in (0, 1))
    return low, high


def _product(a: Arithmetic, low: Array, least: Array, most: Array) -> Array:
    """The lower ends of coefficients times factors in [least, most], which are not negative."""
    factor = np.where(low < 0, most, least)
    found = low * factor
    return np.where((factor == 0) | (factor == 1) | (low == 0), found, a.down(found))


def _ends(a: Arithmetic, middle: Array, radius: Array) -> Range:
    exact = radius == 0
    return np.where(exact, middle, a.down(middle - radius)), np.where(exact, middle, a.up(middle + radius))


def _middle(a: Arithmetic, low: Array, high: Array) -> Range:
    same, half = low == high, a.array(0.5)
    middle = np.where(same, low, low * half + high * half)
    return _checked(a, middle, np.where(same, a.zeros(1), a.up(np.maximum(high - middle, middle - low))))


def _checked(a: Arithmetic, middle: Array, radius: Array) -> Range:
    """Nothing is known where magnitudes are too large for the error bounds, or not numbers."""
    if a.exact:
        return middle, radius
    known = np.abs(middle) + radius < LARGEST
    return np.where(known, middle, 0.0), np.where(known, radius, np.inf)
