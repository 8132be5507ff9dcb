"""The binary to split by: learned gains decide, and what is not known is tried, within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.verifiers.milp import branching
from netassay.verifiers.milp.branching import Branching

FREE = np.array([1, 3, 4, 7])
HALF = np.full(4, 0.5)


def never(binary: int, value: int) -> tuple[float, int]:
    raise AssertionError


def taught(gains: dict[int, tuple[float, float]]) -> Branching:
    """With what each binary gained by moving half way down and up."""
    found = Branching(8)
    for binary, sides in gains.items():
        for value, gain in enumerate(sides):
            found.learn(binary, value, 0.5, gain)
    return found


def test_both_sides_must_gain() -> None:
    known = taught({1: (9.0, 0.0), 3: (1.0, 1.0), 4: (0.0, 0.0), 7: (0.5, 1.5)})
    assert known.choose(FREE, HALF, np.ones(4), never) == 3
    assert known.choose(FREE[[0, 2, 3]], HALF[:3], np.ones(3), never) == 7


def test_a_gain_counts_for_how_far_it_moves() -> None:
    known = taught({1: (1.0, 1.0), 3: (0.9, 0.9)})
    assert known.choose(FREE[:2], HALF[:2], np.ones(2), never) == 1
    assert known.choose(FREE[:2], np.array([0.01, 0.5]), np.ones(2), never) == 3


def test_unknown_binaries_are_tried_once_and_remembered() -> None:
    tried = []

    def trial(binary: int, value: int) -> tuple[float, int]:
        tried.append((binary, value))
        return (2.0 if binary == 4 else 0.1), 5

    found = Branching(8)
    assert found.choose(FREE, HALF, np.array([1.0, 1.0, 1e-3, 0.0]), trial) == 4
    assert sorted(tried) == [(b, v) for b in (1, 3, 4) for v in (0, 1)]
    assert found.choose(FREE, HALF, np.array([1.0, 1.0, 1e-3, 0.0]), never) == 4


def test_trials_are_few_and_end_with_their_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(branching, "TRIALS", 2)
    monkeypatch.setattr(branching, "ALLOWANCE", 20)
    tried = []

    def trial(binary: int, value: int) -> tuple[float, int]:
        tried.append(binary)
        return 1.0, 15

    found = Branching(8)
    assert found.choose(FREE, HALF, np.array([1.0, 2.0, 3.0, 4.0]), trial) == 7
    assert tried == [7, 7]
    assert found.choose(FREE, HALF, np.array([1.0, 2.0, 3.0, 0.0]), never) == 4
    found.spent(50)
    found.choose(FREE, HALF, np.array([1.0, 2.0, 3.0, 4.0]), trial)
    assert tried == [7, 7, 4, 4]


def test_without_any_promise_one_is_chosen_all_the_same() -> None:
    assert Branching(8).choose(FREE, np.array([0.0, 1.0, 0.0, 1.0]), np.zeros(4), never) in FREE
