"""Bugs planted in the bounds are caught by what the other tests compare with: sampled points, exact sums, known counterexamples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from netassay.models import operators as op
from netassay.models.graph import Graph, Node
from netassay.numerics.box import Box
from netassay.numerics.budget import Clock
from netassay.specs.halfspaces import OutputHalfspaces
from netassay.specs.problem import Problem
from netassay.verifiers import region as region_module
from netassay.verifiers.affine import AffineMap
from netassay.verifiers.base import Limits, Task
from netassay.verifiers.bounding import linear_bounds
from netassay.verifiers.branch_and_bound import boxes, input_splitting
from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting
from netassay.verifiers.claim import claim_of
from netassay.verifiers.propagation import linear
from netassay.verifiers.region import Regions
from random_graphs import GraphOnly
from verifiers.test_bounds_hold import least_of, problem

Plant = Callable[[pytest.MonkeyPatch], None]


def lines_with(change: Callable[..., object]) -> Plant:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        own = linear.lines
        monkeypatch.setattr(linear, "lines", lambda *args: change(own(*args)))

    return plant


def wrong_corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The input takes the value at which the form is greatest."""
    minimum = Regions.minimum
    monkeypatch.setattr(Regions, "minimum", lambda self, rows, owner: -minimum(self, -rows, owner))


def lost_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants on the way are forgotten."""
    monkeypatch.setattr(AffineMap, "of_constant", lambda self, rows: np.zeros(len(rows)))


UNSOUND: dict[str, Plant] = {
    "slopes swapped": lines_with(lambda found: replace(found, lower_slope=found.upper_slope, upper_slope=found.lower_slope)),
    "upper offset dropped": lines_with(lambda found: replace(found, upper_offset=np.zeros_like(found.upper_offset))),
    "lower offset raised": lines_with(lambda found: replace(found, lower_offset=found.lower_offset + 0.25)),
    "wrong corner": wrong_corner,
    "lost bias": lost_bias,
}


def contradictions() -> int:
    """How many of some problems have a sampled point below their bound."""
    found = 0
    for kind in ("dense", "residual", "convolution"):
        for seed in range(12):
            asked = problem(kind, "box", seed)
            bound = float(linear_bounds(claim_of(asked), Regions.of([asked.region])).min())
            found += bound > least_of(asked, seed)
    return found


def test_without_a_bug_nothing_contradicts() -> None:
    assert contradictions() == 0


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_bounds_are_contradicted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    UNSOUND[name](monkeypatch)
    assert contradictions() > 0


def sums_above_the_truth() -> int:
    """How many bounds of long sums at a single point lie above the real value, which rational arithmetic knows."""
    found = 0
    rng = np.random.default_rng(0)
    for _ in range(40):
        weight, x = rng.standard_normal((1, 60)), rng.standard_normal(60)
        graph = Graph((60,), (Node(op.Dense(weight, np.zeros(1)), (0,)),))
        asked = Problem(GraphOnly(graph), Box(x, x), OutputHalfspaces([[[1.0]]], [[0.0]]))
        bound = float(linear_bounds(claim_of(asked), Regions.of([asked.region])).min())
        truth = sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(weight[0], x, strict=True)), Fraction(0))
        found += Fraction(bound) > truth
    return found


def test_rounding_is_on_the_safe_side() -> None:
    assert sums_above_the_truth() == 0


def test_dropped_rounding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (region_module, linear):
        monkeypatch.setattr(module, "gamma", lambda _terms: 0.0)
        monkeypatch.setattr(module, "down", lambda values: values)
        monkeypatch.setattr(module, "UNDERFLOW", 0.0)
    monkeypatch.setattr(linear, "UNIT", 0.0)
    assert sums_above_the_truth() > 0


def false_proofs() -> int:
    """How many claims are proved that a known point contradicts, where no point is ever tried."""
    found = 0
    for seed in range(6):
        asked = problem("dense", "box", seed)
        unsafe = asked.property
        assert isinstance(unsafe, OutputHalfspaces)
        shift = least_of(asked, seed) + 0.01  # s falls to -0.01 or lower
        parts = [(unsafe.matrix[d, :r], unsafe.offset[d, :r] + shift) for d, r in enumerate(unsafe.rows)]
        moved = replace(asked, property=OutputHalfspaces(*zip(*parts, strict=True)))
        assert least_of(moved, seed) < 0
        for finding in InputSplitting(attack=0).verify(Task(claim_of(moved), Regions.of([moved.region]), Limits(Clock(0.5)))):
            found += finding.proved
    return found


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Branch and bound evaluates no point, and takes its general step."""
    monkeypatch.setattr(input_splitting, "chain_of", lambda _bounded: None)
    monkeypatch.setattr(input_splitting._Search, "_try_points", lambda *_args: None)


@pytest.mark.usefixtures("blind")
def test_without_a_bug_nothing_false_is_proved() -> None:
    assert false_proofs() == 0


@pytest.mark.usefixtures("blind")
def test_a_lost_child_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = boxes.halves

    def left_only(*given: Any) -> boxes.Boxes:
        both = halves(*given)
        return both.take(np.arange(len(both) // 2))

    monkeypatch.setattr(input_splitting, "halves", left_only)
    assert false_proofs() > 0


@pytest.mark.usefixtures("blind")
def test_clipping_too_much_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    clipped = boxes.clipped
    monkeypatch.setattr(input_splitting, "clipped", lambda regions, rows, offset, *rest: clipped(regions, rows, offset + 0.5, *rest))
    assert false_proofs() > 0
