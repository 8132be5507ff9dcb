"""Ranges of intermediate values by branch and bound over the neurons before them: what deep networks need before their claims are split.

Every bound of every undecided number is a small tree of its own; all trees of a value grow together, batch by batch, by the rule of
``neuron_search``. A tree's bound is the least proved bound of its leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from netassay.verifiers.base import Limits
from netassay.verifiers.branch_and_bound.branching import children, choose
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.optimised import Ascent, ascend, is_kinked
from netassay.verifiers.propagation.passes import Passes
from netassay.verifiers.propagation.steered import Rows, Steered
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array


@dataclass(frozen=True, slots=True)
class RangeSplitting:
    """How large the trees grow.

    Args:
        leaves: Most leaves of one tree.
        steps: Gradient steps for every leaf.
        first: Gradient steps for the roots.
    """

    leaves: int = 32
    steps: int = 10
    first: int = 20


def split_ranges(
    bounded: BoundedGraph, region: Regions, ranges: list[Range | None], options: RangeSplitting, limits: Limits, seconds: float
) -> list[Range | None]:
    """Tighter ranges (1, *shape) of the values that nonlinear nodes read, layer by layer, each with those before it.

    Args:
        bounded: The graph.
        region: A single region.
        ranges: Proved ranges of those values.
        options: Of the trees.
        limits: Time, and bytes for the rows of one value.
        seconds: Shared by the values; what one leaves over goes to those behind it.
    """
    deadline, passes, found = limits.clock.elapsed + seconds, Passes(bounded, region), list(ranges)
    values = sorted(bounded.relaxed - {0})
    for done, value in enumerate(values):
        left = deadline - limits.clock.elapsed
        if limits.over or left <= 0:
            break
        steered = Steered(bounded, region, found, passes, value)
        if steered.neurons:
            found[value] = _Trees(steered, options, limits, limits.clock.elapsed + left / (len(values) - done)).grow()
    return found


class _Trees:
    """The trees of one value."""

    def __init__(self, steered: Steered, options: RangeSplitting, limits: Limits, deadline: float) -> None:
        self._steered, self._options, self._limits, self._deadline = steered, options, limits, deadline
        self._kinked = is_kinked(steered.bounded, steered.value)
        self._shape = steered.bounded.graph.shapes[steered.value]
        self._low, self._high = (np.array(side).reshape(-1) for side in steered.range(steered.value))

    def grow(self) -> Range:
        """The tightened range (1, *shape)."""
        undecided = np.flatnonzero((self._low < 0) & (self._high > 0) if self._kinked else self._low < self._high)
        numbers = 10 * self._steered.neurons + 4 * sum(prod(s) for s in self._steered.bounded.graph.shapes[: self._steered.value + 1])
        block = max(1, min(128, self._limits.memory // (4 * numbers * self._options.leaves)))
        widest = undecided[np.argsort(-np.minimum(self._high, -self._low)[undecided], kind="stable")]
        for begin in range(0, len(widest), block):
            if self._over():
                break
            self._grow(widest[begin : begin + block])
        shape = (1, *self._shape)
        return self._low.reshape(shape), self._high.reshape(shape)

    def _over(self) -> bool:
        return self._limits.over or self._limits.clock.elapsed > self._deadline

    def _grow(self, units: Positions) -> None:
        signs = np.repeat([1.0, -1.0], len(units))
        both = np.tile(units, 2)
        start = torch.zeros(len(both), prod(self._shape))
        start[torch.arange(len(both)), torch.from_numpy(both)] = torch.from_numpy(signs).float()
        rows = self._rows(start.reshape(-1, *self._shape))
        lower, rows = ascend(self._steered, rows, Ascent(self._options.first), self._target, self._over)
        tree = torch.arange(len(both))
        proved = self._leaf_bounds(rows, tree)
        while int(torch.bincount(tree).max()) < self._options.leaves and not self._over():
            before = len(tree)
            lower, rows, tree = self._split(lower, rows, tree, self._worst(lower, tree))
            if len(tree) == before:
                break
        proved = np.maximum(proved, self._leaf_bounds(rows, tree))
        np.maximum.at(self._low, both[signs > 0], proved[signs > 0])
        np.minimum.at(self._high, both[signs < 0], -proved[signs < 0])
        crossed = self._low > self._high  # both are right: no input is left; any range will do
        self._low[crossed], self._high[crossed] = self._high[crossed], self._low[crossed]

    @property
    def _target(self) -> float:
        return 0.0 if self._kinked else np.inf

    def _rows(self, start: Tensor) -> Rows:
        rows = self._steered.rows(start)
        shape = rows.slope.shape
        rows.code, rows.multiplier = torch.zeros(shape, dtype=torch.int8), torch.zeros(shape)
        if not all(g.kinked for g in self._steered.groups):
            rows.low, rows.high = torch.zeros(shape), torch.zeros(shape)
        return rows

    def _worst(self, lower: Tensor, tree: Tensor) -> Tensor:
        """The lower half of each tree's leaves, of trees that are not decided."""
        least = torch.full((int(tree.max()) + 1,), torch.inf).scatter_reduce(0, tree, lower, "amin")
        order = torch.argsort(lower, stable=True)
        order = order[torch.argsort(tree[order], stable=True)]
        counts = torch.bincount(tree)
        rank = torch.arange(len(tree)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        kept = (rank < (counts[tree[order]] + 1) // 2) & (least[tree[order]] <= self._target)
        return order[kept & (lower[order] <= self._target)]

    def _split(self, lower: Tensor, rows: Rows, tree: Tensor, split: Tensor) -> tuple[Tensor, Rows, Tensor]:
        if not len(split):
            return lower, rows, tree
        parents = rows.take(split)
        back = self._steered.back(parents)
        column = choose(self._steered, parents, back, self._steered.gradients(parents, back), self._target, 0)
        split, column, parents = split[column >= 0], column[column >= 0], parents.take(torch.nonzero(column >= 0).flatten())
        made = children(self._steered, parents, column)
        found, made = ascend(self._steered, made, Ascent(self._options.steps), self._target, self._over)
        found = torch.maximum(found, lower[split].repeat(2))
        rest = torch.ones(len(rows), dtype=torch.bool)
        rest[split] = False
        kept = torch.nonzero(rest).flatten()
        return torch.cat([lower[kept], found]), rows.take(kept).join(made), torch.cat([tree[kept], tree[split].repeat(2)])

    def _leaf_bounds(self, rows: Rows, tree: Tensor) -> Array:
        """(trees,) the least proved bound of each tree's leaves."""
        found = np.full(int(tree.max()) + 1, np.inf)
        np.minimum.at(found, tree.numpy(), self._steered.prove(rows))
        return found
