"""Several models that were asked the same question about the same inputs, best first; a place is sure only where brackets lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Outcome, Question, RadiusAnswer, VerifyAnswer
from netassay.results.quantities import quantities
from netassay.results.same_input import InputKey, input_key
from netassay.results.statistics import accuracies
from netassay.results.summary import Interval, mean, question_of

QUANTITIES = {
    Question.RADIUS: "mean radius, misclassified inputs counted with 0",
    Question.VERIFY: "share of inputs that are right and safe",
}


@dataclass(frozen=True, slots=True)
class Rank:
    """One model: the bracket it is ranked by, and how many models are surely better and surely worse."""

    model: str
    model_sha256: str
    campaign: int
    inputs: int
    mean: Interval
    surely_better: int
    surely_worse: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The models of one question about one risk in one norm, over the inputs that all of them have answers about."""

    question: Question
    spec: str
    norm: Norm | None
    quantity: str
    models: tuple[Rank, ...]


_Key = tuple[Question, str, str, Norm | None, float | None]
_Inputs = dict[InputKey, Answer]


def rank(campaigns: Mapping[int, Sequence[Answer]]) -> list[Ranking]:
    """Ranks the models of several campaigns (by number); questions that only one of them was asked are left out."""
    asked: dict[_Key, dict[int, _Inputs]] = {}
    for number, answers in campaigns.items():
        for a in answers:
            question = question_of(a)
            if question in QUANTITIES:
                radius = None if question is Question.RADIUS else a.region.radius
                key = (question, a.risk.spec or a.risk.name, a.risk.on, a.region.norm, radius)
                asked.setdefault(key, {}).setdefault(number, {})[input_key(a)] = a
    found = [_ranking(key, entries) for key, entries in asked.items() if len(entries) > 1]
    return [r for r in found if r is not None]


def _ranking(key: _Key, entries: Mapping[int, _Inputs]) -> Ranking | None:
    shared = set.intersection(*(set(inputs) for inputs in entries.values()))
    if not shared:
        return None
    chosen = {number: [inputs[place] for place in inputs if place in shared] for number, inputs in entries.items()}
    brackets = {number: bracket(answers) for number, answers in chosen.items()}
    ranks = [_rank(number, answers, brackets) for number, answers in chosen.items()]
    ordered = sorted(ranks, key=lambda r: (r.surely_better - r.surely_worse, -(r.mean.upper or 0.0), -(r.mean.lower or 0.0)))
    return Ranking(key[0], key[1], key[3], QUANTITIES[key[0]], tuple(ordered))


def _rank(number: int, answers: Sequence[Answer], brackets: Mapping[int, Interval]) -> Rank:
    own = brackets[number]
    others = [b for other, b in brackets.items() if other != number]
    first = answers[0].provenance
    better, worse = sum(_above(b, own) for b in others), sum(_above(own, b) for b in others)
    return Rank(first.model, first.model_sha256, number, len(answers), own, better, worse)


def _above(a: Interval, b: Interval) -> bool:
    return a.lower is not None and b.upper is not None and a.lower > b.upper


def bracket(answers: Sequence[Answer]) -> Interval:
    """What a model is ranked by; misclassified inputs count as failed, with radius 0.

    A radius that was capped where its search ended has no upper side, since another search may have gone further.
    """
    if isinstance(answers[0], VerifyAnswer):
        found = accuracies(answers)[0]
        return Interval(found.certified / found.total, found.attacked / found.total)
    counted = [a for a in answers if isinstance(a, RadiusAnswer) and a.outcome is not Outcome.MISCLASSIFIED]
    nothing = [0.0] * (len(answers) - len(counted))
    sides = next(iter(quantities(counted)), None)
    if sides is None:
        return Interval(0.0, 0.0)
    upper = mean([*sides.upper.tolist(), *nothing], up=True) if sides.upper_is_known.all() else None
    return Interval(mean([*sides.lower.tolist(), *nothing], up=False), upper)
