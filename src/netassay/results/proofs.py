"""Which answers are proved."""

from __future__ import annotations

from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.bracket import Side
from netassay.results.guarantee import Guarantee


def is_proved(answer: Answer) -> bool:
    """Whether something that witnesses cannot show is proved: a verdict HOLDS, a radius above 0, an end of a range, a greatest slope."""
    if isinstance(answer, VerifyAnswer):
        return answer.verdict is Verdict.HOLDS and answer.guarantee is Guarantee.PROVED
    if isinstance(answer, RadiusAnswer):
        return _is_proved(answer.bracket.lower) and answer.bracket.lower is not None and answer.bracket.lower.value > 0
    if isinstance(answer, ReachAnswer):
        return _is_proved(answer.minimum.lower) or _is_proved(answer.maximum.upper)
    return isinstance(answer, LipschitzAnswer) and _is_proved(answer.bracket.upper)


def _is_proved(side: Side | None) -> bool:
    return side is not None and side.guarantee is Guarantee.PROVED
