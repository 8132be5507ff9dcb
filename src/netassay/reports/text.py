"""Answers as a table: rows for a terminal, plain text, Markdown. The command line and the report print the same cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netassay.numerics.norms import Norm
from netassay.reports.figures import Rounding, count, estimate, lower, setting, upper
from netassay.reports.wording import BADGES, OUTCOMES, printable
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End, Side
from netassay.results.guarantee import Guarantee
from netassay.results.summary import proved_value

Labels = Sequence[str] | Mapping[int, str] | None


@dataclass(frozen=True, slots=True)
class Table:
    """Headers and rows of text cells; ``numeric`` says which columns align right."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


def table(answers: Sequence[Answer], *, label_names: Labels = None) -> Table:
    """One row per answer; columns in which no answer has anything are left out.

    Args:
        answers: Answers of any kind, in the order of the rows.
        label_names: Names by label; numbers where it has none.
    """
    columns: list[tuple[str, bool, list[str]]] = [
        ("input", True, ["box" if a.index is None else str(a.index) for a in answers]),
        ("label", False, [label_cell(a, label_names) for a in answers]),
        ("risk", False, [risk_cell(a) for a in answers]),
        ("norm", False, [norm_cell(a) for a in answers]),
        ("radius", True, [radius_cell(a) for a in answers]),
        ("Q", True, [q_cell(a) for a in answers]),
        ("d'", True, [d_prime_cell(a) for a in answers]),
        ("range reached", True, [range_cell(a) for a in answers]),
        ("verdict", False, [verdict_cell(a) for a in answers]),
        ("min s", True, [least_cell(a) for a in answers]),
        ("outcome", False, [outcome_cell(a) for a in answers]),
        ("queries", True, [str(a.provenance.queries) for a in answers]),
    ]
    kept = [c for c in columns if any(c[2])]
    return Table(
        headers=tuple(name for name, _, _ in kept),
        rows=tuple(zip(*(cells for _, _, cells in kept), strict=True)) if answers else (),
        numeric=tuple(right for _, right, _ in kept),
    )


def plain(answers: Sequence[Answer], *, label_names: Labels = None) -> str:
    """The table with aligned columns, for a terminal without colours or a log file."""
    found = table(answers, label_names=label_names)
    widths = [max(map(len, column)) for column in zip(found.headers, *found.rows, strict=True)]
    lines = [_line(found.headers, widths, found.numeric), _line(["-" * w for w in widths], widths, found.numeric)]
    return "\n".join([*lines, *(_line(row, widths, found.numeric) for row in found.rows)]) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in zip(cells, widths, numeric, strict=True)).rstrip()


def markdown(answers: Sequence[Answer], *, label_names: Labels = None) -> str:
    """The table in GitHub's Markdown."""
    found = table(answers, label_names=label_names)
    rule = ["---:" if right else ":---" for right in found.numeric]
    rows = [found.headers, rule, *found.rows]
    return "".join("| " + " | ".join(_escaped(c) for c in row) + " |\n" for row in rows)


def _escaped(cell: str) -> str:
    return "".join(f"\\{c}" if c in "\\|`*_[]" else {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(c, c) for c in cell)


def label_name(label: int | None, names: Labels) -> str:
    """The name of a label, its number where it has none, or nothing for networks without labels."""
    if label is None:
        return ""
    if isinstance(names, Mapping):
        return printable(names.get(label, label))
    return printable(names[label]) if names is not None and 0 <= label < len(names) else str(label)


def label_cell(answer: Answer, names: Labels = None) -> str:
    """The decision at the input, and the true label where it differs."""
    found = label_name(answer.label, names)
    wrong = answer.true_label is not None and answer.true_label != answer.label
    return f"{found} (true: {label_name(answer.true_label, names)})" if wrong else found


def risk_cell(answer: Answer) -> str:
    """The risk as one asks for it."""
    return printable(answer.risk.spec or answer.risk.name)


def norm_cell(answer: Answer) -> str:
    """The region: a norm, or ``box``; marked where distances are scaled."""
    if answer.region.norm is None:
        return "box"
    return f"{answer.region.norm}{' (scaled)' if answer.region.scaled else ''}"


def radius_cell(answer: Answer) -> str:
    """The bracket of the radius; without a witness, how far the search looked. Empty for other questions."""
    if not isinstance(answer, RadiusAnswer):
        return ""
    if answer.outcome is Outcome.MISCLASSIFIED:
        return "-"
    found = bracket_cell(answer.bracket, whole=answer.region.norm is Norm.L0)
    if answer.region.norm is Norm.L0 and answer.witness is not None and answer.witness.distance is not None:
        found += f" ({int(answer.witness.distance)} changed)"
    looked = "" if answer.region.radius is None else f" within {searched(answer)}"
    return found if answer.bracket.upper is not None else f"{found + ', ' if found else ''}no witness{looked}"


def searched(answer: Answer) -> str:
    """The radius of the ball: as given if it is short, else (the distance to the far end of the domain) rounded down."""
    radius = answer.region.radius
    if radius is None:
        return ""
    return setting(radius) if len(setting(radius)) <= 6 else lower(radius)


def q_cell(answer: Answer) -> str:
    """The bracket of Q. Empty for other questions."""
    if not isinstance(answer, LipschitzAnswer):
        return ""
    return "-" if answer.outcome is Outcome.MISCLASSIFIED else bracket_cell(answer.bracket) or "none found"


def d_prime_cell(answer: Answer) -> str:
    """Theorem 1's radius: proved below, estimated above. Empty for other questions."""
    if not isinstance(answer, LipschitzAnswer):
        return ""
    sides = [side_cell(answer.d_prime_lower, End.LOWER), side_cell(answer.d_prime_upper, End.UPPER)]
    return ", ".join(s for s in sides if s) or "-"


def range_cell(answer: Answer) -> str:
    """The values reached, each end with its direction. Empty for other questions."""
    if not isinstance(answer, ReachAnswer):
        return ""
    if answer.outcome is Outcome.MISCLASSIFIED:
        return "-"
    low, high = bracket_cell(answer.minimum) or "unknown", bracket_cell(answer.maximum) or "unknown"
    return f"min {low}; max {high}"


def verdict_cell(answer: Answer) -> str:
    """The verdict with its guarantee unless that is a proof or a witness, and the reason of an unknown one. Empty for other questions."""
    if not isinstance(answer, VerifyAnswer):
        return ""
    if answer.verdict is Verdict.UNKNOWN and answer.outcome is not Outcome.MISCLASSIFIED:
        return f"{answer.word}: {printable(answer.reason)}"
    return verdict_word(answer)


def verdict_word(answer: VerifyAnswer) -> str:
    """``holds`` for a proof only; what rests on a solver's word is ``holds (solver)``."""
    return answer.word + (f" ({BADGES[Guarantee.SOLVER]})" if answer.guarantee is Guarantee.SOLVER else "")


def least_cell(answer: Answer) -> str:
    """The bracket of the least value of s in the region. Empty for other questions."""
    if not isinstance(answer, VerifyAnswer):
        return ""
    return bracket_cell(answer.bracket) or "-"


def place(answer: Answer) -> str:
    """``Input 3`` of a data set, ``Region`` or ``Region 3`` of a specification."""
    kind = "Region" if answer.region.norm is None else "Input"
    return kind if answer.index is None else f"{kind} {answer.index}"


def safe_throughout(answer: Answer) -> bool:
    """Whether the proved radius covers all of the ball that was searched."""
    if not isinstance(answer, RadiusAnswer) or answer.region.radius is None:
        return False
    low = proved_value(answer.bracket.lower)
    return low is not None and low >= answer.region.radius


def outcome_cell(answer: Answer) -> str:
    """How the question ended, and whether it was interrupted; for a verdict, which says it, only the latter."""
    said = "proved safe throughout" if safe_throughout(answer) else OUTCOMES[answer.outcome]
    if isinstance(answer, VerifyAnswer) and answer.outcome is Outcome.MEASURED:
        return "interrupted" if answer.provenance.interrupted else ""
    return said + (" (interrupted)" if answer.provenance.interrupted else "")


def bracket_cell(bracket: Bracket, *, whole: bool = False) -> str:
    """Both sides that are known, e.g. ``>= 0.0102 (proved), <= 0.0431``."""
    sides = [side_cell(bracket.side(end), end, whole=whole) for end in (End.LOWER, End.UPPER)]
    return ", ".join(s for s in sides if s)


def side_cell(side: Side | None, end: End, *, whole: bool = False) -> str:
    """``<= 0.0431`` for an attained side; any other guarantee is named behind it. Rounded outwards."""
    if side is None:
        return ""
    sign = ">=" if end is End.LOWER else "<="
    guarantee = "" if side.guarantee is Guarantee.ATTAINED else f" ({BADGES[side.guarantee]})"
    return f"{sign} {side_figure(side, end, whole=whole)}{guarantee}"


def side_figure(side: Side, end: End, *, whole: bool = False) -> str:
    """The number of a side, rounded outwards; a whole number in full where the quantity is a count."""
    if whole and math.isfinite(side.value) and side.value == int(side.value):
        return count(side.value) if abs(side.value) >= 10_000 else str(int(side.value))
    if side.guarantee is Guarantee.HEURISTIC:
        return estimate(side.value, Rounding.DOWN if end is End.LOWER else Rounding.UP)
    return lower(side.value) if end is End.LOWER else upper(side.value)
