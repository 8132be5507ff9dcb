"""The proved side of a problem: a verifier is run on its claim, and what it says is brought into the units of the property."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.checking.replay import Replayer
from netassay.errors import CapabilityError
from netassay.numerics.budget import Clock
from netassay.results.answer import TargetResult
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.witness import Witness
from netassay.specs.problem import Problem
from netassay.specs.regions import Ball
from netassay.verifiers.base import Finding, Limits, Task, Verifier
from netassay.verifiers.claim import Claim, claim_of
from netassay.verifiers.portfolio import Auto, few_inputs
from netassay.verifiers.region import Regions
from netassay.verifiers.registry import verifier_entry

PATIENCE = 60.0
"""Seconds for one proof where nothing else limits it."""


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """What a verifier has found out about one problem so far.

    Args:
        lower: Lower bound of s over the region in the property's own units, -inf where nothing is known.
        proved: Whether the property is proved on the whole region.
        guarantee: Of the lower bound.
        source: The method, as reports name it.
        point: A point at which the property seems to fail; to be replayed.
        reason: Why it is not decided, once the verifier has given up.
        targets: Per rival label, where the proof was split by labels.
        float32: Whether it is about the network as float32 evaluates it.
    """

    lower: float
    proved: bool
    guarantee: Guarantee
    source: str
    point: NDArray[np.float64] | None = None
    reason: str = ""
    targets: tuple[TargetResult, ...] = ()
    float32: bool = False

    @property
    def arithmetic(self) -> Arithmetic:
        if self.guarantee is not Guarantee.PROVED:
            return Arithmetic.FLOAT64
        return Arithmetic.FLOAT32 if self.float32 else Arithmetic.REAL


class Prover:
    """A verifier of the registry, ready for problems of one network.

    Args:
        method: Its name.
        order: In which order rival labels are taken: "bounds", "confidence", or "none" for all at once. "bounds" is the paper's order, by
            upper bounds of ``f_j - f_k``; here by backward linear bounds, which discard more labels than its symbolic intervals.
        memory: Bytes for a batch of subproblems.
        interrupted: Whether the user has asked to stop.
        seed: For attacks inside the proof.
        float32: Whether to prove claims about the network as float32 evaluates it, rounding included.
    """

    def __init__(self, method: str, *, order: str, memory: int, interrupted: Callable[[], bool], seed: int, float32: bool = False) -> None:
        self.method, self.memory, self.interrupted, self.seed = method, memory, interrupted, seed
        self._verifier: Verifier = verifier_entry(method).build()
        self._order, self.float32 = order, float32

    @property
    def stopped(self) -> bool:
        """Whether the user has asked to stop."""
        return self.interrupted()

    def prove(self, problem: Problem, seconds: float, *, begun: bool = False) -> Iterator[Proof]:
        """Proofs as they grow; the last one is final. A network or property that nothing can follow gives one with its reason.

        Args:
            problem: The problem.
            seconds: For the proof.
            begun: Whether ``first`` has been tried.
        """
        try:
            claim = claim_of(problem)
            rest = Auto(begun=True) if begun and self.method == "auto" and self._order == "none" and not self.float32 else None
            yield from self._run(claim, problem, seconds, rest)
        except CapabilityError as error:
            yield Proof(-math.inf, False, Guarantee.PROVED, self.method, reason=str(error))

    def first(self, problem: Problem, seconds: float) -> Iterator[Proof]:
        """Proofs by cheap bounds and a small attack, which decide most easy questions; nothing for other methods than "auto"."""
        if self.method == "auto" and not self.float32:
            try:
                yield from self._run(claim_of(problem), problem, seconds, Auto(first=True))
            except CapabilityError:
                return  # ``prove`` says why

    def splits_inputs(self, problem: Problem) -> bool:
        """Whether the proof is a branch and bound over the inputs, which looks for counterexamples itself."""
        return self.method == "input-splitting" or (self.method == "auto" and few_inputs(Regions.of([problem.region])))

    def _takes_boxes(self, problem: Problem) -> bool:
        """Whether rounding is taken off box by box."""
        return self.float32 and self._order == "none" and self.splits_inputs(problem)

    def settled(self, problem: Problem, seconds: float) -> Proof:
        """The final proof."""
        final = Proof(-math.inf, False, Guarantee.PROVED, self.method, reason="time-out")
        for proof in self.prove(problem, seconds):
            final = proof
        return final

    def _run(self, claim: Claim, problem: Problem, seconds: float, verifier: Verifier | None = None) -> Iterator[Proof]:
        limits = Limits(Clock(seconds), self.memory, self.interrupted)
        task = Task(claim, Regions.of([problem.region]), limits, self.seed)
        chosen = verifier or self._ordered(claim)
        if self.float32 and problem.network.graph is not None:
            from netassay.verifiers.deployed import Deployed  # only where it is asked for

            chosen = Deployed(chosen, problem.network.graph, splits=self._takes_boxes(problem))
        for finding in chosen.verify(task):
            yield self._proof(claim, finding)

    def _ordered(self, claim: Claim) -> Verifier:
        if self._order == "none" or claim.label is None or len(claim.parts) < 2:
            return self._verifier
        from netassay.verifiers.bounding import linear_bounds
        from netassay.verifiers.target_labels import TargetLabels

        return TargetLabels(self._verifier, self._order, linear_bounds)

    def _proof(self, claim: Claim, finding: Finding) -> Proof:
        lower = claim.value(finding.lower) if math.isfinite(finding.lower) else finding.lower
        if finding.proved:
            lower = max(lower, 0.0)
        source = self.method if finding.source in ("", self.method) else f"{self.method}: {finding.source}"
        targets = finding.targets
        return Proof(lower, finding.proved, finding.guarantee, source, finding.point, finding.reason, targets, self.float32)


def replayed(replayer: Replayer, problem: Problem, point: NDArray[np.float64]) -> Witness | None:
    """The witness at a point, or as near to it as the network's dtype allows; None unless every engine finds the property violated."""
    for candidate in _forms(problem, point):
        replay = replayer.replay(problem, candidate)
        if replay.confirmed and all(replay.violated.values()):
            return replayer.witness(problem, candidate, replay)
    return None


def _forms(problem: Problem, point: NDArray[np.float64]) -> Iterator[NDArray[np.floating]]:
    """The point in float32, in which models are deployed, rounded to nearest and towards the region's centre; then as it is."""
    region, dtype = problem.region, "float32"
    inside = np.asarray(region.project(point[None])[0] if isinstance(region, Ball) else np.clip(point, region.lower, region.upper))
    near = inside.astype(dtype)
    yield near
    toward = np.where(near.astype(np.float64) > problem.center, -np.inf, np.inf).astype(dtype)
    yield np.where(near.astype(np.float64) == problem.center, near, np.nextafter(near, toward))
    yield inside
