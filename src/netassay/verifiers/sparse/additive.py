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
from netassay.models.nonlinear import Relu
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array, up
from netassay.verifiers.sparse.cells import NARROW, cut, halved, quartered
from netassay.verifiers.sparse.independent import independent_set, independent_sums
from netassay.verifiers.sparse.interplay import Interplay
from netassay.verifiers.sparse.local_forms import Cells, Groups, LocalForms, Spans
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.seen import Seen
from netassay.verifiers.sparse.window_forms import WindowForms, hull

FIRST_CELLS = 4
"""Into how many cells a single feature's range is cut at first."""

BATCH = 128
"""Sets that are refined between two looks at the whole."""

FEW = 4
"""Clusters are bounded together when their last groups are among so few."""


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
        count = len(self._local.groups)
        self._changes = min(self._changes, count)
        if self._changes > 1 and count > 1 and (self._local.interacts.mean() > MOST_INTERACTIONS):
            relus = all(isinstance(operator, Relu) for operator, _ in self._local.bends.values())
            if self._changes > 2 or not relus:
                raise CapabilityError("nearly all features interact")
        self._levels: dict[int, list[_Node]] = {1: []}
        self._seen = Seen(task)
        self._spans: list[Spans] = []
        self._paired = np.full(len(self._local.center), -np.inf)
        self._work = 0

    def run(self) -> Iterator[Finding]:
        """Findings after every batch of refinements."""
        self._seen.look(np.zeros((1, len(self._center))))
        for level in range(1, self._changes + 1):
            self._levels[level] = []
            if level == 2:
                self._interplay = Interplay(self._local, self._spans)
                self._alone = np.array([node.bound for node in self._levels[1]]).reshape(-1, len(self._local.center))
            for node in self._singles() if level == 1 else self._roots(level):
                self._levels[level].append(node)
                if self._task.limits.over:
                    yield self._finding(-np.inf, "time-out")
                    return
                if len(self._levels[level]) % BATCH == 0:
                    yield self._finding(-np.inf, "")
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
        broken = self._seen.broken
        return Finding(
            lower,
            proved=not broken and not reason and self._claim.holds(lower),
            point=self._seen.point if broken else None,
            least=self._seen.least,
            reason=reason,
            subproblems=self._work,
        )

    def _singles(self) -> Iterator[_Node]:
        """Every group alone; many at once where their windows can be followed."""
        try:
            forms = WindowForms(self._claim, self._task.region.balls[0])
        except CapabilityError:
            yield from self._roots(1)
            return
        for begin in range(0, len(self._local.groups), TOGETHER):
            cells = [self._first((g,)) for g in range(begin, min(begin + TOGETHER, len(self._local.groups)))]
            owner = np.repeat(np.arange(begin, begin + len(cells)), [len(c) for c in cells])
            found, spans = forms.drops(owner, np.concatenate([c.low for c in cells]), np.concatenate([c.high for c in cells]))
            self._work += len(owner)
            for i, each in enumerate(cells):
                mine = np.flatnonzero(owner == begin + i)
                self._spans.append(hull([spans[k] for k in mine]))
                node = _Node(each, found.most[mine], found.allowed[mine], found.forced[mine], found.corner[mine])
                large = self._changes > 1 and bool((node.bound > LARGE * self._local.center).any())
                yield self._bounded(each, node.most, np.arange(node.most.shape[1])) if large else node

    def _first(self, groups: Groups) -> Cells:
        cells = self._local.whole(groups)
        return cut(cells, FIRST_CELLS) if cells.low.shape[1] == 1 else cells

    def _roots(self, size: int) -> Iterator[_Node]:
        """All connected clusters of so many groups: each by its first group, and others near it that come later."""
        near = _within(self._local.interacts, size - 1)
        for g in range(len(self._local.groups)):
            others = tuple(int(o) for o in np.flatnonzero(near[g, g + 1 :]) + g + 1)
            if size == 2:
                yield from self._pairs(g, others)
            elif size == 1:
                yield self._node(self._first((g,)))
            elif len(others) >= size - 1:
                yield self._node(self._local.whole((g,), others, size - 1))

    def _pairs(self, group: int, others: Groups) -> Iterator[_Node]:
        """Pairs with a group: by what either does alone and their interplay; those for which that is too much are bounded later."""
        near = [o for o in others if self._local.interacts[group, o]]
        if not near:
            return
        self._work += len(near)
        alone = up(self._alone[near] + self._alone[group])
        if not self._interplay.served:
            most = np.full((len(near), len(self._local.center)), np.inf)
        elif self._changes == 2 and len(near) > MANY:
            most = up(alone + self._interplay.block_drops(group, near))
            open_ = self._kept_apart(most)
            if len(open_):
                most[open_] = up(alone[open_] + self._interplay.drops(group, [near[i] for i in open_]))
        else:
            most = up(alone + self._interplay.drops(group, near))
        for i in self._kept_apart(most):
            cells = self._local.whole((group, near[i]))
            width = np.zeros((1, most.shape[1], cells.low.shape[1]))
            yield _Node(cells, most[i][None], np.zeros((1, most.shape[1], 0)), width, width, guessed=True)
        if self._changes == 2:
            holds = (most < self._local.center).all(axis=1)
            self._paired = np.maximum(self._paired, most[holds].max(axis=0, initial=-np.inf))

    def _kept_apart(self, most: Array) -> Positions:
        """The pairs that need a node of their own: where only two groups change, those whose bound (B, R) is too much."""
        return np.flatnonzero((~(most < self._local.center)).any(axis=1)) if self._changes == 2 else np.arange(len(most))

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
        if changes == 2:
            bounds[2] = np.maximum(bounds[2], self._paired)
        worst = [np.zeros(len(center))]
        for q in range(1, changes + 1):
            with np.errstate(invalid="ignore"):  # no cluster of a size, and nothing known of the rest: nothing is known
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
            return [self._tightened(node, quartered(cells) if cells.low.shape[1] == 2 else cells, goal)]
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
        halves = halved(node.cells, mine, pull.argmax(axis=1))
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
        self._seen.look(offsets)

    def _furthest(self, groups: Groups, row: int) -> Array:
        """(n,) offsets at which a row falls furthest by each of some single groups."""
        offsets = np.zeros(len(self._center))
        for g in groups:
            node = self._levels[1][g]
            offsets[self._local.features((g,))] = node.corner[int(np.argmax(node.most[:, row])), row]
        return offsets


LARGE = 0.2
"""Single groups that lower a row by more than this share of it are bounded backwards too, where several change."""

MANY = 64
"""So many pairs with one group are bounded in blocks first."""

TOGETHER = 64
"""Single groups bounded at once, where their windows are followed."""

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


def _merged(node: _Node, gone: Positions, child: _Node) -> _Node:
    """The node with some cells exchanged for others."""
    keep = np.setdiff1d(np.arange(len(node.cells)), gone)
    both = [np.concatenate([getattr(node, name)[keep], getattr(child, name)]) for name in ("most", "allowed", "forced", "corner")]
    low, high = (np.concatenate([getattr(node.cells, side)[keep], getattr(child.cells, side)]) for side in ("low", "high"))
    most, allowed, forced, corner = both
    return _Node(replace(node.cells, low=low, high=high), most, allowed, forced, corner)
