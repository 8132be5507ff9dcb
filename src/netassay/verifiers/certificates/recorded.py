"""Trees while they grow: nodes get their numbers as they come, and are put in order when all is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Positions
from netassay.checking.certificates.trees import LEAF, Arrays


class RecordedTrees:
    """Trees whose leaves may still be split.

    Args:
        trees: How many; their roots are the nodes 0, 1, ...
    """

    def __init__(self, trees: int = 1) -> None:
        self.nodes = trees
        self._splits: dict[int, tuple[int, int, float, int, int]] = {}

    def split(self, node: Positions, value: Positions, index: Positions, threshold: NDArray[np.float64]) -> tuple[Positions, Positions]:
        """Splits leaves; gives the numbers of both children of each: at most the threshold, at least."""
        first = self.nodes + np.arange(len(node), dtype=np.intp)
        second = first + len(node)
        self.nodes += 2 * len(node)
        for i, n in enumerate(node.tolist()):
            self._splits[n] = int(value[i]), int(index[i]), float(threshold[i]), int(first[i]), int(second[i])
        return first, second

    def arrays(self, root: int = 0) -> Arrays:
        """Values, indices and thresholds of a tree, in preorder."""
        rows = [split[:3] if (split := self._splits.get(n)) else (LEAF, 0, 0.0) for n in self._preorder(root)]
        value, index, threshold = zip(*rows, strict=True)
        return np.array(value, dtype=np.int32), np.array(index, dtype=np.uint32), np.array(threshold, dtype=np.float64)

    def leaves(self, root: int = 0) -> list[int]:
        """The leaves of a tree, in preorder."""
        return [n for n in self._preorder(root) if n not in self._splits]

    def nodes_in_order(self, root: int = 0) -> list[int]:
        """All nodes of a tree, in preorder."""
        return list(self._preorder(root))

    def _preorder(self, root: int) -> Iterator[int]:
        stack = [root]
        while stack:
            node = stack.pop()
            yield node
            if node in self._splits:
                stack += [self._splits[node][4], self._splits[node][3]]


def joined(trees: Sequence[Arrays]) -> Arrays:
    """The arrays of trees one after the other."""
    value, index, threshold = (np.concatenate(column) for column in zip(*trees, strict=True))
    return value, index, threshold
