"""Answers of a whole campaign on the digits, six questions each: exact for a linear classifier, so quick to make by the thousand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from netassay.numerics.norms import Norm
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer, Risk, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.guarantee import Guarantee
from netassay.results.trace import Trace
from netassay.results.witness import RiskClass
from netassay.store.records import Campaign, Presentation
from reports.sample_answers import Array, LinearModel, common, side, witness

ROBUST = Risk("robustness", "min over j != k of (f_k - f_j)", "logits", "robustness@logits")
BALL = 0.02


def campaign_answers(count: int = 1797, *, train: int = 1200) -> list[Answer]:
    """Radius in two norms, verdict, slopes in two norms and range, of the first ``count`` digits; the model learns the first ``train``."""
    data = load_digits()
    x = (data.images / 16).reshape(-1, 1, 8, 8)
    model = LinearModel(x[:train], data.target[:train], "digits-linear")
    chosen = [(i, x[i], int(data.target[i])) for i in range(count)]
    found: list[Answer] = [radius(model, *c, norm) for norm in (Norm.LINF, Norm.L2) for c in chosen]
    found += [verdict(model, *c) for c in chosen]
    found += [slope(model, *c, norm) for norm in (Norm.LINF, Norm.L2) for c in chosen]
    return found + [reached(model, *c) for c in chosen]


def campaign(answers: list[Answer], **changes: Any) -> Campaign:
    about: dict[str, Any] = {
        "id": 1,
        "command": "netassay assess digits-linear digits --store runs.db",
        "created": "2026-01-02T03:04:05+00:00",
        "title": "Digits",
        "model": "digits-linear",
        "model_sha256": "ab" * 32,
        "data": "digits",
        "tool_version": "0.1",
        "asked": len(answers),
        "finished": len(answers),
        "left_out": 0,
        "failed": 0,
        "presentation": Presentation(input_shape=(1, 8, 8), image_layout=(1, 8, 8), output_meaning="logits", decision="argmax"),
    }
    return Campaign(**(about | changes))


def rival(model: LinearModel, center: Array, norm: Norm) -> tuple[float, Array]:
    """The exact distance to the nearest decision limit, and the change that reaches it."""
    label, logits = model.label(center), model.logits(center)
    best: tuple[float, Array] | None = None
    for k in set(range(len(logits))) - {label}:
        slopes = model.weights[label] - model.weights[k]
        dual = np.abs(slopes).sum() if norm is Norm.LINF else np.linalg.norm(slopes)
        distance = float((logits[label] - logits[k]) / dual)
        step = -np.sign(slopes) if norm is Norm.LINF else -slopes / dual
        if best is None or distance < best[0]:
            best = (distance, step.reshape(center.shape))
    assert best is not None
    return best


def about(model: LinearModel, center: Array, index: int, true_label: int, norm: Norm, risk: Risk, radius: float) -> dict[str, Any]:
    label = model.label(center)
    outcome = Outcome.MEASURED if label == true_label else Outcome.MISCLASSIFIED
    shared = common(model, center, index, true_label, norm, risk, model.margin(center, label), outcome)
    shared["region"] = replace(shared["region"], radius=radius)
    return shared


def radius(model: LinearModel, index: int, center: Array, true_label: int, norm: Norm) -> RadiusAnswer:
    shared = about(model, center, index, true_label, norm, ROBUST, 1.0 if norm is Norm.LINF else 8.0)
    if shared["outcome"] is Outcome.MISCLASSIFIED:
        return RadiusAnswer(**shared, bracket=Bracket(End.UPPER), witness=None, trace=Trace())
    distance, step = rival(model, center, norm)
    point = center + (1.02 * distance + 1e-6) * step
    shown = witness(model, center, point, norm, model.margin(point.astype(np.float32), model.label(center)), RiskClass.ADVERSARIAL)
    trace = Trace()
    for i in range(5):
        trace.append(100 * (i + 1), 0.01 * i, upper=(shown.distance or 0.0) * (1 + 0.3 * (4 - i)))
    proved = side((0.5 + 0.4 * (index % 5) / 4) * distance, Guarantee.PROVED, "crown") if index % 7 else None
    return RadiusAnswer(**shared, bracket=Bracket(End.UPPER, proved, side(shown.distance or 0.0)), witness=shown, trace=trace)


def verdict(model: LinearModel, index: int, center: Array, true_label: int) -> VerifyAnswer:
    shared = about(model, center, index, true_label, Norm.LINF, ROBUST, BALL)
    if shared["outcome"] is Outcome.MISCLASSIFIED:
        return VerifyAnswer(
            **shared, verdict=Verdict.UNKNOWN, reason="misclassified", bracket=Bracket(End.UPPER), witness=None, trace=Trace()
        )
    _, step = rival(model, center, Norm.LINF)
    label = model.label(center)
    point = (center + BALL * step).astype(np.float32)
    value = model.margin(point, label)
    shown = witness(model, center, point, Norm.LINF, value, RiskClass.ADVERSARIAL, claim=None if value < 0 else True)
    if value < 0:
        said, low, reason = Verdict.VIOLATED, None, ""
    elif index % 11 == 0:
        said, low, reason = Verdict.UNKNOWN, None, "time-out"
    else:
        known = Guarantee.SOLVER if index % 13 == 0 else Guarantee.PROVED
        said, low, reason = Verdict.HOLDS, side(max(0.0, 0.9 * value), known, "crown"), ""
    bracket = Bracket(End.UPPER, low, side(value))
    return VerifyAnswer(**shared, verdict=said, reason=reason, bracket=bracket, witness=shown, trace=Trace())


def slope(model: LinearModel, index: int, center: Array, true_label: int, norm: Norm) -> LipschitzAnswer:
    shared = about(model, center, index, true_label, norm, ROBUST, BALL)
    nothing = Bracket(End.LOWER)
    if shared["outcome"] is Outcome.MISCLASSIFIED:
        sides: dict[str, Any] = {"bracket": nothing, "falling": nothing, "witness": None, "falling_witness": None}
        return LipschitzAnswer(**shared, **sides, d_prime_lower=None, d_prime_upper=None, trace=Trace(), falling_trace=Trace())
    _, step = rival(model, center, norm)
    point = center + BALL * step
    shown = witness(model, center, point, norm, model.margin(point, model.label(center)), RiskClass.NO_ERROR, claim=True)
    found = abs(shared["center_value"] - shown.value) / (shown.distance or 1.0)
    bracket = Bracket(End.LOWER, side(found), side(1.3 * found + 1.0, Guarantee.PROVED, "ibp"))
    return LipschitzAnswer(
        **shared,
        bracket=bracket,
        falling=bracket,
        witness=shown,
        falling_witness=shown,
        d_prime_lower=side(min(BALL, shared["center_value"] / (1.3 * found + 1.0)), Guarantee.PROVED, "ibp"),
        d_prime_upper=side(shared["center_value"] / found, Guarantee.HEURISTIC),
        trace=Trace(),
        falling_trace=Trace(),
    )


def reached(model: LinearModel, index: int, center: Array, true_label: int) -> ReachAnswer:
    shared = about(model, center, index, true_label, Norm.LINF, Risk("output", "f_0", "logits", "output:0"), BALL)
    slopes = np.sign(model.weights[0]).reshape(center.shape)
    ends: list[tuple[NDArray[np.float32], float]] = []
    for sign in (-1, 1):
        point = (center + sign * BALL * slopes).astype(np.float32)
        ends.append((point, float(model.logits(point)[0])))
    low, high = (witness(model, center, p, Norm.LINF, v, RiskClass.REACHABILITY, claim=True) for p, v in ends)
    shared["outcome"] = Outcome.MEASURED
    return ReachAnswer(
        **shared,
        minimum=Bracket(End.UPPER, side(ends[0][1] - 0.1, Guarantee.PROVED, "ibp"), side(ends[0][1])),
        maximum=Bracket(End.LOWER, side(ends[1][1]), side(ends[1][1] + 0.1, Guarantee.PROVED, "ibp")),
        minimum_witness=low,
        maximum_witness=high,
        minimum_trace=Trace(),
        maximum_trace=Trace(),
    )
