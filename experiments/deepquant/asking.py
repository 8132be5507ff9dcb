"""The questions of the paper as one call each: slopes over balls, and ranges, of many inputs together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

import netassay as na
from netassay.assessment.ask import ask
from netassay.assessment.assess import problems
from netassay.models.network import Network
from netassay.models.scores import Scale
from netassay.results.answer import Answer, LipschitzAnswer, Question, ReachAnswer
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.risks import parse_risk
from netassay.specs.uncertainty import Uncertainty

NORMS = ("linf", "l1", "l2")
NORM_NAMES = {"linf": "L-inf", "l1": "L1", "l2": "L2"}

THRESHOLD = 1e-6
"""Threshold of the uncertainty expression, which must be positive: s = KL - 1e-6, and what is reported is s + 1e-6."""

BATCH = 256
"""Images evaluated at once where nothing is searched."""

Kind = TypeVar("Kind", bound=Answer)


def slopes(batch: Sequence[Problem], method: str, queries: int, seed: int) -> list[LipschitzAnswer]:
    """Q (Definition 6) of every problem, ``queries`` network evaluations each."""
    return _complete(ask(Question.LIPSCHITZ, batch, method=method, budget=na.Budget(queries=queries), seed=seed), LipschitzAnswer, batch)


def ranges(
    batch: Sequence[Problem], method: str, queries: int | None, seed: int, *, tolerance: float | None = None, seconds: float | None = None
) -> list[ReachAnswer]:
    """The range of every problem's expression; see ``na.reach`` for the tolerance."""
    budget = na.Budget(queries=queries, seconds=seconds)
    return _complete(ask(Question.REACH, batch, method=method, budget=budget, seed=seed, tolerance=tolerance), ReachAnswer, batch)


def _complete(answers: Sequence[Answer], kind: type[Kind], batch: Sequence[Problem]) -> list[Kind]:
    """The answers, if the user has not interrupted the search: half a measurement would go into no table."""
    if len(answers) < len(batch) or any(answer.provenance.interrupted for answer in answers):
        raise KeyboardInterrupt
    return [answer for answer in answers if isinstance(answer, kind)]


def balls(
    network: Network, inputs: NDArray[np.float64], norm: str, radius: float, risk: str, *, mask: NDArray[np.bool_] | None = None
) -> list[Problem]:
    """One problem per input (N, *input_shape): ``risk`` over the ball around it."""
    return problems(network, inputs, None, risk=parse_risk(risk), norm=norm, radius=radius, mask=mask)


def uncertainty_balls(network: Network, inputs: NDArray[np.float64], radii: Sequence[float]) -> list[Problem]:
    """The uncertainty expression over L-infinity balls: for each input, each radius in turn."""
    spots = [(i, x, radius) for i, x in enumerate(inputs) for radius in radii]
    return [Problem(network, Ball(x, radius, "linf", domain=network.domain), Uncertainty(THRESHOLD), i) for i, x, radius in spots]


def steepness(answer: LipschitzAnswer) -> float:
    """Q found; 0 where s never moved."""
    return answer.bracket.lower.value if answer.bracket.lower else 0.0


def ends(answer: ReachAnswer) -> tuple[float, float]:
    """The least and the greatest value reached."""
    low, high = answer.minimum.upper, answer.maximum.lower
    return (low.value if low else float("inf"), high.value if high else float("-inf"))


def divergence(answer: ReachAnswer) -> tuple[float, float]:
    """KL(uniform || f) in nats: at the input, and the least found in its ball."""
    return answer.center_value + THRESHOLD, ends(answer)[0] + THRESHOLD


def scores(network: Network, inputs: NDArray[np.floating], scale: Scale = Scale.PROBABILITIES) -> NDArray[np.float64]:
    """Scores (N, labels) of inputs (N, *input_shape), evaluated in batches in the network's own dtype."""
    dtype = torch.float32 if network.dtype == "float32" else torch.float64
    parts = []
    with torch.no_grad():
        for i in range(0, len(inputs), BATCH):
            rows = torch.tensor(np.asarray(inputs[i : i + BATCH]), dtype=dtype, device=network.device)
            parts.append(network.scores(rows, scale).double().cpu().numpy())
    return np.concatenate(parts)


def decided(network: Network, inputs: NDArray[np.floating]) -> NDArray[np.int64]:
    """The label (N,) that the network decides for at each input."""
    return np.asarray(scores(network, inputs, Scale.LOGITS).argmax(axis=1), dtype=np.int64)
