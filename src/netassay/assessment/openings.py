"""Points to look from for the nearest violation before anything is known: corners of the region, and the other inputs of a batch.

Inputs that are decided otherwise are violations that no climb from the centre may ever find: one from a flat region around it, say.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netassay.falsifiers.base import Outcome, Proposal
from netassay.falsifiers.search import Search
from netassay.falsifiers.space import Arms

MOST = 8
"""Opening points per problem."""

TRIED = 16
"""Other inputs tried, the nearest ones."""

CORNERS = 3
"""The lowest, highest and middle point of a region's box."""

GRID = 8
"""Points on the segment from the centre to an opening point."""

SHARE = 0.1
"""Of the queries left, half for points that are tried, half for the segments; all of them in one batch."""


def openings(search: Search) -> Tensor:
    """Free features (B, w, k) to start from, nearest violations first; where there are fewer, points that are none fill the rows."""
    some = np.flatnonzero(search.room > 0)
    allowance = min(int(SHARE * search.room[some].min(initial=np.iinfo(np.int64).max)), search.rows // max(1, len(some)))
    tried, most = min(TRIED, allowance // 2 - CORNERS), min(MOST, allowance // (2 * GRID))
    if not len(some) or tried < 1 or most < 1 or search.clock.expired or search.interrupted():
        return search.space.free_centers[:, None][:, :0]
    arms = search.arms(some, np.full(len(some), -1.0), search.space.radii[some])
    points = _neighbours(search, arms, tried)
    found = _walked(search, arms, points, min(most, points.shape[1]))
    starts = search.space.free_centers.unsqueeze(1).repeat(1, found.shape[1], 1)
    starts[arms.owner] = arms.points(_everyone(arms), found)
    return starts


def _everyone(arms: Arms) -> Tensor:
    return torch.arange(len(arms), device=arms.low.device)


def _neighbours(search: Search, arms: Arms, count: int) -> Tensor:
    """(A, c, k) the lowest, highest and middle point of each region's box, and the nearest other centres, pulled into the ball."""
    centers = search.space.free_centers
    away = torch.stack([search.space.lengths((centers - centers[i]) / search.space.scale) for i in arms.owner])
    others = away.argsort(dim=1)[:, 1 : count + 1]
    corners = torch.stack([arms.low, arms.high, (arms.low + arms.high) / 2], dim=1)
    everyone = _everyone(arms)
    return arms.pull(everyone, torch.cat([corners, arms.units(everyone, centers[others])], dim=1))


def _walked(search: Search, arms: Arms, points: Tensor, most: int) -> Tensor:
    """(A, most, k) the nearest violations among ``points`` (A, c, k), each at the first violation of a grid on its ray."""
    everyone = _everyone(arms)
    rows, columns = everyone.unsqueeze(1), torch.arange(most, device=everyone.device).unsqueeze(0)
    length = _violations(search.evaluate(arms, Proposal(everyone, everyone, points)))
    order = length.argsort(dim=1, stable=True)[:, :most]
    shares = torch.arange(1, GRID + 1, dtype=points.dtype, device=points.device) / GRID
    rays = points[rows, order].unsqueeze(2) * shares.view(1, 1, -1, 1)
    inner = _violations(search.evaluate(arms, Proposal(everyone, everyone, rays[:, :, :-1].flatten(1, 2))))
    lengths = torch.cat([inner.view(len(arms), most, GRID - 1), length[rows, order].unsqueeze(2)], dim=2)
    first = torch.isfinite(lengths).int().argmax(dim=2)  # the point next to the centre where none is a violation
    return rays[rows, columns, first][rows, lengths[rows, columns, first].argsort(dim=1, stable=True)]


def _violations(outcome: Outcome) -> Tensor:
    """(L, m) length of the points that are violations, inf elsewhere."""
    return torch.where((outcome.merit > 0) & outcome.feasible, outcome.length, torch.inf)
