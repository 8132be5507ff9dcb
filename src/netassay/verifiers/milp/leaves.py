"""What multipliers prove about a linear program, with every rounding bounded (Neumaier and Shcherbina, 2004).

For any multipliers y of the rows, of the sign that each row's sides permit, ``c x >= y b + min over the box of (c - y A) x``: a lower
bound wherever all rows hold. The multipliers come from a solver, which may have been wrong about them; only the bound suffers then.
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.milp.program import Program
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, gamma


class DualBounds:
    """Bounds of one program's objectives, over its box and boxes within it.

    Args:
        program: Rows and bounds.
    """

    def __init__(self, program: Program) -> None:
        from scipy.sparse import csr_array

        self._program = program
        entries, shape = (program.value, (program.row, program.column)), (program.rows, program.columns)
        with np.errstate(all="ignore"):
            matrix = csr_array(entries, shape=shape)
            self._magnitude = np.maximum(np.abs(program.lower), np.abs(program.upper))
            self._sizes = abs(matrix) @ self._magnitude
        self._largest = float(np.abs(program.value).max(initial=0.0))
        self._transposed = matrix.T

    def bound(self, cost: Array, multipliers: Array, lower: Array, upper: Array) -> float:
        """A number at or below ``cost x`` wherever rows and bounds hold, in real arithmetic; -inf where the numbers are too large.

        Integrality is not used: the bound is one of the linear relaxation.

        Args:
            cost: (n,).
            multipliers: (m,) any numbers: positive for a row's lower side, negative for its upper one.
            lower, upper: (n,) bounds within the program's.
        References:
            Neumaier and Shcherbina, 2004, https://doi.org/10.1007/s10107-003-0433-3
        """
        program = self._program
        with np.errstate(all="ignore"):
            y = _permitted(program, multipliers)
            used = np.abs(y)
            constants = y * np.where(y > 0, program.row_lower, np.where(y < 0, program.row_upper, 0.0))
            reduced = cost - self._transposed @ y
            terms = reduced * np.where(reduced > 0, lower, upper)
            size = float(np.abs(cost) @ self._magnitude) + float(used @ self._sizes)
            error = 2 * gamma(program.rows + program.columns + 8) * size + float(used @ program.slack)
            weight = float(np.abs(constants).sum() + np.abs(terms).sum())
            total = float(constants.sum() + terms.sum())
            loss = error + 2 * gamma(program.rows + program.columns + 8) * weight
            largest = float(used.max(initial=0.0)) * max(self._largest, 1.0)
            if not (weight < LARGEST and loss < LARGEST and largest < LARGEST):
                return -np.inf
            return float(np.nextafter(total - loss * (1 + 1e-6) - 8 * UNIT * (abs(total) + loss) - UNDERFLOW, -np.inf))

    def shows_empty(self, ray: Array, lower: Array, upper: Array) -> bool:
        """Whether the multipliers show that nothing satisfies rows and bounds (Farkas): they bound 0 from below by more than 0."""
        zero = np.zeros(self._program.columns)
        return max(self.bound(zero, ray, lower, upper), self.bound(zero, -ray, lower, upper)) > 0


def _permitted(program: Program, multipliers: Array) -> Array:
    """The multipliers, 0 where they are no number or belong to a side that the row does not have."""
    has_side = np.where(multipliers > 0, np.isfinite(program.row_lower), np.isfinite(program.row_upper))
    return np.where(has_side & np.isfinite(multipliers), multipliers, 0.0)
