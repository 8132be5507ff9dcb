"""One step of branch and bound for chains of dense layers and ReLUs: boxes are halved, or split by the sign of a neuron.

What matters is which relaxation costs most. The lower bound of a box's best row loses, neuron by neuron, at most its coefficient times
the largest gap between ReLU and its line (Bunel et al., 2020, https://arxiv.org/abs/1909.06588); halving an input narrows a neuron's
range by the share that this input has in it, splitting the neuron removes its loss. Whichever takes more is done. A split neuron's
linear bounds are conditions on the input from then on: together with the rows' own linear bounds they shrink the box, and multipliers
show that they cannot all be met.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from netassay.models.nonlinear import Relu
from netassay.verifiers.branch_and_bound.boxes import Boxes, Outcome, divisible, halves, shrunk
from netassay.verifiers.branch_and_bound.multipliers import combined
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.chain import Chain, ChainBounds
from netassay.verifiers.propagation.interval import Range
from netassay.verifiers.region import Positions, Regions
from netassay.verifiers.rounding import Array, down

FEW = 15
"""A neuron is split only in boxes with at most so many of unknown sign: others still fall in numbers by halving."""

CONDITIONS = 16
"""Split neurons whose bounds are followed as conditions, at most; more are no error, only weaker."""


class BoxDrift(Protocol):
    """How far evaluations may fall below the real values of a claim's rows."""

    def __call__(self, regions: Regions, ranges: Callable[[int], Range | None]) -> Array:
        """(B, rows of all parts), given known ranges (B, *shape) of some of the graph's values in each region."""
        ...

    def by_part(self, drifts: Array) -> list[Array]:
        """(B, rows of the part) for each part."""
        ...


class ChainStep:
    """Bounds and splits boxes of a claim about a chain.

    Args:
        claim: What is to be proved; its parts' rows are about the chain's output.
        chain: The claim's graph.
        drift: What is taken off the rows' bounds.
    """

    def __init__(self, claim: Claim, chain: Chain, drift: BoxDrift | None = None) -> None:
        self._claim, self._chain, self._drift = claim, chain, drift
        most = max((len(part.rows) for part in claim.parts), default=1)
        repeated = [np.resize(np.arange(len(part.rows)), most) for part in claim.parts]
        self._repeated = repeated
        self._says_nothing = np.append(np.zeros(chain.inputs), -1.0)
        self._hidden = {node.inputs[0]: k for k, node in enumerate(n for n in claim.graph.nodes if isinstance(n.operator, Relu))}
        self._rows = np.stack([part.rows[i] for part, i in zip(claim.parts, repeated, strict=True)])
        self._constants = np.stack([part.constants[i] for part, i in zip(claim.parts, repeated, strict=True)])

    def __call__(self, boxes: Boxes, goal: float, *, strict: bool) -> Outcome:
        """Bounds boxes; what is not above ``goal`` (or, unless ``strict``, at it) is cut down and split."""
        low, high = boxes.regions.corners
        bounds = ChainBounds(self._chain, low, high, self._rows[boxes.part], self._constants[boxes.part], boxes.ranges)
        taken = self._taken(boxes, bounds)
        least = bounds.lower if taken is None else down(bounds.lower - taken)
        lower = np.where(bounds.empty, np.inf, np.maximum(boxes.lower, least.max(axis=1)))
        done = np.asarray(lower > goal if strict else lower >= goal)
        forms = bounds.forms
        if goal != 0 or taken is not None:
            forms = forms.copy()
            forms[:, :, -1] = down(forms[:, :, -1] - (goal if taken is None else goal + taken))
            forms[np.isinf(forms[:, :, -1])] = self._says_nothing
        conditions = np.concatenate([forms, bounds.conditions(CONDITIONS)], axis=1)
        low, high, impossible = shrunk(low, high, conditions)
        left = np.flatnonzero(~(done | impossible))
        low, high, conditions = low[left], high[left], conditions[left]
        total, vertices = combined(conditions, low, high)
        low, high, impossible = shrunk(low, high, total[:, None])
        left, low, high, vertices = left[~impossible], low[~impossible], high[~impossible], vertices[~impossible]
        children = self._children(boxes, bounds, left, low, high, lower)
        points = self._points(bounds, left, low, high, vertices).reshape(-1, *boxes.regions.shape)
        return Outcome(min(float(lower[done].min(initial=np.inf)), np.inf if done.all() else goal), children, points)

    def _taken(self, boxes: Boxes, bounds: ChainBounds) -> Array | None:
        """(B, rows) what is taken off each box's rows; None for nothing."""
        if self._drift is None:
            return None
        shapes = self._claim.graph.shapes

        def ranges(value: int) -> Range | None:
            if value not in self._hidden:
                return None
            low, high = bounds.ranges[self._hidden[value]]
            return low.reshape(-1, *shapes[value]), high.reshape(-1, *shapes[value])

        parts = self._drift.by_part(self._drift(boxes.regions, ranges))
        every = np.stack([each[:, i] for each, i in zip(parts, self._repeated, strict=True)], axis=1)
        return np.asarray(every[np.arange(len(boxes)), boxes.part])

    def _points(self, bounds: ChainBounds, left: Positions, low: Array, high: Array, vertices: Array) -> Array:
        """Each box's middle, the point where its best form is least, and where the greatest of all forms is least."""
        best = bounds.lower[left].argmax(axis=1)
        slopes = bounds.forms[left, best, :-1]
        return np.concatenate([low / 2 + high / 2, np.where(slopes > 0, low, high), np.clip(vertices, low, high)])

    def _children(self, boxes: Boxes, bounds: ChainBounds, left: Positions, low: Array, high: Array, lower: Array) -> Boxes:
        shape = boxes.regions.lower.shape[1:]
        regions = boxes.regions.take(left).with_box(low.reshape(-1, *shape), high.reshape(-1, *shape))
        ranges = tuple((a[left], b[left]) for a, b in bounds.ranges)
        parents = Boxes(regions, boxes.part[left], lower[left], boxes.depth[left], ranges)
        losses = bounds.losses()
        effects = bounds.effects(losses)[left]
        layer, unit, loss = _greatest([each[left] for each in losses])
        by_sign = (bounds.undecided[left] <= FEW) & (loss > effects.max(axis=1, initial=0.0)) & (loss > 0)
        cut, kept = np.flatnonzero(by_sign), np.flatnonzero(~by_sign)
        by_half = halves(parents.take(kept), self._axes(effects[kept], bounds.forms[left[kept]], low[kept], high[kept]))
        return by_half.join(self._signs(parents.take(cut), bounds, left[cut], layer[cut], unit[cut]))

    def _axes(self, effects: Array, forms: Array, low: Array, high: Array) -> Positions:
        """The input that matters most: to the losses, else to the forms, else the widest."""
        widths = (high - low) * divisible(low, high)
        effects = np.where(np.isfinite(effects), effects, 0.0) * (widths > 0)
        moved = np.abs(forms[:, :, :-1]).max(axis=1) * widths
        moved = np.where(np.isfinite(moved), moved, widths)
        score = np.where(effects.max(axis=1, initial=0.0, keepdims=True) > 0, effects, moved)
        score = np.where(score.max(axis=1, initial=0.0, keepdims=True) > 0, score, widths)
        return np.asarray(score.argmax(axis=1))

    def _signs(self, parents: Boxes, bounds: ChainBounds, boxes: Positions, layer: Positions, unit: Positions) -> Boxes:
        """Both signs of each box's neuron, each with the box cut down to where its linear bounds allow it."""
        found = parents.take(boxes[:0])
        if not len(boxes):
            return found
        below, above = np.empty((len(boxes), self._chain.inputs + 1)), np.empty((len(boxes), self._chain.inputs + 1))
        for k in np.unique(layer):
            mine = np.flatnonzero(layer == k)
            below[mine], above[mine] = bounds.unit_forms(int(k), boxes[mine], unit[mine])
        for form, positive in ((below, False), (above, True)):
            low, high, empty = shrunk(*parents.regions.corners, form[:, None])
            shape = parents.regions.lower.shape
            regions = parents.regions.with_box(low.reshape(shape), high.reshape(shape))
            child = Boxes(
                regions, parents.part, parents.lower, parents.depth + 1, _signed(parents.ranges or (), layer, unit, positive=positive)
            )
            found = found.join(child.take(np.flatnonzero(~empty)))
        return found


def _greatest(losses: list[Array]) -> tuple[Positions, Positions, Array]:
    """(B,) layer, neuron and loss of the one that loses most."""
    best = np.stack([each.argmax(axis=1) for each in losses])
    most = np.stack([each.max(axis=1) for each in losses])
    most = np.where(np.isfinite(most), most, 0.0)
    layer = most.argmax(axis=0)
    boxes = np.arange(most.shape[1])
    return layer, best[layer, boxes], most[layer, boxes]


def _signed(ranges: tuple[Range, ...], layer: Positions, unit: Positions, *, positive: bool) -> tuple[Range, ...]:
    """The ranges with each box's neuron held to one sign: an end of exactly 0."""
    found = []
    for k, (low, high) in enumerate(ranges):
        mine = np.flatnonzero(layer == k)
        if len(mine):
            low, high = low.copy(), high.copy()
            (low if positive else high)[mine, unit[mine]] = 0.0
        found.append((low, high))
    return tuple(found)
