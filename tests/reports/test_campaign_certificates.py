"""What a report says of certificates, whatever the store holds; names of files come from their content alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from netassay.errors import DataError
from netassay.numerics.norms import Norm
from netassay.reports.campaign import Settings, write_campaign
from netassay.reports.campaign_certificates import FOLDER, MOST_ROWS, State, certification, columns, copied
from netassay.results.answer import LipschitzAnswer, RadiusAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.codec import read_document
from netassay.results.guarantee import Guarantee
from netassay.results.proofs import is_proved
from netassay.store.certificates import Check, Kept
from reports.campaign_answers import campaign, campaign_answers
from reports.sample_answers import side

ANSWERS = campaign_answers(20)
CONTENT = b"a certificate"
EVIL = "<script>alert(1)</script>\"'>"


def check(accepted: bool = True, reason: str = "", checker: str = "netassay check 0") -> Check:
    return Check(
        accepted=accepted, reason=reason, checker=checker, arithmetic="float64", leaves=7, checked="2026-01-02T03:04:05", seconds=0.5
    )


def kept(found: Check | None = None, file: str | None = "ab" * 32, reason: str = "") -> Kept:
    return Kept(place=("a" * 64, 0), file=file, reason=reason, seconds=0.1, check=found)


def read(name: str) -> bytes:
    if name == "damaged":
        raise DataError("the store's file was changed since it was written")
    return CONTENT


PROVED = sum(is_proved(a) for a in ANSWERS)


def test_the_states_are_counted_and_the_worst_come_first(tmp_path: Path) -> None:
    told: list[Kept | None] = [kept(check()) if is_proved(a) else None for a in ANSWERS]
    places = [i for i, one in enumerate(told) if one is not None]
    told[places[3]] = kept(check(accepted=False, reason="case 0, part 1"))
    told[places[4]] = kept()
    told[places[5]] = kept(file=None, reason="it was not found in time (time-out)")
    told[places[6]] = kept(check(), file="damaged")
    found = copied(ANSWERS, told, read, tmp_path)
    said = certification(ANSWERS, found)
    assert said is not None
    assert f"{PROVED - 1} of {PROVED} proved answers have a certificate; {PROVED - 4} of these were checked" in said.short
    assert "2 were rejected" in said.short
    assert any("1 not checked yet" in s for s in said.sentences)
    assert any("it was not found in time (time-out) (1)" in s for s in said.sentences)
    assert "4 answers are proved, but have no certificate" in said.limit
    assert said.table is not None
    assert [cell.text for cell in said.table.columns[1].cells][:4] == ["rejected", "rejected", "not checked", "accepted"]
    assert said.listed == MOST_ROWS
    assert len(said.reasons) == 2
    assert said.files == PROVED - 2
    assert (tmp_path / FOLDER / f"{hashlib.sha256(CONTENT).hexdigest()}.cert").read_bytes() == CONTENT
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
    assert columns(found)["certificate_state"].count("accepted") == PROVED - 4


def test_what_is_not_proved_is_not_counted_and_no_file_is_no_certificate(tmp_path: Path) -> None:
    found = copied(ANSWERS, [], read, tmp_path)
    assert [c is not None for c in found] == [is_proved(a) for a in ANSWERS]
    assert {c.state for c in found if c is not None} == {State.MISSING}
    said = certification(ANSWERS, found)
    assert said is not None
    assert said.short == f"None of {PROVED} proved answers has a certificate."
    assert said.table is None
    unproved = [a for a in ANSWERS if not is_proved(a)]
    assert certification(unproved, copied(unproved, [], read, tmp_path)) is None


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", EVIL, "\0"])
def test_names_and_texts_of_a_stranger_are_text(tmp_path: Path, name: str) -> None:
    told: list[Kept | None] = [kept(check(accepted=False, reason=EVIL, checker=EVIL), file=name) if is_proved(a) else None for a in ANSWERS]
    page = write_campaign(ANSWERS, campaign(ANSWERS), tmp_path / "out", Settings(pages=1, certificates=told, read=read))
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert 'href="../' not in text
    assert f'href="{FOLDER}/{hashlib.sha256(CONTENT).hexdigest()}.cert"' in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [FOLDER, "inputs", "report.html", "report.json", "witnesses"]
    states = read_document(page.with_name("report.json"))["results"]["certificate_state"]
    assert set(states) == {"rejected", None}


def test_a_file_beside_an_earlier_report_is_put_right(tmp_path: Path) -> None:
    place = tmp_path / FOLDER / f"{hashlib.sha256(CONTENT).hexdigest()}.cert"
    place.parent.mkdir()
    place.write_bytes(b"something else")
    copied(ANSWERS, [kept(check()) if is_proved(a) else None for a in ANSWERS], read, tmp_path)
    assert place.read_bytes() == CONTENT


def test_pages_of_inputs_say_why_one_was_rejected_and_why_there_is_none(tmp_path: Path) -> None:
    one, other = [i for i, a in enumerate(ANSWERS) if is_proved(a)][:2]
    told: list[Kept | None] = [None] * len(ANSWERS)
    told[one], told[other] = kept(check(accepted=False, reason=EVIL)), kept(file=None, reason="it was not found in time")
    chosen = [ANSWERS[one].index or 0, ANSWERS[other].index or 0]
    write_campaign(ANSWERS, campaign(ANSWERS), tmp_path, Settings(pages=0, inputs=chosen, certificates=told, read=read))
    rejected, missing = ((tmp_path / "inputs" / f"{i}.html").read_text(encoding="utf-8") for i in chosen)
    assert f'<a href="../{FOLDER}/{hashlib.sha256(CONTENT).hexdigest()}.cert">rejected</a>' in rejected
    assert "Rejected: Input" in rejected
    assert "&lt;script&gt;" in rejected
    assert "<script>" not in rejected
    assert "it was not found in time (1)" in missing
    assert f"{FOLDER}/" not in missing


def test_a_campaign_without_proofs_has_pages_without_certificates(tmp_path: Path) -> None:
    unproved = [a for a in ANSWERS if not is_proved(a)]
    write_campaign(unproved, campaign(unproved), tmp_path, Settings(pages=2))
    for page in (tmp_path / "inputs").iterdir():
        assert "certificate" not in page.read_text(encoding="utf-8").partition("</style>")[2]


def test_the_table_says_what_is_proved_in_the_units_of_its_question(tmp_path: Path) -> None:
    plain = next(a for a in ANSWERS if isinstance(a, RadiusAnswer) and is_proved(a))
    counted = replace(plain, region=replace(plain.region, norm=Norm.L0), bracket=Bracket(End.UPPER, side(2.0, Guarantee.PROVED), side(3.0)))
    steep = next(a for a in ANSWERS if isinstance(a, LipschitzAnswer) and is_proved(a))
    answers = [counted, steep]
    said = certification(answers, copied(answers, [kept(), kept()], read, tmp_path))
    assert said is not None
    assert said.table is not None
    (column,) = (c for c in said.table.columns if c.header == "Proved")
    assert column.cells[0].text == "\u2265 2"
    assert column.cells[1].text.startswith("\u2264 ")
