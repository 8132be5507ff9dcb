"""What the template prints: the answers put into sections, tables and figures. All numbers become text here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from netassay.numerics.norms import Norm
from netassay.reports import plots, text
from netassay.reports.cards import Card, card, tells
from netassay.reports.figures import count, setting
from netassay.reports.plots import BracketRow
from netassay.reports.presentation import Presentation
from netassay.reports.sentences import brackets, verdicts
from netassay.reports.tables import Cell, Column, Files, Grid, answers_table, shares_table
from netassay.reports.wording import OUTCOMES, QUESTIONS, inputs, norm_name, printable, title_of
from netassay.results.answer import Answer, Outcome, Question, ReachAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.severity import severity
from netassay.results.summary import GroupSummary, Interval, VerifySummary, proved_value, summarise_group

MOST_BRACKETS = 24
HEADLINES = (Question.RADIUS, Question.VERIFY)
"""Questions whose findings stand at the top."""
OPEN_CARDS = 3
"""Cards of such a group that are shown at once; the others, and those of all other questions, unfold."""

SIGNS = {End.UPPER: "\u2264 ", End.LOWER: "\u2265 "}


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure: what is known of it, each side with its guarantee."""

    name: str
    sides: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One question about one risk in one norm."""

    ident: str
    title: str
    question: str
    expression: str
    region: str
    state: str
    state_text: str
    sentences: tuple[str, ...]
    tiles: tuple[Tile, ...]
    brackets: Markup | None
    brackets_caption: str
    survival: Markup | None
    survival_caption: str
    shares: Grid | None
    table: Grid
    table_note: str
    cards: tuple[Card, ...]
    cards_note: str
    headline: bool
    open_cards: int


def group_view(members: Sequence[Answer], ident: str, show: Presentation, files: Files) -> Group:
    """One group of answers (as ``summary.grouped`` gives it), ready to print; worst inputs first."""
    summary = summarise_group(members)
    ordered = sorted(members, key=severity)
    told = [a for a in ordered if tells(a)]
    state, state_text = _state(summary)
    return Group(
        ident=ident,
        title=title_of(summary),
        question=QUESTIONS[summary.question],
        expression=_expression(members),
        region=_region(members),
        state=state,
        state_text=state_text,
        sentences=tuple(verdicts(members, summary)),
        tiles=tuple(_tiles(summary)),
        brackets=_bracket_plot(ordered, summary, ident),
        brackets_caption=_bracket_caption(ordered, summary),
        survival=_survival(summary, members),
        survival_caption=_survival_caption(summary),
        shares=shares_table(summary, _axis_title(members, "radius")),
        table=answers_table(ordered[: show.most_rows], summary, show, files),
        table_note=_rest(len(ordered), show.most_rows, "inputs are listed here, worst first; all are in report.json."),
        cards=tuple(card(a, show, files) for a in told[: show.most_cards]),
        headline=summary.question in HEADLINES,
        open_cards=OPEN_CARDS if summary.question in HEADLINES else 0,
        cards_note=_rest(
            len(told) if show.most_cards else 0,
            show.most_cards,
            "inputs with a witness have a card, worst first; the table and report.json have all.",
        ),
    )


def _rest(total: int, most: int, sentence: str) -> str:
    return "" if total <= most else f"{most} of {count(total)} {sentence}"


def _expression(members: Sequence[Answer]) -> str:
    texts = list(dict.fromkeys(a.risk.text for a in members))
    first = next((a for a in members if a.index is not None), members[0])
    kind = "Expression" if isinstance(first, ReachAnswer) else "Property"
    example = "" if len(texts) == 1 or first.index is None else f" (input {first.index}; the others likewise)"
    return f"{kind}: {printable(first.risk.text)}{example}, measured on {printable(first.risk.on)}"


def _region(members: Sequence[Answer]) -> str:
    r = members[0].region
    free = f"all {count(r.features)} features free" if r.free_features == r.features else f"{r.free_features} of {r.features} features free"
    if r.norm is None:
        return f"Region: a box, {free}."
    radii = {a.region.radius for a in members}
    single = next(iter(radii))
    ball = f"ball of radius {setting(single)}" if len(radii) == 1 and single is not None and len(setting(single)) <= 6 else "ball"
    extras = [" distances in units of a scale per feature" if r.scaled else "", " steps limited to a grid" if r.granular else ""]
    return f"Region: {norm_name(r.norm)} {ball} around each input, inside the input domain; {free}{''.join(f';{e}' for e in extras if e)}."


def _state(group: GroupSummary) -> tuple[str, str]:
    if group.verify is not None:
        return _verify_state(group.verify)
    if group.question is not Question.RADIUS:
        return "measured", "measured"
    counted = group.radius.counted if group.radius else 0
    if group.witnessed:
        return "violated", f"violations found: {group.witnessed} of {counted}"
    return ("open", "no violation found") if counted else ("open", "not searched")


def _verify_state(found: VerifySummary) -> tuple[str, str]:
    """The worst verdict; a solver's word is never called holding."""
    counts, whole = found.verdicts, found.counted
    if counts.violated:
        return "violated", f"violated: {counts.violated} of {whole}"
    if not whole:
        return "open", "not verified"
    if counts.unknown:
        return "open", f"unknown: {counts.unknown} of {whole}"
    if counts.holds_solver:
        return "open", f"holds by a solver's word: {counts.holds_solver} of {whole}"
    return "holds", f"holds: {counts.holds} of {whole}"


def _verify_tiles(found: VerifySummary) -> list[Tile]:
    counts = (
        ("Holds", found.verdicts.holds, Guarantee.PROVED),
        ("Holds by a solver's word", found.verdicts.holds_solver, Guarantee.SOLVER),
        ("Violated", found.verdicts.violated, Guarantee.ATTAINED),
        ("Unknown", found.verdicts.unknown, None),
    )
    tiles = [
        Tile(name, (Cell(f"{number} of {found.counted}", "" if known is None or not number else str(known)),))
        for name, number, known in counts
        if number or known is not Guarantee.SOLVER
    ]
    least = _tile("Least value of s", found.least, End.UPPER)
    return [*tiles, least] if least else tiles


def _tiles(group: GroupSummary) -> list[Tile]:
    """Key figures; those whose guarantee rests on the weakest of their parts carry that one."""
    if group.radius is not None:
        r, whole = group.radius, group.norm is Norm.L0
        capped = f", {r.censored} without a witness counted with the radius searched" if r.censored else ""
        found = [("Smallest radius", r.minimum), (f"Median radius{capped}", r.median), (f"Mean radius{capped}", r.mean)]
        return [t for name, i in found if (t := _tile(name, i, End.UPPER, whole=whole))]
    if group.slope is not None:
        s = group.slope
        slopes = [_tile("Steepest Q", s.largest, End.LOWER), _tile("Median Q", s.median, End.LOWER)]
        return [t for t in (*slopes, _tile("Smallest d\u2032", s.smallest_d_prime, End.UPPER, estimate=True)) if t]
    if group.verify is not None:
        return _verify_tiles(group.verify)
    if group.range is None:
        return []
    ends = ((("Smallest value"), group.range.minimum, End.UPPER), ("Largest value", group.range.maximum, End.LOWER))
    return [t for name, interval, end in ends if (t := _tile(name, interval, end))]


def _tile(name: str, interval: Interval, attained: End, *, whole: bool = False, estimate: bool = False) -> Tile | None:
    sides = []
    for end, value in ((End.LOWER, interval.lower), (End.UPPER, interval.upper)):
        if value is None:
            continue
        known = Guarantee.PROVED if end is not attained else Guarantee.HEURISTIC if estimate else Guarantee.ATTAINED
        side = Side(value, known, "summary", Arithmetic.REAL)
        sides.append(Cell(SIGNS[end] + text.side_figure(side, end, whole=whole), str(known)))
    return Tile(name, tuple(sides)) if sides else None


def _axis_title(members: Sequence[Answer], quantity: str) -> str:
    r = members[0].region
    if quantity == "Q":
        return f"Q: change of s per unit of {norm_name(r.norm)} distance"
    if quantity in ("s", "min s"):
        return f"{quantity} on {printable(members[0].risk.on)}"
    unit = "changed features or pixels" if r.norm is Norm.L0 else "scaled units" if r.scaled else "input units"
    return f"Radius, {norm_name(r.norm)} ({unit})"


def _plotted(ordered: Sequence[Answer]) -> list[Answer]:
    return [a for a in ordered if a.outcome is not Outcome.MISCLASSIFIED]


def _bracket_plot(ordered: Sequence[Answer], group: GroupSummary, ident: str) -> Markup | None:
    rows = [
        BracketRow("box" if a.index is None else text.place(a).lower(), tuple(_main_brackets(a)), a.outcome is Outcome.NO_WITNESS)
        for a in _plotted(ordered)[:MOST_BRACKETS]
    ]
    quantity = {Question.RADIUS: "radius", Question.LIPSCHITZ: "Q", Question.REACH: "s", Question.VERIFY: "min s"}[group.question]
    signed = group.question in (Question.REACH, Question.VERIFY)
    label = f"Brackets per input, {title_of(group)}. The table below has the same numbers."
    title = _axis_title(ordered, quantity)
    limit = 0.0 if group.question is Question.VERIFY else None
    return plots.bracket_plot(rows, title=title, ident=ident, label=label, from_zero=not signed, limit=limit)


def _main_brackets(answer: Answer) -> list[Bracket]:
    return brackets(answer) if isinstance(answer, ReachAnswer) else brackets(answer)[:1]


def _bracket_caption(ordered: Sequence[Answer], group: GroupSummary) -> str:
    plotted = _plotted(ordered)
    some = _rest(len(plotted), MOST_BRACKETS, "inputs are drawn, worst first.")
    missing = len(ordered) - len(plotted)
    wrong = f"{missing} misclassified not drawn." if missing else ""
    opened = "Dashed: no witness found." if any(a.outcome is Outcome.NO_WITNESS for a in plotted[:MOST_BRACKETS]) else ""
    meaning = {
        Question.RADIUS: "Dots: nearest witness found. A fading bar has no proved end: the safe radius may lie anywhere along it.",
        Question.LIPSCHITZ: "Dots: steepest slope found. A fading bar has no proved end: the true Q may lie anywhere along it.",
        Question.REACH: "Solid: values reached. Fading ends: nothing is proved beyond them.",
        Question.VERIFY: "Dots: least value of s found. A fading bar has no proved end. Right of the dotted line, s = 0, is safe.",
    }[group.question]
    shown = any(proved_value(s) is not None for a in plotted for b in brackets(a) for s in (b.lower, b.upper))
    proved = "Green: proved; the true value lies in the grey bar." if shown else ""
    return " ".join(s for s in (meaning, proved, opened, some, wrong) if s)


def _survival(group: GroupSummary, members: Sequence[Answer]) -> Markup | None:
    if group.radius is None or group.radius.counted < 2:
        return None
    label = f"Share of inputs without a witness within each radius, {title_of(group)}. The table of shares has the numbers."
    return plots.survival_plot(group.radius, title=_axis_title(members, "radius"), label=label)


def _survival_caption(group: GroupSummary) -> str:
    if group.radius is None:
        return ""
    censored = f" Without a witness at any radius searched: {inputs(group.radius.censored)}." if group.radius.censored else ""
    proved = " Green: share proved safe, a lower bound." if group.radius.proved else ""
    return (
        f"Share of {group.radius.counted} inputs without a witness within the radius: an upper bound on the share that is safe."
        f"{proved}{censored}"
    )


def overview(groups: Sequence[GroupSummary], idents: Sequence[str]) -> Grid:
    """The table at the top: one row per group."""
    counts = [g.radius.counted if g.radius else g.answers - g.outcomes[Outcome.MISCLASSIFIED] for g in groups]
    return Grid(
        "All risks at a glance",
        (
            Column("Risk", tuple(Cell(title_of(g), link=f"#{i}") for g, i in zip(groups, idents, strict=True))),
            Column("Quantity", tuple(Cell(QUESTIONS[g.question]) for g in groups)),
            Column("Inputs", tuple(Cell(str(n)) for n in counts), numeric=True),
            Column("With witness", tuple(Cell(str(g.verify.verdicts.violated if g.verify else g.witnessed)) for g in groups), numeric=True),
            Column("Misclassified", tuple(Cell(str(g.outcomes[Outcome.MISCLASSIFIED])) for g in groups), numeric=True),
            Column("Key figure", tuple(_key_figure(g) for g in groups)),
        ),
    )


def _key_figure(group: GroupSummary) -> Cell:
    tiles = _tiles(group)
    if not tiles:
        return Cell(OUTCOMES[Outcome.NO_WITNESS])
    if group.verify is not None:
        return Cell(_verify_state(group.verify)[1])
    main = next((s for s in tiles[0].sides if s.guarantee == Guarantee.ATTAINED), tiles[0].sides[0])
    return Cell(f"{tiles[0].name} {main.text}", main.guarantee)
