"""Plots: positions are those of the numbers, text is escaped, nothing leaves the frame."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.reports.plots import BracketRow, bracket_plot, survival_plot, trace_plot
from netassay.reports.svg import Axis, nice_step, stairs
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.summary import Interval, RadiusSummary, SurvivalPoint
from netassay.results.trace import Trace

NOTHING = Interval(None, None)


def side(value: float, guarantee: Guarantee = Guarantee.ATTAINED) -> Side:
    return Side(value, guarantee, "x", Arithmetic.FLOAT64)


def parsed(image: object) -> ET.Element:
    return ET.fromstring(str(image))


def plot(rows: list[BracketRow], *, from_zero: bool = True) -> ET.Element:
    return parsed(bracket_plot(rows, title="radius", ident="g", label="brackets", from_zero=from_zero))


def test_attained_ends_are_dots_and_unproved_ends_fade() -> None:
    image = plot(
        [BracketRow("input 1", (Bracket(End.UPPER, upper=side(0.5)),)), BracketRow("input 2", (Bracket(End.UPPER, upper=side(1.0)),))]
    )
    dots = list(image.iter("circle"))
    assert [d.get("class") for d in dots] == ["dot attained"] * 2
    bars = list(image.iter("rect"))
    assert {b.get("fill") for b in bars} == {"url(#g-left)"}
    start, *_ = (float(b.get("x") or 0) for b in bars)
    at = [float(d.get("cx") or 0) - start for d in dots]
    assert at[1] == pytest.approx(2 * at[0], abs=0.05)


def test_a_proved_end_is_a_cap_and_its_bar_does_not_fade() -> None:
    image = plot([BracketRow("a", (Bracket(End.UPPER, side(0.2, Guarantee.PROVED), side(0.5)),))])
    assert [e.get("class") for e in image.iter("line") if "cap" in (e.get("class") or "")] == ["cap proved"]
    assert [e.get("fill") for e in image.iter("rect")] == [None]


def test_an_estimated_end_still_fades() -> None:
    image = plot([BracketRow("a", (Bracket(End.UPPER, side(0.2, Guarantee.SOLVER), side(0.5)),))])
    assert [e.get("fill") for e in image.iter("rect")] == ["url(#g-left)"]


def test_an_open_search_is_dashed() -> None:
    image = plot([BracketRow("a", (Bracket(End.UPPER),), open_ended=True), BracketRow("b", (Bracket(End.UPPER, upper=side(1.0)),))])
    assert [e.get("class") for e in image.iter("line") if e.get("class") == "open"] == ["open"]


def test_a_range_is_solid_between_its_attained_ends() -> None:
    image = plot([BracketRow("a", (Bracket(End.UPPER, upper=side(-1.0)), Bracket(End.LOWER, lower=side(2.0))))], from_zero=False)
    solid = [e for e in image.iter("rect") if e.get("class") == "bar attained"]
    dots = sorted(float(e.get("cx") or 0) for e in image.iter("circle"))
    assert len(solid) == 1
    assert float(solid[0].get("x") or 0) == pytest.approx(dots[0])
    assert float(solid[0].get("width") or 0) == pytest.approx(dots[1] - dots[0], abs=0.02)


def test_nothing_known_gives_no_plot() -> None:
    assert bracket_plot([BracketRow("a", (Bracket(End.UPPER),))], title="t", ident="g", label="l", from_zero=True) is None
    assert trace_plot([Trace()], value_title="v", label="l") is None


def test_hostile_text_stays_text() -> None:
    row = BracketRow("<script>&'\"", (Bracket(End.UPPER, upper=side(1.0)),))
    image = plot([row])
    assert "script" not in {e.tag for e in image.iter()}
    assert "<script>&'\"" in [e.text for e in image.iter("text")]
    named = parsed(bracket_plot([row], title="</svg>", ident="g", label='"><script>', from_zero=True))
    assert named.get("aria-label") == '"><script>'


def summary(points: list[tuple[float, int, int]], counted: int, proved: int = 0) -> RadiusSummary:
    survival = tuple(SurvivalPoint(r, left, None, safe) for r, left, safe in points)
    return RadiusSummary(counted, points[-1][1], proved, NOTHING, NOTHING, NOTHING, (), survival)


def path_points(image: ET.Element, kind: str) -> list[tuple[float, float]]:
    d = next(e.get("d") or "" for e in image.iter("path") if e.get("class") == kind)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", d)]


def test_the_survival_curve_steps_down_at_each_witness() -> None:
    image = parsed(survival_plot(summary([(0.0, 4, 0), (0.5, 2, 0), (1.0, 1, 0)], 4), title="r", label="l"))
    steps = path_points(image, "curve attained")
    top, bottom = steps[0][1], max(float(e.get("y2") or 0) for e in image.iter("line") if e.get("class") == "axis")
    shares = [(bottom - y) / (bottom - top) for _, y in steps]
    assert sorted({round(s, 2) for s in shares}) == [0.25, 0.5, 1.0]
    drop = next(i for i, (a, b) in enumerate(pairwise(shares)) if b < a - 0.01)
    assert steps[drop][0] == steps[drop + 1][0]


def test_the_proved_curve_never_lies_above_what_is_proved() -> None:
    image = parsed(survival_plot(summary([(0.0, 4, 2), (0.2, 4, 1), (0.5, 2, 0)], 4, proved=2), title="r", label="l"))
    steps = path_points(image, "curve proved")
    at_zero, at_two = steps[0], steps[1:3]
    assert at_two[0][0] == at_zero[0]
    assert at_two[0][1] == at_two[1][1] > at_zero[1]


def test_no_witness_at_all_draws_no_curve() -> None:
    assert survival_plot(summary([(0.0, 4, 0)], 4), title="r", label="l") is None


def test_a_value_that_never_changed_has_ticks_of_its_own_size() -> None:
    trace = Trace()
    for q in (1, 100):
        trace.append(q, 0.1, upper=2.0)
    words = [t.text or "" for t in parsed(trace_plot([trace], value_title="radius", label="l")).iter() if t.tag.endswith("text")]
    assert "2.0" in words
    assert not [w for w in words if w.startswith(("1.99", "2.00"))]


def test_traces_are_steps_ending_at_the_final_value() -> None:
    trace = Trace()
    for q, v in ((10, 3.0), (100, 2.0), (5000, 1.0)):
        trace.append(q, 0.1, upper=v)
    image = parsed(trace_plot([trace], value_title="radius", label="l"))
    steps = path_points(image, "curve upper")
    assert len(steps) == 5
    (dot,) = image.iter("circle")
    assert (float(dot.get("cx") or 0), float(dot.get("cy") or 0)) == steps[-1]
    assert "queries (logarithmic)" in [e.text for e in image.iter("text")]


@given(st.floats(-100, 100), st.floats(1e-9, 1e9), st.integers(1, 8))
def test_ticks_are_few_round_and_inside(offset: float, span: float, most: int) -> None:
    axis = Axis(offset * span, (offset + 1) * span, 0, 100)
    ticks = axis.ticks(most)
    assert len(ticks) <= most + 1
    assert all(-0.5 <= axis.at(v) <= 100.5 for v, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)
    step = nice_step(axis.high - axis.low, most)
    assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 9) in (1, 2, 5)


def test_logarithmic_ticks_are_powers_of_ten() -> None:
    assert [label for _, label in Axis(3, 20_000, 0, 1, log=True).ticks()] == ["10", "100", "1000", "10000"]


def test_steps_go_along_first_or_down_first() -> None:
    assert stairs([(0, 5), (2, 3)]) == [(0, 5), (2, 5), (2, 3)]
    assert stairs([(0, 5), (2, 3)], first_down=True) == [(0, 5), (0, 3), (2, 3)]


def test_infinite_sides_are_left_out() -> None:
    image = plot([BracketRow("a", (Bracket(End.LOWER, lower=side(1.0)),)), BracketRow("b", (Bracket(End.LOWER, lower=side(2.0)),))])
    assert all(math.isfinite(float(e.get("cx") or 0)) for e in image.iter("circle"))
