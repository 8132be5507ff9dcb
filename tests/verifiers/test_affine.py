"""Affine maps: values, magnitudes and adjoints of every linear operator that random graphs have, against each other and exact sums."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from netassay.models import operators as op
from netassay.verifiers.affine import BY_NUMPY, AffineMap, pulled_back
from netassay.verifiers.propagation.interval import bounded_graph
from random_graphs import EXACT_KINDS, random_graph


def check(affine: AffineMap, rng: np.random.Generator) -> None:
    """``<a, W x + b>`` comes to the same forwards and backwards; dyadic numbers leave nothing to rounding."""
    inputs = [rng.integers(-4, 5, (3, *shape)) / 4 for shape in affine.shapes]
    a = rng.integers(-4, 5, (3, *affine.output_shape)) / 4
    forwards = (a * affine(inputs)).reshape(3, -1).sum(axis=1)
    back = affine.adjoint(a)
    assert [part.shape[1:] for part in back] == list(affine.shapes)
    backwards = affine.of_constant(a) + sum((part * x).reshape(3, -1).sum(axis=1) for part, x in zip(back, inputs, strict=True))
    np.testing.assert_array_equal(forwards, backwards)
    assert (np.abs(affine(inputs)) <= affine.magnitude([np.abs(x) for x in inputs])).all()


@pytest.mark.parametrize("kind", EXACT_KINDS)
def test_adjoints_belong_to_their_maps(kind: str) -> None:
    rng = np.random.default_rng(1)
    for seed in range(4):
        for affine in bounded_graph(random_graph(kind, seed)).maps:
            if affine is not None:
                check(affine, rng)


@pytest.mark.parametrize("value", [np.array(4.0), np.array([[0.5], [-2.0]]), np.array([[1.0, 2.0, -0.25], [8.0, 0.5, -1.0]])])
def test_divisions_by_constants(value: np.ndarray) -> None:
    affine = AffineMap(op.DivConstant(value), [(2, 3)])
    check(affine, np.random.default_rng(2))
    assert type(affine.operator) in BY_NUMPY
    np.testing.assert_array_equal(affine([np.ones((1, 2, 3))])[0], np.broadcast_to(1 / value, (2, 3)))


def test_a_division_that_widens_its_input_is_left_to_torch() -> None:
    check(AffineMap(op.DivConstant(np.array([[2.0], [-4.0]])), [(3,)]), np.random.default_rng(3))


def test_pulling_back_keeps_what_is_not_finite() -> None:
    given = torch.tensor([[1.0, torch.inf], [torch.nan, 2.0]])
    (found,) = pulled_back(lambda x: x.flip(1), (torch.zeros(2, 2),), given)
    assert torch.equal(found.nan_to_num(nan=7.0), given.flip(1).nan_to_num(nan=7.0))


def test_adjoints_load_no_compiler() -> None:
    code = """
import sys
import numpy as np
from netassay.models import operators as op
from netassay.verifiers.affine import AffineMap
AffineMap(op.AveragePool((2, 2), (2, 2), (0, 0), (0, 0), np.array(4.0)), [(1, 4, 4)]).adjoint(np.ones((1, 1, 2, 2)))
loaded = [m for m in ("torch._functorch", "sympy", "torch._dynamo") if m in sys.modules and m not in before]
assert loaded == [], loaded
"""
    code = code.replace("import numpy as np\n", "import numpy as np\nimport torch\nbefore = set(sys.modules)\n", 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
