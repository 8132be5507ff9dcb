"""Certificates by splitting the inputs: the tree is grown with the checker's own bounds, so what is written down is what it will accept.

Where to split is a matter of taste, not of soundness: for chains of dense layers and ReLUs it is where the relaxation loses most (an input
or the sign of a neuron, as in ``chain_step``), for other graphs the feature that moves the rows' forms most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.boxes import Boxes, BoxProof, Examined, next_batch
from netassay.checking.certificates.trees import INPUT
from netassay.verifiers.branch_and_bound.boxes import divisible
from netassay.verifiers.certificates.recorded import RecordedTrees
from netassay.verifiers.propagation.chain import Chain, ChainBounds, chain_of
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array

FEW = 15
"""A neuron is split only in boxes with at most so many of unknown sign."""

Splits = tuple[Positions, Positions, Array]
"""For each box the value that is split, which number of it, and where."""


class Chooser(Protocol):
    """Says where boxes are split."""

    def __call__(self, found: Examined) -> Splits: ...


def grown_tree(proof: BoxProof, choose: Chooser, over: Callable[[], bool], most: int) -> RecordedTrees | None:
    """A tree that proves the part; None when time is over, the tree too large, or float64 can split no further.

    Args:
        proof: What is to be proved.
        choose: Where to split.
        over: Whether to give up.
        most: Nodes of the tree, at most.
    """
    tree = RecordedTrees()
    waiting = [proof.root()]
    while waiting:
        now = next_batch(waiting)
        found = proof.examine(now)
        if not len(found.left):
            continue
        if over() or tree.nodes > most:
            return None
        value, index, threshold = choose(found)
        if not _smaller(found.left, value, index, threshold).all():
            return None
        children = tree.split(found.left.node, value, index, threshold)
        waiting.append(proof.split(found.left, value, index, threshold, children))
    return tree


def _smaller(boxes: Boxes, value: Positions, index: Positions, threshold: Array) -> NDArray[np.bool_]:
    """Whether both sides of each split are smaller than the whole."""
    rows = np.arange(len(boxes))
    found = np.ones(len(boxes), dtype=np.bool_)
    for v in np.unique(value):
        mine = rows[value == v]
        low, high = (boxes.low, boxes.high) if v == INPUT else boxes.known[int(v)]
        at = mine, index[mine]
        found[mine] = (low[at] < threshold[mine]) & (threshold[mine] < high[at])
    return found


class ByForms:
    """Halves along the feature that moves the rows' forms most, or the widest where none does."""

    def __call__(self, found: Examined) -> Splits:
        boxes = found.left
        widths = (boxes.high - boxes.low) * divisible(boxes.low, boxes.high)
        score = found.pull * widths
        score = np.where(np.isfinite(score), score, widths)
        score = np.where(score.max(axis=1, initial=0.0, keepdims=True) > 0, score, widths)
        axis = np.asarray(score.argmax(axis=1))
        return np.zeros(len(boxes), dtype=np.intp), axis, _middle(boxes, axis)


class ByLosses:
    """For chains: halves along the feature, or splits the sign of the neuron, on which most of the relaxation's loss hangs.

    Args:
        chain: The network.
        proof: What is to be proved.
    """

    def __init__(self, chain: Chain, proof: BoxProof) -> None:
        self._chain, self._proof = chain, proof
        self._values = sorted(proof.network.relaxed)

    def __call__(self, found: Examined) -> Splits:
        boxes = found.left
        count = len(boxes)
        rows = np.broadcast_to(self._proof.rows, (count, *self._proof.rows.shape))
        constants = np.broadcast_to(self._proof.constant, (count, len(self._proof.constant)))
        bounds = ChainBounds(self._chain, boxes.low, boxes.high, rows, constants, tuple(boxes.known[v] for v in self._values))
        losses = bounds.losses()
        effects = bounds.effects(losses)
        widths = (boxes.high - boxes.low) * divisible(boxes.low, boxes.high)
        effects = np.where(np.isfinite(effects), effects, 0.0) * (widths > 0)
        moved = np.abs(bounds.forms[:, :, :-1]).max(axis=1) * widths
        score = np.where(effects.max(axis=1, keepdims=True) > 0, effects, np.where(np.isfinite(moved), moved, widths))
        score = np.where(score.max(axis=1, keepdims=True) > 0, score, widths)
        value, index = np.zeros(count, dtype=np.intp), np.asarray(score.argmax(axis=1), dtype=np.intp)
        threshold = _middle(boxes, index)
        self._by_sign(boxes, bounds, losses, effects.max(axis=1), (value, index, threshold))
        return value, index, threshold

    def _by_sign(self, boxes: Boxes, bounds: ChainBounds, losses: list[Array], effect: Array, splits: Splits) -> None:
        """Puts the sign of a neuron where that takes off more; only neurons that the checker's ranges leave undecided."""
        value, index, threshold = splits
        most = np.zeros(len(boxes))
        for v, loss in zip(self._values, losses, strict=True):
            low, high = boxes.known[v]
            open_ = np.where((low < 0) & (high > 0) & np.isfinite(loss), loss, 0.0)
            best = open_.argmax(axis=1)
            loss_of_best = open_[np.arange(len(boxes)), best]
            better = np.flatnonzero((loss_of_best > effect) & (loss_of_best > most) & (bounds.undecided <= FEW))
            value[better], index[better], threshold[better] = v, best[better], 0.0
            most[better] = loss_of_best[better]


def _middle(boxes: Boxes, axis: Positions) -> Array:
    rows = np.arange(len(boxes))
    return np.asarray(boxes.low[rows, axis] / 2 + boxes.high[rows, axis] / 2)


def chooser(proof: BoxProof) -> Chooser:
    """How boxes of this network are best split."""
    chain = chain_of(bounded_graph(proof.network.graph)) if proof.region.ball is None else None
    if chain is None or len(chain.hidden) != len(proof.network.relaxed):
        return ByForms()
    return ByLosses(chain, proof)
