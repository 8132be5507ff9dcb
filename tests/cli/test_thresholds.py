"""``--fail-under``: two-sided, so that only a proof passes and only a witness fails."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from netassay.cli.exit_codes import ExitCode
from netassay.cli.junit import Case, junit
from netassay.cli.thresholds import Thresholds, checked, decisions, say, threshold_code, thresholds_code
from netassay.errors import UsageError
from netassay.numerics.norms import Norm
from netassay.results.answer import Outcome, Provenance, RadiusAnswer, ReachAnswer, RegionSummary, Risk
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.trace import Trace
from netassay.results.witness import Replay, RiskClass, Witness

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


@pytest.mark.parametrize("text", ["0", "-1", "nan", "-inf"])
def test_a_radius_is_positive(text: str) -> None:
    with pytest.raises(UsageError, match="positive radius"):
        checked([text])


def test_numbers_are_radii_and_all_else_is_a_demand() -> None:
    found = checked(["0.1", "radius.linf.p05 >= 0.01", "1e-3"])
    assert found.radii == (0.1, 0.001)
    assert [d.figure for d in found.demands] == ["p05"]
    assert checked(None) == Thresholds()


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["radius.linf.min >= 0.1"], ExitCode.OK),
        (["0.1", "radius.linf.min >= 0.1"], ExitCode.OK),
        (["radius.linf.min >= 0.15"], ExitCode.UNKNOWN),
        (["radius.linf.min >= 0.15", "radius.linf.min >= 0.3"], ExitCode.VIOLATION),
        (["0.3", "radius.linf.min >= 0.1"], ExitCode.VIOLATION),
    ],
)
def test_the_worst_demand_decides(texts: list[str], code: ExitCode) -> None:
    shown = Witness(np.zeros(2, dtype=np.float32), np.zeros(2), 0.2, -1.0, 1, RiskClass.ADVERSARIAL, Replay({"e": -1.0}, True, {"e": True}))
    answers = [replace(answer((0.1, Guarantee.PROVED), 0.2), witness=shown)]
    demanded = checked(texts)
    assert thresholds_code(demanded, answers, decisions(demanded, answers)) is code


def test_what_became_of_a_demand_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    demanded = checked(["radius.linf.min >= 0.15"])
    answers = [answer((0.1, Guarantee.PROVED), 0.2)]
    say(demanded, answers, decisions(demanded, answers))
    assert "radius.linf.min >= 0.15: undecided for robustness" in capsys.readouterr().err


def test_junit_escapes_what_it_holds() -> None:
    text = junit([Case("a", "<b>\x00\u202e\"'&", ExitCode.VIOLATION, "]]><x>"), Case("a", "met", ExitCode.OK, "")])
    (suite,) = ElementTree.fromstring(text)
    assert [case.attrib["name"] for case in suite] == ["<b>\ufffd\ufffd\"'&", "met"]
    assert [child.attrib["message"] for child in suite[0]] == ["]]><x>"]
    assert (suite.attrib["failures"], suite.attrib["errors"], suite.attrib["tests"]) == ("1", "0", "2")


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
