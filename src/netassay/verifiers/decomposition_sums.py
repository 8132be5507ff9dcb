"""Networks that are linear but for one layer of ReLUs, as sums over groups of ReLUs that read the same inputs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from netassay.errors import CapabilityError
from netassay.models.nonlinear import Relu
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.fixed import FixedBounds, Pulled
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.root import with_rows
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import UNIT, Array

Bools = NDArray[np.bool_]

MOST_READS = 32
"""Most inputs that one ReLU may read: of more, cells cover too little."""

CHUNK = 1 << 20
"""Most numbers of the rows of single ReLUs, in terms of all inputs, that are made at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Rows of a claim: ``sum weights * relu(<coefficients, x[reads]> + offsets) + <linear, x> + constant``, right to within ``error``.

    Args:
        reads: (G, D) the inputs of each group; n, an input that is 0, where it reads fewer.
        coefficients, offsets: (G, N, D) and (G, N) of the ReLUs of each group; 0 where it has fewer.
        weights: (R, G, N).
        linear: (R, n).
        constant, error: (R,).
        low, high: (n + 1,) ends of all inputs.
        source, unit: (G, N) which number of which value of the graph each ReLU reads; -1 where there are fewer.
    """

    reads: Positions
    coefficients: Array
    offsets: Array
    weights: Array
    linear: Array
    constant: Array
    error: Array
    low: Array
    high: Array
    source: Positions
    unit: Positions

    def gathered(self, row: int, multipliers: Array) -> Array:
        """(n + 1,) the linear form of a row and of all groups' multipliers (G, D) together, up to rounding."""
        total = np.append(self.linear[row], 0.0)
        np.add.at(total, self.reads, multipliers)
        return total


def sums_of(claim: Claim, region: Regions) -> Sums:
    """The claim's rows over a single region; ReLUs that never bend there are part of the linear form.

    Raises:
        CapabilityError: If the network is not of this kind.
    """
    bounded = BoundedGraph(with_rows(claim))
    unknown: list[Range | None] = [None] * (bounded.output + 1)
    fixed = FixedBounds(bounded, region, unknown, bounded.output)
    form = fixed.affine_part(bounded.output, np.eye(bounded.graph.output_size))
    line = _Line(region, bounded.graph.output_size)
    line.add(Pulled({0: form.coefficients[0]} if 0 in form.coefficients else {}, form.constant, form.error))
    drawn: list[_Drawn] = []
    for value in sorted(set(form.coefficients) - {0}):
        weights = form.coefficients[value]
        source, on, bending = _phases(fixed, value, weights)
        line.add(fixed.affine_part(source, np.where(on, weights, 0.0)))
        units, offsets, error = _units(fixed, source, bending)
        chosen = weights.reshape(len(weights), -1)[:, bending]
        line.error += np.abs(chosen) @ error * (1 + 1e-6)
        drawn.append(_Drawn(units, offsets, chosen, np.full(len(bending), source), bending))
    low, high = (np.append(side[0].reshape(-1), 0.0) for side in (region.lower, region.upper))
    reads, coefficients, offsets, heavy, read, unit = _grouped(drawn, line)
    error = line.error * (1 + 1e-6)
    return Sums(reads, coefficients, offsets, heavy, line.linear, line.constant, error, low, high, read, unit)


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """ReLUs: coefficients (k, n) and offsets (k,) of what each reads, weights (R, k), and which number of which value that is."""

    units: Array
    offsets: Array
    weights: Array
    source: Positions
    unit: Positions


@dataclass(slots=True, eq=False)
class _Line:
    """Linear forms of the input that add up."""

    region: Regions
    rows: int
    linear: Array = field(init=False)
    constant: Array = field(init=False)
    error: Array = field(init=False)

    def __post_init__(self) -> None:
        self.linear = np.zeros((self.rows, self.region.lower[0].size))
        self.constant, self.error = np.zeros(self.rows), np.zeros(self.rows)

    def add(self, form: Pulled) -> None:
        if set(form.coefficients) - {0}:
            raise CapabilityError("a decomposition is for one layer of ReLUs; this network has several")
        most = np.maximum(np.abs(self.region.lower), np.abs(self.region.upper)).reshape(-1)
        if 0 in form.coefficients:
            self.linear = self.linear + form.coefficients[0].reshape(self.rows, -1)
        self.constant = self.constant + form.constant
        self.error = self.error + form.error + 2 * UNIT * (np.abs(self.linear) @ most + np.abs(self.constant))


def _phases(fixed: FixedBounds, value: int, weights: Array) -> tuple[int, Bools, Positions]:
    """What a ReLU reads; which of its numbers are never negative; the flat positions of those that bend and have a weight."""
    node = fixed.bounded.graph.nodes[value - 1]
    if not isinstance(node.operator, Relu):
        raise CapabilityError(f"a decomposition is for ReLUs; this network has {node.operator.name}")
    low, high = fixed.ranges[node.inputs[0]]
    on, off = low >= 0, high <= 0
    used = (weights != 0).any(axis=0)
    return node.inputs[0], on, np.flatnonzero(~on[0] & ~off[0] & used).astype(np.intp)


def _units(fixed: FixedBounds, source: int, units: Positions) -> tuple[Array, Array, Array]:
    """(k, n) coefficients, (k,) offsets and errors of single numbers of a value, in terms of the input."""
    shape, size = fixed.bounded.graph.shapes[source], fixed.region.lower[0].size
    if len(units) * size > 64 * CHUNK:
        raise CapabilityError("the network is too large for a decomposition")
    step = max(1, CHUNK // size)
    found: list[Array] = [np.zeros((0, size))]
    offsets, errors = [np.zeros(0)], [np.zeros(0)]
    for begin in range(0, len(units), step):
        some = units[begin : begin + step]
        start = np.zeros((len(some), int(np.prod(shape))))
        start[np.arange(len(some)), some] = 1.0
        form = fixed.affine_part(source, start.reshape(-1, *shape))
        if set(form.coefficients) != {0}:
            raise CapabilityError("a decomposition is for one layer of ReLUs; this network has several")
        found.append(form.coefficients[0].reshape(len(some), size))
        if np.count_nonzero(found[-1], axis=1).max(initial=0) > MOST_READS:
            raise CapabilityError(f"a decomposition needs ReLUs that read at most {MOST_READS} inputs each")
        offsets.append(form.constant)
        errors.append(form.error)
    return np.concatenate(found), np.concatenate(offsets), np.concatenate(errors)


def _grouped(drawn: list[_Drawn], line: _Line) -> tuple[Positions, Array, Array, Array, Positions, Positions]:
    """Groups of ReLUs that read the same inputs, as ``Sums`` has them: reads, coefficients, offsets, weights, source and unit."""
    size, none = line.linear.shape[1], np.zeros(0, dtype=np.intp)
    units = np.concatenate([np.zeros((0, size)), *(d.units for d in drawn)])
    offsets = np.concatenate([np.zeros(0), *(d.offsets for d in drawn)])
    weights = np.concatenate([np.zeros((line.rows, 0)), *(d.weights for d in drawn)], axis=1)
    names = np.stack([np.concatenate([none, *(getattr(d, name) for d in drawn)]) for name in ("source", "unit")])
    members: dict[bytes, list[int]] = {}
    for i, unit in enumerate(units):
        members.setdefault(np.flatnonzero(unit).tobytes(), []).append(i)
    depth = max((len(key) // np.dtype(np.intp).itemsize for key in members), default=0)
    most = max((len(m) for m in members.values()), default=0)
    reads = np.full((len(members), depth), size, dtype=np.intp)
    a, b = np.zeros((len(members), most, depth)), np.zeros((len(members), most))
    w, own_names = np.zeros((line.rows, len(members), most)), np.full((2, len(members), most), -1, dtype=np.intp)
    for g, (key, found) in enumerate(members.items()):
        own = np.array(found, dtype=np.intp)
        inputs = np.frombuffer(key, dtype=np.intp)
        reads[g, : len(inputs)] = inputs
        a[g, : len(own), : len(inputs)] = units[np.ix_(own, inputs)]
        b[g, : len(own)] = offsets[own]
        w[:, g, : len(own)] = weights[:, own]
        own_names[:, g, : len(own)] = names[:, own]
    return reads, a, b, w, own_names[0], own_names[1]
