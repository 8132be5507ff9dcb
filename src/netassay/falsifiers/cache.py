"""What a search has evaluated already: a point that comes again costs no query.

Points repeat where features move in steps, where one-hot blocks change members, and in L0 balls, whose searches go back
to corners of the domain: there the search looks every point up, and nowhere else. Measured with the direct search on dense
networks of 5 to 784 inputs, 20,000 queries: in such regions 6 to 73 % of the proposed points were known, the best value rose by up
to 5 %, and the search took 1.2 to 4 times as long, since as many new points are still evaluated and the known ones come on top. In
continuous regions 0 to 4 % were known, and looking them up made the search 1.2 to 1.4 times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEMORY_SHARE = 8
"""The cache takes one part in this many of the budget's memory."""

ENTRY = 200
"""Bytes that Python keeps for an entry beside its key and its value: headers, and a place in a table that is two thirds empty."""


class PointCache:
    """Values of the points of a search, under the exact bytes of their free features, problem by problem.

    What comes back is what was evaluated, bit for bit. When memory is full, the oldest points are forgotten.
    Gradients are not kept: whoever asks for one has it evaluated, and its value is learnt in passing.

    Args:
        problems: How many.
        dimension: Free features of a point, k.
        dtype: Their type, and that of the values.
        memory: Bytes of the budget, of which it takes one part in ``MEMORY_SHARE``.
    Attributes:
        idle: (problems,) how many requests in a row held points of the problem but no new one.
        learnt: How many points were new when they came.
    """

    def __init__(self, problems: int, dimension: int, dtype: torch.dtype, memory: int) -> None:
        kind = np.dtype(np.float32 if dtype == torch.float32 else np.float64)
        self._capacity = max(1, memory // MEMORY_SHARE // (4 + (dimension + 1) * kind.itemsize + ENTRY))
        self._values = np.empty(0, dtype=kind)
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._oldest = 0
        self.idle = np.zeros(problems, dtype=np.int64)
        self.learnt = 0

    def complete(self, owners: Tensor, points: Tensor, evaluate: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Values (R,) of points (R, k) of problems ``owners`` (R,), and the positions of the rows that were evaluated.

        A row is evaluated if neither the cache nor an earlier row knows it.

        Args:
            owners, points: The request.
            evaluate: Values (r,) of the rows at positions (r,).
        """
        keys = _keys(owners, points)
        slots, first = self._known(owners, keys), _first_of_equals(keys)
        new = np.flatnonzero((slots < 0) & (first == np.arange(len(keys))))
        found = np.full(len(keys), np.nan, dtype=self._values.dtype)
        found[slots >= 0] = self._values[slots[slots >= 0]]
        positions = torch.as_tensor(new, device=points.device)
        if len(new):
            found[new] = evaluate(positions).cpu().numpy()
            self._store([keys[i] for i in new], found[new])
        return torch.as_tensor(found[first], device=points.device), positions

    def learn(self, owners: Tensor, points: Tensor, values: Tensor) -> None:
        """Takes in values (R,) of points (R, k) that were evaluated for another reason."""
        keys = _keys(owners, points)
        self._known(owners, keys)
        self._store(keys, values.cpu().numpy())

    def _known(self, owners: Tensor, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Where the value of each key is, -1 for new ones; counts the requests without."""
        slots = np.array([self._slots.get(key, -1) for key in keys], dtype=np.int64)
        asked = owners.cpu().numpy()
        self.idle[np.unique(asked)] += 1
        self.idle[asked[slots < 0]] = 0
        return slots

    def _store(self, keys: Sequence[bytes], values: NDArray[np.floating]) -> None:
        """Takes in values, the last of them if not all fit."""
        slots = [self._place(key) for key in keys[-self._capacity :]]
        self._values[slots] = values[-self._capacity :]

    def _place(self, key: bytes) -> int:
        """The slot of a key: its own, a new one, or that of the oldest point."""
        if key in self._slots:
            return self._slots[key]
        self.learnt += 1
        if len(self._keys) < self._capacity:
            slot = len(self._keys)
            self._keys.append(key)
            self._grow()
        else:
            slot, self._oldest = self._oldest, (self._oldest + 1) % self._capacity
            del self._slots[self._keys[slot]]
            self._keys[slot] = key
        self._slots[key] = slot
        return slot

    def _grow(self) -> None:
        if len(self._keys) > len(self._values):
            size = min(self._capacity, max(1024, 2 * len(self._values)))
            self._values = np.concatenate([self._values, np.empty(size - len(self._values), dtype=self._values.dtype)])


def _keys(owners: Tensor, points: Tensor) -> list[bytes]:
    """The bytes of each problem's number and point."""
    numbers = owners.cpu().numpy().astype(np.int32).view(np.uint8).reshape(len(points), -1)
    features = np.ascontiguousarray(points.cpu().numpy()).view(np.uint8).reshape(len(points), -1)
    block = np.concatenate([numbers, features], axis=1)
    text, width = block.tobytes(), block.shape[1]
    return [text[i : i + width] for i in range(0, len(text), width)]


def _first_of_equals(keys: Sequence[bytes]) -> NDArray[np.int64]:
    """For each key the position of the first one equal to it."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(key, i) for i, key in enumerate(keys)], dtype=np.int64)
