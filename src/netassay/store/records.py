"""What a store says of a campaign beside its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Presentation:
    """What a report needs to show inputs and labels, which no answer holds.

    Args:
        input_shape: Of one input, without the batch axis.
        image_layout: (channels, height, width) where inputs are pictures, else None.
        label_names, feature_names: Empty where they are unknown.
        output_meaning, decision: What the network's outputs mean, and which of them decides.
        facts: What there is to say of the model, in words, by name.
        notes: What is to be said of model and data.
        lower, upper: Corners of the input domain (input_shape), infinite where it is not bounded; None where nobody said.
        scale: Unit of each feature's changes (input_shape); None for plain ones.
    """

    input_shape: tuple[int, ...]
    image_layout: tuple[int, int, int] | None = None
    label_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    output_meaning: str = ""
    decision: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Campaign:
    """One command that asked questions about a data set, and how far it has come.

    Args:
        id: Its number in the store, from 1.
        command: The command line that asked.
        created: Date and time, ISO 8601.
        title: What it is called.
        model, model_sha256: The network's name and identity.
        data: What the data set was called.
        tool_version: Of netassay.
        asked: Answers asked for. Each of them is finished, left out (the risk cannot be bound to that input), failed, or not begun.
        finished, left_out, failed: How many of them.
        presentation: For reports.
    """

    id: int
    command: str
    created: str
    title: str
    model: str
    model_sha256: str
    data: str
    tool_version: str
    asked: int
    finished: int
    left_out: int
    failed: int
    presentation: Presentation
