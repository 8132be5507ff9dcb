"""Certificates by splitting the inputs: the tree is grown with the checker's own bounds, so what is written down is what it will accept.

Where to split is a matter of taste, not of soundness: for chains of affine operators and ReLUs it is where the relaxation loses most (an
input or the sign of a neuron, as in ``chain_step``), for other graphs the feature that moves the rows' forms most.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.boxes import Boxes, BoxProof, Examined, Weigh, next_batch
from netassay.checking.certificates.trees import INPUT
from netassay.verifiers.branch_and_bound.boxes import divisible
from netassay.verifiers.certificates.recorded import RecordedTrees
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array

FEW = 15
"""A neuron is split only in boxes with at most so many of unknown sign."""

Splits = tuple[Positions, Positions, Array]
"""For each box the value that is split, which number of it, and where."""


class Chooser(Protocol):
    """Says where boxes are split."""

    def __call__(self, found: Examined) -> Splits: ...


def grown_tree(proof: BoxProof, choose: Chooser, weigh: Weigh, over: Callable[[], bool], most: int) -> RecordedTrees | None:
    """A tree that proves the part; None when time is over, the tree too large, or float64 can split no further.

    Args:
        proof: What is to be proved.
        choose: Where to split.
        weigh: Weights of the forms at each node.
        over: Whether to give up.
        most: Nodes of the tree, at most.
    """
    tree = RecordedTrees()
    waiting = [proof.root()]
    while waiting:
        now = next_batch(waiting)
        found = proof.examine(now, weigh)
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
        score = np.abs(found.bound.form).reshape(len(found.parts), -1, widths.shape[1])[found.index].sum(axis=1) * widths
        score = np.where(np.isfinite(score), score, widths)
        score = np.where(score.max(axis=1, initial=0.0, keepdims=True) > 0, score, widths)
        axis = np.asarray(score.argmax(axis=1))
        return np.zeros(len(boxes), dtype=np.intp), axis, _middle(boxes, axis)


class ByLosses:
    """For chains: halves along the feature, or splits the sign of the neuron, on which most of the relaxation's loss hangs.

    Args:
        proof: What is to be proved.
    """

    def __init__(self, proof: BoxProof) -> None:
        self._network, self._rows = proof.network, proof.rows

    def __call__(self, found: Examined) -> Splits:
        boxes = found.left
        losses = self._losses(found)
        widths = (boxes.high - boxes.low) * divisible(boxes.low, boxes.high)
        effects = self._effects(found, losses) * widths
        effects = np.where(np.isfinite(effects), effects, 0.0)
        moved = np.abs(found.bound.form).reshape(len(found.parts), -1, widths.shape[1])[found.index].max(axis=1) * widths
        score = np.where(effects.max(axis=1, keepdims=True) > 0, effects, np.where(np.isfinite(moved), moved, widths))
        score = np.where(score.max(axis=1, keepdims=True) > 0, score, widths)
        value, index = np.zeros(len(boxes), dtype=np.intp), np.asarray(score.argmax(axis=1), dtype=np.intp)
        threshold = _middle(boxes, index)
        self._by_sign(boxes, losses, effects.max(axis=1), (value, index, threshold))
        return value, index, threshold

    def _losses(self, found: Examined) -> dict[int, Array]:
        """For each value that a ReLU reads (L, m): how far the lines around it can lower the best row's bound, number by number."""
        losses, left = dict[int, Array](), found.index
        coefficients = self._rows[found.bound.lower.reshape(len(found.parts), -1)[left].argmax(axis=1)]
        for position in range(self._network.output - 1, -1, -1):
            mapped = self._network.maps[position]
            if mapped is not None:
                coefficients = mapped.adjoint(coefficients)
                continue
            lines, value = found.parts.lines(position), self._network.inputs[position][0]
            low, high = found.left.known[value]
            falling = coefficients < 0
            with np.errstate(all="ignore"):
                loss = np.abs(coefficients) * np.where(falling, lines.upper_offset[left], np.minimum(high, -low))
            losses[value] = np.where((low < 0) & (high > 0) & np.isfinite(loss), loss, 0.0)
            coefficients = coefficients * np.where(falling, lines.upper_slope[left], lines.lower_slope[left])
        return losses

    def _effects(self, found: Examined, losses: dict[int, Array]) -> Array:
        """(L, n) how much of the losses hangs on each feature, per width: a neuron's on how far this moves it, of all that it moves."""
        place = np.full(len(found.parts), -1)
        place[found.index] = np.arange(len(found.index))
        total = np.zeros_like(found.left.low)
        for value, loss in losses.items():
            low, high = found.left.known[value]
            with np.errstate(all="ignore"):
                share = np.nan_to_num(loss / np.maximum(high - low, 1e-300), posinf=1e150)
            if value in self._first:
                total += share @ self._first[value]
            elif value in found.parts.pushed:
                owner, unit, form = found.parts.pushed[value]
                mine = np.flatnonzero(place[owner] >= 0)
                owner, unit, form = place[owner[mine]], unit[mine], np.abs(form[mine])
                np.add.at(total, owner, form * (share[owner, unit] / 2)[:, None])
        return total

    @cached_property
    def _first(self) -> dict[int, Array]:
        """Values that are affine in the input, and how far each feature moves each of their numbers."""
        network, found = self._network, dict[int, Array]()
        for value in sorted(network.relaxed & network.exact):
            rows, before = np.eye(network.sizes[value]), network.maps[:value]
            if all(m is not None for m in before):
                for mapped in reversed(before):
                    rows = rows if mapped is None else mapped.adjoint(rows)
                found[value] = np.abs(rows)
        return found

    def _by_sign(self, boxes: Boxes, losses: dict[int, Array], effect: Array, splits: Splits) -> None:
        """Puts the sign of a neuron where that takes off more; only neurons that the checker's ranges leave undecided."""
        value, index, threshold = splits
        undecided = sum(((low < 0) & (high > 0)).sum(axis=1) for low, high in boxes.known.values())
        most = effect.copy()
        for v, loss in sorted(losses.items()):
            best = loss.argmax(axis=1)
            loss_of_best = loss[np.arange(len(boxes)), best]
            better = np.flatnonzero((loss_of_best > most) & (undecided <= FEW))
            value[better], index[better], threshold[better] = v, best[better], 0.0
            most[better] = loss_of_best[better]


def _middle(boxes: Boxes, axis: Positions) -> Array:
    rows = np.arange(len(boxes))
    return np.asarray(boxes.low[rows, axis] / 2 + boxes.high[rows, axis] / 2)


def chooser(proof: BoxProof) -> Chooser:
    """How boxes of this network are best split."""
    network = proof.network
    chained = all(inputs == (i,) for i, inputs in enumerate(network.inputs)) and 0 not in network.relaxed
    return ByLosses(proof) if chained and proof.region.ball is None and network.relaxed == network.kinked else ByForms()
