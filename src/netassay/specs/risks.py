"""Risks by their command-line form, before their input is known.

``FORM`` or ``FORM@SCALE`` (probabilities, logits or outputs), where FORM is one row of ``RISKS``. Labels count from 0; ``own`` is
the network's decision at the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netassay.errors import PropertyError, UsageError, unknown_name
from netassay.models.scores import OutputConvention, Scale
from netassay.specs import expressions
from netassay.specs.confidence_gap import ConfidenceGap, GapCase
from netassay.specs.distributions import read_distribution
from netassay.specs.property import Property, RiskTemplate
from netassay.specs.reachability import Direction, Reachability
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty

OWN = "own"


@dataclass(frozen=True)
class RobustnessRisk:
    """No label overtakes the one of x."""

    spec: str
    eps: float
    on: Scale

    def bind(self, convention: OutputConvention, outputs: NDArray[np.float64]) -> Property:
        scores = _scores(convention, outputs, self.on)
        return _fitting(Robustness(_own(convention, outputs), self.eps, self.on), len(scores))


@dataclass(frozen=True)
class GapRisk:
    """The gap between two labels, each a number or chosen at x.

    Args:
        spec: Command-line form.
        label: j, or None for the decision at x.
        other: l, or None where ``case`` chooses it.
        case: How l is chosen.
        eps: The gap to keep.
        on: The scale.
    """

    spec: str
    label: int | None
    other: int | None
    case: GapCase
    eps: float
    on: Scale

    def bind(self, convention: OutputConvention, outputs: NDArray[np.float64]) -> Property:
        scores = _scores(convention, outputs, self.on)
        if self.case is GapCase.RUNNER_UP:
            return ConfidenceGap.runner_up(scores, self.eps, self.on)
        if self.case is GapCase.SMALLEST:
            return ConfidenceGap.smallest(scores, self.eps, self.on)
        own = _own(convention, outputs)
        label, other = (own if each is None else each for each in (self.label, self.other))
        return _fitting(ConfidenceGap(label, other, self.eps, self.case, self.on), len(scores))


@dataclass(frozen=True)
class UncertaintyRisk:
    """The divergence from the uniform or a given distribution stays above a threshold."""

    spec: str
    eps: float
    reference: tuple[float, ...] | None

    def bind(self, convention: OutputConvention, outputs: NDArray[np.float64]) -> Property:
        return _fitting(Uncertainty(self.eps, self.reference), len(_scores(convention, outputs, Scale.LOGITS)))


@dataclass(frozen=True)
class ReachabilityRisk:
    """A score falls below or rises above a threshold; ``label`` is None for the decision at x."""

    spec: str
    label: int | None
    direction: Direction
    eps: float
    on: Scale

    def bind(self, convention: OutputConvention, outputs: NDArray[np.float64]) -> Property:
        scores = _scores(convention, outputs, self.on)
        label = _own(convention, outputs) if self.label is None else self.label
        expressions.fits(label, len(scores), Reachability.name)
        center = float(scores[label]) if self.direction is Direction.RISE else None
        return Reachability(label, self.eps, self.direction, center, self.on)


@dataclass(frozen=True)
class RiskForm:
    """One row of the table of risks.

    Args:
        syntax: Command-line form.
        expression: s(x).
        meaning: What is a risk, in words.
        reference: Where it is defined.
        read: Makes the template from the parts after the name, the scale (None if not given) and the whole text.
    """

    syntax: str
    expression: str
    meaning: str
    reference: str
    read: Callable[[list[str], Scale | None, str], RiskTemplate]


def parse_risk(text: str) -> RiskTemplate:
    """Reads a risk from its command-line form, e.g. ``robustness:0.1@logits`` or ``reachability:own:below:0.5``.

    Raises:
        UsageError: If the name or scale is unknown (the message lists the known ones) or the parts do not fit its syntax.
        PropertyError: If a number is out of range; DataError: if a reference distribution cannot be read.
    """
    form, on = _split_scale(text.strip())
    name, *parts = form.split(":")
    if name not in RISKS:
        raise unknown_name("risk", name, [row.syntax for row in RISKS.values()])
    return RISKS[name].read(parts, on, text.strip())


def _split_scale(text: str) -> tuple[str, Scale | None]:
    head, at, tail = text.rpartition("@")
    if not at:
        return text, None
    if tail in list(Scale):
        return head, Scale(tail)
    if head.startswith("uncertainty:") and head.count(":") >= 2:
        return text, None  # an @ inside the file's name
    raise unknown_name("scale", tail, [str(scale) for scale in Scale])


def _robustness(parts: list[str], on: Scale | None, text: str) -> RiskTemplate:
    _count(parts, 0, 1, "robustness", text)
    scale = on or Scale.PROBABILITIES
    probe = Robustness(0, _number(parts[0], text) if parts else 0.0, scale)
    return RobustnessRisk(text, probe.eps, scale)


def _targeted(parts: list[str], on: Scale | None, text: str) -> RiskTemplate:
    _count(parts, 1, 2, "targeted", text)
    scale = on or Scale.PROBABILITIES
    return GapRisk(text, None, _label(parts[0], text), GapCase.TARGET, _gap_eps(parts[1:], scale, text), scale)


def _gap(parts: list[str], on: Scale | None, text: str) -> RiskTemplate:
    scale = on or Scale.PROBABILITIES
    if parts and parts[0] in (GapCase.RUNNER_UP, GapCase.SMALLEST):
        _count(parts, 1, 2, "gap", text)
        return GapRisk(text, None, None, GapCase(parts[0]), _gap_eps(parts[1:], scale, text), scale)
    _count(parts, 2, 3, "gap", text)
    eps = _gap_eps(parts[2:], scale, text)
    label = _label_or_own(parts[0], text)
    other = _label_or_own(parts[1], text)
    if label == other:
        raise UsageError(f"a gap needs two different labels; got {text!r}")
    return GapRisk(text, label, other, GapCase.GIVEN, eps, scale)


def _gap_eps(parts: list[str], on: Scale, text: str) -> float:
    return expressions.checked_eps(_number(parts[0], text) if parts else 0.0, expressions.checked_scale(on, "gap"), "gap")


def _uncertainty(parts: list[str], on: Scale | None, text: str) -> RiskTemplate:
    _count(parts, 1, math.inf, "uncertainty", text)
    if on not in (None, Scale.LOGITS):
        raise UsageError(f"uncertainty is measured on logits (a divergence of log-probabilities); leave out @{on} in {text!r}")
    reference = read_distribution(":".join(parts[1:])) if len(parts) > 1 else None
    probe = Uncertainty(_number(parts[0], text), reference)
    return UncertaintyRisk(text, probe.eps, probe.reference)


def _reachability(parts: list[str], on: Scale | None, text: str) -> RiskTemplate:
    _count(parts, 3, 3, "reachability", text)
    if parts[1] not in list(Direction):
        raise unknown_name("direction of reachability", parts[1], [str(d) for d in Direction])
    scale, direction = on or Scale.PROBABILITIES, Direction(parts[1])
    label = _label_or_own(parts[0], text)
    if label is None and scale is Scale.OUTPUTS:
        raise UsageError(f"'own' names a label, not a raw output; give the output's position in {text!r}, or leave out @outputs")
    probe = Reachability(label or 0, _number(parts[2], text), direction, 0.0 if direction is Direction.RISE else None, scale)
    return ReachabilityRisk(text, label, direction, probe.eps, scale)


def _count(parts: list[str], least: int, most: float, name: str, text: str) -> None:
    if not least <= len(parts) <= most or not all(parts):
        raise UsageError(f"cannot read the risk {text!r}; its form is {RISKS[name].syntax}")


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} in the risk {whole!r} is not a number") from error


def _label(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{text!r} in the risk {whole!r} is not a label; labels are whole numbers from 0")
    return int(text)


def _label_or_own(text: str, whole: str) -> int | None:
    return None if text == OWN else _label(text, whole)


def _scores(convention: OutputConvention, outputs: NDArray[np.float64], on: Scale) -> NDArray[np.float64]:
    raw = np.asarray(outputs, dtype=np.float64)
    if raw.ndim != 1 or not np.isfinite(raw).all():
        raise PropertyError(f"a risk is bound to the finite outputs (m,) of one input; got shape {raw.shape}: {raw}")
    return np.asarray(convention.scores(raw[None], on)[0])


def _own(convention: OutputConvention, outputs: NDArray[np.float64]) -> int:
    return int(np.argmax(_scores(convention, outputs, Scale.LOGITS)))


def _fitting(bound: Property, scores: int) -> Property:
    bound.check(scores)
    return bound


RISKS: dict[str, RiskForm] = {
    "robustness": RiskForm(
        "robustness[:EPS]",
        "f_k - max over j != k of f_j - EPS",
        "another label comes within EPS of the decision k at x, or overtakes it",
        "DeepQuant, Definitions 4 and 5, over all rivals",
        _robustness,
    ),
    "targeted": RiskForm(
        "targeted:K[:EPS]",
        "f_k - f_K - EPS",
        "label K comes within EPS of the decision k at x, or overtakes it",
        "DeepQuant, Definition 5 (Eq. 3), case 2",
        _targeted,
    ),
    "gap": RiskForm(
        "gap:J:L[:EPS] | gap:runner-up[:EPS] | gap:smallest[:EPS]",
        "f_J - f_L - EPS",
        "label L comes within EPS of label J, or overtakes it; each a label or 'own', or the decision against its runner-up or least label",
        "DeepQuant, Definition 5 (Eq. 3); runner-up is case 1, smallest is case 3",
        _gap,
    ),
    "uncertainty": RiskForm(
        "uncertainty:EPS[:FILE]",
        "KL(q || f) - EPS",
        "the divergence from the uniform distribution, or from the one in FILE, falls below EPS nats",
        "DeepQuant, Definition 7, Eqs. 8 and 9",
        _uncertainty,
    ),
    "reachability": RiskForm(
        "reachability:K:below|above|rise:EPS",
        "f_K - EPS (below), EPS - f_K (above), f_K(x) + EPS - f_K (rise)",
        "the probability of label K (or 'own') falls below EPS, reaches EPS, or rises by EPS over its value at x",
        "DeepQuant, section 4.3 (below) and Definition 2 (above, rise)",
        _reachability,
    ),
}
