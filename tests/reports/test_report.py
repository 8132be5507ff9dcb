"""The HTML report as text: complete, honest, escaped, self-contained, and the same numbers as the documents beside it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netassay.errors import DataError, InputError, UsageError
from netassay.reports.html import write_report
from netassay.reports.presentation import probabilities
from netassay.results.answer import Answer, Outcome, RadiusAnswer
from netassay.results.bracket import Bracket, End
from netassay.results.codec import read_document, read_witness
from netassay.results.witness import Replay
from reports import sample_answers

NOON = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)
IMAGES = sample_answers.image_answers(5)
TABULAR, NAMES = sample_answers.tabular_answers(4)
VOID = {"meta", "link", "img", "br", "rect", "line", "circle", "path", "stop"}


class Page(HTMLParser):
    """The tags of a page with their attributes, its text, and whether every tag is closed where it should be."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [a for t, a in self.tags if t == tag]


def page(answers: list[Answer], folder: Path, **options: Any) -> Page:
    path = write_report(answers, folder, **{"title": "A network", "created": NOON, **options})
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_report(
        IMAGES,
        folder,
        title="Digits",
        created=NOON,
        image_layout=(1, 8, 8),
        command="netassay assess m d",
        output_meaning="logits",
        notes=["A note."],
    )
    return folder


@pytest.fixture(scope="module")
def image_page(image_folder: Path) -> Page:
    return Page((image_folder / "report.html").read_text(encoding="utf-8"))


def test_nothing_comes_from_outside(image_page: Page) -> None:
    sources = [a["src"] for a in image_page.of("img")] + [a["href"] for a in image_page.of("link")]
    assert all(s.startswith("data:") for s in sources)
    assert not image_page.of("script")
    assert not any(name.startswith("on") for _, attributes in image_page.tags for name in attributes)
    links = {a["href"] for a in image_page.of("a")}
    assert all(re.fullmatch(r"#[\w-]+|report\.json|witnesses/[0-9a-f]{64}\.npz", link) for link in links)
    policies = [a["content"] for a in image_page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert policies[0].startswith("default-src 'none'")


def test_links_and_references_have_targets(image_page: Page, image_folder: Path) -> None:
    idents = Counter(a["id"] for _, a in image_page.tags if "id" in a)
    assert set(idents.values()) == {1}
    for attributes in image_page.of("a"):
        link = attributes["href"]
        assert link[1:] in idents if link.startswith("#") else (image_folder / link).is_file()
    for _, attributes in image_page.tags:
        assert attributes.get("aria-labelledby", next(iter(idents))) in idents
        fill = attributes.get("fill", "")
        assert not fill.startswith("url(") or fill[5:-1] in idents


def test_it_can_be_read_without_seeing_it(image_page: Page) -> None:
    levels = [int(t[1]) for t, _ in image_page.tags if re.fullmatch(r"h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert {"header", "nav", "main", "footer"} <= {t for t, _ in image_page.tags}
    assert all(a["alt"].strip() for a in image_page.of("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in image_page.of("svg"))
    assert len(image_page.of("caption")) == len(image_page.of("table"))
    assert all(a.get("scope") in ("row", "col") for a in image_page.of("th"))
    assert image_page.of("html")[0]["lang"] == "en"


def test_the_verdict_is_said_plainly(image_page: Page) -> None:
    assert "No side of these brackets is proved: this was a search, which does not prove." in image_page.text
    assert "For 4 of 4 inputs a violation was found within L-infinity distance" in image_page.text
    assert "1 input is misclassified without any change, and counted apart." in image_page.text
    assert "not a statement of conformity" in image_page.text
    assert "proved" not in {a.get("class", "").removeprefix("badge ") for a in image_page.of("span")}
    assert "estimate" in image_page.text


def test_numbers_agree_with_the_document(image_page: Page, image_folder: Path) -> None:
    found = read_document(image_folder / "report.json")
    assert found["created"] == "2030-01-02T12:00:00+00:00"
    assert len(found["results"]) == len(IMAGES)
    nearest = found["summary"]["groups"][0]["radius"]["minimum"]["upper"]
    shown = re.search(r"the nearest at ([\d.]+)", image_page.text)
    assert shown is not None
    assert nearest <= float(shown[1]) <= 1.02 * nearest
    for result in found["results"]:
        if result["question"] == "radius" and result["witness"]:
            stored = read_witness(image_folder, result["witness"]["file"])
            change = np.abs(stored.point.astype(np.float64) - stored.center)
            distance = change.max() if result["region"]["norm"] == "linf" else np.count_nonzero(change)
            assert result["witness"]["distance"] == distance


def test_sections_follow_the_robustness_goals(image_page: Page) -> None:
    assert [a["id"] for a in image_page.of("section") if a["id"] in ("stability", "sensitivity", "reachability")] == [
        "stability",
        "sensitivity",
        "reachability",
    ]
    assert "The search on its way" in image_page.text
    assert "netassay assess m d" in image_page.text
    assert "A note." in image_page.text
    assert "2030-01-02 12:00 UTC" in image_page.text
    for word in ("Glossary", "Provenance", "Sign-off", "Theorem 1", "Signature", "seed", "Model SHA-256"):
        assert word.lower() in image_page.text.lower()


def test_tabular_inputs_show_their_changed_features(tmp_path: Path) -> None:
    first = next(a for a in TABULAR if isinstance(a, RadiusAnswer) and a.witness is not None)
    assert first.witness is not None
    change = np.abs(first.witness.point.astype(np.float64) - first.center)
    least = int(np.argmin(np.where(change > 0, change, np.inf)))
    scale = np.where(np.arange(30) == least, 1e-6, 1.0)
    plain = page([first], tmp_path / "plain", feature_names=NAMES)
    assert NAMES[least] not in plain.text
    assert NAMES[int(np.argmax(change))] in plain.text
    found = page(list(TABULAR), tmp_path, feature_names=NAMES, label_names=["malignant", "benign"], scale=scale, output_meaning="logits")
    assert "In scale units" in found.text
    assert "malignant" in found.text
    assert "the 12 largest of 30 changed features" in found.text
    assert NAMES[least] in found.text
    assert "proved" in {a.get("class", "").removeprefix("badge ") for a in found.of("span")}
    assert "4 of 8 answers have a proved side" in found.text
    assert not found.of("ol")


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{ 7*7 }}\u202e\x00\ud800"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    plain = page(list(TABULAR), tmp_path / "plain", feature_names=NAMES)
    answers: list[Answer] = [
        replace(
            a,
            risk=replace(a.risk, text=HOSTILE, spec=f"x:{HOSTILE}", on=HOSTILE),
            provenance=replace(a.provenance, model=HOSTILE, method=HOSTILE, device=HOSTILE, options={HOSTILE: HOSTILE}),
        )
        for a in TABULAR
    ]
    found = page(
        answers,
        tmp_path / "hostile",
        title=HOSTILE,
        feature_names=[HOSTILE] * 30,
        label_names=[HOSTILE, HOSTILE],
        command=HOSTILE,
        notes=[HOSTILE],
        model_info={HOSTILE: HOSTILE},
    )
    assert not found.of("script")
    assert len(found.of("img")) == len(plain.of("img"))
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "{{ 7*7 }}" in found.text
    assert not set("\u202e\x00") & set(found.text)


def test_detail_is_limited_and_the_page_says_so(tmp_path: Path) -> None:
    found = page(list(IMAGES), tmp_path, image_layout=(1, 8, 8), most_cards=2)
    assert "2 of 4 inputs with a witness have a card, worst first" in found.text
    radii = [a.bracket.upper.value for a in IMAGES[:4] if isinstance(a, RadiusAnswer) and a.bracket.upper]
    worst = [a.index for a in IMAGES[:4] if isinstance(a, RadiusAnswer) and a.bracket.upper and a.bracket.upper.value == min(radii)]
    cards = re.findall(r"Input (\d+), decided", found.text)
    assert int(cards[0]) in worst


def without_witness(answer: RadiusAnswer) -> RadiusAnswer:
    return replace(answer, outcome=Outcome.NO_WITNESS, bracket=Bracket(End.UPPER), witness=None)


def test_an_unsuccessful_search_claims_no_safety(tmp_path: Path) -> None:
    answers: list[Answer] = [without_witness(a) for a in IMAGES[:4] if isinstance(a, RadiusAnswer)]
    found = page(answers, tmp_path, image_layout=(1, 8, 8), proof_asked=True)
    assert "No violation was found for 4 of 4 inputs. This does not show that there is none." in found.text
    assert "the proofs that were asked for did not succeed" in found.text
    assert not found.of("article")


def test_censored_inputs_are_said(tmp_path: Path) -> None:
    first, *rest = [a for a in IMAGES[:4] if isinstance(a, RadiusAnswer)]
    found = page([without_witness(first), *rest], tmp_path)
    assert "For 3 of 4 inputs a violation was found" in found.text
    assert "For 1 input the search found none, which does not show that there is none." in found.text
    assert "1 without a witness counted with the radius searched" in found.text


def test_marked_witnesses_are_said(tmp_path: Path) -> None:
    first, *rest = [a for a in IMAGES[:4] if isinstance(a, RadiusAnswer)]
    assert first.witness is not None
    split = Replay({"a": -1e-9, "b": 1e-9}, True, {"a": True, "b": False})
    marked = replace(first.witness, replay=split, marked="engines disagree on the sign")
    found = page([replace(first, witness=marked), *rest], tmp_path)
    assert "1 of the witnesses lies near the limit and is marked." in found.text
    assert "1 of the witnesses is not borne out by every engine." in found.text
    assert "engines disagree on the sign" in found.text


def test_a_contradiction_is_never_printed(tmp_path: Path) -> None:
    first = next(a for a in IMAGES if isinstance(a, RadiusAnswer) and a.witness is not None)
    wrong = replace(first, bracket=Bracket(End.UPPER, upper=sample_answers.side(1e-6)))
    with pytest.raises(DataError, match="below what its witness"):
        page([wrong], tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image_layout": (3, 8, 8)}, "no pictures of 3 x 8 x 8"),
        ({"feature_names": ["a"]}, "1 feature names for inputs of 64"),
        ({"scale": np.zeros(64)}, "positive"),
        ({"scale": np.ones(3)}, "scale of 3"),
        ({"output_meaning": "odds"}, "known: "),
        ({"decision": "best"}, "argmax"),
    ],
)
def test_choices_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        write_report(IMAGES, tmp_path, title="x", **options)
    assert not list(tmp_path.iterdir())


def test_a_report_needs_answers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one"):
        write_report([], tmp_path, title="x")


def test_the_same_answers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(IMAGES, tmp_path / name, title="x", created=NOON, image_layout=(1, 8, 8))
    for name in ("report.html", "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a" / "report.json").read_text())["schema"] == "netassay/assessment/2"


def test_probabilities_follow_what_outputs_mean() -> None:
    two = probabilities(np.array([0.0, np.log(3.0)]), "logits", "argmax")
    assert two is not None
    assert two == pytest.approx([0.25, 0.75])
    costs = probabilities(np.array([0.0, np.log(3.0)]), "logits", "argmin")
    assert costs is not None
    assert costs == pytest.approx([0.75, 0.25])
    assert probabilities(np.array([0.3]), "sigmoid", "argmax") == pytest.approx([0.7, 0.3])
    assert probabilities(np.array([0.0]), "binary-logit", "argmax") == pytest.approx([0.5, 0.5])
    assert probabilities(np.array([0.2, 0.8]), "probabilities", "argmin") == pytest.approx([0.8, 0.2])
    assert probabilities(np.array([1.0]), "values", "argmax") is None
    assert probabilities(np.array([np.nan, 1.0]), "logits", "argmax") is None


def test_probabilities_are_never_rounded_to_certainty(tmp_path: Path) -> None:
    sure = replace(next(a for a in TABULAR if isinstance(a, RadiusAnswer)))
    assert sure.witness is not None
    certain = replace(sure, witness=replace(sure.witness, outputs=np.array([0.0, 12.0])))
    found = page([certain], tmp_path, output_meaning="logits")
    assert "> 99.9 %" in found.text
    assert "< 0.1 %" in found.text
    assert "100.0 %" not in found.text


def test_a_box_without_index_or_norm(tmp_path: Path) -> None:
    reach = next(a for a in IMAGES if a.question == "reach")  # type: ignore[attr-defined]
    boxed = replace(reach, index=None, label=None, true_label=None, region=replace(reach.region, norm=None, radius=None))
    for name in ("minimum_witness", "maximum_witness"):
        boxed = replace(boxed, **{name: replace(getattr(boxed, name), distance=None, label=None)})
    found = page([boxed], tmp_path)
    assert "Region: a box, all 64 features free." in found.text
    assert "were reached; the true range may be wider." in found.text
