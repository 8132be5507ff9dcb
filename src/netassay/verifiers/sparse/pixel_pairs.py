"""The proof for L0 balls of two changes: what either pixel does alone, added up, and their interplay (``pair_bounds``).

A pixel is first paired with blocks of others at once, then with single ones, all over their whole ranges; what that leaves open is cut
into cells of both values, as small as need be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNIT, Array
from netassay.verifiers.sparse.pair_bounds import Chain, Home
from netassay.verifiers.sparse.pair_frames import Ranges, Tables
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.seen import Seen
from netassay.verifiers.sparse.single_spans import Floats, Single, single
from netassay.verifiers.sparse.window_forms import WindowForms

CELLS = 16
"""Into how many cells every feature's range is cut; a power of 2."""

MOST_CELLS = 128
"""Into how many at most, where it alone may cost more than half of a margin."""

BATCH = 128
"""Pairs bounded at once."""

PARTNERS = 24
"""So many partners of one feature are cut into cells together."""

HOME, BLOCK = 2, 4
"""Width of the squares of pixels that share a frame, and of those that are paired with at once."""


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Runs of cells of one feature: all, halves, quarters, ..., single cells.

    Args:
        single: The feature.
        ends: By depth and operator, ends (2**depth, m, o) of the gaps.
        most: By depth, the drops (2**depth, R).
    """

    single: Single
    ends: list[list[Ranges]]
    most: list[Array]

    @classmethod
    def of(cls, tables: Tables, one: Single) -> _Runs:
        ends, most = [tables.cells(one)], [one.most]
        while len(most[0]) > 1:
            ends.insert(0, [(np.minimum(low[::2], low[1::2]), np.maximum(high[::2], high[1::2])) for low, high in ends[0]])
            most.insert(0, np.maximum(most[0][::2], most[0][1::2]))
        return cls(one, ends, most)

    @property
    def depth(self) -> int:
        """Of the single cells."""
        return len(self.most) - 1


@dataclass(frozen=True, slots=True)
class _Node:
    """A pair's cells: which partner, and depth and position of a run of either feature."""

    partner: int
    own: tuple[int, int]
    its: tuple[int, int]

    def split(self, own: int, its: int) -> list[_Node]:
        """Its quarters, or halves where one run is as deep as that."""
        return [_Node(self.partner, one, other) for one in _halves(self.own, own) for other in _halves(self.its, its)]


def _halves(run: tuple[int, int], most: int) -> list[tuple[int, int]]:
    depth, at = run
    return [run] if depth == most else [(depth + 1, 2 * at), (depth + 1, 2 * at + 1)]


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
        self._values = [o.value for o in self._chain.operators]
        self._singles: list[Single] = []
        self._wholes: list[tuple[Floats, Floats]] = []
        self._whole_most = np.zeros((0, len(self._center)))

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
        held = 8 * len(self._features) * sum(o.size for o in self._chain.operators)  # of self._wholes
        for group in range(len(self._features)):
            if self._task.limits.over:
                yield "time-out"
            cells = CELLS
            found = single(self._forms, group, self._values, cells)
            while cells < MOST_CELLS and (2 * found.most > self._center).any():
                cells *= 2
                found = single(self._forms, group, self._values, cells)
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
        for k, operator in enumerate(self._chain.operators):
            low, high = (np.zeros((len(self._singles), operator.size), dtype=np.float32) for _ in range(2))
            for g, one in enumerate(self._singles):
                low[g, one.units[k]], high[g, one.units[k]] = one.low[k].min(axis=0), one.high[k].max(axis=0)
            self._wholes.append((low, high))
        self._whole_most = np.stack([one.most.max(axis=0) for one in self._singles])

    def _pair(self) -> Iterator[str]:
        """All pairs, home by home."""
        columns = self._task.claim.graph.input_shape[2]
        blocks = _squares(self._features, columns, BLOCK)
        for members in _squares(self._features, columns, HOME):
            home = Home.of(self._chain, [self._singles[i] for i in members])
            tables = Tables(home.frames, self._wholes, blocks)
            for i in members:
                yield from self._partners(home, tables, int(i), blocks)

    def _partners(self, home: Home, tables: Tables, i: int, blocks: list[Positions]) -> Iterator[str]:
        """All pairs of one feature with those behind it."""
        later = [b for b, block in enumerate(blocks) if (block > i).any()]
        if not later:
            return
        most = np.stack([self._whole_most[blocks[b]].max(axis=0) for b in later])
        own = [(low[i], high[i]) for low, high in tables.wholes]
        open_ = self._open(home, own, self._whole_most[i], [(low[later], high[later]) for low, high in tables.blocks], most)
        yield "time-out" if self._task.limits.over else ""
        rest = np.concatenate([np.zeros(0, dtype=np.intp), *(blocks[later[b]] for b in open_)])
        rest = rest[rest > i]
        open_ = self._open(home, own, self._whole_most[i], [(low[rest], high[rest]) for low, high in tables.wholes], self._whole_most[rest])
        rest = rest[open_]
        for begin in range(0, len(rest), PARTNERS):
            yield from self._cells(home, tables, i, rest[begin : begin + PARTNERS])

    def _open(self, home: Home, own: list[Ranges], most: Array, others: list[Ranges], theirs: Array) -> Positions:
        """Which of some partners are not proved, one feature's ends (m, o) being the same for all."""
        found = []
        for begin in range(0, len(theirs), BATCH):
            some = slice(begin, begin + BATCH)
            its = [(low[some], high[some]) for low, high in others]
            mine = [tuple(np.broadcast_to(side, low.shape) for side in sides) for sides, (low, _) in zip(own, its, strict=True)]
            found.append(self._proved(home, mine, most, its, theirs[some]))  # type: ignore[arg-type]
        return np.flatnonzero(~np.concatenate([np.zeros(0, dtype=np.bool_), *found]))

    def _cells(self, home: Home, tables: Tables, i: int, partners: Positions) -> Iterator[str]:
        """Cells of one feature and of some partners, halved until they hold."""
        own, its = _Runs.of(tables, self._singles[i]), [_Runs.of(tables, self._singles[j]) for j in partners]
        waiting = [child for p, runs in enumerate(its) for child in _Node(p, (0, 0), (0, 0)).split(own.depth, runs.depth)]
        while waiting:
            now, waiting = waiting[-BATCH:], waiting[:-BATCH]
            one = _gathered([(own, *n.own) for n in now])
            two = _gathered([(its[n.partner], *n.its) for n in now])
            open_ = [now[p] for p in np.flatnonzero(~self._proved(home, *one, *two))]
            stuck = [n for n in open_ if n.own[0] == own.depth and n.its[0] == its[n.partner].depth]
            if stuck:
                self._look(i, partners, own, its, stuck)
                if self._seen.broken:
                    yield ""
                finer = (
                    self._finer(tables, i, own),
                    {n.partner: self._finer(tables, int(partners[n.partner]), its[n.partner]) for n in stuck},
                )
                if any(finer[0] is own and finer[1][n.partner] is its[n.partner] for n in stuck):
                    yield "incomplete"
                own = finer[0]
                for p, runs in finer[1].items():
                    its[p] = runs
            waiting += [child for n in open_ for child in n.split(own.depth, its[n.partner].depth)]
            yield "time-out" if self._task.limits.over else ""

    def _finer(self, tables: Tables, group: int, runs: _Runs) -> _Runs:
        """Twice as many cells of a feature, if there may be."""
        if len(runs.single) >= MOST_CELLS:
            return runs
        if len(self._singles[group]) == len(runs.single):
            self._work += 2 * len(runs.single)
            self._singles[group] = single(self._forms, group, self._values, 2 * len(runs.single))
        return _Runs.of(tables, self._singles[group])

    def _proved(self, home: Home, one: list[Ranges], most: Array, other: list[Ranges], theirs: Array) -> Bools:
        """(P,) whether the claim holds for every input of each pair of ranges."""
        self._work += len(theirs)
        interplay = home.interplay(one, other)
        lower = self._center - most - theirs + interplay
        lower = lower - 8 * UNIT * (np.abs(self._center) + np.abs(most) + np.abs(theirs) + np.abs(interplay))
        holds = self._holds(lower)
        self._least = min(self._least, float(lower[holds].min(initial=np.inf)))
        return holds

    def _holds(self, lower: Array) -> Bools:
        """(P,) whether all rows (P, R) hold."""
        least = np.where(np.isnan(lower), -np.inf, lower).min(axis=1)
        return np.array([self._task.claim.holds(float(v)) for v in least], dtype=np.bool_)

    def _look(self, i: int, partners: Positions, own: _Runs, its: list[_Runs], stuck: list[_Node]) -> None:
        """Evaluates the corners of cells that cannot be split further."""
        offsets = np.zeros((4 * len(stuck), self._size))
        for at, node in enumerate(stuck):
            for corner in range(4):
                offsets[4 * at + corner, self._features[i]] = own.single.ends[node.own[1] + corner // 2]
                offsets[4 * at + corner, self._features[partners[node.partner]]] = its[node.partner].single.ends[node.its[1] + corner % 2]
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


def _gathered(runs: list[tuple[_Runs, int, int]]) -> tuple[list[Ranges], Array]:
    """By operator, ends (P, m, o), and drops (P, R), of one run of each."""
    ends = []
    for k in range(len(runs[0][0].ends[0])):
        low, high = (np.stack([run.ends[depth][k][side][at] for run, depth, at in runs]) for side in (0, 1))
        ends.append((low, high))
    return ends, np.stack([run.most[depth][at] for run, depth, at in runs])


def _squares(features: Positions, columns: int, step: int) -> list[Positions]:
    """Positions of an image's features, by the squares of ``step`` times ``step`` pixels that they lie in."""
    square = (features // columns // step) * columns + features % columns // step
    return [np.flatnonzero(square == s) for s in np.unique(square)]
