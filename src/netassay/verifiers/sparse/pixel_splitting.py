"""Branch and bound over L0 balls: on which groups of features change, then on their values.

Where single features are followed easily, drops of small clusters are added up (``additive``); one change, and two, are followed through
max pooling too (``single_pixels``, ``pixel_pairs``). Otherwise parts of the ball are bounded by backward linear bounds whose forms are
concretised over exactly the sets of groups that a part holds; one that is not decided is split on the group that its form gains most
from: changed for certain (it may take any value, and one less of the others changes), or not at all. Where no change is left, what
remains is a box of a few features, which is halved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.errors import CapabilityError
from netassay.numerics.norms import Norm
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import probe, values
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.propagation.linear import Bound, LinearBounds
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.additive import Additive
from netassay.verifiers.sparse.pixel_pairs import PixelPairs
from netassay.verifiers.sparse.pixel_regions import Bools, Part, PixelRegions
from netassay.verifiers.sparse.single_pixels import SinglePixels

NUMBERS = 100_000
"""So many values of the network, over all parts bounded at once: large networks are bounded part by part, to look at the clock."""


@dataclass(frozen=True, slots=True)
class PixelSplitting:
    """Complete for L0 balls in bounded domains, up to rounding; in time exponential in the number of changes.

    Args:
        batch: Parts bounded at once.
        additive: Whether drops of clusters are added up where the network allows it.
        attack: Points of the first attack; 0 for none.
    """

    batch: int = 64
    additive: bool = True
    attack: int = 120

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings after every batch.

        Raises:
            CapabilityError: Unless the region is a single L0 ball in a bounded domain.
        """
        if len(task.region) != 1 or len(task.region.balls) != 1 or task.region.balls[0].norm is not Norm.L0:
            raise CapabilityError("pixel splitting serves L0 balls; use another verifier")
        if not task.region.bounded:
            raise CapabilityError("an L0 ball bounds how many features change, not how far: it needs a bounded domain")
        for kind in (Additive, SinglePixels, PixelPairs) if self.additive else ():
            try:
                proof = kind(task)
            except CapabilityError:
                continue
            yield from proof.run()
            return
        yield from _Search(task, self).run()


@dataclass(slots=True, eq=False)
class _Nodes:
    """Parts of the ball and of the claim, each with a proved lower bound (N,)."""

    regions: PixelRegions
    claim: Positions
    lower: Array

    def __len__(self) -> int:
        return len(self.claim)

    def take(self, positions: Positions) -> _Nodes:
        return _Nodes(self.regions.take(positions), self.claim[positions], self.lower[positions])

    def join(self, other: _Nodes) -> _Nodes:
        one, two = self.regions, other.regions
        assert one.part is not None
        assert two.part is not None
        regions = PixelRegions(np.concatenate([one.lower, two.lower]), np.concatenate([one.upper, two.upper]), part=one.part.join(two.part))
        return _Nodes(regions, np.concatenate([self.claim, other.claim]), np.concatenate([self.lower, other.lower]))


class _Search:
    def __init__(self, task: Task, options: PixelSplitting) -> None:
        self._task, self._options, self._claim = task, options, task.claim
        self._bounded = bounded_graph(task.claim.graph)
        self._evaluator = Evaluator(self._bounded)
        self._geometry = task.region.balls[0]
        self._least, self._point = np.inf, self._geometry.center.reshape(task.region.shape)
        self._settled, self._subproblems = np.inf, 0
        self._batch = max(1, min(options.batch, NUMBERS // sum(prod(shape) for shape in self._bounded.graph.shapes)))

    def run(self) -> Iterator[Finding]:
        if self._options.attack:
            found = probe(
                self._claim, self._evaluator, self._task.region, np.random.default_rng(self._task.seed), points=self._options.attack
            )
            if bool(self._task.region.balls) and self._inside(found.point):
                self._least, self._point = found.value, found.point
        waiting = self._root()
        while True:
            finding = self._finding(waiting)
            yield finding
            if finding.reason or finding.proved or finding.point is not None:
                return
            waiting = self._step(waiting)

    def _inside(self, point: Array) -> bool:
        changed = self._geometry.changed_groups(point.reshape(1, -1))
        return int(changed.sum()) <= int(self._geometry.radius)

    def _finding(self, waiting: _Nodes) -> Finding:
        lower = min(float(waiting.lower.min(initial=np.inf)), self._settled)
        broken, reason = not self._claim.holds(self._least), ""
        if len(waiting) and not broken:
            if self._task.limits.over:
                reason = "time-out"
            elif 8 * len(waiting) * (2 * self._geometry.size + len(self._geometry.starts)) > self._task.limits.memory:
                reason = "memory"
            elif not self._splittable(waiting).all():
                reason = "rounding"
        proved = not len(waiting) and not broken
        return Finding(
            lower, proved=proved, point=self._point if broken else None, least=self._least, reason=reason, subproblems=self._subproblems
        )

    def _splittable(self, nodes: _Nodes) -> Bools:
        assert nodes.regions.part is not None
        low, high = nodes.regions.corners
        middle = low / 2 + high / 2
        return np.asarray((nodes.regions.part.count > 0) | ((middle > low) & (middle < high)).any(axis=1))

    def _root(self) -> _Nodes:
        count, geometry = len(self._claim.parts), self._geometry
        low, high = (np.repeat(side, count, axis=0) for side in (self._task.region.lower, self._task.region.upper))
        moves = geometry.group_sums((geometry.outer_high > geometry.outer_low).astype(np.float64)[None]) > 0
        changes = np.full(count, int(min(geometry.radius, moves.sum())), dtype=np.intp)
        part = Part(geometry, np.repeat(moves, count, axis=0), changes)
        return _Nodes(self._tidy(PixelRegions(low, high, part=part)), np.arange(count), np.full(count, -np.inf))

    def _step(self, waiting: _Nodes) -> _Nodes:
        batch = min(self._batch, len(waiting))
        order = np.argpartition(waiting.lower, batch - 1) if batch < len(waiting) else np.arange(len(waiting))
        now, later = waiting.take(order[:batch]), waiting.take(order[batch:])
        self._subproblems += len(now)
        bound, best, empty = self._bound(now)
        now.lower = np.where(empty, np.inf, np.maximum(now.lower, bound.lower[best]))
        done = now.lower > 0 if self._claim.strict else now.lower >= 0
        self._settled = min(self._settled, float(now.lower[done].min(initial=np.inf)))
        left = np.flatnonzero(~done)
        if not len(left):
            return later
        open_, forms = now.take(left), bound.coefficients[best[left]].reshape(len(left), -1)
        self._try_points(open_, forms)
        return self._children(open_, np.where(np.isfinite(forms), forms, 0.0)).join(later)

    def _bound(self, nodes: _Nodes) -> tuple[Bound, Positions, Bools]:
        """Bounds of the rows of every node's part of the claim, and for each node which of them is greatest."""
        bounds = LinearBounds(self._bounded, nodes.regions)
        rows = [self._claim.parts[p].rows for p in nodes.claim]
        owner = np.repeat(np.arange(len(nodes)), [len(r) for r in rows])
        constants = np.concatenate([self._claim.parts[p].constants for p in nodes.claim])
        found = bounds.minimum(self._bounded.output, np.concatenate(rows), owner, constants)
        order = np.lexsort((found.lower, owner))
        last = np.flatnonzero(np.r_[owner[order][1:] != owner[order][:-1], True])
        return found, np.asarray(order[last]), bounds.empty

    def _try_points(self, nodes: _Nodes, forms: Array) -> None:
        points = nodes.regions.minimisers(np.where(np.isfinite(forms), forms, 0.0), np.arange(len(nodes)))
        found = values(self._claim, self._evaluator.outputs(points))
        i = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
        if found[i] < self._least:
            self._least, self._point = float(found[i]), points[i].copy()

    def _children(self, nodes: _Nodes, forms: Array) -> _Nodes:
        assert nodes.regions.part is not None
        by_group = nodes.regions.part.count > 0
        parts = [
            split(nodes.take(np.flatnonzero(mine)), forms[mine])
            for split, mine in ((self._by_groups, by_group), (self._by_values, ~by_group))
            if mine.any()
        ]
        return parts[0] if len(parts) == 1 else parts[0].join(parts[1])

    def _by_groups(self, nodes: _Nodes, forms: Array) -> _Nodes:
        """The group of the largest gain is changed for certain, or not at all."""
        part, shape = nodes.regions.part, nodes.regions.lower.shape
        assert part is not None
        gains = np.where(part.allowed, nodes.regions.gains(forms), -1.0)
        chosen = np.zeros(part.allowed.shape, dtype=np.bool_)
        chosen[np.arange(len(nodes)), gains.argmax(axis=1)] = True
        rest = part.allowed & ~chosen
        features = np.asarray(self._geometry.per_feature(chosen), dtype=np.bool_)
        low, high = (np.where(features, self._geometry.center, side).reshape(shape) for side in nodes.regions.corners)
        without = self._tidy(PixelRegions(low, high, part=Part(self._geometry, rest, part.count)))
        given = self._tidy(PixelRegions(nodes.regions.lower, nodes.regions.upper, part=Part(self._geometry, rest, part.count - 1)))
        return _Nodes(given, nodes.claim, nodes.lower).join(_Nodes(without, nodes.claim, nodes.lower))

    def _tidy(self, regions: PixelRegions) -> PixelRegions:
        """Groups that cannot change are put to the centre; where no more are left than may change, all move freely."""
        part, shape = regions.part, regions.lower.shape
        assert part is not None
        none = part.count == 0
        stuck = np.asarray(self._geometry.per_feature(part.allowed & none[:, None]), dtype=np.bool_)
        low, high = (np.where(stuck, self._geometry.center, side).reshape(shape) for side in regions.corners)
        free = part.allowed.sum(axis=1) <= part.count
        allowed = part.allowed & ~(free | none)[:, None]
        return PixelRegions(low, high, part=Part(self._geometry, allowed, np.where(free | none, 0, part.count)))

    def _by_values(self, nodes: _Nodes, forms: Array) -> _Nodes:
        """Halves along the feature that moves the form most."""
        low, high = (side.copy() for side in nodes.regions.corners)
        width = high - low
        score = np.abs(forms) * width
        flat = score.max(axis=1, initial=0.0) <= 0
        score[flat] = width[flat]
        score += 1e-3 * score.max(axis=1, keepdims=True) * (width / np.maximum(width.max(axis=1, keepdims=True), 1e-300))
        at, axis = np.arange(len(nodes)), score.argmax(axis=1)
        middle = low[at, axis] / 2 + high[at, axis] / 2
        left, right = high.copy(), low.copy()
        left[at, axis], right[at, axis] = middle, middle
        shape, part = nodes.regions.lower.shape, nodes.regions.part
        one = PixelRegions(low.reshape(shape), left.reshape(shape), part=part)
        two = PixelRegions(right.reshape(shape), high.reshape(shape), part=part)
        return _Nodes(one, nodes.claim, nodes.lower).join(_Nodes(two, nodes.claim, nodes.lower))
