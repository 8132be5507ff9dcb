"""Lower bounds of forms over the leaves of trees, with the lines and multipliers that a certificate chooses for each leaf.

Any choice gives a bound that holds: a lower line of a kinked operator may have any slope between those of its two parts, and what is known
to be nonnegative in a leaf (the distance of a split number from its threshold, on its side) may be taken off a form any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.bounds import NUMBERS, Parts, Range
from netassay.checking.certificates.trees import INPUT, Forest
from netassay.errors import DataError

STEPS = 255.0
"""Slopes are stored as whole numbers up to this."""


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """What a certificate chooses at each leaf.

    Args:
        slopes: For values, the numbers that are chosen for (k,) and (leaves, k): 0 for the left part's slope, 255 for the right's.
        multipliers: One number for each split above each leaf, leaf by leaf; empty for none.
    """

    slopes: Mapping[int, tuple[NDArray[np.uint32], NDArray[np.uint8]]] = field(default_factory=dict)
    multipliers: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))


class Target(Protocol):
    """The form of each leaf that is to be bounded."""

    @property
    def value(self) -> int:
        """The value that the forms are about."""
        ...

    def forms(self, a: Arithmetic, magnitude: Array, leaves: slice) -> tuple[Array, Array, Array]:
        """(L, m) rows, (L,) constants, and (L,) what both may differ by from what is meant where y has that magnitude (m,)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Single numbers of a value, or their negatives.

    Args:
        value: Which value.
        unit, sign: (leaves,) which number, and 1 or -1.
        size: Numbers of the value.
    """

    value: int
    unit: Positions
    sign: NDArray[np.int8]
    size: int

    def forms(self, a: Arithmetic, magnitude: Array, leaves: slice) -> tuple[Array, Array, Array]:  # noqa: ARG002
        unit, sign = self.unit[leaves], self.sign[leaves]
        rows = a.zeros(len(unit), self.size)
        rows[np.arange(len(unit)), unit] = sign.astype(object if a.exact else np.float64)
        return rows, a.zeros(len(unit)), a.zeros(len(unit))


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Weighted sums of rows of a claim's parts: where one is positive, so is one of the rows.

    Args:
        value: The network's output.
        rows, constants: Of each leaf's part: (r, m) and (r,).
        weights: (r,) of each leaf, not negative.
    """

    value: int
    rows: Sequence[Array]
    constants: Sequence[Array]
    weights: Sequence[Array]

    def forms(self, a: Arithmetic, magnitude: Array, leaves: slice) -> tuple[Array, Array, Array]:
        """A single row of weight 1 is itself, without rounding."""
        found, constants, errors = [], [], []
        for rows, constant, weights in zip(self.rows[leaves], self.constants[leaves], self.weights[leaves], strict=True):
            w = a.array(weights)
            found.append(w @ rows)
            constants.append(w @ constant)
            plain = a.exact or (len(w) == 1 and w[0] == 1)
            with np.errstate(all="ignore"):  # magnitudes may be infinite, and then nothing is proved
                size = 0 if plain else w @ (np.abs(rows) @ magnitude + np.abs(constant))
                errors.append(size * (2 * a.gamma(len(w))) + (0 if plain else a.tiny))
        return np.stack(found), np.asarray(constants), np.asarray(errors)


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The splits above some leaves, S in all, leaf by leaf.

    Args:
        count: How many leaves.
        leaf, value, index, side: (S,) which number of which value is split above which leaf: at most the threshold (0), at least (1).
        threshold: (S,).
    """

    count: int
    leaf: Positions
    value: Positions
    index: Positions
    side: Positions
    threshold: NDArray[np.float64]

    def cut(self, leaves: slice) -> tuple[Splits, slice]:
        """Those above some consecutive leaves, and where they are among all."""
        begin, end = (int(i) for i in np.searchsorted(self.leaf, [leaves.start, leaves.stop]))
        at, count = slice(begin, end), leaves.stop - leaves.start
        return Splits(count, self.leaf[at] - leaves.start, self.value[at], self.index[at], self.side[at], self.threshold[at]), at


def splits_of(trees: Forest) -> Splits:
    """The splits above all leaves of trees."""
    paths = trees.paths()
    leaf = np.repeat(np.arange(len(paths)), [len(p) for p in paths])
    steps = np.array([s for path in paths for s in path], dtype=np.intp).reshape(-1, 2)
    node = steps[:, 0]
    value, index = trees.value[node].astype(np.intp), trees.index[node].astype(np.intp)
    return Splits(len(paths), leaf, value, index, steps[:, 1], trees.threshold[node])


def leaf_bounds(whole: Parts, splits: Splits, choices: Choices, target: Target) -> Array:
    """(leaves,) lower bounds of the target's forms on the leaves of trees over one part; inf where a leaf holds no input.

    Raises:
        DataError: If the choices do not fit the trees or the network.
    """
    whole.ensure(target.value)
    _check(whole, target.value, choices, splits)
    step, found = max(32, 2 * NUMBERS // max(whole.network.sizes)), []
    for begin in range(0, splits.count, step):
        leaves = slice(begin, min(begin + step, splits.count))
        some, at = splits.cut(leaves)
        multipliers = choices.multipliers[at] if len(choices.multipliers) else None
        found.append(_Leaves(whole, some, target, leaves).bounds(choices, multipliers))
    return np.concatenate(found)


def _check(whole: Parts, value: int, choices: Choices, splits: Splits) -> None:
    if len(choices.multipliers) not in (0, len(splits.leaf)) or not np.isfinite(choices.multipliers).all():
        raise DataError(f"{len(choices.multipliers)} multipliers (or infinite ones) came for {len(splits.leaf)} splits above leaves")
    latest = splits.value.max(initial=0)
    if latest >= value:
        raise DataError(f"a tree splits value {latest}, which does not come before value {value} that its bound is about")
    for v, (index, slopes) in choices.slopes.items():
        if v not in whole.network.kinked or v >= value or slopes.shape != (splits.count, len(index)):
            raise DataError(f"slopes of shape {slopes.shape} for value {v} do not fit {splits.count} leaves below value {value}")
        if len(index) and index.max() >= whole.network.sizes[v]:
            raise DataError(f"slopes are chosen for number {index.max()} of value {v}, which has {whole.network.sizes[v]}")


class _Leaves:
    """Some leaves."""

    def __init__(self, whole: Parts, splits: Splits, target: Target, cut: slice) -> None:
        self._whole, self._target, self._cut = whole, target, cut
        self._count, self._leaf = splits.count, splits.leaf
        self._side, self._value, self._index = splits.side, splits.value, splits.index
        self._threshold = whole.arithmetic.array(splits.threshold)

    def bounds(self, choices: Choices, multipliers: NDArray[np.float32] | None) -> Array:
        ranges = {int(v): self._range(int(v)) for v in np.unique(self._value)}
        low, high = ranges.pop(INPUT, None) or tuple(np.repeat(side, self._count, axis=0) for side in (self._whole.low, self._whole.high))
        empty = np.asarray((low > high).any(axis=1))
        slopes = {v: self._slopes(v, index, rows[self._cut]) for v, (index, rows) in choices.slopes.items()}
        parts = self._whole.within(ranges, slopes, np.minimum(low, high), np.maximum(low, high))
        target, whole = self._target, self._whole
        extra, constant, error = self._multiplied(multipliers)
        rows, own_constant, own_error = target.forms(whole.arithmetic, whole.magnitude(target.value), self._cut)
        bound = parts.minimum(target.value, rows, np.arange(self._count), own_constant + constant, own_error + error, extra)
        return np.where(empty | parts.empty, np.inf, bound.lower)

    def _range(self, value: int) -> Range:
        """(L, m) the range of a value in each leaf: that of the whole, cut off at the thresholds."""
        low, high = (np.repeat(side, self._count, axis=0) for side in self._whole.ranges[value])
        for side, ends, cut in ((0, high, np.minimum), (1, low, np.maximum)):
            mine = np.flatnonzero((self._value == value) & (self._side == side))
            cut.at(ends, (self._leaf[mine], self._index[mine]), self._threshold[mine])
        return low, high

    def _slopes(self, value: int, index: NDArray[np.uint32], rows: NDArray[np.uint8]) -> Array:
        found = np.full((self._count, self._whole.network.sizes[value]), np.nan)
        found[:, index] = rows / STEPS
        return found

    def _multiplied(self, multipliers: NDArray[np.float32] | None) -> tuple[dict[int, Array], Array, Array]:
        """Coefficients, constants and errors of what multipliers take off: ``m (z - t)`` above, ``m (t - z)`` below a threshold t."""
        a = self._whole.arithmetic
        extra: dict[int, Array] = {}
        constant, error = a.zeros(self._count), a.zeros(self._count)
        if multipliers is None:
            return extra, constant, error
        sized = a.array(np.abs(multipliers.astype(np.float64)))
        signed = np.where(self._side == 1, -sized, sized)
        sizes = sized * np.abs(self._threshold)
        for value in np.unique(self._value):
            mine = np.flatnonzero(self._value == value)
            extra[int(value)] = a.zeros(self._count, self._whole.network.sizes[value])
            np.add.at(extra[int(value)], (self._leaf[mine], self._index[mine]), signed[mine])
            sizes[mine] = sizes[mine] + sized[mine] * self._whole.magnitude(int(value))[self._index[mine]]
        np.add.at(constant, self._leaf, -signed * self._threshold)
        if not a.exact:
            np.add.at(error, self._leaf, sizes)
            error = error * (2 * a.gamma(len(sizes)))
        return extra, constant, error
