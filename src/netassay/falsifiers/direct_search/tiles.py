"""Nested groups of features, coarse to fine: tiles of an image, random groups of anything else."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netassay.falsifiers.space import Space

SMALLEST_IMAGE = 8
"""Flat inputs of c * side * side features, c = 1 or 3, are read as images from this side on: tiles are a guess that costs nothing."""


def levels(space: Space, generator: torch.Generator) -> list[Tensor]:
    """Groupings of the free features, each (k,) the group of every feature, numbered from 0; the last has one feature a group.

    An image (channels, height, width) is cut into squares, each half as wide as before, channel by channel; other inputs into
    random groups, four times as many each time, drawn from ``generator``.
    """
    image = _image(space)
    if image is not None:
        return _tiles(image, space.free)
    order = torch.randperm(space.dimension, generator=generator, device=space.device)
    found, count = [], 4
    while count < space.dimension:
        groups = torch.empty_like(order)
        groups[order] = torch.arange(space.dimension, device=space.device) * count // space.dimension
        found.append(groups)
        count *= 4
    return [*found, torch.arange(space.dimension, device=space.device)]


def count(groups: Tensor) -> int:
    """Number of groups."""
    return int(groups.max()) + 1


def _image(space: Space) -> tuple[int, int, int] | None:
    if len(space.shape) == 3 and min(space.shape[1:]) >= 4:
        return space.shape[0], space.shape[1], space.shape[2]
    for channels in (1, 3):
        side = math.isqrt(space.size // channels)
        if side >= SMALLEST_IMAGE and channels * side * side == space.size:
            return channels, side, side
    return None


def _tiles(image: tuple[int, int, int], free: Tensor) -> list[Tensor]:
    channels, height, width = image
    place = torch.arange(channels * height * width, device=free.device)[free]
    channel, row, column = place // (height * width), place // width % height, place % width
    found, side = [], max(height, width)
    while side > 1:
        side = (side + 1) // 2
        rows, columns = math.ceil(height / side), math.ceil(width / side)
        tile = (channel * rows + row // side) * columns + column // side
        found.append(torch.unique(tile, return_inverse=True)[1])
    return found
