"""The checker: goes through the records of a certificate and decides whether they prove the claim. It believes none of their numbers.

What a record may choose (how the region is divided, slopes, multipliers, the order of things) only decides how good the bounds are that
the checker computes, not whether they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from netassay.checking.certificates.arithmetic import Arithmetic, Array, floats
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.boxes import BoxProof
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.forests import Means, Units, leaf_bounds, splits_of
from netassay.checking.certificates.groups import group_bound
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.pair_trees import unproved_pairs
from netassay.checking.certificates.pixel_trees import bound_alone, failure
from netassay.checking.certificates.pixels import PixelBounds
from netassay.checking.certificates.probabilities import network_of
from netassay.checking.certificates.records import read_choices, read_duals, read_groups, read_trees, read_weights
from netassay.checking.certificates.semidefinite import semidefinite_bounds
from netassay.checking.certificates.shells import ShellProof
from netassay.checking.certificates.slope_bounds import SlopeBounds
from netassay.checking.certificates.statement import Case, Statement
from netassay.checking.certificates.trees import Forest
from netassay.errors import DataError, ModelError, PropertyError
from netassay.models.graph import Graph


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check.

    Args:
        accepted: Whether the claim is proved.
        reason: Where it fails, if it does.
        leaves: Leaves, boxes included, that were bounded.
    """

    accepted: bool
    reason: str = ""
    leaves: int = 0


class RejectedError(Exception):
    """A record does not prove what it is there for."""


class Checker:
    """Checks records against a claim.

    Args:
        graph: The network.
        statement: The claim, from wherever it is trusted.
        exact: Whether to compute in rational numbers.
        told: Called now and then with the number of leaves so far.
    Raises:
        ModelError: If the network is not the claim's.
        PropertyError: If the claim is about float32 arithmetic, see ``deployed``.
        UnsupportedOperatorError: If it has an operator that the checker does not know.
    """

    def __init__(self, graph: Graph, statement: Statement, *, exact: bool = False, told: Callable[[int], None] | None = None) -> None:
        if graph.sha256 != statement.network_sha256:
            raise ModelError("the claim is about another network: the hashes of structure and weights differ")
        if statement.float32:
            raise PropertyError("records prove claims about real arithmetic: take the drift off a claim about float32 first")
        self._graph, self._statement, self._told = graph, statement, told
        self._network = CheckedNetwork(graph, Arithmetic(exact))
        self._leaves = 0
        self._case: tuple[int, Case] | None = None
        self._whole: Parts | None = None
        self._pixels: PixelBounds | None = None
        self._closed = [np.zeros(1 if case.slopes else len(case.parts), dtype=np.bool_) for case in statement.cases]

    def check(self, records: Iterable[Record]) -> Checked:
        """Whether the records prove the claim.

        Raises:
            DataError: If a record is not what it has to be.
        """
        kinds = {"case": self._begin, "range": self._range, "parts": self._parts, "boxes": self._boxes}
        kinds |= {"alone": self._alone, "pixels": self._by_pixels, "shells": self._shells, "squares": self._parts}
        kinds |= {"groups": self._groups, "pairs": self._pairs}
        try:
            for record in records:
                if record.kind not in kinds:
                    raise DataError(f"a record {record.kind[:40]!r} is unknown here; known: {', '.join(kinds)}")
                kinds[record.kind](record)
        except RejectedError as error:
            return Checked(False, str(error), self._leaves)
        except OverflowError:  # a rational number beyond the floats meets an end that is not known
            return Checked(False, "numbers of the network are too large to be followed in rational arithmetic", self._leaves)
        for i, closed in enumerate(self._closed):
            if not closed.all():
                return Checked(False, f"case {i}, part {int(np.argmin(closed))}: nothing in the certificate is about it", self._leaves)
        return Checked(True, "", self._leaves)

    def _begin(self, record: Record) -> None:
        number = record.integer("case")
        if number >= len(self._statement.cases):
            raise DataError(f"the certificate is about case {number}; the claim has {len(self._statement.cases)}")
        a, case = self._network.arithmetic, self._statement.cases[number]
        if self._statement.scores is not None:
            self._network, case = network_of(self._graph, self._statement, number, a)
        self._case, self._pixels, region = (number, case), None, case.region
        self._whole = Parts(self._network, region, a.array(region.lower)[None], a.array(region.upper)[None])

    def _current(self, *, slopes: bool = False) -> tuple[int, Case, Parts]:
        """The case that records are about now, if it claims what they prove: something of slopes, or of the parts."""
        if self._case is None or self._whole is None:
            raise DataError("a record says nothing of the case that it is about")
        if (self._case[1].slopes is not None) is not slopes:
            raise DataError(f"a record proves nothing of what case {self._case[0]} claims: {'slopes' if not slopes else 'values'}")
        return *self._case, self._whole

    def _bounded(self) -> tuple[int, Case, Parts]:
        """The current case, with ranges of all values; those of later ones do not depend on which record comes first."""
        found = self._current()
        found[2].ensure(self._network.output)
        return found

    def _range(self, record: Record) -> None:
        """Trees that bound numbers of a value; their bounds are the checker's own."""
        _, _, whole = self._bounded()
        value, unit, sign = record.integer("of"), record.array("unit", "<u4").astype(np.intp), record.array("sign", "|i1")
        trees = read_trees(record, self._network)
        if value not in self._network.relaxed or (unit >= self._network.sizes[value]).any():
            raise DataError(f"ranges of numbers of value {value} are given, which no nonlinear operator reads, or which it does not have")
        if not len(unit) == len(sign) == len(trees) or not (np.abs(sign.astype(np.int16)) == 1).all():
            raise DataError(f"{len(trees)} trees bound {len(unit)} numbers with {len(sign)} signs; these have to agree, each sign 1 or -1")
        owner = _owners(trees)
        target = Units(value, unit[owner], sign[owner], self._network.sizes[value])
        least = _least(trees, self._bounds(whole, trees, record, target))
        low, high = (side[0].copy() for side in whole.ranges[value])
        up = sign > 0
        np.maximum.at(low, unit[up], least[up])
        np.minimum.at(high, unit[~up], -least[~up])
        whole.tighten(value, np.arange(len(low)), low, high)

    def _parts(self, record: Record) -> None:
        """Trees of which each proves a part."""
        number, case, whole = self._bounded()
        parts, trees = record.array("part", "<u4").astype(np.intp), read_trees(record, self._network)
        if len(parts) != len(trees) or (parts >= len(case.parts)).any():
            raise DataError(f"{len(trees)} trees prove {len(parts)} parts of a case that has {len(case.parts)}")
        owner = _owners(trees)
        target = self._means(case, parts[owner], record.array("weights", "<f4"))
        bounds = self._bounds(whole, trees, record, target)
        failed = np.flatnonzero(~self._holds(bounds))
        if len(failed):
            leaf = int(failed[0])
            within = leaf - int(np.flatnonzero(owner == owner[leaf])[0])
            raise RejectedError(f"case {number}, part {parts[owner[leaf]]}, leaf {within}: its lower bound is {floats(bounds)[leaf]:.6g}")
        self._closed[number][parts] = True

    def _means(self, case: Case, part: Any, weights: Any) -> Means:
        """The weighted sums of rows; the weights of each leaf's rows come one after the other, none for parts of single rows alone."""
        a = self._network.arithmetic
        rows = {int(p): (a.array(case.parts[p].rows), a.array(case.parts[p].constants)) for p in np.unique(part)}
        counts = np.array([len(rows[int(p)][1]) for p in part])
        if not len(weights) and (counts == 1).all():
            weights = np.ones(len(part), dtype=np.float32)
        if len(weights) != counts.sum() or not np.isfinite(weights).all() or (weights < 0).any():
            raise DataError(f"{len(weights)} weights came for {counts.sum()} rows of leaves; they have to be finite and not negative")
        each = np.split(weights.astype(np.float64), np.cumsum(counts)[:-1])
        if not all(w.any() for w in each):
            raise DataError("the weights of the rows of a leaf are all 0; one of them has to be positive")
        return Means(self._network.output, [rows[int(p)][0] for p in part], [rows[int(p)][1] for p in part], each)

    def _bounds(self, whole: Parts, trees: Forest, record: Record, target: Units | Means) -> Array:
        if record.kind == "squares":
            found = semidefinite_bounds(whole, splits_of(trees), read_duals(record), target)
        else:
            found = leaf_bounds(whole, splits_of(trees), read_choices(record), target)
        self._count(len(found))
        return found

    def _holds(self, bounds: Array) -> Any:
        return bounds > 0 if self._statement.strict else bounds >= 0

    def _boxes(self, record: Record) -> None:
        """A tree that proves one part."""
        number, case, _ = self._current()
        part, trees = record.integer("part"), read_trees(record, self._network)
        if part >= len(case.parts) or len(trees) != 1:
            raise DataError(f"{len(trees)} trees prove part {part} of a case that has {len(case.parts)}; expected one tree")
        rows = case.parts[part]
        proof = BoxProof(self._network, case.region, rows.rows, rows.constants, strict=self._statement.strict)
        proved, nodes = proof.check(trees, read_weights(record), partial(self._count_on, self._leaves))
        if not proved:
            raise RejectedError(f"case {number}, part {part}, node {nodes} of its tree: no row is positive in this box, and the tree ends")
        self._closed[number][part] = True

    def _groups(self, record: Record) -> None:
        """Groups of ReLUs that are bounded together, which prove one part."""
        number, case, whole = self._bounded()
        part, groups = record.integer("part"), read_groups(record)
        if part >= len(case.parts):
            raise DataError(f"groups prove part {part} of a case that has {len(case.parts)}")
        bound = group_bound(whole, groups, self._means(case, np.array([part]), record.array("weights", "<f4")))
        self._count(groups.cells)
        if not self._holds(bound):
            raise RejectedError(f"case {number}, part {part}, by groups: its lower bound is {float(bound):.6g}")
        self._closed[number][part] = True

    def _pixel_bounds(self) -> PixelBounds:
        if self._pixels is None:
            self._pixels = PixelBounds(self._network, self._current()[1], strict=self._statement.strict)
        return self._pixels

    def _alone(self, record: Record) -> None:
        """Trees over the values of each pixel of an L0 ball; what they bound is the checker's own."""
        bound_alone(self._pixel_bounds(), record, self._count)

    def _by_pixels(self, record: Record) -> None:
        """A tree over the pixels of an L0 ball, which proves all parts."""
        number, _, _ = self._current()
        failed = failure(self._pixel_bounds(), record, self._count)
        if failed is not None:
            raise RejectedError(f"case {number}, node {failed} of its tree over pixels: some part is not proved there, and the tree ends")
        self._closed[number][:] = True

    def _pairs(self, record: Record) -> None:
        """Trees over the pairs of pixels of an L0 ball of two changes, which prove all parts."""
        number, _, _ = self._current()
        failed = unproved_pairs(self._pixel_bounds(), record, self._count)
        if failed:
            raise RejectedError(f"case {number}, {failed}: some part is not proved there, and the tree ends")
        self._closed[number][:] = True

    def _shells(self, record: Record) -> None:
        """Trees over the shells around a point, which prove what is claimed of slopes."""
        number, case, _ = self._current(slopes=True)
        proof = ShellProof(SlopeBounds(self._network, case))
        trees = read_trees(record, self._network)
        reason = proof.check(record.array("radii", "<f8"), trees, partial(self._count_on, self._leaves))
        if reason:
            raise RejectedError(f"case {number}, {reason}")
        self._closed[number][:] = True

    def _count(self, more: int) -> None:
        self._count_on(self._leaves, more)

    def _count_on(self, before: int, more: int) -> None:
        self._leaves = before + more
        if self._told is not None:
            self._told(self._leaves)


def _owners(trees: Forest) -> Any:
    """(leaves,) the tree of each leaf."""
    return np.searchsorted(trees.roots, trees.leaves, side="right") - 1


def _least(trees: Forest, bounds: Array) -> Array:
    """(T,) the least bound of each tree's leaves."""
    first = np.searchsorted(trees.leaves, trees.roots)
    return np.asarray(np.minimum.reduceat(bounds, first))
