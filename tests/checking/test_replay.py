"""Replay: what it confirms is true, and what it must not confirm it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.checking.replay import Replayer, classify
from netassay.errors import NotFiniteError
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.results.witness import RiskClass
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from tiny_networks import FunctionModule, TinyNetwork, linear, robustness_problems

NETWORK = linear(np.array([[1.0, 0], [0, 1.0]]), np.array([0.25, 0]), Box.filled((2,), 0, 1))
(PROBLEM,) = robustness_problems(NETWORK, np.array([[0.5, 0.5]]), 0.25, "linf")


def point(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_true_witness_is_confirmed_and_described() -> None:
    replayer = Replayer(NETWORK)
    replay = replayer.replay(PROBLEM, point(0.25, 0.75))
    assert replay.confirmed
    assert replay.values == {"torch-float32": -0.25, "torch-float64": -0.25}
    witness = replayer.witness(PROBLEM, point(0.25, 0.75), replay)
    assert (witness.distance, witness.value, witness.label, witness.risk, witness.marked) == (0.25, -0.25, 1, RiskClass.ADVERSARIAL, "")


def test_a_tie_is_an_adversarial_example() -> None:
    assert Replayer(NETWORK).replay(PROBLEM, point(0.375, 0.625)).confirmed


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ((0.5, 0.5), "safe"),
        ((0.25, np.nextafter(np.float32(0.75), np.float32(1))), "outside the ball by one float32 step"),
        ((np.nan, 0.75), "not a number"),
        ((0.3, 0.7001), "unsafe"),
    ],
)
def test_points_are_judged_exactly(values: tuple[float, float], why: str) -> None:
    assert Replayer(NETWORK).replay(PROBLEM, point(*values)).confirmed is (why == "unsafe")


def test_a_point_outside_the_domain_is_no_witness() -> None:
    (problem,) = robustness_problems(NETWORK, np.array([[0.5, 0.75]]), 0.5, "linf")
    replay = Replayer(NETWORK).replay(problem, point(0.25, 1.0625))
    assert replay.violated["torch-float64"]
    assert not replay.inside
    assert not replay.confirmed


def test_a_violation_that_only_float32_sees_is_not_confirmed_and_says_so() -> None:
    """1e8 + x - 1e8 is 0 in float32 for small x, x in float64."""
    function = FunctionModule(lambda x: torch.cat([(x[:, :1] + 1e8) - 1e8, torch.zeros_like(x[:, :1])], dim=1))
    network = TinyNetwork(function, Box.filled((1,), 0, 1), 2)
    problem = Problem(network, Ball(np.array([0.5]), 0.4, "linf", domain=network.domain), Robustness(0, on=Scale.LOGITS))
    replayer = Replayer(network)
    replay = replayer.replay(problem, point(0.25))
    assert replay.violated == {"torch-float32": True, "torch-float64": False}
    assert not replay.confirmed
    assert "disagree" in replayer.witness(problem, point(0.25), replay).marked


def test_a_model_without_float64_is_marked_near_the_limit() -> None:
    class Single(TinyNetwork):
        def in_float64(self) -> None:  # type: ignore[override]
            return None

    network = Single(NETWORK.module, NETWORK.domain, 2)
    problem = Problem(network, PROBLEM.region, PROBLEM.property)
    replayer = Replayer(network)
    near = point(0.375, 0.6250001)
    witness = replayer.witness(problem, near, replayer.replay(problem, near))
    assert "near the limit" in witness.marked
    far = point(0.25, 0.75)
    assert replayer.witness(problem, far, replayer.replay(problem, far)).marked == ""


def test_claims_are_checked_on_every_engine() -> None:
    replayer = Replayer(NETWORK)
    slopes = []

    def steep(engine: object, value: float, center: float) -> bool:
        slopes.append((center - value) / 0.25)
        return slopes[-1] >= 2

    assert replayer.replay(PROBLEM, point(0.25, 0.75), steep).confirmed
    assert slopes == [2.0, 2.0]
    assert not replayer.replay(PROBLEM, point(0.25, 0.75), lambda engine, value, center: engine.name != "torch-float64").confirmed


def test_centres_without_finite_outputs_are_refused() -> None:
    network = TinyNetwork(FunctionModule(lambda x: x / 0), Box.filled((2,), 0, 1), 2)
    with pytest.raises(NotFiniteError, match="finite"):
        classify(Replayer(network), np.array([0.5, 0.0]))


def test_an_original_engine_that_disagrees_prevents_the_claim() -> None:
    class Disowned(TinyNetwork):
        def originals(self) -> dict:  # type: ignore[type-arg]
            return {"onnxruntime-float32": lambda points: np.array([[1.0, 0.0]])}

    network = Disowned(NETWORK.module, NETWORK.domain, 2)
    problem = Problem(network, PROBLEM.region, PROBLEM.property)
    replay = Replayer(network).replay(problem, point(0.25, 0.75))
    assert replay.violated == {"torch-float32": True, "torch-float64": True, "onnxruntime-float32": False}
    assert not replay.confirmed
