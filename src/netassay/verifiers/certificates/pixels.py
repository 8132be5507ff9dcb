"""Certificates of L0 balls: trees over pixels and their values, grown with the checker's own bounds.

Each pixel alone comes first, cut into cells; that proves a ball of one change. For more changes, pixels that share no number of a
nonlinear operator add up: sets of pixels are split until what is left is one more change that meets none of the others. Where most pixels
meet, parts of the ball are bounded by linear forms over all of their sets at once, and split by the pixel that the forms gain most from;
two changes of many pixels are followed pair by pair (``pairs``).
"""

from __future__ import annotations

import numpy as np

from netassay.checking.certificates.arithmetic import floats
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.pixel_trees import AMONG, BY_SUMS, PIXEL, tree_of
from netassay.checking.certificates.pixels import Bools, PixelBounds, PixelPart
from netassay.checking.certificates.records import tree_arrays
from netassay.checking.certificates.trees import LEAF, Arrays
from netassay.errors import DataError
from netassay.verifiers.certificates.cells import CellTree
from netassay.verifiers.certificates.pairs import prove_by_pairs
from netassay.verifiers.certificates.recorded import RecordedTrees, joined
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.region import Positions

MANY_MEET = 0.5
"""Where more of all pairs of pixels meet, sums are not tried."""

FEW = 64
"""So many pixels or fewer are left to linear forms, whose trees may be checked in rational arithmetic too."""

MOST_CELLS = 256
"""Cells of a pixel of which sums are to be raised, at most."""

NODES = 1_000_000
"""Nodes of the tree over a ball, at most."""


def prove_by_pixels(proof: CaseProof) -> bool:
    """Writes the trees that prove a case over an L0 ball; whether that succeeds in time and within what the checker follows."""
    bounds = PixelBounds(proof.whole.network, proof.case, strict=proof.strict)
    try:
        if bounds.changes == 2 and len(bounds.pixels) > FEW and _many_meet(bounds) and prove_by_pairs(proof, bounds):
            return True
        if proof.over():
            return False
    except DataError:
        pass  # no network of which pairs are followed
    try:
        records = _Search(proof, bounds).run()
    except DataError:
        return False
    for record in records:
        proof.emit(record)
    if records:
        proof.open.clear()
    return bool(records)


def _many_meet(bounds: PixelBounds) -> bool:
    """Whether sums are not tried, or cannot be."""
    try:
        return bool(bounds.meets.mean() > MANY_MEET)
    except DataError:
        return True


class _Search:
    def __init__(self, proof: CaseProof, bounds: PixelBounds) -> None:
        self._over, self._bounds = proof.over, bounds
        self._whole = self._bounds.whole
        self._alone: list[tuple[CellTree, RecordedTrees]] = []
        self._sums = self._whole.count == 1
        self._tree, self._rules = RecordedTrees(), dict[int, int]()

    def run(self) -> list[Record]:
        """The records that prove the case; none if that fails."""
        bounds, found = self._bounds, list[Record]()
        if self._whole.count:
            if not self._singles():
                return []
            if self._whole.count > 1 and bounds.meets.mean() <= MANY_MEET:
                self._sums = True
                self._raise_sums()
            found.append(self._record("alone", joined([tree.arrays() for _, tree in self._alone])))
        if not self._grow():
            return []
        found.append(self._record("pixels", self._arrays()))
        return found

    def _record(self, kind: str, arrays: Arrays) -> Record:
        """A record that the checker reads, or DataError."""
        tree_of(arrays, self._bounds)
        return Record({"record": kind}, tree_arrays(arrays))

    def _arrays(self) -> Arrays:
        value, index, threshold = self._tree.arrays()
        index[value == LEAF] = [self._rules.get(node, 0) for node in self._tree.leaves()]
        return value, index, threshold

    # -- one pixel ----------------------------------------------------------------------------------------------------------------

    def _singles(self) -> bool:
        """Cells of every pixel until each holds alone; whether that succeeds."""
        bounds = self._bounds
        for pixel in range(len(bounds.pixels)):
            tree = RecordedTrees()
            cells = CellTree(bounds, bounds.single(pixel), tree)
            if not cells.close(bounds.holds, self._over):
                return False
            self._alone.append((cells, tree))
            bounds.alone[pixel] = cells.least
        return True

    def _raise_sums(self) -> None:
        """Cuts cells further where pairs of pixels that do not meet do not hold by their sums, as long as that helps."""
        bounds = self._bounds
        stuck = np.zeros(len(bounds.pixels), dtype=np.bool_)
        while not self._over():
            failing, row = self._failing(stuck)
            pixels = np.flatnonzero(failing)
            if not len(pixels):
                return
            for pixel in pixels.tolist():
                cells, _ = self._alone[pixel]
                worst = int(np.argmin([cell.lower[row[pixel]] for cell in cells.cells]))
                before = bounds.alone[pixel, row[pixel]]
                stuck[pixel] = not cells.cut([worst])
                bounds.alone[pixel] = np.maximum(bounds.alone[pixel], cells.least)
                stuck[pixel] |= len(cells.cells) > MOST_CELLS or (len(cells.cells) > 16 and not bounds.alone[pixel, row[pixel]] > before)

    def _failing(self, stuck: Bools) -> tuple[Bools, Positions]:
        """Which pixels are part of a pair that does not hold by its sum, and the row (of a part that fails) that is to be raised."""
        bounds, count = self._bounds, len(self._bounds.pixels)
        fails, rows = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.intp)
        most = bounds.at_centre[1]
        for pixel in range(count):
            others = np.flatnonzero(~bounds.meets[pixel] & (np.arange(count) != pixel))
            lower = bounds.alone[others] + bounds.alone[pixel] - most
            failed = np.flatnonzero(~bounds.holds(lower)) if len(others) else others
            if len(failed):
                fails[pixel], rows[pixel] = True, int(floats(lower[failed].min(axis=0)).argmin())
        return np.asarray(fails & ~stuck), rows

    # -- the ball -----------------------------------------------------------------------------------------------------------------

    def _grow(self) -> bool:
        waiting: list[tuple[int, PixelPart, tuple[int, ...]]] = [(0, self._whole, ())]
        while waiting:
            if self._over() or self._tree.nodes > NODES:
                return False
            node, part, planned = waiting.pop()
            if part.count == 0:
                if not CellTree(self._bounds, part, self._tree, node).close(self._bounds.holds, self._over):
                    return False
                continue
            kind = AMONG if self._sums and part.count == 1 else PIXEL
            if not planned:
                planned = self._by_sums(node, part) if self._sums else self._by_gains(part)
            if planned:
                one, pixel = np.ones(1, dtype=np.intp), planned[0]
                (first,), (second,) = self._tree.split(one * node, one * kind, one * pixel, np.zeros(1))
                sides = part.sides(pixel) if kind == PIXEL else part.among(pixel)
                waiting += [(int(first), sides[0], ()), (int(second), sides[1], planned[1:])]
        return True

    def _by_sums(self, node: int, part: PixelPart) -> tuple[int, ...]:
        """The pixel that a part is split by; none where it holds."""
        allowed = np.flatnonzero(part.allowed)
        if part.count > 1:
            return (int(allowed[floats(self._bounds.alone[allowed].min(axis=1)).argmin()]),)
        near = np.zeros(len(allowed), dtype=np.bool_)
        if part.forced:
            near = np.asarray(self._bounds.meets[list(part.forced)][:, allowed].any(axis=0))
        if not near.any():
            near = ~self._bounds.by_sums(part)
            if not near.any():
                self._rules[node] = BY_SUMS
                return ()
        if not near.all():
            ends = np.flatnonzero(near[1:] != near[:-1])
            return (int(allowed[ends[np.abs(ends - len(near) // 2).argmin()]]),)
        return (int(allowed[(len(allowed) - 1) // 2]),)

    def _by_gains(self, part: PixelPart) -> tuple[int, ...]:
        """Pixels by which a part is split in turn, half of those without which its forms might do; none where it holds."""
        allowed, found = np.flatnonzero(part.allowed), self._bounds.by_forms([part])
        if self._bounds.holds(found.lower)[0]:
            return ()
        features = np.sort(np.concatenate([self._bounds.pixels[p] for p in (*part.forced, *allowed)]))
        slopes = np.zeros((len(found.forms[0]), len(self._bounds.pixel_of)))
        slopes[:, features] = np.nan_to_num(found.forms[0, :, :-1])
        open_ = found.lower[0] <= max(0.0, float(found.lower[0].min()))
        slopes, lower = slopes[open_], found.lower[0][open_]
        gains = slopes * self._bounds.center - np.minimum(slopes * part.low, slopes * part.high)
        gain = np.stack([gains[:, self._bounds.pixels[p]].sum(axis=1) for p in allowed], axis=1)
        without = lower + np.sort(gain, axis=1)[:, -part.count :].sum(axis=1)
        excess = (gain - without[:, None] / part.count).max(axis=0)
        wanted = 1 if part.count > 1 else max(1, (int((excess >= 0).sum()) + 1) // 2)
        return tuple(allowed[np.argsort(-excess, kind="stable")[:wanted]].tolist())
