"""A network's rounding as inputs of its own: a graph whose values, over all of them, are those that float32 may compute.

Each value gets what its operator rounds at most as a further summand, times an input from -1 to 1 (as Singh et al., 2019, have it for
DeepPoly). Bounds follow how these errors cancel and fade, which no bound on their sizes alone can, so that deep networks can be proved.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from netassay.checking.drift import local_roundings
from netassay.checking.float32.values import FLOAT32
from netassay.models import operators as op
from netassay.models.graph import Graph, Node
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import Range, bounded_graph
from netassay.verifiers.propagation.linear import LinearBounds
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array, down, up

MOST_ERRORS = 20_000
"""Errors of larger networks are not followed one by one."""

GUESSES = (1e-3, 1e-2, 1e-1)
"""By how much of its width, and of its size, a range is widened to hold the computed values too: to be proved."""


def perturbed(claim: Claim, deployed: Graph, region: Regions) -> tuple[Claim, Regions] | None:
    """A claim about real arithmetic, over inputs and errors, that proves ``claim`` of the float32 network over a box.

    Its input is flat: the inputs first. None if none is found.
    """
    graph = bounded_graph(claim.graph).graph
    if graph is not claim.graph or region.ball is not None or not np.isfinite([region.lower, region.upper]).all():
        return None
    bounds = LinearBounds(bounded_graph(graph), region).run()
    for share in GUESSES:
        assumed = {v: _wider(bounds.range(v), share) for v in bounds.bounded.relaxed if v}
        errors = local_roundings(graph, region.lower, region.upper, assumed.get, deployed=deployed)
        if not all(e is None or np.isfinite(e).all() for e in errors) or sum(e.size for e in errors if e is not None) > MOST_ERRORS:
            return None
        made, numbers = _with_errors(graph, [None if e is None else e[0] for e in errors])
        box = _box(region, prod(made.input_shape) - prod(graph.input_shape))
        found = LinearBounds(bounded_graph(made), box)
        if all(_holds(found.range(numbers[v]), wanted, graph.shapes[v]) for v, wanted in assumed.items()):
            return _claimed(claim, made), box
    return None


def _wider(given: Range, share: float) -> Range:
    low, high = given
    more = share * (high - low + np.maximum(np.abs(low), np.abs(high)) + 1e-3)
    return down(low - more), up(high + more)


def _holds(found: Range, wanted: Range, shape: tuple[int, ...]) -> bool:
    low, high = (side.reshape(-1, *shape) for side in found)
    return bool((low >= wanted[0]).all() and (high <= wanted[1]).all())


def _box(region: Regions, errors: int) -> Regions:
    one = np.ones((1, errors))
    return Regions(np.concatenate([region.lower.reshape(1, -1), -one], axis=1), np.concatenate([region.upper.reshape(1, -1), one], axis=1))


def _with_errors(graph: Graph, errors: list[Array | None]) -> tuple[Graph, list[int]]:
    """The graph with errors as further inputs, and the number there of each of its values, error included."""
    size = prod(graph.input_shape)
    nodes = [Node(op.Slice((0,), (size,), (1,)), (0,)), Node(op.Reshape(graph.input_shape), (1,))]
    numbers, begin = [2], size
    for node, error in zip(graph.nodes, errors[1:], strict=True):
        nodes.append(Node(node.operator, tuple(numbers[i] for i in node.inputs), node.name))
        if error is not None:
            value, end = len(nodes), begin + error.size
            nodes.append(Node(op.Slice((begin,), (end,), (1,)), (0,)))
            nodes.append(Node(op.Reshape(error.shape), (value + 1,)))
            nodes.append(Node(op.MulConstant(up(error)), (value + 2,)))
            nodes.append(Node(op.Add(), (value, value + 3)))
            begin = end
        numbers.append(len(nodes))
    return Graph((begin,), tuple(nodes)), numbers


def _claimed(claim: Claim, graph: Graph) -> Claim:
    """The claim's rows about the perturbed graph; outputs that are flushed to zero are counted."""
    flushed = [up(FLOAT32.tiny * up(np.abs(part.rows).sum(axis=1))) for part in claim.parts]
    parts = zip(claim.parts, flushed, strict=True)
    return replace(claim, graph=graph, parts=tuple(replace(part, constants=down(part.constants - tiny)) for part, tiny in parts))
