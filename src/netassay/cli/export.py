"""``netassay export``: the answers of a store as a table in a file."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from netassay.cli.exit_codes import ExitCode
from netassay.cli.stored import DebugOption, JsonOption, QuietOption, StoreArgument, campaign_of, opened

if TYPE_CHECKING:
    from netassay.reports.rows import Row
    from netassay.store import Campaign
    from netassay.store.store import Store

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A .csv or .parquet file.", show_default=False)]
CampaignOption = Annotated[
    int | None, typer.Option("--campaign", metavar="N", help="Only this campaign (default: all).", show_default=False)
]


def export(
    store: StoreArgument,
    file: FileArgument,
    campaign: CampaignOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> ExitCode:
    """One row per answer: every side with its guarantee, the witness, and where it all comes from."""
    from netassay.reports.export import export as write

    with opened(store) as source:
        chosen = source.campaigns() if campaign is None else [campaign_of(source, campaign, store)]
        written = write(_rows(source, chosen), file)
    if json:
        print(json_text.dumps({"file": file, "rows": written}))
    elif not quiet:
        print(f"{written} answers: {file}")
    return ExitCode.OK


def _rows(store: Store, campaigns: list[Campaign]) -> Iterator[Row]:
    from netassay.reports.rows import Source, row

    for campaign in campaigns:
        where = Source(campaign.id, campaign.data)
        for answer in store.answers(campaign.id):
            yield row(answer, where)
