"""The verifier against the exact minimum of tiny networks, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from exact_polygons import affine_pieces, box, claim_about, least, tiny
from netassay.errors import CapabilityError
from netassay.numerics.budget import Clock
from netassay.verifiers import portfolio
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import Claim, Part
from netassay.verifiers.portfolio import Auto, Neurons
from netassay.verifiers.region import Regions
from netassay.verifiers.semidefinite import method
from netassay.verifiers.semidefinite.method import Semidefinite
from random_graphs import random_graph

PLAIN = Semidefinite(attack=0, rows=0, tighten=0)
"""As little help as possible."""


def last(verifier: Semidefinite | Auto | Neurons, claim: Claim, region: Regions, limits: Limits | None = None) -> Finding:
    findings = list(verifier.verify(Task(claim, region, limits or Limits())))
    lowers = [f.lower for f in findings]
    assert isinstance(verifier, Neurons) or lowers == sorted(lowers)
    return findings[-1]


def truth_of(seed: int) -> Fraction:
    graph = tiny(seed)
    region = box(graph)
    pieces = affine_pieces(graph, region.lower[0], region.upper[0])
    return min(least(pieces, -1, row) for row in np.eye(2))


def asked(seed: int, shift: float) -> tuple[Claim, Regions]:
    """The claim that the exact minimum is above -shift from itself."""
    graph = tiny(seed)
    return claim_about(graph, np.eye(2), np.full(2, float(-truth_of(seed)) + shift)), box(graph)


@pytest.mark.parametrize("seed", range(8))
def test_tiny_networks_are_decided_next_to_their_exact_minimum(seed: int) -> None:
    shift = 2.0**-8
    holds = last(PLAIN, *asked(seed, shift))
    assert holds.proved
    assert Fraction(holds.lower) <= Fraction(shift) + Fraction(1, 10**9)
    broken = last(Semidefinite(), *asked(seed, -shift))
    assert not broken.proved
    assert broken.point is not None
    assert broken.lower == -np.inf or Fraction(broken.lower) <= 0


@pytest.mark.parametrize("seed", range(6))
def test_no_bound_lies_above_the_truth(seed: int) -> None:
    """Of claims that are violated by little, with no attack to end the search: neither is anything proved."""
    shift = -(2.0**-6)
    found = last(replace(PLAIN, steps=15), *asked(seed, shift), Limits(Clock(3.0)))
    assert not found.proved
    assert found.lower <= shift


def test_a_lost_child_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs planted in the search make it prove what is wrong."""
    seed = next(s for s in range(8) if last(PLAIN, *asked(s, 2.0**-8)).subproblems > 2)
    honest = method._Run._push

    def lossy(
        self: method._Run, part: int, estimate: float, proved: float, phases: dict[tuple[int, int], bool], start: object = None
    ) -> None:
        if not phases or not list(phases.values())[-1]:
            honest(self, part, estimate, proved, phases)

    wrong = 0
    monkeypatch.setattr(method._Run, "_push", lossy)
    monkeypatch.setattr(method._Run, "_look", lambda self, forms, found: None)
    for s in range(seed, seed + 8):
        wrong += last(PLAIN, *asked(s, -(2.0**-8)), Limits(Clock(2.0))).proved
    assert wrong


def test_any_row_of_a_part_suffices() -> None:
    graph = tiny(0)
    region = box(graph)
    pieces = affine_pieces(graph, region.lower[0], region.upper[0])
    least_rows = [least(pieces, -1, row) for row in np.eye(2)]
    constants = np.array([-1000.0, float(-least_rows[1]) + 0.5])
    found = last(PLAIN, Claim(graph, (Part(np.eye(2), constants),), strict=True), region)
    assert found.proved
    assert Fraction(found.lower) <= Fraction(1, 2)


def test_an_unpromising_relaxation_is_given_up() -> None:
    seed = next(s for s in range(8) if last(PLAIN, *asked(s, 2.0**-8)).subproblems > 2)
    found = last(replace(PLAIN, promise=0.0), *asked(seed, 2.0**-8))
    assert not found.proved
    assert found.reason == "incomplete"


def test_refusals() -> None:
    graph = tiny(0)
    claim = claim_about(graph, np.eye(2), np.full(2, -1e3))
    with pytest.raises(CapabilityError, match="bounded"):
        last(PLAIN, claim, Regions(np.full((1, 2), -np.inf), np.full((1, 2), 1.0)))
    with pytest.raises(CapabilityError, match="at most 1"):
        last(replace(PLAIN, neurons=1), claim, box(graph))
    with pytest.raises(CapabilityError, match="memory"):
        last(PLAIN, claim, box(graph), Limits(memory=1000))
    smooth = random_graph("tanh", 0, outputs=2)
    with pytest.raises(CapabilityError, match="Tanh"):
        last(PLAIN, claim_about(smooth, np.eye(2), np.full(2, -1e3)), box(smooth))


def test_time_and_weights_without_size_end_it() -> None:
    claim, region = asked(0, 2.0**-8)
    found = last(PLAIN, claim, region, Limits(Clock(1e-9)))
    assert not found.proved
    assert found.reason == "time-out"


def test_auto_turns_to_it_where_splitting_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on with splitting where it does not serve."""

    class Slow:
        def verify(self, task: Task):  # type: ignore[no-untyped-def]
            yield Finding(-5.0)
            yield Finding(-4.0)
            yield Finding(-3.0, reason="time-out")

    monkeypatch.setattr(portfolio, "_named", lambda name: (name, Slow()))
    claim, region = asked(1, 2.0**-8)
    assert last(Neurons(turn=-1.0, promise=np.inf), claim, region).source == "semidefinite"
    assert last(Neurons(turn=-1.0, promise=np.inf), claim, region).proved
    for options in (Neurons(turn=-1.0, relus=3), Neurons(turn=1e9)):
        found = last(options, claim, region)
        assert (found.proved, found.lower, found.reason) == (False, -3.0, "time-out")
