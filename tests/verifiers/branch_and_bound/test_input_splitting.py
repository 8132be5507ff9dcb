"""Branch and bound over the inputs against the exact minima of small networks; planted bugs in it prove what is false."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from exact_polygons import affine_pieces, box, claim_about, least, tiny
from netassay.models.graph import Graph
from netassay.numerics.budget import Clock
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.branch_and_bound import boxes, chain_step, input_splitting
from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting
from netassay.verifiers.claim import Claim
from netassay.verifiers.propagation.chain import ChainBounds

Plant = Callable[[pytest.MonkeyPatch], None]
MARGIN = Fraction(1, 64)


def exact(graph: Graph, rows: np.ndarray) -> list[Fraction]:
    pieces = affine_pieces(graph, *(side[0] for side in (box(graph).lower, box(graph).upper)))
    return [least(pieces, len(graph.nodes), row) for row in rows]


def moved(seed: int, margin: Fraction) -> tuple[Claim, Graph]:
    """A claim about two rows whose least values are exactly or just above ``margin``, the first's the lower one."""
    graph, rows = tiny(seed, (2, 6, 5, 4, 2)), np.random.default_rng(seed).integers(-2, 3, (2, 2)).astype(float) + np.eye(2) / 2
    lowest = exact(graph, rows)
    constants = [float(margin - low + extra) for low, extra in zip(lowest, (Fraction(0), Fraction(1, 8)), strict=True)]
    return claim_about(graph, rows, np.array(constants)), graph


def last(claim: Claim, graph: Graph, seconds: float = 5.0, **options: Any) -> Finding:
    return list(InputSplitting(**options).verify(Task(claim, box(graph), Limits(Clock(seconds)))))[-1]


@pytest.mark.parametrize("seed", range(8))
def test_what_holds_by_little_is_proved(seed: int) -> None:
    claim, graph = moved(seed, MARGIN)
    finding = last(claim, graph)
    assert finding.proved
    assert finding.point is None


@pytest.mark.parametrize("seed", range(8))
def test_what_fails_by_little_is_found(seed: int) -> None:
    claim, graph = moved(seed, -MARGIN)
    finding = last(claim, graph)
    assert not finding.proved
    assert finding.point is not None
    assert finding.least < 0


@pytest.mark.parametrize("seed", range(4))
def test_the_general_step_agrees(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_splitting, "chain_of", lambda _bounded: None)
    claim, graph = moved(seed, MARGIN)
    assert last(claim, graph, seconds=20.0).proved
    claim, graph = moved(seed, -MARGIN)
    assert last(claim, graph).point is not None


@pytest.mark.parametrize("seed", range(6))
def test_alternatives_need_no_single_row(seed: int) -> None:
    """Where any row suffices, the claim holds though none of its rows is positive everywhere."""
    claim, graph = moved(seed, Fraction(0))
    row, constant = claim.parts[0].rows, claim.parts[0].constants
    either = replace(claim.parts[0], rows=np.concatenate([row, -row]), constants=np.concatenate([constant - 1.0, 1.0 - constant + 0.125]))
    assert last(replace(claim, parts=(either,)), graph).proved


@pytest.mark.parametrize("seed", range(6))
def test_ranges_enclose_the_minimum_within_the_tolerance(seed: int) -> None:
    claim, graph = moved(seed, Fraction(0))
    truth = min(
        low + Fraction(float(part.constants[0]))
        for low, part in zip(exact(graph, np.concatenate([p.rows for p in claim.parts])), claim.parts, strict=True)
    )
    finding = last(claim, graph, tolerance=0.01)
    assert Fraction(finding.lower) <= truth
    assert finding.least - finding.lower <= 0.01 + 1e-9
    assert not finding.proved


def test_late_boxes_with_the_least_bounds_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """After as many batches the bound is at least as large as with the newest boxes first, and never above the exact minimum."""
    rises = []
    for seed in range(6):
        claim, graph = moved(seed, Fraction(1, 4096))
        lowers = {}
        for late in (2.0, -1.0):
            monkeypatch.setattr(input_splitting, "LATE", late)
            task = Task(claim, box(graph), Limits(Clock(1000.0)))
            lowers[late] = [f.lower for f, _ in zip(InputSplitting(batch=2, attack=0).verify(task), range(12), strict=False)][-1]
            assert lowers[late] <= 1 / 4096
        rises.append(lowers[-1.0] - lowers[2.0])
    assert min(rises) >= 0
    assert max(rises) > 1e-3


def test_a_single_point_is_decided_or_left_to_rounding() -> None:
    claim, graph = moved(0, MARGIN)
    point = replace(box(graph), lower=np.full((1, 2), 0.25), upper=np.full((1, 2), 0.25))
    outcomes = list(InputSplitting().verify(Task(claim, point)))
    assert outcomes[-1].proved
    tight = replace(claim, parts=tuple(replace(p, constants=np.full(1, -1e-300)) for p in claim.parts))
    tight = replace(tight, parts=tuple(replace(p, rows=np.zeros((1, 2))) for p in tight.parts))
    outcome = list(InputSplitting(attack=0).verify(Task(tight, point)))[-1]
    assert not outcome.proved


def false_proofs() -> int:
    """How many claims are proved that fail by 1/64, where no point is ever tried."""
    return sum(last(*moved(seed, -MARGIN), seconds=0.4, attack=0).proved for seed in range(8))


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Branch and bound evaluates no point."""
    monkeypatch.setattr(input_splitting._Search, "_try_points", lambda *_args: None)


def lost_half(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_only(*given: Any) -> boxes.Boxes:
        both = boxes.halves(*given)
        return both.take(np.arange(len(both) // 2))

    monkeypatch.setattr(chain_step, "halves", left_only)


def lost_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = chain_step.ChainStep._signs

    def last_only(self: Any, *given: Any) -> boxes.Boxes:
        both = signs(self, *given)
        return both.take(np.arange(len(both) // 2, len(both)))

    monkeypatch.setattr(chain_step.ChainStep, "_signs", last_only)


def swapped_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    own = chain_step._signed
    monkeypatch.setattr(chain_step, "_signed", lambda *given, positive: own(*given, positive=not positive))


def turned_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ChainBounds.conditions

    def turned(self: ChainBounds, most: int) -> np.ndarray:
        found = own(self, most)
        return np.where(np.abs(found[:, :, :-1]).sum(axis=2, keepdims=True) > 0, -found, found)

    monkeypatch.setattr(ChainBounds, "conditions", turned)


def shrunk_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    own = boxes.shrunk

    def raised(lower: np.ndarray, upper: np.ndarray, forms: np.ndarray) -> Any:
        return own(lower, upper, forms + np.r_[np.zeros(forms.shape[2] - 1), 0.5])

    monkeypatch.setattr(chain_step, "shrunk", raised)


def mixed_multipliers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multipliers of either sign."""
    own = chain_step.combined

    def negated(forms: np.ndarray, *given: Any) -> Any:
        found, points = own(-forms, *given)
        return found, points

    monkeypatch.setattr(chain_step, "combined", negated)


PLANTED: dict[str, Plant] = {
    p.__name__: p for p in (lost_half, lost_sign, swapped_signs, turned_conditions, shrunk_too_far, mixed_multipliers)
}


@pytest.mark.usefixtures("blind")
def test_without_a_bug_nothing_false_is_proved() -> None:
    assert false_proofs() == 0


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_are_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[name](monkeypatch)
    assert false_proofs() > 0
