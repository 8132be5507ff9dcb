"""Saliency maps from subspace sensitivities (DeepTRE, section 5.3): how far each feature or pixel alone can lower the confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netassay.falsifiers.sparse.subspaces import BATCH, Inputs, sensitivities
from netassay.specs.problem import Problem


def saliency(problems: Sequence[Problem], *, points: int = 3, memory: int = BATCH) -> NDArray[np.float64]:
    """(P, *input shape) the drop of the confidence in the label that each feature causes alone; a pixel's channels share one number.

    Args:
        problems: L0 balls of one network, with one grouping of features.
        points: Grid points per feature.
        memory: Bytes for one batch.
    """
    inputs = Inputs(problems, memory)
    found = sensitivities(inputs, 1, points)
    if found is None:
        raise KeyboardInterrupt  # only a stop asked for gives none
    picture = np.zeros((len(inputs), inputs.center.shape[1]))
    for group, features in enumerate(inputs.members):
        picture[:, features] = found.drop[:, group, None]
    return picture.reshape(len(inputs), *problems[0].network.input_shape)
