"""Lines and intervals of every elementwise operator: true to the last bit (against 100 digits), tight; planted bugs show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from numpy.typing import NDArray

from netassay.errors import UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.torch_operators import EVALUATORS
from netassay.verifiers.relaxations import curves, interval, lines, piecewise, smooth
from netassay.verifiers.relaxations.base import Lines
from netassay.verifiers.relaxations.curve import Curve, Span, always
from netassay.verifiers.relaxations.self_gated import GELU, GELU_TANH, HARD_SWISH, SILU
from netassay.verifiers.relaxations.table import FUNCTIONS, LOWERED, RELAXED

Array = NDArray[np.float64]
Exact = Callable[[Any], Any]
"""A function of one mpf in 100 digits; None where it is not defined."""


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    with mp.workdps(100):
        yield


@dataclass(frozen=True)
class Row:
    operator: nl.Elementwise
    exact: Exact
    marks: tuple[float, ...] = (0.0,)

    @property
    def label(self) -> str:
        return str(self.operator).replace("netassay.models.nonlinear.", "")


def _logistic(x: Any) -> Any:
    small = mp.exp(-abs(x))
    return (1 if x >= 0 else small) / (1 + small)


def _power(exponent: float) -> Exact:
    def exact(x: Any) -> Any:
        if (x < 0 and exponent != int(exponent)) or (x == 0 and exponent < 0):
            return None
        return mpf(1) if exponent == 0 else mpf(0) if x == 0 else mp.power(x, int(exponent) if exponent == int(exponent) else mpf(exponent))

    return exact


def _elu(alpha: float) -> Exact:
    return lambda x: x if x > 0 else mpf(alpha) * mp.expm1(x)


def _leaky(slope: float) -> Exact:
    return lambda x: x if x >= 0 else mp.fmul(slope, x, exact=True)


def _gelu(x: Any) -> Any:
    """Beyond 1000 within 1e-1000, which is out of sight."""
    return max(x, mpf(0)) - mpf("1e-1000") if abs(x) > 1000 else x * mp.erfc(-x / mp.sqrt(2)) / 2


PI = float(np.pi)
ROWS = [
    Row(nl.Relu(), lambda x: max(x, mpf(0))),
    *(Row(nl.LeakyRelu(s), _leaky(s)) for s in (0.01, 0.3, 0.0, 1.0, -0.7, 3.0)),
    *(Row(nl.Elu(a), _elu(a)) for a in (1.0, 0.4, 2.5, -0.5, 0.0)),
    Row(nl.Sigmoid(), _logistic),
    Row(nl.Tanh(), mp.tanh),
    Row(nl.Softplus(), lambda x: max(x, mpf(0)) + mp.log1p(mp.exp(-abs(x)))),
    Row(nl.Gelu(), _gelu, (0.0, -(2**0.5), 2**0.5, -0.7517915246935645)),
    Row(
        nl.Gelu(tanh=True),
        lambda x: x * _logistic(2 * mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3)),
        (0.0, -1.4185040087908284, 1.4185040087908284, -0.7524614220710163),
    ),
    Row(nl.Silu(), lambda x: x * _logistic(x), (0.0, -2.3993572805154676, 2.3993572805154676, -1.2784645427610738)),
    Row(nl.HardSwish(), lambda x: x * min(max(x + 3, mpf(0)), mpf(6)) / 6, (0.0, -3.0, 3.0, -1.5)),
    Row(nl.Exp(), mp.exp),
    Row(nl.Log(), lambda x: mp.log(x) if x > 0 else None if x < 0 else mpf("-inf")),
    Row(nl.Sqrt(), lambda x: mp.sqrt(x) if x >= 0 else None),
    *(Row(nl.Power(p), _power(p)) for p in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, -1.0, -2.0, -3.0, 0.5, 1 / 3, 1.5, 2.7, -0.5)),
    Row(nl.Erf(), mp.erf),
    Row(nl.Sin(), mp.sin, (0.0, PI / 2, -PI / 2, PI, -PI, 2 * PI, 100 * PI)),
    Row(nl.Cos(), mp.cos, (0.0, PI / 2, -PI / 2, PI, -PI, 1.5 * PI, 100 * PI)),
    Row(nl.Abs(), abs),
    Row(nl.Clip(-0.3, 0.9), lambda x: min(max(x, mpf(-0.3)), mpf(0.9)), (-0.3, 0.9)),
    Row(nl.Clip(-np.inf, 0.7), lambda x: min(x, mpf(0.7)), (0.7,)),
    Row(nl.Clip(0.1, np.inf), lambda x: max(x, mpf(0.1)), (0.1,)),
    Row(nl.Clip(1.0, -1.0), lambda x: mpf(-1.0), (-1.0, 1.0)),
]
BY_ROW = pytest.mark.parametrize("row", ROWS, ids=[row.label for row in ROWS])
SMOOTH = [
    row
    for row in ROWS
    if not isinstance(row.operator, nl.Relu | nl.LeakyRelu | nl.Abs | nl.Clip) and getattr(row.operator, "exponent", 2.0) not in (0.0, 1.0)
]

INFINITE = (-np.inf, np.inf)


def _pairs(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(values, values).map(lambda p: (min(p), max(p)))


def _around(marks: tuple[float, ...]) -> st.SearchStrategy[tuple[float, float]]:
    widths = st.one_of(st.just(0.0), st.floats(-17, 0.5).map(lambda e: 10.0**e))
    return st.builds(lambda m, a, b: (m - a, m + b), st.sampled_from(marks), widths, widths)


def boxes(row: Row) -> st.SearchStrategy[tuple[float, float]]:
    """Moderate, near the marks, degenerate, tiny, huge, infinite."""
    anything = st.floats(allow_nan=False, allow_infinity=False)
    return st.one_of(
        _pairs(st.floats(-12, 12)),
        _around(row.marks),
        anything.map(lambda x: (x, x)),
        _pairs(anything),
        _pairs(st.floats(0, 1e300)),
        _pairs(st.floats(-1e-300, 1e-300)),
        _pairs(st.one_of(st.sampled_from(INFINITE), st.floats(-12, 12))),
    )


def _inside(row: Row, lower: float, upper: float, tilts: tuple[float, float]) -> list[float]:
    """Points of the box at which a wrong line is likely to show: ends, marks, random ones, and where each line is nearest."""
    low, high = max(lower, -1e300), min(upper, 1e300)
    if low > high:
        return []
    shares = np.random.default_rng(0).random(4)
    found = [low, high, *(m for m in row.marks if low <= m <= high), *(low + (high / 2 - low / 2) * 2 * shares)]
    for tilt, sign in zip(tilts, (1.0, -1.0), strict=True):
        begin, end = low, high
        for _ in range(3):
            x = begin + (end / 2 - begin / 2) * 2 * np.linspace(0, 1, 65)
            gap = np.nan_to_num(sign * (_approximate(row.operator, x) - tilt * x), nan=np.inf)
            k = int(gap.argmin())
            begin, end = x[max(k - 1, 0)], x[min(k + 1, 64)]
            found.append(x[k])
    return [min(max(float(x), low), high) for x in found]


def _approximate(operator: op.Operator, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return EVALUATORS[type(operator)](operator, {}, (torch.from_numpy(x),)).numpy()


def _on_line(slope: float, offset: float, x: float) -> Any:
    """The line's value, exactly."""
    return mp.fadd(mp.fmul(slope, x, exact=True), offset, exact=True)


def violations(row: Row, box: tuple[float, float], slope: float | None = None) -> list[str]:
    """What lines and interval of one box claim wrongly."""
    lower, upper = (np.array([[x]]) for x in box)
    found = lines(row.operator, lower, upper, None if slope is None else np.array([[slope]]))
    low, high = (float(x[0, 0]) for x in interval(row.operator, [lower], [upper]))
    a, b, c, d = (float(getattr(found, name)[0, 0]) for name in Lines.__slots__)
    assert not np.isnan([a, b, c, d, low, high]).any()
    assert np.isfinite([a, c]).all()
    wrong = []
    for x in _inside(row, *box, (a, c)):
        value = row.exact(mpf(x))
        if value is None:
            if np.isfinite([b, d]).any() or np.isfinite([low, high]).any():
                wrong.append(f"finite where undefined: x = {x!r}")
            continue
        if b > -np.inf and not _on_line(a, b, x) <= value:
            wrong.append(f"lower line at {x!r}")
        if d < np.inf and not value <= _on_line(c, d, x):
            wrong.append(f"upper line at {x!r}")
        if not low <= value <= high:
            wrong.append(f"interval at {x!r}")
    return wrong


def _defined(row: Row, box: tuple[float, float]) -> tuple[float, float]:
    """Moved into the domain of logarithms, roots and negative powers, where lines are worth a test."""
    exponent = getattr(row.operator, "exponent", 1.0)
    if isinstance(row.operator, nl.Log | nl.Sqrt) or exponent != int(exponent) or exponent < 0:
        lower, upper = sorted((abs(box[0]), abs(box[1])))
        sign = -1 if exponent < 0 and exponent == int(exponent) and box[0] < 0 else 1
        return (sign * lower, sign * upper) if sign > 0 else (-upper, -lower)
    return box


@BY_ROW
def test_lines_and_intervals_hold(row: Row) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(boxes(row))
    def holds(box: tuple[float, float]) -> None:
        assert violations(row, box) == []
        if _defined(row, box) != box:
            assert violations(row, _defined(row, box)) == []

    holds()


@pytest.mark.parametrize("operator", [nl.Relu(), nl.LeakyRelu(0.2), nl.LeakyRelu(-0.5), nl.LeakyRelu(2.0)])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(box=_pairs(st.floats(-5, 5)), slope=st.floats(-1, 2))
@example(box=(-1.0, 1.0), slope=float("nan"))
def test_wanted_slopes_hold(operator: nl.LeakyRelu, box: tuple[float, float], slope: float) -> None:
    row = next(r for r in ROWS if isinstance(r.operator, nl.Relu))
    exact = row.exact if isinstance(operator, nl.Relu) else _leaky(operator.slope)
    with mp.workdps(100):
        assert violations(Row(operator, exact), box, slope) == []


def test_a_wanted_slope_is_taken_where_the_sign_is_open() -> None:
    lower, upper = np.array([[-1.0, -1.0, 1.0, -2.0]]), np.array([[2.0, 2.0, 2.0, -1.0]])
    found = lines(nl.Relu(), lower, upper, np.array([[0.25, 7.0, 0.25, 0.25]]))
    assert found.lower_slope.tolist() == [[0.25, 1.0, 1.0, 0.0]]
    assert found.lower_offset.tolist() == [[0.0] * 4]
    leaky = lines(nl.LeakyRelu(0.2), lower, upper, np.array([[0.5, 0.1, 0.5, 0.5]]))
    assert leaky.lower_slope.tolist() == [[0.5, 0.2, 1.0, 0.2]]


def test_relu_is_exact_where_its_sign_is_known() -> None:
    lower, upper = np.array([[0.0, 3.0, -2.0, -1.0, 0.0, 2.0, -np.inf]]), np.array([[1.0, np.inf, 0.0, -1.0, 0.0, 2.0, -3.0]])
    found = lines(nl.Relu(), lower, upper)
    slopes = [[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]]
    assert found.lower_slope.tolist() == found.upper_slope.tolist() == slopes
    assert not found.lower_offset.any()
    assert not found.upper_offset.any()


@pytest.mark.parametrize("operator", [nl.LeakyRelu(0.3), nl.Abs(), nl.Clip(-1.0, 1.0)])
def test_piecewise_linear_functions_are_exact_on_a_part(operator: nl.Elementwise) -> None:
    lower, upper = np.array([[0.1, -0.9, -7.0]]), np.array([[0.9, -0.1, -3.0]])
    found = lines(operator, lower, upper)
    assert np.array_equal(found.lower_slope, found.upper_slope)
    assert np.array_equal(found.lower_offset, found.upper_offset)


@pytest.mark.parametrize(
    ("operator", "range_"),
    [(nl.Sin(), (-1, 1)), (nl.Cos(), (-1, 1)), (nl.Sigmoid(), (0, 1)), (nl.Tanh(), (-1, 1)), (nl.Clip(-2, 3), (-2, 3))],
)
def test_bounded_functions_stay_bounded_on_the_whole_line(operator: nl.Elementwise, range_: tuple[float, float]) -> None:
    lower, upper = np.array([[-np.inf, -1e200]]), np.array([[np.inf, np.inf]])
    found = lines(operator, lower, upper)
    low, high = interval(operator, [lower], [upper])
    assert low.tolist() == found.lower_offset.tolist() == [[range_[0]] * 2]
    assert high.tolist() == found.upper_offset.tolist() == [[range_[1]] * 2]
    assert not found.lower_slope.any()
    assert not found.upper_slope.any()


@BY_ROW
def test_not_a_number_gives_no_bound(row: Row) -> None:
    nan, one = np.full((1, 2), np.nan), np.ones((1, 2))
    for lower, upper in ((nan, one), (one, nan), (nan, nan)):
        found = lines(row.operator, lower, upper)
        low, high = interval(row.operator, [lower], [upper])
        for side in (found.lower_offset, low):
            assert (~(side > -np.inf)).all()
        for side in (found.upper_offset, high):
            assert (~(side < np.inf)).all()


@BY_ROW
def test_shapes_are_kept_and_boxes_do_not_mix(row: Row) -> None:
    rng = np.random.default_rng(2)
    lower = rng.uniform(0.1, 2, (3, 2, 4))
    upper = lower + rng.uniform(0, 2, lower.shape)
    together = lines(row.operator, lower, upper)
    alone = lines(row.operator, lower[1:2, :, 3:], upper[1:2, :, 3:])
    for name in Lines.__slots__:
        assert getattr(together, name).shape == lower.shape
        np.testing.assert_allclose(getattr(together, name)[1:2, :, 3:], getattr(alone, name), rtol=1e-6, atol=1e-9)
    assert lines(row.operator, lower[:0], upper[:0]).lower_slope.shape == (0, 2, 4)


def _hull_at_middle(x: Array, y: Array) -> float:
    """The lower convex hull of the points, at the middle of their range."""
    middle, hull = 0.5 * (x[0] + x[-1]), [0]
    for k in range(1, len(x)):
        while len(hull) > 1 and (y[hull[-1]] - y[hull[-2]]) * (x[k] - x[hull[-2]]) >= (y[k] - y[hull[-2]]) * (x[hull[-1]] - x[hull[-2]]):
            hull.pop()
        hull.append(k)
    return float(np.interp(middle, x[hull], y[hull]))


@pytest.mark.parametrize("row", [r for r in ROWS if not isinstance(r.operator, nl.Relu)], ids=lambda r: r.label)
def test_areas_are_within_five_percent_of_the_least(row: Row) -> None:
    """No line below f encloses less area than the one through its convex envelope at the midpoint."""
    rng = np.random.default_rng(5)
    for _ in range(25):
        box = _defined(row, tuple(sorted(rng.uniform(-4, 4, 2))))
        if not 0.1 < box[1] - box[0] < 6 or (getattr(row.operator, "exponent", 1) < 0 and min(abs(box[0]), abs(box[1])) < 0.1):
            continue
        x = np.linspace(*box, 801)
        y = _approximate(row.operator, x)
        middle = 0.5 * (box[0] + box[1])
        found = lines(row.operator, np.array([[box[0]]]), np.array([[box[1]]]))
        area = np.mean((y[1:] + y[:-1]) / 2)
        for sign, slope, offset in ((1, found.lower_slope, found.lower_offset), (-1, found.upper_slope, found.upper_offset)):
            least = sign * area - _hull_at_middle(x, sign * y)
            own = sign * (area - (slope[0, 0] * middle + offset[0, 0]))
            assert own <= 1.05 * least + 1e-4 * (box[1] - box[0]) ** 2 + 1e-12, (box, sign)


@pytest.mark.parametrize("row", SMOOTH, ids=lambda r: r.label)
def test_halving_a_box_quarters_the_gap(row: Row) -> None:
    rng = np.random.default_rng(7)
    centers = rng.uniform(0.3, 2.5, 40)
    gaps = []
    for width in (0.1, 0.05, 0.025):
        lower, upper = centers - width / 2, centers + width / 2
        found = lines(row.operator, lower[None], upper[None])
        ends = [
            (found.upper_slope - found.lower_slope)[0] * x + (found.upper_offset - found.lower_offset)[0] for x in (lower, centers, upper)
        ]
        gaps.append(np.max(ends, axis=0))
    for wide, narrow in pairwise(gaps):
        assert (narrow <= wide / 3 + 1e-12).all()


def test_intervals_are_tight() -> None:
    """Within rounding of the range, found by a fine grid."""
    rng = np.random.default_rng(9)
    for row in ROWS:
        boxes_ = [_defined(row, tuple(sorted(rng.uniform(-4, 4, 2)))) for _ in range(20)]
        for box in (b for b in boxes_ if isinstance(row.operator, nl.Sin | nl.Cos) or min(abs(b[0]), abs(b[1])) > 0.05):
            y = _approximate(row.operator, np.linspace(*box, 4001))
            low, high = interval(row.operator, [np.array([[box[0]]])], [np.array([[box[1]]])])
            room = 1e-3 * (y.max() - y.min()) + 1e-12 * (1 + np.abs(y).max())
            assert y.min() - room <= low[0, 0] <= y.min() + 1e-12 * (1 + np.abs(y).max())
            assert y.max() - 1e-12 * (1 + np.abs(y).max()) <= high[0, 0] <= y.max() + room


@pytest.mark.parametrize(
    ("curve", "operator"), [(SILU, nl.Silu()), (GELU, nl.Gelu()), (GELU_TANH, nl.Gelu(tanh=True)), (HARD_SWISH, nl.HardSwish())]
)
def test_bends_and_turns_of_the_self_gated_functions(curve: Curve, operator: nl.Elementwise) -> None:
    """The spans end where the second derivative changes its sign and nowhere else; the minimum is enclosed."""
    row = next(r for r in ROWS if repr(r.operator) == repr(operator))
    nothing = np.zeros(1)
    (turn,), (convex,) = curve.turns(nothing, nothing), curve.convex(nothing, nothing)
    around = [row.exact(mpf(turn.at) + d) for d in (mpf(-1e-6), mpf(0), mpf(1e-6))]
    assert around[0] > around[1] < around[2]
    assert turn.low <= around[1] <= turn.high
    straight = isinstance(operator, nl.HardSwish)
    for x in np.linspace(-2.95, 2.95, 100) if straight else np.linspace(-9, 9, 200):
        assert (mp.diff(row.exact, mpf(x), 2) > 0) == (abs(x) < convex.end), x
    if not straight:
        before, after = (mp.diff(row.exact, mpf(convex.end) * (1 + d), 2) for d in (mpf(-1e-15), mpf(1e-15)))
        assert before > 0 > after


PROBES = [(-1.0, 2.0), (-0.3, 0.1), (0.2, 0.7), (-2.0, -0.5), (-3.7, 4.1), (0.1, 0.1 + 2e-16), (1 / 3, 5 / 3), (-1e-3, 7e-4)]


def _caught(rows: list[Row]) -> bool:
    return any(violations(row, box) for row in rows for box in PROBES)


def _rows(*kinds: type) -> list[Row]:
    return [r for r in ROWS if isinstance(r.operator, kinds)]


def _plain(x: Any) -> Any:
    return np.asarray(x)


def test_dropped_rounding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(nl.Sigmoid, nl.Exp, nl.Silu)
    assert not _caught(rows)
    with monkeypatch.context() as patch:
        patch.setattr(smooth, "above", _plain)
        patch.setattr(smooth, "below", _plain)
        patch.setattr(smooth, "_enclosed", lambda value, _curve, _x: (value, value))
        assert _caught(rows)
    with monkeypatch.context() as patch:
        patch.setattr(piecewise, "EPS", 0.0)
        patch.setattr(piecewise, "TINY", 0.0)
        assert _caught(_rows(nl.Relu))
    with monkeypatch.context() as patch:
        patch.setattr(piecewise, "above", _plain)
        patch.setattr(piecewise, "below", _plain)
        assert _caught(_rows(nl.LeakyRelu))


def test_planted_bugs_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flipped slopes, forgotten spans and turns, derivatives believed without their error."""
    own = piecewise.relu_lines

    def flipped(*bounds: Any) -> Lines:
        right = own(*bounds)
        return Lines(right.lower_slope, right.lower_offset, -right.upper_slope, right.upper_offset)

    with monkeypatch.context() as patch:
        patch.setattr(piecewise, "relu_lines", flipped)
        assert _caught(_rows(nl.Relu))
    with monkeypatch.context() as patch:
        patch.setattr(smooth, "_convex_spans", lambda *_: ())
        assert _caught(_rows(nl.Sigmoid))
    with monkeypatch.context() as patch:
        patch.setattr(curves, "_shifts", lambda *_: [])
        assert _caught(_rows(nl.Sin))
    rough = always(Span(-np.inf, 0.0, lambda s: np.full_like(s, -0.7)))
    right = curves.TANH
    with monkeypatch.context() as patch:
        patch.setitem(FUNCTIONS, nl.Tanh, lambda _: Curve(right.value, right.derivative, rough, right.concave))
        assert not _caught(_rows(nl.Tanh))
        patch.setattr(smooth, "_least_on_tangent", lambda c, sign, slope, touch, _begin, _end: smooth._tilted(c, sign, slope, touch))
        assert _caught(_rows(nl.Tanh))


def _concrete(kind: Any) -> set[Any]:
    return {s for k in kind.__subclasses__() for s in (_concrete(k) or {k})}


def test_every_nonlinear_operator_is_relaxed_or_lowered() -> None:
    nonlinear = {k for k in _concrete(op.Operator) if k.__module__ == nl.__name__}
    assert nonlinear == RELAXED | LOWERED
    assert not RELAXED & LOWERED
    elementwise = {k for k in nonlinear if issubclass(k, nl.Elementwise)}
    assert elementwise == {type(row.operator) for row in ROWS} == {nl.Relu, *FUNCTIONS}


def test_an_operator_without_lines_says_so() -> None:
    with pytest.raises(UnsupportedOperatorError, match="Softmax has no relaxation of this kind; there are some for Abs, Clip"):
        interval(nl.Softmax(0), [np.zeros((1, 2))], [np.ones((1, 2))])
