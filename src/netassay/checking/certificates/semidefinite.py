"""Lower bounds over the leaves of trees by semidefinite relaxations of ReLU networks, with the multipliers that a certificate chooses.

The inputs that move are ``x_j = middle_j + radius_j xi_j`` with xi in [-1, 1], an undecided neuron gives ``u_i s_i`` with s in [0, 1]; all
else is linear in ``v = (xi, 1, s)``, up to errors that are added up beside the forms. For z_i the form that neuron i reads, and f_k those
of the splits above the leaf, nothing of

    mu_j (1 - xi_j^2),    tau_i (s_i - s_i^2),    nu_i (s_i z_i - u_i s_i^2),    beta_i (u_i s_i - z_i),    phi_k f_k

is negative where it counts (Raghunathan, Steinhardt and Liang, 2018, https://arxiv.org/abs/1811.01057). So where the form in question, less
t and less all these, is ``v' M v`` for a positive semidefinite M, the form is at least t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.affine import Affine
from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions
from netassay.checking.certificates.bounds import Parts, Range
from netassay.checking.certificates.definiteness import is_semidefinite
from netassay.checking.certificates.forests import Splits, Target
from netassay.errors import DataError

NUMBERS = 1 << 25
"""Numbers of one matrix, at most; of rational ones a sixteenth."""

NEURON = ("tau", "nu", "beta")


@dataclass(frozen=True, slots=True, eq=False)
class Duals:
    """What a certificate chooses at each leaf; nothing is negative.

    Args:
        level: (leaves,) t.
        inputs: (leaves, n) mu, of every input.
        neurons: For values, the numbers that are chosen for (k,) and (3, leaves, k) tau, nu and beta, which count where they are undecided.
            Undecided numbers for which nothing is chosen count as decided, but for an error as large as their range is on its smaller side.
        splits: (S,) phi of each split above each leaf, leaf by leaf.
    """

    level: NDArray[np.float64]
    inputs: NDArray[np.float32]
    neurons: Mapping[int, tuple[NDArray[np.uint32], NDArray[np.float32]]]
    splits: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """Linear forms of v.

    Args:
        rows: (D, m), a column each; v may have further entries, on which they do not depend.
        error: (m,) how far each is from what it stands for, at most.
    """

    rows: Array
    error: Array

    @property
    def size(self) -> Array:
        """(m,) about the largest that each can be."""
        return np.asarray(np.abs(self.rows).sum(axis=0)) + self.error

    def of(self, index: Positions) -> Forms:
        """Some of them."""
        return Forms(self.rows[:, index], self.error[index])


def semidefinite_bounds(whole: Parts, splits: Splits, duals: Duals, target: Target) -> Array:
    """(leaves,) lower bounds of the target's forms on the leaves of trees over one part; inf where a leaf holds no input.

    Raises:
        DataError: If the multipliers do not fit the trees or the network, or the network has other nonlinear operators than ReLUs.
    """
    whole.ensure(target.value)
    _check(whole, splits, duals)
    relaxation = _Relaxation(whole)
    with np.errstate(all="ignore"):
        found = [_bound(relaxation, splits, duals, target, leaf) for leaf in range(splits.count)]
    return np.asarray(found, dtype=object if whole.arithmetic.exact else np.float64)


def _check(whole: Parts, splits: Splits, duals: Duals) -> None:
    network, leaves = whole.network, splits.count
    if any(mapped is None and network.left(p) != 0 for p, mapped in enumerate(network.maps)):
        raise DataError("semidefinite relaxations are known of ReLUs only, and the network has other nonlinear operators")
    if (splits.value == 0).any():
        raise DataError("a tree of semidefinite relaxations splits an input; it may split what ReLUs read")
    if duals.level.shape != (leaves,) or duals.inputs.shape != (leaves, network.sizes[0]) or duals.splits.shape != splits.leaf.shape:
        raise DataError(f"the multipliers of semidefinite relaxations do not fit {leaves} leaves with {len(splits.leaf)} splits above them")
    for v, (index, chosen) in duals.neurons.items():
        if v not in network.kinked or chosen.shape != (len(NEURON), leaves, len(index)) or (index >= network.sizes[v]).any():
            raise DataError(f"multipliers of shape {chosen.shape} for {len(index)} numbers of value {v} do not fit {leaves} leaves")
    given = [duals.inputs, duals.splits, *(chosen for _, chosen in duals.neurons.values())]
    if not np.isfinite(duals.level).all() or not all(np.isfinite(y).all() and (y >= 0).all() for y in given):
        raise DataError("a multiplier of a semidefinite relaxation is negative, NaN or infinite; expected finite numbers from 0 on")


class _Relaxation:
    """The network over a box, as forms of v; those before any ReLU are the same in all leaves."""

    def __init__(self, whole: Parts) -> None:
        self.whole, self.a, a = whole, whole.arithmetic, whole.arithmetic
        low, high = whole.low[0], whole.high[0]
        self.moving = np.flatnonzero(low < high)
        middle = np.where(low < high, low / 2 + high / 2, low)
        radius = np.maximum(a.up(high - middle), a.up(middle - low))
        rows = a.zeros(self.inputs + 1, len(low))
        rows[np.arange(self.inputs), self.moving], rows[self.inputs] = radius[self.moving], middle
        self._first: dict[int, Forms] = {0: Forms(rows, a.zeros(len(low)))}

    @property
    def inputs(self) -> int:
        return len(self.moving)

    def check_size(self, width: int, numbers: int) -> None:
        """Raises DataError for matrices that are too large."""
        most = NUMBERS // 16 if self.a.exact else NUMBERS
        if width * numbers > most:
            raise DataError(f"a semidefinite relaxation needs a matrix of {width} x {numbers} numbers; the checker takes at most {most}")

    def forms(
        self, ranges: Mapping[int, Range], chosen: Mapping[int, Positions]
    ) -> tuple[dict[int, Forms], dict[int, tuple[Positions, int]]]:
        """The forms of all values, and of values that ReLUs read which of their numbers are undecided, and the entry of v of the first.

        Args:
            ranges: ((m,) and (m,)) of what ReLUs read.
            chosen: Numbers of these values that have multipliers.
        """
        network, found, opened, size = self.whole.network, dict(self._first), dict[int, tuple[Positions, int]](), self.inputs + 1
        for position, inputs in enumerate(network.inputs):
            if position + 1 in found:
                continue
            mapped = network.maps[position]
            if mapped is None:
                low, high = ranges[inputs[0]]
                if inputs[0] not in opened:
                    taken = chosen.get(inputs[0], np.zeros(0, dtype=np.intp))
                    opened[inputs[0]] = np.intersect1d(np.flatnonzero((low < 0) & (high > 0)), taken), size
                    size += len(opened[inputs[0]][0])
                found[position + 1] = self._cut(found[inputs[0]], low, high, *opened[inputs[0]])
            else:
                found[position + 1] = self._mapped(mapped, [found[i] for i in inputs])
                if not opened:
                    self._first[position + 1] = found[position + 1]
        return found, opened

    def _mapped(self, mapped: Affine, given: list[Forms]) -> Forms:
        """Behind an affine operator."""
        a = self.a
        width = max((len(f.rows) for f in given), default=self.inputs + 1)
        self.check_size(width, max(mapped.size, sum(mapped.sizes)))
        rows = np.concatenate([a.zeros(width, 0), *(_padded(a, f.rows, width) for f in given)], axis=1)
        error, size = (np.concatenate([a.zeros(0), *each])[None] for each in ([f.error for f in given], [f.size for f in given]))
        result = mapped.linear(rows).copy()
        result[self.inputs] = result[self.inputs] + mapped.constant
        lost = 4 * a.gamma(mapped.terms + width) * (mapped.linear(size, absolute=True)[0] + np.abs(mapped.constant))
        return Forms(result, mapped.linear(error, absolute=True)[0] + lost + a.tiny)

    def _cut(self, given: Forms, low: Array, high: Array, undecided: Positions, first: int) -> Forms:
        """Behind a ReLU on ranges; what counts as decided and is not may be off by as much as its range is on its smaller side."""
        nothing = self.a.zeros(1)
        linear = high > -low
        linear[undecided] = False
        rows = _padded(self.a, np.where(linear, given.rows, nothing), first + len(undecided))
        rows[first + np.arange(len(undecided)), undecided] = high[undecided]
        beyond = np.maximum(np.minimum(-low, high), nothing)
        beyond[undecided] = 0
        return Forms(rows, self.a.up(np.where(linear, given.error, nothing) + beyond))


def _padded(a: Arithmetic, rows: Array, width: int) -> Array:
    """(width, m) the rows, and zeros behind them."""
    return np.concatenate([rows, a.zeros(width - len(rows), rows.shape[1])])


def _bound(relaxation: _Relaxation, splits: Splits, duals: Duals, target: Target, leaf: int) -> Any:
    """The bound of one leaf."""
    whole, a = relaxation.whole, relaxation.a
    mine, at = splits.cut(slice(leaf, leaf + 1))
    ranges: dict[int, Range] = {v: (whole.ranges[v][0][0].copy(), whole.ranges[v][1][0].copy()) for v in whole.network.kinked}
    cuts = list(zip(mine.value.tolist(), mine.index.tolist(), mine.side.tolist(), a.array(mine.threshold), strict=True))
    for v, i, side, threshold in cuts:
        end, nearer = (ranges[v][0], max) if side else (ranges[v][1], min)
        end[i] = nearer(end[i], threshold)
        if ranges[v][0][i] > ranges[v][1][i]:
            return np.inf
    if not all(a.known(side).all() for pair in ranges.values() for side in pair):
        return -np.inf
    forms, opened = relaxation.forms(ranges, {v: index.astype(np.intp) for v, (index, _) in duals.neurons.items()})
    row, constant, error = target.forms(a, whole.magnitude(target.value), slice(leaf, leaf + 1))
    width = relaxation.inputs + 1 + sum(len(undecided) for undecided, _ in opened.values())
    relaxation.check_size(4 * width, width - relaxation.inputs)
    matrix = _Matrix(relaxation, width, duals.level[leaf], forms[target.value], (row[0], constant[0], error[0]))
    matrix.take_inputs(duals.inputs[leaf][relaxation.moving])
    for v, (undecided, first) in opened.items():
        chosen = np.zeros((len(NEURON), whole.network.sizes[v]))
        if v in duals.neurons:
            chosen[:, duals.neurons[v][0]] = duals.neurons[v][1][:, leaf]
        matrix.take_neurons(forms[v].of(undecided), first, ranges[v][1][undecided], chosen[:, undecided])
    for (v, i, side, threshold), phi in zip(cuts, a.array(duals.splits[at]), strict=True):
        matrix.take_split(forms[v].of(np.array([i])), 1 if side else -1, threshold, phi)
    return matrix.bound()


class _Matrix:
    """M: the diagonal of the inputs, what stands between them and (1, s), and what stands among those.

    Every term adds its magnitude to ``_size``: entries of v are at most 1, so what entries err by adds up to at most so much.
    """

    def __init__(self, relaxation: _Relaxation, width: int, level: float, forms: Forms, target: tuple[Array, Any, Any]) -> None:
        a = self._a = relaxation.a
        row, constant, error = target
        self._inputs, self._width, self._one_half = relaxation.inputs, width, a.array(0.5)[()]
        size = np.abs(row) @ forms.size + abs(constant)
        self._lost = error + np.abs(row) @ forms.error + 4 * a.gamma(width + len(row)) * size
        self._level = a.array(level)[()]
        self._linear = _padded(a, (forms.rows @ row)[:, None], width)[:, 0]
        self._linear[self._inputs] += constant - self._level
        self._size = size + abs(self._level)
        self._terms = width + len(row)
        self._diagonal = a.zeros(self._inputs)
        inner = width - self._inputs
        self._side, self._half = a.zeros(self._inputs, inner), a.zeros(inner, inner)

    def take_inputs(self, mu: NDArray[np.float32]) -> None:
        """mu (1 - xi^2)."""
        self._diagonal = self._a.array(mu)
        self._linear[self._inputs] -= self._diagonal.sum()
        self._size = self._size + 2 * self._diagonal.sum()

    def take_neurons(self, before: Forms, first: int, top: Array, chosen: NDArray[np.float64]) -> None:
        """tau (s - s^2), nu (s z - u s^2) and beta (u s - z)."""
        tau, nu, beta = (self._a.array(y) for y in chosen)
        own, rows = first + np.arange(len(top)), _padded(self._a, before.rows, self._width)
        self._linear += rows @ beta
        self._linear[own] -= tau + beta * top
        self._side[:, own - self._inputs] -= rows[: self._inputs] * (nu * self._one_half)
        self._half[:, own - self._inputs] -= rows[self._inputs :] * (nu * self._one_half)
        self._half[own - self._inputs, own - self._inputs] += (tau + nu * top) * self._one_half
        self._lost = self._lost + before.error @ (nu + beta)
        self._size = self._size + 2 * tau.sum() + (nu + beta) @ (before.size + top)
        self._terms += 2 * len(top)

    def take_split(self, form: Forms, sign: int, threshold: Any, phi: Any) -> None:
        """phi times the distance of a number from a threshold, on its side."""
        self._linear -= _padded(self._a, form.rows, self._width)[:, 0] * (sign * phi)
        self._linear[self._inputs] += sign * phi * threshold
        self._lost = self._lost + phi * form.error[0]
        self._size = self._size + phi * (form.size[0] + abs(threshold))
        self._terms += 2

    def bound(self) -> Any:
        """At or below the form; -inf unless the matrix is shown to be semidefinite."""
        a, n = self._a, self._inputs
        self._side[:, 0] += self._linear[:n] * self._one_half
        self._half[0] += self._linear[n:] * self._one_half
        lost = self._lost + 4 * a.gamma(self._terms) * self._size
        lost = lost if a.exact else lost * (1 + 1e-6) + a.tiny
        shown = is_semidefinite(a, self._diagonal, self._side, self._half + self._half.T)
        return a.down(self._level - lost) if shown and a.known(np.array([lost, self._level])).all() else -np.inf
