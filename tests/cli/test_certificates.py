"""Certificates by default, in stores and in reports; ``check STORE`` rejects what proves nothing, or something else."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from cli.conftest import Run, dense, loaded_by_check
from netassay.models.load import load_network

RADIUS = ("--norm", "linf", "--question", "radius", "--queries", "200", "--seed", "1", "--workers", 1)
VERIFY = ("--norm", "linf", "--radius", 0.1, "--timeout", 20)


def files(store: str = "runs.db") -> list[str | None]:
    connection = sqlite3.connect(store)
    found = [row[0] for row in connection.execute("SELECT file FROM certificates ORDER BY job, position")]
    connection.close()
    return found


def place(file: str, store: str = "runs.db") -> Path:
    return Path(f"{store}.files") / file[:2] / file[2:]


@pytest.fixture
def stored(run: Run, classifier: str, points: str) -> str:
    """A store with two proved radii of three inputs, the other being misclassified."""
    done = run("assess", classifier, points, *RADIUS, "--store", "runs.db", "--certificates", "all")
    assert done.code == 0, done.err
    return classifier


def test_a_campaign_is_checked_and_the_report_says_so(run: Run, stored: str) -> None:
    before = run("report", "runs.db", "before", "--quiet")
    assert before.code == 0
    page = Path("before/report.html").read_text(encoding="utf-8")
    assert "2 of 2 proved answers have a certificate; 0 of these were checked" in page
    assert "2 not checked yet" in page
    done = run("check", "runs.db", stored)
    assert done.code == 0, done.err
    assert "3 answers, 2 of them proved; 2 have certificates" in done.out
    assert "2 ACCEPTED, 0 REJECTED" in done.out
    report = run("report", "runs.db", "after", "--json").json
    columns = report["results"]
    assert columns["certificate_state"] == ["accepted", None, "accepted"]
    assert "certificate_reason" not in columns
    page = Path("after/report.html").read_text(encoding="utf-8")
    for name in filter(None, columns["certificate"]):
        assert f'<a href="{name}">' in page
        assert run("check", f"after/{name}", stored).out.startswith("ACCEPTED")
    assert "2 of these were checked by an independent program and accepted." in page
    assert "no certificate that was checked and accepted" not in page


def test_a_long_check_says_how_far_it_is(run: Run, stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netassay.cli.progress.INTERVAL", 0.0)
    assert "1 of 2 checked, 0 rejected\n2 of 2 checked, 0 rejected" in run("check", "runs.db", stored).err
    assert not run("check", "runs.db", stored, "--json").err


def test_json_lists_every_check_and_exact_numbers_serve_too(run: Run, stored: str) -> None:
    done = run("check", "runs.db", stored, "--json", "--exact", "--campaign", 1)
    assert done.code == 0, done.err
    told = done.json
    assert (told["proved"], told["certificates"], told["accepted"], told["rejected"]) == (2, 2, 2, 0)
    assert [check["accepted"] for check in told["checks"]] == [True, True]
    assert sorted(check["file"] for check in told["checks"]) == sorted(filter(None, files()))


def test_a_changed_file_a_swapped_one_and_a_name_that_leads_elsewhere_are_rejected_and_said(run: Run, stored: str) -> None:
    run("check", "runs.db", stored)
    first, second = (str(file) for file in files())
    place(first).write_bytes(place(first).read_bytes()[:-1] + b"!")
    done = run("check", "runs.db", stored)
    assert done.code == 1
    assert "1 ACCEPTED, 1 REJECTED" in done.out
    assert "was changed since it was written" in done.err
    for name, said in ((second, "not about this answer"), ("../../points.npz", "64 hexadecimal digits")):
        connection = sqlite3.connect("runs.db")
        connection.execute(
            "UPDATE certificates SET file = ? WHERE rowid IN (SELECT rowid FROM certificates ORDER BY job, position LIMIT 1)", (name,)
        )
        connection.commit()
        connection.close()
        told = run("check", "runs.db", stored)
        assert told.code == 1
        assert said in told.err
    columns = run("report", "runs.db", "out", "--json").json["results"]
    assert sorted(filter(None, columns["certificate_state"])) == ["accepted", "rejected"]
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "1 were rejected" in page
    assert "64 hexadecimal digits" in page
    assert "points.npz" in page
    assert 'href="../' not in page
    assert len(list(Path("out/certificates").iterdir())) == 1


def test_a_file_that_is_damaged_after_its_check_is_not_called_accepted(run: Run, stored: str) -> None:
    run("check", "runs.db", stored)
    first, _ = (str(file) for file in files())
    place(first).write_bytes(b"something else")
    columns = run("report", "runs.db", "out", "--json").json["results"]
    assert sorted(filter(None, columns["certificate_state"])) == ["accepted", "rejected"]
    assert any("was changed" in (reason or "") for reason in columns["certificate_reason"])


def test_show_says_what_is_known_of_each_certificate_and_where_it_lies(run: Run, stored: str) -> None:
    assert "2 not checked yet" in run("show", "runs.db", "--campaign", 1).out
    paths = {str(place(str(file))) for file in files()}
    before = run("show", "runs.db", "--input", 0)
    assert before.code == 0, before.err
    (line,) = (line.strip() for line in before.out.splitlines() if line.strip() in paths)
    assert "not checked" in before.out
    assert run("check", line, stored).out.startswith("ACCEPTED")
    run("check", "runs.db", stored)
    after = run("show", "runs.db", "--input", 0, "--input", 1)
    assert "accepted" in after.out
    assert "not checked" not in after.out
    assert "Checked by netassay check" in after.out
    told = run("show", "runs.db", "--campaign", 1, "--json").json["results"]
    assert told["certificate_state"] == ["accepted", None, "accepted"]
    assert set(filter(None, told["certificate"])) == paths
    Path(line).write_bytes(b"something else")
    damaged = run("show", "runs.db", "--input", 0).out
    assert "rejected" in damaged
    assert "was changed" in damaged


def test_the_page_of_an_input_links_its_certificates(run: Run, stored: str) -> None:
    run("report", "runs.db", "before", "--quiet")
    assert ">not checked</a>" in Path("before/inputs/0.html").read_text(encoding="utf-8")
    run("check", "runs.db", stored)
    names = run("report", "runs.db", "out", "--json", "--input", 1).json["results"]["certificate"]
    for index in (0, 2):
        page = Path(f"out/inputs/{index}.html").read_text(encoding="utf-8")
        assert f'<a href="../{names[index]}">accepted</a>' in page
        assert "Checked by netassay check" in page
    assert "certificate" not in Path("out/inputs/1.html").read_text(encoding="utf-8"), "nothing is proved of what is misclassified"


def test_a_model_that_is_not_the_campaigns_is_refused_and_no_certificate_is_blamed(run: Run, stored: str, regression: str) -> None:
    assert run("check", "runs.db", stored).code == 0
    done = run("check", "runs.db", regression)
    assert done.code == 2
    assert "another network than that of campaign 1" in done.err
    columns = run("report", "runs.db", "out", "--json").json["results"]
    assert columns["certificate_state"] == ["accepted", None, "accepted"]


def test_certificates_about_another_network_than_their_answers_are_rejected(run: Run, stored: str, tmp_path: Path) -> None:
    other = dense(tmp_path / "other.onnx", [[1, 0], [0, 2]], [0, 0])
    other_sha256 = load_network(other).sha256
    connection = sqlite3.connect("runs.db")
    connection.execute("UPDATE campaigns SET model_sha256 = ?", (other_sha256,))
    connection.commit()
    connection.close()
    done = run("check", "runs.db", other)
    assert done.code == 1
    assert "2 x it is about another network" in done.out


def test_slopes_in_a_store_are_checked_against_their_answers(run: Run, classifier: str, points: str) -> None:
    options = ("--norm", "linf", "--question", "lipschitz", *SLOPES, "--seed", 1, "--workers", 1)
    done = run("assess", classifier, points, *options, "--store", "runs.db", "--certificates", "all")
    assert done.code == 0, done.err
    count = len(files())
    assert count
    assert f"{count} ACCEPTED, 0 REJECTED" in run("check", "runs.db", classifier).out
    connection = sqlite3.connect("runs.db")
    rows = connection.execute("SELECT rowid, file FROM certificates ORDER BY job, position").fetchall()
    for (row, _), (_, file) in zip(rows, rows[1:] + rows[:1], strict=True):
        connection.execute("UPDATE certificates SET file = ? WHERE rowid = ?", (file, row))
    connection.commit()
    connection.close()
    told = run("check", "runs.db", classifier)
    assert told.code == 1
    assert f"0 ACCEPTED, {count} REJECTED" in told.out, "each is another input's now"


def test_a_campaign_without_certificates_leaves_all_open(run: Run, classifier: str, points: str) -> None:
    run("assess", classifier, points, *RADIUS, "--store", "runs.db", "--certificates", "none")
    done = run("check", "runs.db", classifier)
    assert done.code == 3
    assert "0 have certificates" in done.out
    run("report", "runs.db", "out")
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "None of 2 proved answers has a certificate." in page
    assert "2 answers are proved, but have no certificate that was checked and accepted" in page


@pytest.mark.parametrize("arithmetic", [(), ("--float32",)])
def test_verdicts_in_a_store(run: Run, classifier: str, points: str, arithmetic: tuple[str, ...]) -> None:
    done = run("verify", classifier, points, *VERIFY, *arithmetic, "--store", "runs.db", "--workers", 1, "--certificates", "all")
    assert "3 new" in done.err
    assert len(files()) == 2
    assert "2 ACCEPTED, 0 REJECTED" in run("check", "runs.db", classifier).out
    other = run("verify", classifier, points, *VERIFY, *arithmetic, "--store", "runs.db", "--workers", 1, "--certificates", "none")
    assert "reused 0 of 3 results" in other.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("assess", "digits-mlp", "digits", "--store", "runs.db", "--certificates", "all"), "needs a .onnx model"),
        (("assess", "{model}", "{data}", "--certificates", "all"), "goes with --store"),
        (("assess", "{model}", "{data}", "--store", "runs.db", "--certificates", "some"), "unknown --certificates value 'some'"),
        (("assess", "{model}", "{data}", "--store", "runs.db", "--certificates", "all", "--mean", "0.5"), "only the network of"),
        (("verify", "{model}", "{data}", *VERIFY, "--store", "runs.db", "--certificate", "a.cert"), "--certificates all keeps one"),
        (("verify", "--instances", "list.csv", "--json-lines", "rows", "--certificates", "all"), "does not go with --instances"),
        (("check", "{model}", "{model}", "--campaign", "1"), "--campaign goes with a store"),
        (("check", "runs.db", "{model}", "spec.vnnlib"), "leave out spec.vnnlib"),
        (("check", "runs.db", "{model}", "--campaign", "4"), "no campaign 4"),
    ],
)
def test_what_cannot_be_meant_is_told(run: Run, classifier: str, points: str, arguments: tuple[str, ...], said: str) -> None:
    if arguments[0] == "check":
        run("assess", classifier, points, *RADIUS[:-2], "--limit", 1, "--prover", "none", "--store", "runs.db", "--workers", 1)
    done = run(*(str(part).format(model=classifier, data=points) for part in arguments))
    assert done.code == 2
    assert said in done.err


SLOPES = ("--risk", "robustness@logits", "--radius", 0.1, "--queries", 100)


@pytest.mark.parametrize("command", ["verify", "radius", "reach", "lipschitz"])
def test_a_certificate_goes_into_the_folder_that_was_asked_for(run: Run, classifier: str, points: str, command: str) -> None:
    reach = ("--radius", 0.1, "--output", 0, "--queries", 100)
    options = {"verify": VERIFY, "radius": ("--queries", 100), "reach": reach, "lipschitz": SLOPES}[command]
    done = run(command, classifier, points, *options, "--domain", "0,1", "--out", "here", "--certificates", "all")
    assert "certificate: here/certificate.cert" in done.err, done.err
    told = run("check", "here/certificate.cert", classifier)
    assert told.out.startswith("ACCEPTED")
    assert "case 1: " in told.out
    assert "for all x" in told.out
    plain = run(command, classifier, points, *options, "--domain", "0,1", "--certificates", "none", "--out", "there")
    assert "certificate:" not in plain.err
    assert not Path("there/certificate.cert").exists()


def test_by_default_there_is_one_where_it_is_cheap_and_a_folder_was_named(
    run: Run, classifier: str, points: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netassay.assessment.certifying.SHARE", 1000.0)
    plain = run("verify", classifier, points, *VERIFY)
    assert "certificate:" not in plain.err
    assert not list(Path().glob("**/*.cert"))
    done = run("verify", classifier, points, *VERIFY, "--out", "here")
    assert "certificate: here/certificate.cert" in done.err, done.err
    monkeypatch.setattr("netassay.assessment.certifying.SHARE", 0.0)
    again = run("verify", classifier, points, *VERIFY, "--out", "here")
    assert "certificate:" not in again.err, "nobody asked for it"
    assert not Path("here/certificate.cert").exists(), "that of an earlier run is not left beside other answers"
    told = run("verify", classifier, points, *VERIFY, "--out", "here", "--certificates", "cheap")
    assert "no certificate is written into here/certificate.cert: no time was left for it" in told.err


def test_a_file_of_the_users_own_is_kept_when_nothing_is_proved(run: Run, classifier: str, points: str) -> None:
    Path("mine.cert").write_bytes(b"mine")
    run("verify", classifier, points, "--norm", "linf", "--radius", 0.5, "--timeout", 20, "--certificate", "mine.cert")
    assert Path("mine.cert").read_bytes() == b"mine"


def test_checking_a_store_loads_no_torch_and_no_verifier(run: Run, stored: str) -> None:
    assert loaded_by_check("runs.db", stored) == "[]"
    assert json.loads(run("check", "runs.db", stored, "--json").out)["accepted"] == 2
