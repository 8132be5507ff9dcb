"""Forms are dropped once nothing reads them, but for those that are to be kept."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.numerics.box import Box
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.propagation.symbolic import SymbolicIntervals
from netassay.verifiers.propagation.zonotope import Zonotopes
from netassay.verifiers.region import Regions


def skipping() -> BoundedGraph:
    """``relu(W x) + W x``: the dense layer is read twice."""
    builder = GraphBuilder((3,))
    dense = builder.add(op.Dense(np.arange(6.0).reshape(2, 3) - 2, np.array([0.5, -1.0])), 0)
    rectified = builder.add(nl.Relu(), dense)
    return BoundedGraph(builder.build(builder.add(op.Add(), rectified, dense)))


@pytest.mark.parametrize("kind", [Zonotopes, SymbolicIntervals])
@pytest.mark.parametrize("kept", [frozenset(), frozenset({1})])
def test_what_is_read_no_more_is_dropped(kind: type[Zonotopes] | type[SymbolicIntervals], kept: frozenset[int]) -> None:
    regions = Regions.of([Box.filled((3,), -1.0, 1.0)])
    walked = kind(skipping(), regions, kept=kept)
    found = walked.run()
    assert set(walked.values) == {3, *kept}
    assert found is walked.values[3]
    assert len(walked.ranges) == 4
    bare = kind(skipping(), regions)
    bare.run()
    for left, right in zip(walked.ranges, bare.ranges, strict=True):
        assert (left[0] == right[0]).all()
        assert (left[1] == right[1]).all()
