"""Verdicts: none stands without what bears it out; documents of them; several come to no more than the weakest of them."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netassay.errors import DataError, InconsistentClaimsError
from netassay.results.answer import Outcome, TargetResult, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.codec import assessment_document, document, read_document, witnesses, write_document
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.schema import current, json_schema, validate
from netassay.results.summary import summarise
from netassay.results.verdicts import MISSING, VerdictCounts, conclude, count_verdicts, joint_bracket
from netassay.results.witness import Replay, RiskClass, Witness
from reports import sample_answers

ANSWERS = sample_answers.verdicts()
PUBLISHED = jsonschema.Draft202012Validator(json_schema())


def of(verdict: Verdict, guarantee: Guarantee | None = None, outcome: Outcome = Outcome.MEASURED) -> VerifyAnswer:
    return next(a for a in ANSWERS if (a.verdict, a.outcome) == (verdict, outcome) and guarantee in (None, a.guarantee))


HOLDS, VIOLATED, UNKNOWN = of(Verdict.HOLDS, Guarantee.PROVED), of(Verdict.VIOLATED), of(Verdict.UNKNOWN)
SOLVER, MISCLASSIFIED = of(Verdict.HOLDS, Guarantee.SOLVER), of(Verdict.UNKNOWN, outcome=Outcome.MISCLASSIFIED)


def at_least(value: float, guarantee: Guarantee = Guarantee.PROVED) -> Bracket:
    return Bracket(End.UPPER, lower=sample_answers.side(value, guarantee))


def seen(*violated: bool, inside: bool = True, claim: bool | None = None) -> Witness:
    said = {f"engine-{i}": v for i, v in enumerate(violated)}
    replay = Replay({name: -0.5 if v else 0.5 for name, v in said.items()}, inside, said, claim)
    return Witness(np.zeros(64, dtype=np.float32), np.zeros(10), 0.0, -0.5, 1, RiskClass.ADVERSARIAL, replay)


def test_guarantees_and_words() -> None:
    assert [(a.word, a.guarantee) for a in (HOLDS, SOLVER, VIOLATED, UNKNOWN, MISCLASSIFIED)] == [
        ("holds", Guarantee.PROVED),
        ("holds", Guarantee.SOLVER),
        ("violated", Guarantee.ATTAINED),
        ("unknown", None),
        ("misclassified", None),
    ]
    assert repr(VIOLATED).startswith("VerifyAnswer(violated, input ")


@pytest.mark.parametrize(
    ("answer", "change", "says"),
    [
        (HOLDS, {"bracket": Bracket(End.UPPER)}, "needs a lower side"),
        (HOLDS, {"bracket": at_least(-1e-300)}, "at least 0"),
        (HOLDS, {"bracket": at_least(1.0, Guarantee.HEURISTIC)}, "proved or by a solver"),
        (HOLDS, {"bracket": at_least(1.0, Guarantee.STATISTICAL)}, "proved or by a solver"),
        (HOLDS, {"bracket": at_least(1.0), "witness": seen(True, True)}, "a witness"),
        (SOLVER, {"bracket": at_least(1.0, Guarantee.SOLVER), "witness": seen(True)}, "a witness"),
        (HOLDS, {"targets": (TargetResult(1, None, Verdict.UNKNOWN, False, 0.0),)}, "every target"),
        (HOLDS, {"reason": "time-out"}, "a reason"),
        (HOLDS, {"outcome": Outcome.MISCLASSIFIED}, "not verified"),
        (HOLDS, {"bracket": Bracket(End.LOWER)}, "upper side of a minimum"),
        (VIOLATED, {"witness": None}, "needs a witness"),
        (VIOLATED, {"witness": seen(True, False)}, "every engine"),
        (VIOLATED, {"witness": seen(True, inside=False)}, "inside"),
        (VIOLATED, {"witness": seen(False, claim=True)}, "violates"),
        (VIOLATED, {"witness": seen(claim=True)}, "violates"),
        (UNKNOWN, {"reason": ""}, "a reason"),
    ],
)
def test_a_verdict_that_nothing_bears_out_is_refused(answer: VerifyAnswer, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InconsistentClaimsError, match=says):
        replace(answer, **change)


def test_rounding_differences_do_not_contradict_a_proof() -> None:
    """A proof in real arithmetic and one engine that sees s < 0 by rounding can both be right."""
    assert replace(HOLDS, bracket=at_least(0.0), witness=seen(True, False)).guarantee is Guarantee.PROVED


def test_targets_are_numbers_that_fit() -> None:
    with pytest.raises(InconsistentClaimsError, match="NaN"):
        TargetResult(1, math.nan, Verdict.HOLDS, True, 0.0)
    with pytest.raises(InconsistentClaimsError, match="discarded"):
        TargetResult(1, -1.0, Verdict.UNKNOWN, True, 0.0)


def test_documents_keep_to_the_published_schema_and_hold_the_answers() -> None:
    for answer in ANSWERS:
        found = document(answer)
        PUBLISHED.validate(json.loads(json.dumps(found, allow_nan=False)))
        validate(found)
        assert (found["question"], found["verdict"], found["reason"]) == ("verify", answer.word, answer.reason)
        assert found["guarantee"] == answer.guarantee
        assert [(t["label"], t["upper"], t["verdict"], t["discarded"]) for t in found["targets"]] == [
            (t.label, t.upper, t.verdict, t.discarded) for t in answer.targets
        ]
        for end in End:
            side = answer.bracket.side(end)
            assert found[end] == (side and {**found[end], "value": side.value, "guarantee": side.guarantee})
        assert witnesses(answer) == ([] if answer.witness is None else [answer.witness])


def set_at(*path: str, value: Any) -> Any:
    def change(found: dict[str, Any]) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("answer", "change", "says"),
    [
        (UNKNOWN, set_at("verdict", value="holds"), "cannot have the guarantee"),
        (UNKNOWN, lambda d: d.update(verdict="holds", guarantee="proved", reason=""), "lower side of at least 0"),
        (SOLVER, set_at("guarantee", value="proved"), "with the guarantee of the verdict"),
        (HOLDS, set_at("lower", "value", value=-1e-9), "at least 0"),
        (HOLDS, set_at("lower", value=None), "needs a lower side"),
        (HOLDS, set_at("reason", value="time-out"), "reason"),
        (HOLDS, set_at("guarantee", value="attained"), "guarantee"),
        (HOLDS, lambda d: d["targets"][0].update(verdict="unknown"), "every target"),
        (HOLDS, set_at("verdict", value="proved"), "verdict"),
        (HOLDS, set_at("outcome", value="misclassified"), "outcome"),
        (VIOLATED, set_at("witness", value=None), "replayed witness"),
        (VIOLATED, set_at("witness", "replayed", value=False), "replayed witness"),
        (VIOLATED, set_at("witness", "engines", "torch-float32", "violated", value=False), "every engine"),
        (VIOLATED, set_at("witness", "engines", value={}), "every engine"),
        (VIOLATED, set_at("guarantee", value=None), "guarantee"),
        (UNKNOWN, set_at("reason", value=""), "lacks a reason"),
        (UNKNOWN, set_at("lower", value={"value": 99.0, "guarantee": "proved", "source": "x", "arithmetic": "real"}), "exceeds"),
    ],
)
def test_damage_is_refused(answer: VerifyAnswer, change: Any, says: str) -> None:
    found = copy.deepcopy(document(answer))
    change(found)
    with pytest.raises(DataError, match=says):
        validate(found)


def test_a_proof_cannot_have_a_witness_of_its_violation() -> None:
    found = document(HOLDS)
    shown = {**document(VIOLATED)["witness"]}
    with pytest.raises(DataError, match="cannot have a witness"):
        validate({**found, "witness": shown, "upper": None})


def test_the_summary_counts_every_answer_once() -> None:
    found = assessment_document(ANSWERS)
    validate(found)
    PUBLISHED.validate(found)
    counts = {word: found["summary"][word] for word in ("holds", "holds_solver", "violated", "unknown", "misclassified")}
    assert counts == {"holds": 6, "holds_solver": 1, "violated": 1, "unknown": 1, "misclassified": 1}
    assert sum(counts.values()) == len(ANSWERS)
    assert (found["verdict"], found["guarantee"], found["reason"]) == ("violated", "attained", "")
    (group,) = summarise(ANSWERS).groups
    assert group.verify is not None
    assert group.verify.counted == len(ANSWERS) - 1
    assert group.verify.reasons == {"time-out": 1}
    assert group.verify.least.lower is None, "not every region has a proved lower side"
    assert group.verify.least.upper == min(a.bracket.upper.value for a in ANSWERS if a.bracket.upper is not None)
    (proved,) = summarise([a for a in ANSWERS if a.guarantee is Guarantee.PROVED]).groups
    assert proved.verify is not None
    assert proved.verify.least.lower == min(a.bracket.lower.value for a in ANSWERS if a.guarantee is Guarantee.PROVED and a.bracket.lower)


def test_other_questions_have_no_verdict() -> None:
    found = assessment_document(sample_answers.image_answers(2))
    validate(found)
    assert {found[key] for key in ("verdict", "guarantee", "reason")} == {None}
    assert {found["summary"][key] for key in ("holds", "violated", "unknown", "misclassified")} == {None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "holds", "guarantee": "proved"}, "not borne out"),
        ({"verdict": "unknown", "guarantee": None, "reason": "x"}, "not borne out"),
        ({"verdict": "misclassified", "guarantee": None, "reason": "x"}, "not borne out"),
        ({"verdict": None, "guarantee": None, "reason": None}, "without a verdict"),
    ],
)
def test_a_conclusion_that_its_parts_do_not_bear_out_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        validate({**assessment_document(ANSWERS), **change})


def test_a_solvers_word_does_not_become_a_proof_by_company() -> None:
    found = assessment_document([HOLDS, SOLVER])
    assert (found["verdict"], found["guarantee"]) == ("holds", "solver")
    with pytest.raises(DataError, match="not borne out"):
        validate({**found, "guarantee": "proved"})


def test_conclusions() -> None:
    assert conclude([HOLDS, HOLDS]).guarantee is Guarantee.PROVED
    assert conclude([HOLDS, SOLVER, HOLDS]).guarantee is Guarantee.SOLVER
    assert conclude([HOLDS, UNKNOWN, VIOLATED]).word == "violated"
    assert (conclude([HOLDS, UNKNOWN, UNKNOWN]).word, conclude([HOLDS, UNKNOWN]).reason) == ("unknown", "time-out")
    assert conclude([HOLDS, MISCLASSIFIED]).word == "holds"
    assert (conclude([MISCLASSIFIED]).word, conclude([MISCLASSIFIED]).guarantee) == ("misclassified", None)
    assert (conclude([HOLDS], asked=2).word, conclude([HOLDS], asked=2).reason) == ("unknown", MISSING)
    assert conclude([], asked=3).word == "unknown"
    assert conclude([]).word == "unknown"
    assert conclude([VIOLATED], asked=2).word == "violated"
    assert (conclude([], asked=0).word, conclude([], asked=0).guarantee) == ("holds", Guarantee.PROVED)
    assert count_verdicts([HOLDS, SOLVER, VIOLATED, UNKNOWN, MISCLASSIFIED]) == VerdictCounts(1, 1, 1, 1, 1)


SIDES = st.one_of(
    st.none(), st.tuples(st.floats(-9, 9), st.sampled_from([Guarantee.PROVED, Guarantee.SOLVER, Guarantee.HEURISTIC])).map(tuple)
)


@given(st.lists(st.tuples(SIDES, st.one_of(st.none(), st.floats(10, 20))), min_size=1, max_size=5))
def test_the_joint_bracket_claims_no_more_than_its_parts(parts: list[tuple[Any, float | None]]) -> None:
    brackets = [
        Bracket(
            End.UPPER,
            None if low is None else sample_answers.side(*low),
            None if high is None else sample_answers.side(high),
        )
        for low, high in parts
    ]
    joint = joint_bracket([replace(UNKNOWN, bracket=b) for b in brackets])
    if any(b.lower is None for b in brackets):
        assert joint.lower is None
    else:
        assert joint.lower is not None
        assert joint.lower.value == min(b.lower.value for b in brackets if b.lower)
        assert joint.lower.guarantee.strength == min(b.lower.guarantee.strength for b in brackets if b.lower)
    uppers = [b.upper.value for b in brackets if b.upper]
    assert (joint.upper and joint.upper.value) == (min(uppers) if uppers else None)


def as_schema_1(content: dict[str, Any]) -> dict[str, Any]:
    """A document as version 1 wrote it."""
    old = copy.deepcopy(content)
    old["schema"] = content["schema"].replace("/2", "/1")
    for key in ("verdict", "guarantee", "reason"):
        old.pop(key, None)
    for result in old.get("results", []):
        result["schema"] = "netassay/answer/1"
    for key in ("holds", "holds_solver", "violated", "unknown", "misclassified"):
        old.get("summary", {}).pop(key, None)
    for group in old.get("summary", {}).get("groups", []):
        del group["verify"]
    return old


def test_documents_of_schema_1_are_read_in_todays_form(tmp_path: Any) -> None:
    for today in (assessment_document(sample_answers.image_answers(3)), document(sample_answers.image_answers(2)[0])):
        old = as_schema_1(today)
        validate(old)
        (tmp_path / "old.json").write_text(json.dumps(old))
        assert read_document(tmp_path / "old.json") == today == current(today)
        write_document(tmp_path / "new.json", today)
        assert read_document(tmp_path / "new.json") == today


def test_schema_1_knows_no_verdicts() -> None:
    with pytest.raises(DataError, match="no question 'verify'"):
        validate({**document(HOLDS), "schema": "netassay/answer/1"})
    whole = as_schema_1(assessment_document(sample_answers.image_answers(2)))
    with pytest.raises(DataError, match="knows no verdict"):
        validate({**whole, "verdict": "holds"})
    with pytest.raises(DataError, match="Field required"):
        validate({**whole, "schema": "netassay/assessment/2"})


def test_arithmetic_of_the_weakest_side_stays_with_it() -> None:
    solver = replace(
        SOLVER, bracket=Bracket(End.UPPER, replace(sample_answers.side(3.0, Guarantee.SOLVER), arithmetic=Arithmetic.UNCHECKED))
    )
    joint = joint_bracket([replace(HOLDS, bracket=at_least(1.0)), solver]).lower
    assert joint is not None
    assert (joint.value, joint.guarantee, joint.arithmetic) == (1.0, Guarantee.SOLVER, Arithmetic.UNCHECKED)
