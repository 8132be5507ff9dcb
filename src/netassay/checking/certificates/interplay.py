"""How much further two changes move a network's numbers together than the sum of what they do alone.

For a number x write ``x(a, b) = x0 + A + B + e``: A and B are what either change does alone, e is their interplay. It is 0 at the input,
and affine maps carry it along. A maximum ``c + max(0, g)`` makes ``e_c + d`` of it, d being the second difference of its second part.
So every e is a sum of fixed linear images (``Frame.maps``) of the d of the operators before it; only the d are bounded number by number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import LARGEST, UNIT, Arithmetic, Array, Positions
from netassay.checking.certificates.maxima import Frame

Ends = tuple[Array, Array]

Floats = NDArray[np.float32]

LOST = 2.0**-22
"""More than float32 loses in one rounding, relative to the result."""

_FLOAT = Arithmetic()


def interplay(frame: Frame, one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> Array:
    """(P, R) lower bounds of the interplay of the rows of a frame; NaN or -inf where there is none.

    Args:
        frame: Of one of the two changes, or of more.
        one, other: Ends (P, T) of what either change alone does to the gaps, in float32, rounded once.
    """
    count, below = len(one[0]), np.zeros(0, dtype=np.intp)  # results of which second differences are not all 0
    low, high = np.zeros((count, 0)), np.zeros((count, 0))
    gap, result = 0, 0
    with np.errstate(all="ignore"):
        for k, (m, o) in enumerate(frame.shapes):
            gaps, results = slice(gap, gap + m * o), slice(result, result + o)
            top = sum(np.maximum(ends[1][:, gaps].max(axis=0), 0.0, dtype=np.float64) for ends in (one, other))
            top = (top * (1 + LOST) + _reach(frame, k, below, low, high)) * (1 + 16 * UNIT)
            closed = (top <= -(frame.gap[gaps] + np.tile(frame.off[results], m)) * (1 - 16 * UNIT)).reshape(m, o).all(axis=0)
            some = np.flatnonzero(~closed)
            at = (np.arange(m)[:, None] * o + some).reshape(-1)
            both = _carried(frame, k, at, below, low, high)
            shape = count, m, len(some)
            sides = [_widened(ends[0][:, gap + at].reshape(shape), ends[1][:, gap + at].reshape(shape)) for ends in (one, other)]
            e = None if both is None else (both[0].reshape(shape), both[1].reshape(shape))
            off = frame.off[results][some]
            least, most = second_differences(frame.gap[gap + at].reshape(m, len(some)), off, sides[0], sides[1], e)
            moves = np.flatnonzero(((least != 0) | (most != 0)).any(axis=0))
            below = np.append(below, result + some[moves])
            low, high = np.concatenate([low, least[:, moves]], axis=1), np.concatenate([high, most[:, moves]], axis=1)
            gap, result = gap + m * o, result + o
        every = np.arange(frame.maps[-1].shape[1])
        rows = _carried(frame, len(frame.shapes), every, below, low, high)
    return np.zeros((count, len(every))) if rows is None else rows[0]


def _widened(low: Floats, high: Floats) -> Ends:
    """By what one rounding in float32 may have taken off."""
    least, most = low.astype(np.float64), high.astype(np.float64)
    return least - LOST * np.abs(least), most + LOST * np.abs(most)


def _slack(frame: Frame, masses: Array, largest: Array) -> Array:
    """What ``_carried`` loses by rounding, at most.

    Every sum of n terms, and every entry of a map, is off by at most ``gamma`` times the sum of the magnitudes that are added up, which is
    at most the largest magnitude of what is sent times ``Frame.masses``; all products that underflow lose less than ``tiny``.
    """
    slack = 8 * _FLOAT.gamma(frame.terms + len(frame.off)) * largest * masses + _FLOAT.tiny
    return np.where((largest < LARGEST) & (masses < LARGEST), slack, np.inf)


def _reach(frame: Frame, k: int, below: Positions, low: Array, high: Array) -> Array:
    """(gaps,) no interplay that second differences (P, k) of some results lead to is greater anywhere."""
    if not len(below):
        return np.zeros(frame.maps[k].shape[1])
    most = np.zeros(len(frame.maps[k]))
    most[below] = np.maximum(np.abs(low), np.abs(high)).max(axis=0)
    return np.asarray(most @ frame.sizes[k] + _slack(frame, frame.masses[k], most.max()))


def _carried(frame: Frame, k: int, at: Positions, below: Positions, low: Array, high: Array) -> Ends | None:
    """What second differences (P, k) of some results become in some of what the k-th map leads to; None where all are 0.

    Their middles and radii are sent on. Processors are slow with numbers next to 0, which a radius of 0 rounded upwards would be.
    """
    if not len(below):
        return None
    middle = low / 2 + high / 2
    radius = np.maximum(high - middle, middle - low) * (1 + 4 * UNIT)
    slack = _slack(frame, frame.masses[k][at], (np.abs(middle) + radius).max(axis=1, keepdims=True))
    weight = frame.maps[k][np.ix_(below, at)]
    found, spread = middle @ weight, radius @ np.abs(weight) + slack
    return _FLOAT.down(found - spread), _FLOAT.up(found + spread)


def second_differences(gap: Array, off: Array, one: Ends, other: Ends, both: Ends | None) -> Ends:
    """Ends (P, o) of ``M(g + A + B + e) - M(g + A) - M(g + B) + M(g)``, M being the greatest of m numbers and 0.

    One gap is taken in after the other, ``max(M, g) = M + max(0, g - M)``, where it may exceed 0 anywhere. Let D be the second difference
    so far, h the second difference of ``max(0, g - M)`` if e were D; taking in the gap gives ``h + t e + (1 - t) D`` for a t in [0, 1], the
    slope of a secant of ``max(0, .)``. h is monotone in A for every B and in B for every A, so it is greatest and least at corners.

    Args:
        gap, off: (m, o) numbers of at most 0, and (o,) how far the gaps at the centre are off these, at most.
        one, other, both: Ends (P, m, o) of A, B and e; None where e is 0.
    """
    shape = len(one[0]), gap.shape[1]
    state = _State(shape)
    open_ = _open(gap, off, one, other, both)
    for k in range(len(gap)):
        at = np.nonzero(open_[:, k])
        if len(at[0]):
            none = np.zeros(len(at[0]))
            a, b, e = ((none, none) if ends is None else (ends[0][:, k][at], ends[1][:, k][at]) for ends in (one, other, both))
            state.take(at, gap[k][at[1]], a, b, e)
    return state.found(off, len(gap))


def _open(gap: Array, off: Array, one: Ends, other: Ends, both: Ends | None) -> NDArray[np.bool_]:
    """(P, m, o) where a gap may exceed 0: at the centre, after one change, or after both."""
    top, size = one[1] + other[1], _largest(one[1]) + _largest(other[1])
    if both is not None:
        top += both[1]
        size += _largest(both[1])
    np.maximum(top, one[1], out=top)
    np.maximum(top, other[1], out=top)
    np.maximum(top, 0, out=top)
    return np.asarray(~(top <= -(gap + off) * (1 - 16 * UNIT) - 16 * UNIT * size))


def _largest(values: Array) -> float:
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))


class _State:
    """What is known of results (P, o) of which some gaps have been taken in.

    Attributes:
        low, high: Of the second difference.
        alone: Ends of ``M(g + A)``, and of ``M(g + B)``.
        together: Ends of ``M(g + A + B + e)``.
        size: Sums of the magnitudes of all gaps and changes.
        most: Greatest magnitudes of A, of B and of e. ``M`` moves no further than its gaps do, which limits the second difference.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.low, self.high, self.size = (np.zeros(shape) for _ in range(3))
        self.alone = [(np.zeros(shape), np.zeros(shape)) for _ in range(2)]
        self.together = np.zeros(shape), np.zeros(shape)
        self.most = [np.zeros(shape) for _ in range(3)]

    def take(self, at: tuple[Positions, ...], g: Array, one: Ends, other: Ends, both: Ends) -> None:
        """Takes in a gap of some results."""
        low, high = self.low[at], self.high[at]
        first, second = ((m[0][at], m[1][at]) for m in self.alone)
        a, b = (one[0] - first[1], one[1] - first[0]), (other[0] - second[1], other[1] - second[0])
        least, most = _corners(g, a, b)
        bottom, top = g + a[0] + b[0], g + a[1] + b[1]
        steep = np.minimum(bottom, bottom + both[0] - high) > 0
        flat = np.maximum(top, top + both[1] - low) <= 0
        self.low[at] = least + np.where(steep, both[0], np.where(flat, low, np.minimum(low, both[0])))
        self.high[at] = most + np.where(steep, both[1], np.where(flat, high, np.maximum(high, both[1])))
        for m, known, ends in zip(self.alone, (first, second), (one, other), strict=True):
            m[0][at], m[1][at] = np.maximum(known[0], g + ends[0]), np.maximum(known[1], g + ends[1])
        for side in (0, 1):
            self.together[side][at] = np.maximum(self.together[side][at], g + one[side] + other[side] + both[side])
        sizes = [np.maximum(np.abs(ends[0]), np.abs(ends[1])) for ends in (one, other, both)]
        for known_most, size in zip(self.most, sizes, strict=True):
            known_most[at] = np.maximum(known_most[at], size)
        self.size[at] += np.abs(g) + sizes[0] + sizes[1] + sizes[2]

    def found(self, off: Array, gaps: int) -> Ends:
        """Ends of the second differences.

        Each gap takes less than 128 roundings of no more than ``size``; each of the four M is off by no more than ``off``.
        """
        (a_low, a_high), (b_low, b_high), (low, high) = *self.alone, self.together
        loose = 128 * (gaps + 1) * UNIT * self.size + 4 * off
        one, other, both = self.most
        limit = (2 * np.minimum(one, other) + both) * (1 + 16 * UNIT)
        least = np.maximum(np.maximum(self.low, low - a_high - b_high) - loose, -limit)
        most = np.minimum(np.minimum(self.high, high - a_low - b_low) + loose, limit)
        return least, most


def _corners(g: Array, a: Ends, b: Ends) -> Ends:
    """Least and greatest ``max(0, g + A + B) - max(0, g + A) - max(0, g + B)``; g is at most 0."""
    found = []
    for p in a:
        at, alone = g + p, np.maximum(g + p, 0)
        found += [np.maximum(at + q, 0) - alone - np.maximum(g + q, 0) for q in b]
    return np.minimum.reduce(found), np.maximum.reduce(found)
