"""The proof for L0 balls of two changes: what either pixel does alone, added up, and their interplay (``pair_bounds``).

Squares of pixels are paired with each other first, then single ones, all over their whole ranges; what that leaves open is cut into cells
of both values, as small as need be. Where a pair has no interplay, no part of it has: each step looks at fewer numbers than the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNIT, Array
from netassay.verifiers.sparse.pair_bounds import Chain, Home, Touched
from netassay.verifiers.sparse.pair_frames import Frame, Sides
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.seen import Seen
from netassay.verifiers.sparse.single_spans import Single, single
from netassay.verifiers.sparse.window_forms import WindowForms

CELLS = 16
"""Into how many cells every feature's range is cut; a power of 2."""

MOST_CELLS = 128
"""Into how many at most, where it alone may cost more than half of a margin."""

BATCH = 128
"""Pairs bounded at once."""

TOGETHER = 32
"""So many pairs are cut into cells together."""

LOOKED = 16
"""So many of the cells that cannot be split further are looked into for a counterexample at once."""

HOME, BLOCK = 2, 4
"""Width of the squares of pixels that share a frame, and of those that they are paired with first."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A pair's cells: its two features, and depth and position of a run of either."""

    features: tuple[int, int]
    one: tuple[int, int]
    other: tuple[int, int]

    def split(self, one: int, other: int) -> list[_Node]:
        """Its quarters, or halves where one run is as deep as that."""
        return [_Node(self.features, p, q) for p in _halves(self.one, one) for q in _halves(self.other, other)]


def _halves(run: tuple[int, int], most: int) -> list[tuple[int, int]]:
    depth, at = run
    return [run] if depth == most else [(depth + 1, 2 * at), (depth + 1, 2 * at + 1)]


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
    """The runs of cells of some features in a frame, one behind the other."""

    def __init__(self, frames: list[Frame], singles: dict[int, Single]) -> None:
        self.singles = singles
        self.sides = Sides.joined([Sides.runs(frames, one) for one in singles.values()])
        starts = np.cumsum([0, *(2 * len(one) - 1 for one in singles.values())])
        self._starts = dict(zip(singles, starts.tolist(), strict=False))

    def depth(self, feature: int) -> int:
        """Of a feature's cells."""
        return len(self.singles[feature]).bit_length() - 1

    def at(self, feature: int, run: tuple[int, int]) -> int:
        """Position of a run."""
        return int(self._starts[feature] + 2 ** run[0] - 1 + run[1])


class PixelPairs:
    """The proof for one ball of two changes.

    Args:
        task: Its region is one L0 ball of radius 2 of single features.
    Raises:
        CapabilityError: If the network is no chain of layers over an image that ends in ReLUs, or the claim has conditions of several
            forms.
    """

    def __init__(self, task: Task) -> None:
        (geometry,) = task.region.balls
        if int(geometry.radius) != 2 or any(len(part.rows) != 1 for part in task.claim.parts):
            raise CapabilityError("pairs of pixels are followed in balls of two changes, for conditions of one linear form each")
        self._task, self._forms = task, WindowForms(task.claim, geometry)
        if any(len(g) != 1 for g in self._forms.groups):
            raise CapabilityError("pairs of pixels are followed where a pixel has one value")
        self._features = np.array([g[0] for g in self._forms.groups], dtype=np.intp)
        self._center, self._size = self._forms.center_rows(), geometry.size
        self._seen, self._work, self._least = Seen(task), 0, float(self._center.min())
        self._chain = Chain(self._forms)
        self._singles: list[Single] = []

    def run(self) -> Iterator[Finding]:
        """Findings now and then; the bound is known at the end."""
        self._seen.look(np.zeros((1, self._size)))
        yield self._finding("", done=False)
        for stage in (self._prepare(), self._pair()) if len(self._features) else ():
            for reason in stage:
                yield self._finding(reason, done=False)
                if reason or self._seen.broken:
                    return
        yield self._finding("", done=True)

    def _prepare(self) -> Iterator[str]:
        """What single features do."""
        held = 10 * len(self._features) * sum(o.others.size for o in self._chain.operators)  # of ``Sides``: singles, squares, blocks
        for group in range(len(self._features)):
            if self._task.limits.over:
                yield "time-out"
            cells = CELLS
            found = single(self._forms, group, self._chain.operators, cells)
            while cells < MOST_CELLS and (2 * found.most > self._center).any():
                cells *= 2
                found = single(self._forms, group, self._chain.operators, cells)
            self._work += cells
            self._singles.append(found)
            held += found.bytes
            if held > self._task.limits.memory:
                yield "memory"
            alone = np.nextafter(self._center - found.most, -np.inf)
            self._least = min(self._least, float(alone.min()))
            if not self._holds(alone).all():
                self._look_alone(group, found.ends)
                yield "" if self._seen.broken else "incomplete"
            if group % 64 == 0:
                yield ""

    def _pair(self) -> Iterator[str]:
        """All pairs, home by home: a square and blocks, the same and smaller squares, single features, cells."""
        columns = self._task.claim.graph.input_shape[2]
        singles = Sides.of(self._singles, [o.others.size for o in self._chain.operators])
        squares, blocks = (_squares(self._features, columns, width) for width in (HOME, BLOCK))
        inside = [[s for s, square in enumerate(squares) if np.isin(square, block).any()] for block in blocks]
        sides = singles.together(squares), singles.together(blocks)
        for at, members in enumerate(squares):
            home = Home.of(self._chain, [self._singles[i] for i in members])
            later = np.array([b for b, block in enumerate(blocks) if (block > members.min()).any()], dtype=np.intp)
            pairs = _Pairs(np.full(len(later), at), later, Touched.everything(home.frames, len(later)))
            pairs = self._open(home, sides[0], sides[1], pairs)
            yield self._time()
            home, pairs = pairs.narrowed(home)
            pairs = self._open(home, sides[0], sides[0], pairs.split(lambda a, b: [(a, s) for s in inside[b]]))
            yield self._time()
            pairs = pairs.split(lambda a, b: [(i, j) for i in squares[a] for j in squares[b] if i < j])
            pairs = self._open(home, singles, singles, pairs)
            yield self._time()
            for begin in range(0, len(pairs), TOGETHER):
                yield from self._cells(home, pairs.of(slice(begin, begin + TOGETHER)))

    def _time(self) -> str:
        return "time-out" if self._task.limits.over else ""

    def _open(self, home: Home, ones: Sides, others: Sides, pairs: _Pairs) -> _Pairs:
        """Those of some pairs of sides (of all numbers) that are not proved over their whole ranges."""
        left, touched = [np.zeros(0, dtype=np.intp)], [pairs.touched.of(slice(0))]
        for begin in range(0, len(pairs), BATCH):
            some = pairs.of(slice(begin, begin + BATCH))
            part = home.within(some.touched) if home.keeps else home
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
        bank = _Bank(home.frames, {int(g): self._singles[g] for g in np.union1d(pairs.one, pairs.other)})
        nodes = [_Node((int(i), int(j)), (0, 0), (0, 0)) for i, j in zip(pairs.one, pairs.other, strict=True)]
        touched = Touched.everything(home.frames, len(nodes))
        while nodes:
            kept = max(0, len(nodes) - BATCH // 4)
            parts = [n.split(*(bank.depth(g) for g in n.features)) for n in nodes[kept:]]
            now, nodes = [child for part in parts for child in part], nodes[:kept]
            part, touched = home.within(touched.of(slice(kept, None))), touched.of(slice(kept))
            rows = np.array([[bank.at(n.features[0], n.one), bank.at(n.features[1], n.other)] for n in now])
            used, at = np.unique(rows, return_inverse=True)
            columns = [np.searchsorted(frame.gaps, some.gaps) for frame, some in zip(home.frames, part.frames, strict=True)]
            sides, at = bank.sides.within(columns, used), at.reshape(rows.shape)
            holds, found = self._proved(part, sides, at[:, 0], sides, at[:, 1])
            open_ = [now[p] for p in np.flatnonzero(~holds)]
            nodes, touched = nodes + open_, Touched.joined([touched, home.spread(part, found.of(~holds))])
            yield self._time()
            stuck = [n for n in open_ if n.one[0] == bank.depth(n.features[0]) and n.other[0] == bank.depth(n.features[1])]
            if stuck:
                self._look(bank, stuck)
                if self._seen.broken:
                    yield ""
                more = {g: self._finer(g, bank.singles[g]) for g in {g for n in stuck for g in n.features}}
                if any(all(more[g] is bank.singles[g] for g in n.features) for n in stuck):
                    yield "incomplete"
                bank = _Bank(home.frames, bank.singles | more)

    def _finer(self, group: int, one: Single) -> Single:
        """Twice as many cells of a feature, if there may be."""
        if len(one) >= MOST_CELLS:
            return one
        if len(self._singles[group]) == len(one):
            self._work += 2 * len(one)
            self._singles[group] = single(self._forms, group, self._chain.operators, 2 * len(one))
        return self._singles[group]

    def _proved(self, home: Home, ones: Sides, one: Positions, others: Sides, other: Positions) -> tuple[Bools, Touched]:
        """(P,) whether the claim holds for every input of each pair of sides, and what their interplay may touch."""
        self._work += len(one)
        interplay, touched = home.interplay(ones, one, others, other)
        mine, theirs = ones.most[one], others.most[other]
        lower = self._center - mine - theirs + interplay
        lower = lower - 8 * UNIT * (np.abs(self._center) + np.abs(mine) + np.abs(theirs) + np.abs(interplay))
        holds = self._holds(lower)
        self._least = min(self._least, float(lower[holds].min(initial=np.inf)))
        return holds, touched

    def _holds(self, lower: Array) -> Bools:
        """(P,) whether all rows (P, R) hold."""
        least = np.where(np.isnan(lower), -np.inf, lower).min(axis=1)
        return np.array([self._task.claim.holds(float(v)) for v in least], dtype=np.bool_)

    def _look(self, bank: _Bank, stuck: list[_Node]) -> None:
        """Evaluates the corners of some of the cells that cannot be split further."""
        stuck = stuck[:: -(-len(stuck) // LOOKED)]
        offsets = np.zeros((4 * len(stuck), self._size))
        for at, node in enumerate(stuck):
            for corner in range(4):
                for g, (_, cell), end in zip(node.features, (node.one, node.other), divmod(corner, 2), strict=True):
                    offsets[4 * at + corner, self._features[g]] = bank.singles[g].ends[cell + end]
        self._seen.look(offsets)

    def _look_alone(self, group: int, ends: Array) -> None:
        """Evaluates the ends of one feature's cells."""
        offsets = np.zeros((len(ends), self._size))
        offsets[:, self._features[group]] = ends
        self._seen.look(offsets)

    def _finding(self, reason: str, *, done: bool) -> Finding:
        broken = self._seen.broken
        return Finding(
            self._least if done else -np.inf,
            proved=done and not broken and self._task.claim.holds(self._least),
            point=self._seen.point if broken else None,
            least=self._seen.least,
            reason="" if broken else reason,
            subproblems=self._work,
        )


def _squares(features: Positions, columns: int, step: int) -> list[Positions]:
    """Positions of an image's features, by the squares of ``step`` times ``step`` pixels that they lie in."""
    square = (features // columns // step) * columns + features % columns // step
    return [np.flatnonzero(square == s) for s in np.unique(square)]
