"""Balls of the L1 and L2 norm, and least values of linear forms over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions, floats
from netassay.checking.certificates.concretisation import box_minimum

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """All x with ``||(x - center) / scale||_p <= radius``; for the norm 0, all that differ from the centre in at most ``radius`` pixels.

    Args:
        norm: 0, 1 or 2.
        center, scale: (n,), the scale positive; for the norm 0 it is the number of the pixel that each feature belongs to.
        radius: Positive.
    """

    norm: int
    center: Floats
    scale: Floats
    radius: float


def ball_minimum(a: Arithmetic, rows: Array, low: Array, high: Array, owner: Positions, ball: Ball, region: tuple[Floats, Floats]) -> Array:
    """(R,) numbers at or below ``min <rows, x>`` over the part of a ball in each row's box, all boxes within a region given by its corners.

    ``<c, x> = <c, center> + <c1, x - center> + <c2, x - center>``: c1 is bounded by the ball, c2 by the box, whatever the split.
    """
    center, scale, radius = a.array(ball.center), a.array(ball.scale), a.array(ball.radius)
    rest = rows - _within_ball(a, rows, region, ball)
    within = rows - rest
    if not a.exact:
        within = np.where(np.isfinite(within), within, np.nan)
    box = box_minimum(a, rest, a.down(low - center), a.up(high - center), owner)
    weighted = np.abs(within) * scale
    dual = a.up(weighted.max(axis=1)) if ball.norm == 1 else a.root((weighted * weighted).sum(axis=1), rows.shape[1])
    middle, size = rows @ center, np.abs(rows) @ np.abs(center)
    reach = a.up(radius * dual)
    # what c1 + c2 differs from c by, times how far any x of the box is from the centre
    apart = np.maximum(np.abs(low - center), np.abs(high - center)).max(axis=0)
    slack = a.gamma(rows.shape[1]) * 4 * (size + np.abs(box) + reach + np.abs(rows) @ apart) + a.tiny
    return np.asarray(a.down(middle + box - reach - slack))


def _within_ball(a: Arithmetic, rows: Array, region: tuple[Floats, Floats], ball: Ball) -> Array:
    """About the best share of each row for the ball: any would do."""
    c = floats(rows)
    weights = np.abs(c) * ball.scale
    caps = np.where(c > 0, ball.center - region[0], region[1] - ball.center) / ball.scale
    caps = np.maximum(np.minimum(caps, ball.radius), 0.0)
    kept = np.minimum(weights, _price(weights, caps, ball.radius) if ball.norm == 1 else _limits(weights, caps, ball.radius))
    share = np.where(weights > 0, kept / np.where(weights > 0, weights, 1.0), 0.0)
    return np.asarray(rows * a.array(np.nan_to_num(np.clip(share, 0.0, 1.0))))


def _price(weights: Floats, caps: Floats, radius: float) -> Floats:
    """(R, 1) the weight at which a budget is used up that is spent on the heaviest features first, each up to its cap."""
    order = np.argsort(-weights, axis=1, kind="stable")
    spent = np.cumsum(np.take_along_axis(caps, order, axis=1), axis=1)
    last = np.argmax(spent >= radius, axis=1)[:, None]
    price = np.take_along_axis(np.take_along_axis(weights, order, axis=1), last, axis=1)
    return np.where(spent[:, -1:] >= radius, price, 0.0)


def _limits(weights: Floats, caps: Floats, radius: float) -> Floats:
    """(R, n) ``cap / tau`` with ``sum min(cap, tau * weight)^2 = radius^2``, by bisection."""
    with np.errstate(all="ignore"):
        most = np.nanmax(np.where(weights > 0, caps / weights, 0.0), axis=1, keepdims=True, initial=0.0)
        low, high = np.zeros_like(most), most
        for _ in range(60):
            middle = low / 2 + high / 2
            inside = (np.minimum(caps, middle * weights) ** 2).sum(axis=1, keepdims=True) <= radius**2
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return np.asarray(np.where(high > 0, caps / high, 0.0))
