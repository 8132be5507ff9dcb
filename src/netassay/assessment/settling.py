"""Where a proved and an attained side meet: rounding of the attained value may bring it a little beyond the proved one.

A proof holds in real arithmetic; an attained value was evaluated in floating point. Where they cross by no more than that
evaluation's rounding, the proved side gives way, so that the bracket stays one; by more, one of them is wrong, and that is an error.
"""

from __future__ import annotations

from dataclasses import replace

from netassay.checking.replay import rounding_of
from netassay.results.bracket import Bracket, End, Side


def raised(bracket: Bracket, lower: Side) -> Bracket:
    """The bracket, attained from above, with a proved lower side taken into account."""
    upper = bracket.upper
    if upper is not None and upper.value < lower.value <= upper.value + _rounding(upper, lower):
        lower = replace(lower, value=upper.value)
    return bracket.tighten(End.LOWER, lower)


def settled_upper(bracket: Bracket, upper: Side) -> Bracket:
    """The bracket with an attained upper side taken into account."""
    lower = bracket.lower
    if lower is not None and upper.value < lower.value <= upper.value + _rounding(upper, lower):
        bracket = replace(bracket, lower=replace(lower, value=upper.value))
    return bracket.tighten(End.UPPER, upper)


def _rounding(attained: Side, proved: Side) -> float:
    return rounding_of(attained.arithmetic) * (1 + abs(proved.value))
