"""Small parts of inline SVG: axes with round ticks, lines, steps. Colours and type come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values in [low, high] to pixels in [start, end], linearly or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; values beyond the ends are drawn at the ends."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        share = (min(value, high) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Round values on the axis and how they are written."""
        if self.log:
            return _powers(self.low, self.high)
        step = nice_step(self.high - self.low, count)
        first = math.ceil(self.low / step - 1e-9)
        values = [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [(v, _tick(v, step)) for v in values]


def nice_step(span: float, count: int) -> float:
    """A step of 1, 2 or 5 times a power of ten, at most ``count`` of which fit into ``span``."""
    size = 10.0 ** math.floor(math.log10(span / count))
    return next(m * size for m in (1, 2, 5, 10) if m * size * count >= span * (1 - 1e-9))


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    exponents = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    return [(10.0**e, _tick(10.0**e, 10.0**e)) for e in exponents]


def _tick(value: float, step: float) -> str:
    power = math.floor(math.log10(step) + 1e-9)
    if value and (power < -4 or max(abs(value), step) >= 1e6):
        digits = max(0, math.floor(math.log10(abs(value)) + 1e-9) - power)
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(0, -power)}f}" if value else "0"


def drawing(width: float, height: float, label: str, content: Sequence[str], *, kind: str) -> Markup:
    """A whole SVG image with an accessible name; ``kind`` is its class."""
    start = Markup('<svg class="plot {}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(kind, width, height, label)
    return start + Markup("").join(Markup(c) for c in content) + Markup("</svg>")


def text(x: float, y: float, content: str, *, kind: str = "", anchor: str = "start") -> str:
    """Text; escaped."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{kind}"/>'


def rect(x: float, y: float, width: float, height: float, kind: str, *, fill: str = "") -> str:
    """A rectangle; ``fill`` names a gradient of the same image."""
    painted = f' fill="url(#{fill})"' if fill else ""
    return f'<rect x="{x:g}" y="{y:g}" width="{max(0.0, width):g}" height="{height:g}" class="{kind}"{painted}/>'


def circle(x: float, y: float, radius: float, kind: str) -> str:
    """A circle."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" class="{kind}"/>'


def path(points: Points, kind: str, *, closed: bool = False) -> str:
    """Straight segments through pixel positions."""
    steps = " ".join(f"{'L' if i else 'M'}{x:g} {y:g}" for i, (x, y) in enumerate(points))
    return f'<path d="{steps}{"Z" if closed else ""}" class="{kind}"/>'


def stairs(points: Points, *, first_down: bool = False) -> list[tuple[float, float]]:
    """A step line through the points: along first, then up or down; the other way round for ``first_down``."""
    out: list[tuple[float, float]] = []
    for x, y in points:
        if out:
            out.append((out[-1][0], y) if first_down else (x, out[-1][1]))
        out.append((x, y))
    return out


def horizontal_axis(axis: Axis, y: float, top: float, title: str, *, count: int = 5) -> list[str]:
    """Grid lines from ``top`` to ``y``, tick labels below, and the axis title."""
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for value, label in axis.ticks(count):
        x = axis.at(value)
        parts += [line(x, top, x, y, "grid"), text(x, y + 15, label, kind="tick", anchor="middle")]
    return [*parts, text((axis.start + axis.end) / 2, y + 33, title, kind="title", anchor="middle")]


def vertical_axis(axis: Axis, x: float, right: float, title: str, *, count: int = 4) -> list[str]:
    """Grid lines from ``x`` to ``right``, tick labels on the left, and the title above."""
    parts = []
    for value, label in axis.ticks(count):
        y = axis.at(value)
        parts += [line(x, y, right, y, "grid"), text(x - 6, y + 4, label, kind="tick", anchor="end")]
    return [*parts, text(4, min(axis.start, axis.end) - 10, title, kind="title")]
