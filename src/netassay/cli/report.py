"""``netassay report``: the assurance report of a campaign, from its store alone."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer

from netassay.cli import thresholds
from netassay.cli.campaign_maps import MapOptions, maps_of
from netassay.cli.exit_codes import ExitCode
from netassay.cli.options import FailUnderOption
from netassay.cli.stored import (
    CampaignOption,
    ConfidenceOption,
    DebugOption,
    JsonOption,
    JunitOption,
    QuietOption,
    SeedOption,
    StoreArgument,
    campaign_of,
    certified_of,
    decided,
    opened,
    settle,
)

FolderArgument = Annotated[str, typer.Argument(metavar="DIR", help="Folder of the report; made if missing.", show_default=False)]
InputOption = Annotated[
    list[int] | None, typer.Option("--input", metavar="I", help="A page for this input too; may be repeated.", show_default=False)
]
MlflowOption = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="Also log the campaign as a run of MLflow: a server or a store.", show_default=False),
]
PagesOption = Annotated[int, typer.Option("--pages", metavar="N", help="Inputs with a page of their own, worst first.")]


def report(
    store: StoreArgument,
    folder: FolderArgument,
    map_options: MapOptions,
    campaign: CampaignOption = None,
    inputs: InputOption = None,
    pages: PagesOption = 24,
    fail_under: FailUnderOption = None,
    junit: JunitOption = None,
    mlflow: MlflowOption = None,
    seed: SeedOption = 0,
    confidence: ConfidenceOption = 0.95,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> ExitCode:
    """The assurance report of a campaign, from its store alone: a page to read and to print, pages of inputs, figures as JSON.

    With --model, which has to be the campaign's, pages of inputs get saliency maps.
    """
    from netassay.reports.campaign import Settings, write_campaign
    from netassay.reports.mlflow_run import Tracker

    demanded = thresholds.checked(fail_under)
    tracker = None if mlflow is None else Tracker(mlflow)
    with opened(store) as source:
        chosen = campaign_of(source, campaign, store, quiet=quiet)
        answers, certificates = certified_of(source, chosen, store)
        decisions = decided(demanded, answers, chosen)
        maps = maps_of(map_options, chosen, quiet=quiet or json)
        settings = Settings(
            pages,
            tuple(inputs or ()),
            seed,
            confidence,
            decisions,
            source.outputs(chosen.id),
            certificates=certificates,
            read=source.file,
            saliency=maps,
        )
        page = write_campaign(answers, chosen, folder, settings)
    run = "" if tracker is None else tracker.log(chosen, answers, page.parent)
    if json:
        data = json_text.loads((page.parent / "report.json").read_bytes())
        print(json_text.dumps(data, indent=2))
    elif not quiet:
        print(f"report: {page}" + (f"\nmlflow: run {run}" if run else ""))
    return settle(demanded, answers, chosen, decisions, junit)
