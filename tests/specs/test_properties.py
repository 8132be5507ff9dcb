"""Property expressions: value, sign, ties, NaN, gradients, stacking, on numpy and torch alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax

from netassay.errors import PropertyError
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale
from netassay.specs.confidence_gap import ConfidenceGap, GapCase
from netassay.specs.custom import Custom
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.property import Property, PropertyStack
from netassay.specs.reachability import Direction, Output, Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty

M = 4
Q = (0.1, 0.2, 0.0, 0.7)


@dataclass(frozen=True)
class Case:
    """A property over M scores, the formula of its paper written out for one row, and a second member of its family."""

    made: Property
    formula: Callable[[np.ndarray], float]
    other: Property


def divergence(q: np.ndarray, z: np.ndarray) -> float:
    return float(np.sum(rel_entr(q, softmax(z))))


A1, B1 = np.array([[1.0, -1, 0, 0], [0, 0, 2, 0]]), np.array([0.5, 1.0])
A2, B2 = np.array([[0.0, 1, 1, -1]]), np.array([-0.2])


def softest_column(scores: Any) -> Any:
    return scores[:, 0] * scores[:, 1] - 0.1


CASES = {
    "robustness": Case(Robustness(1, 0.1), lambda f: f[1] - max(f[0], f[2], f[3]) - 0.1, Robustness(3)),
    "gap": Case(ConfidenceGap(2, 0, 0.25), lambda f: f[2] - f[0] - 0.25, ConfidenceGap(1, 3)),
    "below": Case(Reachability(3, 0.4), lambda f: f[3] - 0.4, Reachability(0, 0.7)),
    "above": Case(Reachability(3, 0.4, Direction.ABOVE), lambda f: 0.4 - f[3], Reachability(1, 0.9, Direction.ABOVE)),
    "rise": Case(Reachability(0, 0.2, Direction.RISE, 0.3), lambda f: 0.3 + 0.2 - f[0], Reachability(2, 0.1, Direction.RISE, 0.8)),
    "uniform": Case(Uncertainty(0.3), lambda z: divergence(np.full(M, 1 / M), z) - 0.3, Uncertainty(0.01)),
    "reference": Case(Uncertainty(0.3, Q), lambda z: divergence(np.array(Q), z) - 0.3, Uncertainty(0.1, (0.25, 0.25, 0.25, 0.25))),
    "halfspaces": Case(
        OutputHalfspaces([A1, A2], [B1, B2]),
        lambda y: min(max(A1 @ y - B1), max(A2 @ y - B2)),
        OutputHalfspaces([A1 * 2, A1], [B1, B1]),
    ),
    "output": Case(Output(2), lambda y: y[2], Output(0)),
    "custom": Case(Custom(softest_column, "product"), lambda f: f[0] * f[1] - 0.1, Custom(softest_column, "again")),
}
scores = st.lists(st.lists(st.floats(-30, 30), min_size=M, max_size=M), min_size=1, max_size=5).map(np.array)


def evaluate(made: Property, rows: np.ndarray) -> np.ndarray:
    return np.asarray(made.values(rows))


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=50, deadline=None)
@given(rows=scores)
def test_values_follow_the_formula_on_numpy_and_torch(name: str, rows: np.ndarray) -> None:
    case = CASES[name]
    expected = np.array([case.formula(row) for row in rows])
    found = evaluate(case.made, rows)
    assert found.shape == (len(rows),)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(case.made.values(torch.tensor(rows)).numpy(), expected, rtol=1e-12, atol=1e-12)
    single = case.made.values(torch.tensor(rows, dtype=torch.float32))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_a_stack_gives_each_row_the_value_of_its_owner(name: str) -> None:
    rng = np.random.default_rng(0)
    members = [CASES[name].made, CASES[name].other, CASES[name].made]
    rows, owners = rng.normal(size=(40, M)), rng.integers(0, 3, 40)
    expected = np.array([evaluate(members[o], row[None])[0] for o, row in zip(owners, rows, strict=True)])
    stack = PropertyStack(members)
    np.testing.assert_allclose(stack.values(rows, owners), expected, rtol=1e-14, atol=1e-14)
    in_torch = stack.values(torch.tensor(rows), torch.tensor(owners))
    np.testing.assert_allclose(in_torch.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_gradients_exist_and_match_finite_differences(name: str) -> None:
    made = CASES[name].made
    rows = torch.tensor(np.random.default_rng(3).normal(size=(6, M)), requires_grad=True)
    assert torch.autograd.gradcheck(made.values, (rows,))
    (slope,) = torch.autograd.grad(made.values(rows).sum(), rows)
    assert (slope.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("column", range(M))
def test_nan_in_any_score_gives_nan_and_never_a_verdict(name: str, column: int) -> None:
    made = CASES[name].made
    rows = np.random.default_rng(1).normal(size=(3, M))
    rows[1, column] = np.nan
    for found in (evaluate(made, rows), made.values(torch.tensor(rows)).numpy()):
        assert np.isnan(found).tolist() == [False, True, False]
        assert not found[1] >= 0
    assert not made.is_violated(float("nan"))


ZERO_IS_SAFE = {"below": True, "uniform": True, "reference": True, "output": True, "custom": True}


@pytest.mark.parametrize("name", CASES)
def test_zero_counts_as_the_property_says(name: str) -> None:
    made = CASES[name].made
    assert made.zero_is_safe is ZERO_IS_SAFE.get(name, False)
    assert made.is_violated(0.0) is not made.zero_is_safe
    assert made.is_violated(-1e-300)
    assert not made.is_violated(1e-300)


def test_ties_are_risks_where_they_should_be() -> None:
    tie = np.array([[0.4, 0.4, 0.1, 0.1]])
    for made in (Robustness(0), Robustness(1), ConfidenceGap(0, 1)):
        assert evaluate(made, tie)[0] == 0
        assert made.is_violated(0.0)
    rise = Reachability(0, 0.25, Direction.RISE, 0.25)
    assert rise.is_violated(float(evaluate(rise, np.array([[0.5, 0.5, 0, 0]]))[0])), "Definition 2 uses >="
    below = Reachability(0, 0.5)
    assert not below.is_violated(float(evaluate(below, np.array([[0.5, 0.5, 0, 0]]))[0])), "Definition 3 uses s < 0"
    closed = OutputHalfspaces([[[1.0, 0, 0, 0]]], [[2.0]])
    assert closed.is_violated(float(evaluate(closed, np.array([[2.0, 0, 0, 0]]))[0])), "y_0 <= 2 is closed"


def test_robustness_sees_the_third_label_that_a_fixed_gap_misses() -> None:
    overtaken = np.array([[0.4, 0.1, 0.5, 0.0]])
    assert evaluate(ConfidenceGap.runner_up([0.6, 0.3, 0.1, 0.0]), overtaken)[0] > 0
    assert evaluate(Robustness(0), overtaken)[0] < 0


def test_uncertainty_is_stable_where_probabilities_vanish() -> None:
    extreme = np.array([[0.0, -2000.0, -1e6, 3.0], [1e308, -1e308, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    with np.errstate(over="ignore"):
        uniform = evaluate(Uncertainty(0.3), extreme)
    assert uniform[0] == pytest.approx((3.0 + 2003.0 + 1e6 + 3) / 4 - np.log(4) - 0.3 + np.log1p(np.exp(-3)))
    assert uniform[1] == np.inf
    assert uniform[2] == -0.3
    assert evaluate(Uncertainty(0.3), np.array([[5000.0, 0, 0, 0]]))[0] == pytest.approx(3750 - np.log(4) - 0.3, rel=1e-15)
    assert evaluate(Uncertainty(0.3, (0, 0, 0, 1.0)), extreme[:1])[0] == pytest.approx(np.log1p(np.exp(-3)) - 0.3)
    with_zero = evaluate(Uncertainty(0.3, (0.5, 0.0, 0.0, 0.5)), np.array([[1.0, -np.inf, 0.0, 1.0]]))
    assert np.isfinite(with_zero).all(), "0 log 0 = 0 where the reference has no mass"


def test_uncertainty_is_lowest_at_its_reference() -> None:
    q = np.array([0.1, 0.2, 0.3, 0.4])
    assert evaluate(Uncertainty(0.3, q), np.log(q)[None])[0] == pytest.approx(-0.3, abs=1e-15)
    away = np.random.default_rng(0).normal(size=(50, 4))
    assert (evaluate(Uncertainty(0.3, q), away) >= -0.3).all()


@pytest.mark.parametrize("name", ["robustness", "gap", "below", "above", "rise"])
def test_guides_rise_with_the_property_and_keep_a_slope_where_softmax_saturates(name: str) -> None:
    made = CASES[name].made
    rng = np.random.default_rng(2)
    stack, owners, anything = PropertyStack([made]), torch.zeros(200, dtype=torch.int64), torch.full((200,), -1)
    logits = torch.tensor(rng.normal(size=(200, M)))
    values = stack.values(torch.softmax(logits, dim=1), owners).numpy()
    guides = stack.guide(logits, owners, anything).numpy()
    if name in ("below", "above", "rise"):
        assert (np.diff(guides[np.argsort(values)]) >= -1e-12).all()
    else:
        offset = made.eps  # type: ignore[attr-defined]
        assert (np.sign(guides) == np.sign(values + offset)).all()
    saturated = torch.zeros((4, M), dtype=torch.float32) + 200 * torch.eye(M)
    saturated.requires_grad_()
    guide = stack.guide(saturated, torch.zeros(4, dtype=torch.int64), torch.full((4,), -1))
    (slope,) = torch.autograd.grad(guide.sum(), saturated)
    assert (slope.abs().sum(dim=1) > 0.1).all()


def test_reachability_of_a_logit_is_its_own_guide() -> None:
    stack = PropertyStack([Reachability(0, 3.0, on=Scale.LOGITS)])
    assert stack.guide(np.ones((1, 3)), np.zeros(1, dtype=int), np.array([-1])) is None


def test_a_robustness_guide_follows_its_targets() -> None:
    logits = np.array([[3.0, 1.0, 2.0, 0.0]] * 4)
    stack = PropertyStack([Robustness(0)])
    assert stack.guide(logits, np.zeros(4, dtype=int), np.array([-1, 1, 3, 0])).tolist() == [1.0, 2.0, 3.0, 1.0]


@pytest.mark.parametrize("name", CASES)
def test_descriptions_name_family_scale_and_expression(name: str) -> None:
    risk = CASES[name].made.describe()
    assert risk.on == CASES[name].made.on
    assert risk.text
    assert risk.name in ("robustness", "gap", "reachability", "uncertainty", "halfspaces", "output", "custom")


def test_descriptions_in_full() -> None:
    assert Robustness(1, 0.1).describe().text == "f_1 - max over j != 1 of f_j - 0.1 > 0"
    assert ConfidenceGap(2, 0).describe().text == "f_2 - f_0 > 0"
    assert Reachability(0, 0.2, Direction.RISE, 0.3).describe().text == "f_0 < f_0(x) + 0.2 = 0.5"
    assert OutputHalfspaces([A1, A2], [B1, B2]).describe().text == "not ((y_0 - y_1 <= 0.5 and 2 y_2 <= 1) or (y_1 + y_2 - y_3 <= -0.2))"
    assert OutputHalfspaces([np.eye(4)] * 2, [np.zeros(4)] * 2).describe().text == "y outside 2 polyhedra of 8 half-spaces in all"


def test_cases_of_definition_5_choose_their_labels() -> None:
    f = np.array([0.2, 0.5, 0.0, 0.3])
    one, two, three = ConfidenceGap.runner_up(f), ConfidenceGap.target(f, 2, 0.1), ConfidenceGap.smallest(f)
    assert [(g.label, g.other, g.case) for g in (one, two, three)] == [
        (1, 3, GapCase.RUNNER_UP),
        (1, 2, GapCase.TARGET),
        (1, 2, GapCase.SMALLEST),
    ]
    equal = np.full(3, 1 / 3)
    assert ConfidenceGap.runner_up(equal).other != ConfidenceGap.runner_up(equal).label
    assert ConfidenceGap.smallest(equal).other != ConfidenceGap.smallest(equal).label


def test_properties_of_one_family_but_other_kinds_do_not_share_a_stack() -> None:
    pairs = [
        (Robustness(0), Robustness(0, on=Scale.LOGITS)),
        (Reachability(0, 0.4), Reachability(0, 0.4, Direction.ABOVE)),
        (Uncertainty(0.3), Uncertainty(0.3, Q)),
        (OutputHalfspaces([A1], [B1]), OutputHalfspaces([A2], [B2])),
        (Custom(softest_column, "a"), Custom(lambda s: s[:, 0], "b")),
    ]
    for pair in pairs:
        with pytest.raises(PropertyError, match="families"):
            PropertyStack(pair)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Robustness(-1), "counted from 0"),
        (lambda: Robustness(True), "counted from 0"),
        (lambda: Robustness(1.5), "counted from 0"),  # type: ignore[arg-type]
        (lambda: Robustness(0, -0.1), r"\[0, 1\]"),
        (lambda: Robustness(0, 1.1), r"\[0, 1\]"),
        (lambda: Robustness(0, np.nan), "finite"),
        (lambda: Robustness(0, "x"), "number"),  # type: ignore[arg-type]
        (lambda: Robustness(0, -1, Scale.LOGITS), "at least 0"),
        (lambda: Robustness(0, on=Scale.OUTPUTS), "probabilities or logits"),
        (lambda: ConfidenceGap(0, 1, on=Scale.OUTPUTS), "probabilities or logits"),
        (lambda: ConfidenceGap(1, 1), "two different labels"),
        (lambda: ConfidenceGap(1, -1), "counted from 0"),
        (lambda: ConfidenceGap.target([0.5, 0.5], 0), "differ from the decision"),
        (lambda: ConfidenceGap.target([0.5, 0.5], 2), "has 2"),
        (lambda: ConfidenceGap.runner_up([0.5]), "score"),
        (lambda: ConfidenceGap.runner_up([[0.5, 0.5]]), "shape"),
        (lambda: ConfidenceGap.smallest([np.nan, 1]), "NaN"),
        (lambda: Reachability(0, 0.0), "strictly between 0 and 1"),
        (lambda: Reachability(0, 1.0, Direction.ABOVE), "strictly between 0 and 1"),
        (lambda: Reachability(0, 0.5, "sideways"), "below, above, rise"),  # type: ignore[arg-type]
        (lambda: Reachability(0, 0.5, Direction.RISE), "center_score"),
        (lambda: Reachability(0, 0.5, Direction.BELOW, 0.3), "center_score"),
        (lambda: Reachability(0, -1, Direction.RISE, 0.3, Scale.OUTPUTS), "positive"),
        (lambda: Reachability(0, np.inf, on=Scale.OUTPUTS), "finite"),
        (lambda: Output(-2), "counted from 0"),
        (lambda: Uncertainty(0), "positive"),
        (lambda: Uncertainty(np.nan), "finite"),
        (lambda: Uncertainty(0.1, [0.5, 0.6]), "sum to 1"),
        (lambda: Uncertainty(0.1, [-0.5, 1.5]), "not negative"),
        (lambda: Uncertainty(0.1, [np.nan, 1]), "finite"),
        (lambda: Uncertainty(0.1, [1.0]), "shape"),
        (lambda: Uncertainty(0.1, ["a", "b"]), "numbers"),
        (lambda: OutputHalfspaces([], []), "at least one"),
        (lambda: OutputHalfspaces([A1], [B1, B2]), "one offset vector"),
        (lambda: OutputHalfspaces([A1], [B2]), "matrix"),
        (lambda: OutputHalfspaces([np.zeros((0, 4))], [np.zeros(0)]), "not empty"),
        (lambda: OutputHalfspaces([A1, A2[:, :3]], [B1, B2]), "matrix"),
        (lambda: OutputHalfspaces([A1 * np.nan], [B1]), "NaN"),
        (lambda: Custom(3, "three"), "function"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Property], words: str) -> None:
    with pytest.raises(PropertyError, match=words):
        make()


TOO_FEW = {"robustness": 1, "gap": 2, "below": 3, "above": 3, "rise": 0, "uniform": 1, "reference": 3, "halfspaces": 3, "output": 2}


@pytest.mark.parametrize("name", TOO_FEW)
def test_networks_with_too_few_scores_are_refused(name: str) -> None:
    CASES[name].made.check(M)
    with pytest.raises(PropertyError):
        CASES[name].made.check(TOO_FEW[name])


@pytest.mark.parametrize("result", [lambda s: s, lambda s: s[0, 0], lambda s: 1.0, lambda s: s[:1, 0], lambda s: s[:, :1]])
def test_custom_functions_must_give_one_value_per_row(result: Callable[[Any], Any]) -> None:
    made = Custom(result, "bad")
    with pytest.raises(PropertyError, match=r"one value per row, shape \(3,\)"):
        made.values(np.ones((3, 2)))


def test_custom_properties_may_exclude_zero() -> None:
    made = Custom(lambda s: s[:, 0], "strict", zero_is_safe=False)
    assert made.is_violated(0.0)
    assert made.describe().text == "strict > 0"
    with pytest.raises(PropertyError, match="needs scores"):
        made.check(0)


class Linear:
    """A stand-in network: raw outputs W x, float32, with or without a float64 twin."""

    def __init__(self, weights: np.ndarray, convention: OutputConvention, dtype: str = "float32", exact: bool = True) -> None:
        self.weights, self.convention, self.dtype, self.exact = weights, convention, dtype, exact
        self.input_shape = (weights.shape[1],)
        self.device = "cpu"

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        assert inputs.dtype == getattr(torch, self.dtype)
        return inputs @ torch.tensor(self.weights, dtype=inputs.dtype).T

    def in_float64(self) -> Linear | None:
        return Linear(self.weights, self.convention, "float64") if self.exact else None


def test_robustness_of_a_network_keeps_its_own_decision_in_float64() -> None:
    weights = np.array([[1.0, 0.0], [1.0 + 1e-9, 0.0], [0.0, 1.0]])
    logits = OutputConvention()
    assert Robustness.of(Linear(weights, logits), [1.0, 0.5], eps=0.1).label == 1  # type: ignore[arg-type]
    assert Robustness.of(Linear(weights, logits, exact=False), [1.0, 0.5]).label == 0, "float32 cannot tell 0 from 1"  # type: ignore[arg-type]
    costs = OutputConvention(decision=Decision.ARGMIN)
    assert Robustness.of(Linear(weights, costs), [1.0, 0.5]).label == 2  # type: ignore[arg-type]
    sigmoid = OutputConvention(Meaning.SIGMOID)
    assert Robustness.of(Linear(np.array([[0.8]]), sigmoid), [1.0]).label == 1  # type: ignore[arg-type]


def test_robustness_of_refuses_wrong_shapes_regressors_and_nan() -> None:
    network = Linear(np.eye(2), OutputConvention())
    with pytest.raises(PropertyError, match="shape"):
        Robustness.of(network, [1.0])  # type: ignore[arg-type]
    with pytest.raises(PropertyError, match="plain values"):
        Robustness.of(Linear(np.eye(2), OutputConvention(Meaning.VALUES)), [1.0, 2.0])  # type: ignore[arg-type]
    with pytest.raises(PropertyError, match="not finite"):
        Robustness.of(Linear(np.eye(2) * np.nan, OutputConvention()), [1.0, 2.0])  # type: ignore[arg-type]
