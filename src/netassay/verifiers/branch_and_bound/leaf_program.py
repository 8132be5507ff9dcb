"""Subproblems in which every undecided neuron is split: linear programs, whose duals are the multipliers of a proof.

With all phases fixed the network is affine in the input, and so is every split neuron. The program is elastic: a point may leave its
splits by t at a price, so that a subproblem without any point has a dual too, the one that proves it empty. The solver is not believed:
its multipliers are proved like any others, and its point is evaluated.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import torch

from netassay.verifiers.propagation.steered import ABOVE, Rows, Steered
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import Array


def solve_leaf(steered: Steered, rows: Rows, weights: Array, price: float) -> tuple[Rows, Array] | None:
    """The best multipliers of one row over the region's box, and the point of the part where it is least; None where there are none,
    or where numbers overflow.

    Args:
        steered: What the row is about.
        rows: One row (R = 1) in which every neuron is split in two.
        weights: (m,) which outputs count: the greatest of those with a positive weight is minimised.
        price: Of leaving the splits by one unit.
    """
    from scipy.optimize import linprog

    code = rows.codes[0].numpy()
    columns, counted = np.flatnonzero(code), np.flatnonzero(weights > 0)
    signs = np.where(code[columns] == ABOVE, 1.0, -1.0)
    rising, falling = _forms(steered, rows, steered.value, counted), np.zeros((0, prod(steered.region.shape) + 1))
    if len(columns):
        falling = -signs[:, None] * np.concatenate([_forms(steered, rows, g.value, g.index) for g in steered.groups])[columns]
    size = rising.shape[1] - 1
    # x, t, w: least w + price * t with output <= w and -sign * z <= t
    matrix = np.zeros((len(rising) + len(falling), size + 2))
    matrix[:, :size] = np.concatenate([rising, falling])[:, :size]
    matrix[: len(rising), size + 1], matrix[len(rising) :, size] = -1.0, -1.0
    right = -np.concatenate([rising, falling])[:, size]
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        return None
    bounds = [*zip(*(side[0] for side in steered.region.corners), strict=True), (0, None), (None, None)]
    found = linprog(np.r_[np.zeros(size), price, 1.0], A_ub=matrix, b_ub=right, bounds=bounds, method="highs")
    if found.status != 0:
        return None
    duals = np.maximum(-found.ineqlin.marginals, 0.0)
    start, multiplier = torch.zeros(1, len(weights)), torch.zeros_like(rows.slope)
    start[0, torch.from_numpy(counted)] = torch.from_numpy(duals[: len(counted)]).float()
    multiplier[0, torch.from_numpy(columns)] = torch.from_numpy(duals[len(counted) :] * signs).float()
    return replace(rows, start=start, multiplier=multiplier), found.x[:size].reshape(1, *steered.region.shape)


def _forms(steered: Steered, rows: Rows, value: int, units: Positions) -> Array:
    """(k, n + 1) coefficients and constants of numbers of a value as functions of the input, with the row's phases."""
    shape = steered.bounded.graph.shapes[value]
    start = torch.zeros(len(units), prod(shape))
    start[torch.arange(len(units)), torch.from_numpy(units)] = 1.0
    back = steered.passes.back(value, start.reshape(-1, *shape), steered.sides(rows), {})
    return torch.cat([back.form.reshape(len(units), -1), back.offset[:, None]], dim=1).numpy().astype(np.float64)
