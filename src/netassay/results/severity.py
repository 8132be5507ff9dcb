"""Which answers are worst: the order of tables, cards and lists of the worst inputs."""

from __future__ import annotations

import math

from netassay.results.answer import Answer, LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.guarantee import Guarantee

_RANKS = {Verdict.VIOLATED: 0.0, Verdict.UNKNOWN: 1.0, Verdict.HOLDS: 3.0}
_APART = 1e12
"""Added to the position of misclassified inputs, which come last."""


def severity(answer: Answer) -> tuple[float, float]:
    """Sorts the worst answers first: the smallest attained radius, the smallest d', the steepest Q, violations before what is unknown."""
    order = float(answer.index or 0)
    if answer.outcome is Outcome.MISCLASSIFIED:
        return (math.inf, order + _APART)
    if isinstance(answer, VerifyAnswer):
        return (_RANKS[answer.verdict] - (answer.guarantee is Guarantee.SOLVER), order)
    if isinstance(answer, RadiusAnswer):
        return (math.inf if answer.bracket.upper is None else answer.bracket.upper.value, order)
    if isinstance(answer, LipschitzAnswer) and answer.bracket.lower is not None:
        return (-answer.bracket.lower.value if answer.d_prime_upper is None else answer.d_prime_upper.value, order)
    return (0.0 if isinstance(answer, ReachAnswer) else math.inf, order)
