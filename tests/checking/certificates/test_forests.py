"""Any choice of splits, slopes and multipliers gives a bound that no input of its leaf lies below."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.forests import Choices, Means, Units, leaf_bounds, splits_of
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.trees import INPUT, LEAF, Forest, forest
from netassay.errors import DataError
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from random_graphs import random_graph

KINDS = ("dense", "residual", "pooling", "convolution")


def random_tree(network: CheckedNetwork, upto: int, rng: np.random.Generator, depth: int = 3) -> list[tuple[int, int, float]]:
    """A tree in preorder, with splits of features and of numbers of values before ``upto``, not always at 0."""
    values = [INPUT, *(v for v in sorted(network.relaxed) if v < upto)]
    if depth == 0 or rng.random() < 0.15:
        return [(LEAF, 0, 0.0)]
    value = int(rng.choice(values))
    split = value, int(rng.integers(network.sizes[value])), float(rng.choice([0.0, 0.0, 0.25, -0.5]))
    return [split, *random_tree(network, upto, rng, depth - 1), *random_tree(network, upto, rng, depth - 1)]


def random_choices(network: CheckedNetwork, upto: int, trees: Forest, rng: np.random.Generator) -> Choices:
    splits = splits_of(trees)
    slopes = {}
    for v in sorted(network.kinked):
        if v < upto:
            index = np.flatnonzero(rng.random(network.sizes[v]) < 0.7).astype(np.uint32)
            slopes[v] = index, rng.integers(0, 256, (splits.count, len(index))).astype(np.uint8)
    multipliers = rng.choice([0.0, 0.25, 1.0, 3.0], len(splits.leaf)).astype(np.float32)
    return Choices(slopes, multipliers)


def values_at(graph: Graph, points: np.ndarray) -> list[np.ndarray]:
    """All values of a graph at points, exact for dyadic numbers."""
    found = [points.reshape(len(points), -1)]
    for position in range(len(graph.nodes)):
        part = Graph(graph.input_shape, graph.nodes[: position + 1]) if len(graph.shapes[position + 1]) == 1 else None
        if part is None:
            from netassay.models.builder import GraphBuilder

            builder, values = GraphBuilder(graph.input_shape), [0]
            for node in graph.nodes[: position + 1]:
                values.append(builder.add(node.operator, *(values[i] for i in node.inputs)))
            part = builder.build(values[-1])
        with torch.no_grad():
            found.append(GraphModule(part, torch.float64)(torch.from_numpy(points)).numpy())
    return found


def no_leaf_bound_lies_above_a_point(kind: str, seed: int, *, exact: bool = False) -> int:
    """How many bounds were compared with points."""
    rng = np.random.default_rng([seed, 11])
    network = CheckedNetwork(random_graph(kind, seed), Arithmetic(exact))
    graph, a = network.graph, network.arithmetic
    center = rng.integers(-4, 5, network.sizes[0]) / 4
    region = Region(center - 0.5, center + 0.75)
    whole = Parts(network, region, a.array(region.lower)[None], a.array(region.upper)[None])
    points = np.round((region.lower + (region.upper - region.lower) * rng.random((400, len(center)))) * 256) / 256
    points = np.concatenate([points, np.where(rng.random(points.shape) < 0.5, region.lower, region.upper)])
    values = values_at(graph, points.reshape(-1, *graph.input_shape))
    of = int(rng.choice([*sorted(network.relaxed), network.output]))
    trees = forest(
        *(np.array(c, t) for c, t in zip(zip(*random_tree(network, of, rng), strict=True), ("i4", "u4", "f8"), strict=True)), network
    )
    choices = random_choices(network, of, trees, rng)
    leaves = len(trees.leaves)
    if of == network.output:
        rows, constants = rng.integers(-2, 3, (2, network.sizes[of])) / 1.0, rng.integers(-2, 3, 2) / 2.0
        weights = [rng.choice([0.0, 0.5, 1.0], 2) + np.array([0.25, 0.0]) for _ in range(leaves)]
        target = Means(of, [a.array(rows)] * leaves, [a.array(constants)] * leaves, weights)
        forms = [w @ (values[of] @ rows.T + constants).T for w in weights]
    else:
        unit, sign = int(rng.integers(network.sizes[of])), int(rng.choice([-1, 1]))
        target = Units(of, np.full(leaves, unit), np.full(leaves, sign, dtype=np.int8), network.sizes[of])
        forms = [sign * values[of][:, unit]] * leaves
    bounds = leaf_bounds(whole, splits_of(trees), choices, target)
    compared = 0
    for leaf, (path, form) in enumerate(zip(trees.paths(), forms, strict=True)):
        inside = np.ones(len(points), dtype=bool)
        for node, side in path:
            number = values[trees.value[node]][:, trees.index[node]]
            inside &= number >= trees.threshold[node] if side else number <= trees.threshold[node]
        if inside.any():
            compared += 1
            assert bounds[leaf] <= (Fraction(float(form[inside].min())) if exact else form[inside].min()), (kind, seed, leaf)
    return compared


@pytest.mark.parametrize("kind", KINDS)
def test_any_choice_gives_a_bound(kind: str) -> None:
    assert sum(no_leaf_bound_lies_above_a_point(kind, seed) for seed in range(25)) > 60


@pytest.mark.parametrize("kind", ["dense", "residual"])
def test_any_choice_gives_a_bound_in_rational_arithmetic(kind: str) -> None:
    assert sum(no_leaf_bound_lies_above_a_point(kind, seed, exact=True) for seed in range(25, 30)) > 10


def test_multipliers_matter() -> None:
    """They are read: bounds with and without them differ."""
    network = CheckedNetwork(random_graph("dense", 1), Arithmetic())
    value = min(network.relaxed)
    region = Region(np.full(3, -1.0), np.full(3, 1.0))
    arrays = np.array([value, LEAF, LEAF], "i4"), np.array([0, 0, 0], "u4"), np.zeros(3)
    trees = forest(*arrays, network)
    target = Units(max(network.relaxed), np.zeros(2, dtype=np.intp), np.ones(2, dtype=np.int8), network.sizes[max(network.relaxed)])
    found = []
    for m in (0.0, 0.5):
        whole = Parts(network, region, region.lower[None], region.upper[None])
        found.append(leaf_bounds(whole, splits_of(trees), Choices(multipliers=np.full(2, m, np.float32)), target))
    assert (found[0] != found[1]).any()


def test_choices_that_do_not_fit_are_refused() -> None:
    network = CheckedNetwork(random_graph("dense", 0), Arithmetic())
    region = Region(np.zeros(3), np.ones(3))
    whole = Parts(network, region, region.lower[None], region.upper[None])
    trees = forest(np.array([LEAF], "i4"), np.zeros(1, "u4"), np.zeros(1), network)
    target = Units(max(network.relaxed), np.zeros(1, dtype=np.intp), np.ones(1, dtype=np.int8), 5)
    first, last = min(network.relaxed), max(network.relaxed)
    none, one = np.zeros(0, np.uint32), np.zeros((1, 1), np.uint8)
    for choices in (
        Choices(multipliers=np.ones(1, np.float32)),
        Choices({first: (none, one)}),
        Choices({first: (np.array([99], np.uint32), one)}),
        Choices({last: (np.zeros(1, np.uint32), one)}),
        Choices({0: (np.zeros(1, np.uint32), one)}),
        Choices({10**6: (np.zeros(1, np.uint32), one)}),
    ):
        with pytest.raises(DataError):
            leaf_bounds(whole, splits_of(trees), choices, target)


def test_rows_of_numbers_without_a_bound_prove_nothing() -> None:
    """What weighted rows may be off by is not known where a number is not; that is no reason for a warning."""
    rows, constants, weights = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2), np.array([0.5, 0.25])
    _, _, error = Means(1, [rows], [constants], [weights]).forms(Arithmetic(), np.array([np.inf, 1.0]), slice(0, 1))
    assert not error[0] < np.inf
