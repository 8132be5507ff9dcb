"""Backward linear bounds for many boxes at once, where the network is a chain of dense layers and ReLUs.

The bounds are those of ``linear`` (CROWN, Zhang et al. 2018), laid out for speed: the rows of all boxes go through one matrix product,
a row's constant and what rounding can have changed travel as two more columns, only neurons of unknown sign are pushed back, and
neurons that are 0 in all boxes of a batch take no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from netassay.models.nonlinear import Relu
from netassay.models.operators import AddConstant, Dense, MulConstant, Reshape, Shape
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.region import Positions
from netassay.verifiers.relaxations import lines
from netassay.verifiers.rounding import LARGEST, SMALLEST, UNDERFLOW, Array, gamma, underflows

ROWS = 1024
"""Rows that are pushed back together: their coefficients fit a core's cache."""

WIDEST_INPUT = 64
"""Inputs of a chain, at most; splitting more of them gets nowhere anyway."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """``z = weight @ x + bias``, each entry within ``gamma(roundings)`` of the network's, relative to ``|weight|`` and ``size``.

    Args:
        weight: (m, n).
        bias: (m,).
        size: (m,) at least the magnitudes of all that was added up in the bias.
    """

    weight: Array
    bias: Array
    size: Array


class _Composer:
    """Collects what stands between two ReLUs into one layer: a single dense operator, scaled and shifted on either side.

    Where factors underflow when they are multiplied, there is no layer: a later factor might make up for them.
    """

    def __init__(self, size: int) -> None:
        self.weight: Array | None = None
        self.bias, self.size = np.zeros(size), np.zeros(size)
        self._scale = np.ones(size)
        self._lost = False

    def scale(self, factor: Array) -> None:
        self._lost |= underflows(self._scale if self.weight is None else self.weight, factor) or underflows(self.bias, factor)
        if self.weight is None:
            self._scale = self._scale * factor
        else:
            self.weight = self.weight * factor[:, None]
        self.bias, self.size = self.bias * factor, self.size * np.abs(factor)

    def shift(self, value: Array) -> None:
        self.bias, self.size = self.bias + value, self.size + np.abs(value)

    def dense(self, weight: Array, bias: Array) -> bool:
        """Whether there was none before."""
        if self.weight is not None:
            return False
        self._lost |= underflows(weight, self._scale) or underflows(weight, self.bias)
        self.weight = weight * self._scale
        self.bias, self.size = weight @ self.bias + bias, np.abs(weight) @ self.size + np.abs(bias)
        return True

    def layer(self) -> Layer | None:
        return None if self.weight is None or self._lost else Layer(self.weight, self.bias, self.size)


def chain_of(bounded: BoundedGraph) -> Chain | None:
    """The graph as a chain; None where it is none."""
    graph = bounded.graph
    if prod(graph.input_shape) > WIDEST_INPUT or any(node.inputs != (i,) for i, node in enumerate(graph.nodes)):
        return None
    layers: list[Layer] = []
    composer = _Composer(prod(graph.input_shape))
    for node, shape in zip(graph.nodes, graph.shapes, strict=False):
        if isinstance(node.operator, Relu):
            layer = composer.layer()
            if layer is None:
                return None
            layers.append(layer)
            composer = _Composer(prod(shape))
        elif not _composed(composer, node.operator, shape):
            return None
    last = composer.layer()
    return None if last is None or not layers else Chain([*layers, last], roundings=len(graph.nodes))


def _composed(composer: _Composer, operator: object, shape: Shape) -> bool:
    if isinstance(operator, Reshape):
        return True
    if isinstance(operator, Dense):
        return len(shape) == 1 and composer.dense(
            np.asarray(operator.weight, dtype=np.float64), np.asarray(operator.bias, dtype=np.float64)
        )
    if not isinstance(operator, AddConstant | MulConstant) or np.broadcast_shapes(shape, operator.value.shape) != shape:
        return False
    value = np.broadcast_to(np.asarray(operator.value, dtype=np.float64), shape).reshape(-1)
    if isinstance(operator, AddConstant):
        composer.shift(value)
    else:
        composer.scale(value)
    return True


class Chain:
    """Layers z_1 ... z_L with a ReLU between any two.

    Args:
        layers: From the input to the output; at least two.
        roundings: At least the number of operators that went into any entry of the layers.
    """

    def __init__(self, layers: list[Layer], roundings: int = 1) -> None:
        self.layers = tuple(layers)
        self.inputs = layers[0].weight.shape[1]
        widest = max(max(layer.weight.shape) for layer in layers)
        self.unit = 4 * gamma(widest + 2 * roundings + 16) * (len(layers) + 2)
        """What the sums at one layer err by, at most, relative to a row's coefficients times the magnitudes of that layer's summands:
        few sums of at most ``widest`` terms each, whose results are carried through the constant's column of all later layers."""
        self.steps = tuple(_with_columns(layer) for layer in layers)
        self.sizes = tuple(np.abs(layer.weight) for layer in layers)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Neurons of each layer that a ReLU follows."""
        return tuple(len(layer.bias) for layer in self.layers[:-1])

    def error(self, layer: int, magnitude: Array) -> Array:
        """(m,) what rounding can change where a row passes a layer, per unit of each coefficient; for inputs of at most ``magnitude``."""
        total = (self.sizes[layer] @ np.maximum(magnitude, SMALLEST) + self.layers[layer].size) * (1 + 1e-9)
        return np.asarray(np.where(total < LARGEST, self.unit * total + UNDERFLOW, np.inf))


def _with_columns(layer: Layer) -> Array:
    """(m + 2, n + 2): the layer on vectors that end in 1 and 1, for a constant and an error; its own errors are yet 0."""
    m, n = layer.weight.shape
    step = np.zeros((m + 2, n + 2))
    step[:m, :n], step[:m, n], step[m, n], step[m + 1, n + 1] = layer.weight, layer.bias, 1.0, 1.0
    return step


@dataclass(frozen=True, slots=True, eq=False)
class UnitForms:
    """Linear forms of the input around some neurons of a layer, in some boxes.

    Args:
        owner, unit: (R,) box and neuron.
        below, above: (R, n + 1): ``<below, (x, 1)> <= z`` and ``<above, (x, 1)> <= -z`` in real arithmetic.
        place: (B, m) the row of a box's neuron, -1 where there is none.
    """

    owner: Positions
    unit: Positions
    below: Array
    above: Array
    place: Positions


class ChainBounds:
    """Bounds of rows ``<rows, z_L> + constants`` and of all neurons over B boxes.

    Args:
        chain: The network.
        lower, upper: (B, n).
        rows: (B, r, m) linear forms of the output.
        constants: (B, r).
        known: For each hidden layer a range (B, m) that is known to hold where it counts. An end that is exactly 0 may be that of
            a split neuron, of which then only one sign counts in that box.
    Attributes:
        lower: (B, r) proved lower bounds of the rows.
        forms: (B, r, n + 1): ``<form, (x, 1)>`` lies below its row, in real arithmetic.
        ranges: Of each hidden layer, (B, m).
        empty: (B,) boxes in which nothing counts, since known ranges contradict the bounds.
        undecided: (B,) neurons of unknown sign.
    """

    def __init__(
        self,
        chain: Chain,
        lower: Array,
        upper: Array,
        rows: Array,
        constants: Array,
        known: tuple[Range, ...] | None = None,
    ) -> None:
        self.chain = chain
        self._middle, self._radius = lower / 2 + upper / 2, (upper - lower) / 2
        self._magnitude = np.maximum(np.abs(lower), np.abs(upper)).max(axis=0, initial=SMALLEST)
        self._errors: list[Array] = []
        self._steps: list[Array] = []
        self._active: list[Positions] = []
        self._through: list[Array] = []
        count = len(lower)
        self.empty = np.zeros(count, dtype=np.bool_)
        self.undecided = np.zeros(count, dtype=np.intp)
        self.ranges: list[Range] = []
        self._lines: list[tuple[Array, Array, Array]] = []
        self._units: list[UnitForms] = []
        with np.errstate(all="ignore"):
            for k in range(len(chain.hidden)):
                self._meet(k)
                self._hidden(k, None if known is None else known[k])
            self._meet(len(chain.hidden))
            self._output(rows, constants)

    def _meet(self, k: int) -> None:
        """What rounding can change at a layer, for the magnitudes of these boxes, joins the layer as a column."""
        inputs = self._magnitude if k == 0 else np.maximum(self.ranges[k - 1][1], 0).max(axis=0, initial=0.0)
        error = self.chain.error(k, inputs)
        step = self.chain.steps[k].copy()
        step[:-2, -1] = error
        self._errors.append(error)
        self._steps.append(step if k == 0 else step[:, _with_last_two(self._active[k - 1])])

    def _hidden(self, k: int, known: Range | None) -> None:
        low, high = self._interval(k)
        if known is not None:
            low, high = np.maximum(low, known[0]), np.minimum(high, known[1])
        self._units.append(self._first_forms(low) if k == 0 else self._tightened(k, low, high))
        crossed = low > high
        if crossed.any():
            self.empty |= crossed.any(axis=1)
            low, high = np.minimum(low, high), np.maximum(low, high)
        self.undecided += ((low < 0) & (high > 0)).sum(axis=1)
        self.ranges.append((low, high))
        active = np.flatnonzero(~(high <= 0).all(axis=0))
        self._active.append(active)
        relaxed = lines(Relu(), low[:, active], high[:, active])
        count, size = len(low), len(active)
        below, rise, offset = np.ones((count, size + 2)), np.zeros((count, size + 2)), np.zeros((count, size + 2, 2))
        below[:, :-2], offset[:, :-2, 0] = relaxed.lower_slope, relaxed.upper_offset
        offset[:, :-2, 1] = -2 * self._errors[k][active]
        np.subtract(relaxed.upper_slope, relaxed.lower_slope, out=rise[:, :-2])
        self._lines.append((below, rise, offset))
        self._through.append(self._steps[k][_with_last_two(active)])

    def _interval(self, k: int) -> Range:
        layer = self.chain.layers[k]
        if k == 0:
            middle, radius = self._middle, self._radius
        else:
            low, high = (np.maximum(side, 0) for side in self.ranges[k - 1])
            middle, radius = low / 2 + high / 2, (high - low) / 2
        centre, spread = middle @ layer.weight.T + layer.bias, radius @ self.chain.sizes[k].T + 2 * self._errors[k]
        low, high = centre - spread, centre + spread
        known = np.isfinite(low) & np.isfinite(high)
        return np.where(known, low, -np.inf), np.where(known, high, np.inf)

    def _first_forms(self, low: Array) -> UnitForms:
        """The first layer is affine: its own rows, in every box."""
        count, size = low.shape
        count, size = low.shape
        below = self._steps[0][:-2].copy()
        above = -below
        above[:, -1] = below[:, -1]
        below, above = _taken_off(below), _taken_off(above)
        place = np.broadcast_to(np.arange(size), (count, size))
        none = np.zeros(0, dtype=np.intp)
        return UnitForms(none, none, below, above, place)

    def _tightened(self, k: int, low: Array, high: Array) -> UnitForms:
        """Pushes back the neurons of unknown sign and the split ones, both sides; narrows ``low`` and ``high`` in place."""
        needed = ((low < 0) & (high > 0)) | (low == 0) | (high == 0)
        counts = needed.sum(axis=1)
        order = np.argsort(counts, kind="stable")
        ordered = counts[order]
        begin = int(np.searchsorted(ordered, 1))
        found: list[tuple[Positions, Positions, Array, Array]] = []
        while begin < len(order):
            first = int(ordered[begin])
            alike = int(np.searchsorted(ordered, first + max(1, first // 4), side="right"))
            end = min(alike, begin + max(1, ROWS // (2 * first)))
            boxes, wide = order[begin:end], int(ordered[end - 1])
            units = np.argsort(~needed[boxes], axis=1, kind="stable")[:, :wide]
            found.append(self._pushed(k, boxes, units, low, high))
            begin = end
        return self._collected(found, low.shape)

    def _pushed(self, k: int, boxes: Positions, units: Positions, low: Array, high: Array) -> tuple[Positions, Positions, Array, Array]:
        wide, step = units.shape[1], self._steps[k]
        start = np.empty((len(boxes), 2 * wide, step.shape[1]))
        np.take(step, units, axis=0, out=start[:, :wide])
        np.negative(start[:, :wide], out=start[:, wide:])
        start[:, wide:, -1] = start[:, :wide, -1]
        forms = self._finished(self._back(start, k, boxes))
        least = self._least(forms, boxes)
        least[np.isnan(least)] = -np.inf
        at = (boxes[:, None], units)
        low[at] = np.maximum(low[at], least[:, :wide])
        high[at] = np.minimum(high[at], -least[:, wide:])
        size = forms.shape[2]
        owner = np.repeat(boxes, wide)
        return owner, units.reshape(-1), forms[:, :wide].reshape(-1, size), forms[:, wide:].reshape(-1, size)

    def _collected(self, found: list[tuple[Positions, Positions, Array, Array]], shape: tuple[int, ...]) -> UnitForms:
        place = np.full(shape, -1, dtype=np.intp)
        if not found:
            none, nothing = np.zeros(0, dtype=np.intp), np.zeros((0, self.chain.inputs + 1))
            return UnitForms(none, none, nothing, nothing, place)
        owner, unit = (np.concatenate([f[i] for f in found]) for i in (0, 1))
        below, above = (np.concatenate([f[i] for f in found]) for i in (2, 3))
        place[owner, unit] = np.arange(len(owner))
        return UnitForms(owner, unit, below, above, place)

    def _back(self, rows: Array, upto: int, boxes: Positions | None, met: list[Array] | None = None) -> Array:
        """Rows (b, r, active + 2) of what comes out of hidden layer ``upto - 1``, pushed back to (b, r, n + 2); overwrites them.

        At each layer a row a, once it has passed the ReLU, adds ``|a| . error`` to its error; here ``a . error`` by the product and
        ``-2 min(a, 0) . error``, with a as it was before the ReLU, which is no less.
        """
        for k in range(upto - 1, -1, -1):
            below, rise, offset = self._lines[k] if boxes is None else (side[boxes] for side in self._lines[k])
            if met is not None:
                met.append(rows.copy())
            falling = np.minimum(rows, 0)
            added = np.matmul(falling, offset)
            rows *= below[:, None, :]
            falling *= rise[:, None, :]
            rows += falling
            rows[:, :, -2:] += added
            step = self._through[k]
            rows = (rows.reshape(-1, len(step)) @ step).reshape(*rows.shape[:2], step.shape[1])
        return rows

    def _finished(self, rows: Array) -> Array:
        """Rows (b, r, n + 2) as forms (b, r, n + 1), all errors taken off, those of their minima over the boxes too."""
        rows[:, :, -1] += self.chain.unit * (np.abs(rows[:, :, :-2]) @ self._magnitude) + UNDERFLOW
        return _taken_off(rows)

    def _least(self, forms: Array, boxes: Positions | None) -> Array:
        """The forms' minima over their boxes; their offsets pay for its rounding already."""
        middle, radius = (self._middle, self._radius) if boxes is None else (self._middle[boxes], self._radius[boxes])
        slopes = forms[:, :, :-1]
        return np.asarray(
            np.matmul(slopes, middle[:, :, None])[:, :, 0] + forms[:, :, -1] - np.matmul(np.abs(slopes), radius[:, :, None])[:, :, 0]
        )

    def _output(self, rows: Array, constants: Array) -> None:
        last, sizes = self.chain.layers[-1], np.abs(rows)
        active = self._active[-1]
        start = np.empty((*rows.shape[:2], len(active) + 2))
        start[:, :, :-2] = rows @ last.weight[:, active]
        start[:, :, -2] = rows @ last.bias + constants
        start[:, :, -1] = sizes @ self._errors[-1] + self.chain.unit * np.abs(constants)
        met: list[Array] = []
        self.forms = self._finished(self._back(start, len(self.chain.hidden), None, met))
        least = self._least(self.forms, None)
        self.lower = np.where(np.isnan(least), -np.inf, least)
        self._met = met[::-1]

    def losses(self) -> list[Array]:
        """For each hidden layer (B, m): how far ReLU's relaxation can lower the best row's bound, neuron by neuron."""
        best, boxes = self.lower.argmax(axis=1), np.arange(len(self.lower))
        found: list[Array] = []
        for (low, high), active, (_, _, offset), met in zip(self.ranges, self._active, self._lines, self._met, strict=True):
            low, high, coefficients = low[:, active], high[:, active], met[boxes, best, :-2]
            loss = np.zeros((len(boxes), len(self._errors[len(found)])))
            gap = np.where(coefficients < 0, offset[:, :-2, 0], np.minimum(high, -low))
            loss[:, active] = np.abs(coefficients) * gap * ((low < 0) & (high > 0))
            found.append(loss)
        return found

    def effects(self, losses: list[Array]) -> Array:
        """(B, n) how much of the losses hangs on each input's width: a neuron's on how far the input moves it, of all that it moves."""
        total = np.zeros_like(self._middle)
        for k, (loss, (low, high), units) in enumerate(zip(losses, self.ranges, self._units, strict=True)):
            with np.errstate(all="ignore"):
                share = np.nan_to_num(loss / np.maximum(high - low, 1e-300), posinf=1e150)
            if k == 0:
                total += share @ np.abs(self.chain.layers[0].weight)
                continue
            slopes = np.maximum(np.abs(units.below[:, :-1]), np.abs(units.above[:, :-1])) * share[units.owner, units.unit][:, None]
            for d in range(total.shape[1]):
                total[:, d] += np.bincount(units.owner, weights=slopes[:, d], minlength=len(total))
        return np.asarray(total * 2 * self._radius)

    def unit_forms(self, layer: int, boxes: Positions, units: Positions) -> tuple[Array, Array]:
        """(N, n + 1) forms below z and below -z for neurons that were pushed back."""
        forms = self._units[layer]
        at = forms.place[boxes, units]
        return forms.below[at], forms.above[at]

    def conditions(self, most: int) -> Array:
        """(B, most, n + 1) forms that are nowhere positive where it counts: of split neurons. What is missing is the form -1."""
        count = len(self._middle)
        found = np.zeros((count, most, self.chain.inputs + 1))
        found[:, :, -1] = -1.0
        used = np.zeros(count, dtype=np.intp)
        for k, (low, high) in enumerate(self.ranges):
            for above, split in ((False, high == 0), (True, low == 0)):
                boxes, units = (np.asarray(a, dtype=np.intp) for a in np.nonzero(split))
                at = self._units[k].place[boxes, units]
                boxes, units, at = boxes[at >= 0], units[at >= 0], at[at >= 0]
                if not len(boxes):
                    continue
                first = np.flatnonzero(np.r_[True, boxes[1:] != boxes[:-1]])
                slot = used[boxes] + np.arange(len(boxes)) - np.repeat(first, np.diff(np.r_[first, len(boxes)]))
                forms, fits = (self._units[k].above if above else self._units[k].below), slot < most
                found[boxes[fits], slot[fits]] = forms[at[fits]]
                used += np.bincount(boxes, minlength=count)
        return found


def _taken_off(rows: Array) -> Array:
    """(..., n + 1): forms whose offset has paid for the error in the last column."""
    forms = rows[..., :-1].copy()
    forms[..., -1] -= rows[..., -1] * (1 + 1e-6)
    return np.asarray(forms)


def _with_last_two(active: Positions) -> Positions:
    """Positions, and the last two columns."""
    return np.concatenate([active, np.array([-2, -1], dtype=np.intp)])
