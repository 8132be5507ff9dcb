"""The proof for L0 balls of two changes: what either pixel does alone, added up, and their interplay (``pair_bounds``).

Squares of pixels are paired with each other first, then single ones, all over their whole ranges; what that leaves open is cut into cells
of both values, as small as need be. Where a pair has no interplay, no part of it has: each step looks at fewer numbers than the last one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.pair_bounds import Chain
from netassay.verifiers.sparse.pair_cells import Given, SquareProof, rows_hold
from netassay.verifiers.sparse.pair_frames import Sides
from netassay.verifiers.sparse.seen import Seen
from netassay.verifiers.sparse.single_spans import Single
from netassay.verifiers.sparse.window_forms import WindowForms
from netassay.verifiers.threads import in_threads

CELLS = 16
"""Into how many cells every feature's range is cut; a power of 2."""

MOST_CELLS = 128
"""Into how many at most, where it alone may cost more than half of a margin."""

AT_ONCE = 4
"""Features bounded together."""

HOME, BLOCK = 2, 4
"""Width of the squares of pixels that share a frame, and of those that they are paired with first."""


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
        self._singles: dict[int, Single] = {}

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
        groups = range(len(self._features))
        for result in in_threads(self._alone, [groups[at : at + AT_ONCE] for at in range(0, len(groups), AT_ONCE)]):
            yield self._time()
            for group, found in (result or {}).items():
                self._singles[group] = found
                self._work += len(found.cells)
                held += found.cells.bytes
                if held > self._task.limits.memory:
                    yield "memory"
                alone = np.nextafter(self._center - found.cells.most, -np.inf)
                self._least = min(self._least, float(alone.min()))
                if not rows_hold(self._task.claim, alone).all():
                    self._look_alone(group, found.ends)
                    yield "" if self._seen.broken else "incomplete"

    def _alone(self, groups: range) -> dict[int, Single]:
        """What some features do by themselves."""
        found: dict[int, Single] = {}
        count, left = CELLS, list(groups)
        while left:
            found |= dict(zip(left, Single.of(self._forms, left, self._chain.operators, count), strict=True))
            left = [g for g in left if (2 * found[g].cells.most > self._center).any() and count < MOST_CELLS]
            count *= 2
        return found

    def _pair(self) -> Iterator[str]:
        """All pairs, square by square."""
        columns = self._task.claim.graph.input_shape[2]
        alone = [self._singles[group] for group in range(len(self._features))]
        singles = Sides.of([one.cells for one in alone], [o.others.size for o in self._chain.operators])
        squares, blocks = (_squares(self._features, columns, width) for width in (HOME, BLOCK))
        sides = singles, singles.together(squares), singles.together(blocks)
        parts = squares, blocks, [[s for s, square in enumerate(squares) if np.isin(square, block).any()] for block in blocks]
        given = Given(self._task, self._forms, self._chain, self._features, self._center, alone, *sides, *parts, self._seen)
        try:
            for proof in in_threads(lambda at: SquareProof(given, at).run(), range(len(squares))):
                if proof is not None:
                    self._work, self._least = self._work + proof.work, min(self._least, proof.least)
                yield self._time() if proof is None else proof.reason
        finally:
            given.stop.set()

    def _time(self) -> str:
        return "time-out" if self._task.limits.over else ""

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
