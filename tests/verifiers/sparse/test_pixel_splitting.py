"""L0 proofs against networks of which every subset of features and every linear piece is enumerated in rational numbers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from netassay.errors import CapabilityError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.evaluation import Evaluator
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.sparse import additive, interplay, local_forms
from netassay.verifiers.sparse.independent import independent_sums
from netassay.verifiers.sparse.interplay import Interplay
from netassay.verifiers.sparse.local_forms import Cells, LocalForms
from netassay.verifiers.sparse.pixel_regions import Part, PixelRegions
from netassay.verifiers.sparse.pixel_splitting import PixelSplitting
from netassay.verifiers.sparse.reach import matrix
from random_graphs import dyadic
from sparse_enumeration import exact_least, problem

SIZE = 7
"""Features of the enumerated networks; neighbours interact."""


def strip(seed: int, channels: int = 1) -> Graph:
    """A convolution of width 2 over a strip of pixels, ReLU, three labels; dyadic weights."""
    rng = np.random.default_rng([seed, 11])
    builder = GraphBuilder((channels, SIZE))
    value = builder.add(op.Convolution(dyadic(rng, 2, channels, 2), dyadic(rng, 2), (1,), (0,), (0,), (1,)), 0)
    value = builder.add(nl.Relu(), value)
    value = builder.add(op.Reshape((2 * (SIZE - 1),)), value)
    return builder.build(builder.add(op.Dense(dyadic(rng, 3, 2 * (SIZE - 1)), dyadic(rng, 3)), value))


def task(asked: Problem, seconds: float = 20.0) -> Task:
    return Task(claim_of(asked), Regions.of([asked.region]), Limits(Clock(seconds)))


def last(asked: Problem, verifier: PixelSplitting) -> Finding:
    findings = list(verifier.verify(task(asked)))
    lowers = [f.lower for f in findings]
    assert lowers == sorted(lowers) or findings[-1].proved
    return findings[-1]


BOTH_WAYS = pytest.mark.parametrize("verifier", [PixelSplitting(), PixelSplitting(additive=False)], ids=["added", "split"])


@BOTH_WAYS
@pytest.mark.parametrize("changes", [1, 2])
def test_decides_as_the_enumeration_does(verifier: PixelSplitting, changes: int) -> None:
    decided = {True: 0, False: 0}
    for seed in range(10):
        asked = problem(strip(seed), seed, changes)
        label = asked.property.label  # type: ignore[attr-defined]
        exact = exact_least(asked.network.graph, asked.center, changes, label, -1.0, 1.0)  # type: ignore[arg-type]
        found = last(asked, verifier)
        assert exact >= found.lower
        if exact > 0:
            assert found.proved, (seed, float(exact), found)
        else:
            assert not found.proved
            if exact < 0:
                assert found.point is not None
                assert found.least <= 0
                assert asked.region.contains(found.point[None])[0]
        decided[exact > 0] += 1
    assert min(decided.values()) >= 2, decided


def deep(seed: int) -> Graph:
    """Two convolutions with ReLUs, a scaling and a residual sum in between, over (2, 4, 5) images."""
    rng = np.random.default_rng([seed, 17])
    builder = GraphBuilder((2, 4, 5))
    value = builder.add(op.Convolution(dyadic(rng, 3, 2, 2, 2), dyadic(rng, 3), (1, 1), (1, 1), (0, 0), (1, 1)), 0)
    value = builder.add(op.ChannelAffine(dyadic(rng, 3), dyadic(rng, 3)), value)
    inner = builder.add(nl.Relu(), value)
    value = builder.add(op.Convolution(dyadic(rng, 3, 3, 2, 2), dyadic(rng, 3), (1, 1), (0, 0), (1, 1), (1, 1)), inner)
    value = builder.add(op.Add(), value, inner)
    value = builder.add(op.Add(), value, builder.add(op.Constant(dyadic(rng, 3, 4, 5))))
    value = builder.add(nl.LeakyRelu(0.25) if seed % 2 else nl.Relu(), value)
    value = builder.add(op.Reshape((60,)), value)
    return builder.build(builder.add(op.Dense(dyadic(rng, 3, 60), dyadic(rng, 3)), value))


def excess(seed: int) -> float:
    """By how much a sampled drop exceeds its bound, at most, over clusters, hulls and pairs; not positive if all is well."""
    graph = deep(seed)
    asked = problem(graph, seed, 2, "pixel")
    claim, rng = claim_of(asked), np.random.default_rng(seed)
    local, evaluator = LocalForms(claim, asked.ball.geometry), Evaluator(BoundedGraph(graph))
    rows = np.concatenate([part.rows for part in claim.parts])

    def margins(offsets: np.ndarray) -> np.ndarray:
        points = np.clip(asked.center.reshape(-1) + offsets, -1.0, 1.0)
        return evaluator.outputs(points.reshape(-1, *graph.input_shape)) @ rows.T

    def moved(groups: tuple[int, ...], count: int = 60) -> np.ndarray:
        features, offsets = local.features(groups), np.zeros((count, asked.center.size))
        low, high = local.low[features], local.high[features]
        share = np.where(rng.random((count, 1)) < 0.5, rng.random((count, len(features))), rng.integers(0, 2, (count, len(features))))
        offsets[:, features] = low + (high - low) * np.round(share * 16) / 16
        return offsets

    at, worst = margins(np.zeros((1, asked.center.size)))[0], -np.inf
    singles, spans = [], []
    for g in range(len(local.groups)):
        drops, span = local.drops_and_spans(local.whole((g,)))
        singles.append(drops.most[0])
        spans.append(span)
        worst = max(worst, float((at - margins(moved((g,))) - drops.most[0]).max()))
    between = Interplay(local, spans)
    for g, h in combinations(range(0, len(local.groups), 2), 2):
        pair = at - margins(moved((g, h)))
        worst = max(worst, float((pair - local.drops(local.whole((g, h))).most[0]).max()))
        worst = max(
            worst, float((pair - local.drops(local.whole((g,), (h, (h + 1) % 20 if (h + 1) % 20 != g else (h + 2) % 20), 1)).most[0]).max())
        )
        if between.served and local.interacts[g, h]:
            worst = max(worst, float((pair - singles[g] - singles[h] - between.drops(g, [h])[0]).max()))
        if not local.interacts[g, h]:
            worst = max(worst, float((pair - singles[g] - singles[h]).max()))
    return worst


def test_no_sampled_drop_exceeds_its_bound() -> None:
    assert max(excess(seed) for seed in range(6)) <= 0


def lost_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One group less than may change adds to the hull."""
    monkeypatch.setattr(local_forms, "_largest", lambda gains, count: np.zeros(gains.shape[:-1]))


def all_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that share neurons are taken to add up."""
    own = local_forms.LocalForms.__init__

    def init(self: LocalForms, *args: object) -> None:
        own(self, *args)  # type: ignore[arg-type]
        self.interacts = np.eye(len(self.groups), dtype=np.bool_)

    monkeypatch.setattr(local_forms.LocalForms, "__init__", init)


def no_bend(monkeypatch: pytest.MonkeyPatch) -> None:
    """ReLUs cause no interplay."""
    monkeypatch.setattr(interplay, "_bend", lambda here, one, other: np.zeros(np.broadcast_shapes(one.shape, other.shape)))


def no_upper_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines above lie too low."""
    own = local_forms.lines

    def low(*args: object) -> object:
        found = own(*args)  # type: ignore[arg-type]
        return local_forms.Lines(found.lower_slope, found.lower_offset, found.upper_slope, np.zeros_like(found.upper_offset))

    monkeypatch.setattr(local_forms, "lines", low)


@pytest.mark.parametrize("plant", [lost_gain, all_apart, no_bend, no_upper_lines])
def test_planted_bugs_are_caught(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(excess(seed) > 0 for seed in range(6))


def test_a_lost_level_of_clusters_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were interacting pairs forgotten, some unsafe ball would be proved."""
    monkeypatch.setattr(additive.Additive, "_pairs", lambda self, group, others: iter(()))
    wrong = 0
    for seed in range(10):
        asked = problem(strip(seed), seed, 2)
        exact = exact_least(asked.network.graph, asked.center, 2, asked.property.label, -1.0, 1.0)  # type: ignore[arg-type, attr-defined]
        wrong += exact <= 0 and any(f.proved for f in PixelSplitting().verify(task(asked)))
    assert wrong > 0


def test_linear_forms_over_parts_of_a_ball_are_exact() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        center = rng.integers(-4, 5, (2, 2, 2)) / 4
        geometry = Ball(center, 2, "l0", domain=Box.filled(center.shape, -1.5, 1.5), group="pixel").geometry
        allowed, count = np.array([[True, True, True, False]]), int(rng.integers(0, 3))
        low, high = (np.full(center.shape, side) for side in (-1.5, 1.5))
        low.reshape(2, 4)[:, 3], high.reshape(2, 4)[:, 3] = -0.5, 0.25  # the last pixel moves within a cell
        regions = PixelRegions(low[None], high[None], part=Part(geometry, allowed, np.array([count])))
        row = rng.integers(-8, 9, (1, *center.shape)) / 8
        form, x = row.reshape(2, 4), center.reshape(2, 4)
        choices = []
        for p in range(4):
            ends = [(-1.5, 1.5) if p < 3 else (-0.5, 0.25)] * 2
            choices.append(min(sum(Fraction(form[c, p]) * Fraction(v[c]) for c in range(2)) for v in product(*ends)))
        stay = [sum(Fraction(form[c, p]) * Fraction(x[c, p]) for c in range(2)) for p in range(3)]
        exact = min(
            choices[3] + sum(choices[p] if p in changed else stay[p] for p in range(3))
            for k in range(count + 1)
            for changed in combinations(range(3), k)
        )
        (bound,) = regions.minimum(row, np.array([0]))
        assert Fraction(bound) <= exact
        assert float(exact) - bound < 1e-12
        (point,) = regions.minimisers(row, np.array([0]))
        assert sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(row.reshape(-1), point.reshape(-1), strict=True)) == exact


def test_independent_sums_are_those_of_all_choices() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        values, apart = rng.integers(0, 9, 7) / 2, rng.random((7, 7)) < 0.3
        interacts = apart | apart.T | np.eye(7, dtype=np.bool_)
        found = independent_sums(values, interacts, 3)
        for k in range(4):
            sets = [s for n in range(k + 1) for s in combinations(range(7), n) if not any(interacts[a, b] for a, b in combinations(s, 2))]
            assert found[k] == max(float(values[list(s)].sum()) for s in sets)


def test_convolutions_as_matrices_are_their_maps() -> None:
    rng = np.random.default_rng(1)
    for groups, strides, begins, dilations in ((1, (1, 1), (1, 1), (1, 1)), (2, (2, 1), (0, 2), (1, 2))):
        convolution = op.Convolution(dyadic(rng, 4, 4 // groups, 3, 2), dyadic(rng, 4), strides, begins, (1, 1), dilations, groups)
        affine, points = AffineMap(convolution, [(4, 7, 6)]), dyadic(rng, 3, 4, 7, 6)
        expected = (affine([points]) - affine.constant).reshape(3, -1)
        assert (expected == (matrix(affine) @ points.reshape(3, -1).T).T).all()


def test_refuses_other_regions() -> None:
    asked = problem(strip(0), 0, 1)
    other = Problem(asked.network, Ball(asked.center, 0.5, "linf", domain=asked.network.domain), asked.property)
    with pytest.raises(CapabilityError, match="L0"):
        list(PixelSplitting().verify(task(other)))
    unbounded = Problem(asked.network, Ball(asked.center, 1, "l0"), asked.property)
    with pytest.raises(CapabilityError, match="bounded domain"):
        list(PixelSplitting().verify(task(unbounded)))


def test_nan_weights_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are not numbers never say that a ball is safe."""
    own = local_forms.lines
    monkeypatch.setattr(local_forms, "lines", lambda *args: local_forms.Lines(*(np.full_like(args[1], np.nan) for _ in range(4))))
    assert own is not local_forms.lines
    asked = problem(strip(0), 0, 1)
    local = LocalForms(claim_of(asked), asked.ball.geometry)
    assert (local.drops(local.whole((0,))).most == np.inf).all()
    assert len(local.drops(Cells((0,), local.low[:1][None], local.high[:1][None])).most) == 1
