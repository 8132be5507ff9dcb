"""Whether a symmetric matrix with a diagonal block is positive semidefinite, shown with every rounding bounded.

The diagonal block is eliminated; what is left is ``L L' + E`` with an E whose diagonal outweighs its rows (Gershgorin), so that both are
semidefinite. Any L would do: it comes from a Cholesky factorisation, of which nothing is believed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, floats


def is_semidefinite(a: Arithmetic, diagonal: Array, side: Array, block: Array) -> bool:
    """Whether ``(D G; G' B)``, D diagonal, is shown to be positive semidefinite.

    Args:
        a: The arithmetic.
        diagonal: (N,) of D, none negative.
        side: (N, k) G.
        block: (k, k) B, symmetric.
    """
    used = diagonal > 0
    if not all(a.known(each).all() for each in (diagonal, side, block)) or (side[~used] != 0).any():
        return False
    side, one = side[used], a.array(np.ones(int(used.sum())))
    weighted = side * a.outward(one, diagonal[used])[1][:, None]
    left = block - weighted.T @ side
    changed = 2 * a.gamma(len(side) + 8) * (np.abs(weighted).T @ np.abs(side) + np.abs(block)).sum(axis=1) + a.tiny
    factor = _factor(floats(left), floats(changed))
    if factor is None:
        return False
    lower = a.array(factor)
    rest = left - lower @ lower.T
    changed = changed + 2 * a.gamma(len(block) + 8) * (np.abs(lower) @ np.abs(lower).T + np.abs(left)).sum(axis=1)
    own = np.diag(rest)
    others = np.abs(rest).sum(axis=1) - np.abs(own) + changed
    enough = others if a.exact else others * (1 + 1e-6) + a.tiny
    return bool(a.known(rest).all() and (enough <= own).all())


def _factor(left: NDArray[np.float64], changed: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """L, of a matrix a little less than what is left, by what rounding may take and a little more; None where there is none."""
    root = np.sqrt(np.maximum(np.diag(left), 0))
    unit = Arithmetic().gamma(len(left) + 8)
    shift = 4 * changed + 8 * unit * (root * root.sum() + np.abs(left).sum(axis=1))
    try:
        found = np.linalg.cholesky(left - np.diag(shift))
    except np.linalg.LinAlgError:
        return None
    return np.asarray(found, dtype=np.float64) if np.isfinite(found).all() else None
