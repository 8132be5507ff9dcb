"""The least s seen at points that a proof looks at on its way: a claim that fails at one needs no proof."""

from __future__ import annotations

import numpy as np

from netassay.verifiers.base import Task
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.probe import values
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.rounding import Array


class Seen:
    """Points of one L0 ball, given by their offsets from its centre.

    Args:
        task: Its region is one L0 ball.
    Attributes:
        least: The least s so far, infinite before the first point.
        point: Where it was seen (input shape).
    """

    def __init__(self, task: Task) -> None:
        (geometry,) = task.region.balls
        self._task, self._center = task, geometry.center
        self._evaluator = Evaluator(bounded_graph(task.claim.graph))
        self.least, self.point = np.inf, geometry.center.reshape(task.region.shape)

    @property
    def broken(self) -> bool:
        """Whether the claim fails at the point."""
        return not self._task.claim.holds(self.least)

    def look(self, offsets: Array) -> None:
        """Evaluates the centre moved by offsets (N, n), inside the region."""
        region = self._task.region
        low, high = region.corners
        points = np.where(offsets == 0, self._center, np.clip(self._center + offsets, low[0], high[0]))
        points = points.reshape(-1, *region.shape)
        found = values(self._task.claim, self._evaluator.outputs(points))
        i = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
        if found[i] < self.least:
            self.least, self.point = float(found[i]), points[i]
