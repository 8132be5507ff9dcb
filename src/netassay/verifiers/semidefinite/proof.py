"""What multipliers prove, every rounding bounded.

Let M be the matrix ``C - t E - sum y_a A_a`` for the floats that the forms and multipliers are. If M is positive semidefinite, the row
is at least t, less what the forms' errors and the rounding of M's entries can do: v has no entry beyond 1, so a changed entry costs what
it changed by. That M is semidefinite is shown as the checker of certificates shows it, which see.
"""

from __future__ import annotations

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.definiteness import is_semidefinite
from netassay.verifiers.rounding import UNDERFLOW, Array, down, gamma
from netassay.verifiers.semidefinite.forms import Forms
from netassay.verifiers.semidefinite.program import BETA, MU, NU, PHI, TAU, Program

FLOATS = Arithmetic()

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
            slack = program.slack(y, t)
            if np.isfinite(t) and is_semidefinite(FLOATS, slack.diagonal, slack.side, slack.block):
                return _less(t, _lost(forms, program, row, error, y, t))
    return -np.inf


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
