"""Weighted sums of forms: at most 0 wherever all forms are, in rational numbers, and as large as a linear program finds, nearly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from netassay.checking.certificates import combining
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.boxes import BoxProof
from netassay.checking.certificates.combining import Forms, Weights, combined, ordered
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.trees import forest
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.verifiers.certificates.mixing import MOST, NUMBERS, weights_of

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)


def random_forms(rng: np.random.Generator, boxes: int, count: int, n: int) -> tuple[Forms, np.ndarray]:
    """Forms that are all just below 0 at a point of their box, [-1, 1]^n, by less than a float's spacing; and the points."""
    owner, points = rng.integers(0, boxes, boxes * count), rng.integers(-64, 65, size=(boxes, n)) / 64
    rows = rng.normal(size=(len(owner), n)) * 10.0 ** rng.integers(-6, 7, size=(len(owner), 1))
    offsets = []
    for row, b in zip(rows, owner, strict=True):
        exact = -value(row, 0.0, points[b])
        near = float(exact)
        offsets.append(near if Fraction(near) <= exact else np.nextafter(near, -np.inf))
    return (owner, rows, np.array(offsets)), points


def value(row: np.ndarray, offset: float | Fraction, point: np.ndarray) -> Fraction:
    """The form at a point, without rounding."""
    return sum((Fraction(r) * Fraction(x) for r, x in zip(row.tolist(), point.tolist(), strict=True)), Fraction(offset))


def sums_stay_below(a: Arithmetic) -> None:
    """Asserts that no sum is above 0 at a point at which no form is."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        n, boxes = int(rng.integers(1, 9)), 6
        (owner, rows, offsets), points = random_forms(rng, boxes, 5, n)
        forms = [(part, a.array(rows[part_of]), a.array(offsets[part_of])) for part_of, part in halves(owner)]
        low, high = a.array(-np.ones((boxes, n))), a.array(np.ones((boxes, n)))
        together, _ = ordered(forms, np.ones(boxes, dtype=np.bool_))
        weights = rng.normal(size=len(owner)).astype(np.float32).astype(np.float64)
        box, total, offset = combining.combined(a, low, high, together, weights)
        assert len(box) >= boxes - 2
        for b, row, constant in zip(box, total, offset, strict=True):
            assert (np.abs(row) > 0).any()
            assert value(row, Fraction(constant), points[b]) <= 0


def found_sums(low: np.ndarray, high: np.ndarray, forms: list[Forms], wanted: np.ndarray) -> Forms:
    """The sums with the weights that a search finds."""
    together, place = ordered(forms, np.isin(np.arange(len(low)), wanted))
    return combined(FLOATS, low, high, together, weights_of(low, high, together, place))


def halves(owner: np.ndarray) -> list[tuple[slice, np.ndarray]]:
    middle = len(owner) // 2
    return [(part, owner[part]) for part in (slice(0, middle), slice(middle, None))]


@pytest.mark.parametrize("exact", [False, True])
def test_a_sum_is_not_positive_where_no_form_is(exact: bool) -> None:
    sums_stay_below(Arithmetic(exact))


def test_sums_are_nearly_as_large_as_linear_programs_find() -> None:
    """What is positive by 0.05 in units of what x changes is shown to be, almost always; what is not never is."""
    rng, shown = np.random.default_rng(5), []
    for _ in range(150):
        n, m = int(rng.integers(2, 6)), int(rng.integers(2, 7))
        rows = rng.normal(size=(m, n))
        rows /= np.abs(rows).sum(axis=1, keepdims=True)
        offsets, box = rng.uniform(-0.3, 0.6, size=m), (-np.ones((1, n)), np.ones((1, n)))
        # the least t with every form at most t somewhere in the box
        found = linprog(np.eye(n + 1)[n], np.c_[rows, -np.ones(m)], -offsets, bounds=[(-1, 1)] * n + [(None, None)]).fun
        _, total, constant = found_sums(*box, [(np.zeros(m, dtype=np.intp), rows, offsets)], np.zeros(1, dtype=np.intp))
        positive = bool(len(total) and constant[0] - np.abs(total[0]).sum() > 0)
        assert found > -1e-9 or not positive
        shown += [positive] * bool(found > 0.05)
    assert len(shown) > 40
    assert np.mean(shown) > 0.9


def test_few_forms_too_many_and_broken_ones() -> None:
    low, high = -np.ones((3, 2)), np.ones((3, 2))
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [np.nan, 1.0], [0.0, 1.0], [0.0, -1.0]])
    owner = np.array([0, 0, 1, 1, 2])
    wanted = np.array([0, 1, 2])
    box, total, offset = found_sums(low, high, [(owner, rows, np.array([0.25, 0.25, 1.0, 1.0, -np.inf]))], wanted)
    assert box.tolist() == [0]
    assert offset[0] - np.abs(total[0]).sum() > 0
    assert len(found_sums(low, high, [(owner, rows, np.zeros(5))], np.array([2]))[0]) == 0
    many = np.tile(rows[:2], (MOST, 1))
    many[MOST:] = 1e6
    box, total, _ = found_sums(low, high, [(np.zeros(len(many), dtype=np.intp), many, np.ones(len(many)))], wanted)
    assert len(total) == 1
    assert np.abs(total).max() <= MOST
    wide = np.ones((4, NUMBERS))
    sides = np.zeros((1, NUMBERS)), np.ones((1, NUMBERS))
    assert len(found_sums(*sides, [(np.zeros(4, dtype=np.intp), wide, np.ones(4))], np.zeros(1, dtype=np.intp))[0]) == 0


def test_weights_are_those_of_their_node() -> None:
    weights = Weights(np.array([2, 5]), np.array([2, 3]), np.array([1.0, 2.0, 3.0]))
    node, place = np.array([2, 2, 2, 5, 5, 4, 9, 0]), np.array([0, 1, 2, 0, 1, 0, 0, 0])
    assert weights.of(node, place).tolist() == [1, 2, 0, 3, 0, 0, 0, 0]
    assert NOTHING.of(node, place).tolist() == [0] * 8


NOTHING = Weights(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros(0))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("constant", "true"), [(0.125, True), (-0.125, False), (0.0, False)])
def test_a_leaf_that_no_row_closes_alone(exact: bool, constant: float, true: bool) -> None:
    """``x + y + c`` or ``c - x - y`` is positive everywhere if and only if c > 0; neither is alone, and no side of the box can be moved."""
    builder = GraphBuilder((2,))
    network = CheckedNetwork(builder.build(builder.add(op.Dense(np.eye(2), np.zeros(2)), 0)), Arithmetic(exact))
    rows = np.array([[1.0, 1.0], [-1.0, -1.0]])
    proof = BoxProof(network, Region(-np.ones(2), np.ones(2)), rows, np.full(2, constant), strict=True)
    leaf = forest(np.array([-1], dtype=np.int32), np.zeros(1, dtype=np.uint32), np.zeros(1), network)
    weights = Weights(np.zeros(1, dtype=np.intp), np.array([2]), np.ones(2))
    assert proof.check(leaf, weights) == ((True, 1) if true else (False, 0))
    assert proof.check(leaf, NOTHING) == (False, 0)
