"""Points to start from: what the caller knows already, as arrays or earlier answers, brought into the region of a problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.assessment.rounding import representable
from netassay.errors import DataError
from netassay.numerics.box import Box
from netassay.results.answer import Answer
from netassay.results.codec import witnesses
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball

Array = NDArray[np.float64]

Starts = ArrayLike | Answer | Sequence[Answer]
"""Points (w, *input_shape) or a single one, or the witnesses of one or several earlier answers."""


@dataclass(frozen=True, eq=False)
class StartPoints:
    """Start points of one problem.

    Args:
        points: (w, *input_shape), each inside the region and in numbers that the network's dtype holds.
        moved: How many of them lay outside the region, and were brought to its nearest point.
    """

    points: Array
    moved: int = 0


def start_array(starts: Starts | None, shape: tuple[int, ...]) -> Array:
    """(w, *shape) points of whatever the caller gave for one input, each point once; none for None.

    Raises:
        DataError: If an array has another shape, or holds NaN, infinity or no numbers.
    """
    if starts is None:
        return np.zeros((0, *shape))
    answers = _answers(starts)
    given = starts if answers is None else [np.asarray(w.point, dtype=np.float64) for answer in answers for w in witnesses(answer)]
    points = _numbers(given)
    if points.size == 0 and (answers is not None or points.shape[:1] == (0,)):
        return np.zeros((0, *shape))
    if points.shape == shape:
        points = points[None]
    if points.shape[1:] != shape:
        raise DataError(f"start points of shape {points.shape} do not fit a network of input shape {shape}; give (points, *input_shape)")
    return _each_once(points)


def starts_by_index(starts: Starts | Sequence[Starts | None] | None, indices: Sequence[int], shape: tuple[int, ...]) -> dict[int, Array]:
    """Start points of each of several inputs, by its index in the data set.

    Args:
        starts: Earlier answers, which belong to the input of their index; or (also where answers have none) one entry per input, in
            their order: a point, several points (w, *shape), earlier answers or None.
        indices: The inputs' positions in their data set.
        shape: The network's input shape.
    Raises:
        DataError: If there are not as many entries as inputs, or one is of a wrong shape.
    """
    if starts is None:
        return {}
    answers = _answers(starts)
    if answers is not None and any(a.index is not None for a in answers):
        return {i: start_array([a for a in answers if a.index == i], shape) for i in indices}
    entries = starts if isinstance(starts, np.ndarray | Sequence) else np.asarray(starts)
    if len(entries) != len(indices):
        raise DataError(f"starts for {len(entries)} inputs were given and {len(indices)} inputs are asked about; give one entry per input")
    return {i: start_array(entry, shape) for i, entry in zip(indices, entries, strict=True)}


def fitted(problem: Problem, points: Array) -> StartPoints:
    """The points of a problem's region that are nearest to ``points`` (w, *input_shape), in numbers that the network's dtype holds.

    Points of the region stay as they are, up to that rounding.

    Raises:
        DataError: If a point lies outside the input domain.
    """
    region, dtype = problem.region, problem.network.dtype
    domain = problem.network.domain if isinstance(region, Box) else region.domain
    _require_domain(points, domain)
    if not len(points):
        return StartPoints(points)
    rounded = representable(points, domain, dtype)
    inside = region.contains(points) | region.contains(rounded)
    placed = _in_box(region, rounded, dtype) if isinstance(region, Box) else _in_ball(region, rounded, dtype)
    return StartPoints(placed, int((~inside).sum()))


def _answers(starts: object) -> list[Answer] | None:
    """The answers, where the caller gave one or a sequence of them."""
    if isinstance(starts, Answer):
        return [starts]
    if isinstance(starts, Sequence) and len(starts) and all(isinstance(s, Answer) for s in starts):
        return list(starts)
    return None


def _numbers(given: object) -> Array:
    try:
        points = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"start points must be an array of numbers, or earlier answers; got {type(given).__name__}: {error}") from error
    if not np.isfinite(points).all():
        raise DataError(f"start points must be finite; {int((~np.isfinite(points)).sum())} of their numbers are NaN or infinite")
    return points


def _each_once(points: Array) -> Array:
    """The points without repetitions, in their order."""
    _, first = np.unique(points.reshape(len(points), -1), axis=0, return_index=True)
    return points[np.sort(first)]


def _require_domain(points: Array, domain: Box) -> None:
    outside = np.argwhere((points < domain.lower) | (points > domain.upper))
    if not len(outside):
        return
    at = tuple(int(i) for i in outside[0])
    raise DataError(
        f"start point {at[0]} lies outside the input domain: feature {at[1:]} is {points[at]:.10g}, allowed are "
        f"{domain.lower[at[1:]]:.10g} to {domain.upper[at[1:]]:.10g}; give whole inputs in the model's units, or the right domain"
    )


def _in_box(box: Box, points: Array, dtype: str) -> Array:
    return representable(np.clip(points, box.lower, box.upper), box, dtype)


def _in_ball(ball: Ball, points: Array, dtype: str) -> Array:
    return np.asarray(ball.rounded(ball.project(points), dtype), dtype=np.float64)
