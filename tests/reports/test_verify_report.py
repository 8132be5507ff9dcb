"""Verdicts and proved sides as a reader sees them: only a proof holds, every proved side is there, in words, tables and plots."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netassay.reports import text
from netassay.reports.cards import card, shown_witnesses
from netassay.reports.html import write_report
from netassay.reports.plots import BracketRow, bracket_plot, trace_plot
from netassay.reports.presentation import Presentation
from netassay.reports.sentences import proof_sentence, verdicts
from netassay.reports.view import group_view, severity
from netassay.results.answer import Answer, LipschitzAnswer, Outcome, RadiusAnswer, ReachAnswer, Verdict, VerifyAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.guarantee import Guarantee
from netassay.results.summary import summarise_group
from netassay.results.trace import Trace
from reports import sample_answers

ANSWERS = sample_answers.verdicts()
OTHERS = sample_answers.image_answers(3)
SHOW = Presentation(title="t", image_layout=(1, 8, 8))
HOLDS = next(a for a in ANSWERS if a.guarantee is Guarantee.PROVED)
SOLVER = next(a for a in ANSWERS if a.guarantee is Guarantee.SOLVER)
VIOLATED = next(a for a in ANSWERS if a.verdict is Verdict.VIOLATED)
UNKNOWN = next(a for a in ANSWERS if a.verdict is Verdict.UNKNOWN and a.outcome is Outcome.MEASURED)
RADIUS = next(a for a in OTHERS if isinstance(a, RadiusAnswer) and a.outcome is Outcome.MEASURED)
SLOPE = next(a for a in OTHERS if isinstance(a, LipschitzAnswer))
RANGE = next(a for a in OTHERS if isinstance(a, ReachAnswer))
PROVED = Guarantee.PROVED


def said(*answers: Answer) -> str:
    return " ".join(verdicts(answers, summarise_group(answers)))


def page(answers: list[Any], folder: Path) -> str:
    found = write_report(answers, folder, title="t", image_layout=(1, 8, 8)).read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


def test_cells_of_verdicts() -> None:
    assert [text.verdict_cell(a) for a in (HOLDS, SOLVER, VIOLATED, UNKNOWN, RADIUS)] == [
        "holds",
        "holds (solver)",
        "violated",
        "unknown: time-out",
        "",
    ]
    bracket = Bracket(End.UPPER, sample_answers.side(0.12399, PROVED), sample_answers.side(0.45601))
    assert text.least_cell(replace(HOLDS, bracket=bracket, witness=None)) == ">= 0.123 (proved), <= 0.457"
    assert text.least_cell(RADIUS) == ""
    assert {"verdict", "min s"} <= set(text.table(ANSWERS).headers)
    assert not {"verdict", "min s"} & set(text.table([RADIUS]).headers)
    hostile = text.verdict_cell(replace(UNKNOWN, reason="x\u202ey"))
    assert hostile == "unknown: x\ufffdy"


def test_sentences_claim_no_more_than_is_known() -> None:
    everything = said(*ANSWERS)
    assert "For 6 of 9 inputs it is proved that the property holds in the whole region." in everything
    assert "For 1 of 9 inputs a solver says that it holds; its rounding was not bounded, so this is no proof." in everything
    assert (
        f"For 1 of 9 inputs it is violated, as a replayed witness shows; the least s is -0.713 (input\u00a0{VIOLATED.index})." in everything
    )
    assert "For 1 of 9 inputs it is not known whether it holds: time-out (1)." in everything
    assert "1 input is misclassified without any change, and counted apart." in everything
    alone = said(HOLDS)
    assert re.search(r"proved that the property holds in the whole region; s is at least [\d.]+ everywhere\.", alone)
    assert "proved" not in said(SOLVER).replace("no proof", "")
    box = replace(HOLDS, index=None, region=replace(HOLDS.region, norm=None, radius=None))
    assert "For 1 of 1 region it is proved" in said(box)


@pytest.mark.parametrize(
    ("members", "state"),
    [
        ([HOLDS], ("holds", "holds: 1 of 1")),
        ([HOLDS, SOLVER], ("open", "holds by a solver's word: 1 of 2")),
        ([HOLDS, UNKNOWN], ("open", "unknown: 1 of 2")),
        (ANSWERS, ("violated", "violated: 1 of 9")),
    ],
)
def test_the_state_is_that_of_the_worst(members: list[VerifyAnswer], state: tuple[str, str]) -> None:
    found = group_view(members, "g1", SHOW, {})
    assert (found.state, found.state_text) == state
    assert found.headline


def test_the_worst_come_first() -> None:
    order = [(a.word, a.guarantee) for a in sorted(ANSWERS, key=severity)]
    assert order[:3] == [("violated", Guarantee.ATTAINED), ("unknown", None), ("holds", Guarantee.SOLVER)]
    assert order[-1] == ("misclassified", None)


def test_the_table_has_verdicts_with_their_guarantees() -> None:
    grid = group_view(ANSWERS, "g1", SHOW, {}).table
    columns = {c.header: c.cells for c in grid.columns}
    assert [(c.text, c.guarantee) for c in columns["Verdict"]][:4] == [
        ("violated", "attained"),
        ("unknown", ""),
        ("holds (solver)", "solver"),
        ("holds", "proved"),
    ]
    assert [c.text for c in columns["Why unknown"]][:3] == ["", "time-out", ""]
    assert {"proved", "solver"} <= {c.guarantee for c in columns["min s from below"]}


def test_cards_show_violations_and_rival_labels() -> None:
    assert [heading for heading, _ in shown_witnesses(VIOLATED)] == ["Violation"]
    assert [heading for heading, _ in shown_witnesses(HOLDS)] == ["Smallest value reached, no violation"]
    found = card(VIOLATED, SHOW, {})
    assert found.verdict == "violated"
    assert ("Kind of risk", "adversarial") in found.points[0].facts.pairs
    assert "Kind of risk" not in dict(card(HOLDS, SHOW, {}).points[0].facts.pairs)
    ends = {r.end for r in found.rivals}
    assert ends <= {"violated", "holds (not rated)", "holds, by the first bounds"}
    assert "violated" in ends
    bare = replace(SOLVER, targets=tuple(replace(t, discarded=False) for t in SOLVER.targets))
    assert {r.end for r in card(bare, SHOW, {}).rivals} == {"holds (solver)"}
    proved = replace(HOLDS, targets=bare.targets)
    assert {r.end for r in card(proved, SHOW, {}).rivals} == {"holds"}


def test_the_page_says_it_all(tmp_path: Path) -> None:
    found = page(ANSWERS, tmp_path)
    for words in ("verdict on the whole region", "holds (solver)", "unknown: time-out", "Rival labels", "Least value of s", "s = 0"):
        assert words in found
    assert "the proofs that were asked for did not succeed" in page([UNKNOWN_WITHOUT_PROOF], tmp_path)


UNKNOWN_WITHOUT_PROOF = replace(UNKNOWN, bracket=Bracket(End.UPPER, upper=UNKNOWN.bracket.upper))


def test_a_specification_is_shown_by_region(tmp_path: Path) -> None:
    def boxed(answer: VerifyAnswer, index: int | None) -> VerifyAnswer:
        witness = None if answer.witness is None else replace(answer.witness, distance=None)
        return replace(answer, index=index, region=replace(answer.region, norm=None, radius=None), witness=witness)

    assert [text.place(a) for a in (HOLDS, boxed(HOLDS, 4), boxed(HOLDS, None))] == [f"Input {HOLDS.index}", "Region 4", "Region"]
    found = page([boxed(VIOLATED, 0), boxed(HOLDS, 1)], tmp_path)
    assert "Region 0" in found
    assert "For 1 of 2 regions it is violated" in found


def test_a_proved_radius_is_said_everywhere(tmp_path: Path) -> None:
    assert RADIUS.region.radius is not None
    whole = replace(
        RADIUS,
        outcome=Outcome.NO_WITNESS,
        bracket=Bracket(End.UPPER, lower=sample_answers.side(RADIUS.region.radius, PROVED)),
        witness=None,
    )
    assert text.outcome_cell(whole) == "proved safe throughout"
    nearly = replace(whole, bracket=Bracket(End.UPPER, lower=sample_answers.side(0.99 * RADIUS.region.radius, PROVED)))
    assert text.outcome_cell(nearly) == "no witness found"
    solver = replace(whole, bracket=Bracket(End.UPPER, lower=sample_answers.side(RADIUS.region.radius, Guarantee.SOLVER)))
    assert text.outcome_cell(solver) == "no witness found"
    assert "it is proved that there is no violation within the whole radius" in said(whole)
    assert "does not show that there is none" not in said(whole)
    assert "does not show that there is none" in said(nearly)
    assert "does not show that there is none" in said(solver)
    assert "For 1 input it is proved" in said(RADIUS, whole)
    assert "the search found none" not in said(RADIUS, whole)
    assert "proved safe throughout" in page([whole, RADIUS], tmp_path)


def test_proved_slopes_and_radii_of_theorem_1_are_said() -> None:
    assert SLOPE.bracket.lower is not None
    steepest = 2 * SLOPE.bracket.lower.value
    bounded = replace(
        SLOPE,
        bracket=Bracket(End.LOWER, SLOPE.bracket.lower, sample_answers.side(steepest, PROVED)),
        falling=Bracket(End.LOWER, SLOPE.falling.lower, sample_answers.side(steepest, PROVED)),
        d_prime_lower=sample_answers.side(0.01239, PROVED),
    )
    sentence = said(bounded)
    assert "It is proved that no slope exceeds Q \u2264" in sentence
    assert "every change within d\u2032 \u2265 0.0123 of any of these inputs is proved safe" in sentence
    assert "proved" not in said(SLOPE)
    headers = [c.header for c in group_view([bounded], "g", SHOW, {}).table.columns]
    assert {"Q from above", "Falling Q from above", "d\u2032 from below"} <= set(headers)
    only_radius = replace(SLOPE, d_prime_lower=sample_answers.side(0.01, PROVED))
    assert proof_sentence([only_radius], asked=False).startswith("1 of 1 answers have a proved side")


def test_proved_ranges_are_said() -> None:
    closed = replace(
        RANGE,
        minimum=replace(RANGE.minimum, lower=sample_answers.side(-12.339, PROVED)),
        maximum=replace(RANGE.maximum, upper=sample_answers.side(45.671, PROVED)),
    )
    assert "It is proved that no value lies below -12.4 or above 45.7." in said(closed)
    assert "may be wider" not in said(closed)
    half = replace(RANGE, maximum=closed.maximum)
    assert "It is proved that no value lies above 45.7." in said(half)
    assert "may be wider" in said(half)


def test_plots_have_both_sides_and_the_limit() -> None:
    row = BracketRow("a", (Bracket(End.UPPER, sample_answers.side(0.2, PROVED), sample_answers.side(0.5)),))
    image = str(bracket_plot([row], title="t", ident="g", label="l", from_zero=False, limit=0.0))
    (limit,) = re.findall(r'<line[^>]*class="limit"[^>]*>', image)
    (dot,) = re.findall(r'<circle[^>]*cx="([\d.]+)"', image)
    (cap,) = re.findall(r'<line[^>]*class="cap proved"[^>]*>', image)
    at = [float(re.search(r'x1="([\d.]+)"', line)[1]) for line in (limit, cap)]  # type: ignore[index]
    assert at[0] < at[1] < float(dot)
    trace = Trace()
    for queries, low, high in ((1, 0.1, 0.9), (10, 0.2, 0.6)):
        trace.append(queries, 0.1, low, high)
    drawn = str(trace_plot([trace], value_title="v", label="l", brackets=row.brackets))
    assert 'class="curve lower proved"' in drawn
    assert 'class="curve upper"' in drawn
    weak = Bracket(End.UPPER, sample_answers.side(0.2, Guarantee.SOLVER), sample_answers.side(0.5))
    assert 'class="curve lower solver"' in str(trace_plot([trace], value_title="v", label="l", brackets=[weak]))
