"""Boxes that wait in branch and bound, and how linear bounds shrink and split them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.verifiers.propagation.interval import Range
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array, gamma


@dataclass(slots=True, eq=False)
class Boxes:
    """Subproblems: one part of the claim over one box each.

    Args:
        regions: (N) the boxes, in their balls.
        part: (N,) which part of the claim.
        lower: (N,) a proved lower bound of the part over each box.
        depth: (N,) how often it was split.
        ranges: Of hidden layers, each (N, m): known in each box, where it counts; None where none are kept.
    """

    regions: Regions
    part: Positions
    lower: Array
    depth: Positions
    ranges: tuple[Range, ...] | None = None

    def __len__(self) -> int:
        return len(self.part)

    @property
    def bytes(self) -> int:
        """What these boxes take."""
        arrays = [self.regions.lower, self.regions.upper, self.part, self.lower, self.depth]
        return sum(a.nbytes for a in [*arrays, *(side for pair in self.ranges or () for side in pair)])

    def take(self, positions: Positions) -> Boxes:
        ranges = None if self.ranges is None else tuple((low[positions], high[positions]) for low, high in self.ranges)
        return Boxes(self.regions.take(positions), self.part[positions], self.lower[positions], self.depth[positions], ranges)

    def join(self, other: Boxes) -> Boxes:
        """All boxes of both; ranges only where both have them."""
        if not len(other):
            return self
        if not len(self):
            return other
        ranges = None
        if self.ranges is not None and other.ranges is not None:
            pairs = zip(self.ranges, other.ranges, strict=True)
            ranges = tuple((np.concatenate([a, c]), np.concatenate([b, d])) for (a, b), (c, d) in pairs)
        return Boxes(
            self.regions.join(other.regions),
            np.concatenate([self.part, other.part]),
            np.concatenate([self.lower, other.lower]),
            np.concatenate([self.depth, other.depth]),
            ranges,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of bounding and splitting some boxes.

    Args:
        settled: A lower bound of s on all that is not among the children; inf where that is nothing.
        children: What is left.
        points: (N, *shape) points of the boxes where the claim may fail.
    """

    settled: float
    children: Boxes
    points: Array


class Waiting:
    """Boxes in blocks, as they came: the newest block first, or the one with the least bound.

    Args:
        first: Boxes to begin with.
        newest: Whether the newest block is next, so that few boxes wait; otherwise the one with the least bound. May be changed at
            any time.
    """

    def __init__(self, first: Boxes, *, newest: bool = True) -> None:
        self.newest = newest
        self._blocks: list[Boxes] = []
        self._least: list[float] = []
        self._count = 0
        self.put(first)

    def __len__(self) -> int:
        return self._count

    @property
    def lower(self) -> float:
        """The least bound of all that waits; inf when nothing does."""
        return min(self._least, default=np.inf)

    @property
    def bytes(self) -> int:
        """What the waiting boxes take."""
        return sum(block.bytes for block in self._blocks)

    def put(self, boxes: Boxes) -> None:
        if len(boxes):
            self._blocks.append(boxes)
            self._least.append(float(boxes.lower.min()))
            self._count += len(boxes)

    def take(self, most: int) -> Boxes:
        """At least one box and at most so many; those with the least bounds of the blocks that they are from."""
        found = self._pop()
        while len(found) < most and self._count:
            found = found.join(self._pop())
        if len(found) > most:
            order = np.argsort(found.lower, kind="stable")
            self.put(found.take(order[most:]))
            found = found.take(order[:most])
        return found

    def _pop(self) -> Boxes:
        i = -1 if self.newest else int(np.argmin(self._least))
        self._least.pop(i)
        block = self._blocks.pop(i)
        self._count -= len(block)
        return block


def clipped(
    regions: Regions, coefficients: Array, offset: Array, owner: Positions
) -> tuple[Regions, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Shrinks each box to where all its linear forms may still be negative or zero.

    Where one of the forms, each a lower bound of one row of the box's part, is positive, the part holds. For each feature the other
    features take the values at which the form is least.

    Args:
        regions: B boxes.
        coefficients, offset: (R, *shape), (R,): forms that lie below rows of the part, in real arithmetic.
        owner: (R,) the box of each form; boxes may have several.
    Returns:
        The boxes, and (B,) which of them have become empty: there the part holds.
    """
    low, high = (side.copy() for side in regions.corners)
    rows = coefficients.reshape(len(coefficients), low.shape[1])
    with np.errstate(all="ignore"):
        least = np.where(rows > 0, rows * low[owner], rows * high[owner])
        size = np.abs(rows) * np.maximum(np.abs(low), np.abs(high))[owner]
        slack = 4 * gamma(rows.shape[1]) * size.sum(axis=1) + 4e-16 * np.abs(offset) + 1e-140
        room = -offset[:, None] - (least.sum(axis=1, keepdims=True) - least) + slack[:, None]
        limit = room / rows
        limit = limit + 4e-16 * np.abs(limit)
        ceiling = np.where((rows > 0) & np.isfinite(limit), limit, np.inf)
        limit = room / rows
        limit = limit - 4e-16 * np.abs(limit)
        floor = np.where((rows < 0) & np.isfinite(limit), limit, -np.inf)
    np.minimum.at(high, owner, ceiling)
    np.maximum.at(low, owner, floor)
    empty = np.asarray((low > high).any(axis=1))
    for side, before in zip((low, high), regions.corners, strict=True):
        side[empty] = before[empty]
    return regions.with_box(low.reshape(regions.lower.shape), high.reshape(regions.upper.shape)), empty


def shrunk(lower: Array, upper: Array, forms: Array) -> tuple[Array, Array, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Shrinks each box to where all its forms may be nonpositive, as ``clipped`` does, for the same number of forms in every box.

    Args:
        lower, upper: (B, n).
        forms: (B, m, n + 1): ``<form, (x, 1)>``.
    Returns:
        The corners, and (B,) which boxes have become empty; those are left as they were.
    """
    slopes, offsets = forms[:, :, :-1], forms[:, :, -1]
    with np.errstate(all="ignore"):
        rising = slopes > 0
        least = slopes * np.where(rising, lower[:, None], upper[:, None])
        size = np.matmul(np.abs(slopes), np.maximum(np.abs(lower), np.abs(upper))[:, :, None])[:, :, 0]
        slack = 4 * gamma(slopes.shape[2]) * size + 4e-16 * np.abs(offsets) + 1e-140
        minimum = least.sum(axis=2) + offsets - slack
        room = least - minimum[:, :, None]
        limit = room / slopes
        margin = 4e-16 * np.abs(limit)
        usable = np.isfinite(limit)
        high = np.minimum(upper, np.where(rising & usable, limit + margin, np.inf).min(axis=1, initial=np.inf))
        low = np.maximum(lower, np.where((slopes < 0) & usable, limit - margin, -np.inf).max(axis=1, initial=-np.inf))
    empty = np.asarray((low > high).any(axis=1) | (minimum > 0).any(axis=1))
    low[empty], high[empty] = lower[empty], upper[empty]
    return low, high, empty


def halves(boxes: Boxes, axis: Positions) -> Boxes:
    """Both halves of each box along its axis, which share their face; a box too narrow to be split stays as it is, twice."""
    low, high = boxes.regions.corners
    rows = np.arange(len(boxes))
    middle = low[rows, axis] / 2 + high[rows, axis] / 2
    left_high, right_low = high.copy(), low.copy()
    left_high[rows, axis], right_low[rows, axis] = middle, middle
    shape = boxes.regions.lower.shape
    left = Boxes(
        boxes.regions.with_box(low.reshape(shape), left_high.reshape(shape)), boxes.part, boxes.lower, boxes.depth + 1, boxes.ranges
    )
    right = Boxes(
        boxes.regions.with_box(right_low.reshape(shape), high.reshape(shape)), boxes.part, boxes.lower, boxes.depth + 1, boxes.ranges
    )
    return left.join(right)


def divisible(low: Array, high: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Where a float64 lies strictly between both ends: there a half is smaller than the whole."""
    middle = low / 2 + high / 2
    return np.asarray((middle > low) & (middle < high))


def splittable(regions: Regions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(B,) boxes that still have a divisible feature."""
    inner = divisible(regions.lower, regions.upper)
    return np.asarray(inner.any(axis=tuple(range(1, inner.ndim))))
