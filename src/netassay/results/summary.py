"""What many answers come to together: counts, and figures of the radius, of Q, of ranges and of verdicts, with both sides.

A figure's upper side uses attained sides only and its lower side proved sides only; both are rounded outwards.

How the radius figures treat inputs (``TREATMENT`` says it in words):

* misclassified inputs are counted apart and are in no figure;
* inputs where the risk is there already count with radius 0;
* an input without a witness has no upper side. Median and mean count it with the radius that was searched, d:
  they bound the median and mean of DeepQuant's R(x, d, p) <= d (Definition 4) from above, not those of the radius without limit;
* an input without a proved lower side counts with 0 on the lower side, the weakest true claim.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.bracket import Side
from netassay.results.guarantee import Guarantee
from netassay.results.verdicts import VerdictCounts, count_verdicts
from netassay.results.witness import Witness

TREATMENT = (
    "Misclassified inputs are counted apart and are in no figure. Inputs that violate the property without any change count with radius 0. "
    "Median and mean count inputs without a witness with the radius that was searched around them, so they bound the radius capped there. "
    "Upper sides use attained values only, lower sides proved values only (0 where nothing is proved)."
)
SURVIVAL_POINTS = 256


@dataclass(frozen=True, slots=True)
class Interval:
    """``lower <= figure <= upper``, rounded outwards; None where nothing is known."""

    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class SurvivalPoint:
    """How many inputs are left at one radius.

    Both curves fall with the radius, so a point also bounds its neighbours: the first two counts hold from this
    radius upwards, the last one from this radius downwards.

    Args:
        radius: The radius.
        without_witness: Inputs (of those counted) without a witness at distance <= radius: an upper bound on how many are safe there.
        right_without_witness: The same among inputs known to be classified right; None where true labels are missing.
        proved_safe: Inputs whose proved radius is at least this one: a lower bound on how many are safe there.
    """

    radius: float
    without_witness: int
    right_without_witness: int | None
    proved_safe: int


@dataclass(frozen=True, slots=True)
class RadiusSummary:
    """Figures of the maximum safe radius over ``counted`` inputs (all but the misclassified ones)."""

    counted: int
    censored: int
    proved: int
    minimum: Interval
    median: Interval
    mean: Interval
    at_radii: tuple[SurvivalPoint, ...]
    survival: tuple[SurvivalPoint, ...]
    treatment: str = TREATMENT


@dataclass(frozen=True, slots=True)
class SlopeSummary:
    """Figures of Q over ``counted`` inputs; an input without a slope counts with 0 below.

    ``smallest_d_prime.upper`` is a HEURISTIC estimate (Theorem 1 with the Q found), its ``lower`` is proved.
    """

    counted: int
    largest: Interval
    median: Interval
    smallest_d_prime: Interval


@dataclass(frozen=True, slots=True)
class RangeSummary:
    """The least and the greatest value of the expression over all ``counted`` regions."""

    counted: int
    minimum: Interval
    maximum: Interval


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """Verdicts over ``counted`` regions (all but those of misclassified inputs).

    Args:
        reasons: How many are unknown for each reason.
        least: The least value of s over all of them.
    """

    counted: int
    verdicts: VerdictCounts
    reasons: dict[str, int]
    least: Interval


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """One question about one risk in one norm, over all inputs.

    Args:
        witnessed: Answers with a replayed witness (a slope or a value reached counts too).
        confirmed: Of these, how many every engine bears out.
        marked: Of these, how many are marked as near the limit.
    """

    question: Question
    risk: str
    spec: str
    on: str
    norm: Norm | None
    answers: int
    outcomes: dict[str, int]
    witnessed: int
    confirmed: int
    marked: int
    interrupted: int
    queries: int
    radius: RadiusSummary | None
    slope: SlopeSummary | None
    range: RangeSummary | None
    verify: VerifySummary | None


@dataclass(frozen=True, slots=True)
class Summary:
    """All groups, in the order in which they were first asked; ``verdicts`` of all groups together, None where none was asked for."""

    answers: int
    groups: tuple[GroupSummary, ...]
    verdicts: VerdictCounts | None


def summarise(answers: Sequence[Answer]) -> Summary:
    """Counts and figures for each (question, risk, norm)."""
    verified = [a for a in answers if isinstance(a, VerifyAnswer)]
    groups = tuple(summarise_group(members) for members in grouped(answers))
    return Summary(len(answers), groups, count_verdicts(verified) if verified else None)


def grouped(answers: Iterable[Answer]) -> list[list[Answer]]:
    """Answers to one question about one risk in one norm, together; risks without a command-line form by their text.

    All questions but that of the radius are about a ball of one size: another size is another group.
    """
    groups: dict[tuple[object, ...], list[Answer]] = {}
    for a in answers:
        question = question_of(a)
        asked = None if question is Question.RADIUS else a.region.radius
        key = (question, a.risk.name, a.risk.spec or a.risk.text, a.risk.on, a.region.norm, asked)
        groups.setdefault(key, []).append(a)
    return list(groups.values())


def question_of(answer: Answer) -> Question:
    """The question an answer belongs to; raises TypeError for an answer of no question."""
    if isinstance(answer, RadiusAnswer | LipschitzAnswer | ReachAnswer | VerifyAnswer):
        return answer.question
    raise TypeError(f"{type(answer).__name__} answers no known question")


def shows(witness: Witness | None) -> bool:
    """Whether a point is evidence: inside, and borne out by an engine. Disagreeing engines leave it marked, not refused."""
    if witness is None or not witness.replay.inside:
        return False
    replay = witness.replay
    return any(replay.violated.values()) if replay.claim is None else replay.claim


def summarise_group(members: Sequence[Answer]) -> GroupSummary:
    """The summary of one group, as ``grouped`` gives it."""
    first, outcomes = members[0], Counter(str(a.outcome) for a in members)
    shown = [[w for w in _witnesses(a) if shows(w)] for a in members]
    return GroupSummary(
        question=question_of(first),
        risk=first.risk.name,
        spec=first.risk.spec,
        on=first.risk.on,
        norm=first.region.norm,
        answers=len(members),
        outcomes={str(o): outcomes[str(o)] for o in Outcome},
        witnessed=sum(bool(ws) for ws in shown),
        confirmed=sum(bool(ws) and all(w.replay.confirmed for w in ws) for ws in shown),
        marked=sum(any(w.marked for w in ws) for ws in shown),
        interrupted=sum(a.provenance.interrupted for a in members),
        queries=sum(a.provenance.queries for a in members),
        radius=radius_summary([a for a in members if isinstance(a, RadiusAnswer)]),
        slope=slope_summary([a for a in members if isinstance(a, LipschitzAnswer)]),
        range=range_summary([a for a in members if isinstance(a, ReachAnswer)]),
        verify=verify_summary([a for a in members if isinstance(a, VerifyAnswer)]),
    )


def _witnesses(answer: Answer) -> list[Witness]:
    if isinstance(answer, RadiusAnswer | VerifyAnswer):
        found = [answer.witness]
    elif isinstance(answer, LipschitzAnswer):
        found = [answer.witness, answer.falling_witness]
    else:
        found = [answer.minimum_witness, answer.maximum_witness] if isinstance(answer, ReachAnswer) else []
    return [w for w in found if w is not None]


def radius_summary(members: Sequence[RadiusAnswer]) -> RadiusSummary | None:
    """Figures of the radius; None without answers."""
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    if not members:
        return None
    uppers = [attained_radius(a) for a in counted]
    known = [u for u in uppers if u is not None]
    capped = [_searched(a) if u is None else u for a, u in zip(counted, uppers, strict=True)]
    lowers = [proved_value(a.bracket.lower) for a in counted]
    proved = [low for low in lowers if low is not None]
    below = [low or 0.0 for low in lowers] if proved else []
    above = capped if known else []
    distances = [d for a in counted if (d := witness_distance(a)) is not None]
    return RadiusSummary(
        counted=len(counted),
        censored=len(counted) - len(known),
        proved=len(proved),
        minimum=Interval(min(below, default=None), min(known, default=None)),
        median=Interval(median(below, up=False), median(above, up=True)),
        mean=Interval(mean(below, up=False), mean(above, up=True)),
        at_radii=_survivors(members, _round_radii(distances, whole=members[0].region.norm is Norm.L0)),
        survival=_survivors(members, _thinned(sorted({0.0, *distances, *proved}))),
    )


def attained_radius(answer: RadiusAnswer) -> float | None:
    """The upper side of the radius where a replayed witness holds it, else None."""
    upper = answer.bracket.upper
    return upper.value if upper is not None and upper.guarantee is Guarantee.ATTAINED and shows(answer.witness) else None


def witness_distance(answer: RadiusAnswer) -> float | None:
    """The distance at which the property is violated (for L0 one more than the radius's upper side), else None."""
    if attained_radius(answer) is None or answer.witness is None:
        return None
    return answer.witness.distance


def proved_value(side: Side | None) -> float | None:
    """The value of a side that is proved, else None."""
    return side.value if side is not None and side.guarantee is Guarantee.PROVED else None


def _attained_value(side: Side | None) -> float | None:
    return side.value if side is not None and side.guarantee is Guarantee.ATTAINED else None


def _searched(answer: RadiusAnswer) -> float:
    return math.inf if answer.region.radius is None else answer.region.radius


def _survivors(members: Sequence[RadiusAnswer], radii: Iterable[float]) -> tuple[SurvivalPoint, ...]:
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    labelled = all(a.true_label is not None and a.label is not None for a in members)
    distances = _distances(counted)
    right = _distances([a for a in counted if a.label == a.true_label]) if labelled else None
    proved = sorted(low for a in counted if (low := proved_value(a.bracket.lower)) is not None)
    return tuple(
        SurvivalPoint(
            r,
            len(distances) - bisect_right(distances, r),
            None if right is None else len(right) - bisect_right(right, r),
            len(proved) - bisect_left(proved, r),
        )
        for r in radii
    )


def _distances(members: Sequence[RadiusAnswer]) -> list[float]:
    """Where each input has its nearest witness, in order; infinite without one."""
    return sorted(math.inf if (d := witness_distance(a)) is None else d for a in members)


def _thinned(radii: Sequence[float]) -> list[float]:
    """At most SURVIVAL_POINTS of the radii, first and last among them; leaving points out only loosens the two step curves."""
    if len(radii) <= SURVIVAL_POINTS:
        return list(radii)
    return [radii[round(i * (len(radii) - 1) / (SURVIVAL_POINTS - 1))] for i in range(SURVIVAL_POINTS)]


def _round_radii(distances: Sequence[float], *, whole: bool) -> list[float]:
    """Up to eight round radii that reach the farthest witness (whole numbers for L0); none without witnesses."""
    top = max(distances, default=0.0)
    if not 0 < top < math.inf:
        return []
    size = 10.0 ** math.floor(math.log10(top / 4))
    step = next(Fraction(str(size)) * m for m in (1, 2, 5, 10) if m * size * 8 >= top)
    step = max(step, Fraction(1)) if whole else step
    return [float(step * k) for k in range(1, math.ceil(Fraction(top) / step) + 1)]


def slope_summary(members: Sequence[LipschitzAnswer]) -> SlopeSummary | None:
    """Figures of Q and d'; None without answers."""
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    if not members:
        return None
    found = [_attained_value(a.bracket.lower) if shows(a.witness) else None for a in counted]
    below = [f or 0.0 for f in found] if any(f is not None for f in found) else []
    above = _all_known(proved_value(a.bracket.upper) for a in counted)
    estimates = [a.d_prime_upper.value for a in counted if a.d_prime_upper is not None]
    proved = _all_known(proved_value(a.d_prime_lower) for a in counted)
    return SlopeSummary(
        counted=len(counted),
        largest=Interval(max(below, default=None), max(above, default=None)),
        median=Interval(median(below, up=False), median(above, up=True)),
        smallest_d_prime=Interval(min(proved, default=None), min(estimates, default=None)),
    )


def range_summary(members: Sequence[ReachAnswer]) -> RangeSummary | None:
    """The range over all regions; None without answers."""
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    if not members:
        return None
    lowest = [v for a in counted if shows(a.minimum_witness) and (v := _attained_value(a.minimum.upper)) is not None]
    highest = [v for a in counted if shows(a.maximum_witness) and (v := _attained_value(a.maximum.lower)) is not None]
    floor = _all_known(proved_value(a.minimum.lower) for a in counted)
    ceiling = _all_known(proved_value(a.maximum.upper) for a in counted)
    return RangeSummary(
        counted=len(counted),
        minimum=Interval(min(floor, default=None), min(lowest, default=None)),
        maximum=Interval(max(highest, default=None), max(ceiling, default=None)),
    )


def verify_summary(members: Sequence[VerifyAnswer]) -> VerifySummary | None:
    """Counts of the verdicts, and the least value of s; None without answers."""
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    if not members:
        return None
    reached = [v for a in counted if (v := _attained_value(a.bracket.upper)) is not None]
    floor = _all_known(proved_value(a.bracket.lower) for a in counted)
    return VerifySummary(
        counted=len(counted),
        verdicts=count_verdicts(members),
        reasons=dict(Counter(a.reason for a in counted if a.verdict is Verdict.UNKNOWN)),
        least=Interval(min(floor, default=None), min(reached, default=None)),
    )


def _all_known(values: Iterable[float | None]) -> list[float]:
    """The values if every one is known, else none of them: a bound over all inputs needs them all."""
    found = list(values)
    return [v for v in found if v is not None] if None not in found else []


def mean(values: Sequence[float], *, up: bool) -> float | None:
    """The mean, rounded up or down; None without values or where it is infinite."""
    return _exactly(values, lambda exact: sum(exact, Fraction(0)) / len(exact), up=up)


def median(values: Sequence[float], *, up: bool) -> float | None:
    """The median (of an even number of values: the middle of the two middle ones), rounded up or down; None where there is none."""
    ordered = sorted(values)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return mean(middle, up=up)


def _exactly(values: Sequence[float], figure: Callable[[list[Fraction]], Fraction], *, up: bool) -> float | None:
    if not values or not all(math.isfinite(v) for v in values):
        return None
    exact = figure([Fraction(v) for v in values])
    near = float(exact)
    if up and Fraction(near) < exact:
        return math.nextafter(near, math.inf)
    if not up and Fraction(near) > exact:
        return math.nextafter(near, -math.inf)
    return near
