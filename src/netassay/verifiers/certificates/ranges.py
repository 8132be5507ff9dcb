"""Ranges of inner values by small trees over the neurons before them, as in ``range_splitting``, written down as they are found."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from netassay.checking.certificates.forests import Units, leaf_bounds
from netassay.verifiers.branch_and_bound.branching import children, choose
from netassay.verifiers.certificates.recorded import RecordedTrees, joined
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.certificates.steering import Columns, Cut, choices_of
from netassay.verifiers.propagation.optimised import Ascent, ascend
from netassay.verifiers.propagation.steered import Rows, Steered
from netassay.verifiers.region import Positions


class RangeTrees:
    """Trees of both bounds of some undecided numbers of one value; they grow together.

    Args:
        proof: Where they are written to.
        steered: Rows of the value, on the checker's ranges.
        unit: (k,) the numbers.
        leaves: Most leaves of one tree.
        steps, first: Gradient steps for every leaf, and for the roots.
    """

    def __init__(self, proof: CaseProof, steered: Steered, unit: Positions, leaves: int, steps: int = 10, first: int = 20) -> None:
        self._proof, self._steered, self._leaves, self._steps, self._first = proof, steered, leaves, steps, first
        self._columns = Columns(steered)
        self._unit, self._sign = np.tile(unit, 2), np.repeat(np.array([1, -1], dtype=np.int8), len(unit))
        self._trees = RecordedTrees(2 * len(unit))
        self._node = np.arange(2 * len(unit))
        self._tree = np.arange(2 * len(unit))
        self._above: list[list[Cut]] = [[] for _ in self._node]

    def run(self) -> None:
        """Grows the trees, takes in their bounds, and writes them down."""
        steered, shape = self._steered, self._steered.bounded.graph.shapes[self._steered.value]
        start = torch.zeros(len(self._unit), prod(shape))
        start[torch.arange(len(self._unit)), torch.from_numpy(self._unit)] = torch.from_numpy(self._sign.astype(np.float32))
        rows = steered.rows(start.reshape(-1, *shape))
        rows.code, rows.multiplier = torch.zeros(rows.slope.shape, dtype=torch.int8), torch.zeros(rows.slope.shape)
        lower, rows = ascend(steered, rows, Ascent(self._first), 0.0, self._proof.over)
        while np.bincount(self._tree).max() < self._leaves and not self._proof.over():
            before = len(self._node)
            lower, rows = self._split(lower, rows)
            if len(self._node) == before:
                break
        self._write(rows)

    def _worst(self, lower: torch.Tensor) -> torch.Tensor:
        """The lower half of the leaves that are not above 0."""
        values = lower.numpy()
        order = np.lexsort((values, self._tree))
        counts = np.bincount(self._tree)
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = (rank < (counts[self._tree[order]] + 1) // 2) & (values[order] <= 0)
        return torch.from_numpy(order[kept])

    def _split(self, lower: torch.Tensor, rows: Rows) -> tuple[torch.Tensor, Rows]:
        worst, steered = self._worst(lower), self._steered
        if not len(worst):
            return lower, rows
        parents = rows.take(worst)
        back = steered.back(parents)
        column = choose(steered, parents, back, steered.gradients(parents, back), 0.0, 0)
        worst, parents, column = worst[column >= 0], parents.take(torch.nonzero(column >= 0).flatten()), column[column >= 0]
        if not len(worst):
            return lower, rows
        split, c = worst.numpy(), column.numpy()
        below, above = self._trees.split(self._node[split], self._columns.value[c], self._columns.index[c], np.zeros(len(c)))
        made = children(steered, parents, column)
        found, made = ascend(steered, made, Ascent(self._steps), 0.0, self._proof.over)
        rest = np.setdiff1d(np.arange(len(self._node)), split)
        paths = [[[*self._above[i], (int(k), side, 0.0)] for i, k in zip(split, c, strict=True)] for side in (1, 0)]
        self._above = [self._above[i] for i in rest] + paths[0] + paths[1]
        self._tree = np.concatenate([self._tree[rest], self._tree[split], self._tree[split]])
        self._node = np.concatenate([self._node[rest], above, below])
        kept = torch.from_numpy(rest)
        return torch.cat([lower[kept], torch.maximum(found, lower[worst].repeat(2))]), rows.take(kept).join(made)

    def _write(self, rows: Rows) -> None:
        """All leaves in the order of the file: tree by tree, each in preorder."""
        place = {int(n): i for i, n in enumerate(self._node)}
        order = np.array([place[n] for root in range(len(self._unit)) for n in self._trees.leaves(root)])
        rows = rows.take(torch.from_numpy(order))
        splits, multipliers = self._columns.splits(rows, [self._above[i] for i in order])
        choices, tree = choices_of(self._steered, rows, multipliers), self._tree[order]
        value = self._steered.value
        target = Units(value, self._unit[tree], self._sign[tree], self._proof.whole.network.sizes[value])
        bounds = leaf_bounds(self._proof.whole, splits, choices, target)
        least = np.full(len(self._unit), np.inf)
        np.minimum.at(least, tree, bounds)
        trees = joined([self._trees.arrays(root) for root in range(len(self._unit))])
        self._proof.narrow(value, self._unit, self._sign, least, trees, choices)
