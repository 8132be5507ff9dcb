"""The proof for pairs of pixels of which one lies in a small square: pairs of squares first, then of pixels, then cells of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock

import numpy as np

from netassay.verifiers.base import Task
from netassay.verifiers.claim import Claim
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNIT, Array
from netassay.verifiers.sparse.cells import NARROW, axes, halves
from netassay.verifiers.sparse.pair_bounds import Chain, Home, Touched
from netassay.verifiers.sparse.pair_frames import Frame, Sides
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.seen import Seen
from netassay.verifiers.sparse.single_spans import Cells, Single
from netassay.verifiers.sparse.window_forms import WindowForms

MOST_DEPTH = 6
"""So often a feature's range is halved before both are followed together."""

BATCH = 256
"""Pairs bounded at once."""

TOGETHER = 64
"""So many pairs are cut into cells together."""

LOOKED = 16
"""So many cells are looked into for a counterexample at once."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A pair's cells: its two features, and depth and position of a run of either."""

    features: tuple[int, int]
    one: tuple[int, int]
    other: tuple[int, int]

    def larger(self, depths: dict[int, int]) -> bool:
        """Whether either run is larger than a cell."""
        return any(run[0] < depths[g] for g, run in zip(self.features, (self.one, self.other), strict=True))

    def split(self, depths: dict[int, int]) -> list[_Node]:
        """Its quarters; halves where one run is a cell and the other one is larger, or one cannot be halved any more."""
        most = [depths[g] if self.larger(depths) else MOST_DEPTH for g in self.features]
        return [_Node(self.features, p, q) for p in _halves(self.one, most[0]) for q in _halves(self.other, most[1])]


def _halves(run: tuple[int, int], most: int) -> list[tuple[int, int]]:
    depth, at = run
    return [run] if depth >= most else [(depth + 1, 2 * at), (depth + 1, 2 * at + 1)]


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Pairs of sides, and what their interplay may touch in a home.

    Args:
        one, other: (P,) the sides.
        touched: In the home's frames.
    """

    one: Positions
    other: Positions
    touched: Touched

    def __len__(self) -> int:
        return len(self.one)

    def of(self, some: Positions | slice) -> _Pairs:
        """Some of them."""
        return _Pairs(self.one[some], self.other[some], self.touched.of(some))

    def narrowed(self, home: Home) -> tuple[Home, _Pairs]:
        """The part of their home that they touch, and they in it."""
        part = home.within(self.touched)
        return part, _Pairs(self.one, self.other, home.narrowed(part, self.touched))

    def split(self, parts: Callable[[int, int], list[tuple[int, int]]]) -> _Pairs:
        """The parts of each; they touch what it does."""
        found = [parts(int(a), int(b)) for a, b in zip(self.one, self.other, strict=True)]
        parent = np.repeat(np.arange(len(found)), [len(part) for part in found])
        ends = np.array([pair for part in found for pair in part], dtype=np.intp).reshape(-1, 2)
        return _Pairs(ends[:, 0], ends[:, 1], self.touched.of(parent))


class _Bank:
    """The runs of cells of some features in a frame, one behind the other; behind them those smaller than cells, as they are asked for."""

    def __init__(self, given: Given, frames: list[Frame], features: Positions) -> None:
        self._given, self._frames = given, frames
        cells = {int(g): given.alone[g].cells for g in features}
        self.sides = Sides.joined([Sides.cells(frames, one).runs() for one in cells.values()])
        starts = np.cumsum([0, *(2 * len(one) - 1 for one in cells.values())])
        self._starts = dict(zip(cells, starts.tolist(), strict=False))
        self.depths = {g: len(one).bit_length() - 1 for g, one in cells.items()}
        self._smaller: dict[tuple[int, tuple[int, int]], int] = {}

    def rows(self, nodes: list[_Node]) -> Positions:
        """(N, 2) where either run of each is."""
        wanted = [list(zip(n.features, (n.one, n.other), strict=True)) for n in nodes]
        missing = {(g, run) for each in wanted for g, run in each if run[0] > self.depths[g]} - self._smaller.keys()
        for feature in sorted({g for g, _ in missing}):
            self._add(feature, sorted(run for g, run in missing if g == feature))
        return np.array([[self._at(g, run) for g, run in each] for each in wanted])

    def _at(self, feature: int, run: tuple[int, int]) -> int:
        if run[0] > self.depths[feature]:
            return self._smaller[feature, run]
        return int(self._starts[feature] + 2 ** run[0] - 1 + run[1])

    def _add(self, feature: int, runs: list[tuple[int, int]]) -> None:
        cells = self._given.smaller(feature, runs)
        self._smaller |= {(feature, run): len(self.sides.most) + k for k, run in enumerate(runs)}
        self.sides = Sides.joined([self.sides, Sides.cells(self._frames, cells)])


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What the proofs of all squares share; they may run side by side.

    Args:
        task: The ball and the claim.
        forms, chain: The network around the input.
        features: (F,) those that can change.
        center: (R,) lower bounds of the claim's rows at the centre.
        alone: What each feature does alone.
        sides, of_squares, of_blocks: The same over whole ranges, of features and of any one of the features of a square or a larger block.
        squares, blocks: Positions of the features in each.
        inside: Which squares lie in each block.
        seen: Points that were evaluated.
        stop: Is set when no proof has to go on.
    """

    task: Task
    forms: WindowForms
    chain: Chain
    features: Positions
    center: Array
    alone: list[Single]
    sides: Sides
    of_squares: Sides
    of_blocks: Sides
    squares: list[Positions]
    blocks: list[Positions]
    inside: list[list[int]]
    seen: Seen
    stop: Event = field(default_factory=Event)
    _smaller: dict[tuple[int, tuple[int, int]], Cells] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def smaller(self, feature: int, runs: list[tuple[int, int]]) -> Cells:
        """What a feature does in runs smaller than its cells. Some are remembered, since it is paired with several squares' features."""
        found = {run: self._smaller[feature, run] for run in runs if (feature, run) in self._smaller}
        if missing := [run for run in runs if run not in found]:
            low, high = np.array([self.alone[feature].part(run) for run in missing]).T
            (cells,) = Cells.of(self.forms, [feature], self.chain.operators, low[None], high[None])
            new = {run: cells.row(k) for k, run in enumerate(missing)}
            found |= new
            if len(self._smaller) * new[missing[0]].bytes < self.task.limits.memory // 8:
                self._smaller.update({(feature, run): one for run, one in new.items()})
        return Cells.joined([found[run] for run in runs])

    def look(self, offsets: Array) -> None:
        """Evaluates the centre moved by offsets (N, n), inside the ball."""
        with self._lock:
            self.seen.look(offsets)


def rows_hold(claim: Claim, lower: Array) -> Bools:
    """(P,) whether a claim holds where its rows are no less than ``lower`` (P, R)."""
    least = np.where(np.isnan(lower), -np.inf, lower).min(axis=1)
    return np.array([claim.holds(float(v)) for v in least], dtype=np.bool_)


class SquareProof:
    """The proof for all pairs of a square's features with later ones.

    Args:
        given: The ball.
        at: Which square.
    Attributes:
        reason: Why there is no proof, if there is none and no counterexample.
        least: A lower bound of the rows in all that is proved.
        work: Pairs that were bounded.
    """

    def __init__(self, given: Given, at: int) -> None:
        self._given, self._at = given, at
        self.reason, self.least, self.work = "", np.inf, 0

    def run(self) -> SquareProof:
        """Goes on until there is a proof, or a reason why not; returns itself."""
        for reason in self._steps():
            self.reason = reason
            if reason or self._given.seen.broken:
                break
        return self

    def _steps(self) -> Iterator[str]:
        given, at = self._given, self._at
        squares, blocks, members = given.squares, given.blocks, given.squares[at]
        home = Home.of(given.chain, [given.alone[i].cells for i in members])
        later = np.array([b for b, block in enumerate(blocks) if (block > members.min()).any()], dtype=np.intp)
        pairs = _Pairs(np.full(len(later), at), later, Touched.everything(home.frames, len(later)))
        yield self._time()
        pairs = self._open(home, given.of_squares, given.of_blocks, pairs)
        yield self._time()
        home, pairs = pairs.narrowed(home)
        pairs = pairs.split(lambda a, b: [(a, s) for s in given.inside[b]])
        pairs = self._open(home, given.of_squares, given.of_squares, pairs)
        yield self._time()
        pairs = pairs.split(lambda a, b: [(i, j) for i in squares[a] for j in squares[b] if i < j])
        pairs = self._open(home, given.sides, given.sides, pairs)
        yield self._time()
        for begin in range(0, len(pairs), TOGETHER):
            yield from self._cells(home, pairs.of(slice(begin, begin + TOGETHER)))

    def _time(self) -> str:
        return "time-out" if self._given.stop.is_set() or self._given.task.limits.over else ""

    def _open(self, home: Home, ones: Sides, others: Sides, pairs: _Pairs) -> _Pairs:
        """Those of some pairs of sides (of all numbers) that are not proved over their whole ranges."""
        left, touched = [np.zeros(0, dtype=np.intp)], [pairs.touched.of(slice(0))]
        for begin in range(0, len(pairs), BATCH):
            some = pairs.of(slice(begin, begin + BATCH))
            part = home.within(some.touched)
            gaps = [frame.gaps for frame in part.frames]
            (one, at), (other, its) = (np.unique(which, return_inverse=True) for which in (some.one, some.other))
            holds, found = self._proved(part, ones.within(gaps, one), at, others.within(gaps, other), its)
            left.append(begin + np.flatnonzero(~holds))
            touched.append(home.spread(part, found.of(~holds)))
        which = np.concatenate(left)
        return _Pairs(pairs.one[which], pairs.other[which], Touched.joined(touched))

    def _cells(self, whole: Home, pairs: _Pairs) -> Iterator[str]:
        """Cells of some pairs of features, halved until they hold; smaller cells touch no more than those that they are parts of."""
        home, pairs = pairs.narrowed(whole)
        bank = _Bank(self._given, home.frames, np.union1d(pairs.one, pairs.other))
        nodes = [_Node((int(i), int(j)), (0, 0), (0, 0)) for i, j in zip(pairs.one, pairs.other, strict=True)]
        touched, looked = Touched.everything(home.frames, len(nodes)), False
        while nodes:
            kept = max(0, len(nodes) - BATCH // 4)
            now, nodes = [child for node in nodes[kept:] for child in node.split(bank.depths)], nodes[:kept]
            part, parents = home.within(touched.of(slice(kept, None))), touched.of(slice(kept))
            used, at = np.unique(bank.rows(now), return_inverse=True)
            columns = [np.searchsorted(frame.gaps, some.gaps) for frame, some in zip(home.frames, part.frames, strict=True)]
            sides, at = bank.sides.within(columns, used), at.reshape(-1, 2)
            holds, found = self._proved(part, sides, at[:, 0], sides, at[:, 1])
            yield self._time()
            open_ = np.flatnonzero(~holds).tolist()
            small = [p for p in open_ if not now[p].larger(bank.depths)]
            if small and not looked:
                self._look([now[p] for p in small])
                looked = True
                yield ""
            last = {p for p in small if min(now[p].one[0], now[p].other[0]) >= MOST_DEPTH}
            for p in sorted(last):
                yield from self._directly(now[p])
            left = np.array([p for p in open_ if p not in last], dtype=np.intp)
            nodes, touched = nodes + [now[p] for p in left], Touched.joined([parents, home.spread(part, found.of(left))])

    def _directly(self, node: _Node) -> Iterator[str]:
        """A pair's cell by linear forms of both values, halved along the one that moves the worst row most, until it holds."""
        given = self._given
        features = given.features[list(node.features)]
        whole = np.array([np.ptp(given.alone[g].ends) for g in node.features])
        low, high = np.array([given.alone[g].part(run) for g, run in zip(node.features, (node.one, node.other), strict=True)]).T[:, None]
        while len(low):
            yield self._time()
            now, (low, high) = (low[-TOGETHER:], high[-TOGETHER:]), (low[:-TOGETHER], high[:-TOGETHER])
            drops = given.forms.drops_together(features, *now)
            self.work += len(now[0])
            lower = np.nextafter(given.center - drops.most, -np.inf)
            holds = rows_hold(given.task.claim, lower)
            self.least = min(self.least, float(lower[holds].min(initial=np.inf)))
            open_, row = np.flatnonzero(~holds), lower[~holds].argmin(axis=1)
            if not len(open_):
                continue
            offsets = np.zeros((len(open_), given.task.region.balls[0].size))
            offsets[:, features] = drops.corner[open_, row]
            given.look(offsets)
            yield ""
            starts, ends = (side[open_] for side in now)
            wide = (ends - starts) / whole
            if (wide.max(axis=1) <= NARROW).any():
                yield "incomplete"
            starts, ends = halves(starts, ends, axes(wide, drops.forced[open_, row]))
            low, high = np.concatenate([low, starts]), np.concatenate([high, ends])

    def _proved(self, home: Home, ones: Sides, one: Positions, others: Sides, other: Positions) -> tuple[Bools, Touched]:
        """(P,) whether the claim holds for every input of each pair of sides, and what their interplay may touch."""
        self.work, center = self.work + len(one), self._given.center
        interplay, touched = home.interplay(ones, one, others, other)
        mine, theirs = ones.most[one], others.most[other]
        lower = center - mine - theirs + interplay
        lower = lower - 8 * UNIT * (np.abs(center) + np.abs(mine) + np.abs(theirs) + np.abs(interplay))
        holds = rows_hold(self._given.task.claim, lower)
        self.least = min(self.least, float(lower[holds].min(initial=np.inf)))
        return holds, touched

    def _look(self, nodes: list[_Node]) -> None:
        """Evaluates the corners of some cells."""
        given, nodes = self._given, nodes[:: -(-len(nodes) // LOOKED)]
        offsets = np.zeros((4 * len(nodes), given.task.region.balls[0].size))
        for at, node in enumerate(nodes):
            for g, run, repeats in zip(node.features, (node.one, node.other), (2, 1), strict=True):
                offsets[4 * at : 4 * at + 4, given.features[g]] = np.resize(np.repeat(given.alone[g].part(run), repeats), 4)
        given.look(offsets)
