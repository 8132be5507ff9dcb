"""Bugs planted in the searches must not reach an answer: what a search reports is confirmed by code that does not trust it.

Each plant is first shown to bite (the search's own records become wrong), then every claim of the answers is recomputed
from the witness alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from netassay.assessment import radius as radius_module
from netassay.assessment.ask import SEARCHED, ask
from netassay.falsifiers import search as search_module
from netassay.falsifiers.base import Objective
from netassay.falsifiers.registry import METHODS
from netassay.falsifiers.search import Records, Search
from netassay.falsifiers.space import Arms
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.results.answer import LipschitzAnswer, RadiusAnswer, ReachAnswer
from netassay.specs.problem import Problem
from tiny_networks import TinyNetwork, relu_network, robustness_problems

NETWORK = relu_network(13, [6, 16, 16, 3], Box.filled((6,), 0, 1))
INPUTS = np.random.default_rng(3).integers(0, 9, (3, 6)) / 8
NORMS = {"linf": 0.3, "l2": 0.5, "l1": 0.9}


def problems(norm: str) -> list[Problem]:
    return robustness_problems(NETWORK, INPUTS, NORMS[norm], norm)


def unclamped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points leave ball and domain, and the search believes that they do not."""
    monkeypatch.setattr(
        Arms,
        "points",
        lambda self, arms, units: torch.addcmul(
            self.space.free_centers[self.owner[arms]].unsqueeze(1), 3 * units, self.step[arms].unsqueeze(1)
        ),
    )
    monkeypatch.setattr(Search, "_feasible", lambda self, length: torch.ones_like(length, dtype=torch.bool))


def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes are inflated before they are compared, as float32 noise next to the centre does."""
    judge = Search._judge
    monkeypatch.setattr(
        Search, "_judge", lambda self, owners, value, *rest: judge(self, owners, value * (1 + 0.3 * torch.rand_like(value)), *rest)
    )


def wrong_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rising records are kept as falling ones and the other way round."""
    offer = Records.offer
    monkeypatch.setattr(Records, "offer", lambda self, direction, *rest: offer(self, 1 - direction, *rest))


def safe_points_as_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The boundary walk takes safe points for violations."""
    probe = radius_module._probe

    def inverted(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        violated, distance = probe(*arguments)  # type: ignore[arg-type]
        return ~violated, distance

    monkeypatch.setattr(radius_module, "_probe", inverted)


def too_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """No smallest distance: differences of rounding noise count as slopes."""
    monkeypatch.setattr(search_module, "MINIMUM_SHARE", 0.0)


PLANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "unclamped": unclamped,
    "noisy": noisy,
    "wrong way round": wrong_way_round,
    "safe points as witnesses": safe_points_as_witnesses,
    "too near": too_near,
}


def exact(problem: Problem, point: np.ndarray) -> float:
    network = problem.network.in_float64()
    assert isinstance(network, TinyNetwork)
    with torch.no_grad():
        return problem.property.values(network.module(torch.tensor(np.asarray(point, dtype=np.float64))[None])).item()


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("norm", NORMS)
def test_no_planted_bug_reaches_an_answer(plant: str, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[plant](monkeypatch)
    batch = problems(norm)
    for question in SEARCHED:
        for problem, answer in zip(batch, ask(question, batch, budget=Budget(queries=600)), strict=True):
            center = exact(problem, problem.center)
            claims = []
            if isinstance(answer, RadiusAnswer) and answer.bracket.upper and answer.witness:
                claims = [(answer.witness, answer.bracket.upper.value, lambda value, distance: distance)]
                assert exact(problem, answer.witness.point) <= 0
            elif isinstance(answer, LipschitzAnswer):
                pairs = ((answer.witness, answer.bracket.lower), (answer.falling_witness, answer.falling.lower))
                claims = [(w, s.value, lambda value, distance, c=center: abs(value - c) / distance) for w, s in pairs if w and s]
            elif isinstance(answer, ReachAnswer):
                pairs = ((answer.minimum_witness, answer.minimum.upper), (answer.maximum_witness, answer.maximum.lower))
                claims = [(w, s.value, lambda value, distance: value) for w, s in pairs if w and s]
            for witness, claimed, recompute in claims:
                point = np.asarray(witness.point, dtype=np.float64)
                assert problem.region.contains(point[None])[0]
                distance = float(problem.region.distance(point[None])[0])
                assert claimed == pytest.approx(recompute(exact(problem, point), distance), rel=1e-12)


def test_the_plants_bite() -> None:
    """Without the confirmation, the planted bugs would be reported."""
    for name in ("unclamped", "noisy", "wrong way round"):
        with pytest.MonkeyPatch.context() as monkeypatch:
            PLANTS[name](monkeypatch)
            batch = problems("l2")
            search = Search(batch, Objective.SLOPE, budget=Budget(queries=600), clock=Clock(None), seed=0)
            search.run(METHODS["auto"].build(), search.both_directions())
            wrong = 0
            for direction, sign in ((0, 1.0), (1, -1.0)):
                for b, problem in enumerate(batch):
                    point = search.records.points[direction, b].numpy().astype(np.float64)
                    distance = float(problem.region.distance(point[None])[0])
                    if distance == 0:
                        continue
                    slope = sign * (exact(problem, point) - exact(problem, problem.center)) / distance
                    inside = bool(problem.region.contains(point[None])[0])
                    wrong += not inside or abs(slope - float(search.records.merit[direction, b])) > 1e-3 * abs(slope)
            assert wrong > 0, name
