"""How far the effects of two groups of features fail to add up, for one group and many others at once.

For a number x of the network write ``x(a, b) = x0 + A + B + J`` with A and B what changing either group alone does, and J their interplay.
Affine maps carry J along. For a ReLU of h, with ``K = relu(h0 + A + B) - relu(h0 + A) - relu(h0 + B) + relu(h0)``: K is the integral of
a point mass over [0, A] x [0, B], so it is not negative where A and B have one sign, not positive where they have two, and greatest in
size at their ends; and J itself passes with a slope between 0 and 1. Two pixels far apart share few neurons and interplay little:
that settles most pairs without a bound of their own.
"""

from __future__ import annotations

import numpy as np

from netassay.models.nonlinear import Relu
from netassay.verifiers.rounding import UNDERFLOW, UNIT, Array, gamma, up
from netassay.verifiers.sparse.local_forms import LocalForms, Spans

BLOCK = 16
"""Groups whose ranges are taken together where there are many."""


class Interplay:
    """Bounds of the interplay of groups, from what each does alone.

    Args:
        local: The network around the input.
        spans: For every group, the ranges of what it alone does to the numbers that ReLUs read.
    """

    def __init__(self, local: LocalForms, spans: list[Spans]) -> None:
        self._local = local
        self.served = all(isinstance(operator, Relu) for operator, _ in local.bends.values())
        starts = range(0, len(spans), BLOCK)
        self._low, self._high = {}, {}
        for source in {source for _, source in local.bends.values()} if self.served else ():
            size = len(local.at[source][0])
            low, high = np.zeros((len(spans), size)), np.zeros((len(spans), size))
            for g, span in enumerate(spans):
                units, least, most = span[source]
                low[g, units], high[g, units] = np.minimum(least, 0), np.maximum(most, 0)
            self._low[source] = np.concatenate([low, *(low[i : i + BLOCK].min(axis=0, keepdims=True) for i in starts)])
            self._high[source] = np.concatenate([high, *(high[i : i + BLOCK].max(axis=0, keepdims=True) for i in starts)])
        self._count = len(spans)

    def block_drops(self, group: int, others: list[int]) -> Array:
        """What ``drops`` gives, or more: others are taken in blocks of ``BLOCK`` neighbours in their order, which is faster for many."""
        blocks, place = np.unique(np.array(others, dtype=np.intp) // BLOCK, return_inverse=True)
        return np.asarray(self.drops(group, (blocks + self._count).tolist())[place])

    def drops(self, group: int, others: list[int]) -> Array:
        """(others, R) how much further each row falls, at most, than by what the group and the other do alone."""
        with np.errstate(all="ignore"):
            found = self._drops(group, others)
        return np.where(np.isfinite(found), found, np.inf)

    def _drops(self, group: int, others: list[int]) -> Array:
        local, path = self._local, self._local.path((group,))
        nothing = np.zeros((len(path.units[0]), len(others)))
        middles, radii = {0: nothing}, {0: nothing}
        for value in sorted([*local.maps, *local.bends]):
            if value in local.maps:
                middles[value], radii[value] = self._mapped(group, value, middles, radii)
            else:
                source = local.bends[value][1]
                middles[value], radii[value] = self._bent(group, others, source, middles[source], radii[source])
        return self._rows(group, len(others), middles, radii)

    def _mapped(self, group: int, value: int, middles: dict[int, Array], radii: dict[int, Array]) -> tuple[Array, Array]:
        local, path, step = self._local, self._local.path((group,)), self._local.maps[value]
        sizes = [len(local.at[i][0]) for i in step.inputs]
        count = next(iter(middles.values())).shape[1]
        both, begin = np.zeros((2, sum(sizes), count)), 0
        for i, size in zip(step.inputs, sizes, strict=True):
            both[0, begin + path.units[i]], both[1, begin + path.units[i]] = middles[i], radii[i]
            begin += size
        loose = both[1] + 2 * gamma(step.terms) * (np.abs(both[0]) + both[1])
        return path.rows[value] @ both[0], (path.sizes[value] @ loose) * (1 + 4 * gamma(step.terms)) + UNDERFLOW

    def _bent(self, group: int, others: list[int], source: int, middle: Array, radius: Array) -> tuple[Array, Array]:
        units = self._local.path((group,)).units[source]
        at = (self._local.at[source][0][units, None], self._local.at[source][1][units, None])
        here, width = at[0] / 2 + at[1] / 2, at[1] - at[0]
        own = self._low[source][group, units][:, None], self._high[source][group, units][:, None]
        other = tuple(side[source][np.ix_(np.array(others, dtype=np.intp), units)].T for side in (self._low, self._high))
        slack = 4 * width + 32 * UNIT * (np.abs(here) + own[1] - own[0] + other[1] - other[0])
        most = np.maximum(_bend(here, own[0], other[0]), _bend(here, own[1], other[1]))
        least = np.minimum(_bend(here, own[0], other[1]), _bend(here, own[1], other[0]))
        silent = at[1] + own[1] + other[1] + np.maximum(middle + radius, 0) + slack < 0
        alone = (other[0] == 0) & (other[1] == 0) | (own[0] == 0) & (own[1] == 0)
        passed = np.minimum(middle - radius, 0) - slack, np.maximum(middle + radius, 0) + slack
        low = np.where(silent, 0.0, passed[0] + np.where(alone, 0.0, np.minimum(least, 0) - slack))
        high = np.where(silent, 0.0, passed[1] + np.where(alone, 0.0, np.maximum(most, 0) + slack))
        found = low / 2 + high / 2
        return found, up(np.maximum(high - found, found - low))

    def _rows(self, group: int, count: int, middles: dict[int, Array], radii: dict[int, Array]) -> Array:
        local, path = self._local, self._local.path((group,))
        total = np.zeros((len(local.center), count))
        for value, coefficients in local.tail.coefficients.items():
            used, errors = coefficients[:, path.units[value]], local.tail.errors[value][:, path.units[value]]
            size = np.abs(middles[value]) + radii[value]
            slack = errors @ size + 4 * gamma(used.shape[1] + 8) * (np.abs(used) @ size)
            total += np.abs(used) @ radii[value] - used @ middles[value] + slack + 8 * UNIT * np.abs(total)
        return up(total + 8 * UNIT * np.abs(total) + UNDERFLOW).T


def _bend(here: Array, one: Array, other: Array) -> Array:
    """K at the ends of two ranges."""
    return np.asarray(np.maximum(here + one + other, 0) - np.maximum(here + one, 0) - np.maximum(here + other, 0) + np.maximum(here, 0))
