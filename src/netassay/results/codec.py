"""Answers as versioned JSON documents. ``schema.py`` says what a document looks like; both are tested against each other.

Infinities are the strings "inf" and "-inf". NaN never appears: it would be a bug, and raises.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from netassay.errors import DataError, InconsistentClaimsError
from netassay.results.answer import (
    Answer,
    LipschitzAnswer,
    RadiusAnswer,
    ReachAnswer,
    RegionSummary,
    Risk,
    TargetResult,
    VerifyAnswer,
)
from netassay.results.bracket import Bracket, Side
from netassay.results.summary import summarise
from netassay.results.trace import Trace
from netassay.results.verdicts import Conclusion, VerdictCounts, conclude
from netassay.results.witness import Witness
from netassay.results.witness_files import MEBIBYTE, read_limited, write_atomically
from netassay.results.witness_files import read_witness as read_witness
from netassay.results.witness_files import write_witness as write_witness

ANSWER_SCHEMA = "netassay/answer/2"
ASSESSMENT_SCHEMA = "netassay/assessment/2"
INSTANCE_SCHEMA = "netassay/instance/1"

Document = dict[str, Any]
Files = Mapping[str, str]


def number(value: float) -> float | str:
    """A JSON number, or "inf" / "-inf".

    Raises:
        InconsistentClaimsError: For NaN, which no result may hold.
    """
    value = float(value)
    if math.isnan(value):
        raise InconsistentClaimsError("a result holds NaN, which is neither a bound nor a value; please report this")
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def document(answer: Answer, *, witness_files: Files | None = None) -> Document:
    """One answer as JSON-ready data, ``netassay/answer/2``.

    Args:
        answer: A radius, lipschitz, reach or verify answer.
        witness_files: Path of each stored witness by its ``sha256`` (see ``witness_paths``); witnesses that are
            not in it have ``"file": null``.
    Raises:
        InconsistentClaimsError: If any number in the answer is NaN.
    """
    files = {} if witness_files is None else witness_files
    found: Document = _encoded({"schema": ANSWER_SCHEMA, **_about(answer), **_quantity(answer, files), **_provenance(answer)})
    return found


def witness_paths(folder: Path | str, answer: Answer) -> dict[str, str]:
    """Stores every witness of ``answer`` below ``folder``; gives the paths that ``document`` takes."""
    return {w.sha256: write_witness(folder, w, answer.center) for w in witnesses(answer)}


def witnesses(answer: Answer) -> list[Witness]:
    """The witnesses of an answer, the main one first."""
    if isinstance(answer, RadiusAnswer | VerifyAnswer):
        found: list[Witness | None] = [answer.witness]
    elif isinstance(answer, LipschitzAnswer):
        found = [answer.witness, answer.falling_witness]
    elif isinstance(answer, ReachAnswer):
        found = [answer.minimum_witness, answer.maximum_witness]
    else:
        raise _unknown_kind(answer)
    return [w for w in found if w is not None]


def assessment_document(
    answers: Sequence[Answer],
    *,
    witness_files: Sequence[Files | None] | None = None,
    command: str | None = None,
    created: str | None = None,
    asked: int | None = None,
) -> Document:
    """Many answers and what they come to together, ``netassay/assessment/2``.

    Args:
        answers: The answers.
        witness_files: One mapping per answer, as ``document`` takes it.
        command: The command line that asks the same questions again.
        created: Date and time, ISO 8601.
        asked: How many verdicts were asked for, if answers may be missing: then no verdict for all of them is claimed.
    Raises:
        DataError: If ``witness_files`` has another length than ``answers``.
    """
    files: Sequence[Files | None] = [None] * len(answers) if witness_files is None else witness_files
    if len(files) != len(answers):
        raise DataError(f"{len(files)} mappings of witness files for {len(answers)} answers; give one per answer, or None")
    results = [document(a, witness_files=f) for a, f in zip(answers, files, strict=True)]
    found: Document = _encoded(
        {
            "schema": ASSESSMENT_SCHEMA,
            "command": command,
            "created": created,
            **_conclusion([a for a in answers if isinstance(a, VerifyAnswer)], asked),
            "results": results,
            "summary": _summary(answers),
        }
    )
    return found


def _conclusion(answers: Sequence[VerifyAnswer], asked: int | None) -> Document:
    """The verdict of all answers together; null where none was asked for."""
    if not answers and asked is None:
        return {"verdict": None, "guarantee": None, "reason": None}
    return verdict_fields(conclude(answers, asked))


def verdict_fields(conclusion: Conclusion | VerifyAnswer) -> Document:
    """The verdict, how it is known, and why it is unknown (empty where it is not)."""
    guarantee = None if conclusion.guarantee is None else str(conclusion.guarantee)
    return {"verdict": conclusion.word, "guarantee": guarantee, "reason": conclusion.reason}


def _summary(answers: Sequence[Answer]) -> Document:
    """The groups, and the number of each verdict beside them; null where none was asked for."""
    found = asdict(summarise(answers))
    counts = found.pop("verdicts") or dict.fromkeys(field.name for field in fields(VerdictCounts))
    return {**found, **counts}


def write_document(path: Path | str, content: Document) -> None:
    """Validates and writes a document, whole or not at all; the bytes are the same for the same content."""
    from netassay.results.schema import validate

    validate(content)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(Path(path), text.encode("ascii"))


def read_document(path: Path | str, *, limit: int = 256 * MEBIBYTE) -> Document:
    """Reads an answer or an assessment from JSON and validates it; one of an earlier schema comes back in today's form.

    Args:
        path: The file.
        limit: Most bytes accepted.
    Raises:
        DataError: If the file is missing or above the limit, no JSON, nested too deeply, or no valid document of a
            schema that this version knows; also if its sides contradict each other.
    """
    from netassay.results.schema import current, validate

    raw = read_limited(Path(path), limit)
    try:
        content = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON document: {error}; expected what netassay wrote with --json or beside a report") from error
    validate(content, name=str(path))
    found: Document = current(content)
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"the number {name} is not JSON")


def _no_repeats(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key appears twice in one object: {sorted(k for k, _ in pairs)[:20]}")
    return found


def _unknown_kind(answer: Answer) -> InconsistentClaimsError:
    return InconsistentClaimsError(
        f"no document is defined for a {type(answer).__name__}; known: RadiusAnswer, LipschitzAnswer, ReachAnswer, VerifyAnswer"
    )


def _about(answer: Answer) -> Document:
    return {
        "index": _whole(answer.index),
        "outcome": str(answer.outcome),
        "risk": _risk(answer.risk),
        "region": _region(answer.region),
        "label": _whole(answer.label),
        "true_label": _whole(answer.true_label),
        "center_value": number(answer.center_value),
        "notes": list(answer.notes),
    }


def _quantity(answer: Answer, files: Files) -> Document:
    if isinstance(answer, RadiusAnswer):
        return {"question": "radius", **_bracket(answer.bracket, answer.witness, answer.trace, files)}
    if isinstance(answer, LipschitzAnswer):
        return {
            "question": "lipschitz",
            **_bracket(answer.bracket, answer.witness, answer.trace, files),
            "d_prime": {"lower": side_document(answer.d_prime_lower), "upper": side_document(answer.d_prime_upper)},
            "falling": _bracket(answer.falling, answer.falling_witness, answer.falling_trace, files),
        }
    if isinstance(answer, ReachAnswer):
        return {
            "question": "reach",
            "minimum": _bracket(answer.minimum, answer.minimum_witness, answer.minimum_trace, files),
            "maximum": _bracket(answer.maximum, answer.maximum_witness, answer.maximum_trace, files),
        }
    if isinstance(answer, VerifyAnswer):
        return {
            "question": "verify",
            **verdict_fields(answer),
            **_bracket(answer.bracket, answer.witness, answer.trace, files),
            "targets": [_target(target) for target in answer.targets],
        }
    raise _unknown_kind(answer)


def _target(target: TargetResult) -> Document:
    return {
        "label": operator.index(target.label),
        "upper": None if target.upper is None else number(target.upper),
        "verdict": str(target.verdict),
        "guarantee": None if target.guarantee is None else str(target.guarantee),
        "discarded": target.discarded,
        "seconds": number(target.seconds),
    }


def _bracket(bracket: Bracket, witness: Witness | None, trace: Trace, files: Files) -> Document:
    return {
        "lower": side_document(bracket.lower),
        "upper": side_document(bracket.upper),
        "witness": None if witness is None else witness_document(witness, files),
        "trace": [_encoded({"queries": p.queries, "seconds": p.seconds, "lower": p.lower, "upper": p.upper}) for p in trace],
    }


def side_document(side: Side | None) -> Document | None:
    """One side as JSON-ready data."""
    if side is None:
        return None
    return {"value": number(side.value), "guarantee": str(side.guarantee), "source": side.source, "arithmetic": str(side.arithmetic)}


def witness_document(witness: Witness, files: Files) -> Document:
    """One witness as JSON-ready data; ``files`` as for ``document``."""
    replay = witness.replay
    names = sorted(set(replay.values) | set(replay.violated))
    engines = {n: {"value": number(replay.values[n]) if n in replay.values else None, "violated": replay.violated.get(n)} for n in names}
    return {
        "file": files.get(witness.sha256),
        "sha256": witness.sha256,
        "replayed": replay.confirmed,
        "inside": replay.inside,
        "distance": None if witness.distance is None else number(witness.distance),
        "risk": str(witness.risk),
        "value": number(witness.value),
        "label": _whole(witness.label),
        "marked": witness.marked,
        "engines": engines,
    }


def _risk(risk: Risk) -> Document:
    return {"name": risk.name, "text": risk.text, "on": risk.on, "spec": risk.spec}


def _region(region: RegionSummary) -> Document:
    return {
        "norm": None if region.norm is None else str(region.norm),
        "radius": None if region.radius is None else number(region.radius),
        "features": region.features,
        "free_features": region.free_features,
        "scaled": region.scaled,
        "granular": region.granular,
    }


def _provenance(answer: Answer) -> Document:
    p = answer.provenance
    fixed = {name: getattr(p, name) for name in p.__slots__}
    return {**fixed, "seconds": number(p.seconds), "options": _encoded(p.options)}


def _whole(value: int | None) -> int | None:
    return None if value is None else operator.index(value)


def _encoded(value: Any) -> Any:
    """Plain data: every float JSON-safe, every name a plain string."""
    if isinstance(value, Mapping):
        return {_text(str(k)): _encoded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(v) for v in value]
    if isinstance(value, str):
        return _text(value)
    return number(value) if isinstance(value, float) else value


def _text(value: str) -> str:
    """Text without half characters (from odd file names), which UTF-8 cannot hold."""
    return value.encode("utf-8", "replace").decode("utf-8")
