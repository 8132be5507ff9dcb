"""Which features reach which values of a graph, and the graph's affine maps as sparse matrices.

Where a value does not depend on a feature, changing the feature does not change it: that is a matter of which weights are zero, and
no rounding enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array, hstack, vstack

from netassay.errors import CapabilityError
from netassay.models.nonlinear import Elementwise
from netassay.models.operators import AddConstant, ChannelAffine, Convolution, LinearOperator, MulConstant, Reshape, Shape
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.interval import BoundedGraph
from netassay.verifiers.rounding import Array, gamma, underflows

CHUNK = 1 << 21
"""Most numbers of the dense rows that a sparse matrix is made from at once."""

MOST_WEIGHTS = 20_000_000
"""Most weights of one map: beyond, this way of bounding does not pay."""

MOST_PLACES = 50_000_000
"""Most pairs of a group of features and a number of one value."""

SCALING = (AddConstant, ChannelAffine, MulConstant)
"""Maps that scale each number by itself, where they keep the shape."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The claim's rows as linear forms of the last values that are not linear in others, and of the input.

    ``row . y = sum over values v of <coefficients[v], v> + constant``, where each coefficient is off by at most ``errors[v]``.

    Args:
        coefficients, errors: By value: (R, n_v).
    """

    coefficients: dict[int, Array]
    errors: dict[int, Array]


def matrix(affine: AffineMap) -> csr_array:
    """(outputs, inputs) the exact weights of an affine map, several inputs side by side."""
    return _matrix(affine.operator, affine.shapes)


@lru_cache(maxsize=64)
def _matrix(operator: LinearOperator, shapes: tuple[Shape, ...]) -> csr_array:
    if isinstance(operator, Convolution):
        return _convolution(operator, shapes[0])
    affine = AffineMap(operator, shapes)
    if isinstance(operator, Reshape) or (isinstance(operator, SCALING) and shapes == (affine.output_shape,)):
        (factors,) = affine.adjoint(np.ones((1, *affine.output_shape)))
        return csr_array(diags_array(factors.reshape(-1), format="csr"))
    outputs, sizes = prod(affine.output_shape), [prod(s) for s in shapes]
    if not shapes:
        return csr_array((outputs, 0))
    step = max(1, CHUNK // max(outputs, sum(sizes)))
    parts, weights = [], 0
    for begin in range(0, outputs, step):
        rows = np.zeros((min(step, outputs - begin), outputs))
        rows[np.arange(len(rows)), begin + np.arange(len(rows))] = 1.0
        found = affine.adjoint(rows.reshape(-1, *affine.output_shape))
        parts.append(hstack([csr_array(part.reshape(len(rows), -1)) for part in found], format="csr"))
        weights += parts[-1].nnz
        if weights > MOST_WEIGHTS:
            raise CapabilityError(f"{operator.name} has more than {MOST_WEIGHTS} weights: too many to follow single features through it")
    return csr_array(vstack(parts, format="csr"))


def _convolution(operator: Convolution, shape: Shape) -> csr_array:
    """A convolution's weights, kernel entry by kernel entry: where in the input each window's entry lies, if inside."""
    weight = np.asarray(operator.weight, dtype=np.float64)
    (outputs, per_group, *kernel), windows = weight.shape, operator.output_shape(shape)[1:]
    if weight.size * prod(windows) > MOST_WEIGHTS:
        raise CapabilityError(f"a convolution of more than {MOST_WEIGHTS} weights: too many to follow single features through it")
    channels = np.arange(outputs)[:, None] // (outputs // operator.groups) * per_group + np.arange(per_group)
    rows: list[NDArray[np.generic]] = []
    columns: list[NDArray[np.generic]] = []
    entries: list[NDArray[np.generic]] = []
    for offset in np.ndindex(*kernel):
        inside, place = np.ones(windows, dtype=np.bool_), np.zeros(windows, dtype=np.intp)
        axes = zip(offset, operator.strides, operator.dilations, operator.begins, shape[1:], strict=True)
        for axis, (k, stride, dilation, begin, size) in enumerate(axes):
            at = np.arange(windows[axis]) * stride + k * dilation - begin
            at = at.reshape([-1 if i == axis else 1 for i in range(len(windows))])
            inside &= (at >= 0) & (at < size)
            place = place * size + at
        window, where = np.flatnonzero(inside), place[inside]
        one = (np.arange(outputs)[:, None, None] * prod(windows) + window, channels[..., None] * prod(shape[1:]) + where)
        both = np.broadcast_arrays(*one, weight[(slice(None), slice(None), *offset)][..., None])
        for part, found in zip((rows, columns, entries), both, strict=True):
            part.append(found.reshape(-1))
    kept = np.concatenate(entries)
    place_of = (np.concatenate(rows), np.concatenate(columns))
    found = csr_array(coo_array((kept, place_of), shape=(outputs * prod(windows), prod(shape))))
    found.eliminate_zeros()
    return found


def reached(bounded: BoundedGraph, groups: Bools) -> list[Bools]:
    """For every value, which of its numbers (g, n_v) each group of features reaches; ``groups`` (g, n) are the features themselves.

    Raises:
        CapabilityError: If an operator of several inputs is not linear, or the network is too large.
    """
    if len(groups) * max(prod(shape) for shape in bounded.graph.shapes) > MOST_PLACES:
        raise CapabilityError("the network is too large to follow every single feature through it")
    for position, node in enumerate(bounded.graph.nodes):
        if bounded.maps[position] is None and not isinstance(node.operator, Elementwise):
            raise CapabilityError(f"single features are not followed through {node.operator.name}")
    found = [groups]
    for position, node in enumerate(bounded.graph.nodes):
        affine = bounded.maps[position]
        if affine is None:
            found.append(found[node.inputs[0]])
            continue
        weights = matrix(affine)
        if not node.inputs:
            found.append(np.zeros((len(groups), weights.shape[0]), dtype=np.bool_))
            continue
        structure = csr_array((np.ones(weights.nnz), weights.indices, weights.indptr), shape=weights.shape)
        inputs = np.concatenate([found[i] for i in node.inputs], axis=1)
        found.append((structure @ inputs.T.astype(np.float64)).T > 0)
    return found


def tail(bounded: BoundedGraph, claim: Claim) -> Tail:
    """The claim's rows brought back to where the graph stops being linear, every rounding bounded."""
    rows = np.concatenate([part.rows for part in claim.parts])
    pending = {bounded.output: (rows, np.abs(rows), 0.0)}
    coefficients, errors = {}, {}
    for value in range(bounded.output, -1, -1):
        if value not in pending:
            continue
        exact, size, share = pending.pop(value)
        affine = bounded.maps[value - 1] if value else None
        if affine is None:
            coefficients[value] = exact.reshape(len(rows), -1)
            errors[value] = (2 * share * size).reshape(len(rows), -1)
            continue
        weights, begin = matrix(affine), 0
        if underflows(weights.data, size):
            raise CapabilityError("weights of consecutive layers are too small for their products")
        share += gamma(affine.terms)
        down = (weights.T @ exact.reshape(len(rows), -1).T).T
        up = (abs(weights).T @ size.reshape(len(rows), -1).T).T
        for i, s in zip(bounded.graph.nodes[value - 1].inputs, affine.shapes, strict=True):
            width = prod(s)
            _collect(pending, i, down[:, begin : begin + width], up[:, begin : begin + width], share)
            begin += width
    return Tail(coefficients, errors)


def _collect(pending: dict[int, tuple[Array, Array, float]], value: int, exact: Array, size: Array, share: float) -> None:
    if value in pending:
        before, large, most = pending[value]
        exact, size, share = exact + before.reshape(exact.shape), size + large.reshape(size.shape), max(share, most) + gamma(2)
    pending[value] = (exact, size, share)
