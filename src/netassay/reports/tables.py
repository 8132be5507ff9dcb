"""The tables of the report: columns of cells, each with its guarantee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netassay.numerics.norms import Norm
from netassay.reports import text
from netassay.reports.cards import shown_witnesses
from netassay.reports.figures import aligned, count, figure, percent, setting
from netassay.reports.presentation import Presentation
from netassay.reports.wording import BADGES, QUESTIONS, printable, title_of
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, Question, RadiusAnswer, ReachAnswer, VerifyAnswer
from netassay.results.bracket import End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.summary import GroupSummary

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, its guarantee (for a badge) and what it links to."""

    text: str
    guarantee: str = ""
    link: str = ""

    @property
    def badge(self) -> str:
        return BADGES[Guarantee(self.guarantee)] if self.guarantee else ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, already in the order of its rows."""

    header: str
    cells: tuple[Cell, ...]
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table by columns."""

    caption: str
    columns: tuple[Column, ...]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*(c.cells for c in self.columns), strict=True))


def shares_table(group: GroupSummary, radius_title: str) -> Grid | None:
    """How many inputs are left at a few radii; None where that says nothing."""
    r = group.radius
    if r is None or not r.at_radii or r.counted < 2:
        return None
    columns = [
        Column(radius_title, tuple(Cell(c) for c in aligned([setting(p.radius) for p in r.at_radii])), numeric=True),
        _share_column("Without a witness", [p.without_witness for p in r.at_radii], r.counted),
    ]
    right = [p.right_without_witness for p in r.at_radii]
    if group.risk == "robustness" and None not in right:
        columns.append(_share_column("Attacked accuracy", [v or 0 for v in right], group.answers))
    if r.proved:
        columns.append(_share_column("Proved safe", [p.proved_safe for p in r.at_radii], r.counted))
    accuracy = " Attacked accuracy counts misclassified inputs as failed." if len(columns) > 2 and group.risk == "robustness" else ""
    return Grid(f"Shares of inputs at a few radii; without a witness is an upper bound on safe.{accuracy}", tuple(columns))


def _share_column(header: str, parts: Sequence[int], whole: int) -> Column:
    return Column(header, tuple(Cell(f"{part} of {whole} ({percent(part, whole)})") for part in parts), numeric=True)


def answers_table(ordered: Sequence[Answer], group: GroupSummary, show: Presentation, files: Files) -> Grid:
    """One row per answer of a group, with every side and its guarantee; columns without entries are left out."""
    own = {
        Question.RADIUS: _radius_columns,
        Question.LIPSCHITZ: _slope_columns,
        Question.REACH: _range_columns,
        Question.VERIFY: _verify_columns,
    }[group.question](ordered)
    columns = [
        Column("Input", tuple(_input_cell(a, show) for a in ordered), numeric=True),
        Column("Label", tuple(Cell(text.label_cell(a, show.label_names)) for a in ordered)),
        _numbers("s at input", [figure(a.center_value) for a in ordered]),
        *own,
        Column("Outcome", tuple(Cell(text.outcome_cell(a)) for a in ordered)),
        _numbers("Queries", [count(a.provenance.queries) for a in ordered]),
        Column("Witness", tuple(_witness_cell(a, files) for a in ordered)),
    ]
    kept = tuple(c for c in columns if any(cell.text for cell in c.cells))
    return Grid(f"{title_of(group)}: {QUESTIONS[group.question]} per input, worst first", kept)


def _input_cell(answer: Answer, show: Presentation) -> Cell:
    return Cell("box") if answer.index is None else Cell(str(answer.index), link=show.pages.get(answer.index, ""))


def _numbers(header: str, cells: Sequence[str]) -> Column:
    return Column(header, tuple(Cell(c) for c in aligned(cells)), numeric=True)


def _sides(header: str, sides: Sequence[Side | None], end: End, *, whole: bool = False) -> Column:
    sign = "\u2264 " if end is End.UPPER else "\u2265 "
    texts = aligned(["" if s is None else sign + text.side_figure(s, end, whole=whole) for s in sides])
    cells = (Cell(t if s is not None else "", "" if s is None else str(s.guarantee)) for t, s in zip(texts, sides, strict=True))
    return Column(header, tuple(cells), numeric=True)


def _radius_columns(ordered: Sequence[Answer]) -> list[Column]:
    radii = [a for a in ordered if isinstance(a, RadiusAnswer)]
    whole = radii[0].region.norm is Norm.L0
    looked = [text.searched(a) if a.bracket.upper is None and a.outcome is not Outcome.MISCLASSIFIED else "" for a in radii]
    return [
        _sides("Radius from below", [a.bracket.lower for a in radii], End.LOWER, whole=whole),
        _sides("Radius from above", [a.bracket.upper for a in radii], End.UPPER, whole=whole),
        _numbers("No witness within", looked),
        _numbers("s at witness", [figure(a.witness.value) if shown_witnesses(a) and a.witness else "" for a in radii]),
    ]


def _slope_columns(ordered: Sequence[Answer]) -> list[Column]:
    slopes = [a for a in ordered if isinstance(a, LipschitzAnswer)]
    return [
        _sides("Q from below", [a.bracket.lower for a in slopes], End.LOWER),
        _sides("Q from above", [a.bracket.upper for a in slopes], End.UPPER),
        _sides("Falling Q from below", [a.falling.lower for a in slopes], End.LOWER),
        _sides("Falling Q from above", [a.falling.upper for a in slopes], End.UPPER),
        _sides("d\u2032 from below", [a.d_prime_lower for a in slopes], End.LOWER),
        _sides("d\u2032 from above", [a.d_prime_upper for a in slopes], End.UPPER),
    ]


def _range_columns(ordered: Sequence[Answer]) -> list[Column]:
    ranges = [a for a in ordered if isinstance(a, ReachAnswer)]
    return [
        _sides("Minimum from below", [a.minimum.lower for a in ranges], End.LOWER),
        _sides("Minimum from above", [a.minimum.upper for a in ranges], End.UPPER),
        _sides("Maximum from below", [a.maximum.lower for a in ranges], End.LOWER),
        _sides("Maximum from above", [a.maximum.upper for a in ranges], End.UPPER),
    ]


def _verify_columns(ordered: Sequence[Answer]) -> list[Column]:
    verified = [a for a in ordered if isinstance(a, VerifyAnswer)]
    verdicts = tuple(Cell(text.verdict_word(a), "" if a.guarantee is None else str(a.guarantee)) for a in verified)
    return [
        Column("Verdict", verdicts),
        _sides("min s from below", [a.bracket.lower for a in verified], End.LOWER),
        _sides("min s from above", [a.bracket.upper for a in verified], End.UPPER),
        Column("Why unknown", tuple(Cell("" if a.outcome is Outcome.MISCLASSIFIED else printable(a.reason)) for a in verified)),
    ]


def _witness_cell(answer: Answer, files: Files) -> Cell:
    found = shown_witnesses(answer)
    if not found:
        return Cell("")
    witness = found[0][1]
    words = "marked" if witness.marked else "replayed" if witness.replay.confirmed else "engines disagree"
    return Cell(words, link=files.get(witness.sha256, ""))
