"""Boxes, norms and budgets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netassay.errors import RegionError, UsageError
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget, Clock
from netassay.numerics.norms import Norm


@pytest.mark.parametrize(
    ("came", "norm"),
    [
        ("linf", Norm.LINF),
        ("L_inf", Norm.LINF),
        ("inf", Norm.LINF),
        (np.inf, Norm.LINF),
        (2, Norm.L2),
        ("l1", Norm.L1),
        (0, Norm.L0),
        (Norm.L2, Norm.L2),
    ],
)
def test_norms_are_read_from_names_and_orders(came: object, norm: Norm) -> None:
    assert Norm.of(came) is norm  # type: ignore[arg-type]
    assert Norm.of(norm.order) is norm


@pytest.mark.parametrize("came", ["l3", 3, "", -1])
def test_an_unknown_norm_lists_the_known_ones(came: object) -> None:
    with pytest.raises(UsageError, match="known: l0, l1, l2, linf"):
        Norm.of(came)  # type: ignore[arg-type]


def test_lengths_agree_with_numpy_on_both_libraries() -> None:
    rows = np.array([[3.0, 0, -4], [0, 0, 0], [1, -1, 1]])
    for norm in Norm:
        expected = [np.linalg.norm(row, norm.order) for row in rows]
        assert np.allclose(norm.length(rows), expected)
        assert np.allclose(norm.length(torch.tensor(rows)).numpy(), expected)


def test_boxes_contain_exactly_and_refuse_nonsense() -> None:
    box = Box.filled((2,), 0.0, 1.0)
    beyond = np.nextafter(1.0, 2.0)
    assert box.contains([[0, 1], [0, beyond], [np.nan, 0.5], [-0.0, 1]]).tolist() == [True, False, False, True]
    assert box.bounded
    assert not Box.unbounded((2,)).bounded
    for lower, upper in (([0.0], [0.0, 1]), ([np.nan], [1.0]), ([2.0], [1.0])):
        with pytest.raises(RegionError):
            Box(np.array(lower), np.array(upper))
    with pytest.raises(RegionError):
        box.intersect(Box.filled((2,), 2, 3))
    with pytest.raises(RegionError):
        _ = Box.unbounded((2,)).center
    with pytest.raises(ValueError, match="read-only"):
        box.lower[0] = 5


@pytest.mark.parametrize("wrong", [{"queries": 0}, {"seconds": 0.0}, {"seconds": float("nan")}, {"memory": 10}, {"queries": None}])
def test_budgets_refuse_nonsense(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Budget(**wrong)  # type: ignore[arg-type]


def test_a_clock_without_a_limit_never_expires() -> None:
    assert not Clock(None).expired
    assert Clock(1e-9).expired
