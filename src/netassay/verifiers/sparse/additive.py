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
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array, up
from netassay.verifiers.sparse.interplay import Interplay
from netassay.verifiers.sparse.local_forms import Cells, Groups, LocalForms, Spans
from netassay.verifiers.sparse.reach import Bools

FIRST_CELLS = 4
"""Into how many cells a single feature's range is cut at first."""

BATCH = 128
"""Sets that are refined between two looks at the whole."""

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
    guessed: bool = False
    """Whether the bound is from parts: the node's own is still to come."""

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
        self._evaluator = Evaluator(bounded_graph(claim.graph))
        count = len(self._local.groups)
        self._changes = min(self._changes, count)
        if self._changes > 1 and count > 1 and (self._local.interacts.mean() > MOST_INTERACTIONS):
            raise CapabilityError("nearly all features interact")
        self._levels: dict[int, list[_Node]] = {1: []}
        self._least, self._point = np.inf, geometry.center.reshape(claim.graph.input_shape)
        self._spans: list[Spans] = []
        self._work = 0

    def run(self) -> Iterator[Finding]:
        """Findings after every batch of refinements."""
        self._see(np.zeros((1, len(self._center))))
        for level in range(1, self._changes + 1):
            self._levels[level] = []
            if level == 2:
                self._interplay = Interplay(self._local, self._spans)
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
                yield from self._pairs(g, others)
            elif len(others) >= size - 1:
                cells = self._local.whole((g,), others, size - 1)
                yield self._node(_cut(cells, FIRST_CELLS) if size == 1 and cells.low.shape[1] == 1 else cells)

    def _pairs(self, group: int, others: Groups) -> Iterator[_Node]:
        """Pairs with a group: by what either does alone and their interplay; those for which that is too much are bounded later."""
        singles, rows = self._levels[1], len(self._local.center)
        near = [o for o in others if self._local.interacts[group, o]]
        extra = self._interplay.drops(group, near) if self._interplay.served and near else np.full((len(near), rows), np.inf)
        self._work += len(near)
        for o, more in zip(near, extra, strict=True):
            cells = self._local.whole((group, o))
            most = up(up(singles[group].bound + singles[o].bound) + more)[None]
            width = np.zeros((1, rows, cells.low.shape[1]))
            yield _Node(cells, most, np.zeros((1, rows, 0)), width, width, guessed=True)

    def _node(self, cells: Cells) -> _Node:
        most, rows = np.full((len(cells), len(self._local.center)), np.inf), np.arange(len(self._local.center))
        if len(self._spans) == len(self._local.groups):
            return self._bounded(cells, most, rows)
        self._work += len(cells)
        found, spans = self._local.drops_and_spans(cells)
        self._spans.append(spans)  # of the single groups, in turn
        return _Node(cells, found.most, found.allowed, found.forced, found.corner)

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
        goal[1] = center - singles[max(changes - 1, 0)]
        return lower, goal

    def _sums(self) -> list[Array]:
        """(R,) for k = 0 .. t the greatest sum of k single drops that do not interact."""
        drops = np.array([node.bound for node in self._levels[1]]).reshape(-1, len(self._local.center))
        sums = [independent_sums(column, self._local.interacts, self._changes) for column in drops.T]
        return [np.zeros(len(sums)), *(up(row * (1 + 1e-14)) for row in np.array(sums).T[1:])]

    def _refine(self, goal: dict[int, Array]) -> bool:
        """Splits the nodes that are in the way, the worst first, on every level; False if none could be split."""
        progress = False
        for level, least in goal.items():
            nodes = self._levels[level]
            excess = np.array([float((node.bound - least).max()) for node in nodes])
            chosen = {int(i) for i in np.argsort(-excess)[:BATCH] if excess[i] >= 0 or not np.isfinite(excess[i])}
            kept: list[_Node] = []  # in the same order: single groups are known by their place
            for i, node in enumerate(nodes):
                parts = [node] if i not in chosen or self._task.limits.over else self._split(node, least)
                progress |= parts != [node]
                kept += parts
            self._levels[level] = kept
        return progress

    def _split(self, node: _Node, goal: Array) -> list[_Node]:
        cells = node.cells
        if node.guessed:
            return [self._tightened(node, _quartered(cells) if cells.low.shape[1] == 2 else cells, goal)]
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
                return [self._joined(node, groups[0], (), 0, goal)]
            return [self._kept(node, tuple(groups[:half]), goal), self._kept(node, tuple(groups[half:]), goal)]
        first = max(1, len(groups) // 4)
        found = [self._joined(node, g, tuple(groups[i + 1 :]), cells.count - 1, goal) for i, g in enumerate(groups[:first])]
        if len(groups) - first >= cells.count:
            found.append(self._kept(node, tuple(groups[first:]), goal))
        return [child for child in found if child.cells.count <= len(child.cells.allowed)]

    def _kept(self, node: _Node, allowed: Groups, goal: Array) -> _Node:
        if len(allowed) == 1 and node.cells.count == 1:
            return self._joined(node, allowed[0], (), 0, goal)
        return self._tightened(node, replace(node.cells, allowed=allowed), goal)

    def _joined(self, node: _Node, group: int, allowed: Groups, count: int, goal: Array) -> _Node:
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
        return self._tightened(node, cells, goal)

    def _tightened(self, node: _Node, cells: Cells, goal: Array) -> _Node:
        """A part of what the node holds, which falls no further; only rows that are in the way are bounded anew."""
        open_ = np.flatnonzero(~(node.most < goal).all(axis=0))
        before = np.broadcast_to(node.most.max(axis=0) if len(node.most) != len(cells) else node.most, (len(cells), len(goal)))
        return self._bounded(cells, before, open_)

    def _bounded(self, cells: Cells, before: Array, rows: Positions) -> _Node:
        """A node whose bounds ``before`` (B, R) are tightened for some rows."""
        child = self._blank(cells, np.array(before))
        if not self._unbounded(cells):
            self._work += len(cells)
            drops = self._local.drops(cells, rows)
            child.most[:, rows] = np.minimum(child.most[:, rows], drops.most)
            child.forced[:, rows], child.allowed[:, rows], child.corner[:, rows] = drops.forced, drops.allowed, drops.corner
        return child

    @staticmethod
    def _unbounded(cells: Cells) -> bool:
        """Whether a hull is of so many groups that bounding it says nothing yet: it is split first."""
        return cells.count > 0 and len(cells.allowed) > FEW

    def _blank(self, cells: Cells, most: Array) -> _Node:
        """A node without a bound of its own."""
        shape = most.shape
        allowed, width = np.zeros((*shape, len(cells.allowed))), np.zeros((*shape, cells.low.shape[1]))
        if cells.allowed:
            allowed += np.stack([self._levels[1][g].bound for g in cells.allowed], axis=1)
        return _Node(cells, most, allowed, width, width.copy())

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
        open_ = np.flatnonzero(~(node.most[mine] < goal).all(axis=0))
        child = self._bounded(halves, np.concatenate([node.most[mine]] * 2), open_)
        return [_merged(node, mine, child)]

    def _widths(self, cells: Cells) -> Array:
        features = self._local.features(cells.forced)
        return np.asarray((cells.high - cells.low) / np.maximum(self._local.high - self._local.low, 1e-300)[features])

    def _try(self, node: _Node, cells: Positions, row: Positions) -> None:
        """Evaluates the points at which the worst rows of some cells fall furthest, other groups that fall far filling up the changes."""
        forced = node.cells.forced
        features, offsets = self._local.features(forced), np.zeros((len(cells), len(self._center)))
        if len(forced) < self._changes:
            worst = int(row[np.argmax(node.most[cells, row])])
            drops = np.array([single.bound[worst] for single in self._levels[1]])
            drops[self._local.interacts[list(forced)].any(axis=0)] = 0.0
            offsets += self._furthest(independent_set(drops, self._local.interacts, self._changes - len(forced))[1], worst)
        offsets[:, features] = node.corner[cells, row]
        self._see(offsets)

    def _furthest(self, groups: Groups, row: int) -> Array:
        """(n,) offsets at which a row falls furthest by each of some single groups."""
        offsets = np.zeros(len(self._center))
        for g in groups:
            node = self._levels[1][g]
            offsets[self._local.features((g,))] = node.corner[int(np.argmax(node.most[:, row])), row]
        return offsets

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
    return np.max([node.bound for node in nodes], axis=0) if nodes else np.array(-np.inf)


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


def _halved(cells: Cells, mine: Positions, axis: Positions) -> Cells:
    low, high = cells.low[mine], cells.high[mine]
    at = np.arange(len(mine))
    middle = low[at, axis] / 2 + high[at, axis] / 2
    left, right = high.copy(), low.copy()
    left[at, axis], right[at, axis] = middle, middle
    return replace(cells, low=np.concatenate([low, right]), high=np.concatenate([left, high]))


def _merged(node: _Node, gone: Positions, child: _Node) -> _Node:
    """The node with some cells exchanged for others."""
    keep = np.setdiff1d(np.arange(len(node.cells)), gone)
    both = [np.concatenate([getattr(node, name)[keep], getattr(child, name)]) for name in ("most", "allowed", "forced", "corner")]
    low, high = (np.concatenate([getattr(node.cells, side)[keep], getattr(child.cells, side)]) for side in ("low", "high"))
    most, allowed, forced, corner = both
    return _Node(replace(node.cells, low=low, high=high), most, allowed, forced, corner)


def independent_sums(drops: Array, interacts: Bools, most: int) -> list[float]:
    """For k = 0 .. ``most`` the greatest sum of k of the numbers (g,), none negative, no two of which interact; exact search.

    Where fewer can be chosen, the sum of those.
    """
    return [independent_set(drops, interacts, k)[0] for k in range(most + 1)]


def independent_set(drops: Array, interacts: Bools, count: int) -> tuple[float, Groups]:
    """The greatest such sum, and which numbers it is of.

    Depth-first, the greatest numbers first; a branch ends where its next numbers cannot make it better than the best.
    """
    order = np.argsort(-drops, kind="stable")
    value, allowed = drops[order], ~interacts[np.ix_(order, order)]
    best: tuple[float, Groups] = (0.0, ())
    stack: list[tuple[float, Groups, int, Bools]] = [(0.0, (), 0, np.ones(len(value), dtype=np.bool_))]
    while stack:
        total, chosen, begin, free = stack.pop()
        if total > best[0]:
            best = (total, chosen)
        left = count - len(chosen)
        rest = np.flatnonzero(free[begin:]) + begin
        if left and len(rest) and total + float(value[rest[:left]].sum()) > best[0]:
            i = int(rest[0])
            stack.append((total, chosen, i + 1, free))
            stack.append((total + float(value[i]), (*chosen, i), i + 1, free & allowed[i]))
    return best[0], tuple(int(order[i]) for i in best[1])
