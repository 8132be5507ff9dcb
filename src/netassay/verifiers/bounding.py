"""Verifiers of a single pass: bounds of the claim over the whole region, which either suffice or do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from netassay.verifiers.base import Finding, Task
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array, down, gamma

PartBounds = Callable[[Claim, Regions], Array]
"""(parts, B) lower bounds of each part of a claim over each region: the greatest of its rows' bounds."""


@dataclass(frozen=True, slots=True)
class Bounding:
    """One pass of bound propagation; incomplete.

    Args:
        bounds: The kind of bounds.
    """

    bounds: PartBounds

    def verify(self, task: Task) -> Iterator[Finding]:
        """One finding: the least part's bound."""
        found = self.bounds(task.claim, task.region)
        lower = float(found.min(initial=np.inf))
        holds = task.claim.holds(lower)
        yield Finding(lower, proved=holds, reason="" if holds else "incomplete")


def interval_bounds(claim: Claim, regions: Regions) -> Array:
    """By interval propagation alone."""
    low, high = bounded_graph(claim.graph).propagate(regions)[-1]
    with np.errstate(all="ignore"):
        bounds = []
        for part in claim.parts:
            rising, falling = np.maximum(part.rows, 0), np.minimum(part.rows, 0)
            value = np.where(rising > 0, low[:, None] * rising, 0).sum(axis=2) + np.where(falling < 0, high[:, None] * falling, 0).sum(
                axis=2
            )
            size = np.where(part.rows != 0, np.maximum(np.abs(low), np.abs(high))[:, None] * np.abs(part.rows), 0).sum(axis=2)
            slack = 2 * gamma(part.rows.shape[1] + 2) * (size + np.abs(part.constants))
            bounds.append(down(value + part.constants - slack).max(axis=1))
    return np.stack(bounds)


def linear_bounds(claim: Claim, regions: Regions) -> Array:
    """By backward linear bounds of every layer."""
    return rows_of_parts(claim, LinearBounds(bounded_graph(claim.graph), regions))


def rows_of_parts(claim: Claim, bounds: LinearBounds) -> Array:
    """(parts, B) each part's bound, from all rows of all parts in one batch."""
    count = len(bounds.regions)
    rows = np.concatenate([part.rows for part in claim.parts])
    constants = np.concatenate([part.constants for part in claim.parts])
    owner = np.repeat(np.arange(count), len(rows))
    found = bounds.minimum(bounds.bounded.output, np.tile(rows, (count, 1)), owner, np.tile(constants, count)).lower
    per_row = np.where(bounds.empty[:, None], np.inf, found.reshape(count, len(rows)))
    ends = np.cumsum([len(part.rows) for part in claim.parts])[:-1]
    return np.stack([block.max(axis=1) for block in np.split(per_row, ends, axis=1)])
