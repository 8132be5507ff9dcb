"""Demands on figures, such as ``radius.linf.p05 >= 0.01``: met, missed, or undecided.

A figure is known between two sides. A demand on the figure itself is met only if every value between them meets it, missed only if none
does, else undecided: a bound from one side alone never meets a demand from the other. A demand on one side (``.proved``, ``.attained``) is
about that side, and says nothing more.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np

from netassay.errors import UsageError
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Question
from netassay.results.guarantee import Guarantee
from netassay.results.quantities import Array, quantities
from netassay.results.statistics import Accuracy, accuracies, order_statistic
from netassay.results.summary import grouped, mean, median, question_of

FORM = "[RISK:]QUESTION.NORM.FIGURE[@RADIUS][.proved|.attained] >= VALUE, e.g. 'radius.linf.p05 >= 0.01', 'radius.l2.certified@0.5 >= 90%'"
SUBJECTS = {
    "radius": (Question.RADIUS, "radius"),
    "lipschitz": (Question.LIPSCHITZ, "slope"),
    "d_prime": (Question.LIPSCHITZ, "d_prime"),
    "reach": (Question.REACH, ""),
    "verify": (Question.VERIFY, "least"),
}
"""What a demand may be about: the question, and the quantity whose distribution its figures are of."""
SHARES = {"robust": None, "certified": "proved", "attacked": "attained"}
"""Shares of inputs, and the side that each stands for."""
SIGNS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_PLAIN = ("min", "max", "median", "mean")
_SOUND = (Guarantee.PROVED, Guarantee.ATTAINED)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PATTERN = re.compile(
    r"\s*(?:(?P<risk>.+):)?(?P<subject>[a-z_]+)\.(?P<norm>l0|l1|l2|linf|box)\.(?P<figure>[a-z]+\d*(?:\.\d+)?)"
    rf"(?:@(?P<radius>{_NUMBER}))?(?:\.(?P<side>proved|attained))?\s*(?P<sign>>=|<=|>|<)\s*(?P<value>{_NUMBER})\s*(?P<percent>%?)\s*"
)


class Finding(StrEnum):
    """What is known of a demand."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand.

    Args:
        text: As it was written.
        risk: Command-line form of the risk; None for all risks.
        subject: What it is about (a key of ``SUBJECTS``).
        norm: Of the ball; None for boxes.
        figure: min, max, median, mean, a percentile (``p05``) or a share (a key of ``SHARES``).
        radius: Of a share of safe radii.
        side: "proved" or "attained" for a demand on one side; None for one on the figure itself.
        sign, value: The comparison.
    """

    text: str
    risk: str | None
    subject: str
    norm: Norm | None
    figure: str
    radius: float | None
    side: str | None
    sign: str
    value: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What one group of answers says of a demand.

    Args:
        demand: The demand.
        risk: Of the group; empty where no group is meant.
        lower, upper: The bounds of the figure that decided, infinite where nothing is known.
        finding: The outcome.
        reason: In words.
    """

    demand: Demand
    risk: str
    lower: float
    upper: float
    finding: Finding
    reason: str


def parse_demand(text: str) -> Demand:
    """Reads a demand; raises UsageError with the form that was expected."""
    match = _PATTERN.fullmatch(text) if len(text) <= 500 else None
    if match is None:
        raise UsageError(f"cannot read the demand {text[:200]!r}; expected {FORM}")
    part = match.groupdict()
    subject, figure = part["subject"], part["figure"]
    if subject not in SUBJECTS:
        raise UsageError(f"unknown subject {subject!r} in {text!r}; known: {', '.join(SUBJECTS)}")
    value = float(part["value"]) / (100 if part["percent"] else 1)
    radius = None if part["radius"] is None else float(part["radius"])
    _check_figure(text, subject, figure, radius, part["side"])
    if subject == "d_prime" and part["side"] == "attained":
        raise UsageError(f"{text!r}: d_prime has no attained side, its upper side is an estimate; leave the side out or take .proved")
    return Demand(
        text=text.strip(),
        risk=part["risk"],
        subject=subject,
        norm=None if part["norm"] == "box" else Norm(part["norm"]),
        figure=figure,
        radius=radius,
        side=SHARES.get(figure) or part["side"],
        sign=part["sign"],
        value=value,
    )


def _check_figure(text: str, subject: str, figure: str, radius: float | None, side: str | None) -> None:
    known = {"reach": ("min", "max"), "radius": (*_PLAIN, *SHARES), "verify": (*_PLAIN, *SHARES)}.get(subject, _PLAIN)
    share = figure in SHARES
    if figure not in known and not (subject != "reach" and _percent(figure) is not None):
        percentiles = "" if subject == "reach" else ", or a percentile such as p05"
        raise UsageError(f"unknown figure {figure!r} in {text!r}; of {subject} there are {', '.join(known)}{percentiles}")
    if (radius is not None) != (share and subject == "radius"):
        where = "needs" if radius is None else "takes no"
        raise UsageError(f"{text!r}: {figure} of {subject} {where} radius behind @; expected {FORM}")
    if side is not None and figure in ("certified", "attacked"):
        raise UsageError(f"{text!r}: {figure} is a side already (robust.{SHARES[figure]}); leave .{side} out")


def _percent(figure: str) -> float | None:
    """5 for ``p05``; None for what is no percentile."""
    match = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?|100)", figure)
    return None if match is None else float(match.group(1))


def decide(demand: Demand, answers: Sequence[Answer], *, missing: int = 0) -> list[Decision]:
    """What the answers say, one decision per group that the demand is about; a single undecided one where there is none.

    Args:
        demand: The demand.
        answers: Of any questions.
        missing: How many answers were asked for and are not there: with any, nothing is decided.
    """
    question, _ = SUBJECTS[demand.subject]
    groups = [g for g in grouped(a for a in answers if question_of(a) is question) if _is_about(demand, g[0])]
    if not groups:
        return [Decision(demand, "", -math.inf, math.inf, Finding.UNDECIDED, "no such question was asked")]
    return [_decided(demand, members, missing) for members in groups]


def _is_about(demand: Demand, answer: Answer) -> bool:
    return answer.region.norm is demand.norm and demand.risk in (None, answer.risk.spec, answer.risk.name)


def _decided(demand: Demand, members: Sequence[Answer], missing: int) -> Decision:
    risk = members[0].risk.spec or members[0].risk.text
    low, high = _bounds(demand, members)
    finding = _finding(demand, low, high)
    reason = _reason(demand, low, high, finding)
    if missing:
        finding, reason = Finding.UNDECIDED, f"{missing} of the answers that were asked for are missing"
    return Decision(demand, risk, low, high, finding, reason)


def _finding(demand: Demand, low: float, high: float) -> Finding:
    """Met if all values in [low, high] meet it, missed if none does."""
    compare = SIGNS[demand.sign]
    worst, best = (low, high) if demand.sign in (">=", ">") else (high, low)
    if compare(worst, demand.value):
        return Finding.MET
    return Finding.UNDECIDED if compare(best, demand.value) else Finding.MISSED


def _reason(demand: Demand, low: float, high: float, finding: Finding) -> str:
    if demand.side is not None:
        return f"its {demand.side} side is {low:.6g}" + ("" if demand.side == "proved" else ", found by search: no proof")
    between = f"{demand.figure} lies between {low:.6g} and {high:.6g}"
    return between if finding is not Finding.UNDECIDED else f"{between}: neither proved nor denied"


def _bounds(demand: Demand, members: Sequence[Answer]) -> tuple[float, float]:
    """The figure's bounds; for a demand on one side, that side twice."""
    if demand.figure in SHARES:
        radii = None if demand.radius is None else [demand.radius]
        return _share_bounds(accuracies(members, radii=radii)[0], demand.side)
    name = {"min": "minimum", "max": "maximum"}[demand.figure] if demand.subject == "reach" else SUBJECTS[demand.subject][1]
    quantity = next((q for q in quantities(members) if q.name == name), None)
    if quantity is None:
        return -math.inf, math.inf
    low, high = _figure(quantity.lower, demand.figure, up=False), _figure(quantity.upper, demand.figure, up=True)
    if demand.side is None:
        return low if quantity.lower_guarantee in _SOUND else -math.inf, high if quantity.upper_guarantee in _SOUND else math.inf
    side = low if quantity.lower_guarantee is Guarantee(demand.side) else high
    return side, side


def _share_bounds(found: Accuracy, side: str | None) -> tuple[float, float]:
    low, high = ratio(found.certified, found.total, up=False), ratio(found.attacked, found.total, up=True)
    return {None: (low, high), "proved": (low, low), "attained": (high, high)}[side]


def ratio(part: int, whole: int, *, up: bool) -> float:
    """A share, as near as a float comes: 0.9 of ten inputs is 0.9; between floats it is rounded outwards otherwise."""
    near = part / whole
    exact = Fraction(part, whole)
    if Fraction(str(near)) == exact or Fraction(near) == exact:
        return near
    return math.nextafter(near, math.inf if up else -math.inf)


def _figure(side: Array, figure: str, *, up: bool) -> float:
    """A figure of values, some of which may be infinite; rounded up or down."""
    share = _percent(figure)
    if share is not None and share != 50:
        return order_statistic(side, share)
    if figure in ("min", "max"):
        return float(np.min(side) if figure == "min" else np.max(side))
    found = mean(side.tolist(), up=up) if figure == "mean" else median(side.tolist(), up=up)
    return found if found is not None else math.inf if up else -math.inf
