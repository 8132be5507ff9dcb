"""Where some input of the region gives no number (the root of a negative one), nothing holds, whatever bounds come after it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from netassay.errors import CapabilityError, UnsupportedOperatorError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.regions import Ball
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.lipschitz import slope_bounds
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS

Layer = Callable[[GraphBuilder, int], int]


def _quotient(builder: GraphBuilder, value: int) -> int:
    one, other = (builder.add(op.Slice((i,), (i + 1,), (1,)), value) for i in (0, 1))
    return builder.add(op.Concat(0), builder.add(nl.Div(), one, other), one)


PARTIAL: dict[str, Layer] = {
    "root": lambda b, v: b.add(nl.Sqrt(), v),
    "logarithm": lambda b, v: b.add(nl.Log(), v),
    "power": lambda b, v: b.add(nl.Power(1.5), v),
    "reciprocal": lambda b, v: b.add(nl.Power(-1.0), v),
    "quotient": _quotient,
}
SWALLOWING: dict[str, Layer] = {
    "clip": lambda b, v: b.add(nl.Clip(0.0, 1.0), v),
    "sigmoid": lambda b, v: b.add(nl.Sigmoid(), v),
    "softmax": lambda b, v: b.add(nl.Softmax(0), v),
    "wave": lambda b, v: b.add(nl.Sin(), v),
    "zeros": lambda b, v: b.add(op.Dense(np.zeros((2, 2)), np.zeros(2)), v),
    "nothing above": lambda b, v: b.add(nl.Minimum(), b.add(nl.Clip(-1.0, 1.0), v), b.add(op.Constant(np.zeros(2)))),
}


def graph_of(partial: str, swallowing: str) -> Graph:
    """Of two inputs; the output is bounded by 3 from below wherever it is a number."""
    builder = GraphBuilder((2,))
    value = SWALLOWING[swallowing](builder, PARTIAL[partial](builder, 0))
    return builder.build(builder.add(op.Dense(np.array([[1.0, 0.5]]), np.array([6.0])), value))


def claim_of(graph: Graph) -> Claim:
    return Claim(graph, (Part(np.ones((1, 1)), np.array([-0.5])),), strict=True)


def findings(name: str, region: Box | Ball, graph: Graph, seconds: float) -> list[Finding]:
    try:
        return list(VERIFIERS[name].build().verify(Task(claim_of(graph), Regions.of([region]), Limits(Clock(seconds)))))
    except (CapabilityError, UnsupportedOperatorError):
        return []


REGIONS = {
    "box": Box.filled((2,), -0.25, 1.0),
    "l2": Ball([0.5, 0.5], 0.75, 2, Box.filled((2,), -1.0, 2.0)),
    "l0": Ball([0.5, 0.5], 1, 0, Box.filled((2,), -0.25, 1.0)),
}


CASES = [(partial, swallowing, "box") for partial in PARTIAL for swallowing in SWALLOWING]
CASES += [(partial, "clip", where) for partial in ("root", "quotient") for where in ("l2", "l0")]


@pytest.mark.parametrize(("partial", "swallowing", "where"), CASES)
def test_nothing_holds_where_some_input_gives_no_number(partial: str, swallowing: str, where: str) -> None:
    graph, answers = graph_of(partial, swallowing), 0
    for name in VERIFIERS:
        if name == "marabou":
            continue
        for finding in findings(name, REGIONS[where], graph, 0.02):
            answers += 1
            assert not finding.proved, name
            assert finding.lower == -np.inf, name
    assert answers > 3


@pytest.mark.parametrize("swallowing", SWALLOWING)
@pytest.mark.parametrize("partial", PARTIAL)
def test_where_all_inputs_give_numbers_it_holds(partial: str, swallowing: str) -> None:
    graph, inside = graph_of(partial, swallowing), Box.filled((2,), 0.25, 1.0)
    for name in ("interval", "crown", "zonotope", "symbolic", "auto"):
        assert findings(name, inside, graph, 2.0)[-1].proved, name


def test_boxes_are_told_apart() -> None:
    """Of several boxes bounded together only those are lost in which some input gives no number."""
    bounded = BoundedGraph(graph_of("root", "clip"))
    low, high = bounded.propagate(Regions(np.array([[0.25, 0.25], [-0.25, 0.25]]), np.ones((2, 2))))[-1]
    assert np.isnan(low[1]).all()
    assert np.isnan(high[1]).all()
    assert (low[0] >= 6).all()
    assert (high[0] <= 7.6).all()


def test_no_slope_is_proved_where_some_input_gives_no_number() -> None:
    ball = Ball([0.5, 0.5], 0.75, 2, Box.filled((2,), -1.0, 2.0))
    for swallowing in SWALLOWING:
        for bounds in slope_bounds(claim_of(graph_of("root", swallowing)), ball, Limits(Clock(0.05))):
            assert bounds.falling == bounds.rising == np.inf, swallowing
