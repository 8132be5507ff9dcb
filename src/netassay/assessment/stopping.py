"""Reasons to end a search before its budget: a target that was reached, a rule of the caller."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netassay.errors import UsageError
from netassay.results.answer import Question

if TYPE_CHECKING:
    from netassay.assessment.settings import Progress

Target = float | tuple[float | None, float | None]
"""For RADIUS an upper bound that is small enough, for LIPSCHITZ a slope that is steep enough, for REACH the ends (low, high) of a range
that is wide enough, None for an end that does not matter."""


class StopRule:
    """The caller's rule, and whether it has ended a search (``said``).

    Args:
        rule: Told where things stand; True ends the search.
    """

    def __init__(self, rule: Callable[[Progress], bool]) -> None:
        self._rule = rule
        self.said = False

    def __call__(self, progress: Progress) -> bool:
        self.said = self.said or bool(self._rule(progress))
        return self.said


def checked_target(question: Question, target: Target | None) -> Target | None:
    """The target in the form that the question takes; raises UsageError for another form."""
    if target is None:
        return None
    if question is Question.REACH:
        return _ends(target)
    if isinstance(target, bool) or not isinstance(target, int | float) or not (math.isfinite(target) and target >= 0):
        raise UsageError(f"the target of {question} must be a finite number, not negative; got {target!r}")
    return float(target)


def _ends(target: object) -> tuple[float | None, float | None]:
    ends = list(target) if isinstance(target, tuple | list) else []
    known = [end for end in ends if end is not None]
    if len(ends) != 2 or not known or not all(isinstance(end, int | float) and math.isfinite(end) for end in known):
        raise UsageError(
            f"the target of reach must be a pair (low, high) of finite numbers, None for one that does not matter; got {target!r}"
        )
    low, high = (None if end is None else float(end) for end in ends)
    return low, high


def passed(
    question: Question, target: Target, rising: NDArray[np.float64], falling: NDArray[np.float64], nearest: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(B,) whether attained values have reached the target; NaN, where nothing is attained, never has.

    Args:
        question, target: As ``checked_target`` gives them.
        rising, falling: (B,) greatest and least value or signed slope.
        nearest: (B,) upper bound of the radius.
    """
    if isinstance(target, tuple):
        low, high = target
        reached = np.ones(len(rising), dtype=bool)
        reached &= True if low is None else falling <= low
        reached &= True if high is None else rising >= high
        return reached
    return np.asarray(nearest <= target if question is Question.RADIUS else np.fmax(rising, -falling) >= target)


def target_text(target: Target) -> str:
    """The target as notes and provenance print it."""
    if not isinstance(target, tuple):
        return f"{target:g}"
    return ", ".join("any" if end is None else f"{end:g}" for end in target)
