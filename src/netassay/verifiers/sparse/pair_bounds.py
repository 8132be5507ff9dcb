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
from math import prod

import numpy as np
from scipy.sparse import csr_array

from netassay.errors import CapabilityError
from netassay.verifiers.region import Positions
from netassay.verifiers.rounding import LARGEST, Array, up
from netassay.verifiers.sparse.maxima import Link, links, maxima
from netassay.verifiers.sparse.pair_frames import Ends, Frame, Sides
from netassay.verifiers.sparse.pair_kernel import second_differences
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
"""Entries of all the matrices of one network, where they are not 0."""

MOST_DENSE = 1 << 25
"""Entries of a matrix that is kept in full, in float32; larger ones are kept sparse."""


class Chain:
    """A claim's network as a chain of maxima, and the matrices between them.

    Args:
        forms: The network around the input.
    Attributes:
        operators: In order.
        boxes: So many of the first pass interplay on as boxes.
        matrices: (inputs, outputs) from the outputs of one operator to what counts of another: for ``k < boxes`` and the next one the
            numbers that it reads, for ``boxes <= k < l`` the gaps (o * m) of l, for l behind the last operator the claim's rows.
        errors: What any entry of a matrix is off by at most.
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
        found = {(k, k + 1): span for k, span in enumerate(spans[: self.boxes])}
        rows = Link.of(csr_array(forms.rows), float(forms.row_errors.max(initial=0.0)))
        for k in range(self.boxes, len(self.operators)):
            through: Link | None = None
            for after in range(k + 1, len(self.operators)):
                operator, step = self.operators[after], spans[after - 1]
                units = step if through is None else through.then(step)
                chosen = units.picked(np.repeat(operator.choice, len(operator.others)))
                found[k, after] = units.picked(operator.others.T.reshape(-1)).less(chosen)
                through = units.picked(operator.choice)
                if sum(link.weights.nnz for link in found.values()) > MOST_ENTRIES:
                    raise CapabilityError("the network is too large to follow pairs through it")
            found[k, len(self.operators)] = rows if through is None else through.then(rows)
        self.matrices = {key: _kept(link.weights) for key, link in found.items()}
        self.errors = {key: link.error for key, link in found.items()}


def _kept(weights: csr_array) -> Floats | csr_array:
    """Weights (outputs, inputs) as (inputs, outputs), in the form that rows and columns are cut out of."""
    with np.errstate(over="ignore"):  # an infinite weight bounds nothing
        return weights.T.astype(np.float32).toarray(order="C") if prod(weights.shape) <= MOST_DENSE else csr_array(weights.T)


@dataclass(frozen=True, slots=True, eq=False)
class Touched:
    """What the interplay of P pairs may touch.

    Args:
        outputs: By operator, (P, o): all others have no interplay.
        gaps: By operator, (P, g): all others are never above 0.
    """

    outputs: list[Bools]
    gaps: list[Bools]

    @classmethod
    def everything(cls, frames: list[Frame], pairs: int) -> Touched:
        """All that there is."""
        return cls([np.ones((pairs, len(f.outputs)), np.bool_) for f in frames], [np.ones((pairs, len(f.gaps)), np.bool_) for f in frames])

    @classmethod
    def joined(cls, parts: list[Touched]) -> Touched:
        """Of pairs one behind the other."""
        outputs, gaps = (
            [np.concatenate(masks) for masks in zip(*(getattr(p, name) for p in parts), strict=True)] for name in ("outputs", "gaps")
        )
        return cls(outputs, gaps)

    def of(self, pairs: Positions | Bools | slice) -> Touched:
        """Of some of the pairs."""
        return Touched([t[pairs] for t in self.outputs], [t[pairs] for t in self.gaps])


@dataclass(slots=True, eq=False)
class Home:
    """The frame of a few features, and the parts of a chain's matrices that lie in it.

    Args:
        chain: The network.
        frames: By operator.
        keeps: Whether it keeps matrices, for it is small.
        whole: What it is a part of, if that keeps them.
    """

    chain: Chain
    frames: list[Frame]
    keeps: bool = False
    whole: Home | None = None
    _parts: dict[tuple[int, int], tuple[Floats, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, chain: Chain, features: list[Single]) -> Home:
        """What these features reach."""
        return cls(chain, [Frame.of(o, np.unique(np.concatenate([f.gaps[k] for f in features]))) for k, o in enumerate(chain.operators)])

    def within(self, touched: Touched) -> Home:
        """Of what any of some pairs touches."""
        frames = [
            f.only(np.asarray(o.any(axis=0)), np.asarray(g.any(axis=0)))
            for f, o, g in zip(self.frames, touched.outputs, touched.gaps, strict=True)
        ]
        return Home(self.chain, frames, True, self if self.keeps else None)

    def narrowed(self, part: Home, touched: Touched) -> Touched:
        """In a part of this frame, what is touched in it."""
        outputs, gaps = [], []
        for frame, smaller, o, g in zip(self.frames, part.frames, touched.outputs, touched.gaps, strict=True):
            outputs.append(o[:, np.searchsorted(frame.outputs, smaller.outputs)])
            gaps.append(g[:, np.searchsorted(frame.gaps, smaller.gaps)])
        return Touched(outputs, gaps)

    def spread(self, part: Home, touched: Touched) -> Touched:
        """In this frame, what is touched in a part of it."""
        outputs, gaps = [], []
        for frame, smaller, o, g in zip(self.frames, part.frames, touched.outputs, touched.gaps, strict=True):
            outputs.append(np.zeros((len(o), len(frame.outputs)), dtype=np.bool_))
            outputs[-1][:, np.searchsorted(frame.outputs, smaller.outputs)] = o
            gaps.append(np.zeros((len(g), len(frame.gaps)), dtype=np.bool_))
            gaps[-1][:, np.searchsorted(frame.gaps, smaller.gaps)] = g
        return Touched(outputs, gaps)

    def part(self, before: int, after: int) -> tuple[Floats, Floats]:
        """The matrix from the outputs of one operator to what counts of another (the claim's rows if there is none).

        Returns:
            (inputs, outputs) in float32, and the sizes of its entries.
        """
        if (before, after) not in self._parts:
            dense = (
                self.cut(before, self.frames[before].outputs, after) if self.whole is None else self._cut_again(self.whole, before, after)
            )
            self._parts[before, after] = dense, np.abs(dense)
        return self._parts[before, after]

    def cut(self, before: int, outputs: Positions, after: int) -> Floats:
        """Some rows of that matrix, out of the chain's."""
        matrix = self.chain.matrices[before, after]
        columns = self._columns(before, after) if after < len(self.frames) else np.arange(matrix.shape[1])
        if isinstance(matrix, np.ndarray):
            return np.ascontiguousarray(matrix[np.ix_(outputs, columns)])
        return np.ascontiguousarray(matrix[outputs].toarray()[:, columns], dtype=np.float32)

    def _cut_again(self, whole: Home, before: int, after: int) -> Floats:
        """Out of those of the home that this one is a part of."""
        rows = np.searchsorted(whole.frames[before].outputs, self.frames[before].outputs)
        dense = whole.part(before, after)[0]
        if after == len(self.frames):
            return dense[rows]
        return dense[np.ix_(rows, np.searchsorted(whole._columns(before, after), self._columns(before, after)))]

    def _columns(self, before: int, after: int) -> Positions:
        """What counts of another operator, in the chain's matrix."""
        return self.frames[after].units if before < self.chain.boxes else self.frames[after].gaps

    def interplay(self, ones: Sides, one: Positions, others: Sides, other: Positions) -> tuple[Array, Touched]:
        """(P, R) no row's interplay is less, for P pairs of ranges of single changes; and what it may touch.

        Args:
            ones, others: What changes do alone to the gaps of the frames.
            one, other: (P,) which of them.
        """
        with np.errstate(all="ignore"):
            found, touched = _Pass(self, (ones, one), (others, other)).run()
        return np.where(np.isfinite(found) & (np.abs(found) < LARGEST), found, -np.inf), touched


class _Pass:
    def __init__(self, home: Home, one: tuple[Sides, Positions], other: tuple[Sides, Positions]) -> None:
        self._home, self._one, self._other = home, one, other
        self._pairs, self._count = len(one[1]), len(home.frames)
        self._sums: dict[int, tuple[Floats, Floats]] = {}

    def run(self) -> tuple[Array, Touched]:
        boxes = self._home.chain.boxes
        units: Ends | None = None
        touched = Touched([], [])
        for k in range(self._count):
            (low, high), opened = self._second(k, units)
            touched.outputs.append(np.asarray((low != 0) | (high != 0)))
            touched.gaps.append(opened)
            moves = np.asarray(touched.outputs[-1].any(axis=0))
            middle = low / 2 + high / 2
            radius = up(np.maximum(high - middle, middle - low))
            units = self._boxed(k, middle, radius, moves) if k < boxes else None
            for after in range(k + 1, self._count + 1) if k >= boxes else ():
                self._add(k, after, middle, radius, moves)
        if self._count not in self._sums:
            return np.zeros((self._pairs, 1)), touched
        middle, radius = (side.astype(np.float64) for side in self._sums[self._count])
        return np.asarray(np.nextafter(middle - radius, -np.inf)), touched

    def _second(self, k: int, units: Ends | None) -> tuple[Ends, Bools]:
        """Ends (P, o) of the interplay that an operator passes on (behind boxes) or makes, and (P, g) which gaps may be above 0."""
        frame = self._home.frames[k]
        low, high = np.zeros((2, self._pairs, len(frame.outputs)))
        opened = np.zeros((self._pairs, len(frame.gaps)), dtype=np.bool_)
        gaps = self._sums.pop(k, (np.zeros((0, 0), dtype=np.float32),) * 2)
        (ones, one), (others, other) = self._one, self._other
        nothing = np.zeros((0, 0))
        second_differences(
            frame.starts,
            frame.choice,
            frame.others,
            frame.low,
            frame.high,
            ones.low[k],
            ones.high[k],
            one,
            others.low[k],
            others.high[k],
            other,
            *(units or (nothing, nothing)),
            *gaps,
            low,
            high,
            opened,
        )
        return (low, high), opened

    def _product(self, before: int, after: int, middle: Array, radius: Array, moves: Bools) -> tuple[Floats, Floats]:
        """A matrix's image of a box.

        The rounding of both sums of n terms in float32 is at most ``2 n u`` times the sum of the matrix' sizes times the largest input; two
        terms more are for the rounding of the matrix and of the inputs. Where sums may overflow, nothing is known.
        """
        if self._home.keeps:
            weights, sizes = self._home.part(before, after)
        else:
            weights = self._home.cut(before, self._home.frames[before].outputs[moves], after)
            sizes = np.abs(weights)
            middle, radius = middle[:, moves], radius[:, moves]
        mass = sizes.sum(axis=0, dtype=np.float64) * (1 + 1e-6)
        largest = (np.abs(middle) + radius).max(axis=1, keepdims=True, initial=0.0)
        terms, off = len(sizes) + 16, 2 * len(sizes) * self._home.chain.errors[before, after]
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
        constant = np.zeros((self._pairs, 1))
        low, high = np.nextafter(middle - radius, -np.inf), np.nextafter(middle + radius, np.inf)
        return np.concatenate([low, constant], axis=1), np.concatenate([high, constant], axis=1)

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
