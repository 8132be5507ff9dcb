"""Answers for report tests: linear classifiers on real data, with witnesses that really are what they claim.

Distances, values and labels are computed from the points themselves, so documents made of them pass every check.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

from netassay.numerics.norms import Norm
from netassay.results.answer import (
    Answer,
    LipschitzAnswer,
    Outcome,
    Provenance,
    RadiusAnswer,
    ReachAnswer,
    RegionSummary,
    Risk,
    TargetResult,
    Verdict,
    VerifyAnswer,
)
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.trace import Trace
from netassay.results.witness import Replay, RiskClass, Witness

Array = NDArray[np.float64]


class LinearModel:
    """Logits ``w x + b`` by least squares, inputs in [0, 1]."""

    def __init__(self, x: Array, y: NDArray[np.int64], name: str) -> None:
        flat = x.reshape(len(x), -1)
        design = np.hstack([flat, np.ones((len(flat), 1))])
        gram = design.T @ design + 1e-2 * np.eye(design.shape[1])
        solution = np.linalg.solve(gram, design.T @ np.eye(int(y.max()) + 1)[y]) * 6
        self.weights, self.bias = solution[:-1].T, solution[-1]
        self.name = name

    def logits(self, point: NDArray[np.floating]) -> Array:
        return np.asarray(self.weights @ np.asarray(point, dtype=np.float64).reshape(-1) + self.bias)

    def label(self, point: NDArray[np.floating]) -> int:
        return int(np.argmax(self.logits(point)))

    def margin(self, point: NDArray[np.floating], label: int) -> float:
        logits = self.logits(point)
        return float(logits[label] - np.delete(logits, label).max())

    def divergence(self, point: NDArray[np.floating], eps: float) -> float:
        """s of uncertainty: KL(uniform || f) - eps."""
        z = self.logits(point)
        return float(-eps - math.log(len(z)) - z.mean() + z.max() + math.log(np.exp(z - z.max()).sum()))


def side(value: float, guarantee: Guarantee = Guarantee.ATTAINED, source: str = "tpmads") -> Side:
    return Side(value, guarantee, source, Arithmetic.FLOAT64)


def witness(
    model: LinearModel, center: Array, point: Array, norm: Norm, value: float, risk: RiskClass, *, claim: bool | None = None
) -> Witness:
    stored = point.astype(np.float32)
    distance = float(norm.length((stored.astype(np.float64) - center).reshape(1, -1))[0])
    replay = Replay(
        {"torch-float32": value, "torch-float64": value}, True, {"torch-float32": value <= 0, "torch-float64": value <= 0}, claim
    )
    return Witness(stored, model.logits(stored), distance, value, model.label(stored), risk, replay)


def common(
    model: LinearModel, center: Array, index: int, true_label: int, norm: Norm, risk: Risk, value: float, outcome: Outcome
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "index": index,
        "risk": risk,
        "region": RegionSummary(norm, float({Norm.LINF: 1.0, Norm.L2: 8.0, Norm.L0: 64.0, Norm.L1: 64.0}[norm]), center.size, center.size),
        "center": center,
        "center_value": value,
        "label": model.label(center),
        "true_label": true_label,
        "provenance": Provenance(
            model=model.name,
            model_sha256=hashlib.sha256(model.weights.tobytes()).hexdigest(),
            input_sha256=hashlib.sha256(center.tobytes()).hexdigest(),
            method="auto",
            options={"queries": 10_000, "seconds": None, "tolerance": None},
            seed=7,
            device="cpu",
            dtype="float32",
            tool_version="0.1.0",
            queries=9000 + 13 * index,
            batched_calls=84,
            seconds=1.25,
        ),
    }


def heading(slope: Array, norm: Norm) -> Array:
    """A direction that raises ``slope @ x``; for L0 it changes the nine most important features only."""
    if norm is Norm.LINF:
        return np.asarray(np.sign(slope))
    if norm is Norm.L2:
        return np.asarray(6 * slope / np.linalg.norm(slope))
    strongest = np.sort(np.abs(slope).reshape(-1))[-9]
    return np.where(np.abs(slope) >= strongest, np.sign(slope), 0)


def walk(value: Callable[[Array], float], center: Array, direction: Array) -> Array | None:
    """The first violating point (float32, inside [0, 1]) along ``direction``; None if there is none."""
    for t in np.linspace(0, 1, 1001)[1:]:
        point = np.clip(center + t * direction, 0, 1).astype(np.float32).astype(np.float64)
        if value(point) < 0:
            return point
    return None


def descend(model: LinearModel, center: Array, radius: float, eps: float) -> list[Array]:
    """Projected descent of the uncertainty expression in the L-infinity ball, until it violates or 40 steps are done."""
    way, point = [center], center
    for _ in range(40):
        z = model.logits(point)
        shares = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        gradient = (model.weights.T @ (shares - 1 / len(z))).reshape(center.shape)
        step = np.clip(point - 0.1 * radius * np.sign(gradient), center - radius, center + radius)
        point = np.clip(step, 0, 1).astype(np.float32).astype(np.float64)
        way.append(point)
        if model.divergence(point, eps) < 0:
            break
    return way


def falling_trace(distance: float, queries: int) -> Trace:
    trace = Trace()
    for i, factor in enumerate((2.6, 1.7, 1.3, 1.1, 1.02, 1.0)):
        trace.append(40 * 3**i if i < 5 else queries, 0.1 * i, upper=factor * distance)
    return trace


def robustness(
    model: LinearModel, center: Array, index: int, true_label: int, norm: Norm = Norm.LINF, proved: float | None = None
) -> RadiusAnswer:
    label = model.label(center)
    risk = Risk("robustness", f"min over j != {label} of (f_{label} - f_j)", "logits", "robustness")

    def s(point: NDArray[np.floating]) -> float:
        return model.margin(point, label)

    outcome = Outcome.MEASURED if label == true_label else Outcome.MISCLASSIFIED
    shared = common(model, center, index, true_label, norm, risk, s(center), outcome)
    if outcome is Outcome.MISCLASSIFIED:
        return RadiusAnswer(**shared, bracket=Bracket(End.UPPER), witness=None, trace=Trace())
    found = []
    for k in set(range(len(model.bias))) - {label}:
        slope = (model.weights[k] - model.weights[label]).reshape(center.shape)
        point = walk(s, center, heading(slope, norm))
        if point is not None:
            found.append(witness(model, center, point, norm, s(point), RiskClass.ADVERSARIAL))
    if not found:
        shared["outcome"] = Outcome.NO_WITNESS
        return RadiusAnswer(**shared, bracket=Bracket(End.UPPER), witness=None, trace=Trace())
    nearest = min(found, key=lambda w: w.distance or 0.0)
    distance = nearest.distance or 0.0
    attained = max(0.0, distance - 1) if norm is Norm.L0 else distance
    bracket = Bracket(End.UPPER, None if proved is None else side(proved * attained, Guarantee.PROVED, "zonotope"), side(attained))
    return RadiusAnswer(**shared, bracket=bracket, witness=nearest, trace=falling_trace(attained, shared["provenance"].queries))


def uncertainty(model: LinearModel, center: Array, index: int, true_label: int, eps: float = 0.3) -> RadiusAnswer:
    risk = Risk("uncertainty", f"KL(uniform || f) - {eps}", "probabilities", f"uncertainty:{eps}")

    def s(point: NDArray[np.floating]) -> float:
        return model.divergence(point, eps)

    ways = [descend(model, center, radius, eps) for radius in (0.05, 0.1, 0.15, 0.2, 0.25)]
    way = next((w for w in ways if s(w[-1]) < 0), ways[-1])
    point = way[-1] if s(way[-1]) < 0 else None
    outcome = Outcome.NO_WITNESS if point is None else Outcome.MEASURED
    shared = common(model, center, index, true_label, Norm.LINF, risk, s(center), outcome)
    shared["region"] = replace(shared["region"], radius=0.25)
    frames = tuple((s(p), p.astype(np.float32)) for p in way[: -1 : max(1, len(way) // 6)])
    if point is None:
        return RadiusAnswer(**shared, frames=frames, bracket=Bracket(End.UPPER), witness=None, trace=Trace())
    shown = witness(model, center, point, Norm.LINF, s(point), RiskClass.UNCERTAINTY)
    distance = shown.distance or 0.0
    frames = (*frames, (s(point), shown.point))
    return RadiusAnswer(
        **shared, frames=frames, bracket=Bracket(End.UPPER, upper=side(distance)), witness=shown, trace=falling_trace(distance, 9000)
    )


def lipschitz(model: LinearModel, center: Array, index: int, true_label: int) -> LipschitzAnswer:
    label = model.label(center)
    risk = Risk("robustness", f"min over j != {label} of (f_{label} - f_j)", "logits", "robustness")
    value = model.margin(center, label)
    points = []
    for k in range(len(model.bias)):
        slope = np.sign(model.weights[k] - model.weights[label]).reshape(center.shape)
        points.append(np.clip(center + 0.1 * slope, 0, 1).astype(np.float32).astype(np.float64))
    distances = [float(np.abs(p - center).max()) for p in points]
    slopes = [(value - model.margin(p, label)) / d if d else 0.0 for p, d in zip(points, distances, strict=True)]
    best = int(np.argmax(slopes))
    shown = witness(model, center, points[best], Norm.LINF, model.margin(points[best], label), RiskClass.NO_ERROR, claim=True)
    trace = Trace()
    for i, factor in enumerate((0.4, 0.8, 0.95, 1.0)):
        trace.append(30 * 5**i, 0.1 * i, lower=factor * slopes[best])
    bracket = Bracket(End.LOWER, lower=side(slopes[best]))
    return LipschitzAnswer(
        **common(model, center, index, true_label, Norm.LINF, risk, value, Outcome.MEASURED),
        bracket=bracket,
        falling=bracket,
        witness=shown,
        falling_witness=shown,
        d_prime_lower=None,
        d_prime_upper=side(min(1.0, value / slopes[best]), Guarantee.HEURISTIC, "tpmads (Theorem 1 with the Q found)")
        if value >= 0
        else None,
        trace=trace,
        falling_trace=trace,
    )


def reach(model: LinearModel, center: Array, index: int, true_label: int, radius: float = 0.05) -> ReachAnswer:
    label = model.label(center)
    risk = Risk("reachability", f"f_{label}", "logits", f"reachability:{label}")
    row = model.weights[label].reshape(center.shape)
    ends = [np.clip(center + d * radius * np.sign(row), 0, 1).astype(np.float32).astype(np.float64) for d in (-1, 1)]
    values = [float(model.logits(p)[label]) for p in ends]
    shown = [witness(model, center, p, Norm.LINF, v, RiskClass.NOT_APPLICABLE, claim=True) for p, v in zip(ends, values, strict=True)]
    low, high = Trace(), Trace()
    at_center = float(model.logits(center)[label])
    for i, share in enumerate((0.0, 0.6, 0.9, 1.0)):
        low.append(1 + 60 * i, 0.1 * i, upper=values[0] if share == 1 else at_center + share * (values[0] - at_center))
        high.append(1 + 60 * i, 0.1 * i, lower=values[1] if share == 1 else at_center + share * (values[1] - at_center))
    return ReachAnswer(
        **common(model, center, index, true_label, Norm.LINF, risk, at_center, Outcome.MEASURED),
        minimum=Bracket(End.UPPER, upper=side(values[0])),
        maximum=Bracket(End.LOWER, lower=side(values[1])),
        minimum_witness=shown[0],
        maximum_witness=shown[1],
        minimum_trace=low,
        maximum_trace=high,
    )


def verified(
    model: LinearModel,
    center: Array,
    index: int,
    true_label: int,
    radius: float = 0.02,
    *,
    guarantee: Guarantee = Guarantee.PROVED,
    reason: str = "",
) -> VerifyAnswer:
    """The verdict on robustness in an L-infinity ball, exact for a linear model; ``reason`` makes one that holds unknown."""
    label = model.label(center)
    risk = Risk("robustness", f"min over j != {label} of (f_{label} - f_j)", "logits", "robustness")
    outcome = Outcome.MEASURED if label == true_label else Outcome.MISCLASSIFIED
    shared = common(model, center, index, true_label, Norm.LINF, risk, model.margin(center, label), outcome)
    shared["region"] = replace(shared["region"], radius=radius)
    if outcome is Outcome.MISCLASSIFIED:
        return VerifyAnswer(
            **shared, verdict=Verdict.UNKNOWN, reason="misclassified", bracket=Bracket(End.UPPER), witness=None, trace=Trace()
        )
    worst: dict[int, tuple[float, Array]] = {}
    for j in sorted(set(range(len(model.bias))) - {label}):
        slope = (model.weights[label] - model.weights[j]).reshape(center.shape)
        corner = np.clip(center - radius * np.sign(slope), 0, 1)
        point = np.where(
            slope > 0, np.nextafter(corner.astype(np.float32), np.float32(1)), np.nextafter(corner.astype(np.float32), np.float32(0))
        )
        point = np.clip(point, 0, 1).astype(np.float64)
        logits = model.logits(corner)
        worst[j] = (float(logits[label] - logits[j]), point)
    least = min(value for value, _ in worst.values())
    point = min(worst.values(), key=lambda pair: pair[0])[1]
    attained = model.margin(point, label)
    violated = attained < 0
    shown = witness(model, center, point, Norm.LINF, attained, RiskClass.ADVERSARIAL, claim=None if violated else True)
    verdict = Verdict.VIOLATED if violated else Verdict.UNKNOWN if reason else Verdict.HOLDS
    low = side(-1.0 if reason else least - 1e-9, guarantee, "linear bounds")
    targets = tuple(
        TargetResult(j, -value + 1e-9, Verdict.HOLDS if value > 0 else Verdict.VIOLATED, value > 1, 0.01)
        for j, (value, _) in sorted(worst.items(), key=lambda item: item[1][0])
    )
    trace = Trace()
    for i, share in enumerate((3.0, 2.0, 1.5, 1.0)):
        trace.append(1 + 50 * i, 0.1 * i, None if violated else low.value - (share - 1), attained + (share - 1))
    return VerifyAnswer(
        **shared,
        verdict=verdict,
        reason="" if violated else reason,
        bracket=Bracket(End.UPPER, None if violated else low, side(attained)),
        witness=shown,
        targets=() if reason else targets,
        trace=trace,
    )


def digits() -> tuple[LinearModel, Array, NDArray[np.int64]]:
    data = load_digits()
    x = (data.images / 16).reshape(-1, 1, 8, 8)
    return LinearModel(x[:1200], data.target[:1200], "digits-linear"), x[1200:], data.target[1200:]


def cancer() -> tuple[LinearModel, Array, NDArray[np.int64], list[str]]:
    data = load_breast_cancer()
    low, high = data.data.min(axis=0), data.data.max(axis=0)
    x = (data.data - low) / (high - low)
    return LinearModel(x[:400], data.target[:400], "cancer-linear"), x[400:], data.target[400:], [str(n) for n in data.feature_names]


def image_answers(count: int = 8) -> list[Answer]:
    """Robustness in two norms, uncertainty with its frames, slopes and ranges of ``count`` digits; the last one is misclassified."""
    model, x, y = digits()
    right = [i for i in range(len(x)) if model.label(x[i]) == y[i]][: count - 1]
    chosen = [*right, next(i for i in range(len(x)) if model.label(x[i]) != y[i])]
    answers: list[Answer] = []
    for norm in (Norm.LINF, Norm.L0):
        answers += [robustness(model, x[i], i, int(y[i]), norm, proved=None) for i in chosen]
    answers += [uncertainty(model, x[i], i, int(y[i])) for i in right]
    answers += [lipschitz(model, x[i], i, int(y[i])) for i in right]
    return [*answers, *(reach(model, x[i], i, int(y[i])) for i in right[:3])]


def tabular_answers(count: int = 6, *, proved: float | None = 0.6) -> tuple[list[Answer], list[str]]:
    """Robustness (with a proved side, unless None) and slopes of breast-cancer records, and the feature names."""
    model, x, y, names = cancer()
    chosen = [i for i in range(len(x)) if model.label(x[i]) == y[i]][:count]
    answers: list[Answer] = [robustness(model, x[i], i, int(y[i]), Norm.L2, proved=proved) for i in chosen]
    return [*answers, *(lipschitz(model, x[i], i, int(y[i])) for i in chosen)], names


def verdicts(count: int = 8) -> list[VerifyAnswer]:
    """Verdicts on digits: proofs, one by a solver, violations, one unknown, one misclassified."""
    model, x, y = digits()
    right = [i for i in range(len(x)) if model.label(x[i]) == y[i]][: count - 1]
    wrong = next(i for i in range(len(x)) if model.label(x[i]) != y[i])
    safe = [i for i in right if verified(model, x[i], i, int(y[i])).verdict is Verdict.HOLDS]
    found = [verified(model, x[i], i, int(y[i])) for i in (*right, wrong)]
    found.append(verified(model, x[safe[0]], safe[0], int(y[safe[0]]), guarantee=Guarantee.SOLVER))
    return [*found, verified(model, x[safe[1]], safe[1], int(y[safe[1]]), reason="time-out")]
