"""Answers come back from documents and witness files as they were, or not at all."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netassay.errors import DataError
from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.codec import assessment_document, document, witness_paths
from netassay.results.decoding import decode
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.trace import Trace, TracePoint
from netassay.results.witness import Replay
from netassay.results.witness_files import StoredWitness, parse_witness, read_witness, witness_file
from reports import sample_answers

ANSWERS: list[Answer] = [*sample_answers.image_answers(4), *sample_answers.tabular_answers(3)[0], *sample_answers.verdicts()]
QUESTIONS = (RadiusAnswer, LipschitzAnswer, ReachAnswer, VerifyAnswer)


def same(found: Any, expected: Any, place: str = "answer") -> None:
    """Fails where two answers differ, bit for bit; of a replay's ``claim`` only what it says is compared."""
    if isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray), place
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), place
        assert np.array_equal(found, expected), place
    elif isinstance(expected, Replay):
        assert (found.values, found.inside, found.violated) == (expected.values, expected.inside, expected.violated), place
        assert found.confirmed == expected.confirmed, place
    elif is_dataclass(expected):
        assert type(found) is type(expected), place
        for field in fields(expected):
            same(getattr(found, field.name), getattr(expected, field.name), f"{place}.{field.name}")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), place
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            same(one, other, f"{place}[{i}]")
    else:
        assert found == expected, place


def there_and_back(answer: Answer) -> Answer:
    """Through bytes, as a store would."""
    files: dict[str, bytes] = {}
    paths: dict[str, str] = {}

    for name in ("witness", "falling_witness", "minimum_witness", "maximum_witness"):
        witness = getattr(answer, name, None)
        if witness is not None:
            path, content = witness_file(witness.point, answer.center, witness.outputs)
            files[path], paths[witness.sha256] = content, path
    content = json.loads(json.dumps(document(answer, witness_files=paths), allow_nan=False))
    return decode(content, lambda path: parse_witness(path, files[path]), center=answer.center, frames=answer.frames)


def test_the_samples_are_of_all_questions() -> None:
    assert {type(answer) for answer in ANSWERS} == set(QUESTIONS)
    assert any(answer.frames for answer in ANSWERS)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: f"{type(a).__name__}-{a.word}-{a.index}")
def test_every_answer_comes_back_as_it_was(answer: Answer) -> None:
    same(there_and_back(answer), answer)


NUMBERS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def sides(draw: st.DrawFn, attained: End) -> Bracket:
    """Two sides that do not contradict each other; infinite ones too."""
    low, high = sorted([draw(NUMBERS), draw(NUMBERS)])
    proved, shown = Guarantee.PROVED, draw(st.sampled_from([Guarantee.SOLVER, Guarantee.HEURISTIC]))
    lower = Side(low, shown if attained is End.LOWER else proved, draw(TEXTS), draw(st.sampled_from(Arithmetic)))
    upper = Side(high, proved if attained is End.LOWER else shown, draw(TEXTS), draw(st.sampled_from(Arithmetic)))
    return Bracket(attained, draw(st.sampled_from([None, lower])), draw(st.sampled_from([None, upper])))


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_numbers_texts_and_traces_come_back(data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from([a for a in ANSWERS if isinstance(a, LipschitzAnswer | ReachAnswer)]))
    options = data.draw(st.dictionaries(TEXTS, st.one_of(st.none(), st.booleans(), st.integers(), TEXTS, st.floats(-1e9, 1e9)), max_size=4))
    values = sorted(data.draw(st.lists(NUMBERS, max_size=4)))
    trace = Trace([TracePoint(i, float(i), v, None) for i, v in enumerate(values)])
    changes: dict[str, Any] = {
        "notes": tuple(data.draw(st.lists(TEXTS, max_size=3))),
        "index": data.draw(st.none() | st.integers(-(2**62), 2**62)),
        "center_value": data.draw(NUMBERS),
        "provenance": replace(
            answer.provenance, options=options, seconds=data.draw(st.floats(0, 1e9)), seed=data.draw(st.integers(0, 2**63))
        ),
    }
    if isinstance(answer, LipschitzAnswer):
        changes |= {"bracket": data.draw(sides(End.LOWER)), "falling": data.draw(sides(End.LOWER)), "trace": trace}
    else:
        changes |= {"minimum": data.draw(sides(End.UPPER)), "maximum": data.draw(sides(End.LOWER)), "minimum_trace": trace}
    changed = replace(answer, **changes)
    same(there_and_back(changed), changed)


def test_the_input_is_taken_from_a_witness_where_nobody_gives_it(tmp_path: Path) -> None:
    answer = next(a for a in ANSWERS if isinstance(a, RadiusAnswer) and a.witness is not None)
    content = document(answer, witness_files=witness_paths(tmp_path, answer))
    found = decode(content, lambda name: read_witness(tmp_path, name))
    same(found.center, answer.center)
    without = next(a for a in ANSWERS if isinstance(a, RadiusAnswer) and a.witness is None)
    with pytest.raises(DataError, match="its input must be given"):
        decode(document(without), lambda name: read_witness(tmp_path, name))


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    answer = next(a for a in ANSWERS if isinstance(a, RadiusAnswer) and a.witness is not None)
    assert answer.witness is not None
    content = document(answer, witness_files=witness_paths(tmp_path, answer))

    def stored(**changes: Any) -> StoredWitness:
        assert answer.witness is not None
        whole = {"point": answer.witness.point, "center": answer.center, "outputs": answer.witness.outputs}
        return StoredWitness(**{**whole, **changes})

    with pytest.raises(DataError, match="another point"):
        decode(content, lambda _: stored(point=answer.center.astype(np.float32)), center=answer.center)
    with pytest.raises(DataError, match="another input"):
        decode(content, lambda _: stored(center=answer.center + 1), center=answer.center)
    with pytest.raises(DataError, match="was not stored"):
        decode(document(answer), lambda _: stored(), center=answer.center)
    with pytest.raises(DataError, match="one answer was expected"):
        decode(assessment_document([answer]), lambda _: stored())


def test_a_damaged_document_is_no_answer() -> None:
    answer = next(a for a in ANSWERS if isinstance(a, VerifyAnswer) and a.word == "holds")
    content = document(answer)
    for damage in ({"lower": None}, {"verdict": "violated"}, {"center_value": math.nan}, {"extra": 1}, {"queries": "9"}):
        with pytest.raises(DataError):
            decode({**copy.deepcopy(content), **damage}, lambda _: pytest.fail("nothing to read"), center=answer.center)
