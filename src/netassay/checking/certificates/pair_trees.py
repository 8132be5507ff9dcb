"""Trees over pairs of pixels and their values: what a certificate says of them, and whether it proves the case.

For each pixel of an order there is a tree over those behind it and the cells of both. A node is a leaf, or its own run of cells is halved,
or the other pixels are; where there is one of these, its cells. So whatever the trees say, their leaves hold every pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.container import Record
from netassay.checking.certificates.pairs import Node, PairBounds
from netassay.checking.certificates.pixels import PixelBounds
from netassay.errors import DataError

LEAF, OWN, OTHER = 0, 1, 2
"""Nodes: a leaf; its own cells are halved; the others are."""

TOGETHER = 128
"""Leaves that are bounded together, at most."""

MOST = 1 << 24
"""Nodes of the trees of a record, at most."""


def root(pairs: PairBounds, pixel: int) -> Node:
    """All pairs of the pixel at a position of the order and one behind it."""
    return Node(pixel, (0, 0), (len(pairs.order) - 1).bit_length(), 0)


def halves(pairs: PairBounds, node: Node, kind: int) -> list[Node]:
    """What a node is split into, without what holds no pair.

    Raises:
        DataError: If it cannot be split so.
    """
    if kind == OWN:
        return [Node(node.pixel, run, node.level, node.place, node.cells) for run in _halves(pairs, node.pixel, node.own)]
    if kind != OTHER:
        raise DataError(f"a tree over pairs has a node of kind {kind}; known are {LEAF}, {OWN} and {OTHER}")
    if not node.level:
        return [Node(node.pixel, node.own, 0, node.place, run) for run in _halves(pairs, node.place, node.cells)]
    level, ends = node.level - 1, (node.pixel + 1, len(pairs.order))
    places = [p for p in (2 * node.place, 2 * node.place + 1) if (p + 1) << level > ends[0] and p << level < ends[1]]
    return [Node(node.pixel, node.own, level, p) for p in places]


def _halves(pairs: PairBounds, position: int, run: tuple[int, int]) -> list[tuple[int, int]]:
    pixel, (depth, place) = int(pairs.order[position]), run
    if depth >= pairs.singles[pixel].depth:
        raise DataError(f"a tree over pairs halves a cell of pixel {pixel}, which is cut into 2^{pairs.singles[pixel].depth}")
    return [(depth + 1, 2 * place), (depth + 1, 2 * place + 1)]


def leaves(pairs: PairBounds, tree: NDArray[np.uint8]) -> Iterator[Node]:
    """The leaves of all trees, each of which comes in preorder, behind that of the pixel before.

    Raises:
        DataError: If these are no such trees.
    """
    kinds = iter(tree.tolist())
    for pixel in range(len(pairs.order) - 1):
        waiting = [root(pairs, pixel)]
        while waiting:
            node, kind = waiting.pop(), next(kinds, None)
            if kind is None:
                raise DataError("a tree over pairs ends before its leaves: some pairs are missing")
            if kind == LEAF:
                yield node
            else:
                waiting += reversed(halves(pairs, node, kind))
    if next(kinds, None) is not None:
        raise DataError("something follows the trees over pairs of all pixels")


def unproved_pairs(bounds: PixelBounds, record: Record, told: Callable[[int], None]) -> str:
    """Where a record does not prove the case; empty if it does everywhere."""
    tree, order = record.array("tree", "|u1"), record.array("order", "<u4").astype(np.intp)
    if len(tree) > MOST:
        raise DataError(f"the trees over pairs of a record have {len(tree)} nodes; at most {MOST} are read")
    pairs, depth = PairBounds(bounds, order, record.integer("together")), record.array("depth", "|u1").tolist()
    if len(depth) != len(order):
        raise DataError(f"{len(depth)} depths of cells came for {len(order)} pixels")
    for pixel in order.tolist():
        pairs.cut(pixel, depth[pixel])
        told(1)
    alone = pairs.alone()
    if alone:
        return f"pixel {alone[0]}, where no other one changes"
    if not bounds.holds(bounds.at_centre[0][None])[0]:
        return "the centre"
    for nodes in _alike(pairs, leaves(pairs, tree)):
        held = bounds.holds(pairs.lower(nodes))
        told(len(nodes))
        if not held.all():
            node = nodes[int(np.argmin(held))]
            first, behind = order[node.pixel], order[node.place << node.level : (node.place + 1) << node.level]
            return f"pixel {first} beside {f'pixel {behind[0]}' if not node.level else f'some of the {len(behind)} from {behind[0]} on'}"
    return ""


def _alike(pairs: PairBounds, found: Iterator[Node]) -> Iterator[list[Node]]:
    """Neighbours that share a frame, together."""
    nodes = list[Node]()
    for node in found:
        if nodes and (len(nodes) >= TOGETHER or pairs.home(node.pixel) != pairs.home(nodes[0].pixel)):
            yield nodes
            nodes = []
        nodes.append(node)
    if nodes:
        yield nodes
