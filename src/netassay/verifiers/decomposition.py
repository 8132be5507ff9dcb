"""One layer of ReLUs that each read a few inputs: bounds by Lagrangian decomposition into groups that read the same ones.

Where the network is linear but for one layer of ReLUs, a row of the claim is a sum of functions h_g, one for each set of inputs that ReLUs
read (the windows of a convolution), and of a linear form. Bounding every h_g by itself would let the same input take another value in every
window; multipliers make that dear: for any l_g,

    min over x of sum h_g(x_g)  >=  sum min over x_g of (h_g(x_g) - <l_g, x_g>)  +  min over x of sum <l_g, x_g>.

(Guignard and Kim, 1987; for verification, Bunel et al., 2020, https://arxiv.org/abs/2002.10410, who decompose by layers.) The few inputs of
a group are cut into cells, in which most of its ReLUs are linear, so that all ReLUs of a window are bounded together and not one by one.
The multipliers are found by supergradient ascent; the bound holds for any of them, every rounding bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from netassay.errors import CapabilityError
from netassay.verifiers.base import Finding, Task
from netassay.verifiers.decomposition_cells import Cells
from netassay.verifiers.decomposition_sums import Sums, sums_of
from netassay.verifiers.propagation.root import best_of_parts
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import UNIT, Array, down, gamma

FIRST, LAST = 0.5, 0.01
"""Sizes of the ascent's first and last step, in units of the multipliers that linear bounds begin with."""


@dataclass(frozen=True, slots=True)
class Decomposition:
    """Incomplete: the gap that is left is what the groups disagree about, and the ReLUs that bend inside a cell.

    Args:
        steps: Steps of the ascent for every row.
        parts: Into how many each of a group's inputs is cut, one number after the other until the claim is decided.
    """

    steps: int = 60
    parts: tuple[int, ...] = (2, 4)

    def verify(self, task: Task) -> Iterator[Finding]:
        """One finding for every number of parts.

        Raises:
            CapabilityError: If the region is not bounded, or the network has other nonlinear operators than one layer of ReLUs that each
                read a few inputs.
        """
        region, claim = task.region, task.claim
        if not region.bounded:
            raise CapabilityError("a decomposition needs a bounded region; give a radius, or a domain with finite ends")
        sums = sums_of(claim, region)
        lower = np.full(len(sums.weights), -np.inf)
        for parts in self.parts:
            for row in range(len(lower)):
                if not claim.holds(lower[row]) and not task.limits.over:
                    lower[row] = max(lower[row], _bound(sums, row, parts, self.steps, region, lambda: task.limits.over))
            least = float(best_of_parts(claim, lower).min(initial=np.inf))
            holds = claim.holds(least)
            last = task.limits.over or parts == self.parts[-1]
            yield Finding(least, proved=holds, reason="incomplete" if last and not holds else "")
            if holds or last:
                return


def _bound(sums: Sums, row: int, parts: int, steps: int, region: Regions, over: Callable[[], bool]) -> float:
    """A proved lower bound of one row."""
    with np.errstate(all="ignore"):
        whole = Cells.of(sums, sums.weights[row], 1)
        cells = Cells.of(sums, sums.weights[row], parts)
        multipliers = ascended(sums, row, cells, whole.slope[:, 0], steps, over)
        return max(_proved(sums, row, cells, multipliers, region), _proved(sums, row, whole, whole.slope[:, 0], region))


def ascended(sums: Sums, row: int, cells: Cells, multipliers: Array, steps: int, over: Callable[[], bool]) -> Array:
    """(G, D) multipliers of a large bound, up to rounding: Adam on the supergradient; enough is above 0 by more than rounding."""
    best, kept = -np.inf, multipliers
    if not multipliers.size:
        return kept
    enough = 2 * sums.error[row] + 1e-9 * (1 + abs(float(sums.constant[row])))
    first, second = np.zeros_like(multipliers), np.zeros_like(multipliers)
    scale = FIRST * np.abs(multipliers).mean()
    for step in range(1, steps + 1):
        least, points = cells.least(multipliers)
        total = sums.gathered(row, multipliers)
        inputs = np.where(total > 0, sums.low, sums.high)
        bound = float(least.sum() + total @ inputs + sums.constant[row])
        if bound > best:
            best, kept = bound, multipliers
        if bound > enough or over():
            break
        gradient = inputs[sums.reads] - points
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        direction = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-12)
        multipliers = multipliers + scale * (LAST / FIRST) ** (step / steps) * direction
    return kept


def _proved(sums: Sums, row: int, cells: Cells, multipliers: Array, region: Regions) -> float:
    """The bound that these multipliers give, in real arithmetic."""
    groups = cells.proved(multipliers)
    total, most = sums.gathered(row, multipliers), np.maximum(np.abs(sums.low), np.abs(sums.high))
    sizes = np.abs(sums.linear[row]) @ most[:-1] + np.abs(multipliers).reshape(-1) @ most[sums.reads].reshape(-1)
    least = region.minimum(total[None, :-1].reshape(1, *region.shape), np.zeros(1, dtype=np.intp))[0]
    constant = float(sums.constant[row])
    slack = sums.error[row] + 2 * gamma(multipliers.size + 2) * sizes + 2 * gamma(len(groups) + 2) * np.abs(groups).sum()
    slack += 8 * UNIT * (np.abs(groups.sum()) + np.abs(least) + abs(constant))
    return float(down(groups.sum() + least + constant - slack * (1 + 1e-6)))
