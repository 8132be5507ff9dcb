"""Array layouts: flat, channels-last and missing-channel data brought to a model's input shape, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError

Shape = tuple[int, ...]


def to_input_shape(batch: NDArray[Any], shape: Shape) -> tuple[NDArray[Any], str]:
    """The batch (N, ...) in the model's layout (N, *shape), and what was done in words ("" if nothing).

    Only changes with one possible meaning are made: axes of length 1 added or dropped, channels moved
    from last to first, rows of an image joined or cut (row by row). A flat image with several channels has two
    usual orders and is refused.

    Raises:
        DataError: If the shapes do not fit, or fit in more than one way.
    """
    came = batch.shape[1:]
    if came == shape:
        return batch, ""
    if _without_ones(came) == _without_ones(shape) or _is_rows_joined(came, shape):
        return batch.reshape(len(batch), *shape), f"inputs of shape {came} are read as {shape}, row by row"
    if len(came) == len(shape) == 3 and (came[2], came[0], came[1]) == shape:
        return np.ascontiguousarray(np.moveaxis(batch, -1, 1)), f"channels-last inputs {came} are read as {shape}"
    raise DataError(_mismatch(came, shape))


def channels_first(shape: Shape) -> Shape:
    """The shape of a picture with its channels in front, where the last axis can only be channels: (h, w, 1) or (h, w, 3)."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3) else shape


def _without_ones(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


def _is_rows_joined(came: Shape, shape: Shape) -> bool:
    """Whether one is a flat row and the other a plane (height, width) of as many numbers."""
    axes = sorted((len(_without_ones(came)), len(_without_ones(shape))))
    return axes == [1, 2] and int(np.prod(came)) == int(np.prod(shape))


def _mismatch(came: Shape, shape: Shape) -> str:
    numbers, wanted = int(np.prod(came)), int(np.prod(shape))
    if numbers != wanted:
        hint = "; if one column is the label, name it 'label'" if len(came) == 1 and numbers == wanted + 1 else ""
        return f"each input has shape {came} ({numbers} numbers); the model takes {shape} ({wanted} numbers){hint}"
    target = ", ".join(map(str, ("N", *shape)))
    return f"each input has shape {came}, the model takes {shape}: they fit in more than one order; reshape the data to ({target})"
