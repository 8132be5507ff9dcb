"""Local search and global decision in turns, against exact minima."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from exact_planar import planar_problem, task
from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Task, Verifier
from netassay.verifiers.branch_and_bound.input_splitting import InputSplitting
from netassay.verifiers.sherlock import Sherlock, raised


@dataclass(frozen=True)
class BySolver:
    """A decider whose word is a solver's."""

    inner: Verifier

    def verify(self, task: Task) -> Iterator[Finding]:
        for finding in self.inner.verify(task):
            yield replace(finding, guarantee=Guarantee.SOLVER)


@dataclass(frozen=True)
class Fixed:
    """A decider that says the same whatever it is asked."""

    finding: Finding

    def verify(self, _task: Task) -> Iterator[Finding]:
        yield self.finding


@pytest.mark.parametrize("seed", range(12))
def test_the_minimum_is_found_within_delta_and_verdicts_are_right(seed: int) -> None:
    problem, exact = planar_problem(seed)
    *_, found = Sherlock(InputSplitting(), delta=0.01).verify(task(problem))
    assert Fraction(found.lower) <= exact
    assert found.least - found.lower <= 0.01 + 1e-12
    assert found.reason == ""
    *_, found = Sherlock(InputSplitting()).verify(task(problem))
    assert found.proved is (exact > 0)
    assert (found.point is not None) is (exact <= 0)


def test_a_point_below_starts_the_next_local_search() -> None:
    """From a single first point gradient steps end in a local minimum somewhere; the decider's points lead on."""
    turns = 0
    for seed in range(12):
        problem, exact = planar_problem(seed)
        found = list(Sherlock(InputSplitting(attack=0), delta=0.001, points=1).verify(task(problem)))
        turns += sum(f.source == "gradient" for f in found) - 1
        assert Fraction(found[-1].lower) <= exact <= Fraction(found[-1].lower) + Fraction(2, 1000)
    assert turns


def test_a_solvers_word_stays_one() -> None:
    safe = next(seed for seed in range(40) if planar_problem(seed)[1] > 0)
    *_, found = Sherlock(BySolver(InputSplitting())).verify(task(planar_problem(safe)[0]))
    assert found.proved
    assert found.guarantee is Guarantee.SOLVER


def test_deciders_that_give_up_or_give_no_point_below() -> None:
    safe = next(seed for seed in range(40) if planar_problem(seed)[1] > 0)
    problem, _ = planar_problem(safe)
    *_, found = Sherlock(Fixed(Finding(-3.0, reason="memory"))).verify(task(problem))
    assert (found.proved, found.reason, found.lower) == (False, "memory", -3.0)
    *_, found = Sherlock(Fixed(Finding(-3.0, point=np.asarray(problem.region.lower)))).verify(task(problem))
    assert (found.proved, found.reason) == (False, "rounding")


def test_a_raised_claim_is_at_most_s_minus_the_level() -> None:
    claim = task(planar_problem(0)[0]).claim
    for level in (0.1, -0.3, 1e-17, 1e9):
        for before, after in zip(claim.parts, raised(claim, level).parts, strict=True):
            for old, new in zip(before.constants, after.constants, strict=True):
                assert Fraction(float(new)) <= Fraction(float(old)) - Fraction(level)
