"""How much further two changes move the claim's rows together than the sum of what they do alone, through a chain of maxima.

For a number x of the network write ``x(a, b) = x0 + A + B + e``: A and B are what either change does alone, e is their interplay. Affine
maps carry e along. An operator ``c + max(0, g)`` of the chain (``maxima``) makes ``e_c + d`` of it, where d is the second difference of its
second part: 0 unless a gap may open, which few do. So every e is a fixed linear image, in the network as it is at the centre, of the d of
the operators before it: what is bounded number by number is d alone, and what the weights cancel on the way stays cancelled. Only the
first operators, whose values have too many numbers for such matrices, pass e on as a box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from netassay.errors import CapabilityError
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, up
from netassay.verifiers.sparse.maxima import Link, links, maxima
from netassay.verifiers.sparse.pair_frames import Ends, Frame, Ranges
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.single_spans import Floats, Single
from netassay.verifiers.sparse.window_forms import WindowForms

MOST_OUTPUTS = 8192
"""Operators of more outputs pass interplay on as boxes."""

HALF = 2.0**-24
"""Unit roundoff of float32."""

TINY = 1e-25
"""More than all products together lose that underflow in float32."""

LOST = 2.0**-125
"""More than a number loses that underflows in float32, also where such numbers are flushed to 0."""

MOST_SIZE = 1e38
"""No partial sum of float32 overflows where all sizes together are less."""

MOST_ENTRIES = 40_000_000
"""Entries of all the matrices of one network."""


class Chain:
    """A claim's network as a chain of maxima, and the matrices between them.

    Args:
        forms: The network around the input.
    Attributes:
        operators: In order.
        boxes: So many of the first pass interplay on as boxes.
        steps: Of those, each with the map from its outputs to the numbers that the next one reads.
        to_gaps: For ``k < l`` behind them, from the outputs of k to the gaps (m * o) of l.
        to_rows: From the outputs of k to the claim's rows.
    Raises:
        CapabilityError: If the network is no such chain, or too large.
    """

    def __init__(self, forms: WindowForms) -> None:
        bounded = forms.bounded
        self.operators = maxima(bounded, forms.at, forms.last)
        if not self.operators:
            raise CapabilityError("pairs are followed through networks that have a ReLU")
        small = [o.others.shape[1] <= MOST_OUTPUTS for o in self.operators]
        self.boxes = next((i for i in range(len(small)) if all(small[i:])), -1)
        if self.boxes < 0:
            raise CapabilityError("pairs are followed through networks whose last layers have few outputs")
        spans = [links(bounded, before.end, after.value) for before, after in pairwise(self.operators)]
        self.steps = spans[: self.boxes]
        self.to_gaps: dict[tuple[int, int], Link] = {}
        self.to_rows: dict[int, Link] = {}
        rows = Link.of(csr_array(forms.rows), float(forms.row_errors.max(initial=0.0)))
        for k in range(self.boxes, len(self.operators)):
            through: Link | None = None
            for after in range(k + 1, len(self.operators)):
                operator, step = self.operators[after], spans[after - 1]
                units = step if through is None else through.then(step)
                chosen = units.picked(np.tile(operator.choice, len(operator.others)))
                self.to_gaps[k, after] = units.picked(operator.others.reshape(-1)).less(chosen)
                through = units.picked(operator.choice)
                if sum(link.weights.nnz for link in self.to_gaps.values()) > MOST_ENTRIES:
                    raise CapabilityError("the network is too large to follow pairs through it")
            self.to_rows[k] = rows if through is None else through.then(rows)


@dataclass(slots=True, eq=False)
class Home:
    """The frame of a few features, and the parts of a chain's matrices that lie in it.

    Args:
        chain: The network.
        frames: By operator.
    """

    chain: Chain
    frames: list[Frame]
    _parts: dict[tuple[int, int], tuple[Floats, Floats, Array]] = field(default_factory=dict)

    @classmethod
    def of(cls, chain: Chain, features: list[Single]) -> Home:
        """What these features reach."""
        return cls(chain, [Frame.of(o, np.unique(np.concatenate([f.units[k] for f in features]))) for k, o in enumerate(chain.operators)])

    def part(self, before: int, after: int) -> tuple[Floats, Floats, Array]:
        """The matrix from the outputs of one operator to what counts of another (the claim's rows if there is none).

        Returns:
            (inputs, outputs) in float32, the sizes of its entries, and their sums (outputs,).
        """
        if (before, after) not in self._parts:
            columns = self.frames[before].outputs
            if after == len(self.frames):
                weights = self.chain.to_rows[before].weights
            elif before < self.chain.boxes:
                weights = csr_array(self.chain.steps[before].weights[self.frames[after].units])
            else:
                outputs = self.frames[after].outputs
                operator = self.chain.operators[after]
                rows = (np.arange(len(operator.others))[:, None] * operator.others.shape[1] + outputs).reshape(-1)
                weights = csr_array(self.chain.to_gaps[before, after].weights[rows])
            dense = np.ascontiguousarray(weights[:, columns].toarray().T, dtype=np.float32)
            sizes = np.abs(dense)
            self._parts[before, after] = dense, sizes, sizes.sum(axis=0, dtype=np.float64) * (1 + 1e-6)
        return self._parts[before, after]

    def error(self, before: int, after: int) -> float:
        """What any entry of that matrix was off by at most, before it was rounded to float32."""
        if after == len(self.frames):
            return self.chain.to_rows[before].error
        return (self.chain.steps[before] if before < self.chain.boxes else self.chain.to_gaps[before, after]).error

    def interplay(self, one: list[Ranges], other: list[Ranges]) -> Array:
        """(P, R) no row's interplay is less, for P pairs of ranges of single changes.

        Args:
            one, other: By operator, ends (P, m, o) of what either change alone does to the gaps.
        """
        with np.errstate(all="ignore"):
            found = _Pass(self, one, other).run()
        return np.asarray(np.where(np.isfinite(found) & (np.abs(found) < LARGEST), found, -np.inf))


class _Pass:
    def __init__(self, home: Home, one: list[Ranges], other: list[Ranges]) -> None:
        self._home, self._one, self._other = home, one, other
        self._pairs, self._count = len(one[0][0]), len(home.frames)
        self._sums: dict[int, tuple[Floats, Floats]] = {}

    def run(self) -> Array:
        frames, boxes = self._home.frames, self._home.chain.boxes
        units: Ends | None = None
        for k in range(self._count):
            frame = frames[k]
            e: Ranges | None = self._interplay_of_gaps(k) if k > boxes else None if units is None else frame.gaps(*units)
            low, high = bent(frame, self._one[k], self._other[k], e)
            if k <= boxes and units is not None:
                chosen = frame.chosen(*units)
                low, high = low + chosen[0], high + chosen[1]
            middle = low / 2 + high / 2
            radius = up(np.maximum(high - middle, middle - low))
            moves = ((low != 0) | (high != 0)).any(axis=0)
            if k < boxes:
                units = self._boxed(k, middle, radius, moves)
                continue
            for after in range(k + 1, self._count + 1):
                self._add(k, after, middle, radius, moves)
        if self._count not in self._sums:
            return np.zeros((self._pairs, 1))
        middle, radius = (side.astype(np.float64) for side in self._sums[self._count])
        return np.asarray(np.nextafter(middle - radius, -np.inf))

    def _product(self, before: int, after: int, middle: Array, radius: Array, moves: Bools) -> tuple[Floats, Floats]:
        """A matrix's image of a box.

        The rounding of both sums of n terms in float32 is at most ``2 n u`` times the sum of the matrix' sizes times the largest input; two
        terms more are for the rounding of the matrix and of the inputs. Where sums may overflow, nothing is known.
        """
        weights, sizes, mass = self._home.part(before, after)
        if 2 * moves.sum() < len(moves):
            weights, sizes = weights[moves], sizes[moves]
            middle, radius = middle[:, moves], radius[:, moves]
        largest = (np.abs(middle) + radius).max(axis=1, keepdims=True, initial=0.0)
        terms, off = len(sizes) + 16, 2 * len(sizes) * self._home.error(before, after)
        tiny = LOST * (2 * mass + 2 * terms * largest) + TINY
        loose = np.where(largest > 0, largest * (2 * terms * HALF * mass + off) * (1 + 1e-6) + tiny, 0.0)
        loose = np.where(largest * mass < MOST_SIZE, loose, np.inf).astype(np.float32)
        spread = radius.astype(np.float32) @ sizes
        spread += loose
        spread *= np.float32(1 + 1e-6)
        return middle.astype(np.float32) @ weights, spread

    def _boxed(self, k: int, middle: Array, radius: Array, moves: Bools) -> Ends | None:
        if not moves.any():
            return None
        middle, radius = (side.astype(np.float64) for side in self._product(k, k + 1, middle, radius, moves))
        return np.nextafter(middle - radius, -np.inf), np.nextafter(middle + radius, np.inf)

    def _add(self, k: int, after: int, middle: Array, radius: Array, moves: Bools) -> None:
        if not moves.any():
            return
        found = self._product(k, after, middle, radius, moves)
        if after in self._sums:
            before = self._sums[after]
            found[0][:] += before[0]
            size = np.abs(found[0])
            size += before[1]
            size += found[1]
            found[1][:] += before[1]
            found[1][:] += np.float32(8 * HALF) * size
        self._sums[after] = found

    def _interplay_of_gaps(self, k: int) -> Ranges | None:
        if k not in self._sums:
            return None
        middle, radius = self._sums[k]
        shape = (self._pairs, *self._home.frames[k].others.shape)
        down, above = np.float32(-np.inf), np.float32(np.inf)
        return np.nextafter(middle - radius, down).reshape(shape), np.nextafter(middle + radius, above).reshape(shape)


def bent(frame: Frame, one: Ranges, other: Ranges, both: Ranges | None) -> Ends:
    """Ends (P, o) of ``max(0, g + A + B + e) - max(0, g + A) - max(0, g + B) + max(0, g)``, over all gaps g of each output.

    Args:
        frame: The operator.
        one, other: Ends (P, m, o) of A and B.
        both: Ends of e; None where it is 0.
    """
    shape = (len(one[0]), len(frame.outputs))
    low, high = np.zeros(shape), np.zeros(shape)
    at = _open(frame, one, other, both)
    if not len(at[0]):
        return low, high
    z = frame.low[at[1:]], frame.high[at[1:]]
    a, b = _taken(one, at), _taken(other, at)
    e = (np.zeros(len(at[0])),) * 2 if both is None else _taken(both, at)
    key = at[0] * shape[1] + at[2]
    if len(frame.others) > 1:
        _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
        several = np.unique(key[counts[inverse] > 1])
        _set(low, high, several, _largest(*_all_gaps(frame, one, other, both, several)))
        lonely = counts[inverse] == 1
        key, z, a, b, e = key[lonely], *((side[0][lonely], side[1][lonely]) for side in (z, a, b, e))
    found, ends = _secant(*_second(z, a, b), z, a, b, e, (np.zeros(1), np.zeros(1))), _ends(z, a, b, e)
    loose = 64 * UNIT * _size(z, a, b, e) + UNDERFLOW
    _set(low, high, key, (np.maximum(found[0], ends.low) - loose, np.minimum(found[1], ends.high) + loose))
    return low, high


def _open(frame: Frame, one: Ranges, other: Ranges, both: Ranges | None) -> tuple[Positions, ...]:
    """Which gaps (pair, gap, output) may be above 0 anywhere, of outputs that are not moved by one change alone."""
    at_centre = frame.high.astype(np.float32)
    first, second = at_centre + one[1], at_centre + other[1]
    top = first + other[1]
    size = max(float(np.abs(side).max(initial=0.0)) for side in (at_centre, one[1], other[1]))
    np.maximum(first, second, out=first)
    np.maximum(first, top, out=first)
    if both is not None:
        size += float(np.abs(both[1]).max(initial=0.0))
        top += both[1]
        np.maximum(first, top, out=first)
    np.maximum(first, at_centre, out=first)
    at = np.nonzero(~(first <= -16 * HALF * size))
    outputs = at[0] * len(frame.outputs) + at[2]
    still = [_still(side) for side in ((one, other) if both is None else (one, other, both))]
    nothing = (still[0] | still[1]) & (still[2] if both is not None else True)
    kept = ~nothing.reshape(-1)[outputs]
    return tuple(axis[kept] for axis in at)


def _still(ends: Ranges) -> Bools:
    """(P, o) which outputs have no gap that changes at all."""
    moves = ends[0] != 0
    moves |= ends[1] != 0
    return np.asarray(~moves.any(axis=1))


def _taken(ends: Ranges, at: tuple[Positions, ...]) -> Ends:
    return ends[0][at].astype(np.float64), ends[1][at].astype(np.float64)


def _set(low: Array, high: Array, key: Positions, ends: Ends) -> None:
    low.reshape(-1)[key], high.reshape(-1)[key] = ends


def _all_gaps(frame: Frame, one: Ranges, other: Ranges, both: Ranges | None, key: Positions) -> tuple[Ends, Ends, Ends, Ends]:
    """Ends (N, m) of g, A, B and e of some outputs."""
    pair, output = np.divmod(key, len(frame.outputs))

    def taken(side: NDArray[np.floating]) -> Array:
        return np.asarray(side[pair, :, output], dtype=np.float64)

    z = frame.low[:, output].T, frame.high[:, output].T
    e = (np.zeros(z[0].shape),) * 2 if both is None else (taken(both[0]), taken(both[1]))
    return z, (taken(one[0]), taken(one[1])), (taken(other[0]), taken(other[1])), e


def _largest(z: Ends, a: Ends, b: Ends, e: Ends) -> Ends:
    """Ends (N,) of the second difference of a maximum of several gaps (N, m): gap by gap, ``max(M, g) = M + max(0, g - M)``."""
    none = np.zeros(len(z[0]))
    first: Ends = (none, none)
    second: Ends = (none, none)
    found: Ends = (none, none)
    for k in range(z[0].shape[1]):
        zk, ak, bk, ek = ((side[0][:, k], side[1][:, k]) for side in (z, a, b, e))
        ah, bh = (ak[0] - first[1], ak[1] - first[0]), (bk[0] - second[1], bk[1] - second[0])
        found = _secant(*_second(zk, ah, bh), zk, ah, bh, ek, found)
        first = np.maximum(first[0], zk[0] + ak[0]), np.maximum(first[1], zk[1] + ak[1])
        second = np.maximum(second[0], zk[0] + bk[0]), np.maximum(second[1], zk[1] + bk[1])
    ends = _Ends(*(side.max(axis=1) for side in _ends(z, a, b, e).sides))
    loose = (256 + 16 * z[0].shape[1]) * UNIT * _size(z, a, b, e).sum(axis=1) + 8 * (z[1] - z[0]).sum(axis=1) + UNDERFLOW
    return np.maximum(found[0], ends.low) - loose, np.minimum(found[1], ends.high) + loose


@dataclass(frozen=True, slots=True, eq=False)
class _Ends:
    """Least and greatest value of ``max(0, .)`` at ``g + A + B + e``, ``g + A``, ``g + B`` and ``g``."""

    both_low: Array
    both_high: Array
    one_low: Array
    one_high: Array
    other_low: Array
    other_high: Array
    at_low: Array
    at_high: Array

    @property
    def sides(self) -> tuple[Array, ...]:
        return (
            self.both_low,
            self.both_high,
            self.one_low,
            self.one_high,
            self.other_low,
            self.other_high,
            self.at_low,
            self.at_high,
        )

    @property
    def low(self) -> Array:
        return self.both_low - self.one_high - self.other_high + self.at_low

    @property
    def high(self) -> Array:
        return self.both_high - self.one_low - self.other_low + self.at_high


def _ends(z: Ends, a: Ends, b: Ends, e: Ends) -> _Ends:
    sides = (z[0] + a[0] + b[0] + e[0], z[1] + a[1] + b[1] + e[1], z[0] + a[0], z[1] + a[1], z[0] + b[0], z[1] + b[1], *z)
    return _Ends(*(np.maximum(side, 0.0) for side in sides))


def _second(z: Ends, a: Ends, b: Ends) -> Ends:
    """Ends of the second difference where there is no interplay before: it is monotone in either change, hence greatest at corners."""
    at = z[0] / 2 + z[1] / 2
    corners = []
    for p in a:
        alone = np.maximum(at + p, 0.0)
        corners += [np.maximum(at + p + q, 0.0) - alone - np.maximum(at + q, 0.0) for q in b]
    base, spread = np.maximum(at, 0.0), 4 * (z[1] - z[0])
    return np.minimum.reduce(corners) + base - spread, np.maximum.reduce(corners) + base + spread


def _secant(low: Array, high: Array, z: Ends, a: Ends, b: Ends, e: Ends, before: Ends) -> Ends:
    """What interplay e of a gap, and ``before`` of what it is compared with, adds: a mean of both, by the slope of a secant."""
    bottom, top = z[0] + a[0] + b[0], z[1] + a[1] + b[1]
    steep = np.minimum(bottom, bottom + e[0] - before[1]) > 0
    flat = np.maximum(top, top + e[1] - before[0]) <= 0
    least = np.where(steep, e[0], np.where(flat, before[0], np.minimum(e[0], before[0])))
    most = np.where(steep, e[1], np.where(flat, before[1], np.maximum(e[1], before[1])))
    return low + least, high + most


def _size(z: Ends, a: Ends, b: Ends, e: Ends) -> Array:
    return np.asarray(sum(np.maximum(np.abs(side[0]), np.abs(side[1])) for side in (z, a, b, e)))
