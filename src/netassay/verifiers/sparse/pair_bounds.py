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
from netassay.verifiers.rounding import LARGEST, Array
from netassay.verifiers.sparse.maxima import Link, links, maxima
from netassay.verifiers.sparse.pair_frames import Frame, Sides
from netassay.verifiers.sparse.pair_kernel import second_differences
from netassay.verifiers.sparse.reach import Bools
from netassay.verifiers.sparse.single_spans import Cells, Floats
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

MOST_TERMS = 1 << 14
"""Sums of more terms in float32 bound nothing."""

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
        rows: How many the claim has.
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
        self.rows = len(forms.rows)
        self.matrices = {key: _kept(link.weights) for key, link in found.items()}
        self.errors = {key: link.error for key, link in found.items()}

    def before(self, after: int) -> range:
        """The operators that matrices lead from to this one, or to the claim's rows."""
        return range(after - 1, after) if 0 < after <= self.boxes else range(self.boxes, after)


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


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """A linear map of what K operators make, in float32.

    Args:
        weights: (n, c) from the outputs of the operators, one behind the other.
        sizes: (1 + K + n, c) for the sum of radii: what is lost to rounding at all and by the largest of each operator, then the sizes of
            the entries.
        mass: (K,) no column's sizes sum up to more.
    """

    weights: Floats
    sizes: Floats
    mass: Array

    @classmethod
    def of(cls, weights: Floats, lengths: list[int], errors: list[float]) -> Stack:
        """Its covers.

        The rounding of both sums of n terms in float32 is at most ``2 n u`` times the sum of the sizes times the largest input. More terms
        are for the rounding of the entries, the inputs and the covers themselves.

        Args:
            weights: (n, c).
            lengths: (K,) how many of the rows are of each operator.
            errors: (K,) what any of these entries is off by at most.
        """
        terms, covers = len(weights) + len(lengths) + 16, 1 + len(lengths)
        sizes = np.empty((covers + len(weights), weights.shape[1]), dtype=np.float32)
        np.abs(weights, out=sizes[covers:])
        ends = covers + np.cumsum(lengths)
        loosely = 1 + 4 * terms * HALF
        mass = np.stack([sizes[end - n : end].sum(axis=0) for n, end in zip(lengths, ends, strict=True)]).astype(np.float64) * loosely
        off = 2 * np.array(lengths) * np.array(errors)
        sizes[0] = 4 * LOST * mass.sum(axis=0) + TINY
        sizes[1:covers] = (2 * terms * (HALF * mass + LOST) + off[:, None]) * loosely
        if terms >= MOST_TERMS:
            sizes[:covers] = MOST_SIZE
        return cls(weights, sizes, mass.max(axis=1, initial=0.0))

    def with_constant(self) -> Stack:
        """One more column that nothing leads to."""
        weights, sizes = (np.pad(side, ((0, 0), (0, 1))) for side in (self.weights, self.sizes))
        return Stack(weights, sizes, self.mass)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """The interplay that up to K operators make, of P pairs.

    Args:
        middle: (P, n) of their outputs, one behind the other.
        radius: (P, 1 + K + n) whether there is any, the largest of each operator, and the radii of all outputs.
        lengths: (K,) outputs of each.
    """

    middle: Floats
    radius: Floats
    lengths: list[int]

    @classmethod
    def none(cls, pairs: int, lengths: list[int]) -> Made:
        """Nothing yet."""
        n = sum(lengths)
        return cls(np.zeros((pairs, n), np.float32), np.zeros((pairs, 1 + len(lengths) + n), np.float32), lengths)

    def place(self, operator: int) -> tuple[Floats, Floats, Floats]:
        """Views of what one of them makes: (P, o) middles and radii, and (P,) the largest."""
        begin, covers = sum(self.lengths[:operator]), 1 + len(self.lengths)
        end = begin + self.lengths[operator]
        return self.middle[:, begin:end], self.radius[:, covers + begin : covers + end], self.radius[:, 1 + operator]

    def through(self, stack: Stack) -> tuple[Floats, Floats]:
        """(P, c) middles and radii of a map's results. Where sums may overflow, nothing is known."""
        n, operators, covers = len(stack.weights), len(stack.mass), 1 + len(self.lengths)
        largest = self.radius[:, 1 : 1 + operators]
        self.radius[:, 0] = (largest != 0).any(axis=1)
        if operators < len(self.lengths):
            radius = np.concatenate([self.radius[:, : 1 + operators], self.radius[:, covers : covers + n]], axis=1)
        else:
            radius = self.radius
        middle, spread = self.middle[:, :n] @ stack.weights, radius @ stack.sizes
        spread[~(largest.astype(np.float64) @ stack.mass < MOST_SIZE)] = np.inf
        return middle, spread


@dataclass(slots=True, eq=False)
class Home:
    """The frame of a few features, and the parts of a chain's matrices that lie in it.

    Args:
        chain: The network.
        frames: By operator.
        whole: What it is a part of.
    """

    chain: Chain
    frames: list[Frame]
    whole: Home | None = None
    _stacks: dict[int, Stack] = field(default_factory=dict)

    @classmethod
    def of(cls, chain: Chain, features: list[Cells]) -> Home:
        """What these features reach."""
        return cls(chain, [Frame.of(o, np.unique(np.concatenate([f.gaps[k] for f in features]))) for k, o in enumerate(chain.operators)])

    def within(self, touched: Touched) -> Home:
        """Of what any of some pairs touches: itself, if that is all."""
        kept = [(np.asarray(o.any(axis=0)), np.asarray(g.any(axis=0))) for o, g in zip(touched.outputs, touched.gaps, strict=True)]
        if all(outputs.all() and gaps.all() for outputs, gaps in kept):
            return self
        frames = [frame.only(*masks) for frame, masks in zip(self.frames, kept, strict=True)]
        return Home(self.chain, frames, self)

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

    def stack(self, after: int) -> Stack:
        """The map to what counts of an operator (the claim's rows if there is none) from those before it that matrices lead from."""
        if after not in self._stacks:
            before = self.chain.before(after)
            lengths = [len(self.frames[k].outputs) for k in before]
            found = Stack.of(self._weights(after), lengths, [self.chain.errors[k, after] for k in before])
            self._stacks[after] = found.with_constant() if after <= self.chain.boxes else found
        return self._stacks[after]

    def _weights(self, after: int) -> Floats:
        before, columns = self.chain.before(after), self._columns(after)
        if self.whole is None:
            return np.concatenate([_cut(self.chain.matrices[k, after], self.frames[k].outputs, columns) for k in before])
        kept = self.whole.stack(after).weights
        begins = np.cumsum([0, *(len(self.whole.frames[k].outputs) for k in before)])
        rows = [
            at + np.searchsorted(self.whole.frames[k].outputs, self.frames[k].outputs) for at, k in zip(begins[:-1], before, strict=True)
        ]
        return kept.take(np.concatenate(rows), axis=0).take(np.searchsorted(self.whole._columns(after), columns), axis=1)

    def _columns(self, after: int) -> Positions:
        """What counts of an operator, in the chain's matrices."""
        if after == len(self.frames):
            return np.arange(self.chain.rows)
        return self.frames[after].units if after <= self.chain.boxes else self.frames[after].gaps

    def interplay(self, ones: Sides, one: Positions, others: Sides, other: Positions) -> tuple[Array, Touched]:
        """(P, R) no row's interplay is less, for P pairs of ranges of single changes; and what it may touch.

        Args:
            ones, others: What changes do alone to the gaps of the frames.
            one, other: (P,) which of them.
        """
        chain, touched, pairs = self.chain, Touched([], []), len(one)
        with np.errstate(all="ignore"):
            widths = [len(frame.outputs) for frame in self.frames]
            made = Made.none(pairs, [])
            for k, frame in enumerate(self.frames):
                before = made.through(self.stack(k)) if k else (np.zeros((0, 0), np.float32),) * 2
                if k <= chain.boxes:
                    made = Made.none(pairs, widths[k:] if k == chain.boxes else [widths[k]])
                moved, opened = np.zeros((pairs, len(frame.outputs)), np.bool_), np.zeros((pairs, len(frame.gaps)), np.bool_)
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
                    k <= chain.boxes,
                    *before,
                    *made.place(max(0, k - chain.boxes)),
                    moved,
                    opened,
                )
                touched.outputs.append(moved)
                touched.gaps.append(opened)
            middle, radius = (side.astype(np.float64) for side in made.through(self.stack(len(self.frames))))
            found = np.nextafter(middle - radius, -np.inf)
        return np.where(np.isfinite(found) & (np.abs(found) < LARGEST), found, -np.inf), touched


def _cut(matrix: Floats | csr_array, rows: Positions, columns: Positions) -> Floats:
    """A part of it, in full."""
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix[np.ix_(rows, columns)])
    some, place = matrix[rows], np.full(matrix.shape[1], -1)
    place[columns] = np.arange(len(columns))
    at, to = np.repeat(np.arange(len(rows)), np.diff(some.indptr)), place[some.indices]
    found = np.zeros((len(rows), len(columns)), dtype=np.float32)
    found[at[to >= 0], to[to >= 0]] = some.data[to >= 0]
    return found
