"""The questions as Python functions: ``na.radius``, ``na.lipschitz``, ``na.reach``, ``na.assess`` after ``import netassay as na``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.assessment.ask import Progress, ask
from netassay.assessment.assess import assess as assess_all
from netassay.assessment.assess import covering_radius
from netassay.assessment.rounding import representable
from netassay.assessment.starts import Starts, start_array, starts_by_index
from netassay.assessment.stopping import Target
from netassay.assessment.stream import stream as streamed
from netassay.assessment.verify import verify as verify_all
from netassay.checking.replay import Replayer, classify
from netassay.errors import DataError, ModelError, UsageError, unknown_name
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.registry import Entry as Entry
from netassay.models.network import Network
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, LipschitzAnswer, Question, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.specs.problem import Problem
from netassay.specs.property import Property, RiskTemplate
from netassay.specs.regions import Ball
from netassay.specs.risks import parse_risk
from netassay.verifiers.registry import VERIFIERS
from netassay.verifiers.registry import VerifierEntry as VerifierEntry

Risk = Property | RiskTemplate | str
"""A property of one input, a risk still to be bound to an input, or its command-line form such as ``"uncertainty:0.1"``."""

REGION_OPTIONS = {"mask", "scale", "granularity", "one_hot", "group"}
"""What ``na.Ball`` takes beside centre, radius, norm and domain."""

Kind = TypeVar("Kind", bound=Answer)


def radius(
    network: Network,
    risk: Risk,
    x: ArrayLike,
    *,
    p: Norm | str | float = Norm.LINF,
    radius: float | None = None,
    label: int | None = None,
    method: str = "auto",
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    starts: Starts | None = None,
    target: float | None = None,
    stop: Callable[[Progress], bool] | None = None,
    prover: str | None = "auto",
    **region: Any,
) -> RadiusAnswer:
    """The maximum safe radius around ``x`` (DeepQuant, Definition 4): a ball proved safe below, the distance of a replayed witness above.

    Args:
        network: From ``na.load`` or ``na.Network``.
        risk: What must not happen.
        x: One input, in the network's input shape and units.
        p: Norm.
        radius: How far to look; the whole domain by default, which then must be bounded.
        label: The true label of ``x``, where known: a misclassified input is answered as such.
        method: A name of ``na.methods()``.
        budget: Queries, seconds, memory.
        seed: Same seed and query budget, same answer.
        progress: Called now and then with where the search stands.
        starts: Points worth starting from, (w, *input_shape) or one, or an earlier answer or several, whose witnesses are taken: the
            new answer is never worse than they are. Points outside the ball are moved to its nearest point.
        target: End as soon as a witness shows that the radius is at most this.
        stop: Asked after every batch, with what ``progress`` is told: True ends the search.
        prover: A verifier of ``na.verification_methods()`` that proves balls safe once the search is done; None for no proof.
        region: mask, scale, granularity, one_hot and group, as ``na.Ball`` takes them.
    """
    unknown = sorted(set(region) - REGION_OPTIONS)
    if unknown:
        own = ["p", "radius", "label", "method", "budget", "seed", "progress", "starts", "target", "stop", "prover"]
        raise unknown_name("option of radius", unknown[0], [*REGION_OPTIONS, *own])
    center, norm = _input(_checked(network), x), Norm.of(p)
    reach = covering_radius(center, network.domain, norm, **region) if radius is None else radius
    ball = Ball(center, reach, norm, domain=network.domain, **region)
    how = {"method": method, "budget": budget, "seed": seed, "progress": progress, "target": target, "stop": stop, "prover": prover}
    return _one(RadiusAnswer, Question.RADIUS, _problem(network, risk, ball, label), starts, **how)


def lipschitz(
    network: Network,
    risk: Risk,
    region: Ball,
    *,
    label: int | None = None,
    method: str = "auto",
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    starts: Starts | None = None,
    target: float | None = None,
    stop: Callable[[Progress], bool] | None = None,
    prover: str | None = "auto",
) -> LipschitzAnswer:
    """Q = sup abs(s(x) - s(x')) / norm(x - x') over a ball around x (DeepQuant, Definition 6): a slope found, and a bound of all.

    Args:
        network: From ``na.load`` or ``na.Network``.
        risk: Gives s(x).
        region: The ball.
        label: As for ``radius``.
        method: As for ``radius``.
        budget: As for ``radius``.
        seed: As for ``radius``.
        progress: As for ``radius``.
        starts: As for ``radius``.
        target: End as soon as a slope of at least this is found.
        stop: As for ``radius``.
        prover: As for ``radius``.
    """
    how = {"method": method, "budget": budget, "seed": seed, "progress": progress, "target": target, "stop": stop, "prover": prover}
    return _one(LipschitzAnswer, Question.LIPSCHITZ, _problem(_checked(network), risk, region, label), starts, **how)


def reach(
    network: Network,
    expression: Risk,
    region: Ball | Box,
    *,
    method: str = "auto",
    budget: Budget | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    starts: Starts | None = None,
    target: tuple[float | None, float | None] | None = None,
    stop: Callable[[Progress], bool] | None = None,
    prover: str | None = "auto",
) -> ReachAnswer:
    """The range of ``expression`` over a region: values that replayed points reach, and proved bounds beyond them.

    Args:
        network: From ``na.load`` or ``na.Network``.
        expression: ``na.Output(k)`` for an output, or a risk for the range of its s(x). Over a box it must be bound.
        region: A box or a ball.
        method: As for ``radius``.
        budget: As for ``radius``.
        seed: As for ``radius``.
        tolerance: Stop searching once the range has stopped growing by more than a tenth of this (no proof), and proving once the proved
            ends are this close to the ones reached.
        progress: As for ``radius``.
        starts: As for ``radius``.
        target: End as soon as the range holds (low, high); None for an end that does not matter, as in ``(None, 5.0)``.
        stop: As for ``radius``.
        prover: As for ``radius``.
    """
    problem = _problem(_checked(network), expression, region, None)
    how = {"method": method, "budget": budget, "seed": seed, "progress": progress, "target": target, "stop": stop, "prover": prover}
    return _one(ReachAnswer, Question.REACH, problem, starts, tolerance=tolerance, **how)


def stream(
    question: Question | str,
    network: Network,
    risk: Risk,
    region: Ball | Box,
    *,
    label: int | None = None,
    starts: Starts | None = None,
    **options: Any,
) -> Iterator[Progress | Answer]:
    """A question answered step by step: ``Progress`` while the search runs, the answer last. Leaving the loop stops the search.

    Every step is valid by itself: what it shows was confirmed in float64, inside the region.

    Args:
        question: "radius", "lipschitz" or "reach".
        network: As for those functions.
        risk: As for those functions.
        region: As for those functions; a radius is sought within it, so there it must be a ball.
        label: As for those functions.
        starts: As for those functions.
        options: method, budget, seed, target, stop and (for reach) tolerance. ``stop`` is asked in the thread that searches.
    """
    problem = _problem(_checked(network), risk, region, label)
    return streamed(Question(question), [problem], starts=[start_array(starts, network.input_shape)], **options)


def assess(
    network: Network,
    inputs: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    risks: Sequence[RiskTemplate | str] = ("robustness",),
    norms: Sequence[Norm | str | float] = (Norm.LINF,),
    radius: float | Mapping[Norm, float] | None = None,
    questions: Sequence[Question | str] = (Question.RADIUS, Question.LIPSCHITZ),
    starts: Starts | Sequence[Starts | None] | None = None,
    target: Mapping[Question | str, Target] | None = None,
    **options: Any,
) -> list[Answer]:
    """Every question for every input, risk and norm; all inputs share the batches.

    Args:
        network: From ``na.load`` or ``na.Network``.
        inputs: (N, *input_shape).
        labels: (N,) true labels, where known.
        risks: Command-line forms such as ``"uncertainty:0.1"``, or what ``na.risk`` gives.
        norms: Norms of the balls.
        radius: The ball for slopes and ranges, for all norms or per norm; the whole domain by default.
        questions: ``"radius"``, ``"lipschitz"``, ``"reach"``.
        starts: Earlier answers, each for the input of its index; or one entry per input: a point, points (w, *input_shape), answers
            or None. They serve every question, risk and norm.
        target: The target of a question, as in ``{"radius": 0.01}``: each input is searched until its own answer has reached it.
        options: method, budget, seed, indices, progress, stop, and what ``na.Ball`` takes (mask, scale, ...).
    """
    _checked(network)
    points = np.asarray(inputs, dtype=np.float64)
    if points.shape[1:] != network.input_shape:
        raise DataError(f"inputs of shape {points.shape} do not fit a network of input shape {network.input_shape}; give (N, *input_shape)")
    indices = options.get("indices")
    return assess_all(
        network,
        points,
        None if labels is None else np.asarray(labels, dtype=np.int64),
        risks=[parse_risk(risk) if isinstance(risk, str) else risk for risk in risks],
        norms=[Norm.of(norm) for norm in norms],
        radius=radius,
        questions=[Question(question) for question in questions],
        starts=starts_by_index(starts, range(len(points)) if indices is None else indices, network.input_shape),
        target=None if target is None else {Question(question): value for question, value in target.items()},
        **options,
    )


def verify(
    network: Network,
    risk: Risk,
    region: Ball | Box,
    *,
    label: int | None = None,
    method: str = "auto",
    attack: str | None = "auto",
    order: str = "none",
    float32: bool = False,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[Progress], bool] | None = None,
) -> VerifyAnswer:
    """Does s >= 0 (or > 0, where a tie is a risk) hold on the whole region? HOLDS, VIOLATED with a witness, or UNKNOWN with the reason.

    Args:
        network: From ``na.load`` or ``na.Network``; only one with an operator graph can be proved about.
        risk: What must not happen; over a box it must be bound.
        region: A ball or a box.
        label: As for ``radius``.
        method: A verifier of ``na.verification_methods()``.
        attack: A method of ``na.methods()`` that looks for a violation first; None for none.
        order: In which order rival labels are taken: "bounds", "confidence", or "none" for all at once (target-label paper, Algorithm 1).
        float32: Whether HOLDS has to be true of the network as float32 evaluates it too, rounding included.
        budget: Queries of the attack, seconds for everything (60 by default), memory.
        seed: As for ``radius``.
        progress: As for ``radius``.
        stop: As for ``radius``.
    """
    problem = _problem(_checked(network), risk, region, label)
    how: dict[str, Any] = {"budget": budget, "seed": seed, "progress": progress, "stop": stop}
    return verify_all([problem], method=method, attack=attack, order=order, float32=float32, **how)[0]


def verification_methods() -> list[VerifierEntry]:
    """The verifiers: what each claims, what it serves, and where it is defined."""
    return list(VERIFIERS.values())


def methods() -> list[Entry]:
    """The search methods: what each needs, the norms it serves, and where it is defined."""
    return list(METHODS.values())


def report(answers: Sequence[Answer], folder: str | Path, **options: Any) -> Path:
    """Writes the answers as one self-contained HTML file with a JSON beside it; gives the file. See ``reports.html.write_report``."""
    from netassay.reports.html import write_report

    return write_report(answers, Path(folder), **options)


def _checked(network: object) -> Network:
    if not isinstance(network, Network):
        came = type(network).__name__
        raise ModelError(f"expected a network, got {came}; load a file with na.load(...), or wrap it: na.Network(model, ...)")
    return network


def _input(network: Network, x: ArrayLike) -> NDArray[np.float64]:
    center = np.asarray(x, dtype=np.float64)
    if center.shape != network.input_shape:
        raise DataError(f"x has shape {center.shape}; the network takes one input of shape {network.input_shape}, without a batch axis")
    return center


def _problem(network: Network, risk: Risk, region: Ball | Box, label: int | None) -> Problem:
    """The problem, with a risk still unbound bound to what the network says at the centre."""
    if region.shape != network.input_shape:
        raise DataError(f"the region has shape {region.shape}; the network takes inputs of shape {network.input_shape}")
    if isinstance(risk, Property):
        risk.check(network.output_size if risk.on == "outputs" else network.labels)
        return Problem(network, region, risk, None, label)
    template = parse_risk(risk) if isinstance(risk, str) else risk
    if isinstance(region, Box):
        raise UsageError("over a box there is no input to bind the risk to; give a ball, or a bound expression such as na.Output(0)")
    outputs = classify(Replayer(network), representable(region.center, region.domain, network.dtype))
    return Problem(network, region, template.bind(network.convention, outputs), None, label)


def _one(kind: type[Kind], question: Question, problem: Problem, starts: Starts | None, **how: Any) -> Kind:
    given = start_array(starts, problem.network.input_shape)
    answer = ask(question, [problem], starts=[given], **how)[0]
    if not isinstance(answer, kind):
        raise TypeError(f"asked for {question}, got {type(answer).__name__}")
    return answer
