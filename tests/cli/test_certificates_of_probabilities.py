"""Certificates of probabilities and divergences in campaigns and files, from the command line."""

from __future__ import annotations

import pytest

from cli.conftest import Run, loaded_by_check

ASKED = ("--norm", "linf", "--timeout", 20, "--radius", 0.001)
STORED = ("--store", "runs.db", "--certificates", "all", "--workers", 1)
UNSURE = (*ASKED, "--risk", "uncertainty:0.0001", "--certificate", "a.cert")


@pytest.mark.parametrize("risk", ["robustness:0.001", "uncertainty:0.0001", "reachability:own:below:0.01"])
def test_a_campaign_about_probabilities_is_checked(run: Run, classifier: str, points: str, risk: str) -> None:
    done = run("verify", classifier, points, *ASKED, "--risk", risk, *STORED)
    assert done.code in (0, 1), done.err  # 1: an input is misclassified
    found = run("check", "runs.db", classifier, "--json")
    assert found.code == 0, found.err
    told = found.json
    assert told["proved"] == told["certificates"] == told["accepted"] > 0
    assert told["rejected"] == 0


def test_a_file_says_what_its_claim_is_about(run: Run, classifier: str, points: str) -> None:
    done = run("verify", classifier, points, *UNSURE)
    assert "certificate: a.cert" in done.err
    told = run("check", "a.cert", classifier, "--json").json
    assert told["accepted"]
    assert told["claim"][0] == "with log p = log softmax(y) of the outputs y"
    assert loaded_by_check("a.cert", classifier) == "[]"


def test_float32_has_certificates_of_probabilities(run: Run, classifier: str, points: str) -> None:
    done = run("verify", classifier, points, *UNSURE, "--float32")
    assert "certificate: a.cert" in done.err
    told = run("check", "a.cert", classifier, "--json").json
    assert (told["accepted"], told["float32"], told["assumed"]) == (True, True, "")
