"""Weighted sums of linear forms: where all forms of a box may be nonpositive one by one, a sum of them may be positive everywhere.

The weights are found by an optimistic mirror step for the game ``max over w of min over x of sum_i w_i form_i(x)`` (Rakhlin and Sridharan,
2013): in float64, in a fixed number of steps, whatever the arithmetic. Any nonnegative weights would do. They decide how good
the sum is, not whether it may be used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions, floats

Forms = tuple[Positions, Array, Array]
"""Owners (F,), rows (F, n), offsets (F,): ``<row, x> + offset`` for the x of the owner's box."""

STEPS = 40
MOST, NUMBERS = 64, 1 << 12
"""Forms of a box that are combined, and their numbers, at most."""

STEP, REACH = 1.4, 50.0
"""Size of a step of x, in units of the box; sizes of offsets that are told apart, in units of what x may change."""


def combined(a: Arithmetic, low: Array, high: Array, forms: Sequence[Forms], wanted: Positions) -> Forms:
    """For each wanted box with two forms or more, a form that is nonpositive wherever all of its forms are.

    Args:
        a: The arithmetic.
        low, high: (B, n).
        forms: As for ``cut_down``; those with NaN or infinity are left out, and what is more than ``MOST`` and ``NUMBERS`` allow.
        wanted: Boxes, in order.
    """
    n = low.shape[1]
    owner, rows, offset = (np.concatenate([f[i] for f in forms]) for i in range(3))
    place = np.full(len(low), -1)
    place[wanted] = np.arange(len(wanted))
    kept = np.flatnonzero((place[owner] >= 0) & a.known(offset) & a.known(rows).all(axis=1))
    kept = kept[np.argsort(place[owner[kept]], kind="stable")]
    counts = np.bincount(place[owner[kept]], minlength=len(wanted))
    within = np.arange(len(kept)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = within < min(MOST, NUMBERS // max(n, 1))
    kept, within = kept[first], within[first]
    several = np.flatnonzero(np.bincount(place[owner[kept]], minlength=len(wanted)) > 1)
    if not len(several):
        return several, rows[:0], offset[:0]
    place[wanted] = -1
    place[wanted[several]] = np.arange(len(several))
    mine = place[owner[kept]] >= 0
    kept, within = kept[mine], within[mine]
    box, at = wanted[several], (place[owner[kept]], within)
    table = a.zeros(len(box), int(within.max()) + 1, n + 1)
    table[(*at, slice(None, n))], table[(*at, n)] = rows[kept], offset[kept]
    given = np.zeros(table.shape[:2], dtype=np.bool_)
    given[at] = True
    weights = a.array(_weights(floats(table), given, floats(low[box]), floats(high[box])))[:, :, None]
    total, size = (weights * table).sum(axis=1), (weights * np.abs(table)).sum(axis=1)
    reach = (size[:, :n] * np.maximum(np.abs(low[box]), np.abs(high[box]))).sum(axis=1) + size[:, n]
    lost = 4 * a.gamma(table.shape[1] + n) * reach + a.tiny
    return box, total[:, :n], a.bound(a.down(total[:, n] - lost))


def _weights(table: Array, given: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], low: Array, high: Array) -> Array:
    """(B, m) nonnegative weights, at most 1, with few digits; 0 for what is not given."""
    with np.errstate(all="ignore"):
        middle, radius = low / 2 + high / 2, high / 2 - low / 2
        slopes = table[:, :, :-1] * radius[:, None, :]
        levels = (table[:, :, :-1] @ middle[:, :, None])[:, :, 0] + table[:, :, -1]
        scale = 1 / (np.abs(slopes).sum(axis=2) + 1e-3 * np.abs(levels) + 1e-100)
        levels = np.where(given, np.clip(levels * scale, -REACH, REACH), -REACH)
        found = _played(slopes * scale[:, :, None], levels, given) * scale
        found = (found / found.max(axis=1, initial=0.0, keepdims=True)).astype(np.float32).astype(np.float64)
    return np.asarray(np.where(np.isfinite(found) & given & (found > 0), found, 0.0))


def _played(slopes: Array, levels: Array, given: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Array:
    """(B, m) averages of the weights, later ones counting more, against x in [-1, 1]^n."""
    back, x = slopes.swapaxes(1, 2), np.zeros((len(slopes), slopes.shape[2]))
    score, value, pull = np.zeros_like(levels), np.zeros_like(levels), np.zeros_like(x)
    weights = given / np.maximum(given.sum(axis=1, keepdims=True), 1)
    total = np.zeros_like(levels)
    for step in range(STEPS):
        values, pulls = levels + (slopes @ x[:, :, None])[:, :, 0], (back @ weights[:, :, None])[:, :, 0]
        score, x = score + 2 * values - value, np.clip(x - STEP * (2 * pulls - pull), -1, 1)
        value, pull = values, pulls
        shares = np.where(given, np.exp(score - score.max(axis=1, keepdims=True)), 0.0)
        weights = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        total += step * weights
    return total
