"""Which features the nearest witnesses change: a reading of what was found, HEURISTIC, and no attribution method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.numerics.norms import Norm
from netassay.reports import images
from netassay.reports.figures import figure
from netassay.reports.images import Picture
from netassay.reports.presentation import Presentation
from netassay.reports.tables import Cell, Column, Grid
from netassay.reports.wording import printable
from netassay.results.answer import Answer, RadiusAnswer
from netassay.results.guarantee import Guarantee
from netassay.results.summary import witness_distance

MOST_FEATURES = 10
LONGEST = 96
"""Pixels of a map's longer side."""


@dataclass(frozen=True, slots=True)
class Relevance:
    """Where the nearest witnesses of one group change the input: a map of pictures, or a table of features."""

    title: str
    witnesses: int
    map: Picture | None
    table: Grid | None


def relevance(members: Sequence[Answer], title: str, show: Presentation) -> Relevance | None:
    """The mean over all nearest witnesses of abs(change) / largest change.

    None for L-infinity, whose nearest witnesses change every feature alike, without witnesses, and with inputs of several sizes.
    """
    radii = [a for a in members if isinstance(a, RadiusAnswer) and a.region.norm is not Norm.LINF]
    found = [(a.center, a.witness.point) for a in radii if a.witness is not None and (witness_distance(a) or 0.0) > 0]
    if not found or len({center.shape for center, _ in found}) != 1:
        return None
    shares = mean_shares(found, show)
    if show.image_layout is not None:
        return Relevance(title, len(found), images.picture(1 - shares, show.image_layout, (0.0, 1.0), longest=LONGEST), None)
    return Relevance(title, len(found), None, _table(shares, title, len(found), show))


def mean_shares(found: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]], show: Presentation) -> NDArray[np.float64]:
    """Shape of one input, in [0, 1]: 1 for a feature that every witness changes most, in units of the scale; pairs (center, point)."""
    shape = found[0][0].shape
    scale = show.scale_of(shape)
    total = np.zeros(int(np.prod(shape)))
    for center, point in found:
        change = np.abs(np.asarray(point, dtype=np.float64) - np.asarray(center, dtype=np.float64)).reshape(-1)
        change = change if scale is None else change / scale
        largest = float(change.max())
        total += change / largest if 0 < largest < np.inf else 0.0
    return np.asarray((total / len(found)).reshape(shape))


def _table(shares: NDArray[np.float64], title: str, witnesses: int, show: Presentation) -> Grid:
    flat = shares.reshape(-1)
    order = [int(i) for i in np.argsort(-flat, kind="stable")[:MOST_FEATURES] if flat[i] > 0]
    return Grid(
        f"{title}: features that the {witnesses} nearest witnesses change most",
        (
            Column("Feature", tuple(Cell(printable(show.feature_name(i, shares.shape))) for i in order)),
            Column("Mean share of the largest change", tuple(Cell(figure(float(flat[i])), str(Guarantee.HEURISTIC)) for i in order), True),
        ),
    )
