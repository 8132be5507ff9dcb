"""Multipliers that show that some linear forms cannot all be nonpositive in a box: many small linear programs at once.

``max over l >= 0, sum l = 1 of min over the box of sum_i l_i <form_i, (x, 1)>`` is the dual of ``min over the box of max_i form_i``. A dual
simplex with the box's sides and the forms as rows (Lemke, 1954) goes up from the best single form; whatever numbers it ends with, the
combination's own minimum is what counts, so nothing here needs to be exact.
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import UNDERFLOW, Array, down, gamma

PIVOT = 1e-6
"""Smaller pivots are not taken."""


def combined(forms: Array, lower: Array, upper: Array, steps: int = 20) -> tuple[Array, Array]:
    """One form for each box, below a nonnegative combination of the box's forms, with a large minimum over the box.

    Args:
        forms: (B, m, n + 1), ``<form, (x, 1)>``; wherever all of a box's forms are nonpositive, so is the result, in real arithmetic.
        lower, upper: (B, n).
        steps: Most pivots.
    Returns:
        The forms (B, n + 1), and points (B, n) of the boxes where the greatest form is about least.
    """
    weights, kept, points = weighted(forms, lower, upper, steps)
    return _sum(weights, kept, np.maximum(np.abs(lower), np.abs(upper))), points


def weighted(forms: Array, lower: Array, upper: Array, steps: int = 20) -> tuple[Array, Array, Array]:
    """For each box the weights (B, m) of such a combination, from 0 to 1; the forms (B, m, n + 1) that they belong to; and the points.

    Args:
        forms, lower, upper, steps: As for ``combined``; in place of forms with NaN or infinity there is the form -1.
    """
    middle, radius = lower / 2 + upper / 2, (upper - lower) / 2
    with np.errstate(all="ignore"):
        usable = np.asarray(np.isfinite(forms).all(axis=2))
        kept = np.where(usable[:, :, None], forms, 0.0)
        kept[:, :, -1] -= ~usable
        slopes = kept[:, :, :-1] * radius[:, None, :]
        offsets = np.matmul(kept[:, :, :-1], middle[:, :, None])[:, :, 0] + kept[:, :, -1]
        scale = 1 / (np.abs(slopes).sum(axis=2) + 1e-3 * np.abs(offsets) + 1e-30)
        multipliers, vertices = _Simplex(slopes * scale[:, :, None], offsets * scale).run(steps)
        weights = multipliers * scale
        points = np.clip(middle + radius * np.where(np.isfinite(vertices), vertices, 0.0), lower, upper)
        weights = weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-300)
    weights[~np.isfinite(weights)] = 0.0
    return weights, kept, points


def _sum(weights: Array, forms: Array, magnitude: Array) -> Array:
    """``sum_i weights_i form_i``, its rounding taken off the offset."""
    total = np.matmul(weights[:, None, :], forms)[:, 0]
    sizes = np.matmul(weights[:, None, :], np.abs(forms))[:, 0]
    slack = 2 * gamma(forms.shape[1] + forms.shape[2]) * ((sizes[:, :-1] * magnitude).sum(axis=1) + sizes[:, -1])
    total[:, -1] = down(total[:, -1] - slack - UNDERFLOW)
    return np.asarray(total)


class _Simplex:
    """``min t`` over (x, t) with ``<slopes_i, x> + offsets_i <= t`` and x in [-1, 1]^n, by bases of n + 1 rows.

    Rows are numbered: the m forms, then x_d <= 1, then -x_d <= 1. A basis has the multipliers that combine its rows to the objective;
    they stay nonnegative, and t rises.
    """

    def __init__(self, slopes: Array, offsets: Array) -> None:
        count, forms, size = slopes.shape
        self._forms, self._size = forms, size
        self._normals = np.zeros((count, forms + 2 * size, size + 1))
        self._normals[:, :forms, :size], self._normals[:, :forms, size] = slopes, -1.0
        self._normals[:, forms : forms + size, :size], self._normals[:, forms + size :, :size] = np.eye(size), -np.eye(size)
        self._right = np.ones((count, forms + 2 * size))
        self._right[:, :forms] = -offsets
        first = (offsets - np.abs(slopes).sum(axis=2)).argmax(axis=1)
        best = slopes[np.arange(count), first]
        side = np.where(best > 0, -1.0, 1.0)
        self._basis = np.concatenate([first[:, None], forms + np.arange(size) + size * (best > 0)], axis=1)
        self._multipliers = np.concatenate([np.ones((count, 1)), np.abs(best)], axis=1)
        self._inverse = np.zeros((count, size + 1, size + 1))
        self._inverse[:, np.arange(size), np.arange(1, size + 1)] = side
        self._inverse[:, size, 0], self._inverse[:, size, 1:] = -1.0, best * side
        self._running = np.arange(count)

    def run(self, steps: int) -> tuple[Array, Array]:
        """(B, m) multipliers of the forms, and (B, n) the last vertices."""
        found, points = np.zeros((len(self._basis), self._forms)), np.zeros((len(self._basis), self._size))
        for _ in range(steps):
            vertices, entering, going = self._entering()
            points[self._running] = vertices[:, :-1]
            self._write(found, np.flatnonzero(~going))
            left = np.flatnonzero(going)
            if not len(left):
                return found, points
            if len(left) < len(going):
                self._keep(left)
            self._pivot(entering[left])
        self._write(found, np.arange(len(self._running)))
        return found, points

    def _entering(self) -> tuple[Array, Positions, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """The vertices (x, t), the row that is violated most, and where t is not positive yet and some row is violated."""
        vertex = np.matmul(self._inverse, np.take_along_axis(self._right, self._basis, axis=1)[:, :, None])[:, :, 0]
        violated = np.matmul(self._normals, vertex[:, :, None])[:, :, 0] - self._right
        entering = violated.argmax(axis=1)
        worst = violated[np.arange(len(entering)), entering]
        return vertex, entering, np.asarray((worst > 1e-9 * (1 + np.abs(vertex[:, -1]))) & (vertex[:, -1] <= 0))

    def _pivot(self, entering: Positions) -> None:
        rows = np.arange(len(entering))
        shares = np.matmul(self._normals[rows, entering][:, None, :], self._inverse)[:, 0]
        ratios = np.where(shares > PIVOT, self._multipliers / shares, np.inf)
        leaving = ratios.argmin(axis=1)
        step = ratios[rows, leaving]
        stuck = ~np.isfinite(step)
        step = np.where(stuck, 0.0, step)
        pivot = np.where(stuck, 1.0, shares[rows, leaving])
        self._multipliers = np.maximum(self._multipliers - step[:, None] * shares, 0)
        moved = np.flatnonzero(~stuck)
        self._multipliers[moved, leaving[moved]] = step[moved]
        self._basis[moved, leaving[moved]] = entering[moved]
        change = shares / pivot[:, None]
        change[rows, leaving] = 1 - 1 / pivot
        change[stuck] = 0.0
        self._inverse -= self._inverse[rows, :, leaving][:, :, None] * change[:, None, :]

    def _write(self, found: Array, positions: Positions) -> None:
        rows = self._running[positions]
        for column in range(self._size + 1):
            form = self._basis[positions, column]
            is_form = form < self._forms
            found[rows[is_form], form[is_form]] = self._multipliers[positions[is_form], column]

    def _keep(self, left: Positions) -> None:
        for name in ("_running", "_normals", "_right", "_basis", "_multipliers", "_inverse"):
            setattr(self, name, getattr(self, name)[left])
