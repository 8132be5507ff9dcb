"""``--fail-under``: what answers say about a demanded safe radius."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netassay.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from netassay.results.answer import Answer


def threshold_code(answer: Answer, demanded: float) -> ExitCode:
    """Whether the maximum safe radius is at least ``demanded``: OK if proved, VIOLATION if a witness denies it, else UNKNOWN.

    A misclassified input misses every threshold. Answers to other questions say nothing about it: OK.
    """
    from netassay.results.answer import Outcome, RadiusAnswer
    from netassay.results.guarantee import Guarantee

    if not isinstance(answer, RadiusAnswer):
        return ExitCode.OK
    if answer.outcome in (Outcome.MISCLASSIFIED, Outcome.RISK_AT_CENTER):
        return ExitCode.VIOLATION
    lower, upper = answer.bracket.lower, answer.bracket.upper
    if upper is not None and upper.guarantee is Guarantee.ATTAINED and upper.value < demanded:
        return ExitCode.VIOLATION
    if lower is not None and lower.guarantee is Guarantee.PROVED and lower.value >= demanded:
        return ExitCode.OK
    return ExitCode.UNKNOWN
