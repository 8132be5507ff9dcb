"""Which numbers of a feature map a single pixel of the input reaches: a window, whose place depends on the pixel's, its size does not.

Windows lie inside their maps: near a border they are shifted inwards, and hold numbers that the pixel does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netassay.models.operators import Shape
from netassay.verifiers.region import Positions


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """B windows of one map.

    Args:
        start: (B, 2) row and column of the first number.
        size: Rows and columns.
        shape: Rows and columns of the whole map.
    """

    start: Positions
    size: tuple[int, int]
    shape: tuple[int, int]

    @property
    def places(self) -> Positions:
        """(B, P) places of the window's numbers in the whole map, row by row."""
        rows, columns = (self.start[:, axis, None] + np.arange(self.size[axis]) for axis in (0, 1))
        return (rows[:, :, None] * self.shape[1] + columns[:, None, :]).reshape(len(self.start), -1)


@dataclass(frozen=True, slots=True)
class Sliding:
    """How a convolution or pooling slides over (rows, columns); two numbers each."""

    kernel: Shape
    strides: Shape
    begins: Shape
    dilations: Shape


def slid(window: Window, sliding: Sliding, shape: tuple[int, int]) -> tuple[Window, Positions]:
    """The window of the results that read anything of a window, and what each of them reads.

    Args:
        window: Of the map that is read.
        sliding: How.
        shape: Rows and columns of the map of results.

    Returns:
        The window, and (B, P, k) for each of its numbers and each entry of the kernel the position in the window that is read;
        ``size[0] * size[1]`` where that lies outside the window, in the map or in its padding.
    """
    begins, sizes, reads = [], [], []
    for axis in (0, 1):
        k, stride, begin, dilation = (getattr(sliding, name)[axis] for name in ("kernel", "strides", "begins", "dilations"))
        first = window.start[:, axis] + begin
        low = np.clip(-((dilation * (k - 1) - first) // stride), 0, shape[axis] - 1)
        high = np.clip((first + window.size[axis] - 1) // stride, 0, shape[axis] - 1)
        size = int((high - low).max(initial=0)) + 1
        low = np.minimum(low, shape[axis] - size)
        begins.append(low)
        sizes.append(size)
        results = low[:, None] + np.arange(size)
        reads.append(results[:, :, None] * stride + np.arange(k) * dilation - begin - window.start[:, axis, None, None])
    (rows, columns), outside = reads, window.size[0] * window.size[1]
    inside = (rows >= 0) & (rows < window.size[0]), (columns >= 0) & (columns < window.size[1])
    at = rows[:, :, None, :, None] * window.size[1] + columns[:, None, :, None, :]
    at = np.where(inside[0][:, :, None, :, None] & inside[1][:, None, :, None, :], at, outside)
    found = Window(np.stack(begins, axis=1), (sizes[0], sizes[1]), shape)
    return found, at.reshape(len(at), sizes[0] * sizes[1], -1)
