"""Windows against the sets that pixels really reach, and drops and ranges against points that are evaluated exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.specs.robustness import Robustness
from netassay.verifiers.claim import claim_of
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.sparse import carry, window_forms
from netassay.verifiers.sparse.local_forms import Cells, LocalForms
from netassay.verifiers.sparse.window_forms import WindowForms
from netassay.verifiers.sparse.windows import Sliding, Window, slid
from random_graphs import GraphOnly, dyadic


def chain(seed: int, pooled: bool) -> Graph:
    """Two convolutions with strides and paddings, a scaling, ReLUs, pooling if asked for, two dense layers; dyadic weights."""
    rng = np.random.default_rng([seed, 29])
    builder = GraphBuilder((2, 5, 6))
    value = builder.add(op.ChannelAffine(np.array([0.5, 2.0]), np.array([0.25, -0.5])), 0)
    stride = (1, 1) if pooled else (1 + seed % 2, 1)
    value = builder.add(op.Convolution(dyadic(rng, 3, 2, 2, 3), dyadic(rng, 3), stride, (1, 1), (0, 1), (1, 1)), value)
    value = builder.add(nl.LeakyRelu(0.25) if seed % 3 == 2 else nl.Relu(), value)
    if pooled:
        value = builder.add(nl.MaxPool((2, 2), (2, 2), (0, 0), (0, 0), (1, 1)), value)
    value = builder.add(op.Convolution(dyadic(rng, 4, 3, 2, 2), dyadic(rng, 4), (1, 1), (1, 0), (0, 1), (1, 1)), value)
    value = builder.add(nl.Relu(), value)
    size = int(np.prod(builder.shape(value)))
    value = builder.add(op.Reshape((size,)), value)
    value = builder.add(op.Dense(dyadic(rng, 5, size) / 4, dyadic(rng, 5)), value)
    return builder.build(builder.add(op.Dense(dyadic(rng, 3, 5), dyadic(rng, 3)), builder.add(nl.Relu(), value)))


def asked(graph: Graph, seed: int, group: str, changes: int = 1) -> Problem:
    rng = np.random.default_rng([seed, 31])
    network = GraphOnly(graph, domain=Box.filled(graph.input_shape, -1.0, 1.0))
    center = rng.integers(-4, 5, graph.input_shape) / 4
    label = int(Evaluator(BoundedGraph(graph)).outputs(center[None].copy())[0].argmax())
    return Problem(network, Ball(center, changes, "l0", domain=network.domain, group=group), Robustness(label, on="logits"))  # type: ignore[arg-type]


def excess(seed: int, pooled: bool, group: str = "feature") -> float:
    """By how much a drop at a dyadic point exceeds its bound at most; what pixels do is evaluated without rounding."""
    graph = chain(seed, pooled)
    problem = asked(graph, seed, group)
    claim, rng = claim_of(problem), np.random.default_rng(seed)
    forms, evaluator = WindowForms(claim, problem.ball.geometry), Evaluator(BoundedGraph(graph))
    rows = np.concatenate([part.rows for part in claim.parts])
    owner = np.repeat(np.arange(len(forms.groups)), 2)
    whole = [np.stack([side[forms.groups[g]] for g in owner]) for side in (forms.low, forms.high)]
    cut = (whole[0] + (whole[1] - whole[0]) * 0.5).round(4)
    second = np.arange(len(owner)) % 2 == 1
    low, high = np.where(second[:, None], cut, whole[0]), np.where(second[:, None], whole[1], cut)
    drops, spans = forms.drops(owner, low, high)
    assert len(spans) == len(owner)
    center, worst = problem.center.reshape(-1), -np.inf
    base = evaluator.outputs(problem.center[None].copy()) @ rows.T
    for share in (0.0, 1.0, *rng.random(6)):
        points = np.repeat(center[None], len(owner), axis=0)
        for i, g in enumerate(owner):
            points[i, forms.groups[g]] = np.clip(center[forms.groups[g]] + low[i] + (high[i] - low[i]) * share, -1, 1)
        found = base - evaluator.outputs(points.reshape(-1, *graph.input_shape)) @ rows.T
        worst = max(worst, float((found - drops.most).max()))
    return worst


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("group", ["feature", "pixel"])
def test_no_drop_exceeds_its_bound(pooled: bool, group: str) -> None:
    assert max(excess(seed, pooled, group) for seed in range(6)) <= 0


def excess_together(seed: int, pooled: bool) -> tuple[float, float]:
    """The same where several features, at any pixels, change at once; and how far bounds of small cells lie above what was seen."""
    graph = chain(seed, pooled)
    problem = asked(graph, seed, "feature")
    claim, rng = claim_of(problem), np.random.default_rng(seed)
    forms, evaluator = WindowForms(claim, problem.ball.geometry), Evaluator(BoundedGraph(graph))
    rows, center = np.concatenate([part.rows for part in claim.parts]), problem.center.reshape(-1)
    base, worst, slack = evaluator.outputs(problem.center[None].copy()) @ rows.T, -np.inf, []
    for _ in range(12):
        features = rng.choice(np.flatnonzero(forms.low < forms.high), int(rng.integers(2, 4)), replace=False)
        whole = np.stack([forms.low[features], forms.high[features]])
        for width in (1.0, 1 / 16):
            low = whole[0] + (whole[1] - whole[0]) * rng.integers(0, 16, (5, len(features))) / 16 * (1 - width)
            high = low + (whole[1] - whole[0]) * width
            drops = forms.drops_together(features, low, high)
            seen = np.full(drops.most.shape, -np.inf)
            for share in [*np.ndindex(*[2] * len(features)), *(rng.integers(0, 5, len(features)) / 4 for _ in range(8))]:
                points = np.repeat(center[None], 5, axis=0)
                points[:, features] += low + (high - low) * np.array(share)
                seen = np.maximum(seen, base - evaluator.outputs(points.reshape(5, *graph.input_shape)) @ rows.T)
            worst = max(worst, float((seen - drops.most).max()))
            slack += [float(np.median(drops.most - seen))] if width < 1 else []
    return worst, float(np.median(slack))


@pytest.mark.parametrize("pooled", [False, True])
def test_no_drop_of_several_features_exceeds_its_bound(pooled: bool) -> None:
    found = [excess_together(seed, pooled) for seed in range(6)]
    assert max(worst for worst, _ in found) <= 1e-12  # the points themselves are rounded
    assert np.median([slack for _, slack in found]) < 0.1
    problem = asked(chain(0, pooled), 0, "feature")
    forms = WindowForms(claim_of(problem), problem.ball.geometry)
    assert len(forms.drops_together(np.array([0, 5]), np.zeros((0, 2)), np.zeros((0, 2))).most) == 0


def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remainder of a bent form is forgotten."""
    own = window_forms.carry

    def bare(*args: object) -> carry.Carried:
        found = own(*args)  # type: ignore[arg-type]
        return carry.Carried(found.slope, found.constant, np.zeros_like(found.rest))

    monkeypatch.setattr(window_forms, "carry", bare)


def shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions read one number beside the right one."""
    own = window_forms.slid

    def beside(*args: object) -> object:
        window, reads = own(*args)  # type: ignore[arg-type]
        return window, np.roll(reads, 1, axis=1)

    monkeypatch.setattr(window_forms, "slid", beside)


def first_of_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooling keeps what it had instead of the larger one."""
    monkeypatch.setattr(window_forms, "larger", lambda one, other, at, after: other)


@pytest.mark.parametrize("plant", [no_rest, shifted, first_of_pool])
def test_planted_bugs_are_caught(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(excess(seed, True) > 0 for seed in range(6))


def test_ranges_are_those_of_local_forms() -> None:
    for seed in range(4):
        problem = asked(chain(seed, False), seed, "pixel")
        claim = claim_of(problem)
        windows, local = WindowForms(claim, problem.ball.geometry), LocalForms(claim, problem.ball.geometry)
        for g, features in enumerate(windows.groups):
            low, high = windows.low[features][None], windows.high[features][None]
            _, (spans,) = windows.drops(np.array([g]), low, high)
            _, expected = local.drops_and_spans(Cells((g,), low, high))
            for value, (units, least, most) in expected.items():
                whole = np.zeros((2, local.at[value][0].size))
                whole[:, spans[value][0]] = spans[value][1:]
                np.testing.assert_allclose(whole[:, units], [least, most], atol=1e-9)
                assert np.abs(np.delete(whole, units, axis=1)).max(initial=0.0) < 1e-9


def test_windows_hold_all_results_that_read_a_number() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        shape = (int(rng.integers(4, 9)), int(rng.integers(4, 9)))
        kernel, strides, dilations = (tuple(int(v) for v in rng.integers(1, top, 2)) for top in (4, 3, 3))
        begins = tuple(int(v) for v in rng.integers(0, 2, 2))
        after = tuple(
            (n + 2 * b - d * (k - 1) - 1) // s + 1 for n, b, d, k, s in zip(shape, begins, dilations, kernel, strides, strict=True)
        )
        if min(after) < 1:
            continue
        size = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        start = np.stack([rng.integers(0, n - s + 1, 5) for n, s in zip(shape, size, strict=True)], axis=1)
        before = Window(start, size, shape)
        window, reads = slid(before, Sliding(kernel, strides, begins, dilations), (after[0], after[1]))
        for b in range(5):
            inside, places = set(before.places[b].tolist()), window.places[b].tolist()
            for row in range(after[0]):
                for column in range(after[1]):
                    at = [(row * strides[0] + i * dilations[0] - begins[0], column * strides[1] + j * dilations[1] - begins[1])
                          for i in range(kernel[0]) for j in range(kernel[1])]  # fmt: skip
                    flat = [r * shape[1] + c if 0 <= r < shape[0] and 0 <= c < shape[1] else -1 for r, c in at]
                    place = row * after[1] + column
                    if place not in places:
                        assert not inside & set(flat)
                        continue
                    own = before.places[b].tolist()
                    expected = [own.index(f) if f in inside else len(own) for f in flat]
                    assert reads[b, places.index(place)].tolist() == expected


def test_refuses_what_is_no_chain_over_an_image() -> None:
    builder = GraphBuilder((1, 3, 3))
    inner = builder.add(nl.Relu(), builder.add(op.Convolution(np.ones((1, 1, 1, 1)), np.ones(1), (1, 1), (0, 0), (0, 0), (1, 1)), 0))
    flat = builder.add(op.Reshape((9,)), builder.add(op.Add(), inner, 0))
    graph = builder.build(builder.add(op.Dense(np.eye(2, 9), np.zeros(2)), flat))
    problem = asked(graph, 0, "feature")
    with pytest.raises(CapabilityError, match="chains"):
        WindowForms(claim_of(problem), problem.ball.geometry)


def test_nan_weights_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = asked(chain(0, True), 0, "feature")
    forms = WindowForms(claim_of(problem), problem.ball.geometry)
    monkeypatch.setattr(window_forms, "read", lambda values, reads: np.full((*values.shape[:2], *reads.shape[1:], values.shape[3]), np.nan))
    drops, _ = forms.drops(np.array([0]), forms.low[forms.groups[0]][None], forms.high[forms.groups[0]][None])
    assert (drops.most == np.inf).all()
