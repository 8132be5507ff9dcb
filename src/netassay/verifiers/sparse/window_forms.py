"""Bounds where one pixel moves, for many pixels at once: the forms of ``local_forms`` on windows that differ in place, not in size.

For chains of convolutions, max pooling, elementwise operators and dense layers over an image. Max pooling is compared number by number:
``max(a, b) = b + relu(a - b)``. All is measured from the value at the centre, and every rounding is added to the remainder.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from netassay.errors import CapabilityError
from netassay.models.nonlinear import Elementwise, MaxPool
from netassay.models.operators import AddConstant, Convolution, Dense, DivConstant, Reshape
from netassay.specs.ball_geometry import Geometry
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import bounded_graph
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma, up
from netassay.verifiers.sparse.carry import carry
from netassay.verifiers.sparse.local_forms import Drops, Spans
from netassay.verifiers.sparse.reach import SCALING, tail
from netassay.verifiers.sparse.window_arithmetic import Forms, Gap, formed, gaps, larger, middled, product, ranged, read
from netassay.verifiers.sparse.windows import Sliding, Window, slid

NUMBERS = 1 << 22
"""Numbers that the entries read by one convolution may take: so many pixels are bounded together."""


class WindowForms:
    """A claim's network around one input.

    Args:
        claim: What is bounded.
        geometry: An L0 ball of features or pixels of an image in a bounded domain; its radius is not looked at.
    Raises:
        CapabilityError: If the network is no such chain.
    """

    def __init__(self, claim: Claim, geometry: Geometry) -> None:
        self._claim, self.bounded = claim, bounded_graph(claim.graph)
        shape, center = claim.graph.input_shape, geometry.center
        if len(shape) != 3 or any(node.inputs != (i,) for i, node in enumerate(self.bounded.graph.nodes)):
            raise CapabilityError("windows are followed through chains of layers over images")
        if not (np.isfinite(geometry.outer_low).all() and np.isfinite(geometry.outer_high).all()):
            raise CapabilityError("an L0 ball needs a bounded domain")
        self.low = np.where(geometry.outer_low < center, down(geometry.outer_low - center), 0.0)
        self.high = np.where(geometry.outer_high > center, up(geometry.outer_high - center), 0.0)
        self.groups = [g for g in np.split(geometry.order, geometry.starts[1:]) if (self.low < self.high)[g].any()]
        area = shape[1] * shape[2]
        if any(len(g) != len(self.groups[0]) or len(set((g % area).tolist())) != 1 for g in self.groups):
            raise CapabilityError("windows begin with features of one pixel each")
        point = Regions(center.reshape(1, *shape), center.reshape(1, *shape))
        self.at = [(low[0], high[0]) for low, high in self.bounded.propagate(point)]
        found = tail(self.bounded, claim)
        if len(found.coefficients) != 1 or 0 in found.coefficients:
            raise CapabilityError("windows are followed through layers that end in one linear form each")
        (self.last,) = found.coefficients
        self.rows, self.row_errors = found.coefficients[self.last], found.errors[self.last]
        self._factors = [self._checked(position) for position in range(self.last)]
        self._middles = [middled(low, high) for low, high in self.at]
        self._gaps = {position: self._checked_gaps(position) for position in range(self.last)}
        self._together = max(1, NUMBERS // self._numbers(1, len(self.groups[0]) if self.groups else 0))

    def _checked(self, position: int) -> Array | None:
        """The factors (c, h, w) of a layer that scales number by number; None for another one that is served."""
        operator, shapes = self.bounded.graph.nodes[position].operator, self.bounded.graph.shapes
        before, after = shapes[position], shapes[position + 1]
        if isinstance(operator, (*SCALING, DivConstant)) and before == after:
            if isinstance(operator, AddConstant):
                return None
            return np.asarray(AffineMap(operator, [before]).adjoint(np.ones((1, *after)))[0][0])
        flat = isinstance(operator, Reshape) and len(after) == 1
        dense = isinstance(operator, Dense) and len(before) == 1
        convolution = isinstance(operator, Convolution) and operator.weight.ndim == 4 and operator.groups == 1
        pool = isinstance(operator, MaxPool) and len(operator.kernel) == 2 and not any((*operator.begins, *operator.ends))
        if not (flat or dense or convolution or pool or isinstance(operator, Elementwise)):
            raise CapabilityError(f"windows are not followed through {operator.name} from {before} to {after}")
        return None

    def _checked_gaps(self, position: int) -> list[Gap]:
        """Those of a maximum at the centre; none of another layer."""
        operator, shape = self.bounded.graph.nodes[position].operator, self.bounded.graph.shapes[position + 1]
        return gaps(self.at[position], operator, (shape[1], shape[2])) if isinstance(operator, MaxPool) else []

    def _numbers(self, side: int, features: int) -> int:
        """At most what one cell takes, in numbers, of so many features in a square of ``side`` times ``side`` pixels."""
        shape = self._claim.graph.input_shape[1:]
        window: Window | None = Window(np.array([[(s - side) // 2 for s in shape]]), (side, side), (shape[0], shape[1]))
        most, width = 1, 1 + features
        for position in range(self.last):
            operator, shapes = self.bounded.graph.nodes[position].operator, self.bounded.graph.shapes
            if window is not None and isinstance(operator, Convolution | MaxPool):
                window, reads = slid(window, _sliding(operator), shapes[position + 1][1:])  # type: ignore[arg-type]
                most = max(most, reads.size * shapes[position][0] * width)
            window = None if len(shapes[position + 1]) == 1 else window
            most = max(most, (prod(shapes[position + 1]) if window is None else 1) * width)
        return most

    def center_rows(self) -> Array:
        """(R,) lower bounds of the claim's rows at the centre."""
        low, high = self.at[-1]
        rows = np.concatenate([part.rows for part in self._claim.parts])
        constants = np.concatenate([part.constants for part in self._claim.parts])
        least = np.maximum(rows, 0) @ low + np.minimum(rows, 0) @ high
        size = np.abs(rows) @ np.maximum(np.abs(low), np.abs(high)) + np.abs(constants)
        return down(least + constants - 2 * gamma(len(low) + 2) * size)

    def drops(self, groups: Positions, low: Array, high: Array) -> tuple[Drops, list[Spans]]:
        """How far each row can fall in B cells of one group each, and the ranges of what nonlinear operators read, cell by cell.

        Args:
            groups: (B,) which group moves.
            low, high: (B, K) ends of the cells, as offsets from the centre.
        """
        if not len(groups):
            return self._nothing(), []
        return self._bounded(np.stack([self.groups[g] for g in groups]), low, high, self._together)

    def drops_together(self, features: Positions, low: Array, high: Array) -> Drops:
        """How far each row can fall where several features, at any pixels, change at once.

        Args:
            features: (K,) which of them move.
            low, high: (B, K) ends of the cells, as offsets from the centre.
        """
        if not len(low):
            return self._nothing()
        rows, columns = self._claim.graph.input_shape[1:]
        side = 1 + max(int(np.ptp(features % (rows * columns) // columns)), int(np.ptp(features % columns)))
        together = max(1, NUMBERS // self._numbers(min(side, rows, columns), len(features)))
        return self._bounded(np.broadcast_to(features, low.shape), low, high, together)[0]

    def _bounded(self, features: Positions, low: Array, high: Array, together: int) -> tuple[Drops, list[Spans]]:
        parts, spans = [], []
        with np.errstate(all="ignore"):
            for begin in range(0, len(features), together):
                some = slice(begin, begin + together)
                run = _Pass(self, features[some], low[some], high[some])
                parts.append(run.run())
                spans += run.spans
        return Drops(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("most", "forced", "allowed", "corner"))), spans

    def _nothing(self) -> Drops:
        rows = len(self.rows)
        width = len(self.groups[0]) if self.groups else 0
        return Drops(np.zeros((0, rows)), np.zeros((0, rows, width)), np.zeros((0, rows, 0)), np.zeros((0, rows, width)))


class _Pass:
    def __init__(self, forms: WindowForms, features: Positions, low: Array, high: Array) -> None:
        self._forms, self._features, self._low, self._high = forms, features, low, high
        self.spans: list[Spans] = [{} for _ in features]

    def run(self) -> Drops:
        form = self._input()
        graph, own = self._forms.bounded.graph, self._forms
        for position in range(own.last):
            operator, factors = graph.nodes[position].operator, own._factors[position]
            if factors is not None:
                form = self._scaled(form, factors)
            elif isinstance(operator, Convolution):
                form = self._convolved(form, operator, graph.shapes[position + 1])
            elif isinstance(operator, MaxPool):
                form = self._pooled(form, operator, position, graph.shapes[position + 1])
            elif isinstance(operator, Reshape):
                form = self._flat(form, graph.shapes[position])
            elif isinstance(operator, Dense):
                form = self._multiplied(np.asarray(operator.weight, dtype=np.float64).T, form)
            elif isinstance(operator, Elementwise):
                form = self._bent(form, operator, position)
        return self._drops(form)

    def _input(self) -> Forms:
        channels, rows, columns = self._forms._claim.graph.input_shape
        count, width = self._features.shape
        middle = self._low / 2 + self._high / 2
        half = up(np.maximum(self._high - middle, middle - self._low))
        channel, pixel = self._features // (rows * columns), self._features % (rows * columns)
        places = np.stack([pixel // columns, pixel % columns], axis=1)  # (B, 2, K)
        size = tuple((1 + np.ptp(places, axis=2).max(axis=0)).tolist())
        start = np.minimum(places.min(axis=2), (rows - size[0], columns - size[1]))
        window = Window(start, (size[0], size[1]), (rows, columns))
        at = (places[:, 0] - start[:, :1]) * size[1] + places[:, 1] - start[:, 1:]
        lines, cells = np.zeros((width + 1, count, size[0] * size[1], channels)), np.arange(count)
        for k in range(width):
            lines[k, cells, at[:, k], channel[:, k]] = half[:, k]
            lines[width, cells, at[:, k], channel[:, k]] = middle[:, k]
        return formed(lines, np.zeros(lines.shape[1:]), window)

    def _scaled(self, form: Forms, factors: Array) -> Forms:
        scale = self._gathered(factors, form.window)
        rest = (np.abs(scale) * (form.rest + 4 * gamma(4) * form.size)) * (1 + 8 * UNIT) + UNDERFLOW
        return formed(form.lines * scale, rest, form.window)

    def _convolved(self, form: Forms, operator: Convolution, shape: tuple[int, ...]) -> Forms:
        assert form.window is not None
        window, reads = slid(form.window, _sliding(operator), (shape[1], shape[2]))
        weight = np.asarray(operator.weight, dtype=np.float64).transpose(2, 3, 1, 0).reshape(-1, shape[0])
        lines, rest = (read(x, reads).reshape(len(x), *reads.shape[:2], -1) for x in (form.lines, form.rest[None]))
        return self._multiplied(weight, Forms(lines, rest[0], form.size, window))

    @staticmethod
    def _multiplied(weight: Array, form: Forms) -> Forms:
        """Lines and remainders (..., inputs) times (inputs, outputs); of the sizes only each cell's largest counts, for rounding."""
        terms, sizes = len(weight) + 2, np.abs(weight)
        largest = form.size.max(axis=(1, 2), keepdims=True) * sizes.sum(axis=0).max(initial=0.0)
        loose = product(form.rest, sizes) + 2 * gamma(terms) * largest
        return formed(product(form.lines, weight), loose * (1 + 4 * gamma(terms)) + UNDERFLOW, form.window)

    def _flat(self, form: Forms, shape: tuple[int, ...]) -> Forms:
        """The whole map, flattened as (c, h, w)."""
        if form.window is None:
            return form
        places, count = form.window.places, len(form.rest)

        def spread(values: Array) -> Array:
            whole = np.zeros((len(values), count, shape[1] * shape[2], shape[0]))
            whole[:, np.arange(count)[:, None], places] = values
            return whole.swapaxes(2, 3).reshape(len(values), count, 1, -1)

        return Forms(spread(form.lines), spread(form.rest[None])[0], spread(form.size[None])[0], None)

    def _gathered(self, values: Array, window: Window | None) -> Array:
        """(B, P, c) what the whole map holds in each window; (1, 1, n) if the form is flat."""
        if window is None:
            return values.reshape(1, 1, -1)
        return np.asarray(values.reshape(len(values), -1).T[window.places])

    def _combined(self, rows: Array, window: Window | None) -> Array:
        """(B or 1, numbers of a window, R) of rows (R, n) over the whole map."""
        if window is None:
            return rows.T[None]
        area = window.shape[0] * window.shape[1]
        found = rows.reshape(len(rows), -1, area).transpose(2, 1, 0)[window.places]  # (B, P, c, R)
        return np.asarray(found.reshape(len(found), -1, len(rows)))

    def _center(self, value: int, window: Window | None) -> tuple[Array, Array]:
        middle, spread = (self._gathered(side, window) for side in self._forms._middles[value])
        return middle, spread

    def _bent(self, form: Forms, operator: Elementwise, position: int) -> Forms:
        at, after = self._center(position, form.window), self._center(position + 1, form.window)
        low, high = ranged(form)
        self._note(position, form.window, low, high)
        ends = down(low + down(at[0] - at[1])), up(high + up(at[0] + at[1]))
        carried = carry(operator, ends, at, after, (form.lines[-1], form.rest, form.size))
        return formed(np.concatenate([carried.slope * form.lines[:-1], carried.constant[None]]), carried.rest, form.window)

    def _note(self, value: int, window: Window | None, low: Array, high: Array) -> None:
        for cell, spans in enumerate(self.spans):
            if window is None:
                units = np.arange(low.shape[2])
            else:
                area = window.shape[0] * window.shape[1]
                units = (window.places[cell][:, None] + area * np.arange(low.shape[2])).reshape(-1)
            spans[value] = (units, low[cell].reshape(-1), high[cell].reshape(-1))

    def _pooled(self, form: Forms, operator: MaxPool, position: int, shape: tuple[int, ...]) -> Forms:
        assert form.window is not None
        window, reads = slid(form.window, _sliding(operator), (shape[1], shape[2]))
        lines, rest, size = read(form.lines, reads), read(form.rest[None], reads)[0], read(form.size[None], reads)[0]
        best = Forms(lines[..., 0, :], rest[..., 0, :], size[..., 0, :], window)
        for k, gap in enumerate(self._forms._gaps[position], start=1):
            other = Forms(lines[..., k, :], rest[..., k, :], size[..., k, :], window)
            before, after = ([self._gathered(side, window) for side in each] for each in (gap.before, gap.after))
            best = larger(other, best, (before[0], before[1]), (after[0], after[1]))
        return best

    def _drops(self, form: Forms) -> Drops:
        rows, errors = (self._combined(side, form.window) for side in (self._forms.rows, self._forms.row_errors))
        count = len(form.rest)

        def summed(values: Array, by: Array) -> Array:
            return np.asarray((values.reshape(-1, count, 1, form.rest[0].size) @ by).reshape(-1, count, by.shape[2]))

        found, rest, size = summed(form.lines, rows), summed(form.rest, np.abs(rows))[0], summed(form.size, np.abs(rows))[0]
        forced = np.abs(found[:-1])
        total = forced.sum(axis=0) + rest - found[-1]
        slack = summed(form.size, errors)[0] * (1 + 1e-6) + 4 * gamma(rows.shape[1] + len(found) + 8) * size + UNDERFLOW
        most = up(total + slack)
        most = np.where(np.isfinite(most) & (np.abs(most) < LARGEST), most, np.inf)
        slopes = found[:-1].transpose(1, 2, 0)
        corner = np.where(slopes > 0, self._low[:, None], self._high[:, None])
        return Drops(most, forced.transpose(1, 2, 0), np.zeros((*most.shape, 0)), corner)


def hull(spans: Sequence[Spans]) -> Spans:
    """The ranges over several cells of one group."""
    found: Spans = {}
    for value in spans[0]:
        lows, highs = (np.stack([each[value][side] for each in spans]) for side in (1, 2))
        found[value] = (spans[0][value][0], lows.min(axis=0), highs.max(axis=0))
    return found


def _sliding(operator: Convolution | MaxPool) -> Sliding:
    kernel = operator.weight.shape[2:] if isinstance(operator, Convolution) else operator.kernel
    return Sliding(kernel, operator.strides, operator.begins, operator.dilations)
