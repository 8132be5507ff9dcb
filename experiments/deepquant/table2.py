"""Table 2: the time until the reachable range of a network is known to one hundredth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

import netassay as na
from deepquant import dense
from deepquant.asking import ends, ranges
from deepquant.drawing import bars, canvas, legend_below
from deepquant.images import benchmark
from deepquant.report import Result, Table, number
from deepquant.setting import OWN_METHOD, PAPER_METHOD, PRINTED_METHOD, PRINTED_TOO, STAND_IN, Setting, Size, UnavailableError
from deepquant.tanh import HIGH, LOW, tanh_network
from netassay.models.network import Network
from netassay.results.answer import ReachAnswer
from netassay.specs.problem import Problem
from netassay.specs.reachability import Output

TOLERANCE = 1e-2
METHODS = (PAPER_METHOD, PRINTED_METHOD, OWN_METHOD)
TOOLS = ("SHERLOCK", "Reluplex", "DeepGO", "DEEPQUANT")

PRINTED: dict[str, tuple[str, str, str, str, str]] = {
    "ReLU-NN-0": ("1x100", "1.9s", "1m 55s", "0.4s", "1.80s"),
    "ReLU-NN-1": ("1x200", "2.4s", "13m 58s", "1.0s", "1.56s"),
    "ReLU-NN-2": ("1x500", "17.8s", "Timeout", "6.8s", "1.21s"),
    "ReLU-NN-3": ("1x500", "7.6s", "Timeout", "5.3s", "1.26s"),
    "ReLU-NN-4": ("1x1000", "7m 57.8s", "Timeout", "1.8s", "1.21s"),
    "ReLU-NN-5": ("6x250", "9m 48.4s", "Timeout", "15.1s", "2.81s"),
    "tanh-NN-6": ("6x250", "N/A", "N/A", "14.8s", "2.93s"),
    "tanh-NN-7": ("6x250", "N/A", "N/A", "58.7s", "8.92s"),
    "tanh-NN-8": ("6x250", "N/A", "N/A", "394.1s", "20.94s"),
    "tanh-NN-9": ("6x250", "N/A", "N/A", "2680.4s", "129.81s"),
}
"""Table 2 as printed: layers and neurons, and the times of the four tools."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        inputs: Numbers of inputs of the tanh networks that are trained.
        width, steps: Their neurons per layer, and how long they are trained.
        reference: How densely their range is searched for reference.
        repeats: Each search is timed so often; the fastest counts. All of them find the same.
    """

    inputs: tuple[int, ...]
    width: int
    steps: int
    reference: dense.Plan
    repeats: int = 1


PLANS = {
    Size.QUICK: Plan((2,), 50, 300, dense.Plan(10_000, 16, 30, 16)),
    Size.USUAL: Plan((2, 3, 4, 5), 250, 1500, dense.Plan(100_000), 3),
    Size.FULL: Plan((2, 3, 4, 5), 250, 6000, dense.Plan(1_000_000, 256, 100, 32), 3),
}


CONSTANT = dense.Plan(20_000, 16, 20, 16)
"""How densely the published tanh network is searched, whose output is almost constant."""


@dataclass(frozen=True)
class Case:
    """A network on [0, 10]^n, the range that it is compared with, and how that is known."""

    name: str
    network: Network
    least: float
    greatest: float
    known: str


@dataclass(frozen=True)
class Run:
    """One search: when both ends were within the tolerance of the reference, and where the search ended by its own rule."""

    seconds: float
    queries: float
    error: float
    total_seconds: float
    total_queries: int


def measure(setting: Setting, plan: Plan | None = None) -> Result:
    """Searches the range of every network with both methods."""
    plan = plan or PLANS[setting.size]
    cases, runs = [], {}
    for case in _cases(setting, plan):
        setting.say(f"  {case.name}")
        cases.append(case)
        for method in METHODS:
            repeated = [search(case, method, setting.seed) for _ in range(plan.repeats)]
            runs[case.name, method] = min(repeated, key=lambda run: run.total_seconds)
    return Result(
        "table2",
        "Table 2: reachability",
        f"Seconds until both ends of the range of the output over [0, 10]^n are within {TOLERANCE:g} of the reference, and the network "
        "evaluations until then. The search does not know the reference: it ends by its own rule (no end grows by more than "
        f"{TOLERANCE / 10:g} in a round of 2,500 evaluations); the second table says when, and how far from the reference the worse end is "
        "then. Progress is noted each time the evaluations have grown by half, so times to the goal are rounded up to the next note; of "
        f"{plan.repeats} runs the fastest counts.",
        "Times are quoted from Table 2 as printed; the other tools were not run here. Reluplex and SHERLOCK ran on a 23-core workstation, "
        "DeepGO and DEEPQUANT in MATLAB on a laptop (i7-7700HQ).",
        [_times(cases, runs), _costs(cases, runs), _references(cases)],
        {"": _draw(cases, runs)},
        {"": "Seconds per network, logarithmic; a missing bar is a tool that cannot treat the network, ran out of time, or was not run."},
        [
            "ReLU-NN-0 to 5 are the published networks. Of the tanh networks only one is published, with four inputs, 5x250 neurons and "
            "weights that look untrained: its output is constant up to 2e-5, so that one evaluation answers. It is listed under its own "
            "name.",
            f"tanh-NN-6 to 9 were trained here on another function ({plan.steps} steps, seed {setting.seed}, see `tanh.py`): the paper's "
            "are not to be had. Only dimension and size are theirs.",
            f"{STAND_IN} {PRINTED_TOO} They are Python and torch on another machine, not MATLAB.",
            "The ranges are attained from inside: each end is an output that a replayed input gives. SHERLOCK, Reluplex and DeepGO bound "
            "the range from outside as well, which these searches do not.",
        ],
        _seen(cases, runs),
    )


def _cases(setting: Setting, plan: Plan) -> Iterator[Case]:
    try:
        yield from _published()
    except UnavailableError as missing:
        setting.say(f"  the published networks are left out: {missing}")
    for n in plan.inputs:
        network, error = tanh_network(setting, n, width=plan.width, steps=plan.steps)
        least, greatest = dense.extremes(_problem(network), plan.reference, setting.seed)
        known = f"{_found_by(plan.reference)}; trained to a root mean square error of {error:.2g}"
        yield Case(f"tanh-NN-{n + 4}", network, least, greatest, known)


def _published() -> Iterator[Case]:
    files = {entry["path"]: entry for entry in json.loads(benchmark("MANIFEST.json").read_text())["files"]}
    for k in range(6):
        path = f"deepquant_table2/relu_nn_{k}.onnx"
        exact = files[path]["reference_range"]
        known = "all vertices of the linear pieces" if k < 5 else "best known: a grid of step 0.01 and local refinement"
        yield Case(f"ReLU-NN-{k}", na.load(str(benchmark(path))), exact["min"], exact["max"], known)
    network = na.load(str(benchmark("deepquant_table2/tanh_nn.onnx")))
    least, greatest = dense.extremes(_problem(network), CONSTANT, 0)
    yield Case("tanh (published)", network, least, greatest, _found_by(CONSTANT))


def _found_by(plan: dense.Plan) -> str:
    return f"best found by {2 * plan.queries:,} evaluations (`dense.py`)"


def _problem(network: Network) -> Problem:
    return Problem(network, na.Box.filled(network.input_shape, LOW, HIGH), Output(0))


def search(case: Case, method: str, seed: int) -> Run:
    """One search for the range of one network."""
    (answer,) = ranges([_problem(case.network)], method, 1_000_000, seed, tolerance=TOLERANCE)
    low, high = ends(answer)
    seconds, queries = _when(answer, case)
    spent = answer.provenance
    return Run(seconds, queries, max(low - case.least, case.greatest - high), spent.seconds, spent.queries)


def _when(answer: ReachAnswer, case: Case) -> tuple[float, float]:
    """Seconds and queries until both ends were near enough; infinite if they never were."""
    lows = [(p.seconds, p.queries) for p in answer.minimum_trace if p.upper is not None and p.upper <= case.least + TOLERANCE]
    highs = [(p.seconds, p.queries) for p in answer.maximum_trace if p.lower is not None and p.lower >= case.greatest - TOLERANCE]
    if not lows or not highs:
        return np.inf, np.inf
    return max(lows[0][0], highs[0][0]), max(lows[0][1], highs[0][1])


def _times(cases: list[Case], runs: Mapping[tuple[str, str], Run]) -> Table:
    rows = []
    for case in cases:
        printed = PRINTED.get(case.name, ("5x250", "", "", "", ""))
        goals = [_seconds(runs[case.name, method].seconds) for method in METHODS]
        rows.append([case.name, printed[0], str(case.network.domain.shape[0]), *printed[1:], *goals])
    head = ["network", "layers x neurons", "inputs", *(f"{tool} (paper)" for tool in TOOLS), *(f"`{m}` s" for m in METHODS)]
    return Table("Seconds to one hundredth", head, rows, words=2)


def _costs(cases: list[Case], runs: Mapping[tuple[str, str], Run]) -> Table:
    rows = []
    for case in cases:
        mine = [runs[case.name, method] for method in METHODS]
        goals = [_count(run.queries) for run in mine]
        own = [cell for run in mine for cell in (_seconds(run.total_seconds), f"{max(run.error, 0):.0e}")]
        rows.append([case.name, *goals, *own])
    head = ["network", *(f"`{m}` evaluations" for m in METHODS), *(cell for m in METHODS for cell in (f"`{m}` ends after s", "error then"))]
    return Table("Network evaluations to one hundredth, and where each search ends by its own rule", head, rows)


def _references(cases: list[Case]) -> Table:
    rows = [[case.name, case.known, number(case.least, 6), number(case.greatest, 6)] for case in cases]
    return Table("The references", ["network", "known from", "minimum", "maximum"], rows, words=2)


def _seconds(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "not reached"


def _count(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "-"


def as_seconds(printed: str) -> float:
    """A time of the table as printed, such as ``13m 58s``; not a number where there is none."""
    if not printed.endswith("s"):
        return np.nan
    minutes, _, seconds = printed[:-1].rpartition("m")
    return 60 * float(minutes or 0) + float(seconds)


def _draw(cases: list[Case], runs: Mapping[tuple[str, str], Run]) -> Figure:
    series: dict[str, list[float]] = {
        f"{tool} (paper)": [as_seconds(PRINTED[c.name][1 + k]) if c.name in PRINTED else np.nan for c in cases]
        for k, tool in enumerate(TOOLS)
    }
    for method in METHODS:
        series[f"netassay {method}"] = [runs[c.name, method].seconds for c in cases]
    figure = canvas(9, 4)
    axes = figure.subplots()
    bars(axes, [c.name.replace(" ", "\n") for c in cases], series, ylabel="seconds until within 0.01", log=True)
    axes.tick_params(axis="x", labelsize=8, rotation=25)
    legend_below(figure, axes, 4)
    return figure


def _seen(cases: list[Case], runs: Mapping[tuple[str, str], Run]) -> list[str]:
    sentences = []
    for method in METHODS:
        reached = [runs[c.name, method] for c in cases if np.isfinite(runs[c.name, method].seconds)]
        slowest = max((run.seconds for run in reached), default=np.nan)
        sentences.append(
            f"`{method}` came within {TOLERANCE:g} on {len(reached)} of {len(cases)} networks, the slowest in {slowest:.2f} s."
        )
    return sentences
