"""Bounds where only a few features move: linear forms of those features with a remainder, pushed forwards through what they reach.

All is measured from the value at the centre: a number changes by ``<form, offsets> + constant``, give or take a remainder, and numbers
that no moving feature reaches do not change. Affine maps pass forms on exactly; nonlinear operators add to the remainder (Chebyshev
lines, as in a zonotope whose new error symbols are merged into one interval per number). A part of the features may move within
given cells, the others form an L0 ball: at most ``count`` of their groups change, each over its whole range, and ranges are concretised
over exactly that. Every rounding is added to the remainder, so that the bounds hold in real arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from netassay.errors import CapabilityError
from netassay.models.nonlinear import Elementwise
from netassay.specs.ball_geometry import Geometry
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import Range, bounded_graph
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import Lines, lines
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma, underflows, up
from netassay.verifiers.sparse.carry import carry
from netassay.verifiers.sparse.reach import Bools, matrix, reached, tail

Groups = tuple[int, ...]

Spans = dict[int, tuple[Positions, Array, Array]]
"""By value, the numbers that a nonlinear operator reads, and the least and greatest change of each over all cells."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """B sets of inputs: some groups within cells, and at most ``count`` of some others over their whole range.

    Args:
        forced: Groups that move within cells.
        low, high: (B, features of the forced groups) ends of the cells, as offsets from the centre.
        allowed: Groups of which at most ``count`` change.
        count: How many.
    """

    forced: Groups
    low: Array
    high: Array
    allowed: Groups = ()
    count: int = 0

    def __len__(self) -> int:
        return len(self.low)


@dataclass(frozen=True, slots=True, eq=False)
class Drops:
    """How far the claim's rows can fall below their values at the centre.

    Args:
        most: (B, R) no row falls further, in real arithmetic.
        forced: (B, R, features) how much of it each forced feature's width makes up.
        allowed: (B, R, groups) the same for each allowed group.
        corner: (B, R, features) offsets of the forced features at which the form falls furthest.
    """

    most: Array
    forced: Array
    allowed: Array
    corner: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """An affine map of the graph, without its constant: ``value = weights @ inputs``; ``terms`` bounds its rounding by ``gamma``."""

    weights: csr_array
    inputs: tuple[int, ...]
    terms: int


@dataclass(slots=True, eq=False)
class _Forms:
    """Of the numbers ``units`` (n,) of a value: slopes (n, B, K), constants and remainders (n, B), and what none exceeds in size (n, B)."""

    units: Positions
    slopes: Array
    constant: Array
    rest: Array
    size: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Bend:
    """A nonlinear operator as the way back meets it: lines of its numbers (n, B), and how large what they are applied to can be."""

    lines: Lines
    constants: tuple[Array, Array]
    spread: tuple[Array, Array]
    size: Array


class LocalForms:
    """A claim's network around one input.

    Args:
        claim: What is bounded.
        geometry: The L0 ball; its radius is not looked at.
    Raises:
        CapabilityError: If the network has other nonlinear operators than elementwise ones, or the ball has no finite box.
    """

    def __init__(self, claim: Claim, geometry: Geometry) -> None:
        self.claim, self._bounded = claim, bounded_graph(claim.graph)
        shape, center = claim.graph.input_shape, geometry.center
        if not (np.isfinite(geometry.outer_low).all() and np.isfinite(geometry.outer_high).all()):
            raise CapabilityError("an L0 ball needs a bounded domain")
        self.low = np.where(geometry.outer_low < center, down(geometry.outer_low - center), 0.0)
        self.high = np.where(geometry.outer_high > center, up(geometry.outer_high - center), 0.0)
        moves = self.low < self.high
        self.groups = [g for g in np.split(geometry.order, geometry.starts[1:]) if moves[g].any()]
        point = Regions(center.reshape(1, *shape), center.reshape(1, *shape))
        self.at: list[Range] = [(low.reshape(-1), high.reshape(-1)) for low, high in self._bounded.propagate(point)]
        members = np.zeros((len(self.groups), geometry.size), dtype=np.bool_)
        for g, features in enumerate(self.groups):
            members[g, features] = True
        self.reached = reached(self._bounded, members)
        self.tail = tail(self._bounded, claim)
        self.maps: dict[int, _Map] = {}
        self.bends: dict[int, tuple[Elementwise, int]] = {}
        self._collect_steps()
        last = [self.reached[v] for v in self.tail.coefficients if v]
        together = np.concatenate(last, axis=1).astype(np.float32) if last else np.zeros((len(self.groups), 1), dtype=np.float32)
        self.interacts: Bools = np.asarray(together @ together.T > 0)
        """(g, g) which groups reach a number in common where the graph stops being linear: the drops of all others add up exactly."""
        self.center = self._center_rows()
        """(R,) lower bounds of the rows at the centre."""
        self._paths: dict[Groups, _Path] = {}

    def _collect_steps(self) -> None:
        """The values that the tail needs, in terms of earlier ones; what only hands numbers on is skipped, scalings are merged."""
        needed = sorted(self.tail.coefficients, reverse=True)
        nodes, maps = self._bounded.graph.nodes, self._bounded.maps
        while needed:
            value = needed.pop(0)
            if value in self.maps or value in self.bends or not value:
                continue
            affine, node = maps[value - 1], nodes[value - 1]
            if affine is None:
                assert isinstance(node.operator, Elementwise)
                self.bends[value] = (node.operator, node.inputs[0])
                needed += node.inputs
                continue
            weights, inputs, terms = matrix(affine), node.inputs, affine.terms
            while len(inputs) == 1 and inputs[0] and maps[inputs[0] - 1] is not None and is_diagonal(weights):
                before = maps[inputs[0] - 1]
                assert before is not None
                if underflows(weights.data, matrix(before).data):
                    break
                weights, inputs, terms = csr_array(weights @ matrix(before)), nodes[inputs[0] - 1].inputs, terms + before.terms
            self.maps[value] = _Map(weights, inputs, terms)
            needed += inputs

    def _center_rows(self) -> Array:
        low, high = self.at[-1]
        rows = np.concatenate([part.rows for part in self.claim.parts])
        constants = np.concatenate([part.constants for part in self.claim.parts])
        with np.errstate(all="ignore"):
            least = np.maximum(rows, 0) @ low + np.minimum(rows, 0) @ high
            size = np.abs(rows) @ np.maximum(np.abs(low), np.abs(high)) + np.abs(constants)
            return down(least + constants - 2 * gamma(len(low) + 2) * size)

    def features(self, groups: Groups) -> Positions:
        """The features of some groups, group by group."""
        return np.concatenate([self.groups[g] for g in groups]) if groups else np.zeros(0, dtype=np.intp)

    def whole(self, forced: Groups, allowed: Groups = (), count: int = 0) -> Cells:
        """A single cell: everything that the forced groups can be."""
        features = self.features(forced)
        return Cells(forced, self.low[features][None], self.high[features][None], allowed, count)

    def path(self, groups: Groups) -> _Path:
        """What the groups reach; the last few are kept."""
        key = tuple(sorted(groups))
        if key not in self._paths:
            while len(self._paths) >= KEPT_PATHS:
                del self._paths[next(iter(self._paths))]
            self._paths[key] = _Path(self, np.array(key, dtype=np.intp))
        return self._paths[key]

    def drops(self, cells: Cells, rows: Positions | None = None) -> Drops:
        """How far each row, or each of some rows, can fall in each cell."""
        return self.drops_and_spans(cells, rows)[0]

    def drops_and_spans(self, cells: Cells, rows: Positions | None = None) -> tuple[Drops, Spans]:
        """The same, and the ranges that they rest on."""
        with np.errstate(all="ignore"):
            run = _Pass(self, cells, np.arange(len(self.center)) if rows is None else rows)
            return run.run(), run.spans


KEPT_PATHS = 32
"""Of so many sets of groups the parts of the maps that they reach are kept."""


class _Path:
    """The part of the network that some groups reach."""

    def __init__(self, local: LocalForms, groups: Positions) -> None:
        self.units = [np.flatnonzero(mask[groups].any(axis=0)) for mask in local.reached]
        self.rows = {value: step.weights[self.units[value]] for value, step in local.maps.items()}
        self.sizes = {value: abs(rows) for value, rows in self.rows.items()}


class _Pass:
    """Forms forwards, which bound what every nonlinear operator reads; then the rows backwards, line by line, down to the features."""

    def __init__(self, local: LocalForms, cells: Cells, rows: Positions) -> None:
        self._local, self._cells, self._rows = local, cells, rows
        self._fixed, self._loose = local.features(cells.forced), local.features(cells.allowed)
        self._ends = local.low[self._loose], local.high[self._loose]
        self._furthest = np.maximum(-self._ends[0], self._ends[1])
        sizes = [len(local.groups[g]) for g in cells.allowed]
        self._starts = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, dtype=np.intp)
        self._path = local.path((*cells.forced, *cells.allowed))
        self._middle = cells.low / 2 + cells.high / 2
        self._half = up(np.maximum(cells.high - self._middle, self._middle - cells.low))
        self._bends: dict[int, _Bend] = {}
        self._map_sizes: dict[int, Array] = {}
        self.spans: Spans = {}

    def run(self) -> Drops:
        local = self._local
        forms: dict[int, _Forms] = {0: self._input()}
        for value in sorted([*local.maps, *local.bends]):
            if value in local.maps:
                forms[value] = self._affine(value, forms)
            else:
                forms[value] = self._elementwise(value, forms[local.bends[value][1]])
        return self._backwards(forms)

    def _input(self) -> _Forms:
        fixed = len(self._fixed)
        features = np.concatenate([self._fixed, self._loose])
        slopes = np.zeros((len(features), len(self._cells), len(features)))
        constant = np.zeros((len(features), len(self._cells)))
        for k in range(fixed):
            slopes[k, :, k], constant[k] = self._half[:, k], self._middle[:, k]
        for k in range(fixed, len(features)):
            slopes[k, :, k] = 1.0
        order = np.argsort(features)
        return self._formed(features[order], slopes[order], constant[order], np.zeros_like(constant))

    def _formed(self, units: Positions, slopes: Array, constant: Array, rest: Array) -> _Forms:
        fixed = len(self._fixed)
        moved = np.abs(slopes[..., :fixed]).sum(axis=2)
        if len(self._loose):
            moved += np.abs(slopes[..., fixed:]) @ self._furthest
        return _Forms(units, slopes, constant, rest, np.abs(constant) + moved + rest)

    def _affine(self, value: int, forms: dict[int, _Forms]) -> _Forms:
        step = self._local.maps[value]
        begins, total = self._begins(step)
        count, width = len(self._cells), len(self._fixed) + len(self._loose)
        exact, loose = np.zeros((total, count, width + 1)), np.zeros((total, 2, count))
        for begin, i in zip(begins, step.inputs, strict=True):
            form = forms[i]
            at = begin + form.units
            exact[at, :, :-1], exact[at, :, -1] = form.slopes, form.constant
            loose[at, 0], loose[at, 1] = form.rest, form.size
        units = self._path.units[value]
        passed = (self._path.rows[value] @ exact.reshape(total, count * (width + 1))).reshape(len(units), count, width + 1)
        rest, size = (self._path.sizes[value] @ loose.reshape(total, 2 * count)).reshape(len(units), 2, count).transpose(1, 0, 2)
        self._map_sizes[value] = size * (1 + 4 * gamma(step.terms)) + UNDERFLOW
        rest = (rest + 2 * gamma(step.terms) * size) * (1 + 4 * gamma(step.terms)) + UNDERFLOW
        return self._formed(units, passed[..., :-1], passed[..., -1], rest)

    def _begins(self, step: _Map) -> tuple[Positions, int]:
        sizes = [len(self._local.at[i][0]) for i in step.inputs]
        return np.cumsum([0, *sizes])[: len(sizes)], sum(sizes)

    def _elementwise(self, value: int, form: _Forms) -> _Forms:
        operator, source = self._local.bends[value]
        (middle, spread), (after, after_spread) = (self._enclosed(i, form.units) for i in (source, value))
        low, high = self._range(form)
        self.spans[source] = (form.units, low.min(axis=1), high.max(axis=1))
        low, high = down(low + down(middle - spread)), up(high + up(middle + spread))
        found = lines(operator, low, high)
        self._bends[value] = _Bend(found, (middle, after), (spread, after_spread), form.size)
        carried = carry(operator, (low, high), (middle, spread), (after, after_spread), (form.constant, form.rest, form.size))
        return self._formed(form.units, carried.slope[..., None] * form.slopes, carried.constant, carried.rest)

    def _enclosed(self, value: int, units: Positions) -> tuple[Array, Array]:
        """What the numbers of a value are at the centre: (n, 1) and how far off that may be."""
        low, high = (side[units][:, None] for side in self._local.at[value])
        middle = low / 2 + high / 2
        return middle, up(np.maximum(high - middle, middle - low))

    def _range(self, form: _Forms) -> tuple[Array, Array]:
        """Least and greatest change (n, B) over the cells, rounded outwards."""
        fixed = len(self._fixed)
        moved = np.abs(form.slopes[..., :fixed]).sum(axis=2)
        slack = form.rest + 2 * gamma(form.slopes.shape[2] + 4) * form.size
        fall, rise = (self._gain(sign * form.slopes[..., fixed:]) for sign in (-1.0, 1.0))
        return down(form.constant - moved - fall - slack), up(form.constant + moved + rise + slack)

    def _gain(self, slopes: Array) -> Array:
        """The most that ``count`` allowed groups add to forms (..., features of the allowed groups)."""
        if not len(self._loose) or not self._cells.count:
            return np.zeros(slopes.shape[:-1])
        return _largest(self._group_gains(slopes), self._cells.count)

    def _group_gains(self, slopes: Array) -> Array:
        single = np.maximum(np.maximum(slopes * self._ends[0], slopes * self._ends[1]), 0.0)
        return np.asarray(np.add.reduceat(single, self._starts, axis=-1))

    def _backwards(self, forms: dict[int, _Forms]) -> Drops:
        """The rows (n, B, R) brought back to the features; constants and errors (B, R)."""
        local, shape = self._local, (len(self._cells), len(self._rows))
        constant, error = np.zeros(shape), np.zeros(shape)
        pending: dict[int, Array] = {}
        for value, coefficients in local.tail.coefficients.items():
            units = forms[value].units
            pending[value] = np.repeat(coefficients[np.ix_(self._rows, units)].T[:, None], shape[0], axis=1)
            error += np.einsum("rn,nb->br", local.tail.errors[value][np.ix_(self._rows, units)], forms[value].size)
        for value in sorted([*local.maps, *local.bends], reverse=True):
            passed = pending.pop(value, None)
            if passed is None:
                continue
            if value in local.bends:
                constant = constant + self._bent(value, passed, pending, error)
                error += 2 * UNIT * np.abs(constant)
            else:
                self._mapped(value, passed, pending, forms, error)
        return self._drops(pending.get(0, np.zeros((len(forms[0].units), *shape))), forms[0].units, constant, error)

    def _bent(self, value: int, passed: Array, pending: dict[int, Array], error: Array) -> Array:
        """Replaces coefficients of a nonlinear operator's numbers by those of what it reads; (B, R) the constant that is left."""
        bend, source = self._bends[value], self._local.bends[value][1]
        found, (middle, after), (spread, after_spread) = bend.lines, bend.constants, bend.spread
        rising, falling = np.maximum(passed, 0), np.minimum(passed, 0)
        offsets = [found.lower_slope * middle + found.lower_offset - after, found.upper_slope * middle + found.upper_offset - after]
        constant = np.asarray(np.einsum("nbr,nb->br", rising, offsets[0]) + np.einsum("nbr,nb->br", falling, offsets[1]))
        steepest = np.maximum(np.abs(found.lower_slope), np.abs(found.upper_slope))
        size = steepest * (bend.size + np.abs(middle)) + np.maximum(np.abs(found.lower_offset), np.abs(found.upper_offset)) + np.abs(after)
        loose = steepest * spread + after_spread + 4 * gamma(len(passed) + 8) * size
        error += np.einsum("nbr,nb->br", rising - falling, loose * (1 + 16 * UNIT)) + UNDERFLOW
        self._add(pending, source, rising * found.lower_slope[..., None] + falling * found.upper_slope[..., None], error, bend.size)
        return constant

    def _mapped(self, value: int, passed: Array, pending: dict[int, Array], forms: dict[int, _Forms], error: Array) -> None:
        step, (count, rows) = self._local.maps[value], passed.shape[1:]
        error += 2 * gamma(step.terms) * np.einsum("nbr,nb->br", np.abs(passed), self._map_sizes[value])
        below = (self._path.rows[value].T @ passed.reshape(len(passed), count * rows)).reshape(step.weights.shape[1], count, rows)
        begins, _ = self._begins(step)
        for begin, i in zip(begins, step.inputs, strict=True):
            self._add(pending, i, below[begin + forms[i].units], error, forms[i].size)

    @staticmethod
    def _add(pending: dict[int, Array], value: int, coefficients: Array, error: Array, size: Array) -> None:
        if value in pending:
            coefficients = pending[value] + coefficients
            error += 2 * UNIT * np.einsum("nbr,nb->br", np.abs(coefficients), size)
        pending[value] = coefficients

    def _drops(self, coefficients: Array, units: Positions, constant: Array, error: Array) -> Drops:
        """From linear forms (n, B, R) of the features' offsets."""
        place = {int(u): i for i, u in enumerate(units)}
        at = np.array([place[int(f)] for f in (*self._fixed, *self._loose)], dtype=np.intp)
        slopes, fixed = coefficients[at].transpose(1, 2, 0), len(self._fixed)
        moved = slopes[..., :fixed] * self._middle[:, None]
        forced = np.abs(slopes[..., :fixed]) * self._half[:, None]
        allowed = self._group_gains(-slopes[..., fixed:]) if len(self._loose) else np.zeros((*constant.shape, 0))
        gain = _largest(allowed, self._cells.count) if allowed.shape[-1] and self._cells.count else np.zeros(constant.shape)
        size = np.abs(moved).sum(axis=2) + forced.sum(axis=2) + gain + np.abs(constant)
        total = forced.sum(axis=2) + gain - constant - moved.sum(axis=2)
        most = up(total + error * (1 + 1e-6) + 4 * gamma(len(at) + 8) * size + UNDERFLOW)
        most = np.where(np.isfinite(most) & (np.abs(most) < LARGEST), most, np.inf)
        corner = np.where(slopes[..., :fixed] > 0, self._cells.low[:, None], self._cells.high[:, None])
        return Drops(most, forced, allowed, corner)


def is_diagonal(weights: csr_array) -> bool:
    """Whether every number is one number of the input, scaled."""
    rows, columns = weights.shape
    return bool(rows == columns and weights.nnz == rows and (weights.indices == np.arange(rows)).all())


def _largest(gains: Array, count: int) -> Array:
    """Sums (...) of the ``count`` largest of gains (..., g), none negative."""
    if count < gains.shape[-1]:
        gains = np.partition(gains, -count, axis=-1)[..., -count:]
    return np.asarray(gains.sum(axis=-1))
