"""Global robustness (DeepTRE, Definition 2, Eq. 2): the mean radius over a data set as a bracket, with its centre and radius (Def. 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netassay.results.answer import Outcome, RadiusAnswer
from netassay.results.guarantee import Guarantee


@dataclass(frozen=True, slots=True)
class GlobalRobustness:
    """A bracket of the mean maximum safe radius of the inputs that count.

    Args:
        lower, upper: Means of the sides; the upper one is None while an input has no witness and no finite limit.
        counted: Inputs in the means: those that are not misclassified.
        closed: How many of them have equal sides, the lower one proved.
        proved: Whether every lower side is proved; sides that are not known count as 0, which always holds.
    """

    lower: float
    upper: float | None
    counted: int
    closed: int
    proved: bool

    @property
    def center(self) -> float | None:
        """U_c."""
        return None if self.upper is None else (self.lower + self.upper) / 2

    @property
    def radius(self) -> float | None:
        """U_r."""
        return None if self.upper is None else (self.upper - self.lower) / 2


def global_robustness(answers: Sequence[RadiusAnswer], *, limit: float | None = None) -> GlobalRobustness:
    """The bracket of the mean radius.

    Args:
        answers: One per input; misclassified ones, and those at risk already, are left out.
        limit: Upper side of inputs without a witness: the largest radius there is (all features, for L0); None if there is none.
    """
    counted = [a for a in answers if a.outcome not in (Outcome.MISCLASSIFIED, Outcome.RISK_AT_CENTER)]
    if not counted:
        return GlobalRobustness(0.0, None, 0, 0, True)
    lowers = [a.bracket.lower for a in counted]
    uppers = [limit if a.bracket.upper is None else a.bracket.upper.value for a in counted]
    known = [u for u in uppers if u is not None]
    closed = [low is not None and low.guarantee is Guarantee.PROVED and low.value == u for low, u in zip(lowers, uppers, strict=True)]
    return GlobalRobustness(
        sum(0.0 if low is None else low.value for low in lowers) / len(counted),
        sum(known) / len(known) if len(known) == len(counted) else None,
        len(counted),
        sum(closed),
        all(low is None or low.guarantee is Guarantee.PROVED for low in lowers),
    )


def growing(answers: Sequence[Sequence[RadiusAnswer]], *, limit: float | None = None) -> Iterator[GlobalRobustness]:
    """Brackets of moments one after the other, monotone: no lower side falls, no upper side rises."""
    lower, upper = 0.0, None
    for moment in answers:
        now = global_robustness(moment, limit=limit)
        lower = max(lower, now.lower)
        upper = now.upper if upper is None else upper if now.upper is None else min(upper, now.upper)
        yield GlobalRobustness(lower, upper, now.counted, now.closed, now.proved)
