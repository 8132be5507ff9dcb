"""Saliency maps for the report of L0 radii, where they are cheap beside the search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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


def saliency_maps(network: Network, answers: Sequence[Answer], layout: tuple[int, int, int]) -> dict[int, NDArray[np.float64]]:
    """By index, how far each pixel alone (all its channels together) lowers the logit of the label; input shape.

    For L0 radii of inputs whose features may all take any value in the domain, where the map takes no more points than the search did.

    Args:
        network: The network, with its domain.
        answers: Answers about it.
        layout: (channels, height, width) of its inputs.
    """
    chosen = sorted((a for a in answers if _has_map(a, network)), key=severity)[:MOST]
    affordable = min((a.provenance.queries for a in chosen), default=0)
    pixels, channels = layout[1] * layout[2], layout[0]
    points = next((p for p in GRIDS if pixels * p**channels <= affordable), None)
    if not chosen or points is None:
        return {}
    group = "pixel" if channels > 1 else "feature"
    balls = [Ball(a.center, pixels, "l0", domain=network.domain, group=group) for a in chosen]
    asked = [Robustness(a.label or 0, on=Scale.LOGITS) for a in chosen]
    maps = saliency([Problem(network, ball, keep) for ball, keep in zip(balls, asked, strict=True)], points=points)
    return {a.index: found for a, found in zip(chosen, maps, strict=True) if a.index is not None}


def _has_map(answer: Answer, network: Network) -> bool:
    region = answer.region
    whole = region.free_features == region.features and not region.granular and network.domain.bounded
    known = answer.index is not None and answer.label is not None and network.labels > 1
    return isinstance(answer, RadiusAnswer) and region.norm is Norm.L0 and whole and known
