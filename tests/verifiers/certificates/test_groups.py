"""Certificates by groups of ReLUs that are found: by the search as a whole, and never for networks that they are not for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from certificate_worlds import body, checked, halfspaces_problem, moved, produced, wide_network
from checking.certificates.test_groups import claims
from groups_worlds import by_groups
from netassay.checking.certificates.check import Checker
from netassay.checking.certificates.reading import check_certificate
from netassay.checking.certificates.specification import of_specification
from netassay.models.onnx_reader import read_onnx
from netassay.numerics.box import Box
from netassay.specs.vnnlib import read_vnnlib
from netassay.verifiers.certificates import produce
from netassay.verifiers.certificates.claims import statement_of
from netassay.verifiers.certificates.produce import write_certificate
from netassay.verifiers.decomposition import Decomposition
from random_graphs import random_graph


def test_the_search_uses_them_where_slopes_do_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce, "FEW_INPUTS", 4)
    asked, true, _ = claims(1, 1.5)
    assert produced(tmp_path / "a.cert", asked, true).complete
    records = body(tmp_path / "a.cert")
    assert "groups" in {r.kind for r in records}
    assert checked(asked, true, records).accepted


def test_what_they_are_not_for_is_left_to_others() -> None:
    """Two layers of ReLUs, and other operators: nothing is written, nothing breaks."""
    for asked in (halfspaces_problem(wide_network(0), 0, 0.35), halfspaces_problem(random_graph("pooling", 0), 0, 0.0625)):
        closed, records = by_groups(asked, moved(statement_of([asked]), 100.0))
        assert not closed
        assert len(records) == 1


def test_finer_cells_are_tried_where_coarse_ones_do_not_suffice() -> None:
    asked, true, _ = claims(3, 3.0)
    assert not by_groups(asked, true, Decomposition(parts=(1,)))[0]
    closed, records = by_groups(asked, true, Decomposition(parts=(1, 2, 4)))
    assert closed
    assert {int(r.arrays["pieces"].max()) for r in records[1:]} <= {2, 4}


def test_time_ends_it() -> None:
    asked, true, _ = claims(1, 1.5)
    assert by_groups(asked, true)[0]
    closed, records = by_groups(asked, true, over=lambda: True)
    assert not closed
    assert len(records) == 1


def test_the_average_pooling_network_of_verivital(tmp_path: Path) -> None:
    """Neither slopes nor splits of neurons prove it in a minute."""
    folder = os.environ.get("NETASSAY_BENCHMARKS")
    if not folder:
        pytest.skip("NETASSAY_BENCHMARKS is not set: it names the folder of the benchmark networks")
    place = Path(folder) / "vnncomp2021" / "verivital"
    graph, asked = read_onnx(place / "onnx/Convnet_avgpool.onnx").graph, read_vnnlib(place / "vnnlib/prop_7_0.04.vnnlib.gz")
    statement, path = of_specification(graph, asked), tmp_path / "a.cert"
    regions = [Box(c.box.lower.reshape(graph.input_shape), c.box.upper.reshape(graph.input_shape)) for c in asked.cases]
    made = write_certificate(path, graph, statement, "prop_7", "a test", regions=regions, spelled_out=False, over=lambda: False)
    assert made.complete
    assert made.size < 50_000
    assert sum(r.kind == "groups" for r in body(path)) == 2
    assert check_certificate(path, [graph], lambda _: statement).checked.accepted
    assert not Checker(graph, moved(statement, -0.5)).check(body(path)).accepted
