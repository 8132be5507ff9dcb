"""What a command leaves behind: witnesses and answers in a folder, a table or JSON on stdout, a report where wanted."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netassay.cli import thresholds
from netassay.cli.exit_codes import ExitCode, worst
from netassay.cli.inputs import Inputs
from netassay.cli.junit import write_junit
from netassay.cli.options import OutputOptions
from netassay.cli.reporting import report
from netassay.cli.verdicts import say_conclusion, verdict_code
from netassay.numerics.interrupts import deferred_interrupts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.results.answer import Answer

ROWS = 100
"""Rows of a table printed at most; the stored document has all."""


def deliver(
    answers: Sequence[Answer],
    inputs: Inputs,
    options: OutputOptions,
    *,
    single: bool,
    title: str,
    fail_under: Sequence[str] | None = None,
    scale: NDArray[np.float64] | None = None,
    asked: int | None = None,
    store: str | None = None,
    missing: int = 0,
) -> ExitCode:
    """Stores, prints and reports the answers; gives the exit code that they call for.

    With ``single`` the document is that of the one answer, else that of an assessment (results and summary).
    ``scale`` is the unit of each feature's changes, for the report; ``asked`` is the number of verdicts asked for, some of which
    may have no answer. ``store`` keeps the answers already: then nothing is written to the folder of the command; ``missing`` answers
    were asked for and are not there.

    Raises:
        OSError: If the answers cannot be stored; they are printed all the same.
    """
    unstored: OSError | None = None
    with deferred_interrupts():  # what was found is stored whole, however often Ctrl-C is pressed
        try:
            kept = None if store is None else (_document(answers, None, single, asked), store)
            content, stored = kept or _stored(answers, options, single, asked)
        except OSError as error:
            content, stored, unstored = _document(answers, None, single, asked), None, error
    if options.json:
        print(json.dumps(content, indent=2, allow_nan=False))
    else:
        print_answers(answers, inputs, options, stored)
        say_conclusion(answers, asked)
    if unstored is not None:
        raise OSError(unstored.errno, unstored.strerror, options.out) from unstored
    if options.report is not None and answers:
        told = report(answers, inputs, options.report, title=title, command=command_line(), scale=scale)
        print(f"report: {told}", file=sys.stderr if options.json else sys.stdout)
    demanded = thresholds.checked(fail_under)
    decided = thresholds.decisions(demanded, answers, max(missing, (asked or 0) - len(answers)))
    thresholds.say(demanded, answers, decided)
    if options.junit is not None:
        write_junit(options.junit, demanded, answers, decided)
    return worst([exit_code(answers, asked), thresholds.thresholds_code(demanded, answers, decided)])


def _stored(answers: Sequence[Answer], options: OutputOptions, single: bool, asked: int | None) -> tuple[dict[str, Any], str]:
    """Writes witnesses and answers; gives the document and its file."""
    from netassay.results.codec import witness_paths, write_document

    folder = Path(options.out)
    content = _document(answers, [witness_paths(folder, answer) for answer in answers], single, asked)
    stored = folder / f"{'answer' if single else 'assessment'}.json"
    write_document(stored, content)
    return content, str(stored)


def _document(answers: Sequence[Answer], files: Sequence[dict[str, str]] | None, single: bool, asked: int | None) -> dict[str, Any]:
    """The answers as one document, which names the files of their witnesses."""
    from netassay.results.codec import assessment_document, document

    if single and len(answers) == 1:
        return document(answers[0], witness_files=files[0] if files else None)
    return assessment_document(answers, witness_files=files, command=command_line(), created=now(), asked=asked)


def exit_code(answers: Sequence[Answer], asked: int | None = None) -> ExitCode:
    """130 after an interrupt; else what verdicts (or their lack) say; else 0, since everything asked was measured."""
    if any(answer.provenance.interrupted for answer in answers):
        return ExitCode.INTERRUPTED
    lacking = [ExitCode.UNKNOWN] if len(answers) < (asked or 0) else []
    return worst([*lacking, *(verdict_code(answer) for answer in answers)])


def print_answers(answers: Sequence[Answer], inputs: Inputs, options: OutputOptions, stored: str | None) -> None:
    """Notes, then the table, then where the witnesses are."""
    if not options.quiet:
        for note in dict.fromkeys([*inputs.notes, *(note for answer in answers for note in answer.notes)]):
            print(f"note: {note}", file=sys.stderr)
    for title, members in _by_question(answers).items():
        print(f"{title}\n")
        print(_table(members[:ROWS], inputs.data.label_names))
        if len(members) > ROWS:
            print(f"and {len(members) - ROWS} more, in the stored answers\n")
    if stored is not None and not options.quiet:
        print(f"answers and witnesses: {stored}")


def _by_question(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers under the title of their question."""
    from netassay.results.answer import LipschitzAnswer, RadiusAnswer, ReachAnswer, VerifyAnswer

    titles = {
        RadiusAnswer: "Maximum safe radius",
        LipschitzAnswer: "Sensitivity (Lipschitz)",
        ReachAnswer: "Range reached",
        VerifyAnswer: "Verification",
    }
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        title = next(name for kind, name in titles.items() if isinstance(answer, kind))
        groups.setdefault(title, []).append(answer)
    return groups


def _table(answers: Sequence[Answer], label_names: Sequence[str]) -> str:
    """The answers as lines: with colours and rules on a terminal that is wide enough, else plain."""
    from netassay.reports.text import plain

    text = plain(answers, label_names=label_names or None)
    if not sys.stdout.isatty():
        return text
    from rich.console import Console

    wide = Console().width >= max(map(len, text.splitlines())) + 2
    return _ruled(answers, label_names) if wide else text


def _ruled(answers: Sequence[Answer], label_names: Sequence[str]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from netassay.reports.text import table

    cells = table(answers, label_names=label_names or None)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for header, numeric in zip(cells.headers, cells.numeric, strict=True):
        shown.add_column(header, justify="right" if numeric else "left", no_wrap=True)
    for row in cells.rows:
        shown.add_row(*row)
    console = Console(markup=False, highlight=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def command_line() -> str:
    """The command as it was typed, without passwords in addresses; bytes that are no UTF-8 become question marks."""
    typed = (re.sub(r"(://[^:/@]*):[^@]+@", r"\1:***@", word) for word in sys.argv[1:])
    return shlex.join(["netassay", *typed]).encode("utf-8", "replace").decode("utf-8")


def now() -> str:
    """Date and time, ISO 8601 with its offset."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
