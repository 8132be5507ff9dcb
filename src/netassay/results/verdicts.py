"""What many verdicts come to together: counts, one conclusion, one bracket.

Nothing here is stronger than its weakest part: one answer that rests on a solver's word makes the conclusion rest on it,
and an answer that is missing leaves the conclusion open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from netassay.results.answer import Outcome, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee

MISSING = "not everything was verified"
"""The reason of a conclusion that lacks answers."""


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """How many answers ended in each way; ``holds`` counts proofs only, ``holds_solver`` what rests on a solver's word."""

    holds: int
    holds_solver: int
    violated: int
    unknown: int
    misclassified: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One verdict for all answers together.

    Args:
        word: holds, violated, unknown or misclassified.
        guarantee: How it is known, the weakest of all parts; None for unknown and misclassified.
        reason: Why it is unknown or misclassified; else empty.
    """

    word: str
    guarantee: Guarantee | None = None
    reason: str = ""


def count_verdicts(answers: Sequence[VerifyAnswer]) -> VerdictCounts:
    """Counts per verdict; every answer is in exactly one."""
    found = Counter(f"{a.word}_solver" if a.guarantee is Guarantee.SOLVER else a.word for a in answers)
    return VerdictCounts(found["holds"], found["holds_solver"], found["violated"], found["unknown"], found["misclassified"])


def conclude(answers: Sequence[VerifyAnswer], asked: int | None = None) -> Conclusion:
    """Violated if any answer is; holds if all do; else unknown. Misclassified inputs are left out unless there is nothing else.

    Args:
        answers: The answers.
        asked: How many were asked for, if some may be missing; of none at all, it holds.
    """
    if any(a.verdict is Verdict.VIOLATED for a in answers):
        return Conclusion(str(Verdict.VIOLATED), Guarantee.ATTAINED)
    counted = [a for a in answers if a.outcome is not Outcome.MISCLASSIFIED]
    reasons = dict.fromkeys(a.reason for a in counted if a.verdict is Verdict.UNKNOWN)
    if len(answers) < (1 if asked is None else asked):
        reasons[MISSING] = None
    if reasons:
        return Conclusion(str(Verdict.UNKNOWN), reason="; ".join(reasons))
    if answers and not counted:
        return Conclusion(str(Outcome.MISCLASSIFIED), reason="; ".join(dict.fromkeys(a.reason for a in answers)))
    known = [a.guarantee for a in counted if a.guarantee is not None]
    return Conclusion(str(Verdict.HOLDS), min(known, key=lambda g: g.strength, default=Guarantee.PROVED))


def joint_bracket(answers: Sequence[VerifyAnswer]) -> Bracket:
    """The bracket of min s over the union of the answers' regions: the least of the lower sides if all are known, the least upper side."""
    lowers = [a.bracket.lower for a in answers]
    uppers = [a.bracket.upper for a in answers if a.bracket.upper is not None]
    known = [side for side in lowers if side is not None]
    attained = [side for side in uppers if side.guarantee is Guarantee.ATTAINED]
    return Bracket(
        End.UPPER,
        _least(known) if known and len(known) == len(lowers) else None,
        min(attained or uppers, key=lambda side: side.value, default=None),
    )


def _least(sides: Sequence[Side]) -> Side:
    """The least value, with the weakest guarantee among all."""
    least, weakest = min(sides, key=lambda s: s.value), min(sides, key=lambda s: s.guarantee.strength)
    return Side(least.value, weakest.guarantee, least.source, weakest.arithmetic)
