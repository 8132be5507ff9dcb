"""The moves of an L0 search: each sets one group of features (a feature, or a pixel's channels) to a corner of its range."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from netassay.falsifiers.search import Search

CHANNELS = 3
"""Groups of so many features at most have all their corners; larger ones the lowest and the highest."""


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Of one problem, M moves of up to c features each.

    Args:
        center: (k,) the free features at the centre.
        group: (M,) which group each of them changes.
        features: (M, c) its features; a short group's first feature stands in the places that are left.
        values: (M, c) what they become.
        change: (M, c) by how much, 0 in the places that are left.
    """

    center: Tensor
    group: Tensor
    features: Tensor
    values: Tensor
    change: Tensor

    @classmethod
    def of(cls, search: Search, b: int) -> Moves:
        """All moves of problem b that change something."""
        space = search.space
        arms = search.arms(np.array([b]), np.array([-1.0]), space.radii[[b]])
        center, members, real = space.free_centers[b], *_members(search)
        width = members.shape[1]
        corners = list(product((False, True), repeat=width)) if width <= CHANNELS else [(False,) * width, (True,) * width]
        raised = torch.tensor(corners, device=space.device).unsqueeze(0)  # (1, E, c)
        values = torch.where(raised, arms.ceiling[0][members].unsqueeze(1), arms.floor[0][members].unsqueeze(1)).reshape(-1, width)
        group = torch.arange(len(members), device=space.device).repeat_interleave(len(corners))
        features = members[group]
        values = torch.where(real[group], values, values[:, :1])
        change = torch.where(real[group], values - center[features], 0.0)
        moving = (change != 0).any(dim=1)
        return cls(center, group[moving], features[moving], values[moving], change[moving])

    def __len__(self) -> int:
        return len(self.group)

    def points(self, sets: Tensor) -> Tensor:
        """(N, k) the centre after the moves of each set (N, t); no two moves of a set change the same group."""
        rows = self.center.repeat(len(sets), 1)
        rows.scatter_(1, self.features[sets].reshape(len(sets), -1), self.values[sets].reshape(len(sets), -1))
        return rows

    def gains(self, slopes: Tensor) -> Tensor:
        """(N, M) by how much each move lowers linear functions of these slopes (N, k)."""
        return -(slopes[:, self.features] * self.change).sum(dim=2)

    def best_of_groups(self, gains: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """(g, T) the highest of each group's gains (M, T), -inf for a group without a move, and (g, T) the move that has it."""
        at = self.group.unsqueeze(1).expand_as(gains)
        best = gains.new_full((groups, gains.shape[1]), -torch.inf).scatter_reduce(0, at, gains, "amax")
        rank = torch.arange(len(gains), device=gains.device).unsqueeze(1).expand_as(gains)
        which = torch.zeros(best.shape, dtype=torch.long, device=gains.device)
        return best, which.scatter_reduce(0, at, torch.where(gains >= best.gather(0, at), rank, 0), "amax")


def _members(search: Search) -> tuple[Tensor, Tensor]:
    """(g, c) the features of each group, and which of the places hold one that is not a repetition."""
    space = search.space
    groups = np.arange(space.dimension) if space.groups is None else np.asarray(space.groups)
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=space.group_count)
    starts = np.cumsum(sizes) - sizes
    place = np.arange(int(sizes.max()))
    real = place < sizes[:, None]
    members = order[np.where(real, starts[:, None] + place, starts[:, None])]
    return torch.as_tensor(members, device=space.device), torch.as_tensor(real, device=space.device)
