"""The plots of the report as inline SVG: brackets, survival of the radius, anytime traces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from netassay.reports import svg
from netassay.reports.svg import Axis
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.summary import RadiusSummary
from netassay.results.trace import Trace

WIDTH = 460
ROW = 20
LEFT, RIGHT, TOP, BOTTOM = 84, 18, 10, 40


@dataclass(frozen=True, slots=True)
class BracketRow:
    """One line of the bracket plot: brackets of one input (two for a range); ``open_ended`` where a search found no witness."""

    label: str
    brackets: tuple[Bracket, ...]
    open_ended: bool = False


def bracket_plot(
    rows: Sequence[BracketRow], *, title: str, ident: str, label: str, from_zero: bool, limit: float | None = None
) -> Markup | None:
    """Known ends as solid marks; towards an end that nobody has proved, the bar fades out.

    Args:
        rows: From top to bottom.
        title: Of the horizontal axis, with its unit.
        ident: Unique in the page; gradients are named after it.
        label: What a screen reader says.
        from_zero: Whether the quantity cannot be negative, so that the axis starts at 0.
        limit: A value that decides, drawn as an upright line.
    Returns:
        None if no finite value is known.
    """
    values = [s.value for r in rows for b in r.brackets for s in (b.lower, b.upper) if s is not None and math.isfinite(s.value)]
    if not values:
        return None
    height = TOP + ROW * len(rows) + BOTTOM
    axis = _value_axis(values if limit is None else [*values, limit], from_zero=from_zero)
    parts = [_fades(ident), *svg.horizontal_axis(axis, height - BOTTOM, TOP, title)]
    parts += [] if limit is None else [svg.line(axis.at(limit), TOP, axis.at(limit), height - BOTTOM, "limit")]
    for i, row in enumerate(rows):
        y = TOP + ROW * (i + 0.5)
        parts.append(svg.text(LEFT - 8, y + 4, row.label, kind="row", anchor="end"))
        parts += _open_row(axis, y) if row.open_ended else []
        parts += _range_bar(axis, y, row.brackets) if len(row.brackets) == 2 else []
        for bracket in row.brackets:
            parts += _bracket(bracket, axis, y, ident)
    return svg.drawing(WIDTH, height, label, parts, kind="brackets")


def _value_axis(values: Sequence[float], *, from_zero: bool) -> Axis:
    low, high = (0.0 if from_zero else min(values)), max(values)
    span = max(high - low, 0.01 * abs(high)) or 1.0
    return Axis(low if from_zero else low - 0.12 * span, high + 0.12 * span, LEFT, WIDTH - RIGHT)


def _fades(ident: str) -> str:
    stops = '<stop offset="0" class="fade-clear"/><stop offset="1" class="fade-full"/>'
    left = f'<linearGradient id="{ident}-left">{stops}</linearGradient>'
    return f'<defs>{left}<linearGradient id="{ident}-right" x1="1" x2="0">{stops}</linearGradient></defs>'


def _open_row(axis: Axis, y: float) -> list[str]:
    tip = [(axis.end - 7, y - 5), (axis.end, y), (axis.end - 7, y + 5)]
    return [svg.line(axis.start, y, axis.end - 7, y, "open"), svg.path(tip, "open-tip", closed=True)]


def _range_bar(axis: Axis, y: float, brackets: Sequence[Bracket]) -> list[str]:
    """The reached range: from the attained minimum to the attained maximum."""
    ends = [b.side(b.attained) for b in brackets]
    if any(s is None or not math.isfinite(s.value) for s in ends):
        return []
    low, high = sorted(axis.at(s.value) for s in ends if s is not None)
    return [svg.rect(low, y - 4, high - low, 8, "bar attained")]


def _bracket(bracket: Bracket, axis: Axis, y: float, ident: str) -> list[str]:
    known, other_end = bracket.side(bracket.attained), End.UPPER if bracket.attained is End.LOWER else End.LOWER
    other = bracket.side(other_end)
    edge = axis.start if other_end is End.LOWER else axis.end
    here = None if known is None else axis.at(known.value)
    there = edge if other is None else axis.at(other.value)
    parts = []
    if here is not None and here != there:
        low, high = sorted((here, there))
        fade = f"{ident}-{'left' if other_end is End.LOWER else 'right'}"
        proved = other is not None and other.guarantee is Guarantee.PROVED
        parts.append(svg.rect(low, y - 4, high - low, 8, "bar gap" if proved else "bar", fill="" if proved else fade))
    if other is not None:
        parts.append(svg.line(there, y - 7, there, y + 7, f"cap {other.guarantee}"))
    return parts + _mark(known, here, y)


def _mark(known: Side | None, here: float | None, y: float) -> list[str]:
    return [] if known is None or here is None else [svg.circle(here, y, 4.5, f"dot {known.guarantee}")]


def survival_plot(summary: RadiusSummary, *, title: str, label: str) -> Markup | None:
    """Share of inputs without a witness within each radius (bounds the safe share from above); below it, the share proved safe, if any.

    None without a witness, since the curve would be a line at 100 % that shows nothing but an unsuccessful search.
    """
    points, counted = summary.survival, summary.counted
    farthest = max((p.radius for p in points), default=0.0)
    if farthest <= 0 or counted == 0 or points[-1].without_witness == counted:
        return None
    height = 246
    across = Axis(0.0, farthest * 1.08, 46, WIDTH - RIGHT)
    up = Axis(0.0, 100.0, height - BOTTOM, 28)
    curve = [(across.at(p.radius), up.at(100 * p.without_witness / counted)) for p in points]
    steps = [(across.start, up.at(100)), *svg.stairs([(across.start, up.at(100)), *curve])[1:], (across.end, curve[-1][1])]
    bottom = up.at(0)
    parts = svg.vertical_axis(up, across.start, across.end, "inputs, %") + svg.horizontal_axis(across, bottom, 28, title)
    parts.append(svg.path([(across.start, bottom), *steps, (across.end, bottom)], "area attained", closed=True))
    parts.append(svg.path(steps, "curve attained"))
    if summary.proved:
        safe = [(across.at(p.radius), up.at(100 * p.proved_safe / counted)) for p in points]
        parts.append(svg.path(svg.stairs(safe, first_down=True), "curve proved"))
    return svg.drawing(WIDTH, height, label, parts, kind="survival")


BAR_WIDTH, BAR_HEIGHT = 240, 14


def share_bar(proved: int, left: int, lost: int, *, label: str) -> Markup:
    """One bar in three parts: proved safe, neither proved nor denied, not safe; of at least one input."""
    unit, start, parts = BAR_WIDTH / max(1, proved + left + lost), 0.0, []
    for kind, part in (("proved", proved), ("left", left), ("lost", lost)):
        if part:
            parts.append(svg.rect(start, 0, part * unit, BAR_HEIGHT, f"part {kind}"))
        start += part * unit
    return svg.drawing(BAR_WIDTH, BAR_HEIGHT, label, parts, kind="share-bar")


TRACE_WIDTH, TRACE_HEIGHT = 340, 170


def trace_plot(traces: Sequence[Trace], *, value_title: str, label: str, brackets: Sequence[Bracket] = ()) -> Markup | None:
    """The best sides against the queries spent; a side that no trace point knows is left out.

    ``brackets`` are what the traces ended with, one each; they say how each side is known. Without them all count as attained.
    None if nothing was known before the end, so that there is no way to draw.
    """
    ended: list[Bracket | None] = list(brackets) or [None] * len(traces)
    series = [s for trace, bracket in zip(traces, ended, strict=True) for s in _series(trace, bracket)]
    if not series or max(len(points) for _, points in series) < 2:
        return None
    queries = [q for _, points in series for q, _ in points]
    values = [v for _, points in series for _, v in points]
    low, high = min(values), max(values)
    span = max(high - low, (0.01 if high > low else 1.0) * abs(high)) or 1.0  # around a single value ticks of its own size
    first, last = max(1, min(queries)), max(max(queries), 2)
    log = last / first > 50
    across = Axis(first if log else 0, last * 1.02, 54, TRACE_WIDTH - 20, log=log)
    up = Axis(low - 0.08 * span, high + 0.08 * span, TRACE_HEIGHT - BOTTOM, 26)
    parts = svg.vertical_axis(up, across.start, across.end, value_title, count=4)
    parts += svg.horizontal_axis(across, TRACE_HEIGHT - BOTTOM, 26, "queries" + (" (logarithmic)" if log else ""), count=4)
    for kind, points in series:
        pixels = [(across.at(q), up.at(v)) for q, v in points]
        parts += [svg.path(svg.stairs(pixels), f"curve {kind}"), svg.circle(*pixels[-1], 3.5, f"dot {kind}")]
    return svg.drawing(TRACE_WIDTH, TRACE_HEIGHT, label, parts, kind="trace")


def _series(trace: Trace, bracket: Bracket | None) -> list[tuple[str, list[tuple[float, float]]]]:
    """The known sides as points, each with the names of its end and, unless it is attained, of its guarantee."""
    lower = [(float(p.queries), p.lower) for p in trace if p.lower is not None and math.isfinite(p.lower)]
    upper = [(float(p.queries), p.upper) for p in trace if p.upper is not None and math.isfinite(p.upper)]
    found = []
    for end, points in ((End.LOWER, lower), (End.UPPER, upper)):
        side = None if bracket is None else bracket.side(end)
        known = "" if side is None or side.guarantee is Guarantee.ATTAINED else f" {side.guarantee}"
        found += [(f"{end}{known}", points)] if points else []
    return found
