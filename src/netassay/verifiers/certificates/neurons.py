"""Certificates by optimised slopes and by splitting neurons (alpha- and beta-CROWN): found in float32, closed by the checker's own bounds.

Slopes are rounded to whole numbers of 255ths before they are tried, so that what is tried is what is written down. The ranges of smooth
neurons are halved, again and again; their lines are the checker's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.checking.certificates.forests import Choices, leaf_bounds
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import LinearOperator
from netassay.verifiers.branch_and_bound.branching import children, choose
from netassay.verifiers.branch_and_bound.leaf_program import solve_leaf
from netassay.verifiers.branch_and_bound.neuron_search import better
from netassay.verifiers.branch_and_bound.pool import Nodes, Pool
from netassay.verifiers.certificates.groups import prove_by_groups
from netassay.verifiers.certificates.ranges import RangeTrees
from netassay.verifiers.certificates.recorded import RecordedTrees
from netassay.verifiers.certificates.relaxed import RelaxedOptions, RelaxedProof
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.certificates.steering import Columns, Cut, chosen_slopes
from netassay.verifiers.claim import Claim
from netassay.verifiers.decomposition import Decomposition
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.optimised import Ascent, ascend, is_kinked
from netassay.verifiers.propagation.passes import Passes
from netassay.verifiers.propagation.root import part_of_rows, with_rows
from netassay.verifiers.propagation.steered import Rows, Steered
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import Lines

BLOCK, RANGES = 256, 64
"""Numbers of a value whose slopes, and whose trees, are searched together."""


@dataclass(frozen=True, slots=True)
class NeuronOptions:
    """How much is searched.

    Args:
        rows, tighten, steps: Gradient steps for the claim's rows, for ranges, for every subproblem.
        candidates: Neurons of each score that are tried by real bounds before a split.
        batch: Subproblems split at once.
        first: Subproblems before ranges are tightened by trees, four times as many the next time.
        leaves: Most leaves of these trees, four times as many the next time.
        most: Subproblems of a case, at most.
    """

    rows: int = 40
    tighten: int = 20
    steps: int = 8
    candidates: int = 4
    batch: int = 64
    first: int = 1000
    leaves: int = 8
    most: int = 200_000


class NeuronProof:
    """Finds certificates of one case.

    Args:
        claim: The case's claim.
        region: Its region.
        proof: Where records go.
        options: How much is searched.
    """

    def __init__(self, claim: Claim, region: Regions, proof: CaseProof, options: NeuronOptions) -> None:
        self._claim, self._region, self._proof, self._options = claim, region, proof, options
        self._bounded = BoundedGraph(with_rows(claim))
        self._passes = Passes(self._bounded, region)
        self._owner = part_of_rows(claim)

    def run(self) -> bool:
        """Closes what it can; whether that is everything."""
        self._rows()
        if self._proof.open and not self._proof.over():
            prove_by_groups(self._claim, self._region, self._proof, Decomposition())
        if self._proof.open and not self._proof.over():
            self._tighten()
            self._rows()
        leaves = self._options.leaves
        most = self._options.first if self._proof.whole.network.kinked else self._options.most
        while self._proof.open and not self._proof.over():
            again = leaves > self._options.leaves
            if self._branch(most) or (again and self._relaxed()) or not leaves or not self._refine(leaves):
                break
            self._rows()
            leaves, most = 4 * leaves, 4 * most
        if self._proof.open and not self._proof.over() and not self._relaxed():
            self._branch(self._options.most)
        return not self._proof.open

    def _relaxed(self) -> bool:
        """Whether semidefinite relaxations close what is left; they close parts that they are good for."""
        return RelaxedProof(self._claim, self._bounded, self._region, self._proof, RelaxedOptions()).run()

    def _steered(self, value: int) -> Steered:
        """Rows of a value, on the checker's ranges."""
        whole, shapes = self._proof.whole, self._bounded.graph.shapes
        whole.ensure(whole.network.output)
        ranges: list[Range | None] = [None] * len(shapes)
        for v in self._bounded.relaxed:
            low, high = whole.ranges[v]
            ranges[v] = low.reshape(1, *shapes[v]), high.reshape(1, *shapes[v])
        steered, last = Steered(self._bounded, self._region, ranges, self._passes, value), whole.network.output - 1
        if whole.network.levels is not None and value > last:
            found = whole.lines(last)
            sides = (found.lower_slope, found.lower_offset, found.upper_slope, found.upper_offset)
            steered.use(last, Lines(*(np.asarray(side, dtype=np.float64).reshape(1, -1) for side in sides)))
        return steered

    def _rows(self) -> None:
        """Parts without any split: by the usual slopes, then by optimised ones."""
        proof, parts = self._proof, sorted(self._proof.open)
        proof.close_at_once(parts, Choices(), proof.best_rows(parts))
        parts = sorted(proof.open)
        if not parts or proof.over():
            return
        steered = self._steered(self._bounded.output)
        _, rows = ascend(steered, steered.rows(self._starts(parts)), self._ascent(self._options.rows), over=proof.over)
        proof.close_at_once(parts, Choices(chosen_slopes(steered, rows)), [self._weights(rows, i, p) for i, p in enumerate(parts)])

    def _starts(self, parts: list[int]) -> torch.Tensor:
        """The mean of each part's rows."""
        weights = np.array([(self._owner == p) / (self._owner == p).sum() for p in parts])
        return torch.from_numpy(weights.astype(np.float32))

    def _weights(self, rows: Rows, position: int, part: int) -> NDArray[np.float32]:
        found = np.maximum(rows.start[position].numpy()[self._owner == part], 0).astype(np.float32)
        return found if found.any() else np.ones_like(found)

    def _ascent(self, steps: int) -> Ascent:
        return Ascent(steps, mixed=any(len(part.rows) > 1 for part in self._claim.parts))

    def _tighten(self) -> None:
        """Ranges of values that kinked operators read, each with those before it."""
        whole = self._proof.whole
        for value in sorted(whole.network.kinked):
            if self._proof.over():
                return
            if value in whole.network.exact and whole.region.ball is None:
                continue
            steered = self._steered(value)
            low, high = (side[0] for side in whole.ranges[value])
            unit = np.flatnonzero((low < 0) & (high > 0))
            if not len(unit) or not steered.neurons or not is_kinked(self._bounded, value):
                continue
            for begin in range(0, len(unit), BLOCK):
                for sign in (1, -1):
                    self._narrow(steered, value, unit[begin : begin + BLOCK], sign)

    def _refine(self, leaves: int) -> bool:
        """Ranges by trees of at most so many leaves; whether that has decided any number."""
        whole, before = self._proof.whole, self._undecided()
        for value in sorted(whole.network.kinked):
            if value in whole.network.exact and whole.region.ball is None:
                continue
            low, high = (side[0] for side in whole.ranges[value])
            unit = np.flatnonzero((low < 0) & (high > 0))
            steered = self._steered(value)
            if not len(unit) or not steered.neurons or not is_kinked(self._bounded, value):
                continue
            for begin in range(0, len(unit), RANGES):
                if self._proof.over():
                    return False
                RangeTrees(self._proof, steered, unit[begin : begin + RANGES], leaves).run()
        return self._undecided() < 0.99 * before

    def _undecided(self) -> int:
        whole = self._proof.whole
        return sum(int(((low < 0) & (high > 0)).sum()) for low, high in (whole.ranges[v] for v in whole.network.kinked))

    def _narrow(self, steered: Steered, value: int, unit: Positions, sign: int) -> None:
        shape = self._bounded.graph.shapes[value]
        start = torch.zeros(len(unit), int(np.prod(shape)))
        start[torch.arange(len(unit)), torch.from_numpy(unit)] = float(sign)
        _, rows = ascend(steered, steered.rows(start.reshape(-1, *shape)), Ascent(self._options.tighten), 0.0, self._proof.over)
        self._proof.narrow_at_once(value, unit, np.full(len(unit), sign, dtype=np.int8), Choices(chosen_slopes(steered, rows)))

    # -- branch and bound ---------------------------------------------------------------------------------------------------------

    def _branch(self, most: int) -> bool:
        """Trees of at most so many subproblems for the parts that are open; False where they would have to be larger."""
        parts = sorted(self._proof.open)
        steered = self._steered(self._bounded.output)
        if not all(isinstance(n.operator, LinearOperator | Elementwise) for n in self._bounded.graph.nodes):
            return True
        search = _Search(self, steered, parts)
        done = search.run(most)
        if done:
            search.close()
        return done


class _Search:
    """Trees of the open parts of a case, all grown together."""

    def __init__(self, owner: NeuronProof, steered: Steered, parts: list[int]) -> None:
        self._owner, self._steered, self._parts = owner, steered, parts
        self._proof, self._options = owner._proof, owner._options
        self._trees = RecordedTrees(len(parts))
        self._root = np.arange(len(parts))
        self._above: dict[int, list[Cut]] = {i: [] for i in range(len(parts))}
        """For each node that is open the splits above it."""
        self._closed: dict[int, tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]] = {}
        self._part = dict(enumerate(parts))
        self._columns = Columns(steered)
        self._ranged = not all(g.kinked for g in steered.groups)

    def run(self, most: int) -> bool:
        """Whether all trees could be closed with at most so many subproblems."""
        owner, steered = self._owner, self._steered
        rows = steered.rows(owner._starts(self._parts))
        rows.code, rows.multiplier = torch.zeros(rows.slope.shape, dtype=torch.int8), torch.zeros(rows.slope.shape)
        if self._ranged:
            rows.low, rows.high = torch.zeros(rows.slope.shape), torch.zeros(rows.slope.shape)
        estimate, rows = ascend(steered, rows, owner._ascent(self._options.rows), over=self._proof.over)
        pool = Pool(steered.neurons, len(owner._owner), ranged=self._ranged)
        count = len(self._parts)
        pool.add(Nodes(rows, np.arange(count), np.full(count, -np.inf), estimate.numpy().astype(np.float64)))
        while len(pool):
            if self._proof.over() or self._trees.nodes > most:
                return False
            nodes = pool.pop(self._options.batch)
            back = steered.back(nodes.rows)
            column = choose(steered, nodes.rows, back, steered.gradients(nodes.rows, back), 0.0, self._options.candidates)
            whole = np.flatnonzero(column.numpy() < 0)
            if not all(self._finish(nodes.take(np.array([i]))) for i in whole):
                return False
            left = np.flatnonzero(column.numpy() >= 0)
            if len(left):
                pool.add(self._split(nodes.take(left), column[torch.from_numpy(left)]))
        return True

    def _split(self, nodes: Nodes, column: torch.Tensor) -> Nodes:
        """Splits nodes, closes what can be closed; the rest."""
        columns, count = column.numpy(), len(nodes)
        made = children(self._steered, nodes.rows, column)
        cut = np.zeros(count) if made.low is None else made.low.numpy()[np.arange(count), columns].astype(np.float64)
        below, above = self._trees.split(nodes.part, self._columns.value[columns], self._columns.index[columns], cut)
        if self._ranged:
            made = better(self._steered, made, self._steered.cancelled(made))
        estimate, rows = ascend(self._steered, made, self._owner._ascent(self._options.steps), 0.0, self._proof.over)
        names, both = np.concatenate([above, below]), np.tile(np.arange(count), 2)
        cuts = zip(columns[both].tolist(), np.repeat([1, 0], count).tolist(), cut[both].tolist(), strict=True)
        for name, parent, each in zip(names.tolist(), nodes.part[both].tolist(), cuts, strict=True):
            self._above[name], self._part[name] = [*self._above[parent], each], self._part[parent]
        found = Nodes(rows, names, nodes.proved[both], np.maximum(nodes.estimate[both], estimate.numpy().astype(np.float64)))
        hopeful = np.flatnonzero(found.estimate > 0)
        closed = hopeful[self._try(found.take(hopeful))] if len(hopeful) else hopeful
        left = np.setdiff1d(np.arange(len(found)), closed)
        kept = found.take(left)
        kept.estimate = np.minimum(kept.estimate, 0.0)
        return kept

    def _finish(self, node: Nodes) -> bool:
        """A node in which nothing is left to split: a linear program finds multipliers, where all neurons are linear now."""
        if not self._steered.piecewise:
            return bool(self._try(node)[0])
        weights = (self._owner._owner == self._part[int(node.part[0])]).astype(np.float64)
        size = float(node.rows.multiplier.abs().max()) if node.rows.multiplier is not None and self._steered.neurons else 0.0
        found = solve_leaf(self._steered, node.rows, weights, 100.0 + 1e4 * size)
        if found is None:
            return False
        return bool(self._try(Nodes(found[0], node.part, node.proved, node.estimate))[0])

    def _try(self, nodes: Nodes) -> NDArray[np.bool_]:
        """Which nodes the checker's bounds close; their choices are kept."""
        slopes = chosen_slopes(self._steered, nodes.rows)
        names = nodes.part.tolist()
        columns = [self._above[n] for n in names]
        splits, chosen = self._columns.splits(nodes.rows, columns)
        weights = [self._owner._weights(nodes.rows, i, self._part[n]) for i, n in enumerate(names)]
        means = self._proof.means([self._part[n] for n in names], weights)
        held = self._proof.holds(leaf_bounds(self._proof.whole, splits, Choices(slopes, chosen), means))
        each = np.split(chosen, np.cumsum([len(c) for c in columns])[:-1])
        all_slopes = np.concatenate([s for _, s in slopes.values()], axis=1) if slopes else np.zeros((len(names), 0), dtype=np.uint8)
        for i in np.flatnonzero(held):
            self._closed[names[i]] = all_slopes[i], each[i], weights[i]
        return held

    def close(self) -> None:
        """Writes down all trees, each in a record of its own."""
        groups = [g for g in self._steered.groups if g.kinked]
        ends = np.cumsum([len(g.index) for g in groups])
        for root, part in enumerate(self._parts):
            kept = [self._closed[n] for n in self._trees.leaves(root)]
            by_value = np.split(np.stack([k[0] for k in kept]), ends[:-1], axis=1)
            slopes = {g.value: (g.index.astype(np.uint32), s) for g, s in zip(groups, by_value, strict=False)}
            choices = Choices(slopes, np.concatenate([k[1] for k in kept]))
            self._proof.close([part], [self._trees.arrays(root)], choices, [k[2] for k in kept])
