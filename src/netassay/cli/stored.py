"""What the commands that read a store share: which campaign, its answers, options."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netassay.cli import thresholds
from netassay.cli.exit_codes import ExitCode
from netassay.cli.junit import write_junit
from netassay.cli.options import DebugOption as DebugOption
from netassay.cli.options import JsonOption as JsonOption
from netassay.errors import DataError, UsageError

if TYPE_CHECKING:
    from netassay.models.scores import OutputConvention
    from netassay.results.answer import Answer
    from netassay.results.demands import Decision
    from netassay.store import Campaign
    from netassay.store.certificates import Kept
    from netassay.store.store import Store

StoreArgument = Annotated[
    str, typer.Argument(metavar="STORE", help="What 'netassay assess --store' wrote: a file, or a database URL.", show_default=False)
]
CampaignOption = Annotated[
    int | None, typer.Option("--campaign", metavar="N", help="Number of the campaign (default: the last one).", show_default=False)
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the bootstrap: same seed, same limits.")]
ConfidenceOption = Annotated[float, typer.Option("--confidence", metavar="C", help="Of what is said of the population.")]
JunitOption = Annotated[
    str | None, typer.Option("--junit", metavar="FILE", help="Also write demands and verdicts as JUnit XML.", show_default=False)
]


@contextmanager
def opened(reference: str) -> Iterator[Store]:
    """The store, closed afterwards."""
    from netassay.store.store import open_store

    with open_store(reference) as store:
        yield store


def campaign_of(store: Store, number: int | None, reference: str, *, quiet: bool = True) -> Campaign:
    """The campaign of that number, or the last one.

    Raises:
        UsageError: If there is no such campaign.
        DataError: If the store has none.
    """
    found = store.campaigns()
    if not found:
        raise DataError(f"{reference} holds no campaign yet; 'netassay assess MODEL DATA --store {reference}' begins one")
    if number is None:
        if len(found) > 1 and not quiet:
            print(f"note: {reference} holds {len(found)} campaigns; the last one, {found[-1].id}, is taken (--campaign)", file=sys.stderr)
        return found[-1]
    chosen = next((c for c in found if c.id == number), None)
    if chosen is None:
        raise UsageError(f"{reference} has no campaign {number}; it has {', '.join(str(c.id) for c in found[:20])}")
    return chosen


def convention_of(campaign: Campaign) -> OutputConvention | None:
    """What the network's outputs mean; None where the store does not say."""
    from netassay.models.scores import Decision, Meaning, OutputConvention

    shown = campaign.presentation
    known = shown.output_meaning in list(Meaning) and shown.decision in list(Decision)
    return OutputConvention(Meaning(shown.output_meaning), Decision(shown.decision)) if known else None


def answers_of(store: Store, campaign: Campaign, reference: str) -> list[Answer]:
    """Its answers; raises DataError if there is none."""
    answers = list(store.answers(campaign.id))
    if not answers:
        raise DataError(f"campaign {campaign.id} of {reference} has no answer yet; run its command again: {campaign.command}")
    return answers


def certified_of(store: Store, campaign: Campaign, reference: str) -> tuple[list[Answer], list[Kept | None]]:
    """The same, with what the store says of the certificate of each."""
    pairs = list(store.certified(campaign.id))
    return ([answer for answer, _ in pairs] or answers_of(store, campaign, reference)), [kept for _, kept in pairs]


def missing(campaign: Campaign) -> int:
    """Answers that were asked for and are not there."""
    return max(0, campaign.asked - campaign.finished - campaign.left_out)


def decided(demanded: thresholds.Thresholds, answers: Sequence[Answer], campaign: Campaign) -> list[Decision]:
    """What the answers say of the demands on figures."""
    return thresholds.decisions(demanded, answers, missing(campaign))


def settle(
    demanded: thresholds.Thresholds, answers: Sequence[Answer], campaign: Campaign, decisions: Sequence[Decision], junit: str | None
) -> ExitCode:
    """Says what became of the demands, writes them where wanted, and gives the exit code that they call for.

    A demanded radius of every input stays unknown while answers are missing.
    """
    thresholds.say(demanded, answers, decisions)
    if junit is not None:
        write_junit(junit, demanded, answers, decisions)
    code = thresholds.thresholds_code(demanded, answers, decisions)
    return ExitCode.UNKNOWN if code is ExitCode.OK and demanded.radii and missing(campaign) else code


def print_document(content: dict[str, Any]) -> None:
    """Validates a document and prints it as the one thing on stdout."""
    from netassay.results.schema import validate

    validate(content)
    print(json.dumps(content, indent=2, allow_nan=False))
