"""Linear forms of the input below what is claimed of probabilities, or of their logarithms, in parts of a network that goes on to odds.

With any label k as the pivot, e[i] the odds against it (e[k] = 1) and D their sum, ``p[i] = e[i] / D`` and
``log p[i] = z[i] - z[k] - log D``.

*Probabilities*: with any t, ``r . p - t = N / D`` where ``N = sum (r[i] - t) e[i]``. For q not above any 1 / D this is at least ``q N``
where N is not negative; elsewhere it is at least N, as D >= 1. So ``r . p >= t + q N + min(0, least N)``, and odds have lines.

*Logarithms*: ``r . log p = sum r[i] (z[i] - z[k]) - R log D`` with ``R = sum r``, where log D >= 0. With any weights w that add up to 1,
``log D >= sum w[i] (z[i] - z[k] - log w[i])``; and with any E > 0, ``log D <= log E + D / E - 1``. Or, where no r[i] is negative, each
label is its own pivot: over large parts that is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, floats
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.exponential import logarithm
from netassay.checking.certificates.odds import difference_below, least_sum, odds_of, probabilities, sum_beside
from netassay.checking.certificates.pushing import Bound

ROUNDS = 6
"""Of the search for a good t (Dinkelbach, 1967), which any t may stand for."""

SHARES = 2.0**50
"""Weights w are multiples of one part in so many, so that they add up to 1."""


def score_bounds(parts: Parts, rows: Array, constants: Array) -> Bound:
    """Of all rows ``<row, p> + constant`` (or of log p) in all parts, one part after the other: lower bounds, and forms of the input.

    Args:
        parts: Of a network that goes on to odds.
        rows, constants: (r, labels) and (r,).
    """
    a, network, last = parts.arithmetic, parts.network, odds_of(parts.network)
    parts.ensure(network.output)
    logarithms, owner = last is not None and last.logarithms, np.repeat(np.arange(len(parts)), len(rows))
    with np.errstate(all="ignore"):
        made = _Forms(parts, rows, constants)
        forms = made.of_logarithms() if logarithms else made.of_probabilities()
    spread = [made.spread(x) for x in (forms.odds, forms.differences)]
    constant = a.bound(forms.constant.reshape(-1))
    found = parts.minimum(network.output, spread[0], owner, constant, forms.error.reshape(-1), {network.output - 1: spread[1]})
    least = np.maximum(found.lower, a.bound(forms.least.reshape(-1)))
    positive = np.asarray((rows >= 0).all(axis=1))
    if not (logarithms and positive.any()):
        return Bound(least, found.form, found.offset)
    odds, constant = _each_by_itself(parts, rows, np.where(positive, constants, -np.inf))
    other = parts.minimum(network.output, odds, owner, a.bound(constant))
    better = np.asarray(other.lower > found.lower)
    form = np.where(better[:, None], other.form, found.form)
    return Bound(np.maximum(least, other.lower), form, np.where(better, other.offset, found.offset))


def _each_by_itself(parts: Parts, rows: Array, constants: Array) -> tuple[Array, Array]:
    """Coefficients (B * r, labels * (labels - 1)) of odds, and constants, of forms below rows of logarithms that are not negative."""
    a, count, one = parts.arithmetic, rows.shape[1], parts.arithmetic.array(1.0)
    with np.errstate(all="ignore"):
        low, high = probabilities(a, parts.ranges[parts.network.output - 1]).odds
        level = _middle(a, one + low.sum(axis=2), one + high.sum(axis=2))
        factors = a.outward(-rows, level[:, None])[0]
        above = a.up(logarithm(a, level)[1] - one)
        constant = sum_beside(a, a.down(factors - a.up(rows * above[:, None])), up=False)
        odds = np.repeat(factors, count - 1, axis=2)
        return odds.reshape(len(parts) * len(rows), -1), a.down(constant + constants).reshape(-1)


def _middle(a: Arithmetic, low: Array, high: Array) -> Array:
    """Floats between two numbers, of which the upper one may be infinite."""
    return a.array(np.nan_to_num(floats(low) / 2 + floats(high) / 2, nan=1.0, posinf=1.0))


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """Of r rows in B parts.

    Args:
        odds, differences: (B, r, labels - 1) coefficients of the pivot's.
        constant: (B, r).
        error: (B, r) what all of these may be off by.
        least: (B, r) at or below the rows, whatever the forms say.
    """

    odds: Array
    differences: Array
    constant: Array
    error: Array
    least: Array


class _Forms:
    """Forms below rows, in each part with the likeliest label as its pivot."""

    def __init__(self, parts: Parts, rows: Array, constants: Array) -> None:
        a, place, count = parts.arithmetic, np.arange(len(parts)), rows.shape[1]
        known, self._a, self._given, self._constants = probabilities(a, parts.ranges[parts.network.output - 1]), a, rows, constants
        self.pivot = floats(known.ends[0]).argmax(axis=1)
        order = np.stack([np.r_[k, np.delete(np.arange(count), k)] for k in self.pivot])
        self._least = known.ends[0][place, self.pivot][:, None, None]
        """(B, 1, 1) of the pivot's probability."""
        self._rows, ones = rows[:, order].swapaxes(0, 1), np.broadcast_to(a.array(1.0), (len(parts), 1, 1))
        """(B, r, labels), the pivot's first."""
        self._low, self._high = (np.concatenate([ones, side[place, self.pivot][:, None]], axis=2) for side in known.odds)
        self._parts, self._ends = parts, known.ends
        differences = [side.reshape(len(parts), count, count - 1)[place, self.pivot] for side in parts.ranges[parts.network.output - 1]]
        self._order = order
        self._furthest = np.maximum(np.abs(differences[0]), np.abs(differences[1]))[:, None]

    def of_probabilities(self) -> Forms:
        a = self._a
        level = _levels(floats(self._rows), floats(self._low), floats(self._high))
        factors = difference_below(a, self._rows, a.array(level)[:, :, None])
        short = np.minimum(least_sum(a, factors, self._low, self._high), 0)
        factors = a.down(factors * self._least)
        least = a.down(a.array(level) + a.down(short + self._constants))
        nothing = a.zeros(*factors[:, :, 1:].shape)
        return Forms(factors[:, :, 1:], nothing, a.down(least + factors[:, :, 0]), a.zeros(*least.shape), least)

    def of_logarithms(self) -> Forms:
        """With no less than R for R, as log D is not negative."""
        a, one, rest = self._a, self._a.array(1.0), self._rows[:, :, 1:]
        total = sum_beside(a, self._rows, up=True)
        weights, entropy = self._weights()
        taken = np.maximum(-total, 0)[:, :, None]
        differences = rest + taken * weights
        size = np.abs(rest) + taken * weights
        error = 2 * a.gamma(2) * (size * self._furthest).sum(axis=2) + a.tiny
        level = _middle(a, self._low.sum(axis=2), self._high.sum(axis=2))
        rises = np.maximum(total, 0)
        factor = np.where(rises > 0, a.outward(-rises, level)[0], a.zeros(1))
        above = a.up(logarithm(a, level)[1] - one)
        offset = np.where(rises > 0, a.down(factor + a.down(-a.up(rises * above))), a.down(taken[:, :, 0] * entropy))
        odds = np.broadcast_to(factor[:, :, None], differences.shape)
        return Forms(odds, differences, a.down(offset + self._constants), error, self._least_logarithms())

    def _least_logarithms(self) -> Array:
        """(B, r) by the ends of each logarithm."""
        a, rows = self._a, self._given
        low, high = logarithm(a, self._ends[0])[0][:, None], np.minimum(logarithm(a, self._ends[1])[1], 0)[:, None]
        terms = np.where(rows == 0, a.zeros(1), a.down(rows * np.where(rows > 0, low, high)))
        return np.asarray(a.down(sum_beside(a, terms, up=False) + self._constants))

    def spread(self, given: Array) -> Array:
        """(B * r, labels * (labels - 1)) coefficients (B, r, labels - 1) of the pivots' odds, or differences, among all."""
        found = self._a.zeros(len(given), given.shape[1], self._parts.network.sizes[self._parts.network.output])
        columns = self.pivot[:, None] * given.shape[2] + np.arange(given.shape[2])
        np.put_along_axis(found, np.broadcast_to(columns[:, None], given.shape), given, axis=2)
        return found.reshape(len(given) * given.shape[1], -1)

    def _weights(self) -> tuple[Array, Array]:
        """(B, r, labels - 1) w of the others than the pivot, and (B, r) at or below ``-sum w log w`` over all."""
        a, wanted = self._a, self._shares() * (1 - 2.0**-40)  # so that all of them stay below 1 in sum
        others = np.take_along_axis(wanted, np.broadcast_to(self._order[:, None], wanted.shape), axis=2)[:, :, 1:]
        found = np.floor(others * SHARES) / SHARES
        weights = a.array(np.concatenate([1 - found.sum(axis=2, keepdims=True), found], axis=2))
        terms = np.where(weights > 0, a.up(weights * logarithm(a, weights)[1]), a.zeros(1))
        return weights[:, :, 1:], -sum_beside(a, terms, up=True)

    def _shares(self) -> Array:
        """(B, r, labels) about the probabilities in the middle of the differences to each label, their mean by what the rows take off."""
        rows, count = floats(self._given), self._given.shape[1]
        low, high = (floats(side) for side in self._parts.ranges[self._parts.network.output - 1])
        middle = np.zeros((len(low), count, count))
        middle[:, ~np.eye(count, dtype=np.bool_)] = np.nan_to_num(low / 2 + high / 2)
        shares = np.exp(middle - middle.max(axis=2, keepdims=True))
        taken = np.maximum(-rows, 0) + 1e-9
        return np.asarray((taken / taken.sum(axis=1, keepdims=True)) @ (shares / shares.sum(axis=2, keepdims=True)))


def _levels(rows: Array, low: Array, high: Array) -> Array:
    """(B, r) about the least ``r . p``, floats."""
    chosen = low
    for _ in range(ROUNDS):
        level = (rows * chosen).sum(axis=2) / np.broadcast_to(chosen, rows.shape).sum(axis=2)
        chosen = np.where(rows < level[:, :, None], high, low)
    return np.asarray(np.where(np.isfinite(level), level, rows.min(axis=2)))
