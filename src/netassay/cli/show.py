"""``netassay show``: what a store holds, the figures of a campaign, a ranking of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from netassay.cli import thresholds
from netassay.cli.delivery import now
from netassay.cli.exit_codes import ExitCode
from netassay.cli.options import FailUnderOption
from netassay.cli.stored import (
    CampaignOption,
    ConfidenceOption,
    DebugOption,
    JsonOption,
    JunitOption,
    SeedOption,
    StoreArgument,
    campaign_of,
    certified_of,
    decided,
    opened,
    print_document,
    settle,
)
from netassay.cli.tables import aligned
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.reports.campaign_certificates import Certificate
    from netassay.results.answer import Answer
    from netassay.results.ranking import Ranking
    from netassay.results.statistics import GroupFigures
    from netassay.results.summary import Interval
    from netassay.store import Campaign
    from netassay.store.store import Store

InputOption = Annotated[
    list[int] | None,
    typer.Option("--input", metavar="I", help="The answers about this input, with certificates; may be repeated.", show_default=False),
]
RankOption = Annotated[bool, typer.Option("--rank", help="Rank the models of all campaigns.")]


def show(
    store: StoreArgument,
    campaign: CampaignOption = None,
    inputs: InputOption = None,
    rank: RankOption = False,
    fail_under: FailUnderOption = None,
    junit: JunitOption = None,
    seed: SeedOption = 0,
    confidence: ConfidenceOption = 0.95,
    json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> ExitCode:
    """The campaigns of a store; with --campaign or --fail-under the figures of one; with --rank an order of the models.

    With --input the answers about an input, and what is known of their certificates.
    """
    from netassay.reports.campaign_certificates import columns, counted, seen
    from netassay.results.statistics import figures
    from netassay.results.summary import grouped

    demanded = thresholds.checked(fail_under)
    if inputs and (fail_under or junit is not None):
        raise UsageError("--input shows answers about single inputs; --fail-under and --junit are about all of them")
    with opened(store) as source:
        if campaign is None and not fail_under and junit is None and not inputs:
            _list(source, ranked=rank, json=json)
            return ExitCode.OK
        chosen = campaign_of(source, campaign, store, quiet=False)
        answers, kept = certified_of(source, chosen, store)
        certificates = seen(answers, kept, source.file, source.place)
    if inputs:
        answers, certificates = _about(inputs, answers, certificates)
    decisions = decided(demanded, answers, chosen)
    groups = [figures(members, seed=seed, level=confidence) for members in grouped(answers)]
    if json:
        from netassay.reports.campaign_document import campaign_document

        more = columns(certificates)
        print_document(campaign_document(answers, groups, chosen, created=now(), decisions=decisions, more=more))
    elif inputs:
        print(_answers(answers, certificates, chosen.presentation.label_names))
    else:
        print(_campaigns([chosen]))
        print(f"\n{_figures(groups)}")
        for sentence in counted(answers, certificates):
            print(f"\n{sentence}")
    return settle(demanded, answers, chosen, decisions, junit)


def _about(
    inputs: Sequence[int], answers: Sequence[Answer], certificates: Sequence[Certificate | None]
) -> tuple[list[Answer], list[Certificate | None]]:
    """The answers about these inputs."""
    wanted, present = set(inputs), {a.index for a in answers}
    if strange := wanted - present:
        raise UsageError(f"there is no answer about input {min(strange)}; the campaign has {len(present)} inputs")
    pairs = [(a, c) for a, c in zip(answers, certificates, strict=True) if a.index in wanted]
    return [a for a, _ in pairs], [c for _, c in pairs]


def _answers(answers: Sequence[Answer], certificates: Sequence[Certificate | None], label_names: Sequence[str]) -> str:
    """One line per answer with what is known of its certificate, and the files of these."""
    from netassay.reports.campaign_certificates import explained
    from netassay.reports.text import table

    cells = table(answers, label_names=label_names or None)
    known = ["" if c is None else str(c.state) for c in certificates]
    rows = [(*row, state) for row, state in zip(cells.rows, known, strict=True)]
    shown = aligned((*cells.headers, "certificate"), rows, [h for h, right in zip(cells.headers, cells.numeric, strict=True) if right])
    files = [f"  {c.path}" for c in certificates if c is not None and c.path]
    said = ["netassay check FILE MODEL.onnx checks a certificate; in the order of the answers:", *files] if files else []
    return "\n".join([shown, "", *said, *explained(answers, certificates)]).rstrip()


def _list(store: Store, *, ranked: bool, json: bool) -> None:
    """All campaigns, and the ranking where it is wanted."""
    from netassay.results.ranking import rank

    campaigns = store.campaigns()
    rankings = rank({c.id: list(store.answers(c.id)) for c in campaigns}) if ranked else []
    if json:
        from dataclasses import asdict

        from netassay.reports.campaign_document import campaign_facts, encoded

        facts = [campaign_facts(c) for c in campaigns]
        print_document({"schema": "netassay/campaigns/1", "campaigns": facts, "rankings": [encoded(asdict(r)) for r in rankings]})
        return
    print(_campaigns(campaigns))
    for ranking in rankings:
        print(f"\n{_ranking(ranking)}")
    if ranked and not rankings:
        print("\nno question was asked of two campaigns about the same inputs, so there is nothing to rank")


def _campaigns(campaigns: Sequence[Campaign]) -> str:
    from netassay.reports.wording import printable

    headers = ("campaign", "begun", "model", "data", "answers", "asked", "left out", "failed")
    rows = [
        [str(c.id), *map(printable, (c.created, c.model, c.data)), str(c.finished), str(c.asked), str(c.left_out), str(c.failed)]
        for c in campaigns
    ]
    return aligned(headers, rows, ("campaign", "answers", "asked", "left out", "failed"))


def _figures(groups: Sequence[GroupFigures]) -> str:
    """One line per quantity: its median and mean, both sides."""
    from netassay.reports.wording import printable

    headers = ("question", "risk", "norm", "answers", "misclassified", "quantity", "median", "mean")
    rows = []
    for g in groups:
        norm = "box" if g.norm is None else str(g.norm)
        about = [str(g.question), printable(g.spec or g.risk), norm, str(g.answers), str(g.misclassified)]
        median = [next(p.value for p in d.percentiles if p.share == 50) for d in g.distributions]
        rows += [[*about, d.quantity, _sides(m), _sides(d.mean)] for d, m in zip(g.distributions, median, strict=True)]
        rows += [] if g.distributions else [[*about, "-", "-", "-"]]
    return aligned(headers, rows, ("answers", "misclassified"))


def _sides(interval: Interval) -> str:
    from netassay.reports.figures import lower, upper

    low = "?" if interval.lower is None else lower(interval.lower)
    high = "?" if interval.upper is None else upper(interval.upper)
    return f"{low} .. {high}"


def _ranking(ranking: Ranking) -> str:
    from netassay.reports.wording import norm_name, printable

    title = f"{ranking.question}, {printable(ranking.spec)}, {norm_name(ranking.norm)}: {ranking.quantity}"
    headers = ("model", "campaign", "inputs", "bracket", "surely better than", "surely worse than")
    rows = [
        [printable(r.model), *map(str, (r.campaign, r.inputs)), _sides(r.mean), *map(str, (r.surely_worse, r.surely_better))]
        for r in ranking.models
    ]
    return f"{title}\n\n{aligned(headers, rows, headers[1:3] + headers[4:])}"
