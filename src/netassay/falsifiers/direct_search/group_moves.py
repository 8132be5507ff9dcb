"""Probes that each move one group of features: kept as the features that move, so that they cost no more than those."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netassay.falsifiers.base import Outcome
from netassay.falsifiers.direct_search.tiles import count
from netassay.falsifiers.space import Arms
from netassay.numerics.norms import Norm


@dataclass(frozen=True, slots=True)
class GroupMoves:
    """m probes for each of L lanes; no feature is moved by two probes of one lane.

    Args:
        features: (L, n) features that move.
        probes: (L, n) the probe that moves each.
        sizes: (k,) number of features in each feature's group.
        used: (L, n) False where an entry stands for nothing; None where all count.
        width: m.
    """

    features: Tensor
    probes: Tensor
    sizes: Tensor
    used: Tensor | None
    width: int

    @classmethod
    def of_block(cls, groups: Tensor, begin: int, end: int, lanes: int) -> GroupMoves:
        """The groups numbered from ``begin`` to ``end`` of ``groups`` (k,), the same for all lanes."""
        features = ((groups >= begin) & (groups < end)).nonzero().squeeze(1)
        probes = groups[features] - begin
        return cls(features.expand(lanes, -1), probes.expand(lanes, -1), _sizes(groups), None, end - begin)

    @classmethod
    def of_chosen(cls, groups: Tensor, chosen: Tensor) -> GroupMoves:
        """Groups ``chosen`` (L, m) of ``groups`` (k,), different for each lane."""
        lanes, width = chosen.shape
        numbers, features = torch.arange(width, device=groups.device), torch.arange(len(groups), device=groups.device)
        if torch.equal(groups, features):
            return cls(chosen, numbers.expand(lanes, -1), torch.ones_like(groups), None, width)
        table = chosen.new_full((lanes, count(groups)), width).scatter_(1, chosen, numbers.expand(lanes, -1))
        probes = table[:, groups]
        return cls(features.expand(lanes, -1), probes.clamp(max=width - 1), _sizes(groups), probes < width, width)

    def kept(self, rows: Tensor, width: int) -> GroupMoves:
        """Those of lanes at ``rows`` (r,), and of their first ``width`` probes only."""
        probes = self.probes[rows]
        used = None if self.used is None else self.used[rows]
        if width < self.width:
            fits = probes < width
            used = fits if used is None else used & fits
        return GroupMoves(self.features[rows], probes.clamp(max=width - 1), self.sizes, used, width)

    def walls(self, arms: Arms, at: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(L, n) lowest and highest value of the features in the balls of arms ``at`` (L,), at a share (L, 1) of the radius."""
        low, high = _entries(arms.low, at, self.features), _entries(arms.high, at, self.features)
        return (low, high) if share is None else (torch.maximum(low, -share), torch.minimum(high, share))

    def evened(self, move: Tensor, norm: Norm) -> Tensor:
        """Moves (L, n), in L1 and L2 shortened so that groups of all sizes go about equally far."""
        if norm not in (Norm.L1, Norm.L2):
            return move
        size = self.sizes[self.features].to(move.dtype)
        return move / (size.sqrt() if norm is Norm.L2 else size)

    def applied(self, position: Tensor, move: Tensor) -> Tensor:
        """(L, m, k) positions (L, k) with one group moved each, by its part of ``move`` (L, n)."""
        moved = move if self.used is None else move * self.used
        points = position.unsqueeze(1).repeat(1, self.width, 1)
        points.flatten(1).scatter_add_(1, self._at(position.shape[1]), moved)
        return points

    def slopes(self, outcome: Outcome, position: Tensor, changes: Tensor) -> Tensor:
        """(L, n, T) secant slopes of the guides along each group, shared out over its features, from the changes (L, m, T) they made.

        Args:
            outcome: What the probes gave: its points are where they went in truth.
            position: (L, k) where they started.
            changes: Of the guides; those that are not finite count as none.
        """
        moves = self._reached(outcome) - position.gather(1, self.features)
        moves = moves if self.used is None else moves * self.used
        size = moves.new_zeros(len(moves), self.width).scatter_add_(1, self.probes, moves.square()).unsqueeze(2)
        per = torch.where(torch.isfinite(changes) & (size > 0), changes / size.clamp_min(1e-20), 0.0)
        return per.gather(1, self.probes.unsqueeze(2).expand(-1, -1, per.shape[2])) * moves.unsqueeze(2)

    def put(self, models: Tensor, rows: Tensor, slopes: Tensor) -> None:
        """Writes slopes (L, n, T) of the features that moved into ``models`` (M, T, k) at ``rows`` (L,)."""
        if self.used is None:
            models[rows.unsqueeze(1), :, self.features] = slopes
        else:
            lane, entry = self.used.nonzero(as_tuple=True)
            models[rows[lane], :, self.features[lane, entry]] = slopes[lane, entry]

    def mark(self, table: Tensor, rows: Tensor, values: Tensor) -> None:
        """Writes ``values`` (L,) into ``table`` (M, k) for the features that moved, at ``rows`` (L,)."""
        if self.used is None:
            table[rows.unsqueeze(1), self.features] = values.unsqueeze(1)
        else:
            lane, entry = self.used.nonzero(as_tuple=True)
            table[rows[lane], self.features[lane, entry]] = values[lane]

    def _at(self, dimension: int) -> Tensor:
        """(L, n) places of the moved features among the m * k numbers of a lane's probes."""
        return self.probes * dimension + self.features

    def _reached(self, outcome: Outcome) -> Tensor:
        """(L, n) unit coordinates at which the moved features were evaluated."""
        arms, features = outcome.space, self.features
        free = outcome.free.flatten(1).gather(1, self._at(outcome.free.shape[2]))
        centers = _entries(arms.space.free_centers, arms.owner[outcome.arms], features)
        return (free - centers) / _entries(arms.step, outcome.arms, features)


def _entries(table: Tensor, rows: Tensor, features: Tensor) -> Tensor:
    """(L, n) entries of ``table`` (M, k) in its rows (L,) at features (L, n); where these are many, whole rows are fetched first."""
    if 4 * features.shape[1] > table.shape[1]:
        return table[rows].gather(1, features)
    return table[rows.unsqueeze(1), features]


def _sizes(groups: Tensor) -> Tensor:
    return torch.bincount(groups)[groups]
