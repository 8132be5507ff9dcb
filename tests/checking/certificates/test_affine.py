"""Single rows of maps over windows are what unit vectors give when they are pushed back."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.linear_operators import affine
from netassay.models import operators as op
from netassay.models.operators import LinearOperator, Shape

rng = np.random.default_rng(0)


def convolution(groups: int, strides: Shape, begins: Shape, ends: Shape, dilations: Shape) -> LinearOperator:
    kernel = (2, 3) if len(strides) == 2 else (3,)
    return op.Convolution(rng.standard_normal((4, 4 // groups, *kernel)), rng.standard_normal(4), strides, begins, ends, dilations, groups)


MAPS: list[tuple[LinearOperator, Shape]] = [
    (convolution(1, (1, 1), (0, 0), (0, 0), (1, 1)), (4, 5, 6)),
    (convolution(2, (2, 1), (1, 2), (0, 1), (1, 1)), (4, 5, 6)),
    (convolution(4, (1, 2), (1, 0), (2, 3), (2, 1)), (4, 5, 6)),
    (convolution(2, (3,), (1,), (1,), (2,)), (4, 11)),
    (op.AveragePool((2, 2), (1, 2), (1, 0), (0, 1), np.array(4.0)), (3, 4, 5)),
    (op.AveragePool((3, 2), (2, 2), (1, 1), (1, 1), np.array([[2.0, 3.0, 2.0], [6.0, 5.0, 6.0], [2.0, 3.0, 2.0]])), (3, 5, 4)),
]


@pytest.mark.parametrize("which", range(len(MAPS)))
@pytest.mark.parametrize("exact", [False, True])
def test_rows_are_those_of_unit_vectors(which: int, exact: bool) -> None:
    operator, shape = MAPS[which]
    output = operator.output_shape(shape)
    mapped, size = affine(Arithmetic(exact), operator, [shape], output, "a"), prod(output)
    unit, sign = np.arange(size)[::-1], np.where(np.arange(size) % 3, 1, -1)
    ones = mapped.arithmetic.zeros(size, size)
    ones[np.arange(size), unit] = sign
    assert mapped.rows(unit, sign).tolist() == mapped.adjoint(ones).tolist()
    assert mapped.rows(unit[:0], sign[:0]).shape == (0, prod(shape))
