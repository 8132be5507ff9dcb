"""What ``smooth`` needs to know of a function of one number: value, derivative, error bounds, and where it bends which way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from netassay.verifiers.relaxations.base import Array, Mask
from netassay.verifiers.relaxations.rounding import EPS

Function = Callable[[Array], Array]
ErrorBound = Callable[[Array, Array], Array]
"""Takes x and the computed value; bounds its distance from the real one."""

SLACK = 16 * EPS
"""Relative error allowed to the end of a span."""

UNDERFLOW = 1e-300
"""Covers every error that is not relative, because something underflowed on the way."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A real interval on which the function is convex (or concave), its ends known up to ``SLACK``.

    Args:
        begin, end: Its ends, possibly infinite; one for all x, or one per entry.
        inverse: From slopes to points of the span where the derivative is near that slope; quality decides tightness only.
        margin: What else the ends may be off by.
    """

    begin: float | Array
    end: float | Array
    inverse: Function
    margin: float = 0.0

    @property
    def inner(self) -> tuple[Array, Array]:
        """An interval surely inside."""
        return self.begin + self._slack(self.begin), self.end - self._slack(self.end)

    @property
    def outer(self) -> tuple[Array, Array]:
        """An interval surely around it."""
        return self.begin - self._slack(self.begin), self.end + self._slack(self.end)

    def _slack(self, end: float | Array) -> Array:
        return np.where(np.isfinite(end), SLACK * np.abs(end) + self.margin, 0.0)


Spans = Callable[[Array, Array], Sequence[Span]]
"""Takes the bounds of x; the spans that can meet them."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A local extremum: near ``at``, with a value in [low, high]."""

    at: float | Array
    low: float
    high: float


Turns = Callable[[Array, Array], Sequence[Turn]]
"""Takes the bounds of x; the extrema that can lie between them."""


def relative(units: float) -> ErrorBound:
    """Within ``units`` times EPS of the value, or ``UNDERFLOW``."""
    return lambda _, value: units * EPS * np.abs(value) + UNDERFLOW


def nowhere(_lower: Array, _upper: Array) -> tuple[()]:
    """No span and no turn."""
    return ()


def always(*spans: Span) -> Spans:
    """The same spans whatever the bounds."""
    return lambda _l, _u: spans


def turning(at: float, low: float, high: float) -> Turns:
    """One extremum."""
    return lambda _l, _u: (Turn(at, low, high),)


def everywhere(lower: Array, _upper: Array) -> Mask:
    """No bound leaves the domain."""
    return np.ones(lower.shape, dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A function f of one number. Between neighbouring span ends and kinks it is convex, concave or straight.

    Args:
        value, derivative: f and f', approximately; at a kink the derivative of a neighbouring span.
        value_error, derivative_error: Bounds on what is wrong with them.
        convex, concave: All the spans on which f is curved.
        kinks: Floats at which two parts meet that are not both convex spans' insides; exact.
        turns: Its local extrema inside the domain: between neighbouring ones f is monotone.
        limits: f at minus infinity and infinity; NaN where there is no limit.
        floor, ceiling: f is never below or above.
        domain: Whether f is defined on all of [lower, upper].
        inside: Any point of the domain.
        sketch: f again, less exact but faster, for searches; None where f itself is fast.
    """

    value: Function
    derivative: Function
    convex: Spans = nowhere
    concave: Spans = nowhere
    value_error: ErrorBound = field(default_factory=lambda: relative(16))
    derivative_error: ErrorBound = field(default_factory=lambda: relative(32))
    kinks: tuple[float, ...] = ()
    turns: Turns = nowhere
    limits: tuple[float, float] = (-math.inf, math.inf)
    floor: float = -math.inf
    ceiling: float = math.inf
    domain: Callable[[Array, Array], Mask] = everywhere
    inside: float = 1.0
    sketch: Function | None = None
