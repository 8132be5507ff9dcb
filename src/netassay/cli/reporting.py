"""The HTML report of a command: what the report cannot know from the answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from netassay.cli.inputs import Inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.models.network import Network
    from netassay.results.answer import Answer

PICTURE_CHANNELS = (1, 3)
LEAST_SIDE = 4
"""Pixels that a picture has at least on each side."""


def report(
    answers: Sequence[Answer], inputs: Inputs, folder: str, *, title: str, command: str, scale: NDArray[np.float64] | None = None
) -> Path:
    """Writes the report into ``folder``; gives the path of its page."""
    from netassay.cli.saliency_maps import saliency_maps
    from netassay.reports.html import write_report

    network, data = inputs.network, inputs.data
    layout = picture_layout(network.input_shape, data.source_shape)
    return write_report(
        answers,
        folder,
        title=title,
        image_layout=layout,
        feature_names=data.feature_names or None,
        label_names=data.label_names or None,
        model_info=facts(network),
        command=command,
        notes=inputs.notes,
        scale=scale,
        output_meaning=str(network.convention.meaning),
        decision=str(network.convention.decision),
        outputs_before=_outputs(inputs),
        saliency={} if layout is None else saliency_maps(network, answers, layout),
    )


def picture_layout(input_shape: tuple[int, ...], source_shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(channels, height, width) if inputs are pictures, by the model's shape or, for a flat model, by that of the data."""
    for shape in (input_shape, source_shape):
        full = (1, *shape) if len(shape) == 2 else shape
        if len(full) == 3 and full[0] in PICTURE_CHANNELS and min(full[1:]) >= LEAST_SIDE and (full[0] == 1 or full == input_shape):
            return (full[0], full[1], full[2])
    return None


def facts(network: Network) -> dict[str, str]:
    """What there is to say of a model, in words, by name."""
    domain = network.domain
    low, high = (float(corner.min()) for corner in (domain.lower, -domain.upper))
    return {
        "Input shape": " x ".join(map(str, network.input_shape)),
        "Outputs": f"{network.output_size} ({network.convention.meaning}, {network.convention.decision})",
        "Input domain": f"within [{low:g}, {-high:g}]" if domain.bounded else "not bounded",
    }


def _outputs(inputs: Inputs) -> dict[int, NDArray[np.float64]]:
    """Raw outputs at the inputs, by their position in the data set; inputs without finite outputs are left out."""
    from netassay.checking.replay import Replayer, classify
    from netassay.errors import NotFiniteError

    replayer = Replayer(inputs.network)
    found: dict[int, NDArray[np.float64]] = {}
    for index, point in zip(inputs.data.indices.tolist(), inputs.data.inputs, strict=True):
        with suppress(NotFiniteError):
            found[index] = classify(replayer, point)
    return found
