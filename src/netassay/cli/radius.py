"""``netassay radius``: the maximum safe radius."""

from __future__ import annotations

import time

from netassay.cli import parsing, thresholds
from netassay.cli.certifying import CertificateOptions
from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import load_inputs
from netassay.cli.options import (
    DataArgument,
    FailUnderOption,
    IndexOption,
    LimitOption,
    ModelArgument,
    ModelOptions,
    NormOption,
    OutputOptions,
    RadiusOption,
    RegionOptions,
    RiskOption,
    SearchOptions,
    TargetOption,
)
from netassay.cli.regions import region_arguments
from netassay.cli.searching import checked, search


def radius(
    model: ModelArgument,
    data: DataArgument,
    model_options: ModelOptions,
    region_options: RegionOptions,
    search_options: SearchOptions,
    certificate_options: CertificateOptions,
    output: OutputOptions,
    norm: NormOption = "linf",
    risk: RiskOption = "robustness",
    radius: RadiusOption = None,
    target: TargetOption = None,
    index: IndexOption = None,
    limit: LimitOption = None,
    fail_under: FailUnderOption = None,
) -> ExitCode:
    """How far can an input change before the network errs? The nearest violation found bounds it from above.

    Without --radius the whole input domain is searched. Needs a bounded domain, or --radius.
    """
    from netassay.assessment.assess import problems
    from netassay.numerics.norms import Norm
    from netassay.results.answer import Question
    from netassay.specs.risks import parse_risk

    asked, template = Norm.of(norm), parse_risk(risk)
    limit_radius = None if radius is None else parsing.positive(radius, "--radius")
    goal = parsing.target(target, Question.RADIUS)
    checked(search_options, output)
    thresholds.checked(fail_under)
    wanted = certificate_options.wanted(model, output)
    inputs = load_inputs(model, data, model_options, limit=limit, index=index)
    network, found = inputs.network, inputs.data
    region, notes = region_arguments(region_options, network), list(inputs.notes)
    batch = problems(
        network,
        found.inputs,
        found.labels,
        risk=template,
        norm=asked,
        radius=limit_radius,
        indices=found.indices.tolist(),
        **region,
    )
    begun = time.monotonic()
    answers = search(Question.RADIUS, batch, search_options, output, notes, target=goal)
    spent = time.monotonic() - begun
    code = deliver(
        answers,
        inputs.saying(notes),
        output,
        single=len(found) == 1,
        title="Maximum safe radius",
        fail_under=fail_under,
        scale=region["scale"],
    )
    wanted.certify(batch, answers, spent, search_options.seconds)
    return code
