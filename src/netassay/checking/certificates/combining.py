"""Weighted sums of linear forms: where all forms of a box may be nonpositive one by one, a sum of them may be positive everywhere.

Any weights that are not negative do: they decide how good the sum is, not whether it may be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions

Forms = tuple[Positions, Array, Array]
"""Owners (F,), rows (F, n), offsets (F,): ``<row, x> + offset`` for the x of the owner's box."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What a certificate chooses at nodes of a tree.

    Args:
        node: (K,) nodes, in order.
        end: (K,) where the weights of each node end; they begin where those before end.
        weight: The weights of the forms of each node, one node after the other; forms for which none is left have 0.
    """

    node: Positions
    end: Positions
    weight: NDArray[np.float64]

    def of(self, node: Positions, place: Positions) -> NDArray[np.float64]:
        """(F,) weights of forms: the node of each, and which form of its node it is."""
        found = np.zeros(len(node))
        if len(self.weight):
            slot = np.minimum(np.searchsorted(self.node, node), len(self.node) - 1)
            at = np.r_[0, self.end[:-1]][slot] + place
            there = (self.node[slot] == node) & (at < self.end[slot])
            found[there] = self.weight[at[there]]
        return found


def ordered(forms: Sequence[Forms], wanted: NDArray[np.bool_]) -> tuple[Forms, Positions]:
    """The forms of some boxes, box by box and otherwise as they come, and which form of its box each is."""
    owner, rows, offset = (np.concatenate([f[i] for f in forms]) for i in range(3))
    order = np.flatnonzero(wanted[owner])
    order = order[np.argsort(owner[order], kind="stable")]
    owner = owner[order]
    return (owner, rows[order], offset[order]), np.arange(len(owner)) - np.searchsorted(owner, owner)


def combined(a: Arithmetic, low: Array, high: Array, forms: Forms, weights: NDArray[np.float64]) -> Forms:
    """For each box with a positive weight, a form that is nonpositive wherever all of its forms are.

    Args:
        a: The arithmetic.
        low, high: (B, n).
        forms: In the order of their boxes.
        weights: (F,) of the forms; those that are not positive are left out.
    """
    used = np.flatnonzero(weights > 0)
    owner, rows, offset = (f[used] for f in forms)
    if not len(used):
        return owner, rows, offset
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    box, most = owner[first], int(np.diff(np.r_[first, len(owner)]).max())
    w = a.array(weights[used])
    with np.errstate(all="ignore"):
        total, size = (np.add.reduceat(w[:, None] * r, first, axis=0) for r in (rows, np.abs(rows)))
        level, reach = (np.add.reduceat(w * o, first) for o in (offset, np.abs(offset)))
        reach = reach + (size * np.maximum(np.abs(low[box]), np.abs(high[box]))).sum(axis=1)
        return box, total, a.bound(a.down(level - (4 * a.gamma(most + low.shape[1]) * reach + a.tiny)))
