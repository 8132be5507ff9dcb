"""The three questions against exact references: attained sides are never beyond the truth, and close to it."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
import torch

from netassay.assessment.ask import SEARCHED, Progress, ask
from netassay.assessment.assess import assess, covering_radius, problems
from netassay.errors import CapabilityError, RegionError, UsageError
from netassay.models.scores import Meaning, Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.numerics.norms import Norm
from netassay.results.answer import LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer
from netassay.results.guarantee import Guarantee
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from netassay.specs.risks import parse_risk
from netassay.specs.robustness import Robustness
from tiny_networks import FunctionModule, TinyNetwork, linear, relu_network, robustness_problems

BUDGET = Budget(queries=3000)
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def test_a_linear_network_is_measured_exactly() -> None:
    """s is linear: Q is the dual norm of its gradient, the radius s(x) / Q, both known exactly."""
    weight = np.array([[3, -1, 0.5, 0], [-1, 2, 0, 0.25]])
    network = linear(weight, np.array([1.0, 0]), Box.filled((4,), -8, 8))
    x = np.array([[0.5, 0.25, 0, 0]])
    slope = weight[0] - weight[1]
    margin = float(slope @ x[0] + 1)
    for norm, order in DUAL.items():
        exact = float(np.linalg.norm(slope, order))
        for question, radius in ((Question.LIPSCHITZ, 0.5), (Question.RADIUS, 5.0)):
            (answer,) = ask(question, robustness_problems(network, x, radius, norm), budget=BUDGET)
            assert answer.outcome is Outcome.MEASURED
            if isinstance(answer, LipschitzAnswer):
                found = answer.bracket.lower
                assert found is not None
                assert answer.falling.lower is not None
                assert 0.999 * exact <= found.value <= exact * (1 + 1e-9)  # float64's own rounding of a quotient
                assert answer.d_prime_upper is not None
                assert answer.d_prime_upper.guarantee is Guarantee.HEURISTIC
                assert answer.d_prime_upper.value == min(radius, margin / found.value)
            else:
                assert isinstance(answer, RadiusAnswer)
                assert answer.bracket.upper is not None
                assert margin / exact <= answer.bracket.upper.value <= 1.01 * margin / exact


def test_the_falling_side_is_measured_apart() -> None:
    """s rises three times as steeply as it falls."""
    function = FunctionModule(lambda x: torch.cat([torch.where(x > 0, 3 * x, x) + 1, 0 * x], dim=1))
    network = TinyNetwork(function, Box.filled((1,), -4, 4), 2)
    (answer,) = ask(
        Question.LIPSCHITZ,
        [Problem(network, Ball(np.zeros(1), 0.5, "l2", domain=network.domain), Robustness(0, on=Scale.LOGITS))],
        budget=BUDGET,
    )
    assert isinstance(answer, LipschitzAnswer)
    assert answer.bracket.lower is not None
    assert answer.falling.lower is not None
    assert answer.bracket.lower.value == pytest.approx(3, rel=1e-5)
    assert answer.falling.lower.value == pytest.approx(1, rel=1e-5)


def corner_range(network: TinyNetwork, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Range of output 0 on a dense grid: an inner approximation that a good search must reach."""
    axes = [np.linspace(a, b, 101) for a, b in zip(low, high, strict=True)]
    points = torch.tensor(np.stack(np.meshgrid(*axes), -1).reshape(-1, len(low)))
    values = network.in_float64().module(points).detach()[:, 0]
    return float(values.min()), float(values.max())


@pytest.mark.parametrize("seed", range(4))
def test_reach_finds_the_range_of_small_networks(seed: int) -> None:
    low, high = np.array([-1.0, 0.0]), np.array([1.0, 2.0])
    network = relu_network(seed, [2, 10, 10, 1], Box.unbounded((2,)), meaning=Meaning.VALUES)
    (answer,) = ask(Question.REACH, [Problem(network, Box(low, high), Output(0))], budget=Budget(queries=20_000), tolerance=1e-3)
    assert isinstance(answer, ReachAnswer)
    smallest, greatest = corner_range(network, low, high)
    assert answer.minimum.upper is not None
    assert answer.maximum.lower is not None
    assert answer.minimum.upper.value <= smallest + 1e-3 * (greatest - smallest) + 1e-9
    assert answer.maximum.lower.value >= greatest - 1e-3 * (greatest - smallest) - 1e-9
    for witness, side in ((answer.minimum_witness, answer.minimum.upper), (answer.maximum_witness, answer.maximum.lower)):
        assert witness is not None
        assert (np.asarray(witness.point, dtype=np.float64) >= low).all()
        assert (np.asarray(witness.point, dtype=np.float64) <= high).all()
        assert network.in_float64().module(torch.tensor(np.asarray(witness.point, dtype=np.float64))[None]).item() == side.value


def exact_l0_radius(network: TinyNetwork, x: np.ndarray, label: int) -> int:
    """Fewest features, each moved to a corner value of a grid, whose change moves the decision (an upper bound of the truth)."""
    grid = np.linspace(0, 1, 9)
    for count in range(1, len(x) + 1):
        for chosen in combinations(range(len(x)), count):
            values = np.array(list(product(grid, repeat=count)))
            points = np.repeat(x[None], len(values), axis=0)
            points[:, chosen] = values
            if bool((network.in_float64().module(torch.tensor(points)).argmax(dim=1) != label).any()):
                return count
    return len(x) + 1


def test_l0_radius_counts_and_subtracts_one() -> None:
    network = relu_network(11, [5, 16, 3], Box.filled((5,), 0, 1))
    inputs = np.random.default_rng(4).integers(0, 9, (6, 5)) / 8
    batch = robustness_problems(network, inputs, 5, "l0")
    for problem, answer in zip(batch, ask(Question.RADIUS, batch, budget=BUDGET), strict=True):
        assert isinstance(answer, RadiusAnswer)
        assert isinstance(problem.property, Robustness)
        exact = exact_l0_radius(network, problem.center, problem.property.label)
        if answer.witness is None:
            assert exact > 5
            continue
        assert answer.bracket.upper is not None
        assert answer.witness.distance == (np.asarray(answer.witness.point, dtype=np.float64) != problem.center).sum()
        assert answer.bracket.upper.value == answer.witness.distance - 1
        assert answer.witness.distance <= exact


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_radius_witnesses_replay_and_are_near(norm: str) -> None:
    """In two dimensions a fine polar grid knows the radius."""
    network = relu_network(21, [2, 12, 12, 3], Box.filled((2,), -2, 2))
    x = np.array([[0.25, -0.5]])
    (problem,) = robustness_problems(network, x, 3.0, norm)
    (answer,) = ask(Question.RADIUS, [problem], budget=Budget(queries=6000))
    assert isinstance(answer, RadiusAnswer)
    assert answer.witness is not None
    assert answer.bracket.upper is not None
    point = np.asarray(answer.witness.point, dtype=np.float64)
    assert problem.region.contains(point[None])[0]
    scores = network.in_float64().outputs(torch.tensor(point[None]))
    assert problem.property.values(scores).item() < 0
    assert answer.bracket.upper.value == float(problem.region.distance(point[None])[0])
    axis = np.linspace(-2, 2, 801)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    bad = problem.property.values(network.in_float64().outputs(torch.tensor(grid))) <= 0
    nearest = problem.region.with_radius(20.0).distance(grid[bad.numpy()]).min()
    assert answer.bracket.upper.value <= nearest + 0.005


def test_traces_are_monotone_and_end_at_the_answer() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    inputs = np.random.default_rng(1).integers(0, 9, (3, 8)) / 8
    for question, radius in ((Question.RADIUS, 1.0), (Question.LIPSCHITZ, 0.2)):
        for answer in ask(question, robustness_problems(network, inputs, radius, "linf"), budget=BUDGET):
            assert isinstance(answer, RadiusAnswer | LipschitzAnswer)
            side = answer.bracket.upper if isinstance(answer, RadiusAnswer) else answer.bracket.lower
            values = [p.upper if isinstance(answer, RadiusAnswer) else p.lower for p in answer.trace]
            assert side is not None
            assert values[-1] == side.value
            ordered = sorted(values, reverse=isinstance(answer, RadiusAnswer))
            assert values == ordered


def test_an_interrupt_keeps_what_was_found() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    batch = robustness_problems(network, np.random.default_rng(1).integers(0, 9, (2, 8)) / 8, 0.2, "linf")
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.lines[0][1] is not None:
            raise KeyboardInterrupt

    answers = ask(Question.LIPSCHITZ, batch, budget=Budget(queries=10_000_000), progress=interrupt)
    assert len(answers) == 2
    assert all(a.provenance.interrupted for a in answers)
    first = answers[0]
    assert isinstance(first, LipschitzAnswer)
    assert first.bracket.lower is not None
    assert first.bracket.lower.value > 0
    assert first.provenance.queries < 10_000_000


def test_a_time_limit_ends_the_search() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    batch = robustness_problems(network, np.full((1, 8), 0.5), 0.2, "linf")
    (answer,) = ask(Question.LIPSCHITZ, batch, budget=Budget(queries=None, seconds=0.3))
    assert answer.provenance.queries > 100
    assert not answer.provenance.interrupted


def test_misclassified_and_violated_centres_are_outcomes_of_their_own() -> None:
    network = relu_network(2, [8, 20, 20, 4], Box.filled((8,), 0, 1))
    inputs = np.random.default_rng(3).integers(0, 9, (2, 8)) / 8
    with torch.no_grad():
        right = network.in_float64().module(torch.tensor(inputs)).argmax(dim=1).numpy()
    wrong = (right + 1) % 4
    batch = problems(network, inputs, np.array([right[0], wrong[1]]), risk=parse_risk("robustness"), norm="linf", radius=0.1)
    for question in SEARCHED:
        good, bad = ask(question, batch, budget=BUDGET)
        assert bad.outcome is Outcome.MISCLASSIFIED
        assert good.outcome is not Outcome.MISCLASSIFIED
        assert bad.provenance.queries == 1
    (at_center,) = ask(
        Question.RADIUS,
        problems(network, inputs[:1], right[:1], risk=parse_risk(f"reachability:{right[0]}:above:0.0001"), norm="l2", radius=0.1),
        budget=BUDGET,
    )
    assert at_center.outcome is Outcome.RISK_AT_CENTER
    assert isinstance(at_center, RadiusAnswer)
    assert at_center.bracket.upper is not None
    assert at_center.bracket.upper.value == 0


def test_no_witness_leaves_the_upper_side_open() -> None:
    network = linear(np.array([[1.0, 0], [0, 1.0]]), np.array([100.0, 0]), Box.filled((2,), 0, 1))
    (answer,) = ask(Question.RADIUS, robustness_problems(network, np.array([[0.5, 0.5]]), 0.4, "linf"), budget=BUDGET)
    assert isinstance(answer, RadiusAnswer)
    assert answer.outcome is Outcome.NO_WITNESS
    assert answer.bracket.upper is None
    assert answer.witness is None


def test_many_inputs_share_batches_and_answers_keep_their_order() -> None:
    network = relu_network(6, [8, 16, 4], Box.filled((8,), 0, 1))
    inputs = np.random.default_rng(5).integers(0, 9, (40, 8)) / 8
    batch = robustness_problems(network, inputs, 0.2, "linf")
    together = ask(Question.LIPSCHITZ, batch, budget=Budget(queries=500))
    assert [a.index for a in together] == list(range(40))
    assert max(network.batches) >= 1000
    alone = [ask(Question.LIPSCHITZ, [p], budget=Budget(queries=500))[0] for p in batch[:3]]
    assert sum(a.provenance.batched_calls for a in alone) > together[0].provenance.batched_calls
    for one, many in zip(alone, together, strict=False):
        assert one.provenance.input_sha256 == many.provenance.input_sha256


def test_a_centre_that_float32_cannot_hold_is_rounded_into_the_domain() -> None:
    network = relu_network(6, [3, 16, 4], Box(np.zeros(3), np.full(3, 0.1)))
    (answer,) = ask(Question.RADIUS, robustness_problems(network, np.full((1, 3), 0.1), 0.09, "linf"), budget=BUDGET)
    assert (answer.center == answer.center.astype(np.float32)).all()
    assert (answer.center <= 0.1).all()
    assert float(np.abs(answer.center - 0.1).max()) < 1e-8


def test_bad_questions_are_refused_with_the_known_names() -> None:
    network = relu_network(6, [3, 4, 2], Box.filled((3,), 0, 1))
    batch = robustness_problems(network, np.full((1, 3), 0.5), 0.1, "l2")
    with pytest.raises(UsageError, match="tpmads"):
        ask(Question.RADIUS, batch, method="nonsense")
    with pytest.raises(RegionError, match="box"):
        ask(Question.RADIUS, [Problem(network, Box.filled((3,), 0, 1), Robustness(0))])
    with pytest.raises(RegionError, match="radius"):
        problems(network, np.full((1, 3), 0.5), None, risk=parse_risk("robustness"), norm="l2", domain=Box.unbounded((3,)))
    blind = TinyNetwork(network.module, network.domain, 2)
    blind.differentiable = False  # type: ignore[misc]
    with pytest.raises(CapabilityError, match="gradients"):
        ask(Question.RADIUS, robustness_problems(blind, np.full((1, 3), 0.5), 0.1, "l2"), method="gradient")


def test_covering_radius_reaches_the_farthest_corner() -> None:
    x, domain = np.array([0.25, 0.5]), Box(np.zeros(2), np.array([1.0, 2.0]))
    corner = np.array([[1.0, 2.0]])
    for norm in (Norm.LINF, Norm.L2, Norm.L1):
        radius = covering_radius(x, domain, norm)
        assert Ball(x, radius, norm, domain=domain).contains(corner)[0]
        exact = {Norm.LINF: Fraction(3, 2), Norm.L1: Fraction(9, 4)}.get(norm)
        assert exact is None or radius >= exact
    assert covering_radius(x, domain, Norm.L0) == 2


def test_assess_asks_everything() -> None:
    network = relu_network(6, [8, 16, 4], Box.filled((8,), 0, 1))
    inputs = np.random.default_rng(5).integers(0, 9, (2, 8)) / 8
    answers = assess(
        network,
        inputs,
        None,
        risks=[parse_risk("robustness"), parse_risk("uncertainty:0.05")],
        norms=[Norm.LINF, Norm.L2],
        radius=0.1,
        questions=list(SEARCHED),
        budget=Budget(queries=300),
    )
    assert len(answers) == 2 * 2 * 3 * 2
    assert {a.question for a in answers} == set(SEARCHED)  # type: ignore[attr-defined]


def test_a_witness_is_moved_out_until_every_engine_confirms_it() -> None:
    """The original engine sees the boundary a little further out than the network itself; a far-off one can only be marked."""

    class Disputed(TinyNetwork):
        shift = 0.0

        def originals(self) -> dict:  # type: ignore[type-arg]
            return {"other": lambda points: np.array([[points[0][0] + 0.25 + self.shift, points[0][1]]], dtype=np.float64)}

    base = linear(np.array([[1.0, 0], [0, 1.0]]), np.array([0.25, 0]), Box.filled((2,), 0, 1))
    network = Disputed(base.module, base.domain, 2)
    (problem,) = robustness_problems(network, np.array([[0.5, 0.5]]), 0.5, "linf")
    for shift, confirmed in ((1e-4, True), (0.5, False)):
        network.shift = shift
        (answer,) = ask(Question.RADIUS, [problem], budget=BUDGET)
        assert isinstance(answer, RadiusAnswer)
        assert answer.witness is not None
        assert answer.bracket.upper is not None
        assert answer.witness.replay.confirmed is confirmed
        assert bool(answer.witness.marked) is not confirmed
        assert answer.bracket.upper.value >= ((0.25 + shift) / 2 * (1 - 1e-9) if confirmed else 0.125)
        assert answer.bracket.upper.value <= 0.13
        assert [p.upper for p in answer.trace][-1] == answer.bracket.upper.value
