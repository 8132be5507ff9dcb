"""Proofs about slopes: the region is divided by distances from the centre, and what lies between two of them by a tree over the inputs.

Whatever radii and trees a certificate chooses, every input lies in a leaf; what the slopes are there is the checker's own to bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Array
from netassay.checking.certificates.boxes import Boxes, halves, next_batch
from netassay.checking.certificates.slope_bounds import Losses, SlopeBounds
from netassay.checking.certificates.trees import INPUT, LEAF, Forest
from netassay.errors import DataError

MOST, KEPT = 10_000, 1 << 26
"""Radii, and numbers of the boxes that wait while trees are gone through, at most."""


@dataclass(frozen=True, slots=True)
class Shell:
    """The inputs of a region whose distance from the centre is at least ``inner``, and at most ``outer`` unless that is None."""

    inner: float
    outer: float | None


def shells_of(radii: NDArray[np.float64]) -> list[Shell]:
    """What falling radii divide a region into, from the outside in.

    Raises:
        DataError: If they do not fall, or are not positive and finite, or too many.
    """
    if len(radii) > MOST or not np.isfinite(radii).all() or not (radii > 0).all() or not (radii[1:] < radii[:-1]).all():
        raise DataError(f"{len(radii)} radii came; expected at most {MOST} positive numbers, each less than the one before")
    return [Shell(inner, outer) for outer, inner in pairwise([None, *radii.tolist(), 0.0])]


def too_many(waiting: list[Boxes]) -> bool:
    """Whether boxes are more than are kept."""
    return sum(2 * boxes.low.size for boxes in waiting) > KEPT


class ShellProof:
    """A claim about slopes, shell by shell.

    Args:
        bounds: Of the claim.
    """

    def __init__(self, bounds: SlopeBounds) -> None:
        self.bounds = bounds

    def root(self, shell: Shell) -> Boxes:
        """A box around the shell, at node 0; none where there is nothing in it."""
        a, region = self.bounds.arithmetic, self.bounds.case.region
        low, high = a.array(region.lower)[None], a.array(region.upper)[None]
        if shell.outer is not None:
            reach = a.up(a.array(shell.outer) * self.bounds.scale)
            low, high = np.maximum(low, a.down(self.bounds.center - reach)), np.minimum(high, a.up(self.bounds.center + reach))
        boxes = Boxes(np.zeros(1, dtype=np.intp), low, high, {})
        return boxes.take(np.flatnonzero(~np.asarray(low > high).any(axis=1)))

    def losses(self, shell: Shell, boxes: Boxes) -> Losses:
        """What rows lose over boxes of a shell; depends on the shell's outer radius alone."""
        return self.bounds.losses(boxes.low, boxes.high, shell.outer)

    def holds(self, shell: Shell, boxes: Boxes, losses: Losses) -> NDArray[np.bool_]:
        """(B,) where the claim is proved of what lies in a shell and a box."""
        near, far = self.bounds.distances(boxes.low, boxes.high)
        outside = np.asarray(far < shell.inner)
        near, far = self._between(shell, near, far)
        outside |= np.asarray(near > far)
        return self.bounds.holds(*self.bounds.steepest(losses, near, far)) | outside

    def _between(self, shell: Shell, near: Array, far: Array) -> tuple[Array, Array]:
        a, outer = self.bounds.arithmetic, self.bounds.reach if shell.outer is None else shell.outer
        far = far if outer is None else np.minimum(far, a.array(outer))
        return np.maximum(near, a.array(shell.inner)), far

    def check(self, radii: NDArray[np.float64], trees: Forest, told: Callable[[int], None]) -> str:
        """Where the trees, one for each shell, fail to prove the claim; empty where they do not.

        Raises:
            DataError: If they are no trees over the inputs, or not as many as there are shells.
        """
        shells, claim = shells_of(radii), self.bounds.claim
        if len(trees) != len(shells) or ((trees.value != LEAF) & (trees.value != INPUT)).any():
            raise DataError(f"{len(trees)} trees came for {len(shells)} shells; expected one for each, which splits inputs alone")
        if claim.least is not None and not self.bounds.least >= claim.least:
            return f"s(x0) is only known to be at least {float(self.bounds.least):.6g}"
        bounded = 0
        for i, (shell, root) in enumerate(zip(shells, trees.roots.tolist(), strict=True)):
            start = self.root(shell)
            waiting = [Boxes(start.node + root, start.low, start.high, {})] if len(start) else []
            while waiting:
                now = next_batch(waiting)
                inner = np.asarray(trees.value[now.node] == INPUT)
                leaves, rest = now.take(np.flatnonzero(~inner)), now.take(np.flatnonzero(inner))
                if len(leaves):
                    failed = np.flatnonzero(~self.holds(shell, leaves, self.losses(shell, leaves)))
                    if len(failed):
                        return f"shell {i}, node {int(leaves.node[failed].min()) - root} of its tree: the slopes there may be greater"
                    bounded += len(leaves)
                    told(bounded)
                if len(rest):
                    waiting.append(self._halves(rest, trees))
                if too_many(waiting):
                    raise DataError("a tree over this many inputs is too wide: more boxes would wait than are kept")
        return ""

    def _halves(self, boxes: Boxes, trees: Forest) -> Boxes:
        n = boxes.node
        threshold = self.bounds.arithmetic.array(trees.threshold[n])
        index = trees.index[n].astype(np.intp)
        return halves(boxes, np.zeros(len(n), dtype=np.intp), index, threshold, (n + 1, trees.other[n]))
