"""The plain sentences that sum a group up. Each says only what its witnesses and proofs show."""

from __future__ import annotations

from collections.abc import Sequence

from netassay.numerics.norms import Norm
from netassay.reports.figures import estimate, lower, upper
from netassay.reports.wording import inputs, norm_name
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer
from netassay.results.bracket import Bracket
from netassay.results.guarantee import Guarantee
from netassay.results.summary import GroupSummary, RadiusSummary, shows, witness_distance


def verdicts(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    """What a reader in a hurry needs to know about one group."""
    about = {Question.RADIUS: _radius, Question.LIPSCHITZ: _slope, Question.REACH: _range}[group.question]
    return [s for s in (*about(members, group), *_apart(group)) if s]


def _radius(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    figures = group.radius
    radii = [a for a in members if isinstance(a, RadiusAnswer)]
    found = [(d, a) for a in radii if a.outcome is not Outcome.MISCLASSIFIED and (d := witness_distance(a)) is not None]
    if figures is None or figures.counted == 0:
        return ["No input was searched."]
    if not found:
        return [
            f"No violation was found for {_of(figures.counted, figures.counted)}. This does not show that there is none.",
            _proved(figures, group.norm),
        ]
    nearest, where = min(found, key=lambda pair: pair[0])
    farthest = max(d for d, _ in found)
    first = (
        f"For {_of(len(found), figures.counted)} a violation was found within {_distance(farthest, group.norm)}; "
        f"the nearest {_at(nearest, group.norm)}{_named(where)}."
    )
    return [first, _at_center(group), _unfound(figures), _proved(figures, group.norm)]


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


def _unfound(figures: RadiusSummary) -> str:
    if not figures.censored:
        return ""
    return f"For {inputs(figures.censored)} the search found none, which does not show that there is none."


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
    return [first, second]


def _range(members: Sequence[Answer], group: GroupSummary) -> list[str]:
    del members
    if group.range is None or (group.range.minimum.upper is None and group.range.maximum.lower is None):
        return ["No value was reached."]
    low, high = group.range.minimum.upper, group.range.maximum.lower
    ends = [f"as low as {upper(low)}" if low is not None else "", f"as high as {lower(high)}" if high is not None else ""]
    closed = group.range.minimum.lower is not None and group.range.maximum.upper is not None
    return [f"Values {' and '.join(e for e in ends if e)} were reached{'' if closed else '; the true range may be wider'}."]


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
    proved = sum(any(s is not None and s.guarantee is Guarantee.PROVED for b in brackets(a) for s in (b.lower, b.upper)) for a in answers)
    if not proved:
        reason = "the proofs that were asked for did not succeed" if asked else "this was a search, which does not prove"
        return f"No side of these brackets is proved: {reason}. A search that finds nothing is no evidence of safety."
    return f"{proved} of {len(answers)} answers have a proved side; all other numbers are attained by a replayed input or are estimates."


def brackets(answer: Answer) -> list[Bracket]:
    """The brackets of an answer."""
    if isinstance(answer, ReachAnswer):
        return [answer.minimum, answer.maximum]
    if isinstance(answer, LipschitzAnswer):
        return [answer.bracket, answer.falling]
    return [answer.bracket] if isinstance(answer, RadiusAnswer) else []
