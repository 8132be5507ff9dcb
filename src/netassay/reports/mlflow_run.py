"""A campaign as a run of MLflow (extra ``mlflow``): what was asked as parameters, figures as metrics, its report as artifacts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from netassay.errors import UsageError
from netassay.reports.campaign import DATA, PAGE
from netassay.reports.metrics import metrics
from netassay.reports.wording import printable
from netassay.results.answer import Answer
from netassay.results.statistics import figures
from netassay.results.summary import grouped, question_of
from netassay.store.records import Campaign

EXPERIMENT = "netassay"
"""Where runs go, unless MLflow's own variable ``MLFLOW_EXPERIMENT_NAME`` says otherwise."""
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""Nothing is told to anybody but the server that is named, and a wrong address fails within seconds; the user's own values count."""
LONGEST_NAME, LONGEST_VALUE = 250, 500
"""Characters that every server takes."""
AT_ONCE, AT_ONCE_PARAMETERS = 1000, 100
MOST_VALUES = 8
"""Values listed of a parameter that differs between answers."""


class Tracker:
    """Where runs are logged.

    Args:
        uri: Of the tracking server or store, as MLflow understands it: ``http://HOST:PORT``, ``sqlite:///FILE.db``, ``databricks``, ...
    Raises:
        UsageError: If MLflow is not installed, or cannot use the address.
    """

    def __init__(self, uri: str) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise UsageError("--mlflow needs MLflow: pip install 'netassay[mlflow]', or leave the option out") from error
        with _told():
            self._client: Any = MlflowClient(tracking_uri=uri)

    def log(self, campaign: Campaign, answers: Sequence[Answer], folder: Path) -> str:
        """Makes one finished run; gives its identifier.

        Args:
            campaign: What the store says of it.
            answers: Its answers.
            folder: Where its report was written.
        Raises:
            UsageError: If MLflow refuses anything; a run that was begun is then marked as failed.
        """
        with _told():
            run = self._client.create_run(self._experiment(), run_name=_text(f"{campaign.model} on {campaign.data}")).info.run_id
            try:
                self._write(
                    run, parameters(campaign, answers), {**_counts(campaign), **metrics([figures(m) for m in grouped(answers)])}, folder
                )
            except BaseException:
                with contextlib.suppress(Exception):
                    self._client.set_terminated(run, "FAILED")
                raise
            self._client.set_terminated(run, "FINISHED")
        return str(run)

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _write(self, run: str, told: Mapping[str, str], measured: Mapping[str, float], folder: Path) -> None:
        from mlflow.entities import Metric, Param

        now = int(1000 * time.time())
        params = [Param(_name(name), _text(value)) for name, value in told.items()]
        values = [Metric(_name(name), value, now, 0) for name, value in measured.items()]
        for start in range(0, len(params), AT_ONCE_PARAMETERS):
            self._client.log_batch(run, params=params[start : start + AT_ONCE_PARAMETERS])
        for start in range(0, len(values), AT_ONCE):
            self._client.log_batch(run, metrics=values[start : start + AT_ONCE])
        for name in (PAGE, DATA):
            self._client.log_artifact(run, str(folder / name))


def parameters(campaign: Campaign, answers: Sequence[Answer]) -> dict[str, str]:
    """What was asked of what; where answers differ in it, the values in the order of the answers."""
    fixed = {name: getattr(campaign, name) for name in ("model", "model_sha256", "data", "tool_version", "command")}
    columns: dict[str, list[object]] = {
        "questions": [question_of(a) for a in answers],
        "risks": [a.risk.spec or a.risk.text for a in answers],
        "norms": ["box" if a.region.norm is None else a.region.norm for a in answers],
        **{name: [getattr(a.provenance, name) for a in answers] for name in ("method", "seed", "device", "dtype")},
    }
    for name in dict.fromkeys(name for a in answers for name in a.provenance.options):
        columns[f"option.{name}"] = [a.provenance.options.get(name) for a in answers]
    told = {name: _several([str(v) for v in column if v is not None]) for name, column in columns.items()}
    return {"campaign": str(campaign.id), "begun": campaign.created, **fixed, **{name: value for name, value in told.items() if value}}


def _several(values: Sequence[str]) -> str:
    found = list(dict.fromkeys(values))
    return ", ".join(found[:MOST_VALUES]) + (f" and {len(found) - MOST_VALUES} more" if len(found) > MOST_VALUES else "")


def _counts(campaign: Campaign) -> dict[str, float]:
    return {f"answers.{name}": float(getattr(campaign, name)) for name in ("asked", "finished", "left_out", "failed")}


def _name(name: str) -> str:
    """A name that MLflow takes: ``@`` becomes ``_at_``; one that has to be changed more keeps apart from others by a hash."""
    plain = name.replace("@", "_at_")
    clean = re.sub(r"^\W|[^A-Za-z0-9_.\- :]", "_", plain)
    if clean == plain and "_at_" not in name and len(clean) <= LONGEST_NAME:
        return clean
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{clean[: LONGEST_NAME - 9]}-{digest}"


def _text(value: str) -> str:
    shown = printable(value)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 1]}\u2026"


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What goes wrong within MLflow or a server as one error; what MLflow prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except Exception as error:  # MLflow passes on the errors of every library that stores for it
        raise UsageError(
            f"MLflow cannot log the run: {type(error).__name__}: {printable(error)}; see to --mlflow, or leave it out"
        ) from error
