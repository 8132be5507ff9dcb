"""A chain of ReLUs and maxima around one input: what each of them picks there, and the matrices between them if all went on picking that.

Every such operator is read as ``y = c(x) + max(0, g_1(x), ..., g_m(x))``: c is the alternative that is greatest at the centre (a number of
the value that is read, or the constant 0 of a ReLU), and the gaps g are the others less it, at most 0 at the centre. A ReLU has one gap; a
ReLU and the pooling behind it are one operator with a gap for each number of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.sparse import csr_array, eye_array

from netassay.errors import CapabilityError
from netassay.models.nonlinear import MaxPool, Relu
from netassay.models.operators import Shape
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import LARGEST, SMALLEST, UNIT, Array, gamma
from netassay.verifiers.sparse.reach import matrix
from netassay.verifiers.sparse.window_arithmetic import entries


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """One operator of the chain.

    Args:
        value: Position of the value that it reads, of n numbers.
        end: Position of its result.
        choice: (o,) number of that value, or -1 for the constant 0.
        others: (m, o) the same of each gap's alternative.
        low, high: (m, o) ends of each gap at the centre, wider than 0 by the rounding of the centre's evaluation alone.
        size: n.
    """

    value: int
    end: int
    choice: Positions
    others: Positions
    low: Array
    high: Array
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A linear map, nearly: ``weights`` (outputs, inputs), each off by at most ``error``; no row's sizes sum up to more than ``mass``."""

    weights: csr_array
    error: float
    mass: float

    @classmethod
    def of(cls, weights: csr_array, error: float) -> Link:
        sizes = np.asarray(abs(weights).sum(axis=1)).reshape(-1)
        return cls(weights, error, float(sizes.max(initial=0.0)) * (1 + 2 * gamma(weights.shape[1])) + error * weights.shape[1])

    def then(self, other: Link) -> Link:
        """This map, and another one behind it."""
        product = csr_array(other.weights @ self.weights)
        largest = float(np.abs(self.weights.data).max(initial=0.0))
        terms = other.weights.shape[1] + 2
        error = (gamma(terms) * other.mass * largest + other.mass * self.error + other.error * terms * (largest + self.error)) * (1 + 1e-9)
        return Link.of(product, error)

    def picked(self, rows: Positions) -> Link:
        """The outputs of these numbers; 0 for -1."""
        kept = rows >= 0
        selection = csr_array((np.ones(int(kept.sum())), (np.flatnonzero(kept), rows[kept])), shape=(len(rows), self.weights.shape[0]))
        return Link.of(csr_array(selection @ self.weights), self.error)

    def less(self, other: Link) -> Link:
        """This map less another one of the same shape."""
        largest = max(float(np.abs(link.weights.data).max(initial=0.0)) for link in (self, other))
        error = (self.error + other.error + 2 * UNIT * largest) * (1 + 1e-9)
        return Link.of(csr_array(self.weights - other.weights), error)


def maxima(bounded: BoundedGraph, at: list[Range], last: int) -> list[Maximum]:
    """The operators of a chain up to a value.

    Args:
        bounded: The graph; each node reads the one before.
        at: Ranges of every value at the centre.
        last: The value behind the last of them.
    Raises:
        CapabilityError: If there is another nonlinear operator than ReLUs and poolings right behind one.
    """
    found: list[Maximum] = []
    nodes, position = bounded.graph.nodes, 0
    while position < last:
        operator = nodes[position].operator
        if bounded.maps[position] is not None:
            position += 1
            continue
        if not isinstance(operator, Relu):
            raise CapabilityError(f"pairs are not followed through {operator.name}, other than behind a ReLU")
        units = np.arange(prod(bounded.graph.shapes[position]))[:, None]
        reads = position
        position += 1
        if position < last and isinstance(nodes[position].operator, MaxPool):
            pool = nodes[position].operator
            assert isinstance(pool, MaxPool)
            units = _windows(pool, bounded.graph.shapes[position], bounded.graph.shapes[position + 1])
            position += 1
        found.append(_maximum(reads, position, units, at[reads]))
    return found


def _windows(pool: MaxPool, before: Shape, after: Shape) -> Positions:
    """(o, k) the numbers of each window."""
    if len(before) != 3 or any((*pool.begins, *pool.ends)):
        raise CapabilityError("pairs are followed through pooling over images, without padding")
    numbers = entries(np.arange(prod(before)).reshape(before), pool, (after[1], after[2]))
    return np.asarray(numbers.reshape(len(numbers), -1).T)


def _maximum(value: int, end: int, units: Positions, at: Range) -> Maximum:
    low, high = (np.append(side.reshape(-1), 0.0) for side in at)
    every = np.concatenate([units, np.full((len(units), 1), -1)], axis=1)
    best = low[every].argmax(axis=1)
    behind = (best[:, None] + 1 + np.arange(every.shape[1] - 1)) % every.shape[1]
    choice, others = every[np.arange(len(every)), best], np.take_along_axis(every, behind, axis=1).T
    gap = np.nextafter(low[others] - high[choice], -np.inf), np.nextafter(high[others] - low[choice], np.inf)
    return Maximum(value, end, choice, others, gap[0], gap[1], len(low) - 1)


def links(bounded: BoundedGraph, begin: int, end: int) -> Link:
    """The affine nodes from one value to another.

    Raises:
        CapabilityError: If weights are so small that their products may underflow.
    """
    found: Link | None = None
    for position in range(begin, end):
        affine = bounded.maps[position]
        assert isinstance(affine, AffineMap)
        weights = csr_array(matrix(affine))
        sizes = np.abs(weights.data[weights.data != 0])
        if sizes.min(initial=1.0) < np.sqrt(SMALLEST) or sizes.max(initial=0.0) > np.sqrt(LARGEST):
            raise CapabilityError("weights are too small or too large to be multiplied")
        link = Link.of(weights, 0.0)
        found = link if found is None else found.then(link)
    size = prod(bounded.graph.shapes[begin])
    return Link.of(csr_array(eye_array(size, format="csr")), 0.0) if found is None else found
