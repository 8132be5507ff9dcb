"""Attackers test provers: no point that any search method finds has a value beyond what any verifier has proved."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.assessment.ask import ask
from netassay.errors import CapabilityError
from netassay.falsifiers.registry import METHODS
from netassay.models.scores import OutputConvention
from netassay.models.torch_network import GraphNetwork
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.results.answer import Question, ReachAnswer
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from random_graphs import EXACT_KINDS, SMOOTH_KINDS, random_graph

ROUNDING = 1e-9
"""Of values evaluated in floating point, relative to their size."""

NORMS = ("linf", "l2", "l1", "l0")


def asked(kind: str, seed: int, norm: str) -> Problem:
    rng = np.random.default_rng([seed, 3])
    graph = random_graph(kind, seed)
    network = GraphNetwork(graph, name=kind, convention=OutputConvention(), domain=Box.filled(graph.input_shape, -1.5, 1.5))
    ball = Ball(rng.integers(-4, 5, graph.input_shape) / 4, 2 if norm == "l0" else 0.75, norm, domain=network.domain)
    return Problem(network, ball, Robustness(0, on="logits"), seed)  # type: ignore[arg-type]


def proved(problem: Problem) -> dict[str, float]:
    """The lower bound of min s by every verifier that serves the problem, within a moment."""
    found = {}
    claim, region = claim_of(problem), Regions.of([problem.region])
    for name, entry in VERIFIERS.items():
        try:
            findings = list(entry.build().verify(Task(claim, region, Limits(Clock(0.5)))))
        except CapabilityError:
            continue
        lowers = [f.lower for f in findings if not np.isnan(f.lower)]
        assert lowers == sorted(lowers), (name, "bounds must not fall again")
        assert not any(f.proved and f.point is not None for f in findings), name
        if any(f.proved for f in findings):
            lowers.append(0.0)
        found[name] = max(lowers, default=-np.inf)
    assert {"interval", "crown", "auto"} <= set(found)
    return found


@pytest.mark.parametrize("kind", EXACT_KINDS + SMOOTH_KINDS)
def test_no_search_finds_what_a_proof_excludes(kind: str) -> None:
    for seed, norm in enumerate(NORMS):
        problem = asked(kind, seed, norm)
        least = {}
        for method in METHODS:
            (answer,) = ask(Question.REACH, [problem], method=method, budget=Budget(queries=150), seed=seed)
            assert isinstance(answer, ReachAnswer)
            if answer.minimum.upper is not None:
                least[method] = answer.minimum.upper.value
        assert least
        for name, lower in proved(problem).items():
            for method, value in least.items():
                assert lower <= value + ROUNDING * (1 + abs(value)), (name, method, seed, norm)
