"""Which answers are proved."""

from __future__ import annotations

from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.guarantee import Guarantee
from netassay.results.summary import proved_value


def is_proved(answer: Answer) -> bool:
    """Whether something that witnesses cannot show is proved: a verdict HOLDS, a radius above 0, an end of a range, a greatest slope."""
    if isinstance(answer, VerifyAnswer):
        return answer.verdict is Verdict.HOLDS and answer.guarantee is Guarantee.PROVED
    if isinstance(answer, RadiusAnswer):
        return (proved_value(answer.bracket.lower) or 0.0) > 0
    if isinstance(answer, ReachAnswer):
        return any(proved_value(side) is not None for side in (answer.minimum.lower, answer.maximum.upper))
    return isinstance(answer, LipschitzAnswer) and proved_value(answer.bracket.upper) is not None
