"""``--fail-under``: what answers say about demands, a safe radius of every input or figures of the whole data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netassay.cli.exit_codes import ExitCode, worst
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.results.answer import Answer
    from netassay.results.demands import Decision, Demand

SHOWN = 20
"""Inputs named at most."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All demands of a command.

    Args:
        radii: Safe radii that every input must have.
        demands: Demands on figures.
    """

    radii: tuple[float, ...] = ()
    demands: tuple[Demand, ...] = ()


def checked(texts: Sequence[str] | None) -> Thresholds:
    """Reads the demands: a positive number is a safe radius of every input, all else an expression."""
    from netassay.results.demands import FORM, parse_demand

    radii: list[float] = []
    demands: list[Demand] = []
    for text in texts or ():
        try:
            radius = float(text)
        except ValueError:
            demands.append(parse_demand(text))
            continue
        if not radius > 0:
            raise UsageError(f"--fail-under must be a positive radius, or {FORM}; got {text}")
        radii.append(radius)
    return Thresholds(tuple(radii), tuple(demands))


def decisions(thresholds: Thresholds, answers: Sequence[Answer], missing: int = 0) -> list[Decision]:
    """What the answers say of each demand on figures; ``missing`` answers leave all of them undecided."""
    from netassay.results.demands import decide

    return [decision for demand in thresholds.demands for decision in decide(demand, answers, missing=missing)]


def thresholds_code(thresholds: Thresholds, answers: Sequence[Answer], decided: Sequence[Decision]) -> ExitCode:
    """OK if all is met, VIOLATION if anything is missed, else UNKNOWN."""
    radii = [threshold_code(answer, radius) for radius in thresholds.radii for answer in answers]
    return worst([*radii, *(CODES[str(decision.finding)] for decision in decided)])


CODES = {"met": ExitCode.OK, "missed": ExitCode.VIOLATION, "undecided": ExitCode.UNKNOWN}


def say(thresholds: Thresholds, answers: Sequence[Answer], decided: Sequence[Decision]) -> None:
    """Says on stderr what became of each demand."""
    for radius in thresholds.radii:
        say_missed(answers, radius)
    for decision in decided:
        print(f"threshold {sentence(decision)}", file=sys.stderr)


def sentence(decision: Decision) -> str:
    """``radius.linf.p05 >= 0.01: undecided for robustness; p05 lies between 0 and 0.02: neither proved nor denied``."""
    about = f" for {decision.risk}" if decision.risk else ""
    return f"{decision.demand.text}: {decision.finding}{about}; {decision.reason}"


def say_missed(answers: Sequence[Answer], demanded: float) -> None:
    """Says on stderr which inputs miss the threshold, and for which it is not known."""
    for code, said in ((ExitCode.VIOLATION, "missed by"), (ExitCode.UNKNOWN, "neither proved nor missed for")):
        found = dict.fromkeys(f"input {a.index}" for a in answers if threshold_code(a, demanded) is code)
        if found:
            shown = ", ".join(list(found)[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
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
