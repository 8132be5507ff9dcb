"""Least values of linear forms over boxes."""

from __future__ import annotations

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions


def box_minimum(a: Arithmetic, rows: Array, low: Array, high: Array, owner: Positions) -> Array:
    """(R,) numbers at or below ``min <rows, x>`` over each row's box.

    Args:
        a: The arithmetic.
        rows: (R, n).
        low, high: (B, n) boxes.
        owner: (R,) the box of each row.
    """
    rising, falling = np.maximum(rows, 0), np.minimum(rows, 0)
    size = np.maximum(np.abs(low), np.abs(high))
    if len(low) == 1:
        value, slack = rising @ low[0] + falling @ high[0], (rising - falling) @ size[0]
    else:
        value = inner(rising, low[owner]) + inner(falling, high[owner])
        slack = inner(rising - falling, size[owner])
    return np.asarray(a.down(value - 2 * a.gamma(2 * rows.shape[1]) * slack - a.tiny))


def inner(one: Array, other: Array) -> Array:
    """(R,) inner products row by row."""
    if one.dtype == object or other.dtype == object:
        return np.asarray((one * other).sum(axis=1), dtype=object)
    return np.asarray(np.einsum("rn,rn->r", one, other))
