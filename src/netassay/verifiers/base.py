"""What every verifier is: it takes a task and tells, again and again, what it has proved so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from netassay.numerics.budget import GIBIBYTE, Clock
from netassay.results.answer import TargetResult
from netassay.results.guarantee import Guarantee
from netassay.verifiers.claim import Claim
from netassay.verifiers.region import Regions
from netassay.verifiers.rounding import Array


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """How long and how large.

    Args:
        clock: Time since the question began, and its limit.
        memory: Bytes for the arrays of one batch of subproblems and what is kept of those that wait.
        interrupted: Whether the user has asked to stop.
    """

    clock: Clock = field(default_factory=Clock)
    memory: int = 2 * GIBIBYTE
    interrupted: Callable[[], bool] = _never

    @property
    def over(self) -> bool:
        return self.clock.expired or self.interrupted()


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One claim over one region.

    Args:
        claim: What is to be proved.
        region: A single region.
        limits: Time and memory.
        seed: For attacks inside the proof.
    """

    claim: Claim
    region: Regions
    limits: Limits = field(default_factory=Limits)
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What a verifier knows at some moment; each finding of a run is at least as good as the one before.

    Args:
        lower: A lower bound of the claim's s over the region; -inf where nothing is known.
        proved: Whether the claim is proved; its lower bound may still be 0 then, where only the sign was followed.
        guarantee: PROVED, or SOLVER where a solver's arithmetic is taken at its word.
        point: A point (input shape) of the region at which the claim seems to fail, for replay; None while there is none.
        least: The least s seen at any point, inf where none was evaluated.
        reason: Why the claim is not decided, once the verifier has given up: "incomplete", "time-out", "memory", "rounding"; empty before.
        subproblems: How many parts the region was split into so far.
        source: Which method it is from, where several take turns.
        targets: Per rival label so far, where the claim is verified label by label.
    """

    lower: float
    proved: bool = False
    guarantee: Guarantee = Guarantee.PROVED
    point: Array | None = None
    least: float = float("inf")
    reason: str = ""
    subproblems: int = 1
    source: str = ""
    targets: tuple[TargetResult, ...] = ()


class Verifier(Protocol):
    """A method of proof."""

    def verify(self, task: Task) -> Iterator[Finding]:
        """Findings, each at least as good as the last, until the claim is proved, a candidate against it is found, or nothing helps.

        Raises:
            CapabilityError: If the method does not serve the claim's graph or region.
        """
        ...
