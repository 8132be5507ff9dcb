"""Saliency maps beside L0 witnesses (DeepTRE, section 5.3): how far each pixel alone lowers the logit of the label; HEURISTIC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.numerics.norms import Norm
from netassay.reports import images
from netassay.reports.figures import figure
from netassay.reports.images import Picture
from netassay.reports.presentation import Presentation
from netassay.results.answer import Answer, RadiusAnswer


@dataclass(frozen=True, slots=True)
class SaliencyMap:
    """The darker a pixel, the further it alone lowers the logit; black is ``most``."""

    picture: Picture
    most: str


def saliency_map(answer: Answer, show: Presentation) -> SaliencyMap | None:
    """The map of an L0 radius whose inputs are pictures; None where none is known, or no pixel alone lowers the logit.

    Of several channels of a pixel the one that lowers it furthest is shown.
    """
    found = None if answer.index is None else show.saliency.get(answer.index)
    if found is None or show.image_layout is None or not isinstance(answer, RadiusAnswer) or answer.region.norm is not Norm.L0:
        return None
    images.check_layout(show.image_layout, found.size)
    drops = np.asarray(found, dtype=np.float64).reshape(show.image_layout).max(axis=0)
    most = float(drops.max())
    if not 0 < most < np.inf:
        return None
    return SaliencyMap(images.picture(1 - drops / most, (1, *show.image_layout[1:]), (0.0, 1.0)), figure(most))
