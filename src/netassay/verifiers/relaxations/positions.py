"""Which inputs each output of an operator with several reads: positions in the concatenation of the flattened inputs."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from netassay.models.nonlinear import MaxPool
from netassay.models.operators import Shape, broadcast
from netassay.verifiers.relaxations.base import Array

Index = NDArray[np.intp]

PADDING = -1
"""Stands for a padded position, which no input fills."""


def gathered(bounds: list[Array], index: Index, padding: float = np.nan) -> Array:
    """The bounds (B, *shape_i) at ``index`` (out, k): (B, out, k), ``padding`` at padded positions."""
    flat = np.concatenate([b.reshape(len(b), -1) for b in bounds], axis=1)
    return np.where(index == PADDING, padding, flat[:, index])


def pairs(left: Shape, right: Shape) -> Index:
    """(out, 2): the entries of two tensors that meet when they are broadcast."""
    shape = broadcast(left, right)
    first, second = _numbered(left), _numbered(right) + prod(left)
    return np.stack([np.broadcast_to(x, shape).ravel() for x in (first, second)], axis=-1)


def _numbered(shape: Shape) -> Index:
    return np.arange(prod(shape), dtype=np.intp).reshape(shape)


def reductions(shape: Shape, axes: Shape) -> Index:
    """(out, k): the entries that are reduced into each output."""
    rest = tuple(a for a in range(len(shape)) if a not in axes)
    return _numbered(shape).transpose(*rest, *axes).reshape(prod(shape[a] for a in rest), -1)


def windows(pool: MaxPool, shape: Shape) -> Index:
    """(out, k): the entries under each window, ``PADDING`` outside."""
    padded = np.pad(_numbered(shape), [(0, 0), *zip(pool.begins, pool.ends, strict=True)], constant_values=PADDING)
    axes = len(pool.kernel)
    spans = tuple(d * (k - 1) + 1 for d, k in zip(pool.dilations, pool.kernel, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(1, 1 + axes)))
    steps = tuple(slice(None, None, s) for s in pool.strides)
    kept = views[(slice(None), *steps, *(slice(None, None, d) for d in pool.dilations))]
    return np.ascontiguousarray(kept.reshape(-1, prod(pool.kernel)))


def factors(left: Shape, right: Shape) -> Index:
    """(out, 2 k): the row of the left and the column of the right matrix that each entry of a product reads."""
    leading = broadcast(left[:-2], right[:-2])
    m, k, n = left[-2], left[-1], right[-1]
    rows = np.broadcast_to(_numbered(left), (*leading, m, k))[..., :, None, :]
    columns = np.broadcast_to(_numbered(right) + prod(left), (*leading, k, n)).swapaxes(-1, -2)[..., None, :, :]
    shape = (*leading, m, n, k)
    return np.concatenate([np.broadcast_to(rows, shape), np.broadcast_to(columns, shape)], axis=-1).reshape(-1, 2 * k)
