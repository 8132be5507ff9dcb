"""Least values of linear forms over boxes."""

from __future__ import annotations

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.rationals import quotients, whole


def box_minimum(a: Arithmetic, rows: Array, low: Array, high: Array, owner: Positions) -> Array:
    """(R,) numbers at or below ``min <rows, x>`` over each row's box.

    Args:
        a: The arithmetic.
        rows: (R, n).
        low, high: (B, n) boxes.
        owner: (R,) the box of each row.
    """
    exact = _exact_minimum(rows, low, high, owner) if a.exact else None
    if exact is not None:
        return exact
    rising, falling = np.maximum(rows, 0), np.minimum(rows, 0)
    size = np.maximum(np.abs(low), np.abs(high))
    if len(low) == 1:
        value, slack = rising @ low[0] + falling @ high[0], (rising - falling) @ size[0]
    else:
        value = inner(rising, low[owner]) + inner(falling, high[owner])
        slack = inner(rising - falling, size[owner])
    return np.asarray(a.down(value - 2 * a.gamma(2 * rows.shape[1]) * slack - a.tiny))


def _exact_minimum(rows: Array, low: Array, high: Array, owner: Positions) -> Array | None:
    """By whole numbers; None where the numbers have no short common denominator."""
    forms, ends = whole(rows), whole(np.stack([low, high]))
    if forms is None or ends is None:
        return None
    corner = np.where(forms[0] > 0, ends[0][0, owner], ends[0][1, owner])
    return quotients((forms[0] * corner).sum(axis=1), forms[1] * ends[1])


def inner(one: Array, other: Array) -> Array:
    """(R,) inner products row by row."""
    if one.dtype == object or other.dtype == object:
        return np.asarray((one * other).sum(axis=1), dtype=object)
    return np.asarray(np.einsum("rn,rn->r", one, other))
