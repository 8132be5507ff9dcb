"""Best points of linear models of s in a ball, whole and in part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from netassay.falsifiers.space import Arms
from netassay.numerics.norms import Norm

BEYOND = 4.0
"""A step, in units of the radius, that leads out of every ball from every point of it."""


class ModelPoints:
    """The balls of some arms, where models look for their best points.

    Args:
        arms: All arms.
        at: (L,) those asked about.
    """

    def __init__(self, arms: Arms, at: Tensor) -> None:
        self._arms, self._at, self._norm = arms, at, arms.space.norm
        self._low, self._high = arms.low[at], arms.high[at]

    def best(self, slope: Tensor, share: Tensor, position: Tensor | None = None) -> Tensor:
        """(L, k) where a linear function of slope (L, k) is largest at a share (L, 1) of the radius; without slope a feature stays."""
        if self._norm is Norm.LINF:
            ahead = slope.sign().mul_(BEYOND)
            ahead = ahead if position is None else ahead.add_(position)
            return torch.clamp(torch.clamp(ahead, -share, share, out=ahead), self._low, self._high, out=ahead)
        if self._norm is Norm.L0:
            return self._best_groups(slope, share)
        low, high = torch.maximum(self._low, -share), torch.minimum(self._high, share)
        wall = torch.where(slope > 0, high, low)
        open_slope = torch.where(slope * wall > 0, slope, 0.0)
        if self._norm is Norm.L2:
            point: Tensor = share * open_slope / open_slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
            for _ in range(4):  # what the walls cut off is given to the other features
                point = torch.clamp(point * share / point.norm(dim=1, keepdim=True).clamp_min(1e-30), low, high)
            return point
        order = open_slope.abs().argsort(dim=1, descending=True)
        room = wall.abs().gather(1, order)
        taken = torch.minimum(room, (share - (room.cumsum(dim=1) - room)).clamp_min(0))
        return torch.zeros_like(slope).scatter_(1, order, taken) * open_slope.sign()

    def pulled(self, points: Tensor, share: Tensor) -> Tensor:
        """(L, k) points brought into the balls of a share (L, 1) of the radius."""
        if self._norm is not Norm.LINF:
            return self._arms.pull(self._at, points.unsqueeze(1), share).squeeze(1)
        return torch.clamp(torch.clamp(points, -share, share), self._low, self._high)

    def _best_groups(self, slope: Tensor, share: Tensor) -> Tensor:
        """For L0: the groups of largest gain at their walls."""
        space = self._arms.space
        wall = torch.where(slope > 0, self._high, self._low)
        gain = slope * wall
        total = space.group_totals(gain.clamp_min(0))
        order = total.argsort(dim=1, descending=True)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))
        kept = (rank < (self._arms.radii[self._at].unsqueeze(1) * share).floor().clamp_min(1)) & (total > 0)
        if space.groups is not None:
            kept = kept[:, torch.as_tensor(space.groups, device=kept.device)]
        return torch.where(kept & (gain > 0), wall, 0.0)

    def parts(self, position: Tensor, target: Tensor, slope: Tensor, parts: Sequence[float]) -> list[Tensor]:
        """The way to the target in parts: its most promising features first (L-infinity, L0), or all of them partly."""
        if self._norm in (Norm.L1, Norm.L2):
            return [position + part * (target - position) for part in parts]
        gain = slope * (target - position)
        useful = (gain > 0).sum(dim=1, keepdim=True)
        falling, found = _sorted(-gain), []
        for part in parts:
            least = -falling.gather(1, ((useful * part).ceil().long() - 1).clamp_min(0))
            chosen = gain >= least.clamp_min(torch.finfo(gain.dtype).tiny)
            found.append(torch.lerp(position, target, chosen.to(gain.dtype)))
        return found


def _sorted(values: Tensor) -> Tensor:
    """Each row in ascending order; numpy sorts more than ten times as fast as torch where it can."""
    return values.sort(dim=1).values if values.is_cuda else torch.from_numpy(np.sort(values.numpy(), axis=1))
