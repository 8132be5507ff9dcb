"""The answers to the questions: brackets, witnesses, traces and where they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from netassay.errors import InconsistentClaimsError
from netassay.numerics.norms import Norm
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.trace import Trace
from netassay.results.witness import Witness


class Question(StrEnum):
    """What is asked of a problem (network, region, property)."""

    RADIUS = "radius"
    LIPSCHITZ = "lipschitz"
    REACH = "reach"
    VERIFY = "verify"


class Verdict(StrEnum):
    """What is known of "s is safe on the whole region".

    HOLDS: a lower side of min s shows it (how strongly, ``VerifyAnswer.guarantee`` says).
    VIOLATED: a replayed witness shows the contrary.
    UNKNOWN: neither; the answer says why.
    """

    HOLDS = "holds"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How a question ended for one input.

    MEASURED: the brackets hold what was found.
    MISCLASSIFIED: the centre has a label other than its true one; nothing was searched, and means leave it out.
    RISK_AT_CENTER: the property is violated at the centre already (radius 0).
    NO_WITNESS: the whole budget found no violation; the upper side is unknown.
    """

    MEASURED = "measured"
    MISCLASSIFIED = "misclassified"
    RISK_AT_CENTER = "risk-at-center"
    NO_WITNESS = "no-witness"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an answer comes from: enough to ask the same question again."""

    model: str
    model_sha256: str
    input_sha256: str
    method: str
    options: dict[str, str | int | float | bool | None]
    seed: int
    device: str
    dtype: str
    tool_version: str
    queries: int
    batched_calls: int
    seconds: float
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Risk:
    """The property in words and parameters, as reports print it.

    Args:
        name: The family: robustness, targeted, gap, reachability, uncertainty, halfspaces, custom.
        text: The expression s(x), readable.
        on: The scale it is measured on: logits, probabilities or outputs.
        spec: The command-line form that asks for it again, if there is one.
    """

    name: str
    text: str
    on: str
    spec: str


@dataclass(frozen=True, slots=True)
class RegionSummary:
    """The region as reports print it; ``radius`` and ``norm`` are None for a box."""

    norm: Norm | None
    radius: float | None
    features: int
    free_features: int
    scaled: bool = False
    granular: bool = False


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Answer:
    """What all answers share.

    Args:
        index: Position of the input in its data set; None for a region that is a plain box.
        center: The input (model shape, float64), or the midpoint of a box.
        center_value: s(center), float64.
        label: Decision at the centre; true_label: from the data set, where known.
        notes: What a reader should know beside the numbers, one sentence each (the network gave NaN somewhere, say).
        frames: Snapshots (s value, point) of the search on its way, best last (DeepQuant, Fig. 11).
    """

    outcome: Outcome
    index: int | None
    risk: Risk
    region: RegionSummary
    center: NDArray[np.float64]
    center_value: float
    label: int | None
    true_label: int | None
    provenance: Provenance
    notes: tuple[str, ...] = ()
    frames: Sequence[tuple[float, NDArray[np.floating]]] = ()

    @property
    def word(self) -> str:
        """How the question ended, in one word."""
        return str(self.outcome)

    def __repr__(self) -> str:
        """One line without the arrays: what was asked, and the brackets."""
        brackets = {name: value for name, value in vars(self).items() if isinstance(value, Bracket)}
        sides = ", ".join(f"{name}=[{_short(b.lower)}, {_short(b.upper)}]" for name, b in brackets.items())
        return f"{type(self).__name__}({self.word}, input {self.index}, {self.risk.spec or self.risk.text}, {sides})"


def _short(side: Side | None) -> str:
    return "?" if side is None else f"{side.value:.6g} {side.guarantee}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RadiusAnswer(Answer):
    """The maximum safe radius (DeepQuant Def. 4): attained from above by the nearest witness found."""

    bracket: Bracket
    witness: Witness | None
    trace: Trace
    question: Question = field(default=Question.RADIUS, init=False)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LipschitzAnswer(Answer):
    """Q (DeepQuant Def. 6), attained from below, for abs(s - s0) and for the falling side alone.

    ``d_prime_upper`` is s(x)/Q with the Q found: an upper bound of Theorem 1's d', an estimate
    (HEURISTIC) of a radius; ``d_prime_lower`` is Theorem 1's radius from a proved Q, or None.
    """

    bracket: Bracket
    falling: Bracket
    witness: Witness | None
    falling_witness: Witness | None
    d_prime_lower: Side | None
    d_prime_upper: Side | None
    trace: Trace
    falling_trace: Trace
    question: Question = field(default=Question.LIPSCHITZ, init=False)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ReachAnswer(Answer):
    """The range [min, max] of an expression over a region, both ends attained from inside."""

    minimum: Bracket
    maximum: Bracket
    minimum_witness: Witness | None
    maximum_witness: Witness | None
    minimum_trace: Trace
    maximum_trace: Trace
    question: Question = field(default=Question.REACH, init=False)


@dataclass(frozen=True, slots=True)
class TargetResult:
    """One rival label j of a verification that was split by labels: can it overtake the label k of the input?

    Args:
        label: The rival j.
        upper: The proved upper bound of f_j - f_k over the region that decided the place in the order; None where there was none.
        verdict: Of this rival alone.
        discarded: The first bounds already proved that it cannot overtake, so it was not searched.
        seconds: Spent on it.
        guarantee: How HOLDS is known, where that is not said by ``discarded`` or by the answer as a whole.
    """

    label: int
    upper: float | None
    verdict: Verdict
    discarded: bool
    seconds: float
    guarantee: Guarantee | None = None

    def __post_init__(self) -> None:
        if self.upper is not None and math.isnan(self.upper):
            raise InconsistentClaimsError(f"the bound of target {self.label} is NaN; a bound must be a number")
        if self.discarded and self.verdict is not Verdict.HOLDS:
            raise InconsistentClaimsError(f"target {self.label} is discarded as impossible, and yet its verdict is {self.verdict}")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class VerifyAnswer(Answer):
    """Is s safe on the whole region? A bracket of min s decides: proved from below, attained from above.

    Args:
        verdict: The verdict; UNKNOWN for a misclassified centre, which is not searched.
        reason: Why the verdict is UNKNOWN ("time-out", "queries", "memory", "operator ...", "rounding", ...); empty otherwise.
        bracket: Of min s over the region; witnesses lower its upper side, proofs raise its lower side.
        witness: For VIOLATED the violation, replayed; else the least value found, or None.
        targets: The rival labels, in the order in which they were taken; empty where verification was not split by labels.
        trace: The bracket as it grew.
    Raises:
        InconsistentClaimsError: If the verdict is not borne out by bracket, witness and reason.
    """

    verdict: Verdict
    reason: str = ""
    bracket: Bracket
    witness: Witness | None
    targets: tuple[TargetResult, ...] = ()
    trace: Trace
    question: Question = field(default=Question.VERIFY, init=False)

    def __post_init__(self) -> None:
        wrong = self._contradiction()
        if wrong:
            raise InconsistentClaimsError(f"the verdict {self.verdict} of input {self.index} cannot stand: {wrong}; please report this")

    @property
    def guarantee(self) -> Guarantee | None:
        """How the verdict is known: PROVED or SOLVER for HOLDS, ATTAINED for VIOLATED, None for UNKNOWN."""
        if self.verdict is Verdict.HOLDS and self.bracket.lower is not None:
            return self.bracket.lower.guarantee
        return Guarantee.ATTAINED if self.verdict is Verdict.VIOLATED else None

    @property
    def word(self) -> str:
        """holds, violated, unknown or misclassified; ``guarantee`` belongs beside it."""
        return str(Outcome.MISCLASSIFIED if self.outcome is Outcome.MISCLASSIFIED else self.verdict)

    def _contradiction(self) -> str:
        if self.bracket.attained is not End.UPPER:
            return "witnesses lower the upper side of a minimum, and this bracket says otherwise"
        if self.outcome is Outcome.MISCLASSIFIED and self.verdict is not Verdict.UNKNOWN:
            return "a misclassified input is not verified"
        if bool(self.reason) != (self.verdict is Verdict.UNKNOWN):
            return "a reason belongs to UNKNOWN, and only there"
        if self.verdict is Verdict.HOLDS:
            return self._unsupported()
        if self.verdict is Verdict.VIOLATED and not shows_violation(self.witness):
            return "it needs a witness inside the region that violates the property on every engine"
        return ""

    def _unsupported(self) -> str:
        """What HOLDS lacks. That it needs s > 0 where s = 0 is not safe, the engine sees to: an answer does not know the property."""
        lower = self.bracket.lower
        if lower is None or lower.guarantee not in (Guarantee.PROVED, Guarantee.SOLVER) or not lower.value >= 0:
            return "it needs a lower side of min s, proved or by a solver, of at least 0"
        if shows_violation(self.witness):
            return "a witness that every engine bears out violates the property"
        if any(target.verdict is not Verdict.HOLDS for target in self.targets):
            return "it does not hold for every target"
        return ""


def shows_violation(witness: Witness | None) -> bool:
    """Whether a point lies inside and every engine says that it violates the property."""
    return witness is not None and witness.replay.confirmed and all(witness.replay.violated.values()) and bool(witness.replay.violated)
