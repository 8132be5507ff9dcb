"""Certificates of L0 balls of two changes: the pairs are covered anew with the checker's own bounds.

A pixel is first paired with blocks of others at once, then with single ones, all over their whole ranges; what that leaves open is cut
into cells of both values, as small as need be.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import floats
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.pair_trees import LEAF, MOST, OTHER, OWN, TOGETHER, halves, root
from netassay.checking.certificates.pairs import Node, PairBounds
from netassay.checking.certificates.pixels import Bools, PixelBounds
from netassay.checking.certificates.single_changes import BASE, DEEPEST
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.region import Positions

HOME, BLOCK = 4, 16
"""Pixels that share a frame, and how many are paired with at once, at most; powers of 2."""

SPARE = 1e-9
"""Bounds have to hold with so much to spare, relative to the largest row at the centre: the checker bounds other leaves together, and sums
of the same numbers may differ in their last digits then."""


def prove_by_pairs(proof: CaseProof, bounds: PixelBounds) -> bool:
    """Writes the trees that prove a case over an L0 ball of two changes; whether that succeeds in time and within what the checker follows.

    Raises:
        DataError: If the checker does not follow pairs there.
    """
    record = _Search(proof, bounds).run()
    if record is None:
        return False
    proof.emit(record)
    proof.open.clear()
    return True


class _Search:
    def __init__(self, proof: CaseProof, bounds: PixelBounds) -> None:
        self._over, self._bounds = proof.over, bounds
        order = _by_squares(np.array([f[0] for f in bounds.pixels], dtype=np.intp), proof.whole.network.graph.input_shape)
        self._pairs = PairBounds(bounds, order, min(HOME, max(len(order), 1)))
        self._spare = SPARE * float(np.abs(floats(bounds.at_centre[1])).max(initial=0.0))
        self._kinds: dict[Node, int] = {}

    def run(self) -> Record | None:
        """The record that proves the case; None if that fails."""
        if not self._alone():
            return None
        homes, trees = defaultdict[int, list[int]](list), list[NDArray[np.uint8]]()
        for pixel in range(len(self._pairs.order) - 1):
            homes[self._pairs.home(pixel)].append(pixel)
        written = 0
        for pixels in homes.values():
            if not self._grow([root(self._pairs, pixel) for pixel in pixels]):
                return None
            trees += [self._written(pixel) for pixel in pixels]
            written += len(self._kinds)
            self._kinds.clear()
            if written > MOST:
                return None
        depth = np.array([self._pairs.singles[p].depth for p in range(len(self._pairs.order))], dtype=np.uint8)
        arrays: dict[str, NDArray[np.generic]] = {"order": self._pairs.order.astype(np.uint32), "depth": depth}
        arrays["tree"] = np.concatenate([np.zeros(0, dtype=np.uint8), *trees])
        return Record({"record": "pairs", "together": min(HOME, max(len(depth), 1))}, arrays)

    def _alone(self) -> bool:
        """Cuts pixels until the claim holds where one alone changes; whether that succeeds."""
        if not self._holds(floats(self._bounds.at_centre[0])[None])[0]:
            return False
        for pixel in self._pairs.order.tolist():
            if self._over():
                return False
            self._pairs.cut(pixel, BASE)
        while (open_ := self._pairs.alone(self._spare)) and not self._over():
            if any(not self._cut(pixel) for pixel in open_):
                return False
        return not open_

    def _cut(self, pixel: int) -> bool:
        """Twice as many cells of a pixel, if there may be."""
        depth = self._pairs.singles[pixel].depth
        if depth < DEEPEST:
            self._pairs.cut(pixel, depth + 1)
        return depth < DEEPEST

    def _holds(self, lower: NDArray[np.float64]) -> Bools:
        return self._bounds.holds(lower - self._spare)

    def _grow(self, waiting: list[Node]) -> bool:
        """Halves nodes of pixels that share a frame until all leaves hold; whether that succeeds."""
        blocks, waiting = waiting, []
        while blocks:
            node = blocks.pop()
            if 1 << node.level > BLOCK:
                blocks += self._split(node, OTHER)
            else:
                waiting.append(node)
        while waiting:
            if self._over():
                return False
            now, waiting = waiting[-TOGETHER:], waiting[:-TOGETHER]
            held = self._holds(floats(self._pairs.lower(now)))
            for node, done in zip(now, held.tolist(), strict=True):
                if done:
                    self._kinds[node] = LEAF
                    continue
                children = self._children(node)
                if not children:
                    return False
                waiting += children
        return True

    def _children(self, node: Node) -> list[Node]:
        """What a node that does not hold is divided into: single pixels, then quarters; none where cells are as small as they may be."""
        if node.level:
            found = [node]
            while found[0].level:
                found = [child for each in found for child in self._split(each, OTHER)]
            return found
        own, other = (int(self._pairs.order[p]) for p in (node.pixel, node.place))
        for pixel, depth in ((own, node.own[0]), (other, node.cells[0])):
            if depth >= self._pairs.singles[pixel].depth:
                self._cut(pixel)
        kinds = [k for k, p, depth in ((OWN, own, node.own[0]), (OTHER, other, node.cells[0])) if depth < self._pairs.singles[p].depth]
        found = [node]
        for kind in kinds:
            found = [child for each in found for child in self._split(each, kind)]
        return found if kinds else []

    def _split(self, node: Node, kind: int) -> list[Node]:
        self._kinds[node] = kind
        return halves(self._pairs, node, kind)

    def _written(self, pixel: int) -> NDArray[np.uint8]:
        """A tree in preorder."""
        found, waiting = list[int](), [root(self._pairs, pixel)]
        while waiting:
            node = waiting.pop()
            kind = self._kinds[node]
            found.append(kind)
            if kind != LEAF:
                waiting += reversed(halves(self._pairs, node, kind))
        return np.array(found, dtype=np.uint8)


def _by_squares(features: Positions, shape: tuple[int, ...]) -> Positions:
    """Pixels in an order in which aligned runs are squares of an image (Morton's), or as they come."""
    if len(shape) != 3:
        return np.arange(len(features))
    place = features % (shape[1] * shape[2])
    row, column = place // shape[2], place % shape[2]
    key = np.zeros(len(features), dtype=np.intp)
    for bit in range(max(shape[1], shape[2]).bit_length()):
        key |= ((row >> bit & 1) << 2 * bit + 1) | ((column >> bit & 1) << 2 * bit)
    return np.argsort(key, kind="stable")
