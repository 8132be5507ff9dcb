"""How a question is to be answered, and where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from netassay.assessment.stopping import StopRule, Target
from netassay.numerics.budget import Budget, Clock
from netassay.results.answer import Question


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a question stands.

    Args:
        question: Which one.
        done_queries, total_queries: Points evaluated and budgeted over all inputs; the total is None without a limit.
        seconds, limit_seconds: Likewise for time.
        lines: (input index, lower, upper): the best bounds so far, None where unknown.
    """

    question: Question
    done_queries: int
    total_queries: int | None
    seconds: float
    limit_seconds: float | None
    lines: tuple[tuple[int | None, float | None, float | None], ...]


@dataclass(frozen=True)
class Settings:
    """How a question is to be answered.

    Args:
        method: Name in the registry. budget, seed: As everywhere.
        progress: Called now and then; it must not change anything.
        tolerance: For ``reach``: stop early when the range has stopped growing by more than a tenth of this.
        clock: Started when the call began, so that its time limit covers everything.
        asked: The budget of the whole call, of which ``budget`` may be one batch's share.
        problems, done: How many problems the call has in all, and how many queries earlier batches spent.
        interrupted: Says whether the user has asked to stop.
        target: A problem is searched until its attained side has reached this; see ``stopping.Target``.
        stop: The caller's rule, asked after every batch.
    """

    method: str
    budget: Budget
    seed: int
    clock: Clock
    progress: Callable[[Progress], None] | None = None
    tolerance: float | None = None
    asked: Budget = field(default_factory=Budget)
    problems: int = 1
    done: int = 0
    interrupted: Callable[[], bool] = lambda: False
    target: Target | None = None
    stop: StopRule | None = None
