"""Nearer L0 witnesses by swaps: two changed groups of features are put back and one other is changed instead."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from netassay.falsifiers.search import Search

SHARE, MOST = 0.25, 4096
"""Share of the queries left to a problem, and most queries, that one round of swaps may take."""


def swap_once(search: Search, b: int) -> bool:
    """Tries to change one group in place of two of the nearest witness of problem b; True if that gave a nearer one.

    The pairs whose loss hurts least come first, each with every other group at either end of its range, as far as the budget goes.
    """
    space, records = search.space, search.records
    point, center = records.nearest_points[b], space.free_centers[b]
    groups = _groups(search)
    changed = torch.unique(groups[point != center])
    others = torch.tensor([g for g in range(space.group_count) if g not in set(changed.tolist())], device=space.device)
    budget = int(min(MOST, SHARE * float(search.room[b])))
    pairs = torch.tensor(list(combinations(changed.tolist(), 2)), dtype=torch.long, device=space.device).reshape(-1, 2)
    if space.snaps or not np.isfinite(float(records.nearest[b])) or not len(pairs) or not len(others) or budget < len(pairs) + 2:
        return False
    at = torch.tensor([b], device=space.device)
    back = torch.where((groups == pairs[:, :1]) | (groups == pairs[:, 1:]), center, point)
    values, _ = search.values(at.expand(len(back)), back)
    search.used[b] += len(back)
    tried = _replaced(search, b, back[values.argsort(stable=True)], others)[: budget - len(back)]
    values, _ = search.values(at.expand(len(tried)), tried)
    search.used[b] += len(tried)
    lengths = space.lengths((tried - center) / space.scale)
    best, i = torch.where(search.violated(values), lengths, torch.inf).min(dim=0)
    if not bool(best < records.nearest[b]):
        return False
    records.offer_violations(at, best.unsqueeze(0), tried[i].unsqueeze(0))
    return True


def _groups(search: Search) -> Tensor:
    space = search.space
    return (
        torch.arange(space.dimension, device=space.device) if space.groups is None else torch.as_tensor(space.groups, device=space.device)
    )


def _replaced(search: Search, b: int, back: Tensor, others: Tensor) -> Tensor:
    """(pairs * others * 2, k) each point with each other group at the lower and at the upper end of its range."""
    groups = _groups(search)
    moves = groups == others.unsqueeze(1)
    rows = []
    for ends in (search.space.domain_low, search.space.domain_high):
        row = torch.as_tensor(ends[b] if ends.ndim > 1 else ends, dtype=back.dtype, device=back.device)
        rows.append(torch.where(moves.unsqueeze(0), row, back.unsqueeze(1)))
    return torch.stack(rows, dim=2).reshape(-1, back.shape[1])
