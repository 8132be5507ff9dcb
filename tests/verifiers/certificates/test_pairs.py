"""Certificates of two changes as they are written: files that are accepted, and searches that end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from certificate_pairs import pairs_alone, pooled_claims, proved  # noqa: F401
from certificate_worlds import body, checked, graph_of, produced
from netassay.checking.certificates.reading import check_certificate
from netassay.models import nonlinear as nl
from netassay.models import operators as op
from netassay.models.builder import GraphBuilder
from netassay.verifiers.certificates import pairs
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.pairs import _by_squares
from pair_worlds import asked


@pytest.mark.usefixtures("pairs_alone")
def test_files_of_two_changes_are_accepted(tmp_path: Path) -> None:
    question, true, false = pooled_claims(1, 0.5)
    path = tmp_path / "a.cert"
    assert produced(path, question, true).complete
    assert [r.kind for r in body(path)] == ["case", "pairs"]
    assert check_certificate(path, [graph_of(question)], lambda _: true).checked.accepted
    assert not checked(question, false, body(path)).accepted


@pytest.mark.usefixtures("pairs_alone")
def test_networks_of_which_pairs_are_not_followed_are_proved_otherwise(tmp_path: Path) -> None:
    builder = GraphBuilder((1, 1, 4))
    value = builder.add(nl.LeakyRelu(0.5), builder.add(op.Reshape((4,)), 0))
    question = asked(builder.build(builder.add(op.Dense(np.array([[8.0, 1, 0, 0], [0, 1, 0, 0]]), np.array([100.0, 0])), value)), 0)
    path = tmp_path / "a.cert"
    assert produced(path, question, statement_of([question])).complete
    assert "pairs" not in {r.kind for r in body(path)}


@pytest.mark.usefixtures("pairs_alone")
def test_time_is_respected(tmp_path: Path) -> None:
    question, true, _ = pooled_claims(1, 0.5)
    calls = iter([False] * 3 + [True] * 10_000)
    made = produced(tmp_path / "a.cert", question, true, over=lambda: next(calls))
    assert not made.complete
    assert made.reason == "time-out"


def test_cells_are_refined_where_they_have_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    question, true, _ = pooled_claims(3, 0.25)
    monkeypatch.setattr("netassay.checking.certificates.single_changes.BASE", 1)
    monkeypatch.setattr(pairs, "BASE", 1)
    records = proved(question, true)
    assert len(np.unique(records[1].arrays["depth"])) > 1
    assert checked(question, true, records).accepted
    monkeypatch.setattr(pairs, "DEEPEST", 1)
    assert not proved(question, true)


def test_trees_that_grow_too_large_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    question, true, _ = pooled_claims(3, 0.25)
    monkeypatch.setattr(pairs, "MOST", 20)
    assert not proved(question, true)


def test_runs_of_the_order_are_squares() -> None:
    order = _by_squares(np.arange(64), (1, 8, 8))
    assert sorted(order.tolist()) == list(range(64))
    for size, side in ((4, 2), (16, 4)):
        for begin in range(0, 64, size):
            row, column = order[begin : begin + size] // 8, order[begin : begin + size] % 8
            assert np.ptp(row) == np.ptp(column) == side - 1
    assert _by_squares(np.array([5, 1, 3]), (9,)).tolist() == [0, 1, 2]
