"""The tables of global figures: distributions, accuracies, classes; each number with its side and guarantee."""

from __future__ import annotations

from collections.abc import Sequence

from netassay.numerics.norms import Norm
from netassay.reports import text
from netassay.reports.figures import aligned, percent, setting, share
from netassay.reports.tables import Cell, Column, Grid
from netassay.reports.text import Labels, label_name
from netassay.reports.wording import QUANTITIES
from netassay.results.answer import Question
from netassay.results.bracket import End, Side
from netassay.results.confidence import Limits
from netassay.results.guarantee import Arithmetic, Guarantee
from netassay.results.statistics import Accuracy, Distribution, GroupFigures
from netassay.results.summary import Interval

SIGNS = {End.LOWER: "\u2265 ", End.UPPER: "\u2264 "}
MOST_CLASSES = 100
STATISTICAL = str(Guarantee.STATISTICAL)


def distribution_table(found: Distribution, norm: Norm | None, title: str) -> Grid | None:
    """Percentiles, mean, and what they say of the population; None where no side is known."""
    if not (found.lower_known or found.upper_known):
        return None
    whole = norm is Norm.L0 and found.quantity == "radius"
    named = [("Least", found.least), *((_percentile_name(p.share), p.value) for p in found.percentiles), ("Greatest", found.greatest)]
    rows: list[tuple[str, Interval | Limits]] = [*named, ("Mean", found.mean)]
    level = f"{100 * found.population_mean.level:g} %"
    rows += [(f"Median of the population, {level}", found.population_median), (f"Mean of the population, {level}", found.population_mean)]
    rows = [(name, values) for name, values in rows if values.lower is not None or values.upper is not None]
    return Grid(
        f"{title}: {QUANTITIES[found.quantity]} over {found.counted} inputs. Each figure lies between its two sides.",
        (
            Column("Figure", tuple(Cell(name) for name, _ in rows)),
            _end_column(found, [values for _, values in rows], End.LOWER, whole=whole),
            _end_column(found, [values for _, values in rows], End.UPPER, whole=whole),
        ),
    )


def _percentile_name(share_of_inputs: int) -> str:
    return "Median" if share_of_inputs == 50 else f"{share_of_inputs}th percentile"


def _end_column(found: Distribution, rows: Sequence[Interval | Limits], end: End, *, whole: bool) -> Column:
    known = found.lower_guarantee if end is End.LOWER else found.upper_guarantee
    header = "From below" if end is End.LOWER else "From above"
    kinds = [known if isinstance(values, Interval) else Guarantee.STATISTICAL for values in rows]
    numbers = [values.lower if end is End.LOWER else values.upper for values in rows]
    texts = aligned(["" if v is None else _bound(v, end, kind, whole=whole) for v, kind in zip(numbers, kinds, strict=True)])
    cells = (Cell("" if v is None else t, "" if v is None else str(kind)) for v, t, kind in zip(numbers, texts, kinds, strict=True))
    return Column(header, tuple(cells), numeric=True)


def _bound(value: float, end: End, known: Guarantee, *, whole: bool) -> str:
    return SIGNS[end] + text.side_figure(Side(value, known, "statistics", Arithmetic.REAL), end, whole=whole)


def accuracy_table(found: GroupFigures, title: str) -> Grid | None:
    """Certified and attacked accuracy; None where the question has none."""
    rows = found.accuracies
    if not rows:
        return None
    radii = aligned(["box" if r.radius is None else setting(r.radius) for r in rows])
    level = f"{100 * rows[0].population.level:g} %"
    right = "Misclassified inputs count as failed" if rows[0].labelled else "Where true labels are missing, the decision is taken for right"
    return Grid(
        f"{title}: inputs that are right and safe throughout the radius, of {rows[0].total}. The true number lies between certified and "
        f"attacked. {right}.",
        (
            Column("Radius", tuple(Cell(r) for r in radii), numeric=True),
            Column("Certified accuracy", tuple(_part(r.certified, r.total, Guarantee.PROVED) for r in rows), numeric=True),
            Column("Attacked accuracy", tuple(_part(r.attacked, r.total, Guarantee.ATTAINED) for r in rows), numeric=True),
            Column(f"In the population, {level}", tuple(Cell(share_range(r), STATISTICAL) for r in rows), numeric=True),
        ),
    )


def _part(part: int, whole: int, known: Guarantee) -> Cell:
    return Cell(f"{part} ({percent(part, whole)})", str(known) if part else "")


def share_range(accuracy: Accuracy) -> str:
    """``61.2 % to 97.9 %``: confidence limits, rounded outwards."""
    low, high = accuracy.population.lower or 0.0, 1.0 if accuracy.population.upper is None else accuracy.population.upper
    return f"{share(low, up=False)} to {share(high, up=True)}"


def classes_table(found: GroupFigures, title: str, names: Labels) -> Grid | None:
    """One row per class; None where there is only one."""
    rows = found.classes[:MOST_CLASSES]
    if not rows:
        return None
    main = found.distributions[0] if found.distributions else None
    columns = [
        Column("Class", tuple(Cell(label_name(c.label, names)) for c in rows)),
        Column("Inputs", tuple(Cell(str(c.inputs)) for c in rows), numeric=True),
        Column("Misclassified", tuple(Cell(str(c.misclassified)) for c in rows), numeric=True),
    ]
    if found.question in (Question.RADIUS, Question.VERIFY):
        columns.append(Column("With a violation", tuple(Cell(str(c.violated)) for c in rows), numeric=True))
    columns.append(Column("With a proof", tuple(Cell(str(c.proved)) for c in rows), numeric=True))
    if main is not None:
        whole = found.norm is Norm.L0 and main.quantity == "radius"
        medians = [c.median for c in rows]
        ends = [_end_column(main, medians, end, whole=whole) for end in End]
        columns += [Column(f"Median, {c.header.lower()}", c.cells, numeric=True) for c in ends if any(cell.text for cell in c.cells)]
    more = f"; {len(found.classes) - MOST_CLASSES} more classes in report.json" if len(found.classes) > MOST_CLASSES else ""
    return Grid(f"{title}, by class (the true label, where it is known){more}", tuple(columns))
