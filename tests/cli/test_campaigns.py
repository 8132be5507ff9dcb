"""``netassay assess --store``: results are kept, taken up again after any end, and told like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Run
from netassay.campaigns.campaign import Standing
from netassay.campaigns.plan import Asked
from netassay.cli.campaign_progress import campaign_progress, summary
from netassay.cli.options import RegionOptions, SearchOptions
from netassay.cli.verifying import VerifyOptions
from netassay.store import open_store

ASKED = ("--norm", "linf", "--question", "radius", "--queries", "200", "--prover", "none", "--seed", "1")


def test_results_are_kept_and_reused(run: Run, classifier: str, points: str, tmp_path: Path) -> None:
    first = run("assess", classifier, points, *ASKED, "--store", "runs.db", "--workers", 1, "--json")
    assert first.code == 0, first.err
    assert "reused 0 of 3 results; 3 new; store runs.db, campaign 1" in first.err
    assert first.json["summary"]["answers"] == 3
    assert [r["outcome"] for r in first.json["results"]] == ["measured", "misclassified", "measured"]
    again = run("assess", classifier, points, *ASKED, "--store", "sqlite:///runs.db", "--json", "--report", "report")
    assert again.code == 0, again.err
    assert "reused 3 of 3 results; 0 new" in again.err
    assert again.json["results"] == first.json["results"]
    assert list((tmp_path / "report").glob("*.html"))
    other = run("assess", classifier, points, *ASKED[:-1], "2", "--store", "runs.db", "--quiet")
    assert other.code == 0, other.err
    assert other.err == ""
    with open_store("runs.db") as store:
        assert [(c.asked, c.finished, c.failed) for c in store.campaigns()] == [(3, 3, 0)] * 2
        (one, _) = store.campaigns()
        assert one.presentation.input_shape == (2,)
        assert one.presentation.lower is not None
        assert one.presentation.lower.tolist() == [0, 0]
        assert one.data == points
        assert store.outputs(1)[0].tolist() == [0.75, 0.25]


def test_the_default_store_lies_in_the_output_folder(run: Run, classifier: str, points: str) -> None:
    done = run("assess", classifier, points, *ASKED, "--workers", 1, "--out", "here")
    assert done.code == 0, done.err
    assert "answers and witnesses: here/runs.db" in done.out
    assert Path("here/runs.db").exists()
    assert not Path("here/assessment.json").exists()


def test_without_a_store_nothing_changes(run: Run, classifier: str, points: str) -> None:
    done = run("assess", classifier, points, *ASKED, "--out", "here")
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path("here").iterdir()) == ["assessment.json", "witnesses"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "cloud"], "unknown --engine 'cloud'; known: local, ray"),
        (["--workers", "0"], "--workers must be at least 1; got 0"),
        (["--address", "auto"], "--engine ray"),
        (["--job-seconds", "0"], "--job-seconds"),
        (["--store", "mysql://h/d"], "unknown kind of store 'mysql'"),
        (["--store", "no/folder/runs.db"], "there is no folder"),
        (["--store", "points.npz"], "not a database"),
    ],
)
def test_bad_options_are_told(run: Run, classifier: str, points: str, options: list[str], said: str) -> None:
    done = run("assess", classifier, points, *ASKED, *options)
    assert done.code == 2
    assert said in done.err


def test_a_risk_that_fits_no_input_is_told(run: Run, classifier: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "low.npz", x=np.array([[0.2, 0.8], [0.3, 0.7]]), lower=0.0, upper=1.0)
    done = run("assess", classifier, "low.npz", *ASKED, "--risk", "targeted:1", "--workers", 1)
    assert done.code == 2
    assert "target" in done.err


def test_killed_and_interrupted_it_goes_on_where_it_was(classifier: str, tmp_path: Path) -> None:
    """kill -9 to the driver, then Ctrl-C, then to the end: each as soon as something is kept."""
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "many.npz", x=rng.uniform(0.1, 0.9, (260, 2)), lower=0.0, upper=1.0)
    store = tmp_path / "runs.db"
    norms = [f"--norm={norm}" for norm in ("l2", "linf")]
    call = [sys.executable, "-m", "netassay", "assess", classifier, "many.npz", *norms, *ASKED[2:], f"--store={store}", "--workers=1"]
    kept = 0
    for end in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        _wait_for_more(process, store, kept)
        process.send_signal(end)
        _, said = process.communicate(timeout=120)
        assert process.returncode == (-signal.SIGKILL if end == signal.SIGKILL else 130), said.decode()
        kept = _finished(store)
        assert 0 < kept < 520
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert f"reused {kept} of 520 results; {520 - kept} new".encode() in done.stderr
    assert _finished(store) == 520


def _wait_for_more(process: subprocess.Popen[bytes], store: Path, kept: int) -> None:
    until = time.monotonic() + 240
    while _finished(store) <= kept and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be stopped"
    assert _finished(store) > kept


def _finished(store: Path) -> int:
    if not os.path.exists(store):
        return 0
    try:
        with open_store(str(store)) as opened:
            return sum(campaign.finished for campaign in opened.campaigns())
    except Exception:  # it is being made
        return 0


def test_progress_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert summary(Standing(1797, 1200, 97, 0, 10.0)) == "1,297 of 1,797 answers (1,200 reused); 10 s, about 52 s left"
    assert summary(Standing(10, 0, 8, 2, 4.0)) == "8 of 10 answers, 2 failed; 4 s"
    with campaign_progress(quiet=True) as nothing:
        assert nothing is None
    with campaign_progress(quiet=False) as told:
        assert told is not None
        told(Standing(10, 0, 8, 2, 4.0))
    assert capsys.readouterr().err == ""


def test_verdicts_are_kept_too(run: Run, classifier: str, points: str) -> None:
    asked = ("verify", classifier, points, "--norm", "linf", "--radius", "0.15", "--store", "runs.db", "--workers", 1, "--json")
    first = run(*asked)
    assert first.code == 1, first.err
    assert "3 new" in first.err
    summary_first = first.json["summary"]
    assert (summary_first["holds"], summary_first["violated"], summary_first["misclassified"]) == (1, 1, 1)
    again = run(*asked)
    assert again.code == 1
    assert "reused 3 of 3 results; 0 new" in again.err
    assert again.json["results"] == first.json["results"]
    refused = run(*asked, "--seconds", "5")
    assert refused.code == 2
    assert "--timeout" in refused.err


def test_every_option_that_decides_an_answer_is_part_of_its_key() -> None:
    """A new option of searches or verdicts has to enter ``Asked``, and the keys of its jobs, before it is listed here."""
    assert {f.name for f in fields(SearchOptions)} == {"method", "queries", "seconds", "memory", "seed", "prover", "start"}
    assert {f.name for f in fields(VerifyOptions)} == {"method", "order", "timeout", "seconds", "queries", "memory", "seed", "float32"}
    assert {f.name for f in fields(RegionOptions)} == {"scale", "mask", "granularity", "one_hot", "group"}
    asked = {"questions", "risks", "norms", "radii", "method", "budget", "seed", "prover", "order", "float32", "targets", "starts"}
    asked |= {"certificates"}
    assert {f.name for f in fields(Asked)} == asked
