"""Zonotopes (DeepZ, Singh et al. 2018, https://papers.nips.cc/paper/8278): every value as an affine form of shared noise symbols.

``y = centre + sum_j generators_j * eps_j + box * delta`` with all eps_j, delta in [-1, 1]: the eps are shared by all numbers of all
values, the delta belong to one number each and hold what rounding can change. Affine maps are followed exactly; a nonlinear operator
becomes a multiple of its input plus a new symbol, by the parallelogram of two parallel lines around it. All in real arithmetic: the
bounds hold for any order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import Operator, Shape
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.forward import forward
from netassay.verifiers.propagation.interval import BoundedGraph, Range, bounded_graph, intersect
from netassay.verifiers.propagation.noise import Noise, linear_map, padded, times
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.relaxations import interval, lines, planes
from netassay.verifiers.relaxations.piecewise import Corners
from netassay.verifiers.relaxations.positions import factors, pairs
from netassay.verifiers.relaxations.smooth import least
from netassay.verifiers.relaxations.table import FUNCTIONS
from netassay.verifiers.rounding import LARGEST, UNDERFLOW, UNIT, Array, down, gamma, up

BYTES = 1 << 29
"""Bytes for the coefficients of one value, by default. Beyond it, what is new goes into the box: sound, and less tight."""

_POINTWISE = (op.Reshape, op.AddConstant, op.MulConstant)
"""Maps that keep a value diagonal: each number its own symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class Zonotope:
    """B zonotopes of one value.

    Args:
        centre: (B, *shape).
        generators: (B, G, *shape), the coefficients of the first G symbols.
        box: (B, *shape), not negative; infinite where nothing is known.
        widths: (B, *shape) coefficients of the input's own symbols instead, one per number, while no map has mixed them.
    """

    centre: Array
    generators: Array
    box: Array
    widths: Array | None = None

    def spread(self) -> Array:
        """(B, *shape) at least the sum of the generators' magnitudes."""
        if self.widths is not None:
            return np.abs(self.widths)
        return np.asarray(np.abs(self.generators).sum(axis=1) * (1 + 2 * gamma(self.generators.shape[1])))


class Zonotopes:
    """The zonotopes of a graph's values over B regions.

    Args:
        bounded: The graph.
        regions: The regions; balls start from their boxes, and all ranges are cut by the balls.
        known: Ranges (B, *shape) of some values that hold at the points that count: of a split neuron, of a larger region.
        kept: Values whose zonotopes stay in ``values``, beside the output's.
        limit: Bytes for the coefficients of one value.
    """

    def __init__(
        self,
        bounded: BoundedGraph,
        regions: Regions,
        known: Mapping[int, Range] | None = None,
        kept: frozenset[int] = frozenset(),
        limit: int = BYTES,
    ) -> None:
        self.bounded, self.regions, self.noise = bounded, regions, Noise(regions)
        self.symbols = len(self.noise)
        """How many symbols there are."""
        self.ranges: list[Range] = []
        """Ranges (B, *shape) of the values so far."""
        self.values: dict[int, Zonotope] = {}
        """The zonotopes that are still needed, or kept; the kept ones by their generators, whatever they were before."""
        self.empty: NDArray[np.bool_] = np.zeros(len(regions), dtype=np.bool_)
        """(B,) regions whose known ranges contradict the zonotopes: no point of them counts."""
        self._known, self._kept, self._limit = known or {}, kept, limit
        self._take(0, (regions.lower, regions.upper), self._input())

    def run(self) -> Zonotope:
        """The output's zonotope."""
        return forward(self, self._kept)

    def range_of(self, zonotope: Zonotope) -> Range:
        """(B, *shape) the least and largest numbers of a zonotope over the regions, rounded outwards."""
        with np.errstate(all="ignore"):
            if zonotope.widths is not None:
                zonotope = self._mixed(zonotope)
            of_input, rest = np.split(padded(zonotope.generators, len(self.noise)), [len(self.noise)], axis=1)
            beyond = np.abs(rest).sum(axis=1) * (1 + 2 * gamma(rest.shape[1])) + zonotope.box
            below = self.noise.least(of_input)
            above = below if self.regions.ball is None else self.noise.least(-of_input)
            slack = 8 * UNIT * (np.abs(zonotope.centre) + beyond + np.abs(below) + np.abs(above)) + UNDERFLOW
            return down(zonotope.centre + below - beyond - slack), up(zonotope.centre - above + beyond + slack)

    def given(self, value: int) -> Zonotope:
        """The zonotope of a value."""
        return self.values[value]

    def affine(self, affine: AffineMap, values: Sequence[int]) -> Zonotope:
        """The image of values under an affine map."""
        return self.through(affine, [self.values[i] for i in values])

    def through(self, affine: AffineMap, inputs: Sequence[Zonotope]) -> Zonotope:
        """The image under an affine map, rounding in the box."""
        with np.errstate(all="ignore"):
            linear = linear_map(affine)
            spreads = [z.spread() for z in inputs]
            magnitude = affine.magnitude([np.abs(z.centre) + s + z.box for z, s in zip(inputs, spreads, strict=True)])
            centre = affine([z.centre for z in inputs])
            box = linear.magnitude([z.box for z in inputs]) + 4 * gamma(affine.terms) * magnitude + UNDERFLOW
            if len(inputs) == 1 and inputs[0].widths is not None:
                generators, widths = self._of_diagonal(affine, linear, inputs[0], inputs[0].widths)
            else:
                generators, widths = self._image(linear, [self._mixed(z) for z in inputs]), None
            return _checked(self._broadcast(centre), generators, self._broadcast(box), widths, self._broadcast(magnitude))

    def _broadcast(self, x: Array) -> Array:
        return x if len(x) == len(self.regions) else np.broadcast_to(x, (len(self.regions), *x.shape[1:]))

    def _input(self) -> Zonotope:
        shape, noise = (len(self.regions), *self.regions.shape), self.noise
        none = np.zeros((len(self.regions), 0, *self.regions.shape))
        return Zonotope(noise.middle.reshape(shape), none, noise.unknown.reshape(shape), noise.radius.reshape(shape))

    def keep(self, value: int, found: Zonotope) -> None:
        """Keeps a value; its range is the better of the zonotope's and of interval arithmetic where it matters."""
        low, high = (self._broadcast(side) for side in self.bounded.range_of(value, self.ranges))
        if value in self.bounded.relaxed:
            low, high = intersect((low, high), self.range_of(found))
        self._take(value, (low, high), found)

    def _take(self, value: int, found: Range, zonotope: Zonotope) -> None:
        """Takes in a value with its range, within the one that is known to hold where it counts."""
        low, high = intersect(found, self._known[value]) if value in self._known else found
        crossed = low > high
        self.empty |= crossed.reshape(len(crossed), -1).any(axis=1)
        self.ranges.append((np.minimum(low, high), np.maximum(low, high)))
        self.values[value] = self._mixed(zonotope) if value in self._kept else zonotope

    def _mixed(self, zonotope: Zonotope) -> Zonotope:
        if zonotope.widths is None:
            return zonotope
        return Zonotope(zonotope.centre, self.noise.diagonal(zonotope.widths), zonotope.box)

    def _of_diagonal(self, affine: AffineMap, linear: AffineMap, given: Zonotope, widths: Array) -> tuple[Array, Array | None]:
        """Generators or widths of the image of a value whose numbers have a symbol each."""
        operator, size = affine.operator, prod(widths.shape[1:])
        if isinstance(operator, _POINTWISE) and prod(affine.output_shape) == size:
            return np.zeros((len(widths), 0, *affine.output_shape)), linear([widths])
        if isinstance(operator, op.Dense) and widths.ndim == 2:
            return self.noise.through_dense(widths, operator), None
        return self._image(linear, [self._mixed(given)]), None

    def _image(self, linear: AffineMap, inputs: Sequence[Zonotope]) -> Array:
        """Each generator's image (B, G, *shape)."""
        if not inputs:
            return np.zeros((len(self.regions), 0, *linear.output_shape))
        count, symbols = len(self.regions), max(z.generators.shape[1] for z in inputs)
        parts = [padded(z.generators, symbols) for z in inputs]
        image = linear([p.reshape(count * symbols, *p.shape[2:]) for p in parts])
        return image.reshape(count, symbols, *linear.output_shape)

    def elementwise(self, operator: Elementwise, given: Zonotope, known: Range) -> Zonotope:
        """``slope * x + [low, high]``: the parallelogram of least width."""
        given = self._mixed(given)
        slope, (low, high) = parallelogram(operator, *known)
        generators = slope[:, None] * given.generators
        size = times(np.abs(slope), np.abs(given.centre) + given.spread() + given.box)
        return self._with_new(slope * given.centre, generators, times(np.abs(slope), given.box), low, high, size)

    def several(self, operator: Operator, inputs: Sequence[Zonotope], known: Sequence[Range]) -> Zonotope:
        """``sum_k slopes[k] * x[index[k]] + [low, high]``."""
        index, slopes, low, high = slab(operator, known)
        given = [self._mixed(z) for z in inputs]
        count, symbols = len(self.regions), max(z.generators.shape[1] for z in given)
        centre, box, spread = (_flat(parts) for parts in ([z.centre for z in given], [z.box for z in given], [z.spread() for z in given]))
        coefficients = np.concatenate([padded(z.generators, symbols).reshape(count, symbols, z.box[0].size) for z in given], axis=2)
        generators = np.zeros((count, symbols, index.shape[0]))
        for k in range(index.shape[1]):
            generators += slopes[:, None, :, k] * coefficients[:, :, index[:, k]]
        weights = np.abs(slopes)
        size = times(weights, (np.abs(centre) + spread + box)[:, index]).sum(axis=2)
        moved = times(weights, box[:, index]).sum(axis=2)
        shape = operator.output_shape(*(z.centre.shape[1:] for z in given))
        found = ((slopes * centre[:, index]).sum(axis=2), generators, moved, low, high, (index.shape[1] + 1) * size)
        return self._with_new(*(x.reshape(*x.shape[:-1], *shape) for x in found))

    def _with_new(self, centre: Array, generators: Array, box: Array, low: Array, high: Array, size: Array) -> Zonotope:
        """Adds [low, high] to a form: its middle to the centre, its radius as a symbol of its own; ``size`` bounds what was rounded."""
        middle = low / 2 + high / 2
        radius = up(np.maximum(high - middle, middle - low))
        slack = 16 * UNIT * (size + np.abs(middle)) + UNDERFLOW
        box = box * (1 + 8 * UNIT) + slack
        usable = np.isfinite(radius) & np.isfinite(middle)
        middle, box = np.where(usable, middle, 0.0), np.where(usable, box, np.inf)
        generators, left = self._new_symbols(generators, np.where(usable & (high > low), radius, 0.0))
        return _checked(centre + middle, generators, box + left, None, size + np.abs(middle))

    def _new_symbols(self, generators: Array, radius: Array) -> tuple[Array, Array]:
        """The generators with a new symbol for every number whose radius is not 0, and the radii for which there was no room."""
        count, size = len(radius), prod(radius.shape[1:])
        flat = radius.reshape(count, size)
        fresh = np.flatnonzero(flat.any(axis=0))
        symbols = self.symbols + len(fresh)
        if not len(fresh) or 8 * count * symbols * size > self._limit:
            return generators, radius
        found = np.zeros((count, symbols, size))
        found[:, : generators.shape[1]] = generators.reshape(count, generators.shape[1], size)
        found[:, self.symbols + np.arange(len(fresh)), fresh] = flat[:, fresh]
        self.symbols = symbols
        return found.reshape(count, symbols, *radius.shape[1:]), np.zeros_like(radius)


def _flat(parts: list[Array]) -> Array:
    return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)


def _checked(centre: Array, generators: Array, box: Array, widths: Array | None, size: Array) -> Zonotope:
    """The zonotope, without any knowledge where magnitudes are too large for the error bounds."""
    lost = ~((size < LARGEST) & (box < LARGEST))
    if lost.any():
        centre, box = np.where(lost, 0.0, centre), np.where(lost, np.inf, box)
        generators = np.where(lost[:, None], 0.0, generators)
        widths = None if widths is None else np.where(lost, 0.0, widths)
    return Zonotope(centre, generators, box, widths)


def parallelogram(operator: Elementwise, lower: Array, upper: Array) -> tuple[Array, Range]:
    """A slope, and a range that holds f(x) - slope * x for all x in [lower, upper]: the narrowest of a few.

    For ReLU, and where f is convex or concave, it is the chord's slope and the parallelogram has the least area (DeepZ, Theorem 3.1).
    """
    found = lines(operator, lower, upper)
    if isinstance(operator, nl.Relu):
        return found.upper_slope, _relu_rest(found.upper_slope, lower, upper)
    low, high = interval(operator, [lower], [upper])
    best = np.zeros_like(lower)
    finite = np.isfinite(lower) & np.isfinite(upper) & np.isfinite(found.lower_offset) & np.isfinite(found.upper_offset)
    row = FUNCTIONS[type(operator)](operator)
    rest: Callable[[Any, Array, Array, Array], Range] = _corner_rest if isinstance(row, Corners) else _curve_rest
    for slope in (found.lower_slope, found.upper_slope, found.lower_slope / 2 + found.upper_slope / 2):
        tried = np.where(finite, slope, 0.0)
        a, b = rest(row, tried, np.where(finite, lower, 0.0), np.where(finite, upper, 0.0))
        better = finite & (b - a < high - low)
        best, low, high = np.where(better, tried, best), np.where(better, a, low), np.where(better, b, high)
    return best, (low, high)


def _relu_rest(slope: Array, lower: Array, upper: Array) -> Range:
    """The range of max(x, 0) - slope * x for a slope in [0, 1]: it is least at 0, or wherever the sign allows, and largest at an end."""
    unknown = (lower < 0) & (upper > 0)
    low = np.where(unknown, 0.0, np.where(lower >= 0, (1 - slope) * lower, -slope * upper))
    high = np.maximum(np.where(lower < 0, -slope * lower, (1 - slope) * lower), np.where(upper > 0, (1 - slope) * upper, -slope * upper))
    exact = ((slope == 0) & (upper <= 0)) | ((slope == 1) & (lower >= 0))
    lost = np.isnan(low) | np.isnan(high)
    low, high = np.where(low == 0, 0.0, down(low - 4 * UNIT * np.abs(low))), up(high + 4 * UNIT * np.abs(high))
    return np.where(lost, -np.inf, np.where(exact, 0.0, low)), np.where(lost, np.inf, np.where(exact, 0.0, high))


def _curve_rest(row: Any, slope: Array, lower: Array, upper: Array) -> Range:
    """The range of f(x) - slope * x, from a proved offset on each side."""
    shape = lower.shape
    s, a, b = slope.ravel(), lower.ravel(), upper.ravel()
    return least(row, 1.0, s, a, b).reshape(shape), -least(row, -1.0, -s, a, b).reshape(shape)


def _corner_rest(row: Corners, slope: Array, lower: Array, upper: Array) -> Range:
    """The range of a piecewise linear f(x) - slope * x: from the ends and the corners between them."""
    low, high = np.full_like(lower, np.inf), np.full_like(lower, -np.inf)
    points = [(lower, *row.value(lower)), (upper, *row.value(upper))]
    points += [(np.full_like(lower, x), np.full_like(lower, y), np.full_like(lower, y)) for x, y in row.corners]
    for x, below, above in points:
        met = (lower <= x) & (x <= upper)
        low = np.where(met, np.minimum(low, down(below - up(slope * x))), low)
        high = np.where(met, np.maximum(high, up(above - down(slope * x))), high)
    return low, high


def slab(operator: Operator, known: Sequence[Range]) -> tuple[Positions, Array, Array, Array]:
    """For each output o slopes, and a range that holds ``y[o] - sum_k slopes[o, k] * x[index[o, k]]``; x are the flattened inputs.

    Products leave ``(x - middle) * (y - middle)``, so at most the product of the radii. Other operators take the slopes of a plane
    below or above them, or the mean of both, whichever leaves least.

    Returns:
        index (out, k), slopes (B, out, k), low and high (B, out).
    """
    if type(operator) in _PRODUCTS:
        return _product_slab(_PRODUCTS[type(operator)]([low.shape[1:] for low, _ in known]), known)
    lowers, uppers = [low for low, _ in known], [high for _, high in known]
    found = planes(operator, lowers, uppers)
    low, high = (side.reshape(len(side), -1) for side in interval(operator, lowers, uppers))
    ends = tuple(_flat(side)[:, found.index] for side in (lowers, uppers))
    best = np.zeros_like(found.lower_slopes)
    for slopes in (found.lower_slopes, found.upper_slopes, found.lower_slopes / 2 + found.upper_slopes / 2):
        a = found.lower_offset + _least_of(found.lower_slopes, slopes, *ends)
        b = found.upper_offset - _least_of(-found.upper_slopes, -slopes, *ends)
        better = np.isfinite(a) & np.isfinite(b) & (b - a < high - low)
        best = np.where(better[..., None], slopes, best)
        low, high = np.where(better, down(a), low), np.where(better, up(b), high)
    return found.index, best, low, high


def _least_of(slopes: Array, taken: Array, lower: Array, upper: Array) -> Array:
    """(B, out) at most ``sum_k (slopes - taken)[k] * x[k]`` for x in [lower, upper]; all (B, out, k)."""
    rest = slopes - taken
    terms = np.where(rest == 0, 0.0, np.minimum(rest * lower, rest * upper))
    size = (np.abs(slopes) + np.abs(taken)) * np.where(rest == 0, 0.0, np.maximum(np.abs(lower), np.abs(upper)))
    return np.asarray(terms.sum(axis=2) - 4 * gamma(slopes.shape[2]) * np.where(rest == 0, 0.0, size).sum(axis=2))


_PRODUCTS: dict[type[Operator], Callable[[Sequence[Shape]], Positions]] = {
    nl.Mul: lambda shapes: pairs(*shapes),
    nl.MatMul: lambda shapes: factors(*shapes),
}
"""Sums of products: the first half of ``index[o]`` are the left factors, the second half the right ones."""


def _product_slab(index: Positions, known: Sequence[Range]) -> tuple[Positions, Array, Array, Array]:
    low, high = _flat([low for low, _ in known])[:, index], _flat([high for _, high in known])[:, index]
    middle = low / 2 + high / 2
    radius = up(np.maximum(high - middle, middle - low))
    half = index.shape[1] // 2
    slopes = np.concatenate([middle[..., half:], middle[..., :half]], axis=2)
    both = middle[..., :half] * middle[..., half:]
    left = (radius[..., :half] * radius[..., half:]).sum(axis=2)
    size = np.abs(both).sum(axis=2)
    beyond = left + 4 * gamma(half) * (left + size) + UNDERFLOW
    constant = -both.sum(axis=2)
    found = down(constant - beyond), up(constant + beyond)
    lost: NDArray[np.bool_] = ~np.isfinite(found[0]) | ~np.isfinite(found[1]) | ~np.isfinite(slopes).all(axis=2)
    return index, np.where(lost[..., None], 0.0, slopes), np.where(lost, -np.inf, found[0]), np.where(lost, np.inf, found[1])


def zonotope_bounds(claim: Claim, regions: Regions) -> Array:
    """(parts, B) each part's bound: the rows applied to the output's zonotope, so that differences of outputs stay exact forms.

    Regions are bounded together as far as ``BYTES`` allow.
    """
    bounded = bounded_graph(claim.graph)
    graph = bounded.graph
    relaxed = sum(prod(graph.shapes[p + 1]) for p in range(len(graph.nodes)) if bounded.maps[p] is None)
    each = 8 * max(prod(s) for s in graph.shapes) * (prod(graph.input_shape) + relaxed)
    step = max(1, BYTES // max(each, 1))
    blocks = [regions.take(np.arange(begin, min(begin + step, len(regions)))) for begin in range(0, len(regions), step)]
    return np.concatenate([_part_bounds(claim, Zonotopes(bounded, block)) for block in blocks], axis=1)


def rows_of_claim(claim: Claim) -> AffineMap:
    """All rows of all parts as one affine map of the output."""
    rows = np.concatenate([part.rows for part in claim.parts])
    constants = np.concatenate([part.constants for part in claim.parts])
    return AffineMap(op.Dense(rows, constants), [claim.graph.output_shape])


def best_of_parts(claim: Claim, rows: Array) -> Array:
    """(parts, B) the greatest row of each part, from bounds (B, rows) of all rows."""
    ends = np.cumsum([len(part.rows) for part in claim.parts])[:-1]
    return np.stack([block.max(axis=1) for block in np.split(rows, ends, axis=1)])


def _part_bounds(claim: Claim, zonotopes: Zonotopes) -> Array:
    found = zonotopes.through(rows_of_claim(claim), [zonotopes.run()])
    return best_of_parts(claim, zonotopes.range_of(found)[0])
