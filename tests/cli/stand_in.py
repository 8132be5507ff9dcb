"""A verifier for tests of the command line: exact where s is a least of linear functions of two inputs, and on demand slow, wrong or dying.

It stands in for ``netassay.assessment.verify``, also in processes of their own, which find its functions by name.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from netassay.assessment.answers import risk, summary
from netassay.checking.replay import Replayer
from netassay.cli import instances
from netassay.cli.instances import Row, Task
from netassay.models.scores import Scale
from netassay.numerics.box import Box
from netassay.numerics.budget import Budget
from netassay.results.answer import Outcome, Provenance, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.trace import Trace
from netassay.specs.problem import Problem

METHODS = ("solver", "unknown", "interrupt", "second-call-interrupts", "boom", "memory")
CALLS: list[dict[str, Any]] = []
"""What each call was given."""


def verify(
    problems: Sequence[Problem],
    *,
    method: str,
    budget: Budget,
    seed: int,
    order: str = "bounds",
    float32: bool = False,
    progress: Any = None,
    stop: Any = None,
) -> list[VerifyAnswer]:
    """Verdicts from the corners of each region; ``method`` says what goes wrong ("solver", "unknown", "interrupted", "boom", ...)."""
    CALLS.append({"problems": len(problems), "method": method, "budget": budget, "seed": seed, "order": order})
    if method == "boom":
        raise RuntimeError("boom")
    if method == "memory":
        raise MemoryError
    if method == "second-call-interrupts" and len(CALLS) == 2:
        raise KeyboardInterrupt
    return [_answer(problem, method) for problem in problems]


def _answer(problem: Problem, method: str) -> VerifyAnswer:
    replayer = Replayer(problem.network)
    center = problem.center
    scores = problem.network.convention.scores(replayer.outputs(center), Scale.LOGITS) if problem.network.labels else None
    label = None if scores is None else int(np.argmax(scores))
    wrong = problem.true_label is not None and label != problem.true_label
    shared = {
        "outcome": Outcome.MISCLASSIFIED if wrong else Outcome.MEASURED,
        "index": problem.index,
        "risk": risk(problem),
        "region": summary(problem),
        "center": center,
        "center_value": replayer.value(problem, center),
        "label": label,
        "true_label": problem.true_label,
        "provenance": _provenance(problem, method),
    }
    if wrong:
        return VerifyAnswer(
            **shared, verdict=Verdict.UNKNOWN, reason="misclassified", bracket=Bracket(End.UPPER), witness=None, trace=Trace()
        )
    point = min(_corners(problem), key=lambda corner: replayer.value(problem, corner))
    replay = replayer.replay(problem, point)
    witness = replayer.witness(problem, point, replay)
    bracket = Bracket(End.UPPER, upper=Side(witness.value, Guarantee.ATTAINED, "corners", Arithmetic.FLOAT64))
    verdict, reason = Verdict.VIOLATED if replay.confirmed else Verdict.HOLDS, ""
    if verdict is Verdict.HOLDS and method == "unknown":
        verdict, reason = Verdict.UNKNOWN, "time-out"
    if verdict is Verdict.HOLDS:
        guarantee = Guarantee.SOLVER if method == "solver" else Guarantee.PROVED
        bracket = bracket.tighten(End.LOWER, Side(witness.value - 1e-6, guarantee, "corners", Arithmetic.REAL))
    shown = witness if verdict is Verdict.VIOLATED else None
    return VerifyAnswer(**shared, verdict=verdict, reason=reason, bracket=bracket, witness=shown, trace=Trace())


def _corners(problem: Problem) -> list[Any]:
    """The corners of the region, each moved inside to the next float32."""
    box = problem.region if isinstance(problem.region, Box) else problem.region.bounding_box()
    ends = []
    for low, high in zip(box.lower.reshape(-1), box.upper.reshape(-1), strict=True):
        near = np.array([low, high], dtype=np.float32)
        near[0] = near[0] if near[0] >= low else np.nextafter(near[0], np.float32(np.inf))
        near[1] = near[1] if near[1] <= high else np.nextafter(near[1], np.float32(-np.inf))
        ends.append(near)
    found = [np.array(corner, dtype=np.float32).reshape(box.shape) for corner in product(*ends)]
    return [corner for corner in found if problem.region.contains(corner.astype(np.float64)[None])[0]]


def _provenance(problem: Problem, method: str) -> Provenance:
    network = problem.network
    digest = hashlib.sha256(problem.center.tobytes()).hexdigest()
    return Provenance(
        network.name, network.sha256, digest, method, {}, 0, "cpu", network.dtype, "0", 4, 1, 0.0, interrupted=method == "interrupt"
    )


def answer(task: Task) -> Row:
    """The row of an instance by this verifier; in any process."""
    sys.modules["netassay.assessment.verify"] = sys.modules[__name__]
    return instances.verdict_of(task)
