"""Trees over the pixels of an L0 ball, and over their values: what a certificate says of them, and whether it proves the case.

A node is split by a pixel (it takes any value of the box, and one less of the others may change; or it stays), where one change is left by
its place (up to some pixel, or later), or by the value of a feature of a pixel that takes any. Both sides together hold every input of the
node, whatever the tree says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from netassay.checking.certificates.arithmetic import Array
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.pixels import PixelBounds, PixelPart
from netassay.checking.certificates.trees import INPUT, LEAF, Arrays, Forest, forest
from netassay.errors import DataError

PIXEL, AMONG = -2, -3
"""The "value" of a node that is split by a pixel, which its index names: it changes or not; the one that changes is up to it or later."""

BY_FORMS, BY_SUMS = 0, 1
"""The index of a leaf: how it is bounded."""

TOGETHER, HELD = 256, 1 << 25
"""Leaves that are bounded together, and numbers of the corners of all parts that are held at once, at most."""


def tree_of(arrays: Arrays, bounds: PixelBounds) -> Forest:
    """The trees that three arrays describe, splits by pixels among them; raises DataError if they describe none."""
    value, index, threshold = arrays
    if not len(value) == len(index) == len(threshold):
        raise DataError("the arrays of a tree over pixels differ in length")
    by_pixel = np.isin(value, (PIXEL, AMONG))
    if (index[by_pixel] >= len(bounds.pixels)).any() or not np.isin(index[value == LEAF], (BY_FORMS, BY_SUMS)).all():
        raise DataError(f"a tree names a pixel that the ball's {len(bounds.pixels)} do not include, or an unknown rule for a leaf")
    found = forest(np.where(by_pixel, INPUT, value), np.where(by_pixel, 0, index), threshold, bounds.network)
    if (found.value > INPUT).any():
        raise DataError("trees over pixels split pixels and features; a number of another value came")
    if int(found.depth.max()) * len(bounds.pixel_of) > HELD:
        raise DataError(f"a tree over pixels of {found.depth.max()} levels is too deep for {len(bounds.pixel_of)} inputs")
    return Forest(value, index, threshold, found.other, found.roots, found.depth)


def leaves(bounds: PixelBounds, tree: Forest, root: int, whole: PixelPart) -> Iterator[tuple[int, PixelPart]]:
    """The leaves below a node and their parts, but for those that hold no input.

    Raises:
        DataError: If the tree splits a pixel that cannot change there, or the value of a feature that is not free.
    """
    stack = [(root, whole)]
    while stack:
        node, part = stack.pop()
        kind, index = int(tree.value[node]), int(tree.index[node])
        if kind == LEAF:
            if not (part.low > part.high).any():
                yield node, part
            continue
        if kind == PIXEL and not (part.allowed[index] and part.count):
            raise DataError(f"node {node} splits pixel {index}, which is split above it already, or cannot change there")
        if kind == AMONG and part.count != 1:
            raise DataError(f"node {node} is split by the place of the one pixel that changes, where {part.count} may change")
        if kind == INPUT and int(bounds.pixel_of[index]) not in part.forced:
            raise DataError(f"node {node} splits the value of feature {index}, which does not take any value there")
        if kind == INPUT:
            sides = part.halves(index, bounds.network.arithmetic.array(tree.threshold[node])[()])
        else:
            sides = part.sides(index) if kind == PIXEL else part.among(index)
        stack += [(int(tree.other[node]), sides[1]), (node + 1, sides[0])]


def bound_alone(bounds: PixelBounds, record: Record, told: Callable[[int], None]) -> None:
    """Takes in a tree over the values of each pixel: bounds of the rows where that pixel changes alone."""
    trees = tree_of(_arrays(record), bounds)
    if len(trees) != len(bounds.pixels):
        raise DataError(f"{len(trees)} trees came for the {len(bounds.pixels)} pixels that can change; every pixel needs one")
    for pixel, root in enumerate(trees.roots.tolist()):
        least: list[Array] = []
        for _, parts in _alike(trees, leaves(bounds, trees, root, bounds.single(pixel))):
            least.append(bounds.by_forms(parts).lower.min(axis=0))
            told(len(parts))
        if least:
            bounds.alone[pixel] = np.maximum(bounds.alone[pixel], np.min(least, axis=0))


def failure(bounds: PixelBounds, record: Record, told: Callable[[int], None]) -> int | None:
    """The first node of a tree over the ball at which the case is not proved; None where it is everywhere."""
    tree = tree_of(_arrays(record), bounds)
    if len(tree) != 1:
        raise DataError(f"{len(tree)} trees over the pixels of one ball came; expected one")
    for nodes, parts in _alike(tree, leaves(bounds, tree, 0, bounds.whole)):
        summed = int(tree.index[nodes[0]]) == BY_SUMS
        held = np.array([bounds.by_sums(p).all() for p in parts]) if summed else bounds.holds(bounds.by_forms(parts).lower)
        told(len(parts))
        if not held.all():
            return nodes[int(np.argmin(held))]
    return None


def _arrays(record: Record) -> Arrays:
    return record.array("value", "<i4"), record.array("index", "<u4"), record.array("threshold", "<f8")


def _alike(tree: Forest, found: Iterator[tuple[int, PixelPart]]) -> Iterator[tuple[list[int], list[PixelPart]]]:
    """Neighbours that differ in their boxes alone, and are bounded in the same way, together."""
    nodes, parts = list[int](), list[PixelPart]()
    for node, part in found:
        if parts and not (
            len(parts) < min(TOGETHER, HELD // len(part.low)) and part.like(parts[0]) and tree.index[node] == tree.index[nodes[0]]
        ):
            yield nodes, parts
            nodes, parts = [], []
        nodes.append(node)
        parts.append(part)
    if parts:
        yield nodes, parts
