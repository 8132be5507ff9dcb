"""One flat row per answer: every side with its guarantee, the witness, where it all comes from. For CSV, Parquet and report.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from netassay.results.answer import Answer, LipschitzAnswer, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.codec import witnesses
from netassay.results.summary import question_of

Value = str | int | float | bool | None
Row = dict[str, Value]
TEXT, WHOLE, REAL, TRUTH = "text", "whole", "real", "truth"


@dataclass(frozen=True, slots=True)
class Source:
    """What a row says of where its answer was stored; the numbers of campaigns start at 1, 0 is none."""

    campaign: int = 0
    data: str = ""


def _side_columns(prefix: str) -> dict[str, str]:
    names = {"": REAL, "_guarantee": TEXT, "_source": TEXT, "_arithmetic": TEXT}
    return {f"{prefix}{name}": kind for name, kind in names.items()}


SIDES = (
    *("lower", "upper", "falling_lower", "falling_upper", "d_prime_lower", "d_prime_upper"),
    *("minimum_lower", "minimum_upper", "maximum_lower", "maximum_upper"),
)
"""Sides of brackets, in the order of their columns; those of other questions are empty."""

COLUMNS: Mapping[str, str] = {
    "campaign": WHOLE,
    "data": TEXT,
    "question": TEXT,
    "risk": TEXT,
    "risk_text": TEXT,
    "on": TEXT,
    "norm": TEXT,
    "radius": REAL,
    "features": WHOLE,
    "free_features": WHOLE,
    "scaled": TRUTH,
    "granular": TRUTH,
    "index": WHOLE,
    "label": WHOLE,
    "true_label": WHOLE,
    "outcome": TEXT,
    "verdict": TEXT,
    "verdict_guarantee": TEXT,
    "reason": TEXT,
    "center_value": REAL,
    **{name: kind for prefix in SIDES for name, kind in _side_columns(prefix).items()},
    "witness_sha256": TEXT,
    "witness_distance": REAL,
    "witness_value": REAL,
    "witness_label": WHOLE,
    "witness_risk": TEXT,
    "witness_replayed": TRUTH,
    "witness_marked": TEXT,
    "model": TEXT,
    "model_sha256": TEXT,
    "input_sha256": TEXT,
    "method": TEXT,
    "options": TEXT,
    "seed": WHOLE,
    "device": TEXT,
    "dtype": TEXT,
    "tool_version": TEXT,
    "queries": WHOLE,
    "batched_calls": WHOLE,
    "seconds": REAL,
    "interrupted": TRUTH,
    "notes": TEXT,
}
"""All columns and their kinds, in order; radius is that of the ball searched."""


def row(answer: Answer, source: Source | None = None) -> Row:
    """The answer as one row with every column of ``COLUMNS``; None where there is nothing to say."""
    where = source or Source()
    found: Row = dict.fromkeys(COLUMNS)
    found |= {"campaign": where.campaign or None, "data": where.data or None}
    found |= _about(answer) | _verdict(answer) | _witness(answer) | _provenance(answer)
    for prefix, side in sides(answer).items():
        found |= _side(prefix, side)
    return found


def _about(answer: Answer) -> Row:
    risk, region = answer.risk, answer.region
    return {
        "question": str(question_of(answer)),
        "risk": risk.spec or risk.name,
        "risk_text": risk.text,
        "on": risk.on,
        "norm": "box" if region.norm is None else str(region.norm),
        "radius": region.radius,
        "features": region.features,
        "free_features": region.free_features,
        "scaled": region.scaled,
        "granular": region.granular,
        "index": answer.index,
        "label": answer.label,
        "true_label": answer.true_label,
        "outcome": str(answer.outcome),
        "center_value": answer.center_value,
        "notes": " ".join(answer.notes) or None,
    }


def _verdict(answer: Answer) -> Row:
    if not isinstance(answer, VerifyAnswer):
        return {}
    guarantee = None if answer.guarantee is None else str(answer.guarantee)
    return {"verdict": answer.word, "verdict_guarantee": guarantee, "reason": answer.reason or None}


def sides(answer: Answer) -> dict[str, Side | None]:
    """The sides of an answer by the names of their columns."""
    if isinstance(answer, RadiusAnswer | VerifyAnswer):
        return _ends("", answer.bracket)
    if isinstance(answer, LipschitzAnswer):
        d_prime = {"d_prime_lower": answer.d_prime_lower, "d_prime_upper": answer.d_prime_upper}
        return {**_ends("", answer.bracket), **_ends("falling_", answer.falling), **d_prime}
    return {**_ends("minimum_", answer.minimum), **_ends("maximum_", answer.maximum)} if isinstance(answer, ReachAnswer) else {}


def _ends(prefix: str, bracket: Bracket) -> dict[str, Side | None]:
    return {f"{prefix}{end}": bracket.side(end) for end in End}


def _side(prefix: str, side: Side | None) -> Row:
    if side is None:
        return {}
    return {
        prefix: side.value,
        f"{prefix}_guarantee": str(side.guarantee),
        f"{prefix}_source": side.source,
        f"{prefix}_arithmetic": str(side.arithmetic),
    }


def _witness(answer: Answer) -> Row:
    """The main witness."""
    found = next(iter(witnesses(answer)), None)
    if found is None:
        return {}
    return {
        "witness_sha256": found.sha256,
        "witness_distance": found.distance,
        "witness_value": found.value,
        "witness_label": found.label,
        "witness_risk": str(found.risk),
        "witness_replayed": found.replay.confirmed,
        "witness_marked": found.marked or None,
    }


def _provenance(answer: Answer) -> Row:
    provenance = answer.provenance
    plain = {name: getattr(provenance, name) for name in provenance.__slots__ if name != "options"}
    return {**plain, "options": json.dumps(provenance.options, sort_keys=True)}
