"""The answers to the questions: brackets, witnesses, traces and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from netassay.numerics.norms import Norm
from netassay.results.bracket import Bracket, Side
from netassay.results.trace import Trace
from netassay.results.witness import Witness


class Question(StrEnum):
    """What is asked of a problem (network, region, property)."""

    RADIUS = "radius"
    LIPSCHITZ = "lipschitz"
    REACH = "reach"


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
    frames: tuple[tuple[float, NDArray[np.floating]], ...] = ()

    def __repr__(self) -> str:
        """One line without the arrays: what was asked, and the brackets."""
        brackets = {name: value for name, value in vars(self).items() if isinstance(value, Bracket)}
        sides = ", ".join(f"{name}=[{_short(b.lower)}, {_short(b.upper)}]" for name, b in brackets.items())
        return f"{type(self).__name__}({self.outcome}, input {self.index}, {self.risk.spec or self.risk.text}, {sides})"


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
