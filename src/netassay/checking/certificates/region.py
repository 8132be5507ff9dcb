"""Regions of inputs: a box, perhaps within a ball of the L1 or L2 norm; least values of linear forms over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.balls import Ball, Floats, ball_minimum
from netassay.checking.certificates.concretisation import box_minimum
from netassay.errors import RegionError


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The inputs x with ``lower <= x <= upper``, in the ball where there is one.

    Args:
        lower, upper: (n,) finite corners.
        ball: None for the box alone.
    Raises:
        RegionError: If a number is not finite, the box is empty, or the parts do not fit.
    """

    lower: Floats
    upper: Floats
    ball: Ball | None = None

    def __post_init__(self) -> None:
        shape = self.lower.shape
        parts = [self.lower, self.upper]
        if self.ball is not None:
            parts += [self.ball.center, self.ball.scale, np.full(shape, self.ball.radius)]
        if len(shape) != 1 or any(p.shape != shape or not np.isfinite(p).all() for p in parts):
            raise RegionError("a region needs finite corners (and a finite centre, scale and radius) of one flat shape")
        if (self.lower > self.upper).any():
            raise RegionError("the region's lower corner exceeds its upper corner")
        if self.ball is not None and (self.ball.norm not in (0, 1, 2) or not self.ball.radius > 0 or not (self.ball.scale > 0).all()):
            raise RegionError("a ball needs the norm 0, 1 or 2, a positive radius and positive scales")

    def minimum(self, a: Arithmetic, rows: Array, low: Array, high: Array, owner: Positions) -> Array:
        """(R,) numbers at or below ``min <rows, x>`` over the part of the region in each row's box.

        Args:
            a: The arithmetic.
            rows: (R, n).
            low, high: (B, n) boxes.
            owner: (R,) the box of each row.
        """
        found = box_minimum(a, rows, low, high, owner)
        if self.ball is None or self.ball.norm == 0:
            return found
        return np.maximum(found, ball_minimum(a, rows, low, high, owner, self.ball, (self.lower, self.upper)))
