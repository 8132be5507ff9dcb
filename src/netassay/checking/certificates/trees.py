"""Split trees: how a proof divides a region. Whatever a tree says, its leaves cover the region.

A node is split by one number of one value at a threshold: on one side the number is at most the threshold, on the other at least. So every
input lies in one of the leaves, and a tree needs no further check than that it is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Positions
from netassay.checking.certificates.network import CheckedNetwork
from netassay.errors import DataError

Arrays = tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.float64]]
"""Values, indices and thresholds of the nodes of trees."""

LEAF, INPUT = -1, 0
DEEPEST = 2000
"""Levels of a tree, at most."""

MOST, LONGEST = 1 << 20, 1 << 22
"""Nodes of the trees of one record, and splits above all their leaves where these are listed, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees one after the other, each in preorder: a node, the side at most its threshold, the side at least its threshold.

    Args:
        value: (N,) the value that is split: LEAF for none, INPUT for a feature, else the number of a value.
        index: (N,) which number of the value.
        threshold: (N,) finite where a node is split.
    Attributes:
        other: (N,) the second child of each split node.
        roots: (T,) the first node of each tree.
        depth: (N,) splits above each node.
    """

    value: NDArray[np.int32]
    index: NDArray[np.uint32]
    threshold: NDArray[np.float64]
    other: Positions
    roots: Positions
    depth: Positions

    def __len__(self) -> int:
        return len(self.roots)

    @property
    def leaves(self) -> Positions:
        """The nodes that are leaves, in order."""
        return np.flatnonzero(self.value == LEAF)

    def paths(self) -> list[list[tuple[int, int]]]:
        """For each leaf the splits above it: (node, side), side 0 where the number is at most the threshold.

        Raises:
            DataError: If these are more than ``LONGEST`` in all.
        """
        if self.depth[self.leaves].sum() > LONGEST:
            raise DataError(f"the leaves of a record have more than {LONGEST} splits above them, counted leaf by leaf")
        found: list[list[tuple[int, int]]] = []
        stack: list[tuple[int, list[tuple[int, int]]]] = [(int(r), []) for r in self.roots[::-1]]
        while stack:
            node, path = stack.pop()
            if self.value[node] == LEAF:
                found.append(path)
            else:
                stack.append((int(self.other[node]), [*path, (node, 1)]))
                stack.append((node + 1, [*path, (node, 0)]))
        return found


def forest(value: NDArray[np.int32], index: NDArray[np.uint32], threshold: NDArray[np.float64], network: CheckedNetwork) -> Forest:
    """The trees that three arrays describe.

    Raises:
        DataError: If they describe none, split what the network does not have, or are too deep.
    """
    if not (value.ndim == index.ndim == threshold.ndim == 1 and len(value) == len(index) == len(threshold)):
        raise DataError("the arrays of a split tree differ in length")
    if not 0 < len(value) <= MOST:
        raise DataError(f"a record has trees of {len(value)} nodes; from 1 to {MOST} are read")
    split = np.flatnonzero(value != LEAF)
    unknown = [int(v) for v in np.unique(value[split]) if v != INPUT and v not in network.relaxed]
    if unknown:
        raise DataError(f"a tree splits value {unknown[0]}, which no nonlinear operator of the network reads")
    sizes = np.array(network.sizes)
    if (index[split] >= sizes[value[split]]).any() or not np.isfinite(threshold[split]).all():
        raise DataError("a tree splits a number that its value does not have, or at NaN or infinity")
    other, roots = _shape(value.tolist())
    depth = _depth(value.tolist(), other)
    if max(depth, default=0) > DEEPEST:
        raise DataError(f"a tree is {max(depth)} levels deep; at most {DEEPEST} are read")
    return Forest(value, index, threshold, *(np.array(x, dtype=np.intp) for x in (other, roots, depth)))


def _shape(value: list[int]) -> tuple[list[int], list[int]]:
    """Second children and roots; every split node has to have two children."""
    other, waiting = [-1] * len(value), list[int]()
    for node in range(len(value) - 1, -1, -1):
        if value[node] != LEAF:
            if len(waiting) < 2:
                raise DataError("a tree ends before its leaves: a part of the region is missing")
            waiting.pop()  # its first child comes right behind it
            other[node] = waiting.pop()
        waiting.append(node)
    return other, waiting[::-1]


def _depth(value: list[int], other: list[int]) -> list[int]:
    depth = [0] * len(value)
    for node, kind in enumerate(value):
        if kind != LEAF:
            depth[node + 1] = depth[other[node]] = depth[node] + 1
    return depth
