"""What reports are told about pictures, and the radius that is taken where none is given."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pytest

from netassay.cli.delivery import command_line
from netassay.cli.regions import default_radius
from netassay.cli.reporting import picture_layout
from netassay.errors import UsageError
from netassay.numerics.box import Box
from netassay.numerics.norms import Norm
from netassay.specs.layouts import channels_first
from tiny_networks import relu_network


@pytest.mark.parametrize(
    ("model", "source", "layout"),
    [
        ((1, 8, 8), (1, 8, 8), (1, 8, 8)),
        ((3, 32, 32), (32, 32, 3), (3, 32, 32)),
        ((28, 28), (28, 28), (1, 28, 28)),
        ((784,), (28, 28), (1, 28, 28)),
        ((784,), (28, 28, 1), (1, 28, 28)),
        ((784,), (784,), None),
        ((1, 1, 5), (5,), None),
        ((5,), (5,), None),
        ((3072,), (3, 32, 32), None),
        ((4, 32, 32), (), None),
    ],
)
def test_pictures_are_recognised(model: tuple[int, ...], source: tuple[int, ...], layout: tuple[int, int, int] | None) -> None:
    assert picture_layout(model, channels_first(source)) == layout


def region(**changes: Any) -> dict[str, Any]:
    return {"mask": None, "scale": None, "granularity": None, "one_hot": (), "group": "feature", **changes}


@pytest.mark.parametrize(
    ("norm", "changes", "radius"),
    [
        ("linf", {}, 0.4),
        ("l2", {}, np.sqrt(1 + 4 + 16) * 0.1),
        ("l1", {}, 0.7),
        ("l0", {}, 1.0),
        ("linf", {"mask": np.array([True, True, False])}, 0.2),
        ("linf", {"scale": np.array([1.0, 2.0, 4.0])}, 0.1),
    ],
)
def test_a_tenth_of_the_domain_is_the_default(norm: str, changes: dict[str, Any], radius: float) -> None:
    network = relu_network(0, [3, 4, 2], Box(np.zeros(3), np.array([1.0, 2.0, 4.0])))
    notes: list[str] = []
    assert default_radius(network, Norm.of(norm), region(**changes), notes) == pytest.approx(radius)
    assert f"no --radius for {norm}" in notes[0]


def test_the_command_line_is_text_whatever_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "radius", "a model.onnx", "caf\udce9.npz"])
    assert command_line() == "netassay radius 'a model.onnx' 'caf?.npz'"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("postgresql://team:pass:w/rd@db/runs", "postgresql://team:***@db/runs"),
        ("postgresql://team:a b@db/runs", "postgresql://team:***@db/runs"),
        ("postgresql://team@db/runs", "postgresql://team@db/runs"),
        ("https://host:8080/runs", "https://host:8080/runs"),
    ],
)
def test_the_command_line_tells_no_password(monkeypatch: pytest.MonkeyPatch, typed: str, told: str) -> None:
    monkeypatch.setattr("sys.argv", ["netassay", "assess", "m.onnx", "x.npz", "--store", typed])
    assert command_line() == f"netassay assess m.onnx x.npz --store {shlex.quote(told)}"


def test_an_unbounded_domain_has_no_default() -> None:
    with pytest.raises(UsageError, match="give --radius"):
        default_radius(relu_network(0, [3, 4, 2], Box.unbounded((3,))), Norm.LINF, region(), [])
