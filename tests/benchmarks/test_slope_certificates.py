"""The benchmark of slope certificates: each is accepted and says what its answer says."""

from __future__ import annotations

import os

import pytest

import slope_certificates


def test_digits_have_certificates_of_their_slopes() -> None:
    told = slope_certificates.table(1, 0).splitlines()
    assert [line.partition(":")[0] for line in told] == ["digits-mlp linf", "digits-mlp l2", "digits-mlp l1"]
    assert all("accepted 1" in line and "same claim 1" in line for line in told)


def test_no_network_is_measured_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert list(slope_certificates.aircraft(3)) == []


@pytest.mark.skipif(not os.environ.get("NETASSAY_BENCHMARKS"), reason="NETASSAY_BENCHMARKS is not set")
def test_networks_of_acas_xu_are_taken_in_turn() -> None:
    found = list(slope_certificates.aircraft(3))
    assert [name for name, _ in found] == ["ACAS Xu linf", "ACAS Xu l2", "ACAS Xu l1"]
    assert len({problem.network.name for _, problem in found}) == 3
