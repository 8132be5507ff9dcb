"""Counterexamples hidden where attacks do not see them: no verifier takes such a network for safe, and twins without one are proved."""

from __future__ import annotations

import pytest

from netassay.assessment.ask import ask
from netassay.assessment.verify import verify
from netassay.errors import CapabilityError
from netassay.falsifiers.registry import METHODS
from netassay.numerics.budget import Budget, Clock
from netassay.results.answer import Question, ReachAnswer, Verdict
from netassay.results.guarantee import Guarantee
from netassay.verifiers.base import Finding, Limits, Task
from netassay.verifiers.claim import claim_of
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import VERIFIERS
from planted_networks import SPIKES, Planted, planted

MARGINS = (2.0**-10, 2.0**-30)


def last(name: str, asked: Planted, seconds: float) -> Finding | None:
    """What a verifier ends with; None where it does not serve the network."""
    claim, region = claim_of(asked.problem), Regions.of([asked.problem.region])
    try:
        return list(VERIFIERS[name].build().verify(Task(claim, region, Limits(Clock(seconds)))))[-1]
    except CapabilityError:
        return None


@pytest.mark.parametrize("kind", SPIKES)
@pytest.mark.parametrize("name", [name for name in VERIFIERS if name != "marabou"])
def test_no_verifier_is_fooled(name: str, kind: str) -> None:
    for seed, margin in enumerate(MARGINS):
        asked = planted(kind, seed, margin)
        assert -margin * 1.01 <= asked.value < 0
        finding = last(name, asked, 0.05)
        if finding is not None:
            assert not finding.proved
            assert finding.lower <= asked.value


def test_a_solver_is_not_fooled_above_its_tolerance() -> None:
    """Its process takes seconds to begin. Of smaller margins it has been seen to miss the point: its word is no proof."""
    finding = last("marabou", planted("dense", 0, MARGINS[0]), 1.0)
    assert finding is None or (finding.guarantee is Guarantee.SOLVER and not finding.proved)


@pytest.mark.parametrize("kind", SPIKES)
def test_attacks_miss_it(kind: str) -> None:
    """Else the suite would show little. Replays of the point itself find it violated."""
    asked = planted(kind, 0, MARGINS[0])
    assert asked.problem.property.is_violated(asked.value)
    missed = []
    for method in METHODS:
        (answer,) = ask(Question.REACH, [asked.problem], method=method, budget=Budget(queries=60), seed=1)
        assert isinstance(answer, ReachAnswer)
        upper = answer.minimum.upper
        if upper is None or upper.value > 0:
            missed.append(method)
    assert len(missed) >= len(METHODS) - 1, set(METHODS) - set(missed)


@pytest.mark.parametrize("kind", [kind for kind in SPIKES if kind != "sigmoid"])
def test_twins_are_proved(kind: str) -> None:
    for seed, margin in enumerate(MARGINS):
        asked = planted(kind, seed, margin, twin=True)
        assert asked.value >= margin
        finding = last("milp", asked, 5.0)
        assert finding is not None
        assert finding.proved
        assert finding.lower <= asked.value


@pytest.mark.parametrize("kind", [kind for kind in SPIKES if kind != "sigmoid"])
def test_rounding_is_not_forgotten_by_the_whole(kind: str) -> None:
    """A margin far below float32's rounding is never claimed of the float32 network; a large one is."""
    tiny, large = (planted(kind, 0, margin, twin=True).problem for margin in (2.0**-30, 0.5))
    (answer,) = verify([tiny], float32=True, attack=None, budget=Budget(seconds=0.5))
    assert answer.verdict is Verdict.UNKNOWN
    (answer,) = verify([large], float32=True, method="milp", attack=None, budget=Budget(seconds=5))
    assert answer.verdict is Verdict.HOLDS
    assert answer.bracket.lower is not None
    assert answer.bracket.lower.arithmetic == "float32"
