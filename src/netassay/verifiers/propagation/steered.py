"""What can be chosen in backward linear bounds: lower slopes of ReLUs, neurons' phases or ranges, and multipliers of split neurons.

A *row* is a linear form to be bounded together with its own choices. Its bound holds for all inputs at which every split neuron lies in
its range; with no split neuron, everywhere. ``Steered`` follows rows in float32 (``passes``) to find good choices, and proves them by
``FixedBounds`` with every rounding bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
import torch
from torch import Tensor

from netassay.errors import UsageError
from netassay.models.nonlinear import Elementwise, LeakyRelu, Relu
from netassay.verifiers.propagation.fixed import FixedBounds
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.passes import Back, Extra, Passes, Sides, tensor
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import Lines, lines, planes
from netassay.verifiers.rounding import Array, down, gamma

FREE, ABOVE, BELOW, BOTH = 0, 1, 2, 3
"""Codes of a neuron in a row: not split; at or above its low point; at or below its high point; between them."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The undecided numbers of one value that elementwise operators read.

    Args:
        value: Its number.
        index: (k,) flat positions in the value.
        begin: Where the group's columns begin among all neurons.
        readers: Positions of the elementwise nodes that read it, each with the slope of its left part (None for smooth functions).
        low, high: (k,) the proved range.
    """

    value: int
    index: Positions
    begin: int
    readers: tuple[tuple[int, float | None], ...]
    low: Array
    high: Array

    @property
    def columns(self) -> slice:
        return slice(self.begin, self.begin + len(self.index))

    @property
    def kinked(self) -> bool:
        """Whether a split at 0 makes every reader linear."""
        return all(left is not None for _, left in self.readers)


@dataclass(slots=True, eq=False)
class Rows:
    """Linear forms of one value, each with its choices.

    Args:
        start: (R, *shape) float32 coefficients, exact.
        slope: (R, U) in [0, 1] for every neuron: where its lower line lies between the function's two parts.
        code: (R, U) which neurons are split, and how; None where none is.
        low, high: (R, U) float32 ends of split ranges; None where all are 0.
        multiplier: (R, U): positive for the low end, negative for the high end, 0 where the neuron is not split.
    """

    start: Tensor
    slope: Tensor
    code: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    multiplier: Tensor | None = None

    def __len__(self) -> int:
        return len(self.start)

    @property
    def codes(self) -> Tensor:
        """(R, U) which neurons are split, and how."""
        return torch.zeros(self.slope.shape, dtype=torch.int8) if self.code is None else self.code

    def take(self, positions: Tensor) -> Rows:
        def some(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[positions]

        return Rows(self.start[positions], self.slope[positions], some(self.code), some(self.low), some(self.high), some(self.multiplier))

    def join(self, other: Rows) -> Rows:
        """All rows of both, which have the same kinds of choices."""

        def both(one: Tensor | None, two: Tensor | None) -> Tensor | None:
            return None if one is None or two is None else torch.cat([one, two])

        return Rows(
            torch.cat([self.start, other.start]),
            torch.cat([self.slope, other.slope]),
            both(self.code, other.code),
            both(self.low, other.low),
            both(self.high, other.high),
            both(self.multiplier, other.multiplier),
        )


@dataclass(slots=True, eq=False)
class Gradients:
    """How a row's bound moves: with its slopes and multipliers (R, U), and with its coefficients (the values at its least point)."""

    slope: Tensor
    multiplier: Tensor | None
    values: dict[int, Tensor]


class Steered:
    """Rows over one region with known ranges.

    Args:
        bounded: The graph.
        region: A single region.
        ranges: Proved ranges (1, *shape) of the values that nonlinear nodes read.
        passes: To be shared by several of these.
        upto: The value that rows are about.
    """

    def __init__(self, bounded: BoundedGraph, region: Regions, ranges: list[Range | None], passes: Passes, upto: int) -> None:
        self.bounded, self.region, self.ranges, self.passes, self.value = bounded, region, ranges, passes, upto
        self._operators: dict[int, Elementwise] = {}
        self._lines: dict[int, Lines] = {}
        self._base: dict[int, Sides] = {}
        self.groups: list[Group] = []
        self._relax()
        self._group()
        self.neurons = sum(len(g.index) for g in self.groups)

    def range(self, value: int) -> Range:
        """The known range (1, *shape)."""
        found = self.ranges[value]
        if found is None:
            raise UsageError(f"value {value} has no known range; bound it first")
        return found

    def _relax(self) -> None:
        graph = self.bounded.graph
        for position, node in enumerate(graph.nodes[: self.value]):
            if self.bounded.maps[position] is not None:
                continue
            inputs = [self.range(i) for i in node.inputs]
            if isinstance(node.operator, Elementwise):
                self._operators[position] = node.operator
                self._lines[position] = found = lines(node.operator, *inputs[0])
                self._base[position] = _sides(found)
            else:
                self.passes.set_planes({position: planes(node.operator, [r[0] for r in inputs], [r[1] for r in inputs])})

    def use(self, position: int, found: Lines) -> None:
        """Takes other lines that hold around an elementwise node, where none of its neurons is split."""
        self._lines[position], self._base[position] = found, _sides(found)

    def _group(self) -> None:
        graph, begin = self.bounded.graph, 0
        for value in sorted({graph.nodes[p].inputs[0] for p in self._base} - {0}):
            readers = tuple((p, left_slope(graph.nodes[p].operator)) for p in self._base if graph.nodes[p].inputs[0] == value)
            low, high = (side.reshape(-1) for side in self.range(value))
            straddles = (low < 0) & (high > 0) if all(left is not None for _, left in readers) else low < high
            index = np.flatnonzero(straddles & np.isfinite(low) & np.isfinite(high))
            if len(index):
                self.groups.append(Group(value, index, begin, readers, low[index], high[index]))
                begin += len(index)

    @property
    def piecewise(self) -> bool:
        """Whether nothing is left to relax once every neuron is split."""
        nodes = self.bounded.graph.nodes[: self.value]
        return all(self.bounded.maps[p] is not None or left_slope(n.operator) is not None for p, n in enumerate(nodes))

    def default_slope(self) -> Tensor:
        """(U,) the slopes of least area."""
        found = torch.zeros(self.neurons)
        for group in self.groups:
            position, left = group.readers[0]
            if left is not None:
                slope = self._base[position].lower_slope.reshape(-1)[group.index]
                found[group.columns] = ((slope - left) / (1 - left)).clamp(0, 1)
        return found

    def rows(self, start: Tensor) -> Rows:
        """Forms (R, *shape of the value) with the usual slopes and no splits."""
        return Rows(start, self.default_slope().expand(len(start), -1).clone())

    # -- in float32 ---------------------------------------------------------------------------------------------------------------

    def upper_sides(self, rows: Rows) -> dict[int, Sides]:
        """All lines but for the lower slopes that can be chosen."""
        sides = dict(self._base)
        if rows.code is None:
            return sides
        for group in self.groups:
            code = rows.code[:, group.columns]
            for position, left in group.readers:
                sides[position] = self._split_sides(group, position, left, code, rows)
        return sides

    def _split_sides(self, group: Group, position: int, left: float | None, code: Tensor, rows: Rows) -> Sides:
        base, index = self._base[position], torch.from_numpy(group.index)
        if left is None:
            return self._split_curves(group, position, code, rows)
        above, below = code == ABOVE, code == BELOW
        slope = base.upper_slope.reshape(1, -1)[:, index]
        slope = torch.where(above, 1.0, torch.where(below, left, slope))
        offset = torch.where(above | below, 0.0, base.upper_offset.reshape(1, -1)[:, index])
        return replace(base, upper_slope=_filled(base.upper_slope, index, slope), upper_offset=_filled(base.upper_offset, index, offset))

    def _split_curves(self, group: Group, position: int, code: Tensor, rows: Rows) -> Sides:
        """Lines of a smooth function on the ranges that are split."""
        base, operator = self._base[position], self._operators[position]
        low, high = self._ends(group, code, rows)
        where = torch.nonzero(code, as_tuple=True)
        chosen = tuple(t.numpy() for t in where)
        found = _sides(lines(operator, low[chosen][None], high[chosen][None]))
        index = torch.from_numpy(group.index)
        made = []
        for now, new in zip(_four(base), _four(found), strict=True):
            columns = now.reshape(1, -1)[:, index].repeat(len(code), 1)
            columns[where] = new[0]
            made.append(_filled(now, index, columns))
        return Sides(made[0], made[2], made[3], made[1])

    def ends(self, group: Group, rows: Rows) -> tuple[Tensor, Tensor]:
        """(R, k) the ranges of a group's neurons in each row, in float32."""
        low, high = self._ends(group, rows.codes[:, group.columns], rows)
        return tensor(low), tensor(high)

    def _ends(self, group: Group, code: Tensor, rows: Rows) -> tuple[Array, Array]:
        """(R, k) the ranges of a group's neurons in each row."""
        kept = code.numpy()
        ends = []
        for own, points, bit in ((group.low, rows.low, ABOVE), (group.high, rows.high, BELOW)):
            point = 0.0 if points is None else points[:, group.columns].numpy().astype(np.float64)
            split = np.maximum(own, point) if bit == ABOVE else np.minimum(own, point)
            ends.append(np.where(kept & bit, split, own))
        return ends[0], ends[1]

    def sides(self, rows: Rows, upper: Mapping[int, Sides] | None = None) -> dict[int, Sides]:
        """All lines (1 or R, *shape), as the rows choose them."""
        sides = dict(self.upper_sides(rows) if upper is None else upper)
        for group in self.groups:
            index = torch.from_numpy(group.index)
            for position, left in group.readers:
                if left is None:
                    continue
                slope = left + (1 - left) * rows.slope[:, group.columns]
                if rows.code is not None:
                    code = rows.code[:, group.columns]
                    slope = torch.where(code == ABOVE, 1.0, torch.where(code == BELOW, left, slope))
                sides[position] = replace(sides[position], lower_slope=_filled(self._base[position].lower_slope, index, slope))
        return sides

    def back(self, rows: Rows, upper: Mapping[int, Sides] | None = None) -> Back:
        """Bounds of the rows with their choices, up to rounding."""
        extra: dict[int, Tensor | Extra] = {}
        constant = None
        if rows.multiplier is not None:
            for group in self.groups:
                zeros = torch.zeros(1, *self.bounded.graph.shapes[group.value])
                extra[group.value] = _filled(zeros, torch.from_numpy(group.index), -rows.multiplier[:, group.columns])
            if rows.low is not None and rows.high is not None:
                constant = (rows.multiplier * torch.where(rows.multiplier > 0, rows.low, rows.high)).sum(1)
        return self.passes.back(self.value, rows.start, self.sides(rows, upper), extra, constant)

    def cancelled(self, rows: Rows) -> Rows:
        """The rows with multipliers that take every split neuron out of its form: its range bounds it alone."""
        multiplier = torch.zeros_like(rows.slope)

        def follow(group: Group) -> Extra:
            index = torch.from_numpy(group.index)

            def extra(a: Tensor) -> Tensor:
                multiplier[:, group.columns] = allowed(a.flatten(1)[:, index], rows.codes[:, group.columns])
                return _filled(torch.zeros(1, *a.shape[1:]), index, -multiplier[:, group.columns])

            return extra

        self.passes.back(self.value, rows.start, self.sides(rows), {g.value: follow(g) for g in self.groups})
        return replace(rows, multiplier=multiplier)

    def gradients(self, rows: Rows, back: Back) -> Gradients:
        """How the bounds of a backward pass move with the rows' choices."""
        values = self.passes.forward(self.value, back)
        slope = torch.zeros_like(rows.slope)
        multiplier = None if rows.multiplier is None else torch.zeros_like(slope)
        for group in self.groups:
            entering = values.get(group.value)
            if entering is None:
                continue
            index = torch.from_numpy(group.index)
            z = entering.flatten(1)[:, index]
            for position, left in group.readers:
                if left is not None and position in back.coefficients:
                    a = back.coefficients[position].flatten(1)[:, index]
                    slope[:, group.columns] += (1 - left) * a.clamp(min=0) * z
            if multiplier is not None:
                multiplier[:, group.columns] = -z
        if rows.code is not None:
            slope *= rows.code == FREE
        if multiplier is not None and rows.low is not None and rows.high is not None and rows.multiplier is not None:
            multiplier += torch.where(
                rows.multiplier > 0,
                rows.low,
                torch.where(rows.multiplier < 0, rows.high, _nearer(rows.low, rows.high, rows.codes, -multiplier)),
            )
        return Gradients(slope, multiplier, values)

    # -- with every rounding bounded ----------------------------------------------------------------------------------------------

    def prove(self, rows: Rows, start: Array | None = None, chunk: int = 1 << 21) -> Array:
        """(R,) lower bounds of the rows on their parts of the region, in real arithmetic; inf where a part is empty.

        Args:
            rows: The forms and their choices, any at all: they decide how good the bounds are, not whether they hold.
            start: (R, *shape) float64 coefficients instead of the rows' own.
            chunk: Most numbers of all values of the rows that are followed together.
        """
        numbers = sum(prod(s) for s in self.bounded.graph.shapes[: self.value + 1])
        block = max(1, chunk // numbers)
        found = np.empty(len(rows))
        for begin in range(0, len(rows), block):
            some = torch.arange(begin, min(begin + block, len(rows)))
            given = None if start is None else start[begin : begin + block]
            found[begin : begin + block] = self._prove(rows.take(some), given)
        return found

    def _prove(self, rows: Rows, start: Array | None) -> Array:
        extra, constant = self._multipliers(rows)
        form = rows.start.numpy().astype(np.float64) if start is None else start
        return self._fixed.minimum(form, self._proof_lines(rows), extra, constant)

    @cached_property
    def _fixed(self) -> FixedBounds:
        return FixedBounds(self.bounded, self.region, self.ranges, self.value)

    def _proof_lines(self, rows: Rows) -> dict[int, Lines]:
        """The lines (1 or R, *shape) of every elementwise node, on the ranges of each row."""
        found = dict(self._lines)
        slope = rows.slope.numpy().astype(np.float64)
        for group in self.groups:
            low, high = self._ends(group, rows.codes[:, group.columns], rows)
            for position, left in group.readers:
                wanted = None if left is None else left + (1 - left) * slope[:, group.columns]
                own, base = lines(self._operators[position], low, high, wanted), self._lines[position]
                found[position] = Lines(*(_with_columns(a, group.index, b) for a, b in zip(_arrays(base), _arrays(own), strict=True)))
        return found

    def _multipliers(self, rows: Rows) -> tuple[dict[int, Array], Array | None]:
        """``f - m (z - low)`` with m >= 0, and ``f - m (z - high)`` with m <= 0: coefficients of z, and what is added, rounded down.

        A multiplier without its split is dropped here, whatever the search says.
        """
        if rows.multiplier is None or rows.code is None:
            return {}, None
        code, m = rows.code.numpy(), rows.multiplier.numpy().astype(np.float64)
        allowed = np.where(code & ABOVE, np.maximum(m, 0), 0) + np.where(code & BELOW, np.minimum(m, 0), 0)
        allowed = np.where(np.isfinite(allowed), allowed, 0.0)
        extra = {}
        for group in self.groups:
            columns = allowed[:, group.columns]
            if columns.any():
                shape = self.bounded.graph.shapes[group.value]
                flat = np.zeros((len(rows), prod(shape)))
                flat[:, group.index] = -columns
                extra[group.value] = flat.reshape(-1, *shape)
        if rows.low is None or rows.high is None:
            return extra, None
        terms = allowed * np.where(allowed > 0, rows.low.numpy().astype(np.float64), rows.high.numpy().astype(np.float64))
        terms = np.where(allowed == 0, 0.0, terms)
        slack = 2 * gamma(terms.shape[1]) * np.abs(terms).sum(axis=1) + 1e-150
        return extra, down(terms.sum(axis=1) - slack)


def _arrays(found: Lines) -> tuple[Array, Array, Array, Array]:
    return found.lower_slope, found.lower_offset, found.upper_slope, found.upper_offset


def _with_columns(base: Array, index: Positions, columns: Array) -> Array:
    """(R, *shape): ``base`` (1, *shape) with the flat positions ``index`` replaced by ``columns`` (R, k)."""
    full = np.repeat(base.reshape(1, -1), len(columns), axis=0)
    full[:, index] = columns
    return full.reshape(-1, *base.shape[1:])


def allowed(multiplier: Tensor, code: Tensor | None) -> Tensor:
    """Multipliers with the signs that their splits permit."""
    if code is None:
        return torch.zeros_like(multiplier)
    up, down = (code & 1) > 0, (code & 2) > 0
    return torch.where(up, multiplier.clamp(min=0), 0.0) + torch.where(down, multiplier.clamp(max=0), 0.0)


def left_slope(operator: object) -> float | None:
    """The slope for negative numbers of what is linear on both sides of 0; None for all else."""
    if isinstance(operator, Relu):
        return 0.0
    return operator.slope if isinstance(operator, LeakyRelu) and 0 <= operator.slope < 1 else None


def _sides(found: Lines) -> Sides:
    four = (found.lower_slope, found.upper_slope, found.upper_offset, found.lower_offset)
    made = [tensor(np.clip(np.nan_to_num(a), -1e30, 1e30)) for a in four]
    return Sides(made[0], made[1], made[2], made[3] if bool(made[3].any()) else None)


def _four(sides: Sides) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    offset = torch.zeros_like(sides.upper_offset) if sides.lower_offset is None else sides.lower_offset
    return sides.lower_slope, offset, sides.upper_slope, sides.upper_offset


def _filled(base: Tensor, index: Tensor, columns: Tensor) -> Tensor:
    """(R, *shape): ``base`` (1, *shape) with the flat positions ``index`` replaced by ``columns`` (R, k)."""
    size = base.numel()
    if len(index) == size:
        return columns.reshape(-1, *base.shape[1:])
    full = base.reshape(1, size).repeat(len(columns), 1)
    full[:, index] = columns
    return full.reshape(-1, *base.shape[1:])


def _nearer(low: Tensor, high: Tensor, code: Tensor, z: Tensor) -> Tensor:
    """The end that a multiplier of 0 would leave 0 for: that of the split, or the nearer one of two; z itself between them."""
    between = torch.minimum(torch.maximum(z, low), high)
    return torch.where(code == ABOVE, low, torch.where(code == BELOW, high, between))
