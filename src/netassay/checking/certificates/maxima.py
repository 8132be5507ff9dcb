"""A network as a chain of maxima around a centre, and the matrices between them if all went on picking what they pick there.

Every nonlinear operator is read as ``y = c(x) + max(0, g_1(x), ..., g_m(x))``: c is one of the alternatives (a number of the value that is
read, or the constant 0 of a ReLU), the gaps g are the others less c. That is so whichever c is; the one that is about the greatest at the
centre makes all gaps about 0 or less there. A ReLU has one gap; a ReLU and the pooling behind it are one operator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import TINY, Array, Positions
from netassay.checking.certificates.local import Centre, Local, Mapped
from netassay.checking.certificates.network import CheckedNetwork
from netassay.errors import DataError

Floats = NDArray[np.float32]

LARGEST_MAPS = 1 << 26
"""Numbers of the maps of one frame, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """One operator of a chain, with o results and m gaps of each.

    Args:
        value: The value that it reads.
        end: The value that is its result.
        choice: (o,) number of the value that is read, or -1 for the constant 0.
        others: (m, o) the same of each gap's alternative.
        gap: (m, o) numbers, 0 at most, near the gaps at the centre.
        off: (o,) how far the gaps of a result are from these, at most.
    """

    value: int
    end: int
    choice: Positions
    others: Positions
    gap: Array
    off: Array


def maxima_of(centre: Centre) -> list[Maximum]:
    """The operators of a network, in order.

    Raises:
        DataError: If it is no chain of affine maps, ReLUs and maxima.
    """
    network, found, position = centre.network, list[Maximum](), 0
    if any(inputs != (i,) for i, inputs in enumerate(network.inputs)):
        raise DataError("pairs of pixels are followed through chains of layers; this network has branches")
    while position < len(network.inputs):
        if network.maps[position] is None:
            units, end = _alternatives(network, position)
            found.append(_maximum(centre, position, end, units))
            position = end
        else:
            position += 1
    return found


def _alternatives(network: CheckedNetwork, position: int) -> tuple[Positions, int]:
    """(o, k) what the results of an operator are the greatest of, and the value with the results."""
    index = network.windows[position]
    if index is not None:
        if (index < 0).any():
            raise DataError("pairs of pixels are followed through padded pooling behind a ReLU alone")
        return index, position + 1
    if network.left(position) != 0:
        raise DataError(f"pairs of pixels are followed through ReLUs and maxima, not through {network.graph.nodes[position].operator.name}")
    following = network.windows[position + 1] if position + 1 < len(network.windows) else None
    if following is not None:  # what pooling is padded by is not above 0
        return np.concatenate([following, np.full((len(following), 1), -1)], axis=1), position + 2
    units = np.arange(network.sizes[position])[:, None]
    return np.concatenate([units, np.full((len(units), 1), -1)], axis=1), position + 1


def _maximum(centre: Centre, value: int, end: int, units: Positions) -> Maximum:
    a = centre.network.arithmetic
    at, error = (np.append(of[value], a.zeros(1)) for of in (centre.values, centre.errors))
    best = at[units].argmax(axis=1)
    row = np.arange(len(units))
    behind = (best[:, None] + 1 + np.arange(units.shape[1] - 1)) % units.shape[1]
    choice, others = units[row, best], np.take_along_axis(units, behind, axis=1).T
    gap = at[others] - at[choice]
    off = error[others] + error[choice] + 4 * a.gamma(1) * (np.abs(at[others]) + np.abs(at[choice])) + a.tiny
    exact = (others < 0) & (choice < 0)  # 0 less 0
    return Maximum(value, end, choice, others, np.minimum(gap, 0), np.where(exact, 0, off).max(axis=0, initial=0))


class Frame:
    """What some pixels reach of a chain: there alone may their changes have an interplay with others.

    Numbers that maxima read are numbered through, operator by operator (``units``); so are gaps, T in all, those of one operator one
    after the other by (m, o), and results, K in all.

    Args:
        centre: The values at the centre.
        maxima: The chain.
        features: What may change, ascending.
        rows: (R, outputs) linear forms of the network's outputs.
    Attributes:
        units: (V,) ascending.
        choice, other: (T,) positions among the units; V for the constant 0.
        gap: (T,) numbers of 0 at most near the gaps at the centre.
        off: (K,) how far the gaps of a result are from these, at most.
        shapes: By operator, (m, o).
        maps: By operator, and then of the rows: (results of the operators before, gaps or rows), about by how much these grow with
            what the results grow by, if all operators pick what they pick at the centre; ``sizes`` are the magnitudes.
        masses: For each of these the sums (gaps or rows,) over its results of the magnitudes of all that is added up in them, a ``TINY``
            for what underflows included.
        terms: ``gamma(terms)`` times these sums is more than all entries together are off by.
    Raises:
        DataError: If the maps are too large.
    """

    def __init__(self, centre: Centre, maxima: list[Maximum], features: Positions, rows: Array) -> None:
        local = Local(centre, features)
        begins = unit_begins(centre.network, maxima)
        self._pushing = _Pushing(local, maxima)
        units, choices, others, places = list[Positions](), list[Positions](), list[Positions](), 0
        gaps, offs = [np.zeros(0)], [np.zeros(0)]
        self.shapes: list[tuple[int, int]] = []
        kept: list[tuple[Positions, Positions, Positions]] = []
        for each, begin in zip(maxima, begins, strict=True):
            results, own, choice, other = _touched(each, local.reached[each.value], centre.network.sizes[each.value])
            kept.append((results, choice, other))
            units.append(own + begin)
            choices.append(np.broadcast_to(np.where(choice < 0, -1, np.searchsorted(own, choice) + places), other.shape).reshape(-1))
            others.append(np.where(other < 0, -1, np.searchsorted(own, other) + places).reshape(-1))
            places += len(own)
            gaps.append(each.gap[:, results].reshape(-1))
            offs.append(each.off[results])
            self.shapes.append((len(other), len(results)))
        self.units = _joined(units)
        self.choice, self.other = (np.where(x < 0, places, x) for x in (_joined(choices), _joined(others)))
        self.gap, self.off = np.concatenate(gaps), np.concatenate(offs)
        _limited(self.shapes, local)
        self.maps, self.masses = self._pushing.through(kept, rows)
        self.sizes, self.terms = [np.abs(each) for each in self.maps], self._pushing.terms

    def gaps(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Ends (N, T) of what the gaps change by where the units change by something between ``low`` and ``high`` (N, V).

        Rounded once, to nearest.
        """
        nothing = np.zeros((len(low), 1), dtype=low.dtype)
        low, high = np.concatenate([low, nothing], axis=1), np.concatenate([high, nothing], axis=1)
        return low[:, self.other] - high[:, self.choice], high[:, self.other] - low[:, self.choice]


def unit_begins(network: CheckedNetwork, maxima: list[Maximum]) -> list[int]:
    """Where the numbers that each operator reads begin, if they are numbered through."""
    sizes = [network.sizes[each.value] for each in maxima]
    return [sum(sizes[:k]) for k in range(len(sizes))]


def _limited(shapes: list[tuple[int, int]], local: Local) -> None:
    before, widest = np.cumsum([0, *(o for _, o in shapes)]).tolist(), max(len(k) for k in local.kept)
    largest = max(before[-1] * widest, sum(b * m * o for b, (m, o) in zip(before[:-1], shapes, strict=True)))
    if largest > LARGEST_MAPS:
        raise DataError(
            f"{len(local.features)} pixels that share a frame need maps of {largest} numbers, more than are followed ({LARGEST_MAPS}): "
            "fewer have to share one"
        )


def _joined(parts: list[Positions]) -> Positions:
    return np.concatenate([np.zeros(0, dtype=np.intp), *parts])


def _touched(each: Maximum, changed: Positions, size: int) -> tuple[Positions, Positions, Positions, Positions]:
    """The results that depend on some numbers, all numbers that these read, and their choices and other alternatives."""
    touched = np.zeros(size + 1, dtype=np.bool_)
    touched[changed] = True
    results = np.flatnonzero(touched[each.choice] | touched[each.others].any(axis=0))
    choice, other = each.choice[results], each.others[:, results]
    own = np.unique(np.append(other.reshape(-1), choice))
    return results, own[own >= 0], choice, other


@dataclass(frozen=True, slots=True, eq=False)
class _Pushed:
    """What some numbers grow by with the results of operators before them.

    Args:
        matrix: (numbers, results), but for the last operator's.
        fresh: Of the last operator, the place of each result among the numbers; None once these are in the matrix.
        mass: (numbers,) bounds on the sums of the magnitudes of all that is added up in a row.
    """

    matrix: Array
    fresh: Positions | None
    mass: Array

    def mapped(self, weight: Array) -> _Pushed:
        """Through a matrix, or factors."""
        size = np.abs(weight)
        if weight.ndim == 1:
            return _Pushed(weight[:, None] * self.matrix, self.fresh, size * self.mass + TINY)._factored(weight)
        own = [] if self.fresh is None else [weight[:, self.fresh]]
        return _Pushed(np.concatenate([weight @ self.matrix, *own], axis=1), None, size @ self.mass + TINY)

    def _factored(self, weight: Array) -> _Pushed:
        return self if self.fresh is None else _Pushed(_with_fresh(self.matrix, self.fresh, weight), None, self.mass)

    def settled(self) -> _Pushed:
        """With nothing fresh."""
        return self._factored(np.ones(len(self.matrix)))


def _with_fresh(matrix: Array, fresh: Positions, weight: Array) -> Array:
    own = np.zeros((len(matrix), len(fresh)))
    own[fresh, np.arange(len(fresh))] = weight[fresh]
    return np.concatenate([matrix, own], axis=1)


class _Pushing:
    """Results of maxima, pushed on through what comes behind them."""

    def __init__(self, local: Local, maxima: list[Maximum]) -> None:
        self._local, self._maxima = local, maxima
        self._steps = {step.position: step for step in local.steps if isinstance(step, Mapped)}
        self.terms = 0

    def through(self, kept: list[tuple[Positions, Positions, Positions]], rows: Array) -> tuple[list[Array], list[Array]]:
        """The maps and masses of a frame, of the results, choices and others of each operator that are kept."""
        maps, masses, position, first = list[Array](), list[Array](), 0, self._local.kept[0]
        pushed = _Pushed(np.zeros((len(first), 0)), None, np.zeros(len(first)))
        for each, (results, choice, other) in zip(self._maxima, kept, strict=True):
            pushed = self._affine(pushed, position, each.value)
            of = self._local.kept[each.value]
            chosen, others = (np.where(x < 0, len(of), np.searchsorted(of, x)) for x in (choice, other))
            matrix, mass = np.concatenate([pushed.matrix, np.zeros((1, pushed.matrix.shape[1]))]), np.append(pushed.mass, 0.0)
            picked = matrix[chosen]
            maps.append(np.ascontiguousarray((matrix[others] - picked).reshape(others.size, matrix.shape[1]).T))
            masses.append((mass[others] + mass[chosen]).reshape(-1))
            place, total = np.searchsorted(self._local.kept[each.end], results), np.zeros(len(self._local.kept[each.end]))
            through = np.zeros((len(total), matrix.shape[1]))
            through[place], total[place] = picked, mass[chosen] + 1.0
            pushed, position = _Pushed(through, place, total), each.end
        pushed = self._affine(pushed, position, len(self._local.network.inputs))
        self.terms += rows.shape[1] + 2 * len(maps) + 8
        return [*maps, np.ascontiguousarray((rows @ pushed.matrix).T)], [*masses, np.abs(rows) @ pushed.mass + TINY]

    def _affine(self, pushed: _Pushed, begin: int, end: int) -> _Pushed:
        """Through the affine nodes from one value to another."""
        for position in range(begin, end):
            step = self._steps.get(position)
            if step is None:  # nothing is kept of its result
                columns = pushed.settled().matrix.shape[1]
                pushed = _Pushed(np.zeros((0, columns)), None, np.zeros(0))
            else:
                pushed = pushed.mapped(step.weight)
                self.terms += 4 + (step.weight.shape[1] if step.weight.ndim == 2 else 1)
        return pushed.settled()
