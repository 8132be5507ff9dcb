"""Planes and intervals of operators with several inputs, against fractions (and 100 digits for log-sum-exp), with zero tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from numpy.typing import NDArray

from netassay.errors import UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models.operators import Operator, Shape
from netassay.models.torch_operators import EVALUATORS
from netassay.verifiers.relaxations import Planes, interval, log_sum_exp, maxima, planes, products
from netassay.verifiers.relaxations.table import SEVERAL

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    with mp.workdps(100):
        yield


CASES: list[tuple[Operator, list[Shape]]] = [
    (nl.Mul(), [(3,), (3,)]),
    (nl.Mul(), [(2, 3), (3,)]),
    (nl.Mul(), [(1,), (2, 2)]),
    (nl.Div(), [(3,), (3,)]),
    (nl.Div(), [(2,), (2, 2)]),
    (nl.Maximum(), [(2, 2), (2,)]),
    (nl.Minimum(), [(2, 2), (2, 2)]),
    (nl.MatMul(), [(2, 3), (3, 2)]),
    (nl.MatMul(), [(2, 1, 2), (2, 2)]),
    (nl.ReduceMax((0,)), [(3, 2)]),
    (nl.ReduceMax((0, 2), keep=True), [(2, 2, 2)]),
    (nl.MaxPool((2, 2), (2, 1), (0, 1), (1, 0), (1, 1)), [(2, 3, 3)]),
    (nl.MaxPool((2,), (1,), (1,), (1,), (2,)), [(2, 4)]),
    (nl.LogSumExp((0,)), [(4,)]),
    (nl.LogSumExp((1,), keep=True), [(2, 3)]),
    (nl.LogSumExp((0,)), [(1,)]),
]
HUGE = float(np.finfo(np.float64).max)
BY_CASE = pytest.mark.parametrize(("operator", "shapes"), CASES, ids=[f"{o.name}-{i}" for i, (o, _) in enumerate(CASES)])
GATHER: dict[type[Operator], Callable[[list[Fraction]], Fraction]] = {
    nl.Mul: lambda v: v[0] * v[1],
    nl.Div: lambda v: v[0] / v[1],
    nl.Maximum: max,
    nl.Minimum: min,
    nl.MatMul: lambda v: sum((a * b for a, b in zip(v[: len(v) // 2], v[len(v) // 2 :], strict=True)), Fraction(0)),
    nl.ReduceMax: max,
    nl.MaxPool: max,
}


def _log_sum_exp(values: list[Fraction]) -> Any:
    numbers = [mpf(v.numerator) / v.denominator for v in values]
    top = max(numbers)
    return top + mp.log(mp.fsum(mp.exp(x - top) for x in numbers))


def _entries(operator: Operator, shapes: Sequence[Shape]) -> list[list[int]]:
    """Which inputs each output reads, found by asking torch: those that change it when they become huge (or NaN)."""
    sizes = [int(np.prod(s)) for s in shapes]
    count = sum(sizes)
    marked = np.ones((count, count))
    np.fill_diagonal(marked, np.nan)
    parts = np.split(marked, np.cumsum(sizes)[:-1], axis=1)
    tensors = tuple(torch.from_numpy(p.reshape(count, *s)) for p, s in zip(parts, shapes, strict=True))
    found = EVALUATORS[type(operator)](operator, {}, tensors).numpy().reshape(count, -1)
    return [np.flatnonzero(np.isnan(found[:, o])).tolist() for o in range(found.shape[1])]


@BY_CASE
def test_positions_are_what_torch_reads(operator: Operator, shapes: list[Shape]) -> None:
    bounds = [np.ones((1, *s)) for s in shapes]
    found = planes(operator, bounds, [b + 1 for b in bounds])
    for row, (o, expected) in zip(found.index, enumerate(_entries(operator, shapes)), strict=True):
        active = (found.lower_slopes[0, o] != 0) | (found.upper_slopes[0, o] != 0)
        assert set(row[active].tolist()) <= set(expected)
        if not isinstance(operator, nl.MaxPool):
            assert sorted(row.tolist()) == expected


def _plane(index: NDArray[np.intp], slopes: Array, offset: float, point: list[Fraction]) -> Fraction:
    return sum((Fraction(s) * point[i] for s, i in zip(slopes.tolist(), index.tolist(), strict=True)), Fraction(offset))


def violations(operator: Operator, shapes: list[Shape], lowers: list[Array], uppers: list[Array], seed: int = 0) -> list[str]:
    """What planes and intervals of one box (B = 1) claim wrongly at its corners and at points inside; infinite ends are cut."""
    found = planes(operator, lowers, uppers)
    low, high = (x.reshape(-1) for x in interval(operator, lowers, uppers))
    flat = [np.clip(np.concatenate([b.ravel() for b in bounds]), -HUGE, HUGE) for bounds in (lowers, uppers)]
    reads = _entries(operator, shapes)
    rng = np.random.default_rng(seed)
    corners = np.where(rng.random((12, len(flat[0]))) < 0.5, *flat)
    drawn = np.clip(flat[0] + (flat[1] / 2 - flat[0] / 2) * 2 * rng.random(corners.shape), *flat)
    wrong = []
    for numbers in (*flat, *corners, *drawn, *_near_bends(operator, *flat, rng)):
        point = [Fraction(x) for x in numbers.tolist()]
        for o, inputs in enumerate(reads):
            if isinstance(operator, nl.LogSumExp):
                value, exactly = _log_sum_exp([point[i] for i in inputs]), _as_mpf
            else:
                value, exactly = GATHER[type(operator)]([point[i] for i in inputs]), _same
            b, d = found.lower_offset[0, o], found.upper_offset[0, o]
            if b > -np.inf and not exactly(_plane(found.index[o], found.lower_slopes[0, o], b, point)) <= value:
                wrong.append(f"lower plane of {o} at {numbers}")
            if d < np.inf and not value <= exactly(_plane(found.index[o], found.upper_slopes[0, o], d, point)):
                wrong.append(f"upper plane of {o} at {numbers}")
            if not (low[o] == -np.inf or exactly(Fraction(low[o])) <= value) or not (
                high[o] == np.inf or value <= exactly(Fraction(high[o]))
            ):
                wrong.append(f"interval of {o} at {numbers}")
    return wrong


def _same(value: Fraction) -> Fraction:
    return value


def _as_mpf(value: Fraction) -> Any:
    return mpf(value.numerator) / value.denominator


def _near_bends(operator: Operator, lower: Array, upper: Array, rng: np.random.Generator) -> list[Array]:
    """Centers and ties, where tangents and maxima are tight."""
    center = 0.5 * lower + 0.5 * upper
    ties = [np.clip(np.full_like(lower, x), lower, upper) for x in (*lower[:3], *upper[:3], float(rng.uniform(-1, 1)))]
    return [np.clip(center, lower, upper), *ties]


def _boxes(operator: Operator, shapes: list[Shape], wild: bool) -> st.SearchStrategy[tuple[list[Array], list[Array]]]:
    moderate = st.one_of(st.floats(-4, 4), st.integers(-3, 3).map(float))
    numbers = st.one_of(moderate, st.floats(allow_nan=False)) if wild else moderate

    def arranged(values: list[tuple[float, float]]) -> tuple[list[Array], list[Array]]:
        ends = np.sort(np.array(values), axis=1)
        ends = np.stack([np.minimum(ends[:, 0], HUGE), np.maximum(ends[:, 1], -HUGE)], axis=1)
        cuts = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
        lowers, uppers = ([p.reshape(1, *s) for p, s in zip(np.split(ends[:, side], cuts), shapes, strict=True)] for side in (0, 1))
        if isinstance(operator, nl.Div):
            sign = -1.0 if values[0][0] > 1 else 1.0
            a, b = np.abs(lowers[1]) + 1e-3, np.abs(uppers[1]) + 1e-3
            lowers[1], uppers[1] = np.minimum(sign * a, sign * b), np.maximum(sign * a, sign * b)
        return lowers, uppers

    size = sum(int(np.prod(s)) for s in shapes)
    return st.lists(st.tuples(numbers, numbers), min_size=size, max_size=size).map(arranged)


@pytest.mark.parametrize("wild", [False, True])
@BY_CASE
def test_planes_and_intervals_hold(operator: Operator, shapes: list[Shape], wild: bool) -> None:
    @settings(max_examples=15, deadline=None, derandomize=True, database=None)
    @given(_boxes(operator, shapes, wild))
    def holds(bounds: tuple[list[Array], list[Array]]) -> None:
        with np.errstate(over="ignore"):
            assert violations(operator, shapes, *bounds) == []

    holds()


@BY_CASE
def test_nan_gives_no_bound_and_infinity_no_nan(operator: Operator, shapes: list[Shape]) -> None:
    lowers, uppers = [np.ones((2, *s)) for s in shapes], [np.full((2, *s), 2.0) for s in shapes]
    lowers[0][0] = np.nan
    uppers[0][1] = np.inf
    found = planes(operator, lowers, uppers)
    low, high = (x.reshape(2, -1) for x in interval(operator, lowers, uppers))
    assert (found.lower_offset[0] == -np.inf).all()
    assert (found.upper_offset[0] == np.inf).all()
    assert (low[0] == -np.inf).all()
    assert (high[0] == np.inf).all()
    assert not found.lower_slopes[0].any()
    assert not found.upper_slopes[0].any()
    for part in (found.lower_slopes, found.upper_slopes):
        assert np.isfinite(part).all()
    assert not np.isnan(found.lower_offset).any()
    assert not np.isnan(found.upper_offset).any()
    assert (low[1] > -np.inf).all()


@BY_CASE
def test_boxes_do_not_mix(operator: Operator, shapes: list[Shape]) -> None:
    rng = np.random.default_rng(3)
    lowers = [rng.uniform(0.5, 2, (3, *s)) for s in shapes]
    uppers = [x + rng.uniform(0, 1, x.shape) for x in lowers]
    together = planes(operator, lowers, uppers)
    alone = planes(operator, [x[1:2] for x in lowers], [x[1:2] for x in uppers])
    for name in ("lower_slopes", "upper_slopes", "lower_offset", "upper_offset"):
        assert np.array_equal(getattr(together, name)[1:2], getattr(alone, name))
    low, high = interval(operator, lowers, uppers)
    assert low.shape == high.shape == (3, *operator.output_shape(*shapes))


def test_quotients_by_an_interval_around_zero_are_unknown() -> None:
    ones = np.ones((1, 3))
    below, above = np.array([[-1.0, 0.0, -1.0]]), np.array([[1.0, 1.0, 0.0]])
    found = planes(nl.Div(), [ones, below], [2 * ones, above])
    low, high = interval(nl.Div(), [ones, below], [2 * ones, above])
    assert (found.lower_offset == -np.inf).all()
    assert (found.upper_offset == np.inf).all()
    assert (low == -np.inf).all()
    assert (high == np.inf).all()


def _gap(found: Planes, numbers: Array) -> Array:
    slopes = found.upper_slopes - found.lower_slopes
    return (slopes * numbers[found.index]).sum(axis=-1)[0] + (found.upper_offset - found.lower_offset)[0]


@pytest.mark.parametrize(("operator", "shapes"), [c for c in CASES if isinstance(c[0], nl.Mul | nl.Div | nl.MatMul | nl.LogSumExp)])
def test_halving_a_box_quarters_the_gap(operator: Operator, shapes: list[Shape]) -> None:
    rng = np.random.default_rng(4)
    centers = [rng.uniform(1, 2, (1, *s)) for s in shapes]
    flat = np.concatenate([c.ravel() for c in centers])
    gaps = [_gap(planes(operator, [c - w for c in centers], [c + w for c in centers]), flat) for w in (0.1, 0.05, 0.025)]
    for wide, narrow in pairwise(gaps):
        assert (narrow <= wide / 3 + 1e-12).all()


def test_products_have_mccormicks_gap() -> None:
    """At the midpoint x y is (x_u - x_l) (y_u - y_l) / 4 from either plane."""
    found = planes(nl.Mul(), [np.array([[-1.0]]), np.array([[2.0]])], [np.array([[3.0]]), np.array([[3.0]])])
    np.testing.assert_allclose(_gap(found, np.array([1.0, 2.5])), 2.0)


def test_a_maximum_with_a_winner_is_exact() -> None:
    found = planes(nl.ReduceMax((0,)), [np.array([[0.0, 2.0, 1.0]])], [np.array([[2.0, 3.0, 1.5]])])
    assert found.lower_slopes.tolist() == found.upper_slopes.tolist() == [[[0.0, 1.0, 0.0]]]
    assert found.lower_offset.tolist() == found.upper_offset.tolist() == [[0.0]]


def test_maxima_follow_the_concave_envelope_at_the_midpoint() -> None:
    found = planes(nl.Maximum(), [np.array([[-1.0]]), np.array([[-2.0]])], [np.array([[1.0]]), np.array([[0.5]])])
    value = (found.upper_slopes[0, 0] * np.array([0.0, -0.75])[found.index[0]]).sum() + found.upper_offset[0, 0]
    np.testing.assert_allclose(value, (1.0 + 0.5) / 2)
    assert found.lower_slopes.tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_log_sum_exp_is_tight(spread: float) -> None:
    """Exact at a point; on wide boxes the upper plane is not above the constant."""
    center = np.array([[0.3, -1.2, 2.0]])
    lower, upper = center - spread, center + spread
    found = planes(nl.LogSumExp((0,)), [lower], [upper])
    low, high = interval(nl.LogSumExp((0,)), [lower], [upper])
    exact = float(_log_sum_exp([Fraction(x) for x in center[0].tolist()]))
    under = (found.lower_slopes[0] * center).sum() + found.lower_offset[0, 0]
    over = (found.upper_slopes[0] * center).sum() + found.upper_offset[0, 0]
    np.testing.assert_allclose(under, exact, rtol=1e-12)
    assert exact <= over <= high[0] + 1e-12
    if spread == 0.0:
        np.testing.assert_allclose([over, low[0], high[0]], exact, rtol=1e-12)


def _caught(kind: type[Operator]) -> bool:
    rng = np.random.default_rng(6)
    chosen = [(o, s) for o, s in CASES if isinstance(o, kind)]
    for operator, shapes in chosen * 4:
        lowers = [rng.uniform(0.2, 1.2, (1, *s)) for s in shapes]
        if violations(operator, shapes, lowers, [x + rng.uniform(0, 0.9, x.shape) for x in lowers]):
            return True
    return False


def test_planted_bugs_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped rounding, a flipped slope, a padded position taken for an input, a loser taken for the winner."""
    for kind in SEVERAL:
        assert not _caught(kind)

    def plain(*values: Any) -> Any:
        return np.asarray(values[0])

    with monkeypatch.context() as patch:
        patch.setattr(products, "product", lambda x, y: (x * y, x * y))
        assert _caught(nl.Mul)
    with monkeypatch.context() as patch:
        patch.setattr(products, "sum_below", lambda terms: terms.sum(axis=-1))
        patch.setattr(products, "sum_above", lambda terms: terms.sum(axis=-1))
        patch.setattr(products, "product", lambda x, y: (x * y, x * y))
        assert _caught(nl.MatMul)
    with monkeypatch.context() as patch:
        patch.setattr(products, "_turned", lambda x, turn: (-x[0], -x[1]))
        assert _caught(nl.Div)
    with monkeypatch.context() as patch:
        patch.setattr(maxima, "above", plain)
        patch.setattr(maxima, "below", plain)
        patch.setattr(maxima, "EPS", 0.0)
        assert _caught(nl.Maximum)
    with monkeypatch.context() as patch:
        patch.setattr(maxima, "_others_upper", lambda upper, _: upper.min(axis=-1))
        assert _caught(nl.ReduceMax)
    with monkeypatch.context() as patch:
        patch.setattr(maxima, "_real", lambda _, values: -values)
        assert _caught(nl.MaxPool)
    tangent = log_sum_exp._tangent
    with monkeypatch.context() as patch:
        patch.setattr(log_sum_exp, "_tangent", lambda *box: (1.01 * tangent(*box)[0], tangent(*box)[1]))
        assert _caught(nl.LogSumExp)
    with monkeypatch.context() as patch:
        patch.setattr(log_sum_exp, "_term", lambda x, e, _top, total, slopes: e / total - slopes * x - 0.1)
        assert _caught(nl.LogSumExp)


def test_every_operator_with_several_inputs_has_a_case() -> None:
    assert {type(o) for o, _ in CASES} == set(SEVERAL) == {*GATHER, nl.LogSumExp}


def test_an_operator_without_planes_says_so() -> None:
    with pytest.raises(UnsupportedOperatorError, match="Relu has no relaxation of this kind"):
        planes(nl.Relu(), [np.zeros((1, 2))], [np.ones((1, 2))])
