"""Which neuron to hold to a phase: the one whose two pieces the relaxation mixes at the greatest price."""

from __future__ import annotations

import numpy as np

from netassay.verifiers.semidefinite.forms import Forms, Neuron
from netassay.verifiers.semidefinite.interior_point import Solution
from netassay.verifiers.semidefinite.program import BETA, NU, groups_of


def chosen(forms: Forms, found: Solution) -> Neuron | None:
    """The neuron whose mean output lies farthest above what its mean input gives, in units of its multipliers; None where none is left."""
    if not forms.neurons:
        return None
    groups = groups_of(forms)
    mean = found.primal.block[0, 1:]
    inputs = forms.before.rows @ np.concatenate([found.primal.side[:, 0], found.primal.block[0]])
    price = found.multipliers[groups[NU]] + found.multipliers[groups[BETA]]
    lost = (mean - np.maximum(inputs, 0)) * price
    return forms.neurons[int(np.argmax(np.where(np.isfinite(lost), lost, -np.inf)))]
