"""The report: one self-contained HTML file, with the same answers as JSON and the witnesses as files beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import ArrayLike, NDArray

from netassay.reports import images
from netassay.reports.figures import count, duration
from netassay.reports.images import Layout
from netassay.reports.presentation import Presentation
from netassay.reports.sentences import proof_sentence
from netassay.reports.tables import Grid
from netassay.reports.text import Labels
from netassay.reports.view import Group, group_view, overview
from netassay.reports.wording import GLOSSARY, inputs, printable
from netassay.results.answer import Answer, Provenance, Question, VerifyAnswer
from netassay.results.codec import assessment_document, witness_paths, write_document
from netassay.results.summary import GroupSummary, grouped, summarise_group
from netassay.results.witness_files import write_atomically

PAGE, DATA = "report.html", "report.json"

SECTIONS = {
    "stability": ("Stability", "Does the decision stay the same when the input changes a little?"),
    "sensitivity": (
        "Sensitivity",
        "How fast does the property change with the input, and how near are inputs on which the network is unsure?",
    ),
    "reachability": ("Reachability", "Which outputs can the network produce within the region?"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """One of the robustness goals of ISO/IEC 24029-2, and what was measured for it."""

    ident: str
    title: str
    intro: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template prints."""

    title: str
    subtitle: str
    created: str
    proof: str
    overview: Grid
    sections: tuple[Section, ...]
    provenance: tuple[tuple[str, str], ...]
    model_info: tuple[tuple[str, str], ...]
    command: str
    notes: tuple[str, ...]
    glossary: tuple[tuple[str, str], ...]
    legend: str
    tabular_scale: bool
    has_headlines: bool
    pictures: bool
    data: str = DATA


def write_report(
    answers: Sequence[Answer],
    folder: Path | str,
    *,
    title: str,
    image_layout: Layout | None = None,
    feature_names: Sequence[str] | None = None,
    label_names: Labels = None,
    model_info: Mapping[str, str] | None = None,
    command: str | None = None,
    notes: Sequence[str] = (),
    scale: ArrayLike | None = None,
    output_meaning: str | None = None,
    decision: str = "argmax",
    outputs_before: Mapping[int, NDArray[np.floating]] | None = None,
    saliency: Mapping[int, NDArray[np.floating]] | None = None,
    proof_asked: bool = False,
    most_cards: int = 12,
    created: datetime | None = None,
) -> Path:
    """Writes ``report.html``, ``report.json`` and ``witnesses/`` into ``folder``; returns the path of the page.

    The page needs nothing from outside: styles, plots and pictures are inside it, and it runs no script.

    Args:
        answers: What was found, any mixture of questions, risks and norms; not empty.
        folder: Created if missing; files of an earlier report there are replaced.
        title: Heading of the page.
        image_layout: (channels, height, width) if the inputs are pictures.
        feature_names: One name per feature, for tabular inputs.
        label_names: Names of the labels, by number.
        model_info: Further facts about the model, printed as they are.
        command: The command line that asks the same questions again.
        notes: Paragraphs printed above the results.
        scale: Unit of each feature, in which changes are compared and sorted.
        output_meaning: "logits", "probabilities", "binary-logit", "sigmoid" or "values" if known: witnesses then show probabilities.
        decision: "argmax", or "argmin" for networks whose smallest output wins.
        outputs_before: Raw outputs at the inputs, by index, so that probabilities before and after can be compared.
        saliency: Of pictures, by index, how far each feature alone lowers the logit of the label (input shape); shown beside L0 witnesses.
        proof_asked: Whether proofs were asked for (the page says why none is there).
        most_cards: Inputs shown in detail per risk and norm, worst first; all others are in the table.
        created: Date and time printed; now by default.
    Raises:
        InputError: If the choices do not fit the answers.
        InconsistentClaimsError: If an answer holds NaN.
    """
    show = Presentation(
        title=title,
        image_layout=image_layout,
        feature_names=feature_names,
        label_names=label_names,
        scale=scale,
        output_meaning=output_meaning,
        decision=decision,
        outputs_before=outputs_before or {},
        saliency=saliency or {},
        model_info=model_info or {},
        command=command,
        notes=notes,
        proof_asked=proof_asked,
        most_cards=most_cards,
    )
    show.check(answers)
    when = (created or datetime.now(UTC)).replace(microsecond=0)
    target = Path(folder)
    files = [witness_paths(target, a) for a in answers]
    write_document(target / DATA, assessment_document(answers, witness_files=files, command=command, created=when.isoformat()))
    page = _page(answers, files, show, when)
    write_atomically(target / PAGE, _template()(page).encode("utf-8"))
    return target / PAGE


def _template() -> Callable[[Page], str]:
    template = environment().get_template("report.html.j2")
    return lambda page: template.render(page=page)


def environment() -> Environment:
    """Where templates come from and how they are filled: all text is escaped, a missing value is an error."""
    return Environment(
        loader=PackageLoader("netassay.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _page(answers: Sequence[Answer], files: Sequence[Mapping[str, str]], show: Presentation, when: datetime) -> Page:
    paths = {id(a): f for a, f in zip(answers, files, strict=True)}
    sections: dict[str, list[Group]] = {name: [] for name in SECTIONS}
    summaries, idents = [], []
    for i, members in enumerate(grouped(answers), start=1):
        summary, ident = summarise_group(members), f"g{i}"
        merged = {sha: path for a in members for sha, path in paths[id(a)].items()}
        sections[section_of(summary)].append(group_view(members, ident, show, merged))
        summaries.append(summary)
        idents.append(ident)
    first = answers[0].provenance
    return Page(
        title=printable(show.title),
        subtitle=f"{printable(first.model)}: {inputs(_distinct_inputs(answers))}, {len(answers)} answers",
        created=when.strftime("%Y-%m-%d %H:%M %Z").strip(),
        proof=proof_sentence(answers, asked=show.proof_asked or any(isinstance(a, VerifyAnswer) for a in answers)),
        overview=overview(summaries, idents),
        sections=tuple(Section(n, *SECTIONS[n], tuple(groups)) for n, groups in sections.items() if groups),
        provenance=tuple(provenance_rows(answers)),
        model_info=tuple((printable(k), printable(v)) for k, v in show.model_info.items()),
        command=printable(show.command or ""),
        notes=tuple(dict.fromkeys(printable(n) for n in (*show.notes, *(note for a in answers for note in a.notes)))),
        glossary=GLOSSARY,
        legend=images.legend().uri,
        tabular_scale=show.scale is not None,
        pictures=show.image_layout is not None,
        has_headlines=any(group.headline for groups in sections.values() for group in groups),
    )


def section_of(group: GroupSummary) -> str:
    """The robustness goal that a group is evidence for."""
    if group.question is Question.REACH or group.risk in ("reachability", "halfspaces"):
        return "reachability" if group.question is not Question.LIPSCHITZ else "sensitivity"
    return "sensitivity" if group.question is Question.LIPSCHITZ or group.risk == "uncertainty" else "stability"


def _distinct_inputs(answers: Sequence[Answer]) -> int:
    return len({(a.index, a.provenance.input_sha256) for a in answers})


def provenance_rows(answers: Sequence[Answer]) -> list[tuple[str, str]]:
    """Where the answers come from; facts that differ between answers are all listed."""
    known = [a.provenance for a in answers]
    groups = grouped(answers)
    seconds = sum(max(a.provenance.seconds for a in members) for members in groups)
    calls = sum(max(a.provenance.batched_calls for a in members) for members in groups)
    return [
        ("Model", _each(known, lambda p: p.model)),
        ("Model SHA-256", _each(known, lambda p: p.model_sha256)),
        ("Tool", "netassay " + _each(known, lambda p: p.tool_version)),
        ("Method", _each(known, lambda p: p.method)),
        ("Options", _each(known, lambda p: ", ".join(f"{k} = {'none' if v is None else v}" for k, v in p.options.items()) or "none")),
        ("Seed", _each(known, lambda p: str(p.seed))),
        ("Device, arithmetic", _each(known, lambda p: f"{p.device}, {p.dtype}")),
        ("Queries", f"{count(sum(p.queries for p in known))} network evaluations, in at least {count(calls)} batched calls"),
        ("Search time", f"{duration(seconds)} (longest answer of each question, added up)"),
    ]


def _each(known: Sequence[Provenance], fact: Callable[[Provenance], str]) -> str:
    return "; ".join(dict.fromkeys(printable(fact(p)) for p in known))
