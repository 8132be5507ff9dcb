"""DeepTRE's bounds against enumerations: brackets hold on grids that are exact, never cross, and only tighten."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch

from netassay.errors import RegionError
from netassay.falsifiers.sparse import deeptre as module
from netassay.falsifiers.sparse.deeptre import Estimate, deeptre
from netassay.falsifiers.sparse.saliency import saliency
from netassay.falsifiers.sparse.subspaces import Inputs, sensitivities, subspaces
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from tiny_networks import TinyNetwork, linear, relu_network, robustness_problems

DOMAIN = Box.filled((5,), -1.0, 1.0)


def linear_problems(seed: int, count: int = 6) -> list[Problem]:
    """Linear networks lose most at corners, so that grids of both ends are exact."""
    rng = np.random.default_rng(seed)
    network = linear(rng.integers(-8, 9, (3, 5)) / 8, rng.integers(-8, 9, 3) / 8, DOMAIN)
    inputs = rng.integers(-8, 9, (40, 5)) / 8
    problems = robustness_problems(network, inputs, 5, "l0")
    return [p for p in problems if not p.property.is_violated(margin(p, p.center[None])[0])][:count]


def margin(problem: Problem, points: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        scores = problem.network.scores(torch.tensor(points, dtype=torch.float32), Scale.LOGITS)
    return np.asarray(Robustness(problem.property.label, on=Scale.LOGITS).values(scores.double().numpy()))  # type: ignore[attr-defined]


def exact(problem: Problem, values: tuple[float, ...] = (-1.0, 1.0)) -> int:
    """The largest number of changes, to values of the grid, that no subset of so many features survives being asked for."""
    center = problem.center
    for size in range(1, 6):
        for subset in combinations(range(5), size):
            points = np.repeat(center[None], len(values) ** size, axis=0)
            points[:, list(subset)] = list(product(values, repeat=size))
            if (margin(problem, points) <= 0).any():
                return size - 1
    return 5


def course(problems: list[Problem], **options: int) -> list[Estimate]:
    return list(deeptre(problems, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_brackets_hold_and_close_on_exact_grids(seed: int) -> None:
    problems = linear_problems(seed)
    truth = np.array([exact(p) for p in problems])
    steps = course(problems, most=5, points=2, together=4)
    for before, after in pairwise(steps):
        assert (after.lower >= before.lower).all()
        assert (after.upper <= before.upper).all()
        assert after.queries >= before.queries
    for step in steps:
        assert (step.lower <= truth).all()
        assert (truth <= step.upper).all()
        assert step.mean == pytest.approx((step.center.mean(), step.radius.mean()))
    assert (steps[-1].lower == truth).all()
    assert (steps[-1].upper == truth).all()


def test_witnesses_change_the_label_within_their_distance() -> None:
    problems = linear_problems(1)
    last = course(problems, most=2, points=3)[-1]
    for problem, point, upper in zip(problems, last.witnesses, last.upper, strict=True):
        if point is not None:
            assert margin(problem, point[None])[0] <= 0
            assert (point != problem.center).sum() == upper + 1


def rival_problem() -> Problem:
    """The largest drop of the label's own score leaves it ahead, a smaller one does not: only the label check sees it."""
    weight = np.array([[1.0, 0.5, 0, 0, 0], [0.5, -1.0, 0, 0, 0]])
    network = linear(weight, np.array([1.75, 0.0]), DOMAIN)
    return Problem(network, Ball(np.array([1.0, 1.0, 0, 0, 0]), 5, "l0", domain=DOMAIN), Robustness(0, on=Scale.LOGITS))


def test_a_subspace_with_a_smaller_drop_is_checked_too() -> None:
    """Feature 0 takes 2 from the label's score and 1 from its rival's; feature 1 takes 1 and gives the rival 2."""
    problem = rival_problem()
    shifted = Problem(problem.network, problem.region, Robustness(0, eps=0.75, on=Scale.LOGITS))
    found = sensitivities(Inputs([shifted], 1 << 20), 1, 2)
    assert found is not None
    assert found.drop[0].argmax() == 0
    assert found.violated[0].tolist() == [False, True, False, False, False]
    last = course([shifted], most=1, points=2)[-1]
    assert last.lower.tolist() == [0.0]
    assert last.upper.tolist() == [0.0]


def test_checking_only_the_most_sensitive_subspace_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    own = module.sensitivities

    def first_only(*args: object, **options: object) -> object:
        found = own(*args, **options)  # type: ignore[arg-type]
        assert found is not None
        keep = np.zeros_like(found.violated)
        at = found.drop.argmax(axis=1)
        keep[np.arange(len(at)), at] = found.violated[np.arange(len(at)), at]
        found.violated[:] = keep
        return found

    monkeypatch.setattr(module, "sensitivities", first_only)
    shifted = Problem(rival_problem().network, rival_problem().region, Robustness(0, eps=0.75, on=Scale.LOGITS))
    monkeypatch.setattr(module, "accumulated", lambda inputs, found: [None])
    assert course([shifted], most=1, points=2)[-1].lower.tolist() == [1.0]  # wrong: the check of all subspaces matters


def test_batches_of_any_size_agree() -> None:
    problems = robustness_problems(relu_network(3, [5, 6, 3], DOMAIN), np.random.default_rng(3).integers(-8, 9, (4, 5)) / 8, 5, "l0")
    one, many = (sensitivities(Inputs(problems, memory), 2, 3) for memory in (1 << 12, 1 << 28))
    assert one is not None
    assert many is not None
    assert len(many.subspaces) == len(subspaces(5, 2)) == 10
    np.testing.assert_allclose(one.drop, many.drop, atol=1e-6)
    assert (one.violated == many.violated).all()


def test_pixels_count_once_with_all_their_channels() -> None:
    domain = Box.filled((2, 1, 3), -1.0, 1.0)
    network = TinyNetwork(
        torch.nn.Sequential(torch.nn.Flatten(), linear(np.array([[1.0] * 6, [0.0] * 6]), np.array([6.0, 0.0]), DOMAIN).module), domain, 2
    )
    problem = Problem(network, Ball(np.ones((2, 1, 3)) * 0.5, 3, "l0", domain=domain, group="pixel"), Robustness(0, on=Scale.LOGITS))
    found = sensitivities(Inputs([problem], 1 << 20), 1, 2)
    assert found is not None
    assert found.drop[0].tolist() == [3.0, 3.0, 3.0]
    assert saliency([problem], points=2)[0].tolist() == np.full((2, 1, 3), 3.0).tolist()


def test_saliency_of_a_linear_score_is_weight_times_reach() -> None:
    problem = rival_problem()
    assert saliency([problem], points=2)[0].tolist() == [2.0, 1.0, 0.0, 0.0, 0.0]


def test_an_interrupt_leaves_the_last_bracket() -> None:
    problems = linear_problems(2)
    steps = list(deeptre(problems, most=3, points=2, interrupted=lambda: True))
    assert len(steps) == 1
    assert (steps[0].lower == 0).all()
    assert (steps[0].upper == 5).all()


def test_refuses_regions_without_grids() -> None:
    problem = rival_problem()
    with pytest.raises(RegionError, match="bounded domain"):
        Inputs([Problem(problem.network, Ball(problem.center, 1, "l0"), problem.property)], 1 << 20)
    with pytest.raises(RegionError, match="L0"):
        Inputs([Problem(problem.network, Ball(problem.center, 0.5, "linf", domain=DOMAIN), problem.property)], 1 << 20)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_grid_points_that_are_looked_up_count_as_if_evaluated(size: int) -> None:
    """Centres lie on the grid, so that some of its values change nothing; every subspace is compared with all of its points."""
    network = relu_network(5, [5, 6, 3], DOMAIN)
    problems = robustness_problems(network, np.random.default_rng(6).integers(-1, 2, (6, 5)).astype(float), 5, "l0")
    inputs = Inputs(problems, 1 << 20)
    found = sensitivities(inputs, size, 3)
    assert found is not None
    for i, problem in enumerate(problems):
        for s, subspace in enumerate(found.subspaces.tolist()):
            points = np.repeat(problem.center[None], 3**size, axis=0)
            points[:, subspace] = list(product((-1.0, 0.0, 1.0), repeat=size))
            confidence, values = inputs.evaluate(torch.full((len(points),), i), torch.tensor(points, dtype=torch.float32))
            drop = max(0.0, float(inputs.start[i] - confidence.min()))
            assert found.drop[i, s] == pytest.approx(drop, abs=1e-6)
            assert found.violated[i, s] == bool(inputs.is_violated(torch.full((len(points),), i), values).any())
            if found.violated[i].any():
                assert found.witness[i] is not None
                assert margin(problem, np.asarray(found.witness[i], dtype=np.float64)[None])[0] <= 0


def test_no_grid_point_is_evaluated_twice() -> None:
    """Three values of each of five features, one of which every feature has: 2 * 5 singles, and 4 points of each pair."""
    network = relu_network(5, [5, 6, 3], DOMAIN)
    inputs = Inputs(robustness_problems(network, np.zeros((1, 5)), 5, "l0"), 1 << 20)
    before = inputs.counter.points
    assert sensitivities(inputs, 2, 3) is not None
    assert inputs.counter.points - before == 2 * 5 + 4 * 10


def test_runs_asked_in_stages_are_those_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs(linear_problems(4), 1 << 20)
    found = sensitivities(inputs, 1, 2)
    assert found is not None
    at_once = module.accumulated(inputs, found)
    monkeypatch.setattr(module, "FIRST_RUNS", 1)
    in_stages = module.accumulated(inputs, found)
    assert sum(point is not None for point in at_once) >= 2
    for one, other in zip(at_once, in_stages, strict=True):
        assert (one is None) is (other is None)
        assert one is None or other is None or one.tolist() == other.tolist()


def test_nearly_certain_inputs_have_sensitivities_too() -> None:
    """At a gap of 25 between the logits, float32 rounds the confidence to 1, and its drop to 0."""
    network = linear(np.array([[0.5, 0.25, 0, 0, 0], [0.0, 0, 0, 0, 0]]), np.array([25.0, 0.0]), DOMAIN)
    problem = Problem(network, Ball(np.zeros(5), 5, "l0", domain=DOMAIN), Robustness(0))
    found = saliency([problem], points=2)[0]
    assert found[0] > found[1] > 0
    assert found[2:].tolist() == [0.0, 0.0, 0.0]
