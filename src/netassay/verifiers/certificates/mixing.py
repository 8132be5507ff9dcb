"""Weights for sums of linear forms, by the small linear programs of ``multipliers``, in the form in which certificates write them down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import LARGEST, Positions
from netassay.checking.certificates.boxes import Boxes
from netassay.checking.certificates.combining import Forms
from netassay.verifiers.branch_and_bound.multipliers import weighted
from netassay.verifiers.certificates.recorded import RecordedTrees
from netassay.verifiers.rounding import Array

MOST, NUMBERS = 64, 1 << 12
"""Forms of a box that are combined, and their numbers, at most."""


class Mixing:
    """Finds weights for the boxes of a tree while it grows, and keeps those that cut something off."""

    def __init__(self) -> None:
        self._kept: list[tuple[Positions, Positions, NDArray[np.float64]]] = []

    def __call__(self, boxes: Boxes, forms: Forms, place: Positions) -> NDArray[np.float64]:
        """(F,) weights, 0 where there is nothing to gain."""
        weights = weights_of(boxes.low, boxes.high, forms, place)
        used = np.flatnonzero(weights > 0)
        self._kept.append((boxes.node[forms[0][used]], place[used], weights[used]))
        return weights

    def arrays(self, tree: RecordedTrees) -> dict[str, NDArray[np.generic]]:
        """Arrays of a record: the nodes of a tree that have weights, how many each, and these."""
        order = np.zeros(tree.nodes, dtype=np.intp)
        order[tree.nodes_in_order()] = np.arange(tree.nodes)
        name, place, weight = (np.concatenate([k[i] for k in self._kept]) for i in range(3))
        mixed, slot = np.unique(order[name], return_inverse=True)
        many = np.zeros(len(mixed), dtype=np.intp)
        np.maximum.at(many, slot, place + 1)
        weights = np.zeros(int(many.sum()), dtype=np.float32)
        weights[(np.cumsum(many) - many)[slot] + place] = weight
        return {"mixed": mixed.astype(np.uint32), "many": many.astype(np.uint8), "weights": weights}


def weights_of(low: Array, high: Array, forms: Forms, place: Positions) -> NDArray[np.float64]:
    """(F,) weights, at most 1; 0 for forms with NaN or infinity, where a box has a single form, and where sums cut little off.

    Args:
        low, high: (B, n).
        forms: In the order of their boxes.
        place: Which form of its box each is.
    """
    owner, rows, offset = forms
    n = low.shape[1]
    found = np.zeros(len(owner))
    usable = (np.abs(offset) < LARGEST) & (np.abs(rows) < LARGEST).all(axis=1) & (place < min(MOST, NUMBERS // max(n, 1)))
    several = np.bincount(owner[usable], minlength=len(low)) > 1
    kept = np.flatnonzero(usable & several[owner])
    if not len(kept):
        return found
    box = np.flatnonzero(several)
    slot = np.searchsorted(box, owner[kept])
    table = np.zeros((len(box), int(place[kept].max()) + 1, n + 1))
    table[:, :, n] = -1.0
    table[slot, place[kept], :n], table[slot, place[kept], n] = rows[kept], offset[kept]
    weights, _, _ = weighted(table, low[box], high[box])
    weights = weights.astype(np.float32).astype(np.float64)
    weights[~_cuts(weights, table, low[box], high[box])] = 0.0
    found[kept] = weights[slot, place[kept]]
    return found


def _cuts(weights: Array, table: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """(B,) whether the weighted sum is positive in a tenth of the box next to a side."""
    with np.errstate(all="ignore"):
        total = (weights[:, None, :] @ table)[:, 0]
        slopes, widths = total[:, :-1], high - low
        least = np.where(slopes > 0, slopes * low, slopes * high).sum(axis=1) + total[:, -1]
        return np.asarray(least + 0.9 * (np.abs(slopes) * widths).max(axis=1, initial=0.0) > 0)
