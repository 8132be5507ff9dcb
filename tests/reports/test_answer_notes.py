"""What an answer says beside its numbers reaches the reader of the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from netassay.reports.html import write_report
from netassay.results.codec import document
from reports import sample_answers


def test_notes_of_answers_are_printed_once(tmp_path: Path) -> None:
    answers = [replace(a, notes=("the network gave NaN <somewhere>",)) for a in sample_answers.image_answers(2)]
    page = write_report(answers, tmp_path, title="t").read_text(encoding="utf-8")
    assert page.count("the network gave NaN &lt;somewhere&gt;") == 1
    assert document(answers[0])["notes"] == ["the network gave NaN <somewhere>"]
