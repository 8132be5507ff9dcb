"""What the benchmark of certificates says: only what was accepted is added up."""

from __future__ import annotations

import os

import pytest

import certificates


def test_only_accepted_certificates_are_added_up() -> None:
    rows = [
        {"holds": True, "proving": 1.0, "writing": 2.0, "checking": 0.5, "bytes": 70, "accepted": True},
        {"holds": True, "proving": 0.25, "writing": 1.0, "checking": 0.125, "bytes": 90, "accepted": True},
        {"holds": True, "proving": 4.0, "writing": 9.0, "bytes": 0, "certified": False},
        {"holds": False, "proving": 5.0},
    ]
    found = certificates.figures(rows)
    assert (found["instances"], found["proved"], found["accepted"]) == ("4", "3", "2")
    assert (found["proving s"], found["writing s"], found["checking s"]) == ("1.25", "3.00", "0.62")
    assert found["largest file"] == "90"


def test_nothing_is_measured_without_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert certificates.measure() == []


@pytest.mark.skipif(not os.environ.get("NETASSAY_BENCHMARKS"), reason="NETASSAY_BENCHMARKS is not set")
def test_the_smallest_set_is_proved_and_accepted() -> None:
    (row,) = certificates.measure(("test",))
    assert row.figures["instances"] == row.figures["accepted"] == "4"
    assert int(row.figures["largest file"]) > 0
