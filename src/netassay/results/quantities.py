"""The quantities that answers bracket, as arrays: what is surely below them, and what is surely above.

A side that is not known takes the weakest claim that is surely true, so that every order statistic and every mean of a side bounds
that of the quantity: 0 below a radius or a slope, the radius that was searched above a radius (capped there, DeepQuant Def. 4),
an infinity everywhere else. The attained side holds attained values only, the proved side proved values only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.results.answer import Answer, LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.summary import attained_radius, proved_value, shows
from netassay.results.witness import Witness

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantity:
    """One quantity of the inputs that count (all but the misclassified ones).

    Args:
        name: radius, slope (Q), d_prime (Theorem 1's radius), minimum, maximum (of a range), least (min s).
        indices: Positions of the n inputs in their data set; None for a plain box.
        lower: (n,) values that are surely at most the quantity.
        upper: (n,) values that are surely at least the quantity; of ``d_prime`` an estimate.
        lower_is_known: (n,) which of the lower values are more than the weakest claim.
        upper_is_known: (n,) the same of the upper values.
        lower_guarantee: How the lower values are known.
        upper_guarantee: How the upper values are known.
    """

    name: str
    indices: tuple[int | None, ...]
    lower: Array
    upper: Array
    lower_is_known: NDArray[np.bool_]
    upper_is_known: NDArray[np.bool_]
    lower_guarantee: Guarantee
    upper_guarantee: Guarantee

    @property
    def lower_known(self) -> int:
        """How many lower values are known."""
        return int(self.lower_is_known.sum())

    @property
    def upper_known(self) -> int:
        """How many upper values are known."""
        return int(self.upper_is_known.sum())


@dataclass(frozen=True, slots=True)
class _Kind:
    """How to read one quantity from an answer; None where nothing is known."""

    lower: Callable[[Answer], float | None]
    upper: Callable[[Answer], float | None]
    floor: float
    ceiling: Callable[[Answer], float]
    lower_guarantee: Guarantee
    upper_guarantee: Guarantee


def quantities(members: Sequence[Answer]) -> list[Quantity]:
    """The quantities of one group of answers, as ``summary.grouped`` gives it; empty where no input counts."""
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    if not counted:
        return []
    return [_read(name, kind, counted) for name, kind in KINDS[type(counted[0])].items()]


def _read(name: str, kind: _Kind, counted: Sequence[Answer]) -> Quantity:
    lowers, uppers = [kind.lower(a) for a in counted], [kind.upper(a) for a in counted]
    return Quantity(
        name,
        tuple(a.index for a in counted),
        np.array([kind.floor if v is None else v for v in lowers]),
        np.array([kind.ceiling(a) if v is None else v for a, v in zip(counted, uppers, strict=True)]),
        np.array([v is not None for v in lowers]),
        np.array([v is not None for v in uppers]),
        kind.lower_guarantee,
        kind.upper_guarantee,
    )


def _attained(side: Side | None, witness: Witness | None) -> float | None:
    return side.value if side is not None and side.guarantee is Guarantee.ATTAINED and shows(witness) else None


def _infinite(_: Answer) -> float:
    return math.inf


def _searched(answer: Answer) -> float:
    return math.inf if answer.region.radius is None else answer.region.radius


def _from_above(bracket: Callable[[Answer], tuple[Bracket, Witness | None]]) -> _Kind:
    """A minimum: proved from below, attained from above."""
    return _Kind(
        lambda a: proved_value(bracket(a)[0].side(End.LOWER)),
        lambda a: _attained(bracket(a)[0].side(End.UPPER), bracket(a)[1]),
        -math.inf,
        _infinite,
        Guarantee.PROVED,
        Guarantee.ATTAINED,
    )


def _from_below(bracket: Callable[[Answer], tuple[Bracket, Witness | None]], floor: float) -> _Kind:
    """A maximum: attained from below, proved from above."""
    return _Kind(
        lambda a: _attained(bracket(a)[0].side(End.LOWER), bracket(a)[1]),
        lambda a: proved_value(bracket(a)[0].side(End.UPPER)),
        floor,
        _infinite,
        Guarantee.ATTAINED,
        Guarantee.PROVED,
    )


def _radius_lower(answer: Answer) -> float | None:
    return proved_value(answer.bracket.lower) if isinstance(answer, RadiusAnswer) else None


def _radius_upper(answer: Answer) -> float | None:
    return attained_radius(answer) if isinstance(answer, RadiusAnswer) else None


def _d_prime_lower(answer: Answer) -> float | None:
    return proved_value(answer.d_prime_lower) if isinstance(answer, LipschitzAnswer) else None


def _d_prime_upper(answer: Answer) -> float | None:
    return answer.d_prime_upper.value if isinstance(answer, LipschitzAnswer) and answer.d_prime_upper is not None else None


def _slope(answer: Answer) -> tuple[Bracket, Witness | None]:
    return (answer.bracket, answer.witness) if isinstance(answer, LipschitzAnswer) else (Bracket(End.LOWER), None)


def _minimum(answer: Answer) -> tuple[Bracket, Witness | None]:
    return (answer.minimum, answer.minimum_witness) if isinstance(answer, ReachAnswer) else (Bracket(End.UPPER), None)


def _maximum(answer: Answer) -> tuple[Bracket, Witness | None]:
    return (answer.maximum, answer.maximum_witness) if isinstance(answer, ReachAnswer) else (Bracket(End.LOWER), None)


def _least_lower(answer: Answer) -> float | None:
    return proved_value(answer.bracket.lower) if isinstance(answer, VerifyAnswer) else None


def _least_upper(answer: Answer) -> float | None:
    """Min s from above: any value reached counts, whether or not it violates anything."""
    upper = answer.bracket.upper if isinstance(answer, VerifyAnswer) else None
    return upper.value if upper is not None and upper.guarantee is Guarantee.ATTAINED else None


KINDS: dict[type[Answer], dict[str, _Kind]] = {
    RadiusAnswer: {"radius": _Kind(_radius_lower, _radius_upper, 0.0, _searched, Guarantee.PROVED, Guarantee.ATTAINED)},
    LipschitzAnswer: {
        "slope": _from_below(_slope, 0.0),
        "d_prime": _Kind(_d_prime_lower, _d_prime_upper, 0.0, _infinite, Guarantee.PROVED, Guarantee.HEURISTIC),
    },
    ReachAnswer: {"minimum": _from_above(_minimum), "maximum": _from_below(_maximum, -math.inf)},
    VerifyAnswer: {"least": _Kind(_least_lower, _least_upper, -math.inf, _infinite, Guarantee.PROVED, Guarantee.ATTAINED)},
}
