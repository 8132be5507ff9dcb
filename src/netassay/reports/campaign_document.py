"""report.json of a campaign: its figures, and one column per fact with one entry per answer (``netassay/campaign/1``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from netassay._version import __version__
from netassay.reports.rows import SIDES, Value, row
from netassay.results.answer import Answer
from netassay.results.codec import Document, number
from netassay.results.demands import Decision
from netassay.results.statistics import GroupFigures
from netassay.results.summary import TREATMENT
from netassay.store.records import Campaign

SCHEMA = "netassay/campaign/1"
COLUMNS = (
    *("question", "risk", "norm", "radius", "index", "label", "true_label", "outcome", "verdict", "verdict_guarantee", "reason"),
    *("center_value", *(name for side in SIDES for name in (side, f"{side}_guarantee"))),
    *("witness_distance", "witness_label", "witness_replayed", "input_sha256", "method", "queries", "seconds", "interrupted"),
)


def campaign_document(
    answers: Sequence[Answer],
    groups: Sequence[GroupFigures],
    campaign: Campaign,
    *,
    created: str,
    decisions: Sequence[Decision] = (),
    more: Mapping[str, Sequence[Value]] | None = None,
) -> Document:
    """The document; columns in which no answer has anything are left out, those in ``more`` among them."""
    rows = [row(a) for a in answers]
    columns = {name: [encoded(r[name]) for r in rows] for name in COLUMNS}
    columns |= {name: [encoded(value) for value in column] for name, column in (more or {}).items()}
    return {
        "schema": SCHEMA,
        "tool_version": __version__,
        "created": created,
        "campaign": campaign_facts(campaign),
        "treatment": TREATMENT,
        "groups": [encoded(asdict(g)) for g in groups],
        "demands": [decision_document(d) for d in decisions],
        "results": {name: column for name, column in columns.items() if any(v is not None for v in column)},
    }


def campaign_facts(campaign: Campaign) -> Document:
    """What a campaign is, without what is needed to show it."""
    return {f.name: encoded(getattr(campaign, f.name)) for f in fields(campaign) if f.name != "presentation"}


def decision_document(decision: Decision) -> Document:
    """A demand and what became of it."""
    return {
        "demand": decision.demand.text,
        "risk": decision.risk,
        "lower": number(decision.lower),
        "upper": number(decision.upper),
        "finding": str(decision.finding),
        "reason": decision.reason,
    }


def encoded(value: Any) -> Any:
    """Plain JSON data: infinities as strings, tuples as lists, names as plain text without half characters."""
    if isinstance(value, dict):
        return {str(k): encoded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(v) for v in value]
    if isinstance(value, str):
        return str(value).encode("utf-8", "replace").decode("utf-8")
    return number(value) if isinstance(value, float) else value
