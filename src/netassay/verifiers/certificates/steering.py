"""What the float32 search of slopes, splits and multipliers has found, in the form in which certificates write it down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from netassay.checking.certificates.forests import STEPS, Choices, Splits
from netassay.verifiers.propagation.steered import ABOVE, Rows, Steered
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


class Columns:
    """The neurons of a ``Steered`` by their columns: which number of which value each is."""

    def __init__(self, steered: Steered) -> None:
        groups, none = steered.groups, np.zeros(0, dtype=np.intp)
        self.value: Positions = np.concatenate([none, *(np.full(len(g.index), g.value) for g in groups)])
        self.index: Positions = np.concatenate([none, *(g.index for g in groups)]).astype(np.intp)

    def splits(self, rows: Rows, above: Sequence[Sequence[int]]) -> tuple[Splits, NDArray[np.float32]]:
        """The splits above each row's leaf, all at 0, and the size of each one's multiplier.

        Args:
            rows: One for each leaf.
            above: The columns that are split above each leaf, from the root on.
        """
        leaf = np.repeat(np.arange(len(above)), [len(c) for c in above])
        column = np.array([c for path in above for c in path], dtype=np.intp)
        side = np.where(rows.codes.numpy()[leaf, column] == ABOVE, 1, 0)
        splits = Splits(len(above), leaf, self.value[column], self.index[column], side, np.zeros(len(column)))
        multiplier = torch.zeros_like(rows.slope) if rows.multiplier is None else rows.multiplier
        return splits, np.abs(multiplier.numpy()[leaf, column]).astype(np.float32)


def choices_of(steered: Steered, rows: Rows, multipliers: NDArray[np.float32]) -> Choices:
    """Slopes and multipliers of leaves."""
    return Choices(chosen_slopes(steered, rows), multipliers)
