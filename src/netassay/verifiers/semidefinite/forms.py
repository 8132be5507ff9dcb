"""A ReLU network over a box, written in numbers within [-1, 1] or [0, 1]: what the semidefinite relaxation is about.

The inputs that move are ``x_j = middle_j + radius_j * xi_j`` with xi in [-1, 1]; an undecided neuron's output is ``z_i = u_i * s_i`` with
s in [0, 1]. Everything else is linear in ``v = (xi, 1, s)``: a decided neuron is 0 or its own input. A neuron that a subproblem holds to
one phase is decided too, and its input's sign is one more fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.errors import CapabilityError
from netassay.models.graph import Node
from netassay.models.nonlinear import Relu
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, Array, gamma

Neuron = tuple[int, int]
"""A value of the graph and a flat position in it."""

NEGLIGIBLE = 1e-9
"""A neuron whose range reaches beyond 0 by no more than this share of the layer's magnitudes counts as decided: what it does there is an
error of its form."""

Phases = Mapping[Neuron, bool]
"""Neurons held to one phase: whether their input is at least 0, or at most 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Linear forms of v, known up to rounding.

    Args:
        rows: (k, D) coefficients of v.
        errors: (k,) how far a form can be from what it stands for, at most, at any point of the region.
    """

    rows: Array
    errors: Array


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """The network in v, at the inputs of the region at which the held neurons are in their phases.

    Args:
        inputs: N, how many inputs move; columns N and those after it belong to 1 and to s.
        neurons: The undecided neurons, in the order of s.
        before: (n, D) what ReLUs read, divided by u: ``s_i = max(before_i, 0)``.
        held: The neurons that are held to a phase, in the order of the facts.
        facts: (k, D) forms that are not negative: the inputs of held neurons, with their phase's sign.
        output: (m, D) the graph's output.
        moving: (N,) flat positions of the inputs that move.
        middle, radius: (size,) of every input.
    """

    inputs: int
    neurons: tuple[Neuron, ...]
    before: Linear
    held: tuple[Neuron, ...]
    facts: Linear
    output: Linear
    moving: Positions
    middle: Array
    radius: Array

    @property
    def size(self) -> int:
        """D, the length of v."""
        return self.inputs + 1 + len(self.neurons)

    def points(self, xi: Array, shape: tuple[int, ...]) -> Array:
        """(P, *shape) inputs at xi (P, N)."""
        found = np.repeat(self.middle[None], len(xi), axis=0)
        found[:, self.moving] += self.radius[self.moving] * xi
        return found.reshape(-1, *shape)


def undecided(bounded: BoundedGraph, ranges: Sequence[Range | None]) -> int:
    """How many ReLUs are not decided.

    Raises:
        CapabilityError: If the graph has other nonlinear operators than ReLUs.
    """
    return sum(len(_open(_flat(ranges[node.inputs[0]]))) for node in _relus(bounded))


def forms_of(bounded: BoundedGraph, region: Regions, ranges: Sequence[Range | None], phases: Phases) -> Forms:
    """The forms of a graph of linear operators and ReLUs over a single box.

    Args:
        bounded: The graph.
        region: A single region; of a ball only its box counts.
        ranges: Proved ranges (1, *shape) of what the ReLUs read.
        phases: Neurons that are held to a phase.
    """
    return _Builder(bounded, region, ranges, phases).build()


def _relus(bounded: BoundedGraph) -> list[Node]:
    found = [node for p, node in enumerate(bounded.graph.nodes) if bounded.maps[p] is None]
    others = sorted({type(node.operator).__name__ for node in found if not isinstance(node.operator, Relu)})
    if others:
        raise CapabilityError(f"the semidefinite relaxation knows ReLUs only, not {', '.join(others)}; use 'neuron-splitting'")
    return found


def _flat(found: Range | None) -> tuple[Array, Array]:
    assert found is not None
    return found[0].reshape(-1), found[1].reshape(-1)


def _open(found: tuple[Array, Array]) -> Positions:
    low, high = found
    return np.flatnonzero(np.minimum(-low, high) > NEGLIGIBLE * np.maximum(np.abs(low), np.abs(high)).max(initial=0.0))


class _Builder:
    """Pushes the forms through the graph; a value's forms are (D, *shape), its errors (1, *shape)."""

    def __init__(self, bounded: BoundedGraph, region: Regions, ranges: Sequence[Range | None], phases: Phases) -> None:
        self._bounded, self._ranges, self._phases = bounded, ranges, phases
        low, high = (side[0] for side in region.corners)
        self._middle = np.where(low == high, low, low / 2 + high / 2)
        self._radius = np.where(low == high, 0.0, np.nextafter(np.maximum(high - self._middle, self._middle - low), np.inf))
        self._moving = np.flatnonzero(self._radius > 0)
        self._shape = region.shape
        held = sum(key in phases for key in self._keys())
        self._size = len(self._moving) + 1 + undecided(bounded, ranges) - held
        self._neurons: list[Neuron] = []
        self._before: list[tuple[Array, float]] = []
        self._held: list[Neuron] = []
        self._facts: list[tuple[Array, float]] = []

    def _keys(self) -> list[Neuron]:
        return [(node.inputs[0], int(i)) for node in _relus(self._bounded) for i in _open(_flat(self._ranges[node.inputs[0]]))]

    def build(self) -> Forms:
        one = len(self._moving)
        first = np.zeros((self._size, len(self._middle)))
        first[np.arange(one), self._moving] = self._radius[self._moving]
        first[one] = self._middle
        values = [(first.reshape(-1, *self._shape), np.zeros((1, *self._shape)))]
        for p, node in enumerate(self._bounded.graph.nodes):
            given = [values[i] for i in node.inputs]
            affine = self._bounded.maps[p]
            values.append(self._passed(affine, given) if affine is not None else self._cut(given[0], node.inputs[0]))
        rows, errors = values[-1]
        size = prod(rows.shape[1:])
        return Forms(
            one,
            tuple(self._neurons),
            self._linear(self._before),
            tuple(self._held),
            self._linear(self._facts),
            Linear(np.ascontiguousarray(rows.reshape(-1, size).T), errors.reshape(-1)),
            self._moving,
            self._middle,
            self._radius,
        )

    def _passed(self, affine: AffineMap, given: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        """Through a linear operator: its constant belongs to the column of 1 alone."""
        rows = affine([forms for forms, _ in given])
        other = np.arange(len(rows)) != len(self._moving)
        rows[other] -= affine.constant
        sizes = [np.abs(forms).sum(axis=0, keepdims=True) for forms, _ in given]
        total = affine.magnitude(sizes) + 2 * len(rows) * np.abs(affine.constant)
        errors = affine.spread([e for _, e in given]) + gamma(affine.terms + len(rows) + 8) * total
        errors = errors + gamma(affine.terms + 8) * affine.magnitude([e for _, e in given])
        return rows, np.where(total < LARGEST, errors * (1 + 1e-9) + UNDERFLOW, np.inf)

    def _cut(self, given: tuple[Array, Array], value: int) -> tuple[Array, Array]:
        """Through ReLUs."""
        forms, errors = given[0].reshape(self._size, -1), given[1].reshape(-1)
        low, high = _flat(self._ranges[value])
        linear = high > -low
        rows = np.where(linear, forms, 0.0)
        left = np.where(linear, errors + np.maximum(-low, 0.0), np.maximum(high, 0.0))
        for i in _open((low, high)):
            phase = self._phases.get((value, int(i)))
            rows[:, i], left[i] = 0.0, 0.0
            if phase is None:
                rows[len(self._moving) + 1 + len(self._neurons), i] = high[i]
                self._neurons.append((value, int(i)))
                self._before.append(_scaled(forms[:, i], errors[i], high[i]))
                continue
            if phase:
                rows[:, i], left[i] = forms[:, i], errors[i]
            scale = max(high[i], -low[i])
            self._held.append((value, int(i)))
            self._facts.append(_scaled(forms[:, i], errors[i], scale if phase else -scale))
        return rows.reshape(given[0].shape), left.reshape(given[1].shape)

    def _linear(self, found: list[tuple[Array, float]]) -> Linear:
        rows = np.stack([row for row, _ in found]) if found else np.zeros((0, self._size))
        return Linear(rows, np.array([error for _, error in found]))


def _scaled(form: Array, error: float, scale: float) -> tuple[Array, float]:
    """The form divided by a scale, and its error."""
    row = form / scale
    return row, float(error / abs(scale) * (1 + 1e-9) + gamma(len(row) + 4) * np.abs(row).sum() + UNDERFLOW)
