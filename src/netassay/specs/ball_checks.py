"""Checks what a user gives for a ball, and brings it into one form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netassay.errors import RegionError
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm

Array = NDArray[np.float64]

SMALLEST, LARGEST = 1e-100, 1e100
"""Limits of radius and scale (apart and as a product), so that squares neither vanish nor overflow in float64."""


def checked_ball(
    center: ArrayLike,
    radius: float,
    p: Norm,
    domain: Box | None,
    mask: ArrayLike | None,
    scale: ArrayLike | None,
    granularity: ArrayLike | None,
    one_hot: Sequence[Sequence[int]],
    group: str,
) -> dict[str, object]:
    """The fields of a ``Ball``, read-only float64 and bool arrays of the centre's shape; raises RegionError where they do not fit."""
    middle = _frozen(center, "centre")
    if middle.size == 0:
        raise RegionError(f"the centre has no features (shape {middle.shape}); give an input with at least one")
    area = _domain(domain, middle)
    free = _mask(mask, middle)
    unit = None if scale is None else _scale(scale, middle, radius)
    steps = None if granularity is None else _granularity(granularity, middle)
    blocks = _one_hot(one_hot, middle, free)
    _group(group, p, middle, blocks)
    return {
        "center": middle,
        "radius": _radius(radius, p),
        "p": p,
        "domain": area,
        "mask": free,
        "scale": unit,
        "granularity": steps,
        "one_hot": blocks,
        "group": group,
    }


def _frozen(values: ArrayLike, what: str) -> Array:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RegionError(f"the {what} of a ball must be an array of numbers; got {type(values).__name__}: {error}") from error
    if not np.isfinite(array).all():
        raise RegionError(f"the {what} of a ball must be finite; it holds {int((~np.isfinite(array)).sum())} NaN or infinite values")
    array.flags.writeable = False
    return array


def _same_shape(array: NDArray[np.generic], center: Array, what: str) -> None:
    if array.shape != center.shape:
        raise RegionError(f"the {what} of a ball has shape {array.shape}, its centre {center.shape}; give one value per feature")


def _at(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _radius(radius: float, p: Norm) -> float:
    value = float(radius)
    if not (math.isfinite(value) and SMALLEST <= value <= LARGEST):
        raise RegionError(f"the radius of a ball must be a positive finite number between {SMALLEST:g} and {LARGEST:g}; got {radius!r}")
    if p is Norm.L0 and value != int(value):
        raise RegionError(f"the radius of an L0 ball counts changed features or pixels and must be a whole number; got {radius!r}")
    return value


def _domain(domain: Box | None, center: Array) -> Box:
    if domain is None:
        return Box.unbounded(center.shape)
    _same_shape(domain.lower, center, "domain")
    outside = (center < domain.lower) | (center > domain.upper)
    if outside.any():
        at = _at(outside)
        raise RegionError(
            f"the centre lies outside the domain at feature {at}: {center[at]!r} is not in "
            f"[{domain.lower[at]!r}, {domain.upper[at]!r}]; check the input's scaling, or give its real domain"
        )
    return domain


def _mask(mask: ArrayLike | None, center: Array) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    free = np.array(mask)
    if free.dtype != np.bool_:
        raise RegionError(f"the mask of a ball must hold True (may move) or False (fixed); got dtype {free.dtype}")
    _same_shape(free, center, "mask")
    if not free.any():
        raise RegionError("the mask fixes every feature, so nothing may move; set it True for at least one")
    free.flags.writeable = False
    return free


def _scale(scale: ArrayLike, center: Array, radius: float) -> Array:
    unit = _frozen(scale, "scale")
    _same_shape(unit, center, "scale")
    with np.errstate(all="ignore"):
        reach = unit * float(radius)
    wrong = ~((unit >= SMALLEST) & (unit <= LARGEST) & (reach >= SMALLEST) & (reach <= LARGEST))
    if wrong.any() and math.isfinite(float(radius)) and float(radius) > 0:
        at = _at(wrong)
        raise RegionError(
            f"the scale of a ball must be positive (and neither it nor radius * scale below {SMALLEST:g} or above {LARGEST:g}); "
            f"got {unit[at]!r} at feature {at}"
        )
    return unit


def _granularity(granularity: ArrayLike, center: Array) -> Array:
    steps = _frozen(granularity, "granularity")
    _same_shape(steps, center, "granularity")
    if (steps < 0).any():
        at = _at(steps < 0)
        raise RegionError(f"the granularity of a feature is its step, or 0 for continuous ones; got {steps[at]!r} at feature {at}")
    return steps


def _one_hot(one_hot: Sequence[Sequence[int]], center: Array, mask: NDArray[np.bool_] | None) -> tuple[tuple[int, ...], ...]:
    values = center.reshape(-1)
    free = np.ones(center.size, dtype=np.bool_) if mask is None else mask.reshape(-1)
    blocks = tuple(tuple(int(i) for i in block) for block in one_hot)
    taken: set[int] = set()
    for block in blocks:
        if len(block) < 2 or len(set(block)) < len(block) or taken & set(block):
            raise RegionError(f"one-hot blocks need two or more features each and may not overlap; check block {block}")
        if not all(0 <= i < center.size for i in block):
            raise RegionError(f"one-hot block {block} names features outside 0..{center.size - 1}; give flat positions")
        members = values[list(block)]
        if not (np.isin(members, (0.0, 1.0)).all() and members.sum() == 1):
            raise RegionError(f"the centre must have exactly one 1 and else 0 in one-hot block {block}; got {members.tolist()}")
        if free[list(block)].any() and not free[list(block)].all():
            raise RegionError(f"the mask must free all features of one-hot block {block}, or none")
        taken |= set(block)
    return blocks


def _group(group: str, p: Norm, center: Array, blocks: tuple[tuple[int, ...], ...]) -> None:
    if group not in ("feature", "pixel"):
        raise RegionError(f"the group of a ball must be 'feature' or 'pixel'; got {group!r}")
    if group == "feature":
        return
    if p is not Norm.L0:
        raise RegionError(f"group='pixel' counts changed pixels and works with L0 only; got {p}")
    if center.ndim != 3:
        raise RegionError(f"group='pixel' needs inputs of shape (channels, height, width); got {center.shape}")
    if blocks:
        raise RegionError("group='pixel' and one-hot blocks contradict each other; use group='feature'")
