"""The interplay of two changes against points that are evaluated without rounding, and its parts against samples."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.verifiers.claim import claim_of
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.sparse import pair_bounds
from netassay.verifiers.sparse.maxima import Maximum, links
from netassay.verifiers.sparse.pair_bounds import Chain, Home, Made, Stack
from netassay.verifiers.sparse.pair_frames import Sides
from netassay.verifiers.sparse.single_spans import Single
from netassay.verifiers.sparse.window_forms import WindowForms
from pair_worlds import COLUMNS, ROWS, STEPS, asked, grid_of_pair, pooled, row_values

FIRST = np.array([0])


def excesses(seed: int, scale: float = 1.0) -> tuple[float, float]:
    """By how much a bound exceeds the interplay at a point at most, and how far below it the mean bound of a cell lies."""
    question = asked(pooled(seed, scale=scale), seed)
    claim, values, rng = claim_of(question), row_values(question), np.random.default_rng(seed)
    forms = WindowForms(claim, question.ball.geometry)
    chain, n = Chain(forms), ROWS * COLUMNS
    ones = [one.cells for one in Single.of(forms, range(n), chain.operators, STEPS // 2)]
    singles = Sides.of(ones, [o.others.size for o in chain.operators])
    center, worst, slack = values(question.center), -np.inf, []
    pairs = [(a, b) for a in range(n) for b in range(a)]
    for i, j in rng.permutation(pairs)[:25].tolist():
        home = Home.of(chain, [ones[i]])
        gaps = [frame.gaps for frame in home.frames]
        own, its = (singles.within(gaps, np.array([g])) for g in (i, j))
        two = singles.together([np.array([j, (j + 1) % n])]).within(gaps, FIRST)
        grid = grid_of_pair(question, i, j)
        both = values(grid).reshape(STEPS + 1, STEPS + 1, -1)
        alone = [values(np.where(np.arange(n) == g, grid, question.center.reshape(-1))).reshape(both.shape) for g in (i, j)]
        interplay = both - alone[0] - alone[1] + center
        for other in (its, two):
            worst = max(worst, float((home.interplay(own, FIRST, other, FIRST)[0] - interplay).max()))
        part = home.within(home.interplay(own, FIRST, its, FIRST)[1])
        mine, its = (Sides.cells(part.frames, ones[g]).runs() for g in (i, j))
        for cell in range(STEPS // 2):
            p, q = cell, int(rng.integers(STEPS // 2))
            found = part.interplay(mine, np.array([STEPS // 2 - 1 + p]), its, np.array([STEPS // 2 - 1 + q]))[0][0]
            inside = interplay[2 * p : 2 * p + 3, 2 * q : 2 * q + 3].reshape(9, -1)
            worst = max(worst, float((found - inside).max()))
            slack.append(float((inside.min(axis=0) - found).max()))
    return worst, float(np.mean(slack))


@pytest.mark.parametrize("most_outputs", [10_000, 60, 30])
def test_bounds_are_below_the_interplay_of_every_point(most_outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_bounds, "MOST_OUTPUTS", most_outputs)
    found = [excesses(seed) for seed in range(6)]
    assert max(worst for worst, _ in found) <= 0
    assert np.median([slack for _, slack in found]) < 2  # of rows that vary by tens


def test_float32_products_are_covered() -> None:
    """Weights of 2^30 that the last layer divides by again: what float32 loses is as large as the interplay."""
    assert max(excesses(seed, 2.0**30)[0] for seed in range(3)) <= 0


@pytest.mark.parametrize("most_dense", [0, 1 << 25])
def test_weights_beyond_float32_bound_nothing(most_dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_bounds, "MOST_DENSE", most_dense)
    assert excesses(0, 2.0**140)[0] <= 0


@pytest.mark.parametrize(
    ("weights", "change"),
    [([3 * 2.0**-150], [2.0**120]), ([2.0**120], [3 * 2.0**-150]), ([2.0**100] * 3, [2.0**27, 2.0**27, -(2.0**27)])],
    ids=["weights underflow", "changes underflow", "sums overflow"],
)
def test_products_beyond_float32_are_covered(weights: list[float], change: list[float]) -> None:
    made = Made.none(1, [len(weights)])
    middle, _, largest = made.place(0)
    with np.errstate(all="ignore"):
        middle[:], largest[:] = change, np.abs(change).max()
        found, radius = made.through(Stack.of(np.array(weights, dtype=np.float32)[:, None], [len(weights)], [0.0]))
        least, most = found.astype(np.float64) - radius, found.astype(np.float64) + radius
    exact = float(np.array(weights) @ np.array(change))
    assert not least.item() > exact
    assert not most.item() < exact


def test_wrong_roundings_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_bounds, "HALF", 0.0)
    assert max(excesses(seed, 2.0**30)[0] for seed in range(6)) > 0


def test_maps_between_operators_are_the_networks() -> None:
    """Pushed through step by step, choices alone, a change of an operator's outputs gives what the matrices give."""
    question = asked(pooled(1), 1)
    chain = Chain(WindowForms(claim_of(question), question.ball.geometry))
    bounded = BoundedGraph(claim_of(question).graph)
    change = np.random.default_rng(0).integers(-8, 9, chain.operators[0].others.shape[1]) / 8
    units = links(bounded, chain.operators[0].end, chain.operators[1].value).weights @ change
    for before, operator in enumerate(chain.operators[1:]):
        spread = np.append(units, 0.0)
        np.testing.assert_array_equal(
            chain.matrices[0, before + 1].T @ change, (spread[operator.others] - spread[operator.choice]).T.reshape(-1)
        )
        if before + 2 < len(chain.operators):
            units = links(bounded, operator.end, chain.operators[before + 2].value).weights @ spread[operator.choice]
    assert abs(chain.matrices[0, len(chain.operators)]).sum() > 0


def test_a_choice_is_the_greatest_at_the_centre() -> None:
    question = asked(pooled(3), 3)
    forms = WindowForms(claim_of(question), question.ball.geometry)
    for operator in Chain(forms).operators:
        assert isinstance(operator, Maximum)
        assert (operator.low <= 0).all()
        assert (operator.high <= 1e-12).all()


def test_other_networks_are_refused() -> None:
    builder = GraphBuilder((1, 1, 4))
    value = builder.add(nl.LeakyRelu(0.1), builder.add(op.Reshape((4,)), 0))
    leaky = builder.build(builder.add(op.Dense(np.eye(3, 4), np.zeros(3)), value))
    builder = GraphBuilder((1, 2, 4))
    value = builder.add(op.Convolution(np.ones((1, 1, 1, 1)), np.zeros(1), (1, 1), (0, 0), (0, 0), (1, 1)), 0)
    value = builder.add(op.Reshape((2,)), builder.add(nl.MaxPool((2, 2), (2, 2), (0, 0), (0, 0), (1, 1)), value))
    bare = builder.build(builder.add(op.Dense(np.eye(3, 2), np.zeros(3)), builder.add(nl.Relu(), value)))
    for graph in (leaky, bare):
        question = asked(graph, 0)
        with pytest.raises(CapabilityError, match="pairs are not followed through"):
            Chain(WindowForms(claim_of(question), question.ball.geometry))
