"""Interval slopes and the bounds made of them hold at every point that is tried, exactly; and are exact where they should be."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch

from certificate_worlds import graph_of
from netassay.checking.certificates.arithmetic import Arithmetic, Array
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.curves import curve_of
from netassay.checking.certificates.interval_slopes import interval_slopes, kinked_slopes, smooth_slopes, window_weights
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.shells import Shell, ShellProof
from netassay.checking.certificates.slope_bounds import SlopeBounds, norm_above, norm_below
from netassay.models import nonlinear as nl
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from precise_values import FUNCTIONS, precise
from random_graphs import EXACT_KINDS, GraphOnly, dyadic, random_graph
from slope_worlds import slope_claim

FLOATS, RATIONAL = Arithmetic(), Arithmetic(exact=True)


def outputs(graph: Graph, points: np.ndarray) -> np.ndarray:
    """Exact: weights and points are dyadic, and small."""
    with torch.no_grad():
        return GraphModule(graph, torch.float64)(torch.from_numpy(points.reshape(-1, *graph.input_shape))).numpy()


def exactly(numbers: np.ndarray) -> list[Fraction]:
    return [Fraction(float(x)) for x in numbers.ravel()]


def outside(kind: str, seed: int, *, exact: bool = False) -> int:
    """How many differences of rows of outputs between points of a box and another point are none that the slopes allow."""
    rng, graph = np.random.default_rng([seed, 4]), random_graph(kind, seed)
    a, n = RATIONAL if exact else FLOATS, int(np.prod(graph.input_shape))
    network, center = CheckedNetwork(graph, a), dyadic(rng, n)
    low = center + np.where(rng.random(n) < 0.5, -0.5, 0.25)
    high = low + rng.integers(1, 4, n) / 4
    parts = Parts(network, Region(low, high), a.array(low)[None], a.array(high)[None])
    point = Parts(network, Region(center, center), a.array(center)[None], a.array(center)[None])
    rows = np.concatenate([np.eye(3), rng.integers(-2, 3, (1, 3)) / 1.0])
    least, most = (side[0] for side in interval_slopes(a.array(rows), parts, point))
    points = low + rng.integers(0, 17, (20, n)) / 16 * (high - low)
    values = outputs(graph, np.concatenate([center[None], points])) @ rows.T
    wrong = 0
    for x, value in zip(points, values[1:], strict=True):
        step = exactly(x - center)
        for r, change in enumerate(exactly(value - values[0])):
            ends = [(Fraction(m) * d, Fraction(M) * d) for m, M, d in zip(least[r], most[r], step, strict=True)]
            wrong += not sum(min(e) for e in ends) <= change <= sum(max(e) for e in ends)
    return wrong


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_differences_lie_within_the_slopes(kind: str, exact: bool) -> None:
    assert [outside(kind, seed, exact=exact) for seed in range(1 if exact else 4)] == [0] * (1 if exact else 4)


@pytest.mark.parametrize("left", [0.0, 0.25])
def test_quotients_of_a_bent_line(left: float) -> None:
    """At ends that touch and straddle 0, and at a single point."""
    ends = [-np.inf, -2.0, -0.5, 0.0, 5e-324, 0.25, 1.0, np.inf]
    pairs = [(a, b) for a in ends for b in ends if a <= b and np.isfinite([a, b]).any()]
    known = [(k, c) for k in pairs for c in pairs]
    low, high = (np.array([[k[i] for k, _ in known]]) for i in (0, 1))
    around = tuple(np.array([[c[i] for _, c in known]]) for i in (0, 1))
    with np.errstate(all="ignore"):
        least, most = kinked_slopes(FLOATS, left, (low, high), around)  # type: ignore[arg-type]
    assert (least >= left).all()
    assert (most <= 1).all()
    rng = np.random.default_rng(0)
    for i, (k, c) in enumerate(known):
        for _ in range(8):
            x, y = (Fraction(float(np.clip(e[0] if rng.random() < 0.3 else rng.normal(), e[0], min(e[1], 9.0)))) if np.isfinite(e[0])
                    else Fraction(float(min(e[1], rng.normal()))) for e in (k, c))  # fmt: skip
            if x != y:
                quotient = (max(x, Fraction(left) * x) - max(y, Fraction(left) * y)) / (x - y)
                assert least[0, i] <= quotient <= most[0, i], (k, c)


CURVES: tuple[nl.Elementwise, ...] = (nl.Sigmoid(), nl.Tanh(), nl.Exp())


@pytest.mark.parametrize("operator", CURVES)
@pytest.mark.parametrize("exact", [False, True])
def test_quotients_of_smooth_functions(operator: nl.Elementwise, exact: bool) -> None:
    """At ends, near 0 and between, of intervals that touch, hold and miss the other point; also where nothing is known of an end."""
    a, curve, rng, true = RATIONAL if exact else FLOATS, curve_of(operator), np.random.default_rng(0), FUNCTIONS[type(operator)]
    assert curve is not None
    middle, width = rng.normal(size=(2, 60)) * 3, np.exp(rng.normal(size=(2, 60)) * 3 - 2)
    low, high = np.maximum(middle - width, -40.0), np.minimum(middle + width, 40.0)
    low[1, :20] = high[1, :20] = middle[1, :20]
    low[:, 40:44], high[:, 40:44] = 0.0, np.array([[0.0], [1.0]])
    known, center = ((a.array(low[i])[None], a.array(high[i])[None]) for i in (0, 1))
    least, most = (side[0] for side in smooth_slopes(a, curve, known, center))
    with mpmath.workprec(300):
        for i in range(60):
            for share in [(0, 0), (1, 1), (0, 1), (1, 0), *rng.random((6, 2)).tolist()]:
                x, c = (
                    mpmath.mpf(low[j, i]) + mpmath.mpf(t) * (mpmath.mpf(high[j, i]) - mpmath.mpf(low[j, i])) for j, t in enumerate(share)
                )
                if x != c:
                    assert precise(least[i]) <= (true(x) - true(c)) / (x - c) <= precise(most[i])
    for ends in ([-np.inf, np.inf], [np.nan, np.nan], [-1.0, np.inf]):
        some = np.array([ends[:1]]), np.array([ends[1:]])
        with np.errstate(all="ignore"):
            found = smooth_slopes(FLOATS, curve, some, (np.zeros((1, 1)), np.zeros((1, 1))))
        for x in (-1, 1):
            quotient = (true(mpmath.mpf(x)) - true(mpmath.mpf(0))) / x
            assert not found[0].item() > quotient
            assert not found[1].item() < quotient


def test_weights_of_a_maximum() -> None:
    index = np.array([[0, 1, 2], [1, 2, -1]])
    low, high = np.array([[0.0, -1.0, 1.0]]), np.array([[2.0, -0.5, 3.0]])
    least, most = window_weights(index, low, high)
    assert most[0].tolist()[0] == [1, 0, 1]
    assert (least[0, 1, :2].tolist(), most[0, 1, :2].tolist()) == ([0, 1], [0, 1])
    least, most = window_weights(index, np.full((1, 3), np.nan), np.full((1, 3), np.nan))
    assert not least.any()
    assert most.all()


@pytest.mark.parametrize("norm", [None, 1, 2])
def test_norms_lie_on_their_side(norm: int | None) -> None:
    rng = np.random.default_rng(3)
    weights = np.concatenate([rng.random((20, 7)), np.zeros((1, 7)), rng.random((4, 7)) * 1e-160, rng.random((4, 7)) * 1e90])
    for a in (FLOATS, RATIONAL):
        given = a.array(weights)
        above, below = norm_above(a, given, norm), norm_below(a, given, norm)
        for row, top, bottom in zip(weights, above, below, strict=True):
            exact = exactly(row)
            power = 2 if norm == 2 else 1
            length = max(exact) if norm is None else sum(x**power for x in exact)
            assert Fraction(bottom) ** power <= length <= Fraction(top) ** power
            assert float(top) <= float(bottom) * (1 + 1e-9) + 1e-30


PROPERTY = OutputHalfspaces([np.eye(3)[:1] - np.eye(3)[1:2], np.eye(3)[1:]], [np.zeros(1), np.full(2, 0.25)])
NORMS: dict[str, int] = {"linf": 0, "l1": 1, "l2": 2}


def _length(norm: str, step: list[Fraction]) -> Fraction:
    """Squared for L2."""
    return max(map(abs, step)) if norm == "linf" else sum((abs(d) ** NORMS[norm] for d in step), Fraction(0))


def beyond(kind: str, norm: str, seed: int, *, exact: bool = False) -> int:
    """How many points of a ball have a slope beyond the bounds of what lies around them: the ball, a shell, a box."""
    rng, graph = np.random.default_rng([seed, 8]), random_graph(kind, seed)
    center, n = dyadic(rng, *graph.input_shape), int(np.prod(graph.input_shape))
    ball = Ball(center, 0.5, norm, domain=Box.filled(graph.input_shape, -1.25, 1.25))
    problem = Problem(GraphOnly(graph), ball, PROPERTY)
    (case,) = slope_claim(problem, 0.0, 0.0).cases
    a = RATIONAL if exact else FLOATS
    proof = ShellProof(SlopeBounds(CheckedNetwork(graph_of(problem), a), case))
    drawn = ball.sample(40, rng)
    points = np.round(np.concatenate([drawn, center + (drawn - center) / 8]) * 256) / 256
    points = points[ball.contains(points)].reshape(-1, n)
    values = PROPERTY.values(outputs(graph, np.concatenate([center.reshape(1, n), points])))
    start, wrong = Fraction(float(values[0])), 0
    for shell, low, high in _pieces(proof, rng):
        box = proof.root(shell)
        box = type(box)(box.node, np.maximum(box.low, a.array(low)), np.minimum(box.high, a.array(high)), {})
        if np.asarray(box.low > box.high).any():
            continue
        near, far = proof._between(shell, *proof.bounds.distances(box.low, box.high))
        falling, rising = (
            Fraction(float(x[0])) if np.isfinite(float(x[0])) else None for x in proof.bounds.steepest(proof.losses(shell, box), near, far)
        )
        for point, value in zip(points, values[1:], strict=True):
            length, power = _length(norm, exactly(point - center.reshape(n))), 2 if norm == "l2" else 1
            outer = Fraction(shell.outer if shell.outer is not None else 10) ** power
            if not (length and (low <= point).all() and (point <= high).all() and Fraction(shell.inner) ** power <= length <= outer):
                continue
            for bound, change in ((falling, start - Fraction(float(value))), (rising, Fraction(float(value)) - start)):
                wrong += bound is not None and change > 0 and change**power > bound**power * length
    return wrong


def _pieces(proof: ShellProof, rng: np.random.Generator) -> list[tuple[Shell, Array, Array]]:
    region = proof.bounds.case.region
    shells = [Shell(0.0, None), Shell(0.125, None), Shell(0.0, 0.25), Shell(0.0625, 0.375)]
    found = [(shell, region.lower, region.upper) for shell in shells]
    for shell in shells:
        cut, axis = region.lower + rng.random(len(region.lower)) * (region.upper - region.lower), int(rng.integers(len(region.lower)))
        cut = np.round(cut * 64) / 64
        one, other = region.upper.copy(), region.lower.copy()
        one[axis] = other[axis] = cut[axis]
        found += [(shell, region.lower, one), (shell, other, region.upper)]
    return found


@pytest.mark.parametrize("norm", list(NORMS))
@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_no_point_is_steeper(kind: str, norm: str) -> None:
    assert [beyond(kind, norm, seed) for seed in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("norm", list(NORMS))
def test_no_point_is_steeper_in_rational_numbers(norm: str) -> None:
    assert beyond("dense", norm, 0, exact=True) == 0
