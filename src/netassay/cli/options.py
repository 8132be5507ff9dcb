"""The options that commands share, in one place. Texts only: they are parsed by ``parsing`` when a command runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

MODEL_HELP = "A .onnx file, a .pt2 program, module.path:factory, or a built-in: digits-mlp, digits-cnn."
DATA_HELP = "A .npz, .npy or .csv file, X.npy,Y.npy, a folder of pictures, module.path:factory, or digits."

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
DataArgument = Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP, show_default=False)]


@dataclass(frozen=True)
class ModelOptions:
    """How the model's inputs and outputs are to be understood."""

    outputs: Annotated[
        str | None,
        typer.Option(help="Meaning of the outputs: logits, probabilities, binary-logit, sigmoid or values.", rich_help_panel="Model"),
    ] = None
    decision: Annotated[str, typer.Option(help="Which output decides the label: argmax or argmin.", rich_help_panel="Model")] = "argmax"
    mean: Annotated[
        str | None,
        typer.Option(help="Mean that the model's inputs are normalised by: a number, or one per channel.", rich_help_panel="Model"),
    ] = None
    std: Annotated[str | None, typer.Option(help="Standard deviation likewise.", rich_help_panel="Model")] = None
    domain: Annotated[
        str | None,
        typer.Option(metavar="LO,HI|data", help="Valid inputs; 'data': the range of each feature in DATA.", rich_help_panel="Model"),
    ] = None
    label_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column of a CSV file that holds the labels (default: label, labels, y, class or target).",
            rich_help_panel="Model",
        ),
    ] = None
    device: Annotated[str, typer.Option(help="Torch device.", rich_help_panel="Model")] = "cpu"
    trust: Annotated[
        bool, typer.Option("--trust", help="Load a program that holds pickled code, which is run.", rich_help_panel="Model")
    ] = False


@dataclass(frozen=True)
class RegionOptions:
    """What may change around an input."""

    scale: Annotated[
        str,
        typer.Option(
            metavar="none|domain|FILE.npy", help="Unit per feature: 1, its range in the domain, or from a file.", rich_help_panel="Region"
        ),
    ] = "none"
    mask: Annotated[
        str | None,
        typer.Option(metavar="FILE.npy|X,Y,W,H", help="Features that may change, or a patch of an image.", rich_help_panel="Region"),
    ] = None
    granularity: Annotated[
        str | None,
        typer.Option(metavar="STEP|FILE.npy", help="Features move in steps of this size; 0 is continuous.", rich_help_panel="Region"),
    ] = None
    one_hot: Annotated[
        str | None, typer.Option(metavar="3,4,5;6,7", help="Blocks of features of which exactly one is 1.", rich_help_panel="Region")
    ] = None
    group: Annotated[str, typer.Option(help="What the L0 norm counts: feature, or pixel (all its channels).", rich_help_panel="Region")] = (
        "feature"
    )


@dataclass(frozen=True)
class SearchOptions:
    """How the answer is looked for, and what it may cost."""

    method: Annotated[str, typer.Option(help="Search method; 'netassay methods' lists them.", rich_help_panel="Search")] = "auto"
    queries: Annotated[
        int | None,
        typer.Option(help="Network evaluations per input (default: 10000, or no limit with --seconds).", rich_help_panel="Search"),
    ] = None
    seconds: Annotated[float | None, typer.Option(help="Time limit for each question.", rich_help_panel="Search", show_default=False)] = (
        None
    )
    memory: Annotated[str, typer.Option(help="Memory for a batch, e.g. 512MiB or 2GiB.", rich_help_panel="Search")] = "2GiB"
    seed: Annotated[int, typer.Option(help="Same seed and query budget, same answer.", rich_help_panel="Search")] = 0
    prover: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Verifier that proves the other sides afterwards, or 'none'; 'netassay methods' lists them.",
            rich_help_panel="Search",
        ),
    ] = "auto"
    start: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Points to begin with: .npz with x, .npy, or a report.json, answer.json, assessment.json or folder of an earlier run.",
            rich_help_panel="Search",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class OutputOptions:
    """What is printed and stored, and where."""

    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.", rich_help_panel="Output")] = (
        False
    )
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.", rich_help_panel="Output")] = False
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for witnesses and answers.", rich_help_panel="Output")] = "netassay-out"
    report: Annotated[
        str | None, typer.Option(metavar="DIR", help="Also write an HTML report into this folder.", rich_help_panel="Output")
    ] = None
    junit: Annotated[
        str | None,
        typer.Option(
            "--junit", metavar="FILE", help="Also write demands and verdicts as JUnit XML.", rich_help_panel="Output", show_default=False
        ),
    ] = None
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Output")] = False


RisksOption = Annotated[
    list[str] | None,
    typer.Option(
        "--risk",
        metavar="RISK",
        help="robustness, targeted:K, gap:J:L, uncertainty:EPS, reachability:K:below:EPS, ...; 'netassay methods' lists the forms "
        "(default: robustness).",
        show_default=False,
    ),
]
NormsOption = Annotated[
    list[str] | None, typer.Option("--norm", metavar="P", help="l0, l1, l2 or linf (default: linf).", show_default=False)
]
RiskOption = Annotated[str, typer.Option("--risk", metavar="RISK", help="What must not happen; 'netassay methods' lists the forms.")]
NormOption = Annotated[str, typer.Option("--norm", metavar="P", help="l0, l1, l2 or linf.")]
RadiusOption = Annotated[
    float | None, typer.Option("--radius", metavar="R", help="Radius of the ball, in units of --scale.", show_default=False)
]
IndexOption = Annotated[
    int | None, typer.Option("--index", metavar="I", help="Only the input at this position, from 0.", show_default=False)
]
LimitOption = Annotated[int | None, typer.Option("--limit", metavar="N", help="Only the first N inputs.", show_default=False)]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target", metavar="V", help="Stop as soon as the value found has reached V.", rich_help_panel="Search", show_default=False
    ),
]
FailUnderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="R|EXPR",
        help="A safe radius that every input must have, or a demand such as 'radius.linf.p05 >= 0.01': exit 1 if missed, 3 if undecided. "
        "May be repeated.",
        show_default=False,
    ),
]
