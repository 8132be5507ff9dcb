"""Certificates by semidefinite relaxations, and leaves of such certificates whose truth is known exactly."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from certificate_worlds import graph_of
from exact_polygons import affine_pieces, at, box, claim_about, least, tiny
from netassay.checking.certificates import semidefinite
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.forests import Means, Splits
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.semidefinite import Duals, semidefinite_bounds
from netassay.checking.certificates.statement import Statement
from netassay.models import operators as op
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.relaxed import Path, RelaxedOptions, RelaxedProof, duals_of, splits_above
from netassay.verifiers.certificates.sink import CaseProof
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.root import with_rows
from netassay.verifiers.region import Regions
from netassay.verifiers.semidefinite.forms import forms_of
from netassay.verifiers.semidefinite.interior_point import InteriorPoint


def relaxed(asked: Problem, statement: Statement) -> tuple[bool, list[Record]]:
    """Whether relaxations close all parts of a claim of one case, and the records of those that they close."""
    case, network, records = statement.cases[0], CheckedNetwork(graph_of(asked), Arithmetic()), list[Record]()
    whole = Parts(network, case.region, case.region.lower[None], case.region.upper[None])
    proof = CaseProof(0, case, whole, True, records.append, lambda: False)
    claim = Claim(network.graph, tuple(Part(p.rows, p.constants) for p in case.parts), strict=True)
    search = RelaxedProof(claim, BoundedGraph(with_rows(claim)), Regions.of([asked.region]), proof, RelaxedOptions(promise=np.inf))
    return search.run(), [Record({"record": "case", "case": 0}), *records]


class Leaf:
    """A leaf over a tiny network's box where some neurons are held, good multipliers there, and the exact least value of its first output.

    Args:
        seed: Of network and neurons.
        held: How many neurons are held.
    Attributes:
        truth: None where the leaf holds no input.
    """

    def __init__(self, seed: int, held: int) -> None:
        rng, self.graph = np.random.default_rng([seed, held, 5]), tiny(seed)
        claim = claim_about(self.graph, np.eye(2)[:1], np.zeros(1))
        bounded, self.region = BoundedGraph(with_rows(claim)), box(self.graph)
        self.whole = self.parts(exact=False)
        undecided = [(v, int(i)) for v in sorted(self.whole.network.kinked) for i in np.flatnonzero(_open(self.whole, v))]
        chosen = rng.permutation(len(undecided))[:held]
        self.path: Path = tuple((undecided[i], bool(rng.integers(2))) for i in chosen)
        ranges: list[Range | None] = [None] * len(bounded.graph.shapes)
        for v in self.whole.network.kinked:
            ranges[v] = self.whole.ranges[v]
        forms = forms_of(bounded, self.region, ranges, dict(self.path))
        found = InteriorPoint(goal=np.inf).solve(forms, forms.output.rows[0])
        self.duals = duals_of(self.whole, self.path, forms, forms.output.rows[0], found.multipliers, 1.0)
        pieces = affine_pieces(self.graph, self.region.lower[0], self.region.upper[0])
        for (value, index), phase in self.path:
            sign = 1 if phase else -1
            pieces = [p for p in pieces if all(sign * at(p[1][value][index], corner) >= 0 for corner in p[0])]
        self.truth = least(pieces, -1, np.eye(2)[0]) if pieces else None

    def parts(self, *, exact: bool) -> Parts:
        """The checker's ranges over the box."""
        network, region = CheckedNetwork(self.graph, Arithmetic(exact)), Region(self.region.lower[0], self.region.upper[0])
        a = network.arithmetic
        whole = Parts(network, region, a.array(region.lower)[None], a.array(region.upper)[None])
        whole.ensure(network.output)
        return whole

    @property
    def splits(self) -> Splits:
        return splits_above([self.path])

    def values(self, x: np.ndarray) -> list[np.ndarray]:
        """All values of the network at a point, without rounding for dyadic numbers."""
        found = [x]
        for node in self.graph.nodes:
            dense = isinstance(node.operator, op.Dense)
            found.append(node.operator.weight @ found[-1] + node.operator.bias if dense else np.maximum(found[-1], 0))
        return found

    def target(self, whole: Parts) -> Means:
        """The first output."""
        a = whole.arithmetic
        return Means(whole.network.output, [a.array(np.eye(2)[:1])], [a.array(np.zeros(1))], [np.ones(1)])

    def highest(self, duals: Duals, *, exact: bool = False, steps: int = 25) -> Fraction | float:
        """The highest bound that the checker gives for some multipliers, over all levels, nearly."""
        whole = self.parts(exact=exact)

        def bound(level: float) -> Fraction | float:
            found = semidefinite_bounds(whole, self.splits, replace(duals, level=np.array([level])), self.target(whole))[0]
            return found if exact else float(found)

        start = float(duals.level[0])
        low = next((start - 2.0**k for k in range(-20, 30) if bound(start - 2.0**k) > -np.inf), None)
        if low is None:
            return -np.inf
        high = next((low + 2.0**k for k in range(-20, 12) if bound(low + 2.0**k) == -np.inf), low + 2.0**12)
        for _ in range(steps):
            middle = (low + high) / 2
            low, high = (middle, high) if bound(middle) > -np.inf else (low, middle)
        return bound(low)


def _open(whole: Parts, value: int) -> np.ndarray:
    """Numbers whose range is on both sides of 0, and not by rounding alone."""
    low, high = (side[0] for side in whole.ranges[value])
    return np.asarray((low < -1e-3) & (high > 1e-3))


def disturbed(duals: Duals, rng: np.random.Generator) -> list[Duals]:
    """The multipliers as they are, all changed a little, any whose squares weigh much, and some of them left out."""
    square, linear = (1.0, 1.5), (0.9, 1.1)

    def changed(y: np.ndarray, share: tuple[float, float]) -> np.ndarray:
        return (y * rng.uniform(*share, y.shape)).astype(np.float32)

    def anew(y: np.ndarray, share: tuple[float, float]) -> np.ndarray:
        return rng.exponential(100.0 if share == square else 0.3, y.shape).astype(np.float32)

    found = [duals]
    for make in (changed, anew):
        neurons = {v: (i, np.concatenate([make(y[:1], square), make(y[1:], linear)])) for v, (i, y) in duals.neurons.items()}
        found.append(Duals(duals.level, make(duals.inputs, square), neurons, make(duals.splits, linear)))
    fewer = {v: (i[1:], y[:, :, 1:]) for v, (i, y) in duals.neurons.items()}
    return [*found, replace(duals, neurons=fewer)]


def alone(duals: Duals, rng: np.random.Generator) -> list[Duals]:
    """One group of multipliers at a time, all others 0."""
    found = []
    for kept in ("inputs", 0, 1, 2, "splits"):
        sizes = {v: (np.arange(3) == kept)[:, None, None] * rng.exponential(10.0, y.shape) for v, (_, y) in duals.neurons.items()}
        neurons = {v: (i, sizes[v].astype(np.float32)) for v, (i, _) in duals.neurons.items()}
        inputs, splits = (
            (rng.exponential(10.0, y.shape) * (kept == name)).astype(np.float32)
            for name, y in (("inputs", duals.inputs), ("splits", duals.splits))
        )
        found.append(Duals(duals.level, inputs, neurons, splits))
    return found


def no_bound_lies_above_the_truth(seeds: range, *, exact: bool = False, steps: int = 25) -> tuple[int, float]:
    """How many bounds were compared with exact least values; and how near the nearest comes, as a share of its size."""
    compared, nearest = 0, np.inf
    for seed in seeds:
        for held in (0, 1, 3):
            leaf = Leaf(seed, held)
            for duals in disturbed(leaf.duals, np.random.default_rng(seed)):
                found = leaf.highest(duals, exact=exact, steps=steps)
                if leaf.truth is not None and found > -np.inf:
                    assert (found if exact else Fraction(found)) <= leaf.truth, (seed, held)
                    compared += 1
                    nearest = min(nearest, float(leaf.truth - Fraction(found)) / max(1.0, abs(float(leaf.truth))))
    return compared, nearest


def no_matrix_says_more_than_the_truth(seeds: range) -> int:
    """What the checker's argument rests on: ``t - lost + v' M v`` is at most the form at every point of a leaf, for any multipliers.

    Points are dyadic and everything is a fraction; gives how many were compared.
    """
    compared = 0
    for seed in seeds:
        for held in (0, 2):
            leaf, rng = Leaf(seed, held), np.random.default_rng([seed, 9])
            points = rng.integers(-16, 17, (300, 2)) / 16
            inside = [v for v in (leaf.values(x) for x in points) if all((v[n][i] >= 0) is np.bool_(up) for (n, i), up in leaf.path)]
            for duals in [*disturbed(leaf.duals, rng)[1:], *alone(leaf.duals, rng)]:
                bound, (diagonal, side, block) = _captured(leaf, duals)
                for values in inside[:10]:
                    v = [Fraction(float(x)) for x in values[0]], [Fraction(1), *_outputs(leaf, duals, values)]
                    product = sum((Fraction(float(d)) * x * x for d, x in zip(diagonal, v[0], strict=True)), Fraction(0))
                    product += 2 * sum(x * _dot(row, v[1]) for row, x in zip(side, v[0], strict=True))
                    product += sum(s * _dot(row, v[1]) for row, s in zip(block, v[1], strict=True))
                    assert Fraction(float(bound)) + product <= Fraction(float(values[-1][0])), (seed, held)
                    compared += 1
    return compared


def _dot(row: np.ndarray, v: list[Fraction]) -> Fraction:
    return sum((Fraction(float(r)) * x for r, x in zip(row, v, strict=True)), Fraction(0))


def _outputs(leaf: Leaf, duals: Duals, values: list[np.ndarray]) -> list[Fraction]:
    """What neurons give that have multipliers and are undecided, as shares of the most that they can."""
    held = {neuron for neuron, _ in leaf.path}
    some = [(v, int(i)) for v in sorted(duals.neurons) for i in duals.neurons[v][0] if (v, int(i)) not in held]
    return [Fraction(float(max(values[v][i], 0.0))) / Fraction(float(leaf.whole.ranges[v][1][0, i])) for v, i in some]


def _captured(leaf: Leaf, duals: Duals) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What a leaf's bound would be if its matrix were semidefinite, and the matrix."""
    caught: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    own = semidefinite.is_semidefinite
    semidefinite.is_semidefinite = lambda _a, *matrix: caught.append(matrix) is None  # type: ignore[assignment]
    try:
        found = semidefinite_bounds(leaf.whole, leaf.splits, duals, leaf.target(leaf.whole))
    finally:
        semidefinite.is_semidefinite = own
    return float(found[0]), caught[0]
