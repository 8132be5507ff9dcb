"""Two models or versions on the same inputs: which inputs got worse, surely or by what was found, and whether that is more than chance.

The brackets of an input are compared first: B is surely worse where its bracket lies wholly on the worse side of A's, surely better
where it lies wholly on the better one, and undecided where they meet. Then each side is compared with the same side, and says only
what it is about: attained sides what searches found, proved sides what provers could show. A side that is not known of an input is
censored, not left out: the sign of its change is known where the other's value lies on the inner side of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.errors import UsageError
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Outcome, Question
from netassay.results.confidence import LEVEL, Limits, mean_limits
from netassay.results.guarantee import Guarantee
from netassay.results.quantities import Array, Quantity, quantities
from netassay.results.same_input import InputKey, input_key
from netassay.results.summary import question_of

WORSE_WHEN_SMALLER = {"radius": True, "slope": False, "least": True}
"""The quantities that are compared; ranges have no better side."""
CONDITIONS = ("method", "options", "seed", "device", "dtype", "tool_version")
"""Facts of provenance that should agree, or a change may be that of the search."""


@dataclass(frozen=True, slots=True)
class SideChange:
    """How one side changed from A to B over the pairs that count.

    Args:
        side: "lower" or "upper".
        guarantee: How that side is known; the statement is about it, not about the quantity.
        known: Pairs in which both have it.
        larger, smaller, equal, unknown: Pairs by the sign of B - A; unknown where censoring hides it.
        sign_p: Two-sided exact sign test over larger and smaller; None without either.
        wilcoxon_pairs, wilcoxon_p: Wilcoxon's signed-rank test over the known pairs that differ; None without any.
        mean_difference: Mean of B - A over the known pairs.
        population: Bootstrap limits of that mean; STATISTICAL.
    References:
        Conover, Practical Nonparametric Statistics, sections 3.4 (sign test) and 5.7 (signed ranks).
    """

    side: str
    guarantee: Guarantee
    known: int
    larger: int
    smaller: int
    equal: int
    unknown: int
    sign_p: float | None
    wilcoxon_pairs: int
    wilcoxon_p: float | None
    mean_difference: float | None
    population: Limits


@dataclass(frozen=True, slots=True)
class Compared:
    """One question about one risk in one norm, for the inputs that A and B share.

    Args:
        pairs: Inputs that both decide right.
        only_a, only_b: Inputs that the other has no answer about.
        newly_misclassified, no_longer_misclassified: Inputs, from A to B; in no other figure.
        surely_worse, surely_better: Inputs whose brackets lie apart.
        undecided: The other pairs.
        sides: The lower side, then the upper one.
        conditions: In what the searches and proofs of A and B differ.
    """

    question: Question
    spec: str
    norm: Norm | None
    radius: float | None
    quantity: str
    pairs: int
    only_a: int
    only_b: int
    newly_misclassified: tuple[int, ...]
    no_longer_misclassified: tuple[int, ...]
    misclassified_in_both: int
    surely_worse: tuple[int, ...]
    surely_better: tuple[int, ...]
    undecided: int
    sides: tuple[SideChange, ...]
    conditions: tuple[str, ...]


_Group = tuple[Question, str, str, Norm | None, float | None]


def compare(a: Iterable[Answer], b: Iterable[Answer], *, seed: int = 0, level: float = LEVEL) -> list[Compared]:
    """Compares group by group, input by input; inputs belong together by their position and their content.

    Args:
        a, b: Answers about the two models. An input that is asked the same question twice must be answered by one answer each.
        seed: Of the bootstrap.
        level: Confidence of what is said of the population.
    Raises:
        UsageError: If A and B share no input in any question that can be compared.
    """
    first, second = _arranged(a), _arranged(b)
    found = [_compared(key, first[key], second[key], seed, level) for key in first if key in second]
    shared = [c for c in found if c.pairs or c.newly_misclassified or c.no_longer_misclassified or c.misclassified_in_both]
    if not shared:
        raise UsageError(
            "the two have no question about the same input in common (same risk, norm and radius; same input by position and content); "
            "ask both models the same questions about the same data"
        )
    return shared


def _arranged(answers: Iterable[Answer]) -> dict[_Group, dict[InputKey, Answer]]:
    groups: dict[_Group, dict[InputKey, Answer]] = {}
    for answer in answers:
        question = question_of(answer)
        if question is not Question.REACH:
            radius = None if question is Question.RADIUS else answer.region.radius
            key = (question, answer.risk.spec or answer.risk.name, answer.risk.on, answer.region.norm, radius)
            groups.setdefault(key, {})[input_key(answer)] = answer
    return groups


def _compared(key: _Group, a: dict[InputKey, Answer], b: dict[InputKey, Answer], seed: int, level: float) -> Compared:
    question, spec, _, norm, radius = key
    shared = [place for place in a if place in b]
    wrong = {place: (_wrong(a[place]), _wrong(b[place])) for place in shared}
    counted = [place for place in shared if wrong[place] == (False, False)]
    first, second = _quantity([a[p] for p in counted]), _quantity([b[p] for p in counted])
    worse, better = _apart(first, second) if first is not None and second is not None else ((), ())
    return Compared(
        question=question,
        spec=spec,
        norm=norm,
        radius=radius,
        quantity={Question.RADIUS: "radius", Question.LIPSCHITZ: "slope"}.get(question, "least"),
        pairs=len(counted),
        only_a=len(a) - len(shared),
        only_b=len(b) - len(shared),
        newly_misclassified=_indices(wrong, (False, True)),
        no_longer_misclassified=_indices(wrong, (True, False)),
        misclassified_in_both=sum(w == (True, True) for w in wrong.values()),
        surely_worse=worse,
        surely_better=better,
        undecided=len(counted) - len(worse) - len(better),
        sides=() if first is None or second is None else _sides(first, second, seed, level),
        conditions=_conditions([(a[p], b[p]) for p in shared]),
    )


def _wrong(answer: Answer) -> bool:
    return answer.outcome is Outcome.MISCLASSIFIED


def _quantity(members: Sequence[Answer]) -> Quantity | None:
    """The first quantity of the question: the radius, Q or min s."""
    return next(iter(quantities(members)), None)


def _indices(wrong: dict[InputKey, tuple[bool, bool]], kind: tuple[bool, bool]) -> tuple[int, ...]:
    return tuple(sorted(place[0] for place, found in wrong.items() if found == kind and place[0] is not None))


def _apart(a: Quantity, b: Quantity) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Inputs that are surely worse and surely better in B: the brackets do not meet. A radius capped by its search is no bound."""
    a_upper, b_upper = _uncapped(a), _uncapped(b)
    below, above = b_upper < a.lower, b.lower > a_upper
    worse, better = (below, above) if WORSE_WHEN_SMALLER[a.name] else (above, below)
    return _chosen(a, worse), _chosen(a, better)


def _chosen(found: Quantity, which: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(sorted(i for i, taken in zip(found.indices, which, strict=True) if taken and i is not None))


def _uncapped(found: Quantity) -> Array:
    """The upper values; infinite where nothing is known of the radius itself."""
    return np.where(found.upper_is_known, found.upper, math.inf)


def _sides(a: Quantity, b: Quantity, seed: int, level: float) -> tuple[SideChange, ...]:
    """Both sides; an unknown lower value lies below every known one, an unknown upper value above (where the search was as wide)."""
    lower = _side("lower", a.lower_guarantee, (a.lower, a.lower_is_known), (b.lower, b.lower_is_known), seed, level)
    upper = _side("upper", a.upper_guarantee, (a.upper, a.upper_is_known), (b.upper, b.upper_is_known), seed, level)
    return lower, upper


_Known = tuple[Array, NDArray[np.bool_]]


def _side(side: str, guarantee: Guarantee, a: _Known, b: _Known, seed: int, level: float) -> SideChange:
    a, b = (a[0], a[1] & np.isfinite(a[0])), (b[0], b[1] & np.isfinite(b[0]))
    both = a[1] & b[1]
    signs = np.where(both, np.sign(np.where(both, b[0], 0.0) - np.where(both, a[0], 0.0)), 0.0)
    outward = 1.0 if side == "upper" else -1.0
    gone, come = a[1] & ~b[1] & _beyond(b[0], a[0], outward), ~a[1] & b[1] & _beyond(a[0], b[0], outward)
    signs = np.where(gone, outward, np.where(come, -outward, signs))
    hidden = ~(both | gone | come) & (a[1] | b[1])
    larger, smaller = int((signs > 0).sum()), int((signs < 0).sum())
    differences = b[0][both] - a[0][both]
    moved = differences[differences != 0]
    return SideChange(
        side=side,
        guarantee=guarantee,
        known=int(both.sum()),
        larger=larger,
        smaller=smaller,
        equal=len(signs) - larger - smaller - int(hidden.sum()),
        unknown=int(hidden.sum()),
        sign_p=_sign_test(larger, smaller),
        wilcoxon_pairs=len(moved),
        wilcoxon_p=_wilcoxon(moved),
        mean_difference=float(differences.mean()) if len(differences) else None,
        population=mean_limits(differences, differences, seed=seed, level=level),
    )


def _beyond(limit: Array, value: Array, outward: float) -> NDArray[np.bool_]:
    """Whether a side that is only known to lie at ``limit`` or further out lies further out than ``value``."""
    return np.asarray(outward * limit > outward * value)


def _sign_test(larger: int, smaller: int) -> float | None:
    from scipy.stats import binomtest

    return float(binomtest(larger, larger + smaller).pvalue) if larger + smaller else None


def _wilcoxon(differences: Array) -> float | None:
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue) if len(differences) else None


def _conditions(pairs: Sequence[tuple[Answer, Answer]]) -> tuple[str, ...]:
    """In what the searches differ, one sentence per fact."""
    said = []
    for name in CONDITIONS:
        ways = {(str(getattr(a.provenance, name)), str(getattr(b.provenance, name))) for a, b in pairs}
        other = next(((x, y) for x, y in sorted(ways) if x != y), None)
        if other is not None:
            said.append(f"{name.replace('_', ' ')} differs: {other[0]} and {other[1]}")
    return tuple(said)
