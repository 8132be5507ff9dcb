"""What a linear relaxation is. All arrays are float64; the first axis B counts boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Interval = tuple[Array, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """``lower_slope * x + lower_offset <= f(x) <= upper_slope * x + upper_offset`` for every real x in the box.

    In real arithmetic of these floats, f being the exact mathematical function. An offset may be infinite (nothing is
    known on that side; its slope is 0 then). Where a bound of x was NaN, nothing is known on either side.

    Args:
        lower_slope, lower_offset, upper_slope, upper_offset: (B, *shape), the shape of the input's bounds.
    """

    lower_slope: Array
    lower_offset: Array
    upper_slope: Array
    upper_offset: Array


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """``sum_k lower_slopes[b, o, k] * x[index[o, k]] + lower_offset[b, o] <= y[b, o]``, and so above, for every real x in box b.

    In real arithmetic of these floats. x is the concatenation of the flattened inputs; an entry may appear more than
    once, and padded entries have slope 0. An offset may be infinite, as in ``Lines``.

    Args:
        index: (outputs, k), positions in x.
        lower_slopes, upper_slopes: (B, outputs, k).
        lower_offset, upper_offset: (B, outputs).
    """

    index: NDArray[np.intp]
    lower_slopes: Array
    upper_slopes: Array
    lower_offset: Array
    upper_offset: Array
