"""Semidefinite relaxations in the checker: no multipliers give more than the exact truth, and what is called semidefinite is so."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from certificate_worlds import checked, halfspaces_problem, least_seen, moved, no_damage_proves, planar_claim, wide_network
from netassay.checking.certificates import semidefinite
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.bounds import Parts
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.definiteness import is_semidefinite
from netassay.checking.certificates.forests import Means
from netassay.checking.certificates.network import CheckedNetwork
from netassay.checking.certificates.records import dual_arrays, read_duals
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.semidefinite import Duals, semidefinite_bounds
from netassay.checking.certificates.statement import Statement
from netassay.errors import DataError
from netassay.models import nonlinear as nl
from netassay.models.builder import GraphBuilder
from netassay.specs.problem import Problem
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.relaxed import splits_above
from relaxed_worlds import Leaf, no_bound_lies_above_the_truth, no_matrix_says_more_than_the_truth, relaxed

FLOATS, EXACT = Arithmetic(), Arithmetic(exact=True)


def test_no_multipliers_give_more_than_the_truth() -> None:
    compared, nearest = no_bound_lies_above_the_truth(range(6), steps=15)
    assert compared > 45
    assert nearest < 1e-2


def test_no_matrix_says_more_than_the_truth() -> None:
    assert no_matrix_says_more_than_the_truth(range(8)) > 250


def test_no_multipliers_give_more_than_the_truth_in_rational_arithmetic() -> None:
    compared, nearest = no_bound_lies_above_the_truth(range(6, 7), exact=True, steps=4)
    assert compared > 5
    assert nearest < 1e-2


def barely(seed: int, shift: float, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A singular matrix up to rounding, whose block's diagonal is then shifted by a share of its size."""
    rng = np.random.default_rng([seed, 6])
    inputs, size = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    diagonal = rng.uniform(0.1, 2.0, inputs) * 10.0 ** rng.integers(-6, 3, inputs)
    side = rng.standard_normal((inputs, size)) * np.sqrt(diagonal)[:, None]
    low = rng.standard_normal((size, size - 1))
    block = (side / diagonal[:, None]).T @ side + low @ low.T
    block = (block + block.T) / 2 + shift * np.abs(block).max() * np.eye(size)
    return diagonal * scale, side * scale, block * scale


def truly_semidefinite(diagonal: np.ndarray, side: np.ndarray, block: np.ndarray) -> bool:
    """By symmetric elimination in rational arithmetic."""
    rest = [[Fraction(float(v)) for v in row] for row in np.block([[np.diag(diagonal), side], [side.T, block]])]
    for k, row in enumerate(rest):
        if row[k] < 0 or (row[k] == 0 and any(row[k:])):
            return False
        for other in rest[k + 1 :]:
            factor = other[k] / row[k] if row[k] else Fraction(0)
            other[k:] = [v - factor * w for v, w in zip(other[k:], row[k:], strict=True)]
    return True


@pytest.mark.parametrize("shift", [-1e-3, -1e-9, -1e-14, -1e-16, 0.0, 1e-16, 1e-14, 1e-12])
def test_nothing_indefinite_passes(shift: float) -> None:
    for seed in range(25):
        for scale in (1.0, 1e-8, 1e30):
            matrix = barely(seed, shift, scale)
            for a in (FLOATS, EXACT):
                assert not is_semidefinite(a, *(a.array(m) for m in matrix)) or truly_semidefinite(*matrix), (seed, scale)


def test_a_check_that_forgets_rounding_is_caught() -> None:
    matrices = [barely(seed, shift) for seed in range(40) for shift in (-1e-16, 0.0, 1e-17)]
    wrong = [m for m in matrices if np.linalg.eigvalsh(m[2] - (m[1] / m[0][:, None]).T @ m[1]).min() > 0 and not truly_semidefinite(*m)]
    assert wrong
    assert not any(is_semidefinite(FLOATS, *m) for m in wrong)


def test_what_is_definite_by_more_than_rounding_passes() -> None:
    for seed in range(25):
        for a in (FLOATS, EXACT):
            assert is_semidefinite(a, *(a.array(m) for m in barely(seed, 1e-10)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_numbers_without_a_bound_pass_nothing(value: float) -> None:
    for part in range(3):
        matrix = [np.ones(2), np.zeros((2, 2)), np.eye(2)]
        assert is_semidefinite(FLOATS, *matrix)
        matrix[part].flat[0] = value
        with np.errstate(all="ignore"):
            assert not is_semidefinite(FLOATS, *matrix)
    assert is_semidefinite(FLOATS, np.array([1.0, 0.0]), np.array([[0.1, 0.0], [0.0, 0.0]]), np.eye(2))
    assert not is_semidefinite(FLOATS, np.array([1.0, 0.0]), np.array([[0.0, 0.0], [1e-9, 0.0]]), np.eye(2))
    assert not is_semidefinite(FLOATS, np.array([1.0, -1e-300]), np.zeros((2, 2)), np.eye(2))
    assert not is_semidefinite(FLOATS, np.ones(2), np.zeros((2, 2)), np.array([[1.0, 0.1], [0.0, 1.0]]))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_true_is_accepted_and_what_is_false_is_not(seed: int) -> None:
    """The least margin is known exactly: a claim 0.1 below it is proved by relaxations, in both arithmetics; one at it is false."""
    problem, true, false = planar_claim(seed, Fraction(1, 10))
    closed, records = relaxed(problem, true)
    assert closed
    for exact in (False, True):
        assert checked(problem, true, records, exact=exact).accepted
        told = checked(problem, false, records, exact=exact)
        assert not told.accepted
        assert "leaf" in told.reason


def by_relaxations() -> tuple[Problem, Statement, Statement, list[Record]]:
    """A claim of two parts, true and false, and records that prove the true one, with splits."""
    asked = halfspaces_problem(wide_network(0), 0, 0.35)
    statement, least = statement_of([asked]), least_seen(asked, np.random.default_rng(0))
    true = moved(statement, 0.3 - least)
    closed, records = relaxed(asked, true)
    assert closed
    assert max(len(r.arrays["level"]) for r in records[1:]) > 2
    return asked, true, moved(statement, -(least + 1e-9)), records


def test_damaged_records_never_prove_what_is_false() -> None:
    asked, true, false, records = by_relaxations()
    no_damage_proves(asked, true, false, records, seed=8)


def test_a_dropped_leaf_is_a_missing_part() -> None:
    asked, true, _, records = by_relaxations()
    at = next(i for i, r in enumerate(records) if r.kind == "squares" and len(r.arrays["level"]) > 2)
    duals = read_duals(records[at])
    fewer = Duals(duals.level[:-1], duals.inputs[:-1], {v: (i, y[:, :-1]) for v, (i, y) in duals.neurons.items()}, duals.splits)
    short = Record(records[at].head, {**records[at].arrays, **dual_arrays(fewer)})
    with pytest.raises(DataError, match="do not fit"):
        checked(asked, true, [*records[:at], short, *records[at + 1 :]])
    pruned = Record(records[at].head, {**records[at].arrays, **{n: records[at].arrays[n][:-1] for n in ("value", "index", "threshold")}})
    with pytest.raises(DataError, match="part of the region is missing"):
        checked(asked, true, [*records[:at], pruned, *records[at + 1 :]])
    told = checked(asked, true, records[:at] + records[at + 1 :])
    assert "nothing in the certificate is about it" in told.reason


@pytest.mark.parametrize("value", [-1e-30, -1.0, np.nan, np.inf])
def test_multipliers_that_are_negative_or_no_numbers_are_refused(value: float) -> None:
    leaf = Leaf(1, 1)
    duals = leaf.duals
    v, (index, chosen) = next(iter(duals.neurons.items()))
    for name in ("inputs", "splits", "neurons"):
        array = np.array(chosen if name == "neurons" else getattr(duals, name))
        array.flat[0] = value
        bad = replace(duals, **{name: {**duals.neurons, v: (index, array)} if name == "neurons" else array})
        with pytest.raises(DataError, match="finite numbers from 0 on"):
            semidefinite_bounds(leaf.whole, leaf.splits, bad, leaf.target(leaf.whole))


def test_levels_that_are_no_numbers_are_refused_and_large_ones_prove_nothing() -> None:
    leaf = Leaf(1, 1)
    for level in (np.nan, np.inf):
        with pytest.raises(DataError, match="finite numbers from 0 on"):
            semidefinite_bounds(leaf.whole, leaf.splits, replace(leaf.duals, level=np.array([level])), leaf.target(leaf.whole))
    for level in (1e6, 1e200, 1e308):
        found = semidefinite_bounds(leaf.whole, leaf.splits, replace(leaf.duals, level=np.array([level])), leaf.target(leaf.whole))
        assert found.tolist() == [-np.inf]


def test_multipliers_of_other_sizes_are_refused() -> None:
    leaf = Leaf(1, 1)
    duals = leaf.duals
    v, (index, chosen) = next(iter(duals.neurons.items()))
    for bad in (
        replace(duals, level=np.zeros(2)),
        replace(duals, inputs=duals.inputs[:, :-1]),
        replace(duals, splits=np.zeros(3, dtype=np.float32)),
        replace(duals, neurons={v: (index, chosen[:2])}),
        replace(duals, neurons={v: (index[:-1], chosen)}),
        replace(duals, neurons={v: (index + 100, chosen)}),
        replace(duals, neurons={99: (index, chosen)}),
        replace(duals, neurons={0: (index, chosen)}),
    ):
        with pytest.raises(DataError):
            semidefinite_bounds(leaf.whole, leaf.splits, bad, leaf.target(leaf.whole))


def test_neurons_without_multipliers_count_as_decided_with_an_error() -> None:
    """Fewer choices give a worse bound, not a wrong one: all neurons left out, the bound is that of an affine map less their ranges."""
    leaf = Leaf(4, 0)
    far = replace(leaf.duals, neurons={}, level=np.array([-1e4]), inputs=np.full_like(leaf.duals.inputs, 1e3))
    found = semidefinite_bounds(leaf.whole, leaf.splits, far, leaf.target(leaf.whole))[0]
    assert leaf.truth is not None
    assert -np.inf < found < -1e4 - 1
    assert Fraction(float(found)) <= leaf.truth


def test_other_networks_and_matrices_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    leaf = Leaf(1, 0)
    with monkeypatch.context() as few:
        few.setattr(semidefinite, "NUMBERS", 16)
        with pytest.raises(DataError, match="at most 16"):
            semidefinite_bounds(leaf.whole, leaf.splits, leaf.duals, leaf.target(leaf.whole))
    builder = GraphBuilder((2,))
    network = CheckedNetwork(builder.build(builder.add(nl.LeakyRelu(0.1), 0)), FLOATS)
    whole = Parts(network, Region(-np.ones(2), np.ones(2)), -np.ones((1, 2)), np.ones((1, 2)))
    nothing = Duals(np.zeros(1), np.zeros((1, 2), dtype=np.float32), {}, np.zeros(0, dtype=np.float32))
    with pytest.raises(DataError, match="ReLUs only"):
        semidefinite_bounds(whole, splits_above([()]), nothing, Means(1, [np.eye(2)[:1]], [np.zeros(1)], [np.ones(1)]))


def test_a_region_of_one_point() -> None:
    """Nothing moves, so nothing is undecided but what the file says is; a bound is the value, less rounding."""
    leaf = Leaf(1, 0)
    point = np.array([0.25, -0.5])
    value = leaf.values(point)[-1][0]
    for exact in (False, True):
        network = CheckedNetwork(leaf.graph, Arithmetic(exact))
        whole = Parts(network, Region(point, point), *(network.arithmetic.array(point)[None] for _ in range(2)))
        for level, held in ((value - 1e-6, True), (value + 1e-6, False)):
            duals = replace(leaf.duals, level=np.array([level]))
            found = semidefinite_bounds(whole, leaf.splits, duals, leaf.target(whole))[0]
            assert bool(found > -np.inf) is held
            assert not held or value - 1e-5 < found <= Fraction(float(value))
