"""Linear forms of a few inputs below and above every number of a network, pushed forward from the inputs.

Cheaper than pushing forms back where inputs are few: one product for each affine map bounds all its results. What float64 loses in a step
is taken off the constants there, ``gamma(terms)`` times the magnitudes that were added up, over all inputs of the part.

Parts are boxes in which some features, grouped into pixels, leave the centre in a few pixels only: of their gains the greatest count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.local import Bent, Local
from netassay.checking.certificates.relaxation import Lines, greatest, image, kinked
from netassay.checking.certificates.smooth import smooth
from netassay.errors import DataError

NUMBERS = 1 << 21
"""Coefficients of the forms of one value that are held for the parts that are bounded together; of one part, four times as many at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """B boxes of d features, some of which stay at the centre but for a few pixels.

    Args:
        low, high: (B, d) corners.
        center: (d,).
        pixels: The positions of each pixel that may leave the centre; features of no pixel take any value.
        count: How many of these pixels leave the centre, at most.
    """

    low: Array
    high: Array
    center: Array
    pixels: Sequence[Positions] = ()
    count: int = 0

    def take(self, some: slice) -> Cells:
        return Cells(self.low[some], self.high[some], self.center, self.pixels, self.count)

    def hull(self) -> tuple[Array, Array]:
        """Corners of boxes with all points: what may stay at the centre does."""
        low, high = self.low.copy(), self.high.copy()
        for p in self.pixels:
            low[:, p], high[:, p] = np.minimum(low[:, p], self.center[p]), np.maximum(high[:, p], self.center[p])
        return low, high

    def minimum(self, a: Arithmetic, forms: Array, size: Array) -> Array:
        """(B, m) numbers at or below the least values of forms (B, m, d + 1) of which ``size`` (B, m) bounds the magnitudes."""
        slopes = forms[:, :, :-1]
        corner = np.minimum(slopes * self.low[:, None], slopes * self.high[:, None])
        if not len(self.pixels):
            total = corner.sum(axis=2) + forms[:, :, -1]
        else:
            still, loose = slopes * self.center, np.concatenate(self.pixels)
            gains = [np.maximum((still[:, :, p] - corner[:, :, p]).sum(axis=2), 0) for p in self.pixels]
            corner[:, :, loose] = still[:, :, loose]
            best = np.sort(np.stack(gains, axis=2), axis=2)[:, :, len(gains) - min(self.count, len(gains)) :]
            total = corner.sum(axis=2) + forms[:, :, -1] - best.sum(axis=2)
        return a.bound(a.down(total - 8 * a.gamma(2 * forms.shape[2]) * size - a.tiny))


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """Forms (B, m, d + 1), constants last, below and above some numbers; (B, m) their magnitudes, and ranges of the numbers."""

    below: Array
    above: Array
    size: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """Of R rows in B parts: lower bounds (B, R), and the forms (B, R, d + 1) that are below them but for what rounding takes off."""

    lower: Array
    forms: Array


def row_bounds(local: Local, cells: Cells, rows: Array, constants: Array, drift: Array) -> Bounded:
    """Lower bounds of ``<rows, y> + constants`` for the network's outputs y over each cell.

    Args:
        local: The network as a function of the cells' features.
        cells: Boxes of these.
        rows, constants: (R, m) and (R,).
        drift: (m,) what the outputs are off by, at most.
    Raises:
        DataError: If the forms of a single part are too many numbers.
    """
    return row_bounds_and_ranges(local, cells, rows, constants, drift, ())[0]


Ranges = dict[int, tuple[Array, Array]]
"""Least and greatest (B, kept) of the numbers of some values."""


def row_bounds_and_ranges(
    local: Local, cells: Cells, rows: Array, constants: Array, drift: Array, values: Sequence[int]
) -> tuple[Bounded, Ranges]:
    """The same, and the ranges of the numbers of some values of the local network, all of which nonlinear operators read."""
    widest = max(len(k) for k in local.kept) * (len(local.features) + 1)
    if widest > 4 * NUMBERS:
        raise DataError(f"a leaf has forms of {widest} numbers; at most {4 * NUMBERS} are bounded: it has to leave fewer inputs open")
    step, found, ranges = max(1, NUMBERS // widest), list[Bounded](), list[list[tuple[Array, Array]]]()
    for begin in range(0, len(cells.low), step):
        with np.errstate(all="ignore"):
            forward = _Forward(local, cells.take(slice(begin, begin + step)))
            found.append(forward.rows(rows, constants, drift))
        ranges.append([forward.ends(v) for v in values])
    bounded = Bounded(np.concatenate([f.lower for f in found]), np.concatenate([f.forms for f in found]))
    return bounded, {v: tuple(np.concatenate([r[i][side] for r in ranges]) for side in (0, 1)) for i, v in enumerate(values)}  # type: ignore[misc]


_NAMES = ("below", "above", "size", "low", "high")


class _Forward:
    def __init__(self, local: Local, cells: Cells) -> None:
        self._a, self._local, self._cells = local.arithmetic, local, cells
        low, high = cells.hull()
        self._reach = np.maximum(np.abs(low), np.abs(high))
        count, d = self._reach.shape
        identity = self._a.zeros(count, d, d + 1)
        identity[:, np.arange(d), np.arange(d)] = self._a.array(1.0)
        self._values = [Between(identity, identity, self._reach, low, high), *[self._nothing()] * len(local.network.inputs)]
        for each in local.steps:
            given, value = self._joined(each.position), each.position + 1
            if isinstance(each, Bent):
                self._values[value] = self._bent(each, given)
            else:
                self._values[value] = self._affine(each.weight, each.constant, given, read=value in local.network.relaxed)

    def rows(self, rows: Array, constants: Array, drift: Array) -> Bounded:
        """The claim is one more affine map."""
        a = self._a
        found = self._affine(rows, constants, self._values[-1], read=True)
        lost = np.abs(rows) @ drift
        lower = a.bound(a.down(found.low - lost * (1 + 4 * a.gamma(len(drift))) - a.tiny))
        usable = np.asarray(a.known(self._reach).all(axis=1))
        return Bounded(np.where(usable[:, None], lower, -np.inf), found.below)

    def ends(self, value: int) -> tuple[Array, Array]:
        """(B, kept) ranges of the numbers of a value."""
        return self._values[value].low, self._values[value].high

    def _nothing(self) -> Between:
        forms, ends = self._a.zeros(len(self._reach), 0, self._reach.shape[1] + 1), self._a.zeros(len(self._reach), 0)
        return Between(forms, forms, ends, ends, ends)

    def _joined(self, position: int) -> Between:
        given = [self._values[i] for i in self._local.network.inputs[position]]
        if len(given) == 1:
            return given[0]
        given.append(self._nothing())
        return Between(*(np.concatenate([getattr(g, name) for g in given], axis=1) for name in _NAMES))

    def _size(self, *forms: Array) -> Array:
        """(B, m) the largest magnitudes of forms, all terms counted."""
        sizes = [(np.abs(f[:, :, :-1]) @ self._reach[:, :, None])[:, :, 0] + np.abs(f[:, :, -1]) for f in forms]
        return np.asarray(np.maximum(*sizes) if len(sizes) > 1 else sizes[0])

    def _affine(self, weight: Array, constant: Array, given: Between, *, read: bool) -> Between:
        """A factor for each number, or a matrix: what lies between the sides is sent by the magnitudes of the weights.

        Where a nonlinear operator reads the result (or it is the last) its forms are looked at for its range too.
        """
        a, half, forms = self._a, self._a.array(0.5), given.below.shape[2]
        sizes, ends = (np.maximum(x, a.smallest) for x in (given.size, np.maximum(np.abs(given.low), np.abs(given.high))))
        middle, spread = (given.above + given.below) * half, (given.above - given.below) * half
        centre, radius = (given.high + given.low) * half, (given.high - given.low) * half
        absolute = np.abs(weight)
        sent = _sent(weight, np.concatenate([middle, centre[:, :, None]], axis=2))
        apart = _sent(absolute, np.concatenate([spread, *(x[:, :, None] for x in (radius, sizes, ends))], axis=2))
        lost = 4 * a.gamma(2 * given.low.shape[1] + 4)
        slack, slack_of_ends = (lost * (apart[:, :, forms + i] + np.abs(constant)) + a.tiny for i in (1, 2))
        below, above = sent[:, :, :-1] - apart[:, :, :forms], sent[:, :, :-1] + apart[:, :, :forms]
        below[:, :, -1] = a.down(below[:, :, -1] + constant - slack)
        above[:, :, -1] = a.up(above[:, :, -1] + constant + slack)
        low, high = sent[:, :, -1] - apart[:, :, forms], sent[:, :, -1] + apart[:, :, forms]
        return self._met(below, above, a.down(low + constant - slack_of_ends), a.up(high + constant + slack_of_ends), read=read)

    def _met(self, below: Array, above: Array, low: Array, high: Array, *, read: bool) -> Between:
        """With given ranges, or, where they are read, the tighter of these and those that the forms give."""
        a, size = self._a, self._size(below, above)
        low, high = a.bound(low), -a.bound(-high)
        if read:
            least, most = self._cells.minimum(a, below, size), -self._cells.minimum(a, -above, size)
            low, high = np.maximum(low, least), np.minimum(high, most)
        return Between(below, above, size, low, high)

    def _bent(self, step: Bent, given: Between) -> Between:
        a, network = self._a, self._local.network
        operator, left, curve = network.graph.nodes[step.position].operator, network.left(step.position), network.curve(step.position)
        if curve is not None:
            given = self._widened(Between(*(getattr(given, name)[:, step.index] for name in _NAMES)), self._local.drift(step))
            levels = network.levels if step.position == network.output - 1 else None
            lines, index = smooth(a, curve, given.low, given.high, levels), None
        elif left is not None:
            given = Between(*(getattr(given, name)[:, step.index] for name in _NAMES))
            lines, index = kinked(a, left, given.low, given.high), None
        else:
            lines, index = greatest(a, step.index, given.low, given.high), step.index
        below, above = self._along(given.below, lines, upper=False), self._along(given.above, lines, upper=True)
        return self._met(below, above, *image(a, operator, index, given.low, given.high), read=step.position + 1 in network.relaxed)

    def _widened(self, given: Between, by: Array) -> Between:
        """What lies between the sides, or no further from it than ``by`` (m,)."""
        a, below, above = self._a, given.below.copy(), given.above.copy()
        below[:, :, -1], above[:, :, -1] = a.down(below[:, :, -1] - by), a.up(above[:, :, -1] + by)
        return Between(below, above, a.up(given.size + by), a.down(given.low - by), a.up(given.high + by))

    def _along(self, forms: Array, lines: Lines, *, upper: bool) -> Array:
        """Below: a slope of at least 0 times the form below the number that is picked, and an offset; above likewise."""
        a = self._a
        slope, pick = (lines.upper_slope, lines.upper_pick) if upper else (lines.lower_slope, lines.lower_pick)
        if pick is not None:
            forms = np.take_along_axis(forms, np.broadcast_to(pick, slope.shape)[:, :, None], axis=1)
        found = slope[:, :, None] * forms
        below = a.zeros(*slope.shape) if lines.lower_offset is None else lines.lower_offset
        offset = lines.upper_offset if upper else below
        slack = 4 * a.gamma(2) * (self._size(found) + np.abs(offset)) + a.tiny
        found[:, :, -1] = a.up(found[:, :, -1] + offset + slack) if upper else a.down(found[:, :, -1] + offset - slack)
        return found


def _sent(weight: Array, columns: Array) -> Array:
    """Of all parts at once: matrices are multiplied faster the larger they are."""
    if weight.ndim == 1:
        return np.asarray(weight[:, None] * columns)
    count, _, width = columns.shape
    side = weight @ columns.swapaxes(0, 1).reshape(weight.shape[1], count * width)
    return np.asarray(side.reshape(len(weight), count, width).swapaxes(0, 1))
