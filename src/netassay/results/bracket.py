"""A quantity between two sides, one attained and one proved; the sides only move inwards."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from netassay.errors import InconsistentClaimsError
from netassay.results.guarantee import Arithmetic, Guarantee


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an answer, and how it is known. Infinite values are allowed, NaN never."""

    value: float
    guarantee: Guarantee
    source: str
    arithmetic: Arithmetic

    def __post_init__(self) -> None:
        if math.isnan(self.value):
            raise InconsistentClaimsError(f"{self.source} claims NaN as a bound; a bound must be a number")


class End(StrEnum):
    """Which end of a bracket witnesses move: the other one is moved by proofs only."""

    LOWER = "lower"
    UPPER = "upper"


@dataclass(frozen=True, slots=True)
class Bracket:
    """``lower <= quantity <= upper``; None where nothing is known.

    Args:
        attained: The end that witnesses move (the upper end of a radius or a minimum, the lower
            end of a slope or a maximum). A PROVED side is refused there, an ATTAINED side is
            refused at the other end.
        lower: The lower side.
        upper: The upper side.
    """

    attained: End
    lower: Side | None = None
    upper: Side | None = None

    def __post_init__(self) -> None:
        for end in End:
            side = self.side(end)
            wrong = Guarantee.PROVED if end is self.attained else Guarantee.ATTAINED
            if side is not None and side.guarantee is wrong:
                kind = "attained" if end is self.attained else "proved"
                raise InconsistentClaimsError(f"{side.source} claims a {wrong} {end} side, but that end is {kind}")
        if self.lower is not None and self.upper is not None and self.lower.value > self.upper.value:
            strong = {self.lower.guarantee, self.upper.guarantee} <= {Guarantee.PROVED, Guarantee.ATTAINED}
            if strong:
                low, high = self.lower, self.upper
                raise InconsistentClaimsError(
                    f"{low.source} claims a {low.guarantee} lower side {low.value!r} above the {high.guarantee} upper side "
                    f"{high.value!r} of {high.source}: one of them is wrong; please report this"
                )

    def side(self, end: End) -> Side | None:
        return self.lower if end is End.LOWER else self.upper

    def tighten(self, end: End, side: Side) -> Bracket:
        """The bracket with ``side`` taken into account.

        Within one strength of guarantee a side only moves inwards. A stronger guarantee replaces a
        weaker one whatever its value; a weaker one never touches a stronger one.
        """
        current = self.side(end)
        if current is not None:
            if side.guarantee.strength < current.guarantee.strength:
                return self
            inwards = side.value > current.value if end is End.LOWER else side.value < current.value
            if side.guarantee.strength == current.guarantee.strength and not inwards:
                return self
        return replace(self, lower=side) if end is End.LOWER else replace(self, upper=side)

    @property
    def gap(self) -> float:
        """Upper minus lower; infinite while a side is unknown."""
        if self.lower is None or self.upper is None:
            return math.inf
        return self.upper.value - self.lower.value
