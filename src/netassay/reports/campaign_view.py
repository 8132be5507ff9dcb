"""What the pages of a campaign print: summary, chapters, limits. All numbers become text here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from netassay.reports import plots
from netassay.reports.figures import count, percent, setting
from netassay.reports.global_tables import accuracy_table, classes_table, distribution_table, share_range
from netassay.reports.html import section_of
from netassay.reports.presentation import Presentation
from netassay.reports.relevance import Relevance, relevance
from netassay.reports.rows import sides
from netassay.reports.tables import Cell, Column, Grid
from netassay.reports.view import Group, group_view
from netassay.reports.wording import BADGES, printable
from netassay.results.answer import Answer, Outcome
from netassay.results.guarantee import Guarantee
from netassay.results.statistics import Accuracy, GroupFigures
from netassay.results.summary import summarise_group
from netassay.store.records import Campaign

CHAPTERS = {
    "stability": (
        "Stability",
        "Does the decision stay the same when the input changes a little? Maximum safe radius and verdicts.",
    ),
    "sensitivity": (
        "Sensitivity",
        "How fast does the output change with the input (Lipschitz), and how near are inputs on which the network is unsure?",
    ),
    "relevance": (
        "Relevance",
        "Which features of an input does the decision hang on?",
    ),
    "reachability": ("Reachability", "Which outputs can the network produce within the region?"),
}
"""The robustness goals of ISO/IEC 24029-2, and what is measured for each."""
MOST_BARS = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of shares: proved, open, failed; and the same in words."""

    drawing: Markup
    words: str


@dataclass(frozen=True, slots=True)
class CampaignGroup:
    """One question about one risk in one norm."""

    group: Group
    bars: tuple[Bar, ...]
    population: str
    distributions: tuple[Grid, ...]
    accuracy: Grid | None
    classes: Grid | None
    relevance: Relevance | None


@dataclass(frozen=True, slots=True)
class Chapter:
    """One robustness goal."""

    ident: str
    title: str
    intro: str
    groups: tuple[CampaignGroup, ...]


def campaign_group(members: Sequence[Answer], found: GroupFigures, ident: str, show: Presentation) -> CampaignGroup:
    """One group of answers and its figures, ready to print."""
    group = group_view(members, ident, show, {})
    title = f"{group.title}, {group.question}"
    grids = [distribution_table(d, found.norm, group.title) for d in found.distributions]
    return CampaignGroup(
        group=group,
        bars=tuple(_bar(a, group.title) for a in _chosen(found.accuracies)),
        population=_population(found),
        distributions=tuple(g for g in grids if g is not None),
        accuracy=accuracy_table(found, title),
        classes=classes_table(found, title, show.label_names),
        relevance=relevance(members, group.title, show),
    )


def chapters(groups: Sequence[CampaignGroup], members: Sequence[Sequence[Answer]]) -> tuple[Chapter, ...]:
    """The groups (each with its answers) in their chapters; those of relevance are readings of the others."""
    sections = [section_of(summarise_group(m)) for m in members]
    return tuple(
        Chapter(ident, title, intro, tuple(g for g, section in zip(groups, sections, strict=True) if section == ident))
        for ident, (title, intro) in CHAPTERS.items()
    )


def _chosen(accuracies: Sequence[Accuracy]) -> list[Accuracy]:
    """The first, the middle and the last of them."""
    places = sorted({0, (len(accuracies) - 1) // 2, len(accuracies) - 1})
    return [accuracies[i] for i in places] if accuracies else []


def _bar(found: Accuracy, title: str) -> Bar:
    where = "in the region" if found.radius is None else f"within {setting(found.radius)}"
    left, lost = found.attacked - found.certified, found.total - found.attacked
    words = (
        f"{where}: {percent(found.certified, found.total)} right and proved safe, {percent(left, found.total)} open, "
        f"{percent(lost, found.total)} not safe"
    )
    label = f"{title}, {words}"
    return Bar(plots.share_bar(found.certified, left, lost, label=label), words)


def _population(found: GroupFigures) -> str:
    """What the accuracy at the middle radius says of the population."""
    chosen = found.accuracies[(len(found.accuracies) - 1) // 2] if found.accuracies else None
    if chosen is None:
        return ""
    where = "in the region" if chosen.radius is None else f"within {setting(chosen.radius)}"
    return (
        f"If these inputs were drawn independently from a population, then with {100 * chosen.population.level:g} % confidence "
        f"{share_range(chosen)} of that population is right and safe {where} (Clopper-Pearson)."
    )


def facts(answers: Sequence[Answer], campaign: Campaign) -> list[str]:
    """The first sentences: how much was asked, how much is there, how often the network is right."""
    inputs = {a.index: a for a in answers}
    labelled = [a for a in inputs.values() if a.true_label is not None and a.label is not None]
    right = sum(a.label == a.true_label for a in labelled)
    accuracy = f"The network decides {count(right)} of {count(len(labelled))} inputs right ({percent(right, len(labelled))})."
    return [
        f"{count(len(inputs))} inputs of {printable(campaign.data)} were asked about; {count(campaign.finished)} of "
        f"{count(campaign.asked)} answers are here.",
        accuracy if labelled else "True labels are not known, so the network's own decisions are taken for right.",
    ]


def gaps(campaign: Campaign) -> list[str]:
    """What is missing, said plainly; empty when all is there."""
    absent = campaign.asked - campaign.finished - campaign.left_out - campaign.failed
    return [
        s
        for s in (
            f"This campaign is not finished: {count(absent)} answers are missing. All figures are about the others." if absent > 0 else "",
            f"{count(campaign.failed)} answers are missing because their work failed." if campaign.failed else "",
            f"{count(campaign.left_out)} inputs are left out of a risk that does not fit them." if campaign.left_out else "",
        )
        if s
    ]


def sources_table(answers: Sequence[Answer]) -> Grid:
    """Which method gave how many sides, by guarantee."""
    found = Counter((str(s.guarantee), s.source, str(s.arithmetic)) for a in answers for s in sides(a).values() if s is not None)
    rows = sorted(found.items(), key=lambda item: (-Guarantee(item[0][0]).strength, -item[1], item[0]))
    return Grid(
        "Where the sides come from",
        (
            Column("Source", tuple(Cell(printable(source)) for (_, source, _), _ in rows)),
            Column("Known as", tuple(Cell(BADGES[Guarantee(known)], "") for (known, _, _), _ in rows)),
            Column("Arithmetic", tuple(Cell(printable(arithmetic)) for (_, _, arithmetic), _ in rows)),
            Column("Sides", tuple(Cell(count(number)) for _, number in rows), numeric=True),
        ),
    )


def limits(answers: Sequence[Answer], campaign: Campaign) -> list[str]:
    """What this report does not show."""
    proved = any(s is not None and s.guarantee is Guarantee.PROVED for a in answers for s in sides(a).values())
    dtypes = ", ".join(sorted({printable(f"{a.provenance.dtype} on {a.provenance.device}") for a in answers}))
    return [
        *gaps(campaign),
        "A search that finds no witness does not show that there is none. Only what is marked proved excludes violations.",
        "" if proved else "Nothing in this report is proved.",
        "All figures are about the inputs listed, the risks named and changes in the norms named. Other changes (a rotation, another "
        "camera) are not covered unless they lie in these regions.",
        "What is said of a population is statistical: it assumes that the inputs were drawn independently from it, which cannot be seen "
        "from the inputs. Bootstrap limits are approximate besides.",
        f"Witnesses were replayed for {dtypes}. Other hardware or another compiler may round differently.",
        "Whether the labels are right, whether the inputs represent the intended use, and how the network was trained was not examined.",
    ]


def misclassified(answers: Sequence[Answer]) -> list[int]:
    """Positions of the misclassified inputs, in order."""
    return sorted({a.index for a in answers if a.outcome is Outcome.MISCLASSIFIED and a.index is not None})
