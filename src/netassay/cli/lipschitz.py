"""``netassay lipschitz``: how fast the property can change."""

from __future__ import annotations

import time

from netassay.cli import parsing
from netassay.cli.certifying import CertificateOptions
from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import load_inputs
from netassay.cli.options import (
    DataArgument,
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
from netassay.cli.regions import default_radius, region_arguments
from netassay.cli.searching import checked, search


def lipschitz(
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
) -> ExitCode:
    """How fast can the safety margin change around an input? The steepest slope found bounds Q from below.

    Without --radius the ball is a tenth of the input domain.
    """
    from netassay.assessment.assess import problems
    from netassay.numerics.norms import Norm
    from netassay.results.answer import Question
    from netassay.specs.risks import parse_risk

    asked, template = Norm.of(norm), parse_risk(risk)
    given = None if radius is None else parsing.positive(radius, "--radius")
    goal = parsing.target(target, Question.LIPSCHITZ)
    checked(search_options, output)
    wanted = certificate_options.wanted(model, output)
    inputs = load_inputs(model, data, model_options, limit=limit, index=index)
    network, found = inputs.network, inputs.data
    region, notes = region_arguments(region_options, network), list(inputs.notes)
    size = given if given is not None else default_radius(network, asked, region, notes)
    batch = problems(network, found.inputs, found.labels, risk=template, norm=asked, radius=size, indices=found.indices.tolist(), **region)
    begun = time.monotonic()
    answers = search(Question.LIPSCHITZ, batch, search_options, output, notes, target=goal)
    spent, single = time.monotonic() - begun, len(found) == 1
    code = deliver(answers, inputs.saying(notes), output, single=single, title="Sensitivity (Lipschitz)", scale=region["scale"])
    wanted.certify(batch, answers, spent, search_options.seconds)
    return code
