"""The global figures of a campaign as single numbers, each under the name that ``--fail-under`` has for it.

A number is one side of a figure and says which: ``robustness:radius.linf.p05.proved``, ``robustness:radius.linf.certified@0.1``. Sides that
are known of no input, and estimates, are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from netassay.results.answer import Question
from netassay.results.demands import SUBJECTS, ratio
from netassay.results.guarantee import Guarantee
from netassay.results.statistics import Accuracy, Distribution, GroupFigures
from netassay.results.summary import Interval

SIDES = (Guarantee.PROVED, Guarantee.ATTAINED)


def metrics(groups: Sequence[GroupFigures]) -> dict[str, float]:
    """Finite numbers by name; where groups share theirs (balls of two sizes), those of each end in ``.group`` and its place, from 1."""
    alike = Counter(_about(group) for group in groups)
    return {
        name if alike[_about(group)] == 1 else f"{name}.group{place}": value
        for place, group in enumerate(groups, start=1)
        for name, value in _figures(group)
        if math.isfinite(value)
    }


def _about(group: GroupFigures) -> tuple[str, str, str]:
    """What names begin with: risk, question, norm."""
    return group.spec or group.risk, str(group.question), "box" if group.norm is None else str(group.norm)


def _figures(group: GroupFigures) -> Iterator[tuple[str, float]]:
    risk, question, norm = _about(group)
    for found in group.distributions:
        for subject, name, value in _distribution(found):
            yield f"{risk}:{subject}.{norm}.{name}", value
    for accuracy in group.accuracies:
        for name, value in _accuracy(group.question, accuracy):
            yield f"{risk}:{question}.{norm}.{name}", value


def _distribution(found: Distribution) -> Iterator[tuple[str, str, float]]:
    """Subject, figure with its side, and value."""
    if found.quantity in ("minimum", "maximum"):
        subject, figures = "reach", {"min": found.least} if found.quantity == "minimum" else {"max": found.greatest}
    else:
        subject = next(name for name, (_, quantity) in SUBJECTS.items() if quantity == found.quantity)
        figures = {"min": found.least, **_percentiles(found), "mean": found.mean, "max": found.greatest}
    for figure, sides in figures.items():
        for value, guarantee in ((sides.lower, found.lower_guarantee), (sides.upper, found.upper_guarantee)):
            if value is not None and guarantee in SIDES:
                yield subject, f"{figure}.{guarantee}", value


def _percentiles(found: Distribution) -> dict[str, Interval]:
    return {"median" if p.share == 50 else f"p{p.share:02d}": p.value for p in found.percentiles}


def _accuracy(question: Question, found: Accuracy) -> Iterator[tuple[str, float]]:
    """The proved and the attained side of the share of inputs that are right and safe."""
    where = f"@{found.radius!r}" if question is Question.RADIUS else ""
    yield f"certified{where}", ratio(found.certified, found.total, up=False)
    yield f"attacked{where}", ratio(found.attacked, found.total, up=True)
