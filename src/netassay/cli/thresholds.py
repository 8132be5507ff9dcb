"""``--fail-under``: what answers say about a demanded safe radius."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netassay.cli.exit_codes import ExitCode
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.results.answer import Answer


def checked(demanded: float | None) -> float | None:
    """The threshold, which must be a positive number."""
    if demanded is not None and not demanded > 0:
        raise UsageError(f"--fail-under must be a positive radius; got {demanded:g}")
    return demanded


def say_missed(answers: Sequence[Answer], demanded: float) -> None:
    """Says on stderr which inputs miss the threshold, and for which it is not known."""
    for code, said in ((ExitCode.VIOLATION, "missed by"), (ExitCode.UNKNOWN, "neither proved nor missed for")):
        found = dict.fromkeys(f"input {a.index}" for a in answers if threshold_code(a, demanded) is code)
        if found:
            shown = ", ".join(list(found)[:20]) + (f" and {len(found) - 20} more" if len(found) > 20 else "")
            print(f"threshold {demanded:g}: {said} {shown}", file=sys.stderr)


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
