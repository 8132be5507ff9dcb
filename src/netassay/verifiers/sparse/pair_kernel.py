"""Second differences of maxima, number by number: machine code where numba is installed, the same in Python else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNDERFLOW, UNIT, Array
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.single_spans import Floats

Function = TypeVar("Function", bound=Callable[..., object])

MOST = 1e300
"""Sizes beyond are not computed with: nothing is known then."""

LEAST = 1e-30
"""Sizes that are not 0 count as this at least, so that they are none in float32 either."""

try:
    from numba import njit
except ImportError:  # pragma: no cover

    def compiled(function: Function) -> Function:
        """As it is."""
        return function
else:

    def compiled(function: Function) -> Function:
        """As machine code, kept for the next time where there is a place for it; IEEE arithmetic in the order written."""
        try:
            return njit(cache=True, nogil=True, error_model="numpy")(function)  # type: ignore[return-value]
        except RuntimeError:  # no folder can be written to
            return njit(nogil=True, error_model="numpy")(function)  # type: ignore[return-value]


@compiled
def second_differences(
    starts: Positions,
    choice: Positions,
    others: Positions,
    z_low: Array,
    z_high: Array,
    one_low: Floats,
    one_high: Floats,
    one_at: Positions,
    two_low: Floats,
    two_high: Floats,
    two_at: Positions,
    boxed: bool,
    before: Floats,
    around: Floats,
    middle: Floats,
    radius: Floats,
    largest: Floats,
    moved: Bools,
    opened: Bools,
) -> None:
    """Writes ranges (P, o) of ``c + max(0, g + A + B + e) - max(0, g + A) - max(0, g + B) + max(0, g)``.

    Args:
        starts: (o + 1,) where each output's gaps begin.
        choice, others: (o,) and (g,) positions of what an output picks and of each gap's alternative; the last column is the constant 0.
        z_low, z_high: (g,) of the gaps at the centre.
        one_low, one_high: (S, g) what the first changes do to the gaps; ``one_at`` (P,) which of them.
        two_low, two_high, two_at: The same of the second ones.
        boxed: Whether that of the choice is added as c.
        before, around: Interplay so far, middles and radii: if ``boxed``, (P, v + 1) of the numbers that are read, else (P, g) of the gaps;
            or of no rows. What they cover is far more than the rounding of their sum.
        middle, radius: (P, o) to write to; a radius is rounded to nearest.
        largest: (P,) is set to the largest size of any number in these ranges, rounded to nearest.
        moved: (P, o) is set where a range is not 0.
        opened: (P, g) is set where a gap may be above 0, of outputs that both changes or interplay may move.
    """
    most = 0
    for o in range(len(choice)):
        most = max(most, starts[o + 1] - starts[o])
    gaps = np.empty((most, 8))
    known = len(before) > 0
    for p in range(len(one_at)):
        i, j, size_of_all = one_at[p], two_at[p], 0.0
        for o in range(len(choice)):
            c = choice[o]
            count, total, wide = 0, 0.0, 0.0
            one_moves = two_moves = e_moves = False
            for g in range(starts[o], starts[o + 1]):
                a0, a1 = np.float64(one_low[i, g]), np.float64(one_high[i, g])
                b0, b1 = np.float64(two_low[j, g]), np.float64(two_high[j, g])
                e0 = e1 = 0.0
                if known and boxed:
                    u = others[g]
                    between = np.float64(before[p, u]) - before[p, c]
                    apart = np.float64(around[p, u]) + around[p, c] if u != c else 0.0
                    e0, e1 = between - apart, between + apart
                elif known:
                    e0, e1 = np.float64(before[p, g]) - around[p, g], np.float64(before[p, g]) + around[p, g]
                one_moves = one_moves or a0 != 0 or a1 != 0
                two_moves = two_moves or b0 != 0 or b1 != 0
                e_moves = e_moves or e0 != 0 or e1 != 0
                z = z_high[g]
                top = max(max(z, z + a1), max(z + b1, z + a1 + b1), z + a1 + b1 + e1)
                size = abs(z_low[g]) + abs(z) + abs(a0) + abs(a1) + abs(b0) + abs(b1) + abs(e0) + abs(e1)
                if top <= -16 * UNIT * size and size < MOST:
                    continue
                opened[p, g] = True
                at = gaps[count]
                at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7] = z_low[g], z, a0, a1, b0, b1, e0, e1
                count += 1
                total += size
                wide += z - z_low[g]
            least = greatest = 0.0
            if count > 0 and ((one_moves and two_moves) or e_moves):
                if not total < MOST:
                    least, greatest = -np.inf, np.inf
                else:
                    least, greatest = _largest(count, gaps)
                    loose = (256 + 16 * count) * UNIT * total + 8 * wide + UNDERFLOW
                    least, greatest = least - loose, greatest + loose
            else:
                opened[p, starts[o] : starts[o + 1]] = False
            if known and boxed:
                least, greatest = least + np.float64(before[p, c]) - around[p, c], greatest + np.float64(before[p, c]) + around[p, c]
            half_way = np.float32(least / 2 + greatest / 2)
            middle[p, o], radius[p, o] = half_way, max(greatest - half_way, half_way - least)
            moved[p, o] = least != 0 or greatest != 0
            size_of_all = max(size_of_all, abs(least), abs(greatest))
        largest[p] = 0.0 if size_of_all == 0 else max(size_of_all, LEAST)


@compiled
def _largest(count: int, gaps: Array) -> tuple[float, float]:
    """Ends of the second difference of ``F = max(0, g_1, ..., g_n)``, where no gap is above 0 at the centre: the better of two ways.

    Args:
        count: n.
        gaps: (n or more, 8) ends of each g, A, B and e.
    """
    if count == 1:
        return _one(gaps[0])
    first, second = _in_turn(count, gaps), _by_winners(count, gaps)
    return max(first[0], second[0]), min(first[1], second[1])


@compiled
def _in_turn(count: int, gaps: Array) -> tuple[float, float]:
    """Gap by gap: ``max(M, g) = M + max(0, g - M)``; and from the ends of each of the four maxima."""
    first_low = first_high = second_low = second_high = least = most = 0.0
    both_low = both_high = at_low = at_high = 0.0
    for k in range(count):
        zl, zh, al, ah, bl, bh, el, eh = _unpacked(gaps[k])
        a0, a1, b0, b1 = al - first_high, ah - first_low, bl - second_high, bh - second_low
        corner_low, corner_high = _second(zl / 2 + zh / 2, a0, a1, b0, b1)
        bottom, top = zl + a0 + b0, zh + a1 + b1
        if min(bottom, bottom + el - most) > 0:
            least, most = el, eh
        elif not max(top, top + eh - least) <= 0:
            least, most = min(el, least), max(eh, most)
        least, most = corner_low + least, corner_high + most
        first_low, first_high = max(first_low, zl + al), max(first_high, zh + ah)
        second_low, second_high = max(second_low, zl + bl), max(second_high, zh + bh)
        both_low, both_high = max(both_low, zl + al + bl + el), max(both_high, zh + ah + bh + eh)
        at_low, at_high = max(at_low, zl), max(at_high, zh)
    return max(least, both_low - first_high - second_high + at_low), min(most, both_high - first_low - second_low + at_high)


@compiled
def _by_winners(count: int, gaps: Array) -> tuple[float, float]:
    """By which gap is greatest, or none above 0 (``count``), after either change and after both.

    At most what the gap that wins after both changes makes by itself, for F is no less than it elsewhere. At least what a gap makes by
    itself that wins after either change. Where p wins after the first one and q after the second one, F after both is at least either of
    them: the other change raises p (or q) by ``_rise``, and q (or p) stands against it.
    """
    first, second, both = 0.0, 0.0, 0.0
    for k in range(count):
        zl, _, al, _, bl, _, el, _ = _unpacked(gaps[k])
        first, second, both = max(first, zl + al), max(second, zl + bl), max(both, zl + al + bl + el)
    least, most = np.inf, -np.inf
    for p in range(count + 1):
        rise_p = top_p = top = 0.0
        if p < count:
            zl, zh, al, ah, bl, bh, el, eh = _unpacked(gaps[p])
            rise_p, top_p, top = _rise(zl + al, zh + ah, bl + el), zh + ah, zh + ah + bh + eh
        low = high = 0.0
        if p < count and (top >= both or top_p >= first):
            low, high = _one(gaps[p])
        if top >= both:
            most = max(most, high)
        if top_p < first:
            continue
        for q in range(count + 1):
            rise_q = top_q = 0.0
            if q < count:
                zl, zh, al, _, bl, bh, el, _ = _unpacked(gaps[q])
                top_q = zh + bh
                if top_q >= second and p != q:
                    rise_q = _rise(zl + bl, zh + bh, al + el)
            if top_q >= second:
                least = min(least, low if p == q else max(rise_p - top_q, rise_q - top_p))
    return least, most


@compiled
def _unpacked(gap: Array) -> tuple[float, float, float, float, float, float, float, float]:
    """The numbers of one gap."""
    return gap[0], gap[1], gap[2], gap[3], gap[4], gap[5], gap[6], gap[7]


@compiled
def _rise(low: float, high: float, change: float) -> float:
    """The least ``max(0, y + c) - max(0, y)`` of y between ``low`` and ``high``, and c of at least ``change``."""
    at = low if change >= 0 else high
    return max(at + change, 0.0) - max(at, 0.0)


@compiled
def _one(gap: Array) -> tuple[float, float]:
    """Ends of the second difference of ``max(0, g)``."""
    zl, zh, a0, a1, b0, b1, e0, e1 = _unpacked(gap)
    low, high = _second(zl / 2 + zh / 2, a0, a1, b0, b1)
    bottom, top = zl + a0 + b0, zh + a1 + b1
    if min(bottom, bottom + e0) > 0:
        low, high = low + e0, high + e1
    elif not max(top, top + e1) <= 0:
        low, high = low + min(e0, 0.0), high + max(e1, 0.0)
    from_ends = max(bottom + e0, 0.0) - max(zh + a1, 0.0) - max(zh + b1, 0.0) + max(zl, 0.0)
    to_ends = max(top + e1, 0.0) - max(zl + a0, 0.0) - max(zl + b0, 0.0) + max(zh, 0.0)
    return max(low, from_ends), min(high, to_ends)


@compiled
def _second(z: float, a0: float, a1: float, b0: float, b1: float) -> tuple[float, float]:
    """Ends of ``max(0, z + A + B) - max(0, z + A) - max(0, z + B) + max(0, z)``: monotone in either change, hence greatest at corners."""
    low, high = np.inf, -np.inf
    for a in (a0, a1):
        for b in (b0, b1):
            found = max(z + a + b, 0.0) - max(z + a, 0.0) - max(z + b, 0.0)
            low, high = min(low, found), max(high, found)
    return low + max(z, 0.0), high + max(z, 0.0)
