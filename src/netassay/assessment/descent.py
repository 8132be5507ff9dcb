"""Descents: searches that bring a violation nearer to the centre, between the rounds of a method."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from netassay.assessment.boundary import BoundaryWalk
from netassay.assessment.minimum_norm import MinimumNorm
from netassay.assessment.openings import openings
from netassay.assessment.session import Session
from netassay.falsifiers.base import Method
from netassay.falsifiers.search import Search
from netassay.falsifiers.sparse.beam import BeamSearch
from netassay.falsifiers.sparse.guided import GuidedSearch
from netassay.numerics.norms import Norm

GUIDED = ("auto", "gradient")
"""Methods that use the gradients of networks that offer them."""

ALONE = ("random",)
"""Methods that are not helped: baselines."""

FEW = 16
"""Free features up to which ``auto`` walks, too, where it has gradients (measured on ACAS Xu, L-infinity, 10,000 queries: mean
ratio to the nearest witness known 1.000, with climbs alone 1.03)."""


class Descent:
    """Climbs that follow the boundary where the method uses gradients, walks along it otherwise; in turn for ``auto`` and few features.

    L0 witnesses are not brought nearer by degrees: for them sets of changes are searched (``falsifiers.sparse``), of all problems. One-hot
    blocks are not walked with, feature by feature.

    Args:
        session: The question.
    """

    def __init__(self, session: Session) -> None:
        self._search = session.search
        self._kinds = _kinds(self._search, session.settings.method)
        self._turn = 0
        self._openings: Tensor | None = None
        self._beams = _beams(self._search, session.settings.method)

    def open(self, queries: int, seconds: float | None) -> None:
        """What needs no violation to begin with: the beams of L0."""
        if self._beams:
            self.run(queries, seconds)

    def run(self, queries: int, seconds: float | None) -> None:
        """The next descent, of the problems with a violation: from the nearest one and from the openings."""
        _widen(self._beams, queries, seconds)
        if not self._kinds:
            return
        search, kind = self._search, self._kinds[self._turn % len(self._kinds)]
        if self._openings is None:
            self._openings = openings(search)
        self._turn += 1
        nearest = search.records.nearest.double().cpu().numpy()
        some = np.flatnonzero(np.isfinite(nearest))
        if not len(some):
            return
        arms = search.arms(some, np.full(len(some), -1.0), search.space.radii[some])
        starts = torch.cat([search.records.nearest_points.unsqueeze(1), self._openings], dim=1)[arms.owner]
        units = arms.units(torch.arange(len(arms), device=starts.device), starts)
        method: Method = BoundaryWalk() if kind is BoundaryWalk else MinimumNorm(nearest[some] / search.space.radii[some])
        search.run(method, arms, queries=queries, seconds=seconds, starts=units)


def _beams(search: Search, method: str) -> list[BeamSearch | GuidedSearch]:
    if search.space.norm is not Norm.L0 or search.space.snaps or method in ALONE:
        return []
    guided = method in GUIDED and search.network.differentiable
    return [GuidedSearch(search, b) if guided else BeamSearch(search, b, gradients=False) for b in range(len(search.problems))]


def _widen(beams: list[BeamSearch | GuidedSearch], queries: int, seconds: float | None) -> None:
    """One problem after the other; each gets an equal part of the time that those before it have left."""
    for i, beam in enumerate(beams):
        if beam.search.stopped or beam.search.clock.expired or beam.search.interrupted():
            return
        begin = beam.search.clock.elapsed
        beam.run(queries, None if seconds is None else seconds / (len(beams) - i))
        seconds = None if seconds is None else max(0.0, seconds - (beam.search.clock.elapsed - begin))


def _kinds(search: Search, method: str) -> list[type[BoundaryWalk] | type[MinimumNorm]]:
    space = search.space
    if space.norm is Norm.L0 or method in ALONE:
        return []
    guided = method in GUIDED and search.network.differentiable
    walked = not space.blocks and (not guided or (method == "auto" and space.dimension <= FEW))
    return [BoundaryWalk] * walked + [MinimumNorm] * guided
