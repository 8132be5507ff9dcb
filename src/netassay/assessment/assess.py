"""All questions about a data set: every input, risk and norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.assessment.ask import ask
from netassay.assessment.rounding import representable
from netassay.assessment.settings import Progress
from netassay.assessment.stopping import StopRule, Target
from netassay.checking.replay import Replayer, classify
from netassay.errors import InputError, NotFiniteError, PropertyError, RegionError, UsageError
from netassay.models.network import Network
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, Question
from netassay.specs.problem import Problem
from netassay.specs.property import RiskTemplate
from netassay.specs.regions import Ball

Array = NDArray[np.float64]


def problems(
    network: Network,
    inputs: Array,
    labels: NDArray[np.int64] | None,
    *,
    risk: RiskTemplate,
    norm: Norm | str,
    radius: float | None = None,
    domain: Box | None = None,
    indices: Sequence[int] | None = None,
    skipped: Callable[[int, str], None] | None = None,
    **region: Any,
) -> list[Problem]:
    """One problem per input: a ball around it (rounded, see ``representable``), and the risk bound to what the network says there.

    Args:
        network: The network.
        inputs: (N, *input_shape), in the model's units.
        labels: (N,) true labels, or None.
        risk: The risk.
        norm: The ball's norm.
        radius: The ball's radius; None for one that just covers the domain, which then must be bounded.
        domain: Valid inputs; the network's own by default.
        indices: Positions of the inputs in their data set, for reports; 0.. by default.
        skipped: Told of each input (index, why) that the risk cannot be bound to, such as a target that is the decision
            already, or outputs that are not finite; None to raise instead.
        region: mask, scale, granularity, one_hot, group, as ``Ball`` takes them.
    Raises:
        RegionError: If no radius is given for an unbounded domain.
        PropertyError: If the risk does not fit the network, or an input and ``skipped`` is None.
        NotFiniteError: If the network gives NaN or infinity at an input and ``skipped`` is None.
    """
    norm, domain = Norm.of(norm), domain or network.domain
    replayer = Replayer(network)
    numbers = range(len(inputs)) if indices is None else indices
    built: list[Problem] = []
    refused: list[InputError] = []
    for i, given in enumerate(inputs):
        x = representable(given, domain, network.dtype)
        reach = covering_radius(x, domain, norm, **region) if radius is None else radius
        ball = Ball(x, reach, norm, domain=domain, **region)
        try:
            prop = risk.bind(network.convention, classify(replayer, x))
        except (PropertyError, NotFiniteError) as error:
            if skipped is None:
                raise
            refused.append(error)
            skipped(int(numbers[i]), str(error))
            continue
        built.append(Problem(network, ball, prop, int(numbers[i]), None if labels is None else int(labels[i]), risk.spec))
    if refused and not built:  # not this input or that one: the risk does not fit the network
        raise refused[0]
    return built


def covering_radius(
    center: Array, domain: Box, norm: Norm, *, mask: Any = None, scale: Any = None, group: str = "feature", **_: Any
) -> float:
    """The distance of the farthest point of the domain; for L0 the number of features or pixels that can change."""
    free = np.ones(center.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if not free.any():
        raise RegionError("the mask leaves no feature free; at least one must be True")
    if norm is Norm.L0:
        pixels = group == "pixel" and center.ndim == 3
        return float(free.any(axis=0).sum() if pixels else free.sum())
    if not domain.bounded:
        raise RegionError("the domain is unbounded, so the search for a radius needs a limit: give --radius, or --domain LO,HI")
    farthest = np.maximum(domain.upper - center, center - domain.lower)[free]
    units = farthest if scale is None else farthest / np.broadcast_to(np.asarray(scale, dtype=np.float64), center.shape)[free]
    limit = float(norm.length(units[None])[0])
    return limit if norm is Norm.LINF else float(np.nextafter(limit * (1 + 1e-12), np.inf))


def assess(
    network: Network,
    inputs: Array,
    labels: NDArray[np.int64] | None,
    *,
    risks: Sequence[RiskTemplate],
    norms: Sequence[Norm],
    radius: float | Mapping[Norm, float] | None = None,
    questions: Sequence[Question] = (Question.RADIUS, Question.LIPSCHITZ),
    method: str = "auto",
    budget: Budget | None = None,
    seed: int = 0,
    domain: Box | None = None,
    indices: Sequence[int] | None = None,
    progress: Callable[[Progress], None] | None = None,
    skipped: Callable[[int, str], None] | None = None,
    starts: Mapping[int, Array] | None = None,
    target: Mapping[Question, Target] | None = None,
    stop: Callable[[Progress], bool] | None = None,
    prover: str | None = None,
    **region: Any,
) -> list[Answer]:
    """Asks every question for every risk, norm and input; all inputs of one (question, risk, norm) share batches.

    ``radius`` is the ball that slopes and ranges are measured in, per norm; the search for a maximum safe radius
    looks in the whole domain where it is bounded. ``starts`` are points (w, *input_shape) of an input, by its index; ``target`` is that
    of each question; ``prover`` proves the other sides, as for ``ask``.
    After an interrupt, and once ``stop`` has said yes, the answers found so far come back.
    """
    answers: list[Answer] = []
    rule, goals, known = None if stop is None else StopRule(stop), target or {}, starts or {}
    strange = [str(question) for question in goals if question not in questions]
    if strange:
        raise UsageError(f"a target is given for {', '.join(strange)}, but only {', '.join(map(str, questions))} is asked")
    for risk in risks:
        for norm in norms:
            limit = radius.get(norm) if isinstance(radius, Mapping) else radius
            for question in questions:
                reach = None if question is Question.RADIUS and (domain or network.domain).bounded else limit
                where = {"radius": reach, "domain": domain, "indices": indices, "skipped": skipped, **region}
                batch = problems(network, inputs, labels, risk=risk, norm=norm, **where)
                given = [None if p.index is None else known.get(p.index) for p in batch]
                found = ask(
                    question,
                    batch,
                    method=method,
                    budget=budget,
                    seed=seed,
                    progress=progress,
                    starts=given,
                    target=goals.get(question),
                    stop=rule,
                    prover=prover,
                )
                answers += found
                if any(answer.provenance.interrupted for answer in found) or (rule is not None and rule.said):
                    return answers
    return answers
