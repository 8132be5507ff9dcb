"""What the benchmark of certificates says: only what was accepted is added up."""

from __future__ import annotations

import os

import numpy as np
import pytest

import certificates
from netassay.models.builtin import builtin, digits_test


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


def test_no_specification_is_measured_without_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETASSAY_BENCHMARKS", raising=False)
    assert certificates.measure_specifications() == []
    assert [name for name, _ in certificates.networks()] == ["digits-mlp", "digits-cnn"]


@pytest.mark.skipif(not os.environ.get("NETASSAY_BENCHMARKS"), reason="NETASSAY_BENCHMARKS is not set")
def test_the_smallest_set_is_proved_and_accepted() -> None:
    (row,) = certificates.measure_specifications(("test",))
    assert row.figures["instances"] == row.figures["accepted"] == "4"
    assert int(row.figures["largest file"]) > 0


def test_balls_are_around_inputs_that_are_decided_right_and_their_certificates_are_accepted() -> None:
    images, labels = digits_test()
    wrong = (labels[:3] + np.array([0, 1, 0])) % 10
    problems = certificates.balls(builtin("digits-mlp"), images[:3], wrong, 1)
    assert [p.index for p in problems] == [0, 2]
    (row,) = certificates.measure_balls([("digits-mlp", problems)])
    assert row.figures["instances"] == "2"
    assert row.figures["accepted"] == row.figures["proved"]
    assert int(row.figures["proved"]) > 0
