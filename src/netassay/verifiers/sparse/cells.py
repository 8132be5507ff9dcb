"""Cutting sets of inputs into smaller cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netassay.verifiers.region import Positions
from netassay.verifiers.sparse.local_forms import Cells


def cut(cells: Cells, pieces: int) -> Cells:
    """A single cell of one feature in equal pieces."""
    ends = np.linspace(cells.low[0, 0], cells.high[0, 0], pieces + 1)
    ends[0], ends[-1] = cells.low[0, 0], cells.high[0, 0]
    return replace(cells, low=ends[:-1, None], high=ends[1:, None])


def quartered(cells: Cells) -> Cells:
    """A single cell of two features in four."""
    both = np.array([0, 1])
    for axis in both:
        cells = halved(cells, np.arange(len(cells)), np.full(len(cells), axis))
    return cells


def halved(cells: Cells, mine: Positions, axis: Positions) -> Cells:
    """The cells ``mine``, each in two along its axis: all the lower halves, then all the upper ones."""
    low, high = cells.low[mine], cells.high[mine]
    at = np.arange(len(mine))
    middle = low[at, axis] / 2 + high[at, axis] / 2
    left, right = high.copy(), low.copy()
    left[at, axis], right[at, axis] = middle, middle
    return replace(cells, low=np.concatenate([low, right]), high=np.concatenate([left, high]))
