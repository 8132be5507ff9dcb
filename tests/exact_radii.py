"""Exact radii, in rational arithmetic: linear forms in a box, and ReLU networks of two inputs and one hidden layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np

Point = tuple[Fraction, ...]
Line = tuple[Fraction, Fraction, Fraction]
"""(a, b, c): a * x + b * y + c = 0."""


def fractions(values: Iterable[float]) -> Point:
    return tuple(Fraction(float(v)) for v in values)


def size(norm: str, offset: Iterable[Fraction]) -> Fraction:
    """The norm of an offset; for L2 its square, which is rational too."""
    parts = [abs(v) for v in offset]
    if norm == "l2":
        return sum((v * v for v in parts), Fraction(0))
    return max(parts) if norm == "linf" else sum(parts, Fraction(0))


def root(norm: str, value: Fraction) -> float:
    """A size as a distance."""
    return float(value) ** 0.5 if norm == "l2" else float(value)


def linear_radius(norm: str, slope: Sequence[float], value: float, rooms: Sequence[float]) -> Fraction:
    """The size of the least change of x by which ``value + <slope, change> <= 0``, each feature moving by at most its room.

    Features move against the slope. With L-infinity and L2 each moves by ``min(room, t * weight)``, with the weight 1
    or its slope: the features at their limit are found by trying all t at which one gets there. With L1 the steepest move first.
    """
    slopes, caps, rest = [abs(Fraction(v)) for v in slope], fractions(rooms), Fraction(value)
    moving = [(a, cap) for a, cap in zip(slopes, caps, strict=True) if a and cap]
    if norm == "l1":
        total = Fraction(0)
        for a, cap in sorted(moving, reverse=True):
            amount = min(cap, rest / a)
            total, rest = total + amount, rest - amount * a
            if rest <= 0:
                return total
        raise ValueError("out of reach")
    weights = [Fraction(1) if norm == "linf" else a for a, _ in moving]
    for limit in sorted(cap / w for w, (_, cap) in zip(weights, moving, strict=True)):
        free = [(a, w) for w, (a, cap) in zip(weights, moving, strict=True) if cap / w >= limit]
        stuck = [(a, cap) for w, (a, cap) in zip(weights, moving, strict=True) if cap / w < limit]
        t = (rest - sum(a * cap for a, cap in stuck)) / sum(a * w for a, w in free)
        if t <= limit:
            return size(norm, [cap for _, cap in stuck] + [t * w for _, w in free])
    raise ValueError("out of reach")


class Planar:
    """A network of two inputs, one hidden ReLU layer and three labels, in rational numbers.

    Args:
        weights: Hidden and output layers, as (matrix, vector) each.
    """

    def __init__(self, weights: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        (self.hidden, self.bias), (self.out, self.out_bias) = [([fractions(row) for row in m], fractions(v)) for m, v in weights]

    def margins(self, point: Point, label: int) -> list[Fraction]:
        """By how much the logit of ``label`` exceeds each other one."""
        active = [max(Fraction(0), a * point[0] + b * point[1] + c) for (a, b), c in zip(self.hidden, self.bias, strict=True)]
        logits = [sum((w * h for w, h in zip(row, active, strict=True)), c) for row, c in zip(self.out, self.out_bias, strict=True)]
        return [logits[label] - v for j, v in enumerate(logits) if j != label]

    def lines(self, label: int) -> list[Line]:
        """Where a hidden unit switches, and where two labels tie under any pattern of active units."""
        found = {(a, b, c) for (a, b), c in zip(self.hidden, self.bias, strict=True)}
        for pattern in product((0, 1), repeat=len(self.hidden)):
            for rival in range(len(self.out)):
                gaps = [(k - j) * on for k, j, on in zip(self.out[label], self.out[rival], pattern, strict=True)]
                a, b = (sum((g * w[i] for g, w in zip(gaps, self.hidden, strict=True)), Fraction(0)) for i in (0, 1))
                constant = sum(g * c for g, c in zip(gaps, self.bias, strict=True)) + self.out_bias[label] - self.out_bias[rival]
                found.add((a, b, constant))
        return [line for line in found if line[0] or line[1]]

    def radius(self, norm: str, center: Point, label: int, low: Fraction, high: Fraction) -> Fraction | None:
        """The size of the least change of ``center`` within the box by which a rival reaches the label; None where none does.

        The nearest point of each polygon of the violating set is a corner, or on an edge where the distance along
        it has its least value: the foot of the perpendicular for L2, a point beside or diagonal to the centre otherwise.
        """
        lines = [
            *self.lines(label),
            *((Fraction(1), Fraction(0), -v) for v in (low, high)),
            *((Fraction(0), Fraction(1), -v) for v in (low, high)),
        ]
        candidates = crossings(lines)
        for line in lines:
            candidates.update(_nearest_on(line, center))
        inside = [p for p in candidates if all(low <= v <= high for v in p)]
        sizes = sorted((size(norm, [p[0] - center[0], p[1] - center[1]]), p) for p in inside)
        return next((found for found, p in sizes if min(self.margins(p, label)) <= 0), None)


def meeting(one: Line, other: Line) -> Point | None:
    """The point that two lines share; None where they are parallel."""
    det = one[0] * other[1] - other[0] * one[1]
    if not det:
        return None
    return (one[1] * other[2] - other[1] * one[2]) / det, (other[0] * one[2] - one[0] * other[2]) / det


def crossings(lines: Iterable[Line]) -> set[Point]:
    """Where lines meet."""
    usable = {line for line in lines if line[0] or line[1]}
    return {p for pair in combinations(usable, 2) if (p := meeting(*pair)) is not None}


def _nearest_on(line: Line, center: Point) -> list[Point]:
    """The foot of the perpendicular, and where the line crosses the axes and the diagonals through the centre."""
    a, b, c = line
    x, y = center
    gap = (a * x + b * y + c) / (a * a + b * b)
    through = [
        (Fraction(1), Fraction(0), -x),
        (Fraction(0), Fraction(1), -y),
        (Fraction(1), Fraction(-1), y - x),
        (Fraction(1), Fraction(1), -x - y),
    ]
    crossings = [p for other in through if (p := meeting(line, other)) is not None]
    return [(x - gap * a, y - gap * b), *crossings]
