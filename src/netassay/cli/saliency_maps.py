"""Saliency maps for the report of L0 radii, where they are cheap beside the search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError
from netassay.falsifiers.sparse.saliency import saliency
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, RadiusAnswer
from netassay.results.severity import severity
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness

MOST = 12
"""Inputs that get a map, the worst first: as many as have a card."""

GRIDS = (3, 2)
"""Values of each feature that are tried, the first that is affordable; both ends of the domain are among them."""

TOGETHER = 8
"""Inputs whose maps are made at once."""


def saliency_maps(
    network: Network,
    answers: Sequence[Answer],
    layout: tuple[int, int, int],
    *,
    most: int | None = MOST,
    told: Callable[[int, int], None] | None = None,
) -> dict[int, NDArray[np.float64]]:
    """By index, how far each pixel alone (all its channels together) lowers the logit of the label; input shape.

    For L0 radii of inputs whose features may all take any value in the domain, where the map takes no more points than the search did.

    Args:
        network: The network, with its domain.
        answers: Answers about it.
        layout: (channels, height, width) of its inputs.
        most: Inputs that get a map, the worst first; None for all.
        told: Told after some maps how many there are, and how many there will be.
    Raises:
        DataError: If an answer does not fit the network.
    """
    chosen: dict[int, tuple[Answer, int]] = {}
    for answer in sorted((a for a in answers if has_map(a, network)), key=severity):
        points = _points(answer, layout)
        if points is not None and answer.index is not None:
            chosen.setdefault(answer.index, (answer, points))
    worst = list(chosen.values())[:most]
    found: dict[int, NDArray[np.float64]] = {}
    for batch, points in _batches(worst):
        found |= _maps(network, batch, layout, points)
        if told is not None:
            told(len(found), len(worst))
    return found


def has_map(answer: Answer, network: Network) -> bool:
    """Whether there is a map of what the answer is about, whatever it costs."""
    region = answer.region
    whole = region.free_features == region.features and not region.granular and network.domain.bounded
    known = answer.index is not None and answer.label is not None and network.labels > 1
    return isinstance(answer, RadiusAnswer) and region.norm is Norm.L0 and whole and known


def _points(answer: Answer, layout: tuple[int, int, int]) -> int | None:
    """Values of each feature: the finest grid that takes no more points than the search of this answer did."""
    channels, pixels = layout[0], layout[1] * layout[2]
    return next((p for p in GRIDS if pixels * p**channels <= answer.provenance.queries), None)


def _batches(chosen: Sequence[tuple[Answer, int]]) -> Iterator[tuple[list[Answer], int]]:
    """The answers with the same grid, a few at a time."""
    for points in GRIDS:
        members = [answer for answer, p in chosen if p == points]
        for i in range(0, len(members), TOGETHER):
            yield members[i : i + TOGETHER], points


def _maps(network: Network, batch: Sequence[Answer], layout: tuple[int, int, int], points: int) -> dict[int, NDArray[np.float64]]:
    for answer in batch:
        if answer.center.shape != network.input_shape or not 0 <= (answer.label or 0) < network.labels:
            raise DataError(
                f"the answer about input {answer.index} (shape {answer.center.shape}, label {answer.label}) does not fit {network.name}, "
                f"which takes {network.input_shape} and has {network.labels} labels; where it comes from was tampered with"
            )
    group = "pixel" if layout[0] > 1 else "feature"
    balls = [Ball(a.center, layout[1] * layout[2], "l0", domain=network.domain, group=group) for a in batch]
    asked = [Robustness(a.label or 0, on=Scale.LOGITS) for a in batch]
    maps = saliency([Problem(network, ball, keep) for ball, keep in zip(balls, asked, strict=True)], points=points)
    return {a.index: found for a, found in zip(batch, maps, strict=True) if a.index is not None}
