"""A small attack inside a proof: projected gradient steps from random points, over many regions and parts of a claim at once.

It only looks for points at which a claim may fail; whoever asked replays them. Boxes take sign steps, balls convex steps towards the
point where the gradient's linear form is smallest (Frank and Wolfe, 1956), which never leave the region.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from netassay.verifiers.claim import Claim
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The least value of s that was seen, in the claim's units, and where."""

    value: float
    point: Array


def values(claim: Claim, outputs: Array) -> Array:
    """(N,) s of outputs (N, m): the least part, each the greatest of its rows; NaN where an output is."""
    with np.errstate(all="ignore"):
        parts = [(outputs @ part.rows.T + part.constants).max(axis=1) for part in claim.parts]
    return np.min(np.stack(parts), axis=0) if parts else np.full(len(outputs), np.inf)


def least(claim: Claim, evaluator: Evaluator, points: Array) -> Found:
    """The point (N, *shape) with the least s."""
    found = values(claim, evaluator.outputs(points))
    i = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
    return Found(float(found[i]), points[i])


def probe(
    claim: Claim,
    evaluator: Evaluator,
    regions: Regions,
    rng: np.random.Generator,
    *,
    points: int = 200,
    steps: int = 50,
    over: Callable[[], bool] = bool,
) -> Found:
    """Attacks every part in every region; stops at the first violation.

    Args:
        claim: What is to be broken.
        evaluator: Of the claim's graph.
        regions: Any number; all are attacked side by side.
        rng: For the first points.
        points: Points in all, shared by regions and parts.
        steps: Most gradient steps.
        over: Asked before each step: True ends the attack.
    """
    pairs = len(regions) * len(claim.parts)
    each = max(1, points // pairs)
    owner = np.repeat(np.arange(len(regions)), each * len(claim.parts))
    part = np.tile(np.repeat(np.arange(len(claim.parts)), each), len(regions))
    x = _drawn(regions, owner, rng)
    best = Found(np.inf, x[0])
    for step in range(steps + 1):
        outputs = evaluator.outputs(x)
        now = values(claim, outputs)
        i = int(np.argmin(np.where(np.isnan(now), np.inf, now)))
        if now[i] < best.value:
            best = Found(float(now[i]), x[i].copy())
        if step == steps or not claim.holds(best.value) or over():
            return best
        rows = _rows(claim, outputs, part)
        _, gradient = evaluator.gradients(x, rows)
        x = _stepped(regions, owner, x, gradient, 0.25 * (1 - step / steps) + 0.005, step)
    return best


def _drawn(regions: Regions, owner: Positions, rng: np.random.Generator) -> Array:
    """A random point per row; half of them corners of the box. Rows of balls start at the box's middle, which convexity needs inside."""
    low, high = regions.lower[owner], regions.upper[owner]
    drawn = rng.random(low.shape)
    corner = rng.random(len(owner)) < 0.5
    drawn[corner] = np.round(drawn[corner])
    x = low + drawn * (high - low)
    if regions.ball is not None:
        inside = regions.ball[owner] >= 0
        directions = rng.standard_normal((int(inside.sum()), *regions.shape))
        x[inside] = regions.minimisers(directions, owner[inside])
    return np.clip(x, low, high)


def _rows(claim: Claim, outputs: Array, part: Positions) -> Array:
    """(N, m) for each point the row of its part that is greatest there."""
    chosen = np.empty((len(outputs), outputs.shape[1]))
    for p, each in enumerate(claim.parts):
        mine = np.flatnonzero(part == p)
        with np.errstate(all="ignore"):
            greatest = (outputs[mine] @ each.rows.T + each.constants).argmax(axis=1)
        chosen[mine] = each.rows[greatest]
    return chosen


def _stepped(regions: Regions, owner: Positions, x: Array, gradient: Array, share: float, step: int) -> Array:
    low, high = regions.lower[owner], regions.upper[owner]
    moved = np.clip(x - share * (high - low) * np.sign(gradient), low, high)
    if regions.ball is not None:
        inside = regions.ball[owner] >= 0
        toward = regions.minimisers(gradient[inside], owner[inside])
        moved[inside] = x[inside] + 2 / (step + 3) * (toward - x[inside])
    return np.asarray(moved)
