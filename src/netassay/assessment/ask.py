"""One call that answers a question about many problems at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.assessment.answers import common
from netassay.assessment.centre import Centre, screened
from netassay.assessment.lipschitz import lipschitz
from netassay.assessment.proved_sides import ProvedSides
from netassay.assessment.proving import Prover
from netassay.assessment.radius import radius
from netassay.assessment.reach import reach
from netassay.assessment.rounding import representable_problem
from netassay.assessment.session import Session
from netassay.assessment.settings import Progress, Settings
from netassay.assessment.starts import Array, StartPoints, fitted
from netassay.assessment.stopping import StopRule, Target, checked_target, target_text
from netassay.checking.replay import Replayer, require_repeatable
from netassay.errors import CapabilityError, RegionError, UsageError
from netassay.falsifiers.base import Method, Objective
from netassay.falsifiers.registry import method_entry
from netassay.falsifiers.search import MOST_NUMBERS, MOST_ROWS, Search
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.interrupts import deferred_interrupts
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.trace import Trace
from netassay.specs.problem import Problem

__all__ = ["SEARCHED", "Progress", "ask"]

SEARCHING = 0.5
"""Share of the seconds that the search may take where a prover follows."""

SEARCHED = (Question.RADIUS, Question.LIPSCHITZ, Question.REACH)
"""The questions that begin with a search; ``verify`` answers the other one."""

LANES = 32
"""Points side by side per problem: as many problems share a batch as fill it with that."""


def ask(
    question: Question,
    problems: Sequence[Problem],
    *,
    method: str = "auto",
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    tolerance: float | None = None,
    starts: Sequence[Array | None] | None = None,
    target: Target | None = None,
    stop: Callable[[Progress], bool] | None = None,
    prover: str | None = None,
    order: str = "none",
) -> list[Answer]:
    """Answers ``question`` for every problem; the points of all problems share the batches.

    A centre that its network misclassifies is answered as such and not searched. Centres are rounded to the
    network's dtype first (towards the inside of the domain), since nothing else can be evaluated; distances are
    measured from there. An interrupt (Ctrl-C) ends the search and returns what was found, marked as interrupted; problems
    that were not begun are left out.

    Args:
        question: RADIUS, LIPSCHITZ or REACH.
        problems: Problems of one network.
        method: A name of the registry.
        budget: Queries per problem, seconds for the whole call, bytes.
        seed: Same seed, same problems, same query budget: same answer.
        progress: Told where things stand.
        tolerance: For REACH, see ``reach``.
        starts: Per problem, points (w, *input_shape) worth starting from, or None: no answer is worse than they are. A point outside
            the region is moved to its nearest point.
        target: A problem whose confirmed attained side has reached this is searched no further; see ``stopping.Target``.
        stop: Asked after every batch: True ends the search of all problems. It is not marked as an interrupt.
        prover: A verifier that proves the other sides once the search is done (half of the seconds, where they are limited, are kept
            for it); None for none.
        order: In which order it takes rival labels; see ``verify``.
    Raises:
        UsageError: For an unknown method, or a target of another form than the question's.
        DataError: If a start point does not fit the network, or lies outside the input domain.
        CapabilityError: If the network lacks what the method needs.
        RegionError: If the question does not fit the region.
        ModelError: If the network gives other outputs each time, so that nothing could be replayed.
    """
    budget = budget or Budget()
    if question not in SEARCHED:
        raise UsageError(f"'ask' answers {', '.join(SEARCHED)}; for a verdict call 'verify'")
    entry = method_entry(method)
    if not problems:
        return []
    network = problems[0].network
    if any(p.network is not network for p in problems):
        raise UsageError("one call asks about one network; these problems have several: ask about each network in a call of its own")
    if entry.needs == "gradients" and not network.differentiable:
        raise CapabilityError(
            f"method {method!r} needs gradients, which {network.name} does not offer (a black box); use 'auto', 'tpmads' or 'random'"
        )
    if starts is not None and len(starts) != len(problems):
        raise UsageError(f"{len(starts)} entries of start points for {len(problems)} problems; give one per problem, None for none")
    goal, rule = checked_target(question, target), None if stop is None else StopRule(stop)
    with deferred_interrupts() as interrupted:
        clock = Clock(budget.seconds)
        share = budget if prover is None or budget.seconds is None else replace(budget, seconds=SEARCHING * budget.seconds)
        own = clock if share is budget else Clock(share.seconds, clock.started)
        settings = Settings(method, share, seed, own, progress, tolerance, budget, len(problems), 0, interrupted, goal, rule)
        replayer = Replayer(network)
        answers, asked = _all(question, problems, replayer, settings, entry.build(), starts or [None] * len(problems))
        if prover is None or interrupted():
            return answers
        proving = Prover(prover, order=order, memory=budget.memory, interrupted=interrupted, seed=seed)
        told = None if progress is None else lambda grown: progress(_standing(question, grown, settings, clock))
        return ProvedSides(proving, replayer, tolerance=tolerance, told=told).all(answers, asked, clock)


def _standing(question: Question, answers: Sequence[Answer], settings: Settings, clock: Clock) -> Progress:
    """Where things stand while sides are proved."""
    lines = tuple((a.index, *_ends(a)) for a in answers)
    done = sum(a.provenance.queries for a in answers)
    return Progress(question, done, done, clock.elapsed, settings.asked.seconds, lines)


def _ends(answer: Answer) -> tuple[float | None, float | None]:
    if isinstance(answer, ReachAnswer):
        sides = (answer.minimum.lower or answer.minimum.upper, answer.maximum.upper or answer.maximum.lower)
    elif isinstance(answer, RadiusAnswer | LipschitzAnswer):
        sides = (answer.bracket.lower, answer.bracket.upper)
    else:
        return None, None
    low, high = (None if side is None else side.value for side in sides)
    return low, high


def _all(
    question: Question,
    problems: Sequence[Problem],
    replayer: Replayer,
    settings: Settings,
    method: Method,
    starts: Sequence[Array | None],
) -> tuple[list[Answer], list[Problem]]:
    """The answers of the search, and the problems they are of, as they were searched."""
    network, budget = problems[0].network, settings.budget
    rounded = [representable_problem(p) for p in problems]
    begun = [fitted(p, np.zeros((0, *network.input_shape)) if s is None else s) for p, s in zip(rounded, starts, strict=True)]
    require_repeatable(replayer, rounded[0].center)
    labels, answers = _screen(question, rounded, replayer, settings)
    for group in groups(rounded, [i for i in range(len(rounded)) if answers[i] is None], budget):
        batch = [rounded[i] for i in group]
        share = _time_left(settings, len(group), sum(a is None for a in answers))
        found = _answer(question, batch, replayer, share, method, [labels[i] for i in group], [begun[i] for i in group])
        for i, answer in zip(group, found, strict=True):
            answers[i] = answer
        settings = replace(settings, done=sum(a.provenance.queries for a in answers if a is not None))
        if any(a.provenance.interrupted for a in found) or (settings.stop is not None and settings.stop.said):
            break
    return [a for a in answers if a is not None], [p for p, a in zip(rounded, answers, strict=True) if a is not None]


def _time_left(settings: Settings, batch: int, waiting: int) -> Settings:
    """The settings of one batch: its share of the seconds that are left."""
    if settings.budget.seconds is None or batch == waiting:
        return settings
    left = max(0.01, settings.budget.seconds - settings.clock.elapsed) * batch / waiting
    return replace(settings, budget=replace(settings.budget, seconds=left), clock=Clock(left))


def _answer(
    question: Question,
    batch: list[Problem],
    replayer: Replayer,
    settings: Settings,
    method: Method,
    labels: list[int | None],
    starts: list[StartPoints],
) -> Sequence[Answer]:
    objective = Objective.SLOPE if question is Question.LIPSCHITZ else Objective.VALUE
    search = Search(
        batch, objective, budget=settings.budget, clock=settings.clock, seed=settings.seed, violations=question is Question.RADIUS
    )
    session = Session(question, batch, settings, search, replayer, objective is Objective.SLOPE)
    run: dict[Question, Callable[[Session, Method, list[int | None]], Sequence[Answer]]] = {
        Question.LIPSCHITZ: lipschitz,
        Question.RADIUS: radius,
        Question.REACH: reach,
    }
    session.start_from(starts)
    answers = run[question](session, method, labels)
    session.report(force=True)
    return [_completed(answer, session, b, starts[b]) for b, answer in enumerate(answers)]


def _completed(answer: Answer, session: Session, b: int, starts: StartPoints) -> Answer:
    """The answer with what is to be said of its start and its end."""
    options = dict(answer.provenance.options)
    if session.settings.target is not None:
        options["target"] = target_text(session.settings.target)
    if len(starts.points):
        options["starts"] = f"{len(starts.points)} points, SHA-256 {_digest(starts.points)}"
    notes = (*answer.notes, *session.said_of(b))
    return replace(answer, notes=notes, provenance=replace(answer.provenance, options=options))


def _screen(
    question: Question, problems: list[Problem], replayer: Replayer, settings: Settings
) -> tuple[list[int | None], list[Answer | None]]:
    """Labels of the centres, and the answers that need no search."""
    labels: list[int | None] = []
    answers: list[Answer | None] = []
    for problem in problems:
        centre = screened(problem, replayer)
        if question is not Question.REACH and isinstance(problem.region, Box):
            raise RegionError(f"{question} needs a ball around an input; a plain box serves 'reach' only")
        labels.append(centre.label)
        answers.append(_without_search(question, problem, replayer, settings, centre))
    return labels, answers


def _without_search(question: Question, problem: Problem, replayer: Replayer, settings: Settings, centre: Centre) -> Answer | None:
    at_center = question is Question.RADIUS and problem.property.is_violated(centre.value)
    if not centre.wrong and not at_center:
        return None
    outcome = Outcome.MISCLASSIFIED if centre.wrong else Outcome.RISK_AT_CENTER
    shared = common(
        problem, settings, outcome=outcome, center_value=centre.value, label=centre.label, queries=1, calls=1, interrupted=False
    )
    return _empty(question, shared) if centre.wrong else _risk_at_center(problem, replayer, settings, shared)


def _empty(question: Question, shared: dict[str, Any]) -> Answer:
    if question is Question.RADIUS:
        return RadiusAnswer(**shared, bracket=Bracket(End.UPPER), witness=None, trace=Trace())
    if question is Question.LIPSCHITZ:
        nothing = Bracket(End.LOWER)
        return LipschitzAnswer(
            **shared,
            bracket=nothing,
            falling=nothing,
            witness=None,
            falling_witness=None,
            d_prime_lower=None,
            d_prime_upper=None,
            trace=Trace(),
            falling_trace=Trace(),
        )
    return ReachAnswer(
        **shared,
        minimum=Bracket(End.UPPER),
        maximum=Bracket(End.LOWER),
        minimum_witness=None,
        maximum_witness=None,
        minimum_trace=Trace(),
        maximum_trace=Trace(),
    )


def _risk_at_center(problem: Problem, replayer: Replayer, settings: Settings, shared: dict[str, Any]) -> RadiusAnswer:
    """The input itself is the witness, at distance 0."""
    point: NDArray[np.floating] = problem.center.astype(problem.network.dtype)
    witness = replayer.witness(problem, point, replayer.replay(problem, point))
    bracket = Bracket(End.UPPER).tighten(End.UPPER, Side(0.0, Guarantee.ATTAINED, settings.method, replayer.exact.arithmetic))
    return RadiusAnswer(**shared, bracket=bracket, witness=witness, trace=Trace())


def groups(problems: list[Problem], positions: list[int], budget: Budget) -> list[list[int]]:
    """Batches of positions whose problems can share tensors and fit the memory limit together."""
    kinds: dict[tuple[object, ...], list[int]] = {}
    for i in positions:
        kinds.setdefault(_kind(problems[i]), []).append(i)
    most = together(int(np.prod(problems[0].network.input_shape)), budget.memory)
    return [members[i : i + most] for members in kinds.values() for i in range(0, len(members), most)]


def together(features: int, memory: int) -> int:
    """How many problems with so many input features share a batch within a memory limit in bytes."""
    rows = min(MOST_ROWS, max(512, MOST_NUMBERS // features), memory // 4 // (features * 16))
    return max(1, rows // LANES)


def _kind(problem: Problem) -> tuple[object, ...]:
    region = problem.region
    if isinstance(region, Box):
        return (problem.property.family(), "box", _digest(region.lower), _digest(region.upper))
    arrays = (_digest(region.mask), _digest(region.scale), _digest(region.granularity))
    return (problem.property.family(), region.p, region.group, region.one_hot, *arrays)


def _digest(array: NDArray[Any] | None) -> str:
    return "" if array is None else hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
