"""The whole region: the claim's rows as the output of one graph, and what is proved about them before any split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.verifiers.base import Limits
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array

if TYPE_CHECKING:
    from netassay.verifiers.propagation.optimised import Ascent
    from netassay.verifiers.propagation.steered import Steered


def with_rows(claim: Claim) -> Graph:
    """The claim's graph, followed by all rows of all parts as its output."""
    builder = GraphBuilder(claim.graph.input_shape)
    values = [0]
    for node in claim.graph.nodes:
        values.append(builder.add(node.operator, *(values[i] for i in node.inputs), name=node.name))
    rows = np.concatenate([part.rows for part in claim.parts])
    constants = np.concatenate([part.constants for part in claim.parts])
    return builder.build(builder.add(op.Dense(rows, constants), values[-1], name="claim"))


def part_of_rows(claim: Claim) -> Positions:
    """(m,) the part of each row of ``with_rows``."""
    return np.repeat(np.arange(len(claim.parts)), [len(part.rows) for part in claim.parts])


def best_of_parts(claim: Claim, lower: Array) -> Array:
    """(parts,) the greatest bound of each part's rows (m,)."""
    owner = part_of_rows(claim)
    return np.array([lower[owner == p].max() for p in range(len(claim.parts))])


@dataclass(slots=True, eq=False)
class Root:
    """The whole region: what is proved about it before any split.

    Args:
        claim: What is to be proved.
        bounded: Of ``with_rows(claim)``.
        region: A single region.
        ranges: Proved ranges (1, *shape).
        lower: (parts,) proved bounds.
    """

    claim: Claim
    bounded: BoundedGraph
    region: Regions
    ranges: list[Range | None]
    lower: Array

    @classmethod
    def of(cls, claim: Claim, region: Regions) -> Root:
        """By linear bounds with the usual slopes."""
        bounded = BoundedGraph(with_rows(claim))
        bounds = LinearBounds(bounded, region)
        rows = np.eye(bounded.graph.output_size)
        found = bounds.minimum(bounded.output, rows, np.zeros(len(rows), dtype=np.intp)).lower
        lower = np.full(len(found), np.inf) if bounds.empty[0] else found
        ranges: list[Range | None] = [bounds.range(v) if v in bounded.relaxed else None for v in range(bounded.output + 1)]
        return cls(claim, bounded, region, ranges, best_of_parts(claim, lower))

    @property
    def least(self) -> float:
        """The proved bound of the claim."""
        return float(self.lower.min(initial=np.inf))

    def tighten(self, options: Ascent, limits: Limits, seconds: float = np.inf) -> None:
        """Optimises the ranges."""
        from netassay.verifiers.propagation.optimised import optimised_ranges

        self.ranges = optimised_ranges(self.bounded, self.region, self.ranges, options, limits, seconds)

    def steered(self) -> Steered:
        """Rows of the claim over the region."""
        from netassay.verifiers.propagation.passes import Passes
        from netassay.verifiers.propagation.steered import Steered

        return Steered(self.bounded, self.region, self.ranges, Passes(self.bounded, self.region), self.bounded.output)

    def optimise(self, options: Ascent, limits: Limits) -> Array:
        """(m,) optimised and proved bounds of every row of an undecided part; raises ``lower``."""
        import torch

        from netassay.verifiers.propagation.optimised import ascend

        steered, owner = self.steered(), part_of_rows(self.claim)
        lower = self.lower[owner]
        undecided = np.flatnonzero([not self.claim.holds(v) for v in lower])
        if len(undecided):
            rows = steered.rows(torch.eye(len(owner))[torch.from_numpy(undecided)])
            _, best = ascend(steered, rows, options, over=lambda: limits.over)
            found = np.full(len(owner), -np.inf)
            found[undecided] = steered.prove(best)
            self.lower = np.maximum(self.lower, best_of_parts(self.claim, found))
        return self.lower
