"""The network in the relaxation's variables is the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exact_polygons import box, claim_about, tiny
from netassay.errors import CapabilityError
from netassay.models.torch_graph import GraphModule
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.root import Root
from netassay.verifiers.region import Regions
from netassay.verifiers.semidefinite.forms import Forms, Phases, forms_of, undecided
from random_graphs import random_graph


def root_of(kind: str, seed: int) -> Root:
    graph = tiny(seed) if kind == "tiny" else random_graph(kind, seed, outputs=2)
    claim = Claim(graph, tuple(Part(row[None], np.zeros(1)) for row in np.eye(2)), strict=True)
    shape = (1, *graph.input_shape)
    return Root.of(claim, Regions(np.full(shape, -0.5), np.full(shape, 1.0)))


def values_of(bounded: BoundedGraph, x: np.ndarray) -> list[np.ndarray]:
    """All values of the graph at points, by the graph itself."""
    values = [x]
    for p, node in enumerate(bounded.graph.nodes):
        affine = bounded.maps[p]
        given = [values[i] for i in node.inputs]
        values.append(np.maximum(given[0], 0) if affine is None else affine(given))
    return values


def variables(forms: Forms, root: Root, values: list[np.ndarray]) -> np.ndarray:
    """(P, D) v at points."""
    flat = [v.reshape(len(v), -1) for v in values]
    xi = (flat[0] - forms.middle)[:, forms.moving] / forms.radius[forms.moving]
    s = [np.maximum(flat[value][:, i], 0) / float(root.ranges[value][1].reshape(-1)[i]) for value, i in forms.neurons]  # type: ignore[index]
    return np.concatenate([xi, np.ones((len(xi), 1)), np.array(s).reshape(-1, len(xi)).T], axis=1)


@pytest.mark.parametrize("kind", ["tiny", "dense", "residual", "convolution"])
def test_forms_are_what_they_stand_for(kind: str) -> None:
    rng = np.random.default_rng(0)
    for seed in range(6):
        root = root_of(kind, seed)
        forms = forms_of(root.bounded, root.region, root.ranges, {})
        assert len(forms.neurons) == undecided(root.bounded, root.ranges)
        x = rng.uniform(-0.5, 1.0, (50, *root.region.shape))
        values = values_of(root.bounded, x)
        v = variables(forms, root, values)
        assert np.abs(v).max() <= 1 + 1e-12
        assert np.abs(v @ forms.output.rows.T - values[-1]).max() < 1e-9
        s = v[:, forms.inputs + 1 :]
        assert np.abs(np.maximum(v @ forms.before.rows.T, 0) - s).max(initial=0.0) < 1e-9
        assert forms.points(v[:, : forms.inputs], root.region.shape) == pytest.approx(x)
        assert max(forms.before.errors.max(initial=0.0), forms.output.errors.max()) < 1e-9


def test_held_neurons_are_decided_and_their_signs_are_facts() -> None:
    rng = np.random.default_rng(1)
    root = root_of("tiny", 3)
    free = forms_of(root.bounded, root.region, root.ranges, {})
    phases: Phases = {free.neurons[0]: True, free.neurons[-1]: False}
    forms = forms_of(root.bounded, root.region, root.ranges, phases)
    assert forms.neurons == free.neurons[1:-1]
    values = values_of(root.bounded, rng.uniform(-0.5, 1.0, (400, 2)))
    signs = [values[value][:, i] for value, i in (free.neurons[0], free.neurons[-1])]
    inside = (signs[0] >= 0) & (signs[1] <= 0)
    assert 0 < inside.sum() < 400
    v = variables(forms, root, values)
    assert (v[inside] @ forms.facts.rows.T >= -1e-9).all()
    assert np.abs(v @ forms.output.rows.T - values[-1])[inside].max() < 1e-9
    assert np.abs(v @ forms.output.rows.T - values[-1])[~inside].max() > 1e-3
    assert ((v @ forms.facts.rows.T)[~inside].min(axis=1) < 0).all()


def test_neurons_that_hardly_reach_beyond_zero_are_errors() -> None:
    root = root_of("tiny", 3)
    free = forms_of(root.bounded, root.region, root.ranges, {})
    value, index = free.neurons[0]
    low, high = root.ranges[value]  # type: ignore[misc]
    low[0, index], high[0, index] = -1e-12, 1.0
    forms = forms_of(root.bounded, root.region, root.ranges, {})
    assert forms.neurons == free.neurons[1:]
    assert forms.output.errors.max() > 1e-13
    low[0, index], high[0, index] = -1.0, 1e-12
    assert forms_of(root.bounded, root.region, root.ranges, {}).neurons == free.neurons[1:]


def test_inputs_that_do_not_move_have_no_column() -> None:
    graph = tiny(1)
    region = Regions(np.array([[0.25, -1.0]]), np.array([[0.25, 1.0]]))
    root = Root.of(claim_about(graph, np.eye(2), np.zeros(2)), region)
    forms = forms_of(root.bounded, region, root.ranges, {})
    assert forms.inputs == 1
    x = forms.points(np.array([[1.0], [-1.0]]), (2,))
    assert x == pytest.approx(np.array([[0.25, 1.0], [0.25, -1.0]]))
    assert (x[:, 0] == 0.25).all()
    with torch.no_grad():
        expected = GraphModule(graph, torch.float64)(torch.from_numpy(x)).numpy()
    found = variables(forms, root, values_of(root.bounded, x)) @ forms.output.rows.T
    assert found == pytest.approx(expected)


def test_other_operators_are_refused_by_name() -> None:
    graph = random_graph("sigmoid", 0, outputs=2)
    claim = Claim(graph, (Part(np.eye(2)[:1], np.zeros(1)),), strict=True)
    root = Root.of(claim, box(graph))
    with pytest.raises(CapabilityError, match="Sigmoid"):
        undecided(root.bounded, root.ranges)
