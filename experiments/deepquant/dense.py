"""A dense search, to compare with: very many points, then a random local search from the best of them. A search, no proof.

It stands where the paper has DeepGO's values. It knows nothing of netassay's methods, evaluates in float64, and
spends a few hundred times as many network evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.falsifiers.search import MINIMUM_SHARE
from netassay.models.network import Network
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball

Array = NDArray[np.float64]
Objective = Callable[[Array], Array]

BATCH = 8192

MOVING = (0.3, 1.0)
"""Shares of the features that a try moves: some or all."""


@dataclass(frozen=True)
class Plan:
    """How dense.

    Args:
        points: Points drawn at first.
        kept: How many of the best a local search starts from.
        steps: Steps of each local search.
        tries: Points tried around each, per step, at distances from 0.3 down to 1e-6 of the region's width.
    """

    points: int
    kept: int = 64
    steps: int = 60
    tries: int = 32

    @property
    def queries(self) -> int:
        return self.points + self.kept * self.steps * self.tries


def slope(problem: Problem, plan: Plan, seed: int) -> float:
    """The greatest abs(s(x) - s(x')) / norm(x - x') over the ball, no nearer to the centre than netassay's own searches measure."""
    ball, rng = problem.ball, np.random.default_rng(seed)
    at_center = _values(problem, problem.center[None])[0]

    def objective(points: Array) -> Array:
        distance = ball.distance(points)
        far = distance >= MINIMUM_SHARE * ball.radius
        return np.where(far, np.abs(_values(problem, points) - at_center) / np.where(far, distance, 1.0), -np.inf)

    drawn = ball.sample(plan.points, rng)
    nearer = ball.center + 10 ** rng.uniform(np.log10(MINIMUM_SHARE), 0, (len(drawn), *[1] * ball.center.ndim)) * (drawn - ball.center)
    spread = np.where(rng.random((len(drawn), *[1] * ball.center.ndim)) < 0.5, drawn, ball.project(nearer))
    return _climb(objective, spread, ball, plan, rng)


def extremes(problem: Problem, plan: Plan, seed: int) -> tuple[float, float]:
    """The least and the greatest value of s over a box."""
    box, rng = problem.region, np.random.default_rng(seed)
    if not isinstance(box, Box):
        raise TypeError(f"extremes are searched over a box; got {type(box).__name__}")
    corners = np.array(list(product(*zip(box.lower.reshape(-1), box.upper.reshape(-1), strict=True)))).reshape(-1, *box.shape)
    drawn = np.concatenate([corners, rng.uniform(box.lower, box.upper, (plan.points, *box.shape))])
    greatest = _climb(lambda points: _values(problem, points), drawn, box, plan, rng)
    least = -_climb(lambda points: -_values(problem, points), drawn, box, plan, rng)
    return least, greatest


def _climb(objective: Objective, points: Array, region: Ball | Box, plan: Plan, rng: np.random.Generator) -> float:
    """The best value among ``points`` (N, *shape) and what local searches from the best of them reach."""
    values = objective(points)
    best = np.argsort(values)[-plan.kept :]
    points, values = points[best], values[best]
    lower, upper = region.bounds() if isinstance(region, Ball) else (region.lower, region.upper)
    ones = (1,) * (points.ndim - 1)
    for _ in range(plan.steps):
        reach = 10 ** rng.uniform(-6, np.log10(0.3), (len(points), plan.tries, *ones)) * (upper - lower)
        moves = rng.random((len(points), plan.tries, *points.shape[1:])) < rng.choice(MOVING, (len(points), plan.tries, *ones))
        tried = points[:, None] + reach * moves * rng.standard_normal(moves.shape)
        flat = tried.reshape(-1, *points.shape[1:])
        flat = region.project(flat) if isinstance(region, Ball) else flat.clip(lower, upper)
        found = objective(flat).reshape(len(points), plan.tries)
        at = found.argmax(axis=1)
        better = found[np.arange(len(points)), at] > values
        points[better] = flat.reshape(tried.shape)[better, at[better]]
        values[better] = found[better, at[better]]
    return float(values.max())


def _values(problem: Problem, points: Array) -> Array:
    """s (N,) of points (N, *shape), float64, in batches."""
    network: Network = problem.network.in_float64() or problem.network
    dtype = torch.float64 if network.dtype == "float64" else torch.float32
    found = []
    with torch.no_grad():
        for i in range(0, len(points), BATCH):
            rows = torch.tensor(points[i : i + BATCH], dtype=dtype, device=network.device)
            found.append(problem.property.values(network.scores(rows, problem.property.on)).double().cpu().numpy())
    return np.concatenate(found)
