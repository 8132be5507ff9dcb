"""Lower bounds of forms of a network's output where ReLUs that read the same few inputs are bounded together (Lagrangian decomposition).

At the results of ReLUs such a form has coefficients. What the members of a group add to it is a function h of the inputs that they read,
and ``<l, x> + min (h - <l, x>)`` lies below h, whatever l is. A certificate chooses the groups, l, and into how many pieces the range of
every input of a group is cut; the checker finds the minimum, cell by cell, with lines around the ReLUs on what they read there. The forms
that take the groups' place add up and are bounded over the whole region, together with all that is in no group.

(Guignard and Kim, 1987, https://doi.org/10.1007/BF02592954; for verification, Bunel et al., 2020, https://arxiv.org/abs/2002.10410.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.arithmetic import Arithmetic, Array, Positions, floats
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.concretisation import box_minimum
from netassay.checking.certificates.forests import Target
from netassay.checking.certificates.pushing import Push
from netassay.checking.certificates.relaxation import kinked
from netassay.errors import DataError

NUMBERS = 1 << 24
"""Numbers of the lines of all cells, at most; of rational ones a sixteenth. Of the members' forms as many, group by group."""

MOST = 1 << 18
"""Groups, and inputs of all groups, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """What a certificate chooses.

    Args:
        reads: (E,) the inputs of the groups, group after group, ascending in each.
        begin: (G + 1,) where the inputs of each group begin; the last one's end.
        slopes: (E,) l.
        pieces: (E,) into how many equal pieces the range of each input is cut.
        members: For values that ReLUs read, the numbers that are in groups (k,), by ascending group, and the group of each (k,).
    """

    reads: Positions
    begin: Positions
    slopes: NDArray[np.float64]
    pieces: Positions
    members: Mapping[int, tuple[Positions, Positions]]

    def __len__(self) -> int:
        return len(self.begin) - 1

    @property
    def cells(self) -> int:
        """Of all groups."""
        return sum(prod(self.pieces[self.inputs(g)].tolist()) for g in range(len(self)))

    def inputs(self, group: int) -> slice:
        """Where a group's inputs are."""
        return slice(int(self.begin[group]), int(self.begin[group + 1]))


def group_bound(whole: Parts, groups: Groups, target: Target) -> Any:
    """A number at or below the target's one form over a single part; -inf where nothing is known.

    Raises:
        DataError: If the groups do not fit the network, or have too many cells.
    """
    whole.ensure(target.value)
    nodes = {v: _reader(whole, v) for v in groups.members}
    _check(whole, groups)
    a, reach, taken = whole.arithmetic, whole.magnitude(0), dict[int, Array]()
    with np.errstate(all="ignore"):
        row, constant, error = target.forms(a, whole.magnitude(target.value), slice(0, 1))
        push = Push(whole, np.zeros(1, dtype=np.intp), constant, error)
        push.add(target.value, row)
        for value in range(target.value, 0, -1):
            for v in (v for v, node in nodes.items() if node == value - 1):
                taken[v] = push.taken(value, groups.members[v][0])[0]
            push.through(value - 1)
        least = [_least(whole, groups, {v: (nodes[v], taken[v]) for v in nodes}, g) for g in range(len(groups))]
        found = np.asarray(least, dtype=object if a.exact else np.float64)
        if not a.known(found).all():
            return -np.inf
        slopes, total = a.array(groups.slopes), a.zeros(1, len(reach))
        np.add.at(total[0], groups.reads, slopes)
        push.add(0, total)
        push.join(found.sum(), len(found) + len(slopes), np.abs(found).sum() + np.abs(slopes) @ reach[groups.reads])
        return push.bound().lower[0]


def _reader(whole: Parts, value: int) -> int:
    """The one kinked node that reads a value."""
    network = whole.network
    nodes = [p for p, inputs in enumerate(network.inputs) if network.maps[p] is None and value in inputs]
    if len(nodes) != 1 or value not in network.kinked:
        raise DataError(f"numbers of value {value} are in groups, and it is not one ReLU, and no other nonlinear operator, that reads them")
    return nodes[0]


def _check(whole: Parts, groups: Groups) -> None:
    """Raises DataError for groups that are none."""
    reads, begin, count, inputs = groups.reads, groups.begin, len(groups), whole.network.sizes[0]
    if count > MOST or len(reads) > MOST or begin[-1] != len(reads):
        raise DataError(f"{count} groups come with {len(reads)} inputs: not as many as they are said to read, or more than {MOST}")
    later = np.ones(len(reads), dtype=np.bool_)
    later[begin[begin < len(reads)]] = False
    if (reads >= inputs).any() or (np.diff(reads, prepend=-1)[later] <= 0).any():
        raise DataError(f"a group names its inputs in ascending order, from 0 to {inputs - 1}; these are not")
    if not len(groups.slopes) == len(groups.pieces) == len(reads) or not np.isfinite(groups.slopes).all() or (groups.pieces < 1).any():
        raise DataError("every input of a group needs a slope, which is finite, and a number of pieces, from 1 on")
    for v, (unit, group) in groups.members.items():
        if len(unit) != len(group) or (group >= count).any() or (np.diff(group) < 0).any():
            raise DataError(
                f"{len(unit)} numbers of value {v} are in {len(group)} groups; each needs one, below {count}, in ascending order"
            )
        if (unit >= whole.network.sizes[v]).any() or len(np.unique(unit)) < len(unit):
            raise DataError(f"a number of value {v} is in two groups, or beyond the {whole.network.sizes[v]} that it has")
    _check_size(whole, groups)


def _check_size(whole: Parts, groups: Groups) -> None:
    most, total, sizes = NUMBERS // 16 if whole.arithmetic.exact else NUMBERS, 0, np.zeros(len(groups), dtype=np.intp)
    for _, group in groups.members.values():
        sizes += np.bincount(group, minlength=len(groups))
    for g, members in enumerate(sizes.tolist()):
        pieces = groups.pieces[groups.inputs(g)].tolist()
        total += prod(pieces) * (members + len(pieces) + 1)
        if max(total, members * whole.network.sizes[0]) > most:
            raise DataError(f"the lines of some cells have {total} numbers, or the forms of group {g}; at most {most} are followed")


def _least(whole: Parts, groups: Groups, taken: Mapping[int, tuple[int, Array]], group: int) -> Any:
    """A number at or below what a group's members add, less its linear form; -inf where nothing is known.

    Args:
        taken: For each value the node that reads it, and the coefficients of its members.
    """
    a, at = whole.arithmetic, groups.inputs(group)
    reads, slopes = groups.reads[at], a.array(groups.slopes[at])
    cells = _Cells(a, *_cut(a, floats(whole.low[0, reads]), floats(whole.high[0, reads]), groups.pieces[at]), slopes)
    for v, (unit, owner) in groups.members.items():
        mine = slice(*np.searchsorted(owner, [group, group + 1]).tolist())
        if mine.start == mine.stop:
            continue
        node, weight = taken[v][0], taken[v][1][mine]
        sign = np.where(weight < 0, -1, 1)
        form = whole.units(v, np.zeros(len(sign), dtype=np.intp), unit[mine], sign)
        rows = form.form[:, reads]
        if np.count_nonzero(form.form) != np.count_nonzero(rows):
            raise DataError(f"a number of value {v} is in group {group} and depends on inputs that this does not name")
        if not all(a.known(x).all() for x in (rows, form.offset, weight)):
            return -np.inf
        cells.take(whole.network.left(node) or 0.0, rows * sign[:, None], form.offset * sign, weight)
    return cells.least()


def _cut(a: Arithmetic, low: NDArray[np.float64], high: NDArray[np.float64], pieces: Positions) -> tuple[Array, Array]:
    """(S, d) corners of cells that together are the box."""
    digits = np.indices(tuple(pieces.tolist())).reshape(len(pieces), -1).T if len(pieces) else np.zeros((1, 0), dtype=np.intp)
    corners = np.zeros((2, *digits.shape))
    for i, many in enumerate(pieces.tolist()):
        edges = np.clip(low[i] + (high[i] - low[i]) * (np.arange(many + 1) / many), low[i], high[i])
        edges[0], edges[-1] = low[i], high[i]
        corners[:, :, i] = edges[digits[:, i]], edges[digits[:, i] + 1]
    return a.array(corners[0]), a.array(corners[1])


class _Cells:
    """Linear forms below a sum over cells (S, d), from which a form is taken off."""

    def __init__(self, a: Arithmetic, low: Array, high: Array, slopes: Array) -> None:
        self._a, self._low, self._high = a, low, high
        self._reach = np.maximum(np.maximum(np.abs(low), np.abs(high)), a.smallest)
        self._form, self._constant = np.repeat(-slopes[None], len(low), axis=0), a.zeros(len(low))
        self._size, self._terms, self._known = self._reach @ np.abs(slopes), len(slopes), True

    def take(self, left: float, rows: Array, offsets: Array, weights: Array) -> None:
        """Adds ``weights * max(y, left * y)`` of numbers ``y = rows @ x + offsets``."""
        a, rising, falling = self._a, np.maximum(rows, 0).T, np.minimum(rows, 0).T
        size = self._reach @ (rising - falling) + np.abs(offsets)
        slack = 4 * a.gamma(rows.shape[1] + 2) * size + a.tiny
        low = a.down(self._low @ rising + self._high @ falling + offsets - slack)
        high = a.up(self._high @ rising + self._low @ falling + offsets + slack)
        self._known = self._known and bool(a.known(low).all() and a.known(high).all())
        lines, under = kinked(a, left, low, high), weights < 0
        slope = np.where(under, lines.upper_slope, lines.lower_slope) * weights
        shift = np.where(under, lines.upper_offset, 0) * weights
        self._form = self._form + slope @ rows
        self._constant = self._constant + slope @ offsets + shift.sum(axis=1)
        self._size = self._size + (np.abs(slope) * size + np.abs(shift)).sum(axis=1)
        self._terms += 2 * len(rows)

    def least(self) -> Any:
        """At or below the least value over all cells; -inf where nothing is known."""
        a = self._a
        lost = 4 * a.gamma(self._terms) * self._size + a.tiny
        found = box_minimum(a, self._form, self._low, self._high, np.arange(len(self._low))) + self._constant - lost
        return a.bound(a.down(found)).min() if self._known else -np.inf
