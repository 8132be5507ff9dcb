"""The proof for L0 balls of one change: every pixel's values are cut into cells, which are bounded side by side and halved until they hold.

Other than the proofs for more changes it needs no part of the network without interactions, and follows max pooling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.cells import NARROW, axes, halves
from netassay.verifiers.sparse.seen import Seen
from netassay.verifiers.sparse.window_forms import WindowForms

FIRST_CELLS = 4
"""Into how many cells a single feature's range is cut at first."""

BATCH = 256
"""Cells between two looks at the clock."""


@dataclass(slots=True, eq=False)
class _Cells:
    """B cells: which group moves, the ends (B, K) of its offsets, and a lower bound (B,) of s, -inf before it is known."""

    group: Positions
    low: Array
    high: Array
    lower: Array

    def __len__(self) -> int:
        return len(self.group)

    def take(self, some: Positions | slice) -> _Cells:
        return _Cells(self.group[some], self.low[some], self.high[some], self.lower[some])

    def join(self, other: _Cells) -> _Cells:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("group", "low", "high", "lower"))
        return _Cells(*(np.concatenate(pair) for pair in pairs))


class SinglePixels:
    """The proof for one ball of one change.

    Args:
        task: Its region is one L0 ball of radius 1.
    Raises:
        CapabilityError: If the network is no chain of layers over an image, or the claim has conditions of several forms.
    """

    def __init__(self, task: Task) -> None:
        (geometry,) = task.region.balls
        if int(geometry.radius) != 1 or any(len(part.rows) != 1 for part in task.claim.parts):
            raise CapabilityError("single pixels are followed in balls of one change, for conditions of one linear form each")
        self._task, self._forms = task, WindowForms(task.claim, geometry)
        self._center, self._size = self._forms.center_rows(), geometry.size
        self._ranges = [(self._forms.low[g], self._forms.high[g]) for g in self._forms.groups]
        self._seen, self._settled, self._work = Seen(task), float(self._center.min()), 0

    def run(self) -> Iterator[Finding]:
        """Findings after every batch of cells."""
        self._seen.look(np.zeros((1, self._size)))
        waiting, stuck = self._first(), False
        while len(waiting) and not self._seen.broken and not stuck:
            yield self._finding(waiting, "")
            if self._task.limits.over:
                yield self._finding(waiting, "time-out")
                return
            now, later = waiting.take(slice(BATCH)), waiting.take(slice(BATCH, None))
            open_, stuck = self._bounded(now)
            waiting = later.join(open_)
        yield self._finding(waiting, "rounding" if stuck and not self._seen.broken else "")

    def _first(self) -> _Cells:
        groups = np.arange(len(self._ranges), dtype=np.intp)
        if not len(groups):
            return _Cells(groups, np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0))
        low, high = (np.stack(side) for side in zip(*self._ranges, strict=True))
        pieces = FIRST_CELLS if low.shape[1] == 1 else 1
        ends = np.linspace(low, high, pieces + 1)
        ends[0], ends[-1] = low, high
        lower = np.full(pieces * len(groups), -np.inf)
        return _Cells(np.tile(groups, pieces), np.concatenate(ends[:-1]), np.concatenate(ends[1:]), lower)

    def _bounded(self, cells: _Cells) -> tuple[_Cells, bool]:
        """Halves of the cells that do not hold yet, and whether one of those is too narrow."""
        drops, _ = self._forms.drops(cells.group, cells.low, cells.high)
        self._work += len(cells)
        cells.lower = np.maximum(cells.lower, np.nextafter((self._center - drops.most).min(axis=1), -np.inf))
        holds = np.array([self._task.claim.holds(float(v)) for v in cells.lower])
        self._settled = min(self._settled, float(cells.lower[holds].min(initial=np.inf)))
        open_ = np.flatnonzero(~holds)
        if not len(open_):
            return cells.take(open_), False
        left, row = cells.take(open_), (drops.most - self._center)[open_].argmax(axis=1)
        self._try(left, drops.corner[open_, row])
        return self._halved(left, drops.forced[open_, row])

    def _try(self, cells: _Cells, corner: Array) -> None:
        offsets = np.zeros((len(cells), self._size))
        for i, group in enumerate(cells.group):
            offsets[i, self._forms.groups[group]] = corner[i]
        self._seen.look(offsets)

    def _halved(self, cells: _Cells, pull: Array) -> tuple[_Cells, bool]:
        """Along the feature that moves the worst row most."""
        whole = np.stack([high - low for low, high in (self._ranges[g] for g in cells.group)])
        wide = (cells.high - cells.low) / np.maximum(whole, 1e-300)
        if (wide.max(axis=1) <= NARROW).any():
            return cells, True
        low, high = halves(cells.low, cells.high, axes(wide, pull))
        return _Cells(np.tile(cells.group, 2), low, high, np.tile(cells.lower, 2)), False

    def _finding(self, waiting: _Cells, reason: str) -> Finding:
        lower = min(self._settled, float(waiting.lower.min(initial=np.inf)))
        broken = self._seen.broken
        return Finding(
            lower,
            proved=not len(waiting) and not broken and not reason and self._task.claim.holds(lower),
            point=self._seen.point if broken else None,
            least=self._seen.least,
            reason=reason,
            subproblems=self._work,
        )
