"""Pages of single inputs: their row of every question, and every witness; light files beside a campaign's report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from netassay.errors import UsageError
from netassay.reports import images
from netassay.reports.campaign_certificates import Certificate, explained
from netassay.reports.cards import Card, card, tells
from netassay.reports.html import environment
from netassay.reports.presentation import Presentation
from netassay.reports.tables import Cell
from netassay.reports.text import Table, label_name, table
from netassay.reports.wording import QUESTIONS, title_of
from netassay.results.answer import Answer
from netassay.results.codec import witness_paths
from netassay.results.severity import severity
from netassay.results.summary import GroupSummary, summarise_group
from netassay.results.witness_files import write_atomically

INPUTS = "inputs"
"""The folder of the pages, beside the report."""
QUANTITY_COLUMNS = ("radius", "Q", "d'", "range reached", "verdict", "min s")
"""Columns of the table of answers that hold the quantity of one question."""
LARGEST_INDEX = 10**18
"""Positions beyond it get no page: they would make no file name."""


@dataclass(frozen=True, slots=True)
class InputPage:
    """One input: its row of every question, and the cards of those that have more to show.

    ``certificates`` has a cell for each row, and is empty where nothing is proved; ``explained`` says what belongs to them.
    """

    title: str
    label: str
    table: Table
    certificates: tuple[Cell, ...]
    explained: tuple[str, ...]
    cards: tuple[tuple[str, Card], ...]
    legend: str
    tabular_scale: bool
    pictures: bool
    previous: str
    following: str


def page_inputs(groups: Sequence[Sequence[Answer]], pages: int, inputs: Sequence[int]) -> list[int]:
    """The inputs that get a page: the ``pages`` worst, of each group in turn, and those that are asked for; in order.

    Raises:
        UsageError: For a negative number, or an input that has no answer.
    """
    worst = [[a.index or 0 for a in sorted(m, key=severity) if _has_place(a) and tells(a)] for m in groups]
    turns = dict.fromkeys(i for turn in zip_longest(*worst) for i in turn if i is not None)
    present = {a.index for m in groups for a in m}
    strange = [i for i in inputs if i not in present]
    if strange:
        raise UsageError(f"there is no answer about input {strange[0]}; the campaign has {len(present)} inputs")
    if pages < 0:
        raise UsageError(f"the number of pages must not be negative; got {pages}")
    return sorted({*list(turns)[:pages], *inputs})


def _has_place(answer: Answer) -> bool:
    return answer.index is not None and 0 <= answer.index <= LARGEST_INDEX


def page_path(index: int) -> str:
    """The page of an input, relative to the report."""
    return f"{INPUTS}/{index}.html"


def write_inputs(
    members: Sequence[Sequence[Answer]],
    wanted: Sequence[int],
    show: Presentation,
    target: Path,
    certificates: Mapping[int, Certificate],
) -> None:
    """Writes the pages of the ``wanted`` inputs and the witnesses they name; pages of an earlier report are removed.

    Args:
        members: The groups of answers.
        wanted: As ``page_inputs`` gives them.
        show: How to show inputs and labels.
        target: Folder of the report.
        certificates: What is known of the certificates of proved answers, by the ``id`` of the answer.
    """
    folder = target / INPUTS
    for old in folder.glob("*.html") if folder.is_dir() else ():
        if re.fullmatch(r"-?\d+\.html", old.name):
            old.unlink()
    template = environment().get_template("input.html.j2")
    chosen = set(wanted)
    found: dict[int, list[Answer]] = {i: [] for i in wanted}
    for answer in (a for m in members for a in m if a.index in chosen):
        found[answer.index or 0].append(answer)
    titles = {
        id(a): f"{title_of(summary)}: {QUESTIONS[summary.question]}"
        for m, summary in ((m, _titled(m, chosen)) for m in members)
        if summary
        for a in m
    }
    for place, index in enumerate(wanted):
        around = (wanted[place - 1] if place else None, wanted[place + 1] if place + 1 < len(wanted) else None)
        page = _input_page(found[index], titles, show, target, around, certificates)
        write_atomically(folder / f"{index}.html", template.render(page=page).encode("utf-8"))


def _titled(members: Sequence[Answer], chosen: set[int]) -> GroupSummary | None:
    """The summary of a group's first answer, for its title, if any of its inputs has a page."""
    return summarise_group(members[:1]) if any(a.index in chosen for a in members) else None


def _input_page(
    answers: Sequence[Answer],
    titles: Mapping[int, str],
    show: Presentation,
    target: Path,
    around: tuple[int | None, int | None],
    certificates: Mapping[int, Certificate],
) -> InputPage:
    cards = []
    for answer in answers:
        if tells(answer):
            files = {sha: f"../{path}" for sha, path in witness_paths(target, answer).items()}
            cards.append((titles[id(answer)], card(answer, show, files)))
    first = answers[0]
    before, after = ("" if i is None else f"{i}.html" for i in around)
    own = [certificates.get(id(a)) for a in answers]
    return InputPage(
        title=f"Input {first.index}",
        label=label_name(first.label, show.label_names),
        table=_merged(table(answers, label_names=show.label_names)),
        certificates=tuple(_cell(c) for c in own) if any(own) else (),
        explained=explained(answers, own),
        cards=tuple(cards),
        legend=images.legend().uri,
        tabular_scale=show.scale is not None,
        pictures=show.image_layout is not None,
        previous=before,
        following=after,
    )


def _cell(found: Certificate | None) -> Cell:
    """What is known of a certificate, with a link to its file."""
    return Cell("") if found is None else Cell(str(found.state), link=f"../{found.path}" if found.path else "")


def _merged(found: Table) -> Table:
    """The table with one column for all quantities, most of which are empty in each row; what all rows share is left out."""
    places = {header: i for i, header in enumerate(found.headers)}
    rows = []
    for row in found.rows:
        cells = {header: row[i] for header, i in places.items()}
        answer = "; ".join(f"{name} {cells[name]}" for name in QUANTITY_COLUMNS if cells.get(name))
        rows.append((cells["risk"], cells["norm"], answer, cells.get("outcome", ""), cells["queries"]))
    return Table(("risk", "norm", "answer", "outcome", "queries"), tuple(rows), (False, False, False, False, True))
