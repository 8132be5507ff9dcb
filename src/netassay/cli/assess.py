"""``netassay assess``: every question about a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netassay.cli import parsing, thresholds
from netassay.cli.campaign_options import CampaignOptions
from netassay.cli.campaigning import Source, campaign
from netassay.cli.certifying import CertificatesOption, stored
from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import Inputs, load_inputs
from netassay.cli.options import (
    DataArgument,
    FailUnderOption,
    IndexOption,
    LimitOption,
    ModelArgument,
    ModelOptions,
    NormsOption,
    OutputOptions,
    RegionOptions,
    RisksOption,
    SearchOptions,
)
from netassay.cli.progress import progress
from netassay.cli.regions import default_radius, region_arguments
from netassay.cli.searching import budget, checked, prover
from netassay.cli.starts import read_starts
from netassay.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.campaigns.plan import Asked
    from netassay.numerics.norms import Norm
    from netassay.results.answer import Answer, Question

QuestionsOption = Annotated[
    list[str] | None,
    typer.Option("--question", metavar="Q", help="radius, lipschitz or reach (default: radius and lipschitz).", show_default=False),
]
RadiiOption = Annotated[
    list[str] | None,
    typer.Option("--radius", metavar="R|P=R", help="Ball for slopes and ranges, for all norms (0.1) or one (l2=1.5).", show_default=False),
]
TargetsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="Q=V",
        help="Search each input until its value has reached V, as in radius=0.1 or reach=LO,HI.",
        rich_help_panel="Search",
        show_default=False,
    ),
]


TITLE = "Safety assessment"


def assess(
    model: ModelArgument,
    data: DataArgument,
    model_options: ModelOptions,
    region_options: RegionOptions,
    search_options: SearchOptions,
    campaign_options: CampaignOptions,
    output: OutputOptions,
    norm: NormsOption = None,
    risk: RisksOption = None,
    question: QuestionsOption = None,
    radius: RadiiOption = None,
    target: TargetsOption = None,
    index: IndexOption = None,
    limit: LimitOption = None,
    fail_under: FailUnderOption = None,
    certificates: CertificatesOption = None,
) -> ExitCode:
    """Every question about a data set: each input, risk and norm. --norm, --risk and --question may be repeated.

    The safe radius is searched for in the whole input domain where it is bounded; slopes and ranges
    are measured in a ball of --radius, by default a tenth of the domain.
    """
    from netassay.campaigns.plan import Asked
    from netassay.specs.risks import parse_risk

    norms, questions = parsing.norms(norm), _questions(question)
    risks = [parse_risk(text) for text in risk or ["robustness"]]
    radii, goals = parsing.radii(radius, norms), parsing.targets(target, questions)
    checked(search_options, output)
    campaign_options.check()
    if certificates is not None and not campaign_options.wanted:
        raise UsageError("--certificates goes with --store, where they are kept; give one")
    thresholds.checked(fail_under)
    inputs = load_inputs(model, data, model_options, limit=limit, index=index)
    region, notes = region_arguments(region_options, inputs.network), list(inputs.notes)
    sizes = _sizes(inputs, norms, questions, radii, region, notes)
    known = _starts(search_options.start, inputs, notes)
    asked = Asked(
        questions=tuple(questions),
        risks=tuple(risks),
        norms=tuple(norms),
        radii=sizes,
        method=search_options.method,
        budget=budget(search_options),
        seed=search_options.seed,
        prover=prover(search_options),
        targets=goals,
        starts=known,
    )
    if not campaign_options.wanted:
        return _delivered(_together(inputs, region, asked, output, notes), inputs, notes, output, fail_under, region)
    asked = replace(asked, certificates=stored(certificates, model, inputs.network))
    source = Source(model, data, model_options, region_options, limit, index)
    kept = campaign(source, inputs.saying(dict.fromkeys(notes)), region, asked, campaign_options, output, title=TITLE)
    kept_in = campaign_options.url(output.out)
    notes += kept.notes
    code = _delivered(kept.answers, inputs, notes, output, fail_under, region, store=kept_in, missing=kept.missing)
    return kept.exit_code(code)


def _together(inputs: Inputs, region: dict[str, Any], asked: Asked, output: OutputOptions, notes: list[str]) -> list[Answer]:
    """All answers in one call; what is to be said of inputs that are left out is added to ``notes``."""
    from netassay.assessment.assess import assess as run

    with progress(quiet=output.quiet or output.json) as callback:
        return run(
            inputs.network,
            inputs.data.inputs,
            inputs.data.labels,
            risks=asked.risks,
            norms=asked.norms,
            radius=asked.radii,
            questions=asked.questions,
            method=asked.method,
            budget=asked.budget,
            seed=asked.seed,
            indices=inputs.data.indices.tolist(),
            progress=callback,
            skipped=lambda i, why: notes.append(f"input {i} is left out of one risk: {why}"),
            starts=asked.starts,
            target=asked.targets,
            prover=asked.prover,
            **region,
        )


def _delivered(
    answers: Sequence[Answer],
    inputs: Inputs,
    notes: list[str],
    output: OutputOptions,
    fail_under: list[str] | None,
    region: dict[str, Any],
    *,
    store: str | None = None,
    missing: int = 0,
) -> ExitCode:
    return deliver(
        answers,
        inputs.saying(dict.fromkeys(notes)),
        output,
        single=False,
        title=TITLE,
        fail_under=fail_under,
        scale=region["scale"],
        store=store,
        missing=missing,
    )


def _questions(texts: list[str] | None) -> list[Question]:
    if "verify" in (texts or []):
        raise UsageError("--question verify needs proofs, which 'netassay verify MODEL DATA --norm P --radius R' gives")
    return list(dict.fromkeys(parsing.searched(text, "--question") for text in texts or ["radius", "lipschitz"]))


def _starts(name: str | None, inputs: Inputs, notes: list[str]) -> dict[int, NDArray[np.float64]]:
    """Points to begin with, by the index of their input."""
    from netassay.assessment.rounding import representable

    network, data = inputs.network, inputs.data
    centers = [representable(x, network.domain, network.dtype) for x in data.inputs]
    found = read_starts(name, data.indices.tolist(), centers, network.input_shape, notes)
    return {index: points for index, points in found.items() if index is not None}


def _sizes(
    inputs: Inputs, norms: list[Norm], questions: list[Question], radii: dict[Norm, float], region: dict[str, Any], notes: list[str]
) -> dict[Norm, float]:
    """A radius for every norm that needs one."""
    from netassay.results.answer import Question

    if inputs.network.domain.bounded and set(questions) == {Question.RADIUS}:
        return radii
    return {norm: radii[norm] if norm in radii else default_radius(inputs.network, norm, region, notes) for norm in norms}
