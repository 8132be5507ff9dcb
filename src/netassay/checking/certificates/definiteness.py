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
        diagonal: (N,) of D.
        side: (N, k) G.
        block: (k, k) B; nothing is shown unless it is symmetric.
    """
    used = diagonal > 0
    if not all(a.known(each).all() for each in (diagonal, side, block)) or (side[~used] != 0).any():
        return False
    if (diagonal < 0).any() or (block != block.T).any():
        return False
    side, one = side[used], a.array(np.ones(int(used.sum())))
    weighted = side * a.outward(one, diagonal[used])[1][:, None]
    left = block - a.product(weighted.T, side)
    changed = _changed(a, weighted.T, side, block)
    factor = _factor(floats(left), floats(changed))
    if factor is None:
        return False
    lower = a.array(factor)
    rest = left - a.product(lower, lower.T)
    changed = changed + _changed(a, lower, lower.T, left)
    own = np.diag(rest)
    others = np.abs(rest).sum(axis=1) - np.abs(own) + changed
    enough = others if a.exact else others * (1 + 1e-6) + a.tiny
    return bool(a.known(rest).all() and (enough <= own).all())


def _changed(a: Arithmetic, one: Array, other: Array, more: Array) -> Array:
    """(k,) what rounding may have changed in each row of ``more - one @ other``, all its entries added up."""
    if a.exact:
        return a.zeros(len(more))
    return np.asarray(2 * a.gamma(len(other) + 8) * (np.abs(one) @ np.abs(other) + np.abs(more)).sum(axis=1) + a.tiny)


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
