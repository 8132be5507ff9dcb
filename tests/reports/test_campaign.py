"""The assurance report of a campaign: true to its answers, harmless whatever they hold, and made without an engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from netassay.errors import DataError, UsageError
from netassay.reports.campaign import MOST_GROUPS, Settings, write_campaign
from netassay.results.answer import Answer, Outcome, RadiusAnswer
from netassay.results.codec import read_document
from netassay.results.demands import decide, parse_demand
from netassay.results.schema import json_schema
from netassay.results.statistics import figures
from netassay.results.summary import grouped
from netassay.store.records import Presentation
from reports import sample_answers
from reports.campaign_answers import campaign, campaign_answers

ANSWERS = campaign_answers(60)


class Elements(HTMLParser):
    """All start tags with their attributes, all identifiers, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> Iterator[str]:
        return (href for tag, attrs in self.tags if tag == "a" and (href := attrs.get("href")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("campaign")
    decisions = decide(parse_demand("radius.linf.p05 >= 0.01"), ANSWERS)
    write_campaign(ANSWERS, campaign(ANSWERS), found, Settings(pages=5, inputs=(59,), decisions=decisions))
    return found


def test_every_chapter_and_every_link_is_there(folder: Path) -> None:
    page = Elements((folder / "report.html").read_text(encoding="utf-8"))
    idents = {attrs["id"] for _, attrs in page.tags if attrs.get("id")}
    assert idents >= {"summary", "stability", "sensitivity", "relevance", "reachability", "method", "limits", "provenance", "sign-off"}
    assert len([1 for _, attrs in page.tags if attrs.get("id")]) == len(idents)
    for link in page.links():
        assert link[1:] in idents if link.startswith("#") else (folder / link).is_file()
    assert "Evidence structured along" in page.text
    assert "not a statement of conformity" in page.text
    assert not re.search(r"\b(complies|compliant|certified by)\b", page.text)


def test_pages_of_inputs_have_their_witnesses(folder: Path) -> None:
    pages = sorted(folder.glob("inputs/*.html"))
    assert 5 <= len(pages) <= 6
    assert folder / "inputs" / "59.html" in pages
    for file in pages:
        page = Elements(file.read_text(encoding="utf-8"))
        links = list(page.links())
        assert any(link.startswith("../witnesses/") for link in links)
        assert all((file.parent / link.split("#")[0]).is_file() for link in links if not link.startswith("#"))


def test_the_document_is_valid_and_has_every_answer(folder: Path) -> None:
    content = read_document(folder / "report.json")
    jsonschema.Draft202012Validator(json_schema()).validate(content)
    assert {len(column) for column in content["results"].values()} == {len(ANSWERS)}
    lowers = [a.bracket.lower.value if a.bracket.lower else None for a in ANSWERS if isinstance(a, RadiusAnswer)]
    assert content["results"]["lower"][: len(lowers)] == lowers
    means = [figures(members).distributions[0].mean for members in grouped(ANSWERS)]
    assert [(g["distributions"][0]["mean"]["lower"], g["distributions"][0]["mean"]["upper"]) for g in content["groups"]] == [
        (m.lower, m.upper) for m in means
    ]
    assert content["demands"][0]["finding"] in ("met", "missed", "undecided")


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c["results"]["index"].pop(),
        lambda c: c["groups"][0]["accuracies"][0].update(certified=10**6),
        lambda c: c["groups"][0].update(extra=1),
        lambda c: c["campaign"].update(asked=-1),
        lambda c: c["demands"][0].update(finding="perhaps"),
    ],
)
def test_a_damaged_document_is_refused(folder: Path, tmp_path: Path, damage: Any) -> None:
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    damage(content)
    (tmp_path / "report.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError):
        read_document(tmp_path / "report.json")


def test_the_report_says_what_is_missing(tmp_path: Path) -> None:
    told = campaign(ANSWERS, asked=len(ANSWERS) + 30, failed=12, left_out=8)
    text = Elements(write_campaign(ANSWERS, told, tmp_path).read_text(encoding="utf-8")).text
    assert "not finished: 10 answers are missing" in text
    assert "12 answers are missing because their work failed" in text
    assert "8 inputs are left out" in text


def test_without_proofs_nothing_is_called_proved(tmp_path: Path) -> None:
    unproved: list[Answer] = [replace(a, bracket=replace(a.bracket, lower=None)) for a in ANSWERS if isinstance(a, RadiusAnswer)]
    page = Elements(write_campaign(unproved, campaign(unproved), tmp_path).read_text(encoding="utf-8"))
    badges = [attrs for tag, attrs in page.tags if "badge proved" in (attrs.get("class") or "")]
    assert not badges
    assert "Nothing in this report is proved." in page.text
    assert "No side of these brackets is proved" in page.text


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    write_campaign(ANSWERS, campaign(ANSWERS), tmp_path, Settings(pages=8))
    (tmp_path / "inputs" / "notes.txt").write_text("mine", encoding="utf-8")
    write_campaign(ANSWERS, campaign(ANSWERS), tmp_path, Settings(pages=2))
    assert len(list(tmp_path.glob("inputs/*.html"))) == 2
    assert (tmp_path / "inputs" / "notes.txt").exists()


def test_the_same_answers_give_the_same_files(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    when = Settings(pages=2, created=datetime(2026, 1, 1, tzinfo=UTC))
    first, second = (write_campaign(ANSWERS, campaign(ANSWERS), tmp_path / name, when) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert first.with_name("report.json").read_bytes() == second.with_name("report.json").read_bytes()


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e{{ 7*7 }}</title></style>"


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    bad = [
        replace(
            a,
            risk=replace(a.risk, name=EVIL, text=EVIL, spec=EVIL, on=EVIL),
            notes=(EVIL,),
            provenance=replace(a.provenance, model=EVIL, method=EVIL, tool_version=EVIL, device=EVIL, options={EVIL: EVIL}),
        )
        for a in campaign_answers(12)
    ]
    shown = Presentation(
        input_shape=(1, 8, 8),
        label_names=(EVIL,) * 10,
        feature_names=(EVIL,) * 64,
        facts={EVIL: EVIL},
        notes=(EVIL,),
        output_meaning="logits",
    )
    told = campaign(bad, title=EVIL, command=EVIL, model=EVIL, data=EVIL, created=EVIL, presentation=shown)
    decisions = decide(replace(parse_demand("radius.linf.min >= 1"), text=EVIL), bad)
    write_campaign(bad, told, tmp_path, Settings(pages=3, decisions=decisions))
    files = list(tmp_path.rglob("*.html"))
    assert len(files) == 4
    for file in files:
        page = Elements(file.read_text(encoding="utf-8"))
        assert not any(tag == "script" for tag, _ in page.tags)
        assert all(attrs["src"] and attrs["src"].startswith("data:") for tag, attrs in page.tags if tag == "img")
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
        assert "\u202e" not in file.read_text(encoding="utf-8")
        assert "alert(1)" in page.text


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    """Names of files come from whole numbers and hashes, never from stored text."""
    bad = [replace(a, index=i) for a, i in zip(campaign_answers(12)[:4], (-5, 10**30, 0, 10**17), strict=True)]
    target = tmp_path / "deep" / "report"
    write_campaign(bad, campaign(bad, title="../../evil", data="/etc/passwd"), target, Settings(pages=9))
    made = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
    assert all(re.fullmatch(r"deep/report/(report\.(html|json)|inputs/\d+\.html|witnesses/[0-9a-f]{64}\.npz)", m) for m in made)
    assert {m for m in made if "/inputs/" in m} == {"deep/report/inputs/0.html", f"deep/report/inputs/{10**17}.html"}


def test_absurd_texts_are_cut(tmp_path: Path) -> None:
    bad = [replace(a, notes=("n" * 3_000_000,), risk=replace(a.risk, text="t" * 3_000_000)) for a in campaign_answers(3)[:3]]
    page = write_campaign(bad, campaign(bad, command="c" * 3_000_000), tmp_path)
    assert page.stat().st_size < 1_000_000


def test_too_many_questions_are_refused(tmp_path: Path) -> None:
    many = [replace(ANSWERS[0], risk=replace(ANSWERS[0].risk, spec=f"r{i}")) for i in range(MOST_GROUPS + 1)]
    with pytest.raises(UsageError, match="different questions"):
        write_campaign(many, campaign(many), tmp_path)


@pytest.mark.parametrize(
    ("told", "settings", "message"),
    [
        ({"presentation": Presentation(input_shape=(1, 8, 8), image_layout=(3, 900, 900))}, {}, "no pictures"),
        ({"presentation": Presentation(input_shape=(1, 8, 8), feature_names=("a",))}, {}, "feature names"),
        ({"presentation": Presentation(input_shape=(1, 8, 8), output_meaning="votes")}, {}, "votes"),
        ({"presentation": Presentation(input_shape=(1, 8, 8), scale=np.zeros(64))}, {}, "scale"),
        ({}, {"inputs": (4711,)}, "no answer about input 4711"),
        ({}, {"pages": -1}, "must not be negative"),
        ({}, {"level": 1.5}, "between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, told: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message):
        write_campaign(ANSWERS, campaign(ANSWERS, **told), tmp_path, Settings(**settings))


def test_tabular_campaigns_have_features_and_relevance(tmp_path: Path) -> None:
    answers, names = sample_answers.tabular_answers(12)
    shown = Presentation(input_shape=(30,), feature_names=tuple(names), output_meaning="logits")
    text = Elements(write_campaign(answers, campaign(answers, presentation=shown), tmp_path).read_text(encoding="utf-8")).text
    assert "features that the 12 nearest witnesses change most" in text
    assert any(name in text for name in names)


def test_only_misclassified_inputs_make_a_report_too(tmp_path: Path) -> None:
    wrong = [a for a in ANSWERS if a.outcome is Outcome.MISCLASSIFIED and isinstance(a, RadiusAnswer)]
    assert wrong
    text = Elements(write_campaign(wrong, campaign(wrong), tmp_path).read_text(encoding="utf-8")).text
    assert "No input was searched." in text


def test_no_engine_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import netassay.reports.campaign, netassay.cli.report, sys; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
