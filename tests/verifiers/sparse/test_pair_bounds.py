"""The interplay of two changes against points that are evaluated without rounding, and its parts against samples."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_array

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.verifiers.claim import claim_of
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.sparse import pair_bounds
from netassay.verifiers.sparse.maxima import Link, Maximum, links
from netassay.verifiers.sparse.pair_bounds import Chain, Home, bent
from netassay.verifiers.sparse.pair_frames import Frame, Tables
from netassay.verifiers.sparse.single_spans import single
from netassay.verifiers.sparse.window_forms import WindowForms
from pair_worlds import COLUMNS, ROWS, STEPS, asked, grid_of_pair, pooled, row_values


def excesses(seed: int, scale: float = 1.0) -> tuple[float, float]:
    """By how much a bound exceeds the interplay at a point at most, and how far below it the mean bound of a cell lies."""
    question = asked(pooled(seed, scale=scale), seed)
    claim, values, rng = claim_of(question), row_values(question), np.random.default_rng(seed)
    forms = WindowForms(claim, question.ball.geometry)
    chain, n = Chain(forms), ROWS * COLUMNS
    ones = [single(forms, g, [o.value for o in chain.operators], STEPS // 2) for g in range(n)]
    wholes = []
    for k, operator in enumerate(chain.operators):
        low, high = np.zeros((n, operator.size), dtype=np.float32), np.zeros((n, operator.size), dtype=np.float32)
        for g, one in enumerate(ones):
            low[g, one.units[k]], high[g, one.units[k]] = one.low[k].min(axis=0), one.high[k].max(axis=0)
        wholes.append((low, high))
    center, worst, slack = values(question.center), -np.inf, []
    pairs = [(a, b) for a in range(n) for b in range(a)]
    for i, j in rng.permutation(pairs)[:25].tolist():
        home = Home.of(chain, [ones[i]])
        tables = Tables(home.frames, wholes, [np.array([j, (j + 1) % n])])
        grid = grid_of_pair(question, i, j)
        both = values(grid).reshape(STEPS + 1, STEPS + 1, -1)
        alone = [values(np.where(np.arange(n) == g, grid, question.center.reshape(-1))).reshape(both.shape) for g in (i, j)]
        interplay = both - alone[0] - alone[1] + center
        own = [(low[[i]], high[[i]]) for low, high in tables.wholes]
        for other in ([(low[[j]], high[[j]]) for low, high in tables.wholes], tables.blocks):
            worst = max(worst, float((home.interplay(own, other)[0] - interplay).max()))
        mine, its = tables.cells(ones[i]), tables.cells(ones[j])
        for cell in range(STEPS // 2):
            p, q = cell, int(rng.integers(STEPS // 2))
            found = home.interplay([(low[[p]], high[[p]]) for low, high in mine], [(low[[q]], high[[q]]) for low, high in its])[0]
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


@pytest.mark.parametrize(
    ("weights", "change"),
    [([3 * 2.0**-150], [2.0**120]), ([2.0**120], [3 * 2.0**-150]), ([2.0**100] * 3, [2.0**27, 2.0**27, -(2.0**27)])],
    ids=["weights underflow", "changes underflow", "sums overflow"],
)
def test_products_beyond_float32_are_covered(weights: list[float], change: list[float]) -> None:
    units, none = np.arange(len(weights)), np.zeros((1, len(weights)))
    frame = Frame(units, units, units, units[None], none, none)
    home = Home(SimpleNamespace(boxes=0, to_rows={0: Link.of(csr_array([weights]), 0.0)}), [frame])  # type: ignore[arg-type]
    ranges = [(none[:, None].astype(np.float32), none[:, None].astype(np.float32))]
    step = pair_bounds._Pass(home, ranges, ranges)
    with np.errstate(all="ignore"):
        middle, radius = step._product(0, 1, np.array([change]), none, np.ones(len(weights), dtype=np.bool_))
        least, most = middle.astype(np.float64) - radius, middle.astype(np.float64) + radius
    exact = float(np.array(weights) @ np.array(change))
    assert not least.item() > exact
    assert not most.item() < exact


@pytest.mark.parametrize("bug", ["corner", "slope", "rounding"])
def test_planted_bugs_are_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "corner":
        second = pair_bounds._second
        monkeypatch.setattr(pair_bounds, "_second", lambda z, a, b: second(z, (a[1], a[1]), b))
        monkeypatch.setattr(pair_bounds._Ends, "low", property(lambda self: np.full_like(self.both_low, -np.inf)))
        monkeypatch.setattr(pair_bounds._Ends, "high", property(lambda self: np.full_like(self.both_low, np.inf)))
    elif bug == "slope":
        monkeypatch.setattr(pair_bounds, "_secant", lambda low, high, z, a, b, e, before: (low, high))
    else:
        monkeypatch.setattr(pair_bounds, "HALF", 0.0)
    scale = 2.0**30 if bug == "rounding" else 1.0
    assert max(excesses(seed, scale)[0] for seed in range(6)) > 0


@pytest.mark.parametrize("gaps", [1, 3])
def test_second_differences_hold_every_sample(gaps: int) -> None:
    rng = np.random.default_rng(gaps)
    pairs, outputs = 40, 5
    low = np.minimum(0, rng.normal(size=(gaps, outputs)) - 0.5)
    frame = Frame(np.arange(outputs), np.arange(1), np.zeros(outputs, dtype=np.intp), np.zeros((gaps, outputs), dtype=np.intp), low, low)

    def ends(width: float) -> tuple[np.ndarray, np.ndarray]:
        middle, half = rng.normal(size=(pairs, gaps, outputs)), width * rng.random((pairs, gaps, outputs))
        return middle - half, middle + half

    one, other, both = ends(0.5), ends(0.5), ends(0.2)
    least, most = bent(frame, one, other, both)
    width = (most - least).mean()
    for _ in range(400):
        a, b, e = (s[0] + (s[1] - s[0]) * rng.integers(0, 3, s[0].shape) / 2 for s in (one, other, both))
        values = [np.maximum(low + x, 0).max(axis=1) for x in (a + b + e, a, b, np.zeros(a.shape))]
        found = values[0] - values[1] - values[2] + values[3]
        assert (found >= least).all()
        assert (found <= most).all()
    assert width < 4


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
            chain.to_gaps[0, before + 1].weights @ change, (spread[operator.others] - spread[operator.choice]).reshape(-1)
        )
        if before + 2 < len(chain.operators):
            units = links(bounded, operator.end, chain.operators[before + 2].value).weights @ spread[operator.choice]
    assert chain.to_rows[0].mass > 0


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
