"""Trees over a region whose ranges are computed anew in every part: what proofs that split the inputs need.

Every node is bounded. Where its part of the claim holds it is done; else it is cut down to where the linear forms below the rows, those of
what is known there, and a weighted sum of them all as the certificate chooses it, may be nonpositive, and split as the tree says. A part
that no split of the tree is left for, and that does not hold, ends the check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.bounds import Parts, Range
from netassay.checking.certificates.combining import Forms, Weights, combined, ordered
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pushing import Bound
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.trees import INPUT, LEAF, Forest

BATCH = 1024
"""Boxes bounded together, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Parts that wait, each at a node of the tree.

    Args:
        node: (B,).
        low, high: (B, n).
        known: Ranges (B, m) of the values that nonlinear operators read.
    """

    node: Positions
    low: Array
    high: Array
    known: dict[int, Range]

    def __len__(self) -> int:
        return len(self.node)

    def take(self, positions: Positions) -> Boxes:
        known = {v: (low[positions], high[positions]) for v, (low, high) in self.known.items()}
        return Boxes(self.node[positions], self.low[positions], self.high[positions], known)

    def join(self, other: Boxes) -> Boxes:
        known = {v: (_stacked(low, other.known[v][0]), _stacked(high, other.known[v][1])) for v, (low, high) in self.known.items()}
        return Boxes(np.concatenate([self.node, other.node]), _stacked(self.low, other.low), _stacked(self.high, other.high), known)


def _stacked(one: Array, other: Array) -> Array:
    return np.concatenate([one, other])


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What bounding some boxes has shown.

    Args:
        left: What does not hold yet, cut down.
        index: (L,) which of the boxes it comes from.
        parts: All that were bounded.
        bound: The rows' bounds, box by box.
    """

    left: Boxes
    index: Positions
    parts: Parts
    bound: Bound


Weigh = Callable[[Boxes, Forms, Positions], NDArray[np.float64]]
"""Gives forms of boxes, each the so many-th of its box, weights: those that the certificate chooses."""


class BoxProof:
    """One part of a claim: in every box, one of the rows has to be positive.

    Args:
        network, region: What the claim is about.
        rows, constant: (r, m) and (r,): the rows ``<row, y> + constant`` of the network's output.
        strict: Whether 0 is not enough.
    """

    def __init__(self, network: CheckedNetwork, region: Region, rows: Array, constant: Array, *, strict: bool) -> None:
        self.network, self.region, self.strict = network, region, strict
        self.rows, self.constant = network.arithmetic.array(rows), network.arithmetic.array(constant)

    def root(self) -> Boxes:
        """The whole region, at node 0."""
        a = self.network.arithmetic
        low, high = a.array(self.region.lower)[None], a.array(self.region.upper)[None]
        return Boxes(np.zeros(1, dtype=np.intp), low, high, {})

    def examine(self, boxes: Boxes, weigh: Weigh) -> Examined:
        """Bounds boxes and leaves out what holds."""
        a = self.network.arithmetic
        parts = Parts(self.network, self.region, boxes.low, boxes.high, boxes.known)
        count, r = len(boxes), len(self.rows)
        owner = np.repeat(np.arange(count), r)
        bound = parts.minimum(self.network.output, np.tile(self.rows, (count, 1)), owner, np.tile(self.constant, count))
        best = bound.lower.reshape(count, r).max(axis=1)
        done = parts.empty | (best > 0 if self.strict else best >= 0)
        forms = [(owner, bound.form, bound.offset), *parts.facts]
        low, high, empty = cut_down(a, boxes.low, boxes.high, forms)
        together, place = ordered(forms, ~(done | empty))
        sums = combined(a, low, high, together, weigh(Boxes(boxes.node, low, high, {}), together, place))
        low, high, emptied = cut_down(a, low, high, [sums])
        left = np.flatnonzero(~(done | empty | emptied))
        known = {v: (parts.ranges[v][0][left], parts.ranges[v][1][left]) for v in self.network.relaxed}
        return Examined(Boxes(boxes.node[left], low[left], high[left], known), left, parts, bound)

    def split(self, boxes: Boxes, value: Positions, index: Positions, threshold: Array, children: tuple[Positions, Positions]) -> Boxes:
        """Both sides of each box's split, but for those that are empty."""
        return halves(boxes, value, index, threshold, children)

    def check(self, tree: Forest, weights: Weights, told: Callable[[int], None] | None = None) -> tuple[bool, int]:
        """Whether the tree proves the part, and the node where it fails otherwise (or how many nodes there were).

        Args:
            tree: A single tree.
            weights: Of the forms at its nodes.
            told: Called with the number of boxes bounded so far.
        """
        waiting, bounded = [self.root()], 0
        while waiting:
            now = next_batch(waiting)
            left = self.examine(now, lambda boxes, forms, place: weights.of(boxes.node[forms[0]], place)).left
            bounded += len(now)
            if told is not None:
                told(bounded)
            failed = np.flatnonzero(tree.value[left.node] == LEAF)
            if len(failed):
                return False, int(left.node[failed].min())
            if len(left):
                n = left.node
                value, index = tree.value[n].astype(np.intp), tree.index[n].astype(np.intp)
                threshold = self.network.arithmetic.array(tree.threshold[n])
                waiting.append(self.split(left, value, index, threshold, (n + 1, tree.other[n])))
        return True, bounded


def halves(boxes: Boxes, value: Positions, index: Positions, threshold: Array, children: tuple[Positions, Positions]) -> Boxes:
    """Both sides of each box's split, but for those that are empty."""
    made = []
    for side, node in enumerate(children):
        low, high, known = boxes.low.copy(), boxes.high.copy(), dict(boxes.known)
        _cut(low, high, side, np.flatnonzero(value == INPUT), index, threshold)
        for v in np.unique(value[value != INPUT]).tolist():
            known[v] = known[v][0].copy(), known[v][1].copy()
            _cut(*known[v], side, np.flatnonzero(value == v), index, threshold)
        made.append(Boxes(node, low, high, known).take(np.flatnonzero(~(low > high).any(axis=1))))
    return made[0].join(made[1])


def next_batch(waiting: list[Boxes]) -> Boxes:
    """Takes out the boxes that came last, up to a batch of them."""
    now = waiting.pop()
    while waiting and len(now) < BATCH:
        now = now.join(waiting.pop())
    if len(now) > BATCH:
        waiting.append(now.take(np.arange(BATCH, len(now))))
        now = now.take(np.arange(BATCH))
    return now


def _cut(low: Array, high: Array, side: int, rows: Positions, index: Positions, threshold: Array) -> None:
    """At most the threshold on side 0, at least on side 1."""
    at = rows, index[rows]
    if side == 0:
        high[at] = np.minimum(high[at], threshold[rows])
    else:
        low[at] = np.maximum(low[at], threshold[rows])


def cut_down(a: Arithmetic, low: Array, high: Array, forms: list[Forms]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The boxes without what lies where a form of theirs is positive, feature by feature.

    Args:
        a: The arithmetic.
        low, high: (B, n).
        forms: Owners (F,), rows (F, n), offsets (F,).
    Returns:
        The corners, and (B,) which boxes are empty now.
    """
    low, high = low.copy(), high.copy()
    empty = np.zeros(len(low), dtype=np.bool_)
    before = low.copy(), high.copy()
    for owner, rows, offset in forms:
        with np.errstate(all="ignore"):
            least = np.where(rows > 0, rows * before[0][owner], rows * before[1][owner])
            size = (np.abs(rows) * np.maximum(np.abs(before[0]), np.abs(before[1]))[owner]).sum(axis=1) + np.abs(offset)
            total = least.sum(axis=1) + offset - (4 * a.gamma(rows.shape[1]) * size + a.tiny)
            usable = a.known(total)
            empty[owner[usable & (total > 0)]] = True
            room = np.where(usable, least.T - total, 0).T
            floor, ceiling = a.outward(room, np.where(rows == 0, 1, rows))
            rises, falls = ((rows > 0).T & usable).T & a.known(ceiling), ((rows < 0).T & usable).T & a.known(floor)
        np.minimum.at(high, owner, np.where(rises, ceiling, np.inf))
        np.maximum.at(low, owner, np.where(falls, floor, -np.inf))
    return low, high, empty | (low > high).any(axis=1)
