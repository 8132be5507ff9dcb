"""``--fail-under``: two-sided, so that only a proof passes and only a witness fails."""

from __future__ import annotations

import numpy as np
import pytest

from netassay.cli.exit_codes import ExitCode
from netassay.cli.thresholds import threshold_code
from netassay.numerics.norms import Norm
from netassay.results.answer import Outcome, Provenance, RadiusAnswer, ReachAnswer, RegionSummary, Risk
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.trace import Trace

SHARED = {
    "index": 0,
    "risk": Risk("robustness", "", "probabilities", "robustness"),
    "region": RegionSummary(Norm.LINF, 1.0, 2, 2),
    "center": np.zeros(2),
    "center_value": 0.5,
    "label": 0,
    "true_label": 0,
    "provenance": Provenance("m", "0", "0", "auto", {}, 0, "cpu", "float32", "0", 1, 1, 0.1),
}


def answer(lower: tuple[float, Guarantee] | None, upper: float | None, outcome: Outcome = Outcome.MEASURED) -> RadiusAnswer:
    bracket = Bracket(
        End.UPPER,
        lower=None if lower is None else Side(lower[0], lower[1], "test", Arithmetic.REAL),
        upper=None if upper is None else Side(upper, Guarantee.ATTAINED, "test", Arithmetic.FLOAT64),
    )
    return RadiusAnswer(**SHARED, outcome=outcome, bracket=bracket, witness=None, trace=Trace())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lower", "upper", "code"),
    [
        (None, 0.09, ExitCode.VIOLATION),
        (None, 0.1, ExitCode.UNKNOWN),
        (None, 0.2, ExitCode.UNKNOWN),
        (None, None, ExitCode.UNKNOWN),
        ((0.1, Guarantee.PROVED), 0.2, ExitCode.OK),
        ((0.0999, Guarantee.PROVED), 0.2, ExitCode.UNKNOWN),
        ((0.15, Guarantee.SOLVER), 0.2, ExitCode.UNKNOWN),
        ((0.15, Guarantee.HEURISTIC), None, ExitCode.UNKNOWN),
        ((0.15, Guarantee.HEURISTIC), 0.05, ExitCode.VIOLATION),
    ],
)
def test_only_a_proof_passes_and_only_a_witness_fails(lower: tuple[float, Guarantee] | None, upper: float | None, code: ExitCode) -> None:
    assert threshold_code(answer(lower, upper), 0.1) is code


@pytest.mark.parametrize("outcome", [Outcome.MISCLASSIFIED, Outcome.RISK_AT_CENTER])
def test_a_wrong_label_misses_every_threshold(outcome: Outcome) -> None:
    assert threshold_code(answer(None, None, outcome), 1e-9) is ExitCode.VIOLATION


def test_other_questions_have_no_threshold() -> None:
    reached = ReachAnswer(  # type: ignore[arg-type]
        **SHARED,
        outcome=Outcome.MEASURED,
        minimum=Bracket(End.UPPER),
        maximum=Bracket(End.LOWER),
        minimum_witness=None,
        maximum_witness=None,
        minimum_trace=Trace(),
        maximum_trace=Trace(),
    )
    assert threshold_code(reached, 0.1) is ExitCode.OK
