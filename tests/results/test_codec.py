"""Documents: what is in them, that they validate, that damage and NaN are refused."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from netassay.errors import DataError, InconsistentClaimsError
from netassay.numerics.norms import Norm
from netassay.results.answer import LipschitzAnswer, RadiusAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.codec import assessment_document, document, read_document, witness_paths, write_document
from netassay.results.guarantee import Guarantee
from netassay.results.schema import json_schema, validate
from reports import sample_answers

ANSWERS = sample_answers.image_answers(4)
DOCUMENTS = [document(a) for a in ANSWERS]
PUBLISHED = jsonschema.Draft202012Validator(json_schema())


def first(question: str) -> dict[str, Any]:
    return copy.deepcopy(next(d for d in DOCUMENTS if d["question"] == question and d["outcome"] == "measured"))


def test_every_document_keeps_to_the_published_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    whole = assessment_document(ANSWERS, command="netassay assess", created="2030-01-01T00:00:00+00:00")
    for found in [*DOCUMENTS, whole]:
        PUBLISHED.validate(json.loads(json.dumps(found, allow_nan=False)))
        validate(found)
    assert {d["question"] for d in DOCUMENTS} == {"radius", "lipschitz", "reach"}


def test_documents_hold_the_answers_exactly() -> None:
    for answer, found in zip(ANSWERS, DOCUMENTS, strict=True):
        assert (found["index"], found["outcome"], found["center_value"]) == (answer.index, answer.outcome, answer.center_value)
        assert found["risk"]["spec"] == answer.risk.spec
        assert found["seed"] == answer.provenance.seed
        if isinstance(answer, RadiusAnswer) and answer.witness is not None and answer.bracket.upper is not None:
            upper = {"value": answer.bracket.upper.value, "guarantee": "attained", "source": "tpmads", "arithmetic": "float64"}
            assert found["upper"] == upper
            assert found["lower"] is None
            assert found["witness"]["distance"] == answer.witness.distance
            assert found["witness"]["engines"]["torch-float32"] == {"value": answer.witness.value, "violated": True}
            assert [p["upper"] for p in found["trace"]] == [p.upper for p in answer.trace]
        if isinstance(answer, LipschitzAnswer) and answer.d_prime_upper is not None:
            assert found["d_prime"]["upper"]["value"] == answer.d_prime_upper.value
            assert found["d_prime"]["upper"]["guarantee"] == "heuristic"
            assert found["d_prime"]["lower"] is None


def test_infinities_are_strings_and_nan_raises() -> None:
    answer = next(a for a in ANSWERS if isinstance(a, LipschitzAnswer))
    unbounded = replace(answer, bracket=replace(answer.bracket, upper=sample_answers.side(math.inf, Guarantee.SOLVER)))
    found = document(unbounded)
    assert found["upper"]["value"] == "inf"
    PUBLISHED.validate(found)
    validate(found)
    with pytest.raises(InconsistentClaimsError, match="NaN"):
        document(replace(answer, center_value=math.nan))


def test_numpy_labels_become_plain_numbers() -> None:
    found = document(replace(ANSWERS[0], index=np.int64(3), true_label=np.int64(7)))  # type: ignore[arg-type]
    assert json.loads(json.dumps(found))["true_label"] == 7
    validate(found)


def test_files_come_back_as_written(tmp_path: Path) -> None:
    files = [witness_paths(tmp_path, a) for a in ANSWERS]
    whole = assessment_document(ANSWERS, witness_files=files)
    write_document(tmp_path / "deep" / "all.json", whole)
    assert read_document(tmp_path / "deep" / "all.json") == whole
    named = [r["witness"]["file"] for r in whole["results"] if r["question"] == "radius" and r["witness"]]
    assert named
    assert all((tmp_path / name).is_file() for name in named)
    assert not list(tmp_path.rglob("*.part"))


def test_one_mapping_of_files_per_answer() -> None:
    with pytest.raises(DataError, match="1 mappings"):
        assessment_document(ANSWERS, witness_files=[{}])


def damaged(question: str, change: Any) -> dict[str, Any]:
    found = first(question)
    change(found)
    return found


def set_at(*path: str, value: Any) -> Any:
    def change(found: dict[str, Any]) -> None:
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


PROVED = {"value": 0.0, "guarantee": "proved", "source": "x", "arithmetic": "real"}


@pytest.mark.parametrize(
    ("question", "change", "says"),
    [
        ("radius", set_at("schema", value="netassay/answer/3"), "this version reads"),
        ("radius", set_at("uper", value=None), "uper"),
        ("radius", lambda d: d.pop("lower"), "lower"),
        ("radius", set_at("upper", "value", value=math.nan), "NaN"),
        ("radius", set_at("upper", "value", value="0.5"), "upper"),
        ("radius", set_at("upper", "guarantee", value="certain"), "guarantee"),
        ("radius", set_at("upper", "guarantee", value="proved"), "cannot be proved"),
        ("radius", set_at("lower", value={**PROVED, "guarantee": "attained"}), "cannot be attained"),
        ("radius", set_at("lower", value={**PROVED, "value": 9.0}), "exceeds"),
        ("radius", set_at("lower", value={**PROVED, "value": -0.5}), "negative"),
        ("radius", set_at("upper", "value", value=1e-6), "below what its witness"),
        ("radius", set_at("witness", value=None), "needs a witness"),
        ("radius", set_at("witness", "inside", value=False), "inside"),
        ("radius", set_at("witness", "engines", "torch-float32", "violated", value="yes"), "violated"),
        ("radius", set_at("witness", "engines", value={}), "at least one engine"),
        ("radius", set_at("witness", "file", value="../secrets.npz"), "file"),
        ("radius", set_at("trace", value=[{"queries": i, "seconds": 0.0, "lower": None, "upper": 0.1 * i} for i in (1, 2)]), "loosens"),
        ("radius", set_at("trace", value=[{"queries": q, "seconds": 0.0, "lower": None, "upper": 1.0} for q in (2, 1)]), "goes back"),
        ("lipschitz", set_at("lower", "guarantee", value="proved"), "cannot be proved"),
        ("lipschitz", set_at("falling", "upper", value={**PROVED, "value": 0.0}), "exceeds"),
        ("reach", set_at("minimum", "lower", value={**PROVED, "value": 99.0}), "exceeds"),
        ("reach", set_at("maximum", "upper", value={**PROVED, "guarantee": "attained"}), "cannot be attained"),
        ("radius", set_at("queries", value=-1), "queries"),
        ("radius", set_at("index", value=object()), "serializable"),
    ],
)
def test_damage_is_refused(question: str, change: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        validate(damaged(question, change))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"schema": NaN}', "not JSON"),
        (b'{"schema": "a", "schema": "b"}', "twice"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "schema None"),
        (b'{"schema": {}}', "this version reads"),
    ],
)
def test_files_that_are_no_documents(tmp_path: Path, raw: bytes, says: str) -> None:
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(DataError, match=says):
        read_document(tmp_path / "x.json")


def test_numbers_beyond_float_are_refused(tmp_path: Path) -> None:
    text = json.dumps(first("radius")).replace('"center_value": ', '"center_value": 1e999, "was": ')
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError):
        read_document(tmp_path / "x.json")


def test_missing_and_large_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_document(tmp_path / "none.json")
    write_document(tmp_path / "x.json", first("radius"))
    with pytest.raises(DataError, match="more than 100 bytes"):
        read_document(tmp_path / "x.json", limit=100)


def test_an_invalid_document_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_document(tmp_path / "x.json", {**first("radius"), "extra": 1})
    assert not (tmp_path / "x.json").exists()


def test_l0_brackets_are_one_below_their_witness() -> None:
    found = next(d for d in DOCUMENTS if d["question"] == "radius" and d["region"]["norm"] == Norm.L0 and d["witness"])
    assert found["upper"]["value"] == found["witness"]["distance"] - 1
    with pytest.raises(DataError, match="below what its witness"):
        validate({**found, "upper": {**found["upper"], "value": found["witness"]["distance"] - 2}})


def test_an_unknown_kind_of_answer_has_no_document() -> None:
    base = {k: v for k, v in vars(ANSWERS[0]).items() if k in type(ANSWERS[0]).__mro__[1].__dataclass_fields__}
    with pytest.raises(InconsistentClaimsError, match="no document"):
        document(type(ANSWERS[0]).__mro__[1](**base))


def test_an_empty_bracket_has_null_sides() -> None:
    answer = next(a for a in ANSWERS if isinstance(a, RadiusAnswer))
    found = document(replace(answer, bracket=Bracket(End.UPPER), witness=None))
    assert (found["lower"], found["upper"], found["witness"]) == (None, None, None)
    validate(found)
