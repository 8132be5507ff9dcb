"""Certificates of slopes: those of true claims are accepted, those of false ones never; exactly known slopes on either side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from certificate_worlds import body, checked, damaged_bytes, graph_of
from netassay.checking.certificates.arithmetic import Arithmetic
from netassay.checking.certificates.container import Record
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.statement import Case, Statement
from netassay.errors import InputError, PropertyError
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.numerics.box import Box
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.certificates.claims import slope_statement, statement_of
from random_graphs import GraphOnly
from slope_worlds import above, below, slope_claim, slope_problem, written

SHARE = Fraction(1, 50)
LEAF = {"value": np.array([-1], np.int32), "index": np.zeros(1, np.uint32), "threshold": np.zeros(1)}


def shells(radii: list[float]) -> list[Record]:
    """A proof by shells alone."""
    trees = {name: np.repeat(array, len(radii) + 1) for name, array in LEAF.items()}
    return [Record({"record": "case", "case": 0}), Record({"record": "shells"}, {"radii": np.array(radii, dtype=np.float64), **trees})]


def claims(seed: int, norm: str) -> tuple[Problem, Statement, list[Statement]]:
    """A true claim, a little above the exact slopes, and false ones: each side just below them in turn."""
    problem, (falling, rising) = slope_problem(seed, norm)
    more = above(falling, SHARE) + 1e-3, above(rising, SHARE) + 1e-3
    false = [slope_claim(problem, below(falling, Fraction(1, 10**12)), more[1])] if falling else []
    false += [slope_claim(problem, more[0], below(rising, Fraction(1, 10**12)))] if rising else []
    return problem, slope_claim(problem, *more), false


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("seed", range(8))
def test_what_is_true_is_accepted_and_what_is_false_is_not(tmp_path: Path, seed: int, norm: str) -> None:
    problem, true, false = claims(seed, norm)
    assert false
    assert written(tmp_path / "a.cert", problem, true).complete
    records = [r for r in body(tmp_path / "a.cert") if r.kind in ("case", "shells")]
    exact = len(records[-1].arrays["value"]) < 30  # rational numbers take their time
    assert checked(problem, true, records).accepted
    assert not exact or checked(problem, true, records, exact=True).accepted
    for other in false:
        told = checked(problem, other, records)
        assert not told.accepted
        assert "the slopes there may be greater" in told.reason
        assert not exact or not checked(problem, other, records, exact=True).accepted
        calls = iter(range(10**9))
        assert not written(tmp_path / "b.cert", problem, other, over=lambda c=calls: next(c) > 30).complete
        assert not (tmp_path / "b.cert").exists()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_rational_numbers_decide_the_slope_of_an_affine_map(norm: str) -> None:
    """Equal to the exact slope, which rounding hides, and the least bit below it; weights are such that their L2 norm is a number."""
    builder = GraphBuilder((2,))
    graph = builder.build(builder.add(op.Dense(np.array([[3.0, -4.0]]), np.array([0.25])), 0))
    ball = Ball(np.array([0.3, 0.1]), 0.5, norm, domain=Box.filled((2,), -4, 4))
    problem = Problem(GraphOnly(graph), ball, OutputHalfspaces([np.eye(1)], [np.zeros(1)]))
    slope = {"linf": 7.0, "l2": 5.0, "l1": 4.0}[norm]
    for claimed, true in ((slope, norm != "l2"), (np.nextafter(slope, 9.0), True), (np.nextafter(slope, 0.0), False)):
        statement = slope_claim(problem, claimed, claimed)
        assert checked(problem, statement, shells([]), exact=True).accepted is true, claimed
    assert checked(problem, slope_claim(problem, slope * (1 + 1e-12), None), shells([])).accepted


@pytest.mark.parametrize("given", ["leaf", "radii", "trees", "neurons", "none"])
def test_what_is_no_cover_is_refused(tmp_path: Path, given: str) -> None:
    problem, true, _ = claims(4, "linf")
    assert written(tmp_path / "a.cert", problem, true).complete
    case, proof = (r for r in body(tmp_path / "a.cert") if r.kind in ("case", "shells"))
    assert len(proof.arrays["value"]) > 4
    changed: dict[str, Any] = dict(proof.arrays)
    if given == "leaf":
        changed |= {name: changed[name][:-1] for name in LEAF}
    elif given == "radii":
        changed["radii"] = np.array([0.25, 0.3])
    elif given == "trees":
        changed["radii"] = np.array([0.25])
    elif given == "neurons":
        changed["value"] = np.where(changed["value"] == 0, 1, changed["value"]).astype(np.int32)
    records = [case] if given == "none" else [case, Record(proof.head, changed)]
    if given == "none":
        told = checked(problem, true, records)
        assert not told.accepted
        assert "nothing in the certificate is about it" in told.reason
        return
    with pytest.raises(InputError):
        checked(problem, true, records)


@pytest.mark.parametrize("radii", [[np.nan], [np.inf], [-1.0], [0.0], [0.25, 0.25], [0.1] * 20_000])
def test_radii_are_positive_and_fall(radii: list[float]) -> None:
    problem, true, _ = claims(2, "linf")
    with pytest.raises(InputError, match="radii came"):
        checked(problem, true, shells(radii))


def test_a_file_cannot_say_what_slopes_and_ranges_are() -> None:
    """Arrays that claim them are not read: nothing changes for a claim that is false."""
    problem, true, (false, *_) = claims(2, "linf")
    more = {"ranges 1": np.zeros((1, 8)), "slopes 1": np.zeros((1, 8), np.uint8), "low": np.zeros(2), "falling": np.zeros(1)}
    case, proof = shells([])
    told = Record(proof.head | {"slopes": [0, 0], "least": 9}, {**proof.arrays, **more})
    assert checked(problem, true, [case, told]).accepted
    assert not checked(problem, false, [case, told]).accepted


def test_records_about_values_prove_nothing_of_slopes_and_the_other_way_round() -> None:
    problem, (_, _) = slope_problem(0, "linf")
    slopes, values = slope_claim(problem, 1e-3, 1e-3), statement_of([problem])
    parts = len(slopes.cases[0].parts)
    leaf = {name: np.repeat(array, parts) for name, array in LEAF.items()}
    leaf |= {"part": np.arange(parts, dtype=np.uint32), "weights": np.zeros(0, np.float32), "multipliers": np.zeros(0, np.float32)}
    begin = Record({"record": "case", "case": 0})
    mixed = {"mixed": np.zeros(0, np.uint32), "many": np.zeros(0, np.uint8), "weights": np.zeros(0, np.float32)}
    for record in (
        Record({"record": "parts"}, leaf),
        Record({"record": "boxes", "part": 0}, LEAF | mixed),
        Record({"record": "pixels"}, LEAF),
    ):
        with pytest.raises(InputError, match="proves nothing of what case 0 claims"):
            checked(problem, slopes, [begin, record])
    with pytest.raises(InputError, match="proves nothing of what case 0 claims"):
        checked(problem, values, shells([]))


def test_another_network_and_other_numbers_are_other_claims(tmp_path: Path) -> None:
    problem, true, false = claims(1, "linf")
    other, *_ = slope_problem(2, "linf")
    path = tmp_path / "a.cert"
    assert written(path, problem, true).complete
    assert check_certificate(path, [graph_of(problem)], None).checked.accepted
    assert "another network" in check_certificate(path, [graph_of(other)], None).checked.reason
    assert "another specification" in check_certificate(path, [graph_of(problem)], lambda _g: false[0]).checked.reason
    (case,) = true.cases
    assert case.slopes is not None
    changes: dict[str, Any] = {
        "norm": 1,
        "center": case.slopes.center + 0.5,
        "scale": case.slopes.scale * 2,
        "falling": 9.0,
        "rising": None,
    }
    hashes = {replace(true, cases=(replace(case, slopes=replace(case.slopes, **{k: v})),)).sha256 for k, v in changes.items()}
    hashes |= {true.sha256, replace(true, cases=(Case(case.region, case.parts),)).sha256}
    assert len(hashes) == len(changes) + 2
    assert "s(x0) - s(x) <= " in true.symbols()[0]
    assert "L-infinity distance from the input x0" in true.symbols()[0]


def test_damaged_files_are_refused_or_rejected(tmp_path: Path) -> None:
    """A file that is accepted all the same says what it said before."""
    problem, true, _ = claims(4, "linf")
    path, bad, rng = tmp_path / "a.cert", tmp_path / "b.cert", np.random.default_rng(1)
    assert written(path, problem, true).complete
    seen = {"refused": 0, "checked": 0}
    for _ in range(40):
        for data in damaged_bytes(path, rng):
            bad.write_bytes(data)
            try:
                found = check_certificate(bad, [graph_of(problem)], None)
            except InputError:
                seen["refused"] += 1
                continue
            seen["checked"] += 1
            assert not found.checked.accepted or (found.statement is not None and found.statement.sha256 == true.sha256)
    assert min(seen.values()) > 0


@pytest.mark.parametrize("number", [np.nan, np.inf, -1.0])
def test_strange_numbers_are_no_claim(number: float) -> None:
    problem, _ = slope_problem(0, "linf")
    statement = slope_claim(problem, 1.0, 1.0)
    claimed = statement.cases[0].slopes
    assert claimed is not None
    for change in ({"falling": number}, {"rising": number}, {"scale": np.array([1.0, number])}, {"norm": 3}, {"center": np.zeros((1, 2))}):
        with pytest.raises(PropertyError, match="a claim about slopes"):
            replace(claimed, **change)  # type: ignore[arg-type]
    with pytest.raises(PropertyError, match="in real arithmetic"):
        replace(statement, float32=True)
    with pytest.raises(PropertyError, match="at an input that fits"):
        replace(statement, cases=(replace(statement.cases[0], slopes=replace(claimed, center=np.zeros(3), scale=np.ones(3))),))


def test_the_radius_of_theorem_1() -> None:
    problem, _ = slope_problem(0, "linf")
    claimed = slope_claim(problem, 3.0, None).cases[0].slopes
    assert claimed is not None
    assert claimed.radius(0.5) is None
    assert replace(claimed, least=-1e-300).radius(0.5) is None
    assert replace(claimed, least=1.0).radius(0.5) == Fraction(1, 3)
    assert replace(claimed, least=1.0).radius(0.25) == Fraction(1, 4)
    assert replace(claimed, least=0.0, falling=0.0).radius(0.5) == Fraction(1, 2)


def test_the_value_at_the_centre_is_proved_too() -> None:
    """As it is claimed where Theorem 1 has given a radius; a little more is not."""
    seen = 0
    for seed in range(8):
        problem, (falling, _) = slope_problem(seed, "linf")
        (case,) = slope_statement(problem, above(falling, SHARE), None, 1e-3).cases
        assert case.slopes is not None
        assert case.slopes.least is not None
        if case.slopes.least <= 0 or not falling:
            continue
        seen += 1
        proof = Record({"record": "shells"}, {"radii": np.zeros(0), **LEAF})
        for more, said in ((0.0, "slopes there may be greater"), (1e-9, "s(x0) is only known to be at least")):
            claimed = replace(case.slopes, falling=0.0, least=case.slopes.least + more)
            statement = replace(statement_of([problem]), cases=(replace(case, slopes=claimed),), strict=False)
            for exact in (False, True):
                assert (
                    said in checked(problem, statement, [Record({"record": "case", "case": 0}), proof], exact=exact).reason or not falling
                )
    assert seen


def test_what_overflows_proves_nothing() -> None:
    builder = GraphBuilder((1,))
    value = builder.add(nl.Relu(), builder.add(op.Dense(np.array([[1e90]]), np.zeros(1)), 0))
    graph = builder.build(builder.add(op.Dense(np.array([[1e90]]), np.zeros(1)), value))
    ball = Ball(np.zeros(1), 1.0, "l2", domain=Box.filled((1,), -1, 1))
    problem = Problem(GraphOnly(graph), ball, OutputHalfspaces([np.eye(1)], [np.zeros(1)]))
    assert not checked(problem, slope_claim(problem, 1e300, 1e300), shells([])).accepted
    assert not Arithmetic().known(np.array([1e180]))[0]


def test_a_tree_that_is_too_wide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner nodes cost nothing to split: what waits is bounded."""
    problem, true, _ = claims(2, "linf")
    levels = 6
    value, threshold = list[int](), list[float]()

    def grow(level: int, low: float, high: float) -> None:
        value.append(0 if level else -1)
        threshold.append(low / 2 + high / 2)
        if level:
            grow(level - 1, low, threshold[-1])
            grow(level - 1, low / 2 + high / 2, high)

    region = true.cases[0].region
    grow(levels, float(region.lower[0]), float(region.upper[0]))
    tree = {"value": np.array(value, np.int32), "index": np.zeros(len(value), np.uint32), "threshold": np.array(threshold)}
    records = [Record({"record": "case", "case": 0}), Record({"record": "shells"}, {"radii": np.zeros(0), **tree})]
    told = checked(problem, true, records)
    assert (told.accepted, told.leaves) == (True, 2**levels)
    monkeypatch.setattr("netassay.checking.certificates.shells.KEPT", 64)
    with pytest.raises(InputError, match="too wide"):
        checked(problem, true, records)


def test_a_claim_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, true, _ = claims(2, "linf")
    monkeypatch.setattr("netassay.checking.certificates.slope_bounds.MOST", 10)
    with pytest.raises(InputError, match="too large for this network"):
        checked(problem, true, shells([]))
