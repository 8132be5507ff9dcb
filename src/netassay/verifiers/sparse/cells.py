"""Cutting sets of inputs into smaller cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array
from netassay.verifiers.sparse.local_forms import Cells

NARROW = 1e-7
"""Cells narrower than this share of the range are not split further."""


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
    low, high = halves(cells.low[mine], cells.high[mine], axis)
    return replace(cells, low=low, high=high)


def halves(low: Array, high: Array, axis: Positions) -> tuple[Array, Array]:
    """Ends (2 B, K) of boxes (B, K), each in two along its axis: all the lower halves, then all the upper ones."""
    at = np.arange(len(low))
    middle = low[at, axis] / 2 + high[at, axis] / 2
    left, right = high.copy(), low.copy()
    left[at, axis], right[at, axis] = middle, middle
    return np.concatenate([low, right]), np.concatenate([left, high])


def axes(wide: Array, pull: Array) -> Positions:
    """(B,) along which axis to halve boxes: where the worst row moves most, of axes that are wider than NARROW.

    Args:
        wide: (B, K) widths as shares of the whole ranges.
        pull: (B, K) how far the row moves along each.
    """
    pull = np.where(np.isfinite(pull), pull, 0.0)
    score = np.where(wide > NARROW, pull + 1e-3 * wide * (pull.max(axis=1, keepdims=True) + 1e-300), -1.0)
    return np.asarray(score.argmax(axis=1))
