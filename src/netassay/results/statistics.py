"""Global figures of one group of answers: distributions as brackets, accuracies at each radius, classes, the population.

Every figure of the sample has a lower side made of proved values and an upper side made of attained ones (of slopes and maxima the other
way round); none mixes the two. Misclassified inputs are in no distribution, and count as failed in accuracies. What is said of
the population is STATISTICAL and carries its confidence.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from netassay.errors import UsageError
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Outcome, Question, RadiusAnswer, Verdict, VerifyAnswer
from netassay.results.confidence import LEVEL, Limits, mean_limits, median_limits, share_limits
from netassay.results.guarantee import Guarantee
from netassay.results.quantities import Array, Quantity, quantities
from netassay.results.severity import severity
from netassay.results.summary import Interval, mean, median, proved_value, question_of, radius_summary, witness_distance

PERCENTILES = (5, 25, 50, 75, 95)
MOST_WORST = 20


@dataclass(frozen=True, slots=True)
class Percentile:
    """The smallest value that at least ``share`` per cent of the inputs do not exceed (50: the median), as a bracket."""

    share: int
    value: Interval


@dataclass(frozen=True, slots=True)
class Distribution:
    """One quantity over ``counted`` inputs; a side that is known of no input is None throughout.

    ``mean`` of the radius is the global robustness of DeepTRE (Definition 2, Eq. 2, divided by the number of inputs).
    """

    quantity: str
    counted: int
    lower_known: int
    upper_known: int
    lower_guarantee: Guarantee
    upper_guarantee: Guarantee
    least: Interval
    percentiles: tuple[Percentile, ...]
    mean: Interval
    greatest: Interval
    population_median: Limits
    population_mean: Limits


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many of ``total`` inputs are decided right and are safe throughout a ball: between ``certified`` and ``attacked``.

    Args:
        radius: Of the ball; None for a plain box.
        certified: Right, and proved safe within the radius.
        attacked: Right (or its true label is not known), and without a witness within the radius.
        total: All inputs; misclassified ones have failed.
        labelled: Whether all true labels are known; else being right is assumed of the inputs without one.
        population: Clopper-Pearson limits of the share in the population.
    """

    radius: float | None
    certified: int
    attacked: int
    total: int
    labelled: bool
    population: Limits


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """The inputs of one class (the true label, or the decision where that is not known)."""

    label: int | None
    inputs: int
    misclassified: int
    violated: int
    proved: int
    median: Interval
    mean: Interval


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """All figures of one question about one risk in one norm; ``radius`` is that of the ball, None for boxes and for the radius itself."""

    question: Question
    risk: str
    spec: str
    on: str
    norm: Norm | None
    radius: float | None
    answers: int
    misclassified: int
    distributions: tuple[Distribution, ...]
    accuracies: tuple[Accuracy, ...]
    classes: tuple[ClassFigures, ...]
    worst: tuple[int, ...]


def figures(members: Sequence[Answer], *, seed: int = 0, level: float = LEVEL) -> GroupFigures:
    """The figures of one group of answers, as ``summary.grouped`` gives it.

    Args:
        members: Not empty.
        seed: Of the bootstrap.
        level: Confidence of all statements about the population.
    """
    first = members[0]
    question = question_of(first)
    worst = sorted((a for a in members if a.outcome is not Outcome.MISCLASSIFIED and a.index is not None), key=severity)
    return GroupFigures(
        question=question,
        risk=first.risk.name,
        spec=first.risk.spec,
        on=first.risk.on,
        norm=first.region.norm,
        radius=None if question is Question.RADIUS else first.region.radius,
        answers=len(members),
        misclassified=sum(a.outcome is Outcome.MISCLASSIFIED for a in members),
        distributions=tuple(distribution(q, seed=seed, level=level) for q in quantities(members)),
        accuracies=accuracies(members, level=level),
        classes=_classes(members),
        worst=tuple(a.index for a in worst[:MOST_WORST] if a.index is not None),
    )


def distribution(quantity: Quantity, *, seed: int = 0, level: float = LEVEL) -> Distribution:
    """Percentiles and mean of one quantity, and what they say of the population; its heuristic sides say nothing there."""
    lower = quantity.lower if quantity.lower_known else None
    upper = quantity.upper if quantity.upper_known else None
    drawn = (
        None if quantity.lower_guarantee is Guarantee.HEURISTIC else lower,
        None if quantity.upper_guarantee is Guarantee.HEURISTIC else upper,
    )
    return Distribution(
        quantity=quantity.name,
        counted=len(quantity.lower),
        lower_known=quantity.lower_known,
        upper_known=quantity.upper_known,
        lower_guarantee=quantity.lower_guarantee,
        upper_guarantee=quantity.upper_guarantee,
        least=_interval(lower, upper, lambda side: float(side.min())),
        percentiles=tuple(Percentile(share, percentile(quantity, share)) for share in PERCENTILES),
        mean=mean_of(quantity),
        greatest=_interval(lower, upper, lambda side: float(side.max())),
        population_median=median_limits(*drawn, level=level),
        population_mean=mean_limits(*drawn, seed=seed, level=level),
    )


def percentile(quantity: Quantity, share: float) -> Interval:
    """The order statistic at ``share`` per cent of both sides; 50 is the median as ``summary.median`` defines it.

    Raises:
        UsageError: For a share outside 0 to 100.
    """
    if not 0 <= share <= 100:
        raise UsageError(f"a percentile lies between 0 and 100; got {share:g}")
    lower = quantity.lower if quantity.lower_known else None
    upper = quantity.upper if quantity.upper_known else None
    if share == 50:
        return Interval(_middle(lower, up=False), _middle(upper, up=True))
    return _interval(lower, upper, lambda side: order_statistic(side, share))


def order_statistic(values: Array, share: float) -> float:
    """The smallest of the values (n,) that at least ``share`` per cent of them do not exceed."""
    rank = math.ceil(Fraction(str(share)) * len(values) / 100) - 1
    return float(np.sort(values)[max(0, rank)])


def _middle(side: Array | None, *, up: bool) -> float | None:
    return None if side is None else median(side.tolist(), up=up)


def mean_of(quantity: Quantity) -> Interval:
    """The mean of both sides, rounded outwards; None where a side is known of no input, or is infinite for one."""
    low = mean(quantity.lower.tolist(), up=False) if quantity.lower_known else None
    high = mean(quantity.upper.tolist(), up=True) if quantity.upper_known else None
    return Interval(low, high)


def _interval(lower: Array | None, upper: Array | None, figure: Callable[[Array], float]) -> Interval:
    return Interval(_finite(lower, figure), _finite(upper, figure))


def _finite(side: Array | None, figure: Callable[[Array], float]) -> float | None:
    """The figure of a side; None where the side or the figure is not known, an infinity for instance."""
    value = math.inf if side is None else figure(side)
    return value if math.isfinite(value) else None


def accuracies(members: Sequence[Answer], *, level: float = LEVEL, radii: Iterable[float] | None = None) -> tuple[Accuracy, ...]:
    """The certified and the attacked accuracy: of radii at a few round ones (or at ``radii``), of verdicts in their own ball."""
    if isinstance(members[0], VerifyAnswer):
        return (_verified([a for a in members if isinstance(a, VerifyAnswer)], level),)
    found = [a for a in members if isinstance(a, RadiusAnswer)]
    if not found:
        return ()
    if radii is None:
        summary = radius_summary(found)
        radii = [] if summary is None else [point.radius for point in summary.at_radii]
    return tuple(_at_radii(found, list(radii), level))


def _at_radii(members: Sequence[RadiusAnswer], radii: Sequence[float], level: float) -> list[Accuracy]:
    right = [a for a in members if _right(a)]
    distances = sorted(_nearest(a) for a in right)
    proved = sorted(low for a in right if (low := _safe_within(a)) is not None)
    counts = [(r, len(proved) - bisect_left(proved, r), len(distances) - bisect_right(distances, r)) for r in radii]
    return [_accuracy(r, certified, attacked, members, level) for r, certified, attacked in counts]


def _nearest(answer: RadiusAnswer) -> float:
    """Where the nearest witness is; infinitely far without one."""
    distance = witness_distance(answer)
    return math.inf if distance is None else distance


def _safe_within(answer: RadiusAnswer) -> float | None:
    """The largest radius whose closed ball is proved safe: a witness just at the proved radius is not in it."""
    low = proved_value(answer.bracket.lower)
    return None if low is None else min(low, math.nextafter(_nearest(answer), -math.inf))


def _verified(members: Sequence[VerifyAnswer], level: float) -> Accuracy:
    right = [a for a in members if _right(a)]
    certified = sum(a.verdict is Verdict.HOLDS and a.guarantee is Guarantee.PROVED for a in right)
    attacked = sum(a.verdict is not Verdict.VIOLATED for a in right)
    return _accuracy(members[0].region.radius, certified, attacked, members, level)


def _right(answer: Answer) -> bool:
    """Not known to be misclassified: neither found so, nor by its labels."""
    return answer.outcome is not Outcome.MISCLASSIFIED and (answer.true_label is None or answer.label in (None, answer.true_label))


def _accuracy(radius: float | None, certified: int, attacked: int, members: Sequence[Answer], level: float) -> Accuracy:
    labelled = all(a.true_label is not None and a.label is not None for a in members)
    return Accuracy(radius, certified, attacked, len(members), labelled, share_limits(certified, attacked, len(members), level))


def _classes(members: Sequence[Answer]) -> tuple[ClassFigures, ...]:
    """One row per class; none where there is only one."""
    found: dict[int, list[Answer]] = {}
    for a in members:
        label = a.label if a.true_label is None else a.true_label
        if label is not None:
            found.setdefault(label, []).append(a)
    return tuple(_class(label, found[label]) for label in sorted(found)) if len(found) > 1 else ()


def _class(label: int, members: Sequence[Answer]) -> ClassFigures:
    main = next(iter(quantities(members)), None)
    counted = [a for a in members if a.outcome is not Outcome.MISCLASSIFIED]
    return ClassFigures(
        label=label,
        inputs=len(members),
        misclassified=len(members) - len(counted),
        violated=sum(_violated(a) for a in counted),
        proved=0 if main is None else main.lower_known if main.lower_guarantee is Guarantee.PROVED else main.upper_known,
        median=Interval(None, None) if main is None else percentile(main, 50),
        mean=Interval(None, None) if main is None else mean_of(main),
    )


def _violated(answer: Answer) -> bool:
    if isinstance(answer, VerifyAnswer):
        return answer.verdict is Verdict.VIOLATED
    return isinstance(answer, RadiusAnswer) and witness_distance(answer) is not None
