"""``netassay compare``: two models or versions on the same inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from netassay.cli.exit_codes import ExitCode
from netassay.cli.stored import ConfidenceOption, DebugOption, JsonOption, SeedOption, answers_of, campaign_of, opened, print_document

if TYPE_CHECKING:
    from netassay.results.answer import Answer
    from netassay.results.comparison import Compared, SideChange
    from netassay.store import Campaign

SHOWN = 20
"""Inputs named at most."""
StoreA = Annotated[str, typer.Argument(metavar="STORE_A", help="The store of the first model.", show_default=False)]
StoreB = Annotated[str, typer.Argument(metavar="STORE_B", help="That of the second one; may be the same.", show_default=False)]
CampaignA = Annotated[int | None, typer.Option(metavar="N", help="Campaign of A (default: the last one).", show_default=False)]
CampaignB = Annotated[int | None, typer.Option(metavar="N", help="Campaign of B (default: the last one).", show_default=False)]


def compare(
    store_a: StoreA,
    store_b: StoreB,
    campaign_a: CampaignA = None,
    campaign_b: CampaignB = None,
    seed: SeedOption = 0,
    confidence: ConfidenceOption = 0.95,
    json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> ExitCode:
    """Which inputs got worse from A to B, surely or by what was found, and whether that is more than chance."""
    from netassay.results.comparison import compare as run

    (first, a), (second, b) = _read(store_a, campaign_a), _read(store_b, campaign_b)
    found = run(a, b, seed=seed, level=confidence)
    if json:
        from dataclasses import asdict

        from netassay.reports.campaign_document import campaign_facts, encoded

        groups = [encoded(asdict(c)) for c in found]
        print_document({"schema": "netassay/comparison/1", "a": campaign_facts(first), "b": campaign_facts(second), "groups": groups})
        return ExitCode.OK
    print("\n".join([*_heads(first, second), *(line for c in found for line in _told(c))]))
    return ExitCode.OK


def _read(reference: str, number: int | None) -> tuple[Campaign, list[Answer]]:
    with opened(reference) as store:
        campaign = campaign_of(store, number, reference, quiet=False)
        return campaign, answers_of(store, campaign, reference)


def _heads(a: Campaign, b: Campaign) -> list[str]:
    from netassay.reports.wording import printable

    return [f"{name}: {printable(c.model)} on {printable(c.data)}, campaign {c.id}" for name, c in (("A", a), ("B", b))]


def _told(found: Compared) -> Iterator[str]:
    """One group of answers in lines."""
    from netassay.reports.wording import norm_name, printable

    radius = "" if found.radius is None else f", radius {found.radius:g}"
    yield f"\n{found.question}, {printable(found.spec)}, {norm_name(found.norm)}{radius}: {found.pairs} inputs that both decide right"
    for sentence in found.conditions:
        yield f"  careful: {printable(sentence)}"
    yield f"  surely worse: {_inputs(found.surely_worse)}; surely better: {_inputs(found.surely_better)}; undecided: {found.undecided}"
    yield f"  newly misclassified: {_inputs(found.newly_misclassified)}; no longer: {_inputs(found.no_longer_misclassified)}"
    if found.only_a or found.only_b:
        yield f"  not compared: {found.only_a} inputs of A alone, {found.only_b} of B alone"
    for side in found.sides:
        if side.larger or side.smaller or side.known:
            yield f"  {side.side} side of the {found.quantity} ({side.guarantee}): {_change(side)}"


def _change(side: SideChange) -> str:
    from netassay.reports.figures import figure

    counts = f"larger {side.larger}, smaller {side.smaller}, equal {side.equal}, not known {side.unknown}"
    tests = [
        "" if side.sign_p is None else f"sign test p = {figure(side.sign_p)}",
        "" if side.wilcoxon_p is None else f"Wilcoxon p = {figure(side.wilcoxon_p)} ({side.wilcoxon_pairs} pairs)",
        "" if side.mean_difference is None else f"mean B - A = {figure(side.mean_difference)}{_limits(side)}",
    ]
    return "; ".join([counts, *(t for t in tests if t)])


def _limits(side: SideChange) -> str:
    from netassay.reports.figures import lower, upper

    limits = side.population
    if limits.lower is None or limits.upper is None:
        return ""
    return f" ({lower(limits.lower)} to {upper(limits.upper)} with {100 * limits.level:g} % confidence)"


def _inputs(indices: tuple[int, ...]) -> str:
    """``2 (inputs 3, 17)``."""
    if not indices:
        return "none"
    named = ", ".join(map(str, indices[:SHOWN])) + (", ..." if len(indices) > SHOWN else "")
    return f"{len(indices)} (input{'' if len(indices) == 1 else 's'} {named})"
