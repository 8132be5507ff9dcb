"""What a network says at the centre of a problem, before anything is searched or proved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.checking.replay import Replayer, classify
from netassay.models.scores import Scale
from netassay.specs.problem import Problem


@dataclass(frozen=True, slots=True)
class Centre:
    """The centre of a problem.

    Args:
        label: The network's decision; None where it has no labels.
        value: s.
        wrong: Whether the decision is not the true label.
    """

    label: int | None
    value: float
    wrong: bool


def screened(problem: Problem, replayer: Replayer) -> Centre:
    """Evaluates the centre of a problem; raises NotFiniteError where the network gives no finite outputs."""
    convention = replayer.network.convention
    outputs = classify(replayer, problem.center)
    label = int(np.argmax(convention.scores(outputs, Scale.LOGITS))) if replayer.network.labels else None
    value = float(problem.property.values(convention.scores(outputs[None], problem.property.on))[0])
    return Centre(label, value, problem.true_label is not None and label is not None and label != problem.true_label)
