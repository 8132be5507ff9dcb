"""``--junit``: demands and verdicts as a JUnit XML file, which CI servers show as tests.

What is met passes, what is missed is a failure, what is undecided is an error: a CI server takes neither for a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from netassay.cli.exit_codes import ExitCode
from netassay.cli.thresholds import CODES, Thresholds, sentence, threshold_code
from netassay.cli.verdicts import verdict_code

if TYPE_CHECKING:
    from netassay.results.answer import Answer
    from netassay.results.demands import Decision

KINDS = {ExitCode.VIOLATION: "failure", ExitCode.UNKNOWN: "error"}


@dataclass(frozen=True, slots=True)
class Case:
    """One test: its class and name, how it ended, why, and how long it took."""

    group: str
    name: str
    code: ExitCode
    reason: str
    seconds: float = 0.0


def write_junit(file: Path | str, thresholds: Thresholds, answers: Sequence[Answer], decided: Sequence[Decision]) -> None:
    """Writes one test case per demand on figures, per input with a demanded radius, and per verdict."""
    from netassay.results.witness_files import write_atomically

    write_atomically(Path(file), junit([*_figures(decided), *_radii(thresholds, answers), *_verdicts(answers)]).encode("utf-8"))


def junit(cases: Sequence[Case]) -> str:
    """The test cases as one suite of JUnit XML."""
    count = {kind: sum(KINDS.get(case.code) == kind for case in cases) for kind in ("failure", "error")}
    head = f'<testsuite name="netassay" tests="{len(cases)}" failures="{count["failure"]}" errors="{count["error"]}" skipped="0">'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", head, *map(_element, cases), "</testsuite>", "</testsuites>"]
    return "\n".join(lines) + "\n"


def _element(case: Case) -> str:
    start = f'<testcase classname={_quoted(case.group)} name={_quoted(case.name)} time="{case.seconds:.3f}"'
    kind = KINDS.get(case.code)
    if kind is None:
        return f"{start}/>"
    return f"{start}><{kind} type={_quoted('missed' if kind == 'failure' else 'undecided')} message={_quoted(case.reason)}/></testcase>"


def _quoted(text: str) -> str:
    from netassay.reports.wording import printable

    return quoteattr(printable(text))


def _figures(decided: Sequence[Decision]) -> Iterator[Case]:
    for decision in decided:
        about = f" ({decision.risk})" if decision.risk else ""
        yield Case("netassay.figures", decision.demand.text + about, CODES[str(decision.finding)], sentence(decision))


def _radii(thresholds: Thresholds, answers: Sequence[Answer]) -> Iterator[Case]:
    from netassay.reports.text import place, radius_cell
    from netassay.results.answer import RadiusAnswer

    for radius in thresholds.radii:
        for answer in answers:
            if isinstance(answer, RadiusAnswer):
                code, found = threshold_code(answer, radius), radius_cell(answer)
                name = f"{place(answer)}: radius >= {radius:g}"
                why = f"radius {found}" if answer.outcome != "misclassified" else "misclassified"
                yield Case(_group(answer), name, code, why, answer.provenance.seconds)


def _verdicts(answers: Sequence[Answer]) -> Iterator[Case]:
    from netassay.reports.text import place, verdict_cell
    from netassay.results.answer import VerifyAnswer

    for answer in answers:
        if isinstance(answer, VerifyAnswer):
            name = f"{place(answer)}: holds"
            yield Case(_group(answer), name, verdict_code(answer), verdict_cell(answer), answer.provenance.seconds)


def _group(answer: Answer) -> str:
    from netassay.reports.text import norm_cell, risk_cell

    return f"netassay.{risk_cell(answer)}.{norm_cell(answer)}"
