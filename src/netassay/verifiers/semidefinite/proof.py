"""What multipliers prove, every rounding bounded.

Let M be the matrix ``C - t E - sum y_a A_a`` for the floats that the forms and multipliers are. If M is positive semidefinite, the row
is at least t, less what the forms' errors and the rounding of M's entries can do: v has no entry beyond 1, so a changed entry costs what
it changed by. The inputs' block is diagonal and positive, so M is semidefinite if its Schur complement is. That is computed; what rounding
may have changed in a row is taken off its diagonal entry (Gershgorin), and so is a bound on what a Cholesky factorisation loses (Higham,
Accuracy and Stability of Numerical Algorithms, theorem 10.3; Rump, 2006, https://doi.org/10.1007/s10543-006-0056-1): if it then ends, the
complement is semidefinite.
"""

from __future__ import annotations

import numpy as np

from netassay.verifiers.rounding import LARGEST, UNDERFLOW, Array, down, gamma
from netassay.verifiers.semidefinite.forms import Forms
from netassay.verifiers.semidefinite.matrices import Arrow, is_definite
from netassay.verifiers.semidefinite.program import BETA, MU, NU, PHI, TAU, Program

LEAST = 1e-9
"""A multiplier of an input is at least this, as a share of the largest: smaller ones would only lose digits."""


def proved_bound(forms: Forms, row: Array, error: float, multipliers: Array) -> float:
    """A number at or below the row in real arithmetic, at all inputs that the forms are about; -inf where nothing is proved.

    Args:
        forms: The network.
        row: (D,) a form of v.
        error: How far the row may be from what it stands for.
        multipliers: (m,) of ``Program``; any at all.
    """
    with np.errstate(all="ignore"):
        return _proved(forms, row, error, multipliers)


def _proved(forms: Forms, row: Array, error: float, multipliers: Array) -> float:
    program = Program(forms, row)
    if not np.isfinite(multipliers).all() or len(multipliers) != program.multipliers:
        return -np.inf
    y = np.maximum(multipliers, 0.0)
    inputs = program.groups[MU]
    y[inputs] = np.maximum(y[inputs], LEAST * max(float(y.max(initial=0.0)), 1e-9))
    for more in (0.0, 1e-9, 1e-6, 1e-3, 1.0):
        for group in (MU, TAU):
            y[program.groups[group]] += more * float(y.max(initial=0.0))
        best = program.best(y)
        size = 1.0 + abs(best) + float(y[inputs].sum())
        for less in (1e-11, 1e-9, 1e-7, 1e-5):
            t = best - less * size
            if np.isfinite(t) and is_semidefinite(program.slack(y, t)):
                return _less(t, _lost(forms, program, row, error, y, t))
    return -np.inf


def is_semidefinite(slack: Arrow) -> bool:
    """Whether the matrix with these entries, and zeros between different inputs, is proved to be positive semidefinite."""
    diagonal, side, block = slack.diagonal, slack.side, slack.block
    entries = (diagonal, side, block)
    if not all(np.isfinite(each).all() and (np.abs(each) < LARGEST).all() for each in entries):
        return False
    if not ((diagonal > 1 / LARGEST).all() and (block == block.T).all()):
        return False
    size = len(block)
    divided = side / diagonal[:, None]
    schur = block - divided.T @ side
    changed = gamma(len(diagonal) + 8) * (np.abs(divided).T @ np.abs(side) + np.abs(block))
    own = np.arange(size)
    shift = (1 + 1e-6) * changed.sum(axis=1) + UNDERFLOW
    shift += 2 * gamma(size + 8) * np.abs(np.diag(schur)).sum()
    lower = schur.copy()
    lower[own, own] -= shift
    return bool(np.isfinite(lower).all()) and is_definite(lower)


def _lost(forms: Forms, program: Program, row: Array, error: float, y: Array, t: float) -> float:
    """What errors of forms, and of the entries of the slack, can take off the bound."""
    nu, beta, phi = (y[program.groups[g]] for g in (NU, BETA, PHI))
    by_forms = error + (nu + beta) @ forms.before.errors + phi @ forms.facts.errors
    before, facts = np.abs(forms.before.rows).sum(axis=1), np.abs(forms.facts.rows).sum(axis=1)
    sizes = np.abs(row).sum() + abs(t) + 2 * y.sum() + (nu + beta) @ (before + 1) + phi @ facts
    terms = program.inputs + 3 * program.neurons + program.facts
    return float((by_forms + 2 * gamma(terms + 16) * sizes) * (1 + 1e-9) + UNDERFLOW)


def _less(t: float, lost: float) -> float:
    """``t - lost``, rounded down; NaN proves nothing."""
    return float(down(t - lost)) if lost < np.inf else -np.inf
