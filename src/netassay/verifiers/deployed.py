"""Claims about the network as float32 evaluates it: what rounding may take from every row is taken off before it is proved.

``checking.drift`` bounds, over a box, how far the computed value of a row may lie below the real one. A row whose real value exceeds
that is positive for every float32 evaluation. Over regions of few inputs, branch and bound takes the drift of each box, which falls
faster than the box. Elsewhere the drift over the whole region is taken off the claim's constants if it is small, else every operator's
rounding becomes an input of its own (``perturbed``); either way any verifier may prove the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from netassay.checking.drift import drift
from netassay.models.graph import Graph
from netassay.verifiers.base import Finding, Task, Verifier
from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting
from netassay.verifiers.claim import Claim
from netassay.verifiers.perturbed import perturbed
from netassay.verifiers.propagation.interval import Range, bounded_graph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array, down

SMALL = 1e-3
"""A drift that is simply taken off; what is larger is worth following in detail."""

REASON = "drift"
"""Why a claim is not decided that rounding may break, as far as is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Drifting:
    """The drift of all rows of a claim.

    Args:
        claim: Its graph shares the operators of ``deployed``, and may go on to what is claimed of its outputs.
        deployed: The network that is evaluated in float32.
    """

    claim: Claim
    deployed: Graph

    def __call__(self, regions: Regions, ranges: Callable[[int], Range | None], *, inner: bool = False) -> Array:
        """(B, rows of all parts) how far each row may fall below its real value, for every float32 input of each region."""
        rows = np.concatenate([part.rows for part in self.claim.parts])
        found = drift(
            self.claim.graph, regions.lower, regions.upper, rows=rows, deployed=self.deployed, ranges=self._shared(ranges), inner=inner
        )
        return np.asarray(np.where(np.isnan(found), np.inf, found))

    def by_part(self, drifts: Array) -> list[Array]:
        """(B, rows of the part) for each part."""
        return np.split(drifts, np.cumsum([len(part.rows) for part in self.claim.parts])[:-1], axis=1)

    def lowered(self, regions: Regions) -> tuple[Claim | None, float]:
        """The claim whose proof over a region proves this one for float32, None where the drift is not bounded; and the largest drift."""
        bounds = LinearBounds(bounded_graph(self.claim.graph), regions)
        drifts = self(regions, lambda value: bounds.range(value) if value in bounds.bounded.relaxed else None, inner=True)
        most = float(drifts.max())
        if not np.isfinite(most):
            return None, most
        parts = zip(self.claim.parts, self.by_part(drifts), strict=True)
        return replace(self.claim, parts=tuple(replace(part, constants=down(part.constants - d.max(axis=0))) for part, d in parts)), most

    def _shared(self, ranges: Callable[[int], Range | None]) -> Callable[[int], Range | None] | None:
        """Known ranges, where they are about this graph: bounds of composite operators are about their parts."""
        return ranges if bounded_graph(self.claim.graph).graph is self.claim.graph else None


@dataclass(frozen=True, slots=True)
class Deployed:
    """A verifier's proofs, for the network as float32 evaluates it.

    Args:
        verifier: Proves the lowered claim.
        deployed: The network.
        splits: Whether the proof is to be a branch and bound over the inputs instead.
    """

    verifier: Verifier
    deployed: Graph
    splits: bool

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings whose lower bounds are those of the float32 network's s; candidates are of the lowered claim."""
        drifting = Drifting(task.claim, self.deployed)
        if self.splits:
            for finding in InputSplitting(drift=drifting).verify(task):
                stuck = finding.reason == "rounding"
                yield replace(finding, reason=REASON if stuck else finding.reason, source="input-splitting")
            return
        asked = self._asked(drifting, task)
        if asked is None:
            yield Finding(-np.inf, reason=REASON)
            return
        size, shape = prod(task.region.shape), task.region.shape
        for finding in self.verifier.verify(asked):
            point = None if finding.point is None else finding.point.reshape(-1)[:size].reshape(shape)
            yield replace(finding, point=point)

    def _asked(self, drifting: Drifting, task: Task) -> Task | None:
        """A task about real arithmetic whose proof is one for float32; None where rounding has no bound."""
        lowered, most = drifting.lowered(task.region)
        if most > SMALL and not task.limits.over:
            detailed = perturbed(task.claim, self.deployed, task.region)
            if detailed is not None:
                return replace(task, claim=detailed[0], region=detailed[1])
        return None if lowered is None else replace(task, claim=lowered)
