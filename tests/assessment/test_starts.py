"""Start points: no answer is worse than what it was begun with, and points that do not fit are refused or moved, never lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import netassay as na
from netassay.assessment.ask import SEARCHED, ask
from netassay.assessment.starts import fitted, start_array, starts_by_index
from netassay.errors import DataError, UsageError
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Answer, LipschitzAnswer, Question, RadiusAnswer, ReachAnswer
from netassay.results.codec import witnesses
from netassay.results.witness import Witness
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output
from netassay.specs.regions import Ball
from tiny_networks import FunctionModule, TinyNetwork, relu_network, robustness_problems

DOMAIN = Box.filled((6,), 0, 1)
NETWORK = relu_network(0, [6, 16, 16, 3], DOMAIN)
CENTER = np.array([0.5, 0.25, 0.375, 0.625, 0.5, 0.75])
NORMS = {"linf": 0.25, "l2": 0.5, "l1": 1.0, "l0": 3}
TINY = Budget(queries=4)


def problem(norm: str, **region: Any) -> Problem:
    return robustness_problems(NETWORK, CENTER[None], NORMS[norm], norm, **region)[0]


def worth(answer: Answer) -> list[float]:
    """Numbers that a better answer has greater; -inf where nothing was found."""
    if isinstance(answer, RadiusAnswer):
        sides: list[Any] = [answer.bracket.upper]
        return [-s.value if s else -np.inf for s in sides]
    if isinstance(answer, LipschitzAnswer):
        return [s.value if s else -np.inf for s in (answer.bracket.lower, answer.falling.lower)]
    assert isinstance(answer, ReachAnswer)
    low, high = answer.minimum.upper, answer.maximum.lower
    return [-low.value if low else -np.inf, high.value if high else -np.inf]


@pytest.mark.parametrize("question", SEARCHED)
@pytest.mark.parametrize("norm", NORMS)
def test_a_restart_from_an_answer_is_never_worse(question: Question, norm: str) -> None:
    """The first run had a large budget, the second one has next to none: it must keep what the first found, to the last bit."""
    one = problem(norm)
    (first,) = ask(question, [one], budget=Budget(queries=1500), seed=1)
    for method in ("tpmads", "random", "auto"):
        (again,) = ask(question, [one], budget=TINY, seed=2, method=method, starts=[start_array(first, (6,))])
        assert all(new >= old for new, old in zip(worth(again), worth(first), strict=True))
        assert again.provenance.queries <= 4
        (without,) = ask(question, [one], budget=TINY, seed=2, method=method)
        assert worth(again) != worth(without) or worth(first) == [0.0], "the start must have mattered"
        for witness in witnesses(again):
            assert witness.replay.confirmed


@given(data=st.data(), norm=st.sampled_from(sorted(NORMS)), steps=st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_no_answer_is_worse_than_any_start_point(data: st.DataObject, norm: str, steps: bool) -> None:
    """Points anywhere in the domain: each is brought into the region, and what it is worth there bounds the answers."""
    one = problem(norm, granularity=np.full(6, 0.0625)) if steps else problem(norm)
    shape = st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6)
    points = np.array(data.draw(st.lists(shape, min_size=1, max_size=4)), dtype=np.float64)
    placed = fitted(one, points).points
    assert one.region.contains(placed).all()
    inside = one.region.contains(points)
    assert np.array_equal(placed[inside], points[inside]), "points of the region stay as they are"
    with torch.no_grad():
        values = one.property.values(NETWORK.in_float64().outputs(torch.tensor(np.concatenate([placed, CENTER[None]])))).numpy()
    distances = one.ball.distance(placed)
    (low_high,) = ask(Question.REACH, [one], budget=TINY, method="random", starts=[points])
    low, high = worth(low_high)
    assert -low <= values[:-1].min() + 1e-12
    assert high >= values[:-1].max() - 1e-12
    (slope,) = ask(Question.LIPSCHITZ, [one], budget=TINY, method="random", starts=[points])
    moved = distances > 0
    slopes = np.abs(values[:-1] - values[-1])[moved] / distances[moved]
    assert worth(slope)[0] >= slopes.max(initial=0.0) * (1 - 1e-9)
    (radius,) = ask(Question.RADIUS, [one], budget=TINY, method="random", starts=[points])
    counted = 1 if norm == "l0" else 0
    violating = distances[values[:-1] < 0] - counted
    assert -worth(radius)[0] <= violating.min(initial=np.inf)


def test_a_point_on_the_very_rim_of_the_ball_counts() -> None:
    """The search leaves a little room at the rim of an L2 ball; a start point there is taken all the same."""
    weight = np.array([[3.0, 4.0], [0.0, 0.0]])
    network = TinyNetwork(FunctionModule(lambda x: x @ torch.tensor(weight, dtype=x.dtype).T), Box.filled((2,), -2, 2), 2)
    region = Ball(np.zeros(2), 1.25, "l2", domain=network.domain)
    (answer,) = ask(Question.REACH, [Problem(network, region, Output(0))], budget=TINY, starts=[np.array([[0.75, 1.0]])])
    assert isinstance(answer, ReachAnswer)
    assert answer.maximum.lower is not None
    assert answer.maximum.lower.value == 6.25
    assert answer.notes == ()


def test_a_violation_on_the_very_rim_is_kept() -> None:
    """It is the only one in the ball, and no search would find it."""
    weight = torch.tensor([[-3.0, -4.0], [0.0, 0.0]])
    network = TinyNetwork(
        FunctionModule(lambda x: x @ weight.to(x.dtype).T + torch.tensor([6.25, 0.0]).to(x.dtype)), Box.filled((2,), -2, 2), 2
    )
    (one,) = robustness_problems(network, np.zeros((1, 2)), 1.25, "l2")
    (without,) = ask(Question.RADIUS, [one], budget=Budget(queries=1000))
    assert worth(without) == [-np.inf]
    (answer,) = ask(Question.RADIUS, [one], budget=Budget(queries=1000), starts=[np.array([[0.75, 1.0]])])
    assert worth(answer) == [-1.25]


def test_claims_that_no_replay_bears_out_do_not_cost_the_start() -> None:
    """A planted bug: in batches the network promises more than it gives when it is asked alone, as replays do."""

    def promising(x: torch.Tensor) -> torch.Tensor:
        first = x[:, :1] * (1.01 if len(x) > 1 else 1.0)
        return torch.cat([first + 1, 0 * first], dim=1)

    network = TinyNetwork(FunctionModule(promising), Box.filled((2,), 0, 2), 2)
    (one,) = robustness_problems(network, np.ones((1, 2)), 0.5, "linf")
    start = np.array([[1.375, 1.0]])
    (reach,) = ask(Question.REACH, [one], budget=Budget(queries=300), starts=[start])
    assert isinstance(reach, ReachAnswer)
    assert reach.maximum.lower is not None
    assert reach.maximum.lower.value == 2.375
    (slope,) = ask(Question.LIPSCHITZ, [one], budget=Budget(queries=300), starts=[start])
    assert worth(slope)[0] == 1.0


def test_violations_that_no_replay_bears_out_do_not_cost_the_start() -> None:
    """A planted bug: asked alone in float64, the network sees the violation a little further out than everywhere else."""

    def shy(x: torch.Tensor) -> torch.Tensor:
        limit = 0.55 if x.dtype == torch.float64 and len(x) == 1 else 0.5
        return torch.cat([limit - x[:, :1], 0 * x[:, :1]], dim=1)

    network = TinyNetwork(FunctionModule(shy), Box.filled((1,), 0, 1), 2)
    (one,) = robustness_problems(network, np.zeros((1, 1)), 1.0, "linf")
    (answer,) = ask(Question.RADIUS, [one], budget=Budget(queries=500), starts=[np.array([[0.625]])])
    assert worth(answer) == [-0.625]


def test_points_outside_the_ball_are_moved_in_and_that_is_said() -> None:
    one = problem("linf")
    far = np.stack([np.clip(CENTER + 0.5, 0, 1), CENTER + 0.125])
    (answer,) = ask(Question.REACH, [one], budget=TINY, starts=[far])
    assert any("1 of 2 start points lay outside the region" in note for note in answer.notes)
    (clean,) = ask(Question.REACH, [one], budget=TINY, starts=[far[1:]])
    assert clean.notes == ()


def test_fixed_features_of_a_start_point_are_put_back() -> None:
    mask = np.array([True, True, True, False, False, False])
    one = problem("linf", mask=mask)
    placed = fitted(one, np.clip(CENTER + 0.25, 0, 1)[None])
    assert placed.moved == 1
    assert np.array_equal(placed.points[0][~mask], CENTER[~mask])
    (answer,) = ask(Question.REACH, [one], budget=TINY, starts=[np.clip(CENTER + 0.25, 0, 1)[None]])
    for witness in witnesses(answer):
        assert np.array_equal(np.asarray(witness.point)[~mask], CENTER[~mask].astype(np.float32))


def test_a_start_given_in_float64_is_rounded_as_the_centre_is() -> None:
    (one,) = robustness_problems(NETWORK, np.full((1, 6), 0.1), 0.05, "linf", mask=np.arange(6) < 3)
    (answer,) = ask(Question.REACH, [one], budget=TINY, starts=[np.where(np.arange(6) < 3, 0.12, 0.1)[None]])
    assert answer.notes == ()


@pytest.mark.parametrize(
    ("starts", "told"),
    [
        (np.full((2, 5), 0.5), r"shape \(2, 5\).*input shape \(6,\)"),
        (np.full((1, 1, 6), 0.5), r"shape \(1, 1, 6\).*points, \*input_shape"),
        (0.5, r"shape \(\)"),
        (np.full((1, 6), np.nan), "must be finite; 6 of their numbers"),
        ([["a"] * 6], "array of numbers"),
        ([[0.5] * 6, [0.5] * 5], "array of numbers"),
        (np.array([[0.5] * 6, [0.5, 0.5, 0.5, 1.5, 0.5, 0.5]]), r"start point 1 lies outside.*\(3,\) is 1.5, allowed are 0 to 1"),
    ],
)
@pytest.mark.parametrize("question", ["radius", "lipschitz", "reach"])
def test_start_points_that_do_not_fit_are_refused(question: str, starts: Any, told: str) -> None:
    ball = Ball(CENTER, 0.25, "linf", domain=DOMAIN)
    with pytest.raises(DataError, match=told):
        list(na.stream(question, NETWORK, "robustness", ball, starts=starts))


def test_what_may_be_given() -> None:
    (first,) = ask(Question.REACH, [problem("linf")], budget=Budget(queries=200))
    points = np.array([np.asarray(w.point, dtype=np.float64) for w in witnesses(first)])
    assert np.array_equal(start_array(first, (6,)), points)
    assert np.array_equal(start_array([first, first], (6,)), points), "each point once"
    assert np.array_equal(start_array(np.array([[0.9] * 6, [0.1] * 6, [0.9] * 6]), (6,)), np.array([[0.9] * 6, [0.1] * 6])), (
        "in their order"
    )
    assert np.array_equal(start_array(CENTER, (6,)), CENTER[None])
    assert np.array_equal(start_array([list(CENTER)], (6,)), CENTER[None])
    for nothing in (None, [], np.zeros((0, 6))):
        assert start_array(nothing, (6,)).shape == (0, 6)


def test_an_answer_without_a_witness_is_no_obstacle() -> None:
    (nothing,) = ask(Question.RADIUS, robustness_problems(NETWORK, CENTER[None], 0.001, "linf"), budget=TINY)
    assert witnesses(nothing) == []
    answer = na.radius(NETWORK, "robustness", CENTER, budget=na.Budget(queries=300), starts=nothing)
    assert answer.bracket.upper is not None


def test_the_functions_take_start_points() -> None:
    ball = na.Ball(CENTER, 0.25, "linf", domain=DOMAIN)
    budget = na.Budget(queries=1000)
    for first, again in (
        (
            na.radius(NETWORK, "robustness", CENTER, budget=budget),
            lambda a: na.radius(NETWORK, "robustness", CENTER, budget=TINY, starts=a),
        ),
        (
            na.lipschitz(NETWORK, "robustness", ball, budget=budget),
            lambda a: na.lipschitz(NETWORK, "robustness", ball, budget=TINY, starts=a),
        ),
        (na.reach(NETWORK, na.Output(1), ball, budget=budget), lambda a: na.reach(NETWORK, na.Output(1), ball, budget=TINY, starts=[a])),
        (na.reach(NETWORK, na.Output(1), DOMAIN, budget=budget), lambda a: na.reach(NETWORK, na.Output(1), DOMAIN, budget=TINY, starts=a)),
    ):
        new = again(first)
        assert all(n >= o for n, o in zip(worth(new), worth(first), strict=True))
        assert str(new.provenance.options["starts"]).startswith(f"{len(start_array(first, (6,)))} points, SHA-256")


def test_a_smaller_ball_profits_from_a_larger_one() -> None:
    """A witness in a larger ball is pulled into the smaller one and helps there: a corner far away points to the near one."""
    one = problem("linf")
    wide = one.ball.with_radius(0.5)
    (first,) = ask(Question.REACH, [Problem(NETWORK, wide, one.property)], budget=Budget(queries=3000))
    (again,) = ask(Question.REACH, [one], budget=TINY, starts=[start_array(first, (6,))])
    (without,) = ask(Question.REACH, [one], budget=TINY)
    assert any("moved to its nearest point" in note for note in again.notes)
    assert sum(worth(again)) > sum(worth(without))


def test_starts_of_several_inputs_go_by_index_or_in_their_order() -> None:
    inputs = np.random.default_rng(0).integers(1, 8, (3, 6)) / 8
    first = na.assess(NETWORK, inputs, radius=0.125, questions=["lipschitz", "reach"], budget=na.Budget(queries=1500))
    again = na.assess(NETWORK, inputs, radius=0.125, questions=["lipschitz", "reach"], budget=TINY, starts=first)
    for old, new in zip(first, again, strict=True):
        assert (old.index, old.__class__) == (new.index, new.__class__)
        assert all(n >= o for n, o in zip(worth(new), worth(old), strict=True))
    shuffled = starts_by_index(first[::-1], [0, 2], (6,))
    assert sorted(shuffled) == [0, 2]
    own = [a for a in first if a.index == 2]
    assert {p.tobytes() for p in shuffled[2]} == {np.asarray(w.point, dtype=np.float64).tobytes() for a in own for w in witnesses(a)}
    in_order = starts_by_index([inputs[0], None, inputs[:2]], [5, 6, 7], (6,))
    assert [len(in_order[i]) for i in (5, 6, 7)] == [1, 0, 2]
    assert np.array_equal(starts_by_index(inputs, [0, 1, 2], (6,))[1], inputs[1:2])
    singles = [na.reach(NETWORK, na.Output(0), na.Ball(x, 0.125, "linf", domain=DOMAIN), budget=na.Budget(queries=50)) for x in inputs]
    assert np.array_equal(starts_by_index(singles, [0, 1, 2], (6,))[2], start_array(singles[2], (6,)))
    with pytest.raises(DataError, match="starts for 2 inputs were given and 3"):
        na.assess(NETWORK, inputs, starts=inputs[:2])
    with pytest.raises(UsageError, match="1 entries of start points for 3 problems"):
        ask(Question.REACH, robustness_problems(NETWORK, inputs, 0.125, "linf"), starts=[None])


def test_same_seed_and_starts_same_answer() -> None:
    one, points = problem("l2"), np.stack([CENTER + 0.125, CENTER - 0.0625])

    def found() -> list[Witness]:
        (answer,) = ask(Question.LIPSCHITZ, [one], budget=Budget(queries=400), seed=5, starts=[points])
        return witnesses(answer)

    assert [w.sha256 for w in found()] == [w.sha256 for w in found()]


def test_a_feature_whose_bounds_are_equal_is_no_obstacle() -> None:
    """Nothing crashes where a lower bound equals the upper one, for any question, norm and method, with starts and steps."""
    low, high = np.zeros(6), np.ones(6)
    low[2] = high[2] = CENTER[2]
    network = TinyNetwork(NETWORK.module, Box(low, high), 3)
    for norm, radius in NORMS.items():
        for region in ({}, {"granularity": np.full(6, 0.0625)}):
            batch = robustness_problems(network, CENTER[None], radius, norm, **region)
            for question in SEARCHED:
                for method in ("random", "tpmads", "gradient"):
                    (answer,) = ask(question, batch, budget=Budget(queries=60), method=method, starts=[CENTER[None] + 0.0])
                    for witness in witnesses(answer):
                        assert witness.point[2] == np.float32(CENTER[2])
