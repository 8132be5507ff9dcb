"""What multipliers prove about a linear program, with every rounding bounded (Neumaier and Shcherbina, 2004).

For any multipliers y of the rows, of the sign that each row's sides permit, ``c x >= y b + min over the box of (c - y A) x``: a lower
bound wherever all rows hold. The multipliers come from a solver, which may have been wrong about them; only the bound suffers then.
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.milp.program import Program
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, gamma


def dual_bound(program: Program, cost: Array, multipliers: Array) -> float:
    """A number at or below ``cost x`` wherever rows and bounds hold, in real arithmetic; -inf where the numbers are too large.

    Integrality is not used: the bound is one of the linear relaxation.

    Args:
        program: Rows and bounds.
        cost: (n,).
        multipliers: (m,) any numbers: positive for a row's lower side, negative for its upper one.
    References:
        Neumaier and Shcherbina, 2004, https://doi.org/10.1007/s10107-003-0433-3
    """
    with np.errstate(all="ignore"):
        y = _permitted(program, multipliers)
        side = np.where(y > 0, program.row_lower, np.where(y < 0, program.row_upper, 0.0))
        constants = y * side
        products = program.value * y[program.row]
        reduced = cost - np.bincount(program.column, weights=products, minlength=program.columns)
        size = np.abs(cost) + np.bincount(program.column, weights=np.abs(products), minlength=program.columns)
        terms = reduced * np.where(reduced > 0, program.lower, program.upper)
        magnitude = np.maximum(np.abs(program.lower), np.abs(program.upper))
        error = 2 * gamma(program.rows + 4) * float(size @ magnitude) + float(np.abs(y) @ program.slack)
        weight = float(np.abs(constants).sum() + np.abs(terms).sum())
        total = float(constants.sum() + terms.sum())
        loss = error + 2 * gamma(program.rows + program.columns + 8) * weight
        if not (weight < LARGEST and loss < LARGEST and float(size.max(initial=0.0)) < LARGEST):
            return -np.inf
        return float(np.nextafter(total - loss * (1 + 1e-6) - 8 * UNIT * (abs(total) + loss) - UNDERFLOW, -np.inf))


def proves_empty(program: Program, ray: Array) -> bool:
    """Whether the multipliers show that nothing satisfies rows and bounds (Farkas): they bound 0 from below by more than 0."""
    zero = np.zeros(program.columns)
    return max(dual_bound(program, zero, ray), dual_bound(program, zero, -ray)) > 0


def _permitted(program: Program, multipliers: Array) -> Array:
    """The multipliers, 0 where they are no number or belong to a side that the row does not have."""
    has_side = np.where(multipliers > 0, np.isfinite(program.row_lower), np.isfinite(program.row_upper))
    return np.where(has_side & np.isfinite(multipliers), multipliers, 0.0)
