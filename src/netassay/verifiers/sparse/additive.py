"""A proof over an L0 ball from the drops of small clusters of features, which add up where clusters share no neuron.

Two groups of features interact when they reach a neuron in common where the network stops being linear. The set of changed groups falls
into clusters connected by interactions, and each row of the claim falls by exactly the sum of what the clusters make it fall. So
``t`` changes are safe when, with S_k the greatest sum of k single drops that do not interact, B_s the greatest drop of a connected
cluster of s >= 2 groups, and W_q = max(S_q, max over s of B_s + W_(q-s)) the greatest drop of any q groups:

    S_t < s(x)   and   B_s + W_(t-s) < s(x) for s = 2 .. t.

Single drops are bounded cell by cell of their values. Clusters are bounded many at once: those that hold some groups and further ones
among some others, as an L0 ball around their cells; sets that are not decided are split into groups, and then into cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import values
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.rounding import Array, up
from netassay.verifiers.sparse.local_forms import Cells, Groups, LocalForms
from netassay.verifiers.sparse.reach import Bools

FIRST_CELLS = 4
"""Into how many cells a single feature's range is cut at first."""

BATCH = 64
"""Sets that are refined between two looks at the whole."""

SMALL = 0.6
"""A pair is quartered at once when its drops sum up to 1 - ``SMALL`` of what a row may fall."""

FEW = 4
"""Clusters are bounded together when their last groups are among so few."""

NARROW = 1e-7
"""Cells narrower than this share of the range are not split further."""


@dataclass(eq=False)
class _Node:
    """Sets of changed groups, cut into cells, with an upper bound (B, R) of each cell's drops."""

    cells: Cells
    most: Array
    allowed: Array
    forced: Array
    corner: Array
    depth: int = 0

    @property
    def bound(self) -> Array:
        """(R,) the greatest drop."""
        return np.asarray(self.most.max(axis=0))


class Additive:
    """The proof for one ball of any number of changes.

    Args:
        task: Its region is one L0 ball.
    Raises:
        CapabilityError: If the network cannot be followed locally, or nearly all features interact.
    """

    def __init__(self, task: Task) -> None:
        claim = task.claim
        if any(len(part.rows) != 1 for part in claim.parts):
            raise CapabilityError("drops of single features are added for conditions of one linear form each")
        (geometry,) = task.region.balls
        self._task, self._claim = task, claim
        self._changes = int(geometry.radius)
        self._center = geometry.center
        self._local = LocalForms(claim, geometry)
        self._evaluator = Evaluator(BoundedGraph(claim.graph))
        count = len(self._local.groups)
        self._changes = min(self._changes, count)
        if self._changes > 1 and count > 1 and (self._local.interacts.mean() > MOST_INTERACTIONS):
            raise CapabilityError("nearly all features interact")
        self._levels: dict[int, list[_Node]] = {}
        self._least, self._point = np.inf, geometry.center.reshape(claim.graph.input_shape)
        self._work = 0

    def run(self) -> Iterator[Finding]:
        """Findings after every batch of refinements."""
        self._see(np.zeros((1, len(self._center))))
        for level in range(1, self._changes + 1):
            self._levels[level] = []
            for node in self._roots(level):
                self._levels[level].append(node)
                if self._task.limits.over:
                    yield self._finding(-np.inf, "time-out")
                    return
        while True:
            lower, failing = self._state()
            finding = self._finding(lower, "")
            if finding.proved or finding.point is not None:
                yield finding
                return
            if self._task.limits.over:
                yield replace(finding, reason="time-out")
                return
            yield finding
            if not self._refine(failing):
                yield replace(finding, reason="rounding")
                return

    def _finding(self, lower: float, reason: str) -> Finding:
        broken = not self._claim.holds(self._least)
        return Finding(
            lower,
            proved=not broken and not reason and self._claim.holds(lower),
            point=self._point if broken else None,
            least=self._least,
            reason=reason,
            subproblems=self._work,
        )

    def _roots(self, size: int) -> Iterator[_Node]:
        """All connected clusters of so many groups: each by its first group, and others near it that come later."""
        near = _within(self._local.interacts, size - 1)
        for g in range(len(self._local.groups)):
            others = tuple(int(o) for o in np.flatnonzero(near[g, g + 1 :]) + g + 1)
            if size == 2:
                yield from (self._node(self._pair(g, o)) for o in others)
            elif len(others) >= size - 1:
                cells = self._local.whole((g,), others, size - 1)
                yield self._node(_cut(cells, FIRST_CELLS) if size == 1 and cells.low.shape[1] == 1 else cells)

    def _pair(self, one: int, other: int) -> Cells:
        """Two groups; their ranges are halved at once where the sum of their drops leaves little room."""
        cells = self._local.whole((one, other))
        singles = self._levels[1]
        room = self._local.center - SMALL * self._local.center
        near = (singles[one].bound + singles[other].bound >= room).any()
        return _quartered(cells) if near and cells.low.shape[1] == 2 else cells

    def _node(self, cells: Cells, depth: int = 0) -> _Node:
        self._work += len(cells)
        if cells.count and len(cells.allowed) > FEW:  # a hull of so many says nothing yet: it is split first
            rows, shape = len(self._local.center), (len(cells), len(self._local.center))
            nothing = np.zeros((*shape, len(cells.allowed))), np.ones((*shape, cells.low.shape[1]))
            singles = np.stack([self._levels[1][g].bound for g in cells.allowed], axis=1).reshape(1, rows, -1)
            return _Node(cells, np.full(shape, np.inf), nothing[0] + singles, nothing[1], nothing[1], depth)
        found = self._local.drops(cells)
        return _Node(cells, found.most, found.allowed, found.forced, found.corner, depth)

    def _state(self) -> tuple[float, dict[int, Array]]:
        """A lower bound of s, and by level the drops (R,) from which on a node is in the way."""
        center, changes = self._local.center, self._changes
        singles = self._sums()
        bounds = {s: _bound(self._levels[s]) for s in range(2, changes + 1)}
        worst = [np.zeros(len(center))]
        for q in range(1, changes + 1):
            candidates = [singles[q], *(up(bounds[s] + worst[q - s]) for s in range(2, q + 1))]
            worst.append(np.max(candidates, axis=0))
        lower = float(np.min(np.nextafter(center - worst[changes], -np.inf)))
        goal = {s: center - worst[changes - s] for s in range(2, changes + 1)}
        goal[1] = singles[0]
        return lower, goal

    def _sums(self) -> list[Array]:
        """(R,) for k = 0 .. t the greatest sum of k single drops that do not interact; in place of k = 0, see ``_goal_of_singles``."""
        drops = np.stack([node.bound for node in self._levels[1]]) if self._levels[1] else np.zeros((0, len(self._local.center)))
        sums = [independent_sums(drops[:, r], self._local.interacts, self._changes) for r in range(drops.shape[1])]
        table = np.array(sums).T.reshape(self._changes + 1, -1)
        found = [np.zeros(len(self._local.center)), *(up(row * (1 + 1e-14)) for row in table[1:])]
        found[0] = self._goal_of_singles(drops, found)
        return found

    def _goal_of_singles(self, drops: Array, sums: list[Array]) -> Array:
        """(R,) from which drop on a single group can be part of a sum that reaches s(x)."""
        rest = sums[self._changes - 1] if self._changes > 1 else np.zeros(len(self._local.center))
        return np.asarray(self._local.center - rest)

    def _refine(self, goal: dict[int, Array]) -> bool:
        """Splits the nodes that are in the way, the worst first, on every level; False if none could be split."""
        progress = False
        for level, least in goal.items():
            nodes = self._levels[level]
            excess = np.array([float((node.bound - least).max()) for node in nodes])
            order = [int(i) for i in np.argsort(-excess)[:BATCH] if excess[i] >= 0 or not np.isfinite(excess[i])]
            kept = [node for i, node in enumerate(nodes) if i not in set(order)]
            for i in order:
                if self._task.limits.over:
                    kept.append(nodes[i])
                    continue
                parts = self._split(nodes[i], least)
                progress |= parts != [nodes[i]]
                kept += parts
            self._levels[level] = kept
        return progress

    def _split(self, node: _Node, goal: Array) -> list[_Node]:
        cells = node.cells
        if cells.count and cells.allowed:
            return self._split_groups(node, goal)
        return self._split_cells(node, goal)

    def _split_groups(self, node: _Node, goal: Array) -> list[_Node]:
        """By the allowed groups: the more they can do, the earlier they are told apart."""
        cells = node.cells
        row = int(np.argmin(self._local.center)) if not np.isfinite(node.bound).all() else int(np.argmax(node.bound - goal))
        order = np.argsort(-node.allowed[:, row].max(axis=0), kind="stable")
        groups = [cells.allowed[int(i)] for i in order]
        if cells.count == 1:
            half = len(groups) // 2
            if half == 0:
                return [self._joined(node, groups[0], (), 0)]
            return [self._kept(node, tuple(groups[:half])), self._kept(node, tuple(groups[half:]))]
        first = max(1, len(groups) // 4)
        found = [self._joined(node, g, tuple(groups[i + 1 :]), cells.count - 1) for i, g in enumerate(groups[:first])]
        if len(groups) - first >= cells.count:
            found.append(self._kept(node, tuple(groups[first:])))
        return [child for child in found if child.cells.count <= len(child.cells.allowed)]

    def _kept(self, node: _Node, allowed: Groups) -> _Node:
        if len(allowed) == 1 and node.cells.count == 1:
            return self._joined(node, allowed[0], (), 0)
        return self._tightened(node, replace(node.cells, allowed=allowed))

    def _joined(self, node: _Node, group: int, allowed: Groups, count: int) -> _Node:
        """One more group that is changed for certain."""
        features = self._local.features((group,))
        low, high = (np.broadcast_to(side[features], (len(node.cells), len(features))) for side in (self._local.low, self._local.high))
        cells = Cells(
            (*node.cells.forced, group),
            np.concatenate([node.cells.low, low], axis=1),
            np.concatenate([node.cells.high, high], axis=1),
            allowed,
            min(count, len(allowed)),
        )
        return self._tightened(node, cells)

    def _tightened(self, node: _Node, cells: Cells) -> _Node:
        child = self._node(cells, node.depth + 1)
        child.most = np.minimum(child.most, node.most)  # a part of what the node holds falls no further
        return child

    def _split_cells(self, node: _Node, goal: Array) -> list[_Node]:
        """Halves the cells that are in the way along the feature that moves the worst row most."""
        over = (node.most - goal).max(axis=1)
        wide = self._widths(node.cells)
        mine = np.flatnonzero(((over >= 0) | ~np.isfinite(over)) & (wide.max(axis=1, initial=0.0) > NARROW))[:BATCH]
        if not len(mine):
            return [node]
        row = np.argmax(node.most[mine] - goal, axis=1)
        self._try(node, mine, row)
        pull = node.forced[mine, row] + 1e-3 * wide[mine] * node.forced[mine, row].max(axis=1, keepdims=True)
        pull = np.where(wide[mine] > NARROW, np.where(np.isfinite(pull), pull, 1.0), -1.0)
        halves = _halved(node.cells, mine, pull.argmax(axis=1))
        child = self._node(halves, node.depth + 1)
        child.most = np.minimum(child.most, np.concatenate([node.most[mine]] * 2))
        return [_merged(node, mine, child)]

    def _widths(self, cells: Cells) -> Array:
        features = self._local.features(cells.forced)
        return np.asarray((cells.high - cells.low) / np.maximum(self._local.high - self._local.low, 1e-300)[features])

    def _try(self, node: _Node, cells: Array, row: Array) -> None:
        """Evaluates the points at which the worst rows of some cells fall furthest."""
        offsets = np.zeros((len(cells), len(self._center)))
        offsets[:, self._local.features(node.cells.forced)] = node.corner[cells, row]
        self._see(offsets)

    def _see(self, offsets: Array) -> None:
        region = self._task.region
        low, high = region.corners
        points = np.where(offsets == 0, self._center, np.clip(self._center + offsets, low[0], high[0]))
        points = points.reshape(-1, *region.shape)
        found = values(self._claim, self._evaluator.outputs(points))
        i = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
        if found[i] < self._least:
            self._least, self._point = float(found[i]), points[i]


MOST_INTERACTIONS = 0.5
"""Where more of all pairs interact, clusters are not worth while."""


def _within(interacts: Bools, steps: int) -> Bools:
    """(g, g) which groups are joined by a path of so many interactions at most."""
    found = np.eye(len(interacts), dtype=np.bool_)
    step = interacts.astype(np.float32)
    for _ in range(steps):
        found |= found.astype(np.float32) @ step > 0
    return found


def _bound(nodes: list[_Node]) -> Array:
    return np.max([node.bound for node in nodes], axis=0) if nodes else np.float64(-np.inf)


def _cut(cells: Cells, pieces: int) -> Cells:
    """A single cell of one feature in equal pieces."""
    ends = np.linspace(cells.low[0, 0], cells.high[0, 0], pieces + 1)
    ends[0], ends[-1] = cells.low[0, 0], cells.high[0, 0]
    return replace(cells, low=ends[:-1, None], high=ends[1:, None])


def _quartered(cells: Cells) -> Cells:
    """A single cell of two features in four."""
    both = np.array([0, 1])
    for axis in both:
        cells = _halved(cells, np.arange(len(cells)), np.full(len(cells), axis))
    return cells


def _halved(cells: Cells, mine: Array, axis: Array) -> Cells:
    low, high = cells.low[mine], cells.high[mine]
    at = np.arange(len(mine))
    middle = low[at, axis] / 2 + high[at, axis] / 2
    left, right = high.copy(), low.copy()
    left[at, axis], right[at, axis] = middle, middle
    return replace(cells, low=np.concatenate([low, right]), high=np.concatenate([left, high]))


def _merged(node: _Node, gone: Array, child: _Node) -> _Node:
    """The node with some cells exchanged for others."""
    keep = np.setdiff1d(np.arange(len(node.cells)), gone)
    both = [np.concatenate([getattr(node, name)[keep], getattr(child, name)]) for name in ("most", "allowed", "forced", "corner")]
    low, high = (np.concatenate([getattr(node.cells, side)[keep], getattr(child.cells, side)]) for side in ("low", "high"))
    return _Node(replace(node.cells, low=low, high=high), *both, depth=node.depth + 1)


def independent_sums(drops: Array, interacts: Bools, most: int) -> list[float]:
    """For k = 0 .. ``most`` the greatest sum of k of the numbers (g,), none negative, no two of which interact; exact search.

    Where fewer can be chosen, the sum of those.
    """
    order = np.argsort(-drops, kind="stable")
    value, allowed = drops[order], ~interacts[np.ix_(order, order)]
    return [0.0, *(_best_sum(value, allowed, k) for k in range(1, most + 1))]


def _best_sum(value: Array, allowed: Bools, count: int) -> float:
    """Depth-first, the greatest numbers first; a branch ends where its next numbers cannot make it better than the best."""
    best = 0.0
    stack: list[tuple[float, int, int, Bools]] = [(0.0, count, 0, np.ones(len(value), dtype=np.bool_))]
    while stack:
        total, left, begin, free = stack.pop()
        best = max(best, total)
        if not left:
            continue
        rest = np.flatnonzero(free[begin:]) + begin
        if len(rest) and total + float(value[rest[:left]].sum()) > best:
            i = int(rest[0])
            stack.append((total, left, i + 1, free))
            stack.append((total + float(value[i]), left - 1, i + 1, free & allowed[i]))
    return best
