"""``netassay verify``: does a property hold on a whole region? Of a specification, around inputs, or of a list of instances."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netassay.cli import parsing
from netassay.cli.campaign_options import CampaignOptions
from netassay.cli.certifying import CertificateOptions, Wanted
from netassay.cli.competition import Verified, compete, verified, write_witness
from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import load_inputs, load_specified, without_data
from netassay.cli.options import IndexOption, LimitOption, ModelOptions, OutputOptions, RadiusOption, RegionOptions
from netassay.cli.progress import progress
from netassay.cli.regions import region_arguments
from netassay.cli.searching import folder
from netassay.cli.specifications import is_specification, problems_of
from netassay.cli.verifying import VerifyOptions, ask_each, ask_together
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.cli.inputs import Inputs
    from netassay.models.network import Network
    from netassay.numerics.norms import Norm
    from netassay.specs.problem import Problem
    from netassay.specs.property import RiskTemplate
    from netassay.specs.vnnlib import Specification

FORMS = "MODEL SPEC.vnnlib, MODEL DATA --norm P --radius R, or --instances LIST.csv --json-lines FILE"

ModelArgument = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="A model, as for the other commands; none with --instances.", show_default=False)
]
SpecArgument = Annotated[
    str | None,
    typer.Argument(metavar="SPEC|DATA", help="A .vnnlib or .vnnlib.gz specification, or data.", show_default=False),
]
NormOption = Annotated[str | None, typer.Option("--norm", metavar="P", help="l0, l1, l2 or linf (default: linf).", show_default=False)]
RiskOption = Annotated[
    str | None,
    typer.Option(
        "--risk", metavar="RISK", help="What must not happen (default: robustness); 'netassay methods' lists the forms.", show_default=False
    ),
]


@dataclass(frozen=True)
class SpecificationOptions:
    """What belongs to specifications, and to lists of them."""

    witness: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write a violation into FILE, in the competition's form.",
            rich_help_panel="Specifications",
            show_default=False,
        ),
    ] = None
    vnncomp: Annotated[
        bool,
        typer.Option(
            "--vnncomp",
            help="Print sat, unsat, unknown or timeout as VNN-COMP asks, and nothing else on stdout; exit 0 always.",
            rich_help_panel="Specifications",
        ),
    ] = False
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="The network in the calling form of VNN-LIB 2.0: verify SPEC.vnnlib --network N=FILE.onnx.",
            rich_help_panel="Specifications",
            show_default=False,
        ),
    ] = None
    instances: Annotated[
        str | None,
        typer.Option(
            metavar="LIST.csv",
            help="Verify every instance of a list with rows model,spec,timeout, within its time-out.",
            rich_help_panel="Specifications",
            show_default=False,
        ),
    ] = None
    json_lines: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Rows of --instances, one JSON object a line; those that FILE has already are kept.",
            rich_help_panel="Specifications",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class Around:
    """The region and the risk around inputs of a data set, as typed."""

    norm: str | None
    radius: float | None
    risk: str | None
    index: int | None
    limit: int | None
    region: RegionOptions

    def refuse(self, form: str, allowed: tuple[str, ...] = ()) -> None:
        """Refuses options that say nothing in this form."""
        single = {name: value for name, value in vars(self).items() if name != "region" and value is not None}
        changed = [f.name for f in fields(RegionOptions) if getattr(self.region, f.name) != f.default]
        given = [f"--{name.replace('_', '-')}" for name in (*single, *changed) if name not in allowed]
        if given:
            raise UsageError(f"{', '.join(given)} {_does(given)} not go with {form}, which says itself what is meant")


@dataclass(frozen=True)
class Asked:
    """What the command line says, and when it began."""

    model: str
    spec: str
    around: Around
    model_options: ModelOptions
    options: VerifyOptions
    specified: SpecificationOptions
    certificates: CertificateOptions
    output: OutputOptions
    started: float
    campaign: CampaignOptions


def verify(
    model_options: ModelOptions,
    region_options: RegionOptions,
    options: VerifyOptions,
    specified: SpecificationOptions,
    certificates: CertificateOptions,
    campaign_options: CampaignOptions,
    output: OutputOptions,
    model: ModelArgument = None,
    spec: SpecArgument = None,
    norm: NormOption = None,
    radius: RadiusOption = None,
    risk: RiskOption = None,
    index: IndexOption = None,
    limit: LimitOption = None,
) -> ExitCode:
    """Does the property hold on the whole region? Proved, violated by a replayed witness, or unknown with the reason.

    Of a specification (MODEL SPEC.vnnlib), of balls around inputs (MODEL DATA --norm P --radius R), or of all that a list names.
    """
    started = time.monotonic()
    around = Around(norm, radius, risk, index, limit, region_options)
    if specified.instances is not None:
        named = [word for word, value in (("MODEL", model), ("SPEC", spec)) if value is not None]
        return _list(named, Asked("", "", around, model_options, options, specified, certificates, output, started, campaign_options))
    if specified.json_lines is not None:
        raise UsageError("--json-lines is for --instances; --json prints one answer")
    model, spec = _named(model, spec, specified)
    asked = Asked(model, spec, around, model_options, options, specified, certificates, output, started, campaign_options)
    if not is_specification(spec):
        return _around_inputs(asked)
    if campaign_options.wanted:
        raise UsageError("--store, --engine, --workers, --address and --job-seconds are for MODEL DATA; a specification is one question")
    if (specified.network or specified.vnncomp) and not output.json:
        if certificates != CertificateOptions():
            raise UsageError("--certificate does not go with --vnncomp and --network, which print the competition's word and nothing else")
        return _competition(asked)
    return _specification(asked)


def _named(model: str | None, spec: str | None, specified: SpecificationOptions) -> tuple[str, str]:
    """Model, and specification or data, from either calling form."""
    if not specified.network:
        if model is None or spec is None:
            raise UsageError(f"say what to verify: {FORMS}")
        return model, spec
    if model is None or spec is not None or not is_specification(model):
        raise UsageError("--network NAME=FILE goes with one argument, the specification: verify SPEC.vnnlib --network N=FILE.onnx")
    if len(specified.network) > 1:
        raise UsageError(f"{len(specified.network)} networks are named; a specification about several networks cannot be verified")
    name, _, file = specified.network[0].partition("=")
    if not name or not file:
        raise UsageError(f"--network needs NAME=FILE.onnx; got {specified.network[0]!r}")
    return file, model


def _around_inputs(asked: Asked) -> ExitCode:
    """One verdict per input of a data set."""
    from netassay.assessment.assess import problems
    from netassay.numerics.norms import Norm
    from netassay.specs.risks import parse_risk

    around, output, left_out = asked.around, asked.output, list[str]()
    if asked.specified.witness is not None or asked.specified.vnncomp:
        raise UsageError("--witness and --vnncomp are for specifications; around inputs, witnesses are stored in --out")
    if around.radius is None:
        raise UsageError("say how far inputs may change: --radius R (in --norm P)")
    norm, template = Norm.of(around.norm or "linf"), parse_risk(around.risk or "robustness")
    size = parsing.positive(around.radius, "--radius")
    wanted = _checked(asked)
    inputs = load_inputs(asked.model, asked.spec, asked.model_options, limit=around.limit, index=around.index)
    region, data = region_arguments(around.region, inputs.network), inputs.data
    if asked.campaign.wanted:
        return _campaign(asked, inputs, region, template, norm, size)
    batch = problems(
        inputs.network,
        data.inputs,
        data.labels,
        risk=template,
        norm=norm,
        radius=size,
        indices=data.indices.tolist(),
        skipped=lambda i, why: left_out.append(f"input {i} is left out: {why}"),
        **region,
    )
    begun = time.monotonic()
    with progress(quiet=output.quiet or output.json) as callback:
        answers = ask_each(batch, asked.options, callback)
    spent = time.monotonic() - begun
    told = inputs.saying([*inputs.notes, *left_out])
    code = deliver(
        answers, told, output, single=len(data) == 1, title="Verification", scale=region["scale"], asked=len(batch) + len(left_out)
    )
    wanted.certify(batch, answers, spent, asked.options.given(len(batch)))
    return ExitCode.INTERRUPTED if len(answers) < len(batch) else code


def _campaign(asked: Asked, inputs: Inputs, region: dict[str, Any], template: RiskTemplate, norm: Norm, size: float) -> ExitCode:
    """The same with a store."""
    from netassay.cli.campaigning import Source
    from netassay.cli.verify_campaign import verify_campaign

    around = asked.around
    certificates = asked.certificates.stored(asked.model, inputs.network)
    source = Source(asked.model, asked.spec, asked.model_options, around.region, around.limit, around.index)
    return verify_campaign(source, inputs, region, template, norm, size, asked.options, certificates, asked.campaign, asked.output)


def _specification(asked: Asked) -> ExitCode:
    """The verdict on one specification, told like any other answer."""
    wanted = _checked(asked)
    network, specification, batch = _problems(asked)
    inputs = without_data(network)
    begun = time.monotonic()
    with progress(quiet=asked.output.quiet or asked.output.json) as callback:
        answers = verified(specification, batch, lambda: ask_together(batch, asked.options, callback, started=asked.started)).answers
    spent = time.monotonic() - begun
    write_witness(answers, specification, asked.specified.witness)
    code = deliver(
        answers,
        inputs.saying([*inputs.notes, *specification.notes]),
        asked.output,
        single=len(batch) == 1,
        title=f"Verification of {Path(asked.spec).name}",
        asked=len(batch),
    )
    wanted.certify_specification(batch, answers, specification, spent, asked.options.given(1))
    return ExitCode.INTERRUPTED if len(answers) < len(batch) else code


def _problems(asked: Asked) -> tuple[Network, Specification, list[Problem]]:
    from netassay.specs.vnnlib import read_vnnlib

    asked.around.refuse("a specification")
    if asked.model_options.domain is not None:
        raise UsageError("--domain does not go with a specification, which says itself which inputs are meant")
    specification = read_vnnlib(asked.spec)
    network = load_specified(asked.model, asked.model_options)
    return network, specification, problems_of(network, specification, asked.spec)


def _competition(asked: Asked) -> ExitCode:
    """The competition's word, and the witness in the standard's calling form."""

    def find() -> Verified:
        asked.options.check()
        _, specification, batch = _problems(asked)
        return verified(specification, batch, lambda: ask_together(batch, asked.options, None, started=asked.started))

    compete(find, witness=asked.specified.witness, standard=bool(asked.specified.network), debug=asked.output.debug)
    return ExitCode.OK


def _checked(asked: Asked) -> Wanted:
    """Refuses bad options, and folders that cannot be made, before anything is loaded; gives what certificates are wanted."""
    asked.options.check()
    asked.campaign.check()
    for option, name in (("--out", asked.output.out), ("--report", asked.output.report)):
        if name is not None:
            folder(option, name)
    return asked.certificates.wanted(asked.model, asked.output)


def _list(named: list[str], asked: Asked) -> ExitCode:
    """The verdicts of a list of instances, into the file of ``--json-lines``."""
    from netassay.cli.instances import counts, list_code, summed_up, verify_list

    specified, output = asked.specified, asked.output
    strange = {
        "--network": specified.network,
        "--certificate": asked.certificates.certificate,
        "--certificates": asked.certificates.certificates,
        "--witness": specified.witness,
        "--vnncomp": specified.vnncomp,
        "--report": output.report,
    }
    strange["--store and its like"] = asked.campaign.wanted or None
    given = [*named, *(name for name, value in {**strange, "--seconds": asked.options.seconds}.items() if value)]
    if given:
        raise UsageError(f"{', '.join(given)} {_does(given)} not go with --instances, whose list says itself what is meant")
    asked.around.refuse("--instances", allowed=("limit",))
    if specified.instances is None or specified.json_lines is None:
        raise UsageError("--instances needs --json-lines FILE, where its rows go")
    _checked(asked)
    rows = verify_list(
        specified.instances,
        specified.json_lines,
        model_options=asked.model_options,
        options=asked.options,
        out=output.out,
        limit=asked.around.limit,
        quiet=output.quiet,
    )
    if output.json:
        print(json.dumps({"instances": len(rows), "rows": specified.json_lines, **counts(rows)}, indent=2))
    else:
        print(f"{summed_up(rows)}; rows in {specified.json_lines}")
    return list_code(rows)


def _does(names: Sequence[str]) -> str:
    return "does" if len(names) == 1 else "do"
