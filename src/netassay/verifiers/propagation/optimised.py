"""Optimised linear bounds (alpha-CROWN, Xu et al., 2021, https://arxiv.org/abs/2011.13824): the slopes that make a bound largest.

The lower slopes of undecided ReLUs are variables of every single bound: of each number of an intermediate value, twice, and of each row
of the claim. Projected gradient ascent (Adam) finds them in float32; the bounds themselves are then computed by ``LinearBounds`` with
these slopes, every rounding bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import BoundedGraph, Range
from netassay.verifiers.propagation.passes import Back, Passes
from netassay.verifiers.propagation.root import Root
from netassay.verifiers.propagation.steered import Rows, Steered, allowed, left_slope
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array


@dataclass(frozen=True, slots=True)
class Ascent:
    """How slopes and multipliers are searched.

    Args:
        steps: Gradient steps.
        slope_rate, multiplier_rate: Adam's first step sizes; a multiplier's in units of its group's mean coefficient.
        final: The share of both that is left at the last step; they fall geometrically.
        mixed: Whether the rows' own coefficients are weights of a mean that may shift (parts with several rows).
    """

    steps: int = 20
    slope_rate: float = 0.25
    multiplier_rate: float = 0.4
    final: float = 0.05
    mixed: bool = False


class _Adam:
    """Moments of one array of variables (Kingma and Ba, 2015)."""

    def __init__(self, like: Tensor) -> None:
        self._first, self._second, self._count = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient: Tensor) -> Tensor:
        self._count += 1
        self._first.lerp_(gradient, 0.1)
        self._second.mul_(0.99).addcmul_(gradient, gradient, value=0.01)
        first, second = self._first / (1 - 0.9**self._count), self._second / (1 - 0.99**self._count)
        return first / (second.sqrt_() + 1e-12)

    def keep(self, positions: Tensor) -> None:
        self._first, self._second = self._first[positions], self._second[positions]


def ascend(
    steered: Steered, rows: Rows, options: Ascent, target: float = np.inf, over: Callable[[], bool] = lambda: False
) -> tuple[Tensor, Rows]:
    """The largest bounds (R,) found, up to rounding, and the choices that give them.

    Rows whose bound exceeds ``target`` are followed no further.
    """
    best = torch.full((len(rows),), -torch.inf)
    kept = Rows(
        rows.start.clone(), rows.slope.clone(), rows.code, rows.low, rows.high, None if rows.multiplier is None else rows.multiplier.clone()
    )
    if not len(rows):
        return best, kept
    now, active = rows.take(torch.arange(len(rows))), torch.arange(len(rows))
    slopes = _Adam(now.slope)
    multipliers = None if now.multiplier is None else _Adam(now.multiplier)
    upper = steered.upper_sides(now)
    scale: Tensor | None = None
    for step in range(options.steps + 1):
        back = steered.back(now, upper)
        better = back.lower > best[active]
        _note(kept, now, best, back.lower, active, better)
        going = torch.nonzero(best[active] <= target).flatten()
        if step == options.steps or not len(going) or over():
            break
        gradients = steered.gradients(now, back)
        if multipliers is not None and scale is None:
            scale = _scales(steered, back, now)
        rate = options.final ** (step / options.steps)
        now.slope = (now.slope + options.slope_rate * rate * slopes.direction(gradients.slope)).clamp_(0, 1)
        if multipliers is not None and now.multiplier is not None and gradients.multiplier is not None and scale is not None:
            moved = now.multiplier + options.multiplier_rate * rate * scale * multipliers.direction(gradients.multiplier)
            now.multiplier = allowed(moved, now.code)
        if options.mixed:
            now.start = _shifted(now.start, gradients.values[steered.value], rate)
        if len(going) < 0.7 * len(active):
            now, active = now.take(going), active[going]
            slopes.keep(going)
            if multipliers is not None and scale is not None:
                multipliers.keep(going)
                scale = scale[going]
            upper = steered.upper_sides(now)
    return best, kept


def _note(kept: Rows, now: Rows, best: Tensor, lower: Tensor, active: Tensor, better: Tensor) -> None:
    """Remembers the choices of the rows that improved."""
    where = active[better]
    best[where] = lower[better]
    kept.slope[where] = now.slope[better]
    kept.start[where] = now.start[better]
    if kept.multiplier is not None and now.multiplier is not None:
        kept.multiplier[where] = now.multiplier[better]


def _scales(steered: Steered, back: Back, rows: Rows) -> Tensor:
    """(R, U) mean coefficient of each group in each row: the size of useful multipliers."""
    scale = torch.zeros_like(rows.slope)
    for group in steered.groups:
        for position, _ in group.readers:
            if position in back.coefficients:
                size = back.coefficients[position].flatten(1).abs().mean(1, keepdim=True)
                scale[:, group.columns] = torch.maximum(scale[:, group.columns], size)
    return scale


def _shifted(weights: Tensor, values: Tensor, rate: float) -> Tensor:
    """Weights of a mean moved towards the larger values (exponentiated gradient); a weight of 0 stays 0."""
    mean = (weights * values).sum(1, keepdim=True)
    gap = torch.where(weights > 0, values - mean, 0.0)
    size = gap.abs().amax(1, keepdim=True).clamp(min=1e-30)
    moved = weights * torch.exp(0.5 * rate * gap / size)
    return moved / moved.sum(1, keepdim=True)


def optimised_ranges(
    bounded: BoundedGraph, region: Regions, ranges: list[Range | None], options: Ascent, limits: Limits, seconds: float = np.inf
) -> list[Range | None]:
    """Tighter ranges (1, *shape) of the values that nonlinear nodes read, layer by layer, each with those before it.

    Args:
        bounded: The graph.
        region: A single region.
        ranges: Proved ranges of those values.
        options: Of the ascent.
        limits: Time, and bytes for the rows of one value.
        seconds: No value is begun after this time.
    """
    begun, passes, found = limits.clock.elapsed, Passes(bounded, region), list(ranges)
    for value in sorted(bounded.relaxed - {0}):
        if limits.over or limits.clock.elapsed - begun > seconds:
            break
        steered = Steered(bounded, region, found, passes, value)
        if steered.neurons:
            found[value] = _tightened(steered, options, limits, begun + seconds)
    return found


def _tightened(steered: Steered, options: Ascent, limits: Limits, deadline: float) -> Range:
    value, (low, high) = steered.value, (np.array(side) for side in steered.range(steered.value))
    shape = steered.bounded.graph.shapes[value]
    size = prod(shape)
    bounds = {1.0: low.reshape(-1), -1.0: high.reshape(-1)}
    undecided = np.flatnonzero((bounds[1.0] < 0) & (bounds[-1.0] > 0) if is_kinked(steered.bounded, value) else bounds[1.0] < bounds[-1.0])
    numbers = 8 * steered.neurons + 4 * sum(prod(s) for s in steered.bounded.graph.shapes[: value + 1])
    block = max(1, min(512, limits.memory // (4 * numbers)))
    for sign in (1.0, -1.0):
        for begin in range(0, len(undecided), block):
            if limits.over or limits.clock.elapsed > deadline:
                return low, high
            units = undecided[begin : begin + block]
            if sign < 0:
                units = units[bounds[1.0][units] < 0] if is_kinked(steered.bounded, value) else units
            start = torch.zeros(len(units), size)
            start[torch.arange(len(units)), torch.from_numpy(units)] = sign
            rows = steered.rows(start.reshape(-1, *shape))
            target = 0.0 if is_kinked(steered.bounded, value) else np.inf
            _, best = ascend(steered, rows, options, target, lambda: limits.over)
            proved = steered.prove(best)
            bounds[sign][units] = np.maximum(bounds[1.0][units], proved) if sign > 0 else np.minimum(bounds[-1.0][units], -proved)
    return low, high


def is_kinked(bounded: BoundedGraph, value: int) -> bool:
    """Whether all nonlinear readers of a value are linear on both sides of 0."""
    readers = [n.operator for n in bounded.graph.nodes if value in n.inputs]
    return all(left_slope(o) is not None or o.linear for o in readers)


@dataclass(frozen=True, slots=True)
class AlphaCrown:
    """Optimised linear bounds over the whole region; incomplete.

    Args:
        steps: Gradient steps for the claim's rows.
        tighten: Gradient steps for every intermediate range; 0 to keep those of the usual slopes.
    """

    steps: int = 40
    tighten: int = 20

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings: by the usual slopes, by optimised rows, by optimised ranges and rows."""
        root = Root.of(task.claim, task.region)
        yield self._finding(root)
        if task.claim.holds(root.least):
            return
        root.optimise(Ascent(self.steps), task.limits)
        yield self._finding(root, last=not self.tighten)
        if self.tighten and not task.claim.holds(root.least):
            root.tighten(Ascent(self.tighten), task.limits)
            root.optimise(Ascent(self.steps), task.limits)
            yield self._finding(root, last=True)

    def _finding(self, root: Root, *, last: bool = False) -> Finding:
        lower = root.least
        holds = root.claim.holds(lower)
        return Finding(lower, proved=holds, reason="incomplete" if last and not holds else "")


def optimised_bounds(claim: Claim, regions: Regions, *, steps: int = 40, tighten: int = 20) -> Array:
    """(parts, B) lower bounds of each part over each region, one region after the other."""
    found = []
    for i in range(len(regions)):
        root = Root.of(claim, regions.take(np.array([i])))
        if not all(claim.holds(v) for v in root.lower) and tighten:
            root.tighten(Ascent(tighten), Limits())
        found.append(root.optimise(Ascent(steps), Limits()))
    return np.stack(found, axis=1)
