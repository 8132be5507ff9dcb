"""Interval slopes of every operator hold to the last bit: against 100 digits, and against fractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

from netassay.models import nonlinear as nl
from netassay.verifiers import slopes
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.relaxations.positions import windows
from netassay.verifiers.relaxations.table import LOWERED, RELAXED
from netassay.verifiers.slopes import SlopeMatrices, elementwise_slopes, several_slopes
from random_graphs import EXACT_KINDS, random_graph
from verifiers.relaxations.test_lines import ROWS, Row
from verifiers.relaxations.test_planes import CASES, GATHER, _log_sum_exp


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    with mp.workdps(100):
        yield


def _boxes(row: Row, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (N, 2) around the operator's marks and elsewhere; some are points, some touch each other."""
    middle = np.concatenate([rng.choice(row.marks, 60) + rng.normal(size=60) * rng.choice([1e-9, 0.01, 1.0], 60), rng.uniform(-6, 6, 60)])
    width = rng.choice([0.0, 1e-12, 0.1, 2.0, 8.0], 120)
    low, high = middle - width * rng.random(120), middle + width * rng.random(120)
    ends = np.stack([low, high], axis=1)
    ends[:20, 0] = rng.choice(row.marks, 20)
    return np.sort(ends, axis=1), rng.permutation(np.sort(ends, axis=1))


def _inside(ends: np.ndarray, rng: np.random.Generator, marks: Sequence[float]) -> np.ndarray:
    """(N, k) points of each interval, its ends and the marks in it among them."""
    low, high = ends[:, :1], ends[:, 1:]
    drawn = np.clip(low + (high - low) * rng.random((len(ends), 3)), low, high)
    return np.concatenate([low, high, drawn, np.clip(np.tile(marks, (len(ends), 1)), low, high)], axis=1)


def _violations(row: Row, seed: int) -> int:
    """How many quotients lie outside their interval."""
    rng = np.random.default_rng(seed)
    known, center = _boxes(row, rng)
    low, high = elementwise_slopes(row.operator, (known[:, 0], known[:, 1]), (center[:, 0], center[:, 1]))
    wrong = 0
    for i, (xs, cs) in enumerate(zip(_inside(known, rng, row.marks), _inside(center, rng, row.marks), strict=True)):
        for x, c in zip(xs, rng.permutation(cs), strict=True):
            one, other = row.exact(mpf(float(x))), row.exact(mpf(float(c)))
            if x == c or one is None or other is None or mp.isinf(one) or mp.isinf(other):
                continue
            quotient = (one - other) / (mpf(float(x)) - mpf(float(c)))
            wrong += not (mpf(float(low[i])) <= quotient <= mpf(float(high[i])))
    return wrong


@pytest.mark.parametrize("row", ROWS, ids=[row.label for row in ROWS])
def test_no_quotient_lies_outside(row: Row) -> None:
    assert _violations(row, 0) == 0
    assert _violations(row, 1) == 0


def test_slopes_are_tight_where_it_matters() -> None:
    """A ReLU that is on at the centre: between the chord to the far end and 1. A sigmoid: never below the chords to the ends."""
    ends = (np.array([-1.0]), np.array([3.0]))
    low, high = elementwise_slopes(nl.Relu(), ends, (np.array([1.0]), np.array([1.0])))
    assert 0.5 - 1e-12 <= low[0] <= 0.5
    assert high[0] == 1.0
    low, high = elementwise_slopes(nl.Tanh(), ends, (np.array([0.0]), np.array([0.0])))
    assert low[0] == pytest.approx(np.tanh(3.0) / 3.0, rel=1e-9)
    assert high[0] == pytest.approx(1.0, rel=1e-9)
    for slope, where in ((1.0, 2.0), (0.25, -2.0)):
        point = (np.array([where]), np.array([where]))
        low, high = elementwise_slopes(nl.LeakyRelu(0.25), point, point)
        assert (low[0], high[0]) == (slope, slope)


def test_planted_bugs_show(monkeypatch: pytest.MonkeyPatch) -> None:
    relu, tanh, silu = (next(row for row in ROWS if isinstance(row.operator, kind)) for kind in (nl.Relu, nl.Tanh, nl.Silu))
    with monkeypatch.context() as patched:
        patched.setattr(slopes, "_hinge_quotient", lambda a, b, _: np.where(np.maximum(a, b) > 0, 1.0, 0.0))
        assert _violations(relu, 0)
    with monkeypatch.context() as patched:
        patched.setattr(slopes, "_PEAKED", (nl.Silu, nl.Tanh))  # its derivative falls, rises and falls again
        assert _violations(silu, 0)
    with monkeypatch.context() as patched:
        patched.setattr(slopes, "_BENT", (nl.Tanh,))  # its derivative is not monotone
        assert _violations(tanh, 0)


def test_every_operator_with_bounds_has_slopes() -> None:
    elementwise = {kind for kind in RELAXED if issubclass(kind, nl.Elementwise)}
    assert elementwise <= {type(row.operator) for row in ROWS}
    assert RELAXED - elementwise - LOWERED == set(slopes._SEVERAL)


def test_nothing_is_known_beyond_a_domain_or_of_nan() -> None:
    one = (np.array([1.0]), np.array([1.0]))
    for operator, ends in ((nl.Log(), (-1.0, 2.0)), (nl.Power(-1.0), (-1.0, 1.0)), (nl.Sigmoid(), (np.nan, 1.0))):
        low, high = elementwise_slopes(operator, (np.array([ends[0]]), np.array([ends[1]])), one)
        assert low[0] <= -1e3 or low[0] == -np.inf
        assert high[0] == np.inf
    low, high = elementwise_slopes(nl.Relu(), (np.array([np.nan]), np.array([np.nan])), one)
    assert (low[0], high[0]) == (0.0, 1.0)


@pytest.mark.parametrize(("operator", "shapes"), CASES, ids=[f"{o.name}-{i}" for i, (o, _) in enumerate(CASES)])
def test_differences_of_several_inputs_are_enclosed(operator: Any, shapes: Any) -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        known, center = (_ranges(shapes, rng, positive=isinstance(operator, nl.Div)) for _ in range(2))
        index, low, high = several_slopes(operator, known, center)
        for _ in range(4):
            x, c = (_drawn(side, rng) for side in (known, center))
            for o in range(len(index)):
                _enclosed(operator, _read(operator, shapes, index)[o], (low[0, o], high[0, o]), x, c)


def _read(operator: Any, shapes: Any, index: np.ndarray) -> np.ndarray:
    """Positions that each output reads; -1 where it reads padding."""
    return windows(operator, shapes[0]) if isinstance(operator, nl.MaxPool) else index


def _ranges(shapes: Any, rng: np.random.Generator, *, positive: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for shape in shapes:
        ends = np.sort(rng.integers(-24, 25, (2, 1, *shape)) / 8, axis=0)
        ends = np.where(rng.random(ends.shape[1:]) < 0.2, ends[:1], ends)
        found.append((np.abs(ends).min(axis=0) + 0.5, np.abs(ends).max(axis=0) + 0.5) if positive else (ends[0], ends[1]))
    return found


def _drawn(sides: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> list[Fraction]:
    flat = [low + (high - low) * rng.integers(0, 5, low.shape) / 4 for low, high in sides]
    return [Fraction(float(v)) for part in flat for v in part.ravel()]


def _enclosed(operator: Any, index: np.ndarray, slope: tuple[np.ndarray, np.ndarray], x: list[Fraction], c: list[Fraction]) -> None:
    """The output's difference lies between the least and the largest sum of slopes times differences."""
    used = [k for k in range(len(index)) if index[k] >= 0]
    members = [int(index[k]) for k in used]
    least, most = Fraction(0), Fraction(0)
    for k in used:
        ends = [Fraction(float(side[k])) * (x[index[k]] - c[index[k]]) for side in slope]
        least, most = least + min(ends), most + max(ends)
    if isinstance(operator, nl.LogSumExp):
        one, other = (_log_sum_exp([v[i] for i in members]) for v in (x, c))
        assert mpf(least.numerator) / least.denominator <= one - other <= mpf(most.numerator) / most.denominator
        return
    gather = min if isinstance(operator, nl.Minimum) else GATHER[type(operator)]
    difference = gather([x[i] for i in members]) - gather([c[i] for i in members])
    assert least <= difference <= most


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_differences_of_whole_graphs_are_enclosed(kind: str) -> None:
    """h(x) - h(c) lies in the interval product of the slopes with x - c, both from the same box."""
    import torch

    from netassay.models.torch_graph import GraphModule

    for seed in range(4):
        rng = np.random.default_rng(seed)
        graph = random_graph(kind, seed)
        middle = rng.integers(-4, 5, (1, *graph.input_shape)) / 4
        bounded = BoundedGraph(graph)
        ranges = bounded.propagate(Regions(middle - 0.5, middle + 0.5))
        low, high = SlopeMatrices(bounded, ranges, ranges).of_output()
        points = middle + rng.integers(-32, 33, (40, *graph.input_shape)) / 64
        outputs = GraphModule(graph, torch.float64)(torch.from_numpy(points)).detach().numpy()
        for i in range(20):
            step = (points[i] - points[i + 20]).ravel()
            for o in range(graph.output_size):
                pairs = [
                    sorted((Fraction(float(a)) * Fraction(float(d)), Fraction(float(b)) * Fraction(float(d))))
                    for a, b, d in zip(low[0, o].ravel(), high[0, o].ravel(), step, strict=True)
                ]
                difference = Fraction(float(outputs[i, o])) - Fraction(float(outputs[i + 20, o]))
                assert sum(p[0] for p in pairs) <= difference <= sum(p[1] for p in pairs)
