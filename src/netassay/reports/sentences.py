"""The plain sentences that sum a group up. Each says only what its witnesses and proofs show."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netassay.numerics.norms import Norm
from netassay.reports.figures import count, estimate, lower, upper
from netassay.reports.text import safe_throughout
from netassay.reports.wording import inputs, norm_name, printable, regions
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.results.bracket import Bracket, Side
from netassay.results.guarantee import Guarantee
from netassay.results.summary import GroupSummary, RadiusSummary, SlopeSummary, shows, witness_distance


def verdicts(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    """What a reader in a hurry needs to know about one group."""
    about = {Question.RADIUS: _radius, Question.LIPSCHITZ: _slope, Question.REACH: _range, Question.VERIFY: _verified}[group.question]
    return [s for s in (*about(members, group), *_apart(group)) if s]


def _radius(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    figures = group.radius
    radii = [a for a in members if isinstance(a, RadiusAnswer)]
    found = [(d, a) for a in radii if a.outcome is not Outcome.MISCLASSIFIED and (d := witness_distance(a)) is not None]
    if figures is None or figures.counted == 0:
        return ["No input was searched."]
    if not found:
        whole = sum(safe_throughout(a) for a in radii)
        silent = "" if whole == figures.counted else " This does not show that there is none."
        return [f"No violation was found for {_of(figures.counted, figures.counted)}.{silent}", _proved(figures, group.norm), _whole(whole)]
    nearest, where = min(found, key=lambda pair: pair[0])
    farthest = max(d for d, _ in found)
    first = (
        f"For {_of(len(found), figures.counted)} a violation was found within {_distance(farthest, group.norm)}; "
        f"the nearest {_at(nearest, group.norm)}{_named(where)}."
    )
    whole = sum(safe_throughout(a) for a in radii)
    return [first, _at_center(group), _unfound(figures.censored - whole), _proved(figures, group.norm), _whole(whole)]


def _of(part: int, whole: int) -> str:
    return f"{part} of {inputs(whole)}"


def _distance(value: float, norm: Norm | None) -> str:
    if norm is Norm.L0:
        return _changes(value)
    return f"{norm_name(norm)} distance {upper(value)}"


def _at(value: float, norm: Norm | None) -> str:
    return f"with {int(value)}" if norm is Norm.L0 else f"at {upper(value)}"


def _changes(value: float) -> str:
    return f"{int(value)} {'changed feature or pixel' if value == 1 else 'changed features or pixels'}"


def _named(answer: Answer) -> str:
    return "" if answer.index is None else f" (input\u00a0{answer.index})"


def _at_center(group: GroupSummary) -> str:
    number = group.outcomes[Outcome.RISK_AT_CENTER]
    return f"{number} of these {'violates' if number == 1 else 'violate'} the property without any change." if number else ""


def _unfound(number: int) -> str:
    return f"For {inputs(number)} the search found none, which does not show that there is none." if number else ""


def _whole(number: int) -> str:
    return f"For {inputs(number)} it is proved that there is no violation within the whole radius that was asked about." if number else ""


def _proved(figures: RadiusSummary, norm: Norm | None) -> str:
    if not figures.proved or figures.minimum.lower is None:
        return ""
    if figures.proved < figures.counted:
        return f"A safe radius is proved for {_of(figures.proved, figures.counted)}."
    return f"For every input a safe radius is proved, of at least {lower(figures.minimum.lower)} ({norm_name(norm)})."


def _slope(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    slopes = [a for a in members if isinstance(a, LipschitzAnswer) and a.bracket.lower is not None and shows(a.witness)]
    if group.slope is None or not slopes:
        return ["No slope was found."]
    steepest = max(slopes, key=lambda a: a.bracket.lower.value if a.bracket.lower else 0.0)
    value = steepest.bracket.lower.value if steepest.bracket.lower else 0.0
    first = (
        f"Slopes were found for {_of(len(slopes), group.slope.counted)}; the steepest is Q \u2265 {lower(value)} per unit of "
        f"{norm_name(group.norm)} distance{_named(steepest)}."
    )
    smallest = group.slope.smallest_d_prime.upper
    second = (
        ""
        if smallest is None
        else f"The smallest Theorem 1 radius estimated from these slopes is d\u2032 \u2264 {estimate(smallest)}; it is no proof of safety."
    )
    return [first, second, *_proved_slope(group.slope)]


def _proved_slope(figures: SlopeSummary) -> list[str]:
    """What proofs say of Q and of Theorem 1's radius, over all inputs."""
    steepest, radius = figures.largest.upper, figures.smallest_d_prime.lower
    return [
        "" if steepest is None else f"It is proved that no slope exceeds Q \u2264 {upper(steepest)}.",
        "" if radius is None else f"By Theorem 1 every change within d\u2032 \u2265 {lower(radius)} of any of these inputs is proved safe.",
    ]


def _range(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    del members
    if group.range is None or (group.range.minimum.upper is None and group.range.maximum.lower is None):
        return ["No value was reached."]
    low, high = group.range.minimum.upper, group.range.maximum.lower
    ends = [f"as low as {upper(low)}" if low is not None else "", f"as high as {lower(high)}" if high is not None else ""]
    floor, ceiling = group.range.minimum.lower, group.range.maximum.upper
    bounds = [f"below {lower(floor)}" if floor is not None else "", f"above {upper(ceiling)}" if ceiling is not None else ""]
    proved = " or ".join(b for b in bounds if b)
    open_ended = floor is None or ceiling is None
    return [
        f"Values {' and '.join(e for e in ends if e)} were reached{'; the true range may be wider' if open_ended else ''}.",
        f"It is proved that no value lies {proved}." if proved else "",
    ]


def _verified(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    if group.verify is None or group.verify.counted == 0:
        return ["No input was verified."]
    found, whole = group.verify.verdicts, group.verify.counted
    counted = regions if any(a.index is None or a.region.norm is None for a in members) else inputs
    of = f"of {counted(whole)}"
    worst = min((a for a in members if isinstance(a, VerifyAnswer) and shows(a.witness)), key=_least, default=None)
    where = _named(worst) if worst is not None and found.violated else ""
    low = group.verify.least.lower
    reasons = ", ".join(f"{printable(reason)} ({number})" for reason, number in group.verify.reasons.items())
    floor = f"; s is at least {lower(low)} everywhere" if low is not None and low >= 0 and found.holds == whole else ""
    return [
        f"For {found.holds} {of} it is proved that the property holds in the whole region{floor}." if found.holds else "",
        f"For {found.holds_solver} {of} a solver says that it holds; its rounding was not bounded, so this is no proof."
        if found.holds_solver
        else "",
        f"For {found.violated} {of} it is violated, as a replayed witness shows; the least s is {upper(_least(worst))}{where}."
        if found.violated and worst is not None
        else "",
        f"For {found.unknown} {of} it is not known whether it holds: {reasons}." if found.unknown else "",
    ]


def _least(answer: VerifyAnswer) -> float:
    return math.inf if answer.witness is None else answer.witness.value


def _apart(group: GroupSummary) -> list[str]:
    wrong, marked, doubted = group.outcomes[Outcome.MISCLASSIFIED], group.marked, group.witnessed - group.confirmed
    return [
        f"{inputs(wrong)} {'is' if wrong == 1 else 'are'} misclassified without any change, and counted apart." if wrong else "",
        f"{marked} of the witnesses {'lies' if marked == 1 else 'lie'} near the limit and {'is' if marked == 1 else 'are'} marked."
        if marked
        else "",
        f"{doubted} of the witnesses {'is' if doubted == 1 else 'are'} not borne out by every engine." if doubted else "",
        f"The search was interrupted: {inputs(group.interrupted)} had less than the whole budget." if group.interrupted else "",
    ]


def proof_sentence(answers: Sequence[Answer], *, asked: bool) -> str:
    """How much of all this is proved, said plainly."""
    proved = sum(any(s is not None and s.guarantee is Guarantee.PROVED for s in _sides(a)) for a in answers)
    if not proved:
        reason = "the proofs that were asked for did not succeed" if asked else "this was a search, which does not prove"
        return f"No side of these brackets is proved: {reason}. A search that finds nothing is no evidence of safety."
    return (
        f"{count(proved)} of {count(len(answers))} answers have a proved side; all other numbers are attained by a replayed input, "
        "or are marked as estimates or as a solver's word."
    )


def _sides(answer: Answer) -> list[Side | None]:
    """All sides of an answer, Theorem 1's radius among them."""
    found = [side for b in brackets(answer) for side in (b.lower, b.upper)]
    return [*found, answer.d_prime_lower] if isinstance(answer, LipschitzAnswer) else found


def brackets(answer: Answer) -> list[Bracket]:
    """The brackets of an answer."""
    if isinstance(answer, ReachAnswer):
        return [answer.minimum, answer.maximum]
    if isinstance(answer, LipschitzAnswer):
        return [answer.bracket, answer.falling]
    return [answer.bracket] if isinstance(answer, RadiusAnswer | VerifyAnswer) else []
