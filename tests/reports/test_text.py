"""Tables of answers: the same numbers everywhere, rounded outwards, every guarantee but "attained" named."""

from __future__ import annotations

from dataclasses import replace

from netassay.numerics.norms import Norm
from netassay.reports import text
from netassay.results.answer import LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.guarantee import Guarantee
from reports import sample_answers

ANSWERS = sample_answers.image_answers(3)
RADIUS = next(a for a in ANSWERS if isinstance(a, RadiusAnswer) and a.outcome is Outcome.MEASURED)
SLOPE = next(a for a in ANSWERS if isinstance(a, LipschitzAnswer))
RANGE = next(a for a in ANSWERS if isinstance(a, ReachAnswer))


def with_sides(lower: float | None, upper: float | None, guarantee: Guarantee = Guarantee.PROVED) -> RadiusAnswer:
    low = None if lower is None else sample_answers.side(lower, guarantee)
    return replace(RADIUS, bracket=Bracket(End.UPPER, low, None if upper is None else sample_answers.side(upper)))


def test_radius_cells() -> None:
    assert text.radius_cell(with_sides(None, 0.04301)) == "<= 0.0431"
    assert text.radius_cell(with_sides(0.01019, 0.04301)) == ">= 0.0101 (proved), <= 0.0431"
    assert text.radius_cell(with_sides(0.01019, 0.04301, Guarantee.SOLVER)) == ">= 0.0101 (solver), <= 0.0431"
    nothing = replace(with_sides(None, None), region=replace(RADIUS.region, radius=0.3))
    assert text.radius_cell(nothing) == "no witness within 0.3"
    assert text.radius_cell(replace(nothing, region=replace(RADIUS.region, radius=2.828427))) == "no witness within 2.82"
    proved = replace(with_sides(0.25, None), region=replace(RADIUS.region, radius=0.3))
    assert text.radius_cell(proved) == ">= 0.250 (proved), no witness within 0.3"
    assert text.radius_cell(replace(nothing, outcome=Outcome.MISCLASSIFIED)) == "-"
    assert text.radius_cell(SLOPE) == ""


def test_l0_radii_are_whole_numbers() -> None:
    whole = replace(with_sides(None, 3.0), region=replace(RADIUS.region, norm=Norm.L0))
    assert whole.witness is not None
    changed = replace(whole, witness=replace(whole.witness, distance=4.0))
    assert text.radius_cell(changed) == "<= 3 (4 changed)"
    assert text.radius_cell(replace(whole, witness=None)) == "<= 3"


def test_slopes_and_estimates() -> None:
    found = replace(
        SLOPE, bracket=Bracket(End.LOWER, lower=sample_answers.side(12.39)), d_prime_upper=sample_answers.side(0.07521, Guarantee.HEURISTIC)
    )
    assert text.q_cell(found) == ">= 12.3"
    assert text.d_prime_cell(found) == "<= 0.0753 (estimate)"
    proved = replace(found, d_prime_lower=sample_answers.side(0.01239, Guarantee.PROVED))
    assert text.d_prime_cell(proved) == ">= 0.0123 (proved), <= 0.0753 (estimate)"
    assert text.q_cell(replace(found, bracket=Bracket(End.LOWER))) == "none found"


def test_ranges() -> None:
    found = replace(
        RANGE, minimum=Bracket(End.UPPER, upper=sample_answers.side(-1.239)), maximum=Bracket(End.LOWER, lower=sample_answers.side(3.456))
    )
    assert text.range_cell(found) == "min <= -1.23; max >= 3.45"
    assert text.range_cell(replace(found, maximum=Bracket(End.LOWER))) == "min <= -1.23; max unknown"


def test_labels_and_outcomes() -> None:
    wrong = replace(RADIUS, label=5, true_label=3, outcome=Outcome.MISCLASSIFIED, provenance=replace(RADIUS.provenance, interrupted=True))
    assert text.label_cell(wrong) == "5 (true: 3)"
    assert text.label_cell(wrong, ["a", "b", "c", "three", "d", "five"]) == "five (true: three)"
    assert text.label_cell(wrong, {5: "\u202efive\n"}) == "\ufffdfive\ufffd (true: 3)"
    assert text.label_cell(replace(RADIUS, label=None, true_label=None)) == ""
    assert text.outcome_cell(wrong) == "misclassified (interrupted)"


def test_columns_without_entries_are_left_out() -> None:
    assert text.table([RADIUS]).headers == ("input", "label", "risk", "norm", "radius", "outcome", "queries")
    assert "d'" in text.table([RADIUS, SLOPE]).headers
    assert "range reached" in text.table([RANGE]).headers
    found = text.table(ANSWERS)
    assert len(found.rows) == len(ANSWERS)
    assert {len(row) for row in found.rows} == {len(found.headers)} == {len(found.numeric)}
    assert text.table([]).rows == ()


def test_plain_text_lines_up() -> None:
    lines = text.plain(ANSWERS).splitlines()
    assert len(lines) == 2 + len(ANSWERS)
    at = lines[0].index("radius") + len("radius")
    assert all(line[at - 1] != " " or line[at : at + 2].strip() == "" for line in lines if len(line) > at)
    assert set(lines[1]) == {"-", " "}


def test_markdown_escapes_cells() -> None:
    odd = text.markdown([RADIUS], label_names={RADIUS.label or 0: "a|b <img> *x*"})
    assert "a\\|b &lt;img&gt; \\*x\\*" in odd
    assert all(line.count("|") - line.count("\\|") == 8 for line in odd.splitlines())
