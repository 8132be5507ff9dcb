"""Probabilities of labels, and their logarithms, for claims about how fast these change: a network that goes on to odds, and slopes.

The odds are ``exp(z[i] - z[k])`` for all labels i and k, z being the logits. Forms below what is claimed of them are in ``odds_forms``.

On the way from one z to another ``d (r . p) = sum_j m[j] dz[j]`` with ``m[j] = p[j] sum_i (r[j] - r[i]) p[i]``, and
``d (r . log p)`` likewise with ``m[j] = r[j] - R p[j]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array
from netassay.checking.certificates.bounds import Range
from netassay.checking.certificates.curves import Odds
from netassay.checking.certificates.exponential import exponential
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.scores import Scores
from netassay.errors import DataError
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.models.graph import Graph

MOST = 10_000_000
"""Numbers of a matrix from logits to their differences, at most."""


def with_odds(graph: Graph, scores: Scores) -> Graph:
    """The graph that goes on to the logits, their differences ``z[i] - z[k]`` for k, for all i != k, and the odds.

    Raises:
        DataError: If there are too many labels.
    """
    builder, values = GraphBuilder(graph.input_shape), [0]
    for node in graph.nodes:
        values.append(builder.add(node.operator, *(values[i] for i in node.inputs), name=node.name))
    count = scores.labels(graph.output_size)
    if count**3 > MOST:
        raise DataError(f"how fast probabilities of {count} labels change is not followed: too many")
    pivot, label = np.nonzero(~np.eye(count, dtype=np.bool_))
    apart = np.eye(count)[label] - np.eye(count)[pivot]
    value = builder.add(op.Reshape((graph.output_size,)), values[-1], name="claim")
    for matrix in (scores.logits(graph.output_size), apart):
        value = builder.add(op.Dense(matrix, np.zeros(len(matrix))), value, name="claim")
    return builder.build(builder.add(Odds(scores.logarithms), value, name="claim"))


def odds_of(network: CheckedNetwork) -> Odds | None:
    """The last operator of a network that goes on to odds; None for others, whose rows are about the outputs."""
    last = network.graph.nodes[-1].operator if network.graph.nodes else None
    return last if isinstance(last, Odds) else None


def logits_of(network: CheckedNetwork) -> int:
    """The number of the value that is the logits, of a network that goes on to odds."""
    return network.output - 2


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """What is known of all probabilities in B parts.

    Args:
        odds: (B, labels, labels - 1) ends of the odds of the others against each label.
        ends: (B, labels) ends of p.
    """

    odds: Range
    ends: Range


def probabilities(a: Arithmetic, differences: Range) -> Probabilities:
    """Of all logits whose differences (B, labels * (labels - 1)) lie between two ends."""
    count = (isqrt(1 + 4 * differences[0].shape[1]) + 1) // 2
    shape = (len(differences[0]), count, count - 1)
    low, high = (exponential(a, differences[i])[i].reshape(shape) for i in (0, 1))
    one, known = a.array(1.0), np.asarray(a.known(high).all(axis=2))
    most = sum_beside(a, np.where(known[:, :, None], high, one), up=True)
    below = np.where(known, a.outward(one, a.up(one + most))[0], a.zeros(1))
    above = a.outward(one, a.down(one + np.maximum(sum_beside(a, low, up=False), 0)))[1]
    return Probabilities((low, high), (np.maximum(below, 0), np.minimum(above, one)))


def sum_beside(a: Arithmetic, terms: Array, *, up: bool) -> Array:
    """At or above, or at or below, sums over the last axis."""
    total, slack = terms.sum(axis=-1), 2 * a.gamma(terms.shape[-1]) * np.abs(terms).sum(axis=-1) + a.tiny
    return np.asarray(a.up(total + slack) if up else a.down(total - slack))


def score_slopes(a: Arithmetic, rows: Array, differences: Range, *, logarithms: bool) -> Range:
    """(B, r, labels) ends of the m of rows (r, labels) for all logits whose differences (B, ...) lie between two ends."""
    least, most = probabilities(a, differences).ends
    below = _log_slopes_below if logarithms else _slopes_below
    return below(a, rows, least, most), -below(a, -rows, least, most)


def _slopes_below(a: Arithmetic, rows: Array, least: Array, most: Array) -> Array:
    """At or below m: by the products ``p[j] p[i]``, of which none exceeds 1/4, and by p[j] times the sum, a mean of ``r[j] - r[i]``."""
    factors = difference_below(a, rows[:, :, None], rows[:, None, :])
    own = a.down(least[:, :, None] * least[:, None, :]), np.minimum(a.up(most[:, :, None] * most[:, None, :]), a.array(0.25))
    paired = least_sum(a, factors, own[0][:, None], own[1][:, None])
    total = np.maximum(least_sum(a, factors, least[:, None, None], most[:, None, None]), factors.min(axis=2))
    weighed = a.down(np.where(total < 0, total * most[:, None], total * least[:, None]))
    return np.maximum(paired, weighed)


def _log_slopes_below(a: Arithmetic, rows: Array, least: Array, most: Array) -> Array:
    """At or below m, of logarithms."""
    total = sum_beside(a, rows, up=True)[:, None]
    return np.asarray(a.down(rows - a.up(np.where(total > 0, total * most[:, None], total * least[:, None]))))


def difference_below(a: Arithmetic, one: Array, other: Array) -> Array:
    """At or below it; exactly 0 where both are the same."""
    found = one - other
    return np.where(found == 0, found, a.down(found))


def least_sum(a: Arithmetic, factors: Array, least: Array, most: Array) -> Array:
    """At or below sums over the last axis of factors times numbers in [least, most], which are not negative."""
    return sum_beside(a, a.down(factors * np.where(factors < 0, most, least)), up=False)
