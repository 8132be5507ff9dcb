"""The assurance report of a campaign: a page for readers in a hurry and for experts, pages of single inputs, the figures as JSON.

Everything comes from stored answers; no model is needed and nothing is evaluated, unless saliency maps are wanted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netassay.errors import DataError, UsageError
from netassay.reports.campaign_certificates import Certificate, Certification, Read, certification, columns, copied
from netassay.reports.campaign_document import campaign_document
from netassay.reports.campaign_view import (
    CampaignGroup,
    Chapter,
    campaign_group,
    chapters,
    facts,
    gaps,
    limits,
    misclassified,
    sources_table,
)
from netassay.reports.figures import count
from netassay.reports.html import environment, provenance_rows
from netassay.reports.input_pages import page_inputs, page_path, write_inputs
from netassay.reports.presentation import Presentation
from netassay.reports.sentences import proof_sentence
from netassay.reports.tables import Cell, Column, Grid
from netassay.reports.view import overview
from netassay.reports.wording import GLOSSARY, METHOD, printable
from netassay.results.answer import Answer, VerifyAnswer
from netassay.results.confidence import LEVEL, checked_level
from netassay.results.demands import Decision
from netassay.results.schema import validate
from netassay.results.statistics import figures
from netassay.results.summary import grouped, summarise_group
from netassay.results.witness_files import write_atomically
from netassay.store.certificates import Kept
from netassay.store.records import Campaign

PAGE, DATA = "report.html", "report.json"
MOST_ROWS = 25
"""Inputs listed per group, worst first."""
MOST_GROUPS = 200
"""Questions (with risk and norm) that a report holds."""
PAGES = 24
"""Inputs with a page of their own, unless more are asked for."""

Maps = Callable[[Sequence[Answer]], Mapping[int, NDArray[np.floating]]]
"""Saliency maps by index, of inputs that have a page; see ``write_report``."""


@dataclass(frozen=True, eq=False)
class Settings:
    """How a campaign's report is written.

    Args:
        pages: Number of inputs with a page of their own, worst first.
        inputs: Further inputs that get a page.
        seed: Of the bootstrap.
        level: Confidence of what is said of the population.
        decisions: Demands and what became of them.
        outputs: Raw outputs at the inputs, by index.
        created: Date and time printed; now by default.
        certificates: What the store says of the certificate of each answer, in the order of the answers.
        read: Reads a file of the store; needed where there are certificates.
        saliency: Makes the maps beside L0 witnesses from all answers about the inputs that have a page; None for no maps.
    """

    pages: int = PAGES
    inputs: Sequence[int] = ()
    seed: int = 0
    level: float = LEVEL
    decisions: Sequence[Decision] = ()
    outputs: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    created: datetime | None = None
    certificates: Sequence[Kept | None] = ()
    read: Read | None = None
    saliency: Maps | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the main page prints."""

    title: str
    subtitle: str
    created: str
    facts: tuple[str, ...]
    gaps: tuple[str, ...]
    proof: str
    demands: Grid | None
    overview: Grid
    chapters: tuple[Chapter, ...]
    groups: tuple[CampaignGroup, ...]
    misclassified: tuple[Cell, ...]
    more_misclassified: int
    pages: tuple[Cell, ...]
    certification: Certification | None
    method: tuple[tuple[str, str], ...]
    sources: Grid
    limits: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    model_info: tuple[tuple[str, str], ...]
    command: str
    notes: tuple[str, ...]
    glossary: tuple[tuple[str, str], ...]
    data: str = DATA


def write_campaign(answers: Sequence[Answer], campaign: Campaign, folder: Path | str, settings: Settings | None = None) -> Path:
    """Writes ``report.html``, ``report.json``, ``inputs/*.html``, their ``witnesses/`` and ``certificates/``; gives the page's path.

    Args:
        answers: Those of the campaign; not empty.
        campaign: What the store says of it.
        folder: Created if missing; a report that was there before is replaced.
        settings: See ``Settings``.
    Raises:
        InputError: If there are no answers, an input that is asked for has none, or the campaign's facts do not fit its answers.
    """
    chosen = settings or Settings()
    checked_level(chosen.level)
    target, when = Path(folder), (chosen.created or datetime.now(UTC)).replace(microsecond=0)
    members = grouped(answers)
    if len(members) > MOST_GROUPS:
        raise UsageError(f"the campaign asks {len(members)} different questions, a report holds {MOST_GROUPS}; export the answers instead")
    wanted = page_inputs(members, chosen.pages, chosen.inputs)
    show = _presentation(campaign, wanted, chosen)
    show.check(answers)
    if chosen.saliency is not None:
        show = replace(show, saliency=chosen.saliency([a for a in answers if a.index in set(wanted)]))
    found = [figures(m, seed=chosen.seed, level=chosen.level) for m in members]
    files = copied(answers, chosen.certificates, chosen.read or _nothing, target)
    more = columns(files)
    content = campaign_document(answers, found, campaign, created=when.isoformat(), decisions=chosen.decisions, more=more)
    validate(content)
    groups = [campaign_group(m, f, f"g{i}", show) for i, (m, f) in enumerate(zip(members, found, strict=True), start=1)]
    page = _page(answers, members, groups, campaign, chosen, wanted, when, files)
    write_inputs(members, wanted, show, target, {id(a): c for a, c in zip(answers, files, strict=True) if c is not None})
    write_atomically(target / DATA, json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii"))
    write_atomically(target / PAGE, environment().get_template("campaign.html.j2").render(page=page).encode("utf-8"))
    return target / PAGE


def _nothing(name: str) -> bytes:
    raise DataError(f"the file {name[:100]!r} cannot be read without its store")


def _presentation(campaign: Campaign, wanted: Sequence[int], settings: Settings) -> Presentation:
    told = campaign.presentation
    return Presentation(
        title=campaign.title,
        image_layout=told.image_layout,
        feature_names=told.feature_names or None,
        label_names=told.label_names or None,
        scale=told.scale,
        output_meaning=told.output_meaning or None,
        decision=told.decision or "argmax",
        outputs_before=settings.outputs,
        model_info=told.facts,
        command=campaign.command,
        notes=told.notes,
        most_cards=0,
        most_rows=MOST_ROWS,
        pages={i: page_path(i) for i in wanted},
    )


def _page(
    answers: Sequence[Answer],
    members: Sequence[Sequence[Answer]],
    groups: Sequence[CampaignGroup],
    campaign: Campaign,
    settings: Settings,
    wanted: Sequence[int],
    when: datetime,
    files: Sequence[Certificate | None],
) -> Page:
    certified = certification(answers, files)
    summaries = [summarise_group(m) for m in members]
    wrong = misclassified(answers)
    pages = {i: page_path(i) for i in wanted}
    notes = (*campaign.presentation.notes, *(note for a in answers for note in a.notes))
    return Page(
        title=printable(campaign.title),
        subtitle=f"{printable(campaign.model)} on {printable(campaign.data)}: {count(len(answers))} answers",
        created=when.strftime("%Y-%m-%d %H:%M %Z").strip(),
        facts=tuple(facts(answers, campaign)),
        gaps=tuple(gaps(campaign)),
        proof=proof_sentence(answers, asked=any(isinstance(a, VerifyAnswer) for a in answers)),
        demands=_demands(settings.decisions),
        overview=overview(summaries, [g.group.ident for g in groups]),
        chapters=chapters(groups, members),
        groups=tuple(groups),
        misclassified=tuple(Cell(str(i), link=pages.get(i, "")) for i in wrong[:MOST_ROWS]),
        more_misclassified=max(0, len(wrong) - MOST_ROWS),
        pages=tuple(Cell(str(i), link=link) for i, link in pages.items()),
        certification=certified,
        method=METHOD,
        sources=sources_table(answers),
        limits=tuple(s for s in (*limits(answers, campaign), "" if certified is None else certified.limit) if s),
        provenance=(*_stored(campaign), *provenance_rows(answers)),
        model_info=tuple((printable(k), printable(v)) for k, v in campaign.presentation.facts.items()),
        command=printable(campaign.command),
        notes=tuple(dict.fromkeys(map(printable, notes)))[:MOST_ROWS],
        glossary=GLOSSARY,
    )


def _stored(campaign: Campaign) -> tuple[tuple[str, str], ...]:
    return (
        ("Campaign", f"number {campaign.id} of the store, begun {printable(campaign.created)}"),
        ("Data set", printable(campaign.data)),
        ("Answers", f"{count(campaign.finished)} of {count(campaign.asked)} finished"),
    )


def _demands(decisions: Sequence[Decision]) -> Grid | None:
    if not decisions:
        return None
    return Grid(
        "Demands: met only where every value that the figure can have meets it; undecided where a proof or a witness is lacking",
        (
            Column("Demand", tuple(Cell(printable(d.demand.text)) for d in decisions)),
            Column("Risk", tuple(Cell(printable(d.risk)) for d in decisions)),
            Column("Finding", tuple(Cell(str(d.finding)) for d in decisions)),
            Column("Why", tuple(Cell(printable(d.reason)) for d in decisions)),
        ),
    )
