"""Second differences of maxima, number by number: machine code where numba is installed, the same in Python else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNDERFLOW, UNIT, Array
from netassay.verifiers.sparse.reach import Bools

Floats = NDArray[np.float32]

Function = TypeVar("Function", bound=Callable[..., object])

MOST = 1e300
"""Sizes beyond are not computed with: nothing is known then."""

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
    units_low: Array,
    units_high: Array,
    middle: Floats,
    radius: Floats,
    low: Array,
    high: Array,
    opened: Bools,
) -> None:
    """Writes ends (P, o) of ``c + max(0, g + A + B + e) - max(0, g + A) - max(0, g + B) + max(0, g)`` to ``low`` and ``high``.

    Args:
        starts: (o + 1,) where each output's gaps begin.
        choice, others: (o,) and (g,) positions of what an output picks and of each gap's alternative; the last column is the constant 0.
        z_low, z_high: (g,) of the gaps at the centre.
        one_low, one_high: (S, g) what the first changes do to the gaps; ``one_at`` (P,) which of them.
        two_low, two_high, two_at: The same of the second ones.
        units_low, units_high: (P, v + 1) interplay of the numbers that are read, or of no rows. Then that of the choice is added as c.
        middle, radius: (P, g) interplay of the gaps instead, or of no rows.
            What they widen is far more than the rounding of the sum.
        opened: (P, g) is set where a gap may be above 0, of outputs that both changes or interplay may move.
    """
    most = 0
    for o in range(len(choice)):
        most = max(most, starts[o + 1] - starts[o])
    zl, zh, al, ah = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    bl, bh, el, eh = np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    boxed, linear = len(units_low) > 0, len(middle) > 0
    for p in range(len(one_at)):
        i, j = one_at[p], two_at[p]
        for o in range(len(choice)):
            c = choice[o]
            count, total, wide = 0, 0.0, 0.0
            one_moves = two_moves = e_moves = False
            for g in range(starts[o], starts[o + 1]):
                a0, a1 = np.float64(one_low[i, g]), np.float64(one_high[i, g])
                b0, b1 = np.float64(two_low[j, g]), np.float64(two_high[j, g])
                e0 = e1 = 0.0
                if boxed:
                    u = others[g]
                    e0, e1 = units_low[p, u] - units_high[p, c], units_high[p, u] - units_low[p, c]
                elif linear:
                    e0, e1 = np.float64(middle[p, g]) - radius[p, g], np.float64(middle[p, g]) + radius[p, g]
                one_moves = one_moves or a0 != 0 or a1 != 0
                two_moves = two_moves or b0 != 0 or b1 != 0
                e_moves = e_moves or e0 != 0 or e1 != 0
                z = z_high[g]
                top = max(max(z, z + a1), max(z + b1, z + a1 + b1), z + a1 + b1 + e1)
                size = abs(z_low[g]) + abs(z) + abs(a0) + abs(a1) + abs(b0) + abs(b1) + abs(e0) + abs(e1)
                if top <= -16 * UNIT * size and size < MOST:
                    continue
                opened[p, g] = True
                zl[count], zh[count], al[count], ah[count], bl[count], bh[count], el[count], eh[count] = z_low[g], z, a0, a1, b0, b1, e0, e1
                count += 1
                total += size
                wide += z - z_low[g]
            least = greatest = 0.0
            if count > 0 and ((one_moves and two_moves) or e_moves):
                if not total < MOST:
                    least, greatest = -np.inf, np.inf
                else:
                    least, greatest = _largest(count, zl, zh, al, ah, bl, bh, el, eh)
                    loose = (256 + 16 * count) * UNIT * total + 8 * wide + UNDERFLOW
                    least, greatest = least - loose, greatest + loose
            else:
                opened[p, starts[o] : starts[o + 1]] = False
            if boxed:
                least, greatest = least + units_low[p, c], greatest + units_high[p, c]
            low[p, o], high[p, o] = least, greatest


@compiled
def _largest(count: int, zl: Array, zh: Array, al: Array, ah: Array, bl: Array, bh: Array, el: Array, eh: Array) -> tuple[float, float]:
    """Ends of the second difference of ``F = max(0, g_1, ..., g_n)``, where no gap is above 0 at the centre: the better of two ways."""
    if count == 1:
        return _one(zl[0], zh[0], al[0], ah[0], bl[0], bh[0], el[0], eh[0])
    first, second = _in_turn(count, zl, zh, al, ah, bl, bh, el, eh), _by_winners(count, zl, zh, al, ah, bl, bh, el, eh)
    return max(first[0], second[0]), min(first[1], second[1])


@compiled
def _in_turn(count: int, zl: Array, zh: Array, al: Array, ah: Array, bl: Array, bh: Array, el: Array, eh: Array) -> tuple[float, float]:
    """Gap by gap: ``max(M, g) = M + max(0, g - M)``; and from the ends of each of the four maxima."""
    first_low = first_high = second_low = second_high = least = most = 0.0
    both_low = both_high = at_low = at_high = 0.0
    for k in range(count):
        a0, a1, b0, b1 = al[k] - first_high, ah[k] - first_low, bl[k] - second_high, bh[k] - second_low
        corner_low, corner_high = _second(zl[k] / 2 + zh[k] / 2, a0, a1, b0, b1)
        bottom, top = zl[k] + a0 + b0, zh[k] + a1 + b1
        if min(bottom, bottom + el[k] - most) > 0:
            least, most = el[k], eh[k]
        elif not max(top, top + eh[k] - least) <= 0:
            least, most = min(el[k], least), max(eh[k], most)
        least, most = corner_low + least, corner_high + most
        first_low, first_high = max(first_low, zl[k] + al[k]), max(first_high, zh[k] + ah[k])
        second_low, second_high = max(second_low, zl[k] + bl[k]), max(second_high, zh[k] + bh[k])
        both_low, both_high = max(both_low, zl[k] + al[k] + bl[k] + el[k]), max(both_high, zh[k] + ah[k] + bh[k] + eh[k])
        at_low, at_high = max(at_low, zl[k]), max(at_high, zh[k])
    return max(least, both_low - first_high - second_high + at_low), min(most, both_high - first_low - second_low + at_high)


@compiled
def _by_winners(count: int, zl: Array, zh: Array, al: Array, ah: Array, bl: Array, bh: Array, el: Array, eh: Array) -> tuple[float, float]:
    """By which gap is greatest, or none above 0 (``count``), after either change and after both.

    At most what the gap that wins after both changes makes by itself, for F is no less than it elsewhere. At least what a gap makes by
    itself that wins after either change. Where p wins after the first one and q after the second one, F after both is at least either of
    them: the other change raises p (or q) by ``_rise``, and q (or p) stands against it.
    """
    first, second, both = 0.0, 0.0, 0.0
    for k in range(count):
        first, second = max(first, zl[k] + al[k]), max(second, zl[k] + bl[k])
        both = max(both, zl[k] + al[k] + bl[k] + el[k])
    least, most = np.inf, -np.inf
    for p in range(count + 1):
        low = high = rise_p = top_p = top = 0.0
        if p < count:
            low, high = _one(zl[p], zh[p], al[p], ah[p], bl[p], bh[p], el[p], eh[p])
            rise_p, top_p = _rise(zl[p] + al[p], zh[p] + ah[p], bl[p] + el[p]), zh[p] + ah[p]
            top = top_p + bh[p] + eh[p]
        if top >= both:
            most = max(most, high)
        if top_p < first:
            continue
        for q in range(count + 1):
            rise_q = top_q = 0.0
            if q < count:
                rise_q, top_q = _rise(zl[q] + bl[q], zh[q] + bh[q], al[q] + el[q]), zh[q] + bh[q]
            if top_q >= second:
                least = min(least, low if p == q else max(rise_p - top_q, rise_q - top_p))
    return least, most


@compiled
def _rise(low: float, high: float, change: float) -> float:
    """The least ``max(0, y + c) - max(0, y)`` of y between ``low`` and ``high``, and c of at least ``change``."""
    at = low if change >= 0 else high
    return max(at + change, 0.0) - max(at, 0.0)


@compiled
def _one(zl: float, zh: float, a0: float, a1: float, b0: float, b1: float, e0: float, e1: float) -> tuple[float, float]:
    """Ends of the second difference of ``max(0, g)``."""
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
