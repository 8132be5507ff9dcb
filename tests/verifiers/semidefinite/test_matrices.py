"""What is computed from factors agrees with dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from exact_polygons import box, claim_about, tiny
from netassay.verifiers.propagation.root import Root
from netassay.verifiers.semidefinite.directions import Move
from netassay.verifiers.semidefinite.forms import Forms, forms_of
from netassay.verifiers.semidefinite.matrices import Arrow, Factored
from netassay.verifiers.semidefinite.program import Program


def factored(rng: np.random.Generator, inputs: int, size: int) -> Factored:
    root = rng.standard_normal((size, size))
    return Factored(rng.uniform(0.5, 1.0, inputs), rng.standard_normal((inputs, size)), root @ root.T + np.eye(size))


def dense(x: Factored | Arrow) -> np.ndarray:
    """The matrix; of an arrow, with zeros between inputs."""
    if isinstance(x, Arrow):
        return np.block([[np.diag(x.diagonal), x.side], [x.side.T, x.block]])
    return np.block([[np.diag(x.rest) + x.factor @ x.block @ x.factor.T, x.side], [x.side.T, x.block]])


def entries(matrix: np.ndarray, inputs: int) -> np.ndarray:
    """Those that count, of the symmetric part."""
    matrix = (matrix + matrix.T) / 2
    return np.concatenate([np.diag(matrix)[:inputs], matrix[:inputs, inputs:].ravel(), matrix[inputs:, inputs:].ravel()])


def flat(x: Arrow) -> np.ndarray:
    return np.concatenate([x.diagonal, x.side.ravel(), x.block.ravel()])


def arrow(rng: np.random.Generator, inputs: int, size: int) -> Arrow:
    block = rng.standard_normal((size, size))
    return Arrow(rng.standard_normal(inputs), rng.standard_normal((inputs, size)), block + block.T)


def test_inverse_and_completion() -> None:
    rng = np.random.default_rng(0)
    x = factored(rng, 5, 4)
    slack = Arrow(np.full(5, 9.0), rng.uniform(-1, 1, (5, 4)), 9 * np.eye(4))
    inverse, completed = slack.inverse(), x.arrow.completed()
    assert inverse is not None
    assert completed is not None
    assert dense(inverse) == pytest.approx(np.linalg.inv(dense(slack)))
    assert dense(completed) == pytest.approx(dense(x))
    assert np.linalg.inv(dense(completed))[:5, :5] == pytest.approx(np.diag(1 / completed.rest), abs=1e-9)
    assert Arrow(-np.ones(5), slack.side, slack.block).inverse() is None
    assert Arrow(np.zeros(5), x.side, x.block).completed() is None


def test_moves_of_first_and_second_order() -> None:
    rng = np.random.default_rng(1)
    x, z, s = factored(rng, 6, 5), factored(rng, 6, 5), arrow(rng, 6, 5)
    product = dense(s) @ dense(z)
    first = dense(x) @ product
    move = Move(x, z, s)
    assert flat(move.first()) == pytest.approx(entries(first, 6), rel=1e-9, abs=1e-7)
    second = ((first + first.T) / 2 - dense(x)) @ product
    assert flat(move.second()) == pytest.approx(entries(second, 6), rel=1e-9, abs=1e-6)


def some_forms() -> Forms:
    graph = tiny(3)
    root = Root.of(claim_about(graph, np.eye(2), np.zeros(2)), box(graph))
    neuron = forms_of(root.bounded, root.region, root.ranges, {}).neurons[0]
    return forms_of(root.bounded, root.region, root.ranges, {neuron: True})


def test_the_program_is_that_of_its_constraints() -> None:
    """Values, slack and curvature by definition, from the products that the multipliers stand for."""
    rng = np.random.default_rng(2)
    forms = some_forms()
    row = forms.output.rows[0]
    program = Program(forms, row)
    inputs, n, size = forms.inputs, len(forms.neurons), forms.size
    assert n >= 2
    assert len(forms.facts.rows) == 1
    unit = np.eye(size)
    one, s = unit[inputs], unit[inputs + 1 :]
    pairs = [(one - unit[j], one + unit[j]) for j in range(inputs)]
    pairs += [(v, one - v) for v in s]
    pairs += [(v, b - v) for v, b in zip(s, forms.before.rows, strict=True)]
    pairs += [(one, v - b) for v, b in zip(s, forms.before.rows, strict=True)]
    pairs += [(one, fact) for fact in forms.facts.rows]
    constraints = [(np.outer(p, q) + np.outer(q, p)) / 2 for p, q in pairs]
    corner = np.outer(one, one)
    y, t = rng.uniform(0.1, 1, len(pairs)), 0.3
    assert program.multipliers == len(pairs)
    total = sum(a * v for a, v in zip(constraints, y, strict=True)) + t * corner
    assert dense(program.combined(y, t)) == pytest.approx(total)
    objective = (np.outer(one, row) + np.outer(row, one)) / 2
    assert dense(program.slack(y, t)) == pytest.approx(objective - total)
    x, z = factored(rng, inputs, n + 1), factored(rng, inputs, n + 1)
    assert program.constraints(x.arrow) == pytest.approx(np.array([np.vdot(a, dense(x)) for a in constraints]))
    assert program.value(x.arrow) == pytest.approx(np.vdot(objective, dense(x)))
    found = np.empty((len(pairs) + 1, len(pairs) + 1))
    program.curvature(x, z, found)
    every = [*constraints, corner]
    expected = np.array([[np.trace(a @ dense(x) @ b @ dense(z)) for b in every] for a in every])
    assert found == pytest.approx((expected + expected.T) / 2)
