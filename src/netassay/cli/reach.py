"""``netassay reach``: the range of an output, or of a risk's expression."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netassay.cli import parsing
from netassay.cli.certifying import CertificateOptions
from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import Inputs, load_inputs, load_model, without_data
from netassay.cli.options import (
    IndexOption,
    LimitOption,
    ModelArgument,
    ModelOptions,
    NormOption,
    OutputOptions,
    RadiusOption,
    RegionOptions,
    SearchOptions,
)
from netassay.cli.regions import default_radius, region_arguments
from netassay.cli.searching import checked, search
from netassay.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netassay.models.network import Network
    from netassay.models.scores import OutputConvention
    from netassay.numerics.box import Box
    from netassay.specs.problem import Problem
    from netassay.specs.property import RiskTemplate
    from netassay.specs.reachability import Output

DataOptional = Annotated[
    str | None, typer.Argument(metavar="[DATA]", help="Data, for the range over balls around its inputs.", show_default=False)
]
LowerOption = Annotated[str | None, typer.Option("--lower", metavar="A,B,...", help="Lower corner of the region.", show_default=False)]
UpperOption = Annotated[str | None, typer.Option("--upper", metavar="C,D,...", help="Upper corner of the region.", show_default=False)]
OutputOption = Annotated[int | None, typer.Option("--output", metavar="K", help="Output whose range is asked.", show_default=False)]
ToleranceOption = Annotated[
    float | None, typer.Option("--tolerance", help="Stop when the range has stopped growing by this.", show_default=False)
]
RangeTargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="LO,HI",
        help="Stop as soon as values of at most LO and at least HI are found; one may be left out, as in ,HI.",
        rich_help_panel="Search",
        show_default=False,
    ),
]
ExpressionOption = Annotated[
    str | None, typer.Option("--risk", metavar="RISK", help="Range of this risk's s(x) instead of an output's.", show_default=False)
]


def reach(
    model: ModelArgument,
    model_options: ModelOptions,
    region_options: RegionOptions,
    search_options: SearchOptions,
    certificate_options: CertificateOptions,
    out: OutputOptions,
    data: DataOptional = None,
    lower: LowerOption = None,
    upper: UpperOption = None,
    output: OutputOption = None,
    risk: ExpressionOption = None,
    norm: NormOption = "linf",
    radius: RadiusOption = None,
    tolerance: ToleranceOption = None,
    target: RangeTargetOption = None,
    index: IndexOption = None,
    limit: LimitOption = None,
) -> ExitCode:
    """Which values can an output take? The least and the greatest value found bound the range from inside.

    Over a box (--lower, --upper), or over a ball around inputs of DATA (--norm, --radius).
    """
    from netassay.results.answer import Question

    _check_form(data, lower, upper, output, risk)
    goal = parsing.target(target, Question.REACH)
    checked(search_options, out)
    wanted = certificate_options.wanted(model, out)
    stall = None if tolerance is None else parsing.positive(tolerance, "--tolerance")
    if data is None:
        inputs, batch = _over_box(model, model_options, str(lower), str(upper), output)
    else:
        loaded = load_inputs(model, data, model_options, limit=limit, index=index)
        inputs, batch = _over_balls(loaded, region_options, norm, radius, output, risk)
    notes = list(inputs.notes)
    begun = time.monotonic()
    answers = search(Question.REACH, batch, search_options, out, notes, tolerance=stall, target=goal)
    spent = time.monotonic() - begun
    scale = getattr(batch[0].region, "scale", None)
    code = deliver(answers, inputs.saying(notes), out, single=len(batch) == 1, title="Reachable range", scale=scale)
    wanted.certify(batch, answers, spent, search_options.seconds)
    return code


def _check_form(data: str | None, lower: str | None, upper: str | None, output: int | None, risk: str | None) -> None:
    box = lower is not None or upper is not None
    if box and data is not None:
        raise UsageError("the region is either a box (--lower, --upper) or a ball around inputs of DATA, not both")
    if data is None and (lower is None or upper is None):
        raise UsageError("say where: a box with --lower A,B,... and --upper C,D,..., or DATA with --norm and --radius")
    if output is not None and risk is not None:
        raise UsageError("say what: the range of an output (--output K) or of a risk's expression (--risk), not both")
    if box and risk is not None:
        raise UsageError("--risk needs an input to be bound to: give DATA; over a box, ask for an output with --output K")


def _over_box(model: str, options: ModelOptions, lower: str, upper: str, output: int | None) -> tuple[Inputs, list[Problem]]:
    from netassay.numerics.box import Box
    from netassay.specs.problem import Problem

    network = load_model(model, options)
    if options.domain is not None:
        network = network.with_domain(parsing.domain(options.domain, network.input_shape))
    corners = (parsing.corner(text, network.input_shape, option) for text, option in ((lower, "--lower"), (upper, "--upper")))
    box = Box(*corners)
    _check_within(box, network.domain)
    return without_data(network), [Problem(network, box, _output(network, output))]


def _output(network: Network, wanted: int | None) -> Output:
    """The expression y_K; K may be left out where there is one output only."""
    from netassay.specs.reachability import Output

    if wanted is None and network.output_size > 1:
        raise UsageError(f"the network has {network.output_size} outputs: say which with --output K, 0 to {network.output_size - 1}")
    index = wanted or 0
    if not 0 <= index < network.output_size:
        raise UsageError(f"no output {index}: the network has {network.output_size}, 0 to {network.output_size - 1}")
    return Output(index)


@dataclass(frozen=True)
class OutputTemplate:
    """An output's value, which is the same expression for every input."""

    expression: Output
    spec: str = ""

    def bind(self, convention: OutputConvention, outputs: NDArray[np.float64]) -> Output:  # noqa: ARG002
        """The expression itself."""
        return self.expression


def _check_within(box: Box, domain: Box) -> None:
    import numpy as np

    outside = np.argwhere((box.lower < domain.lower) | (box.upper > domain.upper))
    if len(outside):
        at = tuple(int(i) for i in outside[0])
        raise UsageError(
            f"the box leaves the input domain at feature {at}: {box.lower[at]:g} to {box.upper[at]:g}, "
            f"allowed are {domain.lower[at]:g} to {domain.upper[at]:g}; give a smaller box, or the right --domain LO,HI"
        )


def _over_balls(
    inputs: Inputs, options: RegionOptions, norm: str, radius: float | None, output: int | None, risk: str | None
) -> tuple[Inputs, list[Problem]]:
    from netassay.assessment.assess import problems
    from netassay.numerics.norms import Norm
    from netassay.specs.risks import parse_risk

    asked, network, data, notes = Norm.of(norm), inputs.network, inputs.data, list(inputs.notes)
    template: RiskTemplate = OutputTemplate(_output(network, output)) if risk is None else parse_risk(risk)
    region: dict[str, Any] = region_arguments(options, network)
    size = default_radius(network, asked, region, notes) if radius is None else parsing.positive(radius, "--radius")
    batch = problems(network, data.inputs, data.labels, risk=template, norm=asked, radius=size, indices=data.indices.tolist(), **region)
    return inputs.saying(notes), batch
