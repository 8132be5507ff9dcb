"""Networks of two inputs and two hidden layers of ReLUs with integer weights, whose least value is known exactly.

Every vertex of their linear pieces lies on two lines: edges of the region, kinks of the first layer, kinks of the second layer for some
pattern of the first. All such crossings inside the region are evaluated in rational arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np

from exact_radii import Line, Point, crossings
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.operators import Operator


@dataclass(frozen=True)
class Layer:
    weight: tuple[tuple[int, ...], ...]
    bias: tuple[int, ...]

    @classmethod
    def drawn(cls, rng: np.random.Generator, outputs: int, inputs: int) -> Layer:
        weight = rng.integers(-3, 4, (outputs, inputs)).tolist()
        return cls(tuple(tuple(row) for row in weight), tuple(rng.integers(-2, 3, outputs).tolist()))

    def __call__(self, x: Sequence[Fraction]) -> list[Fraction]:
        return [sum((w * v for w, v in zip(row, x, strict=True)), Fraction(b)) for row, b in zip(self.weight, self.bias, strict=True)]

    def operator(self) -> op.Dense:
        return op.Dense(np.array(self.weight, dtype=float), np.array(self.bias, dtype=float))


@dataclass(frozen=True)
class Planar:
    """f(x) = C r(B r(A x)), r(z) = max(z, slope z)."""

    first: Layer
    second: Layer
    last: Layer
    slope: Fraction = Fraction(0)

    @classmethod
    def drawn(cls, seed: int, outputs: int = 2, slope: Fraction = Fraction(0)) -> Planar:
        rng = np.random.default_rng([seed, 41])
        return cls(Layer.drawn(rng, 3, 2), Layer.drawn(rng, 3, 3), Layer.drawn(rng, outputs, 3), slope)

    def graph(self) -> Graph:
        kink: Operator = nl.Relu() if self.slope == 0 else nl.Abs() if self.slope == -1 else nl.LeakyRelu(float(self.slope))
        builder = GraphBuilder((2,))
        value = builder.add(kink, builder.add(self.first.operator(), 0))
        value = builder.add(kink, builder.add(self.second.operator(), value))
        return builder.build(builder.add(self.last.operator(), value))

    def __call__(self, x: Sequence[Fraction]) -> list[Fraction]:
        return self.last(self._kinked(self.second(self._kinked(self.first(x)))))

    def _kinked(self, z: Sequence[Fraction]) -> list[Fraction]:
        return [max(v, self.slope * v) for v in z]

    def kinks(self) -> list[Line]:
        first = [(Fraction(a), Fraction(b), Fraction(c)) for (a, b), c in zip(self.first.weight, self.first.bias, strict=True)]
        lines = list(first)
        for pattern in product((Fraction(1), self.slope), repeat=len(first)):
            for weights, bias in zip(self.second.weight, self.second.bias, strict=True):
                terms = [(w * p * a, w * p * b, w * p * c) for w, p, (a, b, c) in zip(weights, pattern, first, strict=True)]
                lines.append(tuple(sum(t[k] for t in terms) + (bias if k == 2 else 0) for k in range(3)))  # type: ignore[arg-type]
        return lines


@dataclass(frozen=True)
class Diamond:
    """``|x - center|_1 <= radius`` within the box [-bound, bound]^2."""

    center: tuple[int, int]
    radius: Fraction
    bound: Fraction

    def edges(self) -> list[Line]:
        box = box_edges(self.bound)
        (p, q), r = self.center, self.radius
        return box + [(Fraction(s), Fraction(t), -s * p - t * q - r) for s in (1, -1) for t in (1, -1)]

    def holds(self, x: Point) -> bool:
        return max(map(abs, x)) <= self.bound and sum(abs(v - c) for v, c in zip(x, self.center, strict=True)) <= self.radius


@dataclass(frozen=True)
class Square:
    """[-bound, bound]^2."""

    bound: Fraction

    def edges(self) -> list[Line]:
        return box_edges(self.bound)

    def holds(self, x: Point) -> bool:
        return max(map(abs, x)) <= self.bound


def box_edges(bound: Fraction) -> list[Line]:
    zero, one = Fraction(0), Fraction(1)
    return [(one, zero, bound), (one, zero, -bound), (zero, one, bound), (zero, one, -bound)]


@cache
def exact_least(network: Planar, region: Square | Diamond, row: tuple[int, ...]) -> Fraction:
    """The least value of ``<row, f(x)>`` over the region."""
    points = [x for x in crossings([*network.kinks(), *region.edges()]) if region.holds(x)]
    return min(sum((r * v for r, v in zip(row, network(x), strict=True)), Fraction(0)) for x in points)
