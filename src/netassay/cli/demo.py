"""``netassay demo``: a small network, trained here and now, assessed from end to end."""

from __future__ import annotations

from typing import Annotated

import typer

from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import load_inputs
from netassay.cli.options import DebugOption, JsonOption, ModelOptions, OutputOptions
from netassay.cli.progress import progress
from netassay.cli.searching import folder

DIGITS = 8
RISKS = ("robustness", "uncertainty:0.2", "reachability:own:below:0.5")
RADII = {"linf": 0.1, "l2": 0.5}

QueriesOption = Annotated[int, typer.Option("--queries", help="Network evaluations per digit and question.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Same seed, same answer.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
ReportOption = Annotated[str, typer.Option("--report", metavar="DIR", help="Folder for the report, answers and witnesses.")]


def demo(
    queries: QueriesOption = 5000,
    seed: SeedOption = 0,
    report: ReportOption = "demo-report",
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> ExitCode:
    """Trains a small network on handwritten digits, assesses eight of them, and writes a report. Takes a minute.

    Robustness, uncertainty and reachability, each within L-infinity and L2 balls.
    """
    from netassay.assessment.assess import assess
    from netassay.numerics.budget import Budget
    from netassay.numerics.norms import Norm
    from netassay.results.answer import Question
    from netassay.specs.risks import parse_risk

    folder("--report", report)
    options = OutputOptions(json=json, quiet=quiet, out=report, report=report, debug=debug)
    inputs = load_inputs("digits-cnn", "digits", ModelOptions(), limit=DIGITS)
    radii = {Norm.of(name): radius for name, radius in RADII.items()}
    with progress(quiet=quiet or json) as callback:
        answers = assess(
            inputs.network,
            inputs.data.inputs,
            inputs.data.labels,
            risks=[parse_risk(text) for text in RISKS],
            norms=list(radii),
            radius=radii,
            questions=(Question.RADIUS, Question.LIPSCHITZ, Question.REACH),
            budget=Budget(queries=queries),
            seed=seed,
            progress=callback,
        )
    return deliver(answers, inputs, options, single=False, title="Handwritten digits: a demonstration")
