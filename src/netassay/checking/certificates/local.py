"""A network as some of its inputs see it: what they do not reach stays what it is at a point.

With all other inputs at that point, ``z = W y + b`` of the numbers z that the inputs reach is ``W' y' + c``, where y' are the inputs that
change and c is what is left over. In float64 both the values at the point and c are off a little. By how much that can move the
network's outputs is bounded once for all inputs (``Centre.drift``): an operator with kinks moves no further than what it reads. What a
smooth one reads is widened by its drift instead, so that all that is said of its results is said of the network's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from netassay.checking.certificates.affine import Affine, Windows
from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.network import CheckedNetwork
from netassay.errors import DataError

LARGEST_BLOCK = 1 << 24
"""Weights between the numbers that are kept on both sides of one map, at most."""


class Centre:
    """The values of a network at a point, and what they err by.

    Args:
        network: The network.
        point: (n,) a point, exact.
    Attributes:
        values: For each value of the network, numbers (m,) near it.
        errors: How far these are off, at most.
        drifts: How far the values of a ``Local`` with this centre are off, at most, at any input.
    """

    def __init__(self, network: CheckedNetwork, point: Array) -> None:
        a = network.arithmetic
        self.network = network
        self.values: list[Array] = [point]
        self.errors: list[Array] = [a.zeros(len(point))]
        self.drifts: list[Array] = [a.zeros(len(point))]
        with np.errstate(all="ignore"):
            for position, inputs in enumerate(network.inputs):
                given = [np.concatenate([a.zeros(0), *(of[i] for i in inputs)]) for of in (self.values, self.errors, self.drifts)]
                mapped = network.maps[position]
                value, error, drift = self._affine(mapped, *given) if mapped is not None else self._bent(position, *given)
                self.values.append(value)
                self.errors.append(error)
                self.drifts.append(drift)

    @property
    def drift(self) -> Array:
        """(m,) that of the outputs."""
        return self.drifts[-1]

    def _affine(self, mapped: Affine, given: Array, error: Array, drift: Array) -> tuple[Array, Array, Array]:
        """The map's ``c`` adds to the drift what it is off by: both values, and its own rounding."""
        a = self.network.arithmetic
        value, size = (mapped.linear(x[None], absolute=absolute)[0] for x, absolute in ((given, False), (np.abs(given), True)))
        value, size = value + mapped.constant, size + np.abs(mapped.constant)
        spread, moved = (mapped.linear(x[None], absolute=True)[0] for x in (error, drift))
        terms = prod(mapped._weight.shape[2:]) + 2 if isinstance(mapped, Windows) else mapped.terms
        lost = 4 * a.gamma(terms) * (size + spread + moved) + a.tiny
        own = spread + lost
        return value, own, moved + 2 * own + spread + lost

    def _bent(self, position: int, given: Array, error: Array, drift: Array) -> tuple[Array, Array, Array]:
        a, left, index = self.network.arithmetic, self.network.left(position), self.network.windows[position]
        if index is not None:
            value = np.where(index < 0, -np.inf, given[index]).max(axis=1)
            return value, *(np.where(index < 0, 0, x[index]).max(axis=1) for x in (error, drift))
        curve = self.network.curve(position)
        if curve is not None:
            low, high = curve.value(a, a.down(given - error))[0], curve.value(a, a.up(given + error))[1]
            value = low / 2 + high / 2
            return value, a.up(np.maximum(high - value, value - low)), a.zeros(len(value))
        value = np.maximum(given, given * a.array(left or 0.0))
        own = error + 4 * a.gamma(1) * (np.abs(given) + error)
        return value, own, drift + 2 * own


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """An affine node of a local network.

    Args:
        position: Which node of the network.
        weight: (kept, numbers of all inputs), or (kept,) factors number by number.
        constant: (kept,).
    """

    position: int
    weight: Array
    constant: Array


@dataclass(frozen=True, slots=True, eq=False)
class Bent:
    """A nonlinear node of a local network.

    Args:
        position: Which node of the network.
        index: (kept,) positions among the numbers of its inputs; for an operator of windows (kept, k), with -1 for none.
    """

    position: int
    index: Positions


class Local:
    """The network as a function of some inputs, the others being at the centre.

    Args:
        centre: The values at the centre.
        features: Ascending inputs.
    Attributes:
        reached: For each value its numbers that depend on the inputs, as far as the maps tell, ascending.
        kept: For each value its numbers that are kept, ascending: these, and what windows read beside them.
        steps: The nodes with numbers that are kept.
    Raises:
        DataError: If these are too many.
    """

    def __init__(self, centre: Centre, features: Positions) -> None:
        self.network, self._centre, self.features = centre.network, centre, features
        self.reached = reached(centre, features)
        self.kept = self._needed(list(self.reached))
        self.steps = [self._step(p) for p in range(len(self.network.inputs)) if len(self.kept[p + 1])]

    @property
    def arithmetic(self) -> Arithmetic:
        return self.network.arithmetic

    def _needed(self, kept: list[Positions]) -> list[Positions]:
        """With all outputs, and all that nonlinear operators read for what is kept of them."""
        kept[-1] = np.arange(self.network.sizes[-1])
        for position in range(len(kept) - 2, -1, -1):
            if self.network.maps[position] is not None:
                continue
            index, wanted = self.network.windows[position], kept[position + 1]
            read = wanted if index is None else np.unique(index[wanted][index[wanted] >= 0])
            for value, (begin, end) in zip(self.network.inputs[position], _extents(self.network, position), strict=True):
                kept[value] = np.union1d(kept[value], read[(read >= begin) & (read < end)] - begin)
        return kept

    def _step(self, position: int) -> Mapped | Bent:
        a, outputs, inputs = self.arithmetic, self.kept[position + 1], self.inputs(position)
        entries, values = self.network.entries[position], self._centre.values
        if entries is None:
            index = self.network.windows[position]
            read = outputs if index is None else index[outputs]
            return Bent(position, np.where(read < 0, -1, np.searchsorted(inputs, read)))
        given = np.concatenate([a.zeros(0), *(values[i] for i in self.network.inputs[position])])[inputs]
        if entries.pointwise and len(outputs) == len(inputs) and bool((outputs == inputs).all()):
            weight = entries.factors(outputs)
            return Mapped(position, weight, values[position + 1][outputs] - weight * given)
        if len(outputs) * len(inputs) > LARGEST_BLOCK:
            raise DataError(
                f"{len(self.features)} inputs that change together reach {len(inputs)} numbers of a layer and {len(outputs)} of the next, "
                f"more than are followed (a product of {LARGEST_BLOCK}): a leaf has to leave fewer of them open"
            )
        weight = entries.block(outputs, inputs, a.zeros(len(outputs), len(inputs)))
        return Mapped(position, weight, values[position + 1][outputs] - weight @ given)

    def drift(self, step: Bent) -> Array:
        """(kept,) how far what a node of one number reads is off, at most."""
        drifts = [self._centre.drifts[v] for v in self.network.inputs[step.position]]
        return np.concatenate(drifts)[self.inputs(step.position)][step.index]

    def inputs(self, position: int) -> Positions:
        """What is kept of a node's inputs, which count as one long input."""
        begins = [begin for begin, _ in _extents(self.network, position)]
        found = [self.kept[v] + begin for v, begin in zip(self.network.inputs[position], begins, strict=True)]
        return np.concatenate([np.zeros(0, dtype=np.intp), *found])


def reached(centre: Centre, features: Positions) -> list[Positions]:
    """For each value at least all numbers that depend on some of the features, ascending."""
    network, found = centre.network, [np.asarray(features, dtype=np.intp)]
    for position, inputs in enumerate(network.inputs):
        extents = _extents(network, position)
        parts = [found[v] + begin for v, (begin, _) in zip(inputs, extents, strict=True)]
        given = np.concatenate([np.zeros(0, dtype=np.intp), *parts])
        entries, index = network.entries[position], network.windows[position]
        if entries is not None:
            found.append(entries.reached(given))
        else:
            found.append(given if index is None else np.flatnonzero(np.isin(index, given).any(axis=1)))
    return found


def _extents(network: CheckedNetwork, position: int) -> list[tuple[int, int]]:
    ends = np.cumsum([0, *(network.sizes[i] for i in network.inputs[position])]).tolist()
    return list(pairwise(ends))
