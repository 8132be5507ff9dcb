"""Whether a certificate's claim is what an answer says: a file may prove something, and something else than what it is kept for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netassay.checking.certificates.exponential import rational_logarithm
from netassay.checking.certificates.region import Region
from netassay.checking.certificates.scores import Scores
from netassay.checking.certificates.statement import Case, Part, Statement
from netassay.errors import InputError
from netassay.models.scores import Decision, Meaning, OutputConvention, Scale
from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.bracket import Side
from netassay.results.guarantee import Arithmetic
from netassay.results.summary import proved_value, question_of
from netassay.specs.confidence_gap import ConfidenceGap
from netassay.specs.property import Property
from netassay.specs.reachability import Direction, Reachability
from netassay.specs.risks import parse_risk
from netassay.specs.robustness import Robustness
from netassay.specs.uncertainty import Uncertainty

WIDER = 1.000001e-9
"""By how much the ends of a range may lie outside those of the answer, relative to their size from 1 on; slopes, and radii from them,
relative to their size: a billionth, and what rounding adds."""

KNOWN = ("robustness", "targeted", "gap", "reachability", "uncertainty")
"""Risks of which the name says all; others name files, or have no certificates."""

Floats = NDArray[np.float64]
Form = tuple[Floats, Fraction]
"""``<row, y> + constant``, a linear form of the network's outputs, or of its probabilities."""


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What an answer leaves unsaid.

    Args:
        convention: What the outputs mean.
        outputs: (m,) the network's outputs at the input.
        lower, upper: The input domain; None where it has no limits.
        scale: Unit of each feature's changes; None for 1.
    """

    convention: OutputConvention
    outputs: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    scale: Floats | None = None


class _OtherError(Exception):
    """The claim is another one."""


def difference(statement: Statement, answer: Answer, setting: Setting) -> str:
    """How the claim falls short of what is proved according to the answer; empty where it says all of that.

    Of features that may not change it is seen that they are as many as the answer says, not which they are; of an L0 ball not what
    counts as one pixel. Neither is said by the answer.

    Args:
        statement: What a certificate claims.
        answer: Of any question.
        setting: What belongs to it.
    """
    try:
        if not isinstance(answer, RadiusAnswer | ReachAnswer | VerifyAnswer | LipschitzAnswer):
            raise _OtherError(f"an answer about {question_of(answer)} cannot be compared with a claim")
        if statement.float32 is not _in_float32(answer):
            raise _OtherError("one of them is about the network in real arithmetic, the other about float32")
        if len(statement.cases) != 1:
            raise _OtherError(f"it has {len(statement.cases)} cases; a certificate of one answer has one")
        (case,) = statement.cases
        _covers(case.region, answer, setting)
        if (case.slopes is not None) is not isinstance(answer, LipschitzAnswer):
            raise _OtherError("one of them is about slopes, the other about values")
        about = _about(answer, setting)
        if statement.scores != about:
            raise _OtherError(f"the answer is about {'the outputs' if about is None else about.text}, and it is not")
        if isinstance(answer, LipschitzAnswer):
            _changes(case, _forms(answer, setting), answer, setting)
        elif isinstance(answer, ReachAnswer):
            _bounds(case, _forms(answer, setting), answer, setting)
        else:
            strict = not _property(answer, setting).zero_is_safe
            if strict and not statement.strict:
                raise _OtherError("it allows s = 0, which the answer does not")
            shows = _diverges if about is not None and about.logarithms else _shows
            shows(case, _forms(answer, setting))
    except _OtherError as error:
        return f"it is not about this answer: {error}"
    except InputError as error:
        return f"whether it is about this answer cannot be seen: {error}"
    return ""


def _in_float32(answer: Answer) -> bool:
    side = answer.bracket.lower if isinstance(answer, VerifyAnswer) else None
    return side is not None and side.arithmetic is Arithmetic.FLOAT32


def _radius(answer: Answer) -> float:
    """The radius of the ball in which something is proved."""
    if isinstance(answer, RadiusAnswer):
        return _proved(answer.bracket.lower)
    if isinstance(answer, VerifyAnswer) and (answer.verdict is not Verdict.HOLDS or math.isnan(_proved(answer.bracket.lower))):
        raise _OtherError("the answer does not say that the property holds")
    if answer.region.radius is None or not math.isfinite(answer.region.radius):
        raise _OtherError("the answer is about no ball")
    return answer.region.radius


def _proved(side: Side | None) -> float:
    value = proved_value(side)
    if value is None or not math.isfinite(value):
        raise _OtherError("the answer says of nothing that it is proved")
    return value


def _covers(region: Region, answer: Answer, setting: Setting) -> None:
    """That the region holds the answer's ball, cut at the domain."""
    radius, norm, center = Fraction(_radius(answer)), answer.region.norm, answer.center.reshape(-1)
    n = len(center)
    scale = np.ones(n) if setting.scale is None else setting.scale.reshape(-1)
    if not (np.isfinite(center).all() and np.isfinite(scale).all()):
        raise _OtherError("the answer's input, or the unit of its changes, is not finite")
    if region.lower.shape != (n,) or scale.shape != (n,) or norm is None:
        raise _OtherError(f"a ball of norm {norm} around {n} features cannot be compared with a region of {len(region.lower)}")
    ball = region.ball
    if ball is not None:
        same = np.array_equal(ball.center, center) and (norm is Norm.L0 or np.array_equal(ball.scale, scale))
        if not same or Fraction(ball.radius) < radius or str(norm) != f"l{ball.norm}":
            raise _OtherError("its ball has another norm, centre or unit, or a smaller radius")
    if not ((region.lower <= center) & (center <= region.upper)).all():
        raise _OtherError("its region does not hold the answer's input")
    reach = None if norm is Norm.L0 else radius
    covered = np.fromiter(_sides(region, center, scale, reach, setting), dtype=np.bool_, count=n)
    if covered.sum() < answer.region.free_features:
        raise _OtherError(f"its region holds the whole ball in {covered.sum()} features, and {answer.region.free_features} may change")


def _sides(region: Region, center: Floats, scale: Floats, radius: Fraction | None, setting: Setting) -> Iterator[bool]:
    """Of each feature, whether the region reaches as far as the ball and the domain do, exactly; without a radius, as the domain alone."""
    lower, upper = (None if corner is None else corner.reshape(-1) for corner in (setting.lower, setting.upper))
    for i, (low, high) in enumerate(zip(region.lower.tolist(), region.upper.tolist(), strict=True)):
        down, up = low <= (-np.inf if lower is None else lower[i]), high >= (np.inf if upper is None else upper[i])
        if radius is not None:
            reach, middle = radius * Fraction(float(scale[i])), Fraction(float(center[i]))
            down, up = down or Fraction(low) <= middle - reach, up or Fraction(high) >= middle + reach
        yield bool(down and up)


def _property(answer: Answer, setting: Setting) -> Property:
    spec = answer.risk.spec
    if spec.partition("@")[0].partition(":")[0] not in KNOWN:
        raise _OtherError(f"risks such as {spec[:60]!r} cannot be compared")
    return parse_risk(spec).bind(setting.convention, setting.outputs)


def _about(answer: Answer, setting: Setting) -> Scores | None:
    """What a claim that says what an answer says is about; None for the outputs, also where the order of probabilities is enough."""
    asked, convention = _property(answer, setting), setting.convention
    valued = isinstance(answer, ReachAnswer | LipschitzAnswer)
    if convention.meaning not in (Meaning.LOGITS, Meaning.BINARY_LOGIT):
        return None
    signed = isinstance(asked, Robustness | ConfidenceGap) and asked.eps == 0 and not valued
    if not isinstance(asked, Uncertainty) and (signed or asked.on is not Scale.PROBABILITIES):
        return None
    return Scores(isinstance(asked, Uncertainty), convention.meaning is Meaning.BINARY_LOGIT, convention.decision is Decision.ARGMIN)


def _forms(answer: Answer, setting: Setting) -> list[Form]:
    """The linear forms whose least one is s, or has its sign; of a divergence only what is taken off it, eps."""
    asked, outputs, about = _property(answer, setting), len(setting.outputs), _about(answer, setting)
    scores = _scores(setting.convention, outputs, asked.on) if about is None else np.eye(about.labels(outputs))
    if isinstance(asked, Uncertainty) and about is not None and asked.reference is None:
        return [(np.zeros(len(scores)), -Fraction(asked.eps))]
    if isinstance(asked, Robustness):
        if asked.label != answer.label:
            raise _OtherError(f"the answer is about label {answer.label}, and the network's outputs there decide for {asked.label}")
        return [(scores[asked.label] - scores[j], -Fraction(asked.eps)) for j in range(len(scores)) if j != asked.label]
    if isinstance(asked, ConfidenceGap):
        return [(scores[asked.label] - scores[asked.other], -Fraction(asked.eps))]
    if isinstance(asked, Reachability):
        sign = 1 if asked.direction is Direction.BELOW else -1
        return [(sign * scores[asked.label], -sign * Fraction(asked.threshold))]
    raise _OtherError(f"the property {asked.name} cannot be compared")


def _scores(convention: OutputConvention, outputs: int, on: Scale) -> Floats:
    """(labels, outputs) the scores as linear forms of the outputs; for probabilities, what has their order."""
    if on is Scale.OUTPUTS or (on is Scale.PROBABILITIES and convention == OutputConvention(Meaning.PROBABILITIES)):
        return np.eye(outputs)
    rows = {Meaning.LOGITS: np.eye(outputs), Meaning.BINARY_LOGIT: np.array([[0.0], [1.0]])}.get(convention.meaning)
    if rows is None:
        raise _OtherError(f"{on} of a network that gives {convention.meaning} are no linear forms of its outputs")
    return -rows if convention.decision is Decision.ARGMIN else rows


def _shows(case: Case, forms: Sequence[Form], shift: Fraction = Fraction(0)) -> None:
    """That each form less the shift is positive: some part of a single row says so of it, or of less."""
    rows = {part.rows.tobytes(): Fraction(float(part.constants[0])) for part in _by_constant(case) if len(part.rows) == 1}
    for row, constant in forms:
        found = rows.get(np.ascontiguousarray(row + 0.0).tobytes())
        if found is None or found > constant - shift:
            raise _OtherError("of one of the comparisons that the answer makes it says nothing, or too little")


def _diverges(case: Case, forms: Sequence[Form], shift: Fraction = Fraction(0), sign: int = 1) -> None:
    """That the divergence from the uniform distribution is at least eps and the shift, or (sign -1) at most: some part says so, or more.

    Logarithms of probabilities are not positive, so that their factors may be greater than -1 / m, or than 1 / m.
    """
    for part in case.parts:
        m = part.rows.shape[1]
        enough = all(Fraction(r) >= Fraction(-sign, m) for r in part.rows[0].tolist())
        most = sign * (forms[0][1] - shift - rational_logarithm(Fraction(m))[1 if sign > 0 else 0])
        if len(part.rows) == 1 and enough and Fraction(float(part.constants[0])) <= most:
            return
    raise _OtherError("of the divergence that the answer is about it says nothing, or too little")


def _by_constant(case: Case) -> list[Part]:
    """The parts, those that say most last."""
    return sorted((Part(p.rows + 0.0, p.constants) for p in case.parts), key=lambda p: -float(p.constants[0]))


def _bounds(case: Case, forms: Sequence[Form], answer: ReachAnswer, setting: Setting) -> None:
    """That s lies between the ends that are proved, or a little more."""
    sides = (answer.minimum.lower, answer.maximum.upper)
    low, high = (None if proved_value(side) is None else _proved(side) for side in sides)
    if low is None and high is None:
        raise _OtherError("the answer says of nothing that it is proved")
    diverges = isinstance(_property(answer, setting), Uncertainty)
    if low is not None:
        (_diverges if diverges else _shows)(case, forms, _widened(low, -1))
    if high is not None and diverges:
        _diverges(case, forms, _widened(high, 1), -1)
    elif high is not None:
        end = _widened(high, 1)
        allowed = {np.ascontiguousarray(0.0 - row).tobytes(): end - constant for row, constant in forms}
        if not any(_within(part, allowed) for part in case.parts):
            raise _OtherError("it says nothing of the greatest value, or too little")


def _changes(case: Case, forms: Sequence[Form], answer: LipschitzAnswer, setting: Setting) -> None:
    """That it is about this s, from this input on in this distance, and that the slopes and Theorem 1's radius follow from it."""
    claim, norm, center = case.slopes, answer.region.norm, answer.center.reshape(-1)
    scale = np.ones(len(center)) if setting.scale is None else setting.scale.reshape(-1)
    if claim is None or str(norm) != ("linf" if claim.norm is None else f"l{claim.norm}"):
        raise _OtherError("its slopes are about another distance")
    if not (np.array_equal(claim.center, center) and np.array_equal(claim.scale, scale)):
        raise _OtherError("its slopes are about another input, or in other units")
    if isinstance(_property(answer, setting), Uncertainty):
        _is_divergence(case, forms)
    else:
        _are(case, forms)
    falling = _proved(answer.falling.upper)
    sides = [(claim.falling, falling)]
    if proved_value(answer.bracket.upper) is not None:
        steepest = _proved(answer.bracket.upper)
        sides += [(claim.falling, steepest), (math.inf if claim.rising is None else claim.rising, steepest)]
    if any(not math.isfinite(side) or Fraction(side) > _larger(limit) for side, limit in sides):
        raise _OtherError("it allows steeper slopes")
    if proved_value(answer.d_prime_lower) is not None:
        radius = claim.radius(_radius(answer))
        if radius is None or _larger(radius) < Fraction(_proved(answer.d_prime_lower)):
            raise _OtherError("the radius of Theorem 1 does not follow from it")


def _are(case: Case, forms: Sequence[Form]) -> None:
    """That the parts are exactly these forms."""
    made = {(np.ascontiguousarray(row + 0.0).tobytes(), constant) for row, constant in forms}
    given = {((p.rows[0] + 0.0).tobytes(), Fraction(float(p.constants[0]))) for p in case.parts if len(p.rows) == 1}
    if made != given or any(len(p.rows) != 1 for p in case.parts):
        raise _OtherError("its slopes are those of another property")


def _is_divergence(case: Case, forms: Sequence[Form]) -> None:
    """That the only part is a multiple of the divergence from the uniform distribution, nearly 1, and no more than it less eps.

    Slopes of the divergence are then the part's but for a share of 2**-50, and it is at least eps where the part is not negative.
    """
    _diverges(case, forms)
    (part,) = case.parts if len(case.parts) == 1 else (None,)
    row = np.zeros(0) if part is None else part.rows[0]
    if not len(row) or (row != row[0]).any() or abs(Fraction(float(row[0])) * len(row) + 1) > Fraction(1, 2**50):
        raise _OtherError("its slopes are those of another property")


def _larger(value: float | Fraction) -> Fraction:
    return Fraction(value) * (1 + Fraction(WIDER))


def _widened(end: float, sign: int) -> Fraction:
    return Fraction(end) + sign * Fraction(WIDER) * max(Fraction(1), abs(Fraction(end)))


def _within(part: Part, allowed: dict[bytes, Fraction]) -> bool:
    """Whether each row of the part being positive keeps some form below the end."""
    given = ((row + 0.0).tobytes() for row in part.rows)
    return all(key in allowed and Fraction(float(c)) <= allowed[key] for key, c in zip(given, part.constants, strict=True))
