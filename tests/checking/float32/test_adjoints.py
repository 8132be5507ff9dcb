"""Sensitivities enclose the gradients that automatic differentiation finds at any point of the box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.checking.float32.adjoints import ADJOINTS, Sensitivity
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.operators import Operator, Shape
from netassay.models.torch_operators import EVALUATORS

RNG = np.random.default_rng(0)
ROUNDING = 1e-12
"""Of the reference itself."""

CASES: list[tuple[Operator, tuple[Shape, ...]]] = [
    (op.Dense(RNG.standard_normal((4, 3)), np.ones(4)), ((3,),)),
    (op.Dense(RNG.standard_normal((4, 3)), np.ones(4)), ((2, 3),)),
    (op.Convolution(RNG.standard_normal((4, 1, 3, 2)), np.ones(4), (2, 1), (1, 0), (0, 1), (1, 2), 2), ((2, 7, 6),)),
    (op.AveragePool((2, 3), (1, 2), (1, 0), (0, 1), np.full((), 6.0)), ((2, 5, 6),)),
    (op.AddConstant(np.ones(3)), ((3,),)),
    (op.MulConstant(RNG.standard_normal((2, 1))), ((2, 3),)),
    (op.DivConstant(RNG.standard_normal(3)), ((2, 3),)),
    (op.ChannelAffine(RNG.standard_normal(2), np.ones(2)), ((2, 3),)),
    (op.Reshape((6,)), ((2, 3),)),
    (op.Transpose((2, 0, 1)), ((2, 3, 4),)),
    (op.Sum((1,)), ((2, 3),)),
    (op.Mean((0, 2), keep=True), ((2, 3, 2),)),
    (op.Add(), ((2, 3), (2, 3))),
    (op.Sub(), ((2, 3), (2, 3))),
    (nl.Relu(), ((6,),)),
    (nl.LeakyRelu(0.2), ((6,),)),
    (nl.LeakyRelu(1.5), ((6,),)),
    (nl.Sigmoid(), ((6,),)),
    (nl.Tanh(), ((6,),)),
]


def test_every_rule_has_a_case() -> None:
    assert {type(operator) for operator, _ in CASES} == set(ADJOINTS)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: CASES[i][0].name)
@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_gradients_lie_within(case: int, radius: float) -> None:
    operator, shapes = CASES[case]
    rng = np.random.default_rng(case)
    boxes = 3
    middles = [rng.standard_normal((boxes, *shape)) for shape in shapes]
    rows = rng.standard_normal((boxes, 4, *operator.output_shape(*shapes)))
    rows_radius = np.abs(rng.standard_normal(rows.shape)) * radius
    ranges = [(m - radius, m + radius) for m in middles]
    found = ADJOINTS[type(operator)](operator, Sensitivity(rows, rows_radius), shapes, ranges)
    weights = {k: torch.tensor(np.array(a, dtype=np.float64)) for k, a in operator.arrays().items()}
    for _ in range(10):
        points = [torch.tensor(rng.uniform(low, high), requires_grad=True) for low, high in ranges]
        value = EVALUATORS[type(operator)](operator, weights, tuple(points))
        chosen = rows + rng.uniform(-1, 1, rows.shape) * rows_radius
        for r in range(4):
            gradients = torch.autograd.grad(value, points, torch.tensor(chosen[:, r]), retain_graph=True)
            for gradient, sensitivity in zip(gradients, found, strict=True):
                off = np.abs(gradient.numpy() - sensitivity.center[:, r])
                assert (off <= sensitivity.radius[:, r] + ROUNDING).all()
    if radius == 0:
        assert all(s.radius.max() < 1e-9 for s in found), "nothing is unknown at a point"
