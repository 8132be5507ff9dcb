"""Which binary to split by: what earlier splits gained, and trials of binaries of which too little is known (reliability branching).

A binary's pseudo-cost is how far the bound rose, on average, for each unit that the binary was moved to 0 or 1. Binaries without any are
tried first, the most promising of them: both sides are solved, and what they gain is learned.

References:
    Achterberg, Koch and Martin, 2005, https://doi.org/10.1016/j.orl.2004.04.002
    Bunel et al., 2020, https://arxiv.org/abs/1909.06588 (the score of binaries that were never split by)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array

TRIALS = 8
"""Most binaries that are tried before one split."""

ALLOWANCE, SHARE = 2000, 0.5
"""Simplex iterations for trials: so many, and this share of all others."""

LEAST = 1e-6
"""A gain counts as at least that, so that the other side's still counts."""

NEARLY = 1e-9
"""A pull below it is none."""

Trial = Callable[[int, int], tuple[float, int]]
"""Of a binary and its value: how far the bound rises, and the simplex iterations that this took."""


class Branching:
    """What is known about the binaries of one objective.

    Args:
        columns: How many variables there are.
    """

    def __init__(self, columns: int) -> None:
        self._gains, self._splits = np.zeros((2, columns)), np.zeros((2, columns), dtype=np.intp)
        self._room = float(ALLOWANCE)

    def learn(self, binary: int, value: int, moved: float, gain: float) -> None:
        """That a bound rose by ``gain`` when a binary was moved by ``moved`` to ``value``."""
        self._gains[value, binary] += gain / max(moved, 1e-3)
        self._splits[value, binary] += 1

    def spent(self, iterations: int) -> None:
        """That a subproblem took so many simplex iterations."""
        self._room += SHARE * iterations

    def choose(self, free: Positions, at: Array, pull: Array, trial: Trial) -> int:
        """One of the free binaries.

        Args:
            free: (k,) binaries, at least one.
            at: (k,) where they are in the subproblem's relaxation, from 0 to 1.
            pull: (k,) how much each binary's rows weigh in the bound.
            trial: Tries one.
        """
        promise = at * (1 - at) * pull
        known = (self._splits[:, free] > 0).all(axis=0)
        costs = self._gains[:, free] / np.maximum(self._splits[:, free], 1)
        worth = np.where(known & (promise > NEARLY), _worth(costs[0] * at, costs[1] * (1 - at)), 0.0)
        fresh = np.flatnonzero(~known & (promise > NEARLY))
        for i in fresh[np.argsort(-promise[fresh], kind="stable")][:TRIALS]:
            if self._room > 0:
                worth[i] = self._tried(int(free[i]), float(at[i]), trial)
        return int(free[np.argmax(worth if worth.any() else promise)])

    def _tried(self, binary: int, at: float, trial: Trial) -> float:
        gains = []
        for value, moved in ((0, at), (1, 1 - at)):
            gain, iterations = trial(binary, value)
            self._room -= iterations
            self.learn(binary, value, moved, gain)
            gains.append(gain)
        return float(_worth(gains[0], gains[1]))


def _worth(down: Array | float, up: Array | float) -> Array:
    """The product of what both sides gain."""
    return np.asarray(np.maximum(down, LEAST) * np.maximum(up, LEAST))
