"""The confidence interval expression between two fixed labels (DeepQuant, Definition 5, Eq. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from netassay.errors import PropertyError
from netassay.models.scores import Scale
from netassay.numerics.arrays import array_namespace
from netassay.results.answer import Risk
from netassay.specs import expressions
from netassay.specs.property import Parameters, Property


class GapCase(StrEnum):
    """How the second label was chosen: cases 1, 2 and 3 of Definition 5, or freely by the user."""

    RUNNER_UP = "runner-up"
    TARGET = "target"
    SMALLEST = "smallest"
    GIVEN = "given"


@dataclass(frozen=True)
class ConfidenceGap(Property):
    """``s(x) = f_j(x) - f_l(x) - eps`` for two labels; safe where s > 0 ("the gap has to be larger than eps").

    Proving it on a ball with ``eps = 0`` and j the decision at x proves a targeted safe ball: the network nowhere decides
    for l. A witness shows that l overtakes j, which need not be the decision there: a third label may be ahead
    of both. It bounds no robustness radius from below, for the same reason; ``Robustness`` does.

    Args:
        label: j, counted from 0.
        other: l, another label.
        eps: Gap to keep, at least 0.
        case: How l was chosen.
        on: The scale of f, probabilities or logits.
    Raises:
        PropertyError: If the labels are equal, or label, scale or eps are out of range.
    """

    label: int
    other: int
    eps: float = 0.0
    case: GapCase = GapCase.GIVEN
    on: Scale = Scale.PROBABILITIES

    name = "gap"
    zero_is_safe = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", expressions.checked_label(self.label, self.name))
        object.__setattr__(self, "other", expressions.checked_label(self.other, self.name))
        object.__setattr__(self, "on", expressions.checked_scale(self.on, self.name))
        object.__setattr__(self, "eps", expressions.checked_eps(self.eps, self.on, self.name))
        object.__setattr__(self, "case", GapCase(self.case))
        if self.label == self.other:
            raise PropertyError(f"a gap needs two different labels; got {self.label} twice (a target must differ from the decision at x)")

    @classmethod
    def runner_up(cls, scores: ArrayLike, eps: float = 0.0, on: Scale = Scale.PROBABILITIES) -> ConfidenceGap:
        """Case 1: the decision of ``scores`` (m,) (higher wins) against its second best label."""
        values = _scores(scores)
        best = int(np.argmax(values))
        rest = np.where(np.arange(len(values)) == best, -np.inf, values)
        return cls(best, int(np.argmax(rest)), eps, GapCase.RUNNER_UP, on)

    @classmethod
    def target(cls, scores: ArrayLike, target: int, eps: float = 0.0, on: Scale = Scale.PROBABILITIES) -> ConfidenceGap:
        """Case 2: the decision of ``scores`` (m,) against a given label."""
        values = _scores(scores)
        expressions.fits(expressions.checked_label(target, "targeted"), len(values), "targeted")
        return cls(int(np.argmax(values)), target, eps, GapCase.TARGET, on)

    @classmethod
    def smallest(cls, scores: ArrayLike, eps: float = 0.0, on: Scale = Scale.PROBABILITIES) -> ConfidenceGap:
        """Case 3: the decision of ``scores`` (m,) against its least confident label."""
        values = _scores(scores)
        best = int(np.argmax(values))
        rest = np.where(np.arange(len(values)) == best, np.inf, values)
        return cls(best, int(np.argmin(rest)), eps, GapCase.SMALLEST, on)

    def parameters(self) -> Parameters:
        return {"label": np.asarray(self.label), "other": np.asarray(self.other), "eps": np.asarray(self.eps)}

    def expression(self, scores: Any, parameters: Mapping[str, Any]) -> Any:
        """s; NaN where eps is 0 and both probabilities have underflowed to 0, since their order is then not known."""
        xp = array_namespace(scores)
        one, other = expressions.score_of(scores, parameters["label"]), expressions.score_of(scores, parameters["other"])
        gap = one - other - parameters["eps"]
        if self.on is Scale.PROBABILITIES:
            unordered = (one == 0) & (other == 0) & (parameters["eps"] == 0)
            gap = xp.where(unordered, xp.full_like(gap, xp.nan), gap)
        return expressions.poisoned(gap, scores)

    def guide(self, logits: Any, parameters: Mapping[str, Any], targets: Any) -> Any:
        """The gap between the two logits."""
        del targets
        return expressions.score_of(logits, parameters["label"]) - expressions.score_of(logits, parameters["other"])

    def check(self, scores: int) -> None:
        expressions.two_labels(scores, self.name)
        for label in (self.label, self.other):
            expressions.fits(label, scores, self.name)

    def describe(self) -> Risk:
        f = expressions.SYMBOLS[self.on]
        gap = f" - {expressions.number(self.eps)}" if self.eps else ""
        family = "targeted" if self.case is GapCase.TARGET else self.name
        text = f"{f}_{self.label} - {f}_{self.other}{gap} > 0"
        return Risk(family, text, str(self.on), self._spec())

    def _spec(self) -> str:
        eps = f":{expressions.number(self.eps)}" if self.eps else ""
        head = {
            GapCase.RUNNER_UP: "gap:runner-up",
            GapCase.TARGET: f"targeted:{self.other}",
            GapCase.SMALLEST: "gap:smallest",
            GapCase.GIVEN: f"gap:{self.label}:{self.other}",
        }[self.case]
        return f"{head}{eps}{expressions.on_suffix(self.on, Scale.PROBABILITIES)}"


def _scores(scores: ArrayLike) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise PropertyError(f"a gap is bound to the scores (m,) of one input, without NaN; got shape {values.shape}: {values}")
    expressions.two_labels(len(values), "gap")
    return values
