"""Saliency maps in the report of a campaign: its store keeps no network, so the user names it, and it is compared with the campaign's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from netassay.cli import parsing
from netassay.cli.progress import now_and_then
from netassay.cli.stored import convention_of
from netassay.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.models.network import Network
    from netassay.results.answer import Answer
    from netassay.store import Campaign

PANEL = "Saliency maps"


@dataclass(frozen=True)
class MapOptions:
    """The network that a campaign asked about."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The campaign's model: pages of inputs get saliency maps beside L0 witnesses of pictures.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None
    mean: Annotated[str | None, typer.Option(help="As the campaign's command gave it.", rich_help_panel=PANEL, show_default=False)] = None
    std: Annotated[str | None, typer.Option(help="As the campaign's command gave it.", rich_help_panel=PANEL, show_default=False)] = None
    trust: Annotated[bool, typer.Option("--trust", help="Load a program that holds pickled code, which is run.", rich_help_panel=PANEL)] = (
        False
    )


def maps_of(
    options: MapOptions, campaign: Campaign, *, quiet: bool
) -> Callable[[Sequence[Answer]], Mapping[int, NDArray[np.floating]]] | None:
    """What makes the maps of a report's pages; None where no model is named.

    Raises:
        UsageError: If the model is not the campaign's, or options are given that only a model needs.
    """
    if options.model is None:
        if options != MapOptions():
            raise UsageError("--mean, --std and --trust say how --model is to be read; name the model")
        return None
    network, layout = network_of(campaign, options.model, options), campaign.presentation.image_layout
    if layout is None:
        return lambda _: _none("the inputs are no pictures", quiet=quiet)
    from netassay.cli.saliency_maps import has_map, saliency_maps

    def made(answers: Sequence[Answer]) -> Mapping[int, NDArray[np.floating]]:
        found = saliency_maps(network, answers, layout, most=None, told=None if quiet else _progress())
        if not found:
            known = any(has_map(a, network) for a in answers)
            return _none(
                "a map takes more points than the search did" if known else "no page shows an L0 radius of whole inputs", quiet=quiet
            )
        return found

    return made


def network_of(campaign: Campaign, reference: str, options: MapOptions) -> Network:
    """The network of a campaign, from its file, with the campaign's domain.

    Raises:
        UsageError: If that is another network than the one that was asked about.
    """
    from netassay.models.load import load_network
    from netassay.models.scores import Decision, Meaning
    from netassay.numerics.box import Box
    from netassay.reports.wording import printable

    told, known = campaign.presentation, convention_of(campaign)
    conventions: list[tuple[Meaning | None, Decision]] = [(None, Decision.ARGMAX)]
    if known is not None:
        conventions.append((known.meaning, known.decision))
    for outputs, decision in conventions:
        network = load_network(
            reference,
            outputs=outputs,
            decision=decision,
            mean=parsing.per_channel(options.mean, "--mean"),
            std=parsing.per_channel(options.std, "--std"),
            trust=options.trust,
            input_shape=told.input_shape,
        )
        if network.sha256 == campaign.model_sha256:
            return network if told.lower is None or told.upper is None else network.with_domain(Box(told.lower, told.upper))
    raise UsageError(
        f"{reference} (SHA-256 {network.sha256[:16]}...) is not the network of campaign {campaign.id} ({campaign.model_sha256[:16]}...); "
        f"name the model, and --mean and --std, as its command did: {printable(campaign.command)}"
    )


def _none(why: str, *, quiet: bool) -> Mapping[int, NDArray[np.floating]]:
    if not quiet:
        print(f"note: no saliency maps: {why}", file=sys.stderr)
    return {}


def _progress() -> Callable[[int, int], None]:
    """Says now and then how many maps there are."""
    due = now_and_then()

    def told(done: int, of: int) -> None:
        if due():
            print(f"{done:,} of {of:,} saliency maps", file=sys.stderr, flush=True)

    return told
