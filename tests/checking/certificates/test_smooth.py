"""Lines around smooth functions hold, whatever their slopes, with zero tolerance; and they are about as tight as those of verifiers."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from checking.certificates.test_exponential import exact
from netassay.checking.certificates import smooth as module
from netassay.checking.certificates.arithmetic import Arithmetic, Array
from netassay.checking.certificates.curves import Curve, curve_of
from netassay.checking.certificates.relaxation import Lines
from netassay.checking.certificates.smooth import smooth
from netassay.models import nonlinear as nl
from netassay.verifiers.relaxations import lines

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)
OPERATORS: dict[str, nl.Elementwise] = {"exp": nl.Exp(), "sigmoid": nl.Sigmoid(), "tanh": nl.Tanh()}
TRUE = {"exp": mpmath.exp, "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "tanh": mpmath.tanh}
SLOPES = {"exp": mpmath.exp, "sigmoid": lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)), "tanh": lambda x: mpmath.sech(x) ** 2}


@pytest.fixture(autouse=True)
def _precise():
    with mpmath.workprec(700):
        yield


def curve(name: str) -> Curve:
    found = curve_of(OPERATORS[name])
    assert found is not None
    return found


def intervals(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Wide, narrow, degenerate, touching 0, subnormal, huge."""
    rng = np.random.default_rng(seed)
    middle, width = rng.normal(size=count) * 4, np.exp(rng.normal(size=count) * 3 - 1)
    low, high = np.clip(middle - width, -600, 90), np.clip(middle + width, -600, 90)
    special = [
        (0, 0),
        (-1, 0),
        (0, 1),
        (-5e-324, 5e-324),
        (0, 5e-324),
        (1, 1),
        (-40, 40),
        (-1e-8, 1e-8),
        (-600, 80),
        (2, 2 + 1e-15),
        (-3, -3),
    ]
    both = np.concatenate([np.stack([low, high], axis=1), np.array(special, dtype=np.float64)])
    return both[None, :, 0], both[None, :, 1]


def inside(low: float, high: float, rng: np.random.Generator) -> list[Fraction]:
    """Both ends, 0, and points between."""
    a, b = Fraction(low), Fraction(high)
    found = [a, b, (a + b) / 2, *(a + (b - a) * Fraction(int(k), 1 << 20) for k in rng.integers(0, 1 << 20, 5))]
    return [*found, Fraction(0)] if a < 0 < b else found


def hold(name: str, found: Lines, low: Array, high: Array) -> None:
    rng = np.random.default_rng(0)
    assert found.lower_offset is not None
    sides = (found.lower_slope, found.lower_offset, found.upper_slope, found.upper_offset)
    for i in range(low.shape[1]):
        a, b, c, d = (exact(side[0, i]) for side in sides)
        for x in inside(low[0, i], high[0, i], rng):
            point = exact(x)
            true = TRUE[name](point)
            assert a * point + b <= true <= c * point + d, (name, low[0, i], high[0, i], float(x))


@pytest.mark.parametrize("name", OPERATORS)
def test_values_and_slopes_lie_between_their_ends(name: str) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=400) * 3, rng.normal(size=200) * 100, [0.0, -0.0, 5e-324, -1e-300, 30.0, -30.0]])
    for a, given in ((FLOATS, x), (EXACT, EXACT.array(x[::9]))):
        value, slope = curve(name).ends(a, given)
        for i, each in enumerate(given):
            if a.exact or abs(each) < 650:
                assert exact(value[0][i]) <= TRUE[name](exact(each)) <= exact(value[1][i])
                assert exact(slope[0][i]) <= SLOPES[name](exact(each)) <= exact(slope[1][i])


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_values_of_strange_numbers(name: str) -> None:
    found, (low, high) = curve(name), curve(name).value(FLOATS, np.array([-np.inf, np.inf, np.nan, 1e300]))
    assert (low >= found.floor - 1e-15).all()
    assert (high <= found.ceiling + 1e-15).all()
    assert (high[0] < found.floor + 1e-15, low[1] > found.ceiling - 1e-15) == (True, True)
    assert (low[2] <= found.floor, high[2] >= found.ceiling) == (True, True)


@pytest.mark.parametrize("name", OPERATORS)
def test_lines_hold(name: str) -> None:
    low, high = intervals(2, 150)
    hold(name, smooth(FLOATS, curve(name), low, high), low, high)
    low, high = low[:, -40:], high[:, -40:]
    hold(name, smooth(EXACT, curve(name), EXACT.array(low), EXACT.array(high)), low, high)


@pytest.mark.parametrize("name", OPERATORS)
def test_lines_of_any_slope_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choices are made at random: offsets are what the slopes need."""
    rng = np.random.default_rng(3)
    wild = [0.0, 1e-9, 0.1, 0.25, 1.0, 7.0, 1e6]

    def any_slope(_curve: Curve, low: np.ndarray, *_: object) -> tuple[np.ndarray, np.ndarray]:
        return rng.choice(wild, low.shape), rng.normal(size=low.shape) * rng.choice([0.1, 3, 500])

    monkeypatch.setattr(module, "_supported", any_slope)
    monkeypatch.setattr(module, "_tangent", any_slope)
    monkeypatch.setattr(module, "_chord", lambda _curve, low, _high: rng.choice(wild, low.shape))
    low, high = intervals(4, 120)
    hold(name, smooth(FLOATS, curve(name), low, high), low, high)


def test_tangents_for_sums_hold() -> None:
    low, high = intervals(5, 60)
    levels = np.full((2, low.shape[1]), np.nan)
    levels[0, :20], levels[1, 20:50] = np.linspace(-5, 5, 20), 0.0
    hold("exp", smooth(FLOATS, curve("exp"), low, high, levels), low, high)


def test_a_sum_is_bounded_best_where_it_is_about_1() -> None:
    """exp(x) on [1, 9] exceeds 1: the tangent for that says so, the one in the middle of the interval does not."""
    low, high = np.array([[1.0]]), np.array([[9.0]])
    found, usual = (smooth(FLOATS, curve("exp"), low, high, levels) for levels in (np.zeros((1, 1)), None))
    least = [float((f.lower_slope * low + f.lower_offset).item()) for f in (found, usual) if f.lower_offset is not None]
    assert least[0] > 1 > least[1]


@pytest.mark.parametrize("name", OPERATORS)
def test_lines_are_as_tight_as_those_of_verifiers(name: str) -> None:
    rng = np.random.default_rng(6)
    middle, width = rng.normal(size=(1, 2000)) * 3, np.exp(rng.normal(size=(1, 2000)) - 1)
    low, high = middle - width, middle + width
    own, other = smooth(FLOATS, curve(name), low, high), lines(OPERATORS[name], low, high)
    spread = (other.upper_slope - other.lower_slope) * middle + other.upper_offset - other.lower_offset
    assert own.lower_offset is not None
    mine = (own.upper_slope - own.lower_slope) * middle + own.upper_offset - own.lower_offset
    assert (mine <= spread * (1 + 1e-4) + 1e-12).all()


@pytest.mark.parametrize("name", OPERATORS)
def test_unknown_ranges_give_constants(name: str) -> None:
    low, high = np.array([[-np.inf, -1.0, -np.inf, np.nan]]), np.array([[np.inf, np.inf, 1.0, 2.0]])
    found = smooth(FLOATS, curve(name), low, high)
    assert found.lower_offset is not None
    assert (found.lower_slope == 0).all()
    assert (found.upper_slope == 0).all()
    for i, x in enumerate((0.5, 3.0, -2.0)):
        assert exact(found.lower_offset[0, i]) <= TRUE[name](exact(x)) <= mpmath.mpf(float(found.upper_offset[0, i]))
