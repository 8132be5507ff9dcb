"""The subproblems of branch and bound over neurons: bounding, splitting, closing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.verifiers.base import Task
from netassay.verifiers.branch_and_bound.branching import children, choose
from netassay.verifiers.branch_and_bound.leaf_program import solve_leaf
from netassay.verifiers.branch_and_bound.neuron_splitting import NeuronSplitting
from netassay.verifiers.branch_and_bound.pool import Nodes, Pool
from netassay.verifiers.branch_and_bound.range_splitting import RangeSplitting, split_ranges
from netassay.verifiers.propagation.interval import Range
from netassay.verifiers.propagation.optimised import Ascent, ascend
from netassay.verifiers.propagation.root import Root, part_of_rows
from netassay.verifiers.propagation.steered import Rows, Steered
from netassay.verifiers.rounding import Array, down

Flags = NDArray[np.bool_]

STEPS = (5, 8)
"""Gradient steps for a subproblem of kinked neurons, and of smooth ones: multipliers that are not good enough yet keep bounds of cut
ranges from rising at all."""


class NeuronSearch:
    """The tree below the whole region.

    Args:
        root: What is proved about the whole region.
        task: Limits.
        options: How.
        goal: A proved bound above it (or at it, where the claim is not strict) closes a subproblem.
    """

    def __init__(self, root: Root, task: Task, options: NeuronSplitting, goal: float) -> None:
        self._root, self._task, self._options, self._goal = root, task, options, goal
        self._claim, self._limits = root.claim, task.limits
        self._settled = np.full(len(root.lower), np.inf)
        self._begun = self._limits.clock.elapsed
        self._leaves = options.leaves
        self._next, self._best = 0.0, -np.inf
        self.subproblems = 0
        self.stuck = False
        """Whether a subproblem was given up that nothing more can be split in."""
        self._steered: Steered
        self._steps: int
        self.pool: Pool

    def prepare(self) -> Iterator[float]:
        """Bounds the whole region as well as pays; yields the proved bound after each stage."""
        root, options = self._root, self._options
        if options.rows:
            root.optimise(Ascent(options.rows), self._limits)
            yield root.least
        if options.tighten:
            root.tighten(Ascent(options.tighten), self._limits, self._share())
            root.optimise(Ascent(options.rows), self._limits)
            yield root.least
        self._plant()
        yield self.lower

    def _plant(self) -> None:
        """Begins the trees: one for every part that is open."""
        root, owner = self._root, part_of_rows(self._claim)
        self._steered = steered = root.steered()
        closed = self._closed(root.lower)
        parts = np.flatnonzero(~closed)
        self._settled = np.where(closed, root.lower, np.inf)
        ranged = not all(g.kinked for g in steered.groups)
        self._steps = STEPS[ranged] if self._options.steps is None else self._options.steps
        self.pool = Pool(steered.neurons, len(owner), ranged=ranged)
        weights = np.array([(owner == p) / (owner == p).sum() for p in parts]).reshape(len(parts), len(owner))
        rows = steered.rows(torch.from_numpy(weights.astype(np.float32)))
        shape = (len(rows), steered.neurons)
        rows.code, rows.multiplier = torch.zeros(shape, dtype=torch.int8), torch.zeros(shape)
        if ranged:
            rows.low, rows.high = torch.zeros(shape), torch.zeros(shape)
        if not len(parts):
            return
        estimate, rows = ascend(steered, rows, self._ascent(self._options.rows), over=lambda: self._limits.over)
        self.pool.add(Nodes(rows, parts, root.lower[parts], estimate.numpy().astype(np.float64)))
        now = self._limits.clock.elapsed
        self._next = now + max(1.5 * (now - self._begun), 1.0)

    def _share(self) -> float:
        """Seconds that ranges of the whole region may take now."""
        clock = self._limits.clock
        return np.inf if clock.limit is None else 0.4 * max(clock.limit - clock.elapsed, 0.0)

    def refine(self) -> None:
        """Where splitting takes long: tighter ranges by small trees of their own, and new trees for the open parts."""
        if not self._leaves or self._limits.clock.elapsed < self._next:
            return
        root = self._root
        waiting = self.pool.parts
        done = np.isin(np.arange(len(root.lower)), waiting, invert=True) & ~self._closed(root.lower)
        root.lower[done] = np.maximum(root.lower, self._settled)[done]
        before = _undecided(root.ranges)
        root.ranges = split_ranges(root.bounded, root.region, root.ranges, RangeSplitting(self._leaves), self._limits, self._share())
        self._leaves = 4 * self._leaves if _undecided(root.ranges) < 0.99 * before else 0
        root.optimise(Ascent(self._options.rows), self._limits)
        self._plant()

    @property
    def lower(self) -> float:
        """The proved bound of the claim: the best so far, since new trees may begin below it."""
        self._best = max(self._best, min(float(self._settled.min(initial=np.inf)), self.pool.proved))
        return self._best

    def _ascent(self, steps: int) -> Ascent:
        return Ascent(steps, mixed=any(len(part.rows) > 1 for part in self._claim.parts))

    def _closed(self, lower: Array) -> Flags:
        """Proved bounds that close their subproblem."""
        if self._goal == 0:
            return np.asarray(lower > 0 if self._claim.strict else lower >= 0)
        return np.asarray(lower >= self._goal)

    def _batch(self) -> int:
        if self._options.batch is not None:
            return self._options.batch
        numbers = sum(prod(s) for s in self._root.bounded.graph.shapes)
        return int(np.clip((1 << 20) // numbers, 8, 512))

    def step(self, goal: float) -> Array:
        """Splits the subproblems with the least bounds; returns the points where their relaxed bounds are least."""
        self._goal = goal
        full = self.pool.bytes > self._limits.memory // 2
        nodes = self.pool.pop(self._batch(), deepest=full)
        steered = self._steered
        back = steered.back(nodes.rows)
        gradients = steered.gradients(nodes.rows, back)
        column = choose(steered, nodes.rows, back, gradients, goal, self._options.candidates)
        points = back.point.numpy().astype(np.float64)
        whole = column.numpy() < 0
        if whole.any():
            points = np.concatenate([points, self._finish(nodes.take(np.flatnonzero(whole)))])
        self._split(nodes.take(np.flatnonzero(~whole)), column[torch.from_numpy(~whole)])
        return points

    def _split(self, nodes: Nodes, column: torch.Tensor) -> None:
        if not len(nodes):
            return
        made = children(self._steered, nodes.rows, column)
        if made.low is not None:
            made = better(self._steered, made, self._steered.cancelled(made))
        estimate, rows = ascend(self._steered, made, self._ascent(self._steps), self._goal, lambda: self._limits.over)
        both = np.tile(np.arange(len(nodes)), 2)
        found = np.maximum(nodes.estimate[both], estimate.numpy().astype(np.float64))
        self._keep(Nodes(rows, nodes.part[both], nodes.proved[both], found))

    def _keep(self, nodes: Nodes) -> None:
        """Proves what seems proved (everything, where bounds count)."""
        self.subproblems += len(nodes)
        hopeful = np.flatnonzero(nodes.estimate > self._goal if self._options.tolerance is None else np.ones(len(nodes), dtype=bool))
        if len(hopeful):
            proved = self._proved(nodes.rows.take(torch.from_numpy(hopeful)))
            nodes.proved[hopeful] = np.maximum(nodes.proved[hopeful], proved)
            nodes.estimate[hopeful] = np.minimum(nodes.estimate[hopeful], nodes.proved[hopeful])
        self._file(nodes)

    def prove_waiting(self, seconds: float) -> None:
        """Proves subproblems that only seem to have larger bounds than their parents, the least first, for so long."""
        clock, done = self._limits.clock, list[Nodes]()
        end, least = clock.elapsed + seconds, np.inf
        while len(self.pool) and clock.elapsed < end and self.pool.proved < least:
            nodes = self.pool.pop_loosest(self._batch())
            nodes.proved = np.maximum(nodes.proved, self._proved(nodes.rows))
            done.append(nodes)
            least = min(least, float(nodes.proved.min()))
        for nodes in done:
            self._file(nodes)

    def _file(self, nodes: Nodes) -> None:
        """Closes what is proved; the rest waits."""
        closed = self._closed(nodes.proved)
        np.minimum.at(self._settled, nodes.part[closed], nodes.proved[closed])
        left = np.flatnonzero(~closed)
        if len(left):
            self.pool.add(nodes.take(left))

    def _proved(self, rows: Rows) -> Array:
        """(R,) proved bounds of parts: of a mean of a part's rows, which their greatest cannot be below."""
        weights = np.maximum(rows.start.numpy().astype(np.float64), 0.0)
        total = weights.sum(axis=1)
        found = self._steered.prove(rows, weights)
        mean = found / total
        return down(mean - 1e-15 * (weights.shape[1] + 4) * np.abs(mean))

    def _finish(self, nodes: Nodes) -> Array:
        """Subproblems in which nothing is left to split: linear programs decide; returns the points where these are least."""
        points = [np.zeros((0, *self._root.region.shape))]
        owner = part_of_rows(self._claim)
        for i in range(len(nodes)):
            node = nodes.take(np.array([i]))
            if self._steered.piecewise:
                weights = (owner == node.part[0]).astype(np.float64)
                size = float(node.rows.multiplier.abs().max()) if node.rows.multiplier is not None and self._steered.neurons else 0.0
                found = solve_leaf(self._steered, node.rows, weights, 100.0 + 1e4 * size)
                if found is not None:
                    node.proved = np.maximum(node.proved, self._proved(found[0]))
                    points.append(found[1])
            self.stuck = self.stuck or not bool(self._closed(node.proved)[0])
            np.minimum.at(self._settled, node.part, node.proved)
        return np.concatenate(points)


def better(steered: Steered, one: Rows, other: Rows) -> Rows:
    """Rows with the multipliers of whichever gives the larger bound."""
    if one.multiplier is None or other.multiplier is None:
        return one
    better = steered.back(other).lower > steered.back(one).lower
    return replace(one, multiplier=torch.where(better[:, None], other.multiplier, one.multiplier))


def _undecided(ranges: list[Range | None]) -> int:
    """How many numbers may be negative and positive."""
    return sum(int(((r[0] < 0) & (r[1] > 0)).sum()) for r in ranges if r is not None)
