"""Networks as chains of maxima: against values in rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from certificate_pairs import pixel_bounds
from certificate_worlds import graph_of
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.local import Centre
from netassay.checking.certificates.maxima import Frame, Maximum, maxima_of, unit_begins
from netassay.checking.certificates.network import CheckedNetwork
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.verifiers.certificates.claims import statement_of
from pair_worlds import asked, pooled


def centre_of(graph: Graph, point: np.ndarray, *, exact: bool = False) -> Centre:
    arithmetic = Arithmetic(exact)
    return Centre(CheckedNetwork(graph, arithmetic), arithmetic.array(point.reshape(-1)))


def alternatives(each: Maximum, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    read = np.append(values, Fraction(0))
    return read[each.choice], read[each.others] - read[each.choice]


@pytest.mark.parametrize("seed", range(4))
def test_every_operator_is_its_choice_and_its_gaps(seed: int) -> None:
    """Also at other points; at the centre gaps are where they are said to be."""
    problem = asked(pooled(seed), seed)
    graph, rng = graph_of(problem), np.random.default_rng(seed)
    maxima = maxima_of(centre_of(graph, problem.center))
    assert [len(each.others) for each in maxima] == [4, 1, 1]
    for point in (problem.center, rng.integers(-8, 9, graph.input_shape) / 8):
        exact = centre_of(graph, point, exact=True)
        for each in maxima:
            choice, gaps = alternatives(each, exact.values[each.value])
            assert (choice + np.maximum(gaps.max(axis=0), 0) == exact.values[each.end]).all()
            if point is problem.center:
                assert (np.abs(gaps - each.gap) <= each.off).all()
                assert (each.off < 1e-10).all()


@pytest.mark.parametrize("seed", range(4))
def test_maps_are_the_networks_while_choices_stay(seed: int) -> None:
    """What operators grow by in some places grows gaps and rows behind them as the network's own layers do, choices alone."""
    problem = asked(pooled(seed), seed)
    graph = graph_of(problem)
    bounds = pixel_bounds(graph, statement_of([problem]).cases[0])
    network, maxima, rng = bounds.network, maxima_of(bounds.centre), np.random.default_rng(seed)
    frame = Frame(bounds.centre, maxima, np.array([7, 8, 14]), bounds.rows)
    kept = _results(frame, bounds.centre, maxima)
    grown = [rng.integers(-8, 9, len(some)) / 8 for some in kept]
    change, position, sums = np.zeros(network.sizes[0]), 0, list[np.ndarray]()
    for each, some, more in zip(maxima, kept, grown, strict=True):
        change = _through(network, change, position, each.value)
        read = np.append(change, 0.0)
        sums.append((read[each.others] - read[each.choice])[:, some].reshape(-1))
        change, position = read[each.choice], each.end
        change[some] += more
    sums.append(bounds.rows @ _through(network, change, position, network.output))
    before = 0
    for k, (matrix, wanted) in enumerate(zip(frame.maps, sums, strict=True)):
        np.testing.assert_array_equal(np.concatenate([np.zeros(0), *grown[:k]]) @ matrix, wanted)
        assert (frame.masses[k] >= np.abs(matrix).sum(axis=0)).all()
        before += 1
    assert before == 4


def _results(frame: Frame, centre: Centre, maxima: list[Maximum]) -> list[np.ndarray]:
    """Which results of each operator the frame is about, by the units that it names."""
    units = np.zeros(sum(centre.network.sizes[m.value] for m in maxima) + 1, dtype=np.bool_)
    units[frame.units] = True
    found = []
    for each, begin, (_, o) in zip(maxima, unit_begins(centre.network, maxima), frame.shapes, strict=True):
        every = np.concatenate([each.choice[None], each.others])
        some = np.flatnonzero((units[np.where(every < 0, 0, every + begin)] | (every < 0)).all(axis=0))
        reached = [r for r in some.tolist() if r in _touched(centre, each)]
        assert len(reached) == o
        found.append(np.array(reached))
    return found


def _touched(centre: Centre, each: Maximum) -> set[int]:
    """The results that depend on pixels 7, 8 or 14, by pushing ones through the magnitudes of all weights."""
    network, reached = centre.network, np.zeros(centre.network.sizes[0])
    reached[[7, 8, 14]] = 1.0
    for position in range(each.end):
        mapped, index = network.maps[position], network.windows[position]
        if mapped is not None:
            reached = (mapped.linear(reached[None], absolute=True)[0] > 0).astype(float)
        elif index is not None:
            reached = reached[index].max(axis=1)
    return set(np.flatnonzero(reached).tolist())


def _through(network: CheckedNetwork, change: np.ndarray, begin: int, end: int) -> np.ndarray:
    for position in range(begin, end):
        mapped = network.maps[position]
        assert mapped is not None
        change = mapped.linear(change[None])[0]
    return change


def test_other_networks_are_refused() -> None:
    def dense(builder: GraphBuilder, value: int) -> Graph:
        size = int(np.prod(builder.shape(value)))
        return builder.build(builder.add(op.Dense(np.eye(3, size), np.zeros(3)), builder.add(op.Reshape((size,)), value)))

    leaky = GraphBuilder((1, 1, 4))
    smooth = GraphBuilder((1, 1, 4))
    padded = GraphBuilder((1, 2, 4))
    branched = GraphBuilder((1, 1, 4))
    graphs = [
        dense(leaky, leaky.add(nl.LeakyRelu(0.1), 0)),
        dense(smooth, smooth.add(nl.Tanh(), 0)),
        dense(padded, padded.add(nl.MaxPool((2, 2), (2, 2), (0, 1), (0, 1), (1, 1)), 0)),
        dense(branched, branched.add(op.Add(), 0, branched.add(nl.Relu(), 0))),
    ]
    for graph in graphs:
        with pytest.raises(DataError, match="pairs of pixels are followed through"):
            maxima_of(centre_of(graph, np.zeros(graph.input_shape)))
