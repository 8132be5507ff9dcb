"""A campaign as a run of MLflow: what was asked, both sides of the figures, the report; and an error where that cannot be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Run
from cli.conftest import run as run
from cli.test_stored_commands import kept
from netassay.errors import UsageError
from netassay.reports.metrics import metrics
from netassay.reports.mlflow_run import Tracker, parameters
from netassay.results.answer import Answer
from netassay.results.statistics import figures
from netassay.results.summary import grouped
from reports.campaign_answers import campaign, campaign_answers

COUNT = 12
ANSWERS = campaign_answers(COUNT)


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of MLflow in a folder, which newer versions of it have to be allowed."""
    pytest.importorskip("mlflow", reason="MLflow is not installed (extra mlflow)")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return (tmp_path / "mlruns").as_uri()


def runs(uri: str, experiment: str = "netassay") -> list[Any]:
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def test_a_run_has_what_was_asked_the_figures_and_the_report(run: Run, tmp_path: Path, uri: str) -> None:
    done = run("report", kept(tmp_path / "runs.db", ANSWERS), "out", "--mlflow", uri)
    assert done.code == 0, done.err
    (found,) = runs(uri)
    assert f"mlflow: run {found.info.run_id}" in done.out
    assert found.info.status == "FINISHED"
    told = found.data.params
    assert (told["model"], told["command"], told["campaign"]) == ("m", "netassay assess m", "1")
    assert told["questions"] == "radius, verify, lipschitz, reach"
    assert told["norms"] == "linf, l2"
    expected = metrics([figures(members) for members in grouped(ANSWERS)])
    assert {name.replace("@", "_at_"): value for name, value in expected.items()} == {
        name: value for name, value in found.data.metrics.items() if not name.startswith("answers.")
    }
    assert found.data.metrics["answers.finished"] == found.data.metrics["answers.asked"] == 6 * COUNT
    artifacts = Path(found.info.artifact_uri.removeprefix("file://"))
    for name in ("report.html", "report.json"):
        assert (artifacts / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_json_stays_alone_and_the_experiment_can_be_named(run: Run, tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "guard")
    store = kept(tmp_path / "runs.db", ANSWERS)
    for _ in range(2):
        assert run("report", store, "out", "--json", "--mlflow", uri).json["schema"] == "netassay/campaign/1"
    assert len(runs(uri, "guard")) == 2


def test_names_from_strangers_are_tamed_and_kept_apart(tmp_path: Path, uri: str) -> None:
    odd = ["../../evil", "a@b", "a_at_b", "\u202e\udc80é/ü", "x" * 400, "x" * 401]
    answers: list[Answer] = [replace(a, risk=replace(a.risk, spec=name)) for name in odd for a in campaign_answers(2)]
    for name in ("report.html", "report.json"):
        (tmp_path / name).write_text("page")
    told = campaign(answers, model="\x00<b>" + "m" * 9000, data="\udc80")
    Tracker(uri).log(told, answers, tmp_path)
    (found,) = runs(uri)
    assert len(found.data.metrics) == len(metrics([figures(members) for members in grouped(answers)])) + 4
    assert len(found.data.params["model"]) == 500
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlruns", "report.html", "report.json"]


def test_what_mlflow_refuses_is_told_and_the_run_marked(tmp_path: Path, uri: str) -> None:
    with pytest.raises(UsageError, match="MLflow cannot log the run"):
        Tracker(uri).log(campaign(ANSWERS), ANSWERS, tmp_path / "nowhere")
    (found,) = runs(uri)
    assert found.info.status == "FAILED"


def test_an_address_that_mlflow_does_not_know_is_refused_before_anything_is_done(run: Run, tmp_path: Path, uri: str) -> None:
    done = run("report", kept(tmp_path / "runs.db", ANSWERS), "out", "--mlflow", "gopher://host")
    assert done.code == 2
    assert "MLflow cannot log the run" in done.err


def test_without_mlflow_the_option_says_what_to_install(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    done = run("report", kept(tmp_path / "runs.db", ANSWERS), "out", "--mlflow", "mlruns")
    assert done.code == 2
    assert "pip install 'netassay[mlflow]'" in done.err
    assert not (tmp_path / "out").exists()


def test_parameters_list_what_differs() -> None:
    other = [replace(a, provenance=replace(a.provenance, seed=i, options={"queries": i})) for i, a in enumerate(ANSWERS[:12])]
    told = parameters(campaign(other), other)
    assert told["seed"] == told["option.queries"] == "0, 1, 2, 3, 4, 5, 6, 7 and 4 more"
    assert told["method"] == other[0].provenance.method
