"""Rounding of float64 sums and products, bounded once and for all (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).

A sum of n products computed in any order, with or without fused operations, differs from the real one by at most
``gamma(n) * sum |a_i| |b_i|``. All bounds of this layer subtract such terms, so they hold in real arithmetic. Underflow is covered
by ``UNDERFLOW`` as long as magnitudes stay below ``LARGEST``; beyond it there is no bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

UNIT = 2.0**-53
"""Unit roundoff of float64."""

UNDERFLOW = 1e-150
"""More than all products that underflow can lose together, where nothing exceeds ``LARGEST``."""

LARGEST = 1e100
"""Magnitudes from here on give no bound."""

SMALLEST = 1e-300
"""What smaller magnitudes count as in error bounds: half of a number near the smallest floats is not exact."""


def gamma(terms: int) -> float:
    """Higham's constant, enlarged for the rounding of the error terms themselves; ``terms`` below 2**40."""
    return (terms + 16) * UNIT * 1.01


def underflows(*factors: Array) -> bool:
    """Whether a product of one number of each array, none of them 0, may underflow: what it loses counts where it is scaled up again."""
    with np.errstate(all="ignore"):
        least = float(np.prod([np.abs(f[f != 0]).min(initial=1.0) for f in factors]))
    return not least >= SMALLEST


def down(values: Any) -> Array:
    """The next smaller floats; NaN becomes -inf, since it bounds nothing."""
    lower = np.nextafter(values, -np.inf)
    return np.asarray(np.where(np.isnan(lower), -np.inf, lower))


def up(values: Any) -> Array:
    """The next larger floats; NaN becomes inf."""
    upper = np.nextafter(values, np.inf)
    return np.asarray(np.where(np.isnan(upper), np.inf, upper))
