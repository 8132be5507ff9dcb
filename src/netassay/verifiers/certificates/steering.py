"""What the float32 search of slopes, splits and multipliers has found, in the form in which certificates write it down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.checking.certificates.forests import STEPS, Choices, Splits
from netassay.verifiers.propagation.steered import Rows, Steered
from netassay.verifiers.region import Positions


def chosen_slopes(steered: Steered, rows: Rows) -> dict[int, tuple[NDArray[np.uint32], NDArray[np.uint8]]]:
    """The rows' slopes, rounded to 255ths; 0 for split neurons, which need none."""
    kept = torch.where(rows.codes == 0, rows.slope, 0.0)
    found = {}
    for group in steered.groups:
        if group.kinked:
            rounded = (kept[:, group.columns].clamp(0, 1) * STEPS).round().numpy().astype(np.uint8)
            found[group.value] = group.index.astype(np.uint32), rounded
    return found


Cut = tuple[int, int, float]
"""A split of a neuron: its column, the side (0 at most the threshold, 1 at least), and the threshold."""


class Columns:
    """The neurons of a ``Steered`` by their columns: which number of which value each is."""

    def __init__(self, steered: Steered) -> None:
        groups, none = steered.groups, np.zeros(0, dtype=np.intp)
        self.value: Positions = np.concatenate([none, *(np.full(len(g.index), g.value) for g in groups)])
        self.index: Positions = np.concatenate([none, *(g.index for g in groups)]).astype(np.intp)

    def splits(self, rows: Rows, above: Sequence[Sequence[Cut]]) -> tuple[Splits, NDArray[np.float32]]:
        """The splits above each row's leaf, and the size of each one's multiplier: 0 for a split that a later one has made idle.

        Args:
            rows: One for each leaf.
            above: The splits above each leaf, from the root on.
        """
        leaf = np.repeat(np.arange(len(above)), [len(c) for c in above])
        cuts = np.array([c for path in above for c in path], dtype=np.float64).reshape(-1, 3)
        column, side, threshold = cuts[:, 0].astype(np.intp), cuts[:, 1].astype(np.intp), cuts[:, 2]
        splits = Splits(len(above), leaf, self.value[column], self.index[column], side, threshold)
        multiplier = torch.zeros_like(rows.slope) if rows.multiplier is None else rows.multiplier
        found = multiplier.numpy()[leaf, column]
        low, high = (_end(points, rows)[leaf, column] for points in (rows.low, rows.high))
        active = threshold == np.where(side == 1, low, high)
        return splits, np.where(active & (np.where(side == 1, found, -found) > 0), np.abs(found), 0.0).astype(np.float32)


def _end(points: torch.Tensor | None, rows: Rows) -> NDArray[np.float64]:
    """(R, U) one end of the ranges that are split."""
    return np.zeros(rows.slope.shape) if points is None else points.numpy().astype(np.float64)


def choices_of(steered: Steered, rows: Rows, multipliers: NDArray[np.float32]) -> Choices:
    """Slopes and multipliers of leaves."""
    return Choices(chosen_slopes(steered, rows), multipliers)
