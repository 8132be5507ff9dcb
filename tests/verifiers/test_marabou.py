"""The Marabou adapter: verdicts of exact networks, points that hold what they say, and a process that can be ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from exact_planar import planar_problem, task
from netassay.errors import CapabilityError
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.results.guarantee import Guarantee
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers import marabou
from netassay.verifiers.base import Limits
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.marabou import Marabou
from netassay.verifiers.probe import values
from netassay.verifiers.propagation.interval import BoundedGraph
from random_graphs import GraphOnly, random_graph

SOLVER = pytest.mark.skipif(find_spec("maraboupy") is None, reason="maraboupy is not installed")


@SOLVER
def test_verdicts_are_right() -> None:
    exact = {seed: planar_problem(seed)[1] for seed in range(60)}
    safe, unsafe = [s for s in exact if exact[s] > 0.01], [s for s in exact if exact[s] < -0.01]
    for seed in safe[:3] + unsafe[:3]:
        asked = task(planar_problem(seed)[0])
        *_, found = Marabou().verify(asked)
        assert found.proved is (exact[seed] > 0), seed
        assert found.guarantee is Guarantee.SOLVER
        assert (found.point is not None) is (exact[seed] < 0)
        if found.point is not None:
            outputs = Evaluator(BoundedGraph(asked.claim.graph)).outputs(found.point[None])
            assert values(asked.claim, outputs)[0] == pytest.approx(found.least, abs=1e-12)
            assert found.least <= 0


@SOLVER
def test_convolutions_and_sums_are_equations_too() -> None:
    """A part that holds by far, and one that fails by far."""
    for kind in ("convolution", "residual"):
        graph = random_graph(kind, 1)
        center = np.zeros(graph.input_shape)
        for offset, proved in ((-100.0, True), (100.0, False)):
            asked = OutputHalfspaces([np.array([[1.0, 0, -1.0]]), np.eye(3)[1:]], [np.full(1, offset), np.full(2, offset)])
            *_, found = Marabou().verify(task(Problem(GraphOnly(graph), Ball(center, 0.25, "linf"), asked)))
            assert found.proved is proved


def _sleeps(_pipe: object, _program: object, _seconds: int) -> None:
    time.sleep(600)


def _fails(_pipe: object, _program: object, _seconds: int) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(("body", "answer"), [(_sleeps, ""), (_fails, "ERROR")])
def test_a_process_that_does_not_answer_is_ended(body: Callable[..., None], answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marabou, "run", body)
    asked = Limits(interrupted=lambda: body is _sleeps)
    program = marabou.Program(((0.0, 1.0),), (), (), (0,))
    assert marabou._solved(program, asked, "fork") == (answer, [])


def test_time_is_over_at_some_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marabou, "run", _sleeps)
    monkeypatch.setattr(marabou, "GRACE", 0.1)
    program = marabou.Program(((0.0, 1.0),), (), (), (0,))
    assert marabou._solved(program, Limits(Clock(0.1)), "fork") == ("", [])


def test_what_is_not_served_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    robust = Robustness(0, on=Scale.LOGITS)
    monkeypatch.setattr(marabou, "_require", lambda: None)
    smooth = Problem(GraphOnly(random_graph("tanh", 0)), Box.filled((3,), 0, 1), robust)
    with pytest.raises(CapabilityError, match="Tanh"):
        next(Marabou().verify(task(smooth)))
    ball = Problem(GraphOnly(random_graph("dense", 0)), Ball(np.zeros(3), 0.5, "l2"), robust)
    with pytest.raises(CapabilityError, match="boxes"):
        next(Marabou().verify(task(ball)))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(CapabilityError, match="netassay\\[marabou\\]"):
        next(Marabou().verify(task(planar_problem(0)[0])))
