"""Graphs in the checker's own operators are the same functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.checking.certificates.lowering import lowered
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.models.torch_graph import GraphModule
from random_graphs import random_graph


def values(graph: Graph, points: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return GraphModule(graph, torch.float64)(torch.from_numpy(points)).numpy()


@pytest.mark.parametrize("kind", ["leaky", "shapes"])
def test_the_same_values(kind: str) -> None:
    for seed in range(5):
        graph = random_graph(kind, seed)
        points = np.random.default_rng(seed).integers(-8, 9, (50, *graph.input_shape)) / 4
        other = lowered(graph)
        assert not any(isinstance(n.operator, nl.Abs | nl.Clip | nl.Minimum) for n in other.nodes)
        assert np.array_equal(values(graph, points), values(other, points))


def test_one_sided_clips() -> None:
    for low, high in ((-np.inf, 0.5), (-0.25, np.inf), (-np.inf, np.inf)):
        builder = GraphBuilder((3,))
        graph = builder.build(builder.add(op.MulConstant(np.full((), 1.0)), builder.add(nl.Clip(low, high), 0)))
        points = np.array([[-2.0, 0.0, 2.0]])
        assert np.array_equal(values(lowered(graph), points), np.clip(points, low, high))


def shifted(bias: float, value: float, *, read_twice: bool = False) -> Graph:
    builder = GraphBuilder((2,))
    dense = builder.add(op.Dense(np.eye(2), np.full(2, bias)), 0)
    total = builder.add(op.AddConstant(np.full(2, value)), dense)
    return builder.build(builder.add(op.Add(), total, dense) if read_twice else builder.add(nl.Relu(), total))


def test_a_constant_joins_its_layer_only_where_that_is_exact() -> None:
    assert [n.operator.name for n in lowered(shifted(0.5, 0.25)).nodes] == ["Dense", "Relu"]
    for bias, value in ((1.0, 1e-30), (1e308, 1e308)):
        assert [n.operator.name for n in lowered(shifted(bias, value)).nodes] == ["Dense", "AddConstant", "Relu"]
    assert [n.operator.name for n in lowered(shifted(0.5, 0.25, read_twice=True)).nodes] == ["Dense", "AddConstant", "Add"]


def test_a_graph_without_any_of_these_stays_as_it_is() -> None:
    graph = random_graph("dense", 0)
    assert lowered(graph) is graph
