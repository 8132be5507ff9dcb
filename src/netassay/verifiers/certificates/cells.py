"""Trees over the values of pixels that change for certain, grown until the checker's bounds over all leaves are good enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from netassay.checking.certificates.arithmetic import floats
from netassay.checking.certificates.pixels import Bools, PixelBounds, PixelPart
from netassay.checking.certificates.trees import INPUT
from netassay.verifiers.certificates.recorded import RecordedTrees
from netassay.verifiers.rounding import Array

FIRST_HALVINGS = 2
"""How often the values of one or two features are halved, in turn, before anything is bounded."""

BATCH = 64
"""Cells that are cut together."""

NARROW = 1e-9
"""Cells narrower than this share of the box are not cut further."""


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """A leaf: its node, its part, lower bounds (R,) of the rows, and how far each feature moves each row (R, d)."""

    node: int
    part: PixelPart
    lower: Array
    pull: Array


class CellTree:
    """A tree over the values of the forced pixels of a part in which nothing else changes.

    Args:
        bounds: The checker's bounds.
        part: The part.
        tree: Where splits are noted.
        node: The part's node.
    """

    def __init__(self, bounds: PixelBounds, part: PixelPart, tree: RecordedTrees, node: int = 0) -> None:
        self._bounds, self._tree = bounds, tree
        self._features = np.sort(np.concatenate([np.zeros(0, dtype=np.intp), *(bounds.pixels[p] for p in part.forced)]))
        self._width = floats(part.high - part.low)[self._features]
        first = [(node, part)]
        for i in range(FIRST_HALVINGS if len(self._features) in (1, 2) else 0):
            first = [child for n, p in first for child in self._halves(n, p, i % len(self._features))]
        self.cells = self._bounded(first)

    @property
    def least(self) -> Array:
        """(R,) lower bounds of the rows over all leaves."""
        return np.asarray(np.min([cell.lower for cell in self.cells], axis=0))

    def close(self, good: Callable[[Array], Bools], over: Callable[[], bool]) -> bool:
        """Cuts cells until their bounds (B, R) are good; whether that succeeds in time."""
        while True:
            held = good(np.stack([cell.lower for cell in self.cells]))
            open_ = np.flatnonzero(~held)
            if not len(open_):
                return True
            if over() or not self.cut(open_[:BATCH].tolist()):
                return False

    def cut(self, positions: Sequence[int]) -> bool:
        """Halves some cells; False, and nothing is cut, if one of them is too narrow."""
        axes = [self._axis(self.cells[i]) for i in positions]
        if any(axis is None for axis in axes):
            return False
        gone = set(positions)
        children = [
            child
            for i, axis in zip(positions, axes, strict=True)
            if axis is not None
            for child in self._halves(self.cells[i].node, self.cells[i].part, axis)
        ]
        self.cells = [cell for i, cell in enumerate(self.cells) if i not in gone] + self._bounded(children)
        return True

    def _axis(self, cell: _Cell) -> int | None:
        """The feature that moves most what does not hold; None where the cell is too narrow."""
        width = floats(cell.part.high - cell.part.low)[self._features]
        share = np.where(self._width > 0, width / np.where(self._width > 0, self._width, 1.0), 0.0)
        open_ = cell.lower <= 0
        pull = cell.pull[open_ if open_.any() else slice(None)].sum(axis=0)
        score = np.where(share > NARROW, np.where(np.isfinite(pull), pull, 0.0) * width, -1.0)
        score = np.where(share > NARROW, score + (1e-3 * score.max(initial=0.0) + 1e-300) * share, -1.0)
        return int(score.argmax()) if score.max(initial=-1.0) > 0 else None

    def _halves(self, node: int, part: PixelPart, axis: int) -> list[tuple[int, PixelPart]]:
        feature = int(self._features[axis])
        middle = float(part.low[feature] / 2 + part.high[feature] / 2)
        one = np.ones(1, dtype=np.intp)
        names = self._tree.split(one * node, one * INPUT, one * feature, np.array([middle]))
        return [(int(name[0]), side) for name, side in zip(names, part.halves(feature, middle), strict=True)]

    def _bounded(self, some: Sequence[tuple[int, PixelPart]]) -> list[_Cell]:
        found = self._bounds.by_forms([part for _, part in some])
        return [_Cell(node, part, found.lower[i], np.abs(found.forms[i, :, :-1])) for i, (node, part) in enumerate(some)]
